//! Reads the frames of a segment, batch by batch, without any of the code that wrote them.
//!
//! A frame is `payload length u32 | CRC-32C u32 | kind u8 | flags u8 | payload`, little endian; the
//! checksum covers kind, flags and payload. A batch ends with a commit, whose payload is `offset of
//! the batch u32 | checkpoint | length of this frame u32`. Nothing is repaired and nothing skipped.

use super::failure::{Check, Fault};
use bytes::{Bytes, BytesMut};
use std::io::{self, Read};

/// `LIAISON\0`, format version 1 and the number of the segment, u32 each.
const SEGMENT_HEADER_BYTES: usize = 16;
/// Longest payload of a frame that a node writes.
const FRAME_PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Longest batch that a node writes; it bounds what is held at once.
const BATCH_BYTES_MAX: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"LIAISON\0";
const VERSION: u32 = 1;
const FRAME_HEADER_BYTES: usize = 10;
/// A commit holds one note, which has at most 64 KiB.
const COMMIT_BYTES_MAX: usize = FRAME_HEADER_BYTES + 8 + (64 << 10);
const READ_BYTES: usize = 1 << 20;
/// The smallest unit that a disk writes wholly or not at all.
const SECTOR_BYTES: usize = 512;
/// Frames that are examined together: enough to be worth handing over, few enough to stay small.
const CHUNK_FRAMES: usize = 256;

/// The kind of a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Entry,
    Content,
    Feed,
    Commit,
}

impl FrameKind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::Content),
            3 => Some(Self::Feed),
            4 => Some(Self::Commit),
            _ => None,
        }
    }
}

/// A frame whose checksum is right, as offsets into the bytes of its batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) kind: FrameKind,
    pub(super) flags: u8,
    pub(super) start: u32,
    payload_start: u32,
    end: u32,
}

/// Whole frames of one batch, to be examined together.
#[derive(Debug)]
pub struct Chunk {
    pub(super) segment: u32,
    /// The position of the batch in the file.
    pub(super) base: u64,
    pub(super) bytes: Bytes,
    pub(super) spans: Vec<Span>,
}

impl Chunk {
    /// The payload of one of the spans; of a commit, the checkpoint alone.
    pub(super) fn payload(&self, span: Span) -> Bytes {
        let fields = if span.kind == FrameKind::Commit { 4 } else { 0 };
        self.bytes.slice(span.payload_start as usize + fields..span.end as usize - fields)
    }
}

/// Frames that a commit closes.
#[derive(Debug)]
pub(super) struct RawBatch {
    segment: u32,
    start: u64,
    bytes: Bytes,
    spans: Vec<Span>,
}

impl RawBatch {
    /// The batch in pieces. Content is never parted from the entry after it.
    pub(super) fn chunks(self) -> impl Iterator<Item = Chunk> {
        let Self { segment, start, bytes, spans } = self;
        let mut rest = spans;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let mut cut = rest.len().min(CHUNK_FRAMES);
            while cut < rest.len() && rest[cut - 1].kind == FrameKind::Content {
                cut += 1;
            }
            let after = rest.split_off(cut);
            let spans = std::mem::replace(&mut rest, after);
            Some(Chunk { segment, base: start, bytes: bytes.clone(), spans })
        })
    }
}

/// The next item in a segment.
pub(super) enum Next {
    Batch(RawBatch),
    End,
    Broken(Broken),
}

/// The position at which the batches of a segment stop, with the fault.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) offset: u64,
    pub(super) fault: Fault,
}

/// The state of the bytes behind the last whole batch.
pub(super) enum Tail {
    /// A batch whose writing was interrupted: acknowledged to nobody.
    Torn { start: u64, bytes: u64 },
    /// Something that was acknowledged.
    Damaged,
}

/// The state of a segment's beginning.
pub(super) enum Opened<R> {
    Segment(BatchReader<R>),
    /// A crash while the segment was being started.
    Unstarted {
        bytes: u64,
    },
    Broken(Fault),
}

/// Reads one segment.
pub(super) struct BatchReader<R> {
    number: u32,
    source: R,
    /// Bytes of the file from `offset` on.
    buffer: BytesMut,
    /// The position of the present batch in the file.
    offset: u64,
    at_end: bool,
}

