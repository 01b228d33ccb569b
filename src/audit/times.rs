//! The times that others signed, held against the times of the journal.
//!
//! A partner's receipt and a witness's cosignature carry the time at which they were signed. The journal
//! cannot have made what they sign later than that, nor have entered them earlier. Clocks differ, so
//! small differences are nothing, larger ones a remark about one signer. What [`SignedTime`] refuses no
//! node enters, so one such time in a journal is enough. Where most of the signers signed more than a day
//! after the journal entered it, the journal is dated back.

use super::failure::{Check, Fault};
use super::remarks::Remark;
use super::words::in_words;
use crate::clock::STEP_MS_MAX;
use crate::exchange::{CLOCK_DIFFERENCE_MS_MAX, ImpossibleTime, SignedTime, before_ms};
use crate::ident::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Clocks of agencies without a common source differ by minutes.
const SKEW_MS_MAX: i64 = 15 * 60 * 1_000;
/// A node refuses a time that is further ahead than the difference that is allowed. Its clock may step back
/// before the entry is made.
const FALSE_MS_MIN: i64 = CLOCK_DIFFERENCE_MS_MAX + STEP_MS_MAX;

/// The largest difference to one signer in one direction, and the entry where it shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Largest {
    ms: i64,
    entry: u64,
}

impl Largest {
    const fn take(&mut self, ms: i64, entry: u64) {
        if ms > self.ms {
            *self = Self { ms, entry };
        }
    }
}

/// The direction of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeDifference {
    /// Something is signed before the journal's time of its making.
    JournalAhead,
    /// Something was entered before it was signed: the journal is dated back.
    JournalBehind,
}

#[derive(Debug, Default)]
struct Signer {
    ahead: Largest,
    behind: Largest,
}

impl Signer {
    const fn of(&self, direction: TimeDifference) -> Largest {
        match direction {
            TimeDifference::JournalAhead => self.ahead,
            TimeDifference::JournalBehind => self.behind,
        }
    }
}

/// The signed times, by signer.
#[derive(Debug, Default)]
pub(super) struct SignedTimes(BTreeMap<String, Signer>);

impl SignedTimes {
    /// Takes a time that `signer` signed, unless no node would have entered it. `entered` is the time of the
    /// entry with the signature and `entry` its index.
    pub(super) fn take(
        &mut self,
        signer: &str,
        time: SignedTime,
        (entry, entered): (u64, Timestamp),
    ) -> Result<(), Fault> {
        let SignedTime { signed, made, .. } = time;
        let times = self.0.entry(signer.to_owned()).or_default();
        if let Some(made) = made {
            times.ahead.take(before_ms(signed, made), entry);
        }
        times.behind.take(-before_ms(signed, entered), entry);
        time.check().map_err(|error| {
            let (check, expected) = match error {
                ImpossibleTime::GoesBack { .. } => {
                    (Check::Receipt, format!("a receipt of {signer} that does not go back"))
                }
                ImpossibleTime::BeforeMade { .. } | ImpossibleTime::Ahead { .. } => {
                    (Check::SignedTime, format!("a time of {signer} that can be"))
                }
            };
            Fault::new(check, expected, error)
        })
    }

    /// Refuses a journal whose entries most of the signers signed more than a day later.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let all = self.0.keys().map(|signer| agency_of(signer)).collect::<BTreeSet<_>>().len();
        let is_false = |(_, times): &(&String, &Signer)| times.behind.ms > FALSE_MS_MIN;
        let contradicting: Vec<_> = self.0.iter().filter(is_false).collect();
        let agencies = contradicting.iter().map(|(signer, _)| agency_of(signer));
        let count = agencies.collect::<BTreeSet<_>>().len();
        let Some((signer, Signer { behind, .. })) = contradicting.first() else { return Ok(()) };
        if count * 2 <= all {
            return Ok(());
        }
        let found = format!(
            "{} {signer} by {} at entry {}; {count} of {all} agencies contradict",
            TimeDifference::JournalBehind.name(),
            in_words(behind.ms),
            behind.entry
        );
        let expected = "times that those who signed receipts and cosignatures agree with";
        Err(Fault::new(Check::SignedTime, expected, found))
    }

    pub(super) fn remark(&self, remarks: &mut Vec<Remark>) {
        for (signer, times) in &self.0 {
            for direction in [TimeDifference::JournalAhead, TimeDifference::JournalBehind] {
                let Largest { ms, entry } = times.of(direction);
                if ms > SKEW_MS_MAX {
                    let signer = signer.clone();
                    remarks.push(Remark::SignedTimes { signer, direction, ms, entry });
                }
            }
        }
    }
}

