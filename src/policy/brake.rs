//! The release brake: what is unusual about a disclosure, so that a person looks at it before it goes.
//!
//! Facts in, reasons out; nothing here allows anything that policy denies. Withdrawals and duties are
//! never held: what takes something back must not wait. A partner's normal is learnt in its first days:
//! until then nothing is unusual beside it, and what is sensitive waits for a person in any case.

use super::RecordFacts;
use super::baseline::{Baseline, Categories, OriginatorNumber};
use crate::ident::Timestamp;
use crate::record::kind::{ClassSet, SlotClass};
use crate::record::marking::{Marking, Tlp};
use std::fmt;
use std::str::FromStr;

/// The rule that makes a disclosure unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Unusual {
    /// Far more records of one originator on one day than this partner normally gets of it.
    Volume = 1,
    /// A kind of record that this partner was never given: of this agency, or of any other.
    NewKind = 2,
    /// Personal data.
    PersonalData = 3,
    /// The record revises one under a stricter marking.
    LoosenedMarking = 4,
    /// The partner is new and the record is sensitive.
    NewPartner = 5,
    /// Beside another rule: the record is of another agency. So own records are released and refused apart.
    PassedOn = 6,
}

/// The text names no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rule; rules are volume, new-kind, personal-data, loosened-marking and new-partner, and \
     passed-on beside one of them"
)]
pub struct UnknownRule(String);

impl Unusual {
    pub const ALL: [Self; 6] = [
        Self::Volume,
        Self::NewKind,
        Self::PersonalData,
        Self::LoosenedMarking,
        Self::NewPartner,
        Self::PassedOn,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::NewKind => "new-kind",
            Self::PersonalData => "personal-data",
            Self::LoosenedMarking => "loosened-marking",
            Self::NewPartner => "new-partner",
            Self::PassedOn => "passed-on",
        }
    }
}

impl FromStr for Unusual {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let named = Self::ALL.into_iter().find(|rule| rule.name() == text);
        named.ok_or_else(|| UnknownRule(text.to_owned()))
    }
}

/// The rules that a disclosure met; bit k is rule k. Disclosures that met the same are one bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Reasons(u32);

impl Reasons {
    pub const NONE: Self = Self(0);
    const KNOWN: u32 = 0b111_1110;
    const PASSED_ON: u32 = 1 << Unusual::PassedOn as u8;

    pub const fn bits(self) -> u32 {
        self.0
    }

    /// `None` if a bit stands for no rule, or none is set that holds a record by itself.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        let holds = bits & !Self::PASSED_ON != 0;
        if holds && bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }

    #[must_use]
    pub const fn with(self, rule: Unusual) -> Self {
        Self(self.0 | 1 << rule as u8)
    }

    pub const fn contains(self, rule: Unusual) -> bool {
        self.0 & 1 << rule as u8 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = Unusual::ALL.into_iter().filter(|rule| self.contains(*rule));
        f.write_str(&rules.map(Unusual::name).collect::<Vec<_>>().join("+"))
    }
}

impl FromStr for Reasons {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        text.split('+').try_fold(Self::NONE, |reasons, rule| Ok(reasons.with(rule.parse()?)))
    }
}

/// The condition under which personal data is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonalDataRule {
    Off,
    /// To a partner that was never given any.
    #[default]
    First,
    Always,
}

/// The records that wait for a person while a partner is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LearningRule {
    Off,
    /// More than core fields up to TLP:GREEN: see [`FirstDisclosure::is_sensitive`].
    #[default]
    Sensitive,
    All,
}

/// The limits beyond which a disclosure is unusual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakeLimits {
    /// Days after the first disclosure to a partner during which its normal is being learnt; what is
    /// unusual only beside a normal is not held until then, and `learning` holds.
    pub learning_days: u32,
    pub learning: LearningRule,
    /// Records of one originator that may go to a partner on one day (UTC) whatever its normal is.
    pub volume_floor: u64,
    /// As many times the busiest of the last 28 days may go on one day.
    pub volume_factor: u32,
    pub new_kind: bool,
    pub personal_data: PersonalDataRule,
    pub loosened_marking: bool,
}

impl Default for BrakeLimits {
    fn default() -> Self {
        Self {
            learning_days: 7,
            learning: LearningRule::Sensitive,
            volume_floor: 10_000,
            volume_factor: 10,
            new_kind: true,
            personal_data: PersonalDataRule::First,
            loosened_marking: true,
        }
    }
}

