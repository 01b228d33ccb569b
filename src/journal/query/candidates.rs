//! Journal indices that an index proposes, newest first.
//!
//! Whole terms are merged as they are scanned. A prefix or a span covers many terms whose journal
//! indices come in no order: those are gathered, the newest [`GATHER_MAX`] at a time.

use crate::journal::{JournalError, search};
use crate::store::{Index, IndexScan, KeyRange, Order, Table};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Journal indices in memory for one query: 512 KiB. With more, the spans are read once again for
/// each such number.
pub(super) const GATHER_MAX: usize = 65_536;

/// Journal indices, descending, each once.
pub(super) enum Candidates<'a> {
    Merge(Merge<'a>),
    Gather(Gather<'a>),
}

impl Iterator for Candidates<'_> {
    type Item = Result<u64, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Merge(merge) => merge.next_index().transpose(),
            Self::Gather(gather) => gather.next_index().transpose(),
        }
    }
}

/// Several whole terms at once.
pub(super) struct Merge<'a> {
    terms: Vec<TermScan<'a>>,
}

struct TermScan<'a> {
    scan: IndexScan<'a>,
    term: Vec<u8>,
    /// The journal index that comes next.
    head: Option<u64>,
}

impl TermScan<'_> {
    fn advance(&mut self) -> Result<(), JournalError> {
        self.head = None;
        for pair in self.scan.by_ref() {
            let (key, _) = pair?;
            // A longer term may lie in the same range.
            if key.len() == self.term.len() + 8 && key.starts_with(&self.term) {
                self.head = search::journal_index(&key);
                break;
            }
        }
        Ok(())
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        index: &'a Index,
        terms: Vec<Vec<u8>>,
        before: u64,
    ) -> Result<Self, JournalError> {
        let open = |term: Vec<u8>| {
            let range =
                KeyRange::between(search::key(term.clone(), 0), search::key(term.clone(), before));
            let scan = index.scan(Table::Search, &range, Order::Descending);
            let mut scan = TermScan { scan, term, head: None };
            scan.advance().map(|()| scan)
        };
        Ok(Self { terms: terms.into_iter().map(open).collect::<Result<_, _>>()? })
    }

    fn next_index(&mut self) -> Result<Option<u64>, JournalError> {
        let newest = self.terms.iter().filter_map(|term| term.head).max();
        if newest.is_some() {
            let there = self.terms.iter_mut().filter(|term| term.head == newest);
            there.into_iter().try_for_each(TermScan::advance)?;
        }
        Ok(newest)
    }
}

/// Ranges that cover many terms.
pub(super) struct Gather<'a> {
    index: &'a Index,
    ranges: Vec<KeyRange>,
    before: u64,
    most: usize,
    /// Ascending; taken from the end.
    gathered: Vec<u64>,
    /// Older ones did not fit.
    more: bool,
}

impl<'a> Gather<'a> {
    pub(super) fn new(index: &'a Index, ranges: Vec<KeyRange>, before: u64) -> Self {
        Self::at_most(index, ranges, before, GATHER_MAX)
    }

    pub(super) fn at_most(
        index: &'a Index,
        ranges: Vec<KeyRange>,
        before: u64,
        most: usize,
    ) -> Self {
        Self { index, ranges, before, most, gathered: Vec::new(), more: true }
    }

    fn next_index(&mut self) -> Result<Option<u64>, JournalError> {
        if self.gathered.is_empty() && self.more {
            self.gather()?;
        }
        Ok(self.gathered.pop())
    }

    fn gather(&mut self) -> Result<(), JournalError> {
        let mut newest = BinaryHeap::new();
        self.more = false;
        for range in &self.ranges {
            for pair in self.index.scan(Table::Search, range, Order::Ascending) {
                let (key, _) = pair?;
                let Some(index) = search::journal_index(&key) else { continue };
                if index < self.before {
                    newest.push(Reverse(index));
                }
                if newest.len() > self.most {
                    newest.pop();
                    self.more = true;
                }
            }
        }
        self.gathered = newest.into_iter().map(|Reverse(index)| index).collect();
        self.gathered.sort_unstable();
        self.gathered.dedup();
        self.before = self.gathered.first().copied().unwrap_or_default();
        Ok(())
    }
}

/// Returns true if a range holds at most `most` keys.
pub(super) fn is_narrow(
    index: &Index,
    range: &KeyRange,
    most: usize,
) -> Result<bool, JournalError> {
    let mut keys = 0;
    for pair in index.scan(Table::Search, range, Order::Ascending).take(most + 1) {
        pair?;
        keys += 1;
    }
    Ok(keys <= most)
}
