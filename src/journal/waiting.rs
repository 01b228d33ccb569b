//! Duties to erase that came while a record was under a hold: kept, and carried out when it ends.
//!
//! A duty that waits is an entry with the originator's order, so that a restart and a new index find
//! it again. The end of a hold and the erasures that waited for it are one job of the writer, the
//! erasures right behind it. No hold ends here without them.

mod read;
mod write;

use super::JournalError;
use super::entry;
use super::erasure_index::{self, Waiting};
use super::state::State;
use crate::pb::journal_entry::Event;
use crate::record::slots::SlotMask;
use crate::store::Change;

/// Writes the index changes of an entry, if it is about a duty that waits or waited at a partner.
/// `state` has it taken in.
pub(super) fn put_entry(
    state: &State,
    index: u64,
    event: &Event,
    changes: &mut Vec<Change>,
) -> Result<(), JournalError> {
    match event {
        Event::RecordRestricted(held) => {
            let Some(order) = held.order.clone() else { return Ok(()) };
            let source = state.source_of(index, &held.partner)?;
            let named = SlotMask::from_bits(held.slots);
            let waiting = Waiting { source, feed_index: held.feed_index, named, order };
            changes.push(waiting.put(&entry::record_id(&held.record_id)?));
        }
        Event::ErasureReported(reported) => {
            let source = state.source_of(index, &reported.partner)?;
            let id = entry::record_id(&reported.record_id)?;
            let slots = SlotMask::from_bits(reported.slots);
            changes.push(erasure_index::put_report(&id, source, reported.feed_index, slots));
        }
        _ => {}
    }
    Ok(())
}
