//! The index made again from the segments: what each batch of frames adds to it.
//!
//! [`super::projection`] derives the changes of an entry, as in the writer. Here its content is found, and the
//! leaves of logs are written again.

use super::JournalError;
use super::entry;
use super::log::Log;
use super::pending::{ContentFrame, Located, Pending};
use super::projection::{self, Content, Derived, Left, Projection};
use super::signing::Signing;
use super::state::{FeedNumber, State};
use super::view::View;
use crate::merkle::leaf_hash;
use crate::pb::{self, journal_entry::Event};
use crate::record::commit;
use crate::record::header::Header;
use crate::record::signed::Verified;
use crate::record::stored;
use crate::store::{Change, Frame, FrameKind, LeafRecord, Position, Segments};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// The frames of one batch.
#[derive(Default)]
struct Batch {
    frames: Vec<(Position, Frame)>,
    /// Journal size after the batch, once its commit was read.
    size: Option<u64>,
}

/// Frames on their way into the index.
pub(super) struct Replay<'a> {
    view: &'a View,
    signing: &'a Signing,
    segments: &'a mut Segments,
    pub(super) state: State,
    batch: Batch,
    /// Entries that were taken into the index again.
    pub(super) entries: u64,
    /// The first of them.
    from: Option<u64>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        view: &'a View,
        signing: &'a Signing,
        segments: &'a mut Segments,
        state: State,
    ) -> Self {
        let batch = Batch::default();
        Self { view, signing, segments, state, batch, entries: 0, from: None }
    }

    pub(super) fn frame(&mut self, position: Position, frame: Frame) -> Result<(), JournalError> {
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
    pub(super) fn finish(&mut self, end: Position) -> Result<(), JournalError> {
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
        let (mut changes, due) = step.publish()?;
        self.state.remember_count(&mut changes);
        // Before the index hears of an erasure, it is carried out.
        self.segments.erase_content(&due, stored::KEPT_BYTES)?;
        self.view.stage(changes, end)?;
        self.entries += count;
        Ok(())
    }
}

/// The frames of one batch on their way into the projection.
struct Step<'a> {
    view: &'a View,
    signing: &'a Signing,
    state: &'a mut State,
    next_index: u64,
    first_index: u64,
    /// The first entry of the whole replay.
    replayed_from: u64,
    content: Option<(Position, Bytes)>,
    journal: Vec<LeafRecord>,
    feeds: HashMap<FeedNumber, BatchFeed>,
    pending: Pending,
}

/// The leaves of a feed in a batch.
struct BatchFeed {
    first: u64,
    leaves: Vec<LeafRecord>,
}

