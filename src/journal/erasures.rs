//! Questions about erasures: of one record, of all, how partners stand to them, whose time ends.

use super::erasure_index::{self, ErasureNote};
use super::ids::FeedNumber;
use super::refusals::NotTaken;
use super::state::PartnerRecord;
use super::view::View;
use super::{JournalError, unless_damaged};
use crate::exchange::{Denial, Reason, is_repeated};
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::record::slots::SlotMask;
use crate::store::{KeyRange, Order, Table};

/// Erasures that are looked at for one page of a report; each may ask about every partner.
const LOOKED_AT_MAX: usize = 10_000;

/// A page of the report, newest first.
#[derive(Debug, Default)]
pub struct ErasurePage {
    pub erasures: Vec<pb::ErasureView>,
    /// Go on below this entry; `None` at the end.
    pub next_before: Option<u64>,
    /// Erasures that are left out because their entries are damaged.
    pub damaged: u64,
}

impl View {
    /// The erasures of a record in order, each with its entry.
    pub fn erasures_of(&self, id: &RecordId) -> Result<Vec<(u64, ErasureNote)>, JournalError> {
        let range = KeyRange::prefix(erasure_index::erasures_of_prefix(id));
        self.index
            .scan(Table::Tagged, &range, Order::Ascending)
            .map(|pair| {
                let (key, value) = pair?;
                Ok((erasure_index::erasure_entry(&key)?, ErasureNote::decode(&value)?))
            })
            .collect()
    }

