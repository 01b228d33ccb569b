//! Checks a part with nothing but its files and what the reader knows of the agency.
//!
//! Every file is compared with the manifest and every entry proved under one checkpoint, in the
//! order of the journal; the keys come from entries too. The first thing that does not hold ends it.

mod erasures;
mod feeds;

use super::manifest::{Item, MANIFEST, Manifest, Selection, sha256};
use super::report::PartReport;
use super::survey::{PART_FILES_MAX, case_reference};
use super::write::time;
use crate::audit::acts::Acts;
use crate::audit::card::Card;
use crate::audit::content::{Content, slots_hash};
use crate::audit::examine::{Accepted, DecodedEntry, DecodedFrame, entry};
use crate::audit::expectations::Anchor;
use crate::audit::export::{Folder, head};
use crate::audit::failure::{Check, Failure, Fault, Place};
use crate::audit::line_ends::{changed_from, changed_line_ends};
use crate::audit::lines::Log;
use crate::audit::proof::History;
use crate::ident::{AgencyName, Generation, RecordId, SeriesId, Timestamp};
use crate::merkle::{
    NOTE_BYTES_MAX, TLOG_PROOF_BYTES_MAX, TlogProof, TreeHead, leaf_hash, verify_inclusion,
};
use crate::pb::{self, journal_entry::Event};
use crate::policy::Consents;
use crate::record::consent::{Consent, Parties};
use crate::record::kind::Kind;
use crate::record::signed::{VerifiedRoots, check_contents};
use crate::record::slots::SlotMask;
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

/// A line of the manifest has a sum, a path and at most this many bytes.
const MANIFEST_BYTES_MAX: u64 = PART_FILES_MAX as u64 * 256;
/// Longest content of one entry: the payload of a frame.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// The reason why a part was not verified.
#[derive(Debug, thiserror::Error)]
pub enum PartFault {
    /// The part is not what its agency signed.
    #[error("{0}")]
    Broken(Box<Failure>),
    #[error("a file of the part cannot be read")]
    Io(#[from] io::Error),
}

impl From<Failure> for PartFault {
    fn from(failure: Failure) -> Self {
        Self::Broken(Box::new(failure))
    }
}

fn broken(place: impl ToString, fault: Fault) -> PartFault {
    Failure { place: Place::File(place.to_string()), entry: None, fault }.into()
}

/// Checks the part in `folder`; `anchor` is what the reader knows of the agency from elsewhere.
pub fn verify_part(folder: &impl Folder, anchor: &Anchor) -> Result<PartReport, PartFault> {
    let files = Files::open(folder)?;
    let mut part = Part::open(&files)?;
    for item in files.manifest.files.keys() {
        if let Item::Entry(index) = item {
            part.entry(item, *index)?;
        }
    }
    let number = part.check_own(anchor)?;
    part.check_asked()?;
    part.check_erasures()?;
    let feeds = part.feeds()?;
    let manifest = &files.manifest;
    let here = part.dates.len() as u64;
    if (here, part.head.size.get()) != (manifest.journal.here, manifest.journal.of) {
        let found = format!("{here} of {}", part.head.size);
        let fault = Fault::new(Check::ExportFile, format!("{} entries", manifest.journal), found);
        return Err(broken(MANIFEST, fault));
    }
    let (kept_out, unpermitted) = part.restricted()?;
    Ok(PartReport {
        agency: manifest.agency.clone(),
        number,
        is_known: !matches!(anchor, Anchor::Directory),
        asked: manifest.asked.clone(),
        head: part.head,
        journal: manifest.journal,
        feeds,
        records: part.accepted.len() as u64,
        signatures: part.signatures,
        compromised: part.compromised,
        unplaced: part.unplaced,
        notes: part.notes,
        kept_out,
        unpermitted,
        is_complete: matches!(manifest.asked, Selection::Time { .. }),
        foreign: Vec::new(),
    })
}

/// The files that the manifest names.
struct Files<'a, F> {
    folder: &'a F,
    manifest: Manifest,
}

