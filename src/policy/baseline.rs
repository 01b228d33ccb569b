//! The normal of a partner: how many records of each originator it got by day, and of which sorts.
//!
//! It follows from the totals of the journal alone, so that it is the same after every start. Each originator
//! has a volume of its own: a flood of one neither takes the room of another nor becomes its normal.

use super::brake::{BrakeLimits, LearningRule};
use crate::ident::Timestamp;
use crate::record::kind::Kind;
use std::collections::BTreeMap;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Days that a partner's normal is taken from: four weeks, so that each weekday counts alike.
const USUAL_DAYS: u32 = 28;

/// The originator of records as a journal numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginatorNumber(u16);

impl OriginatorNumber {
    /// The agency whose journal it is.
    pub const OWN: Self = Self(0);
    /// All agencies that are not partners, together. A node accepts records of partners alone, so an honest
    /// journal counts nothing here.
    pub const UNKNOWN: Self = Self(u16::MAX);

    /// The number that a journal has: of partners, those from 1 to [`crate::ident::FEEDS_MAX`].
    pub const fn numbered(number: u16) -> Self {
        Self(number)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The sorts of records that a partner was ever given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Categories {
    /// Bit k: the kind with number k.
    pub kinds: u32,
    pub personal_data: bool,
}

impl Categories {
    pub const fn of(kind: Kind, personal_data: bool) -> Self {
        Self { kinds: 1 << kind.number(), personal_data }
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            kinds: self.kinds | other.kinds,
            personal_data: self.personal_data || other.personal_data,
        }
    }
}

/// The sorts of own records that a partner was ever given, and apart from them those of records that were
/// passed on: what others send here does not make own records usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GivenCategories {
    pub own: Categories,
    pub passed_on: Categories,
}

impl GivenCategories {
    pub fn of(originator: OriginatorNumber, sorts: Categories) -> Self {
        match originator {
            OriginatorNumber::OWN => Self { own: sorts, ..Self::default() },
            _ => Self { passed_on: sorts, ..Self::default() },
        }
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { own: self.own.and(other.own), passed_on: self.passed_on.and(other.passed_on) }
    }

    /// Returns the sorts that count for records of an originator.
    pub(super) fn for_originator(self, originator: OriginatorNumber) -> Categories {
        if originator == OriginatorNumber::OWN { self.own } else { self.passed_on }
    }
}

/// The records that entries of a feed disclose to a partner that was never given anything of them. Those are what
/// the brake judges; withdrawals are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewRecords {
    pub sorts: GivenCategories,
    /// Their number by originator.
    pub counts: BTreeMap<OriginatorNumber, u64>,
}

impl NewRecords {
    pub fn add(&mut self, originator: OriginatorNumber, sorts: Categories) {
        self.sorts = self.sorts.and(GivenCategories::of(originator, sorts));
        *self.counts.entry(originator).or_default() += 1;
    }
}

/// The number of records of one originator that a partner got, by day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    /// Records disclosed in feeds before the present one, which counts from 0 again.
    earlier: u64,
    /// Records disclosed before the days below.
    before: u64,
    /// Days on which anything was disclosed, and the records disclosed by the end of each, ascending.
    days: Vec<(u32, u64)>,
}

impl Volume {
    /// Takes in that by the end of that day so many records were disclosed in the present feed. True if they
    /// are more than were known.
    fn note(&mut self, day: u32, records: u64) -> bool {
        let records = self.earlier.saturating_add(records);
        if records <= self.total() {
            return false;
        }
        match self.days.last_mut() {
            Some((last, total)) if *last >= day => *total = records,
            _ => self.days.push((day, records)),
        }
        while self.days.first().is_some_and(|(first, _)| first.saturating_add(USUAL_DAYS) < day) {
            self.before = self.days.remove(0).1;
        }
        true
    }

    /// The feed begins anew; what is normal stays. Said again it changes nothing.
    pub fn begin_anew(&mut self) {
        self.earlier = self.total();
    }

    fn total(&self) -> u64 {
        self.days.last().map_or(self.before, |(_, total)| *total)
    }

