//! Keys and values of the index: where a record is, what a series has come to, what was disclosed.
//!
//! Everything here is derived from entries and content, by [`super::projection`].

use super::JournalError;
use super::search;
use super::state::{FeedNumber, PartnerNumber};
use super::tag::Tag;
use crate::disclosure::Standing;
pub use crate::disclosure::{Disclosure, Marks, SeriesHead};
use crate::exchange::{Disclosed, FeedAction, Provenance};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{Change, Position, Table};

/// Version of the keys and values below; another version on the disk is rebuilt.
pub const INDEX_FORMAT: u32 = 7;

/// The place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    pub journal_index: u64,
    pub content: Position,
    /// The partner's permission for its use; `None` if it was submitted here.
    pub given: Option<Provenance<PartnerNumber>>,
    pub(super) marks: Marks,
}

impl RecordPlace {
    /// The place of a record whose content has no position yet.
    pub(super) fn new(
        journal_index: u64,
        given: Option<Provenance<PartnerNumber>>,
        marks: Marks,
    ) -> Self {
        Self { journal_index, content: Position::START, given, marks }
    }

    /// The partner it came from; `None` if it was submitted here.
    pub fn partner(&self) -> Option<PartnerNumber> {
        self.given.map(|given| given.from)
    }

    pub fn marks(&self) -> Marks {
        self.marks.with_retracted(self.given.is_some_and(|given| given.is_retracted))
    }

    /// Slots that were taken back by whoever gave them: here, and not in use.
    pub fn retracted_slots(&self) -> SlotMask {
        self.given.map_or(SlotMask::NONE, |given| given.retracted)
    }

    /// Returns the part of it that decisions see.
    pub fn standing(&self) -> Standing {
        let (journal_index, partner) = (self.journal_index, self.partner());
        Standing { journal_index, partner, marks: self.marks() }
    }

    #[must_use]
    pub const fn marked(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    fn encode(self) -> Vec<u8> {
        let given_bytes = if self.given.is_some() { 10 } else { 0 };
        let mut out = Vec::with_capacity(17 + given_bytes);
        out.extend_from_slice(&self.journal_index.to_be_bytes());
        out.extend_from_slice(&self.content.pack().to_be_bytes());
        out.push(self.marks().bits());
        if let Some(given) = self.given {
            out.extend_from_slice(&given.from.get().to_be_bytes());
            out.extend_from_slice(&given.slots.bits().to_be_bytes());
            out.extend_from_slice(&given.retracted.bits().to_be_bytes());
        }
        out
    }

    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields(value);
        let (journal_index, content) = (fields.u64()?, fields.u64()?);
        let [marks] = fields.array()?;
        let marks = Marks::from_bits(marks);
        let given = match fields.0 {
            [] => None,
            _ => Some(Provenance {
                from: PartnerNumber::new(fields.u16()?),
                slots: SlotMask::from_bits(fields.u32()?),
                retracted: SlotMask::from_bits(fields.u32()?),
                is_retracted: marks.is_retracted(),
            }),
        };
        Ok(Self { marks, journal_index, content: Position::unpack(content), given })
    }
}

impl SeriesHead {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(38 + self.fingerprint.map_or(0, |bytes| bytes.len()));
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.push(self.kind.number());
        out.push(u8::from(self.conflicting) | u8::from(self.barred) << 1);
        if let Some(fingerprint) = &self.fingerprint {
            out.extend_from_slice(fingerprint);
        }
        out
    }

    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields(value);
        let revision = u32::from_be_bytes(fields.array()?);
        let id = RecordId::from_bytes(fields.array()?);
        let [kind, flags] = fields.array()?;
        Ok(Self {
            revision,
            id,
            kind: Kind::from_number(u32::from(kind)).ok_or_else(|| damaged("a series head"))?,
            conflicting: flags & 1 != 0,
            barred: flags & 2 != 0,
            fingerprint: if fields.0.is_empty() { None } else { Some(fields.array()?) },
        })
    }
}

impl Disclosure {
    const EARLIER: u32 = 1 << 31;
    const REFUSED: u32 = 1 << 31;

    fn encode(self) -> Vec<u8> {
        let Disclosed { slots, given, is_retracted, is_lapsed, is_refused, is_earlier } =
            self.disclosed;
        // No mask has the first bit or the last, so flags have room there.
        let earlier = if is_earlier { Self::EARLIER } else { 0 };
        let slots = slots.bits() | u32::from(is_retracted) | earlier;
        let refused = if is_refused { Self::REFUSED } else { 0 };
        let given = given.bits() | u32::from(is_lapsed) | refused;
        [&self.feed_index.to_be_bytes()[..], &slots.to_be_bytes(), &given.to_be_bytes()].concat()
    }

    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields(value);
        let (feed_index, slots, given) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let disclosed = Disclosed {
            slots: SlotMask::from_bits(slots & !Self::EARLIER),
            given: SlotMask::from_bits(given & !Self::REFUSED),
            is_retracted: slots & 1 != 0,
            is_lapsed: given & 1 != 0,
            is_refused: given & Self::REFUSED != 0,
            is_earlier: slots & Self::EARLIER != 0,
        };
        Ok(Self { feed_index, disclosed })
    }
}

/// Reads the fields of a value in their order.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn new(value: &'a [u8]) -> Self {
        Self(value)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], JournalError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| damaged("a value"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u64(&mut self) -> Result<u64, JournalError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, JournalError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, JournalError> {
        self.array().map(u16::from_be_bytes)
    }
}

