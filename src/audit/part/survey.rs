//! The first of two passes over a history: its trees, its keys, and which records are asked for.

use super::manifest::Selection;
use crate::audit::card::Card;
use crate::audit::content::Content;
use crate::audit::examine::{Accepted, DecodedEntry, DecodedFrame, entry};
use crate::audit::export::{ExportError, head};
use crate::audit::feed_name::FeedName;
use crate::audit::segment::{Chunk, FrameKind};
use crate::ident::{
    AgencyName, FEEDS_MAX, Generation, LeafIndex, RecordId, SeriesId, Timestamp, TreeHash, TreeSize,
};
use crate::merkle::{Note, TileTree, TlogProof, TreeHead, leaf_hash};
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::Consents;
use crate::record::consent::{Consent, ConsentVerdict};
use crate::record::kind::Kind;
use crate::record::signed::{Slot, references};
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Files of a part: beyond that the whole is easier to handle.
pub const PART_FILES_MAX: usize = 200_000;

/// The reason why a part cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("the journal has no entry about {0}")]
    Nothing(Selection),
    #[error(
        "the part needs more than {PART_FILES_MAX} files; export the whole journal, or a smaller part"
    )]
    TooMuch,
    #[error("the history changed while it was read")]
    Changed,
    #[error("a reference is one line of text, found a line feed in it")]
    Reference,
    #[error("entry {index} cannot be proved: {reason}")]
    Proof { index: u64, reason: String },
}

/// A log whose every entry can be proved.
#[derive(Debug, Default)]
pub(super) struct Log {
    tree: TileTree,
    leaves: Vec<TreeHash>,
}

impl Log {
    fn push(&mut self, entry: &[u8]) {
        let leaf = leaf_hash(entry);
        self.tree.push(leaf);
        self.leaves.push(leaf);
    }

    pub(super) fn size(&self) -> u64 {
        self.tree.size().get()
    }

    fn leads_to(&self, head: Option<TreeHead>) -> Result<(), ExportError> {
        let found = self.tree.head();
        if head == Some(found) {
            return Ok(());
        }
        let signed = head.map_or(TreeSize::new(0), |head| head.size);
        Err(ExportError::Head { signed, found: found.size })
    }

    /// The proof of an entry under the log's newest checkpoint.
    pub(super) fn prove(
        &self,
        index: u64,
        entry: &[u8],
        note: &Bytes,
    ) -> Result<Vec<u8>, PartError> {
        if self.leaves.get(usize::try_from(index).unwrap_or(usize::MAX)) != Some(&leaf_hash(entry))
        {
            return Err(PartError::Changed);
        }
        let fault = |reason: String| PartError::Proof { index, reason };
        let at = LeafIndex::new(index);
        let path = self.tree.inclusion(&self.leaves, at, self.tree.size());
        let path = path.map_err(|error| fault(error.to_string()))?;
        let note = Note::parse(note).map_err(|error| fault(error.to_string()))?;
        let proof =
            TlogProof::new(at, path, note).and_then(|proof| proof.with_extra(entry.to_vec()));
        Ok(proof.map_err(|error| fault(error.to_string()))?.to_bytes())
    }
}

/// A feed with its newest head.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) name: FeedName,
    pub(super) log: Log,
    published: Option<Bytes>,
    /// The newest head, with the partner's receipt if it came for that head.
    pub(super) note: Option<Bytes>,
}

/// An entry that a reader needs to know keys and rules.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) index: u64,
    pub(super) bytes: Bytes,
    pub(super) of: KeyOf,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyOf {
    Agency,
    Partner(AgencyName),
    Policy(u64),
}

/// The relations between records.
#[derive(Debug, Default)]
struct Records {
    series: HashMap<SeriesId, Vec<RecordId>>,
    /// The series of records that refer to a series.
    referring: HashMap<SeriesId, Vec<SeriesId>>,
    /// The series that were asked for directly.
    asked: HashSet<SeriesId>,
    /// Records that their originators mark not for evidence.
    restricted: HashMap<RecordId, Restricted>,
    /// Records so far, where a case is asked for: what they refer to may come or stay later.
    known: HashMap<RecordId, (Kind, SeriesId)>,
}

