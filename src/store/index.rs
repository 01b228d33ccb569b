//! The index: an engine, and in front of it what was staged since.
//!
//! The writer stages the changes of a batch right after its commit and goes on; a thread of its
//! own applies them. A reader sees staged changes at once. Nothing here is ever needed to answer
//! that a batch is durable, and everything here can be fed again from the segments.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::engine::{Change, EngineKind, EngineSize, IndexEngine, KeyRange, Order, Table};
use super::error::{IndexFault, StoreError};
use super::fjall_engine::{FjallEngine, INGEST_CHANGES_MIN};
use super::generation::{Copying, Generations, Marker, remove_dir};
#[cfg(test)]
use super::memory_engine::MemoryEngine;
use super::merge::IndexScan;
use super::overlay::{Overlay, Run};
use super::position::Position;
use super::sled_engine::SledEngine;

/// The time for which staged changes are gathered before they are applied. Engines take one large
/// chunk for much less than many small ones, and readers see staged changes anyway.
const GATHER: Duration = Duration::from_millis(200);

/// The longest time that scans of a rewritten index may go on before its old files are removed.
const READERS_MS_MAX: u32 = 10_000;

/// The index to open.
#[derive(Debug, Clone)]
pub struct IndexOptions {
    /// Each engine has a directory of its own name below this one.
    pub dir: PathBuf,
    pub engine: EngineKind,
    /// The caller's version of keys and values. An index of another version is rebuilt.
    pub format: u32,
}

impl IndexOptions {
    fn generations(&self) -> Generations {
        Generations::new(&self.dir, self.engine)
    }

    /// Opens the generation that counts and removes what is left of others.
    fn open_engine(&self) -> Result<Box<dyn IndexEngine>, StoreError> {
        let generations = self.generations();
        generations.remove_others()?;
        self.open_generation(generations.current())
    }

    fn open_generation(&self, generation: u64) -> Result<Box<dyn IndexEngine>, StoreError> {
        let dir = self.generations().path(generation);
        std::fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        Ok(match self.engine {
            EngineKind::Sled => Box::new(SledEngine::open(&dir, self.format)?),
            EngineKind::Fjall => {
                Box::new(FjallEngine::open(&dir, self.format, INGEST_CHANGES_MIN)?)
            }
            #[cfg(test)]
            EngineKind::Memory => Box::new(MemoryEngine::default()),
        })
    }
}

/// The result of [`Index::open`].
pub enum OpenOutcome {
    /// Feed it from its watermark on; from the start of the segments if it has none.
    Ready(Index),
    /// Call [`Index::rebuild`] and feed it from the start of the segments.
    NeedsRebuild(RebuildReason),
}

/// The reason why an index on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RebuildReason {
    #[error("the index does not open or has another format")]
    Unreadable(#[source] StoreError),
    #[error("the index is at {watermark}, ahead of the segments, which end at {end}")]
    Ahead { watermark: Position, end: Position },
}

/// The lag of the engine behind the staged changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexLag {
    pub changes: usize,
    pub bytes: usize,
}

/// Ordered tables over the segments. Dropping it applies what is staged and joins its thread.
pub struct Index {
    shared: Arc<Shared>,
    indexer: Option<JoinHandle<()>>,
}

struct Shared {
    /// Replaced when it was written anew.
    engine: ArcSwap<Box<dyn IndexEngine>>,
    /// The place for new generations; `None` for an engine that was opened elsewhere.
    home: Option<IndexOptions>,
    /// Changed only while `state` is locked.
    overlay: ArcSwap<Overlay>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closing: bool,
    /// Callers of `flush` that wait.
    flushing: usize,
    failed: Option<IndexFault>,
    rewriting: Rewriting,
}

/// The state of a request to write the index anew.
#[derive(Default)]
enum Rewriting {
    #[default]
    Idle,
    /// Everything staged by then must be applied first.
    Wanted(Marker, Option<Position>),
    UnderWay,
    Done(Result<(), IndexFault>),
}

impl State {
    fn check(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(fault) => Err(StoreError::IndexFailed(fault.clone())),
            None => Ok(()),
        }
    }
}

impl Index {
    /// Opens the index of a log whose recovered segments end at `segments_end`.
    pub fn open(options: &IndexOptions, segments_end: Position) -> Result<OpenOutcome, StoreError> {
        let opened = options
            .open_engine()
            .and_then(|engine| engine.watermark().map(|watermark| (engine, watermark)));
        let (engine, watermark) = match opened {
            Ok(opened) => opened,
            Err(reason @ StoreError::Engine { .. }) => {
                return Ok(OpenOutcome::NeedsRebuild(RebuildReason::Unreadable(reason)));
            }
            Err(other) => return Err(other),
        };
        match watermark {
            Some(watermark) if watermark > segments_end => {
                let reason = RebuildReason::Ahead { watermark, end: segments_end };
                Ok(OpenOutcome::NeedsRebuild(reason))
            }
            _ => Self::start(engine, Some(options.clone())).map(OpenOutcome::Ready),
        }
    }

