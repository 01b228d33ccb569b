//! Damage within what was acknowledged: a note of each place, and the look for it behind the writer.
//!
//! A start trusts what the index covers, so that it reads little; damage there is found later, by a read
//! that meets it or by a [`Checkup`]. It is named and read around, never repaired and never cut off.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::commit_search::commit_end_behind;
use super::error::StoreError;
use super::frame::FRAME_HEADER_BYTES;
use super::position::Position;
use super::reader::{Scan, SegmentReader};

/// Places that are noted: more than this is a disk that is gone, and its names are enough.
pub const DAMAGES_MAX: usize = 64;

/// Bytes that one step of a checkup reads, or one frame more.
const STEP_BYTES: u64 = 1 << 20;

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub start: Position,
    /// The offset of the next sound frame in the same segment; that of `start` while nobody looked.
    pub end: u32,
    pub found: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.start, self.found)
    }
}

/// The places that are known, in order.
#[derive(Debug, Default)]
pub(super) struct Damages(Mutex<BTreeMap<Position, Damage>>);

impl Damages {
    pub(super) fn note(&self, damage: Damage) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = known.len() >= DAMAGES_MAX;
        match known.get_mut(&damage.start) {
            Some(before) => before.end = before.end.max(damage.end),
            None if is_full => {}
            None => {
                tracing::error!(%damage, "stored bytes are damaged; bring back the newest copy");
                known.insert(damage.start, damage);
            }
        }
    }

    pub(super) fn all(&self) -> Vec<Damage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// A look at every committed frame, in steps, that goes on behind what is damaged.
pub struct Checkup {
    reader: SegmentReader,
    scan: Scan,
}

impl Checkup {
    pub(super) fn new(reader: SegmentReader) -> Self {
        let scan = reader.scan(Position::START);
        Self { reader, scan }
    }

    /// Reads on; true at the end. Only the errors of the disk are errors.
    pub fn step(&mut self) -> Result<bool, StoreError> {
        let mut bytes = 0;
        while bytes < STEP_BYTES {
            match self.scan.next() {
                None => return Ok(true),
                Some(Ok((_, frame))) => bytes += (FRAME_HEADER_BYTES + frame.payload.len()) as u64,
                Some(Err(StoreError::Corrupt { segment, offset, found })) => {
                    // Offsets of frames fit, because a batch begins below the limit of a segment.
                    let start = Position { segment, offset: offset as u32 };
                    let next = self.sound_behind(start)?;
                    let end = if next.segment == segment { next.offset } else { u32::MAX };
                    self.reader.note_damage(Damage { start, end, found });
                    self.scan = self.reader.scan(next);
                    bytes += STEP_BYTES / 2;
                }
                Some(Err(other)) => return Err(other),
            }
        }
        Ok(false)
    }

    /// Returns the next place that can be read: behind the damaged one if its length is sound, otherwise behind
    /// the next commit, otherwise in the next segment.
    fn sound_behind(&self, start: Position) -> Result<Position, StoreError> {
        let end = self.reader.end();
        if let Some(next) = self.reader.frame_end(start)?
            && next < end
            && self.reader.peek(next)?
        {
            return Ok(next);
        }
        let (file, limit) = self.reader.segment(start.segment)?;
        let path = self.reader.path(start.segment);
        let found = commit_end_behind(&file, start.offset.into(), limit)
            .map_err(StoreError::io("read", &path))?;
        Ok(match found.and_then(|offset| u32::try_from(offset).ok()) {
            Some(offset) => Position { offset, ..start },
            None => Position::first_of(start.segment + 1),
        })
    }
}

/// Damages the frame at a position within its payload; the second time, the frame is as it was.
#[cfg(test)]
pub(crate) fn flip_byte_of_frame(store: &std::path::Path, at: Position) {
    use std::os::unix::fs::FileExt as _;
    let path = super::segment_header::segment_path(&store.join("segments"), at.segment);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let offset = u64::from(at.offset) + FRAME_HEADER_BYTES as u64;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x80], offset).unwrap();
}
