//! Jobs of the journal that are too large: refused with a reason, or carried out, and never the end
//! of the node, at once or at its next start.

use liaison::exchange::{FeedAction, FeedEntry};
use liaison::merkle::Cosigner;
use liaison::pb::act_service_client::ActServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::witness_service_client::WitnessServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::policy::ClientRole;
use liaison::record::commit::record_id;
use liaison::record::slots::SlotMask;
use tonic::Code;

use crate::fixture::{CORE_ONLY, RunningNode, draft, eventually, introduce, settled};
use crate::impostor::{Impostor, duty};

/// Bytes beyond what a journal entry may have.
const TOO_LONG: usize = 70_000;

#[tokio::test]
async fn an_entry_that_is_too_large_is_refused_and_the_node_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let before = node.journal().await;
    let mut client = WitnessServiceClient::new(node.channel(ClientRole::Admin).await);
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let witness = Cosigner::new("witness.example/w1".parse().unwrap(), key);
    let vkey = liaison::merkle::NoteVerifier::from(&witness).to_string();
    let url = format!("http://witness.example/{}", "a".repeat(TOO_LONG));
    let request = pb::AddWitnessRequest { vkey, url };
    for _ in 0..2 {
        let refused = client.add_witness(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(node.journal().await, before);
    node.submit(vec![crate::fixture::indicator("after.example", "goes on")]).await;
    let node = {
        let path = node.dir.clone();
        node.end_audited().await;
        RunningNode::start(&path, "police.example").await
    };
    assert_eq!(node.status().await.records, 1);
}

/// Revisions of one series; the limit of one act is 1,024.
const REVISIONS: usize = 1_020;

fn revision(number: usize) -> pb::Draft {
    let note = pb::Note { text: format!("revision {number}"), ..pb::Note::default() };
    draft("one-note", Content::Note(note))
}

#[tokio::test]
async fn an_erasure_of_a_thousand_revisions_is_carried_out_and_the_node_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let a = RunningNode::fresh(dir.path(), "a.example", "police", CORE_ONLY).await;
    let b = RunningNode::fresh(dir.path(), "b.example", "police", CORE_ONLY).await;
    introduce(&[&a, &b]).await;
    let mut newest = None;
    for first in (0..REVISIONS).step_by(60) {
        let drafts = (first..first + 60).map(revision).collect();
        newest = a.submit(drafts).await.pop();
    }
    let newest = newest.unwrap();
    assert_eq!(newest.revision as usize, REVISIONS);
    settled(&[&a, &b]).await;
    let mut records = RecordServiceClient::new(a.channel(ClientRole::Analyst).await);
    let request = pb::EraseRecordRequest {
        record_id: newest.record_id,
        slots: 0b100,
        basis: pb::ErasureBasis::CourtOrder.into(),
        authority: "court order 7/26".to_owned(),
    };
    let act = records.erase_record(request).await.unwrap().into_inner().act.unwrap();
    a.approve(act.proposal).await;
    let mut acts = ActServiceClient::new(a.channel(ClientRole::PolicyOfficer).await);
    let waiting = acts.list_acts(pb::ListActsRequest::default()).await.unwrap().into_inner();
    assert_eq!(waiting.acts, []);
    settled(&[&a, &b]).await;
    let path = a.dir.clone();
    a.end_audited().await;
    let a = RunningNode::start(&path, "a.example").await;
    eventually("the partner is there again", async || a.partner("b.example").await.connected).await;
    settled(&[&a, &b]).await;
    b.end_audited().await;
}

/// An indicator of some 60 KB, in its references and notes.
fn large(number: usize) -> pb::Draft {
    let reference = |n| format!("{n}/{}", "r".repeat(2_000));
    let content = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: format!("large{number}.example"),
        references: (0..22).map(reference).collect(),
        notes: "n".repeat(16_000),
        ..pb::Indicator::default()
    };
    draft("", Content::Indicator(content))
}

/// Large records, and slots of them that are erased one by one: each time what is left is written again.
const LARGE: usize = 20;
const SMALL_SLOTS: [u32; 8] = [3, 4, 5, 6, 7, 8, 10, 12];

#[tokio::test]
async fn orders_beyond_what_one_batch_may_make_a_node_write_are_refused_and_taken_when_they_come_again()
 {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "npa.example", "police", CORE_ONLY).await;
    node.apply_policy(CORE_ONLY).await;
    let mut partner = Impostor::enrolled_at("impostor.example", &node).await;
    let records: Vec<_> = (0..LARGE).map(|number| partner.record(large(number))).collect();
    let batch = partner.batch(records.clone());
    assert_eq!(partner.deliver(batch).await.exceptions, []);
    let mut orders = Vec::new();
    for slots in SMALL_SLOTS.map(|slot| SlotMask::from_bits(1 << slot)) {
        for id in records.iter().map(|record| record_id(&record.header)) {
            let order = Some(partner.order(&id, slots));
            let entry = FeedEntry { order, ..duty(FeedAction::Erase, id, slots) };
            orders.push((entry, pb::Envelope::default()));
        }
    }
    let batch = partner.batch_of(orders.clone());
    let exceptions = partner.deliver(batch).await.exceptions;
    assert!((1..orders.len() / 2).contains(&exceptions.len()), "{}", exceptions.len());
    let first = partner.size() - exceptions.len();
    for (index, exception) in (first as u64..).zip(&exceptions) {
        let found = (exception.index, exception.reason());
        assert_eq!(found, (index, pb::ExceptionReason::OverLimit), "{}", exception.detail);
    }
    let left = orders[orders.len() - exceptions.len()..].to_vec();
    let batch = partner.batch_of(left);
    assert_eq!(partner.deliver(batch).await.exceptions, []);
    // Where everything is erased there is nothing to write.
    let batch = partner.batch_of(orders);
    assert_eq!(partner.deliver(batch).await.exceptions, []);
    node.end_audited().await;
}
