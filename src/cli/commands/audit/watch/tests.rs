//! Exports in folders here, sound, replaced, forked and altered.

use super::*;
use crate::cli::audit_store::fixtures::Node as History;
use crate::cli::audit_store::succession_tests::{next_own_card, succeed};
use crate::cli::context::GlobalOptions;
use crate::testkit::Agency;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// An export of a history; made where a runtime may block.
async fn exported(history: fn() -> History) -> TempDir {
    tokio::task::spawn_blocking(move || {
        let dir = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        crate::cli::commands::audit::export::export(history().path(), &dir.path().join("e"), &stop)
            .unwrap();
        dir
    })
    .await
    .unwrap()
}

fn card(party: &Agency) -> Card {
    Card::from_text(&party.card().to_armour().unwrap()).unwrap()
}

async fn look_as(card: &Card, dir: &Path, seen: &Seen) -> Result<Seen, Failed> {
    let context = Context::new(GlobalOptions::for_tests());
    let place = dir.display().to_string();
    let mut source = Source::Files(Files::at(&place, None, context.options.timeout()).unwrap());
    source.look(card, seen, &context).await
}

async fn look(dir: &TempDir, seen: &Seen) -> Result<Seen, Failed> {
    look_as(&card(&Agency::own()), &dir.path().join("e"), seen).await
}

/// Returns the fault of a refused look, and true if its checkpoint is evidence.
async fn refused(dir: &TempDir, seen: &Seen) -> (String, bool) {
    let Failed { error, note } = look(dir, seen).await.unwrap_err();
    assert_eq!(error.exit(), Exit::VerificationFailed, "{error}");
    (error.to_string(), note.is_some())
}

fn other() -> History {
    let mut history = History::new();
    history.submit(100..150);
    history
}

#[tokio::test]
async fn a_log_that_grows_is_followed_and_one_that_shrank_is_not() {
    let (small, full) = (exported(History::new).await, exported(History::full).await);
    let first = look(&small, &Seen::default()).await.unwrap();
    let later = look(&full, &first).await.unwrap();
    assert!(later.tree.size() > first.tree.size());
    assert_eq!(look(&full, &later).await.unwrap(), later);
    let (found, is_kept) = refused(&small, &later).await;
    assert!(found.contains("the log had") && is_kept, "{found}");
}

#[tokio::test]
async fn a_checkpoint_with_other_line_ends_is_refused_as_such_and_is_no_evidence() {
    let full = exported(History::full).await;
    let path = full.path().join("e/checkpoint");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace('\n', "\r\n")).unwrap();
    let (found, is_kept) = refused(&full, &Seen::default()).await;
    assert!(found.contains("the line ends of a file were changed") && !is_kept, "{found}");
}

#[tokio::test]
async fn another_history_under_the_same_keys_is_told_from_altered_files() {
    let (full, other) = (exported(History::full).await, exported(other).await);
    let seen = look(&full, &Seen::default()).await.unwrap();
    assert!(look(&other, &Seen::default()).await.is_ok(), "by itself it is sound");
    let (found, is_kept) = refused(&other, &seen).await;
    assert!(found.contains("it is another history: the first") && is_kept, "{found}");
    let mut same_size = seen.clone();
    let leaf = |n: u64| crate::merkle::leaf_hash(&n.to_be_bytes());
    same_size.tree = (0..seen.tree.size().get()).map(leaf).collect();
    let (found, _) = refused(&full, &same_size).await;
    assert!(found.contains("two roots were signed"), "{found}");
}

#[tokio::test]
async fn an_altered_entry_is_named_and_so_is_one_whose_hash_was_altered_too() {
    let full = exported(History::full).await;
    let size = look(&full, &Seen::default()).await.unwrap().tree.size();
    let path = full.path().join(format!("e/tile/entries/000.p/{size}"));
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (found, _) = refused(&full, &Seen::default()).await;
    let named = format!(
        "verification failed: entry {} in tile/entries/000.p/{size} hashes to",
        size.get() - 1
    );
    assert!(found.starts_with(&named), "{found}");
    let tile = Tile::within(TileRow::Entries, 0, size).unwrap();
    let entries = tile.parse_entries(&bytes).unwrap();
    let leaves: Vec<TreeHash> = entries.iter().map(|e| crate::merkle::leaf_hash(e)).collect();
    let hashes = crate::merkle::encode_hashes(&leaves);
    std::fs::write(full.path().join(format!("e/tile/0/000.p/{size}")), hashes).unwrap();
    let (found, _) = refused(&full, &Seen::default()).await;
    assert!(found.contains("lead to root") && found.contains("was signed"), "{found}");
}

