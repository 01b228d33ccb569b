//! Parts of a real journal are verified, and then changed in every way that we know.

use super::exported::Directory;
use super::fixtures::{Node, frames, records};
use super::*;
use crate::audit::{Card, Check};
use crate::audit::{PartFault, PartReport, Selection, verify_part};
use crate::cli::commands::audit::export::{ExportFault, export_part};
use crate::ident::Timestamp;
use crate::pb::FeedAction;
use crate::testkit::{Agency, feed_entry, id_bytes};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

/// More than one bundle, so that paths are long; two records disclosed, one of them receipted.
static NODE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let mut node = Node::full();
    node.submit(40..90);
    let entry = feed_entry(FeedAction::Disclose, &node.records[20].id(), 0b10);
    node.publish(vec![entry]);
    node.take_receipt();
    node.journal.home
});
/// A record that was disclosed, revised in the feed and receipted.
static RECORD: LazyLock<crate::ident::RecordId> =
    LazyLock::new(|| records(&Agency::own(), 0..5)[1].id());

fn part(selection: Selection) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("part");
    export_part(NODE.path(), &out, selection, &AtomicBool::new(false)).unwrap();
    (dir, out)
}

pub(super) fn checked(dir: &Path, anchor: &Anchor) -> Result<PartReport, Check> {
    verify_part(&Directory::new(dir.to_owned()), anchor).map_err(|fault| {
        let PartFault::Broken(failure) = fault else { panic!("{fault}") };
        assert!(!failure.fault.expected.is_empty() && !failure.fault.found.is_empty(), "{failure}");
        failure.fault.check
    })
}

/// A part of a node's history, verified.
pub(super) fn exported(node: &Node, selection: Selection) -> PartReport {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("part");
    export_part(node.path(), &out, selection, &AtomicBool::new(false)).unwrap();
    checked(&out, &Anchor::Directory).unwrap()
}

pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Writes the manifest as somebody would who left the lines out that `keep` refuses.
pub(super) fn edit_manifest(
    dir: &Path,
    keep: impl Fn(&str) -> bool,
    edit: impl Fn(String) -> String,
) {
    let path = dir.join(MANIFEST);
    let text = std::fs::read_to_string(&path).unwrap();
    let body = text.split_inclusive('\n').filter(|line| !line.starts_with("sha256 "));
    let body = edit(body.filter(|line| keep(line)).collect());
    let sum: String = sha256(body.as_bytes());
    std::fs::write(path, format!("{body}sha256 {sum}\n")).unwrap();
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn times() -> Vec<Timestamp> {
    let (_keep, all) = part(Selection::Time { from: Some(Timestamp::MIN), to: None });
    let mut dates: Vec<Timestamp> = files(&all.join("journal"))
        .iter()
        .map(|path| {
            let proof = crate::merkle::TlogProof::parse(&std::fs::read(path).unwrap()).unwrap();
            let entry = <pb::JournalEntry as prost::Message>::decode(proof.extra()).unwrap();
            Timestamp::from_unix_ms(entry.at_ms as i64).unwrap()
        })
        .collect();
    dates.sort();
    dates
}

use crate::pb;

#[test]
fn a_part_of_a_record_has_its_acceptance_disclosures_and_receipt_and_says_that_it_is_a_part() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let number = Card::from_text(&Agency::own().card().to_armour().unwrap()).unwrap().number();
    let report = checked(&dir, &Anchor::Number(number)).unwrap();
    assert_eq!((report.records, report.signatures), (1, 1));
    assert!(report.journal.here < report.journal.of, "{report}");
    let [feed] = &report.feeds[..] else { panic!("{report}") };
    assert_eq!(feed.share.here, 2, "disclosed and revised");
    assert_eq!(feed.receipted, feed.share.of);
    assert_eq!(report.notes, 2, "one head published, one receipted: {report}");
    let text = report.to_string();
    let part = format!("a part: {} of {} entries", report.journal.here, report.journal.of);
    assert!(text.lines().next().unwrap().ends_with(&part), "{text}");
    assert!(text.trim_end().ends_with(&format!("OK, {part}")), "{text}");
    assert!(text.contains("only the whole shows that"));
    assert_eq!(report.to_json()["part"], true);
}

#[test]
fn a_part_is_for_nothing_that_takes_a_whole_history() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let refused = verify_directory(&dir, &AuditOptions::default());
    assert!(matches!(refused, Err(AuditError::Part(_))));
}

