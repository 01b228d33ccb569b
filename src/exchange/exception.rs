//! An entry of a feed that the receiver did not take, and why.
//!
//! It travels in a receipt and stands in both journals. Its text is for people and never holds
//! control characters, because a partner writes it and an officer's terminal shows it.

use super::{EXCEPTION_DETAIL_BYTES_MAX, EXCEPTION_DETAILS_BYTES_MAX};
use crate::ident::LeafIndex;
use crate::pb;

/// Exceptions that share [`EXCEPTION_DETAILS_BYTES_MAX`]: those that stand in one journal entry.
const SHARING_MAX: usize = super::BATCH_ENTRIES_MAX;

/// The reason why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Entry or envelope do not parse, do not fit each other or break the kind's slot table.
    Malformed,
    /// The signature does not verify, or its key is unknown.
    Signature,
    /// The receiver's own policy does not accept it.
    Policy,
    /// The sender sent no envelope: what was disclosed may no longer be shown.
    NotSupplied,
    /// The receiver holds the record as evidence and restricts it instead of erasing it.
    HeldAsEvidence,
    /// The duty was not ordered by somebody who may order it.
    NotOrdered,
    /// The batch had made the receiver write as much as one batch may before the entry's turn came.
    OverLimit,
}

impl Reason {
    /// Returns whether the receiver refused what it could have taken, so that it is offered again; not where
    /// nothing was sent, or where a hold keeps a duty.
    pub const fn is_refusal(self) -> bool {
        match self {
            Self::Malformed
            | Self::Signature
            | Self::Policy
            | Self::NotOrdered
            | Self::OverLimit => true,
            Self::NotSupplied | Self::HeldAsEvidence => false,
        }
    }
}

/// The fault of an exception that a partner sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExceptionError {
    #[error("reason {0} is unknown")]
    Reason(i32),
    #[error("its text has at most {EXCEPTION_DETAIL_BYTES_MAX} bytes, found {0}")]
    DetailLength(usize),
    #[error("its text holds control characters")]
    DetailForm,
}

/// One entry that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Position in the feed.
    pub index: LeafIndex,
    pub reason: Reason,
    detail: String,
}

impl Exception {
    /// Control characters in `detail` are replaced, and what is above
    /// [`EXCEPTION_DETAIL_BYTES_MAX`] is cut off.
    pub fn new(index: LeafIndex, reason: Reason, detail: &str) -> Self {
        let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let mut exception = Self { index, reason, detail: detail.chars().map(printable).collect() };
        exception.cut_detail(EXCEPTION_DETAIL_BYTES_MAX);
        exception
    }

    /// Returns the details of the fault, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    fn cut_detail(&mut self, bytes_max: usize) {
        self.detail.truncate(self.detail.floor_char_boundary(bytes_max));
    }

    /// All exceptions of a batch in their order: those of its check and those that the writer made.
    pub fn merged(checked: Vec<Self>, refused: Vec<Self>) -> Vec<Self> {
        let mut exceptions = checked;
        exceptions.extend(refused);
        exceptions.sort_by_key(|exception| exception.index);
        Self::share_space(&mut exceptions);
        exceptions
    }

    /// Shortens the texts of many, so that every 1,024 of them fit one journal entry.
    pub(super) fn share_space(exceptions: &mut [Self]) {
        let sharing = exceptions.len().clamp(1, SHARING_MAX);
        let each = EXCEPTION_DETAILS_BYTES_MAX / sharing;
        exceptions.iter_mut().for_each(|exception| exception.cut_detail(each));
    }
}

impl From<Reason> for pb::ExceptionReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Malformed => Self::Malformed,
            Reason::Signature => Self::Signature,
            Reason::Policy => Self::Policy,
            Reason::NotSupplied => Self::NotSupplied,
            Reason::HeldAsEvidence => Self::HeldAsEvidence,
            Reason::NotOrdered => Self::NotOrdered,
            Reason::OverLimit => Self::OverLimit,
        }
    }
}

impl From<&Exception> for pb::FeedException {
    fn from(exception: &Exception) -> Self {
        Self {
            index: exception.index.get(),
            reason: pb::ExceptionReason::from(exception.reason).into(),
            detail: exception.detail.clone(),
        }
    }
}

