//! The journal from its first entry to its last checkpoint, judged in order.
//!
//! Nothing is believed because the node says so: sums, states and roots are computed here from the
//! entries, and compared. It stops at the first thing that does not hold.

use super::acts::Acts;
use super::card::{Card, Number};
use super::consents::PendingNotices;
use super::cosigned::{Recent, cosigned_head};
use super::disclosures::{Disclosure, Disclosures, LedgerAction, ReceiptState};
use super::examine::{DecodedEntry, DecodedFrame, Examined};
use super::expectations::{Anchor, Expectations};
use super::failure::{Check, Failure, Fault, Place};
use super::holdings::Holdings;
use super::holds::Holds;
use super::key_use::KeyUse;
use super::lines::Log;
use super::partners::Partners;
use super::policy::InForce;
use super::releases::Releases;
use super::remarks::Remark;
use super::report::{Counts, FeedCount, Quorum, Report};
use super::succession::Generations;
use super::times::SignedTimes;
use super::walk::Ending;
use super::witnesses::Witnesses;
use crate::clock::STEP_MS_MAX;
use crate::exchange::SignedTime;
use crate::ident::{AgencyName, Generation, RecordId, Timestamp, TreeHash};
use crate::merkle::{Frontier, TreeHead};
use crate::pb::{self, journal_entry::Event};
use crate::record::signed::VerifiedRoots;
use crate::record::slots::SlotMask;
use bytes::Bytes;

/// Commits before the first card; a node writes its card with its first entry.
const EARLY_COMMITS_MAX: usize = 16;

/// An audit under way.
#[derive(Debug)]
pub struct Audit {
    pub(super) expectations: Expectations,
    pub(super) own: Vec<Card>,
    pub(super) journal: Option<Log>,
    pub(super) generations: Generations,
    /// Commits from before the first card.
    early: Vec<(Bytes, TreeHead)>,
    frontier: Frontier,
    pub(super) checkpoint: TreeHead,
    recent: Recent,
    pub(super) disclosures: Option<Disclosures>,
    first_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    pub(super) agency: Option<AgencyName>,
    pub(super) holdings: Holdings,
    pub(super) roots: VerifiedRoots,
    pub(super) partners: Partners,
    pub(super) policy: InForce,
    pub(super) acts: Acts,
    pub(super) holds: Holds,
    pub(super) releases: Releases,
    pub(super) untold: PendingNotices,
    /// A roster waits for a record key that signs.
    pub(super) rosters_wait: bool,
    pub(super) counts: Counts,
    pub(super) key_use: KeyUse,
    /// Records erased in this batch whose bytes are still there, and those of the batch before.
    pub(super) unfinished: Vec<RecordId>,
    overdue: Vec<RecordId>,
    pub(super) witnesses: Witnesses,
    times: SignedTimes,
    /// The head of the journal at the size of the checkpoint that the auditor holds.
    pub(super) at_known: Option<TreeHead>,
    /// The reason why that checkpoint cannot be compared with this journal.
    pub(super) unusable: Option<String>,
    failure: Option<Failure>,
}

impl Audit {
    pub fn new(expectations: Expectations) -> Self {
        let disclosures = expectations.ledger.clone().map(Disclosures::new);
        Self {
            expectations,
            recent: Recent::default(),
            disclosures,
            own: Vec::new(),
            journal: None,
            generations: Generations::default(),
            early: Vec::new(),
            frontier: Frontier::new(),
            checkpoint: TreeHead::EMPTY,
            first_at: None,
            last_at: None,
            agency: None,
            holdings: Holdings::default(),
            roots: VerifiedRoots::default(),
            partners: Partners::default(),
            policy: InForce::default(),
            acts: Acts::default(),
            holds: Holds::default(),
            releases: Releases::default(),
            untold: PendingNotices::default(),
            rosters_wait: false,
            counts: Counts::default(),
            key_use: KeyUse::default(),
            unfinished: Vec::new(),
            overdue: Vec::new(),
            witnesses: Witnesses::default(),
            times: SignedTimes::default(),
            at_known: None,
            unusable: None,
            failure: None,
        }
    }

