//! A partner that dates back what it signs: its receipts and its cosignatures as a witness. The node
//! takes none of them, so its own audit never stands against the only partner that there is.

use std::path::Path;

use liaison::pb::exchange_frame::Body;

use crate::fixture::{CORE_ONLY, RunningNode, eventually, indicator, introduce, now};
use crate::impostor::Impostor;

const PARTNER: &str = "impostor.example";
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

async fn node(parent: &Path) -> (RunningNode, Impostor) {
    let node = RunningNode::fresh(parent, "police.example", "police", CORE_ONLY).await;
    introduce(&[&node]).await;
    let partner = Impostor::enrolled_at(PARTNER, &node).await;
    (node, partner)
}

#[tokio::test]
async fn receipts_that_a_lone_partner_dates_back_are_refused_and_the_audit_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let (node, partner) = node(dir.path()).await;
    node.submit(vec![indicator("first.example", "")]).await;
    let mut stream = partner.open(None).await.unwrap();
    let batch = stream.batch().await;
    let receipt = partner.receipt(&batch, now().plus_ms(-2 * DAY_MS), &[]);
    stream.send(Body::Receipt(receipt));
    eventually("the receipt is answered", async || {
        node.refused("exchange stream").await > 0 || node.partner(PARTNER).await.receipted > 0
    })
    .await;
    let found = (node.refused("exchange stream").await, node.partner(PARTNER).await);
    node.end_audited().await;
    let (refused, view) = found;
    assert_eq!((refused, view.receipted), (1, 0));
    assert!(view.last_error.contains("more than a day before"), "{}", view.last_error);
}

#[tokio::test]
async fn a_receipt_that_goes_back_before_the_last_one_is_refused_and_a_good_one_is_taken_after_it()
{
    let dir = tempfile::tempdir().unwrap();
    let (node, partner) = node(dir.path()).await;
    node.submit(vec![indicator("first.example", "")]).await;
    let mut stream = partner.open(None).await.unwrap();
    let first = stream.batch().await;
    stream.send(Body::Receipt(partner.receipt(&first, now().plus_ms(HOUR_MS), &[])));
    eventually("the first is taken", async || node.partner(PARTNER).await.receipted > 0).await;
    let receipted = node.partner(PARTNER).await.receipted;
    node.submit(vec![indicator("second.example", "")]).await;
    let second = stream.batch().await;
    stream.send(Body::Receipt(partner.receipt(&second, now(), &[])));
    stream.ended().await;
    eventually("it is counted", async || node.refused("exchange stream").await > 0).await;
    let view = node.partner(PARTNER).await;
    assert_eq!(view.receipted, receipted);
    assert!(view.last_error.contains("the time of its last receipt"), "{}", view.last_error);

    let mut stream = partner.open(None).await.unwrap();
    let mut end = 0;
    while end < 2 {
        let batch = stream.batch().await;
        end = batch.start + batch.entries.len() as u64;
        stream.send(Body::Receipt(partner.receipt(&batch, now().plus_ms(HOUR_MS), &[])));
    }
    eventually("the good one is taken", async || node.partner(PARTNER).await.receipted == 2).await;
    node.end_audited().await;
}

#[tokio::test]
async fn cosignatures_that_a_lone_partner_dates_back_are_refused_and_the_audit_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let (node, partner) = node(dir.path()).await;
    node.submit(vec![indicator("first.example", "")]).await;
    let mut stream = partner.open(None).await.unwrap();
    let shown = stream.checkpoint().await;
    stream.send(Body::CheckpointAnswer(partner.cosignature(&shown, now().plus_ms(-2 * DAY_MS))));
    eventually("the cosignature is answered", async || {
        let cosigned =
            node.status().await.witnesses.iter().any(|witness| witness.cosigned_size > 0);
        node.refused("exchange stream").await > 0 || cosigned
    })
    .await;
    let refused = node.refused("exchange stream").await;
    node.end_audited().await;
    assert_eq!(refused, 1);
}
