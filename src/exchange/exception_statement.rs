//! A receiver's signed statement of the entries that it did not take from a range of a feed.
//!
//! A receipt shows that a feed is held up to a size; a checkpoint has no extension lines, so the
//! exceptions are signed by the receipt key in a statement of their own. Neither side can later name
//! other exceptions than those that the receiver signed.

use super::exception::Exception;
use super::{BATCH_ENTRIES_MAX, EXCEPTION_DETAILS_BYTES_MAX};
use crate::ident::{LeafIndex, TreeSize};
use crate::merkle::{Cosigner, Origin};
use crate::pb;
use ed25519_dalek::{Signature, VerifyingKey};
use std::ops::Range;

const TAG: &[u8] = b"liaison/exceptions/v1\0";

/// Exceptions of one statement at the most: they stand in one journal entry with it.
const EXCEPTIONS_MAX: usize = BATCH_ENTRIES_MAX;

/// The reason why a statement does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    #[error("a signature has 64 bytes, found {0}")]
    Length(usize),
    #[error("statements from entry {from} to {to} wanted, found one from {start} to {end}")]
    Range { from: LeafIndex, to: TreeSize, start: LeafIndex, end: TreeSize },
    #[error("exception {index} is out of order or not between {start} and {end}")]
    Exception { index: LeafIndex, start: LeafIndex, end: TreeSize },
    #[error("a statement has at most {EXCEPTIONS_MAX} exceptions, found {0}")]
    Count(usize),
    #[error("texts of at most {EXCEPTION_DETAILS_BYTES_MAX} bytes in one statement, found {0}")]
    Details(usize),
    #[error("its signature is not by the receipt key of the receiver")]
    Signature,
}

/// The receiver's statement that it took the entries from `start` to below `end`, except those in a
/// list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionStatement {
    pub start: LeafIndex,
    pub end: TreeSize,
    signature: [u8; 64],
}

/// A statement with the exceptions that it is about, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedExceptions {
    pub statement: ExceptionStatement,
    pub exceptions: Vec<Exception>,
}

impl ExceptionStatement {
    /// Signs the exceptions among the entries of a range; they must be in their order and in the range.
    pub fn sign(
        feed: &Origin,
        range: Range<u64>,
        exceptions: &[Exception],
        key: &Cosigner,
    ) -> Self {
        let (start, end) = (LeafIndex::new(range.start), TreeSize::new(range.end));
        let signature = key.sign_tagged(TAG, &message(feed, start, end, exceptions));
        Self { start, end, signature }
    }

    /// Checks range, order and signature against the exceptions.
    pub fn verify(
        &self,
        feed: &Origin,
        exceptions: &[Exception],
        key: &VerifyingKey,
    ) -> Result<(), StatementError> {
        let Self { start, end, signature } = self;
        if exceptions.len() > EXCEPTIONS_MAX {
            return Err(StatementError::Count(exceptions.len()));
        }
        let details = exceptions.iter().map(|exception| exception.detail().len()).sum();
        if details > EXCEPTION_DETAILS_BYTES_MAX {
            return Err(StatementError::Details(details));
        }
        let mut next = start.get();
        for Exception { index, .. } in exceptions {
            if !(next..end.get()).contains(&index.get()) {
                return Err(StatementError::Exception { index: *index, start: *start, end: *end });
            }
            next = index.get() + 1;
        }
        let message = [TAG, &message(feed, *start, *end, exceptions)].concat();
        key.verify_strict(&message, &Signature::from_bytes(signature))
            .map_err(|_| StatementError::Signature)
    }
}

/// Returns the signed message without the tag: the origin of the feed, the range, and every
/// exception.
fn message(feed: &Origin, start: LeafIndex, end: TreeSize, exceptions: &[Exception]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    };
    let mut out = Vec::new();
    text(&mut out, feed.as_str());
    out.extend_from_slice(&start.get().to_be_bytes());
    out.extend_from_slice(&end.get().to_be_bytes());
    out.extend_from_slice(&(exceptions.len() as u32).to_be_bytes());
    for exception in exceptions {
        let wire = pb::FeedException::from(exception);
        out.extend_from_slice(&wire.index.to_be_bytes());
        out.extend_from_slice(&wire.reason.to_be_bytes());
        text(&mut out, &wire.detail);
    }
    out
}

