//! What one job adds to the journal, before it is durable.
//!
//! A job decides before it stages: what it has staged will be written. It sees everything that
//! jobs before it staged, durable or not.

use super::JournalError;
use super::entry;
use super::erasure_index;
use super::held;
use super::index::{self, Disclosure, Marks, RecordPlace, SeriesHead};
use super::prepared::Prepared;
use super::progress::Progress;
use super::provenance;
use super::refusals;
use super::series::{self, Joined, Member};
use super::staged::{Replaced, StagedMap};
use super::state::{FeedNumber, PartnerNumber, State};
use super::touched::Touched;
use super::view::View;
use super::waiting;
use crate::exchange::{FeedAction, Given};
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp, TreeSize};
use crate::merkle::{Checkpoint, Frontier, NoteSigner, SignedCheckpoint, TreeHead, leaf_hash};
use crate::pb::{self, journal_entry::Event};
use crate::policy::{NewRecords, Sorts};
use crate::record::draft::{self, SeriesSecret};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{Batch, Change, Position};
use bytes::Bytes;
use prost::Message as _;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes of received feed entries in one journal entry: its own 65,535 without name, index and time.
const RECEIVED_BYTES_MAX: usize = 60_000;
/// Tag and length of one of them.
const RECEIVED_ENTRY_COST: usize = 4;

/// The agency's name and keys, as far as the writer needs them.
pub struct Signing {
    pub agency: AgencyName,
    pub journal_key: ed25519_dalek::SigningKey,
    pub series_secret: SeriesSecret,
}

impl Signing {
    /// What tells whether a draft says the same again; of this agency's own records only.
    pub fn fingerprint_of(&self, record: &Verified) -> Option<[u8; 32]> {
        let own = record.header().originator == self.agency;
        own.then(|| draft::fingerprint_of(record, &self.series_secret)).flatten()
    }

    /// Signs a head of one of this agency's logs. The key's name is the log's origin, as
    /// tlog-checkpoint wants it.
    pub fn sign(&self, origin: &str, head: TreeHead) -> Result<Bytes, JournalError> {
        let broken = |reason: String| JournalError::Entry { index: head.size.get(), reason };
        let name = origin.parse().map_err(|e: crate::merkle::KeyError| broken(e.to_string()))?;
        let origin =
            origin.parse().map_err(|e: crate::merkle::CheckpointError| broken(e.to_string()))?;
        let checkpoint =
            Checkpoint::new(origin, head).map_err(|error| broken(error.to_string()))?;
        let signer = NoteSigner::new(name, self.journal_key.clone());
        Ok(SignedCheckpoint::sign(checkpoint, &signer).to_bytes().into())
    }
}

/// A leaf that waits for the position of its frame.
#[derive(Debug)]
pub(super) struct StagedLeaf {
    pub(super) hash: crate::ident::TreeHash,
    pub(super) frame: usize,
}

/// A record that waits for the position of its content.
#[derive(Debug, Clone)]
pub(super) struct StagedRecord {
    pub(super) record: Arc<Verified>,
    pub(super) journal_index: u64,
    pub(super) given: Option<Given<PartnerNumber>>,
    pub(super) content_frame: usize,
    pub(super) marks: Marks,
}

impl StagedRecord {
    /// Its place once its content has this position.
    pub(super) fn place(&self, content: Position) -> RecordPlace {
        RecordPlace::new(self.journal_index, content, self.given, self.marks)
    }
}

/// Content that another frame has taken the place of.
#[derive(Debug, Clone, Copy)]
pub(super) enum OldFrame {
    At(Position),
    /// A frame of this group, whose position is not known yet.
    Staged(usize),
}

impl OldFrame {
    fn position(self, positions: &[Position]) -> Position {
        match self {
            Self::At(position) => position,
            Self::Staged(frame) => positions[frame],
        }
    }
}

/// A record as far as the index knows it, staged or not.
pub(super) struct Located {
    pub(super) place: RecordPlace,
    pub(super) content: OldFrame,
}

