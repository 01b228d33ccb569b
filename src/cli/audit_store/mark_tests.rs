//! Slots that a partner marks as erased, and nodes that take a mark for an erasure.

use super::fixtures::{Node, Party, feed_entry, received};
use super::tests::verified;
use crate::audit::Check;
use crate::journal::transaction::Origin;
use crate::pb::FeedAction;
use crate::record::slots::SlotMask;
use std::sync::Arc;

/// The check that fails after a record came from the partner with a slot as erased: one of the partner's own
/// or of another originator, as that one's mark or as a forwarder's claim.
fn marked(originator: &Party, is_claim: bool) -> Option<Check> {
    let node = Node::full();
    let record = Arc::clone(&originator.records(40..41)[0]);
    let erased = record.erased(SlotMask::from_bits(0b1000));
    let record = Arc::new(if is_claim { erased.forwarded() } else { erased });
    let entry = feed_entry(FeedAction::Disclose, &record, record.open_slots().bits(), 1);
    let agency = Party::partner().agency;
    node.commit(move |t| {
        received(t, &[entry], &[], |t, feed_index| {
            let origin = Origin::Partner { agency: &agency, feed_index };
            t.accept(record, origin).map(drop)
        })
    });
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn slots_are_erased_from_the_first_by_the_mark_of_the_originator_that_gave_the_record_alone() {
    assert_eq!(marked(&Party::partner(), false), None);
    assert_eq!(marked(&Party::stranger(), true), None);
    assert_eq!(marked(&Party::stranger(), false), Some(Check::OpenSlots));
}
