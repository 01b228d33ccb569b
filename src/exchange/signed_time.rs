//! The judgement of times that others sign: a partner with its receipts, a witness with its cosignatures.
//!
//! One decision for the node, which refuses what cannot be, and for the auditor: a node never enters a
//! time that is refused here. It does not judge a time that is merely early or late; clocks differ.

use crate::clock::LEAD_MS_MAX;
use crate::ident::Timestamp;
use crate::merkle::{CosignatureTime, Note};

/// The difference of clocks that is allowed, in milliseconds: a day. No clock that is looked after is a day
/// off.
pub const CLOCK_DIFFERENCE_MS_MAX: i64 = LEAD_MS_MAX;

/// The reason why a signed time cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImpossibleTime {
    #[error(
        "it was signed at {}, more than a day before {made}, when what it covers was made; one of the two clocks is wrong",
        in_words(*.signed)
    )]
    BeforeMade { signed: CosignatureTime, made: Timestamp },
    #[error(
        "it was signed at {}, before {}, the time of its last receipt",
        in_words(*.signed),
        in_words(*.last)
    )]
    GoesBack { signed: CosignatureTime, last: CosignatureTime },
    #[error(
        "it was signed at {}, more than a day ahead of {now}, this node's time; one of the two clocks is wrong",
        in_words(*.signed)
    )]
    Ahead { signed: CosignatureTime, now: Timestamp },
}

/// A time under a signature that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedTime {
    pub signed: CosignatureTime,
    /// The time of the journal at which what is signed was made; `None` where that is not known.
    pub made: Option<Timestamp>,
    /// The time of the signer's last receipt by the same key. A witness may sign in any order.
    pub last: Option<CosignatureTime>,
}

impl SignedTime {
    /// Refuses a time before what is signed was made, less the difference that is allowed, and a receipt
    /// that goes back before the last one.
    pub fn check(&self) -> Result<(), ImpossibleTime> {
        let Self { signed, made, last } = *self;
        if let Some(made) = made.filter(|made| before_ms(signed, *made) > CLOCK_DIFFERENCE_MS_MAX) {
            return Err(ImpossibleTime::BeforeMade { signed, made });
        }
        match last.filter(|last| signed < *last) {
            Some(last) => Err(ImpossibleTime::GoesBack { signed, last }),
            None => Ok(()),
        }
    }
}

/// Refuses a time from beyond the difference that is allowed: what it vouches for would be believed until
/// then.
pub fn check_not_ahead(signed: CosignatureTime, now: Timestamp) -> Result<(), ImpossibleTime> {
    if -before_ms(signed, now) > CLOCK_DIFFERENCE_MS_MAX {
        return Err(ImpossibleTime::Ahead { signed, now });
    }
    Ok(())
}

/// The milliseconds from a signed time to another; negative where it is later.
pub fn before_ms(signed: CosignatureTime, time: Timestamp) -> i64 {
    time.unix_ms().saturating_sub(signed_ms(signed))
}

fn signed_ms(signed: CosignatureTime) -> i64 {
    i64::try_from(signed.unix_seconds()).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// The time in the line of a note that a key signed, by the key's name and id; the note was verified before
/// it was stored.
pub(super) fn line_time(note: &[u8], key: &crate::merkle::NoteVerifier) -> Option<CosignatureTime> {
    let note = Note::parse(note).ok()?;
    let line = note.signatures().iter().find(|line| key.is_named_by(line))?;
    CosignatureTime::of_line(line)
}

fn in_words(signed: CosignatureTime) -> String {
    match Timestamp::from_unix_ms(signed_ms(signed)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{} s after 1970", signed.unix_seconds()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::start_of_day;
    use super::*;

    const DAY: i64 = CLOCK_DIFFERENCE_MS_MAX;

    fn at(ms: i64) -> Timestamp {
        start_of_day().plus_ms(ms)
    }

    fn check(signed: i64, made: Option<i64>, last: Option<i64>) -> Result<(), ImpossibleTime> {
        let last = last.map(|last| at(last).into());
        SignedTime { signed: at(signed).into(), made: made.map(at), last }.check()
    }

    #[test]
    fn a_receipt_is_signed_after_its_head_was_published_but_for_the_difference_of_clocks() {
        for signed in [-DAY, -1_000, 0, DAY, 400 * DAY] {
            assert_eq!(check(signed, Some(0), None), Ok(()), "{signed}");
        }
        let refused = check(-DAY - 1_000, Some(0), None);
        assert!(matches!(refused, Err(ImpossibleTime::BeforeMade { .. })), "{refused:?}");
        assert_eq!(check(-9 * DAY, None, None), Ok(()), "nothing is known of what it covers");
        let beginning = CosignatureTime::from_unix_seconds(0).unwrap();
        let time = SignedTime { signed: beginning, made: Some(at(0)), last: None };
        let text = time.check().unwrap_err().to_string();
        assert!(text.starts_with("it was signed at 0 s after 1970, more than a day"), "{text}");
    }

    #[test]
    fn a_receipt_never_goes_back_before_the_last_one() {
        assert_eq!(check(1_000, Some(0), Some(1_000)), Ok(()));
        let refused = check(0, Some(0), Some(1_000));
        assert!(matches!(refused, Err(ImpossibleTime::GoesBack { .. })), "{refused:?}");
    }

    #[test]
    fn a_time_more_than_a_day_ahead_is_refused() {
        assert_eq!(check_not_ahead(at(DAY).into(), at(0)), Ok(()));
        let refused = check_not_ahead(at(DAY + 1_000).into(), at(0));
        assert!(matches!(refused, Err(ImpossibleTime::Ahead { .. })), "{refused:?}");
        let last = CosignatureTime::from_unix_seconds(i64::MAX as u64).unwrap();
        assert!(check_not_ahead(last, at(0)).is_err());
    }
}
