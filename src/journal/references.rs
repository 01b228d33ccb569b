//! The filter of the series that records here refer to, in memory and without false negatives.
//!
//! For each record of a partner the feeds ask which records refer to it. Nearly always there are none, and the filter
//! answers that without a scan of the index. It must never deny a reference that a scan would find. So a change to the
//! index is noted before it is staged, and every answer is "maybe" until the index was read as it stood before. A
//! reference that is erased stays noted, which leads to a scan at the most.

use super::JournalError;
use super::search;
use super::view::View;
use crate::ident::SeriesId;
use crate::store::{Change, KeyRange, Order, Position, StoreError, Table};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{self, AtomicBool, AtomicU64};
use std::sync::{Mutex, TryLockError};

/// The filter takes 2 MiB, whatever is noted. When a million series are referred to, one question in 500 leads to a
/// scan for nothing, and one in seven when it is four million.
const FILTER_BITS_LOG2: u32 = 24;
const BITS_PER_SERIES: u64 = 4;
/// Keys of the index that one question reads, so that neither a start nor a step of a feed waits for all of them.
const KEYS_READ_MAX: usize = 1_024;

/// A Bloom filter over the series that records refer to.
pub(super) struct ReferenceFilter {
    words: Box<[AtomicU64]>,
    /// Keyed anew by each process, so that nobody can choose ids that fall on the same bits.
    hasher: RandomState,
    /// The references in the index that were not read yet.
    unread: Mutex<KeyRange>,
    is_complete: AtomicBool,
}

impl Default for ReferenceFilter {
    fn default() -> Self {
        let words = 1 << (FILTER_BITS_LOG2 - u64::BITS.ilog2());
        Self {
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            unread: Mutex::new(KeyRange::prefix(search::linked_prefix())),
            is_complete: AtomicBool::new(false),
        }
    }
}

impl ReferenceFilter {
    fn note(&self, series: SeriesId) {
        for (word, mask) in self.bits(series) {
            self.words[word].fetch_or(mask, atomic::Ordering::Relaxed);
        }
    }

    fn may_contain(&self, series: SeriesId) -> bool {
        let is_set = |(word, mask): (usize, u64)| {
            self.words[word].load(atomic::Ordering::Relaxed) & mask != 0
        };
        self.bits(series).all(is_set)
    }

    /// Returns the bits of a series as words and masks: two halves of one hash give all of them (Kirsch, Mitzenmacher
    /// 2006).
    fn bits(&self, series: SeriesId) -> impl Iterator<Item = (usize, u64)> + use<> {
        let first = self.hasher.hash_one(series);
        let step = first.rotate_left(u64::BITS / 2) | 1;
        (0..BITS_PER_SERIES).map(move |n| {
            let bit = first.wrapping_add(step.wrapping_mul(n)) >> (u64::BITS - FILTER_BITS_LOG2);
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }
}

impl View {
    /// Stages changes to the index. The series that they refer to are noted before a reader can see them.
    pub(super) fn stage(&self, changes: Vec<Change>, end: Position) -> Result<(), StoreError> {
        let of_search = changes.iter().filter(|change| change.table == Table::Search);
        let referred = of_search.filter_map(|change| search::linked_series(&change.key));
        referred.for_each(|series| self.references.note(series));
        self.index.stage(changes, end)
    }

    /// Returns false only if no record here refers to a series in a slot that is open.
    pub fn may_be_referred_to(&self, series: SeriesId) -> Result<bool, JournalError> {
        let filter = &self.references;
        let is_complete =
            filter.is_complete.load(atomic::Ordering::Acquire) || self.read_references()?;
        Ok(!is_complete || filter.may_contain(series))
    }

    /// Reads the next references that stood in the index when it was opened; returns true once all were read.
    fn read_references(&self) -> Result<bool, JournalError> {
        let filter = &self.references;
        let mut unread = match filter.unread.try_lock() {
            Ok(unread) => unread,
            Err(TryLockError::Poisoned(unread)) => unread.into_inner(),
            // Another question reads at this moment.
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        let (mut keys, mut last) = (0, None);
        for pair in self.index.scan(Table::Search, &unread, Order::Ascending).take(KEYS_READ_MAX) {
            let (key, _) = pair?;
            search::linked_series(&key).into_iter().for_each(|series| filter.note(series));
            (keys, last) = (keys + 1, Some(key));
        }
        match last {
            Some(last) if keys == KEYS_READ_MAX => *unread = unread.behind(&last),
            _ => filter.is_complete.store(true, atomic::Ordering::Release),
        }
        Ok(filter.is_complete.load(atomic::Ordering::Acquire))
    }
}
