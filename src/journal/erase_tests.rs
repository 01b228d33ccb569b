//! Erasures on real segments and engines: what is gone is gone from every file, after any crash.

use super::erase::Ground;
use super::erasure_index::scrub_marker;
use super::ids::PartnerNumber;
use super::open::{self, JournalOptions, StartReport};
use super::search;
use super::transaction::{Origin, Signing, Transaction};
use super::writer::{JournalWriter, WriterThread};
use crate::ident::{AgencyName, KeyId, RecordId, Timestamp};
use crate::partner::card::tests as cards;
use crate::partner::{Role, SecretKey};
use crate::pb::{self, draft::Content, journal_entry::Event};
use crate::record::draft::{self, Draft, Place, SeriesSecret};
use crate::record::erasure::ErasureBasis;
use crate::record::signed::{Slot, Verified};
use crate::record::slots::SlotMask;
use crate::store::{Disk, EngineKind, KeyRange, Order, SystemDisk, Table, flip_byte_of_frame};
use ed25519_dalek::SigningKey;
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

pub(super) struct Journal {
    pub(super) journal: JournalWriter,
    writer: WriterThread,
    pub(super) report: StartReport,
    runtime: tokio::runtime::Runtime,
}

pub(super) fn signing() -> Signing {
    Signing {
        agency: "npa.go.jp".parse().unwrap(),
        journal_key: SigningKey::from_bytes(&[2; 32]),
        series_secret: SeriesSecret::from_bytes([9; 32]),
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_772_323_200_000).unwrap()
}

