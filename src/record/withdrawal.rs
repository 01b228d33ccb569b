//! The form of a withdrawal: the end of a series, without anything of its revisions.
//!
//! Every partner that holds any revision receives the same withdrawal, also where a later revision
//! was never disclosed to it. So the header of a withdrawal is the same for all series but for the
//! originator, the series and the time: it names no predecessor and copies no marking.

use super::header::{Header, HeaderError};
use super::kind::Kind;
use super::marking::{Marking, Pap, Tlp, Use};

/// The revision number of every withdrawal: nothing follows it, whichever revisions there are.
pub const END_OF_SERIES: u32 = u32::MAX;

/// The confidence of every withdrawal: the originator is sure that it withdraws.
pub const CONFIDENCE: u8 = 100;

/// Returns the marking of every withdrawal. It limits the explanation, which a person writes for the
/// holders; the withdrawal itself goes wherever a revision went.
pub const fn marking() -> Marking {
    Marking {
        tlp: Tlp::Amber,
        pap: Pap::Amber,
        releasable_to: None,
        circles: None,
        orcon: false,
        use_limits: Use { no_evidence: false, no_notify: false, no_attribution: false },
        grading: None,
        personal_data: false,
        not_personal: false,
        jurisdictions: Vec::new(),
        expires: None,
        retain_until: None,
        caveat: None,
        foreign: Vec::new(),
    }
}

/// Refuses a withdrawal in another form, and another record in the place of a withdrawal.
pub(super) fn check(header: &Header) -> Result<(), HeaderError> {
    let is_end = header.revision == END_OF_SERIES;
    if header.kind != Kind::Withdrawal {
        return if is_end { Err(HeaderError::Withdrawal("revision")) } else { Ok(()) };
    }
    let same_for_all = [
        ("revision", is_end),
        ("labels", header.labels.is_empty()),
        ("operation", header.operation.is_none()),
        ("confidence", header.confidence == CONFIDENCE),
        ("marking", header.marking == marking()),
    ];
    match same_for_all.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(HeaderError::Withdrawal(field)),
        None => Ok(()),
    }
}
