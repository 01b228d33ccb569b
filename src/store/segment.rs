//! The segment writer: one log of typed frames in append-only files, the truth of a node.
//!
//! A batch is one write and one fdatasync; what [`Segments::append`] returned for survives
//! `kill -9` and power cuts, wholly. After any failed write nothing more is written: what the disk
//! then holds is only known by start-up. Nothing here is ever moved, rewritten or deleted, except
//! content that an erasure overwrites.

use super::batch::{BATCH_BYTES_MAX, Batch};
use super::disk::{Disk, SystemDisk, sync_dir};
use super::error::StoreError;
use super::frame::{ERASED, FrameKind, push};
use super::lock::{DirLock, FILE_MODE};
use super::overwrite::{Overwriting, ROUND_BYTES_MAX, SideFile};
use super::position::Position;
use super::reader::{SegmentReader, Shared};
use super::segment_header::segment_path;
use super::segment_header::write_header;
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment that has reached this gets no further batch. It may be longer by one batch.
pub const SEGMENT_BYTES_MAX: u32 = 256 << 20;

// Positions have 32 bits for the offset.
const _: () = assert!((SEGMENT_BYTES_MAX as u64 + BATCH_BYTES_MAX as u64) < u32::MAX as u64);

/// The options for writing segments.
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// At most [`SEGMENT_BYTES_MAX`].
    pub segment_bytes_max: u32,
    pub disk: Arc<dyn Disk>,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self { segment_bytes_max: SEGMENT_BYTES_MAX, disk: Arc::new(SystemDisk) }
    }
}

/// The positions of an appended batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// One for each frame of the batch, in order, without the commit.
    pub positions: Vec<Position>,
    pub commit: Position,
    /// The end of the log after this batch.
    pub end: Position,
}

/// The only writer of a directory.
#[derive(Debug)]
pub struct Segments {
    pub(super) dir: PathBuf,
    pub(super) options: SegmentOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) file: File,
    pub(super) end: Position,
    pub(super) side_file: SideFile,
    pub(super) poisoned: bool,
    pub(super) _lock: DirLock,
}

impl Segments {
    pub fn reader(&self) -> SegmentReader {
        SegmentReader::new(Arc::clone(&self.shared))
    }

    /// The end of the last committed batch.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Closes `batch` with `checkpoint`, makes it durable, shows it to readers and empties it.
    ///
    /// After an error that is fatal the process must stop.
    pub fn append(&mut self, batch: &mut Batch, checkpoint: &[u8]) -> Result<Appended, StoreError> {
        self.refuse_if_poisoned()?;
        if self.end.offset >= self.options.segment_bytes_max {
            self.or_poison(Self::start_segment)?;
        }
        let start = self.end;
        let at = |offset: u32| Position { offset: start.offset + offset, ..start };
        let commit = at(batch.seal(start.offset, checkpoint)?);
        self.or_poison(|this| this.write(batch.sealed(), start.offset))?;
        let end = at(batch.sealed().len() as u32);
        let positions = batch.starts().iter().map(|offset| at(*offset)).collect();
        batch.clear();
        self.end = end;
        self.shared.publish(end);
        Ok(Appended { positions, commit, end })
    }

    /// Replaces the payload of a committed content frame by one of the same length and marks it
    /// [`ERASED`]. After a crash it is either not done at all or wholly.
    pub fn overwrite_content(
        &mut self,
        position: Position,
        payload: &[u8],
    ) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        let old = self.content_at(position)?;
        if old.len() != payload.len() {
            let (expected, found) = (old.len(), payload.len());
            return Err(StoreError::OverwriteLength { position, expected, found });
        }
        let mut frame = Vec::new();
        push(&mut frame, FrameKind::Content, ERASED, &[payload])?;
        self.or_poison(|this| this.replace(&[(position, frame)]))
    }

    /// Overwrites committed content frames with zeros behind their first `kept` bytes and marks
    /// them [`ERASED`]. After a crash each is either not done at all or wholly.
    pub fn erase_content(&mut self, positions: &[Position], kept: usize) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        let (mut round, mut bytes) = (Vec::new(), 0);
        for position in positions {
            let mut payload = self.content_at(*position)?.to_vec();
            payload.iter_mut().skip(kept).for_each(|byte| *byte = 0);
            let mut frame = Vec::new();
            push(&mut frame, FrameKind::Content, ERASED, &[&payload])?;
            bytes += frame.len();
            round.push((*position, frame));
            if bytes >= ROUND_BYTES_MAX {
                self.or_poison(|this| this.replace(&round))?;
                (round, bytes) = (Vec::new(), 0);
            }
        }
        if round.is_empty() { Ok(()) } else { self.or_poison(|this| this.replace(&round)) }
    }

    fn content_at(&self, position: Position) -> Result<Bytes, StoreError> {
        let frame = self.reader().read(position)?;
        match frame.kind {
            FrameKind::Content => Ok(frame.payload),
            found => Err(StoreError::NotContent { position, found }),
        }
    }

    fn replace(&mut self, round: &[Overwriting]) -> Result<(), StoreError> {
        let disk = &*self.options.disk;
        self.side_file.intend(round, disk)?;
        let overwriting = self.shared.lock_overwriting();
        for of_segment in round.chunk_by(|(a, _), (b, _)| a.segment == b.segment) {
            let Some((first, _)) = of_segment.first() else { continue };
            let path = segment_path(&self.dir, first.segment);
            let file = open_for_writing(&path)?;
            of_segment
                .iter()
                .try_for_each(|(position, frame)| {
                    disk.write_all_at(&file, frame, position.offset.into())
                })
                .and_then(|()| disk.sync_data(&file))
                .map_err(StoreError::io("overwrite content in", &path))?;
        }
        drop(overwriting);
        self.side_file.clear(disk)
    }

    fn write(&mut self, bytes: &[u8], offset: u32) -> Result<(), StoreError> {
        let disk = &*self.options.disk;
        let path = segment_path(&self.dir, self.end.segment);
        disk.write_all_at(&self.file, bytes, offset.into())
            .map_err(StoreError::io("append to", &path))?;
        disk.sync_data(&self.file).map_err(StoreError::io("sync", &path))
    }

    fn start_segment(&mut self) -> Result<(), StoreError> {
        let number = self.end.segment + 1;
        self.file = create_segment(&self.dir, number, &*self.options.disk)?;
        self.end = Position::first_of(number);
        Ok(())
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    fn or_poison<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = act(self);
        self.poisoned |= done.is_err();
        done
    }
}

pub(super) fn open_for_writing(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new().write(true).open(path).map_err(StoreError::io("open", path))
}

pub(super) fn create_segment(dir: &Path, number: u32, disk: &dyn Disk) -> Result<File, StoreError> {
    let path = segment_path(dir, number);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(StoreError::io("create", &path))?;
    write_header(&file, &path, number, disk)?;
    sync_dir(dir).map_err(StoreError::io("sync", dir))?;
    Ok(file)
}