/// The frame that begins at a place of the buffer.
enum Framed {
    Span(Span),
    Broken(Fault),
}

impl<R: Read> BatchReader<R> {
    /// Checks the header. Only the last segment can be one that was not started yet.
    pub(super) fn open(number: u32, source: R, is_last: bool) -> io::Result<Opened<R>> {
        let mut reader = Self { number, source, buffer: BytesMut::new(), offset: 0, at_end: false };
        let whole = reader.fill(SEGMENT_HEADER_BYTES)?;
        let mut wanted = MAGIC.to_vec();
        wanted.extend_from_slice(&VERSION.to_le_bytes());
        wanted.extend_from_slice(&number.to_le_bytes());
        if whole && reader.buffer[..SEGMENT_HEADER_BYTES] == wanted[..] {
            let _header = reader.buffer.split_to(SEGMENT_HEADER_BYTES);
            reader.offset = SEGMENT_HEADER_BYTES as u64;
            return Ok(Opened::Segment(reader));
        }
        if is_last && !reader.fill(SEGMENT_HEADER_BYTES + 1)? {
            return Ok(Opened::Unstarted { bytes: reader.buffer.len() as u64 });
        }
        let found = &reader.buffer[..reader.buffer.len().min(SEGMENT_HEADER_BYTES)];
        Ok(Opened::Broken(Fault::new(Check::SegmentHeader, hex(&wanted), hex(found))))
    }

    pub(super) fn next(&mut self) -> io::Result<Next> {
        let mut spans = Vec::new();
        let mut at = 0;
        let start = self.offset;
        let broken = |at: usize, expected: &str, found: String| {
            let fault = Fault::new(Check::Frame, expected, found);
            Next::Broken(Broken { offset: start + at as u64, fault })
        };
        loop {
            if !self.fill(at + 1)? {
                return Ok(if spans.is_empty() {
                    Next::End
                } else {
                    broken(0, "a commit that closes the batch", "the end of the file".to_owned())
                });
            }
            if at > BATCH_BYTES_MAX {
                let expected = format!("a batch of at most {BATCH_BYTES_MAX} bytes");
                return Ok(broken(0, &expected, "a longer one".to_owned()));
            }
            let span = match self.frame(at)? {
                Framed::Span(span) => span,
                Framed::Broken(fault) => {
                    return Ok(Next::Broken(Broken { offset: start + at as u64, fault }));
                }
            };
            at = span.end as usize;
            spans.push(span);
            if span.kind != FrameKind::Commit {
                continue;
            }
            let frame = &self.buffer[span.start as usize..at];
            if commit_start(frame).map(u64::from) != Some(start) {
                let found = "a commit of another batch".to_owned();
                return Ok(broken(span.start as usize, "the commit of this batch", found));
            }
            self.offset += at as u64;
            let bytes = self.buffer.split_to(at).freeze();
            return Ok(Next::Batch(RawBatch { segment: self.number, start, bytes, spans }));
        }
    }

    /// The frame at `at` in the buffer.
    fn frame(&mut self, at: usize) -> io::Result<Framed> {
        let fault = |expected: &str, found: String| {
            Ok(Framed::Broken(Fault::new(Check::Frame, expected, found)))
        };
        if !self.fill(at + FRAME_HEADER_BYTES)? {
            return fault("a whole frame", "the end of the file".to_owned());
        }
        let (len, kind) = {
            let header = &self.buffer[at..at + FRAME_HEADER_BYTES];
            (u32_at(header, 0) as usize, header[8])
        };
        if FrameKind::of(kind).is_none() {
            return fault("a frame of type 1 to 4", format!("type {kind}"));
        }
        if len > FRAME_PAYLOAD_BYTES_MAX {
            let expected = format!("a frame of at most {FRAME_PAYLOAD_BYTES_MAX} bytes");
            return fault(&expected, format!("{len} bytes"));
        }
        let end = at + FRAME_HEADER_BYTES + len;
        if !self.fill(end)? {
            return fault("a whole frame", "the end of the file".to_owned());
        }
        Ok(match parse(&self.buffer[at..end]) {
            Ok((kind, flags)) => Framed::Span(Span {
                kind,
                flags,
                // A batch is far below 4 GiB, see BATCH_BYTES_MAX.
                start: at as u32,
                payload_start: (at + FRAME_HEADER_BYTES) as u32,
                end: end as u32,
            }),
            Err(fault) => Framed::Broken(fault),
        })
    }