    /// Returns the records disclosed on this day so far, and on the busiest of the days before it.
    fn counts(&self, today: u32) -> (u64, u64) {
        let (mut before, mut now, mut busiest) = (self.before, 0, 0);
        for (day, total) in &self.days {
            let count = total - before;
            before = *total;
            match *day >= today {
                true => now += count,
                false if day.saturating_add(USUAL_DAYS) >= today => busiest = busiest.max(count),
                false => {}
            }
        }
        (now, busiest)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.earlier.to_be_bytes().to_vec();
        out.extend_from_slice(&self.before.to_be_bytes());
        for (day, total) in &self.days {
            out.extend_from_slice(&day.to_be_bytes());
            out.extend_from_slice(&total.to_be_bytes());
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (earlier, rest) = bytes.split_first_chunk::<8>()?;
        let (before, rest) = rest.split_first_chunk::<8>()?;
        let (rows, rest) = rest.as_chunks::<12>();
        let mut days = Vec::with_capacity(rows.len());
        for row in rows {
            let (day, total) = row.split_first_chunk::<4>()?;
            days.push((u32::from_be_bytes(*day), u64::from_be_bytes(total.try_into().ok()?)));
        }
        let (earlier, before) = (u64::from_be_bytes(*earlier), u64::from_be_bytes(*before));
        let volume = Self { earlier, before, days };
        let is_sound = rest.is_empty()
            && volume.days.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
            && volume.days.first().is_none_or(|(_, total)| *total > before)
            && earlier <= volume.total();
        is_sound.then_some(volume)
    }
}

/// The normal of one partner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// The day of the first disclosure, of whatever originator, counted from 1970.
    first: Option<u32>,
    pub sorts: GivenCategories,
    volumes: BTreeMap<OriginatorNumber, Volume>,
}

fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.unix_ms().unsigned_abs() / DAY_MS).unwrap_or(u32::MAX)
}

impl Baseline {
    /// Takes in that by then so many records of these originators were disclosed in the present feed, and which
    /// sorts in all. Said again it changes nothing.
    pub fn note(
        &mut self,
        at: Timestamp,
        totals: impl IntoIterator<Item = (OriginatorNumber, u64)>,
        sorts: GivenCategories,
    ) {
        self.sorts = self.sorts.and(sorts);
        let day = day_of(at);
        for (originator, records) in totals {
            if self.volumes.entry(originator).or_default().note(day, records) {
                self.first.get_or_insert(day);
            }
        }
    }

    /// The partner's feed begins anew; what is normal for it stays.
    pub fn begin_anew(&mut self) {
        self.volumes.values_mut().for_each(Volume::begin_anew);
    }

    pub fn volume(&self, originator: OriginatorNumber) -> Option<&Volume> {
        self.volumes.get(&originator)
    }

    /// Puts in what was kept of an originator.
    pub fn insert(&mut self, originator: OriginatorNumber, volume: Volume) {
        self.volumes.insert(originator, volume);
    }

    /// Returns the records of an originator that were disclosed in the present feed.
    pub fn in_feed(&self, originator: OriginatorNumber) -> u64 {
        self.volume(originator).map_or(0, |volume| volume.total() - volume.earlier)
    }

    /// Returns whether a partner's normal is known: its first disclosure is so many days ago.
    pub(super) fn is_known(&self, at: Timestamp, learning_days: u32) -> bool {
        self.first.is_some_and(|first| {
            u64::from(first) + u64::from(learning_days) <= u64::from(day_of(at))
        })
    }

    /// Returns when the learning days of a partner end: `None` if they have passed or hold nothing,
    /// `Some(None)` while nothing was disclosed to it.
    pub fn learning(&self, limits: &BrakeLimits, at: Timestamp) -> Option<Option<Timestamp>> {
        if limits.learning == LearningRule::Off || limits.learning_days == 0 {
            return None;
        }
        if self.is_known(at, limits.learning_days) {
            return None;
        }
        let day = self.first.map(|first| u64::from(first) + u64::from(limits.learning_days));
        let end = day.and_then(|day| i64::try_from(day.saturating_mul(DAY_MS)).ok());
        Some(end.and_then(|ms| Timestamp::from_unix_ms(ms).ok()))
    }

