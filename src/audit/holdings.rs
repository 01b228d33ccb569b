//! The records that were accepted, in about 100 bytes each: a million of them take 100 MB.
//!
//! Rows stand in the order of acceptance in blocks that never move; a table of row numbers, probed
//! linearly, finds them by id. Ids are SHA-256, so their first bytes serve as the hash.

use super::replay::FactsNumber;
use crate::exchange::Provenance;
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp};
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use sha2::{Digest as _, Sha256};
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

    /// The row of an index; there are at most four billion.
    pub(super) const fn at(index: usize) -> Self {
        Self(index as u32)
    }
}

/// The state of a record that later entries depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: RecordId,
    /// The first half of its slots hash: to pass other slots for these takes 2^128 tries.
    pub(super) slots_hash: [u8; 16],
    /// The slots that are open here.
    pub(super) open: SlotMask,
    /// The facts of the record that policy may see.
    pub(super) facts: FactsNumber,
    pub(super) series: SeriesKey,
    pub(super) revision: u32,
    /// The next row of its series in descending order of revisions; `VACANT` at the end.
    below: u32,
    /// The number of the partner that it came from; 0 when it was submitted here.
    pub(super) partner: u16,
    pub(super) kind: Kind,
    /// The rest of its content so far.
    pub(super) content: ContentLeft,
    /// Its series has no other record, so nothing has to be looked up about that.
    pub(super) is_alone: bool,
}

/// The rest of the content of a record at its entries since the newest erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentLeft {
    All,
    /// Some of it was overwritten; an entry about the erasure must follow.
    Some,
    /// All of it was overwritten; likewise.
    Nothing,
}

impl ContentLeft {
    /// After the content at one entry.
    pub(super) const fn of(is_overwritten: bool) -> Self {
        if is_overwritten { Self::Nothing } else { Self::All }
    }

    /// After the content at one more entry.
    pub(super) fn and(self, is_overwritten: bool) -> Self {
        if self == Self::of(is_overwritten) { self } else { Self::Some }
    }

    /// Returns whether an erasure must follow.
    pub(super) fn awaits_erasure(self) -> bool {
        self != Self::All
    }

    /// Returns whether bytes are there that an erasure overwrites.
    pub(super) fn has_bytes(self) -> bool {
        self != Self::Nothing
    }
}

impl Row {
    pub(super) fn new(
        id: RecordId,
        slots_hash: [u8; 16],
        open: SlotMask,
        facts: FactsNumber,
        (kind, series, revision): (Kind, SeriesKey, u32),
    ) -> Self {
        let (below, partner, content, is_alone) = (VACANT, 0, ContentLeft::All, true);
        Self {
            id,
            slots_hash,
            open,
            facts,
            series,
            revision,
            below,
            partner,
            kind,
            content,
            is_alone,
        }
    }
}

/// The series of one originator: the beginning of a SHA-256 hash. Two of a million records have the
/// same by chance once in thirty million histories, and then the check is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeriesKey([u8; 8]);

impl SeriesKey {
    pub(super) fn new(series: SeriesId, originator: &AgencyName) -> Self {
        let mut hash = Sha256::new_with_prefix(series.as_bytes());
        hash.update(originator.as_str());
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self([a, b, c, d, e, f, g, h])
    }
}

/// All records that were accepted so far.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    blocks: Vec<Vec<Row>>,
    /// Row numbers; as many as a power of two, at most three quarters of them taken.
    table: Vec<u32>,
    /// The same for the row of each series that has the highest revision.
    newest: Vec<u32>,
    count: u32,
    /// The slots that were erased, of rows that lost any.
    erased: HashMap<u32, SlotMask>,
    /// The partner's permission for the use of a row, where it changed since acceptance.
    given: HashMap<u32, Provenance<u16>>,
    /// The end of the time for which a record may be kept, of rows whose header has one.
    retain_until: HashMap<u32, Timestamp>,
    /// The slots that partners gave of rows which are used by another's leave.
    provenance: HashMap<(u32, u16), SlotMask>,
}

