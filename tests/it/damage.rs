//! Tests of a store that lost acknowledged data: the node does not start, every verifier reports it,
//! and the way out works.

use std::path::{Path, PathBuf};

use liaison::audit::{Check, Remark};
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::pb;
use liaison::pb::log_service_client::LogServiceClient;
use liaison::policy::ClientRole;
use liaison::store::DirLock;

use crate::fixture::{
    CORE_ONLY, RunningNode, eventually, indicator, introduce, liaison, make, settled,
};

const AGENCY: &str = "damage.example";
const ROWS: usize = 64;

fn words(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn last_segment(dir: &Path) -> PathBuf {
    let segments = std::fs::read_dir(dir.join("store/segments")).unwrap();
    segments.map(|entry| entry.unwrap().path()).max().unwrap()
}

async fn checkpoint(node: &RunningNode) -> String {
    let mut log = LogServiceClient::new(node.channel(ClientRole::Auditor).await);
    let request = pb::GetCheckpointRequest { feed: String::new() };
    let note = log.get_checkpoint(request).await.unwrap().into_inner().note;
    String::from_utf8(note.to_vec()).unwrap()
}

/// A stopped node with rows that were acknowledged; gives its directory and its size.
async fn stopped_with_rows(parent: &Path) -> (PathBuf, u64) {
    let node = RunningNode::fresh(parent, AGENCY, "police", CORE_ONLY).await;
    let rows = (0..ROWS).map(|n| indicator(&format!("row-{n}.example"), "")).collect();
    assert_eq!(node.submit(rows).await.len(), ROWS);
    let (dir, size) = (node.dir.clone(), node.journal().await.0);
    stopped(node).await;
    (dir, size)
}

/// Stops a node as its supervisor does: the index covers everything then.
async fn stopped(node: RunningNode) {
    let pid = rustix::process::Pid::from_raw(node.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let store = node.dir.join("store");
    eventually("the node has stopped", async || DirLock::acquire(&store).is_ok()).await;
}

/// Changes a byte of one entry of the feeds, and back the second time.
fn flip_feed_entry(dir: &Path, number: usize) {
    let path = last_segment(dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let (mut at, mut feeds) = (16, Vec::new());
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if bytes[at + 8] == 3 {
            feeds.push(at + 10 + length / 2);
        }
        at += 10 + length;
    }
    bytes[feeds[number]] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn flip_last_commit(dir: &Path) {
    let path = last_segment(dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 9;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_tail_starts_nothing_verifies_nowhere_and_can_be_succeeded() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, size) = stopped_with_rows(parent.path()).await;
    let newest = parent.path().join("newest");
    crate::fixture::copy(&dir, &newest);
    flip_last_commit(&dir);
    let segment = std::fs::read(last_segment(&dir)).unwrap();

    for _ in 0..2 {
        let served = liaison(&["serve", "--dir"], &[&dir]).await;
        assert_eq!(served.status.code(), Some(9), "{}", words(&served));
        for part in
            [&format!("at least {size} were acknowledged"), "journal.leaves", "store succeed"]
        {
            assert!(words(&served).contains(part), "{part:?} in {}", words(&served));
        }
        assert_eq!(std::fs::read(last_segment(&dir)).unwrap(), segment, "nothing was cut");
    }
    let report = verify_directory(&dir, &AuditOptions::default()).unwrap();
    assert_eq!(report.failure.map(|failure| failure.fault.check), Some(Check::Recorded));
    assert!(!report.remarks.iter().any(|remark| matches!(remark, Remark::TornTail { .. })));
    for command in
        [&["audit", "verify"][..], &["store", "check", "--dir"], &["store", "reindex", "--dir"]]
    {
        let output = liaison(command, &[&dir]).await;
        assert!(!output.status.success(), "{command:?}");
        assert!(!words(&output).contains("never acknowledged"), "{}", words(&output));
    }
    let out = parent.path().join("export");
    let exported = liaison(&["audit", "export"], &[&dir, Path::new("--out"), &out]).await;
    assert!(!exported.status.success() && !out.exists(), "{}", words(&exported));

    // The newest copy is a way out.
    std::fs::copy(last_segment(&newest), last_segment(&dir)).unwrap();
    let node = RunningNode::start(&dir, AGENCY).await;
    assert_eq!(node.journal().await.0, size);
    node.kill().await;

    // Without one, the logs are succeeded, and nothing is signed again under the old origin.
    flip_last_commit(&dir);
    let succeeded = liaison(
        &["store", "succeed", "--accept-loss", "--by", "K. Tanaka", "--reason", "disk", "--dir"],
        &[&dir],
    )
    .await;
    assert!(succeeded.status.success(), "{}", words(&succeeded));
    let told = String::from_utf8_lossy(&succeeded.stdout).into_owned();
    assert!(told.contains(&format!("of at least {size} entries")), "{told}");
    let node = RunningNode::start(&dir, AGENCY).await;
    node.submit(vec![indicator("after.example", "")]).await;
    let note = checkpoint(&node).await;
    assert!(note.starts_with(&format!("{AGENCY}/journal/2\n")), "{note}");
    node.kill().await;
    let report = verify_directory(&dir, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
    let recorded = report.remarks.iter().find_map(|remark| match remark {
        Remark::Succeeded { recorded, signed: None, .. } => *recorded,
        _ => None,
    });
    assert_eq!(recorded, Some(size));
}

#[tokio::test]
async fn a_directory_with_keys_and_without_segments_begins_no_journal() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(AGENCY);
    make(&dir, AGENCY, "police", CORE_ONLY);
    for missing in ["store/segments", "store"] {
        std::fs::remove_dir_all(dir.join(missing)).unwrap();
        for command in ["serve", "store reindex", "store succeed --accept-loss --by x --reason y"] {
            let mut arguments: Vec<&str> = command.split(' ').collect();
            arguments.push("--dir");
            let output = liaison(&arguments, &[&dir]).await;
            assert_eq!(output.status.code(), Some(9), "{command}: {}", words(&output));
            let text = words(&output);
            assert!(text.contains("newest copy") && text.contains("liaison init"), "{text}");
            assert!(!dir.join("store/segments").exists(), "{command}");
        }
    }
    let again = liaison(
        &[
            "init",
            "--agency",
            AGENCY,
            "--name",
            "x",
            "--country",
            "JP",
            "--sector",
            "police",
            "--dir",
        ],
        &[&dir],
    )
    .await;
    assert_eq!(again.status.code(), Some(9), "{}", words(&again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_middle_is_named_and_the_rest_is_answered() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, _) = stopped_with_rows(parent.path()).await;
    // A byte of the text of one value: in its content alone.
    let path = last_segment(&dir);
    let mut bytes = std::fs::read(&path).unwrap();
    let value = b"row-7.example";
    let at = bytes.windows(value.len()).position(|window| window == value).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let node = RunningNode::start(&dir, AGENCY).await;
    eventually("the damage is found", async || !node.status().await.damages.is_empty()).await;
    let damage = node.status().await.damages.remove(0);
    assert_eq!((damage.segment, damage.entries), (1, 1));
    assert!(damage.offset <= at as u64 && damage.offset + 2_000 > at as u64);
    let admin = node.profile(ClientRole::Admin);
    let status = liaison(&["status", "--client"], &[&admin]).await;
    assert_eq!(status.status.code(), Some(9), "{}", words(&status));
    assert!(String::from_utf8_lossy(&status.stdout).contains("DAMAGED"));
    let analyst = node.profile(ClientRole::Analyst);
    let query =
        liaison(&["query", "--kind", "indicator", "-o", "ndjson", "--client"], &[&analyst]).await;
    assert!(query.status.success(), "{}", words(&query));
    assert_eq!(String::from_utf8_lossy(&query.stdout).lines().count(), ROWS - 1);
    assert!(
        words(&query).contains("cannot be read, because stored bytes are damaged"),
        "{}",
        words(&query)
    );
    // A follower from the beginning gets the rest too, and is told of the gap.
    let request = pb::WatchRecordsRequest::default();
    let mut stream = node.analyst().await.watch_records(request).await.unwrap().into_inner();
    let (mut shown, mut missing) = (0, 0);
    while shown + missing < ROWS as u64 {
        let answer = stream.message().await.unwrap().unwrap();
        shown += u64::from(answer.record.is_some());
        missing += answer.damaged;
    }
    assert_eq!((shown, missing), (ROWS as u64 - 1, 1));
    // What is new is signed and found.
    node.submit(vec![indicator("new.example", "")]).await;
    let query = liaison(&["query", "new.example", "--client"], &[&analyst]).await;
    assert!(String::from_utf8_lossy(&query.stdout).contains("new.example"));
    node.kill().await;
    let report = verify_directory(&dir, &AuditOptions::default()).unwrap();
    assert_eq!(report.failure.map(|failure| failure.fault.check), Some(Check::Frame));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_entry_stops_its_feed_alone_and_the_status_says_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(parent.path(), AGENCY, "police", CORE_ONLY).await;
    let cert = RunningNode::fresh(parent.path(), "cert.example", "cert", CORE_ONLY).await;
    introduce(&[&police, &cert]).await;
    police.submit(vec![indicator("one.example", "")]).await;
    settled(&[&police, &cert]).await;
    let (dir, cert_dir) = (police.dir.clone(), cert.dir.clone());
    stopped(cert).await;
    for value in ["two.example", "three.example"] {
        police.submit(vec![indicator(value, "")]).await;
    }
    let in_feed = async || police.partner("cert.example").await.feed_size == 3;
    eventually("all three are in the feed", in_feed).await;
    stopped(police).await;
    flip_feed_entry(&dir, 1);

    let police = RunningNode::start(&dir, AGENCY).await;
    let cert = RunningNode::start(&cert_dir, "cert.example").await;
    cert.submit(vec![indicator("four.example", "")]).await;
    let stands = async || !police.partner("cert.example").await.stopped.is_empty();
    eventually("the feed stands", stands).await;
    let received = async || police.partner("cert.example").await.received == 1;
    eventually("what the partner discloses arrives", received).await;
    let found = police.partner("cert.example").await;
    assert!(found.connected, "{found:?}");
    assert_eq!((found.receipted, found.last_error), (1, found.stopped.clone()));
    let status = liaison(&["status", "--client"], &[&police.profile(ClientRole::Admin)]).await;
    assert_eq!(status.status.code(), Some(9), "{}", words(&status));
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("STOPPED feed to cert.example: entry 1 of the feed"), "{text}");
    assert!(text.contains("bring back the newest copy of the node's directory"), "{text}");

    stopped(police).await;
    flip_feed_entry(&dir, 1);
    let police = RunningNode::start(&dir, AGENCY).await;
    settled(&[&police, &cert]).await;
    assert_eq!(police.partner("cert.example").await.receipted, 3);
    assert_eq!(cert.status().await.records, 4);
}