impl TimeDifference {
    /// The beginning of a sentence that goes on with the signer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JournalAhead => "the journal is ahead of",
            Self::JournalBehind => "the journal is behind",
        }
    }
}

/// The agency of a signer, whose keys are called `agency/receipts` and `agency/witness`: it counts once.
fn agency_of(signer: &str) -> &str {
    signer.split_once('/').map_or(signer, |(agency, _)| agency)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + ms).unwrap()
    }

    /// The verdict and the number of remarks. Each signer signs at the first time what the journal
    /// dates at the second and enters at the third.
    fn verdict(signed: &[(&str, i64, i64, i64)]) -> (Option<Check>, usize) {
        let mut times = SignedTimes::default();
        let mut found = Ok(());
        for (signer, signed, made, entered) in signed {
            let (signed, made) = (at(*signed).into(), Some(at(*made)));
            let time = SignedTime { signed, made, last: None };
            let taken = times.take(signer, time, (7, at(*entered)));
            found = found.and(taken);
        }
        let mut remarks = Vec::new();
        times.remark(&mut remarks);
        (found.and_then(|()| times.check()).err().map(|fault| fault.check), remarks.len())
    }

    #[test]
    fn clocks_may_differ_by_minutes_and_a_receipt_may_come_years_later() {
        assert_eq!(verdict(&[("a", 0, 10 * 60_000, 0)]), (None, 0));
        assert_eq!(verdict(&[("a", 0, -HOUR, 9_000 * HOUR)]), (None, 0));
        assert_eq!(verdict(&[]), (None, 0));
    }

    #[test]
    fn a_journal_that_most_signers_contradict_by_more_than_a_day_is_found() {
        let behind = |signer| (signer, 0, -50 * HOUR, -49 * HOUR);
        let sound = |signer| (signer, 0, -HOUR, HOUR);
        assert_eq!(verdict(&[behind("a")]), (Some(Check::SignedTime), 1));
        assert_eq!(verdict(&[behind("a"), behind("b"), sound("c")]).0, Some(Check::SignedTime));
        assert_eq!(verdict(&[behind("a"), sound("b")]), (None, 1));
        let lies = [behind("a/receipt"), behind("a/witness"), sound("b/receipt")];
        assert_eq!(verdict(&lies).0, None, "one agency with two keys is one");
        assert_eq!(verdict(&[("a", 0, -50 * HOUR, -24 * HOUR)]), (None, 1));
    }

    #[test]
    fn a_time_that_no_node_enters_is_found_whatever_the_others_signed() {
        let ahead = |signer| (signer, 0, 20_000 * HOUR, 20_000 * HOUR);
        let sound = |signer| (signer, 0, -HOUR, HOUR);
        assert_eq!(verdict(&[ahead("a")]), (Some(Check::SignedTime), 1));
        assert_eq!(verdict(&[ahead("a"), sound("b"), sound("c")]).0, Some(Check::SignedTime));
        assert_eq!(verdict(&[("a", 0, 23 * HOUR, 24 * HOUR)]), (None, 1));
        let goes_back = |last: i64| {
            let time = SignedTime { signed: at(0).into(), made: None, last: Some(at(last).into()) };
            let taken = SignedTimes::default().take("a/receipt", time, (7, at(0)));
            taken.err().map(|fault| fault.check)
        };
        assert_eq!(goes_back(HOUR), Some(Check::Receipt));
        assert_eq!(goes_back(0), None);
    }
}
