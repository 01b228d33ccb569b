//! Start-up: recover the segments, bring what is derived from them up to date, check the roots.
//!
//! The same steps run after a clean stop, a kill and a power cut. Whatever is derived and does not
//! fit the last signed checkpoint is made again from the segments; what is derived and ahead of them
//! shows a loss ([`Loss`]), and the journal does not open. Nothing is changed before that is known.

use super::JournalError;
use super::index::INDEX_FORMAT;
use super::log::Log;
use super::loss::{JOURNAL_LEAVES, Loss, remove_leaves};
use super::references::ReferenceFilter;
use super::replay::Replay;
use super::state::State;
use super::transaction::{Signing, Transaction};
use super::view::{Recent, Snapshot, View};
#[cfg(test)]
use super::writer::CallerWriter;
use super::writer::{self, Clock, JournalWriter, Recovered, WriterThread};
use crate::ident::{AgencyName, Generation, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::store::{
    Damage, DirLock, EngineKind, Examined, Extent, Index, IndexOptions, KeyRange, OpenOutcome,
    Order, Position, SegmentOptions, Segments, StoreError, Table, check_writable,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

/// The place of the journal and its index engine.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    pub dir: PathBuf,
    pub engine: EngineKind,
    pub segments: SegmentOptions,
}

impl JournalOptions {
    pub fn new(dir: &Path, engine: EngineKind) -> Self {
        Self { dir: dir.to_owned(), engine, segments: SegmentOptions::default() }
    }

    fn index(&self) -> IndexOptions {
        IndexOptions { dir: self.dir.join("index"), engine: self.engine, format: INDEX_FORMAT }
    }
}

/// The work of a start-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartReport {
    /// Bytes of a torn batch that were cut off; nothing in it was acknowledged.
    pub torn_bytes: u64,
    /// Entries that were taken into the index again.
    pub replayed_entries: u64,
    /// Everything derived was made again from the segments.
    pub rebuilt: bool,
}

/// Opens a journal that has begun, and starts its writer.
pub fn open(
    options: &JournalOptions,
    signing: Signing,
    clock: Clock,
) -> Result<(JournalWriter, WriterThread, StartReport), JournalError> {
    let signing = Arc::new(signing);
    let (recovered, report) = recovered(options, &signing)?;
    let (journal, writer) = writer::start(recovered, signing, clock)?;
    Ok((journal, writer, report))
}

/// Opens a journal that has begun, to be written on the thread of the caller.
#[cfg(test)]
pub fn open_here(
    options: &JournalOptions,
    signing: Signing,
    clock: Clock,
) -> Result<(CallerWriter, StartReport), JournalError> {
    let signing = Arc::new(signing);
    let (recovered, report) = recovered(options, &signing)?;
    Ok((CallerWriter::new(recovered, signing, clock), report))
}

fn recovered(
    options: &JournalOptions,
    signing: &Arc<Signing>,
) -> Result<(Recovered, StartReport), JournalError> {
    let store = Unopened::examine(options, signing, Reading::BehindIndex)?;
    if let Some(loss) = store.loss()? {
        loss.keep(&options.dir)?;
        return Err(JournalError::Lost(loss));
    }
    Loss::forget(&options.dir)?;
    store.recover(false)
}