impl TryFrom<i32> for Reason {
    type Error = ExceptionError;

    fn try_from(reason: i32) -> Result<Self, ExceptionError> {
        Ok(match pb::ExceptionReason::try_from(reason) {
            Ok(pb::ExceptionReason::Malformed) => Self::Malformed,
            Ok(pb::ExceptionReason::Signature) => Self::Signature,
            Ok(pb::ExceptionReason::Policy) => Self::Policy,
            Ok(pb::ExceptionReason::NotSupplied) => Self::NotSupplied,
            Ok(pb::ExceptionReason::HeldAsEvidence) => Self::HeldAsEvidence,
            Ok(pb::ExceptionReason::NotOrdered) => Self::NotOrdered,
            Ok(pb::ExceptionReason::OverLimit) => Self::OverLimit,
            Ok(pb::ExceptionReason::Unspecified) | Err(_) => {
                return Err(ExceptionError::Reason(reason));
            }
        })
    }
}

impl TryFrom<pb::FeedException> for Exception {
    type Error = ExceptionError;

    fn try_from(wire: pb::FeedException) -> Result<Self, ExceptionError> {
        let pb::FeedException { index, reason, detail } = wire;
        let reason = Reason::try_from(reason)?;
        if detail.len() > EXCEPTION_DETAIL_BYTES_MAX {
            return Err(ExceptionError::DetailLength(detail.len()));
        }
        if detail.chars().any(char::is_control) {
            return Err(ExceptionError::DetailForm);
        }
        Ok(Self { index: LeafIndex::new(index), reason, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message as _;

    #[test]
    fn a_whole_batch_of_exceptions_fits_a_journal_entry() {
        let refused =
            |index| Exception::new(LeafIndex::new(index), Reason::Malformed, &"x".repeat(1000));
        let mut exceptions: Vec<_> = (u64::MAX - 1023..=u64::MAX).map(refused).collect();
        Exception::share_space(&mut exceptions);
        let entry = pb::FeedReceived {
            exceptions: exceptions.iter().map(Into::into).collect(),
            frontier: vec![0; 63 * 32].into(),
            note: vec![0; 1024].into(),
            partner: "a".repeat(crate::ident::AGENCY_NAME_BYTES_MAX),
            exceptions_total: u64::MAX,
        };
        assert!(entry.encoded_len() + 32 <= 65_535, "{}", entry.encoded_len());
        let receipt = pb::ReceiptReceived {
            partner: entry.partner.clone(),
            note: entry.note.clone(),
            exceptions: entry.exceptions,
            exceptions_total: u64::MAX,
            statement: Some(pb::ExceptionStatement {
                start: u64::MAX,
                end: u64::MAX,
                signature: vec![0; 64].into(),
            }),
            acceptance: u64::MAX,
            contradicted: (u64::MAX - 1023..=u64::MAX).collect(),
            undecided: Vec::new(),
        };
        assert!(receipt.encoded_len() + 32 <= 65_535, "{}", receipt.encoded_len());
    }

    proptest! {
        #[test]
        fn an_exception_is_written_and_read_back(index: u64, detail in "\\PC{0,400}|.{0,300}") {
            let exception = Exception::new(LeafIndex::new(index), Reason::Policy, &detail);
            let wire = pb::FeedException::from(&exception);
            prop_assert_eq!(Exception::try_from(wire), Ok(exception));
        }
    }

    #[test]
    fn a_text_that_could_write_to_a_terminal_is_refused() {
        let wire = |reason: pb::ExceptionReason, detail: &str| pb::FeedException {
            index: 0,
            reason: reason.into(),
            detail: detail.into(),
        };
        let read = |wire| Exception::try_from(wire).unwrap_err();
        let policy = pb::ExceptionReason::Policy;
        assert_eq!(read(wire(policy, "\u{1b}[2J")), ExceptionError::DetailForm);
        assert_eq!(read(wire(policy, &"x".repeat(257))), ExceptionError::DetailLength(257));
        let none = pb::ExceptionReason::Unspecified;
        assert_eq!(read(wire(none, "")), ExceptionError::Reason(0));
    }
}
