//! Reads committed frames, from any thread, while the writer appends.

use super::committed::Committed;
use super::damage::{Checkup, Damage, Damages};
use super::error::StoreError;
use super::frame::{FRAME_HEADER_BYTES, Flaw, Frame, RawFrame, parse, payload_len};
use super::position::Position;
use super::segment_header::segment_path;
use super::walk::Walk;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Segment files kept open; 64 of 256 MiB are 16 GiB of log.
const OPEN_FILES_MAX: usize = 64;

/// Read at first, in the hope that the whole frame is in it.
const FIRST_READ_BYTES: usize = 2 << 10;

/// Cheap to clone; sees every batch as soon as its `append` has returned.
#[derive(Debug, Clone)]
pub struct SegmentReader {
    shared: Arc<Shared>,
}

/// The state that the writer shares with its readers.
#[derive(Debug)]
pub(super) struct Shared {
    dir: PathBuf,
    /// The packed end of the last committed batch, published after its fdatasync.
    end: AtomicU64,
    /// The most recently used last.
    files: Mutex<VecDeque<(u32, Arc<File>)>>,
    /// Held while content is overwritten, when its checksum does not match for a moment.
    overwriting: Mutex<()>,
    damages: Damages,
}

impl Shared {
    pub(super) fn new(dir: PathBuf, end: Position) -> Self {
        Self {
            dir,
            end: AtomicU64::new(end.pack()),
            files: Mutex::default(),
            overwriting: Mutex::default(),
            damages: Damages::default(),
        }
    }

    pub(super) fn end(&self) -> Position {
        Position::unpack(self.end.load(Ordering::Acquire))
    }

    pub(super) fn publish(&self, end: Position) {
        self.end.store(end.pack(), Ordering::Release);
    }

    pub(super) fn lock_overwriting(&self) -> MutexGuard<'_, ()> {
        self.overwriting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self, segment: u32) -> PathBuf {
        segment_path(&self.dir, segment)
    }

    pub(super) fn file(&self, segment: u32) -> Result<Arc<File>, StoreError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = files.iter().position(|(number, _)| *number == segment)
            && let Some(hit) = files.remove(at)
        {
            let file = Arc::clone(&hit.1);
            files.push_back(hit);
            return Ok(file);
        }
        let path = self.path(segment);
        let file = Arc::new(File::open(&path).map_err(StoreError::io("open", &path))?);
        if files.len() >= OPEN_FILES_MAX {
            files.pop_front();
        }
        files.push_back((segment, Arc::clone(&file)));
        Ok(file)
    }

    pub(super) fn corrupt(position: Position, flaw: Flaw) -> StoreError {
        let Position { segment, offset } = position;
        StoreError::Corrupt { segment, offset: offset.into(), found: flaw.to_string() }
    }
}