/// Begins a journal in a directory without one. `first` writes its genesis and what belongs to that.
pub fn begin(
    options: &JournalOptions,
    signing: Signing,
    clock: Clock,
    first: impl FnOnce(&mut Transaction<'_>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let signing = Arc::new(signing);
    let mut segments = Segments::begin(&options.dir, options.segments.clone())?;
    let index = Index::rebuild(&options.index())?;
    let target = Target::read(&Bytes::new(), &signing.agency)?;
    let (state, view, _) =
        catch_up(options, &signing, &mut segments, index, Position::START, &target)?;
    writer::write_first(Recovered { segments, state, view }, signing, clock, first)
}

/// Opens a journal even if it lost entries, for a succession of its logs: nothing may be signed under
/// the keys of before. The loss stays in its file until [`Loss::forget`].
pub fn open_after_loss(
    options: &JournalOptions,
    signing: Signing,
    clock: Clock,
) -> Result<(JournalWriter, WriterThread, Option<Loss>), JournalError> {
    let signing = Arc::new(signing);
    let (recovered, loss) = recovered_after_loss(options, &signing)?;
    let (journal, writer) = writer::start(recovered, signing, clock)?;
    Ok((journal, writer, loss))
}

/// Does the same for a journal that is written on the thread of the caller.
#[cfg(test)]
pub fn open_here_after_loss(
    options: &JournalOptions,
    signing: Signing,
    clock: Clock,
) -> Result<(CallerWriter, Option<Loss>), JournalError> {
    let signing = Arc::new(signing);
    let (recovered, loss) = recovered_after_loss(options, &signing)?;
    Ok((CallerWriter::new(recovered, signing, clock), loss))
}

fn recovered_after_loss(
    options: &JournalOptions,
    signing: &Arc<Signing>,
) -> Result<(Recovered, Option<Loss>), JournalError> {
    // What keeps an index from being made is given up; a node that can start gives up nothing.
    let store = match Unopened::examine(options, signing, Reading::BehindIndex) {
        Ok(store) if store.has_sound_index() && store.loss()?.is_none() => store,
        Ok(store) => {
            // It holds the lock.
            drop(store);
            Unopened::examine(options, signing, Reading::UpToDamage)?
        }
        Err(JournalError::Gap(_)) => Unopened::examine(options, signing, Reading::UpToDamage)?,
        Err(error) => return Err(error),
    };
    let loss = store.loss()?;
    if let Some(loss) = &loss {
        loss.keep(&options.dir)?;
    }
    let (recovered, _) = store.recover(loss.is_some())?;
    Ok((recovered, loss))
}

/// Makes everything derived again from the segments.
pub fn reindex(options: &JournalOptions, signing: Signing) -> Result<StartReport, JournalError> {
    let signing = Arc::new(signing);
    let store = Unopened::examine(options, &signing, Reading::BehindIndex)?;
    if let Some(loss) = store.loss()? {
        return Err(JournalError::Lost(loss));
    }
    let (recovered, report) = store.recover(true)?;
    recovered.view.index().flush()?;
    Ok(report)
}

/// The part of the segments that a start reads before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Entries that the index does not cover. It cannot be made over a damaged place.
    BehindIndex,
    /// Everything up to the first damaged place, because the rest is given up.
    UpToDamage,
}

/// A locked store, of which nothing was changed yet.
struct Unopened<'a> {
    options: &'a JournalOptions,
    signing: &'a Arc<Signing>,
    index: Option<Index>,
    watermark: Option<Position>,
    examined: Examined,
    target: Target,
}

impl<'a> Unopened<'a> {
    fn examine(
        options: &'a JournalOptions,
        signing: &'a Arc<Signing>,
        reading: Reading,
    ) -> Result<Self, JournalError> {
        let dir = &options.dir;
        if !dir.is_dir() {
            return Err(StoreError::NoSegments { dir: dir.join("segments") }.into());
        }
        // Before the index is opened: opening it removes what is left of older generations.
        let lock = DirLock::acquire(dir)?;
        // A node that cannot write would show old answers and take nothing.
        let batch = dir.join("batch");
        check_writable(&batch).map_err(StoreError::io("write", &batch))?;
        let index = open_index(options)?;
        let watermark = match &index {
            Some(index) => index.watermark()?,
            None => None,
        };
        let extent = match reading {
            Reading::BehindIndex => Extent::Behind(watermark),
            Reading::UpToDamage => Extent::UpToDamage,
        };
        let examined = Segments::examine(lock, dir, options.segments.clone(), extent);
        let examined = examined.map_err(gap)?;
        let commit = examined.recovery().last_commit.as_ref();
        let checkpoint = commit.map(|commit| commit.checkpoint.clone()).unwrap_or_default();
        let target = Target::read(&checkpoint, &signing.agency)?;
        Ok(Self { options, signing, index, watermark, examined, target })
    }