fn open_with(dir: &Path, engine: EngineKind, disk: Arc<dyn Disk>) -> Journal {
    let mut options = JournalOptions::new(dir, engine);
    if !dir.join("segments").exists() {
        let genesis = open::genesis(&"npa.go.jp".parse().unwrap());
        let first = move |tx: &mut Transaction<'_>| tx.append(genesis).map(drop);
        open::begin(&options, signing(), Arc::new(now), first).unwrap();
    }
    options.segments.disk = disk;
    let (journal, writer, report) = open::open(&options, signing(), Arc::new(now)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    Journal { journal, writer, report, runtime }
}

pub(super) fn open(dir: &Path, engine: EngineKind) -> Journal {
    open_with(dir, engine, Arc::new(SystemDisk))
}

pub(super) fn indicator() -> Arc<Verified> {
    let marking = pb::Marking {
        tlp: pb::Tlp::Green.into(),
        pap: pb::Pap::Green.into(),
        ..pb::Marking::default()
    };
    let content = pb::Indicator {
        value: format!("{SECRET}.example"),
        title: "kept words".to_owned(),
        ..pb::Indicator::default()
    };
    let wire = pb::Draft {
        marking: Some(marking),
        content: Some(Content::Indicator(content)),
        ..pb::Draft::default()
    };
    let draft = Draft::try_from(wire).unwrap();
    let series = draft.series(&SeriesSecret::from_bytes([9; 32]));
    let place = Place::first(series);
    let sealed = draft.seal("npa.go.jp".parse().unwrap(), place, now(), || SALT);
    let key = (SigningKey::from_bytes(&[1; 32]), KeyId::from_bytes([7; 16]));
    Arc::new(draft::sign(vec![sealed], &key.0, key.1, || [5; 32]).unwrap().remove(0))
}

/// The record with only these slots open, as it may have come first.
pub(super) fn redacted(record: &Verified, open: u32) -> Arc<Verified> {
    let envelope = record.redacted(SlotMask::from_bits(open));
    let signature = envelope.signature.clone().unwrap();
    let slots = record
        .numbered()
        .map(|(number, slot)| match slot {
            Slot::Open { .. } if SlotMask::from_bits(open).contains(number) => slot.clone(),
            _ => Slot::Withheld(slot.commitment(record.kind(), number)),
        })
        .collect();
    Arc::new(Verified::from_store(envelope.header, signature, slots).unwrap())
}

pub(super) fn partner() -> AgencyName {
    "jc3.or.jp".parse().unwrap()
}

/// A partner as it is from now on.
pub(super) fn partner_changed(agency: &AgencyName, number: u32, state: pb::PartnerState) -> Event {
    let mut card = cards::sample();
    card.agency = agency.clone();
    let identity = SecretKey::from_seed(Role::Identity, 1);
    card.identity_key = *identity.public();
    Event::PartnerChanged(pb::PartnerChanged {
        agency: agency.to_string(),
        number,
        state: state.into(),
        card: Some(card.seal(&identity).unwrap().signed().clone()),
        ..pb::PartnerChanged::default()
    })
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

impl Journal {
    /// Adds the partner under number 1.
    pub(super) fn add_partner(&self) {
        let changed = partner_changed(&partner(), 1, pb::PartnerState::Active);
        self.commit(|tx| tx.append(changed).map(drop));
    }

    pub(super) fn commit(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<(), super::JournalError> + Send + 'static,
    ) {
        self.try_commit(job).unwrap();
    }

    /// Runs a job that may be refused.
    pub(super) fn try_commit(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<(), super::JournalError> + Send + 'static,
    ) -> Result<(), super::JournalError> {
        self.runtime.block_on(self.journal.commit(job)).map(drop)
    }

    pub(super) fn accept(&self, record: &Arc<Verified>) {
        let record = Arc::clone(record);
        self.commit(move |tx| tx.accept(record, Origin::Client("desk")).map(drop));
    }

    pub(super) fn finds(&self, word: &str) -> usize {
        let range = KeyRange::prefix(search::word_term(word));
        self.journal.view().index().scan(Table::Search, &range, Order::Ascending).count()
    }

    /// Stops as a clean stop does.
    pub(super) fn stop(self) {
        drop(self.journal);
        drop(self.runtime);
        self.writer.join().unwrap();
    }

    fn scrub(&self) {
        while self.journal.view().index().rewrite_if_marked(scrub_marker()).unwrap() {}
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

fn erase(journal: &Journal, id: RecordId, slots: SlotMask) {
    journal.commit(move |tx| tx.erase(&id, slots, &ground()).map(drop));
}

#[test]
fn what_was_erased_is_in_no_file_of_segments_and_index() {
    for engine in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path(), engine);
        let record = indicator();
        journal.accept(&redacted(&record, !TITLE));
        let whole = Arc::clone(&record);
        journal.commit(move |tx| tx.extend(whole, SlotMask::from_bits(TITLE), (&partner(), 0)));
        journal.journal.view().index().flush().unwrap();
        assert!(!files_with(&dir.path().join("segments"), SECRET.as_bytes()).is_empty());
        assert!(!files_with(&dir.path().join("index"), SECRET.as_bytes()).is_empty());
        erase(&journal, record.id(), SlotMask::all(record.kind()));
        journal.scrub();
        assert_gone(dir.path());
        let kept = journal.journal.view().kept(&record.id()).unwrap().unwrap();
        assert_eq!(kept.record.erased_slots(), SlotMask::all(record.kind()));
        assert_eq!((kept.erasures.len(), kept.erasures[0].basis), (1, ErasureBasis::Led16));
        journal.stop();
        assert_gone(dir.path());
        let journal = open(dir.path(), engine);
        assert!(!journal.report.rebuilt);
        assert_eq!(journal.finds(SECRET), 0);
        let again = Arc::clone(&record);
        let mut merged = (*journal.journal.view().record(&record.id()).unwrap().unwrap()).clone();
        let gained = merged.absorb(&again, SlotMask::NONE).unwrap();
        assert!(gained.is_empty(), "what was erased does not come back");
        journal.stop();
        let options = JournalOptions::new(dir.path(), engine);
        assert!(open::reindex(&options, signing()).unwrap().rebuilt);
        assert_gone(dir.path());
    }
}

#[test]
fn one_field_goes_and_the_others_are_still_found() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    // In one commit with what was there before: two erasures of one record.
    journal.commit(move |tx| {
        tx.erase(&id, SlotMask::from_bits(VALUE), &ground())?;
        assert!(tx.erase(&id, SlotMask::from_bits(VALUE), &ground())?.is_empty());
        tx.erase(&id, SlotMask::from_bits(1 << 3), &ground()).map(drop)
    });
    journal.scrub();
    assert_eq!((journal.finds(SECRET), journal.finds("kept")), (0, 1));
    assert_eq!(files_with(dir.path(), SECRET.as_bytes()), [] as [std::path::PathBuf; 0]);
    journal.stop();
    let options = JournalOptions::new(dir.path(), EngineKind::Fjall);
    open::reindex(&options, signing()).unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    assert_eq!((journal.finds(SECRET), journal.finds("kept")), (0, 1));
    let kept = journal.journal.view().kept(&id).unwrap().unwrap();
    assert_eq!(kept.record.erased_slots().bits(), VALUE | 1 << 3);
    assert_eq!(kept.erasures.len(), 2);
}

#[test]
fn an_erasure_changes_no_search_term_but_those_of_what_it_erases() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
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
    assert_eq!((journal.finds("kept"), journal.finds("words")), (0, 0));
}

