//! The feeds from partners. Every entry of one is in the journal, stands under the head that was
//! receipted, and led to what it must: a record that was receipted is here, what was ordered erased is
//! gone, and whatever claims to have come from an entry came from that one.

mod judge;

use super::failure::{Check, Fault};
use crate::exchange::FOREIGN_ENTRY_BYTES_MAX;
use crate::merkle::{Frontier, leaf_hash};
use crate::pb::{self, FeedAction};
use bytes::Bytes;
use prost::Message as _;
use std::collections::BTreeSet;

/// Entries of one batch at the most, by which so many may wait for a receipt.
const ARRIVING_MAX: usize = crate::exchange::BATCH_ENTRIES_MAX;

/// The feed from one partner as far as it came.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    /// The tree of all entries so far.
    edge: Frontier,
    /// Index of the first entry that is not receipted.
    start: u64,
    /// Entries that are not receipted.
    entries: Vec<pb::FeedEntry>,
    /// Those of them that an entry of the journal names as its source.
    claimed: BTreeSet<u64>,
    /// The last entry of the journal that brought some.
    brought_at: u64,
}

/// The reference in a journal entry to the feed entry that it came from.
pub(super) struct Claim<'a> {
    pub(super) partner: &'a str,
    pub(super) index: u64,
    pub(super) record: &'a [u8],
    pub(super) actions: &'a [FeedAction],
}

/// Actions that carry a record.
pub(super) const SHOWING: [FeedAction; 3] =
    [FeedAction::Disclose, FeedAction::Revise, FeedAction::Withdraw];

/// The action that takes slots or a record back.
pub(super) const TAKING_BACK: [FeedAction; 1] = [FeedAction::Retract];

fn fault(expected: impl ToString, found: impl ToString) -> Fault {
    Fault::new(Check::ReceivedFeed, expected, found)
}

impl Arriving {
    fn add(&mut self, bytes: &Bytes) -> Result<(), Fault> {
        if self.entries.len() == ARRIVING_MAX {
            return Err(fault(format!("at most {ARRIVING_MAX} entries before a receipt"), "more"));
        }
        if bytes.len() > FOREIGN_ENTRY_BYTES_MAX {
            let expected = format!("an entry of at most {FOREIGN_ENTRY_BYTES_MAX} bytes");
            return Err(fault(expected, bytes.len()));
        }
        // What cannot be read is among the exceptions.
        self.entries.push(pb::FeedEntry::decode(bytes.clone()).unwrap_or_default());
        self.edge.push(leaf_hash(bytes));
        Ok(())
    }

    fn at(&self, index: u64) -> Option<&pb::FeedEntry> {
        let place = index.checked_sub(self.start)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// Takes the receipt for all entries so far, which lead to `root`.
    fn receipt(&mut self) {
        self.start += self.entries.len() as u64;
        self.entries.clear();
        self.claimed.clear();
    }

    /// Returns whether entries wait for their receipt.
    pub(super) fn waits(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(super) fn edge(&self) -> &Frontier {
        &self.edge
    }
}
