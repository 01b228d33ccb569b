//! Everything that can be read: records, feeds, proofs. All of it was durable first.

use super::entry;
use super::erasure_index::ErasureNote;
use super::ids::{FeedNumber, PartnerNumber};
use super::index::{self, Disclosure, Marks, RecordPlace, SeriesHead};
use super::log::Log;
use super::references::ReferenceFilter;
use super::state::State;
use super::state::keys::cards_key;
use super::{JournalError, unless_damaged};
use crate::ident::{AgencyName, Generation, RecordId, SeriesId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::policy::RecordStatus;
use crate::record::commit::record_id;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::record::stored;
use crate::store::{
    Damage, FrameKind, Index, KeyRange, Order, Position, SegmentReader, StoreError, Table,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Records kept in memory after they were accepted, because live delivery reads them at once:
/// about 2 KiB each.
const RECENT_MAX: usize = 4_096;

/// A record and how it came to be here.
#[derive(Debug, Clone)]
pub struct Kept {
    pub record: Arc<Verified>,
    pub journal_index: u64,
    pub accepted_at: Timestamp,
    pub partner: Option<AgencyName>,
    /// The local client that submitted it; empty for one that a partner gave.
    pub client: String,
    pub marks: Marks,
    /// The reasons for the erasure of its slots, in order.
    pub erasures: Vec<ErasureNote>,
}

impl Kept {
    /// Returns what sight of the record depends on.
    pub fn status(&self) -> RecordStatus<'_> {
        RecordStatus {
            restricted: self.marks.is_restricted(),
            retracted: self.marks.is_retracted(),
            tlp: self.record.header().marking.tlp,
            submitted_by: &self.client,
        }
    }
}

/// The state that readers see: replaced as a whole after each commit.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub state: Arc<State>,
    pub size: u64,
    /// The journal's newest signed checkpoint.
    pub note: Bytes,
}

/// The reading side, shared by all tasks.
pub struct View {
    pub(super) dir: PathBuf,
    pub(super) segments: SegmentReader,
    pub(super) index: Index,
    pub(super) references: ReferenceFilter,
    pub(super) journal: Log,
    pub(super) feeds: RwLock<HashMap<FeedNumber, Arc<Log>>>,
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) recent: Mutex<Recent>,
    /// Held from before content is overwritten until the index has its new place.
    pub(super) erasing: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Recent {
    records: HashMap<RecordId, Arc<Verified>>,
    /// By the entry that accepted it, with the partner it came from.
    accepted: HashMap<u64, (Arc<Verified>, Option<PartnerNumber>)>,
    order: VecDeque<(RecordId, u64)>,
}

impl Recent {
    pub(super) fn insert(
        &mut self,
        record: Arc<Verified>,
        journal_index: u64,
        partner: Option<PartnerNumber>,
    ) {
        let id = record.id();
        self.accepted.insert(journal_index, (Arc::clone(&record), partner));
        if self.records.insert(id, record).is_none() {
            self.order.push_back((id, journal_index));
        }
        while self.order.len() > RECENT_MAX {
            if let Some((oldest, index)) = self.order.pop_front() {
                self.records.remove(&oldest);
                self.accepted.remove(&index);
            }
        }
    }
}

impl Recent {
    /// Forgets a record, so that it is looked up with its marks.
    pub(super) fn remove(&mut self, id: &RecordId, journal_index: u64) {
        self.records.remove(id);
        self.accepted.remove(&journal_index);
    }
}

impl View {
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub const fn journal(&self) -> &Log {
        &self.journal
    }

    pub const fn index(&self) -> &Index {
        &self.index
    }

    pub const fn segments(&self) -> &SegmentReader {
        &self.segments
    }

