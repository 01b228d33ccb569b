//! The disclosures of a record to one partner, and the entries that its feed still requires.
//!
//! A function of what the feed says so far and of what may be shown now, so that a live record, a
//! rescan after another policy and an auditor's question come to the same. It decides nothing about
//! policy and sends nothing.

use super::entry::{FeedAction, WHOLE_RECORD};
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;

/// The sum of a feed's entries about one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disclosed {
    /// The slots that the partner may use.
    pub slots: SlotMask,
    /// The slots that ever left and were not ordered to be erased: an erasure is about these.
    pub given: SlotMask,
    /// The whole record was taken back.
    pub is_retracted: bool,
    /// The last entry that shows it went without its envelope, so that the partner may not have it.
    pub is_lapsed: bool,
    /// The partner refused the last entry that shows it, so that it may not have it. It is due again
    /// when it is offered anew.
    pub is_refused: bool,
    /// It was given in a feed that the present one succeeds, and this one shows it nowhere, though it
    /// may say that something of it is taken back or to be erased.
    pub is_earlier: bool,
}

/// The part of a record that may be shown now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// These slots, which are here. Those that are erased here are nobody's to take back.
    Slots { open: SlotMask, erased: SlotMask },
    /// These slots as far as the partner has them: the record has a newer revision, so nothing of it
    /// is disclosed anew.
    Kept { open: SlotMask, erased: SlotMask },
    /// Nothing, not even its header.
    Nothing,
    /// Nothing more, and nothing is taken back either: the partner is paused, the record has
    /// expired or is under a hold.
    AsItIs,
}

/// The entries that a feed still requires about one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed {
    taken_back: Option<SlotMask>,
    shown: Option<(FeedAction, SlotMask)>,
}

impl Owed {
    /// In their order: what is taken back comes first.
    pub fn entries(self) -> impl Iterator<Item = (FeedAction, SlotMask)> {
        let taken_back = self.taken_back.map(|slots| (FeedAction::Retract, slots));
        taken_back.into_iter().chain(self.shown)
    }
}

impl Disclosed {
    /// Returns the state of a record that was given in feeds that the present one succeeds. A slot
    /// that was taken back there may have been shown again by entries that are lost. So all of them
    /// may be in use.
    pub const fn earlier(given: SlotMask) -> Self {
        Self {
            slots: given,
            given,
            is_retracted: false,
            is_lapsed: false,
            is_refused: false,
            is_earlier: true,
        }
    }

    /// After one more entry of the feed about the record.
    #[must_use]
    pub fn after(before: Option<Self>, action: FeedAction, slots: SlotMask) -> Self {
        // What takes away without anything before it speaks of a feed that was succeeded.
        let before = before.unwrap_or(Self { is_earlier: true, ..Self::default() });
        match action {
            FeedAction::Disclose | FeedAction::Revise | FeedAction::Withdraw => Self {
                slots: before.slots.or(slots),
                given: before.given.or(slots),
                is_retracted: false,
                is_lapsed: false,
                is_refused: false,
                is_earlier: false,
            },
            FeedAction::Retract => Self {
                slots: before.slots.without(slots),
                is_retracted: before.is_retracted || slots == WHOLE_RECORD,
                is_refused: before.is_refused && slots != WHOLE_RECORD,
                is_earlier: before.is_earlier && slots != WHOLE_RECORD,
                ..before
            },
            FeedAction::Erase => Self {
                slots: before.slots.without(slots),
                given: before.given.without(slots),
                ..before
            },
            // It tells what the sender erased at the partner's own word.
            FeedAction::Erased => before,
            // It may name a record that was never disclosed here.
            FeedAction::ConsentRequest | FeedAction::Consent => before,
        }
    }

    /// Returns the state after a receipt that the last entry that shows it came without an
    /// envelope.
    #[must_use]
    pub const fn lapsed(self) -> Self {
        Self { is_lapsed: !self.is_retracted, ..self }
    }