/// Everything staged for the next commit.
#[derive(Default)]
pub(super) struct Group {
    pub(super) batch: Batch,
    pub(super) leaves: Vec<StagedLeaf>,
    pub(super) feeds: HashMap<FeedNumber, (Frontier, Vec<StagedLeaf>)>,
    pub(super) records: StagedMap<RecordId, StagedRecord>,
    pub(super) series: StagedMap<(SeriesId, AgencyName), SeriesHead>,
    pub(super) disclosures: StagedMap<(FeedNumber, RecordId), Disclosure>,
    pub(super) changes: Vec<Change>,
    /// Records that are not staged and whose marks change.
    pub(super) marked: StagedMap<RecordId, RecordPlace>,
    /// The slots that partners gave of records that are here by another's leave.
    pub(super) provenance: StagedMap<(RecordId, PartnerNumber), SlotMask>,
    /// Entries of feeds that receipts of the group say were not taken.
    pub(super) not_taken: StagedMap<(FeedNumber, u64), ()>,
    /// The slots that entries erased, of records of which the group erased some.
    pub(super) erased: StagedMap<RecordId, SlotMask>,
    /// The slots of series that may not come back, where the group erased some.
    pub(super) barred: StagedMap<(SeriesId, AgencyName), SlotMask>,
    /// Content that an erasure would have to overwrite too.
    pub(super) superseded: Vec<(RecordId, OldFrame)>,
    /// Content to be overwritten once the group is durable.
    pub(super) overwrites: Vec<OldFrame>,
    pub(super) replaced: Replaced,
}

/// What the entries of late were about.
pub(super) struct LatelyTouched {
    pub(super) series: Touched<SeriesId>,
    pub(super) records: Touched<RecordId>,
}

impl LatelyTouched {
    pub(super) fn since(size: u64) -> Self {
        Self { series: Touched::since(size), records: Touched::since(size) }
    }
}

impl Group {
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.leaves.clear();
        self.feeds.clear();
        self.records.clear();
        self.series.clear();
        self.disclosures.clear();
        self.changes.clear();
        self.marked.clear();
        self.provenance.clear();
        self.not_taken.clear();
        self.erased.clear();
        self.barred.clear();
        self.superseded.clear();
        self.overwrites.clear();
        self.replaced = Replaced::default();
    }

    /// Gives up the older content of a record that this group knows of.
    pub(super) fn forget_superseded(&mut self, id: &RecordId) -> Vec<OldFrame> {
        self.note_superseded();
        let of_record = self.superseded.extract_if(.., |(of, _)| of == id);
        of_record.map(|(_, frame)| frame).collect()
    }

    /// Where the content lies that must be overwritten now.
    pub(super) fn to_overwrite(&self, positions: &[Position]) -> Vec<Position> {
        self.overwrites.iter().map(|frame| frame.position(positions)).collect()
    }
}

/// The writer's side of a job.
pub struct Transaction<'a> {
    pub(super) signing: &'a Signing,
    pub(super) view: &'a View,
    pub(super) state: &'a mut State,
    pub(super) frontier: &'a mut Frontier,
    pub(super) group: &'a mut Group,
    pub(super) touched: &'a mut LatelyTouched,
    pub(super) now: Timestamp,
}

