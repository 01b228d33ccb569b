//! The history of a running node as an auditor gets it: whole, while the node works, and never
//! believed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::pb::export_history_response::Part;
use liaison::pb::log_service_client::LogServiceClient;
use liaison::pb::{self, record_service_client::RecordServiceClient};
use liaison::policy::ClientRole;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;
use tonic::Streaming;

use crate::erasure::erase;
use crate::fixture::{
    CORE_ONLY, PROGRAM, RunningNode, canary, eventually, indicator, introduce, liaison, settled,
};

/// The slot of an indicator's notes.
const NOTES: u32 = 1 << 11;

/// Asks the running node for an export; gives the exit code, the result and the words.
async fn export(node: &RunningNode, out: &Path, part: &[&str]) -> (Option<i32>, Value, String) {
    let client = node.profile(ClientRole::Auditor);
    let arguments = [&["audit", "export", "-o", "json"], part, &["--out"]].concat();
    let output = liaison(&arguments, &[out, Path::new("--client"), &client]).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), words)
}

/// The files of a folder by their paths.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Returns the names in a directory that are new.
fn left(dir: &Path, before: &[&str]) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| !before.contains(&name.as_str())).collect()
}

fn drafts(batch: u64, count: u64, notes: &str) -> Vec<pb::Draft> {
    (0..count).map(|n| indicator(&format!("host-{batch}-{n}.example"), notes)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_running_node_holds_while_records_are_pushed_and_is_that_of_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let partner = RunningNode::fresh(dir.path(), "cert.example", "cert", CORE_ONLY).await;
    introduce(&[&node, &partner]).await;
    node.submit(drafts(0, 64, "a note")).await;
    settled(&[&node, &partner]).await;
    let identity = Some(node.number().await);
    let options = AuditOptions { identity, ..AuditOptions::default() };

    let (size_before, _) = node.journal().await;
    let mut channel = RecordServiceClient::new(node.channel(ClientRole::Analyst).await);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let pushing = tokio::spawn(async move {
        let mut stopped = std::pin::pin!(stopped);
        for batch in 1_u64.. {
            let drafts = drafts(batch, 64, "a note");
            channel.submit_records(pb::SubmitRecordsRequest { drafts }).await.unwrap();
            if matches!(futures_done(stopped.as_mut()).await, Some(())) {
                return batch;
            }
        }
        0
    });
    for round in 0..3 {
        let out = dir.path().join(format!("while-{round}"));
        let (code, summary, words) = export(&node, &out, &[]).await;
        assert_eq!((code, &summary["verified"]), (Some(0), &true.into()), "{words}");
        let size: u64 = summary["size"].as_str().unwrap().parse().unwrap();
        assert!(size >= size_before, "{size} entries, there were {size_before}");
        let report = verify_directory(&out, &options).unwrap();
        assert_eq!((report.failure, report.checkpoint.size.get()), (None, size));
    }
    stop.send(()).unwrap();
    assert!(pushing.await.unwrap() > 1);
    settled(&[&node, &partner]).await;

    let (online, offline) = (dir.path().join("online"), dir.path().join("offline"));
    assert_eq!(export(&node, &online, &[]).await.0, Some(0));
    let output = liaison(&["audit", "export", "--out"], &[&offline, &node.dir]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(&online), files(&offline));
    assert!(!files(&online).keys().any(|path| path.contains("key")), "an export has no keys");
    let again = export(&node, &online, &[]).await;
    assert_eq!(again.0, Some(9), "{}", again.2);
    let stranger = node.profile(ClientRole::Analyst);
    let out = dir.path().join("analyst");
    let paths = [&out, Path::new("--client"), &stranger];
    let refused = liaison(&["audit", "export", "--out"], &paths).await;
    assert_eq!(refused.status.code(), Some(5));
    let before = ["police.example", "cert.example", "while-0", "while-1", "while-2"];
    assert_eq!(left(dir.path(), &[&before[..], &["online", "offline"]].concat()), [""; 0]);
}

/// Returns the result of a future if it is done by now.
async fn futures_done<T, E>(future: impl Future<Output = Result<T, E>>) -> Option<T> {
    tokio::select! {
        biased;
        done = future => done.ok(),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_from_a_running_node_holds_and_an_erasure_shows_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let secret = canary("note");
    let mut drafts = drafts(0, 20, "a note");
    drafts[7] = indicator("host-7.example", &secret);
    let results = node.submit(drafts).await;
    let id: String = results[7].record_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (code, report, words) = export(&node, &dir.path().join("one"), &["--record", &id]).await;
    assert_eq!((code, &report["part"]), (Some(0), &true.into()), "{words}");
    let output = liaison(&["audit", "verify"], &[&dir.path().join("one")]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let unknown = "07".repeat(32);
    let (code, _, words) = export(&node, &dir.path().join("none"), &["--record", &unknown]).await;
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("the journal has no entry about record"), "{words}");

    erase(&node, &results[7].record_id, NOTES, pb::ErasureBasis::Gdpr17).await;
    for part in [&["--record", &id][..], &[]] {
        let out = dir.path().join(format!("erased-{}", part.len()));
        let (code, _, words) = export(&node, &out, part).await;
        assert_eq!(code, Some(0), "{words}");
        let holds = |bytes: &Vec<u8>| bytes.windows(secret.len()).any(|at| at == secret.as_bytes());
        assert!(!files(&out).values().any(holds), "the export still holds what was erased");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_sends_is_refused_and_kept_when_it_does_not_hold() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    node.apply_policy(CORE_ONLY).await;
    node.submit(drafts(0, 5, "a note")).await;
    let policies = std::fs::read_dir(node.dir.join("policies")).unwrap();
    let bundle = policies.map(|entry| entry.unwrap().path()).next().unwrap();
    let path = bundle.join("10-sharing.cedar");
    let other = std::fs::read_to_string(&path).unwrap().replace("We take", "We  take");
    std::fs::write(&path, other).unwrap();
    let out = dir.path().join("npa");
    let (code, _, words) = export(&node, &out, &[]).await;
    assert_eq!(code, Some(6), "{words}");
    assert!(
        words.contains("npa.refused") && words.contains("applied policy were altered"),
        "{words}"
    );
    assert_eq!(left(dir.path(), &["police.example"]), ["npa.refused"]);
    let report = verify_directory(&dir.path().join("npa.refused"), &AuditOptions::default());
    assert!(report.unwrap().failure.is_some());
}

/// More than the windows of a connection take, so that a reader who waits holds the node up.
async fn large_history(node: &RunningNode) {
    let notes = "n".repeat(16_000);
    for batch in 0..10 {
        node.submit(drafts(batch, 64, &notes)).await;
    }
}

/// A stream with its first bytes.
async fn begun(node: &RunningNode) -> (Streaming<pb::ExportHistoryResponse>, Bytes) {
    let mut client = LogServiceClient::new(node.channel(ClientRole::Auditor).await);
    let answer = client.export_history(pb::ExportHistoryRequest {}).await.unwrap();
    let mut stream = answer.into_inner();
    let first = stream.message().await.unwrap().unwrap();
    let Some(Part::Segment(first)) = first.part else { panic!("{first:?}") };
    (stream, first.bytes)
}

/// All segment bytes that still come, and how it ends.
async fn rest(mut stream: Streaming<pb::ExportHistoryResponse>) -> Result<Vec<u8>, tonic::Status> {
    let mut bytes = Vec::new();
    while let Some(answer) = stream.message().await? {
        if let Some(Part::Segment(segment)) = answer.part {
            assert_eq!(segment.number, 1, "one segment is enough for a test");
            assert!(segment.bytes.len() <= 3 << 19, "{} bytes in one part", segment.bytes.len());
            bytes.extend_from_slice(&segment.bytes);
        }
    }
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_during_an_export_is_missing_beside_the_entry_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    large_history(&node).await;
    let secret = canary("note");
    let last = node.submit(vec![indicator("last.example", &secret)]).await.remove(0);
    let (size, _) = node.journal().await;
    // The reader waits while something is erased that it has yet to come to.
    let (stream, first) = begun(&node).await;
    erase(&node, &last.record_id, NOTES, pb::ErasureBasis::Gdpr17).await;
    node.submit(drafts(100, 10, "a note")).await;
    let bytes = [&first[..], &rest(stream).await.unwrap()].concat();
    assert!(!bytes.windows(secret.len()).any(|at| at == secret.as_bytes()));
    let segments = dir.path().join("copy/store/segments");
    std::fs::create_dir_all(&segments).unwrap();
    std::fs::write(segments.join("00000001.seg"), bytes).unwrap();
    let report = verify_directory(&dir.path().join("copy"), &AuditOptions::default()).unwrap();
    assert_eq!(report.failure, None);
    assert!(report.checkpoint.size.get() > size, "it ends before the erasure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_cut_off_never_ends_well_and_a_reader_who_goes_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    large_history(&node).await;
    // As many as one connection may have, each with a part under way, and then all are gone.
    for _ in 0..3 {
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(begun(&node).await);
        }
        drop(streams);
        node.submit(drafts(100, 1, "the node goes on")).await;
    }
    assert!(rest(begun(&node).await.0).await.unwrap().len() > 9_000_000);
    let peak = node.status().await.peak_memory_bytes >> 20;
    assert!(peak < 300, "{peak} MB");

    let (stopping, _) = begun(&node).await;
    kill_process(Pid::from_raw(node.pid().cast_signed()).unwrap(), Signal::TERM).unwrap();
    eventually("the node takes nobody in", async || {
        node.try_channel(ClientRole::Admin).await.is_none()
    })
    .await;
    let cut = rest(stopping).await.unwrap_err();
    assert!(matches!(cut.code(), tonic::Code::Unavailable | tonic::Code::Unknown), "{cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_export_leaves_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    large_history(&node).await;
    let out = dir.path().join("npa");
    let child = Command::new(PROGRAM)
        .args(["audit", "export", "--out"])
        .arg(&out)
        .arg("--client")
        .arg(node.profile(ClientRole::Auditor))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("something comes", async || !left(dir.path(), &["police.example"]).is_empty()).await;
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert!(words.contains("nothing was exported"), "{words}");
    assert_eq!(left(dir.path(), &["police.example"]), [""; 0]);
}