impl<'a, F: Folder> Files<'a, F> {
    fn open(folder: &'a F) -> Result<Self, PartFault> {
        let unfit = |expected, found: &str| {
            broken(MANIFEST, Fault::new(Check::ExportFile, expected, found))
        };
        let bytes = folder
            .read(MANIFEST, MANIFEST_BYTES_MAX)?
            .ok_or_else(|| unfit("the manifest of a part", "none"))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| unfit("the manifest of a part", "bytes that are not text"))?;
        let manifest = Manifest::parse(text).map_err(|wanted| match changed_line_ends(&bytes) {
            Some(fault) => broken(MANIFEST, fault),
            None => unfit(wanted, "other text"),
        })?;
        Ok(Self { folder, manifest })
    }

    fn read(&self, item: &Item, bytes_max: u64) -> Result<Bytes, PartFault> {
        let fault = |expected: String, found: &str| {
            broken(item, Fault::new(Check::ExportFile, expected, found))
        };
        let sum = self.manifest.files.get(item);
        let sum = sum.ok_or_else(|| fault(format!("{item} in the manifest"), "none"))?;
        let bytes = self
            .folder
            .read(&item.to_string(), bytes_max)?
            .ok_or_else(|| fault("a file that the manifest names".to_owned(), "none"))?;
        let found = sha256(&bytes);
        if found != *sum {
            if let Some(fault) = changed_from(&bytes, |bytes| sha256(bytes) == *sum) {
                return Err(broken(item, fault));
            }
            return Err(fault(format!("bytes with SHA-256 {sum}"), &found));
        }
        Ok(bytes)
    }

    fn proof(&self, item: &Item, index: u64) -> Result<TlogProof, PartFault> {
        let bytes = self.read(item, TLOG_PROOF_BYTES_MAX as u64)?;
        let proof = TlogProof::parse(&bytes).map_err(|error| {
            broken(item, Fault::new(Check::ProofForm, "the proof of an entry", error))
        })?;
        if proof.index().get() == index {
            return Ok(proof);
        }
        let found = format!("of entry {}", proof.index());
        Err(broken(
            item,
            Fault::new(Check::ProofForm, format!("the proof of entry {index}"), found),
        ))
    }
}

/// The known state of a record so far.
struct Row {
    kind: Kind,
    originator: AgencyName,
    slots_hash: [u8; 32],
    series: SeriesId,
    retain_until: Option<Timestamp>,
    open: SlotMask,
    operation: Option<String>,
    /// Its originator marks it not for evidence.
    is_restricted: bool,
    /// Its content is not here for that.
    is_kept_out: bool,
    /// Index of its acceptance.
    entry: u64,
}

impl Row {
    /// Returns true if content shows nothing of a record that is not for evidence.
    fn keeps_out(&self, content: &Content) -> bool {
        self.is_restricted && content.open.is_empty()
    }
}

/// A part under examination.
struct Part<'a, F> {
    files: &'a Files<'a, F>,
    note: Bytes,
    /// The head in the checkpoint; its signature is checked when all cards were seen.
    head: TreeHead,
    /// The time of each entry that is here, by its index.
    dates: BTreeMap<u64, Timestamp>,
    genesis: Option<AgencyName>,
    own: Vec<Card>,
    own_signed: Vec<pb::SignedCard>,
    partners: BTreeMap<AgencyName, Card>,
    accepted: HashMap<RecordId, Row>,
    /// Records whose newest content was overwritten; an entry about the erasure must follow.
    overwritten: BTreeSet<RecordId>,
    acts: Acts,
    /// Records under a hold.
    held: BTreeSet<RecordId>,
    /// Consents to use as evidence that the part holds.
    consents: Consents,
    /// The entry of a succession of the logs, and the generation that follows.
    succeeded: Option<(u64, Generation)>,
    is_asked_here: bool,
    roots: VerifiedRoots,
    signatures: u64,
    compromised: u64,
    unplaced: u64,
    notes: u64,
}

impl<'a, F: Folder> Part<'a, F> {
    fn open(files: &'a Files<'a, F>) -> Result<Self, PartFault> {
        let note = files.read(&Item::Checkpoint, NOTE_BYTES_MAX as u64)?;
        let head = head(&note).ok_or_else(|| {
            let expected = "the signed note of a checkpoint";
            broken(Item::Checkpoint, Fault::new(Check::ExportFile, expected, "other bytes"))
        })?;
        Ok(Self {
            files,
            note,
            head,
            dates: BTreeMap::new(),
            genesis: None,
            own: Vec::new(),
            own_signed: Vec::new(),
            partners: BTreeMap::new(),
            accepted: HashMap::new(),
            overwritten: BTreeSet::new(),
            acts: Acts::default(),
            held: BTreeSet::new(),
            consents: Consents::default(),
            succeeded: None,
            is_asked_here: false,
            roots: VerifiedRoots::default(),
            signatures: 0,
            compromised: 0,
            unplaced: 0,
            notes: 0,
        })
    }

