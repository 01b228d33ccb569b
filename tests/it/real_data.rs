//! Real malicious domains and URLs from public feeds, pushed to a node with two partners.
//!
//! The data is not part of the project: without it these tests say so and pass. The values are
//! hostile; nothing here resolves or opens one. LIAISON_REAL_DATA=full takes all 66,000 rows
//! instead of 1,000.

#![allow(clippy::print_stderr, reason = "says why nothing was tested")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::fixture::{self, CORE_ONLY, RunningNode};
use crate::push::push;

/// All rows to two partners, also by a build without optimisation on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);

const ARGUMENTS: [&str; 4] = ["--kind", "indicator", "--timeout", "300"];

/// The folder with the data: LIAISON_SHARED_DATA, or shared/data beside the project.
fn data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let dir = std::env::var_os("LIAISON_SHARED_DATA").map_or_else(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir.join("domains"));
    }
    eprintln!("{} is not there: nothing was tested", dir.display());
    None
}

/// The rows to push and how many of them to change.
fn rows(data: &Path) -> Option<(Vec<u8>, usize)> {
    if std::env::var("LIAISON_REAL_DATA").is_ok_and(|which| which == "full") {
        let file = data.join("takedown-66000.csv.zst");
        let Ok(output) = Command::new("zstd").args(["-dcq", "--"]).arg(&file).output() else {
            eprintln!("zstd is not installed: nothing was tested");
            return None;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return Some((output.stdout, 900));
    }
    Some((std::fs::read(data.join("sample-1000.csv")).unwrap(), 100))
}

/// The same rows with another tag in the first of those that were `taken`.
fn changed(csv: &[u8], changes: usize, taken: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(csv);
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let header = reader.headers().unwrap().clone();
    let tags = header.iter().position(|name| name == "tags").unwrap();
    writer.write_record(&header).unwrap();
    let mut left = changes;
    for row in reader.records().map(Result::unwrap) {
        let change = left > 0 && taken(row.position().unwrap().line());
        left -= usize::from(change);
        let cells = row
            .iter()
            .enumerate()
            .map(|(at, cell)| if change && at == tags { "seen-again" } else { cell });
        writer.write_record(cells).unwrap();
    }
    assert_eq!(left, 0, "there are fewer rows than changes");
    writer.into_inner().unwrap()
}

/// The lines that a push did not take.
fn rejected_lines(file: &Path) -> Vec<u64> {
    let report = PathBuf::from(format!("{}.rejected.csv", file.display()));
    if !report.exists() {
        return Vec::new();
    }
    let mut report = csv::ReaderBuilder::new().flexible(true).from_path(report).unwrap();
    report
        .byte_records()
        .map(|row| String::from_utf8_lossy(&row.unwrap()[0]).parse().unwrap())
        .collect()
}

/// Both partners hold receipted copies of this many disclosures.
async fn is_durable_at_both(node: &RunningNode, partners: [&RunningNode; 2], records: u64) {
    fixture::settled_within(SETTLED_WITHIN, &[node, partners[0], partners[1]]).await;
    for partner in partners {
        let view = node.partner(&partner.agency).await;
        assert_eq!((view.feed_size, view.receipted, view.exceptions), (records, records, 0));
        assert_eq!(partner.partner(&node.agency).await.received, records);
        assert_eq!(partner.status().await.records, records);
    }
}

#[tokio::test]
async fn real_data_reaches_both_partners_once_and_changes_are_revisions() {
    let Some(data) = data() else { return };
    let Some((csv, changes)) = rows(&data) else { return };
    let dir = tempfile::tempdir().unwrap();
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", CORE_ONLY).await;
    let police = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", CORE_ONLY).await;
    fixture::introduce(&[&vendor, &police, &cert]).await;
    let file = dir.path().join("indicators.csv");
    std::fs::write(&file, &csv).unwrap();
    let first = push(&vendor, &file, &ARGUMENTS).await;
    let [created, revised, unchanged, rejected] = first.counts();
    eprintln!("real data, first: {}", first.told);
    assert_eq!(first.code, Some(if rejected > 0 { 7 } else { 0 }), "{}", first.told);
    let records = created + revised;
    assert_eq!(vendor.status().await.records, records);
    is_durable_at_both(&vendor, [&police, &cert], records).await;

    assert_eq!(revised, 0, "rows of one table contradict each other");
    let again = push(&vendor, &file, &ARGUMENTS).await;
    eprintln!("real data, again: {}", again.told);
    let same = records + unchanged;
    assert_eq!(again.counts(), [0, 0, same, rejected], "{}", again.told);
    assert_eq!(vendor.status().await.records, records);

    let lost = rejected_lines(&file);
    let other = changed(&csv, changes, |line| !lost.contains(&line));
    std::fs::write(&file, other).unwrap();
    let third = push(&vendor, &file, &ARGUMENTS).await;
    eprintln!("real data, changed: {}", third.told);
    assert_eq!(third.count("revised"), changes as u64, "{}", third.told);
    assert_eq!(third.count("created"), 0, "{}", third.told);
    is_durable_at_both(&vendor, [&police, &cert], records + changes as u64).await;
}

#[tokio::test]
async fn real_data_with_odd_values_is_taken_or_refused_row_by_row() {
    let Some(data) = data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", CORE_ONLY).await;
    let file = dir.path().join("odd-values.csv");
    std::fs::copy(data.join("odd-values.csv"), &file).unwrap();
    let pushed = push(&vendor, &file, &ARGUMENTS).await;
    eprintln!("odd values: {}", pushed.told);
    let rejected = pushed.count("rejected");
    assert_eq!(pushed.code, Some(if rejected > 0 { 7 } else { 0 }), "{}", pushed.told);
    assert_eq!(rejected_lines(&file).len() as u64, rejected);
    let [created, revised, ..] = pushed.counts();
    assert_eq!(vendor.status().await.records, created + revised);
}
