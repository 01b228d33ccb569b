//! Callers that would fill the node's memory or its places: it holds a bounded part of what they
//! send, and others are served.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request};
use hyper::body::{Body as _, Frame};
use liaison::node::config::Config;
use liaison::pb::exchange_frame::Body;
use liaison::policy::ClientRole;
use tonic::body::Body as RequestBody;
use tonic::codegen::Service as _;

use crate::fixture::{CORE_ONLY, RunningNode, canary, eventually, indicator, introduce, make};
use crate::impostor::Impostor;

const MIB: u64 = 1 << 20;

/// The most memory that a process ever had, in bytes.
pub(super) fn memory_peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_whose_answers_nobody_reads_leave_memory_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    introduce(&[&node]).await;
    let mut impostor = Impostor::enrolled_at("impostor.example", &node).await;
    let batch = impostor.batch(vec![impostor.record(indicator(&canary(".example"), "a note"))]);
    assert_eq!(impostor.deliver(batch.clone()).await.exceptions, []);
    let before = memory_peak(node.pid());
    let counted = node.refused("exchange stream").await;
    let stream = impostor.open(None).await.unwrap();
    for _ in 0..8_000 {
        stream.send(Body::FeedBatch(batch.clone()));
    }
    eventually("the stream is ended for its repeats", async || {
        node.refused("exchange stream").await > counted
    })
    .await;
    drop(stream);
    let grown = memory_peak(node.pid()).saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB more", grown / MIB);
    let batch = impostor.batch(vec![impostor.record(indicator(&canary(".example"), "a note"))]);
    assert_eq!(impostor.deliver(batch).await.exceptions, []);
}

/// A message that is announced, sent but for its last byte, and never finished.
struct Unfinished {
    prefix: bool,
    left: usize,
    sent: Arc<AtomicUsize>,
}

impl hyper::body::Body for Unfinished {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if std::mem::take(&mut self.prefix) {
            let length = u32::try_from(self.left + 1).unwrap().to_be_bytes();
            return Poll::Ready(Some(Ok(Frame::data([&[0], &length[..]].concat().into()))));
        }
        let piece = self.left.min(64 << 10);
        if piece == 0 {
            return Poll::Pending;
        }
        self.left -= piece;
        self.sent.fetch_add(piece, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(vec![0; piece].into()))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_messages_of_one_client_leave_memory_bounded_and_others_served() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let before = memory_peak(node.pid());
    let channel = node.channel(ClientRole::VendorTool).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..48 {
        let body = Unfinished { prefix: true, left: (4 << 20) - 64, sent: Arc::clone(&sent) };
        assert!(!body.is_end_stream());
        let request = Request::builder()
            .method(Method::POST)
            .uri("/liaison.v1.RecordService/StreamRecords")
            .header("content-type", "application/grpc")
            .body(RequestBody::new(body))
            .unwrap();
        let mut channel = channel.clone();
        calls.spawn(async move {
            std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
            let _held = channel.call(request).await;
            std::future::pending::<()>().await;
        });
    }
    eventually("the client sent all that it may", async || sent.load(Ordering::Relaxed) > 16 << 20)
        .await;
    for _ in 0..20 {
        node.submit(vec![indicator(&canary(".example"), "of another client")]).await;
    }
    let sent = sent.load(Ordering::Relaxed) as u64;
    let grown = memory_peak(node.pid()).saturating_sub(before);
    assert!(grown < 128 * MIB, "{} MiB more, {} MiB were sent", grown / MIB, sent / MIB);
}

#[tokio::test]
async fn a_client_that_takes_all_its_connections_locks_no_officer_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("police.example");
    make(&path, "police.example", "police", CORE_ONLY);
    let mut config = Config::load(&path).unwrap();
    config.limits.connections = 24;
    config.limits.connections_reserved = 12;
    config.limits.connections_per_caller = 8;
    config.store(&path).unwrap();
    let node = RunningNode::start(&path, "police.example").await;
    let mut held = Vec::new();
    eventually("the tool is refused a connection", async || {
        held.extend(node.try_channel(ClientRole::VendorTool).await);
        node.refused("handshake: connections_of_one_caller").await > 0
    })
    .await;
    for role in [ClientRole::PolicyOfficer, ClientRole::Admin, ClientRole::Analyst] {
        assert!(node.try_channel(role).await.is_some(), "{role:?}");
    }
    node.submit(vec![indicator(&canary(".example"), "of an analyst")]).await;
    drop(held);
}

#[tokio::test]
async fn a_client_that_submitted_its_share_of_the_day_is_refused_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("police.example");
    make(&path, "police.example", "police", CORE_ONLY);
    let mut config = Config::load(&path).unwrap();
    config.limits.client_records_per_day = 10;
    config.store(&path).unwrap();
    let node = RunningNode::start(&path, "police.example").await;
    let drafts = |count| (0..count).map(|_| indicator(&canary(".example"), "one")).collect();
    let channel = node.channel(ClientRole::VendorTool).await;
    let mut tool = liaison::pb::record_service_client::RecordServiceClient::new(channel);
    let request = liaison::pb::SubmitRecordsRequest { drafts: drafts(10) };
    tool.submit_records(request).await.unwrap();
    let request = liaison::pb::SubmitRecordsRequest { drafts: drafts(1) };
    let refused = tool.submit_records(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("client_records_per_day"), "{refused}");
    assert_eq!(node.refused("journal quota of a client").await, 1);
    node.submit(drafts(5)).await;
    assert_eq!(node.status().await.records, 15);
}

#[tokio::test]
async fn a_partner_that_sent_its_share_of_the_day_is_read_no_further_and_another_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.example");
    make(&path, "b.example", "police", CORE_ONLY);
    let mut config = Config::load(&path).unwrap();
    config.limits.partner_records_per_day = 10;
    config.store(&path).unwrap();
    let b = RunningNode::start(&path, "b.example").await;
    let a = RunningNode::fresh(dir.path(), "a.example", "police", CORE_ONLY).await;
    let c = RunningNode::fresh(dir.path(), "c.example", "police", CORE_ONLY).await;
    introduce(&[&a, &b, &c]).await;
    let drafts = |count| (0..count).map(|_| indicator(&canary(".example"), "one")).collect();
    a.submit(drafts(20)).await;
    eventually("the feed of a is read no further", async || {
        b.refused("journal quota of a partner").await > 0 && b.status().await.records > 10
    })
    .await;
    let told = b.partner("a.example").await;
    assert!(told.last_error.contains("partner_records_per_day"), "{told:?}");
    let before = b.status().await.records;
    assert!(before <= 20, "{before}");
    a.submit(drafts(5)).await;
    c.submit(drafts(3)).await;
    eventually("the records of c are here", async || b.status().await.records >= before + 3).await;
    assert_eq!(b.status().await.records, before + 3);
}
