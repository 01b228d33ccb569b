//! Keys and values of the index: where a record is, what a series has come to, what was disclosed.
//!
//! Everything here is derived from entries and content; [`changes`] is the one place that derives
//! it, for a live commit and for a rebuild alike.

use super::JournalError;
use super::search;
use super::state::{FeedNumber, PartnerNumber};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb;
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{Change, Position, Table};

/// Version of the keys and values below; another version on the disk is rebuilt.
pub const INDEX_FORMAT: u32 = 3;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    pub journal_index: u64,
    pub content: Position,
    /// The partner it came from; `None` if it was submitted here.
    pub partner: Option<PartnerNumber>,
    pub marks: Marks,
}

/// What an index must say of a record before its content is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u8);

impl Marks {
    const ERASED: u8 = 1;
    const RESTRICTED: u8 = 2;
    const RETRACTED: u8 = 4;

    /// Some of its slots were erased here.
    pub const fn is_erased(self) -> bool {
        self.0 & Self::ERASED != 0
    }

    /// It is under a hold: kept, and not used.
    pub const fn is_restricted(self) -> bool {
        self.0 & Self::RESTRICTED != 0
    }

    /// The partner that it came from wants it no longer used.
    pub const fn is_retracted(self) -> bool {
        self.0 & Self::RETRACTED != 0
    }

    /// It may be matched, served and passed on like any other.
    pub const fn is_usable(self) -> bool {
        self.0 & (Self::RESTRICTED | Self::RETRACTED) == 0
    }

    #[must_use]
    pub const fn with_erased(self) -> Self {
        Self(self.0 | Self::ERASED)
    }

    #[must_use]
    pub const fn with_restricted(self, on: bool) -> Self {
        self.set(Self::RESTRICTED, on)
    }

    #[must_use]
    pub const fn with_retracted(self, on: bool) -> Self {
        self.set(Self::RETRACTED, on)
    }

    const fn set(self, bit: u8, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

impl RecordPlace {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(19);
        out.extend_from_slice(&self.journal_index.to_be_bytes());
        out.extend_from_slice(&self.content.pack().to_be_bytes());
        out.extend_from_slice(&self.partner.map_or(0, PartnerNumber::get).to_be_bytes());
        out.push(self.marks.0);
        out
    }

    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields(value);
        let (journal_index, content) = (fields.u64()?, fields.u64()?);
        let partner = fields.u16()?;
        let [marks] = fields.array()?;
        Ok(Self {
            marks: Marks(marks),
            journal_index,
            content: Position::unpack(content),
            partner: (partner != 0).then_some(PartnerNumber::new(partner)),
        })
    }
}

/// The newest revision of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesHead {
    pub revision: u32,
    pub id: RecordId,
    pub kind: Kind,
    /// Two revisions of the series name the same predecessor.
    pub conflicting: bool,
    /// Slots of it were erased on a ground that keeps them from coming back.
    pub barred: bool,
    /// What the newest revision says, of own records only.
    pub fingerprint: Option<[u8; 32]>,
}

impl SeriesHead {
    /// The head after another revision was accepted. The fingerprint is that of the revision, if it
    /// is one of this node's own agency.
    pub fn after(head: Option<Self>, record: &Verified, fingerprint: Option<[u8; 32]>) -> Self {
        Self::after_header(head, record.header(), record.id(), fingerprint)
    }

    /// The same where only the header is left of it.
    pub fn after_header(
        head: Option<Self>,
        header: &Header,
        id: RecordId,
        fingerprint: Option<[u8; 32]>,
    ) -> Self {
        let fresh = Self {
            revision: header.revision,
            id,
            kind: header.kind,
            conflicting: head.is_some_and(|head| head.conflicting),
            barred: head.is_some_and(|head| head.barred),
            fingerprint,
        };
        match head {
            Some(head) if head.revision > header.revision => head,
            Some(head) if head.revision == header.revision && head.id != fresh.id => {
                Self { conflicting: true, ..head }
            }
            _ => fresh,
        }
    }

