//! Erasures on real segments and engines: what is gone is gone from every file, after any crash.

use super::erase::Ground;
use super::erasure_index::scrub_marker;
use super::ids::PartnerNumber;
use super::search;
use super::transaction::{Origin, Transaction};
use crate::ident::RecordId;
use crate::record::draft::{self, Draft, Place};
use crate::record::erasure::ErasureBasis;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{Disk, EngineKind, KeyRange, Order, SystemDisk, Table, flip_byte_of_frame};
use crate::testkit::{self, Agency, TestJournal, now, partner, redacted, secret};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SECRET: &str = "qzxvictimname";
const SALT: [u8; 16] = *b"saltthatmustgo!!";
/// Slots of an indicator.
pub(super) const VALUE: u32 = 1 << 2;
pub(super) const TITLE: u32 = 1 << 7;
/// It is empty.
const NOTES: u32 = 1 << 11;

/// A disk that, once told, lets nothing be written at the start of a file: batches go on, the first
/// step of an overwriting does not.
#[derive(Debug, Default)]
struct NoOverwriting(AtomicBool);

impl Disk for NoOverwriting {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if offset == 0 && self.0.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        SystemDisk.write_all_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        SystemDisk.sync_data(file)
    }
}

/// A record whose salts are known.
pub(super) fn indicator() -> Arc<Verified> {
    let own = Agency::own();
    let wire = testkit::indicator(&format!("{SECRET}.example"), "kept words");
    let draft = Draft::try_from(wire).unwrap();
    let place = Place::first(draft.series(&secret()));
    let sealed = draft.seal(own.name.clone(), place, now(), || SALT);
    let mut signed = draft::sign(vec![sealed], &own.record_key, own.key_id(), || [5; 32]).unwrap();
    Arc::new(signed.remove(0))
}

/// Returns the number of records in which a word is found.
pub(super) fn finds(journal: &TestJournal, word: &str) -> usize {
    let range = KeyRange::prefix(search::word_term(word));
    journal.view().index().scan(Table::Search, &range, Order::Ascending).count()
}

fn scrub(journal: &TestJournal) {
    while journal.view().index().rewrite_if_marked(scrub_marker()).unwrap() {}
}

fn with_engine(engine: EngineKind) -> TestJournal {
    TestJournal::with(|options| options.engine = engine)
}

pub(super) fn ground() -> Ground {
    Ground {
        basis: ErasureBasis::Led16,
        authority: "DPO 7/26".to_owned(),
        proposal: 0,
        partner: None,
        order: None,
    }
}

fn files_with(dir: &Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if std::fs::read(&path).unwrap().windows(needle.len()).any(|bytes| bytes == needle) {
            found.push(path);
        }
    }
    found
}

fn assert_gone(dir: &Path) {
    for needle in [SECRET.as_bytes(), &SALT] {
        assert_eq!(files_with(dir, needle), [] as [std::path::PathBuf; 0]);
    }
}

fn erase(journal: &TestJournal, id: RecordId, slots: SlotMask) {
    journal.commit(move |tx| tx.erase(&id, slots, &ground()).map(drop));
}

#[test]
fn what_was_erased_is_in_no_file_of_segments_and_index() {
    for engine in EngineKind::ALL {
        let journal = with_engine(engine);
        let record = indicator();
        journal.accept(&redacted(&record, !TITLE));
        let whole = Arc::clone(&record);
        journal.commit(move |tx| tx.extend(whole, SlotMask::from_bits(TITLE), (&partner(), 0)));
        journal.view().index().flush().unwrap();
        assert!(!files_with(&journal.dir().join("segments"), SECRET.as_bytes()).is_empty());
        assert!(!files_with(&journal.dir().join("index"), SECRET.as_bytes()).is_empty());
        erase(&journal, record.id(), SlotMask::all(record.kind()));
        scrub(&journal);
        assert_gone(journal.dir());
        let kept = journal.view().kept(&record.id()).unwrap().unwrap();
        assert_eq!(kept.record.erased_slots(), SlotMask::all(record.kind()));
        assert_eq!((kept.erasures.len(), kept.erasures[0].basis), (1, ErasureBasis::Led16));
        let journal = journal.restarted(assert_gone);
        assert!(!journal.report.rebuilt);
        assert_eq!(finds(&journal, SECRET), 0);
        let again = Arc::clone(&record);
        let mut merged = (*journal.view().record(&record.id()).unwrap().unwrap()).clone();
        let gained = merged.absorb(&again, SlotMask::NONE).unwrap();
        assert!(gained.is_empty(), "what was erased does not come back");
        let journal = journal.reindexed();
        assert_gone(journal.dir());
    }
}

