//! Every write, sync, rename and opening on the way of one batch fails once, and once the process is
//! killed at it: what was acknowledged is there after a restart, the log verifies, and no two roots of
//! one size were ever signed. Once for batches within a segment file, once for batches each of which
//! begins the next.
//!
//! strace makes the calls fail in a running `liaison serve`. Where it is not installed, or may not
//! trace, this says so and tests nothing.

#![allow(clippy::print_stderr, reason = "says why nothing was tested, and what was")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use liaison::node::config::Config;
use liaison::pb::log_service_client::LogServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, get_record_request::Selector};
use liaison::policy::ClientRole;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::fixture::{CORE_ONLY, RunningNode, eventually, make};
use crate::kill::{History, audit, drafts, find};

const AGENCY: &str = "faults.example";

/// The calls that put a batch on the disk, and those that could.
const CALLS: [&str; 6] = ["pwrite64", "write", "fdatasync", "fsync", "/^rename", "openat"];
/// More calls of one sort than a batch makes.
const CALLS_MAX: u32 = 8;

/// A killed process may stay half alive, its connections open, until its tracer lets go of it.
const WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy)]
enum Injury {
    Eio,
    Kill,
}

impl Injury {
    const ALL: [Self; 2] = [Self::Eio, Self::Kill];

    const fn argument(self) -> &'static str {
        match self {
            Self::Eio => "error=EIO",
            Self::Kill => "signal=SIGKILL",
        }
    }
}

/// strace on a process, with what it wrote down.
struct Tracer {
    child: Child,
    log: PathBuf,
}

impl Tracer {
    /// Hurts the `number`th call of one sort that touches one of the files, counted for each thread
    /// from now on; why it cannot is the error.
    async fn attach(
        pid: u32,
        call: &str,
        number: u32,
        injury: Injury,
        files: &[PathBuf],
    ) -> Result<Self, String> {
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path().to_path_buf();
        let inject = format!("inject={call}:{}:when={number}", injury.argument());
        let mut command = Command::new("strace");
        command.args(["-f", "-e", &format!("trace={call}"), "-e", &inject, "-o"]).arg(&log);
        for file in files {
            command.arg("-P").arg(file);
        }
        command.arg("-p").arg(pid.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(|error| error.to_string())?;
        let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        while let Some(line) = words.next_line().await.unwrap() {
            if line.contains("attached") {
                tokio::spawn(async move { while let Ok(Some(_)) = words.next_line().await {} });
                return Ok(Self { child, log });
            }
            told += &line;
        }
        Err(told)
    }

    fn has_hurt(&self) -> bool {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.contains("INJECTED") || log.contains("killed by SIGKILL")
    }

    /// Lets the process go on alone.
    async fn detach(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        // It may have ended with the process that it traced.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        if tokio::time::timeout(WITHIN, self.child.wait()).await.is_err() {
            self.child.kill().await.unwrap();
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// The files of the store that a batch can touch: those that are open, those that are there, and the
/// segment that it may begin.
fn store_files(dir: &Path, pid: u32) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.join("store")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir { dirs.push(entry.path()) } else { files.push(entry.path()) }
        }
        files.push(dir);
    }
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    files.extend(open.filter(|path| path.starts_with(dir)));
    files.sort();
    files.dedup();
    let segments = files.iter().filter(|path| path.extension().is_some_and(|e| e == "seg"));
    let next = segments.count() + 1;
    files.push(dir.join(format!("store/segments/{next:08}.seg")));
    files
}

/// A node that is hurt again and again, and all that is known of it.
struct Patient {
    dir: PathBuf,
    history: History,
    batches: u64,
}

impl Patient {
    async fn checkpoint(&mut self, node: &RunningNode) {
        let mut log = LogServiceClient::new(node.channel(ClientRole::Analyst).await);
        let request = pb::GetCheckpointRequest { feed: String::new() };
        if let Ok(answer) = log.get_checkpoint(request).await {
            self.history.checkpoint(&answer.into_inner().note);
        }
    }

    fn next_drafts(&mut self) -> Vec<pb::Draft> {
        self.batches += 1;
        drafts(self.batches, 0, 0)
    }

    fn take(&mut self, answer: pb::SubmitRecordsResponse) {
        self.history.checkpoint(&answer.checkpoint_note);
        let ids = answer.results.into_iter().map(|result| result.record_id);
        self.history.acknowledged.extend(ids);
    }

