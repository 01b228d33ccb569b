//! Everything that a decision about a partner reads, as two traits: the records of a node, and its journal with
//! its feeds.
//!
//! The journal's view implements them. Nothing here is ever written.

use super::accepted::AcceptedHeader;
use super::read_error::ReadError;
use super::series_head::{Member, SeriesHead};
use super::standing::{Disclosure, HeldState, Marks, Standing};
use crate::exchange::ConsentRegister;
use crate::ident::{AgencyName, FeedNumber, PartnerNumber, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Baseline, Consents, OriginatorNumber};
use crate::record::header::Header;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// The records of a node, their series, and their disclosure.
pub trait RecordReader {
    type Error: ReadError;

    fn standing(&self, id: &RecordId) -> Result<Option<Standing>, Self::Error>;

    /// Returns a record as it is in use.
    fn record(&self, id: &RecordId) -> Result<Option<Arc<Verified>>, Self::Error>;

    /// Returns a record as it is in use, with its marks.
    fn record_and_marks(
        &self,
        id: &RecordId,
    ) -> Result<Option<(Arc<Verified>, Marks)>, Self::Error>;

    /// Returns a record as it is in use, with its standing.
    fn record_and_standing(
        &self,
        id: &RecordId,
    ) -> Result<Option<(Arc<Verified>, Standing)>, Self::Error>;

    /// Returns the marks of a record when the journal had this size.
    fn marks_at(&self, id: &RecordId, size: u64) -> Result<Marks, Self::Error>;

    /// Returns the newest revisions under a series id, one for each agency that uses it.
    fn series_by_originator(
        &self,
        series: SeriesId,
    ) -> Result<Vec<(AgencyName, SeriesHead)>, Self::Error>;

    /// Returns the records of a series in the order of their acceptance; none if it has one only.
    fn members(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Vec<Member>, Self::Error>;

    /// Returns true if no record of its series is newer than the one with this header.
    fn is_newest(&self, header: &Header) -> Result<bool, Self::Error>;

    /// Returns the entries in `range` whose records another of their series is as new as.
    fn superseded_in(&self, range: Range<u64>) -> Result<HashSet<u64>, Self::Error>;

    fn is_superseded(&self, journal_index: u64) -> Result<bool, Self::Error>;

    /// Returns false only if no record refers to the series.
    fn may_be_referred_to(&self, series: SeriesId) -> Result<bool, Self::Error>;

    /// Returns the entries that accepted records which refer to a series, at most so many.
    fn referrers(&self, series: SeriesId, most: usize) -> Result<Vec<u64>, Self::Error>;

    /// Returns the disclosure of a record in a feed.
    fn disclosure(
        &self,
        feed: FeedNumber,
        id: &RecordId,
    ) -> Result<Option<Disclosure>, Self::Error>;

    /// Returns the slots of a record that were given in feeds to a partner before the present one; `None` if it
    /// never stood in one.
    fn disclosed_before(
        &self,
        partner: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<SlotMask>, Self::Error>;

    /// Returns true if the brake ever held anything for a partner.
    fn ever_held(&self, partner: PartnerNumber) -> Result<bool, Self::Error>;

    /// Returns the state of a record whose disclosure to a partner was held once.
    fn held_state(
        &self,
        partner: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<HeldState>, Self::Error>;

    /// Returns the slots of a record that a partner's orders name which a hold keeps or kept waiting.
    fn waiting_slots(&self, id: &RecordId, partner: PartnerNumber)
    -> Result<SlotMask, Self::Error>;

    /// Returns the slots of a record that a feed of ours reported as erased after all.
    fn answered_slots(&self, id: &RecordId, feed: FeedNumber) -> Result<SlotMask, Self::Error>;
}

/// The journal of a node, and its feeds.
pub trait JournalReader: RecordReader {
    /// Returns the number of entries.
    fn journal_size(&self) -> u64;

    fn entry(&self, index: u64) -> Result<Event, Self::Error>;

    /// Returns the record that an entry accepted and the partner it came from, where that is at hand. It is in
    /// use, and no mark is on it.
    fn recently_accepted(&self, index: u64) -> Option<(Arc<Verified>, Option<PartnerNumber>)>;

    /// Returns the headers of the records that entries accepted. A damaged one is an error, and the rest follows;
    /// any other error is the last item.
    fn headers(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Result<AcceptedHeader, Self::Error>>;

    /// Returns the partner as it stands in the journal.
    fn partner(&self, agency: &AgencyName) -> Option<PartnerStanding>;

    /// Returns the number under which records of an originator are counted.
    fn originator(&self, originator: &AgencyName) -> OriginatorNumber;

    fn consents(&self) -> ConsentsInForce;

    /// Returns an entry of a feed of ours; `None` behind its end.
    fn feed_entry(
        &self,
        feed: FeedNumber,
        index: u64,
    ) -> Result<Option<pb::FeedEntry>, Self::Error>;

    /// Returns the places of duties in a range of a feed that the partner refused, at most so many.
    fn refused_duties(
        &self,
        feed: FeedNumber,
        range: Range<u64>,
        most: usize,
    ) -> Result<Vec<u64>, Self::Error>;

    /// Returns the records that an entry held.
    fn held_records(&self, entry: u64) -> Result<Vec<RecordId>, Self::Error>;
}

/// A partner as decisions about it need it.
#[derive(Debug, Clone)]
pub struct PartnerStanding {
    pub number: PartnerNumber,
    /// The present feed to it.
    pub feed: FeedNumber,
    /// Entries of that feed.
    pub feed_size: u64,
    /// Entries of it that the partner reported as not taken.
    pub exceptions: u64,
    /// The feed index below which every refused record is offered again.
    pub offered_below: u64,
    /// The normal that the release brake compares with.
    pub baseline: Arc<Baseline>,
}

/// The consents in force, and how often they changed.
#[derive(Debug, Clone, Default)]
pub struct ConsentsInForce {
    pub register: Arc<ConsentRegister>,
    /// Counts entries after which policy may see another release list.
    pub changes: u64,
}

impl ConsentsInForce {
    pub fn consents(&self) -> &Consents {
        self.register.in_force()
    }
}
