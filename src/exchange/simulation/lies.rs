//! A hostile node lies about erasures: it marks what it withholds as erased.

use crate::pb;

/// Marks every slot that a batch withholds as erased. Tells how many there are.
pub(super) fn mark_erased(batch: &mut pb::FeedBatch) -> usize {
    let slots = batch.envelopes.iter_mut().flat_map(|envelope| &mut envelope.slots);
    let withheld = slots.filter(|slot| slot.state() == pb::SlotState::Withheld);
    withheld.map(|slot| slot.set_state(pb::SlotState::Erased)).count()
}
