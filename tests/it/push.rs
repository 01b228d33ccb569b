//! `liaison push` as a vendor's tool runs it: its exit codes, its report, what it leaves in the node.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use liaison::policy::ClientRole;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;

use crate::fixture::{CORE_ONLY, OPERATION, PROGRAM, RunningNode, eventually, liaison};

/// `liaison push` of a file to a node.
pub(crate) fn push_command(node: &RunningNode, file: &Path, more: &[&str]) -> Command {
    push_as(node, ClientRole::VendorTool, file, "json", more)
}

/// The same as a client of a role, with its result in a format.
fn push_as(
    node: &RunningNode,
    role: ClientRole,
    file: &Path,
    format: &str,
    more: &[&str],
) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("push")
        .arg(file)
        .args(["--tlp", "green", "--operation", OPERATION, "-o", format, "--progress", "none"])
        .args(more)
        .arg("--client")
        .arg(node.profile(role))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The end of a push: exit code and output.
pub(crate) struct Pushed {
    pub(crate) code: Option<i32>,
    pub(crate) told: Value,
}

impl Pushed {
    pub(crate) fn of(output: &Output) -> Self {
        let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let words = String::from_utf8_lossy(&output.stderr);
            panic!("{error} in {:?}; stderr: {words}", String::from_utf8_lossy(&output.stdout))
        });
        Self { code: output.status.code(), told }
    }

    pub(crate) fn count(&self, of: &str) -> u64 {
        self.told[of].as_u64().unwrap_or_else(|| panic!("no {of} in {}", self.told))
    }

    /// Created, revised, unchanged and rejected.
    pub(crate) fn counts(&self) -> [u64; 4] {
        ["created", "revised", "unchanged", "rejected"].map(|of| self.count(of))
    }
}

pub(crate) async fn push(node: &RunningNode, file: &Path, more: &[&str]) -> Pushed {
    Pushed::of(&push_command(node, file, more).output().await.unwrap())
}

const BAD: [usize; 5] = [7, 50, 123, 200, 299];

/// Takedown results; the first `changed` rows have another status.
fn results(rows: usize, bad: &[usize], changed: usize) -> String {
    let mut csv = "value,type,status,action,provider,acted_at\n".to_owned();
    for n in 0..rows {
        let status = if bad.contains(&n) {
            "vanished"
        } else if n < changed {
            "up-again"
        } else {
            "down"
        };
        let second = n % 60;
        writeln!(
            csv,
            "host-{n:06}.example,domain,{status},suspend-domain,Some Registrar,2026-05-01T08:15:{second:02}Z"
        )
        .unwrap();
    }
    csv
}

async fn node(parent: &Path) -> RunningNode {
    RunningNode::fresh(parent, "vendor.example", "vendor", CORE_ONLY).await
}

#[tokio::test]
async fn bad_rows_are_reported_the_others_kept_and_a_repeat_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let file = dir.path().join("results.csv");
    std::fs::write(&file, results(300, &BAD, 0)).unwrap();
    let first = push(&node, &file, &[]).await;
    assert_eq!((first.code, first.counts()), (Some(7), [295, 0, 0, 5]), "{}", first.told);
    assert_eq!(node.status().await.records, 295);
    let mut report = csv::Reader::from_path(dir.path().join("results.csv.rejected.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = report.records().map(Result::unwrap).collect();
    let lines: Vec<String> = BAD.iter().map(|row| (row + 2).to_string()).collect();
    assert_eq!(rows.iter().map(|row| &row[0]).collect::<Vec<_>>(), lines);
    for row in &rows {
        assert_eq!(&row[1], "status", "{row:?}");
        assert!(!row[2].is_empty() && row[3].starts_with("host-"), "{row:?}");
    }
    let journal = node.journal().await;
    let again = push(&node, &file, &[]).await;
    assert_eq!((again.code, again.counts()), (Some(7), [0, 0, 295, 5]), "{}", again.told);
    assert_eq!(node.journal().await, journal, "a repeat changes nothing");
}

#[tokio::test]
async fn ten_changed_rows_are_ten_revisions() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let file = dir.path().join("results.csv");
    std::fs::write(&file, results(300, &[], 0)).unwrap();
    let first = push(&node, &file, &[]).await;
    assert_eq!((first.code, first.counts()), (Some(0), [300, 0, 0, 0]), "{}", first.told);
    std::fs::write(&file, results(300, &[], 10)).unwrap();
    let changed = push(&node, &file, &[]).await;
    assert_eq!((changed.code, changed.counts()), (Some(0), [0, 10, 290, 0]), "{}", changed.told);
    assert_eq!(node.status().await.records, 310);
}

