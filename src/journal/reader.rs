//! The view of the journal as decisions on disclosure read it.

use super::JournalError;
use super::entry;
use super::ids::{FeedNumber, PartnerNumber};
use super::search;
use super::view::View;
use crate::disclosure::{
    AcceptedHeader, BrokenEntry, ConsentsInForce, Disclosure, HeldState, JournalReader, Marks,
    Member, PartnerStanding, ReadError, RecordReader, SeriesHead, Standing,
};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::policy::OriginatorNumber;
use crate::record::header::Header;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{KeyRange, Order, Table};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

impl From<BrokenEntry> for JournalError {
    fn from(BrokenEntry { index, reason }: BrokenEntry) -> Self {
        Self::Entry { index, reason }
    }
}

impl ReadError for JournalError {
    fn is_damage(&self) -> bool {
        Self::is_damage(self)
    }
}

impl RecordReader for View {
    type Error = JournalError;

    fn standing(&self, id: &RecordId) -> Result<Option<Standing>, JournalError> {
        Ok(self.place(id)?.map(|place| place.standing()))
    }

    fn record(&self, id: &RecordId) -> Result<Option<Arc<Verified>>, JournalError> {
        Self::record(self, id)
    }

    fn record_and_marks(
        &self,
        id: &RecordId,
    ) -> Result<Option<(Arc<Verified>, Marks)>, JournalError> {
        self.record_with_marks(id)
    }

    fn record_and_standing(
        &self,
        id: &RecordId,
    ) -> Result<Option<(Arc<Verified>, Standing)>, JournalError> {
        let found = self.placed_record(id)?;
        Ok(found.map(|(place, record)| (Arc::new(record), place.standing())))
    }

    fn marks_at(&self, id: &RecordId, size: u64) -> Result<Marks, JournalError> {
        let then = self.history_at(id, size)?;
        let marks = Marks::default().with_restricted(then.hold.is_some());
        Ok(marks.with_retracted(then.retracted.is_some()))
    }

    fn series_by_originator(
        &self,
        series: SeriesId,
    ) -> Result<Vec<(AgencyName, SeriesHead)>, JournalError> {
        Self::series_by_originator(self, series)
    }

    fn members(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Vec<Member>, JournalError> {
        Self::members(self, series, originator)
    }

    fn is_newest(&self, header: &Header) -> Result<bool, JournalError> {
        Self::is_newest(self, header)
    }

    fn superseded_in(&self, range: Range<u64>) -> Result<HashSet<u64>, JournalError> {
        Self::superseded_in(self, range)
    }

    fn is_superseded(&self, journal_index: u64) -> Result<bool, JournalError> {
        Self::is_superseded(self, journal_index)
    }

    fn may_be_referred_to(&self, series: SeriesId) -> Result<bool, JournalError> {
        Self::may_be_referred_to(self, series)
    }

    fn referrers(&self, series: SeriesId, most: usize) -> Result<Vec<u64>, JournalError> {
        let range = KeyRange::prefix(search::linked_term(series));
        let found = self.index().scan(Table::Search, &range, Order::Ascending).take(most);
        let index = |pair: Result<(Vec<u8>, Vec<u8>), _>| Ok(search::journal_index(&pair?.0));
        found.map(index).filter_map(Result::transpose).collect()
    }

    fn disclosure(
        &self,
        feed: FeedNumber,
        id: &RecordId,
    ) -> Result<Option<Disclosure>, JournalError> {
        Self::disclosure(self, feed, id)
    }

    fn disclosed_before(
        &self,
        partner: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<SlotMask>, JournalError> {
        Self::disclosed_before(self, partner, id)
    }

    fn ever_held(&self, partner: PartnerNumber) -> Result<bool, JournalError> {
        Self::ever_held(self, partner)
    }

    fn held_state(
        &self,
        partner: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<HeldState>, JournalError> {
        Self::held_state(self, partner, id)
    }

    fn waiting_slots(
        &self,
        id: &RecordId,
        partner: PartnerNumber,
    ) -> Result<SlotMask, JournalError> {
        let waiting = self.waiting(id)?.into_iter();
        let of_partner = waiting.filter(|duty| duty.source.partner() == partner);
        Ok(of_partner.fold(SlotMask::NONE, |mask, duty| mask.or(duty.named)))
    }

    fn answered_slots(&self, id: &RecordId, feed: FeedNumber) -> Result<SlotMask, JournalError> {
        self.answered(id, feed)
    }
}

impl JournalReader for View {
    fn journal_size(&self) -> u64 {
        self.snapshot().size
    }

    fn entry(&self, index: u64) -> Result<Event, JournalError> {
        Ok(self.event(index)?.1)
    }

    fn recently_accepted(&self, index: u64) -> Option<(Arc<Verified>, Option<PartnerNumber>)> {
        Self::recently_accepted(self, index)
    }

    fn headers(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Result<AcceptedHeader, JournalError>> {
        Self::headers(self, range)
    }

    fn partner(&self, agency: &AgencyName) -> Option<PartnerStanding> {
        let snapshot = self.snapshot();
        let partner = snapshot.state.partners.get(agency)?;
        Some(PartnerStanding {
            number: partner.number,
            feed: partner.feed,
            feed_size: partner.published.size,
            exceptions: partner.exceptions,
            offered_below: partner.offering.below,
            baseline: Arc::clone(&partner.baseline),
        })
    }

    fn originator(&self, originator: &AgencyName) -> OriginatorNumber {
        self.snapshot().state.originator(originator)
    }

    fn consents(&self) -> ConsentsInForce {
        self.snapshot().state.consents.in_effect()
    }

    fn feed_entry(
        &self,
        feed: FeedNumber,
        index: u64,
    ) -> Result<Option<pb::FeedEntry>, JournalError> {
        if index >= self.feed(feed)?.size() {
            return Ok(None);
        }
        let bytes = self.feed_entries(feed, index..index + 1)?;
        bytes.first().map(|bytes| entry::decode_feed(index, bytes)).transpose()
    }

    fn refused_duties(
        &self,
        feed: FeedNumber,
        range: Range<u64>,
        most: usize,
    ) -> Result<Vec<u64>, JournalError> {
        let duties = Self::refused_duties(self, feed, range.start, range.end, most)?;
        Ok(duties.into_iter().map(|duty| duty.feed_index).collect())
    }

    fn held_records(&self, entry: u64) -> Result<Vec<RecordId>, JournalError> {
        Self::held_records(self, entry)
    }
}
