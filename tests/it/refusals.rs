//! The refusals of a node: with a clear word, counted, and without a trace in its journal.

use std::error::Error as _;
use std::path::Path;

use liaison::pb::ExceptionReason::{Malformed, Signature};
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, exchange_frame::Body};
use liaison::policy::ClientRole;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{CORE_ONLY, RunningNode, eventually, introduce, some_indicator};
use crate::impostor::Impostor;

const PARTNER: &str = "impostor.example";

async fn node(parent: &Path) -> RunningNode {
    let node = RunningNode::fresh(parent, "police.example", "police", CORE_ONLY).await;
    introduce(&[&node]).await;
    node
}

/// The node closed the connection before anything of gRPC was answered.
async fn is_not_let_in(impostor: &Impostor) {
    let status = impostor.open(None).await.err().expect("a stranger is not let in");
    assert!(status.metadata().is_empty(), "the node answered: {status:?}");
    let closed = status.source().is_some() || status.code() == tonic::Code::Unavailable;
    assert!(closed, "{status:?}");
}

#[tokio::test]
async fn a_stranger_and_an_expired_certificate_end_in_the_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let expired = Impostor::with_certificate_of(PARTNER, &node, 40).await;
    expired.enrol(&node).await;
    let before = node.journal().await;
    is_not_let_in(&Impostor::unknown_to("stranger.example", &node).await).await;
    eventually("the stranger is counted", async || node.refused("handshake: unknown").await > 0)
        .await;
    // The enrolled name with keys of another.
    is_not_let_in(&Impostor::unknown_to(PARTNER, &node).await).await;
    eventually("the liar is counted", async || node.refused("handshake: not_trusted").await > 0)
        .await;
    let counted = node.refused("handshake: not_trusted").await;
    is_not_let_in(&expired).await;
    eventually("the expired certificate is counted", async || {
        node.refused("handshake: not_trusted").await > counted
    })
    .await;
    assert_eq!(node.journal().await, before);
}

#[tokio::test]
async fn a_suspended_partner_is_cut_off_at_once_and_goes_on_when_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let mut impostor = Impostor::enrolled_at(PARTNER, &node).await;
    let mut stream = impostor.open(None).await.unwrap();
    let batch = impostor.batch(vec![impostor.record(some_indicator())]);
    assert_eq!(stream.deliver(batch).await.exceptions, []);
    node.set_state(PARTNER, pb::PartnerState::Suspended).await;
    stream.ended().await;
    let before = node.journal().await;
    is_not_let_in(&impostor).await;
    eventually("it is counted", async || node.refused("handshake: unknown").await > 0).await;
    assert!(node.refused("partner not active").await > 0);
    assert_eq!(node.journal().await, before);
    node.set_state(PARTNER, pb::PartnerState::Active).await;
    let batch = impostor.batch(vec![impostor.record(some_indicator())]);
    assert_eq!(impostor.deliver(batch).await.exceptions, []);
    assert_eq!(node.status().await.records, 2);
}

#[tokio::test]
async fn a_message_above_four_mebibytes_ends_the_stream() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let impostor = Impostor::enrolled_at(PARTNER, &node).await;
    let before = node.journal().await;
    let stream = impostor.open(None).await.unwrap();
    let note = vec![b'x'; 5 << 20].into();
    stream.send(Body::FeedBatch(pb::FeedBatch { note, ..pb::FeedBatch::default() }));
    stream.ended().await;
    eventually("it is counted", async || node.refused("exchange message").await > 0).await;
    let told = node.partner(PARTNER).await.last_error;
    assert!(told.contains("too large"), "{told}");
    assert_eq!(node.journal().await, before);
}

/// Passes bytes on until this many came from the caller, then cuts the connection.
async fn cutting_after(address: String, bytes: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (caller, _) = listener.accept().await.unwrap();
        let node = TcpStream::connect(address).await.unwrap();
        let (read_caller, mut write_caller) = caller.into_split();
        let (mut read_node, mut write_node) = node.into_split();
        let back =
            tokio::spawn(async move { tokio::io::copy(&mut read_node, &mut write_caller).await });
        tokio::io::copy(&mut read_caller.take(bytes), &mut write_node).await.unwrap();
        write_node.shutdown().await.unwrap();
        back.abort();
    });
    here
}