    /// Deletes what this engine has on disk and opens an empty index.
    pub fn rebuild(options: &IndexOptions) -> Result<Self, StoreError> {
        let generations = options.generations();
        remove_dir(&generations.path(generations.current()))?;
        Self::start(options.open_engine()?, Some(options.clone()))
    }

    /// An index over an engine that is open already. It cannot be rewritten.
    pub fn over(engine: Box<dyn IndexEngine>) -> Result<Self, StoreError> {
        Self::start(engine, None)
    }

    fn start(engine: Box<dyn IndexEngine>, home: Option<IndexOptions>) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            engine: ArcSwap::from_pointee(engine),
            home,
            overlay: ArcSwap::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let indexer = std::thread::Builder::new()
            .name("index".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.drain()
            })
            .map_err(StoreError::io("start", Path::new("the index thread")))?;
        Ok(Self { shared, indexer: Some(indexer) })
    }

    /// Makes the changes of a committed batch visible and leaves them to be applied. Blocks while
    /// too much is waiting. `watermark` is the end of that batch in the segments.
    pub fn stage(&self, changes: Vec<Change>, watermark: Position) -> Result<(), StoreError> {
        let run = Run::new(changes, watermark);
        let mut state = self.shared.state();
        while self.shared.overlay.load().is_full() {
            state.check()?;
            state = self.shared.wait(state);
        }
        state.check()?;
        let overlay = self.shared.overlay.load().with(run);
        self.shared.overlay.store(Arc::new(overlay));
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    pub fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let overlay = self.shared.overlay.load();
        match overlay.newest_first().find_map(|run| run.change(table, key)) {
            Some(change) => Ok(change.value.as_deref().map(<[u8]>::to_vec)),
            None => self.shared.engine.load().read(table, key),
        }
    }

    /// Pairs of `table` within `range` in `order`. The caller bounds how many it takes.
    pub fn scan(&self, table: Table, range: &KeyRange, order: Order) -> IndexScan<'_> {
        // The overlay first: what leaves it later is in the engine by then.
        let overlay = self.shared.overlay.load_full();
        let engine = self.shared.engine.load_full();
        let scan = engine.scan(table, range, order);
        IndexScan::new(&overlay, table, range, order, scan).holding(engine)
    }

    /// Up to where reads see everything: staged, or else applied.
    pub fn watermark(&self) -> Result<Option<Position>, StoreError> {
        let overlay = self.shared.overlay.load();
        match overlay.watermark() {
            Some(staged) => Ok(Some(staged)),
            None => self.shared.engine.load().watermark(),
        }
    }

    /// Waits until everything staged is applied.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.shared.state();
        state.flushing += 1;
        self.shared.changed.notify_all();
        while state.failed.is_none() && !self.shared.overlay.load().is_empty() {
            state = self.shared.wait(state);
        }
        state.flushing -= 1;
        state.check()
    }

    /// The reason why nothing is applied any more.
    pub fn failure(&self) -> Option<String> {
        self.shared.state().failed.as_ref().map(|fault| fault.reason.clone())
    }

    pub fn lag(&self) -> IndexLag {
        let overlay = self.shared.overlay.load();
        IndexLag { changes: overlay.changes(), bytes: overlay.bytes() }
    }

    /// Deletes everything, staged or applied. Nobody may stage at the same time.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.flush()?;
        self.shared.engine.load().clear()
    }

    pub fn size(&self) -> Result<EngineSize, StoreError> {
        self.shared.engine.load().size()
    }

    /// Writes the index anew if the marker's key is there, without that key: what was deleted
    /// before is then in no file of the engine. Reads and staging go on meanwhile; it takes about
    /// as long as indexing everything once. False if the key was not there. One caller at a time.
    ///
    /// Ends when the old files are removed.
    pub fn rewrite_if_marked(&self, marker: Marker) -> Result<bool, StoreError> {
        if self.shared.home.is_none() || self.read(marker.table, &marker.key)?.is_none() {
            return Ok(false);
        }
        let mut state = self.shared.state();
        state.rewriting = Rewriting::Wanted(marker, self.shared.overlay.load().watermark());
        self.shared.changed.notify_all();
        loop {
            state.check()?;
            if state.closing {
                state.rewriting = Rewriting::Idle;
                return Ok(false);
            }
            if let Rewriting::Done(outcome) = &mut state.rewriting {
                let outcome = std::mem::replace(outcome, Ok(()));
                state.rewriting = Rewriting::Idle;
                return outcome.map(|()| true).map_err(StoreError::IndexFailed);
            }
            state = self.shared.wait(state);
        }
    }

    /// Returns true if the index is being written anew, or its old files are still there.
    pub fn is_rewriting(&self) -> bool {
        !matches!(self.shared.state().rewriting, Rewriting::Idle)
    }

    /// Applies what is staged and stops; the result is an error if any of it failed.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.stop();
        self.shared.state().check()
    }

    fn stop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        if let Some(indexer) = self.indexer.take() {
            // A panic in the engine has been noted as a failure by the thread's own guard.
            let _ = indexer.join();
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the index thread until it is to close with no runs left. It applies the oldest runs,
    /// and between them writes the index anew when that was asked for.
    fn drain(&self) {
        let _note = NotePanic(self);
        let mut copying = None;
        while self.await_work(copying.is_some()) {
            if let Err(error) = self.apply_oldest(copying.as_ref()) {
                return self.fail(IndexFault::from(&error));
            }
            if copying.is_none() {
                copying = self.begin_copying();
            } else {
                copying = self.go_on_copying(copying);
            }
        }
    }

    fn apply_oldest(&self, copying: Option<&Copying>) -> Result<(), StoreError> {
        let overlay = self.overlay.load_full();
        let chunk = overlay.oldest_chunk();
        let Some(watermark) = chunk.watermark() else { return Ok(()) };
        let changes = chunk.changes();
        self.engine.load().apply(&changes, watermark)?;
        if let Some(copying) = copying {
            copying.engine.apply(&changes, watermark)?;
        }
        self.forget_oldest(chunk.runs());
        Ok(())
    }

    /// Begins a copying that is wanted, once everything staged before the wish is applied.
    fn begin_copying(&self) -> Option<Copying> {
        let home = self.home.as_ref()?;
        let marker = {
            let mut state = self.state();
            let Rewriting::Wanted(marker, after) = &state.rewriting else { return None };
            let applied = self.engine.load().watermark().ok().flatten();
            if after.is_some_and(|after| applied.is_none_or(|applied| applied < after)) {
                return None;
            }
            let marker = marker.clone();
            state.rewriting = Rewriting::UnderWay;
            marker
        };
        let generation = home.generations().current() + 1;
        let begun = remove_dir(&home.generations().path(generation))
            .and_then(|()| home.open_generation(generation))
            .and_then(|engine| {
                Copying::begin(&**self.engine.load_full(), engine, generation, marker)
            });
        begun.map_err(|error| self.rewritten(Err(IndexFault::from(&error)))).ok()
    }

    fn go_on_copying(&self, copying: Option<Copying>) -> Option<Copying> {
        let mut copying = copying?;
        // A statement of its own: within a match it would keep the old engine until the end.
        let stepped = copying.step(&**self.engine.load_full());
        match stepped {
            Ok(false) => Some(copying),
            Ok(true) => {
                let outcome = self.change_over(copying).map_err(|error| IndexFault::from(&error));
                self.rewritten(outcome);
                None
            }
            Err(error) => {
                self.rewritten(Err(IndexFault::from(&error)));
                None
            }
        }
    }

    /// From here on the copy is the index; the old files go when nobody reads them any more.
    fn change_over(&self, copying: Copying) -> Result<(), StoreError> {
        let Some(home) = &self.home else { return Ok(()) };
        let generations = home.generations();
        copying.finish(&**self.engine.load_full())?;
        generations.set(copying.generation)?;
        let mut old = self.engine.swap(Arc::new(copying.engine));
        for _ in 0..READERS_MS_MAX {
            match Arc::try_unwrap(old) {
                Ok(engine) => {
                    drop(engine);
                    return generations.remove_others();
                }
                Err(held) => old = held,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(old);
        generations.remove_others()
    }

    fn rewritten(&self, outcome: Result<(), IndexFault>) {
        self.state().rewriting = Rewriting::Done(outcome);
        self.changed.notify_all();
    }

    /// Waits for something to do: something staged, and then until there is more of it, somebody
    /// waits for it, or [`GATHER`] has passed. A copying under way waits for nothing. False when
    /// there is nothing left to do, ever; a copying is then left unfinished.
    fn await_work(&self, is_copying: bool) -> bool {
        let mut state = self.state();
        while self.overlay.load().is_empty() {
            if state.closing {
                return false;
            }
            if is_copying || matches!(state.rewriting, Rewriting::Wanted(..)) {
                return true;
            }
            state = self.wait(state);
        }
        let gathers = |state: &mut State| {
            let asked = state.flushing > 0 || matches!(state.rewriting, Rewriting::Wanted(..));
            !is_copying && !state.closing && !asked && !self.overlay.load().is_half_full()
        };
        drop(self.changed.wait_timeout_while(state, GATHER, gathers));
        true
    }

    fn forget_oldest(&self, runs: usize) {
        let state = self.state();
        let overlay = self.overlay.load().without_oldest(runs);
        self.overlay.store(Arc::new(overlay));
        drop(state);
        self.changed.notify_all();
    }

    fn fail(&self, fault: IndexFault) {
        tracing::error!(reason = %fault, "the index stops; what was searched for may be missing");
        self.state().failed.get_or_insert(fault);
        self.changed.notify_all();
    }
}

/// Marks the index failed if the engine panics, so that nobody waits for it.
struct NotePanic<'a>(&'a Shared);

impl Drop for NotePanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the index engine panicked".into());
        }
    }
}
