//! The conditions of recording again what was withdrawn: neither a hold nor the release brake ends with a series.
//!
//! A new series has no revision that the brake could compare its first marking with. So its first record
//! may restrict no less than any revision of the withdrawn ones. A revision that loosens it then waits for
//! two persons like any other.

use crate::ident::{RecordId, SeriesId, Timestamp};
use crate::journal::JournalError;
use crate::journal::revisions::{REVISIONS_MAX, Revision};
use crate::record::draft::{Draft, REINSTATEMENTS_MAX, SeriesSecret};
use crate::record::marking::Marking;

/// The reason why a withdrawn thing is not recorded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReinstated {
    #[error(
        "it was withdrawn, and record {0} of it is under a hold; have a policy officer end the hold with \
         `liaison record unrestrict {0} --reason TEXT`, then submit it again"
    )]
    Held(RecordId),
    #[error(
        "it was withdrawn, and its marking is now looser than that of record {0}; reinstate it with that \
         marking, then submit it with the looser one: two persons release such a revision"
    )]
    Looser(RecordId),
    #[error(
        "it was withdrawn after more than {REVISIONS_MAX} revisions, too many to compare its marking with; \
         record it under another source or key"
    )]
    TooManyRevisions,
}

/// Returns the reason why the first draft of a series that begins after withdrawn ones is refused.
pub(super) fn check(
    draft: &Draft,
    series: SeriesId,
    secret: &SeriesSecret,
    now: Timestamp,
    mut revisions_of: impl FnMut(SeriesId) -> Result<Option<Vec<Revision>>, JournalError>,
) -> Result<Option<NotReinstated>, JournalError> {
    let all = (0..=REINSTATEMENTS_MAX).map(|number| draft.series_after(number, secret));
    for withdrawn in all.take_while(|withdrawn| *withdrawn != series) {
        let Some(revisions) = revisions_of(withdrawn)? else {
            return Ok(Some(NotReinstated::TooManyRevisions));
        };
        if let Err(refused) = compare(draft.marking(), &revisions, now) {
            return Ok(Some(refused));
        }
    }
    Ok(None)
}

fn compare(marking: &Marking, revisions: &[Revision], now: Timestamp) -> Result<(), NotReinstated> {
    if let Some(held) = revisions.iter().find(|revision| revision.marks.is_restricted()) {
        return Err(NotReinstated::Held(held.id));
    }
    // Revisions may have caveats in different words; no marking could repeat all of them.
    let is_caveat_known = marking.caveat.is_some()
        && revisions.iter().any(|revision| revision.marking.caveat == marking.caveat);
    let is_looser = |revision: &&Revision| {
        let mut before = revision.marking.clone();
        if is_caveat_known {
            before.caveat.clone_from(&marking.caveat);
        }
        // A time that is past restricts nothing that could be recorded now.
        before.expires = before.expires.filter(|time| *time > now);
        before.retain_until = before.retain_until.filter(|time| *time > now);
        marking.is_looser_than(&before)
    };
    match revisions.iter().rev().find(is_looser) {
        Some(stricter) => Err(NotReinstated::Looser(stricter.id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::index::Marks;
    use crate::pb;
    use crate::record::marking::Tlp;
    use crate::testkit::{self, NOW_MS as NOW, time};
    use std::slice;

    fn marking(change: impl FnOnce(&mut Marking)) -> Marking {
        let mut marking = testkit::marking(pb::Tlp::Amber, pb::Pap::Amber);
        change(&mut marking);
        marking
    }

    fn revision(number: u8, marking: Marking) -> Revision {
        let id = RecordId::from_bytes([number; 32]);
        Revision { id, marking, marks: Marks::default(), client: "sato".to_owned() }
    }

    fn with_caveat(words: &str) -> Marking {
        marking(|marking| marking.caveat = Some(words.to_owned()))
    }

    /// Returns the record for which the marking is refused.
    fn stricter(now: &Marking, before: &[Marking]) -> Option<u8> {
        let revisions: Vec<_> =
            (1..).zip(before).map(|(number, marking)| revision(number, marking.clone())).collect();
        match compare(now, &revisions, time(NOW)) {
            Ok(()) => None,
            Err(NotReinstated::Looser(id)) => Some(id.as_bytes()[0]),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_was_withdrawn_is_reinstated_under_no_looser_marking_than_any_revision_had() {
        let plain = marking(|_| ());
        let green = marking(|marking| marking.tlp = Tlp::Green);
        let caveat = with_caveat("ask first");
        assert_eq!(stricter(&plain, slice::from_ref(&plain)), None);
        assert_eq!(stricter(&caveat, slice::from_ref(&plain)), None, "it may be stricter");
        assert_eq!(stricter(&plain, slice::from_ref(&caveat)), Some(1));
        // The looser revision was held, or refused, or never looked at: it does not count.
        assert_eq!(stricter(&green, &[plain.clone(), green.clone()]), Some(1));
        assert_eq!(stricter(&plain, &[caveat.clone(), plain.clone()]), Some(1));
        assert_eq!(stricter(&plain, &[green, plain.clone()]), None);
        // One of two caveats is enough, another is not.
        let both = [caveat.clone(), with_caveat("ask twice")];
        assert_eq!(stricter(&caveat, &both), None);
        assert_eq!(stricter(&with_caveat("ask nobody"), &both), Some(2));
    }

    #[test]
    fn a_time_that_is_past_does_not_keep_a_value_from_being_reinstated() {
        let until = |ms| marking(|marking| marking.expires = Some(time(ms)));
        assert_eq!(stricter(&until(NOW + 9), &[until(NOW)]), None);
        assert_eq!(stricter(&until(NOW + 9), &[until(NOW + 8)]), Some(1));
        assert_eq!(stricter(&until(NOW + 8), &[until(NOW + 9)]), None);
    }

    #[test]
    fn a_series_with_a_record_under_a_hold_is_not_reinstated() {
        let plain = marking(|_| ());
        let mut revisions = vec![revision(1, plain.clone()), revision(2, plain.clone())];
        assert_eq!(compare(&plain, &revisions, time(NOW)), Ok(()));
        revisions[0].marks = Marks::default().with_restricted(true);
        let refused = compare(&plain, &revisions, time(NOW)).unwrap_err();
        assert_eq!(refused, NotReinstated::Held(revisions[0].id));
        let next = format!("liaison record unrestrict {}", revisions[0].id);
        assert!(refused.to_string().contains(&next), "{refused}");
    }
}
