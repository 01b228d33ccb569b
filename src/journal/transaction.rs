//! The additions of one job to the journal, before they are durable.
//!
//! A job decides before it stages: what it has staged will be written. It sees everything that
//! jobs before it staged, durable or not.

use super::JournalError;
use super::entry;
use super::index::{Disclosure, Marks, SeriesHead};
use super::pending::{ContentFrame, Located, Pending};
use super::prepared::Prepared;
use super::progress::Progress;
use super::projection::{self, Content, Derived, Left, Projection};
pub use super::signing::Signing;
use super::staged::ReplacedFeed;
use super::staged_map::StagedMap;
use super::state::{FeedNumber, PartnerNumber, State};
use super::touched::Touched;
use super::view::View;
use crate::exchange::Provenance;
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp, TreeSize};
use crate::merkle::{Frontier, leaf_hash};
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Categories, NewRecords};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::Batch;
use bytes::Bytes;
use prost::Message as _;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Bytes of received feed entries in one journal entry: its own 65,535 without name, index and time.
const RECEIVED_BYTES_MAX: usize = 60_000;
/// Tag and length of one of them.
const RECEIVED_ENTRY_COST: usize = 4;

/// A leaf that waits for the position of its frame.
#[derive(Debug)]
pub(super) struct StagedLeaf {
    pub(super) hash: crate::ident::TreeHash,
    pub(super) frame: usize,
}

/// Everything staged for the next commit.
#[derive(Default)]
pub(super) struct Group {
    pub(super) batch: Batch,
    pub(super) leaves: Vec<StagedLeaf>,
    pub(super) feeds: HashMap<FeedNumber, (Frontier, Vec<StagedLeaf>)>,
    pub(super) pending: Pending,
    /// The slots that entries erased, of records of which the group erased some.
    pub(super) erased: StagedMap<RecordId, SlotMask>,
    /// The feeds before a job added to them.
    pub(super) replaced: Vec<ReplacedFeed>,
}

