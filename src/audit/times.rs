//! The times that others signed, held against the times of the journal.
//!
//! A partner's receipt and a witness's cosignature carry the time at which they were signed. The journal
//! cannot have made what they sign later than that, nor have entered them earlier. Clocks differ, so
//! small differences are nothing, larger ones a remark about one signer. Where most of the signers
//! contradict the journal by more than a day in one direction, the journal's times are not those of its
//! entries.

use super::failure::{Check, Fault};
use super::report::Remark;
use crate::ident::Timestamp;
use crate::merkle::CosignatureTime;
use std::collections::{BTreeMap, BTreeSet};

/// Clocks of agencies without a common source differ by minutes.
const SKEW_MS_MAX: i64 = 15 * 60 * 1_000;
/// No clock that is looked after is a day off.
const FALSE_MS_MIN: i64 = 24 * 60 * 60 * 1_000;

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
    /// Something is signed before the journal says that it was made.
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
    /// Takes a time that `signer` signed. `made` is the journal's time of what is signed, where that is
    /// known; `entered` is the time of the entry with the signature and `entry` its index.
    pub(super) fn take(
        &mut self,
        signer: &str,
        signed: CosignatureTime,
        made: Option<Timestamp>,
        (entry, entered): (u64, Timestamp),
    ) {
        let signed = i64::try_from(signed.unix_seconds()).unwrap_or(i64::MAX).saturating_mul(1_000);
        let times = self.0.entry(signer.to_owned()).or_default();
        if let Some(made) = made {
            times.ahead.take(made.unix_ms().saturating_sub(signed), entry);
        }
        times.behind.take(signed.saturating_sub(entered.unix_ms()), entry);
    }

    /// Refuses times that most of the signers contradict by more than a day.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let all = self.0.keys().map(|signer| agency_of(signer)).collect::<BTreeSet<_>>().len();
        for direction in [TimeDifference::JournalAhead, TimeDifference::JournalBehind] {
            let contradicting: Vec<_> = self
                .0
                .iter()
                .map(|(signer, times)| (signer, times.of(direction)))
                .filter(|(_, largest)| largest.ms > FALSE_MS_MIN)
                .collect();
            let agencies = contradicting.iter().map(|(signer, _)| agency_of(signer));
            let count = agencies.collect::<BTreeSet<_>>().len();
            if let Some((signer, largest)) = contradicting.first()
                && count * 2 > all
            {
                let found = format!(
                    "{} {signer} by {} at entry {}; {count} of {all} agencies contradict",
                    direction.name(),
                    in_words(largest.ms),
                    largest.entry
                );
                let expected = "times that those who signed receipts and cosignatures agree with";
                return Err(Fault::new(Check::SignedTime, expected, found));
            }
        }
        Ok(())
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

/// A difference of times for people.
pub(super) fn in_words(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2_880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
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
        for (signer, signed, made, entered) in signed {
            times.take(signer, at(*signed).into(), Some(at(*made)), (7, at(*entered)));
        }
        let mut remarks = Vec::new();
        times.remark(&mut remarks);
        (times.check().err().map(|fault| fault.check), remarks.len())
    }

    #[test]
    fn clocks_may_differ_by_minutes_and_a_receipt_may_come_years_later() {
        assert_eq!(verdict(&[("a", 0, 10 * 60_000, 0)]), (None, 0));
        assert_eq!(verdict(&[("a", 0, -HOUR, 9_000 * HOUR)]), (None, 0));
        assert_eq!(verdict(&[]), (None, 0));
    }

    #[test]
    fn a_journal_that_most_signers_contradict_by_more_than_a_day_is_found() {
        let ahead = |signer| (signer, 0, 20_000 * HOUR, 20_000 * HOUR);
        let behind = |signer| (signer, 0, -50 * HOUR, -49 * HOUR);
        let sound = |signer| (signer, 0, -HOUR, HOUR);
        assert_eq!(verdict(&[ahead("a")]), (Some(Check::SignedTime), 1));
        assert_eq!(verdict(&[behind("a"), behind("b"), sound("c")]).0, Some(Check::SignedTime));
        assert_eq!(verdict(&[ahead("a"), sound("b")]), (None, 1));
        let lies = [ahead("a/receipts"), ahead("a/witness"), sound("b/receipts")];
        assert_eq!(verdict(&lies).0, None, "one agency with two keys is one");
        assert_eq!(verdict(&[ahead("a"), behind("b")]).0, None);
        assert_eq!(verdict(&[("a", 0, 23 * HOUR, 24 * HOUR)]), (None, 1));
    }
}