#[test]
fn slots_erased_by_a_job_are_barred_for_the_next_one_unless_the_job_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    let barred = {
        let header = record.header();
        let (series, originator) = (header.series, header.originator.clone());
        move |tx: &Transaction<'_>| tx.barred(series, &originator).map(SlotMask::bits)
    };
    let (in_job, in_next) = (barred.clone(), barred.clone());
    journal.runtime.block_on(async {
        let refused = journal.journal.enqueue(move |tx| {
            tx.erase(&id, SlotMask::from_bits(NOTES), &ground())?;
            assert_eq!(in_job(tx)?, NOTES);
            Err::<(), _>(super::JournalError::EntryTooLarge { found: 1 })
        });
        let refused = refused.await.unwrap();
        let erased = journal.journal.enqueue(move |tx| {
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
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(NoOverwriting::default());
        let journal = open_with(dir.path(), EngineKind::Fjall, disk.clone());
        let record = indicator();
        journal.accept(&record);
        journal.journal.view().index().flush().unwrap();
        disk.0.store(true, Ordering::Relaxed);
        let id = record.id();
        let failed = journal.runtime.block_on(
            journal.journal.commit(move |tx| tx.erase(&id, SlotMask::from_bits(VALUE), &ground())),
        );
        assert!(failed.is_err());
        drop(journal.journal);
        assert!(journal.writer.join().is_err());
        assert!(!files_with(&dir.path().join("segments"), SECRET.as_bytes()).is_empty());
        if !with_index {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let journal = open(dir.path(), EngineKind::Fjall);
        journal.scrub();
        assert_eq!(files_with(dir.path(), SECRET.as_bytes()), [] as [std::path::PathBuf; 0]);
        assert_eq!((journal.finds(SECRET), journal.finds("kept")), (0, 1));
        let kept = journal.journal.view().kept(&id).unwrap().unwrap();
        assert_eq!(kept.record.erased_slots().bits(), VALUE);
    }
}

#[test]
fn a_record_accepted_and_extended_in_one_batch_keeps_its_terms_when_indexed_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    let (first, whole) = (redacted(&record, VALUE | 1 << 1), Arc::clone(&record));
    journal.commit(move |tx| {
        tx.accept(first, Origin::Client("desk"))?;
        let gained = SlotMask::all(whole.kind()).without(SlotMask::from_bits(VALUE | 1 << 1));
        tx.extend(whole, gained, (&partner(), 0))
    });
    assert_eq!(journal.finds("kept"), 1);
    journal.stop();
    let options = JournalOptions::new(dir.path(), EngineKind::Fjall);
    open::reindex(&options, signing()).unwrap();
    assert_eq!(open(dir.path(), EngineKind::Fjall).finds("kept"), 1);
}

#[test]
fn a_hold_survives_a_restart_and_a_new_index() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    journal.accept(&record);
    let id = record.id();
    journal.commit(move |tx| tx.restrict(&id, true, "exhibit".to_owned(), "desk").map(drop));
    let usable = |journal: &Journal| {
        let place = journal.journal.view().place(&id).unwrap().unwrap();
        place.marks().is_usable()
    };
    assert!(!usable(&journal));
    journal.stop();
    let options = JournalOptions::new(dir.path(), EngineKind::Fjall);
    open::reindex(&options, signing()).unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    assert!(!usable(&journal));
    journal.commit(move |tx| tx.restrict(&id, false, "closed".to_owned(), "desk").map(drop));
    assert!(usable(&journal));
}

#[test]
fn slots_that_a_partner_takes_back_are_neither_shown_nor_found_and_a_new_index_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), EngineKind::Fjall);
    journal.add_partner();
    let (record, from) = (indicator(), partner());
    let (id, accepted) = (record.id(), Arc::clone(&record));
    let number = PartnerNumber::new(1);
    journal.commit(move |tx| {
        let origin = Origin::Partner { agency: &partner(), feed_index: 0 };
        tx.accept(accepted, origin).map(drop)
    });
    assert_eq!(journal.finds("kept"), 1);
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
    let state = |journal: &Journal| {
        let kept = journal.journal.view().kept(&id).unwrap().unwrap();
        (kept.record.open_slots().bits(), kept.marks.is_retracted(), journal.finds("kept"))
    };
    journal.commit(retract(TITLE));
    journal.commit(retract(TITLE));
    assert_eq!(journal.journal.view().snapshot().size, 4, "what is taken back once is enough");
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
        journal.stop();
        let options = JournalOptions::new(dir.path(), EngineKind::Fjall);
        open::reindex(&options, signing()).unwrap();
        journal = open(dir.path(), EngineKind::Fjall);
        assert_eq!(state(&journal), wanted, "step {step} with a new index");
    }
}

#[test]
fn a_report_of_erasures_goes_on_behind_a_damaged_one_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    journal.accept(&record);
    for slot in [TITLE, NOTES] {
        erase(&journal, record.id(), SlotMask::from_bits(slot));
    }
    let view = journal.journal.view();
    let (first, _) = view.erasures_of(&record.id()).unwrap()[0];
    flip_byte_of_frame(dir.path(), view.journal().position(first).unwrap());
    for of in [None, Some(&record.id())] {
        let page = view.erasure_report(of, false, u64::MAX, 9).unwrap();
        assert_eq!((page.erasures.len(), page.damaged), (1, 1));
    }
}

#[test]
fn records_are_due_by_their_time_and_no_longer_once_erased() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let due = journal.journal.view().retention_due(None, now(), 9).unwrap();
    assert!(due.is_empty());
}

#[test]
fn what_was_overwritten_since_its_place_was_read_is_read_at_its_new_place() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    journal.accept(&record);
    let view = journal.journal.view();
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
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), EngineKind::Fjall);
    let record = indicator();
    journal.accept(&record);
    let view = Arc::clone(journal.journal.view());
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
