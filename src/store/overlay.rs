//! The changes that are staged for the engine and not yet applied: a short queue of runs.
//!
//! What a run says never changes once it is made, so readers share it.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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

/// A change with the start of its place in the order, so that sorting and searching seldom follow
/// the pointer to its key.
#[derive(Debug)]
struct Ranked {
    rank: u128,
    change: Change,
}

/// The table and the first 15 bytes of the key. Where two keys differ in rank, they differ the
/// same way; where not, the keys decide.
fn rank(table: Table, key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes[0] = table as u8;
    bytes[1..].iter_mut().zip(key).for_each(|(byte, from)| *byte = *from);
    u128::from_be_bytes(bytes)
}

impl Ranked {
    fn new(change: Change) -> Self {
        Self { rank: rank(change.table, &change.key), change }
    }

    fn order(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank).then_with(|| self.change.key.cmp(&other.change.key))
    }

    fn order_to(&self, rank: u128, key: &[u8]) -> Ordering {
        self.rank.cmp(&rank).then_with(|| (*self.change.key).cmp(key))
    }
}

/// A filter by which readers pass by most runs without a change to their key: 16 bits a change, of
/// which two are set.
#[derive(Debug)]
struct KeyFilter {
    words: Vec<u64>,
}

impl KeyFilter {
    fn new(changes: &[Change]) -> Self {
        let words = (changes.len() / 4).next_power_of_two();
        let mut filter = Self { words: vec![0; words] };
        for change in changes.iter().filter(|change| Self::covers(change.table)) {
            for (word, bit) in filter.bits(rank(change.table, &change.key)) {
                filter.words[word] |= bit;
            }
        }
        filter
    }

    /// Search keys are read by range only, and there are many.
    fn covers(table: Table) -> bool {
        table != Table::Search
    }

    fn may_have(&self, table: Table, key: &[u8]) -> bool {
        !Self::covers(table)
            || self.bits(rank(table, key)).iter().all(|(word, bit)| self.words[*word] & bit != 0)
    }

    /// Two bits by the upper and the lower half of the multiplied rank; keys begin with random
    /// bytes of an id, or hold few and short numbers.
    fn bits(&self, rank: u128) -> [(usize, u64); 2] {
        const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
        let folded = (rank >> 64) as u64 ^ (rank as u64).rotate_left(29);
        let first = folded.wrapping_mul(ODD);
        let second = (first ^ folded.rotate_left(31)).wrapping_mul(ODD);
        let mask = self.words.len() - 1;
        [first, second].map(|hash| ((hash >> 38) as usize & mask, 1 << (hash >> 32 & 63)))
    }
}

/// The changes of one staged batch, by table and key with no key twice.
///
/// They are brought in order by whoever needs that first, which is seldom the writer.
#[derive(Debug)]
pub(super) struct Run {
    staged: Mutex<Vec<Change>>,
    sorted: OnceLock<Vec<Ranked>>,
    filter: KeyFilter,
    changes: usize,
    bytes: usize,
    watermark: Position,
}

impl Run {
    /// Makes a run; of several changes to one key the last counts.
    pub(super) fn new(changes: Vec<Change>, watermark: Position) -> Self {
        Self {
            filter: KeyFilter::new(&changes),
            changes: changes.len(),
            bytes: changes.iter().map(Change::bytes).sum(),
            staged: Mutex::new(changes),
            sorted: OnceLock::new(),
            watermark,
        }
    }