impl Transaction<'_> {
    /// The time of every entry of this job; never before the entry before.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// What the journal adds up to, with everything staged.
    pub const fn state(&self) -> &State {
        self.state
    }

    pub const fn signing(&self) -> &Signing {
        self.signing
    }

    /// Where a record is, staged ones included.
    pub fn holds(&self, id: &RecordId) -> Result<bool, JournalError> {
        Ok(self.group.records.contains_key(id) || self.view.place(id)?.is_some())
    }

    /// A record as it is in use so far: without the slots that were taken back, here or before.
    pub fn record(&self, id: &RecordId) -> Result<Option<Arc<Verified>>, JournalError> {
        if let Some(staged) = self.group.records.get(id) {
            return Ok(Some(Arc::clone(&staged.record)));
        }
        match self.group.marked.get(id) {
            // The index does not know yet what a retraction of this group took back.
            Some(place) => self.view.record_at(*place).map(|record| Some(Arc::new(record))),
            None => self.view.record(id),
        }
    }

    pub fn series_head(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Option<SeriesHead>, JournalError> {
        match self.group.series.get(&(series, originator.clone())) {
            Some(head) => Ok(Some(*head)),
            None => self.view.series_head(series, originator),
        }
    }

    pub fn disclosure(
        &self,
        feed: FeedNumber,
        id: &RecordId,
    ) -> Result<Option<Disclosure>, JournalError> {
        match self.group.disclosures.get(&(feed, *id)) {
            Some(disclosure) => Ok(Some(*disclosure)),
            None => self.view.disclosure(feed, id),
        }
    }

    /// Adds an entry; returns its index in the journal.
    pub fn append(&mut self, event: Event) -> Result<u64, JournalError> {
        let index = self.frontier.size().get();
        let entry = pb::JournalEntry { at_ms: self.now.unix_ms() as u64, event: Some(event) };
        let bytes = entry.encode_to_vec();
        if bytes.len() > entry::ENTRY_BYTES_MAX {
            return Err(JournalError::EntryTooLarge { found: bytes.len() });
        }
        if let Some(event) = &entry.event {
            self.state.apply(index, self.now, event)?;
            self.state.remember(index, event, &bytes, &mut self.group.changes);
            waiting::put_entry(self.state, index, event, &mut self.group.changes)?;
            held::put_entry(self.state, index, event, &mut self.group.changes)?;
            provenance::put_entry(self.state, event, &mut self.group.changes)?;
        }
        let hash = leaf_hash(&bytes);
        self.group.leaves.push(StagedLeaf { hash, frame: self.group.batch.len() });
        self.group.batch.entry(&bytes)?;
        self.frontier.push(hash);
        Ok(index)
    }

    /// Where a record is in the index, marks of this group included.
    pub(super) fn placed(&self, id: &RecordId) -> Result<Option<RecordPlace>, JournalError> {
        match self.group.marked.get(id) {
            Some(place) => Ok(Some(*place)),
            None => self.view.place(id),
        }
    }

    pub(super) fn located(&self, id: &RecordId) -> Result<Option<Located>, JournalError> {
        if let Some(staged) = self.group.records.get(id) {
            return Ok(Some(Located {
                place: staged.place(Position::START),
                content: OldFrame::Staged(staged.content_frame),
            }));
        }
        let located = |place: RecordPlace| Located { place, content: OldFrame::At(place.content) };
        Ok(self.placed(id)?.map(located))
    }

    /// What is marked of a record; `None` if it is not here.
    pub fn marks(&self, id: &RecordId) -> Result<Option<Marks>, JournalError> {
        Ok(self.located(id)?.map(|located| located.place.marks()))
    }

    /// By whose leave a record is used; `None` if it was submitted here, or is not here.
    pub fn given(&self, id: &RecordId) -> Result<Option<Given<PartnerNumber>>, JournalError> {
        Ok(self.located(id)?.and_then(|located| located.place.given))
    }

    /// Bytes that the jobs of this group staged so far; a job takes the difference to when it began.
    pub fn staged_bytes(&self) -> usize {
        self.group.batch.bytes()
    }

    pub(super) fn append_content(&mut self, content: &[u8]) -> Result<usize, JournalError> {
        let frame = self.group.batch.len();
        self.group.batch.content(&[content])?;
        Ok(frame)
    }

    /// Accepts a record that is not here yet.
    pub fn accept(
        &mut self,
        prepared: impl Into<Prepared>,
        origin: Origin<'_>,
    ) -> Result<u64, JournalError> {
        let prepared = prepared.into();
        let content_frame = self.append_content(&prepared.content)?;
        let before = self.head_before(&prepared)?;
        let Prepared { record, accepted, terms, fingerprint, .. } = prepared;
        let (accepted, number) = origin.sign_off(accepted);
        let given = number.map(|number| Given::new(number, record.open_slots()));
        let journal_index = self.append(Event::RecordAccepted(accepted))?;
        let fingerprint = fingerprint.or_else(|| self.signing.fingerprint_of(&record));
        let head = SeriesHead::after(before, &record, fingerprint);
        let header = record.header();
        let series = (header.series, header.originator.clone());
        self.group.changes.push(index::put_series(series.0, &series.1, &head));
        self.touched.series.touch(series.0, journal_index);
        self.group.series.insert(series, head);
        self.group
            .changes
            .extend(terms.into_iter().map(|term| index::put_term(term, journal_index)));
        erasure_index::put_retention(header, &record.id(), &mut self.group.changes);
        self.touched.records.touch(record.id(), journal_index);
        let marks = match before {
            Some(head) => self.join(&head, &record, journal_index)?,
            None => Marks::default(),
        };
        self.group.records.insert(
            record.id(),
            StagedRecord { record, journal_index, given, content_frame, marks },
        );
        Ok(journal_index)
    }

    /// Marks the head of a series that gets another record; returns the marks of that one.
    fn join(
        &mut self,
        head: &SeriesHead,
        record: &Verified,
        journal_index: u64,
    ) -> Result<Marks, JournalError> {
        let header = record.header();
        let located = self.located(&head.id)?.ok_or_else(|| {
            JournalError::Index(format!("the head {} of a series is not there", head.id))
        })?;
        let joined = Joined::new(head, header);
        let members = [
            Member::of_head(head, located.place.journal_index),
            Member::of_header(header, record.id(), journal_index),
        ];
        let put = members.map(|member| member.put(header.series, &header.originator));
        self.group.changes.extend(put);
        let marks = located.place.marks();
        if joined.supersedes_head && !marks.is_superseded() {
            self.group.changes.push(series::put_superseded_record(located.place.journal_index));
            let place = located.place.marked(marks.with_superseded());
            self.mark(&head.id, &located, place);
        }
        if !joined.is_superseded {
            return Ok(Marks::default());
        }
        self.group.changes.push(series::put_superseded_record(journal_index));
        Ok(Marks::default().with_superseded())
    }

    fn head_before(&self, prepared: &Prepared) -> Result<Option<SeriesHead>, JournalError> {
        let header = prepared.record.header();
        match prepared.before {
            Some(before) if self.stands(header.series, before.size) => Ok(before.head),
            _ => self.series_head(header.series, &header.originator),
        }
    }

    /// Whether nothing was said about a series since the journal had this size, as far as that is
    /// known. What a caller looked up then still holds.
    pub fn stands(&self, series: SeriesId, size: u64) -> bool {
        self.touched.series.untouched_since(&series, size)
    }

    /// A record as it is known so far, for a caller who looked when the journal had this size.
    pub fn record_since(
        &self,
        id: &RecordId,
        known: Option<Arc<Verified>>,
        size: u64,
    ) -> Result<Option<Arc<Verified>>, JournalError> {
        if self.touched.records.untouched_since(id, size) {
            return Ok(known);
        }
        self.record(id)
    }

    /// Keeps more slots of a record that is here already. `merged` has all slots known now.
    pub fn extend(
        &mut self,
        merged: Arc<Verified>,
        gained: SlotMask,
        (agency, number, feed_index): (&AgencyName, PartnerNumber, u64),
    ) -> Result<(), JournalError> {
        let id = merged.id();
        let Prepared { content: payload, terms, .. } = Prepared::new(Arc::clone(&merged));
        let content_frame = self.append_content(&payload)?;
        let extended_at = self.append(Event::SlotsReceived(pb::SlotsReceived {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            open_slots: gained.bits(),
            partner: agency.to_string(),
            feed_index,
        }))?;
        let Located { place, content } = self
            .located(&id)?
            .ok_or_else(|| JournalError::Index(format!("record {id} is extended and not there")))?;
        let journal_index = place.journal_index;
        self.group
            .changes
            .extend(terms.into_iter().map(|term| index::put_term(term, journal_index)));
        self.touched.records.touch(id, extended_at);
        self.group.superseded.push((id, content));
        let given = place.given.map(|given| given.gained(number, gained));
        let (record, marks) = (merged, place.marks());
        self.group
            .records
            .insert(id, StagedRecord { record, journal_index, given, content_frame, marks });
        Ok(())
    }

    /// Entries in the feed to a partner, staged ones included.
    pub fn feed_size(&self, agency: &AgencyName) -> u64 {
        self.state.partners.get(agency).map_or(0, |partner| partner.published.size)
    }

    /// Adds entries to the feed to a partner and publishes its new head, with how far the feed
    /// came.
    pub fn publish(
        &mut self,
        agency: &AgencyName,
        entries: &[pb::FeedEntry],
        progress: Progress,
        withheld: u64,
    ) -> Result<(), JournalError> {
        let new = self.new_records(agency, entries)?;
        self.publish_counted(agency, entries, None, progress, (withheld, &new))
    }

    /// The records that entries disclose to a partner that was never given anything of them.
    fn new_records(
        &self,
        agency: &AgencyName,
        entries: &[pb::FeedEntry],
    ) -> Result<NewRecords, JournalError> {
        let (mut new, mut seen) = (NewRecords::default(), HashSet::new());
        let Some(partner) = self.state.partners.get(agency) else { return Ok(new) };
        let discloses = |entry: &&pb::FeedEntry| entry.action() == pb::FeedAction::Disclose;
        for entry in entries.iter().filter(discloses) {
            let id = entry::record_id(&entry.record_id)?;
            let is_given = !seen.insert(id)
                || self.disclosure(partner.feed, &id)?.is_some()
                || self.view.disclosed_before(partner.number, &id)?.is_some();
            if let Some(record) = self.record(&id)?.filter(|_| !is_given) {
                let header = record.header();
                let sorts = Sorts::of(header.kind, header.is_personal_data());
                new.add(self.state.originator(&header.originator), sorts);
            }
        }
        Ok(new)
    }

    /// The same for a caller who counted the records that are disclosed for the first time. `before` is what was
    /// disclosed of each record, if the caller knows it for sure.
    pub fn publish_counted(
        &mut self,
        agency: &AgencyName,
        entries: &[pb::FeedEntry],
        before: Option<&[Option<Disclosure>]>,
        progress: Progress,
        (withheld, new): (u64, &NewRecords),
    ) -> Result<(), JournalError> {
        let Some(partner) = self.state.partners.get(agency) else { return Ok(()) };
        let (number, published) = (partner.feed, partner.published.clone());
        self.group.note_feed(number);
        let sorts = partner.usual.sorts.and(new.sorts);
        let originators = new.counts.iter().map(|(originator, count)| pb::OriginatorTotal {
            originator: originator.get().into(),
            records: partner.usual.in_feed(*originator) + count,
        });
        let originators = originators.collect();
        let mut size = published.size;
        let mut disclosed = published.records_disclosed;
        let mut frontier = match self.group.feeds.get(&number) {
            Some((frontier, _)) => frontier.clone(),
            None => self.view.feed(number)?.frontier(),
        };
        for (place, entry) in entries.iter().enumerate() {
            let bytes = entry.encode_to_vec();
            let hash = leaf_hash(&bytes);
            let leaf = StagedLeaf { hash, frame: self.group.batch.len() };
            self.group.batch.feed(number.get(), &bytes)?;
            frontier.push(hash);
            self.stage_feed_leaf(number, leaf);
            let id = entry::record_id(&entry.record_id)?;
            let before = match before.and_then(|before| before.get(place)) {
                Some(before) => *before,
                None => self.disclosure(number, &id)?,
            };
            // What we erased at the partner's word, and what is said of consent, discloses nothing.
            if FeedAction::is_about_disclosure(entry.action()) {
                let disclosure = Disclosure::after(before, size, entry);
                let shown_before = index::put_shown_before(number, &id, before, entry.action());
                self.group.changes.extend(shown_before);
                self.group.changes.push(index::put_disclosure(number, &id, disclosure));
                self.group.changes.extend(refusals::forget(number, &id, before, disclosure));
                self.group.disclosures.insert((number, id), disclosure);
            }
            self.group.changes.extend(index::put_feed_entry(number, &id, size, entry));
            size += 1;
            disclosed += u64::from(begins(entry));
        }
        let head = frontier.head();
        if let Some(feed) = self.group.feeds.get_mut(&number) {
            feed.0 = frontier;
        }
        let origin = self.state.generation().feed_origin(&self.signing.agency, agency);
        let note = self.signing.sign(&origin, head)?;
        let journal_index = self.append(Event::FeedPublished(pb::FeedPublished {
            partner: agency.to_string(),
            note,
            considered: progress.considered,
            rescan_rules: progress.rescan.rules,
            rescan_next: progress.rescan.next,
            rescan_end: progress.rescan.end,
            policy_version: self.state.policy_version().get(),
            records_disclosed: disclosed,
            fields_withheld: published.fields_withheld + withheld,
            kinds_disclosed: sorts.own.kinds,
            personal_data_disclosed: sorts.own.personal_data,
            kinds_passed_on: sorts.passed_on.kinds,
            personal_data_passed_on: sorts.passed_on.personal_data,
            originators,
        }))?;
        // The first head of a size tells when that was published.
        if size > published.size {
            self.group.changes.push(index::put_head(number, size, journal_index));
        }
        Ok(())
    }

    /// Adds the entries of a partner's feed that are taken in, before everything that they lead to.
    pub fn receive_entries(
        &mut self,
        agency: &AgencyName,
        start: u64,
        entries: &[Bytes],
    ) -> Result<(), JournalError> {
        let (mut start, mut rest) = (start, entries);
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |entry: &&Bytes| {
                bytes += entry.len() + RECEIVED_ENTRY_COST;
                bytes <= RECEIVED_BYTES_MAX
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (chunk, after) = rest.split_at(count);
            self.append(Event::FeedEntriesReceived(pb::FeedEntriesReceived {
                partner: agency.to_string(),
                start,
                entries: chunk.to_vec(),
            }))?;
            (start, rest) = (start + count as u64, after);
        }
        Ok(())
    }

    /// Notes that a batch of a partner's feed was taken in, and the receipt for it.
    pub fn receive(&mut self, received: pb::FeedReceived, size: u64) -> Result<(), JournalError> {
        let agency = received.partner.parse::<AgencyName>().ok();
        let index = self.append(Event::FeedReceived(received))?;
        if let Some(partner) = agency.and_then(|agency| self.state.partners.get(&agency)) {
            self.group.changes.push(index::put_received(partner.source, size, index));
        }
        Ok(())
    }

    fn stage_feed_leaf(&mut self, number: FeedNumber, leaf: StagedLeaf) {
        self.group.feeds.entry(number).or_default().1.push(leaf);
    }

    pub fn size(&self) -> TreeSize {
        self.frontier.size()
    }
}