#[tokio::test]
async fn a_stream_that_is_cut_within_a_batch_leaves_nothing_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let mut impostor = Impostor::enrolled_at(PARTNER, &node).await;
    let envelopes = (0..200).map(|_| impostor.record(some_indicator())).collect();
    let batch = impostor.batch(envelopes);
    let before = node.journal().await;
    let address = node.status().await.partner_address;
    let proxy = cutting_after(address, 40_000).await;
    let stream = impostor.open(Some(proxy)).await.unwrap();
    stream.send(Body::FeedBatch(batch.clone()));
    stream.ended().await;
    eventually("the cut is seen", async || !node.partner(PARTNER).await.connected).await;
    assert!(!node.partner(PARTNER).await.last_error.is_empty());
    eventually("it is counted", async || node.refused("exchange stream cut").await > 0).await;
    assert_eq!(node.journal().await, before);
    assert_eq!(impostor.deliver(batch).await.exceptions, []);
    assert_eq!(node.status().await.records, 200);
}

#[tokio::test]
async fn a_bad_record_is_an_exception_and_the_others_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let mut impostor = Impostor::enrolled_at(PARTNER, &node).await;
    let mut forged = impostor.record(some_indicator());
    let signature = forged.signature.as_mut().unwrap();
    let mut bytes = signature.signature.to_vec();
    bytes[5] ^= 1;
    signature.signature = bytes.into();
    let mut moved = impostor.record(some_indicator());
    moved.slots.swap(7, 8);
    let mut wrong_content = impostor.record(some_indicator());
    wrong_content.slots[1].content = wrong_content.slots[0].content.clone();
    let sound = [(); 2].map(|()| impostor.record(some_indicator()));
    let [first, last] = sound;
    let batch = impostor.batch(vec![first, forged, moved, wrong_content, last]);
    let receipt = impostor.deliver(batch).await;
    let found: Vec<_> = receipt.exceptions.iter().map(|e| (e.index, e.reason())).collect();
    assert_eq!(found, [(1, Signature), (2, Malformed), (3, Malformed)], "{receipt:?}");
    assert!(receipt.exceptions.iter().all(|exception| !exception.detail.is_empty()));
    assert_eq!(node.status().await.records, 2);
    assert_eq!(node.refused("record signature").await, 1);
    assert_eq!(node.refused("record malformed").await, 2);
}

#[tokio::test]
async fn a_batch_that_is_sent_twice_gets_the_same_receipt_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let mut impostor = Impostor::enrolled_at(PARTNER, &node).await;
    let batch = impostor.batch(vec![impostor.record(some_indicator())]);
    let mut stream = impostor.open(None).await.unwrap();
    let receipt = stream.deliver(batch.clone()).await;
    let before = node.journal().await;
    assert_eq!(stream.deliver(batch.clone()).await, receipt);
    assert_eq!(impostor.deliver(batch).await.note, receipt.note);
    assert_eq!(node.journal().await, before);
    assert_eq!(node.status().await.records, 1);
}

#[tokio::test]
async fn a_partner_that_signs_two_histories_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let mut impostor = Impostor::enrolled_at(PARTNER, &node).await;
    let batch = impostor.batch(vec![impostor.record(some_indicator())]);
    impostor.deliver(batch).await;
    let before = node.journal().await;
    impostor.forget();
    let other = impostor.batch(vec![impostor.record(some_indicator())]);
    let stream = impostor.open(None).await.unwrap();
    stream.send(Body::FeedBatch(other));
    stream.ended().await;
    eventually("it is counted", async || node.refused("exchange stream").await > 0).await;
    eventually("the evidence is kept", async || !node.status().await.contradictions.is_empty())
        .await;
    assert_eq!(node.journal().await.0, before.0 + 1, "the evidence and nothing else");
}

#[tokio::test]
async fn a_role_that_may_not_call_is_told_its_role() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let before = node.journal().await;
    let mut client = RecordServiceClient::new(node.channel(ClientRole::VendorTool).await);
    let refused = client.query_records(pb::QueryRecordsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(refused.message().contains("vendor-tool"), "{refused}");
    assert_eq!(node.refused("access").await, 1);
    assert_eq!(node.journal().await, before);
}