    /// Takes the next piece. `false`: it does not hold, and nothing after it is wanted.
    pub fn take(&mut self, examined: Examined) -> bool {
        let Examined { segment: number, frames } = examined;
        frames
            .into_iter()
            .all(|(offset, found)| self.take_one(found, || Place::Segment { number, offset }))
    }

    /// Takes the next thing that was found. `false` as for [`Self::take`].
    pub(super) fn take_one(
        &mut self,
        found: Result<DecodedFrame, Fault>,
        place: impl FnOnce() -> Place,
    ) -> bool {
        match found.and_then(|found| self.found(found)) {
            Ok(()) => true,
            Err(fault) => {
                self.fail(place(), fault);
                false
            }
        }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Names the file of content where an entry of an export and its content do not fit each other.
    pub(super) fn blame_content(&mut self, path: impl FnOnce() -> String) {
        if let Some(failure) = &mut self.failure
            && matches!(failure.fault.check, Check::Content | Check::OpenSlots)
            && let Place::Entry { file, .. } = &mut failure.place
        {
            *file = path();
        }
    }

    /// Notes the first broken thing.
    pub(super) fn fail(&mut self, place: Place, fault: Fault) {
        let entry = Some(self.frontier.size().get());
        self.failure.get_or_insert(Failure { place, entry, fault });
    }

    fn found(&mut self, found: DecodedFrame) -> Result<(), Fault> {
        match found {
            DecodedFrame::Entry { leaf, at, told } => self.entry(leaf, at, told),
            DecodedFrame::Feed { number, leaf, entry } => {
                self.holds.check_due(None)?;
                if self.tell(number, leaf, &entry)? {
                    self.enter(number, &entry);
                    return Ok(());
                }
                self.check_released(number, &entry)?;
                let (own, policy) = (self.agency.as_ref(), &mut self.policy);
                self.partners.disclose(number, leaf, &entry, &self.holdings, (own, policy))?;
                self.check_duty(number, &entry)?;
                self.enter(number, &entry);
                Ok(())
            }
            DecodedFrame::Commit(note) => self.commit(note),
        }
    }

    fn entry(&mut self, leaf: TreeHash, at: Timestamp, told: DecodedEntry) -> Result<(), Fault> {
        if let Some(last) = self.last_at.filter(|last| *last > at) {
            return Err(Fault::new(Check::EntryTime, format!("{last} or later"), at));
        }
        let index = self.frontier.size().get();
        self.first_at.get_or_insert(at);
        self.last_at = Some(at);
        if !matches!(told, DecodedEntry::Erased { .. }) {
            self.holds.check_due(None)?;
        }
        let about_cosignatures = matches!(
            &told,
            DecodedEntry::Other(event)
                if matches!(**event, Event::CosignatureGiven(_) | Event::CosignatureReceived(_))
        );
        if !about_cosignatures {
            self.witnesses.substance(index);
        }
        let is_card =
            matches!(&told, DecodedEntry::Other(event) if matches!(**event, Event::CardIssued(_)));
        self.generations.check_card_is_next(is_card)?;
        match told {
            DecodedEntry::Accepted(accepted) => self.accept(*accepted, at)?,
            DecodedEntry::Extended { received, content } => self.extend(&received, &content)?,
            DecodedEntry::Erased { erased, content } => {
                self.erase(&erased, &content, (index, at))?;
            }
            DecodedEntry::Other(event) => self.event(index, at, *event)?,
        }
        if index > 0 && self.agency.is_none() {
            return Err(Fault::new(Check::Genesis, "the agency's name first", "another entry"));
        }
        self.frontier.push(leaf);
        self.recent.push(leaf, at, &self.frontier);
        if self.comparable().is_some_and(|known| known.head().size == self.frontier.size()) {
            self.at_known = Some(self.frontier.head());
        }
        Ok(())
    }

    fn event(&mut self, index: u64, at: Timestamp, event: Event) -> Result<(), Fault> {
        if index == 0 && !matches!(event, Event::Genesis(_)) {
            return Err(Fault::new(Check::Genesis, "the agency's name first", "another entry"));
        }
        match event {
            Event::Genesis(genesis) => self.begin(index, &genesis),
            Event::CardIssued(issued) => self.card(issued),
            Event::LogSucceeded(succeeded) => self.succeed(&succeeded),
            Event::PartnerChanged(changed) => {
                let bundle = self.policy.bundle();
                let number =
                    self.partners.change(index, changed, &self.agency, &mut self.acts, bundle)?;
                self.policy.forget(number);
                if let Some(card) = self.partners.numbered_card(number) {
                    self.key_use.take(card);
                }
                Ok(())
            }
            Event::PolicyApplied(applied) => {
                self.counts.policies += 1;
                let own = self.agency.as_ref();
                let facts = self.partners.facts_hash();
                self.policy.apply(
                    index,
                    &applied,
                    &self.expectations,
                    own,
                    (&facts, &mut self.acts),
                )
            }
            Event::PolicyCompared(compared) => self.policy.compare(index, compared),
            Event::FeedPublished(published) => {
                self.counts.notes += 1;
                self.check_rosters(at)?;
                self.partners.publish(&published, &self.own, (index, at), &self.policy)
            }
            Event::FeedReceived(received) => {
                self.counts.notes += 1;
                self.partners.receive(&received, &self.own)?;
                self.settle_received(&received)
            }
            Event::FeedEntriesReceived(came) => self.arrive(index, &came),
            Event::ReceiptReceived(receipt) => {
                self.counts.notes += 1;
                if let Some(disclosures) = &mut self.disclosures {
                    disclosures.not_taken(&receipt);
                }
                self.partners.receipt(&receipt, &self.own, (index, at), &mut self.times)
            }
            Event::CosignatureReceived(received) => self.cosigned(&received, (index, at)),
            Event::CosignatureGiven(given) => {
                self.witnesses.give(&given, &self.own, &self.partners)
            }
            Event::ContradictionFound(found) => self.witnesses.contradict(&found, &self.partners),
            Event::WitnessAdded(added) => self.witnesses.add(&added),
            Event::ClockConfirmed(confirmed) => clock_confirmed(&confirmed, at),
            Event::ActProposed(proposed) => self.acts.propose(index, proposed),
            Event::ActDecided(decided) => self.decide((index, at), &decided),
            Event::ErasureCompleted(completed) => self.complete_erasure(&completed),
            Event::RecordRestricted(held) => self.restrict(&held),
            Event::ErasureReported(reported) => self.reported(&reported),
            Event::DisclosuresHeld(held) => self.hold(index, at, &held),
            Event::HeldDecided(decided) => self.decide_held(at, &decided),
            Event::ConsentRequested(asked) => self.ask(index, asked),
            Event::ConsentGiven(given) => self.consent(index, at, given),
            Event::ConsentReceived(received) => self.hear(received),
            Event::ConsentEnded(ended) => self.end_consent(ended, at),
            Event::RecordRetracted(retracted) => self.retract(&retracted),
            Event::RecordReceivedAgain(received) => self.receive_again(&received),
            Event::ReceiptLost(lost) => {
                self.counts.notes += 1;
                self.partners.lose_receipt(&lost, &self.own)
            }
            Event::RefusedOffered(offered) => self.offer_refused(&offered, at),
            Event::ProvenanceReceived(received) => self.add_provenance(&received),
            Event::RecordAccepted(_) | Event::SlotsReceived(_) | Event::SlotsErased(_) => {
                Err(Fault::new(Check::Content, "the record's content before its entry", "none"))
            }
        }
    }

    /// Enters a disclosure that was found sound into the ledger.
    fn enter(&mut self, number: u16, entry: &pb::FeedEntry) {
        let Some(disclosures) = &mut self.disclosures else { return };
        let found = RecordId::try_from(&entry.record_id[..]).ok();
        let row = found.and_then(|id| self.holdings.find(&id)).map(|(_, row)| row);
        let at = i64::try_from(entry.at_ms).ok().and_then(|ms| Timestamp::from_unix_ms(ms).ok());
        if let (Some(row), Some(at), Some((agency, entries))) =
            (row, at, self.partners.numbered(number))
        {
            disclosures.disclose(Disclosure {
                partner: agency.clone(),
                generation: self.own.last().map_or(Generation::FIRST, |card| card.generation),
                feed_index: Some(entries.saturating_sub(1)),
                action: LedgerAction::Feed(entry.action()),
                record: row.id,
                kind: row.kind,
                slots: SlotMask::from_bits(entry.open_slots),
                policy_version: entry.policy_version,
                at,
                receipt: ReceiptState::Missing,
            });
        }
    }

    fn cosigned(
        &mut self,
        received: &pb::CosignatureReceived,
        entry: (u64, Timestamp),
    ) -> Result<(), Fault> {
        let name = &received.witness;
        let agency = name.strip_suffix("/witness").and_then(|name| name.parse().ok());
        let partner = agency.and_then(|agency| self.partners.card(&agency));
        let added = self.witnesses.added();
        let cosigned = cosigned_head(&received.note, name, &self.own, partner, added)?;
        let made = self.recent.check(cosigned.head, self.frontier.size())?;
        self.counts.cosignatures += 1;
        let time = SignedTime { signed: cosigned.at, made, last: None };
        self.times.take(name, time, entry)?;
        match made {
            Some(_) => self.witnesses.received(name, &cosigned, entry.1),
            None => {
                self.counts.old_cosignatures += 1;
                self.witnesses.received_late(name, &cosigned, entry.1);
            }
        }
        Ok(())
    }

    fn begin(&mut self, index: u64, genesis: &pb::Genesis) -> Result<(), Fault> {
        if index != 0 {
            return Err(Fault::new(Check::Genesis, "one beginning", format!("another at {index}")));
        }
        if genesis.format != 1 {
            return Err(Fault::new(Check::Genesis, "format 1", genesis.format));
        }
        let agency: AgencyName = genesis
            .agency
            .parse()
            .map_err(|error| Fault::new(Check::Genesis, "an agency's name", error))?;
        if let Anchor::Card(card) = &self.expectations.anchor
            && card.agency != agency
        {
            return Err(Fault::new(Check::Identity, &card.agency, agency));
        }
        self.check_origin(&agency);
        self.agency = Some(agency);
        Ok(())
    }

    fn card(&mut self, issued: pb::CardIssued) -> Result<(), Fault> {
        let card = Card::check(&issued.card.unwrap_or_default())
            .map_err(|fault| Fault::new(Check::OwnCard, "a signed card", fault))?;
        self.check_identity(&card)?;
        if let Some(before) = self.own.last() {
            let again = card.serial == before.serial && card.payload == before.payload;
            if card.serial <= before.serial && !again {
                let expected = format!("a serial above {}", before.serial);
                return Err(Fault::new(Check::OwnCard, expected, card.serial));
            }
        }
        if self.generations.check_card(&card, &self.own)? {
            let receipted = |agency: &AgencyName| self.partners.receipted(agency);
            if let Some(disclosures) = &mut self.disclosures {
                disclosures.succeed(receipted);
            }
            self.partners.succeed(card.generation);
        }
        self.key_use.take(&card);
        self.own.push(card);
        self.counts.cards += 1;
        self.journal = Log::journal(&self.own);
        self.partners.forget_keys();
        self.early_commits()
    }

    /// Every card of the agency must be of the identity that the auditor trusts.
    fn check_identity(&self, card: &Card) -> Result<(), Fault> {
        let fault = |expected: Number| Fault::new(Check::OwnCard, expected, card.number());
        if let Some(agency) = self.agency.as_ref().filter(|agency| **agency != card.agency) {
            return Err(Fault::new(Check::OwnCard, agency, &card.agency));
        }
        self.expectations.anchor.check(card)?;
        // A file of another agency's is a remark: the directory holds what somebody put there.
        let beside = self.expectations.directory_card.iter();
        let mut beside = beside.filter(|file| file.agency == card.agency).chain(self.own.first());
        match beside.find(|other| !other.is_same_identity(card)) {
            Some(other) => Err(fault(other.number())),
            None => Ok(()),
        }
    }

    fn commit(&mut self, note: Bytes) -> Result<(), Fault> {
        self.generations.check_card_is_next(false)?;
        self.partners.check_published()?;
        self.partners.check_settled()?;
        self.holds.check_due(None)?;
        // A node overwrites what a batch erases before it writes the next one.
        if let Some(id) = self.overdue.first() {
            return Err(still_there(id));
        }
        self.overdue = std::mem::take(&mut self.unfinished);
        let computed = self.frontier.head();
        match &self.journal {
            Some(journal) => {
                let signed = journal.head(&note, Check::CheckpointSignature)?;
                self.check_head(signed, computed)?;
            }
            None if self.early.len() < EARLY_COMMITS_MAX => {
                self.early.push((note, computed));
            }
            None => {
                let found = format!("{EARLY_COMMITS_MAX} checkpoints and no card");
                return Err(Fault::new(Check::OwnCard, "the agency's card", found));
            }
        }
        self.counts.batches += 1;
        self.checkpoint = computed;
        if let Some(at) = self.last_at {
            self.witnesses.commit(at);
        }
        Ok(())
    }

    pub(super) fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    fn check_head(&self, signed: TreeHead, computed: TreeHead) -> Result<(), Fault> {
        if signed.size != computed.size || signed.size <= self.checkpoint.size {
            let expected = format!("size {}, above {}", computed.size, self.checkpoint.size);
            return Err(Fault::new(Check::JournalSize, expected, signed.size));
        }
        if signed.root != computed.root {
            return Err(Fault::new(Check::JournalRoot, signed.root, computed.root));
        }
        Ok(())
    }

    /// Checkpoints that were met before the card with their key.
    fn early_commits(&mut self) -> Result<(), Fault> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let mut before = TreeHead::EMPTY;
        for (note, computed) in self.early.drain(..) {
            let signed = journal.head(&note, Check::CheckpointSignature)?;
            if signed.size != computed.size || signed.size <= before.size {
                return Err(Fault::new(Check::JournalSize, computed.size, signed.size));
            }
            if signed.root != computed.root {
                return Err(Fault::new(Check::JournalRoot, signed.root, computed.root));
            }
            before = computed;
        }
        Ok(())
    }