    /// Judges what stands behind the last whole batch of the last segment. A batch is one write, so
    /// only the last can be torn, and then its own commit is missing or a sector before it was never
    /// written. Anything else was acknowledged once.
    ///
    /// Known hole: damage to the very last commit looks like a torn write; only somebody who holds
    /// that checkpoint can tell.
    pub(super) fn judge_tail(mut self, flaw_at: u64) -> io::Result<Tail> {
        let start = self.offset;
        let mut own_commit = None;
        let mut unwritten_end = None;
        let mut drop_front = (flaw_at - start) as usize;
        loop {
            let _searched = self.buffer.split_to(drop_front.min(self.buffer.len()));
            self.offset += drop_front as u64;
            self.fill(READ_BYTES + COMMIT_BYTES_MAX)?;
            let window = self.buffer.len().min(READ_BYTES);
            for at in 0..window {
                let Some(batch_start) = commit_at(&self.buffer[at..]) else { continue };
                let here = self.offset + at as u64;
                if u64::from(batch_start) > start && u64::from(batch_start) <= here {
                    return Ok(Tail::Damaged);
                }
                if u64::from(batch_start) == start {
                    own_commit = own_commit.or(Some(here));
                }
            }
            unwritten_end = unwritten_end.or_else(|| self.unwritten_sector(window));
            if window < READ_BYTES {
                let bytes = self.offset + self.buffer.len() as u64 - start;
                let torn = own_commit.is_none_or(|at| unwritten_end.is_some_and(|end| end <= at));
                return Ok(if torn { Tail::Torn { start, bytes } } else { Tail::Damaged });
            }
            drop_front = window;
        }
    }

    /// The end of the first sector of zeros that begins in the first `window` bytes of the buffer.
    fn unwritten_sector(&self, window: usize) -> Option<u64> {
        let first = (self.offset.next_multiple_of(SECTOR_BYTES as u64) - self.offset) as usize;
        (first..window)
            .step_by(SECTOR_BYTES)
            .find(|at| {
                self.buffer
                    .get(*at..*at + SECTOR_BYTES)
                    .is_some_and(|sector| sector.iter().all(|byte| *byte == 0))
            })
            .map(|at| self.offset + (at + SECTOR_BYTES) as u64)
    }

    /// Has `wanted` bytes in the buffer; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffer.len() < wanted && !self.at_end {
            let have = self.buffer.len();
            self.buffer.resize(have + READ_BYTES.max(wanted - have), 0);
            let read = self.source.read(&mut self.buffer[have..]);
            self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => self.at_end = true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.len() >= wanted)
    }
}

/// Checks the checksum of a whole frame.
fn parse(frame: &[u8]) -> Result<(FrameKind, u8), Fault> {
    let expected = u32_at(frame, 4);
    let found = crc32c::crc32c(&frame[8..]);
    match FrameKind::of(frame[8]) {
        Some(kind) if expected == found => Ok((kind, frame[9])),
        _ => Err(Fault::new(
            Check::Frame,
            format!("checksum {expected:08x}"),
            format!("{found:08x}"),
        )),
    }
}

/// Returns the position of the batch that this commit frame closes; `None` if its own length is
/// wrong.
fn commit_start(frame: &[u8]) -> Option<u32> {
    let payload = frame.get(FRAME_HEADER_BYTES..)?;
    let is_sound = payload.len() >= 8
        && frame[9] == 0
        && u32_at(payload, payload.len() - 4) as usize == frame.len();
    is_sound.then(|| u32_at(payload, 0))
}