    /// Returns the slots that the partner may use and may no longer have. What is erased here is not
    /// taken back.
    const fn lost(&self, open: SlotMask, erased: SlotMask) -> SlotMask {
        self.slots.without(open).without(erased)
    }

    /// Returns the state after a receipt in which the partner refused the last entry that shows it.
    #[must_use]
    pub const fn refused(self) -> Self {
        Self { is_refused: !self.is_retracted, ..self }
    }

    /// Returns the state after a new offer: a refused record is due as if it had gone without its
    /// envelope.
    #[must_use]
    pub const fn offered_again(self) -> Self {
        Self { is_lapsed: self.is_lapsed || self.is_refused, ..self }
    }

    /// Returns true if the partner may use any of it.
    pub const fn is_live(&self) -> bool {
        !self.is_retracted
    }
}

/// Returns the entries that the feed still requires for a record of this kind. Nothing is due
/// twice: a second question after a restart gets an empty answer.
pub fn owed(before: Option<Disclosed>, kind: Kind, allowed: Allowed) -> Owed {
    let is_withdrawal = kind == Kind::Withdrawal;
    let anew = if is_withdrawal { FeedAction::Withdraw } else { FeedAction::Disclose };
    match (before, allowed) {
        (_, Allowed::AsItIs) | (None, Allowed::Nothing | Allowed::Kept { .. }) => Owed::default(),
        (None, Allowed::Slots { open, .. }) => {
            Owed { shown: Some((anew, open)), ..Owed::default() }
        }
        (Some(before), Allowed::Nothing) => Owed {
            // That something is withdrawn stays true.
            taken_back: (before.is_live() && !is_withdrawal).then_some(WHOLE_RECORD),
            shown: None,
        },
        (Some(before), Allowed::Kept { .. }) if !before.is_live() => Owed::default(),
        (Some(before), Allowed::Kept { open, erased }) => {
            let lost = before.lost(open, erased);
            // Nothing in the present feed shows which slots are left of an earlier one.
            let taken_back = if before.is_earlier { WHOLE_RECORD } else { lost };
            Owed { taken_back: (!lost.is_empty()).then_some(taken_back), shown: None }
        }
        (Some(before), Allowed::Slots { open, erased }) => {
            let lost = before.lost(open, erased);
            let gained = !open.without(before.slots).is_empty();
            let shown = match before {
                Disclosed { is_retracted: true, .. } | Disclosed { is_earlier: true, .. } => {
                    Some((anew, open))
                }
                Disclosed { is_lapsed: true, .. } => Some((FeedAction::Revise, open)),
                _ => gained.then_some((FeedAction::Revise, open)),
            };
            Owed { taken_back: (!lost.is_empty()).then_some(lost), shown }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(bits: u32) -> SlotMask {
        SlotMask::from_bits(bits)
    }

    fn open(bits: u32) -> Allowed {
        Allowed::Slots { open: mask(bits), erased: SlotMask::NONE }
    }

    /// Returns the actions and masks that are due, and the disclosed state after them.
    fn bring(
        before: Option<Disclosed>,
        allowed: Allowed,
    ) -> (Vec<(FeedAction, u32)>, Option<Disclosed>) {
        let (mut said, mut after) = (Vec::new(), before);
        for (action, slots) in owed(before, Kind::Note, allowed).entries() {
            said.push((action, slots.bits()));
            after = Some(Disclosed::after(after, action, slots));
        }
        (said, after)
    }

    #[test]
    fn a_record_is_shown_widened_narrowed_taken_back_and_shown_again() {
        let steps = [
            (Allowed::Nothing, vec![]),
            (open(0b0010), vec![(FeedAction::Disclose, 0b0010)]),
            (open(0b0110), vec![(FeedAction::Revise, 0b0110)]),
            (open(0b1010), vec![(FeedAction::Retract, 0b0100), (FeedAction::Revise, 0b1010)]),
            (Allowed::AsItIs, vec![]),
            (Allowed::Nothing, vec![(FeedAction::Retract, WHOLE_RECORD.bits())]),
            (Allowed::Nothing, vec![]),
            (open(0b0010), vec![(FeedAction::Disclose, 0b0010)]),
        ];
        let mut disclosed = None;
        for (allowed, wanted) in steps {
            let (said, after) = bring(disclosed, allowed);
            assert_eq!(said, wanted, "{disclosed:?} and {allowed:?}");
            disclosed = after;
        }
        assert_eq!(disclosed.unwrap().given, mask(0b1110));
    }

    #[test]
    fn what_went_without_its_envelope_is_owed_again_and_what_is_erased_is_not_taken_back() {
        let disclosed = bring(None, open(0b0110)).1.unwrap();
        let lapsed = Some(disclosed.lapsed());
        assert_eq!(bring(lapsed, open(0b0110)).0, [(FeedAction::Revise, 0b0110)]);
        assert_eq!(bring(lapsed, Allowed::AsItIs).0, []);
        let erased = Allowed::Slots { open: mask(0b0010), erased: mask(0b0100) };
        assert_eq!(bring(Some(disclosed), erased).0, []);
        let retracted = bring(Some(disclosed), Allowed::Nothing).1.unwrap();
        assert_eq!(retracted.lapsed(), retracted);
        assert_eq!(retracted.given, disclosed.given, "an erasure must still reach it");
    }

    #[test]
    fn what_was_refused_is_owed_once_more_when_it_is_offered_again_and_not_before() {
        let shown = bring(None, open(0b0110)).1.unwrap();
        let refused = shown.refused();
        assert_eq!(bring(Some(refused), open(0b0110)).0, []);
        let again = refused.offered_again();
        let (said, after) = bring(Some(again), open(0b0110));
        assert_eq!(said, [(FeedAction::Revise, 0b0110)]);
        assert_eq!(after, Some(shown));
        assert_eq!(shown.offered_again(), shown);
        let gone = bring(Some(refused), Allowed::Nothing).1.unwrap();
        assert_eq!((gone.is_refused, gone.refused()), (false, gone));
    }

    #[test]
    fn what_an_earlier_feed_gave_is_taken_back_or_shown_anew_in_this_one() {
        let earlier = Some(Disclosed::earlier(mask(0b0110)));
        assert_eq!(bring(earlier, Allowed::AsItIs).0, []);
        let gone = [(FeedAction::Retract, WHOLE_RECORD.bits())];
        assert_eq!(bring(earlier, Allowed::Nothing).0, gone);
        assert_eq!(bring(earlier, open(0b0110)).0, [(FeedAction::Disclose, 0b0110)]);
        let narrower = [(FeedAction::Retract, 0b0100), (FeedAction::Disclose, 0b1010)];
        assert_eq!(bring(earlier, open(0b1010)).0, narrower);
        let erased = Allowed::Slots { open: mask(0b0010), erased: mask(0b0100) };
        assert_eq!(bring(earlier, erased).0, [(FeedAction::Disclose, 0b0010)]);
        let told = owed(earlier, Kind::Withdrawal, Allowed::Nothing);
        assert_eq!(told, Owed::default());
    }

    #[test]
    fn what_takes_away_shows_nothing_in_the_feed_that_says_it() {
        let ordered = Disclosed::after(None, FeedAction::Erase, mask(0b0100));
        assert!(ordered.is_earlier && ordered.given.is_empty());
        let less = Disclosed::after(Some(ordered), FeedAction::Retract, mask(0b0010));
        assert!(less.is_earlier);
        let shown = Disclosed::after(Some(less), FeedAction::Disclose, mask(0b1000));
        assert_eq!((shown.slots, shown.given), (mask(0b1000), mask(0b1000)));
        assert!(!shown.is_earlier);
        let gone = Disclosed::after(Some(less), FeedAction::Retract, WHOLE_RECORD);
        assert!(gone.is_retracted && !gone.is_earlier);
    }

    #[test]
    fn an_older_revision_is_narrowed_and_never_disclosed_anew() {
        let kept = |bits| Allowed::Kept { open: mask(bits), erased: SlotMask::NONE };
        assert_eq!(bring(None, kept(0b0110)).0, []);
        let shown = bring(None, open(0b0110)).1;
        assert_eq!(bring(shown, kept(0b1110)).0, [], "no slot is added");
        let narrowed = bring(shown, kept(0b1010));
        assert_eq!(narrowed.0, [(FeedAction::Retract, 0b0100)]);
        assert_eq!(bring(narrowed.1, kept(0b1110)).0, [], "no slot comes back");
        let lapsed = shown.map(Disclosed::lapsed);
        assert_eq!(bring(lapsed, kept(0b0110)).0, [], "what did not arrive is not sent again");
        let gone = bring(shown, Allowed::Nothing).1;
        assert_eq!(bring(gone, kept(0b0110)).0, []);
        let erased = Allowed::Kept { open: mask(0b0010), erased: mask(0b0100) };
        assert_eq!(bring(shown, erased).0, []);
    }

    #[test]
    fn a_withdrawal_is_told_and_never_taken_back() {
        let told = owed(None, Kind::Withdrawal, open(0b10));
        assert_eq!(told.entries().collect::<Vec<_>>(), [(FeedAction::Withdraw, mask(0b10))]);
        let before = Disclosed::after(None, FeedAction::Withdraw, mask(0b10));
        let owed = owed(Some(before), Kind::Withdrawal, Allowed::Nothing);
        assert_eq!(owed, Owed::default());
    }

    proptest! {
        #[test]
        fn after_what_is_owed_the_partner_has_what_is_allowed_and_nothing_more_is_owed(
            before in prop::option::of(any::<u32>()),
            steps in prop::collection::vec((0..5_u8, any::<u32>(), any::<bool>()), 1..12),
        ) {
            let mut disclosed = before.map(|given| Disclosed::earlier(mask(given & 0xFFE)));
            for (sort, bits, lapses) in steps {
                let allowed = match sort {
                    0 => Allowed::Nothing,
                    1 => Allowed::AsItIs,
                    2 => Allowed::Kept { open: mask(bits & 0xFFE), erased: SlotMask::NONE },
                    _ => open(bits & 0xFFE),
                };
                let (said, after) = bring(disclosed, allowed);
                let live = after.filter(Disclosed::is_live).map(|after| after.slots);
                match allowed {
                    Allowed::Slots { open, .. } => prop_assert_eq!(live, Some(open)),
                    Allowed::Kept { open, .. } => {
                        let had = disclosed.filter(Disclosed::is_live);
                        let is_whole = had.is_some_and(|had| {
                            had.is_earlier && !had.slots.without(open).is_empty()
                        });
                        let left = had.filter(|_| !is_whole).map(|had| had.slots.and(open));
                        prop_assert_eq!(live, left);
                    }
                    Allowed::Nothing => prop_assert_eq!(live, None),
                    Allowed::AsItIs => prop_assert_eq!(after, disclosed),
                }
                prop_assert_eq!(bring(after, allowed).1, after);
                let begins = |(action, _): &(FeedAction, u32)| *action == FeedAction::Disclose;
                if disclosed.is_some_and(|disclosed| disclosed.is_earlier) {
                    let revises = said.iter().any(|(action, _)| *action == FeedAction::Revise);
                    prop_assert!(!revises, "nothing of it stands in this feed yet");
                    let is_open = matches!(allowed, Allowed::Slots { .. });
                    prop_assert_eq!(said.iter().any(begins), is_open);
                }
                disclosed = after.map(|after| if lapses { after.lapsed() } else { after });
            }
        }
    }
}
