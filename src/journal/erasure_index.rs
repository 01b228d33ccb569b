//! Keys and values of the index around erasures: what was erased, who owes it, whose time ends.
//!
//! All of it is derived from entries, for a live commit and for a rebuild alike. No value of a
//! field ever stands in these keys or values.

use super::JournalError;
use super::index::{self, SeriesHead};
use super::search;
use super::state::FeedNumber;
use super::tag::Tag;
use crate::exchange::Reason;
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp};
use crate::pb;
use crate::record::erasure::ErasureBasis;
use crate::record::header::Header;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{Change, Marker, Position, Table};
use prost::Message as _;

const SUPERSEDED: u8 = Tag::Superseded as u8;
const ERASURE_OF: u8 = Tag::ErasureOf as u8;
const ERASURE_AT: u8 = Tag::ErasureAt as u8;
const DUTY: u8 = Tag::Duty as u8;
const EXCEPTED: u8 = Tag::Excepted as u8;
const RETAIN: u8 = Tag::Retain as u8;
const BARRED: u8 = Tag::Barred as u8;
const WAITING: u8 = Tag::ErasureWaiting as u8;
const ANSWERED: u8 = Tag::ErasureAnswered as u8;
const REPORTED: u8 = Tag::ErasureReported as u8;

/// There while the engine's files may still hold terms of erased fields.
const SCRUB: &[u8] = b"scrub";

/// Returns the marker that asks for the index to be written anew.
pub fn scrub_marker() -> Marker {
    Marker { table: Table::Meta, key: SCRUB.to_vec() }
}

fn change(key: Vec<u8>, value: Vec<u8>) -> Change {
    Change::put(Table::Tagged, key, value)
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn damaged() -> JournalError {
    JournalError::Index("a row of the index about an erasure has another form".to_owned())
}

/// The last eight bytes of a key, as a number.
fn last_u64(key: &[u8]) -> Result<u64, JournalError> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(damaged)
}

/// Older content of a record, which an erasure must overwrite too.
pub fn superseded_prefix(id: &RecordId) -> Vec<u8> {
    tagged(SUPERSEDED, &[id.as_bytes()])
}

pub fn put_superseded(id: &RecordId, old: Position) -> Change {
    change(tagged(SUPERSEDED, &[id.as_bytes(), &old.pack().to_be_bytes()]), Vec::new())
}

pub fn superseded_position(key: &[u8]) -> Result<Position, JournalError> {
    last_u64(key).map(Position::unpack)
}

/// One erasure of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureNote {
    pub slots: SlotMask,
    pub basis: ErasureBasis,
    pub at: Timestamp,
}

impl ErasureNote {
    fn encode(&self) -> Vec<u8> {
        let mut value = self.slots.bits().to_be_bytes().to_vec();
        value.push(self.basis.number());
        value.extend_from_slice(&self.at.unix_ms().to_be_bytes());
        value
    }

    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let decode = || {
            let (slots, rest) = value.split_first_chunk::<4>()?;
            let (basis, rest) = rest.split_first()?;
            let at = i64::from_be_bytes(rest.try_into().ok()?);
            Some(Self {
                slots: SlotMask::from_bits(u32::from_be_bytes(*slots)),
                basis: ErasureBasis::from_number(i32::from(*basis))?,
                at: Timestamp::from_unix_ms(at).ok()?,
            })
        };
        decode().ok_or_else(damaged)
    }
}

impl From<&ErasureNote> for pb::ErasureNote {
    fn from(note: &ErasureNote) -> Self {
        Self {
            slots: note.slots.bits(),
            basis: pb::ErasureBasis::from(note.basis).into(),
            at_ms: note.at.unix_ms().unsigned_abs(),
        }
    }
}

pub fn erasures_of_prefix(id: &RecordId) -> Vec<u8> {
    tagged(ERASURE_OF, &[id.as_bytes()])
}

/// The entry of an erasure, from a key of either sort.
pub fn erasure_entry(key: &[u8]) -> Result<u64, JournalError> {
    last_u64(key)
}

/// Erasures by their entries.
pub fn erasure_at_key(entry: u64) -> Vec<u8> {
    tagged(ERASURE_AT, &[&entry.to_be_bytes()])
}