    /// Ends the audit; `ending` is how the segments ended.
    pub fn finish(mut self, ending: Ending) -> Report {
        let mut remarks = Vec::new();
        match ending {
            Ending::Torn { segment, offset, bytes } => {
                remarks.push(Remark::TornTail { segment, offset, bytes });
            }
            Ending::Broken(mut failure) => {
                failure.entry = Some(self.frontier.size().get());
                self.failure.get_or_insert(failure);
            }
            Ending::Whole | Ending::Stopped => {}
        }
        if self.failure.is_none()
            && let Err(fault) = self.check_end()
        {
            self.fail(Place::History, fault);
        }
        self.counts.compromised = self.key_use.compromised();
        self.remark(&mut remarks);
        self.report(remarks)
    }

    fn quorum(&self) -> Option<Quorum> {
        let wanted = self.expectations.quorum?;
        Some(self.witnesses.quorum(wanted, self.last_at?, &self.own))
    }

    fn check_end(&mut self) -> Result<(), Fault> {
        if let Some((_, head)) = self.early.first() {
            let found = format!("a checkpoint of size {} and no card", head.size);
            return Err(Fault::new(Check::OwnCard, "the agency's card", found));
        }
        if self.checkpoint.size == TreeHead::EMPTY.size {
            return Err(Fault::new(Check::Genesis, "a journal with a checkpoint", "none"));
        }
        self.check_erasures()?;
        self.partners.check_accounted()?;
        self.partners.check_settled()?;
        self.times.check()?;
        if let (Some(wanted), Some(end)) = (self.expectations.quorum, self.last_at) {
            self.witnesses.check_quorum(wanted, end, &self.own)?;
        }
        self.check_known()
    }