    /// The next entry of the journal that is here.
    fn entry(&mut self, item: &Item, index: u64) -> Result<(), PartFault> {
        let proof = self.files.proof(item, index)?;
        let content = Item::Content(index);
        let content = match self.files.manifest.files.contains_key(&content) {
            true => Some(self.files.read(&content, CONTENT_BYTES_MAX)?),
            false => None,
        };
        self.take(index, &proof, content).map_err(|fault| {
            let file = match fault.check {
                Check::Content => Item::Content(index),
                _ => item.clone(),
            };
            let place = Place::File(file.to_string());
            Failure { place, entry: Some(index), fault }.into()
        })
    }

    fn take(&mut self, index: u64, proof: &TlogProof, content: Option<Bytes>) -> Result<(), Fault> {
        prove(proof, &self.note, self.head)?;
        let bytes = Bytes::copy_from_slice(proof.extra());
        let fault = |found: &dyn ToString| {
            Fault::new(Check::EntryForm, "a journal entry", found.to_string())
        };
        let wire = pb::JournalEntry::decode(bytes.clone()).map_err(|error| fault(&error))?;
        let at = time(wire.at_ms).ok_or_else(|| fault(&"a time before 2000 or after 2100"))?;
        if let Some((_, last)) = self.dates.last_key_value()
            && at < *last
        {
            return Err(Fault::new(Check::EntryTime, format!("a time from {last} on"), at));
        }
        self.dates.insert(index, at);
        let asked = &self.files.manifest.asked;
        let is_neighbour = matches!(asked, Selection::Time { .. }) && !asked.has(at);
        let brings = matches!(
            wire.event,
            Some(Event::RecordAccepted(_) | Event::SlotsReceived(_) | Event::SlotsErased(_))
        );
        // It only shows that nothing between it and the time that was asked for is missing.
        if is_neighbour && brings && content.is_none() {
            return Ok(());
        }
        match entry(&bytes, leaf_hash(&bytes), content)? {
            DecodedFrame::Entry { told: DecodedEntry::Accepted(accepted), .. } => {
                self.accepted(*accepted, (index, at))
            }
            DecodedFrame::Entry { told: DecodedEntry::Extended { received, content }, .. } => {
                self.extended(&received, &content)
            }
            DecodedFrame::Entry { told: DecodedEntry::Erased { erased, content }, .. } => {
                self.erased(&erased, &content, at)
            }
            DecodedFrame::Entry { told: DecodedEntry::Other(event), .. } => {
                self.event((index, at), *event)
            }
            DecodedFrame::Feed { .. } | DecodedFrame::Commit(_) => Err(fault(&"something else")),
        }
    }