impl Holdings {
    pub(super) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Adds a record; `None` if it is here already, or if four billion are.
    pub(super) fn insert(&mut self, mut row: Row) -> Option<RowNumber> {
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
        let place = self.probe_series(&row.series);
        self.link(place, number, &mut row);
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

    /// Puts a row that is about to be added into its series, above the first that has no higher
    /// revision.
    fn link(&mut self, place: usize, number: u32, row: &mut Row) {
        let (mut above, mut below) = (VACANT, self.newest[place]);
        if below != VACANT {
            row.is_alone = false;
            self.row_mut(RowNumber(below)).is_alone = false;
        }
        while below != VACANT && self.row(below).revision > row.revision {
            above = below;
            below = self.row(below).below;
        }
        row.below = below;
        match above {
            VACANT => self.newest[place] = number,
            above => self.row_mut(RowNumber(above)).below = number,
        }
    }

    /// Returns the rows of a record's series, the highest revisions first.
    pub(super) fn series_of(&self, row: &Row) -> impl Iterator<Item = RowNumber> {
        let first = match self.newest.is_empty() {
            true => VACANT,
            false => self.newest[self.probe_series(&row.series)],
        };
        let some = |number: u32| (number != VACANT).then_some(number);
        std::iter::successors(some(first), move |number| some(self.row(*number).below))
            .map(RowNumber)
    }

    /// Returns the newest rows of a record's series: more than one where they have the same revision.
    pub(super) fn newest_of(&self, row: &Row) -> impl Iterator<Item = RowNumber> {
        let mut rows = self.series_of(row).peekable();
        let last = rows.peek().map(|first| self.at(*first).revision);
        rows.take_while(move |number| Some(self.at(*number).revision) == last)
    }

    /// The slots of a record that were erased here.
    pub(super) fn erased(&self, number: RowNumber) -> SlotMask {
        self.erased.get(&number.0).copied().unwrap_or_default()
    }

    /// Returns the partner's permission for the use of a record; `None` if it was submitted here.
    pub(super) fn given(&self, number: RowNumber) -> Option<Provenance<u16>> {
        let row = self.row(number.0);
        let first = || (row.partner != 0).then(|| Provenance::new(row.partner, row.open));
        self.given.get(&number.0).copied().or_else(first)
    }

    /// The slots that a partner gave; `None` if it never gave the row.
    pub(super) fn given_by(&self, number: RowNumber, partner: u16) -> Option<SlotMask> {
        let first = self.given(number).filter(|given| given.from == partner);
        let beside = self.provenance.get(&(number.0, partner)).copied();
        first.map(|given| given.slots).into_iter().chain(beside).reduce(SlotMask::or)
    }

    pub(super) fn add_provenance(&mut self, number: RowNumber, partner: u16, slots: SlotMask) {
        let known = self.provenance.entry((number.0, partner)).or_default();
        *known = known.or(slots);
    }

    pub(super) fn give(&mut self, number: RowNumber, given: Provenance<u16>) {
        if let Some(before) = self.given(number).filter(|before| before.from != given.from) {
            self.add_provenance(number, before.from, before.slots);
        }
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

    /// Returns the first record whose content was overwritten without an entry that gives the
    /// reason.
    pub(super) fn overwritten(&self) -> Option<&Row> {
        self.blocks.iter().flatten().find(|row| row.content.awaits_erasure())
    }

    pub(super) fn at(&self, number: RowNumber) -> &Row {
        self.row(number.0)
    }

    fn row(&self, number: u32) -> &Row {
        &self.blocks[number as usize / BLOCK_ROWS][number as usize % BLOCK_ROWS]
    }

    /// Returns the position of the id in the table, or the vacant position for it.
    fn probe(&self, id: &RecordId) -> usize {
        let mask = self.table.len() - 1;
        let mut at = hash(id) & mask;
        while self.table[at] != VACANT && self.row(self.table[at]).id != *id {
            at = (at + 1) & mask;
        }
        at
    }

    /// The same for a series.
    fn probe_series(&self, series: &SeriesKey) -> usize {
        let mask = self.newest.len() - 1;
        let mut at = hash_series(series) & mask;
        while self.newest[at] != VACANT && self.row(self.newest[at]).series != *series {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        let newest: Vec<u32> =
            self.newest.iter().copied().filter(|number| *number != VACANT).collect();
        self.newest = vec![VACANT; (self.table.len() * 2).max(1024)];
        for number in newest {
            let at = self.probe_series(&self.row(number).series);
            self.newest[at] = number;
        }
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

fn hash_series(SeriesKey(bytes): &SeriesKey) -> usize {
    u64::from_le_bytes(*bytes) as usize
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
        revision(id, id, 1)
    }

    fn revision(id: u16, series: u16, revision: u32) -> Row {
        // Few different starts, so that the tables have to probe.
        let mut bytes = [0; 32];
        bytes[0] = (id % 7) as u8;
        bytes[30..].copy_from_slice(&id.to_be_bytes());
        let mut key = [0; 8];
        key[0] = (series % 7) as u8;
        key[6..].copy_from_slice(&series.to_be_bytes());
        let facts = FactsNumber::FIRST;
        let place = (Kind::Note, SeriesKey(key), revision);
        Row::new(RecordId::from_bytes(bytes), [1; 16], SlotMask::NONE, facts, place)
    }

    #[test]
    fn a_record_takes_at_most_102_bytes() {
        // At worst each table has 8/3 places of 4 bytes for each row.
        assert!(size_of::<Row>() + 22 <= 102, "{}", size_of::<Row>());
    }

    #[test]
    fn the_newest_revision_of_a_series_is_found_in_whatever_order_they_came() {
        let revisions = [(1, 1), (2, 2), (3, 4), (4, 4), (5, 3)];
        for turned in 0..revisions.len() {
            let mut holdings = Holdings::default();
            let mut order = revisions;
            order.rotate_left(turned);
            for (id, number) in order {
                holdings.insert(revision(id, 9, number)).unwrap();
                holdings.insert(revision(id + 10, id + 10, 1)).unwrap();
            }
            let ids = |rows: Vec<RowNumber>| {
                let mut ids: Vec<_> = rows.iter().map(|number| holdings.at(*number).id).collect();
                ids.sort();
                ids
            };
            let of = revision(1, 9, 1);
            let mut newest = vec![row(3).id, row(4).id];
            newest.sort();
            assert_eq!(ids(holdings.newest_of(&of).collect()), newest);
            assert_eq!(holdings.series_of(&of).count(), revisions.len());
            let all = holdings.series_of(&of).map(|number| holdings.at(number).revision);
            assert!(all.collect::<Vec<_>>().is_sorted_by(|above, below| above >= below));
            assert_eq!(holdings.newest_of(&row(12)).count(), 1);
        }
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
