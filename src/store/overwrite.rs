//! Overwrites content frames in place so that a crash leaves either the old or the new bytes.
//!
//! The new frames go to a side file first, are made durable there, then go to their places. Start-up
//! repeats what the side file holds. The side file never holds bytes that are to be erased.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::StoreError;
use super::frame::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameKind, parse};
use super::lock::FILE_MODE;
use super::position::Position;
use super::segment_header::segment_path;

/// Packed position, u64, and CRC-32C of it, u32; the frame follows, and then the next of these.
const HEADER_BYTES: usize = 12;

/// Bytes of frames overwritten in one go; a longest frame may come on top. It bounds what start-up
/// reads of the side file.
pub(super) const ROUND_BYTES_MAX: usize = 4 << 20;

/// A frame that is to stand at a position, encoded.
pub(super) type Overwriting = (Position, Vec<u8>);

#[derive(Debug)]
pub(super) struct SideFile {
    file: File,
    path: PathBuf,
}

impl SideFile {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("overwrite.redo");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        Ok(Self { file, path })
    }

    /// Finishes an overwriting that a crash interrupted. A side file that is not whole means
    /// that the segment was not touched yet.
    pub(super) fn redo(&self, segments: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
        let bytes = self.read().map_err(StoreError::io("read", &self.path))?;
        for (position, frame) in pending(&bytes) {
            let path = segment_path(segments, position.segment);
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(StoreError::io("open", &path))?;
            disk.write_all_at(&file, frame, position.offset.into())
                .and_then(|()| disk.sync_data(&file))
                .map_err(StoreError::io("overwrite content in", &path))?;
        }
        if bytes.is_empty() { Ok(()) } else { self.clear(disk) }
    }

    /// Makes the intention durable: from here on it will happen.
    pub(super) fn intend(&self, round: &[Overwriting], disk: &dyn Disk) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for (position, frame) in round {
            let packed = position.pack().to_le_bytes();
            bytes.extend_from_slice(&packed);
            bytes.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
            bytes.extend_from_slice(frame);
        }
        disk.write_all_at(&self.file, &bytes, 0)
            .and_then(|()| disk.sync_data(&self.file))
            .map_err(StoreError::io("write", &self.path))
    }

    pub(super) fn clear(&self, disk: &dyn Disk) -> Result<(), StoreError> {
        self.file
            .set_len(0)
            .and_then(|()| disk.sync_data(&self.file))
            .map_err(StoreError::io("empty", &self.path))
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let last = HEADER_BYTES + FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX;
        let longest = 2 * ROUND_BYTES_MAX + last;
        let len = (self.file.metadata()?.len()).min(longest as u64);
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Returns the pending overwrites with their positions, as far as the side file is whole. The whole
/// frames of a round that was cut short are overwritten too.
fn pending(mut bytes: &[u8]) -> Vec<(Position, &[u8])> {
    let mut found = Vec::new();
    while let Some((overwriting, rest)) = first_pending(bytes) {
        found.push(overwriting);
        bytes = rest;
    }
    found
}

type Pending<'a> = ((Position, &'a [u8]), &'a [u8]);

fn first_pending(bytes: &[u8]) -> Option<Pending<'_>> {
    let (packed, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let frame = parse(rest).ok()?;
    let whole = crc32c::crc32c(packed) == u32::from_le_bytes(*crc)
        && frame.kind == FrameKind::Content
        && frame.len() <= rest.len();
    let (frame, rest) = rest.split_at_checked(frame.len())?;
    whole.then(|| ((Position::unpack(u64::from_le_bytes(*packed)), frame), rest))
}