    fn remark(&self, remarks: &mut Vec<Remark>) {
        if matches!(self.expectations.anchor, Anchor::Directory) {
            remarks.push(Remark::TrustsDirectory);
        }
        match (&self.expectations.directory_card, self.own.last()) {
            (None, _) => remarks.push(Remark::NoCardFile),
            (Some(file), Some(last)) if file.agency != last.agency => {
                let why = format!("it is of {}", file.agency);
                remarks.push(Remark::CardFileUnusable { why });
            }
            (Some(file), Some(last)) if file.payload != last.payload => {
                remarks.push(Remark::CardFileDiffers { file: file.serial, journal: last.serial });
            }
            _ => {}
        }
        if self.counts.unknown_originator > 0 {
            remarks.push(Remark::UnknownOriginators { records: self.counts.unknown_originator });
        }
        if self.counts.unknown_orders > 0 {
            remarks.push(Remark::UnknownOrders { orders: self.counts.unknown_orders });
        }
        if self.counts.old_cosignatures > 0 {
            remarks.push(Remark::OldCosignatures { count: self.counts.old_cosignatures });
        }
        if self.counts.compromised > 0 {
            remarks.push(Remark::CompromisedKeys { records: self.counts.compromised });
        }
        if self.counts.not_carried_out > 0 {
            remarks.push(Remark::ErasurePending { records: self.counts.not_carried_out });
        }
        if self.acts.erasing() > 0 {
            remarks.push(Remark::ErasureIncomplete { acts: self.acts.erasing() });
        }
        if self.policy.absent > 0 {
            remarks.push(Remark::PolicyFilesAbsent { versions: self.policy.absent });
        }
        self.times.remark(remarks);
        self.generations.remark(remarks);
        self.partners.remark(remarks);
        self.witnesses.remark(remarks);
    }

