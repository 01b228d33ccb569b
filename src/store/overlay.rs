//! What is staged for the engine and not yet applied: a short queue of sorted runs.
//!
//! A run never changes once made, so readers share it without a lock.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::engine::{Change, KeyRange, Table};
use super::position::Position;

/// Runs that may wait. A reader looks into each of them, so there are few; a batch of 1,024
/// records makes one.
pub const OVERLAY_RUNS_MAX: usize = 64;

/// Keys and values that may wait; with allocations it is about thrice this in memory.
pub const OVERLAY_BYTES_MAX: usize = 12 << 20;

/// Runs are applied together until they have this many changes: under load the engine gets few
/// large chunks, and half of the overlay stays free for what comes meanwhile.
const CHUNK_CHANGES_MAX: usize = 160_000;

/// The changes of one staged batch, sorted by table and key with no key twice.
#[derive(Debug)]
pub(super) struct Run {
    changes: Vec<Change>,
    bytes: usize,
    watermark: Position,
}

fn table_then_key(a: &Change, b: &Change) -> Ordering {
    (a.table, &a.key).cmp(&(b.table, &b.key))
}

impl Run {
    /// Of several changes to one key the last counts.
    pub(super) fn new(mut changes: Vec<Change>, watermark: Position) -> Self {
        changes.sort_by(table_then_key);
        changes.dedup_by(|later, earlier| {
            let same = table_then_key(later, earlier).is_eq();
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let bytes = changes.iter().map(Change::bytes).sum();
        Self { changes, bytes, watermark }
    }

    pub(super) fn change(&self, table: Table, key: &[u8]) -> Option<&Change> {
        self.changes
            .binary_search_by(|change| (change.table, &change.key[..]).cmp(&(table, key)))
            .ok()
            .map(|found| &self.changes[found])
    }

    pub(super) fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Which of [`Self::changes`] lie in the range.
    pub(super) fn within(&self, table: Table, range: &KeyRange) -> Range<usize> {
        let first_from = |bound: &[u8]| {
            self.changes.partition_point(|change| (change.table, &change.key[..]) < (table, bound))
        };
        let start = first_from(range.start());
        let end = match range.end() {
            Some(end) => first_from(end),
            None => self.changes.partition_point(|change| change.table <= table),
        };
        start..end.max(start)
    }
}

/// Runs from the oldest to the newest, with what they add up to.
#[derive(Debug, Default, Clone)]
pub(super) struct Overlay {
    runs: Vec<Arc<Run>>,
    changes: usize,
    bytes: usize,
}

impl Overlay {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= OVERLAY_RUNS_MAX || self.bytes >= OVERLAY_BYTES_MAX
    }

    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn watermark(&self) -> Option<Position> {
        self.runs.last().map(|run| run.watermark)
    }

    /// From the newest to the oldest.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.runs.iter().rev()
    }

    pub(super) fn with(&self, run: Run) -> Self {
        let mut next = self.clone();
        next.changes += run.changes.len();
        next.bytes += run.bytes;
        next.runs.push(Arc::new(run));
        next
    }

    pub(super) fn without_oldest(&self, count: usize) -> Self {
        let (gone, kept) = self.runs.split_at(count.min(self.runs.len()));
        Self {
            runs: kept.to_vec(),
            changes: self.changes - gone.iter().map(|run| run.changes.len()).sum::<usize>(),
            bytes: self.bytes - gone.iter().map(|run| run.bytes).sum::<usize>(),
        }
    }

    /// The oldest runs that are applied in one go; at least one unless there is none.
    pub(super) fn oldest_chunk(&self) -> Chunk {
        let mut room = CHUNK_CHANGES_MAX;
        let count = self
            .runs
            .iter()
            .take_while(|run| match room.checked_sub(run.changes.len()) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            })
            .count();
        let count = count.max(1).min(self.runs.len());
        Chunk { runs: self.runs[..count].to_vec() }
    }
}

/// Runs on their way into the engine.
pub(super) struct Chunk {
    runs: Vec<Arc<Run>>,
}

impl Chunk {
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn watermark(&self) -> Option<Position> {
        self.runs.last().map(|run| run.watermark)
    }

    /// All changes in order; where runs disagree, the newest counts.
    pub(super) fn changes(&self) -> Vec<&Change> {
        let mut all: Vec<&Change> = self.runs.iter().flat_map(|run| &run.changes).collect();
        if self.runs.len() > 1 {
            all.sort_by(|a, b| table_then_key(a, b));
            all.dedup_by(|later, earlier| {
                let same = table_then_key(later, earlier).is_eq();
                if same {
                    *earlier = *later;
                }
                same
            });
        }
        all
    }
}
