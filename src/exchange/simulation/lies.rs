//! A hostile node lies about erasures: it marks what it withholds as erased, and answers orders to erase with
//! the word that it never got the record. In the end it is honest, so that what it denied comes again.

use super::relation::Relation;
use crate::exchange::exception::Exception;
use crate::exchange::{Denial, FeedEntry, Receipted, judge_denial};
use crate::ident::RecordId;
use crate::pb;
use crate::record::slots::SlotMask;
use std::collections::BTreeSet;

/// Marks every slot that a batch withholds as erased. Tells how many there are.
pub(super) fn mark_erased(batch: &mut pb::FeedBatch) -> usize {
    let slots = batch.envelopes.iter_mut().flat_map(|envelope| &mut envelope.slots);
    let withheld = slots.filter(|slot| slot.state() == pb::SlotState::Withheld);
    withheld.map(|slot| slot.set_state(pb::SlotState::Erased)).count()
}

impl Relation {
    /// Judges the answer to an order to erase that there is no record; `exceptions` come with it.
    pub(super) fn denial(&self, index: u64, order: &FeedEntry, exceptions: &[Exception]) -> Denial {
        let not_taken = self.reported.iter().chain(exceptions);
        let not_taken: BTreeSet<u64> = not_taken.map(|exception| exception.index.get()).collect();
        let shown = self.shown(&order.record, index).map(|(at, slots)| {
            let receipted = match (self.receipts_given_up, not_taken.contains(&at)) {
                (true, _) => Receipted::Unknown,
                (false, true) => Receipted::NotTaken,
                (false, false) => Receipted::Taken,
            };
            (slots, receipted)
        });
        let earlier = self.earlier.get(&order.record).map(|given| (*given, Receipted::Unknown));
        judge_denial(order.open_slots, shown.chain(earlier))
    }

    /// The entries of the feed below an index that disclosed a record, with their slots.
    fn shown(&self, id: &RecordId, below: u64) -> impl Iterator<Item = (u64, SlotMask)> {
        let id = *id;
        (0..below).zip(&self.feed.entries).filter_map(move |(index, bytes)| {
            let FeedEntry { action, record, open_slots, .. } = FeedEntry::decode(bytes).ok()?;
            (action.carries_record() && record == id).then_some((index, open_slots))
        })
    }
}