#[test]
fn evidence_names_the_checkpoint_before_only_where_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let args = WatchLogArgs {
        export: None,
        card: "npa.card".into(),
        state: dir.path().join("npa.state"),
        ca: None,
        once: true,
        every: 10,
    };
    let context = Context::new(GlobalOptions::for_tests());
    let text = || {
        let failed = Failed { error: bad("it shrank".to_owned()), note: Some("note".into()) };
        with_evidence(failed, &args, &context).to_string()
    };
    let first = text();
    assert!(first.ends_with("npa.state.refused"), "{first}");
    std::fs::write(&args.state, "{}").unwrap();
    assert!(text().ends_with(&format!("the one before in {}", args.state.display())));
}

#[tokio::test]
async fn a_file_that_is_missing_is_bad_and_the_full_tile_may_stand_for_a_partial_one() {
    let full = exported(History::full).await;
    let seen = look(&full, &Seen::default()).await.unwrap();
    let size = seen.tree.size();
    std::fs::remove_file(full.path().join(format!("e/tile/0/000.p/{size}"))).unwrap();
    let (found, _) = refused(&full, &Seen::default()).await;
    assert!(found.ends_with(&format!("tile/0/000.p/{size} is missing")), "{found}");

    // More entries, a full bundle, and still the checkpoint of before.
    let long = || {
        let mut history = History::full();
        (0..5).for_each(|n| history.submit(n * 50 + 5..n * 50 + 55));
        history
    };
    let long = exported(long).await;
    std::fs::copy(full.path().join("e/checkpoint"), long.path().join("e/checkpoint")).unwrap();
    assert_eq!(look(&long, &Seen::default()).await.unwrap(), seen);
}

#[tokio::test]
async fn another_agencys_card_and_a_place_without_an_export_are_told_apart() {
    let full = exported(History::full).await;
    let dir = full.path().join("e");
    let unsigned = look_as(&card(&Agency::partner()), &dir, &Seen::default()).await.unwrap_err();
    assert_eq!(unsigned.error.exit(), Exit::VerificationFailed);
    assert_eq!(unsigned.note, None, "anybody can make such a note");
    let seen = look(&full, &Seen::default()).await.unwrap();
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    let none = look(&full, &Seen::default()).await.unwrap_err().error;
    assert_eq!(none.exit(), Exit::NotFound, "{none}");
    let gone = look(&full, &seen).await.unwrap_err().error;
    assert_eq!(gone.exit(), Exit::Unavailable, "{gone}");
}

#[test]
fn a_place_is_a_folder_or_an_address_and_https_needs_its_authority() {
    let at = |place| Files::at(place, None, Duration::from_secs(1)).map(|files| files.place());
    assert_eq!(at("npa-export").unwrap(), "npa-export");
    assert_eq!(at("http://files.example/npa").unwrap(), "http://files.example/npa/");
    for bad in ["ftp://files.example/npa", "http://", "http://a:b@files.example"] {
        assert_eq!(at(bad).unwrap_err().exit(), Exit::Usage, "{bad}");
    }
    let fix = at("https://files.example/npa").unwrap_err().fix().unwrap();
    assert!(fix.contains("--ca FILE"), "{fix}");
}

#[tokio::test]
async fn a_journal_that_was_succeeded_is_followed_with_the_newer_card() {
    let (full, after) =
        (exported(History::full).await, exported(|| succeed(History::full())).await);
    let seen = look(&full, &Seen::default()).await.unwrap();
    let Failed { error, note } = look(&after, &seen).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Precondition);
    assert!(error.to_string().contains("generation 2") && note.is_none(), "{error}");
    let newer = Card::from_text(&next_own_card().to_armour().unwrap()).unwrap();
    let later = look_as(&newer, &after.path().join("e"), &seen).await.unwrap();
    assert!(later.tree.size() > seen.tree.size());
    // What was given up never comes back.
    let back = look_as(&newer, &full.path().join("e"), &later).await.unwrap_err();
    assert_eq!(back.error.exit(), Exit::VerificationFailed);
}
