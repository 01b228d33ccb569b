//! The node's directory and the processes that work on it: who may read it, what a failure leaves, what
//! ends with whom, and how the operating system's reasons are named.

#![allow(clippy::print_stderr, reason = "says why something was not tested")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use liaison::policy::ClientRole;
use liaison::store::DirLock;
use tokio::process::Command;

use crate::fixture::{
    CORE_ONLY, PROGRAM, RunningNode, eventually, indicator, liaison, make, policy_file,
};

const AGENCY: &str = "directory.example";

fn words(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Files and directories that others may reach, but for what the tests put there.
fn open_to_others(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let mode = entry.metadata().unwrap().permissions().mode();
            if mode & 0o077 != 0 && entry.file_name() != "node.log" {
                found.push(entry.path());
            }
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn init(address: &str) -> [&str; 12] {
    [
        "init",
        "--agency",
        AGENCY,
        "--name",
        "x",
        "--country",
        "JP",
        "--sector",
        "police",
        "--address",
        address,
        "--dir",
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_may_enter_is_closed_to_them() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("node");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let made = liaison(&init("node.example:7443"), &[&dir]).await;
    assert!(made.status.success(), "{}", words(&made));
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(open_to_others(&dir), [] as [PathBuf; 0]);

    let dir = parent.path().join(AGENCY);
    make(&dir, AGENCY, "police", CORE_ONLY);
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let before: Vec<PathBuf> = open_to_others(&dir);
    let node = RunningNode::start(&dir, AGENCY).await;
    node.submit(vec![indicator("a.example", "")]).await;
    assert_eq!(mode(&dir), 0o700);
    let opened: Vec<PathBuf> =
        open_to_others(&dir).into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(opened, [] as [PathBuf; 0]);
    node.kill().await;
}

#[tokio::test]
async fn an_init_that_fails_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("node");
    for address in ["nowhere", "a b:1", "node.example:99999"] {
        let output = liaison(&init(address), &[&dir]).await;
        assert!(!output.status.success());
        assert!(!dir.exists(), "after {address:?}: {}", words(&output));
    }
    // What was there stays, and a place that is taken is found out before anything is written.
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("card.txt"), "mine").unwrap();
    let output = liaison(&init("node.example:7443"), &[&dir]).await;
    assert_eq!(output.status.code(), Some(9), "{}", words(&output));
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["card.txt"]);
    std::fs::remove_file(dir.join("card.txt")).unwrap();
    assert!(liaison(&init("node.example:7443"), &[&dir]).await.status.success());
}

