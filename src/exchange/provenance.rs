//! The partner whose permission decides the use of a received record, and the slots in use.
//!
//! A record is used by leave of the partner that gave it first, or of its originator once that
//! gave it itself. Nobody else's leave counts: two partners that have it from each other alone
//! would otherwise keep it in use for ever after its source took it back.

use super::entry::WHOLE_RECORD;
use crate::record::slots::SlotMask;

/// A record by leave of a partner; `P` names partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance<P> {
    /// The partner that permits the use.
    pub from: P,
    /// The slots that it gave and did not take back.
    pub slots: SlotMask,
    /// Slots that are here and no longer in use.
    pub retracted: SlotMask,
    /// The whole record is no longer in use.
    pub is_retracted: bool,
}

/// The effect of a retraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    Whole,
    Slots(SlotMask),
}

impl<P: Copy + Eq> Provenance<P> {
    pub const fn new(from: P, slots: SlotMask) -> Self {
        Self { from, slots, retracted: SlotMask::NONE, is_retracted: false }
    }

    /// Returns true if this partner, the originator or not, may bring back what was taken back.
    pub fn heeds(&self, partner: P, is_originator: bool) -> bool {
        self.from == partner || is_originator
    }

    /// After slots that were not here came from a partner.
    #[must_use]
    pub fn gained(mut self, from: P, slots: SlotMask) -> Self {
        if from == self.from {
            self.slots = self.slots.or(slots);
        }
        self.retracted = self.retracted.without(slots);
        self
    }

    /// Returns the state after the partner disclosed these slots, which are here; `None` if nothing
    /// changes or its permission does not count.
    pub fn again(self, from: P, slots: SlotMask, is_originator: bool) -> Option<Self> {
        if !self.heeds(from, is_originator) {
            return None;
        }
        let mut after = self;
        if self.is_retracted {
            // What it does not give again stays taken back.
            after.retracted = self.retracted.or(self.slots);
            after.slots = SlotMask::NONE;
        } else if from != self.from {
            after.slots = SlotMask::NONE;
        }
        after.from = from;
        after.slots = after.slots.or(slots);
        after.retracted = after.retracted.without(slots);
        after.is_retracted = false;
        (after != self).then_some(after)
    }

    /// Returns the effect of a partner's retraction of `slots`, limited to slots that are open here
    /// and that it `gave`. `None` if it changes nothing.
    pub fn taken_back(
        &self,
        from: P,
        slots: SlotMask,
        open: SlotMask,
        gave: SlotMask,
    ) -> Option<TakenBack> {
        let is_whole = slots == WHOLE_RECORD || slots.is_empty();
        if is_whole && from == self.from {
            return (!self.is_retracted).then_some(TakenBack::Whole);
        }
        let named = if is_whole { open } else { slots.and(open) };
        // What the one whose leave counts gave is not another's to take back.
        let theirs = if from == self.from { named } else { named.and(gave).without(self.slots) };
        let fresh = theirs.without(self.retracted);
        (!fresh.is_empty()).then_some(TakenBack::Slots(fresh))
    }

    #[must_use]
    pub fn after(mut self, taken_back: TakenBack) -> Self {
        match taken_back {
            TakenBack::Whole => self.is_retracted = true,
            TakenBack::Slots(slots) => {
                self.retracted = self.retracted.or(slots);
                self.slots = self.slots.without(slots);
            }
        }
        self
    }
}

/// Returns the slots of a record, of those that it has as `erased`, that a copy from a partner may open: by
/// its originator those that it marked so itself. What entries erased here, nobody opens. What a forwarder
/// marked is not among the erased slots, and anybody may open it.
pub const fn reopened(erased: SlotMask, by_entries: SlotMask, is_originator: bool) -> SlotMask {
    if is_originator { erased.without(by_entries) } else { SlotMask::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(bits: u32) -> SlotMask {
        SlotMask::from_bits(bits)
    }

    fn take(given: Provenance<u8>, from: u8, slots: SlotMask) -> Provenance<u8> {
        let all = mask(0b1110);
        given.taken_back(from, slots, all, all).map_or(given, |taken| given.after(taken))
    }

    #[test]
    fn the_first_giver_takes_back_and_gives_again() {
        let given = Provenance::new(1, mask(0b1110));
        let without = take(given, 1, mask(0b0100));
        assert_eq!((without.slots, without.retracted), (mask(0b1010), mask(0b0100)));
        let gone = take(without, 1, WHOLE_RECORD);
        assert!(gone.is_retracted);
        assert_eq!(gone.taken_back(1, WHOLE_RECORD, mask(0b1110), mask(0b1110)), None);
        let again = gone.again(1, mask(0b0010), false).unwrap();
        assert!(!again.is_retracted);
        assert_eq!((again.slots, again.retracted), (mask(0b0010), mask(0b1100)));
        assert_eq!(again.again(1, mask(0b0010), false), None);
    }

    #[test]
    fn a_third_partner_neither_takes_back_nor_brings_back() {
        let given = Provenance::new(1, mask(0b1110));
        assert_eq!(take(given, 2, WHOLE_RECORD), given);
        let gone = take(given, 1, WHOLE_RECORD);
        assert_eq!(gone.again(2, mask(0b1110), false), None);
    }

    #[test]
    fn a_partner_takes_back_no_slot_that_it_never_gave() {
        let given = Provenance::new(1, mask(0b0010)).gained(2, mask(0b0100));
        assert_eq!(given.taken_back(3, mask(0b0100), mask(0b0110), SlotMask::NONE), None);
        let theirs = given.taken_back(2, mask(0b0110), mask(0b0110), mask(0b0100));
        assert_eq!(theirs, Some(TakenBack::Slots(mask(0b0100))));
    }

    #[test]
    fn the_originator_s_leave_counts_once_it_gave_the_record_itself() {
        let given = Provenance::new(1, mask(0b1110));
        let own = given.again(9, mask(0b0010), true).unwrap();
        assert_eq!((own.from, own.retracted), (9, SlotMask::NONE));
        // The first giver takes back what only it gave.
        let less = take(own, 1, WHOLE_RECORD);
        assert_eq!((less.retracted, less.is_retracted), (mask(0b1100), false));
        let gone = take(own, 9, WHOLE_RECORD);
        assert!(gone.is_retracted);
        assert_eq!(gone.again(1, mask(0b1110), false), None);
    }

    #[test]
    fn slots_that_come_anew_are_in_use() {
        let given = take(Provenance::new(1, mask(0b0110)), 1, mask(0b0100));
        let gained = given.gained(1, mask(0b0100));
        assert_eq!((gained.slots, gained.retracted), (mask(0b0110), SlotMask::NONE));
    }
}
