//! Judging the answer of a partner to an order to erase that it never had the record.
//!
//! The partner's own receipts decide. Where one covers an entry that shows what is to be erased, the answer
//! contradicts it, and the order is laid on the partner again. Where the partner took no such entry, there
//! is nothing to erase and the order is settled.

use super::exception::Reason;
use crate::record::slots::SlotMask;

/// The word of a partner's receipts on an entry that disclosed a record to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipted {
    /// A receipt covers it, and its exceptions do not name it.
    Taken,
    /// The exceptions of a receipt name it.
    NotTaken,
    /// Receipts do not show it any more: the logs of one of the two were succeeded.
    Unknown,
}

/// The verdict on an answer that there is no record to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// A receipt of the partner shows that it took what is to be erased.
    Contradicted,
    /// The receipts neither show nor rule out that it did.
    Undecided,
    /// The partner took nothing of what is to be erased.
    Settled,
}

/// Judges the denial of an order for these slots by the entries that disclosed the record, each with its
/// slots.
pub fn judge_denial(
    ordered: SlotMask,
    shown: impl IntoIterator<Item = (SlotMask, Receipted)>,
) -> Denial {
    let about = shown.into_iter().filter(|(slots, _)| !slots.and(ordered).is_empty());
    about.fold(Denial::Settled, |denial, (_, receipted)| match (denial, receipted) {
        (Denial::Contradicted, _) | (_, Receipted::Taken) => Denial::Contradicted,
        (Denial::Undecided, _) | (_, Receipted::Unknown) => Denial::Undecided,
        (Denial::Settled, Receipted::NotTaken) => Denial::Settled,
    })
}

/// Returns true if this reason for not carrying out an order to erase is that there is no record.
pub const fn denies(reason: Reason) -> bool {
    matches!(reason, Reason::NotSupplied | Reason::NotOrdered)
}

/// Returns whether an order to erase that a partner did not carry out is laid on it again. `denial`: the
/// judgement where the reason is that there is no record.
pub fn is_repeated(reason: Reason, denial: Denial) -> bool {
    if denies(reason) { denial != Denial::Settled } else { reason.is_refusal() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(bits: u32) -> SlotMask {
        SlotMask::from_bits(bits)
    }

    #[test]
    fn one_receipt_for_what_is_to_be_erased_contradicts_whatever_the_others_are() {
        use Receipted::{NotTaken, Taken, Unknown};
        let judge = |shown: &[(u32, Receipted)]| {
            judge_denial(mask(0b0110), shown.iter().map(|(slots, of)| (mask(*slots), *of)))
        };
        assert_eq!(judge(&[]), Denial::Settled);
        assert_eq!(judge(&[(0b0010, NotTaken), (0b1110, NotTaken)]), Denial::Settled);
        assert_eq!(judge(&[(0b0010, NotTaken), (0b0010, Unknown)]), Denial::Undecided);
        assert_eq!(judge(&[(0b0010, Unknown), (0b0010, NotTaken)]), Denial::Undecided);
        for others in [NotTaken, Unknown] {
            assert_eq!(judge(&[(0b0010, others), (0b0100, Taken)]), Denial::Contradicted);
            assert_eq!(judge(&[(0b0100, Taken), (0b0010, others)]), Denial::Contradicted);
        }
        assert_eq!(judge(&[(0b1000, Taken)]), Denial::Settled, "nothing of it is to be erased");
    }

    #[test]
    fn an_order_is_repeated_unless_it_is_settled_or_held() {
        for reason in [Reason::NotSupplied, Reason::NotOrdered] {
            assert!(is_repeated(reason, Denial::Contradicted));
            assert!(is_repeated(reason, Denial::Undecided));
            assert!(!is_repeated(reason, Denial::Settled));
        }
        assert!(is_repeated(Reason::Signature, Denial::Settled));
        assert!(!is_repeated(Reason::HeldAsEvidence, Denial::Contradicted));
    }
}