    /// Returns the records of an originator disclosed on this day so far, and on the busiest of the days before it.
    pub(super) fn counts(&self, originator: OriginatorNumber, at: Timestamp) -> (u64, u64) {
        self.volume(originator).map_or((0, 0), |volume| volume.counts(day_of(at)))
    }

    /// Writes all but the volumes, which have an encoding of their own.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.first.map_or(0, |first| first + 1).to_be_bytes().to_vec();
        for sorts in [self.sorts.own, self.sorts.passed_on] {
            out.extend_from_slice(&sorts.kinds.to_be_bytes());
            out.push(sorts.personal_data.into());
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let (own, rest) = categories(rest)?;
        let (passed_on, rest) = categories(rest)?;
        rest.is_empty().then(|| Self {
            first: u32::from_be_bytes(*first).checked_sub(1),
            sorts: GivenCategories { own, passed_on },
            volumes: BTreeMap::new(),
        })
    }
}

fn categories(bytes: &[u8]) -> Option<(Categories, &[u8])> {
    let (kinds, rest) = bytes.split_first_chunk::<4>()?;
    let (personal_data, rest) = rest.split_first()?;
    let kinds = u32::from_be_bytes(*kinds);
    (*personal_data <= 1)
        .then_some((Categories { kinds, personal_data: *personal_data == 1 }, rest))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: OriginatorNumber = OriginatorNumber::OWN;
    const OTHER: OriginatorNumber = OriginatorNumber::numbered(7);
    const START: i64 = 1_772_323_200_000;

    pub(in crate::policy) fn day(day: i64) -> Timestamp {
        Timestamp::from_unix_ms(START + day * 86_400_000).unwrap()
    }

    /// Notes that so many records of an originator were disclosed in the feed so far, of this kind.
    pub(in crate::policy) fn note(
        baseline: &mut Baseline,
        at: Timestamp,
        (originator, total): (OriginatorNumber, u64),
        sorts: Categories,
    ) {
        baseline.note(at, [(originator, total)], GivenCategories::of(originator, sorts));
    }

    /// A partner that got so many plain records of an originator on each of so many days.
    pub(in crate::policy) fn usual_of(
        originator: OriginatorNumber,
        days: i64,
        daily: u64,
    ) -> Baseline {
        let mut baseline = Baseline::default();
        for number in 0..days {
            let total = daily * (number as u64 + 1);
            let sorts = Categories::of(Kind::TakedownResult, false);
            note(&mut baseline, day(number), (originator, total), sorts);
        }
        baseline
    }

    #[test]
    fn what_is_normal_stays_when_the_feed_begins_anew() {
        let mut baseline = usual_of(OWN, 30, 10);
        let before = baseline.counts(OWN, day(30));
        assert_eq!(baseline.in_feed(OWN), 300);
        baseline.begin_anew();
        baseline.begin_anew();
        assert_eq!((baseline.counts(OWN, day(30)), baseline.in_feed(OWN)), (before, 0));
        note(&mut baseline, day(30), (OWN, 4), Categories::default());
        assert_eq!((baseline.counts(OWN, day(30)), baseline.in_feed(OWN)), ((4, 10), 4));
        assert!(baseline.is_known(day(30), 30));
    }

    #[test]
    fn a_day_begins_at_midnight() {
        let last = Timestamp::from_unix_ms(START + 86_399_999).unwrap();
        assert_eq!([day_of(day(0)), day_of(last), day_of(day(1))], [20_513, 20_513, 20_514]);
    }

    #[test]
    fn each_originator_is_counted_by_itself_and_the_first_disclosure_is_anybodys() {
        let mut baseline = usual_of(OTHER, 3, 900);
        note(&mut baseline, day(3), (OWN, 5), Categories::of(Kind::Note, true));
        assert_eq!(baseline.counts(OTHER, day(3)), (0, 900));
        assert_eq!(baseline.counts(OWN, day(3)), (5, 0));
        assert_eq!(baseline.counts(OriginatorNumber::numbered(8), day(3)), (0, 0));
        assert!(baseline.is_known(day(3), 3));
        assert_eq!(baseline.sorts.for_originator(OWN), Categories::of(Kind::Note, true));
        for other in [OTHER, OriginatorNumber::numbered(8), OriginatorNumber::UNKNOWN] {
            let passed_on = Categories::of(Kind::TakedownResult, false);
            assert_eq!(baseline.sorts.for_originator(other), passed_on);
        }
    }

    #[test]
    fn a_history_with_the_last_day_that_a_number_can_have_is_judged_without_overflow() {
        let damaged = Baseline { first: Some(u32::MAX - 1), ..Baseline::default() };
        let mut damaged = Baseline::decode(&damaged.encode()).unwrap();
        let days = vec![(u32::MAX - 1, 8), (u32::MAX, 9)];
        damaged.insert(OWN, Volume { days, ..Volume::default() });
        assert_eq!(damaged.counts(OWN, day(1)), (9, 0));
        note(&mut damaged, day(2), (OWN, 20), Categories::default());
        assert_eq!(damaged.learning(&BrakeLimits::default(), day(1)), Some(None));
    }

    #[test]
    fn what_no_history_could_have_left_is_not_read() {
        let read = |before, days: &[(u32, u64)]| {
            let volume = Volume { earlier: 0, before, days: days.to_vec() };
            Volume::decode(&volume.encode()).is_some()
        };
        assert!(read(7, &[(3, 8), (4, 9)]));
        assert!(!read(7, &[(3, 8), (3, 9)]), "a day twice");
        assert!(!read(7, &[(3, 8), (4, 8)]), "a day on which nothing went");
        assert!(!read(7, &[(4, 8), (3, 9)]) && !read(7, &[(3, 9), (4, 8)]), "backwards");
        assert!(!read(8, &[(3, 8), (4, 9)]) && !read(9, &[(3, 8)]), "less than before");
        let above = Volume { earlier: 10, before: 7, days: vec![(3, 9)] };
        assert_eq!(Volume::decode(&above.encode()), None, "more in earlier feeds than in all");
    }

    proptest! {
        #[test]
        fn what_is_known_of_a_partner_is_written_and_read_back(
            steps in prop::collection::vec((0..40_i64, 0..5_000_u64, 1..15_u32, 0..3_u16), 0..60),
        ) {
            let (mut baseline, mut at, mut totals) = (Baseline::default(), 0, [0; 3]);
            for (days, records, kind, originator) in steps {
                at += days / 8;
                let total = &mut totals[usize::from(originator)];
                *total += records;
                let kind = Kind::from_number(kind).unwrap_or(Kind::Note);
                let of = (OriginatorNumber::numbered(originator), *total);
                note(&mut baseline, day(at), of, Categories::of(kind, records % 2 == 0));
                let again = baseline.clone();
                note(&mut baseline, day(at), of, Categories::default());
                prop_assert_eq!(&baseline, &again);
            }
            let mut read = Baseline::decode(&baseline.encode()).unwrap();
            for (originator, volume) in &baseline.volumes {
                prop_assert!(volume.days.len() <= USUAL_DAYS as usize + 1);
                read.insert(*originator, Volume::decode(&volume.encode()).unwrap());
            }
            prop_assert_eq!(read, baseline);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(baseline) = Baseline::decode(&bytes) {
                prop_assert_eq!(baseline.encode(), bytes.clone());
                baseline.learning(&BrakeLimits::default(), day(3));
            }
            if let Some(volume) = Volume::decode(&bytes) {
                prop_assert_eq!(volume.encode(), bytes);
                let mut baseline = Baseline::default();
                baseline.insert(OWN, volume);
                baseline.counts(OWN, day(3));
                baseline.in_feed(OWN);
                baseline.begin_anew();
            }
        }
    }
}
