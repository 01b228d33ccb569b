//! Start-up: recover the segments, bring what is derived from them up to date, check the roots.
//!
//! The same steps run after a clean stop, a kill and a power cut. Whatever is derived and does not
//! fit the last signed checkpoint is made again from the segments.

use super::JournalError;
use super::entry;
use super::index::{self, Disclosure, INDEX_FORMAT, RecordPlace, SeriesHead};
use super::ledger::{self, Clock, Ledger, Recovered, Writer};
use super::log::Log;
use super::state::{PartnerNumber, State};
use super::transaction::Signing;
use super::view::{Recent, Snapshot, View};
use crate::ident::{AgencyName, RecordId, SeriesId, Timestamp};
use crate::merkle::leaf_hash;
use crate::pb::{self, journal_entry::Event};
use crate::record::signed::Verified;
use crate::record::stored;
use crate::store::{
    Change, EngineKind, Frame, FrameKind, Index, IndexOptions, KeyRange, LeafRecord, OpenOutcome,
    Order, Position, SegmentOptions, Segments, Table,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

/// Where the journal lies and how it is indexed.
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

/// What start-up did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartReport {
    /// Bytes of a torn batch that were cut off; nothing in it was acknowledged.
    pub torn_bytes: u64,
    /// Entries that were taken into the index again.
    pub replayed_entries: u64,
    /// Everything derived was made again from the segments.
    pub rebuilt: bool,
}

/// Opens the journal and starts its writer. A new directory gets its first entry.
pub fn open(
    options: &JournalOptions,
    signing: Signing,
    clock: Clock,
) -> Result<(Ledger, Writer, StartReport), JournalError> {
    let signing = Arc::new(signing);
    let (recovered, report) = recover(options, &signing, false)?;
    let (ledger, writer) = ledger::start(recovered, signing, clock)?;
    Ok((ledger, writer, report))
}

/// Makes everything derived again from the segments.
pub fn reindex(options: &JournalOptions, signing: Signing) -> Result<StartReport, JournalError> {
    let (recovered, report) = recover(options, &Arc::new(signing), true)?;
    recovered.view.index().flush()?;
    Ok(report)
}