    fn event(&mut self, (index, at): (u64, Timestamp), event: Event) -> Result<(), Fault> {
        match event {
            Event::Genesis(genesis) => {
                self.genesis = genesis.agency.parse().ok();
                Ok(())
            }
            Event::CardIssued(issued) => {
                let signed = issued.card.unwrap_or_default();
                let card = Card::check(&signed)
                    .map_err(|error| Fault::new(Check::OwnCard, "a signed card", error))?;
                let before = self.own.last().map_or(Generation::FIRST, |card| card.generation);
                let begins = (index.saturating_sub(1), card.generation);
                if card.generation != before && self.succeeded != Some(begins) {
                    let expected = format!("a card of generation {before}");
                    return Err(Fault::new(Check::Succession, expected, card.generation));
                }
                self.own.push(card);
                self.own_signed.push(signed);
                Ok(())
            }
            Event::LogSucceeded(succeeded) => self.succeed(index, &succeeded),
            Event::PartnerChanged(changed) => {
                let card = Card::check(&changed.card.unwrap_or_default())
                    .map_err(|error| Fault::new(Check::PartnerCard, "a signed card", error))?;
                if card.agency.as_str() != changed.agency {
                    let expected = format!("a card of {}", changed.agency);
                    return Err(Fault::new(Check::PartnerCard, expected, card.agency));
                }
                self.partners.insert(card.agency.clone(), card);
                Ok(())
            }
            Event::FeedPublished(published) => {
                self.notes += 1;
                let log = self.log(&published.partner)?;
                log.head(&published.note, Check::FeedNote).map(drop)
            }
            Event::ReceiptReceived(receipt) => {
                self.notes += 1;
                let log = self.log(&receipt.partner)?;
                log.check_statement(&receipt)?;
                log.receipted_head(&receipt.note, Check::Receipt).map(drop)
            }
            Event::RecordRestricted(held) => {
                if let Ok(id) = RecordId::try_from(&held.record_id[..]) {
                    match held.restricted {
                        true => self.held.insert(id),
                        false => self.held.remove(&id),
                    };
                }
                match &held.order {
                    Some(order) => self.order(order, &held.record_id),
                    None => Ok(()),
                }
            }
            Event::ActProposed(proposed) => self.acts.propose(index, proposed),
            Event::ActDecided(decided) => self.acts.decide((index, at), index, &decided),
            // Revisions of the series may be outside the part.
            Event::ErasureCompleted(completed) => {
                self.acts.complete_erasure(completed.proposal).map(drop)
            }
            Event::ConsentReceived(received) => {
                let own = self.files.manifest.agency.to_string();
                self.consent(&received.partner, &own, received.consent)
            }
            Event::ConsentGiven(given) => {
                let own = self.files.manifest.agency.to_string();
                self.consent(&own, &given.holder, given.consent)
            }
            Event::ConsentEnded(ended) => {
                if let Ok(originator) = ended.originator.parse() {
                    self.consents.end(&originator, ended.number);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The logs are succeeded: what is left is all that was signed of the generation before.
    fn succeed(&mut self, index: u64, succeeded: &pb::LogSucceeded) -> Result<(), Fault> {
        let fault = |expected: String, found: &dyn ToString| {
            Fault::new(Check::Succession, expected, found.to_string())
        };
        let next = self.own.last().and_then(|card| card.generation.next());
        let next = next.filter(|next| next.to_wire() == succeeded.generation);
        let next =
            next.ok_or_else(|| fault("the next generation".into(), &succeeded.generation))?;
        let journal = Log::journal(&self.own);
        let journal = journal.ok_or_else(|| fault("a card of the agency".into(), &"none"))?;
        let left = journal.head(&succeeded.last_note, Check::Succession)?;
        if left.size.get() != index {
            return Err(fault(format!("a checkpoint of {index} entries"), &left.size));
        }
        self.succeeded = Some((index, next));
        Ok(())
    }

    /// The feed to a partner under the cards so far.
    fn log(&self, partner: &str) -> Result<Log, Fault> {
        let card = partner.parse().ok().and_then(|name: AgencyName| self.partners.get(&name));
        card.and_then(|card| Log::published(&self.own, card))
            .ok_or_else(|| Fault::new(Check::Partner, format!("a card of {partner}"), "none"))
    }

    fn accepted(&mut self, accepted: Accepted, (index, at): (u64, Timestamp)) -> Result<(), Fault> {
        let Accepted { attested, content, open_slots, .. } = accepted;
        let (header, id) = (attested.header(), attested.id());
        let open = SlotMask::from_bits(open_slots);
        let originator = header.originator.clone();
        let mut row = Row {
            kind: header.kind,
            originator: originator.clone(),
            slots_hash: header.slots_hash,
            series: header.series,
            retain_until: header.marking.retain_until,
            open,
            operation: header.operation.clone(),
            is_restricted: header.marking.use_limits.no_evidence,
            is_kept_out: false,
            entry: index,
        };
        row.is_kept_out = row.keeps_out(&content) && !open.is_empty() && !content.is_overwritten;
        let is_shown = content.is_overwritten || open == content.open || row.is_kept_out;
        if open.bits() != open_slots || !is_shown {
            return Err(mismatch(content.open, open_slots));
        }
        self.see(&row, &content);
        if self.accepted.insert(id, row).is_some() {
            let found = format!("record {id} again");
            return Err(Fault::new(Check::RecordRepeated, "a new record", found));
        }
        let own = self.own.last().filter(|card| card.agency == originator);
        if let Some(card) = own.or_else(|| self.partners.get(&originator)) {
            let key = attested
                .verify(card, &mut self.roots)
                .map_err(|error| Fault::new(Check::RecordSignature, &originator, error))?;
            let since = card.compromised_since(key);
            self.compromised += u64::from(since.is_some_and(|since| since <= at));
            self.signatures += 1;
        }
        Ok(())
    }

    /// Notes what the newest content of a record shows.
    fn see(&mut self, row: &Row, content: &Content) {
        self.is_asked_here |= match &self.files.manifest.asked {
            Selection::Time { .. } => true,
            Selection::Record(asked) => content.id == *asked,
            // What the reference is stays out with the rest of it.
            Selection::Case(_) if row.is_kept_out && row.kind == Kind::Case => true,
            Selection::Case(asked) => case_reference(row.kind, content).as_ref() == Some(asked),
        };
        if content.is_overwritten {
            self.overwritten.insert(content.id);
        }
    }

    fn extended(&mut self, received: &pb::SlotsReceived, content: &Content) -> Result<(), Fault> {
        let gained = SlotMask::from_bits(received.open_slots);
        let is_shown = content.is_overwritten
            || gained.without(content.open).is_empty()
            || self.accepted.get(&content.id).is_some_and(|row| row.keeps_out(content));
        if gained.bits() != received.open_slots || gained.is_empty() || !is_shown {
            return Err(mismatch(content.open, received.open_slots));
        }
        self.changed(&received.record_id, content, |open| open.or(gained))
    }

    /// Checks that a record's slots after the change are those that the originator committed to.
    fn changed(
        &mut self,
        id: &[u8],
        content: &Content,
        open: impl Fn(SlotMask) -> SlotMask,
    ) -> Result<(), Fault> {
        if *id != content.id.as_bytes()[..] {
            let found = format!("that of {}", content.id);
            return Err(Fault::new(Check::Content, "the content of the entry's record", found));
        }
        let Some(row) = self.accepted.get_mut(&content.id) else {
            self.unplaced += 1;
            if content.is_overwritten {
                self.overwritten.insert(content.id);
            }
            return Ok(());
        };
        row.open = open(row.open);
        let now = row.open;
        row.is_kept_out |= row.keeps_out(content) && !now.is_empty() && !content.is_overwritten;
        // Of a time, a change between two that are here may be left out.
        let is_each_here = !matches!(self.files.manifest.asked, Selection::Time { .. });
        if !content.is_overwritten {
            check_slots(row, content)?;
            if is_each_here && now != content.open && !row.is_kept_out {
                return Err(mismatch(content.open, now.bits()));
            }
        }
        if let Some(row) = self.accepted.remove(&content.id) {
            self.see(&row, content);
            self.accepted.insert(content.id, row);
        }
        Ok(())
    }

    /// Counts the records that are not for evidence: whose content is not here, and whose is here although
    /// no consent that the part holds permits it. A part of a record or case holds a consent only where it
    /// lets content in, so that content must be there.
    fn restricted(&self) -> Result<(u64, u64), PartFault> {
        let hour = self.dates.last_key_value().map(|(_, at)| at.hour());
        let permits = |id: &RecordId, row: &Row| {
            let operation = row.operation.as_deref();
            hour.is_some_and(|hour| {
                self.consents.permit_evidence(&row.originator, id, operation, hour)
            })
        };
        let (mut kept_out, mut unpermitted) = (0, 0);
        for (id, row) in self.accepted.iter().filter(|(_, row)| row.is_restricted) {
            match (row.is_kept_out, permits(id, row)) {
                (true, true) => {
                    let expected = format!("the content of record {id}, which a consent permits");
                    let fault = Fault::new(Check::Content, expected, "all of it withheld");
                    return Err(broken(Item::Content(row.entry), fault));
                }
                (true, false) => kept_out += 1,
                (false, false) if !row.open.is_empty() => unpermitted += 1,
                (false, _) => {}
            }
        }
        Ok((kept_out, unpermitted))
    }

    /// A statement about consent that is here must be its originator's.
    fn consent(
        &mut self,
        originator: &str,
        holder: &str,
        consent: Option<pb::Consent>,
    ) -> Result<(), Fault> {
        let fault = |expected: &str, found: &dyn ToString| {
            Fault::new(Check::Consent, expected, found.to_string())
        };
        let consent = Consent::try_from(consent.unwrap_or_default())
            .map_err(|error| fault("a statement about consent", &error))?;
        let name = |name: &str| {
            name.parse::<AgencyName>().map_err(|error| fault("the name of an agency", &error))
        };
        let (originator, holder) = (name(originator)?, name(holder)?);
        let own = self.own.last().filter(|card| card.agency == originator);
        let card = own.or_else(|| self.partners.get(&originator));
        let card = card.ok_or_else(|| fault("a card of whoever consents", &originator.as_str()))?;
        let parties = Parties { originator: &originator, holder: &holder };
        consent
            .verify(parties, card)
            .map_err(|error| fault(&format!("a statement of {originator}"), &error))?;
        if self.genesis.as_ref() == Some(&holder) {
            self.consents.say(&originator, &consent);
        }
        Ok(())
    }

    /// The agency's cards, and its signature on the checkpoint. Gives its number.
    fn check_own(&self, anchor: &Anchor) -> Result<crate::audit::card::Number, PartFault> {
        let agency = &self.files.manifest.agency;
        let fault = |expected: &dyn ToString, found: &dyn ToString| {
            let fault = Fault::new(Check::OwnCard, expected.to_string(), found.to_string());
            PartFault::from(Failure { place: Place::History, entry: None, fault })
        };
        if self.genesis.as_ref() != Some(agency) {
            return Err(fault(&format!("the genesis of {agency}"), &"none"));
        }
        History::check(agency, &self.own_signed)
            .map_err(|found| fault(&"sound cards of the agency", &found))?;
        let newest = self.own.last().ok_or_else(|| fault(&"a card of the agency", &"none"))?;
        self.own.iter().rev().try_for_each(|card| anchor.check(card)).map_err(|fault| Failure {
            place: Place::History,
            entry: None,
            fault,
        })?;
        Log::journal(&self.own)
            .ok_or_else(|| fault(&"a name that a note can carry", &"another"))?
            .head(&self.note, Check::CheckpointSignature)
            .map_err(|fault| broken(Item::Checkpoint, fault))?;
        Ok(newest.number())
    }

    /// Checks that everything asked for is here: for a time, every entry.
    fn check_asked(&self) -> Result<(), PartFault> {
        let Selection::Time { from, to } = &self.files.manifest.asked else {
            if self.is_asked_here {
                return Ok(());
            }
            let expected = format!("the acceptance of {}", self.files.manifest.asked);
            return Err(broken(MANIFEST, Fault::new(Check::ExportFile, expected, "none")));
        };
        let is_before = |at: &Timestamp| from.is_some_and(|from| *at < from);
        let is_after = |at: &Timestamp| to.is_some_and(|to| to <= *at);
        let before = self.dates.iter().rev().find(|(_, at)| is_before(at));
        let after = self.dates.iter().find(|(_, at)| is_after(at));
        let first = before.map_or(0, |(index, _)| index + 1);
        let end = after.map_or(self.head.size.get(), |(index, _)| *index);
        match (first..end).find(|index| !self.dates.contains_key(index)) {
            None => Ok(()),
            Some(missing) => {
                let fault = Fault::new(Check::ExportFile, "every entry of that time", "none");
                Err(broken(Item::Entry(missing), fault))
            }
        }
    }
}

fn mismatch(here: SlotMask, said: u32) -> Fault {
    Fault::new(Check::OpenSlots, format!("{:#010x}", here.bits()), format!("{said:#010x}"))
}

fn check_slots(row: &Row, content: &Content) -> Result<(), Fault> {
    let slots = &content.slots;
    let is_whole = slots.len() == row.kind.slots().len();
    if !is_whole || slots_hash(row.kind, slots) != row.slots_hash {
        let found = format!("others, of record {}", content.id);
        return Err(Fault::new(Check::Content, "the slots that the originator signed", found));
    }
    check_contents(row.kind, slots)
        .map_err(|error| Fault::new(Check::RecordForm, "slots by the rules", error))
}

/// Checks that the entry in a proof stands under this checkpoint.
fn prove(proof: &TlogProof, note: &Bytes, head: TreeHead) -> Result<(), Fault> {
    let fault = |expected, found: &dyn ToString| {
        Fault::new(Check::ProofInclusion, expected, found.to_string())
    };
    if proof.note().to_string().as_bytes() != &note[..] {
        return Err(fault("the one checkpoint that the others have", &"another"));
    }
    let leaf = leaf_hash(proof.extra());
    verify_inclusion(&leaf, proof.index(), head.size, proof.path(), &head.root)
        .map_err(|error| fault("an entry under the checkpoint", &error))
}
