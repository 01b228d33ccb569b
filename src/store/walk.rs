//! Reads the frames of one segment file in order through a bounded buffer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::frame::{FRAME_HEADER_BYTES, Flaw, RawFrame, parse, payload_len};

/// Bytes asked for at once. The buffer holds this and at most one frame more.
const READ_BYTES: usize = 256 << 10;

pub(super) struct Walk {
    file: Arc<File>,
    buffer: Vec<u8>,
    /// The start of the next frame in `buffer`.
    at: usize,
    /// The start of the next frame in the file.
    offset: u64,
    /// The position in the file at which to stop.
    limit: u64,
}

impl Walk {
    pub(super) fn new(file: Arc<File>, offset: u64, limit: u64) -> Self {
        Self { file, buffer: Vec::new(), at: 0, offset, limit }
    }

    /// Returns the start of the next frame in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame, `None` at the limit. After a flaw the walk stays where it is.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<RawFrame<'_>, Flaw>>> {
        if self.offset >= self.limit {
            return Ok(None);
        }
        if !self.fill(FRAME_HEADER_BYTES)? {
            return Ok(Some(Err(Flaw::Ends)));
        }
        let header = self.buffer[self.at..].first_chunk::<FRAME_HEADER_BYTES>();
        let len = match header.ok_or(Flaw::Ends).and_then(payload_len) {
            Ok(len) => FRAME_HEADER_BYTES + len,
            Err(flaw) => return Ok(Some(Err(flaw))),
        };
        if !self.fill(len)? {
            return Ok(Some(Err(Flaw::Ends)));
        }
        let start = self.at;
        let frame = parse(&self.buffer[start..start + len]);
        if frame.is_ok() {
            self.at += len;
            self.offset += len as u64;
        }
        Ok(Some(frame))
    }

    /// Goes to a frame elsewhere in the file.
    pub(super) fn seek(&mut self, offset: u64) {
        self.buffer.clear();
        self.at = 0;
        self.offset = offset;
    }

    /// Has `wanted` bytes of the next frame in the buffer; false if the limit comes first.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at >= wanted {
            return Ok(true);
        }
        if self.limit - self.offset < wanted as u64 {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        let left = (self.limit - self.offset) - have as u64;
        let more = left.min(READ_BYTES.max(wanted - have) as u64);
        self.buffer.resize(have + more as usize, 0);
        self.file.read_exact_at(&mut self.buffer[have..], self.offset + have as u64)?;
        Ok(true)
    }
}
