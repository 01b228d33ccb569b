//! Exports verified by a script that shares no code with the program, and altered so that it must not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::pb;

use crate::erasure::{EVERYTHING, NAME, carried_out, erase, victim};
use crate::fixture::{CORE_ONLY, RunningNode, canary, indicator, introduce, settled};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify_export.py");

/// Returns whether the script takes an export, and its words.
fn script(export: &Path) -> (bool, String) {
    let output = Command::new("python3").arg(SCRIPT).arg(export).output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&words).into_owned())
}

/// Exports what is in the directory of a node.
fn export(node: &Path, out: &Path) {
    liaison::cli::commands::audit::export::export(node, out, &AtomicBool::new(false)).unwrap();
}

/// All files below a folder, with the bundles of content first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Exports a node's history, has the script take it, and refuse it with one byte of any bundle altered.
pub(crate) fn holds_for_the_script(node: &Path) {
    let keep = tempfile::tempdir().unwrap();
    let out = keep.path().join("export");
    export(node, &out);
    let (is_taken, words) = script(&out);
    assert!(is_taken, "{}: {words}", node.display());
    for folder in ["content", "tile/entries", "feed"] {
        let folder = out.join(folder);
        let Some(path) =
            folder.exists().then(|| files(&folder)).and_then(|all| all.last().cloned())
        else {
            continue;
        };
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        // A history without records has no content.
        let Some(last) = bad.iter_mut().rev().find(|byte| **byte != 0) else { continue };
        *last ^= 1;
        std::fs::write(&path, bad).unwrap();
        let (is_taken, words) = script(&out);
        assert!(!is_taken, "{} altered: {words}", path.display());
        std::fs::write(&path, good).unwrap();
    }
    assert!(script(&out).0, "everything is as it was");
    for name in ["checkpoint", "cards/0000.txt"] {
        let path = out.join(name);
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, good.replace('\n', "\r\n")).unwrap();
        let (is_taken, words) = script(&out);
        assert!(!is_taken && words.contains("line ends were changed"), "{name}: {words}");
        std::fs::write(&path, good).unwrap();
    }
}

/// The content of entries in a bundle, each with its length before it.
fn contents(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let (mut found, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        found.push([&length_prefix(length)[..], &after[..length]].concat());
        rest = &after[length..];
    }
    found
}

fn length_prefix(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

#[tokio::test]
async fn an_export_without_the_newest_feed_that_its_journal_published_is_refused_by_the_script() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", CORE_ONLY).await;
    introduce(&[&police, &cert]).await;
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    for (value, out) in [("one.example", &before), ("two.example", &after)] {
        police.submit(vec![indicator(value, "seen")]).await;
        settled(&[&police, &cert]).await;
        export(&police.dir, out);
    }
    let number = verify_directory(&after, &AuditOptions::default()).unwrap().number.unwrap();
    let (is_taken, words) = script(&after);
    assert!(is_taken && words.contains(&format!("({number})")), "{words}");
    let feed = after.join("feed/cert.example");
    let newest = dir.path().join("newest");
    std::fs::rename(&feed, &newest).unwrap();
    let (is_taken, words) = script(&after);
    assert!(!is_taken && words.contains("it is not here"), "{words}");
    std::fs::rename(before.join("feed/cert.example"), &feed).unwrap();
    let (is_taken, words) = script(&after);
    assert!(!is_taken && words.contains("not the newest feed"), "{words}");
    std::fs::rename(&feed, after.join("feed/other.example")).unwrap();
    std::fs::rename(&newest, &feed).unwrap();
    let (is_taken, words) = script(&after);
    assert!(!is_taken && words.contains("2 feeds are here"), "{words}");
}

#[tokio::test]
async fn content_of_an_earlier_export_in_a_later_one_is_found_by_the_script_and_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let policy = format!("{CORE_ONLY}{EVERYTHING}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", &policy).await;
    introduce(&[&police, &cert]).await;
    let record = police.submit(vec![victim(&canary("name"), "words")]).await.remove(0);
    settled(&[&police, &cert]).await;
    let (before, after) = (dir.path().join("before"), dir.path().join("after"));
    export(&police.dir, &before);
    assert!(script(&before).0);
    erase(&police, &record.record_id, NAME, pb::ErasureBasis::Led16).await;
    carried_out(&[&police, &cert]).await;
    holds_for_the_script(&police.dir);
    holds_for_the_script(&cert.dir);

    export(&police.dir, &after);
    let bundle = |export: &Path| files(&export.join("content")).remove(0);
    let mut spliced = contents(&bundle(&before));
    spliced.extend_from_slice(&contents(&bundle(&after))[spliced.len()..]);
    std::fs::write(bundle(&after), spliced.concat()).unwrap();
    let (is_taken, words) = script(&after);
    assert!(!is_taken && words.contains("still there"), "{words}");
    let report = verify_directory(&after, &AuditOptions::default()).unwrap();
    let failure = report.failure.unwrap();
    assert_eq!(failure.fault.check.name(), "erased_content");
    assert!(failure.place.to_string().starts_with("content/"), "{failure}");
}