impl SegmentReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The end of the last committed batch.
    pub fn end(&self) -> Position {
        self.shared.end()
    }

    /// The frame at a position that `append` or [`Self::scan`] gave.
    pub fn read(&self, position: Position) -> Result<Frame, StoreError> {
        let end = self.shared.end();
        if position >= end {
            return Err(StoreError::NotCommitted { position, end });
        }
        let file = self.shared.file(position.segment)?;
        match self.read_once(&file, position) {
            Ok(frame) => return Ok(frame),
            Err(ReadFault::Store(error)) => return Err(error),
            Err(ReadFault::Flaw(_)) => {}
        }
        // It may be just being overwritten: look again when that is done.
        let _settled = self.shared.lock_overwriting();
        self.read_once(&file, position).map_err(|fault| match fault {
            ReadFault::Store(error) => error,
            ReadFault::Flaw(flaw) => {
                let (end, found) = (position.offset, flaw.to_string());
                self.note_damage(Damage { start: position, end, found });
                Shared::corrupt(position, flaw)
            }
        })
    }

    /// Damaged places that were met so far.
    pub fn damages(&self) -> Vec<Damage> {
        self.shared.damages.all()
    }

    /// Looks at every committed frame, to find damage that nobody met yet.
    pub fn checkup(&self) -> Checkup {
        Checkup::new(self.clone())
    }

    pub(super) fn note_damage(&self, damage: Damage) {
        self.shared.damages.note(damage);
    }

    /// Returns the end of the frame at a position, by the length that stands there; `None` if that cannot
    /// be one.
    pub(super) fn frame_end(&self, position: Position) -> Result<Option<Position>, StoreError> {
        let file = self.shared.file(position.segment)?;
        let mut header = [0; FRAME_HEADER_BYTES];
        let found = read_up_to(&file, &mut header, position.offset.into())
            .map_err(|error| StoreError::io("read", &self.path(position.segment))(error))?;
        let end = (found == FRAME_HEADER_BYTES).then(|| payload_len(&header).ok()).flatten();
        let end =
            end.and_then(|len| position.offset.checked_add((FRAME_HEADER_BYTES + len) as u32));
        Ok(end.map(|offset| Position { offset, ..position }))
    }

    /// Returns true if a sound frame begins at a position.
    pub(super) fn peek(&self, position: Position) -> Result<bool, StoreError> {
        let file = self.shared.file(position.segment)?;
        match self.read_once(&file, position) {
            Ok(_) => Ok(true),
            Err(ReadFault::Flaw(_)) => Ok(false),
            Err(ReadFault::Store(error)) => Err(error),
        }
    }

    /// A segment file, and where what is committed of it ends.
    pub(super) fn segment(&self, number: u32) -> Result<(Arc<File>, u64), StoreError> {
        let file = self.shared.file(number)?;
        let end = self.end();
        let limit = if number == end.segment {
            end.offset.into()
        } else {
            file.metadata().map_err(StoreError::io("examine", &self.path(number)))?.len()
        };
        Ok((file, limit))
    }

    pub(super) fn path(&self, segment: u32) -> PathBuf {
        self.shared.path(segment)
    }

    fn read_once(&self, file: &File, position: Position) -> Result<Frame, ReadFault> {
        let path = || self.shared.path(position.segment);
        let mut bytes = vec![0; FIRST_READ_BYTES];
        let found = read_up_to(file, &mut bytes, position.offset.into())
            .map_err(|error| StoreError::io("read", &path())(error))?;
        bytes.truncate(found);
        let header = bytes.first_chunk::<FRAME_HEADER_BYTES>().ok_or(Flaw::Ends)?;
        let len = FRAME_HEADER_BYTES + payload_len(header)?;
        if len > found {
            bytes.resize(len, 0);
            let more =
                read_up_to(file, &mut bytes[found..], u64::from(position.offset) + found as u64)
                    .map_err(|error| StoreError::io("read", &path())(error))?;
            bytes.truncate(found + more);
        }
        Ok(parse(&bytes).and_then(RawFrame::to_frame)?)
    }

    /// The bytes of all segments up to the end as it is now.
    pub fn committed(&self) -> Committed {
        Committed::new(Arc::clone(&self.shared))
    }

    /// Every committed frame from `from` to the end as it is now, in order. `from` is the
    /// position of a frame or the end of a batch. The scan ends after an error.
    pub fn scan(&self, from: Position) -> Scan {
        let start = from.max(Position::START);
        Scan { reader: self.clone(), next: start, end: self.end(), walk: None, failed: false }
    }
}

/// The reason why no frame was read at a position.
enum ReadFault {
    /// The bytes there are not a sound frame.
    Flaw(Flaw),
    Store(StoreError),
}

impl From<Flaw> for ReadFault {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<StoreError> for ReadFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Committed frames in order, read through a buffer of a few hundred kilobytes.
pub struct Scan {
    reader: SegmentReader,
    next: Position,
    end: Position,
    walk: Option<Walk>,
    failed: bool,
}

impl Scan {
    fn step(&mut self) -> Result<Option<(Position, Frame)>, StoreError> {
        while self.next < self.end {
            let position = self.next;
            let mut walk = match self.walk.take() {
                Some(walk) => walk,
                None => self.open(position)?,
            };
            let path = || self.reader.shared.path(position.segment);
            let found = walk.next().map_err(|error| StoreError::io("read", &path())(error))?;
            let Some(found) = found else {
                self.next = Position::first_of(position.segment + 1);
                continue;
            };
            let frame = match found.and_then(RawFrame::to_frame) {
                Ok(frame) => frame,
                Err(_) => {
                    let again = self.reader.read(position)?;
                    let len = frame_len(&again);
                    walk.seek(u64::from(position.offset) + len);
                    again
                }
            };
            // Offsets of a segment fit, because a batch begins below the limit of a segment.
            self.next = Position { offset: walk.offset() as u32, ..position };
            self.walk = Some(walk);
            return Ok(Some((position, frame)));
        }
        Ok(None)
    }

    fn open(&self, position: Position) -> Result<Walk, StoreError> {
        let file = self.reader.shared.file(position.segment)?;
        let limit = if position.segment == self.end.segment {
            self.end.offset.into()
        } else {
            let path = self.reader.shared.path(position.segment);
            file.metadata().map_err(StoreError::io("examine", &path))?.len()
        };
        Ok(Walk::new(file, position.offset.into(), limit))
    }
}

/// Length on disk of a frame that was read: a commit's payload lacks its two length fields.
fn frame_len(frame: &Frame) -> u64 {
    let fields = if frame.kind == super::frame::FrameKind::Commit { 8 } else { 0 };
    (FRAME_HEADER_BYTES + fields + frame.payload.len()) as u64
}

impl Iterator for Scan {
    type Item = Result<(Position, Frame), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}