/// The series and records of recent entries.
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
        self.pending.clear();
        self.erased.clear();
        self.replaced.clear();
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

    /// Returns the state of the journal, with everything staged.
    pub const fn state(&self) -> &State {
        self.state
    }

    pub const fn signing(&self) -> &Signing {
        self.signing
    }

    /// Returns whether a record is here, staged or not.
    pub fn holds(&self, id: &RecordId) -> Result<bool, JournalError> {
        Ok(self.located(id)?.is_some())
    }

    /// Returns a record as it is in use so far: without the slots that were taken back, here or before.
    pub fn record(&self, id: &RecordId) -> Result<Option<Arc<Verified>>, JournalError> {
        self.group.pending.record(self.view, id)
    }

    pub fn series_head(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Option<SeriesHead>, JournalError> {
        self.group.pending.series_head(self.view, series, originator)
    }

    pub fn disclosure(
        &self,
        feed: FeedNumber,
        id: &RecordId,
    ) -> Result<Option<Disclosure>, JournalError> {
        self.group.pending.disclosure(self.view, feed, id)
    }

    /// Adds an entry; returns its index in the journal.
    pub fn append(&mut self, event: Event) -> Result<u64, JournalError> {
        self.append_with(event, None)
    }

    /// Adds an entry that is about the content frame before it.
    pub(super) fn append_with(
        &mut self,
        event: Event,
        content: Option<Content>,
    ) -> Result<u64, JournalError> {
        let index = self.frontier.size().get();
        let entry = pb::JournalEntry { at_ms: self.now.unix_ms() as u64, event: Some(event) };
        let bytes = entry.encode_to_vec();
        if bytes.len() > entry::ENTRY_BYTES_MAX {
            return Err(JournalError::EntryTooLarge { found: bytes.len() });
        }
        if let Some(event) = &entry.event {
            self.state.apply(index, self.now, event)?;
            let entry = projection::Entry { index, at: self.now, event, bytes: &bytes };
            self.projection().entry(&entry, content)?;
        }
        let hash = leaf_hash(&bytes);
        self.group.leaves.push(StagedLeaf { hash, frame: self.group.batch.len() });
        self.group.batch.entry(&bytes)?;
        self.frontier.push(hash);
        Ok(index)
    }

    fn projection(&mut self) -> Projection<'_> {
        Projection {
            view: self.view,
            signing: self.signing,
            state: self.state,
            pending: &mut self.group.pending,
        }
    }

    pub(super) fn located(&self, id: &RecordId) -> Result<Option<Located>, JournalError> {
        self.group.pending.located(self.view, id)
    }

    /// Returns the marks of a record; `None` if it is not here.
    pub fn marks(&self, id: &RecordId) -> Result<Option<Marks>, JournalError> {
        Ok(self.located(id)?.map(|located| located.place.marks()))
    }

    /// Returns the partner's permission for the use of a record; `None` if it was submitted here,
    /// or is not here.
    pub fn given(&self, id: &RecordId) -> Result<Option<Provenance<PartnerNumber>>, JournalError> {
        Ok(self.located(id)?.and_then(|located| located.place.given))
    }

    /// Bytes that the jobs of this group staged so far; a job takes the difference to when it began.
    pub fn staged_bytes(&self) -> usize {
        self.group.batch.bytes()
    }

    /// Adds a content frame; returns what the entry after it brings.
    pub(super) fn append_content(
        &mut self,
        content: &[u8],
        record: Arc<Verified>,
        derived: Derived,
    ) -> Result<Content, JournalError> {
        let frame = ContentFrame::Staged(self.group.batch.len());
        self.group.batch.content(&[content])?;
        Ok(Content { frame, left: Left::Record(record), derived })
    }

    /// Accepts a record that is not here yet.
    pub fn accept(
        &mut self,
        prepared: impl Into<Prepared>,
        origin: Origin<'_>,
    ) -> Result<u64, JournalError> {
        let prepared = prepared.into();
        let head = self.head_before(&prepared)?;
        let Prepared { record, content, accepted, terms, fingerprint, .. } = prepared;
        let derived =
            Derived { terms: Some(terms), fingerprint, head: Some(head), ..Derived::default() };
        let (series, id) = (record.header().series, record.id());
        let content = self.append_content(&content, record, derived)?;
        let accepted = Event::RecordAccepted(origin.sign_off(accepted));
        let journal_index = self.append_with(accepted, Some(content))?;
        self.touched.series.touch(series, journal_index);
        self.touched.records.touch(id, journal_index);
        Ok(journal_index)
    }

    fn head_before(&self, prepared: &Prepared) -> Result<Option<SeriesHead>, JournalError> {
        let header = prepared.record.header();
        match prepared.before {
            Some(before) if self.stands(header.series, before.size) => Ok(before.head),
            _ => self.series_head(header.series, &header.originator),
        }
    }

    /// Returns true if certainly no entry touched a series since the journal had this size. A caller's
    /// earlier lookup then still holds.
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
        (agency, feed_index): (&AgencyName, u64),
    ) -> Result<(), JournalError> {
        let id = merged.id();
        let Prepared { content, terms, record, .. } = Prepared::new(merged);
        let derived = Derived { terms: Some(terms), ..Derived::default() };
        let content = self.append_content(&content, record, derived)?;
        let received = Event::SlotsReceived(pb::SlotsReceived {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            open_slots: gained.bits(),
            partner: agency.to_string(),
            feed_index,
        });
        let extended_at = self.append_with(received, Some(content))?;
        self.touched.records.touch(id, extended_at);
        Ok(())
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
                let sorts = Categories::of(header.kind, header.is_personal_data());
                new.add(self.state.originator(&header.originator), sorts);
            }
        }
        Ok(new)
    }

    /// Publishes entries for a caller who counted the records that are disclosed for the first time. `before`
    /// holds the earlier disclosure of each record, if the caller has it for certain.
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
        let sorts = partner.baseline.sorts.and(new.sorts);
        let originators = new.counts.iter().map(|(originator, count)| pb::OriginatorTotal {
            originator: originator.get().into(),
            records: partner.baseline.in_feed(*originator) + count,
        });
        let originators = originators.collect();
        let mut disclosed = published.records_disclosed;
        let mut frontier = match self.group.feeds.get(&number) {
            Some((frontier, _)) => frontier.clone(),
            None => self.view.feed(number)?.frontier(),
        };
        for ((place, entry), feed_index) in entries.iter().enumerate().zip(published.size..) {
            let bytes = entry.encode_to_vec();
            let hash = leaf_hash(&bytes);
            let leaf = StagedLeaf { hash, frame: self.group.batch.len() };
            self.group.batch.feed(number.get(), &bytes)?;
            frontier.push(hash);
            self.stage_feed_leaf(number, leaf);
            let before = before.and_then(|before| before.get(place)).copied();
            self.projection().feed_entry(number, feed_index, entry, before)?;
            disclosed += u64::from(begins(entry));
        }
        let head = frontier.head();
        if let Some(feed) = self.group.feeds.get_mut(&number) {
            feed.0 = frontier;
        }
        let origin = self.state.generation().feed_origin(&self.signing.agency, agency);
        let note = self.signing.sign(&origin, head)?;
        self.append(Event::FeedPublished(pb::FeedPublished {
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
        }))
        .map(drop)
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

    fn stage_feed_leaf(&mut self, number: FeedNumber, leaf: StagedLeaf) {
        self.group.feeds.entry(number).or_default().1.push(leaf);
    }

    pub fn size(&self) -> TreeSize {
        self.frontier.size()
    }
}

/// Returns true if an entry discloses a record that the partner has nothing of.
fn begins(entry: &pb::FeedEntry) -> bool {
    matches!(entry.action(), pb::FeedAction::Disclose | pb::FeedAction::Withdraw)
}

/// The source of a record.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    Client(&'a str),
    Partner { agency: &'a AgencyName, feed_index: u64 },
}

impl Origin<'_> {
    /// Writes into an entry where its record came from.
    fn sign_off(self, accepted: pb::RecordAccepted) -> pb::RecordAccepted {
        match self {
            Origin::Client(client) => pb::RecordAccepted { client: client.to_owned(), ..accepted },
            Origin::Partner { agency, feed_index } => {
                pb::RecordAccepted { partner: agency.to_string(), feed_index, ..accepted }
            }
        }
    }
}