/// The values that decide whether a consent covers a record that is not for evidence.
#[derive(Debug)]
struct Restricted {
    originator: AgencyName,
    operation: Option<String>,
    kind: Kind,
}

impl Records {
    fn accept(&mut self, accepted: &Accepted, selection: &Selection) {
        let (header, id) = (accepted.attested.header(), accepted.attested.id());
        if matches!(selection, Selection::Record(asked) if *asked == id) {
            self.asked.insert(header.series);
        }
        self.series.entry(header.series).or_default().push(id);
        if header.marking.use_limits.no_evidence {
            let (originator, operation) = (header.originator.clone(), header.operation.clone());
            self.restricted.insert(id, Restricted { originator, operation, kind: header.kind });
        }
        if matches!(selection, Selection::Case(_)) {
            self.known.insert(id, (header.kind, header.series));
        }
        self.content(&accepted.content, selection);
    }

    /// Notes what the slots that are here say about cases.
    fn content(&mut self, content: &Content, selection: &Selection) {
        let Selection::Case(wanted) = selection else { return };
        let Some((kind, series)) = self.known.get(&content.id).copied() else { return };
        if case_reference(kind, content).as_ref() == Some(wanted) {
            self.asked.insert(series);
        }
        for referred in references(kind, &content.slots) {
            self.referring.entry(referred).or_default().push(series);
        }
    }

    /// The records that are wanted: all revisions of what was asked for, and of what refers to the
    /// case.
    fn wanted(&self, selection: &Selection) -> HashSet<RecordId> {
        let mut series = self.asked.clone();
        if let Selection::Case(_) = selection {
            let referring = self.asked.iter().filter_map(|case| self.referring.get(case)).flatten();
            series.extend(referring);
        }
        series.iter().filter_map(|series| self.series.get(series)).flatten().copied().collect()
    }
}

/// The reference in a case record, if that field is here.
pub(super) fn case_reference(kind: Kind, content: &Content) -> Option<String> {
    match content.slots.first()? {
        Slot::Open { bytes, .. } if kind == Kind::Case => {
            pb::Case::decode(bytes.clone()).ok().map(|case| case.reference)
        }
        _ => None,
    }
}

/// Acts that took two persons, and the erasures that followed.
#[derive(Debug, Default)]
struct Acts {
    /// The records of each act, by the index of its proposal.
    records: HashMap<u64, HashSet<RecordId>>,
    /// The proposal that each decision or end of an erasure is about, by the index of that entry.
    followed: HashMap<u64, u64>,
    /// Proposals that an entry of the time asked for refers to.
    asked: HashSet<u64>,
}

impl Acts {
    fn note(&mut self, proposal: u64, record: Option<RecordId>, is_asked: bool) {
        self.records.entry(proposal).or_default().extend(record);
        if is_asked {
            self.asked.insert(proposal);
        }
    }

    /// The proposals that a reader needs to check what is taken.
    fn wanted(
        mut self,
        is_taken: impl Fn(&RecordId) -> bool,
        neighbours: &[Option<u64>],
    ) -> HashSet<u64> {
        let beside = neighbours.iter().flatten().filter_map(|index| self.followed.get(index));
        self.asked.extend(beside);
        let about = self.records.iter().filter(|(_, records)| records.iter().any(&is_taken));
        self.asked.extend(about.map(|(proposal, _)| proposal));
        self.asked
    }
}

/// Consents to use as evidence, and the entries that have them.
#[derive(Debug, Default)]
struct Evidence {
    in_force: Consents,
    /// Each with the act that approved it, where this agency gave it; 0 otherwise.
    entries: HashMap<(AgencyName, u64), (u64, u64)>,
    last_at: Option<Timestamp>,
}

impl Evidence {
    /// The entry with the consent that lets a record be used as evidence when the journal ends, and
    /// the act behind it.
    fn permit(&self, id: &RecordId, record: &Restricted) -> Option<(u64, u64)> {
        let Restricted { originator, operation, .. } = record;
        let hour = self.last_at?.hour();
        let number = self.in_force.evidence_number(originator, id, operation.as_deref(), hour)?;
        self.entries.get(&(originator.clone(), number)).copied()
    }
}

