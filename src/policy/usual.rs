//! The normal of a partner: how many records it got by day, and of which sorts.
//!
//! It follows from the totals of the journal alone, so that it is the same after every start.

use super::brake::{BrakeLimits, LearningRule};
use crate::ident::Timestamp;
use crate::record::kind::Kind;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Days that a partner's normal is taken from: four weeks, so that each weekday counts alike.
pub const USUAL_DAYS: u32 = 28;

/// What sorts of records a partner was ever given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sorts {
    /// Bit k: the kind with number k.
    pub kinds: u32,
    pub personal_data: bool,
}

impl Sorts {
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

/// What a partner got so far, as far as its normal depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usual {
    /// The day of the first disclosure, counted from 1970.
    first: Option<u32>,
    /// Records disclosed in feeds before the present one, which counts from 0 again.
    earlier: u64,
    /// Records disclosed before the days below.
    before: u64,
    /// Days on which anything was disclosed, and the records disclosed by the end of each, ascending.
    days: Vec<(u32, u64)>,
    pub sorts: Sorts,
}

fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.unix_ms().unsigned_abs() / DAY_MS).unwrap_or(u32::MAX)
}

impl Usual {
    /// Takes in that by then so many records were disclosed in all, of these sorts. Said again it
    /// changes nothing.
    pub fn note(&mut self, at: Timestamp, records: u64, sorts: Sorts) {
        self.sorts = self.sorts.and(sorts);
        let records = self.earlier.saturating_add(records);
        if records <= self.total() {
            return;
        }
        let day = day_of(at);
        self.first.get_or_insert(day);
        match self.days.last_mut() {
            Some((last, total)) if *last >= day => *total = records,
            _ => self.days.push((day, records)),
        }
        while self.days.first().is_some_and(|(first, _)| first.saturating_add(USUAL_DAYS) < day) {
            self.before = self.days.remove(0).1;
        }
    }

    /// The partner's feed begins anew; what is normal for it stays.
    pub fn begin_anew(&mut self) {
        self.earlier = self.total();
    }

    fn total(&self) -> u64 {
        self.days.last().map_or(self.before, |(_, total)| *total)
    }

    /// Whether a partner's normal is known: its first disclosure is so many days ago.
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