    /// Entries that were acknowledged and are gone. A journal holds at least its genesis.
    fn loss(&self) -> Result<Option<Loss>, JournalError> {
        let (dir, end) = (&self.options.dir, self.examined.recovery().end);
        let left = self.target.size;
        let found = Loss::find(dir, end, left, self.index.as_ref())?;
        let found = found.or_else(|| {
            let damage = self.examined.recovery().given_up.as_ref()?;
            let witness = format!("damage at {}", damage.start);
            Some(Loss { recorded: left + 1, left, witness })
        });
        let genesis = || Loss { recorded: 1, left, witness: "the first segment".to_owned() };
        Ok(found.or_else(|| (left == 0).then(genesis)))
    }

    /// Returns whether the index goes no further than the segments, so that only what is behind it is read.
    fn has_sound_index(&self) -> bool {
        self.watermark.is_some_and(|watermark| watermark <= self.examined.recovery().end)
    }

    fn recover(self, rebuild: bool) -> Result<(Recovered, StartReport), JournalError> {
        let is_sound = self.has_sound_index();
        let Self { options, signing, index, watermark, examined, target } = self;
        let recovery = examined.recovery().clone();
        let start = StartReport { torn_bytes: recovery.torn_bytes, ..StartReport::default() };
        let mut segments = examined.repair()?;
        let is_kept = index.is_some() && is_sound && rebuild;
        if let Some(index) = index.filter(|_| is_sound && !rebuild) {
            let from = watermark.unwrap_or(Position::START);
            match catch_up(options, signing, &mut segments, index, from, &target) {
                Ok((state, view, replayed_entries)) => {
                    let report = StartReport { replayed_entries, ..start };
                    return Ok((Recovered { segments, state, view }, report));
                }
                Err(error) => {
                    tracing::warn!(%error, "the index does not fit the segments and is made again");
                }
            }
        }
        // Damage that stands before the position to which the index goes was not looked for yet. An
        // index that cannot be made again is kept.
        if let Some(damaged) = segments.reader().scan(Position::START).find_map(Result::err) {
            return Err(if is_kept { damaged.into() } else { gap(damaged) });
        }
        remove_leaves(&options.dir)?;
        let index = Index::rebuild(&options.index())?;
        let (state, view, replayed_entries) =
            catch_up(options, signing, &mut segments, index, Position::START, &target)?;
        let rebuilt = recovery.end != Position::START && replayed_entries > 0;
        let report = StartReport { replayed_entries, rebuilt, ..start };
        Ok((Recovered { segments, state, view }, report))
    }
}

/// Damage where the index has to be made from what is damaged.
fn gap(error: StoreError) -> JournalError {
    match error {
        StoreError::Corrupt { segment, offset, found } => {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            let start = Position { segment, offset };
            JournalError::Gap(Damage { start, end: offset, found })
        }
        other => other.into(),
    }
}

fn open_index(options: &JournalOptions) -> Result<Option<Index>, JournalError> {
    match Index::open(&options.index(), Position::unpack(u64::MAX))? {
        OpenOutcome::Ready(index) => Ok(Some(index)),
        OpenOutcome::NeedsRebuild(reason) => {
            tracing::warn!(%reason, "the index is made again from the segments");
            Ok(None)
        }
    }
}

/// The last signed checkpoint: what the log must come to.
struct Target {
    /// The generation of the log that was signed last; of a journal that has not begun, the first.
    generation: Generation,
    size: u64,
    root: String,
    note: Bytes,
}

