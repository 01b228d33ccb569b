//! The crash matrix of the segments and what is written after them: every order that a crash or a power
//! cut can leave opens again, and every other one is found to be a loss.

use super::JournalError;
use super::loss::{JOURNAL_LEAVES, LOSS_FILE, Loss};
use super::open::{self, JournalOptions};
use super::transaction::Signing;
use crate::store::{EngineKind, Position, StoreError, flip_byte_of_frame};
use crate::testkit::{Agency, copy, now, own};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn signing() -> Signing {
    Agency::own().signing()
}

fn options(dir: &Path) -> JournalOptions {
    JournalOptions::new(dir, EngineKind::Fjall)
}

fn begin(dir: &Path) {
    let first = open::genesis(&own());
    open::begin(&options(dir), signing(), Arc::new(now), move |tx| tx.append(first).map(drop))
        .unwrap();
}

/// Opens the journal, appends so many batches of two entries, and stops as a clean stop does. Gives
/// its size.
fn run(dir: &Path, batches: usize) -> Result<u64, JournalError> {
    let (journal, writer, _) = open::open(&options(dir), signing(), Arc::new(now))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..batches {
        let entries = [open::genesis(&own()), open::genesis(&own())];
        let job = move |tx: &mut super::transaction::Transaction<'_>| {
            entries.into_iter().try_for_each(|entry| tx.append(entry).map(drop))
        };
        runtime.block_on(journal.commit(job)).unwrap();
    }
    let size = journal.view().snapshot().size;
    drop(journal);
    drop(runtime);
    writer.join().unwrap();
    Ok(size)
}

fn lost(found: Result<u64, JournalError>) -> Loss {
    match found {
        Err(JournalError::Lost(loss)) => loss,
        other => panic!("{other:?}"),
    }
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("segments/00000001.seg")
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// Replaces what is derived from the segments by that of another directory.
fn derive_from(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to.join("index")).unwrap();
    copy(&from.join("index"), &to.join("index"));
    std::fs::copy(from.join(JOURNAL_LEAVES), to.join(JOURNAL_LEAVES)).unwrap();
}

/// A directory before and after its last batch.
struct BeforeAndAfter {
    _home: tempfile::TempDir,
    before: PathBuf,
    after: PathBuf,
}

impl BeforeAndAfter {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (before, after) = (home.path().join("before"), home.path().join("after"));
        begin(&before);
        assert_eq!(run(&before, 2).unwrap(), 5);
        copy(&before, &after);
        assert_eq!(run(&after, 1).unwrap(), 7);
        Self { _home: home, before, after }
    }

    /// The segments cut to a length, with what was derived before or after the last batch.
    fn cut(&self, len: usize, derived: &Path) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        copy(&self.after, dir.path());
        let bytes = std::fs::read(segment(&self.after)).unwrap();
        std::fs::write(segment(dir.path()), &bytes[..len]).unwrap();
        derive_from(derived, dir.path());
        dir
    }
}

#[test]
fn every_crash_between_write_sync_and_derived_files_opens_and_every_other_order_is_a_loss() {
    let both = BeforeAndAfter::new();
    let [old, new] = [&both.before, &both.after]
        .map(|dir| std::fs::metadata(segment(dir)).unwrap().len() as usize);
    let torn = (old..new).step_by((new - old).div_ceil(9)).chain([new - 1]);
    for len in torn {
        // Derived files are written after the sync: a crash before that leaves the old ones.
        let dir = both.cut(len, &both.before);
        assert_eq!(run(dir.path(), 1).unwrap(), 7, "cut to {len}");
        // The new ones show that the sync had returned.
        let dir = both.cut(len, &both.after);
        let loss = lost(run(dir.path(), 1));
        assert_eq!((loss.recorded, loss.left, &loss.witness[..]), (7, 5, JOURNAL_LEAVES));
    }
    // After the sync the derived files may be there, or behind.
    for derived in [&both.before, &both.after] {
        let dir = both.cut(new, derived);
        assert_eq!(run(dir.path(), 1).unwrap(), 9);
    }
}