    /// Records disclosed on this day so far, and on the busiest of the days before it.
    pub(super) fn counts(&self, at: Timestamp) -> (u64, u64) {
        let today = day_of(at);
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
        let mut out = self.first.map_or(0, |first| first + 1).to_be_bytes().to_vec();
        out.extend_from_slice(&self.earlier.to_be_bytes());
        out.extend_from_slice(&self.before.to_be_bytes());
        out.extend_from_slice(&self.sorts.kinds.to_be_bytes());
        out.push(self.sorts.personal_data.into());
        for (day, total) in &self.days {
            out.extend_from_slice(&day.to_be_bytes());
            out.extend_from_slice(&total.to_be_bytes());
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let (earlier, rest) = rest.split_first_chunk::<8>()?;
        let (before, rest) = rest.split_first_chunk::<8>()?;
        let (kinds, rest) = rest.split_first_chunk::<4>()?;
        let (personal_data, rest) = rest.split_first()?;
        let (rows, rest) = rest.as_chunks::<12>();
        let mut days = Vec::with_capacity(rows.len());
        for row in rows {
            let (day, total) = row.split_first_chunk::<4>()?;
            days.push((u32::from_be_bytes(*day), u64::from_be_bytes(total.try_into().ok()?)));
        }
        let (earlier, before) = (u64::from_be_bytes(*earlier), u64::from_be_bytes(*before));
        let is_sound = rest.is_empty()
            && *personal_data <= 1
            && days.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
            && days.first().is_none_or(|(_, total)| *total > before);
        is_sound.then(|| Self {
            first: u32::from_be_bytes(*first).checked_sub(1),
            earlier,
            before,
            days,
            sorts: Sorts { kinds: u32::from_be_bytes(*kinds), personal_data: *personal_data == 1 },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_772_323_200_000;

    pub(in crate::policy) fn day(day: i64) -> Timestamp {
        Timestamp::from_unix_ms(START + day * 86_400_000).unwrap()
    }

    /// A partner that got so many plain records on each of so many days.
    pub(in crate::policy) fn usual(days: i64, daily: u64) -> Usual {
        let mut usual = Usual::default();
        for number in 0..days {
            let total = daily * (number as u64 + 1);
            usual.note(day(number), total, Sorts::of(Kind::TakedownResult, false));
        }
        usual
    }

    #[test]
    fn what_is_normal_stays_when_the_feed_begins_anew() {
        let mut usual = usual(30, 10);
        let before = usual.counts(day(30));
        usual.begin_anew();
        usual.begin_anew();
        assert_eq!(usual.counts(day(30)), before);
        assert_eq!(Usual::decode(&usual.encode()).as_ref(), Some(&usual));
        usual.note(day(30), 4, Sorts::of(Kind::TakedownResult, false));
        assert_eq!(usual.counts(day(30)), (4, 10));
        assert!(usual.is_known(day(30), 30));
    }

    #[test]
    fn a_day_begins_at_midnight() {
        let last = Timestamp::from_unix_ms(START + 86_399_999).unwrap();
        assert_eq!([day_of(day(0)), day_of(last), day_of(day(1))], [20_513, 20_513, 20_514]);
    }

    #[test]
    fn a_history_with_the_last_day_that_a_number_can_have_is_judged_without_overflow() {
        let days = vec![(u32::MAX - 1, 8), (u32::MAX, 9)];
        let damaged = Usual { first: Some(u32::MAX - 1), days, ..Usual::default() };
        let mut damaged = Usual::decode(&damaged.encode()).unwrap();
        assert_eq!(damaged.counts(day(1)), (9, 0));
        damaged.note(day(2), 20, Sorts::default());
        assert_eq!(damaged.learning(&BrakeLimits::default(), day(1)), Some(None));
    }

    #[test]
    fn what_no_history_could_have_left_is_not_read() {
        let read = |before, days: &[(u32, u64)]| {
            let usual = Usual { before, days: days.to_vec(), ..usual(1, 50) };
            Usual::decode(&usual.encode()).is_some()
        };
        assert!(read(7, &[(3, 8), (4, 9)]));
        assert!(!read(7, &[(3, 8), (3, 9)]), "a day twice");
        assert!(!read(7, &[(3, 8), (4, 8)]), "a day on which nothing went");
        assert!(!read(7, &[(4, 8), (3, 9)]) && !read(7, &[(3, 9), (4, 8)]), "backwards");
        assert!(!read(8, &[(3, 8), (4, 9)]) && !read(9, &[(3, 8)]), "less than before");
    }

    proptest! {
        #[test]
        fn what_is_known_of_a_partner_is_written_and_read_back(
            steps in prop::collection::vec((0..40_i64, 0..5_000_u64, 1..15_u32), 0..60),
        ) {
            let (mut usual, mut at, mut total) = (Usual::default(), 0, 0);
            for (days, records, kind) in steps {
                at += days / 8;
                total += records;
                let kind = Kind::from_number(kind).unwrap_or(Kind::Note);
                usual.note(day(at), total, Sorts::of(kind, records % 2 == 0));
                let again = usual.clone();
                usual.note(day(at), total, Sorts::default());
                prop_assert_eq!(&usual, &again);
                prop_assert!(usual.days.len() <= USUAL_DAYS as usize + 1);
            }
            prop_assert_eq!(Usual::decode(&usual.encode()), Some(usual));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(usual) = Usual::decode(&bytes) {
                prop_assert_eq!(usual.encode(), bytes);
                usual.counts(day(3));
                usual.learning(&BrakeLimits::default(), day(3));
            }
        }
    }
}