    fn report(mut self, remarks: Vec<Remark>) -> Report {
        let (disclosures, unknown) = match self.disclosures.take() {
            Some(disclosures) => {
                let partners = self.partners.iter().map(|(name, _)| name.clone()).collect();
                disclosures.finish(|agency| self.partners.receipted(agency), partners)
            }
            None => (Vec::new(), None),
        };
        let feeds = self.partners.feeds().map(|(name, feed, received)| FeedCount {
            name,
            size: feed.size(),
            records: feed.records(),
            receipted: feed.receipted(),
            exceptions: feed.exceptions(),
            refused: feed.refused(),
            received: received.map_or(0, |head| head.size.get()),
        });
        let (witnesses, quorum) = (self.witnesses.counts(&self.own), self.quorum());
        Report {
            witnesses,
            quorum,
            agency: self.agency,
            number: self.own.last().map(Card::number),
            checkpoint: self.checkpoint,
            first_at: self.first_at,
            last_at: self.last_at,
            known: self.expectations.checkpoint.map(|known| known.head()),
            unusable: self.unusable,
            records: self.holdings.count(),
            feeds: feeds.collect(),
            counts: Counts { decided: self.policy.decided, ..self.counts },
            remarks,
            failure: self.failure,
            disclosures,
            unknown,
        }
    }
}

/// Checks what an administrator confirmed: the entry comes after the wall clock was read.
fn clock_confirmed(confirmed: &pb::ClockConfirmed, at: Timestamp) -> Result<(), Fault> {
    let latest = at.plus_ms(STEP_MS_MAX).unix_ms().unsigned_abs();
    if confirmed.client.is_empty() || confirmed.wall_ms > latest {
        let expected = format!("a client's word on a wall clock of {at} or before");
        let found = format!("{:?} on {} ms", confirmed.client, confirmed.wall_ms);
        return Err(Fault::new(Check::EntryTime, expected, found));
    }
    Ok(())
}

/// The fault of content that is there after the batch with its erasure.
pub(super) fn still_there(id: &RecordId) -> Fault {
    let expected = format!("the overwritten content of record {id}");
    Fault::new(Check::ErasedContent, expected, "its bytes, in spite of the entry that erases them")
}