#[test]
fn one_field_goes_and_the_others_are_still_found() {
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    // In one commit with what was there before: two erasures of one record.
    journal.commit(move |tx| {
        tx.erase(&id, SlotMask::from_bits(VALUE), &ground())?;
        assert!(tx.erase(&id, SlotMask::from_bits(VALUE), &ground())?.is_empty());
        tx.erase(&id, SlotMask::from_bits(1 << 3), &ground()).map(drop)
    });
    scrub(&journal);
    assert_eq!((finds(&journal, SECRET), finds(&journal, "kept")), (0, 1));
    assert_eq!(files_with(journal.dir(), SECRET.as_bytes()), [] as [std::path::PathBuf; 0]);
    let journal = journal.reindexed();
    assert_eq!((finds(&journal, SECRET), finds(&journal, "kept")), (0, 1));
    let kept = journal.view().kept(&id).unwrap().unwrap();
    assert_eq!(kept.record.erased_slots().bits(), VALUE | 1 << 3);
    assert_eq!(kept.erasures.len(), 2);
}

#[test]
fn an_erasure_changes_no_search_term_but_those_of_what_it_erases() {
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    journal.commit(move |tx| {
        tx.erase(&id, SlotMask::from_bits(NOTES), &ground())?;
        let searched = |tx: &Transaction<'_>| {
            let changes = tx.group.pending.changes.iter();
            let terms = changes.filter(|change| change.table == Table::Search);
            terms.map(|change| change.value.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(searched(tx), [false; 0], "an empty slot has no terms");
        tx.erase(&id, SlotMask::from_bits(TITLE), &ground())?;
        assert_eq!(searched(tx), [false; 2], "the two words go and nothing is put again");
        Ok(())
    });
    assert_eq!((finds(&journal, "kept"), finds(&journal, "words")), (0, 0));
}

#[test]
fn slots_erased_by_a_job_are_barred_for_the_next_one_unless_the_job_was_refused() {
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    let barred = {
        let header = record.header();
        let (series, originator) = (header.series, header.originator.clone());
        move |tx: &Transaction<'_>| tx.barred(series, &originator).map(SlotMask::bits)
    };
    let (in_job, in_next) = (barred.clone(), barred.clone());
    journal.run(async {
        let refused = journal.writer.enqueue(move |tx| {
            tx.erase(&id, SlotMask::from_bits(NOTES), &ground())?;
            assert_eq!(in_job(tx)?, NOTES);
            Err::<(), _>(super::JournalError::EntryTooLarge { found: 1 })
        });
        let refused = refused.await.unwrap();
        let erased = journal.writer.enqueue(move |tx| {
            assert_eq!(in_next(tx)?, 0, "what the refused job staged was taken back");
            tx.erase(&id, SlotMask::from_bits(TITLE), &ground())?;
            tx.erase(&id, SlotMask::from_bits(VALUE), &ground()).map(drop)
        });
        let erased = erased.await.unwrap();
        assert!(refused.await.unwrap().is_err());
        erased.await.unwrap().unwrap();
    });
    journal.commit(move |tx| {
        assert_eq!(barred(tx)?, TITLE | VALUE);
        Ok(())
    });
}

#[test]
fn an_erasure_cut_short_after_its_entry_is_finished_by_the_next_start() {
    for with_index in [true, false] {
        let disk = Arc::new(NoOverwriting::default());
        let journal = TestJournal::with(|options| options.segments.disk = disk.clone());
        let record = indicator();
        journal.accept(&record);
        journal.view().index().flush().unwrap();
        disk.0.store(true, Ordering::Relaxed);
        let id = record.id();
        let failed =
            journal.try_commit(move |tx| tx.erase(&id, SlotMask::from_bits(VALUE), &ground()));
        assert!(failed.is_err());
        let journal = journal.restarted_after_failure(|dir| {
            assert!(!files_with(&dir.join("segments"), SECRET.as_bytes()).is_empty());
            if !with_index {
                std::fs::remove_dir_all(dir.join("index")).unwrap();
            }
            disk.0.store(false, Ordering::Relaxed);
        });
        scrub(&journal);
        assert_eq!(files_with(journal.dir(), SECRET.as_bytes()), [] as [std::path::PathBuf; 0]);
        assert_eq!((finds(&journal, SECRET), finds(&journal, "kept")), (0, 1));
        let kept = journal.view().kept(&id).unwrap().unwrap();
        assert_eq!(kept.record.erased_slots().bits(), VALUE);
    }
}

#[test]
fn a_record_accepted_and_extended_in_one_batch_keeps_its_terms_when_indexed_again() {
    let journal = TestJournal::new();
    let record = indicator();
    let (first, whole) = (redacted(&record, VALUE | 1 << 1), Arc::clone(&record));
    journal.commit(move |tx| {
        tx.accept(first, Origin::Client("desk"))?;
        let gained = SlotMask::all(whole.kind()).without(SlotMask::from_bits(VALUE | 1 << 1));
        tx.extend(whole, gained, (&partner(), 0))
    });
    assert_eq!(finds(&journal, "kept"), 1);
    assert_eq!(finds(&journal.reindexed(), "kept"), 1);
}

#[test]
fn a_hold_survives_a_restart_and_a_new_index() {
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    journal.commit(move |tx| tx.restrict(&id, true, "exhibit".to_owned(), "desk").map(drop));
    let usable = |journal: &TestJournal| {
        let place = journal.view().place(&id).unwrap().unwrap();
        place.marks().is_usable()
    };
    assert!(!usable(&journal));
    let journal = journal.reindexed();
    assert!(!usable(&journal));
    journal.commit(move |tx| tx.restrict(&id, false, "closed".to_owned(), "desk").map(drop));
    assert!(usable(&journal));
}

#[test]
fn slots_that_a_partner_takes_back_are_neither_shown_nor_found_and_a_new_index_says_the_same() {
    let mut journal = TestJournal::new();
    journal.add_partner();
    let (record, from) = (indicator(), partner());
    let (id, accepted) = (record.id(), Arc::clone(&record));
    let number = PartnerNumber::new(1);
    journal.commit(move |tx| {
        let origin = Origin::Partner { agency: &partner(), feed_index: 0 };
        tx.accept(accepted, origin).map(drop)
    });
    assert_eq!(finds(&journal, "kept"), 1);
    let retract = |slots: u32| {
        move |tx: &mut Transaction<'_>| {
            tx.retract(&id, SlotMask::from_bits(slots), (&partner(), number, 1))
        }
    };
    let again = |slots: u32| {
        move |tx: &mut Transaction<'_>| {
            tx.receive_again(&id, SlotMask::from_bits(slots), true, (&partner(), number, 2))
        }
    };
    let all = SlotMask::all(record.kind()).bits();
    let state = |journal: &TestJournal| {
        let kept = journal.view().kept(&id).unwrap().unwrap();
        (kept.record.open_slots().bits(), kept.marks.is_retracted(), finds(journal, "kept"))
    };
    journal.commit(retract(TITLE));
    journal.commit(retract(TITLE));
    assert_eq!(journal.view().snapshot().size, 4, "what is taken back once is enough");
    for step in 0..5 {
        let wanted = match step {
            0 => (all & !TITLE, false, 0),
            1 => {
                journal.commit(retract(0));
                (all & !TITLE, true, 0)
            }
            2 => {
                journal.commit(again(VALUE | 1 << 1));
                (VALUE | 1 << 1, false, 0)
            }
            3 => {
                let whole = Arc::clone(&record);
                let slots = SlotMask::from_bits(TITLE);
                let at = from.clone();
                journal.commit(move |tx| tx.extend(whole, slots, (&at, 3)));
                (VALUE | TITLE | 1 << 1, false, 1)
            }
            _ => {
                erase(&journal, id, SlotMask::from_bits(TITLE));
                (VALUE | 1 << 1, false, 0)
            }
        };
        assert_eq!(state(&journal), wanted, "step {step}");
        journal = journal.reindexed();
        assert_eq!(state(&journal), wanted, "step {step} with a new index");
    }
}

