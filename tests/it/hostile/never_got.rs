//! A partner that answers an order to erase with the word that it never got the record. Where its own
//! receipt covers the record, the answer is shown as a contradiction and the order comes again; where it
//! took nothing of it, the order is settled.

use std::path::Path;

use bytes::Bytes;
use liaison::exchange::{Exception, FeedAction, FeedEntry, Reason};
use liaison::ident::LeafIndex;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, ErasureProgress, exchange_frame::Body};
use liaison::policy::ClientRole;

use crate::erasure::erase;
use crate::fixture::{CORE_ONLY, RunningNode, eventually, indicator, introduce, now};
use crate::impostor::{Impostor, Stream};

const PARTNER: &str = "impostor.example";
/// The slot of an indicator's value.
const VALUE: u32 = 1 << 2;

/// A node with one partner, to which it discloses a record, and the batch that shows it.
async fn scene(parent: &Path) -> (RunningNode, Impostor, Stream, Bytes, pb::FeedBatch) {
    let node = RunningNode::fresh(parent, "police.example", "police", CORE_ONLY).await;
    introduce(&[&node]).await;
    let partner = Impostor::enrolled_at(PARTNER, &node).await;
    let id = node.submit(vec![indicator("a.example", "")]).await.remove(0).record_id;
    let mut stream = partner.open(None).await.unwrap();
    let batch = stream.batch().await;
    (node, partner, stream, id, batch)
}

/// Sends the receipt for a batch of one entry; `reason`: the partner's reason for not taking it.
async fn answer(
    (node, partner, stream): (&RunningNode, &Impostor, &Stream),
    batch: &pb::FeedBatch,
    reason: Option<Reason>,
) {
    assert_eq!(batch.entries.len(), 1);
    let exception = |reason| Exception::new(LeafIndex::new(batch.start), reason, "");
    let exceptions: Vec<_> = reason.map(exception).into_iter().collect();
    stream.send(Body::Receipt(partner.receipt(batch, now(), &exceptions)));
    eventually("the receipt is taken", async || {
        node.partner(PARTNER).await.receipted > batch.start
    })
    .await;
}

async fn progress(node: &RunningNode, id: &Bytes) -> ErasureProgress {
    let mut records = RecordServiceClient::new(node.channel(ClientRole::Auditor).await);
    let request = pb::ListErasuresRequest { record_id: id.clone(), ..Default::default() };
    let erasures = records.list_erasures(request).await.unwrap().into_inner().erasures;
    erasures[0].partners[0].progress()
}

fn actions(batch: &pb::FeedBatch) -> Vec<FeedAction> {
    batch.entries.iter().map(|entry| FeedEntry::decode(entry).unwrap().action).collect()
}

#[tokio::test]
async fn an_order_whose_record_a_partner_receipted_and_says_it_never_got_is_contradicted_and_repeated()
 {
    let dir = tempfile::tempdir().unwrap();
    let (node, partner, mut stream, id, batch) = scene(dir.path()).await;
    answer((&node, &partner, &stream), &batch, None).await;
    erase(&node, &id, VALUE, pb::ErasureBasis::CourtOrder).await;
    let order = stream.batch().await;
    assert_eq!(actions(&order), [FeedAction::Erase]);
    answer((&node, &partner, &stream), &order, Some(Reason::NotSupplied)).await;
    assert_eq!(progress(&node, &id).await, ErasureProgress::Contradicted);
    let view = node.partner(PARTNER).await;
    assert_eq!(view.contradicted_duties, 1);
    assert_ne!(view.offered_again_ms, 0);

    // A notice of other rules has it offered again at once.
    stream.send(Body::AcceptanceNotice(pb::AcceptanceNotice { changes: 1_000 }));
    let again = stream.batch().await;
    assert_eq!(actions(&again), [FeedAction::Erase]);
    answer((&node, &partner, &stream), &again, None).await;
    assert_eq!(progress(&node, &id).await, ErasureProgress::Done);
    assert_eq!(node.partner(PARTNER).await.contradicted_duties, 0);
    let node = node.started_anew().await;
    assert_eq!(progress(&node, &id).await, ErasureProgress::Done);
    let report = node.end_audited().await;
    assert!(
        report.remarks.iter().any(|remark| remark.name() == "contradicted_receipt"),
        "{report}"
    );
}

#[tokio::test]
async fn an_order_whose_record_a_partner_never_took_is_settled_when_it_says_that_it_never_got_it() {
    let dir = tempfile::tempdir().unwrap();
    let (node, partner, mut stream, id, batch) = scene(dir.path()).await;
    answer((&node, &partner, &stream), &batch, Some(Reason::Policy)).await;
    erase(&node, &id, VALUE, pb::ErasureBasis::CourtOrder).await;
    let order = stream.batch().await;
    assert_eq!(actions(&order), [FeedAction::Erase]);
    answer((&node, &partner, &stream), &order, Some(Reason::NotSupplied)).await;
    assert_eq!(progress(&node, &id).await, ErasureProgress::Done);
    assert_eq!(node.partner(PARTNER).await.refused_duties, []);

    // What is left of the record is shown again, and the order is not repeated.
    stream.send(Body::AcceptanceNotice(pb::AcceptanceNotice { changes: 1_000 }));
    let again = stream.batch().await;
    assert_eq!(actions(&again), [FeedAction::Revise]);
    let report = node.end_audited().await;
    assert!(
        report.remarks.iter().all(|remark| remark.name() != "contradicted_receipt"),
        "{report}"
    );
}