pub fn put_duty(id: &RecordId, feed: FeedNumber, feed_index: u64, slots: SlotMask) -> Change {
    change(of_feed(DUTY, id, feed, feed_index), slots.bits().to_be_bytes().to_vec())
}

/// Returns the index change of an entry of our feed to a partner, if it is about an erasure.
pub fn put_feed_entry(
    id: &RecordId,
    feed: FeedNumber,
    feed_index: u64,
    entry: &pb::FeedEntry,
) -> Option<Change> {
    let slots = SlotMask::from_bits(entry.open_slots);
    match entry.action() {
        pb::FeedAction::Erase => Some(put_duty(id, feed, feed_index, slots)),
        pb::FeedAction::Erased => Some(put_answer(id, feed, feed_index, slots)),
        _ => None,
    }
}

pub fn duties_prefix(id: &RecordId) -> Vec<u8> {
    tagged(DUTY, &[id.as_bytes()])
}

/// A duty in the feed to a partner: the feed, the index there, the slots.
pub fn duty(key: &[u8], value: &[u8]) -> Result<(FeedNumber, u64, SlotMask), JournalError> {
    let (feed, feed_index) = in_feed(key)?;
    Ok((feed, feed_index, slots_of(value)?))
}

pub fn excepted_key(feed: FeedNumber, feed_index: u64) -> Vec<u8> {
    tagged(EXCEPTED, &[&feed.get().to_be_bytes(), &feed_index.to_be_bytes()])
}

/// The index change of a duty in our feed that a partner did not carry out.
pub fn put_excepted(feed: FeedNumber, feed_index: u64, reason: Reason) -> Change {
    let reason = i32::from(pb::ExceptionReason::from(reason));
    change(excepted_key(feed, feed_index), reason.to_be_bytes().to_vec())
}

pub fn excepted(value: &[u8]) -> Result<pb::ExceptionReason, JournalError> {
    let number = value.try_into().map(i32::from_be_bytes).map_err(|_| damaged())?;
    pb::ExceptionReason::try_from(number).map_err(|_| damaged())
}

/// A partner's duty to erase that a hold keeps waiting, or kept until it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The partner's feed to us.
    pub source: FeedNumber,
    pub feed_index: u64,
    /// The slots of the order that the partner's feed names: those that it gave.
    pub named: SlotMask,
    pub order: pb::ErasureOrder,
}

impl Waiting {
    pub fn put(&self, id: &RecordId) -> Change {
        let key = of_feed(WAITING, id, self.source, self.feed_index);
        change(key, [&self.named.bits().to_be_bytes()[..], &self.order.encode_to_vec()].concat())
    }

    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, JournalError> {
        let (source, feed_index) = in_feed(key)?;
        let (named, order) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
        let order = pb::ErasureOrder::decode(order).map_err(|_| damaged())?;
        let named = SlotMask::from_bits(u32::from_be_bytes(*named));
        Ok(Self { source, feed_index, named, order })
    }

    pub fn slots(&self) -> SlotMask {
        SlotMask::from_bits(self.order.slots)
    }
}

/// Duties that wait for the end of the hold on a record.
pub fn waiting_prefix(id: &RecordId) -> Vec<u8> {
    tagged(WAITING, &[id.as_bytes()])
}

/// Returns the index change of our notice to a partner of erasures that had waited.
pub fn put_answer(id: &RecordId, feed: FeedNumber, feed_index: u64, slots: SlotMask) -> Change {
    change(of_feed(ANSWERED, id, feed, feed_index), slots.bits().to_be_bytes().to_vec())
}

pub fn answers_prefix(id: &RecordId, feed: FeedNumber) -> Vec<u8> {
    tagged(ANSWERED, &[id.as_bytes(), &feed.get().to_be_bytes()])
}

/// Returns the index change of a partner's notice of such erasures.
pub fn put_report(id: &RecordId, source: FeedNumber, feed_index: u64, slots: SlotMask) -> Change {
    change(of_feed(REPORTED, id, source, feed_index), slots.bits().to_be_bytes().to_vec())
}