pub(super) fn damaged(what: &str) -> JournalError {
    JournalError::Index(format!("{what} has another form"))
}

pub fn record_key(id: &RecordId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// A series belongs to its originator: an id that another agency copied is another series.
pub fn series_key(series: SeriesId, originator: &AgencyName) -> Vec<u8> {
    [series.as_bytes(), originator.as_str().as_bytes()].concat()
}

const DISCLOSED: u8 = Tag::Disclosed as u8;
const HEAD: u8 = Tag::Head as u8;

pub fn disclosure_key(feed: FeedNumber, id: &RecordId) -> Vec<u8> {
    [&[DISCLOSED], &feed.get().to_be_bytes()[..], id.as_bytes()].concat()
}

/// The head of a feed at one size; the value is the index of the journal entry that first published it.
pub fn head_key(feed: FeedNumber, size: u64) -> Vec<u8> {
    [&[HEAD], &feed.get().to_be_bytes()[..], &size.to_be_bytes()].concat()
}

const RECEIVED: u8 = Tag::Received as u8;

/// Returns the key of a received part of a partner's feed, up to a size; the value is the index of
/// its journal entry.
pub fn received_key(feed: FeedNumber, size: u64) -> Vec<u8> {
    [&[RECEIVED], &feed.get().to_be_bytes()[..], &size.to_be_bytes()].concat()
}

pub fn put_received(feed: FeedNumber, size: u64, journal_index: u64) -> Change {
    let value = journal_index.to_be_bytes().to_vec();
    Change::put(Table::Tagged, received_key(feed, size), value)
}

pub fn put_head(feed: FeedNumber, size: u64, journal_index: u64) -> Change {
    Change::put(Table::Tagged, head_key(feed, size), journal_index.to_be_bytes().to_vec())
}

pub fn put_disclosure(feed: FeedNumber, id: &RecordId, disclosure: Disclosure) -> Change {
    Change::put(Table::Tagged, disclosure_key(feed, id), disclosure.encode())
}

const SHOWN_BEFORE: u8 = Tag::ShownBefore as u8;

/// Entries of a feed that disclosed a record before the last one that did.
pub fn shown_before_prefix(feed: FeedNumber, id: &RecordId) -> Vec<u8> {
    let mut key = vec![SHOWN_BEFORE];
    key.extend_from_slice(&feed.get().to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

/// Keeps which entry disclosed a record last, before another that does takes its place. It may have been one
/// that only took something away.
pub fn put_shown_before(
    feed: FeedNumber,
    id: &RecordId,
    before: Option<Disclosure>,
    action: pb::FeedAction,
) -> Option<Change> {
    let before = before.filter(|_| FeedAction::shows_record(action))?;
    let key = [&shown_before_prefix(feed, id)[..], &before.feed_index.to_be_bytes()].concat();
    Some(Change::put(Table::Tagged, key, Vec::new()))
}

pub fn put_series(series: SeriesId, originator: &AgencyName, head: &SeriesHead) -> Change {
    Change::put(Table::Series, series_key(series, originator), head.encode())
}

pub fn put_place(id: &RecordId, place: RecordPlace) -> Change {
    Change::put(Table::Records, record_key(id), place.encode())
}

/// Lets a record be found by a search term.
pub fn put_term(term: Vec<u8>, journal_index: u64) -> Change {
    Change::put(Table::Search, search::key(term, journal_index), Vec::new())
}

/// Leaves a record to be found by what it says after a change only.
pub fn put_terms_after(
    before: &Verified,
    after: &Verified,
    journal_index: u64,
    changes: &mut Vec<Change>,
) {
    let mut gone = std::collections::BTreeSet::new();
    search::terms_of(before, |term| {
        gone.insert(term);
    });
    search::terms_of(after, |term| {
        gone.remove(&term);
    });
    let delete = |term| Change::delete(Table::Search, search::key(term, journal_index));
    changes.extend(gone.into_iter().map(delete));
}

const RETRACTION: u8 = Tag::Retraction as u8;

/// A retraction in the feed to a partner; the value is the record and the slots.
pub fn retraction_key(feed: FeedNumber, feed_index: u64) -> Vec<u8> {
    [&[RETRACTION], &feed.get().to_be_bytes()[..], &feed_index.to_be_bytes()].concat()
}

fn put_retraction(feed: FeedNumber, id: &RecordId, feed_index: u64, slots: SlotMask) -> Change {
    let value = [id.as_bytes(), &slots.bits().to_be_bytes()[..]].concat();
    Change::put(Table::Tagged, retraction_key(feed, feed_index), value)
}

/// Decodes the record and the slots of a retraction.
pub fn retraction(value: &[u8]) -> Result<(RecordId, SlotMask), JournalError> {
    let mut fields = Fields(value);
    Ok((RecordId::from_bytes(fields.array()?), SlotMask::from_bits(fields.u32()?)))
}

/// Returns the index change of an entry of the feed to a partner, beside that of its disclosure.
pub fn put_feed_entry(
    feed: FeedNumber,
    id: &RecordId,
    feed_index: u64,
    entry: &pb::FeedEntry,
) -> Option<Change> {
    match entry.action() {
        pb::FeedAction::Retract => {
            let slots = SlotMask::from_bits(entry.open_slots);
            Some(put_retraction(feed, id, feed_index, slots))
        }
        _ => super::erasure_index::put_feed_entry(id, feed, feed_index, entry),
    }
}

/// The search terms of a record.
pub fn put_terms(record: &Verified, journal_index: u64, changes: &mut Vec<Change>) {
    search::terms_of(record, |term| changes.push(put_term(term, journal_index)));
}