/// The first pass under way.
#[derive(Debug)]
pub struct Survey {
    selection: Selection,
    journal: Log,
    note: Option<Bytes>,
    agency: Option<AgencyName>,
    content: Option<Bytes>,
    feeds: BTreeMap<u16, Feed>,
    partners: BTreeMap<AgencyName, u16>,
    generation: Generation,
    keys: Vec<Key>,
    records: Records,
    acts: Acts,
    evidence: Evidence,
    /// Records of the time that is asked for whose content there was overwritten.
    erased: HashSet<RecordId>,
    /// The entries next to the time that is asked for.
    before: Option<u64>,
    after: Option<u64>,
}

/// The plan for the second pass: everything that it takes.
#[derive(Debug)]
pub struct Plan {
    pub(super) selection: Selection,
    pub(super) agency: AgencyName,
    pub(super) journal: Log,
    pub(super) note: Bytes,
    pub(super) feeds: BTreeMap<u16, Feed>,
    pub(super) keys: Vec<Key>,
    pub(super) records: HashSet<RecordId>,
    /// Records whose erasures are wanted even where nothing else about them is.
    pub(super) erased: HashSet<RecordId>,
    /// Acts that are wanted, by the index of their proposal.
    pub(super) acts: HashSet<u64>,
    pub(super) neighbours: [Option<u64>; 2],
    /// Records whose content stays out: no consent lets it be used as evidence.
    pub(super) kept_out: HashMap<RecordId, Kind>,
    /// Entries with the consents that let the others in.
    pub(super) consents: HashSet<u64>,
}

impl Survey {
    pub fn new(selection: Selection) -> Self {
        Self {
            selection,
            journal: Log::default(),
            note: None,
            agency: None,
            content: None,
            feeds: BTreeMap::new(),
            partners: BTreeMap::new(),
            generation: Generation::FIRST,
            keys: Vec::new(),
            records: Records::default(),
            acts: Acts::default(),
            evidence: Evidence::default(),
            erased: HashSet::new(),
            before: None,
            after: None,
        }
    }

    /// Takes the next piece of the segments.
    pub fn take(&mut self, chunk: &Chunk) -> Result<(), PartError> {
        for span in &chunk.spans {
            let payload = chunk.payload(*span);
            match span.kind {
                FrameKind::Content => self.content = Some(payload),
                FrameKind::Entry => self.entry(&payload)?,
                FrameKind::Feed => self.feed_entry(&payload)?,
                FrameKind::Commit => self.note = Some(payload),
            }
        }
        Ok(())
    }

    fn broken(&self, reason: impl ToString) -> PartError {
        ExportError::Entry { index: self.journal.size(), reason: reason.to_string() }.into()
    }

    fn entry(&mut self, bytes: &Bytes) -> Result<(), PartError> {
        let content = self.content.take();
        let found = entry(bytes, leaf_hash(bytes), content).map_err(|fault| self.broken(fault))?;
        if let DecodedFrame::Entry { at, told, .. } = found {
            self.neighbour(at);
            self.evidence.last_at = Some(at);
            match told {
                DecodedEntry::Accepted(accepted) => {
                    self.records.accept(&accepted, &self.selection);
                    self.overwritten(&accepted.content, at);
                }
                DecodedEntry::Extended { content, .. } => self.content(&content, at),
                DecodedEntry::Erased { erased, content } => {
                    self.content(&content, at);
                    if erased.proposal != 0 {
                        let is_asked = self.selection.has(at);
                        self.acts.note(erased.proposal, Some(content.id), is_asked);
                    }
                }
                DecodedEntry::Other(event) => {
                    self.act(&event, at);
                    self.event(*event, bytes)?;
                }
            }
        }
        self.journal.push(bytes);
        Ok(())
    }

    fn content(&mut self, content: &Content, at: Timestamp) {
        self.records.content(content, &self.selection);
        self.overwritten(content, at);
    }

