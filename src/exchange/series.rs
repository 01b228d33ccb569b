//! The decision on a series as a whole, by its newest revision.
//!
//! A partner may have of a series what its newest revision allows; where two revisions are as new as
//! each other, what both allow. Every caller decides the newest revisions one by one and combines the
//! verdicts here: the feed, the moment of sending, explanations, comparisons, the auditor's replay.

use super::disclosed::Allowed;
use crate::record::kind::{ClassSet, Kind};

/// The verdict on a newest revision, or on a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesVerdict {
    /// These classes of fields; never without `Core`.
    Shown(ClassSet),
    /// Nothing more, and nothing is taken back: the newest revision has expired at the partner, or is
    /// under a hold, or its release waits.
    Unchanged,
    /// Nothing of any revision.
    Denied,
    /// The series is withdrawn: the withdrawal for what the partner has, and nothing else.
    Withdrawn,
}

/// The place of a revision in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// No other is newer.
    Newest,
    Older,
}

impl SeriesVerdict {
    /// Returns the verdict on a series from those on its newest revisions; `None` without any.
    pub fn of(newest: impl IntoIterator<Item = Self>) -> Option<Self> {
        newest.into_iter().reduce(Self::and)
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Withdrawn, _) | (_, Self::Withdrawn) => Self::Withdrawn,
            (Self::Denied, _) | (_, Self::Denied) => Self::Denied,
            (Self::Unchanged, _) | (_, Self::Unchanged) => Self::Unchanged,
            (Self::Shown(one), Self::Shown(other)) => Self::Shown(one.intersection(other)),
        }
    }

    /// Limits what may be shown of one revision, other than a withdrawal, to what the series allows.
    #[must_use]
    pub fn limit(self, own: Allowed, kind: Kind, place: Place) -> Allowed {
        match (self, own) {
            (Self::Denied, _) | (_, Allowed::Nothing) => Allowed::Nothing,
            (Self::Withdrawn | Self::Unchanged, _) | (_, Allowed::AsItIs) => Allowed::AsItIs,
            (
                Self::Shown(classes),
                Allowed::Slots { open, erased } | Allowed::Kept { open, erased },
            ) => {
                let open = open.and(kind.slots_of(classes));
                match place {
                    Place::Newest => Allowed::Slots { open, erased },
                    Place::Older => Allowed::Kept { open, erased },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SeriesVerdict::{Denied, Shown, Unchanged, Withdrawn};
    use super::*;
    use crate::record::kind::SlotClass;
    use crate::record::slots::SlotMask;
    use proptest::prelude::*;

    const NOTES: ClassSet = ClassSet::CORE.with(SlotClass::Notes);
    const LINKS: ClassSet = ClassSet::CORE.with(SlotClass::Links);

    fn slots(classes: ClassSet) -> Allowed {
        Allowed::Slots { open: Kind::Indicator.slots_of(classes), erased: SlotMask::NONE }
    }

    fn kept(classes: ClassSet) -> Allowed {
        Allowed::Kept { open: Kind::Indicator.slots_of(classes), erased: SlotMask::NONE }
    }

    #[test]
    fn a_series_shows_what_all_its_newest_revisions_show() {
        assert_eq!(SeriesVerdict::of([]), None);
        assert_eq!(SeriesVerdict::of([Shown(NOTES)]), Some(Shown(NOTES)));
        assert_eq!(SeriesVerdict::of([Shown(NOTES), Shown(LINKS)]), Some(Shown(ClassSet::CORE)));
        assert_eq!(SeriesVerdict::of([Shown(NOTES), Unchanged]), Some(Unchanged));
        assert_eq!(SeriesVerdict::of([Unchanged, Denied]), Some(Denied));
        assert_eq!(SeriesVerdict::of([Denied, Withdrawn]), Some(Withdrawn));
    }

    #[test]
    fn an_older_revision_has_at_most_what_the_newest_allows() {
        let older = |series: SeriesVerdict, own| series.limit(own, Kind::Indicator, Place::Older);
        assert_eq!(older(Denied, slots(NOTES)), Allowed::Nothing);
        assert_eq!(older(Shown(LINKS), slots(NOTES)), kept(ClassSet::CORE));
        assert_eq!(older(Shown(NOTES), Allowed::Nothing), Allowed::Nothing);
        assert_eq!(older(Shown(NOTES), Allowed::AsItIs), Allowed::AsItIs);
        assert_eq!(older(Withdrawn, slots(NOTES)), Allowed::AsItIs);
        assert_eq!(older(Unchanged, slots(NOTES)), Allowed::AsItIs);
        assert_eq!(older(Denied, Allowed::AsItIs), Allowed::Nothing);
    }

    #[test]
    fn a_newest_revision_in_conflict_is_disclosed_as_far_as_the_other_allows() {
        let newest = |series: SeriesVerdict, own| series.limit(own, Kind::Indicator, Place::Newest);
        assert_eq!(newest(Shown(ClassSet::CORE), slots(NOTES)), slots(ClassSet::CORE));
        assert_eq!(newest(Denied, slots(NOTES)), Allowed::Nothing);
    }

    fn any_verdict() -> impl Strategy<Value = SeriesVerdict> {
        prop_oneof![
            prop::sample::select(vec![ClassSet::CORE, NOTES, LINKS, NOTES.union(LINKS)])
                .prop_map(Shown),
            Just(Unchanged),
            Just(Denied),
            Just(Withdrawn),
        ]
    }

    proptest! {
        #[test]
        fn the_order_of_conflicting_revisions_does_not_matter(
            (one, other) in prop::collection::vec(any_verdict(), 1..5)
                .prop_flat_map(|found| (Just(found.clone()), Just(found).prop_shuffle())),
        ) {
            prop_assert_eq!(SeriesVerdict::of(one), SeriesVerdict::of(other));
        }

        #[test]
        fn no_revision_shows_more_than_any_newest_one(
            found in prop::collection::vec(any_verdict(), 1..5),
            own in prop::sample::select(vec![ClassSet::CORE, NOTES, LINKS]),
            place in prop::sample::select(vec![Place::Newest, Place::Older]),
        ) {
            let series = SeriesVerdict::of(found.clone()).unwrap();
            let limited = series.limit(slots(own), Kind::Indicator, place);
            if let Allowed::Slots { open, .. } | Allowed::Kept { open, .. } = limited {
                for one in found {
                    let Shown(classes) = one else { panic!("{one:?} shows nothing") };
                    prop_assert!(open.without(Kind::Indicator.slots_of(classes)).is_empty());
                }
            }
        }
    }
}
