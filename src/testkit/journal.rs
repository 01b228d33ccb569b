//! A journal on a temporary directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Agency, NOW_MS, own, time};
use crate::journal::JournalError;
use crate::journal::open::{self, JournalOptions, StartReport};
use crate::journal::transaction::{Origin, Signing, Transaction};
use crate::journal::view::View;
use crate::journal::writer::{Clock, JournalWriter, WriterThread};
use crate::pb::{self, journal_entry::Event};
use crate::record::signed::Verified;
use crate::store::{EngineKind, Index, KeyRange, Order, Table};

/// A journal of [`Agency::own`] that its owner can stop and start again.
pub(crate) struct TestJournal {
    pub(crate) writer: JournalWriter,
    pub(crate) report: StartReport,
    pub(crate) options: JournalOptions,
    pub(crate) home: tempfile::TempDir,
    thread: WriterThread,
    runtime: tokio::runtime::Runtime,
    clock: Arc<TestClock>,
}

/// A clock that goes on at each look.
struct TestClock {
    now_ms: AtomicI64,
    step_ms: AtomicI64,
}

impl TestClock {
    fn clock(self: &Arc<Self>) -> Clock {
        let clock = Arc::clone(self);
        Arc::new(move || {
            let step = clock.step_ms.load(Ordering::Relaxed);
            time(clock.now_ms.fetch_add(step, Ordering::Relaxed))
        })
    }
}

impl TestJournal {
    /// A journal with its genesis alone, whose clock stands.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same with other options.
    pub(crate) fn with(change: impl FnOnce(&mut JournalOptions)) -> Self {
        let genesis = open::genesis(&own());
        Self::begin(change, |tx| tx.append(genesis).map(drop))
    }

    /// The same with other first entries.
    pub(crate) fn begin(
        change: impl FnOnce(&mut JournalOptions),
        first: impl FnOnce(&mut Transaction<'_>) -> Result<(), JournalError> + Send + 'static,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut options = JournalOptions::new(home.path(), EngineKind::Fjall);
        change(&mut options);
        let clock =
            Arc::new(TestClock { now_ms: AtomicI64::new(NOW_MS), step_ms: AtomicI64::new(0) });
        open::begin(&options, Agency::own().signing(), clock.clock(), first).unwrap();
        Self::start(home, options, Agency::own().signing(), clock)
    }

    /// The journal of a directory that another one wrote.
    pub(crate) fn of_copy(from: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        copy(from, home.path());
        let options = JournalOptions::new(home.path(), EngineKind::Fjall);
        let clock =
            Arc::new(TestClock { now_ms: AtomicI64::new(NOW_MS), step_ms: AtomicI64::new(0) });
        Self::start(home, options, Agency::own().signing(), clock)
    }

    fn start(
        home: tempfile::TempDir,
        options: JournalOptions,
        signing: Signing,
        clock: Arc<TestClock>,
    ) -> Self {
        let (writer, thread, report) = open::open(&options, signing, clock.clock()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { writer, report, options, home, thread, runtime, clock }
    }

    /// Lets the clock go on by so much at each look.
    pub(crate) fn ticking(self, step_ms: i64) -> Self {
        self.clock.step_ms.store(step_ms, Ordering::Relaxed);
        self
    }

    pub(crate) fn set_time(&self, unix_ms: i64) {
        self.clock.now_ms.store(unix_ms, Ordering::Relaxed);
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.options.dir
    }

    pub(crate) fn view(&self) -> &Arc<View> {
        self.writer.view()
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> T {
        self.try_commit(job).unwrap()
    }

    /// Runs a job that may be refused.
    pub(crate) fn try_commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.run(self.writer.commit(job)).map(|(result, _)| result)
    }

    pub(crate) fn append(&self, event: Event) -> u64 {
        self.commit(|tx| tx.append(event))
    }

    /// Accepts a record from a client.
    pub(crate) fn accept(&self, record: &Verified) {
        let record = Arc::new(record.clone());
        self.commit(move |tx| tx.accept(record, Origin::Client("desk")).map(drop));
    }

    /// Adds [`Agency::partner`] under number 1.
    pub(crate) fn add_partner(&self) {
        let active = pb::PartnerState::Active;
        let changed = super::partner_changed(&Agency::partner(), 1, active);
        self.append(Event::PartnerChanged(changed));
    }

    /// Stops as a clean stop does, lets something happen to the directory, and starts.
    pub(crate) fn restarted(self, meanwhile: impl FnOnce(&Path)) -> Self {
        self.restarted_as(&Agency::own(), meanwhile)
    }

    /// The same with an index made again from the segments.
    pub(crate) fn reindexed(self) -> Self {
        let options = self.options.clone();
        self.restarted(|_| {
            assert!(open::reindex(&options, Agency::own().signing()).unwrap().rebuilt);
        })
    }

    /// Starts with the keys of this agency.
    pub(crate) fn restarted_as(self, agency: &Agency, meanwhile: impl FnOnce(&Path)) -> Self {
        self.start_again(agency, true, meanwhile)
    }

    /// Starts again after a write failed, at which the writer stops.
    pub(crate) fn restarted_after_failure(self, meanwhile: impl FnOnce(&Path)) -> Self {
        self.start_again(&Agency::own(), false, meanwhile)
    }

    fn start_again(self, agency: &Agency, is_sound: bool, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self { writer, options, home, thread, runtime, clock, .. } = self;
        drop((writer, runtime));
        assert_eq!(thread.join().is_ok(), is_sound);
        meanwhile(&options.dir);
        Self::start(home, options, agency.signing(), clock)
    }
}

/// The keys and values of all tables of an index in order.
pub(crate) type Pairs = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

pub(crate) fn pairs(index: &Index) -> Pairs {
    let of_table = |table: Table| {
        index.scan(table, &KeyRange::all(), Order::Ascending).map(move |pair| {
            let (key, value) = pair.unwrap();
            ((table.name(), key), value)
        })
    };
    Table::ALL.into_iter().flat_map(of_table).collect()
}

/// Checks that an index made anew from the segments is the live one, key by key.
pub(crate) fn assert_same_index(live: &Pairs, made_anew: &Pairs) {
    for (key, value) in live {
        assert_eq!(made_anew.get(key), Some(value), "a key that is live: {key:?}");
    }
    for (key, value) in made_anew {
        assert_eq!(live.get(key), Some(value), "a key of the index made anew: {key:?}");
    }
}

/// Copies a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &there);
        } else {
            std::fs::copy(&path, &there).unwrap();
        }
    }
}