    /// One batch, hurt at one call. Whether there was such a call.
    async fn suffer(
        &mut self,
        node: RunningNode,
        call: &str,
        number: u32,
        injury: Injury,
    ) -> Result<(RunningNode, bool), String> {
        let mut client = RecordServiceClient::new(node.channel(ClientRole::Analyst).await);
        // What was hurt before may have left a segment behind that holds nothing yet.
        let drafts = self.next_drafts();
        let answer = client.submit_records(pb::SubmitRecordsRequest { drafts }).await.unwrap();
        self.take(answer.into_inner());
        let files = store_files(&self.dir, node.pid());
        self.checkpoint(&node).await;
        let mut log = LogServiceClient::new(node.channel(ClientRole::Analyst).await);
        let tracer = Tracer::attach(node.pid(), call, number, injury, &files).await?;
        let drafts = self.next_drafts();
        let asked = client.submit_records(pb::SubmitRecordsRequest { drafts });
        let answer = tokio::time::timeout(WITHIN, asked).await;
        let is_silent = answer.is_err();
        if let Ok(Ok(answer)) = answer {
            self.take(answer.into_inner());
        }
        // What it still says, if it says anything.
        let request = pb::GetCheckpointRequest { feed: String::new() };
        if let Ok(Ok(answer)) = tokio::time::timeout(WITHIN, log.get_checkpoint(request)).await {
            self.history.checkpoint(&answer.into_inner().note);
        }
        let was_hurt = tracer.has_hurt() || is_silent;
        tracer.detach().await;
        if !was_hurt {
            return Ok((node, false));
        }
        node.kill().await;
        audit(&self.dir, &self.history);
        let node = RunningNode::start(&self.dir, AGENCY).await;
        self.checkpoint(&node).await;
        Ok((node, true))
    }

    async fn holds_what_it_acknowledged(&self, node: &RunningNode) {
        let mut client = node.analyst().await;
        for id in &self.history.acknowledged {
            let found = find(&mut client, Selector::RecordId(id.clone())).await;
            assert!(found.is_some(), "an acknowledged record is lost");
        }
    }
}

/// Hurts batches at every call that they make; `None` where nothing can be hurt.
async fn hurt_at_every_call(segment_bytes: Option<u32>) -> Option<Vec<String>> {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(AGENCY);
    make(&dir, AGENCY, "police", CORE_ONLY);
    if let Some(segment_bytes) = segment_bytes {
        let mut config = Config::load(&dir).unwrap();
        config.store.segment_bytes = segment_bytes;
        config.store(&dir).unwrap();
    }
    let mut node = RunningNode::start(&dir, AGENCY).await;
    let mut patient = Patient { dir, history: History::default(), batches: 0 };
    let mut hurt = Vec::new();
    for (call, injury) in CALLS.into_iter().flat_map(|call| Injury::ALL.map(|i| (call, i))) {
        for number in 1..=CALLS_MAX {
            let (still, was_hurt) = match patient.suffer(node, call, number, injury).await {
                Ok(outcome) => outcome,
                Err(reason) if hurt.is_empty() => {
                    eprintln!("strace cannot be used ({reason}): nothing was tested");
                    return None;
                }
                Err(reason) => panic!("{reason}"),
            };
            node = still;
            if !was_hurt {
                break;
            }
            hurt.push(format!("{call} {number} {injury:?}"));
        }
    }
    eprintln!("hurt at: {}", hurt.join(", "));
    patient.holds_what_it_acknowledged(&node).await;
    eventually("the node takes records again", async || {
        let mut client = node.analyst().await;
        let drafts = drafts(0, 0, 0);
        client.submit_records(pb::SubmitRecordsRequest { drafts }).await.is_ok()
    })
    .await;
    node.kill().await;
    audit(&patient.dir, &patient.history);
    Some(hurt)
}

fn assert_hurt_at(calls: &[&str], hurt: &[String]) {
    for call in calls.iter().flat_map(|call| Injury::ALL.map(|injury| format!("{call} {injury:?}")))
    {
        assert!(hurt.contains(&call), "no {call} in {hurt:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_hurt_at_any_call_loses_nothing_acknowledged_and_forks_nothing() {
    if let Some(hurt) = hurt_at_every_call(None).await {
        // A batch is one write and one sync at least.
        assert_hurt_at(&["pwrite64 1", "fdatasync 1"], &hurt);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_begins_a_segment_hurt_at_any_call_loses_nothing_and_forks_nothing() {
    if let Some(hurt) = hurt_at_every_call(Some(1_024)).await {
        // The new file with its header, the directory that names it, then the batch itself.
        let calls = [
            "openat 1",
            "pwrite64 1",
            "fdatasync 1",
            "openat 2",
            "fsync 1",
            "pwrite64 2",
            "fdatasync 2",
        ];
        assert_hurt_at(&calls, &hurt);
    }
}