    pub fn is_withdrawn(&self) -> bool {
        self.kind == Kind::Withdrawal
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(70);
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

/// What was disclosed of a record to a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disclosure {
    /// Index of the last entry about it in the feed.
    pub feed_index: u64,
    /// All slots disclosed so far; none after it was retracted.
    pub slots: SlotMask,
}

impl Disclosure {
    fn encode(self) -> Vec<u8> {
        let mut out = self.feed_index.to_be_bytes().to_vec();
        out.extend_from_slice(&self.slots.bits().to_be_bytes());
        out
    }

    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields(value);
        let feed_index = fields.u64()?;
        Ok(Self { feed_index, slots: SlotMask::from_bits(u32::from_be_bytes(fields.array()?)) })
    }

    /// What is disclosed after another entry of the feed.
    pub fn after(before: Option<Self>, feed_index: u64, entry: &pb::FeedEntry) -> Self {
        let slots = SlotMask::from_bits(entry.open_slots);
        let before = before.map_or(SlotMask::NONE, |disclosure| disclosure.slots);
        let slots = match entry.action() {
            pb::FeedAction::Retract => SlotMask::NONE,
            pb::FeedAction::Erase => before.without(slots),
            _ => before.or(slots),
        };
        Self { feed_index, slots }
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], JournalError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| damaged("a value"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, JournalError> {
        self.array().map(u64::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, JournalError> {
        self.array().map(u16::from_be_bytes)
    }
}

fn damaged(what: &str) -> JournalError {
    JournalError::Index(format!("{what} has another form"))
}

pub fn record_key(id: &RecordId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// A series belongs to its originator: an id that another agency copied is another series.
pub fn series_key(series: SeriesId, originator: &AgencyName) -> Vec<u8> {
    let mut key = series.as_bytes().to_vec();
    key.extend_from_slice(originator.as_str().as_bytes());
    key
}

const DISCLOSED: u8 = 1;
const HEAD: u8 = 2;

pub fn disclosure_key(feed: FeedNumber, id: &RecordId) -> Vec<u8> {
    let mut key = vec![DISCLOSED];
    key.extend_from_slice(&feed.get().to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

/// The head of a feed at one size; the value is the index of its journal entry.
pub fn head_key(feed: FeedNumber, size: u64) -> Vec<u8> {
    let mut key = vec![HEAD];
    key.extend_from_slice(&feed.get().to_be_bytes());
    key.extend_from_slice(&size.to_be_bytes());
    key
}

const RECEIVED: u8 = 3;

/// What was received of a partner's feed up to a size; the value is the index of its journal entry.
pub fn received_key(feed: FeedNumber, size: u64) -> Vec<u8> {
    let mut key = vec![RECEIVED];
    key.extend_from_slice(&feed.get().to_be_bytes());
    key.extend_from_slice(&size.to_be_bytes());
    key
}

pub fn put_received(feed: FeedNumber, size: u64, journal_index: u64) -> Change {
    let value = journal_index.to_be_bytes().to_vec();
    Change::put(Table::Disclosures, received_key(feed, size), value)
}

pub fn put_head(feed: FeedNumber, size: u64, journal_index: u64) -> Change {
    Change::put(Table::Disclosures, head_key(feed, size), journal_index.to_be_bytes().to_vec())
}

pub fn put_disclosure(feed: FeedNumber, id: &RecordId, disclosure: Disclosure) -> Change {
    Change::put(Table::Disclosures, disclosure_key(feed, id), disclosure.encode())
}

pub fn put_series(series: SeriesId, originator: &AgencyName, head: &SeriesHead) -> Change {
    Change::put(Table::Series, series_key(series, originator), head.encode())
}

pub fn put_place(id: &RecordId, place: RecordPlace) -> Change {
    Change::put(Table::Records, record_key(id), place.encode())
}

/// The key of a search term, with room for the journal index of the record that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermKey(Box<[u8]>);

impl TermKey {
    pub fn new(term: &[u8]) -> Self {
        let mut key = vec![0; term.len() + 8].into_boxed_slice();
        key[..term.len()].copy_from_slice(term);
        Self(key)
    }

    pub fn put(mut self, journal_index: u64) -> Change {
        if let Some(room) = self.0.last_chunk_mut::<8>() {
            *room = journal_index.to_be_bytes();
        }
        Change::put(Table::Search, self.0, Vec::new())
    }
}

/// The search terms of a record.
pub fn put_terms(record: &Verified, journal_index: u64, changes: &mut Vec<Change>) {
    search::terms_of(record, |term| changes.push(TermKey::new(&term).put(journal_index)));
}