/// The receipt for the entries of a range: the exceptions, and as many statements as it takes, none of
/// which has more exceptions than fit a journal entry.
pub(super) fn receipt(
    note: Vec<u8>,
    feed: &Origin,
    range: Range<u64>,
    exceptions: &[Exception],
    key: &Cosigner,
) -> pb::Receipt {
    let mut exceptions = exceptions.to_vec();
    let mut statements = Vec::new();
    let mut start = range.start;
    for chunk in exceptions.chunks_mut(EXCEPTIONS_MAX) {
        Exception::share_space(chunk);
        let end = chunk.last().map_or(range.end, |last| last.index.get() + 1);
        statements.push((start..end, chunk.len()));
        start = end;
    }
    // What follows the last exception is taken.
    match statements.last_mut() {
        Some((last, _)) => last.end = range.end,
        None => statements.push((range, 0)),
    }
    let mut rest = &exceptions[..];
    let statements = statements.into_iter().map(|(range, count)| {
        let (chunk, after) = rest.split_at(count);
        rest = after;
        (&ExceptionStatement::sign(feed, range, chunk, key)).into()
    });
    pb::Receipt {
        note: note.into(),
        statements: statements.collect(),
        exceptions: exceptions.iter().map(Into::into).collect(),
    }
}

/// Checks that statements cover a range without a gap, and gives to each its exceptions.
pub(super) fn open(
    statements: Vec<pb::ExceptionStatement>,
    exceptions: &[Exception],
    (feed, range): (&Origin, Range<u64>),
    key: &VerifyingKey,
) -> Result<Vec<SignedExceptions>, StatementError> {
    let (to, mut from) = (TreeSize::new(range.end), range.start);
    let mut rest = exceptions;
    let mut signed = Vec::with_capacity(statements.len().min(super::WINDOW + 1));
    for wire in statements {
        let statement = ExceptionStatement::try_from(wire)?;
        let ExceptionStatement { start, end, .. } = statement;
        if start.get() != from || end > to || end.get() <= from {
            return Err(StatementError::Range { from: LeafIndex::new(from), to, start, end });
        }
        let count = rest.iter().take_while(|exception| exception.index.get() < end.get()).count();
        let (own, after) = rest.split_at(count);
        statement.verify(feed, own, key)?;
        signed.push(SignedExceptions { statement, exceptions: own.to_vec() });
        (rest, from) = (after, end.get());
    }
    if from == range.end && rest.is_empty() {
        return Ok(signed);
    }
    let (start, end) = (LeafIndex::new(range.start), TreeSize::new(from));
    Err(StatementError::Range { from: start, to, start, end })
}

impl From<&ExceptionStatement> for pb::ExceptionStatement {
    fn from(statement: &ExceptionStatement) -> Self {
        let ExceptionStatement { start, end, signature } = statement;
        let signature = signature.to_vec().into();
        Self { start: start.get(), end: end.get(), signature }
    }
}

impl TryFrom<pb::ExceptionStatement> for ExceptionStatement {
    type Error = StatementError;

    fn try_from(wire: pb::ExceptionStatement) -> Result<Self, StatementError> {
        let pb::ExceptionStatement { start, end, signature } = wire;
        let signature =
            signature[..].try_into().map_err(|_| StatementError::Length(signature.len()))?;
        Ok(Self { start: LeafIndex::new(start), end: TreeSize::new(end), signature })
    }
}

#[cfg(test)]
mod tests {
    use super::super::exception::Reason;
    use super::*;
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    fn key() -> Cosigner {
        Cosigner::new("b.example/receipt".parse().unwrap(), SigningKey::from_bytes(&[5; 32]))
    }

    fn feed() -> Origin {
        "a.example/feed/b.example".parse().unwrap()
    }