/// Returns the prefix of the reports in all feeds.
pub fn reports_prefix(id: &RecordId) -> Vec<u8> {
    tagged(REPORTED, &[id.as_bytes()])
}

/// A report: the feed that it stands in, the slots.
pub fn report(key: &[u8], value: &[u8]) -> Result<(FeedNumber, SlotMask), JournalError> {
    Ok((in_feed(key)?.0, slots_of(value)?))
}

pub fn slots_of(value: &[u8]) -> Result<SlotMask, JournalError> {
    let bits = value.try_into().map(u32::from_be_bytes).map_err(|_| damaged())?;
    Ok(SlotMask::from_bits(bits))
}

fn of_feed(tag: u8, id: &RecordId, feed: FeedNumber, feed_index: u64) -> Vec<u8> {
    tagged(tag, &[id.as_bytes(), &feed.get().to_be_bytes(), &feed_index.to_be_bytes()])
}

/// The feed and the index in it at the end of a key.
fn in_feed(key: &[u8]) -> Result<(FeedNumber, u64), JournalError> {
    let (rest, index) = key.split_last_chunk::<8>().ok_or_else(damaged)?;
    let feed = rest.last_chunk::<2>().ok_or_else(damaged)?;
    Ok((FeedNumber::new(u16::from_be_bytes(*feed)), u64::from_be_bytes(*index)))
}

fn retain_key(until: Timestamp, id: &RecordId) -> Vec<u8> {
    tagged(RETAIN, &[&until.unix_ms().unsigned_abs().to_be_bytes(), id.as_bytes()])
}

/// Keys of the records whose time ends before the second bound and not before the first.
pub fn retain_bounds(from: Option<&[u8]>, before: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let start = from.map_or_else(|| vec![RETAIN], |key| [key, &[0]].concat());
    (start, tagged(RETAIN, &[&(before.unix_ms().unsigned_abs() + 1).to_be_bytes()]))
}

pub fn retained_record(key: &[u8]) -> Result<RecordId, JournalError> {
    key.last_chunk::<32>().map(|id| RecordId::from_bytes(*id)).ok_or_else(damaged)
}

/// Remembers when a record's time ends.
pub fn put_retention(header: &Header, id: &RecordId, changes: &mut Vec<Change>) {
    if let Some(until) = header.marking.retain_until {
        changes.push(change(retain_key(until, id), Vec::new()));
    }
}

pub fn barred_key(series: SeriesId, originator: &AgencyName) -> Vec<u8> {
    tagged(BARRED, &[series.as_bytes(), originator.as_str().as_bytes()])
}

/// An erasure with what it changes in the index.
pub struct Erasure<'a> {
    pub id: &'a RecordId,
    pub header: &'a Header,
    /// The entry that accepted the record.
    pub accepted: u64,
    /// The entry of the erasure.
    pub entry: u64,
    pub note: ErasureNote,
    /// The slots of its series that were barred from coming back.
    pub barred: SlotMask,
    /// Before and after; `None` where nothing is left to tell from.
    pub before: Option<&'a Verified>,
    pub after: Option<&'a Verified>,
    /// The older content, which is overwritten.
    pub superseded: &'a [Position],
}

