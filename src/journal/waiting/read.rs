//! Questions about duties that wait, and about orders to erase, to the view of the journal.

use crate::ident::RecordId;
use crate::journal::JournalError;
use crate::journal::erasure_index::{self, Waiting};
use crate::journal::ids::{FeedNumber, PartnerNumber};
use crate::journal::view::View;
use crate::record::slots::SlotMask;
use crate::store::{KeyRange, Order, Table};

impl View {
    /// Duties to erase slots of a record that a hold keeps or kept waiting.
    pub fn waiting(&self, id: &RecordId) -> Result<Vec<Waiting>, JournalError> {
        let range = KeyRange::prefix(erasure_index::waiting_prefix(id));
        self.index
            .scan(Table::Tagged, &range, Order::Ascending)
            .map(|pair| {
                let (key, value) = pair?;
                Waiting::decode(&key, &value)
            })
            .collect()
    }

    /// Returns the slots of a record that a feed of ours reported as erased after all.
    pub fn answered(&self, id: &RecordId, feed: FeedNumber) -> Result<SlotMask, JournalError> {
        let range = KeyRange::prefix(erasure_index::answers_prefix(id, feed));
        self.index
            .scan(Table::Tagged, &range, Order::Ascending)
            .try_fold(SlotMask::NONE, |mask, pair| Ok(mask.or(erasure_index::slots_of(&pair?.1)?)))
    }

    /// Returns the slots of a record that a partner's feeds reported as such, in whatever
    /// generation.
    pub fn reported(&self, id: &RecordId, by: PartnerNumber) -> Result<SlotMask, JournalError> {
        let range = KeyRange::prefix(erasure_index::reports_prefix(id));
        let mut reported = SlotMask::NONE;
        for pair in self.index.scan(Table::Tagged, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (source, slots) = erasure_index::report(&key, &value)?;
            if source.partner() == by {
                reported = reported.or(slots);
            }
        }
        Ok(reported)
    }

    /// The orders to erase slots of a record in a feed, by their index there.
    pub(in crate::journal) fn orders_in(
        &self,
        id: &RecordId,
        feed: FeedNumber,
    ) -> Result<Vec<u64>, JournalError> {
        let range = KeyRange::prefix(erasure_index::duties_prefix(id));
        let mut orders = Vec::new();
        for pair in self.index.scan(Table::Tagged, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (of, index, _) = erasure_index::duty(&key, &value)?;
            orders.extend((of == feed).then_some(index));
        }
        Ok(orders)
    }

    /// The slots of a record that our feeds order a partner to erase, in whatever generation.
    pub fn ordered(&self, id: &RecordId, of: PartnerNumber) -> Result<SlotMask, JournalError> {
        self.ordered_in(id, |feed| feed.partner() == of)
    }

    /// The same of some feeds.
    pub(in crate::journal) fn ordered_in(
        &self,
        id: &RecordId,
        wanted: impl Fn(FeedNumber) -> bool,
    ) -> Result<SlotMask, JournalError> {
        let range = KeyRange::prefix(erasure_index::duties_prefix(id));
        let mut ordered = SlotMask::NONE;
        for pair in self.index.scan(Table::Tagged, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (feed, _, slots) = erasure_index::duty(&key, &value)?;
            if wanted(feed) {
                ordered = ordered.or(slots);
            }
        }
        Ok(ordered)
    }
}