#[tokio::test]
async fn a_copy_without_its_authority_does_not_start_and_names_what_to_bring_back() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join(AGENCY);
    make(&dir, AGENCY, "police", CORE_ONLY);
    std::fs::rename(dir.join("tls"), parent.path().join("tls")).unwrap();
    for command in
        [&["serve", "--dir"][..], &["client", "issue", "x", "--role", "analyst", "--dir"]]
    {
        let output = liaison(command, &[&dir]).await;
        assert_eq!(output.status.code(), Some(9), "{}", words(&output));
        let text = words(&output);
        assert!(
            text.contains("tls/ca.pem is missing") && text.contains("bring tls/ back"),
            "{text}"
        );
        assert!(!dir.join("tls").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_a_relative_directory_compares_policies() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("npa");
    make(&dir, AGENCY, "police", CORE_ONLY);
    let mut child = Command::new(PROGRAM)
        .args(["serve", "--dir", "npa"])
        .current_dir(parent.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let profile = dir.join(format!("clients/{}.client", ClientRole::PolicyOfficer.name()));
    let profile = liaison::tls::ClientProfile::load(&profile).unwrap();
    let mut channel = None;
    eventually("the node answers", async || {
        channel = liaison::tls::connect_client(&profile).await.ok();
        channel.is_some()
    })
    .await;
    let mut client = liaison::pb::policy_service_client::PolicyServiceClient::new(channel.unwrap());
    let request =
        liaison::pb::ComparePolicyRequest { files: vec![policy_file(CORE_ONLY)], version: 0 };
    let mut answers = client.compare_policy(request).await.unwrap().into_inner();
    let mut is_compared = false;
    while let Some(answer) = answers.message().await.unwrap() {
        is_compared |= answer.difference.is_some();
    }
    assert!(is_compared);
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_pushed_only_where_their_receipt_can_be_kept() {
    let parent = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(parent.path(), AGENCY, "police", CORE_ONLY).await;
    let file = parent.path().join("rows.csv");
    std::fs::write(&file, "value\na.example\n").unwrap();
    let before = node.status().await.records;
    let pushed = Command::new(PROGRAM)
        .arg("push")
        .arg(&file)
        .args(["--kind", "indicator", "--tlp", "green", "--receipt", "/proc/receipt.json"])
        .arg("--client")
        .arg(node.profile(ClientRole::Analyst))
        .output()
        .await
        .unwrap();
    assert!(!pushed.status.success());
    assert!(words(&pushed).contains("cannot write /proc/receipt.json"), "{}", words(&pushed));
    assert_eq!(node.status().await.records, before);
    node.kill().await;
}

/// A small file system that is gone with this value; `None` where nobody may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let size = format!("size={bytes}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("no file system may be mounted here: a full disk was not tested");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_by_its_reason() {
    let parent = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&parent.path().join("disk"), 160 << 20) else { return };
    let dir = disk.0.join(AGENCY);
    make(&dir, AGENCY, "police", CORE_ONLY);
    let filling = std::fs::File::create(disk.0.join("filling")).unwrap();
    let bytes = vec![0; 64 << 10];
    while std::io::Write::write_all(&mut &filling, &bytes).is_ok() {}
    let served = liaison(&["serve", "--dir"], &[&dir]).await;
    assert_eq!(served.status.code(), Some(9), "{}", words(&served));
    assert!(words(&served).contains("No space left on device"), "{}", words(&served));
    let other = disk.0.join("other");
    let made = liaison(&init("node.example:7443"), &[&other]).await;
    assert!(!made.status.success() && !other.exists(), "{}", words(&made));
    assert!(words(&made).contains("No space left on device"), "{}", words(&made));
}

/// Waits until no process holds the store of a node.
async fn is_released(store: &Path) {
    eventually("nobody uses the store", async || DirLock::acquire(store).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_a_demonstration_end_with_it_however_it_ends() {
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::TERM] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("demo");
        let mut demo = Command::new(PROGRAM)
            .args(["demo", "--records", "1", "--dir"])
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("a node of it runs", async || {
            let homes = std::fs::read_dir(&dir).map(|entries| entries.flatten().collect());
            let homes: Vec<std::fs::DirEntry> = homes.unwrap_or_default();
            homes.iter().any(|home| {
                let log = std::fs::read_to_string(home.path().join("node.log"));
                log.is_ok_and(|log| log.contains("serves partners"))
            })
        })
        .await;
        let pid = rustix::process::Pid::from_raw(demo.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        demo.wait().await.unwrap();
        for node in std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            if node.join("store").is_dir() {
                is_released(&node.join("store")).await;
            }
        }
        let again = liaison(&["demo", "--exit", "--records", "1", "--dir"], &[&dir]).await;
        assert_eq!(again.status.code(), Some(9));
        assert!(words(&again).contains("--replace"), "{}", words(&again));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_steps_of_a_demonstration_that_ended_work_without_its_nodes() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("demo");
    let ended = liaison(&["demo", "--exit", "--records", "1", "--dir"], &[&dir]).await;
    assert!(ended.status.success(), "{}", words(&ended));
    let notes = words(&ended);
    let (_, next) = notes.split_once("try next").unwrap_or_else(|| panic!("{notes}"));
    let steps: Vec<Vec<&str>> = next
        .lines()
        .filter_map(|line| line.strip_prefix("  liaison "))
        .map(|line| line.split(' ').collect())
        .collect();
    assert!(!steps.is_empty(), "{notes}");
    for step in steps {
        let [command @ .., named] = &step[..] else { panic!("{step:?}") };
        assert!(Path::new(named).join("liaison.toml").is_file(), "{named} is not there");
        match command {
            ["audit", "verify"] => {
                let verified = liaison(&step, &[]).await;
                assert!(verified.status.success(), "{}", words(&verified));
            }
            ["serve", "--dir"] => {
                let agency = Path::new(named).file_name().unwrap().to_str().unwrap();
                RunningNode::start(Path::new(named), agency).await.kill().await;
            }
            // Others ask a node, and none runs.
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_the_node_ends_may_be_tried_again() {
    for kill in [true, false] {
        let parent = tempfile::tempdir().unwrap();
        let node = RunningNode::fresh(parent.path(), AGENCY, "police", CORE_ONLY).await;
        node.submit(vec![indicator("a.example", "")]).await;
        let mut watch = Command::new(PROGRAM)
            .args(["watch", "--from", "0", "-o", "ndjson", "--client"])
            .arg(node.profile(ClientRole::Analyst))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut shown = tokio::io::BufReader::new(watch.stdout.take().unwrap());
        tokio::io::AsyncBufReadExt::read_line(&mut shown, &mut line).await.unwrap();
        assert!(line.contains("a.example"), "{line}");
        if kill {
            node.kill().await;
        } else {
            let pid = rustix::process::Pid::from_raw(node.pid().cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        let ended = watch.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(8), "{}", words(&ended));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_touches_nothing_of_a_node_that_runs() {
    let parent = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(parent.path(), AGENCY, "police", CORE_ONLY).await;
    let other_generation = node.dir.join("store/index/fjall-9");
    std::fs::create_dir(&other_generation).unwrap();
    let second = liaison(&["serve", "--dir"], &[&node.dir]).await;
    assert_eq!(second.status.code(), Some(9));
    assert!(words(&second).contains("stop it first"), "{}", words(&second));
    assert!(!words(&second).contains("made again"), "{}", words(&second));
    assert!(other_generation.exists());
    node.kill().await;
}