/// The revisions before a record whose markings count for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Predecessors {
    /// The markings of the newest that is not held, and of those that are held after it. A record that
    /// waits or was refused must not go under a looser marking, nor make one usual.
    pub markings: Vec<Marking>,
    /// More are held than are looked at, so it is not known what they restrict.
    pub are_more: bool,
}

impl Predecessors {
    fn are_loosened_by(&self, marking: &Marking) -> bool {
        self.are_more || self.markings.iter().any(|before| marking.is_looser_than(before))
    }
}

/// A first disclosure of a record to a partner.
#[derive(Debug, Clone, Copy)]
pub struct FirstDisclosure<'a> {
    pub record: &'a RecordFacts,
    pub marking: &'a Marking,
    pub originator: OriginatorNumber,
    /// Classes of the fields that would be shown and are not empty.
    pub shown: ClassSet,
    pub before: &'a Predecessors,
}

impl FirstDisclosure<'_> {
    /// Returns whether it shows more than core fields up to TLP:GREEN: personal data, a stricter label,
    /// a restriction in words, or a field of a sensitive class. A link shows no more than that its ends
    /// are shown, and does not count.
    pub fn is_sensitive(&self) -> bool {
        let plain = ClassSet::CORE.with(SlotClass::Links);
        self.record.personal_data
            || self.record.tlp > Tlp::Green
            || self.record.caveat
            || !self.shown.without(plain).is_empty()
    }
}