/// Whether an entry discloses a record that the partner has nothing of.
fn begins(entry: &pb::FeedEntry) -> bool {
    matches!(entry.action(), pb::FeedAction::Disclose | pb::FeedAction::Withdraw)
}

/// Where a record came from.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    Client(&'a str),
    Partner { agency: &'a AgencyName, number: PartnerNumber, feed_index: u64 },
}

impl Origin<'_> {
    /// Writes into an entry where its record came from.
    fn sign_off(self, accepted: pb::RecordAccepted) -> (pb::RecordAccepted, Option<PartnerNumber>) {
        match self {
            Origin::Client(client) => {
                (pb::RecordAccepted { client: client.to_owned(), ..accepted }, None)
            }
            Origin::Partner { agency, number, feed_index } => {
                let partner = agency.to_string();
                (pb::RecordAccepted { partner, feed_index, ..accepted }, Some(number))
            }
        }
    }
}

impl Group {
    /// The changes to the index once the positions of all frames are known.
    pub(super) fn finish(&mut self, positions: &[Position]) -> Vec<Change> {
        // The next group is mostly of the same size.
        let next = Vec::with_capacity(self.changes.len());
        let mut changes = std::mem::replace(&mut self.changes, next);
        changes.reserve(self.records.len() + self.superseded.len());
        for (id, staged) in self.records.iter() {
            let place = staged.place(positions[staged.content_frame]);
            changes.push(index::put_place(id, place));
        }
        for (id, place) in self.marked.iter().filter(|(id, _)| !self.records.contains_key(id)) {
            changes.push(index::put_place(id, *place));
        }
        for (id, frame) in &self.superseded {
            changes.push(erasure_index::put_superseded(id, frame.position(positions)));
        }
        changes
    }
}
