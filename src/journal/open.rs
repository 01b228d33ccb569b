//! Start-up: recover the segments, bring what is derived from them up to date, check the roots.
//!
//! The same steps run after a clean stop, a kill and a power cut. Whatever is derived and does not
//! fit the last signed checkpoint is made again from the segments.

use super::JournalError;
use super::entry;
use super::erasure_index::{self, Erasure, ErasureNote};
use super::index::{self, Disclosure, INDEX_FORMAT, Marks, RecordPlace, SeriesHead};
use super::ledger::{self, Clock, Ledger, Recovered, Writer};
use super::log::Log;
use super::state::{self, FeedNumber, State};
use super::transaction::Signing;
use super::view::{Recent, Snapshot, View};
use crate::ident::{AgencyName, Generation, RecordId, SeriesId, Timestamp};
use crate::merkle::leaf_hash;
use crate::pb::{self, journal_entry::Event};
use crate::record::commit;
use crate::record::erasure::ErasureBasis;
use crate::record::header::Header;
use crate::record::signed::{Slot, Verified};
use crate::record::slots::SlotMask;
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
    let (mut segments, recovery) =
        Segments::open(&options.dir, options.segments.clone(), watermark)?;
    let sound = watermark.is_some_and(|watermark| watermark <= recovery.end);
    let start = StartReport { torn_bytes: recovery.torn_bytes, ..StartReport::default() };
    let checkpoint = recovery.last_commit.map(|commit| commit.checkpoint).unwrap_or_default();
    let target = Target::read(&checkpoint, &signing.agency)?;
    if let (Some(index), true) = (opened, sound) {
        match catch_up(
            options,
            signing,
            &mut segments,
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
        catch_up(options, signing, &mut segments, index, Position::START, &target)?;
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
    /// Of the log that was signed last; of a journal that has not begun, the first.
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
    let end = segments.end();
    let mut replay =
        Replay { view: &view, signing, segments, state, batch, entries: 0, from: None };
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
    segments: &'a mut Segments,
    state: State,
    batch: Batch,
    entries: u64,
    /// The first entry that is taken into the index again.
    from: Option<u64>,
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
        let from = *self.from.get_or_insert(first);
        let mut step = Step::new(self.view, self.signing, &mut self.state, first, from);
        for (position, frame) in frames {
            step.take(position, &frame)?;
        }
        let due = std::mem::take(&mut step.due);
        let mut changes = step.publish()?;
        self.state.remember_count(&mut changes);
        // Before the index hears of an erasure, it is carried out.
        self.segments.erase_content(&due, stored::KEPT_BYTES)?;
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
    /// The first entry of the whole replay.
    replayed_from: u64,
    content: Option<(Position, Bytes)>,
    /// Content that an erasure of this batch has yet to overwrite.
    due: Vec<Position>,
    superseded: Vec<(RecordId, Position)>,
    journal: Vec<LeafRecord>,
    feeds: HashMap<FeedNumber, Vec<(LeafRecord, pb::FeedEntry)>>,
    feed_sizes: HashMap<FeedNumber, u64>,
    places: HashMap<RecordId, RecordPlace>,
    series: HashMap<(SeriesId, AgencyName), SeriesHead>,
    changes: Vec<Change>,
}

impl<'a> Step<'a> {
    fn new(
        view: &'a View,
        signing: &'a Signing,
        state: &'a mut State,
        first_index: u64,
        replayed_from: u64,
    ) -> Self {
        Self {
            replayed_from,
            due: Vec::new(),
            superseded: Vec::new(),
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
                self.feeds.entry(FeedNumber::new(number)).or_default().push((leaf, entry));
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
            Event::SlotsErased(erased) => self.erased(index, at, &erased),
            Event::RecordRestricted(restricted) => {
                let on = restricted.restricted;
                self.mark(index, &restricted.record_id, |marks| marks.with_restricted(on))
            }
            Event::RecordRetracted(retracted) => {
                let on = retracted.retracted;
                self.mark(index, &retracted.record_id, |marks| marks.with_retracted(on))
            }
            Event::ReceiptReceived(receipt) => {
                if let Some(feed) = self.feed_of(&receipt.partner, &receipt.note) {
                    erasure_index::put_exceptions(feed, &receipt.exceptions, &mut self.changes);
                }
                Ok(())
            }
            Event::FeedPublished(published) => {
                if let Some(feed) = self.feed_of(&published.partner, &published.note) {
                    let size = size_of(index, &published.note)?;
                    self.feed_sizes.insert(feed, size);
                    self.changes.push(index::put_head(feed, size, index));
                }
                Ok(())
            }
            Event::FeedReceived(received) => {
                if let Some(feed) = self.feed_of(&received.partner, &received.note) {
                    let size = size_of(index, &received.note)?;
                    self.changes.push(index::put_received(feed, size, index));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The feed to or from a partner that a note is about. The state may be of a generation after it.
    fn feed_of(&self, partner: &str, note: &[u8]) -> Option<FeedNumber> {
        let partner = self.state.partners.get(&partner.parse::<AgencyName>().ok()?)?;
        Some(FeedNumber::of(partner.number, state::generation_of(note)))
    }

    /// The content before an entry; without slots if it was overwritten.
    fn content_of(&mut self, index: u64) -> Result<(Position, Option<Vec<Slot>>), JournalError> {
        let missing = || JournalError::Entry { index, reason: "its content is missing".to_owned() };
        let (position, payload) = self.content.take().ok_or_else(missing)?;
        slots_in(index, &payload).map(|slots| (position, slots))
    }

    fn accepted(&mut self, index: u64, accepted: pb::RecordAccepted) -> Result<(), JournalError> {
        let broken = |reason: String| JournalError::Entry { index, reason };
        let (content, slots) = self.content_of(index)?;
        let id = commit::record_id(&accepted.header);
        let partner = accepted
            .partner
            .parse::<AgencyName>()
            .ok()
            .and_then(|agency| self.state.partners.get(&agency))
            .map(|partner| partner.number);
        let marks = Marks::default();
        let place = RecordPlace { journal_index: index, content, partner, marks };
        self.changes.push(index::put_place(&id, place));
        self.places.insert(id, place);
        let header = Header::decode(&accepted.header).map_err(|error| broken(error.to_string()))?;
        erasure_index::put_retention(&header, &id, &mut self.changes);
        let key = (header.series, header.originator.clone());
        let before = self.head(&key)?;
        let head = match record_of(index, accepted, slots)? {
            Some(record) => {
                index::put_terms(&record, index, &mut self.changes);
                SeriesHead::after(before, &record, self.signing.fingerprint_of(&record))
            }
            None => SeriesHead::after_header(before, &header, id, None),
        };
        self.changes.push(index::put_series(key.0, &key.1, &head));
        self.series.insert(key, head);
        Ok(())
    }

    fn head(&self, key: &(SeriesId, AgencyName)) -> Result<Option<SeriesHead>, JournalError> {
        match self.series.get(key) {
            Some(head) => Ok(Some(*head)),
            None => self.view.series_head(key.0, &key.1),
        }
    }

    fn known(&self, index: u64, id: &[u8]) -> Result<(RecordId, RecordPlace), JournalError> {
        let id = entry::record_id(id)?;
        let known = match self.places.get(&id) {
            Some(place) => Some(*place),
            None => self.view.place(&id)?,
        };
        let missing = || JournalError::Entry {
            index,
            reason: format!("it speaks of record {id}, which is not there"),
        };
        Ok((id, known.ok_or_else(missing)?))
    }

    /// The entry that accepted a record. It may be in this very batch, where the view does not have
    /// it yet.
    fn acceptance(&self, journal_index: u64) -> Result<pb::RecordAccepted, JournalError> {
        let here =
            journal_index.checked_sub(self.first_index).and_then(|at| usize::try_from(at).ok());
        let event = match here.and_then(|at| self.journal.get(at)) {
            Some((_, position)) => {
                entry::decode(journal_index, &self.view.segments.read(*position)?.payload)?.1
            }
            None => self.view.event(journal_index)?.1,
        };
        match event {
            Event::RecordAccepted(accepted) => Ok(accepted),
            _ => Err(JournalError::Entry {
                index: journal_index,
                reason: "it accepts no record".to_owned(),
            }),
        }
    }

    fn extended(&mut self, index: u64, received: &pb::SlotsReceived) -> Result<(), JournalError> {
        let (content, slots) = self.content_of(index)?;
        let (id, known) = self.known(index, &received.record_id)?;
        let place = RecordPlace { content, ..known };
        self.changes.push(index::put_place(&id, place));
        self.changes.push(erasure_index::put_superseded(&id, known.content));
        self.superseded.push((id, known.content));
        self.places.insert(id, place);
        let accepted = self.acceptance(known.journal_index)?;
        if let Some(record) = record_of(index, accepted, slots)? {
            index::put_terms(&record, known.journal_index, &mut self.changes);
        }
        Ok(())
    }

    /// An erasure whose bytes may still be there: then they are due now.
    fn erased(
        &mut self,
        index: u64,
        at: Timestamp,
        erased: &pb::SlotsErased,
    ) -> Result<(), JournalError> {
        let broken = |reason: String| JournalError::Entry { index, reason };
        let (content, slots) = self.content_of(index)?;
        let (id, known) = self.known(index, &erased.record_id)?;
        let mut superseded = self.view.superseded(&id)?;
        superseded.extend(self.superseded.extract_if(.., |(of, _)| *of == id).map(|(_, at)| at));
        superseded.push(known.content);
        for old in &superseded {
            if !self.view.segments.read(*old)?.is_erased() {
                self.due.push(*old);
            }
        }
        let accepted = self.acceptance(known.journal_index)?;
        let header = Header::decode(&accepted.header).map_err(|error| broken(error.to_string()))?;
        let old = slots_in(index, &self.view.segments.read(known.content)?.payload)?;
        if old.is_none() && known.journal_index < self.replayed_from {
            // What it was found by is in the index and can no longer be told.
            let text = format!("the erasure of entry {index} was cut short");
            return Err(JournalError::Index(text));
        }
        let before = record_of(index, accepted.clone(), old)?;
        let after = record_of(index, accepted, slots)?;
        let basis = ErasureBasis::from_number(erased.basis)
            .ok_or_else(|| broken(format!("legal ground {} is unknown", erased.basis)))?;
        let key = (header.series, header.originator.clone());
        let note = ErasureNote { slots: SlotMask::from_bits(erased.slots), basis, at };
        let erasure = Erasure {
            id: &id,
            header: &header,
            accepted: known.journal_index,
            entry: index,
            note,
            barred: self.barred(&key)?,
            before: before.as_ref(),
            after: after.as_ref(),
            superseded: &superseded,
        };
        if let Some(head) = erasure.put(self.head(&key)?, &mut self.changes) {
            self.series.insert(key, head);
        }
        let place = erasure_index::place_after(known, content);
        self.changes.push(index::put_place(&id, place));
        self.places.insert(id, place);
        Ok(())
    }

    fn barred(
        &self,
        (series, originator): &(SeriesId, AgencyName),
    ) -> Result<SlotMask, JournalError> {
        let key = erasure_index::barred_key(*series, originator);
        let of_batch = self.changes.iter().rev().find(|change| *change.key == *key);
        match of_batch.and_then(|change| change.value.as_deref()) {
            Some(value) => erasure_index::barred_slots(value),
            None => self.view.barred_slots(*series, originator),
        }
    }

    fn mark(
        &mut self,
        index: u64,
        id: &[u8],
        change: impl FnOnce(Marks) -> Marks,
    ) -> Result<(), JournalError> {
        let (id, known) = self.known(index, id)?;
        let place = RecordPlace { marks: change(known.marks), ..known };
        self.changes.push(index::put_place(&id, place));
        self.places.insert(id, place);
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
                if entry.action() == pb::FeedAction::Erase {
                    let slots = SlotMask::from_bits(entry.open_slots);
                    self.changes.push(erasure_index::put_duty(&id, number, feed_index, slots));
                }
            }
            let leaves: Vec<LeafRecord> = entries.iter().map(|(leaf, _)| *leaf).collect();
            put_leaves(&*self.view.feed(number)?, first, &leaves)?;
        }
        Ok(self.changes)
    }
}

/// The slots in content; none if it was overwritten.
fn slots_in(index: u64, payload: &Bytes) -> Result<Option<Vec<Slot>>, JournalError> {
    if stored::overwritten(payload).is_some() {
        return Ok(None);
    }
    let (_, slots) = stored::read(payload)
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
    Ok(Some(slots))
}

fn size_of(index: u64, note: &[u8]) -> Result<u64, JournalError> {
    state::note_size(note).map_err(|reason| JournalError::Entry { index, reason })
}

fn record_of(
    index: u64,
    accepted: pb::RecordAccepted,
    slots: Option<Vec<Slot>>,
) -> Result<Option<Verified>, JournalError> {
    let Some(slots) = slots else { return Ok(None) };
    Verified::from_store(accepted.header, accepted.signature.unwrap_or_default(), slots)
        .map(Some)
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })
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