#[test]
fn a_flipped_byte_of_the_last_commit_signs_no_second_history() {
    let both = BeforeAndAfter::new();
    let [old, new] = [&both.before, &both.after]
        .map(|dir| std::fs::metadata(segment(dir)).unwrap().len() as usize);
    let sound = std::fs::read(segment(&both.after)).unwrap();
    let commit = usize::try_from(u32::from_le_bytes(*sound.last_chunk().unwrap())).unwrap();
    assert!(new - commit > old);
    for at in (new - commit..new).step_by(17) {
        let dir = both.cut(new, &both.after);
        let mut bytes = sound.clone();
        bytes[at] ^= 4;
        std::fs::write(segment(dir.path()), &bytes).unwrap();
        let before = files(dir.path());
        assert_eq!(lost(run(dir.path(), 1)).recorded, 7);
        let mut after = files(dir.path());
        after.remove(&dir.path().join(LOSS_FILE)).unwrap();
        // The engine of the index writes journals of its own when it opens.
        let kept = |all: &BTreeMap<PathBuf, Vec<u8>>| {
            let all = all.iter().filter(|(path, _)| !path.starts_with(dir.path().join("index")));
            all.map(|(path, bytes)| (path.clone(), bytes.clone())).collect::<Vec<_>>()
        };
        assert_eq!(kept(&after), kept(&before), "byte {at}");
    }
}

#[test]
fn each_derived_file_alone_shows_the_loss_and_removing_it_hides_nothing() {
    let both = BeforeAndAfter::new();
    let old = std::fs::metadata(segment(&both.before)).unwrap().len() as usize;
    let dir = both.cut(old, &both.after);
    std::fs::remove_file(dir.path().join(JOURNAL_LEAVES)).unwrap();
    let loss = lost(run(dir.path(), 0));
    assert_eq!((loss.recorded, loss.left, &loss.witness[..]), (6, 5, "the index"));
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(lost(run(dir.path(), 0)), loss);
    assert!(matches!(
        open::reindex(&options(dir.path()), signing()),
        Err(JournalError::Lost(again)) if again == loss
    ));

    let dir = both.cut(old, &both.after);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let reindexed = open::reindex(&options(dir.path()), signing());
    assert!(matches!(reindexed, Err(JournalError::Lost(loss)) if loss.recorded == 7));

    // A leaf file whose last bytes were never written is as long as it was.
    let dir = both.cut(old, &both.before);
    let leaves = std::fs::File::options().write(true).open(dir.path().join(JOURNAL_LEAVES));
    leaves.unwrap().set_len(7 * 40).unwrap();
    assert_eq!(lost(run(dir.path(), 0)).recorded, 7);
}

#[test]
fn the_newest_copy_brought_back_makes_a_loss_void() {
    let both = BeforeAndAfter::new();
    let old = std::fs::metadata(segment(&both.before)).unwrap().len() as usize;
    let dir = both.cut(old, &both.after);
    lost(run(dir.path(), 1));
    std::fs::copy(segment(&both.after), segment(dir.path())).unwrap();
    assert_eq!(run(dir.path(), 1).unwrap(), 9);
    assert!(!dir.path().join(LOSS_FILE).exists());
}

#[test]
fn a_journal_begins_once_and_without_segments_none_is_begun() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("store");
    let missing = |found: Result<u64, JournalError>| {
        assert!(
            matches!(found, Err(JournalError::Store(StoreError::NoSegments { .. }))),
            "{found:?}"
        );
    };
    missing(run(&dir, 1));
    assert!(!dir.exists());
    begin(&dir);
    assert_eq!(run(&dir, 1).unwrap(), 3);
    let again = open::begin(&options(&dir), signing(), Arc::new(now), |_| Ok(()));
    assert!(matches!(again, Err(JournalError::Store(StoreError::Begun { .. }))));
    for emptied in [true, false] {
        if emptied {
            std::fs::remove_file(segment(&dir)).unwrap();
        } else {
            std::fs::remove_dir(dir.join("segments")).unwrap();
        }
        missing(run(&dir, 1));
        let reindexed = open::reindex(&options(&dir), signing());
        assert!(matches!(reindexed, Err(JournalError::Store(StoreError::NoSegments { .. }))));
    }
}

#[test]
fn segments_without_a_whole_batch_lost_their_genesis() {
    let home = tempfile::tempdir().unwrap();
    for len in [0, 7, 16, 40] {
        let dir = home.path().join(len.to_string());
        begin(&dir);
        let bytes = std::fs::read(segment(&dir)).unwrap();
        std::fs::write(segment(&dir), &bytes[..len]).unwrap();
        assert_eq!(lost(run(&dir, 1)).left, 0, "{len} bytes are left");
        std::fs::remove_file(dir.join(JOURNAL_LEAVES)).unwrap();
        std::fs::remove_dir_all(dir.join("index")).unwrap();
        std::fs::remove_file(dir.join(LOSS_FILE)).unwrap();
        assert_eq!(lost(run(&dir, 1)).left, 0, "{len} bytes are left");
    }
}

