//! A partner that marks slots of a record as erased, though nothing was erased: whoever may give them
//! brings them all the same. The mark of the originator keeps them from others, and an order from all.

use std::path::Path;

use bytes::Bytes;
use liaison::exchange::{FeedAction, FeedEntry};
use liaison::pb::{self, SlotState};
use liaison::policy::ClientRole;
use liaison::record::commit::record_id;
use liaison::record::slots::SlotMask;

use crate::fixture::{CORE_ONLY, RunningNode, indicator};
use crate::impostor::{Impostor, duty, shown};

/// The slot of the notes of an indicator.
const NOTES: usize = 11;
const MARKED: SlotMask = SlotMask::from_bits(1 << NOTES);

/// A node with two partners: an originator, and one that forwards what it has from there.
async fn scene(parent: &Path) -> (RunningNode, Impostor, Impostor) {
    let node = RunningNode::fresh(parent, "npa.example", "police", CORE_ONLY).await;
    node.apply_policy(CORE_ONLY).await;
    let originator = Impostor::enrolled_at("originator.example", &node).await;
    let forwarder = Impostor::enrolled_at("forwarder.example", &node).await;
    (node, originator, forwarder)
}

async fn give(partner: &mut Impostor, envelope: &pb::Envelope) {
    let batch = partner.batch_of(vec![(shown(FeedAction::Disclose, envelope), envelope.clone())]);
    assert_eq!(partner.deliver(batch).await.exceptions, []);
}

/// The state of the notes at the node.
async fn notes(node: &RunningNode, of: &pb::Envelope) -> SlotState {
    let id = Bytes::copy_from_slice(record_id(&of.header).as_bytes());
    let view = node.view(ClientRole::Analyst, &id).await.unwrap();
    view.envelope.unwrap().slots[NOTES - 1].state()
}

#[tokio::test]
async fn what_a_forwarder_marks_as_erased_is_opened_by_its_originator_and_by_another_forwarder() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut originator, mut forwarder) = scene(dir.path()).await;
    let mut other = Impostor::enrolled_at("other.example", &node).await;
    let records = ["a.example", "b.example"].map(|value| indicator(value, "not erased"));
    let records = records.map(|draft| originator.record(draft));
    for record in &records {
        let marked = originator.with_erased(record, MARKED);
        give(&mut forwarder, &marked).await;
        assert_eq!(notes(&node, record).await, SlotState::Erased);
    }
    give(&mut originator, &records[0]).await;
    give(&mut other, &records[1]).await;
    for record in &records {
        assert_eq!(notes(&node, record).await, SlotState::Open);
    }
    let node = node.started_anew().await;
    for record in &records {
        assert_eq!(notes(&node, record).await, SlotState::Open);
    }
    node.end_audited().await;
}

#[tokio::test]
async fn what_its_originator_marks_as_erased_is_opened_by_the_originator_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut originator, mut forwarder) = scene(dir.path()).await;
    let record = originator.record(indicator("a.example", "not erased"));
    let marked = originator.with_erased(&record, MARKED);
    give(&mut originator, &marked).await;
    give(&mut forwarder, &record).await;
    assert_eq!(notes(&node, &record).await, SlotState::Erased);
    give(&mut originator, &record).await;
    assert_eq!(notes(&node, &record).await, SlotState::Open);
    let node = node.started_anew().await;
    assert_eq!(notes(&node, &record).await, SlotState::Open);
    node.end_audited().await;
}

#[tokio::test]
async fn what_was_marked_as_erased_and_then_ordered_erased_is_opened_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (node, mut originator, mut forwarder) = scene(dir.path()).await;
    let record = originator.record(indicator("a.example", "erased by order"));
    let id = record_id(&record.header);
    let marked = originator.with_erased(&record, MARKED);
    for partner in [&mut forwarder, &mut originator] {
        give(partner, &marked).await;
    }
    let order = Some(originator.order(&id, MARKED));
    let entry = FeedEntry { order, ..duty(FeedAction::Erase, id, MARKED) };
    let batch = originator.batch_of(vec![(entry, pb::Envelope::default())]);
    assert_eq!(originator.deliver(batch).await.exceptions, []);
    for partner in [&mut originator, &mut forwarder] {
        give(partner, &record).await;
        assert_eq!(notes(&node, &record).await, SlotState::Erased);
    }
    let node = node.started_anew().await;
    give(&mut originator, &record).await;
    assert_eq!(notes(&node, &record).await, SlotState::Erased);
    node.end_audited().await;
}