impl BatchFeed {
    fn size(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }
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
            view,
            signing,
            state,
            next_index: first_index,
            first_index,
            content: None,
            journal: Vec::new(),
            feeds: HashMap::new(),
            pending: Pending::default(),
        }
    }

    fn take(&mut self, position: Position, frame: &Frame) -> Result<(), JournalError> {
        match frame.kind {
            FrameKind::Content => self.content = Some((position, frame.payload.clone())),
            FrameKind::Entry => self.entry(position, &frame.payload)?,
            FrameKind::Feed => {
                let Some((number, bytes)) = frame.feed() else { return Ok(()) };
                self.feed_entry(FeedNumber::new(number), position, &bytes)?;
            }
            FrameKind::Commit => {}
        }
        Ok(())
    }

    fn projection(&mut self) -> Projection<'_> {
        Projection {
            view: self.view,
            signing: self.signing,
            state: self.state,
            pending: &mut self.pending,
        }
    }

    fn entry(&mut self, position: Position, bytes: &Bytes) -> Result<(), JournalError> {
        let index = self.next_index;
        self.next_index += 1;
        let (at, event) = entry::decode(index, bytes)?;
        self.journal.push((leaf_hash(bytes), position));
        self.state.apply(index, at, &event)?;
        let content = self.content_of(index, &event)?;
        let entry = projection::Entry { index, at, event: &event, bytes };
        self.projection().entry(&entry, content)
    }

    /// Reads the content frame before an entry, if the entry brings a record.
    fn content_of(&mut self, index: u64, event: &Event) -> Result<Option<Content>, JournalError> {
        let accepted = match event {
            Event::RecordAccepted(accepted) => accepted.clone(),
            Event::SlotsReceived(received) => self.acceptance(index, &received.record_id)?,
            Event::SlotsErased(erased) => {
                self.check_before_erasure(index, &erased.record_id)?;
                self.acceptance(index, &erased.record_id)?
            }
            _ => return Ok(None),
        };
        let Some((position, payload)) = self.content.take() else { return Ok(None) };
        let broken = |reason: String| JournalError::Entry { index, reason };
        let left = if stored::overwritten(&payload).is_some() {
            let header =
                Header::decode(&accepted.header).map_err(|error| broken(error.to_string()))?;
            Left::Header(commit::record_id(&accepted.header), Box::new(header))
        } else {
            let (_, slots) = stored::read(&payload).map_err(|error| broken(error.to_string()))?;
            let signature = accepted.signature.unwrap_or_default();
            let record = Verified::from_store(accepted.header, signature, slots);
            Left::Record(Arc::new(record.map_err(|error| broken(error.to_string()))?))
        };
        let frame = ContentFrame::At(position);
        Ok(Some(Content { frame, left, derived: Derived::default() }))
    }

    /// Refuses an erasure whose search terms are in the index and can no longer be derived.
    fn check_before_erasure(&mut self, index: u64, id: &[u8]) -> Result<(), JournalError> {
        let (_, Located { place, frame, .. }) = self.projection().known(index, id)?;
        let ContentFrame::At(position) = frame else { return Ok(()) };
        let is_gone = stored::overwritten(&self.view.segments.read(position)?.payload).is_some();
        if is_gone && place.journal_index < self.replayed_from {
            let text = format!("the erasure of entry {index} was cut short");
            return Err(JournalError::Index(text));
        }
        Ok(())
    }

    /// Reads the entry that accepted a record. It may be in this very batch, where the view does not have it
    /// yet.
    fn acceptance(&mut self, index: u64, id: &[u8]) -> Result<pb::RecordAccepted, JournalError> {
        let accepted = self.projection().known(index, id)?.1.place.journal_index;
        let here = accepted.checked_sub(self.first_index).and_then(|at| usize::try_from(at).ok());
        let event = match here.and_then(|at| self.journal.get(at)) {
            Some((_, position)) => {
                entry::decode(accepted, &self.view.segments.read(*position)?.payload)?.1
            }
            None => self.view.event(accepted)?.1,
        };
        match event {
            Event::RecordAccepted(accepted) => Ok(accepted),
            _ => {
                let reason = "it does not accept a record".to_owned();
                Err(JournalError::Entry { index: accepted, reason })
            }
        }
    }

    fn feed_entry(
        &mut self,
        feed: FeedNumber,
        position: Position,
        bytes: &Bytes,
    ) -> Result<(), JournalError> {
        let published =
            self.state.partner_by_number(feed.partner()).map(|(_, partner)| partner.published.size);
        let known = self.feeds.entry(feed).or_insert_with(|| BatchFeed {
            first: published.unwrap_or_default(),
            leaves: Vec::new(),
        });
        let feed_index = known.size();
        known.leaves.push((leaf_hash(bytes), position));
        let entry = entry::decode_feed(feed_index, bytes)?;
        self.projection().feed_entry(feed, feed_index, &entry, None)
    }

    /// Puts the leaves of the batch into their logs; what is there already is written again. Returns the
    /// changes to the index, and content that an erasure of the batch has yet to overwrite.
    fn publish(mut self) -> Result<(Vec<Change>, Vec<Position>), JournalError> {
        put_leaves(&self.view.journal, self.first_index, &self.journal)?;
        for (feed, known) in &self.feeds {
            let partner = self.state.partner_by_number(feed.partner());
            if partner.is_none_or(|(_, partner)| partner.published.size != known.size()) {
                let text = "a feed grew without a published head".to_owned();
                return Err(JournalError::Index(text));
            }
            put_leaves(&*self.view.feed(*feed)?, known.first, &known.leaves)?;
        }
        let mut due = self.pending.to_overwrite(&[]);
        let mut failure = None;
        due.retain(|position| match self.view.segments.read(*position) {
            Ok(frame) => !frame.is_erased(),
            Err(error) => {
                failure.get_or_insert(error);
                false
            }
        });
        match failure {
            Some(error) => Err(error.into()),
            None => Ok((self.pending.finish(&[]), due)),
        }
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
