//! Denials of a partner that its own receipt contradicts, and nodes that tell them wrongly.

use super::fixtures::Node;
use super::tests::verified;
use crate::audit::{Check, Remark};
use crate::exchange::{Exception, Reason};
use crate::ident::LeafIndex;
use crate::pb;
use crate::testkit::partner;

/// Entries of the feed that show the record which is ordered erased: its disclosure and its revision.
const DISCLOSED: u64 = 1;
/// The entry with the order.
const ORDER: u64 = 6;

fn exception(index: u64, reason: Reason) -> Exception {
    Exception::new(LeafIndex::new(index), reason, "")
}

/// The check that fails, and the remark on denials, after the partner took its feed but for these entries and
/// then denied that it got what it is ordered to erase; `change`: what the node writes about that.
fn denied(
    not_taken: &[Exception],
    change: impl FnOnce(&mut pb::ReceiptReceived),
) -> (Option<Check>, Option<Remark>) {
    let mut node = Node::new();
    node.submit(0..3);
    node.disclose(0..3);
    node.take_receipt_but(not_taken, |_| {});
    node.order_erased();
    node.take_receipt_but(&[exception(ORDER, Reason::NotSupplied)], change);
    let report = verified(&node);
    let is_denial = |remark: &Remark| matches!(remark, Remark::ContradictedReceipt { .. });
    let remark = report.remarks.into_iter().find(is_denial);
    (report.failure.map(|failure| failure.fault.check), remark)
}

#[test]
fn an_order_that_is_denied_against_a_receipt_is_a_remark_with_the_partner_and_the_entry() {
    let (failure, remark) = denied(&[], |receipt| receipt.contradicted.push(ORDER));
    let Some(Remark::ContradictedReceipt { partner: by, orders, entry }) = remark else {
        panic!("{remark:?}")
    };
    assert_eq!((failure, by, orders), (None, partner(), 1));
    assert!(entry > 0);
    // Whatever the node wrote, the receipts prove it.
    assert!(denied(&[], |_| {}).1.is_some());
    let refused = [exception(DISCLOSED, Reason::Policy)];
    assert_eq!(denied(&refused, |_| {}), (None, None));
}

#[test]
fn a_node_that_names_other_denials_than_the_partner_signed_is_found() {
    for index in [DISCLOSED, ORDER + 1] {
        let named = |receipt: &mut pb::ReceiptReceived| receipt.contradicted.push(index);
        assert_eq!(denied(&[], named).0, Some(Check::Receipt));
        let named = |receipt: &mut pb::ReceiptReceived| receipt.undecided.push(index);
        assert_eq!(denied(&[], named).0, Some(Check::Receipt));
    }
}