fn recover(
    options: &JournalOptions,
    signing: &Arc<Signing>,
    rebuild: bool,
) -> Result<(Recovered, StartReport), JournalError> {
    std::fs::create_dir_all(&options.dir)
        .map_err(crate::store::StoreError::io("create", &options.dir))?;
    // The index says how far the log was sound; the segments hold the lock, so they come second
    // and nothing is deleted before they are open.
    let opened = if rebuild { None } else { open_index(options)? };
    let watermark = match &opened {
        Some(index) => index.watermark()?,
        None => None,
    };
    let (segments, recovery) = Segments::open(&options.dir, options.segments.clone(), watermark)?;
    let sound = watermark.is_some_and(|watermark| watermark <= recovery.end);
    let start = StartReport { torn_bytes: recovery.torn_bytes, ..StartReport::default() };
    let checkpoint = recovery.last_commit.map(|commit| commit.checkpoint).unwrap_or_default();
    let target = Target::read(&checkpoint, &signing.agency)?;
    if let (Some(index), true) = (opened, sound) {
        match catch_up(
            options,
            signing,
            &segments,
            index,
            watermark.unwrap_or(Position::START),
            &target,
        ) {
            Ok((state, view, replayed_entries)) => {
                let report = StartReport { replayed_entries, ..start };
                return Ok((Recovered { segments, state, view }, report));
            }
            Err(error) => {
                tracing::warn!(%error, "the index does not fit the segments and is made again");
            }
        }
    }
    remove_leaves(&options.dir)?;
    let index = Index::rebuild(&options.index())?;
    let (state, view, replayed_entries) =
        catch_up(options, signing, &segments, index, Position::START, &target)?;
    let rebuilt = recovery.end != Position::START && replayed_entries > 0;
    Ok((Recovered { segments, state, view }, StartReport { replayed_entries, rebuilt, ..start }))
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

fn remove_leaves(dir: &Path) -> Result<(), JournalError> {
    let failed = crate::store::StoreError::io("read", dir);
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "leaves") {
            std::fs::remove_file(&path).map_err(crate::store::StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The last signed checkpoint: what the log must come to.
struct Target {
    size: u64,
    root: String,
    note: Bytes,
}

impl Target {
    fn read(note: &Bytes, agency: &AgencyName) -> Result<Self, JournalError> {
        if note.is_empty() {
            let root = crate::merkle::EMPTY_ROOT.to_string();
            return Ok(Self { size: 0, root, note: Bytes::new() });
        }
        let unreadable = |reason: String| JournalError::Entry { index: 0, reason };
        let parsed =
            crate::merkle::Note::parse(note).map_err(|error| unreadable(error.to_string()))?;
        let checkpoint = crate::merkle::Checkpoint::parse(parsed.text())
            .map_err(|error| unreadable(error.to_string()))?;
        let (found, wanted) = (checkpoint.origin().to_string(), entry::journal_origin(agency));
        if found != wanted {
            return Err(JournalError::ForeignLog { found, wanted });
        }
        Ok(Self {
            size: checkpoint.size().get(),
            root: checkpoint.root().to_string(),
            note: note.clone(),
        })
    }
}

fn catch_up(
    options: &JournalOptions,
    signing: &Arc<Signing>,
    segments: &Segments,
    index: Index,
    from: Position,
    target: &Target,
) -> Result<(State, Arc<View>, u64), JournalError> {
    let state = State::recall(index.scan(Table::Meta, &KeyRange::all(), Order::Ascending))?;
    let view = View {
        dir: options.dir.clone(),
        segments: segments.reader(),
        index,
        journal: Log::open(&options.dir.join("journal.leaves"))?,
        feeds: RwLock::default(),
        snapshot: ArcSwap::from_pointee(Snapshot {
            state: Arc::new(State::default()),
            size: 0,
            note: Bytes::new(),
        }),
        recent: Mutex::new(Recent::default()),
    };
    let batch = Batch::default();
    let mut replay = Replay { view: &view, signing, state, batch, entries: 0 };
    for item in view.segments.scan(from) {
        let (position, frame) = item?;
        replay.frame(position, frame)?;
    }
    replay.finish(segments.end())?;
    let (mut state, entries) = (replay.state, replay.entries);
    check_roots(&view, &state, target)?;
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
        let feed = view.feed(partner.number)?;
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

/// The frames of one batch.
#[derive(Default)]
struct Batch {
    frames: Vec<(Position, Frame)>,
    /// Journal size after the batch, once its commit was read.
    size: Option<u64>,
}

struct Replay<'a> {
    view: &'a View,
    signing: &'a Signing,
    state: State,
    batch: Batch,
    entries: u64,
}

impl Replay<'_> {
    fn frame(&mut self, position: Position, frame: Frame) -> Result<(), JournalError> {
        if self.batch.size.is_some() {
            self.finish(position)?;
        }
        if frame.kind == FrameKind::Commit {
            let size = std::str::from_utf8(&frame.payload)
                .ok()
                .and_then(|note| note.lines().nth(1)?.parse().ok())
                .ok_or_else(|| JournalError::Index(format!("no checkpoint at {position}")))?;
            self.batch.size = Some(size);
        } else {
            self.batch.frames.push((position, frame));
        }
        Ok(())
    }

    /// Takes a whole batch into account; the next one begins at `end`.
    fn finish(&mut self, end: Position) -> Result<(), JournalError> {
        let Batch { frames, size } = std::mem::take(&mut self.batch);
        let Some(size) = size else { return Ok(()) };
        let count = frames.iter().filter(|(_, f)| f.kind == FrameKind::Entry).count() as u64;
        let first = size.checked_sub(count).ok_or_else(|| {
            JournalError::Index(format!("{count} entries under a checkpoint of size {size}"))
        })?;
        let mut step = Step::new(self.view, self.signing, &mut self.state, first);
        for (position, frame) in frames {
            step.take(position, &frame)?;
        }
        let mut changes = step.publish()?;
        self.state.remember_count(&mut changes);
        self.view.index.stage(changes, end)?;
        self.entries += count;
        Ok(())
    }
}

/// The index changes of one batch, derived from its frames.
struct Step<'a> {
    view: &'a View,
    signing: &'a Signing,
    state: &'a mut State,
    next_index: u64,
    first_index: u64,
    content: Option<(Position, Bytes)>,
    journal: Vec<LeafRecord>,
    feeds: HashMap<PartnerNumber, Vec<(LeafRecord, pb::FeedEntry)>>,
    feed_sizes: HashMap<PartnerNumber, u64>,
    places: HashMap<RecordId, RecordPlace>,
    series: HashMap<(SeriesId, AgencyName), SeriesHead>,
    changes: Vec<Change>,
}

impl<'a> Step<'a> {
    fn new(view: &'a View, signing: &'a Signing, state: &'a mut State, first_index: u64) -> Self {
        Self {
            view,
            signing,
            state,
            next_index: first_index,
            first_index,
            content: None,
            journal: Vec::new(),
            feeds: HashMap::new(),
            feed_sizes: HashMap::new(),
            places: HashMap::new(),
            series: HashMap::new(),
            changes: Vec::new(),
        }
    }

    fn take(&mut self, position: Position, frame: &Frame) -> Result<(), JournalError> {
        match frame.kind {
            FrameKind::Content => self.content = Some((position, frame.payload.clone())),
            FrameKind::Entry => self.entry(position, &frame.payload)?,
            FrameKind::Feed => {
                let Some((number, bytes)) = frame.feed() else { return Ok(()) };
                let entry = entry::decode_feed(0, &bytes)?;
                let leaf = (leaf_hash(&bytes), position);
                self.feeds.entry(PartnerNumber::new(number)).or_default().push((leaf, entry));
            }
            FrameKind::Commit => {}
        }
        Ok(())
    }

    fn entry(&mut self, position: Position, bytes: &Bytes) -> Result<(), JournalError> {
        let index = self.next_index;
        self.next_index += 1;
        let (at, event) = entry::decode(index, bytes)?;
        self.journal.push((leaf_hash(bytes), position));
        self.state.apply(index, at, &event)?;
        self.state.remember(index, &event, bytes, &mut self.changes);
        match event {
            Event::RecordAccepted(accepted) => self.accepted(index, accepted),
            Event::SlotsReceived(received) => self.extended(index, &received),
            Event::FeedPublished(published) => {
                let agency = published.partner.parse::<AgencyName>().ok();
                if let Some(partner) = agency.and_then(|name| self.state.partners.get(&name)) {
                    let (number, size) = (partner.number, partner.published.size);
                    self.feed_sizes.insert(number, size);
                    self.changes.push(index::put_head(number, size, index));
                }
                Ok(())
            }
            Event::FeedReceived(received) => {
                let agency = received.partner.parse::<AgencyName>().ok();
                if let Some(partner) = agency.and_then(|name| self.state.partners.get(&name)) {
                    let size = partner.received.frontier.size().get();
                    self.changes.push(index::put_received(partner.number, size, index));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn content_of(
        &mut self,
        index: u64,
    ) -> Result<(Position, Vec<crate::record::signed::Slot>), JournalError> {
        let missing = || JournalError::Entry { index, reason: "its content is missing".to_owned() };
        let (position, payload) = self.content.take().ok_or_else(missing)?;
        let (_, slots) = stored::read(&payload)
            .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
        Ok((position, slots))
    }

    fn accepted(&mut self, index: u64, accepted: pb::RecordAccepted) -> Result<(), JournalError> {
        let (content, slots) = self.content_of(index)?;
        let signature = accepted.signature.unwrap_or_default();
        let record = Verified::from_store(accepted.header, signature, slots)
            .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
        let partner = accepted
            .partner
            .parse::<AgencyName>()
            .ok()
            .and_then(|agency| self.state.partners.get(&agency))
            .map(|partner| partner.number);
        let place = RecordPlace { journal_index: index, content, partner };
        self.changes.push(index::put_place(&record.id(), place));
        self.places.insert(record.id(), place);
        let header = record.header();
        let key = (header.series, header.originator.clone());
        let before = match self.series.get(&key) {
            Some(head) => Some(*head),
            None => self.view.series_head(key.0, &key.1)?,
        };
        let head = SeriesHead::after(before, &record, self.signing.fingerprint_of(&record));
        self.changes.push(index::put_series(key.0, &key.1, &head));
        self.series.insert(key, head);
        index::put_terms(&record, index, &mut self.changes);
        Ok(())
    }

    fn extended(&mut self, index: u64, received: &pb::SlotsReceived) -> Result<(), JournalError> {
        let (content, slots) = self.content_of(index)?;
        let id = entry::record_id(&received.record_id)?;
        let known = match self.places.get(&id) {
            Some(place) => Some(*place),
            None => self.view.place(&id)?,
        };
        let known = known.ok_or_else(|| JournalError::Entry {
            index,
            reason: format!("it extends record {id}, which is not there"),
        })?;
        let place = RecordPlace { content, ..known };
        self.changes.push(index::put_place(&id, place));
        self.places.insert(id, place);
        // The record may be in this very batch, where it cannot be read back yet; then its header
        // is among the frames and its terms were put when it was accepted.
        if known.journal_index < self.first_index
            && let (_, Event::RecordAccepted(accepted)) = self.view.event(known.journal_index)?
        {
            let signature = accepted.signature.unwrap_or_default();
            let record = Verified::from_store(accepted.header, signature, slots)
                .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
            index::put_terms(&record, known.journal_index, &mut self.changes);
        }
        Ok(())
    }

    /// Puts the leaves of the batch into their logs; what is there already is written again.
    fn publish(mut self) -> Result<Vec<Change>, JournalError> {
        put_leaves(&self.view.journal, self.first_index, &self.journal)?;
        for (number, entries) in std::mem::take(&mut self.feeds) {
            let size = self.feed_sizes.get(&number).copied().unwrap_or_default();
            let first = size.checked_sub(entries.len() as u64).ok_or_else(|| {
                JournalError::Index("a feed grew without a published head".to_owned())
            })?;
            let mut disclosures: HashMap<RecordId, Disclosure> = HashMap::new();
            for (feed_index, (_, entry)) in (first..).zip(&entries) {
                let id = entry::record_id(&entry.record_id)?;
                let before = match disclosures.get(&id) {
                    Some(disclosure) => Some(*disclosure),
                    None => self.view.disclosure(number, &id)?,
                };
                let disclosure = Disclosure::after(before, feed_index, entry);
                disclosures.insert(id, disclosure);
                self.changes.push(index::put_disclosure(number, &id, disclosure));
            }
            let leaves: Vec<LeafRecord> = entries.iter().map(|(leaf, _)| *leaf).collect();
            put_leaves(&*self.view.feed(number)?, first, &leaves)?;
        }
        Ok(self.changes)
    }
}

fn put_leaves(log: &Log, first: u64, leaves: &[LeafRecord]) -> Result<(), JournalError> {
    let size = log.size();
    if size < first {
        return Err(JournalError::Index(format!("a leaf file ends at {size}, before {first}")));
    }
    if size > first {
        log.truncate(first)?;
    }
    log.append(leaves)
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