    fn sorted(&self) -> &[Ranked] {
        self.sorted.get_or_init(|| {
            let staged =
                std::mem::take(&mut *self.staged.lock().unwrap_or_else(PoisonError::into_inner));
            let mut changes: Vec<Ranked> = staged.into_iter().map(Ranked::new).collect();
            changes.sort_by(Ranked::order);
            changes.dedup_by(|later, earlier| {
                let same = later.order(earlier).is_eq();
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
            changes
        })
    }

    pub(super) fn change(&self, table: Table, key: &[u8]) -> Option<&Change> {
        if !self.filter.may_have(table, key) {
            return None;
        }
        let rank = rank(table, key);
        let found = self.sorted().binary_search_by(|ranked| ranked.order_to(rank, key)).ok()?;
        self.change_at(found)
    }

    /// A change by its place in the order.
    pub(super) fn change_at(&self, index: usize) -> Option<&Change> {
        self.sorted().get(index).map(|ranked| &ranked.change)
    }

    /// Returns the positions that lie in the range.
    pub(super) fn within(&self, table: Table, range: &KeyRange) -> Range<usize> {
        let first_from = |bound: &[u8]| {
            let rank = rank(table, bound);
            self.sorted().partition_point(|ranked| ranked.order_to(rank, bound).is_lt())
        };
        let start = first_from(range.start());
        let end = match range.end() {
            Some(end) => first_from(end),
            None => self.sorted().partition_point(|ranked| ranked.change.table <= table),
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

    /// Returns true if enough changes wait to be worth a chunk of their own.
    pub(super) fn is_half_full(&self) -> bool {
        self.runs.len() >= OVERLAY_RUNS_MAX / 2 || self.bytes >= OVERLAY_BYTES_MAX / 2
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
        next.changes += run.changes;
        next.bytes += run.bytes;
        next.runs.push(Arc::new(run));
        next
    }

    pub(super) fn without_oldest(&self, count: usize) -> Self {
        let (gone, kept) = self.runs.split_at(count.min(self.runs.len()));
        Self {
            runs: kept.to_vec(),
            changes: self.changes - gone.iter().map(|run| run.changes).sum::<usize>(),
            bytes: self.bytes - gone.iter().map(|run| run.bytes).sum::<usize>(),
        }
    }

    /// The oldest runs that are applied in one go; at least one unless there is none.
    pub(super) fn oldest_chunk(&self) -> Chunk {
        let mut room = CHUNK_CHANGES_MAX;
        let count = self
            .runs
            .iter()
            .take_while(|run| match room.checked_sub(run.changes) {
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
        let most = self.runs.iter().map(|run| run.changes).sum();
        let mut all: Vec<(u128, &Ranked)> = Vec::with_capacity(most);
        for run in &self.runs {
            all.extend(run.sorted().iter().map(|ranked| (ranked.rank, ranked)));
        }
        if self.runs.len() > 1 {
            let order = |a: &(u128, &Ranked), b: &(u128, &Ranked)| {
                a.0.cmp(&b.0).then_with(|| a.1.change.key.cmp(&b.1.change.key))
            };
            all.sort_by(order);
            all.dedup_by(|later, earlier| {
                let same = order(later, earlier).is_eq();
                if same {
                    *earlier = *later;
                }
                same
            });
        }
        all.into_iter().map(|(_, ranked)| &ranked.change).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_has_every_key_it_was_made_of_and_few_others() {
        let key = |n: u32| n.wrapping_mul(0x9E37_79B9).to_be_bytes();
        let changes: Vec<_> = (0..2_000).map(|n| Change::delete(Table::Series, key(n))).collect();
        let filter = KeyFilter::new(&changes);
        assert!((0..2_000).all(|n| filter.may_have(Table::Series, &key(n))));
        let wrongly = (2_000..12_000).filter(|n| filter.may_have(Table::Series, &key(*n))).count();
        assert!(wrongly < 500, "{wrongly} of 10,000");
        let run = Run::new(changes, Position::START);
        assert!((0..2_000).all(|n| run.change(Table::Series, &key(n)).is_some()));
        assert!((2_000..9_000).all(|n| run.change(Table::Series, &key(n)).is_none()));
    }

    #[test]
    fn of_several_changes_to_one_key_the_last_counts() {
        let changes = [1, 2].map(|n| Change::put(Table::Records, *b"a", [n])).to_vec();
        let run = Run::new(changes, Position::START);
        let found = run.change(Table::Records, b"a").and_then(|change| change.value.as_deref());
        assert_eq!(found, Some(&[2][..]));
    }

    proptest! {
        #[test]
        fn ranks_never_contradict_the_order_of_keys(
            a in prop::collection::vec(0..3u8, 0..18),
            b in prop::collection::vec(0..3u8, 0..18),
        ) {
            for table in [Table::Records, Table::Meta] {
                let of = |key: &[u8]| Ranked::new(Change::delete(table, key));
                prop_assert_eq!(of(&a).order(&of(&b)), a.cmp(&b));
            }
            let (low, high) = (rank(Table::Records, &a), rank(Table::Series, &b));
            prop_assert!(low < high);
        }
    }
}
