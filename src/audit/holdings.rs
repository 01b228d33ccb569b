//! Which records are here, in about 64 bytes each, so that a million of them fit 64 MiB.
//!
//! Rows stand in the order of acceptance in blocks that never move; a table of row numbers, probed
//! linearly, finds them by id. Ids are SHA-256, so their first bytes serve as the hash.

use crate::ident::RecordId;
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;

const BLOCK_ROWS: usize = 1 << 14;
const VACANT: u32 = u32::MAX;

/// The number of a record in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowNumber(u32);

impl RowNumber {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What later entries need to know of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: RecordId,
    /// The first half of its slots hash: to pass other slots for these takes 2^128 tries.
    pub(super) slots_hash: [u8; 16],
    /// The slots that are open here.
    pub(super) open: SlotMask,
    pub(super) kind: Kind,
}

/// All records that were accepted so far.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    blocks: Vec<Vec<Row>>,
    /// Row numbers; as many as a power of two, at most three quarters of them taken.
    table: Vec<u32>,
    count: u32,
}

impl Holdings {
    pub(super) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Adds a record; `None` if it is here already, or if four billion are.
    pub(super) fn insert(&mut self, row: Row) -> Option<RowNumber> {
        if self.count == VACANT - 1 {
            return None;
        }
        if (self.count as usize + 1) * 4 > self.table.len() * 3 {
            self.grow();
        }
        let at = self.probe(&row.id);
        if self.table[at] != VACANT {
            return None;
        }
        let number = self.count;
        self.table[at] = number;
        self.count += 1;
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK_ROWS => block.push(row),
            _ => {
                let mut block = Vec::with_capacity(BLOCK_ROWS);
                block.push(row);
                self.blocks.push(block);
            }
        }
        Some(RowNumber(number))
    }

    pub(super) fn find(&self, id: &RecordId) -> Option<(RowNumber, &Row)> {
        if self.table.is_empty() {
            return None;
        }
        let number = self.table[self.probe(id)];
        (number != VACANT).then(|| (RowNumber(number), self.row(number)))
    }

    pub(super) fn open_more(&mut self, number: RowNumber, open: SlotMask) {
        self.blocks[number.index() / BLOCK_ROWS][number.index() % BLOCK_ROWS].open = open;
    }

    fn row(&self, number: u32) -> &Row {
        &self.blocks[number as usize / BLOCK_ROWS][number as usize % BLOCK_ROWS]
    }

    /// Where the id is in the table, or the vacant place where it would go.
    fn probe(&self, id: &RecordId) -> usize {
        let mask = self.table.len() - 1;
        let mut at = hash(id) & mask;
        while self.table[at] != VACANT && self.row(self.table[at]).id != *id {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        self.table = vec![VACANT; (self.table.len() * 2).max(1024)];
        let mask = self.table.len() - 1;
        for (number, row) in (0..).zip(self.blocks.iter().flatten()) {
            let mut at = hash(&row.id) & mask;
            while self.table[at] != VACANT {
                at = (at + 1) & mask;
            }
            self.table[at] = number;
        }
    }
}

fn hash(id: &RecordId) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn row(id: u16) -> Row {
        // Few different starts, so that the table has to probe.
        let mut bytes = [0; 32];
        bytes[0] = (id % 7) as u8;
        bytes[30..].copy_from_slice(&id.to_be_bytes());
        Row {
            id: RecordId::from_bytes(bytes),
            slots_hash: [1; 16],
            open: SlotMask::NONE,
            kind: Kind::Note,
        }
    }

    #[test]
    fn a_record_takes_at_most_64_bytes() {
        // At worst the table has 8/3 places of 4 bytes for each row.
        assert!(size_of::<Row>() + 11 <= 64 + 8, "{}", size_of::<Row>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_was_accepted_is_found_and_nothing_else(ids in prop::collection::vec(0..3_000_u16, 0..2_500)) {
            let mut holdings = Holdings::default();
            let mut model = HashMap::new();
            for id in ids {
                let added = holdings.insert(row(id));
                prop_assert_eq!(added.is_some(), !model.contains_key(&id));
                if let Some(number) = added {
                    model.insert(id, number);
                }
            }
            for id in 0..3_000 {
                let found = holdings.find(&row(id).id).map(|(number, _)| number);
                prop_assert_eq!(found, model.get(&id).copied());
            }
            prop_assert_eq!(holdings.count(), model.len() as u64);
        }
    }
}
