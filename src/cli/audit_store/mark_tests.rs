//! Slots that a partner marks as erased, and nodes that take a mark for an erasure.

use super::fixtures::{Node, received, records};
use super::tests::verified;
use crate::audit::Check;
use crate::journal::transaction::Origin;
use crate::pb::FeedAction;
use crate::record::slots::SlotMask;
use crate::testkit::{Agency, feed_entry, partner};
use std::sync::Arc;

/// The check that fails after a record came from the partner with a slot as erased: one of the partner's own
/// or of another originator, as that one's mark or as a forwarder's claim.
fn marked(originator: &Agency, is_claim: bool) -> Option<Check> {
    let node = Node::full();
    let record = Arc::clone(&records(originator, 40..41)[0]);
    let erased = record.erased(SlotMask::from_bits(0b1000));
    let record = Arc::new(if is_claim { erased.forwarded() } else { erased });
    let entry = feed_entry(FeedAction::Disclose, &record.id(), record.open_slots().bits());
    let agency = partner();
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
    assert_eq!(marked(&Agency::partner(), false), None);
    assert_eq!(marked(&Agency::stranger(), true), None);
    assert_eq!(marked(&Agency::stranger(), false), Some(Check::OpenSlots));
}