    fn overwritten(&mut self, content: &Content, at: Timestamp) {
        if content.is_overwritten && self.selection.has(at) {
            self.erased.insert(content.id);
        }
    }

    fn act(&mut self, event: &Event, at: Timestamp) {
        let (index, is_asked) = (self.journal.size(), self.selection.has(at));
        match event {
            Event::ActProposed(proposed) => {
                let act = proposed.act.as_ref().and_then(|act| act.act.as_ref());
                let id = match act {
                    Some(Act::Erase(erase)) => RecordId::try_from(&erase.record_id[..]).ok(),
                    Some(
                        Act::ApplyPolicy(_)
                        | Act::ChangeFacts(_)
                        | Act::Release(_)
                        | Act::GrantConsent(_)
                        | Act::AddPartner(_)
                        | Act::ResumePartner(_),
                    )
                    | None => None,
                };
                self.acts.note(index, id, is_asked);
            }
            Event::ActDecided(decided) => {
                self.acts.followed.insert(index, decided.proposal);
                self.acts.note(decided.proposal, None, is_asked);
            }
            Event::ErasureCompleted(completed) => {
                self.acts.followed.insert(index, completed.proposal);
                self.acts.note(completed.proposal, None, is_asked);
            }
            _ => {}
        }
    }

    fn neighbour(&mut self, at: Timestamp) {
        let Selection::Time { from, to } = &self.selection else { return };
        let index = self.journal.size();
        if from.is_some_and(|from| at < from) {
            self.before = Some(index);
        } else if to.is_some_and(|to| to <= at) {
            self.after = self.after.or(Some(index));
        }
    }

    fn key(&mut self, of: KeyOf, bytes: &Bytes) {
        // A copy: what stays must not keep its whole batch in memory.
        let bytes = Bytes::copy_from_slice(bytes);
        self.keys.push(Key { index: self.journal.size(), bytes, of });
    }

    fn event(&mut self, event: Event, bytes: &Bytes) -> Result<(), PartError> {
        match event {
            Event::Genesis(genesis) => {
                self.agency = Some(genesis.agency.parse().map_err(|error| self.broken(error))?);
                self.key(KeyOf::Agency, bytes);
            }
            Event::LogSucceeded(_) => self.key(KeyOf::Agency, bytes),
            Event::CardIssued(issued) => {
                self.key(KeyOf::Agency, bytes);
                let card = Card::check(&issued.card.unwrap_or_default());
                let generation = card.map_err(|error| self.broken(error))?.generation;
                if generation != self.generation {
                    self.generation = generation;
                    self.partners.clone().into_iter().for_each(|(p, n)| self.begin_feed(p, n));
                }
            }
            Event::PolicyApplied(applied) => self.key(KeyOf::Policy(applied.version), bytes),
            Event::PartnerChanged(changed) => {
                let partner: AgencyName =
                    changed.agency.parse().map_err(|error| self.broken(error))?;
                let number = u16::try_from(changed.number).map_err(|error| self.broken(error))?;
                if number > FEEDS_MAX {
                    return Err(self.broken(format!("partner number {number} is too large")));
                }
                self.key(KeyOf::Partner(partner.clone()), bytes);
                // A reader knows the receipt key of the newest card.
                let to_it = self.feeds.values_mut().filter(|feed| feed.name.partner == partner);
                to_it.for_each(|feed| feed.note = feed.published.clone());
                self.partners.insert(partner.clone(), number);
                self.begin_feed(partner, number);
            }
            Event::FeedPublished(published) => {
                if let Some(feed) = self.feed_to(&published.partner)
                    && feed.published.as_deref().and_then(head) != head(&published.note)
                {
                    let note = Bytes::copy_from_slice(&published.note);
                    (feed.published, feed.note) = (Some(note.clone()), Some(note));
                }
            }
            Event::ReceiptReceived(receipt) => {
                if let Some(feed) = self.feed_to(&receipt.partner)
                    && feed.published.as_deref().and_then(head) == head(&receipt.note)
                {
                    feed.note = Some(Bytes::copy_from_slice(&receipt.note));
                }
            }
            Event::ConsentGiven(given)
                if self.agency.as_ref().is_some_and(|own| own.as_str() == given.holder) =>
            {
                self.consent(&given.holder, given.consent, given.proposal)?;
            }
            Event::ConsentReceived(received) => {
                self.consent(&received.partner, received.consent, 0)?;
            }
            Event::ConsentEnded(ended) => {
                let originator = ended.originator.parse().map_err(|error| self.broken(error))?;
                self.evidence.in_force.end(&originator, ended.number);
            }
            _ => {}
        }
        Ok(())
    }

