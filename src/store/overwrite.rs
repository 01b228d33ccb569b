//! Overwrites a content frame in place so that a crash leaves either the old or the new bytes.
//!
//! The new frame goes to a side file first, is made durable there, then goes to its place. Start-up
//! repeats what the side file holds. The side file never holds bytes that are to be erased.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::StoreError;
use super::frame::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameKind, parse};
use super::position::Position;
use super::reader::segment_path;

/// Packed position, u64, and CRC-32C of it, u32; the frame follows.
const HEADER_BYTES: usize = 12;

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
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        Ok(Self { file, path })
    }

    /// Finishes an overwriting that a crash interrupted. A side file that is not whole means
    /// that the segment was not touched yet.
    pub(super) fn redo(&self, segments: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
        let bytes = self.read().map_err(StoreError::io("read", &self.path))?;
        if let Some((position, frame)) = pending(&bytes) {
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
    pub(super) fn intend(
        &self,
        position: Position,
        frame: &[u8],
        disk: &dyn Disk,
    ) -> Result<(), StoreError> {
        let packed = position.pack().to_le_bytes();
        let crc = crc32c::crc32c(&packed).to_le_bytes();
        let bytes = [&packed[..], &crc, frame].concat();
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
        let longest = HEADER_BYTES + FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX;
        let len = (self.file.metadata()?.len()).min(longest as u64);
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// What a whole side file says: where which frame goes.
fn pending(bytes: &[u8]) -> Option<(Position, &[u8])> {
    let (packed, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let frame = parse(rest).ok()?;
    let whole = crc32c::crc32c(packed) == u32::from_le_bytes(*crc)
        && frame.kind == FrameKind::Content
        && frame.len() == rest.len();
    whole.then(|| (Position::unpack(u64::from_le_bytes(*packed)), rest))
}