#[tokio::test]
async fn an_interrupted_push_goes_on_with_the_same_command_and_repeats_no_record() {
    const ROWS: usize = 12_000;
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let file = dir.path().join("results.csv");
    std::fs::write(&file, results(ROWS, &[], 0)).unwrap();
    let child = push_command(&node, &file, &[]).spawn().unwrap();
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
    eventually("the first records are there", async || node.status().await.records > 0).await;
    kill_process(pid, Signal::INT).unwrap();
    let interrupted = child.wait_with_output().await.unwrap();
    assert_eq!(interrupted.status.code(), Some(130), "{interrupted:?}");
    let kept = node.status().await.records;
    assert!(0 < kept && kept < ROWS as u64, "{kept}");
    let rest = push(&node, &file, &[]).await;
    assert_eq!(rest.code, Some(0), "{}", rest.told);
    // The counts are those of the whole file; nothing was sent twice.
    assert_eq!(rest.counts(), [ROWS as u64, 0, 0, 0], "{}", rest.told);
    assert_eq!(node.status().await.records, ROWS as u64);
}

/// The documents on stdout, one a line, and the words on stderr.
fn lines_and_notes(output: &Output) -> (Vec<Value>, String) {
    assert!(output.status.success(), "{output:?}");
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let documents = lines.map(|line| serde_json::from_str(line).unwrap());
    (documents.collect(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[tokio::test]
async fn a_result_under_an_unknown_case_reference_warns_wherever_the_reference_stands() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let profile = node.profile(ClientRole::Analyst);
    let create = ["case", "create", "--reference", "OP-1187", "--title", "T", "--tlp", "green"];
    let created = liaison(&[&create[..], &["--client"]].concat(), &[&profile]).await;
    assert!(created.status.success(), "{created:?}");
    let csv = dir.path().join("results.csv");
    let rows =
        "a.example,OP-1187\nb.example,op-1187\nc.example,OP-1178\nd.example,OP-1178\ne.example,\n";
    std::fs::write(&csv, format!("value,case\n{rows}")).unwrap();
    let ndjson = dir.path().join("results.ndjson");
    std::fs::write(&ndjson, "{\"value\":\"f.example\",\"case\":\"OP-1178\"}\n").unwrap();
    let plain = dir.path().join("plain.csv");
    std::fs::write(&plain, "value\ng.example\n").unwrap();
    let result = ["--status", "down", "--action", "suspend-domain"];
    for (file, case) in [
        (&csv, &[][..]),
        // Results that name a case are not the case.
        (&csv, &[]),
        (&ndjson, &[]),
        (&plain, &["--case", "OP-1178"]),
    ] {
        let flags = [&result[..], case].concat();
        let pushed = push_as(&node, ClientRole::Analyst, file, "ndjson", &flags).output().await;
        let (documents, notes) = lines_and_notes(&pushed.unwrap());
        assert_eq!(documents.len(), 1, "{documents:?}");
        assert_eq!(
            notes.matches("no case here has the reference \"OP-1178\";").count(),
            1,
            "{notes}"
        );
        assert!(!notes.contains("1187"), "{notes}");
    }
    let known = [&result[..], &["--case", "OP-1187"]].concat();
    let pushed = push_as(&node, ClientRole::Analyst, &plain, "ndjson", &known).output().await;
    assert!(!lines_and_notes(&pushed.unwrap()).1.contains("no case here"));
}

#[tokio::test]
async fn ndjson_of_a_query_has_every_record_unless_a_limit_is_given() {
    // More than a page of the protocol.
    const ROWS: usize = 1_100;
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path()).await;
    let file = dir.path().join("results.csv");
    std::fs::write(&file, results(ROWS, &[], 0)).unwrap();
    assert_eq!(push(&node, &file, &[]).await.code, Some(0));
    let profile = node.profile(ClientRole::Analyst);
    let query = async |more: &[&str]| {
        let arguments = [&["query", "--kind", "takedown-result"], more, &["--client"]].concat();
        lines_and_notes(&liaison(&arguments, &[&profile]).await)
    };
    let (all, notes) = query(&["-o", "ndjson"]).await;
    assert_eq!((all.len(), notes.as_str()), (ROWS, ""));
    let ids: std::collections::HashSet<&str> =
        all.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), ROWS);
    let (some, notes) = query(&["-o", "ndjson", "--limit", "1050"]).await;
    assert_eq!(some.len(), 1_050);
    assert!(some.iter().all(|record| record["id"].is_string()), "a remark is no record");
    assert!(notes.contains("there is more; go on with --cursor "), "{notes}");
}