    fn consent(
        &mut self,
        originator: &str,
        consent: Option<pb::Consent>,
        proposal: u64,
    ) -> Result<(), PartError> {
        let originator: AgencyName = originator.parse().map_err(|error| self.broken(error))?;
        let consent = Consent::try_from(consent.unwrap_or_default());
        let consent = consent.map_err(|error| self.broken(error))?;
        self.evidence.in_force.say(&originator, &consent);
        if matches!(consent.verdict, ConsentVerdict::Granted { .. }) {
            let at = (self.journal.size(), proposal);
            self.evidence.entries.insert((originator, consent.number), at);
        }
        Ok(())
    }

    /// The feed to a partner in the generation now, if it is not there yet.
    fn begin_feed(&mut self, partner: AgencyName, number: u16) {
        let name = FeedName { partner, generation: self.generation };
        self.feeds.entry(self.generation.feed_number(number)).or_insert_with(|| Feed {
            name,
            log: Log::default(),
            published: None,
            note: None,
        });
    }

    fn feed_to(&mut self, partner: &str) -> Option<&mut Feed> {
        self.feeds.values_mut().rev().find(|feed| feed.name.partner.as_str() == partner)
    }

    fn feed_entry(&mut self, payload: &Bytes) -> Result<(), PartError> {
        let unknown = || self.broken("a feed entry without a partner");
        let (number, entry) = payload.split_first_chunk::<2>().ok_or_else(unknown)?;
        let number = u16::from_le_bytes(*number);
        if !self.feeds.contains_key(&number) {
            return Err(unknown());
        }
        if let Some(feed) = self.feeds.get_mut(&number) {
            feed.log.push(entry);
        }
        Ok(())
    }

    /// Returns the plan of what to take. An empty result is an error for a case or a record, but
    /// not for a time.
    pub fn finish(self) -> Result<Plan, PartError> {
        if matches!(&self.selection, Selection::Case(reference) if reference.contains('\n')) {
            return Err(PartError::Reference);
        }
        let (Some(note), Some(agency)) = (self.note, self.agency) else {
            return Err(ExportError::Empty.into());
        };
        self.journal.leads_to(head(&note))?;
        for feed in self.feeds.values().filter(|feed| feed.log.size() > 0) {
            feed.log.leads_to(feed.note.as_deref().and_then(head))?;
        }
        let records = self.records.wanted(&self.selection);
        if records.is_empty() && !matches!(self.selection, Selection::Time { .. }) {
            return Err(PartError::Nothing(self.selection));
        }
        let neighbours = [self.before, self.after];
        let is_taken = |id: &RecordId| records.contains(id) || self.erased.contains(id);
        let mut acts = self.acts.wanted(is_taken, &neighbours);
        // A part by time is for whoever audits; one about a case or a record is evidence.
        let is_evidence = !matches!(self.selection, Selection::Time { .. });
        let (mut kept_out, mut consents) = (HashMap::new(), HashSet::new());
        for (id, restricted) in self.records.restricted {
            if !is_evidence || !records.contains(&id) {
                continue;
            }
            match self.evidence.permit(&id, &restricted) {
                None => drop(kept_out.insert(id, restricted.kind)),
                Some((entry, proposal)) => {
                    consents.insert(entry);
                    acts.extend((proposal != 0).then_some(proposal));
                }
            }
        }
        Ok(Plan {
            selection: self.selection,
            agency,
            journal: self.journal,
            note: Bytes::copy_from_slice(&note),
            feeds: self.feeds,
            keys: self.keys,
            records,
            erased: self.erased,
            acts,
            kept_out,
            consents,
            neighbours,
        })
    }
}
