//! A set of the records that an audit knows, by their rows.

use super::holdings::RowNumber;

/// A set of records, a bit for each row.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<u64>);

impl Rows {
    pub(super) fn insert(&mut self, row: RowNumber) {
        let word = row.index() / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (row.index() % 64);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    pub(super) fn remove(&mut self, row: RowNumber) {
        if let Some(word) = self.0.get_mut(row.index() / 64) {
            *word &= !(1 << (row.index() % 64));
        }
    }

    pub(super) fn has(&self, row: RowNumber) -> bool {
        let word = self.0.get(row.index() / 64);
        word.is_some_and(|bits| bits & 1 << (row.index() % 64) != 0)
    }
}