/// The start that a commit at the start of `bytes` names, if there is one.
fn commit_at(bytes: &[u8]) -> Option<u32> {
    if *bytes.get(8)? != 4 || bytes.len() < FRAME_HEADER_BYTES {
        return None;
    }
    let len = u32_at(bytes, 0) as usize;
    if len > COMMIT_BYTES_MAX {
        return None;
    }
    let frame = bytes.get(..FRAME_HEADER_BYTES + len)?;
    parse(frame).ok()?;
    commit_start(frame)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let body = [&[kind, 0][..], payload].concat();
        let len = (payload.len() as u32).to_le_bytes();
        [&len[..], &crc32c::crc32c(&body).to_le_bytes(), &body].concat()
    }

    fn commit(start: u32) -> Vec<u8> {
        let len = (FRAME_HEADER_BYTES + 8 + 4) as u32;
        frame(4, &[&start.to_le_bytes()[..], b"note", &len.to_le_bytes()].concat())
    }

    fn segment(number: u32) -> Vec<u8> {
        [&MAGIC[..], &VERSION.to_le_bytes(), &number.to_le_bytes()].concat()
    }

    fn reader(bytes: &[u8]) -> BatchReader<&[u8]> {
        match BatchReader::open(1, bytes, true).unwrap() {
            Opened::Segment(reader) => reader,
            Opened::Unstarted { .. } | Opened::Broken(_) => panic!("no segment"),
        }
    }

    /// Returns the number of frames before the tail, and true if the tail is torn.
    fn tail(bytes: &[u8]) -> (usize, Option<bool>) {
        let mut reader = reader(bytes);
        let mut frames = 0;
        loop {
            match reader.next().unwrap() {
                Next::Batch(batch) => frames += batch.spans.len(),
                Next::End => return (frames, None),
                Next::Broken(found) => {
                    let tail = reader.judge_tail(found.offset).unwrap();
                    return (frames, Some(matches!(tail, Tail::Torn { .. })));
                }
            }
        }
    }

    #[test]
    fn content_is_never_parted_from_its_entry() {
        let mut bytes = segment(1);
        (0..CHUNK_FRAMES).for_each(|_| bytes.extend(frame(1, b"entry")));
        bytes.splice(16.., [frame(1, b"first"), bytes[16..].to_vec()].concat());
        let cut_at = 16 + (CHUNK_FRAMES - 1) * 15;
        bytes.splice(cut_at..cut_at, frame(2, b"content"));
        bytes.extend(commit(16));
        let Next::Batch(batch) = reader(&bytes).next().unwrap() else { panic!("no batch") };
        let kinds: Vec<_> = batch.chunks().map(|c| c.spans[c.spans.len() - 1].kind).collect();
        assert_eq!(kinds, [FrameKind::Entry, FrameKind::Commit]);
    }

    #[test]
    fn a_flaw_before_a_commit_is_damage_unless_a_sector_was_never_written() {
        let first = [frame(1, &[1; 40]), commit(16)].concat();
        let start = 16 + first.len() as u32;
        let second = [frame(1, &[2; 2_000]), commit(start)].concat();
        let whole = [segment(1), first.clone(), second.clone()].concat();
        assert_eq!(tail(&whole), (4, None));
        let mut rotten = whole.clone();
        rotten[start as usize + 700] ^= 1;
        assert_eq!(tail(&rotten), (2, Some(false)));
        let mut torn = whole.clone();
        torn[1024..1536].fill(0);
        assert_eq!(tail(&torn), (2, Some(true)));
        let mut early = whole.clone();
        early[20] ^= 1;
        assert_eq!(tail(&early), (0, Some(false)));
        for len in start as usize + 1..whole.len() {
            assert_eq!(tail(&whole[..len]), (2, Some(true)), "{len}");
        }
    }

    #[test]
    fn a_frame_or_header_longer_than_any_is_refused_without_reading_it() {
        let mut bytes = segment(1);
        bytes.extend_from_slice(&u32::MAX.to_le_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 1, 0]);
        let Next::Broken(found) = reader(&bytes).next().unwrap() else { panic!("taken") };
        assert_eq!((found.offset, found.fault.check), (16, Check::Frame));
    }

    #[test]
    fn only_the_last_segment_may_lack_its_header() {
        let open = |bytes: &'static [u8], is_last| BatchReader::open(1, bytes, is_last).unwrap();
        assert!(matches!(open(b"LIAI", true), Opened::Unstarted { bytes: 4 }));
        assert!(matches!(open(b"LIAI", false), Opened::Broken(_)));
        assert!(matches!(open(&[0; 17], true), Opened::Broken(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            noise in prop::collection::vec(any::<u8>(), 0..300), kind in 0..6_u8,
        ) {
            tail(&[segment(1), noise.clone()].concat());
            tail(&[segment(1), frame(kind, &noise), commit(16), noise].concat());
        }
    }
}