#[test]
fn of_every_time_the_entries_are_all_there_and_one_left_out_is_missed() {
    let all = times();
    for (from, to) in [(0, 3), (3, 12), (all.len() - 5, all.len() - 1), (5, 5)] {
        let selection = Selection::Time { from: Some(all[from]), to: Some(all[to]) };
        let (_keep, dir) = part(selection);
        let report = checked(&dir, &Anchor::Directory).unwrap();
        assert!(report.is_complete);
        let wanted = all.iter().filter(|at| (all[from]..all[to]).contains(at)).count() as u64;
        let here = report.journal.here;
        assert!(here >= wanted && report.to_string().contains("no entry"), "{here} of {wanted}");
        if wanted == 0 {
            continue;
        }
        let index = all.iter().position(|at| *at == all[from]).unwrap();
        let path = format!("journal/{index}.tlog-proof");
        let (before, after) = (report.journal.to_string(), format!("{} of", here - 1));
        edit_manifest(
            &dir,
            |line| {
                !line.ends_with(&format!("  {path}\n"))
                    && !line.ends_with(&format!("  content/{index}\n"))
            },
            |text| text.replace(&before, &before.replace(&format!("{here} of"), &after)),
        );
        assert!(checked(&dir, &Anchor::Directory).is_err(), "{path} was left out");
    }
}

/// The entries of a node's journal.
fn entries(node: &Node) -> Vec<pb::JournalEntry> {
    let frames = node.segments().iter().flat_map(|segment| frames(segment)).collect::<Vec<_>>();
    let entries = frames.iter().filter(|frame| frame.kind == 1);
    entries.map(|frame| prost::Message::decode(&frame.payload[..]).unwrap()).collect()
}

#[test]
fn a_part_between_any_two_times_of_a_sound_journal_holds() {
    use pb::journal_entry::Event;
    let mut node = Node::erased();
    let is_erase = |entry: &pb::JournalEntry| match &entry.event {
        Some(Event::ActProposed(proposed)) => {
            matches!(proposed.act.as_ref().unwrap().act, Some(pb::act::Act::Erase(_)))
        }
        _ => false,
    };
    let proposal = entries(&node).iter().position(is_erase).unwrap() as u64;
    node.commit(move |t| t.append(Event::ErasureCompleted(pb::ErasureCompleted { proposal })));
    node.submit(10..11);
    node.publish(vec![feed_entry(FeedAction::Disclose, &node.records[5].id(), 0b10)]);
    node.submit(11..12);
    node.take_receipt();
    node.submit(12..13);
    assert_eq!(verify_directory(node.path(), &AuditOptions::default()).unwrap().failure, None);
    let mut times: Vec<_> = entries(&node).iter().map(|entry| entry.at_ms).collect();
    times.dedup();
    assert!(times.len() > 12, "{times:?}");
    let at = |ms: u64| Timestamp::from_unix_ms(ms as i64).unwrap();
    for (place, pair) in times.windows(2).enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("part");
        let selection = Selection::Time { from: Some(at(pair[0])), to: Some(at(pair[1])) };
        export_part(node.path(), &out, selection, &AtomicBool::new(false)).unwrap();
        let report = checked(&out, &Anchor::Directory);
        assert!(report.is_ok_and(|report| report.is_complete), "from time {place}");
    }
}

#[test]
fn a_case_that_nobody_knows_and_a_record_that_is_not_here_make_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let unknown = crate::ident::RecordId::from_bytes([7; 32]);
    for selection in [Selection::Case("OP-0".to_owned()), Selection::Record(unknown)] {
        let out = dir.path().join("part");
        let refused = export_part(NODE.path(), &out, selection, &AtomicBool::new(false));
        assert!(matches!(refused, Err(ExportFault::Part(_))), "{refused:?}");
        assert!(!out.exists());
    }
}

#[test]
fn what_was_erased_may_be_missing_only_beside_the_entry_that_says_so() {
    let (id, node) = {
        let node = tests::with_erasure();
        (node.records[0].id(), node.journal.home)
    };
    let keep = tempfile::tempdir().unwrap();
    let export = |name: &str, selection| {
        let out = keep.path().join(name);
        export_part(node.path(), &out, selection, &AtomicBool::new(false)).unwrap();
        out
    };
    let dir = export("record", Selection::Record(id));
    let report = checked(&dir, &Anchor::Directory).unwrap();
    assert_eq!((report.records, report.signatures, report.unplaced), (1, 1, 0));
    let (index, at) = files(&dir.join("journal"))
        .iter()
        .find_map(|path| {
            let proof = crate::merkle::TlogProof::parse(&std::fs::read(path).unwrap()).unwrap();
            let entry = <pb::JournalEntry as prost::Message>::decode(proof.extra()).unwrap();
            let is_erasure = matches!(entry.event, Some(pb::journal_entry::Event::SlotsErased(_)));
            is_erasure.then_some((proof.index(), entry.at_ms))
        })
        .unwrap();
    // The erasure is later than the time that is asked for, and comes along.
    let to = Timestamp::from_unix_ms(at as i64).unwrap();
    let time = export("time", Selection::Time { from: Some(Timestamp::MIN), to: Some(to) });
    assert!(checked(&time, &Anchor::Directory).unwrap().is_complete);
    assert!(time.join(format!("content/{index}")).exists());

    let here = report.journal.here;
    edit_manifest(
        &dir,
        |line| {
            !line.ends_with(&format!("  journal/{index}.tlog-proof\n"))
                && !line.ends_with(&format!("  content/{index}\n"))
        },
        |text| text.replace(&format!("journal {here} of"), &format!("journal {} of", here - 1)),
    );
    assert_eq!(checked(&dir, &Anchor::Directory).unwrap_err(), Check::Content);
}