    /// The feed to a partner; empty if nothing was ever published.
    pub fn feed(&self, number: FeedNumber) -> Result<Arc<Log>, JournalError> {
        if let Some(log) = self.feeds.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            return Ok(Arc::clone(log));
        }
        let mut feeds = self.feeds.write().unwrap_or_else(PoisonError::into_inner);
        let log = match feeds.entry(number) {
            std::collections::hash_map::Entry::Occupied(there) => Arc::clone(there.get()),
            std::collections::hash_map::Entry::Vacant(free) => {
                let path = self.dir.join(format!("feed-{}.leaves", number.get()));
                Arc::clone(free.insert(Arc::new(Log::open(&path)?)))
            }
        };
        Ok(log)
    }

    /// Damaged places, each with the entries of the journal that it concerns: the first and how many.
    pub fn damages(&self) -> Result<Vec<(Damage, u64, u64)>, JournalError> {
        let concerned = |damage: Damage| {
            let start = self.entries_before(damage.start)?;
            let end = Position { offset: damage.end, ..damage.start };
            // Content stands before its entry.
            let entries = self.entries_before(end)?.saturating_sub(start).max(1);
            Ok((damage, start, entries))
        };
        self.segments.damages().into_iter().map(concerned).collect()
    }

    /// Entries of the journal that lie before a position.
    fn entries_before(&self, position: Position) -> Result<u64, JournalError> {
        let (mut low, mut high) = (0, self.journal.size());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.journal.position(middle)? < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    pub fn place(&self, id: &RecordId) -> Result<Option<RecordPlace>, JournalError> {
        self.index
            .read(Table::Records, &index::record_key(id))?
            .map(|value| RecordPlace::decode(&value))
            .transpose()
    }

    pub fn series_head(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Option<SeriesHead>, JournalError> {
        self.index
            .read(Table::Series, &index::series_key(series, originator))?
            .map(|value| SeriesHead::decode(&value))
            .transpose()
    }

    /// The newest revisions of a series id, one for each agency that uses it.
    pub fn series_heads(&self, series: SeriesId) -> Result<Vec<SeriesHead>, JournalError> {
        self.index
            .scan(Table::Series, &KeyRange::prefix(*series.as_bytes()), Order::Ascending)
            .map(|pair| SeriesHead::decode(&pair?.1))
            .collect()
    }

    /// The same with the agency of each.
    pub fn series_by_originator(
        &self,
        series: SeriesId,
    ) -> Result<Vec<(AgencyName, SeriesHead)>, JournalError> {
        let prefix = KeyRange::prefix(*series.as_bytes());
        self.index
            .scan(Table::Series, &prefix, Order::Ascending)
            .map(|pair| {
                let (key, value) = pair?;
                let name = key.get(SeriesId::BYTES..).and_then(|name| str::from_utf8(name).ok());
                let originator = name.and_then(|name| name.parse().ok());
                let damaged = || JournalError::Index("a series has no originator".to_owned());
                Ok((originator.ok_or_else(damaged)?, SeriesHead::decode(&value)?))
            })
            .collect()
    }

    pub fn disclosure(
        &self,
        feed: FeedNumber,
        id: &RecordId,
    ) -> Result<Option<Disclosure>, JournalError> {
        self.index
            .read(Table::Tagged, &index::disclosure_key(feed, id))?
            .map(|value| Disclosure::decode(&value))
            .transpose()
    }

    /// The slots of a record that were given in feeds to a partner before the present one; `None` if
    /// it never stood in one. The partner may have them still: what was taken back or ordered erased
    /// there may have been shown again by entries that were lost.
    pub fn disclosed_before(
        &self,
        partner: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<SlotMask>, JournalError> {
        let present = self.snapshot().state.generation();
        if present == Generation::FIRST {
            return Ok(None);
        }
        let mut found = None;
        let earlier =
            std::iter::successors(Some(Generation::FIRST), |generation| generation.next());
        for generation in earlier.take_while(|generation| *generation < present) {
            let feed = FeedNumber::of(partner, generation);
            if let Some(known) = self.disclosure(feed, id)? {
                let given = known.disclosed.given.or(self.ordered_in(id, |of| of == feed)?);
                found = Some(found.unwrap_or(SlotMask::NONE).or(given));
            }
        }
        Ok(found)
    }

    /// The record that an entry accepted, if that was lately; with the partner it came from.
    pub fn recently_accepted(
        &self,
        journal_index: u64,
    ) -> Option<(Arc<Verified>, Option<PartnerNumber>)> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.accepted.get(&journal_index).cloned()
    }

    /// A record with its fields.
    pub fn record(&self, id: &RecordId) -> Result<Option<Arc<Verified>>, JournalError> {
        if let Some(record) = self.recent(id) {
            return Ok(Some(record));
        }
        let Some(place) = self.place(id)? else { return Ok(None) };
        let (_, event) = self.event(place.journal_index)?;
        self.assemble(place, event).map(|(_, record)| Some(Arc::new(record)))
    }

    /// A record as it is in use, with its marks.
    pub fn record_with_marks(
        &self,
        id: &RecordId,
    ) -> Result<Option<(Arc<Verified>, Marks)>, JournalError> {
        if let Some(record) = self.recent(id) {
            // Of the records of late only those in use are remembered.
            return Ok(Some((record, Marks::default())));
        }
        let found = self.placed_record(id)?;
        Ok(found.map(|(place, record)| (Arc::new(record), place.marks())))
    }

    /// Makes the record of an acceptance, with the place where its content was found.
    fn assemble(
        &self,
        place: RecordPlace,
        event: Event,
    ) -> Result<(RecordPlace, Verified), JournalError> {
        self.assemble_left(place, event)?.ok_or_else(|| JournalError::Entry {
            index: place.journal_index,
            reason: "the content of its record is overwritten".to_owned(),
        })
    }

    /// The same; `None` if the content is overwritten.
    fn assemble_left(
        &self,
        place: RecordPlace,
        event: Event,
    ) -> Result<Option<(RecordPlace, Verified)>, JournalError> {
        let broken = |reason: String| JournalError::Entry { index: place.journal_index, reason };
        let Event::RecordAccepted(accepted) = event else {
            return Err(broken("it accepts no record".to_owned()));
        };
        let (place, content) = self.content(&record_id(&accepted.header), place)?;
        if stored::overwritten(&content).is_some() {
            return Ok(None);
        }
        let (_, slots) = stored::read(&content).map_err(|error| broken(error.to_string()))?;
        let signature = accepted.signature.unwrap_or_default();
        let record = Verified::from_store(accepted.header, signature, slots)
            .map_err(|error| broken(error.to_string()))?;
        Ok(Some(match place.retracted_slots() {
            SlotMask::NONE => (place, record),
            retracted => (place, record.withholding(retracted)),
        }))
    }

    /// Reads the content of a record that had this place, with the place that it has now. An erasure
    /// overwrites content before the index has its new place; a reader in between waits for that.
    pub(super) fn content(
        &self,
        id: &RecordId,
        place: RecordPlace,
    ) -> Result<(RecordPlace, Bytes), JournalError> {
        let content = self.content_at(&place)?;
        if stored::overwritten(&content).is_none() {
            return Ok((place, content));
        }
        let _none_goes_on = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.place(id)?.unwrap_or(place);
        Ok((place, self.content_at(&place)?))
    }

    fn content_at(&self, place: &RecordPlace) -> Result<Bytes, JournalError> {
        let frame = self.segments.read(place.content)?;
        if frame.kind == FrameKind::Content {
            return Ok(frame.payload);
        }
        let reason = format!("no content lies at {}", place.content);
        Err(JournalError::Entry { index: place.journal_index, reason })
    }

    /// A record as it is in use, with its place.
    pub fn placed_record(
        &self,
        id: &RecordId,
    ) -> Result<Option<(RecordPlace, Verified)>, JournalError> {
        let Some(place) = self.place(id)? else { return Ok(None) };
        let (_, event) = self.event(place.journal_index)?;
        self.assemble(place, event).map(Some)
    }

    /// Returns a record as it is in use by this place, whether the index has it or not; `None` if its content
    /// is overwritten.
    pub(super) fn record_at(&self, place: RecordPlace) -> Result<Option<Verified>, JournalError> {
        let (_, event) = self.event(place.journal_index)?;
        Ok(self.assemble_left(place, event)?.map(|(_, record)| record))
    }

    /// Returns a record that was accepted lately and is in use.
    pub(super) fn recent(&self, id: &RecordId) -> Option<Arc<Verified>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.records.get(id).cloned()
    }

    /// A record with how it came to be here.
    pub fn kept(&self, id: &RecordId) -> Result<Option<Kept>, JournalError> {
        let Some(place) = self.place(id)? else { return Ok(None) };
        self.kept_at(place).map(Some)
    }

    fn kept_at(&self, place: RecordPlace) -> Result<Kept, JournalError> {
        let (accepted_at, event) = self.event(place.journal_index)?;
        let client = match &event {
            Event::RecordAccepted(accepted) => accepted.client.clone(),
            _ => String::new(),
        };
        let (place, record) = self.assemble(place, event)?;
        let record = Arc::new(record);
        let snapshot = self.snapshot();
        let partner = place.partner().and_then(|number| {
            snapshot.state.partner_by_number(number).map(|(agency, _)| agency.clone())
        });
        let erasures = match place.marks().is_erased() {
            true => self.erasures_of(&record.id())?.into_iter().map(|(_, note)| note).collect(),
            false => Vec::new(),
        };
        let (journal_index, marks) = (place.journal_index, place.marks());
        Ok(Kept { record, journal_index, accepted_at, partner, client, marks, erasures })
    }

    /// The record that an entry of the journal accepted, if it accepted one.
    pub fn accepted_at(&self, journal_index: u64) -> Result<Option<Kept>, JournalError> {
        let (_, event) = self.event(journal_index)?;
        let Event::RecordAccepted(accepted) = event else { return Ok(None) };
        self.kept(&record_id(&accepted.header))
    }

    /// The exact bytes of an entry of the journal.
    pub fn entry_bytes(&self, index: u64) -> Result<Bytes, JournalError> {
        let frame = self.segments.read(self.journal.position(index)?)?;
        if frame.kind == FrameKind::Entry {
            return Ok(frame.payload);
        }
        Err(JournalError::Index(format!("entry {index} lies elsewhere")))
    }

    pub fn event(&self, index: u64) -> Result<(Timestamp, Event), JournalError> {
        entry::decode(index, &self.entry_bytes(index)?)
    }

    /// The exact bytes of entries of the feed to a partner.
    pub fn feed_entries(
        &self,
        number: FeedNumber,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<Bytes>, JournalError> {
        self.feed(number)?
            .positions(range)?
            .into_iter()
            .map(|(_, position)| {
                let frame = self.segments.read(position)?;
                match frame.feed() {
                    Some((found, bytes)) if found == number.get() => Ok(bytes),
                    _ => Err(JournalError::Index(format!("no feed entry lies at {position}"))),
                }
            })
            .collect()
    }

    /// The largest published head of a feed with a size above `above` and up to `most`, as (size, signed note). A damaged one is
    /// passed over for a smaller one, and is an error if there is none.
    pub fn feed_head(
        &self,
        number: FeedNumber,
        above: u64,
        most: u64,
    ) -> Result<Option<(u64, Bytes)>, JournalError> {
        let range = KeyRange::between(
            index::head_key(number, above + 1),
            index::head_key(number, most.saturating_add(1)),
        );
        let mut damaged = None;
        for pair in self.index.scan(Table::Tagged, &range, Order::Descending) {
            match self.read_head(pair) {
                Err(error) if error.is_damage() => damaged = damaged.or(Some(error)),
                found => return found.map(Some),
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    /// The time at which a head of this size was first published in a feed; `None` if none was, or
    /// where its entry is damaged.
    pub fn feed_head_published_at(
        &self,
        number: FeedNumber,
        size: u64,
    ) -> Result<Option<Timestamp>, JournalError> {
        let key = index::head_key(number, size);
        let Some(value) = self.index.read(Table::Tagged, &key)? else { return Ok(None) };
        let index = value.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        let index = index.ok_or_else(|| index::damaged("a feed head"))?;
        Ok(unless_damaged(self.event(index))?.map(|(at, _)| at))
    }

    /// The entries that took in a partner's feed beyond a size, in order.
    pub fn received_since(
        &self,
        number: FeedNumber,
        size: u64,
    ) -> Result<Vec<pb::FeedReceived>, JournalError> {
        let range = KeyRange::between(
            index::received_key(number, size + 1),
            index::received_key(number, u64::MAX),
        );
        let mut found = Vec::new();
        for pair in self.index.scan(Table::Tagged, &range, Order::Ascending) {
            let (_, value) = pair?;
            let Some(index) = value.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)) else {
                continue;
            };
            if let Event::FeedReceived(received) = self.event(index)?.1 {
                found.push(received);
            }
        }
        Ok(found)
    }

    /// The newest cards of a partner, or of this agency without a number: oldest first.
    pub fn cards(
        &self,
        number: Option<PartnerNumber>,
        most: usize,
    ) -> Result<Vec<pb::SignedCard>, JournalError> {
        let range = KeyRange::prefix(cards_key(number));
        let newest = self.index.scan(Table::Meta, &range, Order::Descending).take(most);
        let mut cards = newest.map(|pair| self.card_in(&pair?.1)).collect::<Result<Vec<_>, _>>()?;
        cards.reverse();
        Ok(cards)
    }

    /// The card that an entry brought; `value` is the entry's index.
    fn card_in(&self, value: &[u8]) -> Result<pb::SignedCard, JournalError> {
        let damaged = || JournalError::Index("the entry of a card has another form".to_owned());
        let index = value.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or_else(damaged)?;
        let card = match self.event(index)?.1 {
            Event::CardIssued(issued) => issued.card,
            Event::PartnerChanged(changed) => changed.card,
            _ => None,
        };
        card.ok_or_else(damaged)
    }

    fn read_head(
        &self,
        pair: Result<(Vec<u8>, Vec<u8>), StoreError>,
    ) -> Result<(u64, Bytes), JournalError> {
        let (key, value) = pair?;
        let damaged = || JournalError::Index("a feed head has another form".to_owned());
        let size = key.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or_else(damaged)?;
        let index = value.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or_else(damaged)?;
        match self.event(index)?.1 {
            Event::FeedPublished(pb::FeedPublished { note, .. }) => Ok((size, note)),
            _ => Err(damaged()),
        }
    }
}