    fn refused(indexes: impl IntoIterator<Item = u64>) -> Vec<Exception> {
        let refused = |index| Exception::new(LeafIndex::new(index), Reason::Policy, "not wanted");
        indexes.into_iter().map(refused).collect()
    }

    fn opened(
        receipt: pb::Receipt,
        feed: &Origin,
        range: Range<u64>,
        by: &Cosigner,
    ) -> Result<Vec<SignedExceptions>, StatementError> {
        let exceptions: Result<Vec<_>, _> =
            receipt.exceptions.into_iter().map(Exception::try_from).collect();
        open(receipt.statements, &exceptions.unwrap(), (feed, range), &by.verifying_key())
    }

    #[test]
    fn exceptions_of_a_whole_window_are_signed_in_statements_that_fit_a_journal_entry() {
        for (indexes, statements) in [(0..0, 1), (3..9, 1), (0..1_024, 1), (0..8_192, 8)] {
            let exceptions = refused(indexes);
            let receipt = receipt(vec![1], &feed(), 0..9_000, &exceptions, &key());
            assert_eq!(receipt.statements.len(), statements);
            let signed = opened(receipt, &feed(), 0..9_000, &key()).unwrap();
            let all: Vec<_> = signed.into_iter().flat_map(|one| one.exceptions).collect();
            assert_eq!(all, exceptions);
        }
    }

    #[test]
    fn a_statement_is_of_one_feed_one_range_one_list_and_one_key() {
        let made = || receipt(vec![1], &feed(), 5..20, &refused([7, 9]), &key());
        assert!(opened(made(), &feed(), 5..20, &key()).is_ok());
        let other = Cosigner::new(key().name().clone(), SigningKey::from_bytes(&[6; 32]));
        assert_eq!(opened(made(), &feed(), 5..20, &other), Err(StatementError::Signature));
        let to_another = "a.example/feed/c.example".parse().unwrap();
        assert_eq!(opened(made(), &to_another, 5..20, &key()), Err(StatementError::Signature));
        for range in [4..20, 5..21, 5..19, 6..20] {
            let found = opened(made(), &feed(), range, &key());
            assert!(matches!(found, Err(StatementError::Range { .. })), "{found:?}");
        }
        let change = |change: fn(&mut pb::Receipt)| {
            let mut receipt = made();
            change(&mut receipt);
            opened(receipt, &feed(), 5..20, &key()).unwrap_err()
        };
        let dropped = change(|receipt| drop(receipt.exceptions.remove(0)));
        let added = change(|receipt| {
            receipt
                .exceptions
                .push(pb::FeedException { index: 11, ..receipt.exceptions[1].clone() });
        });
        let another_reason = change(|receipt| {
            receipt.exceptions[0].set_reason(pb::ExceptionReason::NotSupplied);
        });
        let another_text = change(|receipt| receipt.exceptions[0].detail.clear());
        for found in [dropped, added, another_reason, another_text] {
            assert_eq!(found, StatementError::Signature);
        }
        let unordered = change(|receipt| receipt.exceptions.swap(0, 1));
        assert!(matches!(unordered, StatementError::Exception { .. }));
        let none = change(|receipt| receipt.statements.clear());
        assert!(matches!(none, StatementError::Range { .. }));
        let short = change(|receipt| receipt.statements[0].signature = vec![0; 63].into());
        assert_eq!(short, StatementError::Length(63));
    }

    proptest! {
        #[test]
        fn what_one_side_signs_the_other_side_opens(
            indexes in prop::collection::btree_set(10..4_000_u64, 0..1_500), end in 4_000..5_000_u64,
        ) {
            let exceptions = refused(indexes);
            let receipt = receipt(vec![1], &feed(), 10..end, &exceptions, &key());
            let signed = opened(receipt, &feed(), 10..end, &key());
            let all: Vec<_> = signed.unwrap().into_iter().flat_map(|one| one.exceptions).collect();
            prop_assert_eq!(all, exceptions);
        }
    }
}
