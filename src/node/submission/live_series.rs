//! The series that a draft goes on with: of those of one thing, the first that was not withdrawn.
//!
//! A withdrawal ends its series. A thing that is recorded again on purpose has a further series, whose
//! id its originator alone can compute. What was erased from any of them stays refused in all, and what is
//! under a hold is neither revised nor recorded again.

use crate::ident::{RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::record::draft::{Draft, REINSTATEMENTS_MAX, SeriesSecret};
use crate::record::slots::SlotMask;

/// The place of a draft among the series of the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LiveSeries {
    /// The series and its newest record; none of a series that begins with the draft.
    Open(SeriesId, Option<SeriesHead>),
    /// All series were withdrawn, and the draft does not ask for a new one.
    Withdrawn,
    /// All series were withdrawn, as many as there may be.
    Exhausted,
    /// The draft fills a slot that was erased for good.
    Erased,
    /// The draft would replace this record, which is under a hold and so neither served nor matched.
    Held(RecordId),
}

impl LiveSeries {
    /// Looks up the series of a draft with this fingerprint. `rests_on` takes every series that was looked
    /// up: the result holds while they do not change.
    pub(in crate::node) fn find(
        (draft, fingerprint): (&Draft, [u8; 32]),
        secret: &SeriesSecret,
        rests_on: &mut Vec<SeriesId>,
        mut head_of: impl FnMut(SeriesId) -> Result<Option<SeriesHead>, JournalError>,
        mut barred_of: impl FnMut(SeriesId) -> Result<SlotMask, JournalError>,
        mut held_of: impl FnMut(SeriesId, &SeriesHead) -> Result<Option<RecordId>, JournalError>,
    ) -> Result<Self, JournalError> {
        let mut is_after_withdrawal = false;
        let mut held = None;
        for reinstatements in 0..=REINSTATEMENTS_MAX {
            let series = draft.series_after(reinstatements, secret);
            rests_on.push(series);
            let head = head_of(series)?;
            if head.is_some_and(|head| head.barred)
                && !draft.filled_slots().and(barred_of(series)?).is_empty()
            {
                return Ok(Self::Erased);
            }
            match head {
                Some(head) if head.is_withdrawn() => {
                    is_after_withdrawal = true;
                    if draft.may_reinstate() {
                        held = held.or(held_of(series, &head)?);
                    }
                }
                None if is_after_withdrawal && !draft.may_reinstate() => {
                    return Ok(Self::Withdrawn);
                }
                None => return Ok(held.map_or(Self::Open(series, None), Self::Held)),
                // A repeat replaces nothing.
                Some(head) if head.fingerprint == Some(fingerprint) => {
                    return Ok(Self::Open(series, Some(head)));
                }
                Some(head) => {
                    let held = held_of(series, &head)?;
                    return Ok(held.map_or(Self::Open(series, Some(head)), Self::Held));
                }
            }
        }
        Ok(Self::Exhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::RecordId;
    use crate::pb;
    use crate::record::kind::Kind;
    use crate::record::slots::SlotNumber;
    use crate::testkit::{self, secret};
    use std::collections::HashMap;

    /// The state in which each series is left, one after the other.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum SeriesState {
        Stands,
        Withdrawn,
        /// Withdrawn, and its value erased.
        Erased,
        /// Withdrawn, and erased in a slot that the draft leaves empty.
        OtherSlotErased,
        /// Under a hold.
        Held,
        /// Under a hold, with the content of the draft.
        HeldAlike,
        /// Under a hold, and withdrawn.
        HeldWithdrawn,
    }

    const FINGERPRINT: [u8; 32] = [4; 32];
    const HELD: RecordId = RecordId::from_bytes([8; 32]);

    fn draft(reinstate: bool) -> Draft {
        let wire = testkit::indicator("evil.example", "");
        Draft::try_from(pb::Draft { reinstate, ..wire }).unwrap()
    }

    fn head(state: SeriesState) -> SeriesHead {
        let stands =
            matches!(state, SeriesState::Stands | SeriesState::Held | SeriesState::HeldAlike);
        SeriesHead {
            revision: 1,
            id: RecordId::from_bytes([1; 32]),
            kind: if stands { Kind::Indicator } else { Kind::Withdrawal },
            conflicting: false,
            barred: matches!(state, SeriesState::Erased | SeriesState::OtherSlotErased),
            fingerprint: (state == SeriesState::HeldAlike).then_some(FINGERPRINT),
        }
    }

    /// Returns the result and the number of series that it rests on.
    fn find(states: &[SeriesState], reinstate: bool) -> (LiveSeries, usize) {
        let draft = draft(reinstate);
        let mut heads = HashMap::new();
        for (number, state) in (0..).zip(states) {
            heads.insert(draft.series_after(number, &secret()), *state);
        }
        let filled = draft.filled_slots();
        let is_empty = |number: &SlotNumber| filled.and(SlotMask::NONE.with(*number)).is_empty();
        let empty = SlotNumber::of(Kind::Indicator).find(is_empty).unwrap();
        let barred = |series| match heads[&series] {
            SeriesState::Erased => filled,
            _ => SlotMask::NONE.with(empty),
        };
        let mut rests_on = Vec::new();
        let head_of = |series| Ok(heads.get(&series).map(|state| head(*state)));
        let held_of = |series: SeriesId, _: &SeriesHead| {
            let is_held = matches!(
                heads[&series],
                SeriesState::Held | SeriesState::HeldAlike | SeriesState::HeldWithdrawn
            );
            Ok(is_held.then_some(HELD))
        };
        let found = LiveSeries::find(
            (&draft, FINGERPRINT),
            &secret(),
            &mut rests_on,
            head_of,
            |series| Ok(barred(series)),
            held_of,
        );
        (found.unwrap(), rests_on.len())
    }

    #[test]
    fn a_draft_goes_on_with_the_first_series_that_was_not_withdrawn() {
        use SeriesState::{Erased, OtherSlotErased, Stands, Withdrawn};
        let open = |number, state: Option<SeriesState>| {
            let series = draft(false).series_after(number, &secret());
            (LiveSeries::Open(series, state.map(head)), usize::from(number) + 1)
        };
        for (states, without, with) in [
            (&[][..], open(0, None), open(0, None)),
            (&[Stands], open(0, Some(Stands)), open(0, Some(Stands))),
            (&[Withdrawn], (LiveSeries::Withdrawn, 2), open(1, None)),
            (&[Withdrawn, Stands], open(1, Some(Stands)), open(1, Some(Stands))),
            (&[Withdrawn, Withdrawn], (LiveSeries::Withdrawn, 3), open(2, None)),
            (&[Erased], (LiveSeries::Erased, 1), (LiveSeries::Erased, 1)),
            (&[Withdrawn, Erased], (LiveSeries::Erased, 2), (LiveSeries::Erased, 2)),
            (&[Erased, Stands], (LiveSeries::Erased, 1), (LiveSeries::Erased, 1)),
            (&[OtherSlotErased], (LiveSeries::Withdrawn, 2), open(1, None)),
        ] {
            assert_eq!(find(states, false), without, "{states:?}");
            assert_eq!(find(states, true), with, "{states:?} with the flag");
        }
    }

    #[test]
    fn a_series_under_a_hold_is_neither_revised_nor_recorded_again() {
        use SeriesState::{Held, HeldAlike, HeldWithdrawn, Stands, Withdrawn};
        let open = |number, state: Option<SeriesState>| {
            let series = draft(false).series_after(number, &secret());
            (LiveSeries::Open(series, state.map(head)), usize::from(number) + 1)
        };
        let held = |looked_up| (LiveSeries::Held(HELD), looked_up);
        for (states, without, with) in [
            (&[Held][..], held(1), held(1)),
            (&[HeldAlike], open(0, Some(HeldAlike)), open(0, Some(HeldAlike))),
            (&[Withdrawn, Held], held(2), held(2)),
            (&[HeldWithdrawn], (LiveSeries::Withdrawn, 2), held(2)),
            (&[HeldWithdrawn, Withdrawn], (LiveSeries::Withdrawn, 3), held(3)),
            (&[HeldWithdrawn, Stands], open(1, Some(Stands)), open(1, Some(Stands))),
        ] {
            assert_eq!(find(states, false), without, "{states:?}");
            assert_eq!(find(states, true), with, "{states:?} with the flag");
        }
    }

    #[test]
    fn a_thing_is_reinstated_so_many_times_and_no_more() {
        let mut states = vec![SeriesState::Withdrawn; usize::from(REINSTATEMENTS_MAX)];
        let last = draft(true).series_after(REINSTATEMENTS_MAX, &secret());
        assert_eq!(find(&states, true).0, LiveSeries::Open(last, None));
        states.push(SeriesState::Withdrawn);
        assert_eq!(find(&states, true).0, LiveSeries::Exhausted);
        assert_eq!(find(&states, false).0, LiveSeries::Exhausted);
    }
}