/// Returns why a record's first disclosure to a partner is to wait for a person; none: it may go. `going` are
/// the records of its originator that are about to go to it beside what [`Baseline`] counts.
pub fn unusual(
    limits: &BrakeLimits,
    baseline: &Baseline,
    going: u64,
    at: Timestamp,
    disclosure: &FirstDisclosure<'_>,
) -> Reasons {
    let FirstDisclosure { record, marking, originator, before, .. } = *disclosure;
    let mut reasons = Reasons::NONE;
    let is_known = baseline.is_known(at, limits.learning_days);
    let given = baseline.sorts.for_originator(originator);
    let (today, busiest) = baseline.counts(originator, at);
    let most = limits.volume_floor.max(busiest.saturating_mul(limits.volume_factor.into()));
    if is_known && today.saturating_add(going) >= most {
        reasons = reasons.with(Unusual::Volume);
    }
    let sorts = Categories::of(record.kind, record.personal_data);
    if limits.new_kind && is_known && given.kinds & sorts.kinds == 0 {
        reasons = reasons.with(Unusual::NewKind);
    }
    let is_personal = match limits.personal_data {
        PersonalDataRule::Off => false,
        PersonalDataRule::First => is_known && !given.personal_data,
        PersonalDataRule::Always => true,
    };
    if record.personal_data && is_personal {
        reasons = reasons.with(Unusual::PersonalData);
    }
    if limits.loosened_marking && before.are_loosened_by(marking) {
        reasons = reasons.with(Unusual::LoosenedMarking);
    }
    let waits = match limits.learning {
        LearningRule::Off => false,
        LearningRule::Sensitive => disclosure.is_sensitive(),
        LearningRule::All => true,
    };
    if waits && baseline.learning(limits, at).is_some() {
        reasons = reasons.with(Unusual::NewPartner);
    }
    if originator != OriginatorNumber::OWN && !reasons.is_empty() {
        reasons = reasons.with(Unusual::PassedOn);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::super::baseline::GivenCategories;
    use super::super::baseline::tests::{day, note, usual_of};
    use super::*;
    use crate::record::kind::Kind;
    use crate::testkit::policy as fixtures;
    use proptest::prelude::*;

    const OWN: OriginatorNumber = OriginatorNumber::OWN;
    const OTHER: OriginatorNumber = OriginatorNumber::numbered(7);
    const THIRD: OriginatorNumber = OriginatorNumber::numbered(8);

    fn facts(kind: Kind, personal_data: bool, tlp: Tlp) -> RecordFacts {
        RecordFacts { kind, personal_data, tlp, caveat: false, ..fixtures::record() }
    }

    fn marking(tlp: Tlp) -> Marking {
        let wire = crate::pb::Marking {
            tlp: crate::pb::Tlp::Clear.into(),
            pap: crate::pb::Pap::Clear.into(),
            ..Default::default()
        };
        Marking { tlp, ..wire.try_into().unwrap() }
    }

    /// Returns the reasons to hold an own record that shows core fields alone.
    fn held(
        limits: &BrakeLimits,
        baseline: &Baseline,
        going: u64,
        at: Timestamp,
        record: &RecordFacts,
        before: &[Tlp],
    ) -> Reasons {
        let markings = before.iter().copied().map(marking).collect();
        let before = Predecessors { markings, are_more: false };
        held_of(OWN, limits, baseline, going, at, record, &before)
    }

    fn held_of(
        originator: OriginatorNumber,
        limits: &BrakeLimits,
        baseline: &Baseline,
        going: u64,
        at: Timestamp,
        record: &RecordFacts,
        before: &Predecessors,
    ) -> Reasons {
        let marking = marking(record.tlp);
        let shown = ClassSet::CORE;
        let disclosure = FirstDisclosure { record, marking: &marking, originator, shown, before };
        unusual(limits, baseline, going, at, &disclosure)
    }

    /// Limits that hold nothing because a partner is new.
    fn learnt() -> BrakeLimits {
        BrakeLimits { learning: LearningRule::Off, ..BrakeLimits::default() }
    }

    fn plain() -> RecordFacts {
        facts(Kind::TakedownResult, false, Tlp::Green)
    }

    /// A partner that got so many plain own records on each of so many days.
    fn baseline(days: i64, daily: u64) -> Baseline {
        usual_of(OWN, days, daily)
    }

    fn reasons(baseline: &Baseline, going: u64, at: Timestamp, record: &RecordFacts) -> String {
        held(&learnt(), baseline, going, at, record, &[]).to_string()
    }

    fn reasons_of(
        originator: OriginatorNumber,
        baseline: &Baseline,
        going: u64,
        record: &RecordFacts,
    ) -> String {
        let before = Predecessors::default();
        held_of(originator, &learnt(), baseline, going, day(10), record, &before).to_string()
    }

    #[test]
    fn reasons_are_the_bits_of_their_rules_and_no_others() {
        for bits in (0..256).chain([u32::MAX, 1 << 31 | 0b10]) {
            let known = ![0, 1 << 6].contains(&bits) && (bits | 0b111_1110) == 0b111_1110;
            assert_eq!(Reasons::from_bits(bits).map(Reasons::bits), known.then_some(bits));
        }
        assert!(Reasons::NONE.is_empty());
        for rule in Unusual::ALL {
            let one = Reasons::NONE.with(rule);
            assert_eq!(
                (one.bits(), one.with(rule), one.is_empty()),
                (1 << rule as u32, one, false)
            );
            assert!(Unusual::ALL.into_iter().all(|other| one.contains(other) == (other == rule)));
        }
    }

    #[test]
    fn in_the_first_days_nothing_is_unusual_beside_a_normal() {
        let victim = facts(Kind::Subject, true, Tlp::Red);
        for at in 0..7 {
            assert_eq!(reasons(&Baseline::default(), 1_000_000, day(at), &victim), "");
            assert_eq!(reasons(&baseline(1, 66_000), 1_000_000, day(at), &victim), "");
        }
        assert_eq!(reasons(&baseline(1, 66_000), 0, day(7), &victim), "new-kind+personal-data");
    }

    #[test]
    fn far_more_than_the_busiest_day_is_unusual_and_a_known_bulk_is_not() {
        let small = baseline(10, 50);
        assert_eq!(reasons(&small, 9_999, day(10), &plain()), "");
        assert_eq!(reasons(&small, 10_000, day(10), &plain()), "volume");
        let vendor = baseline(1, 66_000);
        assert_eq!(reasons(&vendor, 659_999, day(10), &plain()), "");
        assert_eq!(reasons(&vendor, 660_000, day(10), &plain()), "volume");
        assert_eq!(reasons(&vendor, 10_000, day(29), &plain()), "volume", "that was long ago");
        // Four weeks later to the day it still counts, also when more went meanwhile.
        let mut again = vendor;
        note(&mut again, day(28), (OWN, 66_001), Categories::default());
        assert_eq!(reasons(&again, 659_998, day(28), &plain()), "");
        assert_eq!(reasons(&again, 659_999, day(28), &plain()), "volume");
    }

    #[test]
    fn what_went_today_counts_and_what_goes_now() {
        let mut today = baseline(10, 50);
        note(&mut today, day(10), (OWN, 500 + 9_000), Categories::default());
        assert_eq!(reasons(&today, 999, day(10), &plain()), "");
        assert_eq!(reasons(&today, 1_000, day(10), &plain()), "volume");
        assert_eq!(reasons(&today, 1_000, day(11), &plain()), "", "tomorrow it is the normal");
    }

    #[test]
    fn a_flood_of_one_originator_neither_takes_the_room_of_another_nor_becomes_its_normal() {
        let mut flooded = baseline(10, 50);
        let plain = plain();
        note(&mut flooded, day(9), (OTHER, 90_000), Categories::of(Kind::TakedownResult, false));
        note(&mut flooded, day(10), (OTHER, 990_000), Categories::default());
        assert_eq!(reasons_of(OTHER, &flooded, 0, &plain), "volume+passed-on");
        for (apart, held) in [(OWN, "volume"), (THIRD, "volume+passed-on")] {
            assert_eq!(reasons_of(apart, &flooded, 9_999, &plain), "", "{apart:?}");
            assert_eq!(reasons_of(apart, &flooded, 10_000, &plain), held);
        }
        // Nor do own records make those of others usual.
        let vendor = baseline(10, 66_000);
        assert_eq!(reasons_of(OWN, &vendor, 600_000, &plain), "");
        assert_eq!(reasons_of(OTHER, &vendor, 0, &plain), "new-kind+passed-on");
        let both = "volume+new-kind+passed-on";
        assert_eq!(reasons_of(OTHER, &vendor, 10_000, &plain), both);
    }

    #[test]
    fn kinds_and_personal_data_of_others_do_not_make_own_ones_usual() {
        let victim = facts(Kind::Subject, true, Tlp::Green);
        let mut known = baseline(10, 50);
        note(&mut known, day(9), (OTHER, 1), Categories::of(Kind::Subject, true));
        assert_eq!(reasons_of(OWN, &known, 0, &victim), "new-kind+personal-data");
        assert_eq!(reasons_of(THIRD, &known, 0, &victim), "", "a person looked at passing it on");
        let own = GivenCategories::of(OWN, Categories::of(Kind::Subject, true));
        known.note(day(9), [], own);
        assert_eq!(reasons_of(OWN, &known, 0, &victim), "");
    }

    #[test]
    fn personal_data_is_held_once_always_or_never() {
        let (victim, known) = (facts(Kind::TakedownResult, true, Tlp::Amber), baseline(10, 50));
        let under = |personal_data, baseline: &Baseline| {
            let limits = BrakeLimits { personal_data, ..BrakeLimits::default() };
            held(&limits, baseline, 0, day(10), &victim, &[]).contains(Unusual::PersonalData)
        };
        use PersonalDataRule::{Always, First, Off};
        assert_eq!([Off, First, Always].map(|rule| under(rule, &known)), [false, true, true]);
        let mut used = known.clone();
        note(&mut used, day(9), (OWN, 501), Categories::of(Kind::Subject, true));
        assert_eq!([Off, First, Always].map(|rule| under(rule, &used)), [false, false, true]);
        let fresh = Baseline::default();
        assert_eq!([Off, First, Always].map(|rule| under(rule, &fresh)), [false, false, true]);
    }

    #[test]
    fn a_revision_under_a_wider_tlp_waits_and_one_under_a_stricter_does_not() {
        for before in Tlp::ALL {
            for now in Tlp::ALL {
                let record = facts(Kind::Note, false, now);
                let limits = BrakeLimits::default();
                let found = held(&limits, &Baseline::default(), 0, day(0), &record, &[before]);
                let is_held = found.contains(Unusual::LoosenedMarking);
                assert_eq!(is_held, now < before, "{before:?} {now:?}");
            }
        }
    }

    #[test]
    fn a_revision_may_be_looser_than_none_of_those_before_it_and_waits_where_some_were_not_seen() {
        let of = |now, before: &[Tlp], are_more| {
            let record = facts(Kind::Note, false, now);
            let markings = before.iter().copied().map(marking).collect();
            let (limits, before) = (learnt(), Predecessors { markings, are_more });
            held_of(OWN, &limits, &Baseline::default(), 0, day(0), &record, &before).to_string()
        };
        // The newest first: the last one is not held.
        assert_eq!(of(Tlp::Clear, &[Tlp::Clear, Tlp::Green], false), "loosened-marking");
        assert_eq!(of(Tlp::Green, &[Tlp::Red, Tlp::Green], false), "loosened-marking");
        assert_eq!(of(Tlp::Green, &[Tlp::Clear, Tlp::Green], false), "");
        assert_eq!(of(Tlp::Red, &[Tlp::Clear], true), "loosened-marking");
        assert_eq!(of(Tlp::Clear, &[], false), "");
    }

    #[test]
    fn a_new_partner_waits_for_what_is_sensitive_and_gets_green_core_fields() {
        let limits = BrakeLimits::default();
        let (plain, green) = (facts(Kind::Indicator, false, Tlp::Green), marking(Tlp::Green));
        let of = |record: &RecordFacts, shown: ClassSet, baseline: &Baseline, at| {
            let (marking, originator, before) = (&green, OWN, &Predecessors::default());
            let disclosure = FirstDisclosure { record, marking, originator, shown, before };
            unusual(&limits, baseline, 0, at, &disclosure).contains(Unusual::NewPartner)
        };
        let new = Baseline::default();
        assert!(!of(&plain, ClassSet::CORE, &new, day(0)));
        assert!(!of(&plain, ClassSet::CORE.with(SlotClass::Links), &new, day(0)));
        let sensitive = [
            facts(Kind::Indicator, true, Tlp::Green),
            facts(Kind::Indicator, false, Tlp::Amber),
            facts(Kind::Indicator, false, Tlp::AmberStrict),
            RecordFacts { caveat: true, ..plain.clone() },
        ];
        let first = baseline(1, 5);
        for record in &sensitive {
            assert!(of(record, ClassSet::CORE, &new, day(0)), "{record:?}");
            assert!(of(record, ClassSet::CORE, &first, day(6)), "{record:?}");
            assert!(!of(record, ClassSet::CORE, &first, day(7)), "{record:?}");
        }
        for class in SlotClass::SENSITIVE.into_iter().filter(|class| *class != SlotClass::Links) {
            assert!(of(&plain, ClassSet::CORE.with(class), &new, day(0)), "{class:?}");
        }
        let all = BrakeLimits { learning: LearningRule::All, ..BrakeLimits::default() };
        assert!(held(&all, &new, 0, day(0), &plain, &[]).contains(Unusual::NewPartner));
        let none = BrakeLimits { learning_days: 0, ..BrakeLimits::default() };
        for baseline in [&new, &first] {
            let found = held(&none, baseline, 0, day(0), &sensitive[0], &[]);
            assert!(!found.contains(Unusual::NewPartner), "there are no such days");
        }
    }

    #[test]
    fn the_end_of_the_learning_days_is_known_from_the_first_disclosure_on() {
        let limits = BrakeLimits::default();
        assert_eq!(Baseline::default().learning(&limits, day(100)), Some(None));
        assert_eq!(baseline(1, 5).learning(&limits, day(6)), Some(Some(day(7))));
        assert_eq!(baseline(1, 5).learning(&limits, day(7)), None);
        assert_eq!(baseline(1, 5).learning(&learnt(), day(0)), None);
    }

    #[test]
    fn a_rule_that_is_off_holds_nothing() {
        let limits = BrakeLimits {
            volume_floor: u64::MAX,
            new_kind: false,
            personal_data: PersonalDataRule::Off,
            loosened_marking: false,
            learning: LearningRule::Off,
            ..BrakeLimits::default()
        };
        let record = facts(Kind::Subject, true, Tlp::Clear);
        let found = held(&limits, &baseline(10, 50), 1 << 40, day(10), &record, &[Tlp::Red]);
        assert_eq!(found, Reasons::NONE);
    }

    proptest! {
        #[test]
        fn reasons_are_written_and_read_back(bits: u32) {
            let Some(reasons) = Reasons::from_bits(bits & 0b111_1110) else { return Ok(()) };
            prop_assert_eq!(reasons.to_string().parse(), Ok(reasons));
            prop_assert_eq!(Reasons::from_bits(reasons.bits() | 1 << 7), None);
        }

        #[test]
        fn more_of_a_partners_normal_never_makes_more_unusual(
            daily in 1..3_000_u64, more in 0..3_000_u64, going in 0..80_000_u64,
        ) {
            let record = plain();
            let limits = BrakeLimits::default();
            let of = |daily| held(&limits, &baseline(10, daily), going, day(10), &record, &[]);
            if of(daily).is_empty() {
                prop_assert!(of(daily + more).is_empty());
            }
        }
    }
}
