//! The limits on erasing a record: holds, and the end of its time.
//!
//! What is held as evidence is restricted instead of erased (Directive (EU) 2016/680, Article
//! 16(3)(b)). Decided from header and hold alone.

use crate::ident::Timestamp;
use crate::record::erasure::ErasureBasis;
use crate::record::kind::Kind;

/// The reason why a record is not erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Hold {
    #[error("it is under a hold; end that first with `liaison record unrestrict`")]
    Restricted,
    #[error("it is a record of evidence; only a court's order erases it")]
    Evidence,
}

/// Returns the hold that keeps a record from being erased on this ground.
pub fn hold(kind: Kind, restricted: bool, basis: ErasureBasis) -> Option<Hold> {
    match (restricted, kind, basis) {
        (true, _, _) => Some(Hold::Restricted),
        (false, Kind::Evidence, ErasureBasis::CourtOrder) => None,
        (false, Kind::Evidence, _) => Some(Hold::Evidence),
        (false, _, _) => None,
    }
}

/// Returns true if a record's time has ended and nothing holds it.
pub fn retention_ended(
    kind: Kind,
    restricted: bool,
    retain_until: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    retain_until.is_some_and(|until| until <= now)
        && hold(kind, restricted, ErasureBasis::Retention).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_stops_every_ground_and_evidence_every_ground_but_a_courts() {
        for basis in ErasureBasis::ALL {
            assert_eq!(hold(Kind::Note, true, basis), Some(Hold::Restricted));
            assert_eq!(hold(Kind::Note, false, basis), None);
            let court = basis == ErasureBasis::CourtOrder;
            assert_eq!(hold(Kind::Evidence, false, basis).is_none(), court);
        }
    }

    #[test]
    fn a_time_ends_at_its_millisecond_unless_the_record_is_held() {
        let at = |ms: i64| Timestamp::from_unix_ms(1_772_323_200_000 + ms).unwrap();
        assert!(!retention_ended(Kind::Note, false, None, at(0)));
        assert!(!retention_ended(Kind::Note, false, Some(at(1)), at(0)));
        assert!(retention_ended(Kind::Note, false, Some(at(0)), at(0)));
        assert!(!retention_ended(Kind::Note, true, Some(at(0)), at(9)));
        assert!(!retention_ended(Kind::Evidence, false, Some(at(0)), at(9)));
    }
}