#[test]
fn a_report_of_erasures_goes_on_behind_a_damaged_one_and_counts_it() {
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    for slot in [TITLE, NOTES] {
        erase(&journal, record.id(), SlotMask::from_bits(slot));
    }
    let view = journal.view();
    let (first, _) = view.erasures_of(&record.id()).unwrap()[0];
    flip_byte_of_frame(journal.dir(), view.journal().position(first).unwrap());
    for of in [None, Some(&record.id())] {
        let page = view.erasure_report(of, false, u64::MAX, 9).unwrap();
        assert_eq!((page.erasures.len(), page.damaged), (1, 1));
    }
}

#[test]
fn records_are_due_by_their_time_and_no_longer_once_erased() {
    let journal = TestJournal::new();
    let due = journal.view().retention_due(None, now(), 9).unwrap();
    assert!(due.is_empty());
}

#[test]
fn what_was_overwritten_since_its_place_was_read_is_read_at_its_new_place() {
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    let view = journal.view();
    let before = view.place(&record.id()).unwrap().unwrap();
    erase(&journal, record.id(), SlotMask::from_bits(TITLE));
    let (place, content) = view.content(&record.id(), before).unwrap();
    assert_ne!(place.content, before.content);
    assert!(place.marks().is_erased());
    assert!(crate::record::stored::read(&content).is_ok());
}

#[test]
fn a_reader_during_an_erasure_finds_the_record_before_or_after_it() {
    const ERASURES: u32 = 12;
    let journal = TestJournal::new();
    let record = indicator();
    journal.accept(&record);
    let view = Arc::clone(journal.view());
    let (id, done) = (record.id(), Arc::new(AtomicBool::new(false)));
    let is_done = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let mut erased = SlotMask::NONE;
        loop {
            let last = is_done.load(Ordering::Acquire);
            let (place, record) = view.placed_record(&id).unwrap().unwrap();
            let found = record.erased_slots();
            assert!(erased.without(found).is_empty(), "what was erased does not come back");
            assert_eq!(place.marks().is_erased(), !found.is_empty());
            erased = found;
            if last {
                return erased;
            }
        }
    });
    for slot in 1..=ERASURES {
        erase(&journal, id, SlotMask::from_bits(1 << slot));
    }
    done.store(true, Ordering::Release);
    assert_eq!(reader.join().unwrap().bits(), (2 << ERASURES) - 2);
}
