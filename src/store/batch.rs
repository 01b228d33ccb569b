//! Frames that become durable together.

use super::error::StoreError;
use super::frame::{Commit, FRAME_HEADER_BYTES, FrameKind, parse, push};

/// Longest batch with its commit. It bounds the writer's buffer and what start-up may drop.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// The frames of a batch in one buffer, used again and again.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    /// The start of each frame in `bytes`.
    starts: Vec<u32>,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the exact bytes of a journal entry.
    pub fn entry(&mut self, entry: &[u8]) -> Result<(), StoreError> {
        self.frame(FrameKind::Entry, &[entry])
    }

    /// Adds a record's salts and field bytes, given in parts to save the caller a copy.
    pub fn content(&mut self, parts: &[&[u8]]) -> Result<(), StoreError> {
        self.frame(FrameKind::Content, parts)
    }

    /// Adds the exact bytes of an entry of a partner's feed.
    pub fn feed(&mut self, partner: u16, entry: &[u8]) -> Result<(), StoreError> {
        self.frame(FrameKind::Feed, &[&partner.to_le_bytes(), entry])
    }

    /// Frames so far.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes on disk so far, without the commit.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The payload of a frame of this batch.
    pub fn payload(&self, frame: usize) -> Option<&[u8]> {
        let start = *self.starts.get(frame)? as usize;
        parse(self.bytes.get(start..)?).ok().map(|frame| frame.payload)
    }

    /// Forgets the frames from this one on.
    pub fn truncate(&mut self, frames: usize) {
        if let Some(end) = self.starts.get(frames) {
            self.bytes.truncate(*end as usize);
            self.starts.truncate(frames);
        }
    }

    /// Forgets the frames and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    fn frame(&mut self, kind: FrameKind, parts: &[&[u8]]) -> Result<(), StoreError> {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        let found = self.bytes.len() + FRAME_HEADER_BYTES + payload;
        if found > BATCH_BYTES_MAX {
            return Err(StoreError::BatchTooLarge { found, max: BATCH_BYTES_MAX });
        }
        let start = self.bytes.len() as u32;
        push(&mut self.bytes, kind, 0, parts)?;
        self.starts.push(start);
        Ok(())
    }

    /// Closes the batch that will lie at `start`; returns where its commit begins in
    /// [`Self::sealed`].
    pub(super) fn seal(&mut self, start: u32, checkpoint: &[u8]) -> Result<u32, StoreError> {
        let commit = self.bytes.len();
        Commit { batch_start: start, checkpoint }.push(&mut self.bytes)?;
        if self.bytes.len() > BATCH_BYTES_MAX {
            let found = self.bytes.len();
            self.bytes.truncate(commit);
            return Err(StoreError::BatchTooLarge { found, max: BATCH_BYTES_MAX });
        }
        Ok(commit as u32)
    }

    pub(super) fn sealed(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn starts(&self) -> &[u32] {
        &self.starts
    }
}