impl Target {
    fn read(note: &Bytes, agency: &AgencyName) -> Result<Self, JournalError> {
        if note.is_empty() {
            let root = crate::merkle::EMPTY_ROOT.to_string();
            let generation = Generation::FIRST;
            return Ok(Self { generation, size: 0, root, note: Bytes::new() });
        }
        let unreadable = |reason: String| JournalError::Entry { index: 0, reason };
        let parsed =
            crate::merkle::Note::parse(note).map_err(|error| unreadable(error.to_string()))?;
        let checkpoint = crate::merkle::Checkpoint::parse(parsed.text())
            .map_err(|error| unreadable(error.to_string()))?;
        let found = checkpoint.origin().to_string();
        let own = Generation::of_journal(&found).filter(|(of, _)| of == agency);
        let Some((_, generation)) = own else {
            let wanted = Generation::FIRST.journal_origin(agency);
            return Err(JournalError::ForeignLog { found, wanted });
        };
        Ok(Self {
            generation,
            size: checkpoint.size().get(),
            root: checkpoint.root().to_string(),
            note: note.clone(),
        })
    }
}

fn catch_up(
    options: &JournalOptions,
    signing: &Arc<Signing>,
    segments: &mut Segments,
    index: Index,
    from: Position,
    target: &Target,
) -> Result<(State, Arc<View>, u64), JournalError> {
    let state = State::recall(index.scan(Table::Meta, &KeyRange::all(), Order::Ascending))?;
    let view = View {
        dir: options.dir.clone(),
        segments: segments.reader(),
        index,
        references: ReferenceFilter::default(),
        journal: Log::open(&options.dir.join(JOURNAL_LEAVES))?,
        feeds: RwLock::default(),
        snapshot: ArcSwap::from_pointee(Snapshot {
            state: Arc::new(State::default()),
            size: 0,
            note: Bytes::new(),
        }),
        recent: Mutex::new(Recent::default()),
        erasing: Mutex::default(),
    };
    let end = segments.end();
    let mut replay = Replay::new(&view, signing, segments, state);
    for item in view.segments.scan(from) {
        let (position, frame) = item?;
        replay.frame(position, frame)?;
    }
    replay.finish(end)?;
    let (mut state, entries) = (replay.state, replay.entries);
    check_roots(&view, &state, target)?;
    if state.generation() != target.generation {
        let [found, wanted] = [target.generation, state.generation()]
            .map(|generation| generation.journal_origin(&signing.agency));
        return Err(JournalError::ForeignLog { found, wanted });
    }
    if target.size > 0 {
        let (at, _) = view.event(target.size - 1)?;
        state.last_at = Some(at);
    }
    view.snapshot.store(Arc::new(Snapshot {
        state: Arc::new(state.clone()),
        size: target.size,
        note: target.note.clone(),
    }));
    Ok((state, Arc::new(view), entries))
}

fn check_roots(view: &View, state: &State, target: &Target) -> Result<(), JournalError> {
    if view.journal.size() > target.size {
        view.journal.truncate(target.size)?;
    }
    let wrong = |size, found: String, wanted: &str| JournalError::Root {
        size,
        found,
        wanted: wanted.to_owned(),
    };
    let head = view.journal.head();
    if head.size.get() != target.size || head.root.to_string() != target.root {
        return Err(wrong(head.size.get(), head.root.to_string(), &target.root));
    }
    for partner in state.partners.values().filter(|partner| !partner.published.note.is_empty()) {
        let feed = view.feed(partner.feed)?;
        if feed.size() > partner.published.size {
            feed.truncate(partner.published.size)?;
        }
        let parsed = crate::merkle::Note::parse(&partner.published.note)
            .ok()
            .and_then(|note| crate::merkle::Checkpoint::parse(note.text()).ok());
        let head = feed.head();
        if parsed.as_ref().is_none_or(|checkpoint| checkpoint.head() != head) {
            let wanted = parsed.map_or_else(String::new, |c| c.root().to_string());
            return Err(wrong(head.size.get(), head.root.to_string(), &wanted));
        }
    }
    Ok(())
}

/// The first entry of a new journal.
pub fn genesis(agency: &AgencyName) -> Event {
    Event::Genesis(pb::Genesis { agency: agency.to_string(), format: 1 })
}

/// The time of the machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let elapsed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(elapsed.as_millis())
            .ok()
            .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
            .unwrap_or(Timestamp::MIN)
    })
}
