//! The records that were accepted, in about 85 bytes each: a million of them take 85 MB.
//!
//! Rows stand in the order of acceptance in blocks that never move; a table of row numbers, probed
//! linearly, finds them by id. Ids are SHA-256, so their first bytes serve as the hash.

use super::replay::FactsNumber;
use crate::exchange::Given;
use crate::ident::{RecordId, SeriesId, Timestamp};
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use std::collections::HashMap;

const BLOCK_ROWS: usize = 1 << 14;
const VACANT: u32 = u32::MAX;

/// The number of a record in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// The first half of its series id. Only the originator chooses that, so half of it is enough to
    /// tell the series of one originator apart.
    pub(super) series: [u8; 8],
    /// The slots that are open here.
    pub(super) open: SlotMask,
    /// What policy may see of it.
    pub(super) facts: FactsNumber,
    /// The row of its predecessor; `VACANT` without one, or when that was not here yet.
    previous: u32,
    /// The number of the partner that it came from; 0 when it was submitted here.
    pub(super) partner: u16,
    pub(super) kind: Kind,
    /// Its newest content was overwritten; an entry that says it was erased must follow.
    pub(super) is_overwritten: bool,
}

impl Row {
    pub(super) fn new(
        id: RecordId,
        slots_hash: [u8; 16],
        series: SeriesId,
        open: SlotMask,
        facts: FactsNumber,
        kind: Kind,
    ) -> Self {
        let (previous, partner) = (VACANT, 0);
        let [a, b, c, d, e, f, g, h, ..] = *series.as_bytes();
        let series = [a, b, c, d, e, f, g, h];
        Self { id, slots_hash, series, open, facts, previous, partner, kind, is_overwritten: false }
    }
}

/// All records that were accepted so far.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    blocks: Vec<Vec<Row>>,
    /// Row numbers; as many as a power of two, at most three quarters of them taken.
    table: Vec<u32>,
    count: u32,
    /// Predecessors of rows that came before them.
    late: HashMap<u32, RecordId>,
    /// The slots that were erased, of rows that lost any.
    erased: HashMap<u32, SlotMask>,
    /// By whose leave a row is used, where that changed since it was accepted.
    given: HashMap<u32, Given<u16>>,
    /// The end of the time for which a record may be kept, of rows whose header has one.
    retain_until: HashMap<u32, Timestamp>,
}

impl Holdings {
    pub(super) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Adds a record; `None` if it is here already, or if four billion are.
    pub(super) fn insert(&mut self, mut row: Row, previous: Option<RecordId>) -> Option<RowNumber> {
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
        if let Some(previous) = previous {
            match self.find(&previous) {
                Some((before, _)) => row.previous = before.0,
                None => drop(self.late.insert(number, previous)),
            }
        }
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

    /// The predecessor of a record, if it is here.
    pub(super) fn previous(&self, number: RowNumber) -> Option<RowNumber> {
        match self.row(number.0).previous {
            VACANT => self.late.get(&number.0).and_then(|id| Some(self.find(id)?.0)),
            before => Some(RowNumber(before)),
        }
    }

    /// The slots of a record that were erased here.
    pub(super) fn erased(&self, number: RowNumber) -> SlotMask {
        self.erased.get(&number.0).copied().unwrap_or_default()
    }

    /// By whose leave a record is used; `None` if it was submitted here.
    pub(super) fn given(&self, number: RowNumber) -> Option<Given<u16>> {
        let row = self.row(number.0);
        let first = || (row.partner != 0).then(|| Given::new(row.partner, row.open));
        self.given.get(&number.0).copied().or_else(first)
    }

    pub(super) fn give(&mut self, number: RowNumber, given: Given<u16>) {
        self.given.insert(number.0, given);
        let row = self.row_mut(number);
        row.open = row.open.without(given.retracted);
    }

    /// The time until which a record may be kept, by its signed header.
    pub(super) fn retain_until(&self, number: RowNumber) -> Option<Timestamp> {
        self.retain_until.get(&number.0).copied()
    }

    pub(super) fn keep_until(&mut self, number: RowNumber, until: Timestamp) {
        self.retain_until.insert(number.0, until);
    }

    pub(super) fn erase(&mut self, number: RowNumber, slots: SlotMask) {
        let erased = self.erased(number).or(slots);
        self.erased.insert(number.0, erased);
    }

    pub(super) fn row_mut(&mut self, number: RowNumber) -> &mut Row {
        &mut self.blocks[number.index() / BLOCK_ROWS][number.index() % BLOCK_ROWS]
    }

    /// The first record whose content was overwritten without an entry that says why.
    pub(super) fn overwritten(&self) -> Option<&Row> {
        self.blocks.iter().flatten().find(|row| row.is_overwritten)
    }

    pub(super) fn at(&self, number: RowNumber) -> &Row {
        self.row(number.0)
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
        let (facts, series) = (FactsNumber::FIRST, SeriesId::from_bytes([2; 16]));
        Row::new(RecordId::from_bytes(bytes), [1; 16], series, SlotMask::NONE, facts, Kind::Note)
    }

    #[test]
    fn a_record_takes_at_most_85_bytes() {
        // At worst the table has 8/3 places of 4 bytes for each row.
        assert!(size_of::<Row>() + 11 <= 85, "{}", size_of::<Row>());
    }

    #[test]
    fn predecessors_are_found_whichever_came_first() {
        let mut holdings = Holdings::default();
        let first = holdings.insert(row(1), None).unwrap();
        let third = holdings.insert(row(3), Some(row(2).id)).unwrap();
        assert_eq!(holdings.previous(third), None);
        let second = holdings.insert(row(2), Some(row(1).id)).unwrap();
        assert_eq!(holdings.previous(third), Some(second));
        assert_eq!(holdings.previous(second), Some(first));
        assert_eq!(holdings.previous(first), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_was_accepted_is_found_and_nothing_else(ids in prop::collection::vec(0..3_000_u16, 0..2_500)) {
            let mut holdings = Holdings::default();
            let mut model = HashMap::new();
            for id in ids {
                let added = holdings.insert(row(id), None);
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
