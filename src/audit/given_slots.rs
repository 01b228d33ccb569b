//! The slots that a partner was given of each record, in a byte for each record.
//!
//! Records of one kind are mostly disclosed alike, so a feed has few different masks. Beyond
//! [`MASKS_MAX`] of them the records with rarer ones stand in a table of their own.

use super::holdings::RowNumber;
use crate::record::slots::SlotMask;
use std::collections::BTreeMap;

/// Different masks that a byte can name beside "never given" and "in the table".
const MASKS_MAX: usize = 254;
const RARE: u8 = u8::MAX;

/// The slots that were given of each record, if any ever were.
#[derive(Debug, Default)]
pub(super) struct GivenSlots {
    /// 0: never; k: the mask at k - 1; [`RARE`]: in the table.
    codes: Vec<u8>,
    masks: Vec<SlotMask>,
    rare: BTreeMap<RowNumber, SlotMask>,
}

impl GivenSlots {
    /// `None` for a record that was never given; no slots for one all of which were ordered erased.
    pub(super) fn of(&self, row: RowNumber) -> Option<SlotMask> {
        match self.codes.get(row.index()).copied()? {
            0 => None,
            RARE => self.rare.get(&row).copied(),
            code => self.masks.get(usize::from(code) - 1).copied(),
        }
    }

    pub(super) fn set(&mut self, row: RowNumber, slots: SlotMask) {
        if self.codes.len() <= row.index() {
            self.codes.resize(row.index() + 1, 0);
        }
        let known = self.masks.iter().position(|mask| *mask == slots);
        let place = known.or_else(|| {
            (self.masks.len() < MASKS_MAX).then(|| {
                self.masks.push(slots);
                self.masks.len() - 1
            })
        });
        let code = place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(RARE);
        if code == RARE {
            self.rare.insert(row, slots);
        }
        self.codes[row.index()] = code;
    }

    /// More slots of a record are given.
    pub(super) fn add(&mut self, row: RowNumber, slots: SlotMask) {
        let before = self.of(row).unwrap_or(SlotMask::NONE);
        self.set(row, before.or(slots));
    }

    /// Slots of a record, if it was given, are ordered erased.
    pub(super) fn remove(&mut self, row: RowNumber, slots: SlotMask) {
        if let Some(before) = self.of(row) {
            self.set(row, before.without(slots));
        }
    }

    /// The slots that either gave.
    pub(super) fn join(mut self, other: &Self) -> Self {
        for index in 0..other.codes.len() {
            let row = RowNumber::at(index);
            if let Some(slots) = other.of(row) {
                self.add(row, slots);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_come_back_as_they_were_given_however_many_masks_there_are(
            given in prop::collection::vec((0..400_usize, 0..2_000_u32), 0..900),
        ) {
            let (mut slots, mut model) = (GivenSlots::default(), BTreeMap::new());
            for (row, bits) in given {
                let mask = SlotMask::from_bits(bits << 1);
                slots.set(RowNumber::at(row), mask);
                model.insert(row, mask);
            }
            for row in 0..500 {
                prop_assert_eq!(slots.of(RowNumber::at(row)), model.get(&row).copied());
            }
            let joined = GivenSlots::default().join(&slots);
            for row in 0..500 {
                prop_assert_eq!(joined.of(RowNumber::at(row)), model.get(&row).copied());
            }
        }
    }
}