    /// The slots of a series that may not come back.
    pub fn barred_slots(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<SlotMask, JournalError> {
        let key = erasure_index::barred_key(series, originator);
        match self.index.read(Table::Tagged, &key)? {
            Some(value) => erasure_index::slots_of(&value),
            None => Ok(SlotMask::NONE),
        }
    }

    /// Records whose time ends by `now`, the first to end first, from behind a key on.
    pub fn retention_due(
        &self,
        from: Option<&[u8]>,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<(Vec<u8>, RecordId)>, JournalError> {
        let (start, end) = erasure_index::retain_bounds(from, now);
        let range = KeyRange::between(start, end);
        self.index
            .scan(Table::Tagged, &range, Order::Ascending)
            .take(most)
            .map(|pair| {
                let (key, _) = pair?;
                let id = erasure_index::retained_record(&key)?;
                Ok((key, id))
            })
            .collect()
    }

    /// Returns true if the index still has to be written anew.
    pub fn scrub_pending(&self) -> Result<bool, JournalError> {
        let marker = erasure_index::scrub_marker();
        // The old files go last, after the marker.
        Ok(self.index.is_rewriting() || self.index.read(marker.table, &marker.key)?.is_some())
    }

    /// Erasures below an entry, of one record or of all, at most `most`.
    pub fn erasure_report(
        &self,
        record: Option<&RecordId>,
        only_outstanding: bool,
        before: u64,
        most: usize,
    ) -> Result<ErasurePage, JournalError> {
        let entries = self.erasure_entries(record, before)?;
        let mut page = ErasurePage::default();
        for (looked_at, entry) in entries.into_iter().enumerate() {
            if page.erasures.len() >= most || looked_at == LOOKED_AT_MAX {
                page.next_before = Some(entry + 1);
                break;
            }
            let Some(view) = unless_damaged(self.erasure_view(entry))? else {
                page.damaged += 1;
                continue;
            };
            let outstanding = |partner: &pb::PartnerErasure| {
                partner.progress() == pb::ErasureProgress::Outstanding
            };
            if !only_outstanding || view.partners.iter().any(outstanding) {
                page.erasures.push(view);
            }
        }
        Ok(page)
    }

    /// At most one more than is looked at.
    fn erasure_entries(
        &self,
        record: Option<&RecordId>,
        before: u64,
    ) -> Result<Vec<u64>, JournalError> {
        if let Some(record) = record {
            let mut entries = self.erasures_of(record)?;
            entries.retain(|(entry, _)| *entry < before);
            return Ok(entries.into_iter().rev().map(|(entry, _)| entry).collect());
        }
        let range = KeyRange::between(
            erasure_index::erasure_at_key(0),
            erasure_index::erasure_at_key(before),
        );
        self.index
            .scan(Table::Tagged, &range, Order::Descending)
            .take(LOOKED_AT_MAX + 1)
            .map(|pair| erasure_index::erasure_entry(&pair?.0))
            .collect()
    }

    fn erasure_view(&self, entry: u64) -> Result<pb::ErasureView, JournalError> {
        let (at, event) = self.event(entry)?;
        let Event::SlotsErased(erased) = event else {
            return Err(JournalError::Index(format!("entry {entry} is not an erasure")));
        };
        let partners = match &erased.order {
            Some(order) => self.partner_erasures(&erased, SlotMask::from_bits(order.slots))?,
            None => Vec::new(),
        };
        Ok(pb::ErasureView {
            journal_index: entry,
            at_ms: at.unix_ms().unsigned_abs(),
            erased: Some(erased),
            partners,
        })
    }

    fn partner_erasures(
        &self,
        erased: &pb::SlotsErased,
        slots: SlotMask,
    ) -> Result<Vec<pb::PartnerErasure>, JournalError> {
        let id = super::entry::record_id(&erased.record_id)?;
        let snapshot = self.snapshot();
        let mut partners = Vec::new();
        for (agency, partner) in &snapshot.state.partners {
            let known = self.disclosure(partner.feed, &id)?.map(|known| known.disclosed.given);
            let before = self.disclosed_before(partner.number, &id)?;
            let owed = known.into_iter().chain(before).any(|given| !given.and(slots).is_empty());
            let duty = self.duty_of(&id, partner.feed, slots)?;
            if duty.is_none() && !owed {
                continue;
            }
            let progress = match duty {
                Some(duty) if duty.0 < partner.receipted => self.answer_to(partner, &id, duty)?,
                _ => pb::ErasureProgress::Outstanding,
            };
            let feed_index = duty.map(|(index, _)| index);
            let agency = agency.to_string();
            partners.push(pb::PartnerErasure { agency, progress: progress.into(), feed_index });
        }
        Ok(partners)
    }

    /// The answer in a partner's receipt to an order to erase in its feed.
    fn answer_to(
        &self,
        partner: &PartnerRecord,
        id: &RecordId,
        (feed_index, slots): (u64, SlotMask),
    ) -> Result<pb::ErasureProgress, JournalError> {
        let key = erasure_index::excepted_key(partner.feed, feed_index);
        let Some(value) = self.index.read(Table::Tagged, &key)? else {
            return Ok(pb::ErasureProgress::Done);
        };
        let Ok(reason) = Reason::try_from(i32::from(erasure_index::excepted(&value)?)) else {
            return Ok(pb::ErasureProgress::Refused);
        };
        if reason == Reason::HeldAsEvidence {
            let since = self.reported(id, partner.number)?;
            return Ok(match slots.without(since).is_empty() {
                true => pb::ErasureProgress::Done,
                false => pb::ErasureProgress::Held,
            });
        }
        let action = pb::FeedAction::Erase;
        let order = NotTaken { feed_index, record: *id, action, slots, reason };
        let denial = self.denial(partner.feed, &order, |_| false)?;
        Ok(match (is_repeated(reason, denial), denial) {
            (false, _) => pb::ErasureProgress::Done,
            (true, Denial::Contradicted) if reason == Reason::NotSupplied => {
                pb::ErasureProgress::Contradicted
            }
            (true, _) => pb::ErasureProgress::Refused,
        })
    }

    /// The newest duty in a feed that is about these slots: its index and slots.
    fn duty_of(
        &self,
        id: &RecordId,
        feed: FeedNumber,
        slots: SlotMask,
    ) -> Result<Option<(u64, SlotMask)>, JournalError> {
        let mut newest = None;
        let range = KeyRange::prefix(erasure_index::duties_prefix(id));
        for pair in self.index.scan(Table::Tagged, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (to, feed_index, of) = erasure_index::duty(&key, &value)?;
            if to == feed && !of.and(slots).is_empty() {
                newest = Some((feed_index, of));
            }
        }
        Ok(newest)
    }
}