#[test]
fn a_journal_opened_after_a_loss_keeps_the_loss_until_it_is_forgotten() {
    let both = BeforeAndAfter::new();
    let old = std::fs::metadata(segment(&both.before)).unwrap().len() as usize;
    let dir = both.cut(old + 30, &both.after);
    let (journal, writer, loss) =
        open::open_after_loss(&options(dir.path()), signing(), Arc::new(now)).unwrap();
    assert_eq!(loss.as_ref().map(|loss| (loss.recorded, loss.left)), Some((7, 5)));
    assert_eq!(journal.view().snapshot().size, 5);
    drop(journal);
    writer.join().unwrap();
    assert_eq!(lost(run(dir.path(), 1)).recorded, 7);
    Loss::forget(dir.path()).unwrap();
    assert_eq!(run(dir.path(), 1).unwrap(), 7);
}

#[test]
fn damage_before_the_index_keeps_the_index_and_the_leaves_when_they_cannot_be_made_again() {
    let both = BeforeAndAfter::new();
    let dir =
        both.cut(std::fs::metadata(segment(&both.after)).unwrap().len() as usize, &both.after);
    let mut bytes = std::fs::read(segment(dir.path())).unwrap();
    bytes[30] ^= 1;
    std::fs::write(segment(dir.path()), &bytes).unwrap();
    let reindexed = open::reindex(&options(dir.path()), signing());
    assert!(
        matches!(reindexed, Err(JournalError::Store(StoreError::Corrupt { segment: 1, .. }))),
        "{reindexed:?}"
    );
    assert_eq!(std::fs::metadata(dir.path().join(JOURNAL_LEAVES)).unwrap().len(), 7 * 40);
    assert_eq!(run(dir.path(), 0).unwrap(), 7);
}

/// The error of a start that has to make the index over a damaged place.
fn gap(found: Result<u64, JournalError>) -> crate::store::Damage {
    match found {
        Err(JournalError::Gap(damage)) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn damage_behind_the_end_of_the_index_names_the_place_and_the_ways_out() {
    let both = BeforeAndAfter::new();
    let old = std::fs::metadata(segment(&both.before)).unwrap().len() as usize;
    let dir = tempfile::tempdir().unwrap();
    copy(&both.after, dir.path());
    // Two batches that the index does not have, and damage in the first of them.
    run(dir.path(), 1).unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy(&both.before.join("index"), &dir.path().join("index"));
    let at = Position { segment: 1, offset: old as u32 };
    flip_byte_of_frame(dir.path(), at);
    let before = files(&dir.path().join("segments"));
    let error = run(dir.path(), 0).unwrap_err();
    for part in [&at.to_string(), "newest copy", "store succeed", "Nothing was changed"] {
        assert!(error.to_string().contains(part), "{part:?} in {error}");
    }
    assert_eq!(gap(Err(error)).start, at);
    assert!(open::reindex(&options(dir.path()), signing()).is_err());
    assert_eq!(files(&dir.path().join("segments")), before);
    // The newest copy is a way out.
    flip_byte_of_frame(dir.path(), at);
    assert_eq!(run(dir.path(), 0).unwrap(), 9);
    // So is a succession: the journal ends before the damaged place.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    flip_byte_of_frame(dir.path(), at);
    gap(run(dir.path(), 0));
    let (journal, writer, loss) =
        open::open_after_loss(&options(dir.path()), signing(), Arc::new(now)).unwrap();
    let loss = loss.unwrap();
    assert_eq!((loss.recorded, loss.left, journal.view().snapshot().size), (9, 5, 5));
    drop(journal);
    writer.join().unwrap();
    assert_eq!(std::fs::metadata(segment(dir.path())).unwrap().len(), old as u64);
    assert_eq!(lost(run(dir.path(), 0)), loss, "the logs must be succeeded first");
}

#[test]
fn a_node_that_can_start_gives_nothing_up_for_damage_before_the_end_of_its_index() {
    let both = BeforeAndAfter::new();
    let dir = tempfile::tempdir().unwrap();
    copy(&both.after, dir.path());
    let len = std::fs::metadata(segment(dir.path())).unwrap().len();
    flip_byte_of_frame(dir.path(), Position::START);
    let (journal, writer, loss) =
        open::open_after_loss(&options(dir.path()), signing(), Arc::new(now)).unwrap();
    assert_eq!((loss, journal.view().snapshot().size), (None, 7));
    drop(journal);
    writer.join().unwrap();
    assert_eq!(std::fs::metadata(segment(dir.path())).unwrap().len(), len);
}