#[test]
fn every_changed_or_missing_file_is_found() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let all = files(&dir);
    assert!(all.len() > 10, "{all:?}");
    for path in all {
        let good = std::fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert!(checked(&dir, &Anchor::Directory).is_err(), "{} at {at}", path.display());
        }
        std::fs::remove_file(&path).unwrap();
        if !path.ends_with(MANIFEST) {
            assert_eq!(checked(&dir, &Anchor::Directory), Err(Check::ExportFile));
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(checked(&dir, &Anchor::Directory).is_ok());
}

#[test]
fn changed_line_ends_are_named_in_every_text_file_of_a_part() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let mut texts = 0;
    for path in files(&dir).into_iter().filter(|path| !path.starts_with(dir.join("content"))) {
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, good.replace('\n', "\r\n")).unwrap();
        assert_eq!(checked(&dir, &Anchor::Directory), Err(Check::LineEnds), "{}", path.display());
        std::fs::write(&path, good).unwrap();
        texts += 1;
    }
    assert!(texts > 10, "{texts}");
    assert!(checked(&dir, &Anchor::Directory).is_ok());
}

/// Somebody without keys who sums everything anew.
#[test]
fn what_is_changed_with_all_its_sums_does_not_hold_either() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let journal = files(&dir.join("journal"));
    let feeds = files(&dir.join("feed"));
    let contents = files(&dir.join("content"));
    let mut found = std::collections::BTreeSet::new();
    for path in journal.iter().chain(&feeds).chain(&contents) {
        let good = std::fs::read(path).unwrap();
        let manifest = std::fs::read(dir.join(MANIFEST)).unwrap();
        let mut bad = good.clone();
        if path.starts_with(dir.join("content")) {
            *bad.last_mut().unwrap() ^= 1;
        } else {
            // A digit of the entry itself, in base64, that keeps it canonical.
            let at = "c2sp.org/tlog-proof@v1\nextra ".len() + 8;
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        }
        std::fs::write(path, &bad).unwrap();
        edit_manifest(&dir, |_| true, |text| text.replace(&sha256(&good), &sha256(&bad)));
        found.insert(checked(&dir, &Anchor::Directory).unwrap_err());
        std::fs::write(path, good).unwrap();
        std::fs::write(dir.join(MANIFEST), manifest).unwrap();
    }
    assert!(found.contains(&Check::ProofInclusion) && found.contains(&Check::Content), "{found:?}");
    assert!(checked(&dir, &Anchor::Directory).is_ok());
}

#[test]
fn another_agency_another_number_and_another_question_are_found() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let stranger = Card::from_text(&Agency::partner().card().to_armour().unwrap()).unwrap();
    let number = Anchor::Number(stranger.number());
    assert_eq!(checked(&dir, &number), Err(Check::Identity));
    assert_eq!(checked(&dir, &Anchor::Card(Box::new(stranger))), Err(Check::Identity));
    let manifest = std::fs::read(dir.join(MANIFEST)).unwrap();
    let other = crate::ident::RecordId::from_bytes([7; 32]).to_string();
    for (was, is) in [
        (RECORD.to_string(), other),
        ("agency npa.go.jp".to_owned(), "agency other.example".to_owned()),
        ("\njournal ".to_owned(), "\njournal 1".to_owned()),
        ("feed cert.example ".to_owned(), "feed cert.example 1".to_owned()),
    ] {
        edit_manifest(&dir, |_| true, |text| text.replace(&was, &is));
        assert!(checked(&dir, &Anchor::Directory).is_err(), "{is}");
        std::fs::write(dir.join(MANIFEST), &manifest).unwrap();
    }
    assert_eq!(id_bytes(&records(&Agency::own(), 0..5)[1].id())[..], RECORD.as_bytes()[..]);
}

#[test]
fn a_file_that_the_manifest_does_not_name_is_a_remark() {
    let (_keep, dir) = part(Selection::Record(*RECORD));
    let folder = Directory::new(dir.clone());
    let read = |folder: &Directory| verify_part(folder, &Anchor::Directory).is_ok();
    assert!(read(&folder));
    assert_eq!(folder.foreign().unwrap(), Vec::<String>::new());
    std::fs::create_dir_all(dir.join("store/segments")).unwrap();
    std::fs::write(dir.join("store/segments/00000001.seg"), "another journal").unwrap();
    let folder = Directory::new(dir.clone());
    assert!(is_part(&dir) && read(&folder), "it stays a part");
    assert_eq!(folder.foreign().unwrap(), ["store/segments/00000001.seg"]);
}