impl Erasure<'_> {
    /// Puts the changes. The head of the series goes out as it is from now on.
    pub fn put(&self, head: Option<SeriesHead>, changes: &mut Vec<Change>) -> Option<SeriesHead> {
        let Header { series, originator, marking, .. } = self.header;
        let entry = self.entry.to_be_bytes();
        let of = tagged(ERASURE_OF, &[self.id.as_bytes(), &entry]);
        changes.push(change(of, self.note.encode()));
        changes.push(change(erasure_at_key(self.entry), self.id.as_bytes().to_vec()));
        for old in self.superseded {
            let key = tagged(SUPERSEDED, &[self.id.as_bytes(), &old.pack().to_be_bytes()]);
            changes.push(Change::delete(Table::Tagged, key));
        }
        self.put_terms(changes);
        let is_whole =
            self.after.is_some_and(|after| after.erased_slots() == SlotMask::all(after.kind()));
        if let Some(until) = marking.retain_until.filter(|_| is_whole) {
            changes.push(Change::delete(Table::Tagged, retain_key(until, self.id)));
        }
        changes.push(Change::put(Table::Meta, SCRUB, entry));
        let mut head = head?;
        if head.id == *self.id {
            head.fingerprint = None;
        }
        if self.bars() {
            head.barred = true;
            let barred = self.barred_after().bits().to_be_bytes().to_vec();
            changes.push(change(barred_key(*series, originator), barred));
        }
        changes.push(index::put_series(*series, originator, &head));
        Some(head)
    }

    /// Past its time a value may be collected anew; for any other ground it may not.
    fn bars(&self) -> bool {
        self.note.basis != ErasureBasis::Retention
    }

    /// Returns the slots of the series that may not come back from now on.
    pub fn barred_after(&self) -> SlotMask {
        if self.bars() { self.barred.or(self.note.slots) } else { self.barred }
    }

    /// Writes the changes of search terms. If the content before is known, the index has its terms, and
    /// those that are left stay as they are. Empty slots have none.
    fn put_terms(&self, changes: &mut Vec<Change>) {
        match (self.before, self.after) {
            (Some(before), Some(after)) => {
                if !before.is_empty(self.note.slots) {
                    index::put_terms_after(before, after, self.accepted, changes);
                }
            }
            (Some(before), None) => search::terms_of(before, |term| {
                changes.push(Change::delete(Table::Search, search::key(term, self.accepted)));
            }),
            (None, Some(after)) => index::put_terms(after, self.accepted, changes),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let id = RecordId::from_bytes([7; 32]);
        let note = ErasureNote {
            slots: SlotMask::from_bits(0b1010),
            basis: ErasureBasis::CourtOrder,
            at: Timestamp::from_unix_ms(1_772_323_200_000).unwrap(),
        };
        assert_eq!(ErasureNote::decode(&note.encode()).unwrap(), note);
        assert!(ErasureNote::decode(&note.encode()[1..]).is_err());
        let put = put_duty(&id, FeedNumber::new(513), 9, note.slots);
        let found = duty(&put.key, put.value.as_deref().unwrap()).unwrap();
        assert_eq!(found, (FeedNumber::new(513), 9, note.slots));
        let order = pb::ErasureOrder { slots: 0b100, at_ms: 7, ..pb::ErasureOrder::default() };
        let named = SlotMask::from_bits(0b100);
        let waiting = Waiting { source: FeedNumber::new(513), feed_index: 4, named, order };
        let put = waiting.put(&id);
        assert!(put.key.starts_with(&waiting_prefix(&id)));
        assert_eq!(Waiting::decode(&put.key, put.value.as_deref().unwrap()).unwrap(), waiting);
        let put = put_answer(&id, FeedNumber::new(513), 9, note.slots);
        assert!(put.key.starts_with(&answers_prefix(&id, FeedNumber::new(513))));
        assert_eq!(slots_of(put.value.as_deref().unwrap()).unwrap(), note.slots);
        let put = put_report(&id, FeedNumber::new(513), 9, note.slots);
        assert!(put.key.starts_with(&reports_prefix(&id)));
        let found = report(&put.key, put.value.as_deref().unwrap()).unwrap();
        assert_eq!(found, (FeedNumber::new(513), note.slots));
        let old = Position { segment: 3, offset: 99 };
        assert_eq!(superseded_position(&put_superseded(&id, old).key).unwrap(), old);
        assert_eq!(retained_record(&retain_key(note.at, &id)).unwrap(), id);
    }

    #[test]
    fn a_time_that_ends_now_is_due_and_a_later_one_is_not() {
        let id = RecordId::from_bytes([7; 32]);
        let at = |ms: i64| Timestamp::from_unix_ms(1_772_323_200_000 + ms).unwrap();
        let (start, end) = retain_bounds(None, at(0));
        let due = |until| (start.clone()..end.clone()).contains(&retain_key(until, &id));
        assert_eq!([at(-5), at(0), at(1)].map(due), [true, true, false]);
        let key = retain_key(at(-5), &id);
        let (start, end) = retain_bounds(Some(&key), at(0));
        assert!(!(start..end).contains(&key));
    }
}
