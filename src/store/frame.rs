//! The frames of a segment: `len u32 | crc32c u32 | type u8 | flags u8 | payload`, little endian.
//!
//! `len` counts the payload; the checksum covers type, flags and payload. A checksum finds
//! accidents, not forgery.

use std::fmt;

use bytes::Bytes;

/// Longest payload of a frame. Journal entries stay under 64 KiB; a record's fields may need more.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Set on a content frame that an erasure has overwritten.
pub const ERASED: u8 = 1;

pub(super) const FRAME_HEADER_BYTES: usize = 10;

/// The kind of a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// The exact bytes of a journal entry.
    Entry = 1,
    /// Salts and field bytes of a record; the only frame that is ever overwritten.
    Content = 2,
    /// A partner's number, u16, then the exact bytes of an entry of its feed.
    Feed = 3,
    /// The checkpoint that closes a batch.
    Commit = 4,
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::Content),
            3 => Some(Self::Feed),
            4 => Some(Self::Commit),
            _ => None,
        }
    }
}

/// A frame whose checksum was right when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    /// [`ERASED`] or nothing.
    pub flags: u8,
    /// As it was appended; of a commit, the checkpoint alone.
    pub payload: Bytes,
}

impl Frame {
    pub fn is_erased(&self) -> bool {
        self.flags & ERASED != 0
    }

    /// The partner's number and the entry of its feed, if this is a feed frame.
    pub fn feed(&self) -> Option<(u16, Bytes)> {
        let (partner, _) = self.payload.split_first_chunk::<2>()?;
        (self.kind == FrameKind::Feed)
            .then(|| (u16::from_le_bytes(*partner), self.payload.slice(2..)))
    }
}

/// A checked frame that still lies in a read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawFrame<'a> {
    pub(super) kind: FrameKind,
    pub(super) flags: u8,
    pub(super) payload: &'a [u8],
}

impl RawFrame<'_> {
    pub(super) const fn len(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }

    pub(super) fn to_frame(self) -> Result<Frame, Flaw> {
        let payload = match self.kind {
            FrameKind::Commit => Commit::parse(self)?.checkpoint,
            _ => self.payload,
        };
        let payload = Bytes::copy_from_slice(payload);
        Ok(Frame { kind: self.kind, flags: self.flags, payload })
    }
}

/// The reason why bytes are not a frame, or not a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The file ends within the frame.
    Ends,
    Length(u32),
    Kind(u8),
    Checksum,
    /// The commit belongs to a batch that began elsewhere.
    Commit,
    /// The file ends after frames that no commit closes.
    Uncommitted,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends => f.write_str("the file ends within a frame"),
            Self::Length(found) => {
                write!(f, "a frame of {found} bytes, wanted at most {FRAME_PAYLOAD_BYTES_MAX}")
            }
            Self::Kind(found) => write!(f, "a frame of the unknown type {found}"),
            Self::Checksum => f.write_str("a frame with a wrong checksum"),
            Self::Commit => f.write_str("a commit that does not close the batch before it"),
            Self::Uncommitted => f.write_str("frames that no commit closes"),
        }
    }
}

/// Length of the payload and of the whole frame whose header this is.
pub(super) fn payload_len(header: &[u8; FRAME_HEADER_BYTES]) -> Result<usize, Flaw> {
    let [a, b, c, d, ..] = *header;
    let len = u32::from_le_bytes([a, b, c, d]);
    if FrameKind::from_byte(header[8]).is_none() {
        return Err(Flaw::Kind(header[8]));
    }
    usize::try_from(len).ok().filter(|len| *len <= FRAME_PAYLOAD_BYTES_MAX).ok_or(Flaw::Length(len))
}

/// The frame at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<RawFrame<'_>, Flaw> {
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(Flaw::Ends)?;
    let len = payload_len(header)?;
    let payload = rest.get(..len).ok_or(Flaw::Ends)?;
    let [.., e, f, g, h, kind, flags] = *header;
    let kind = FrameKind::from_byte(kind).ok_or(Flaw::Kind(kind))?;
    if u32::from_le_bytes([e, f, g, h]) != checksum(kind, flags, payload) {
        return Err(Flaw::Checksum);
    }
    Ok(RawFrame { kind, flags, payload })
}

fn checksum(kind: FrameKind, flags: u8, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind as u8, flags]), payload)
}

/// Appends a frame whose payload is `parts` one after another.
pub(super) fn push(
    buffer: &mut Vec<u8>,
    kind: FrameKind,
    flags: u8,
    parts: &[&[u8]],
) -> Result<(), super::error::StoreError> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let Some(len_field) = u32::try_from(len).ok().filter(|_| len <= FRAME_PAYLOAD_BYTES_MAX) else {
        return Err(super::error::StoreError::FrameTooLarge { kind, found: len });
    };
    let crc = parts
        .iter()
        .fold(crc32c::crc32c(&[kind as u8, flags]), |crc, part| crc32c::crc32c_append(crc, part));
    buffer.reserve(FRAME_HEADER_BYTES + len);
    buffer.extend_from_slice(&len_field.to_le_bytes());
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&[kind as u8, flags]);
    parts.iter().for_each(|part| buffer.extend_from_slice(part));
    Ok(())
}

/// The payload of a commit frame on disk: `start of the batch u32 | checkpoint | frame length u32`.
///
/// The start tells a torn batch's own commit from that of a later batch; the length at the end
/// lets the last commit be found from the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit<'a> {
    pub(super) batch_start: u32,
    pub(super) checkpoint: &'a [u8],
}

impl<'a> Commit<'a> {
    pub(super) fn parse(frame: RawFrame<'a>) -> Result<Self, Flaw> {
        let split = frame.payload.split_first_chunk::<4>();
        let split = split.and_then(|(start, rest)| Some((start, rest.split_last_chunk::<4>()?)));
        let Some((start, (checkpoint, len))) = split else {
            return Err(Flaw::Commit);
        };
        if frame.kind != FrameKind::Commit || u32::from_le_bytes(*len) as usize != frame.len() {
            return Err(Flaw::Commit);
        }
        Ok(Self { batch_start: u32::from_le_bytes(*start), checkpoint })
    }

    pub(super) fn push(&self, buffer: &mut Vec<u8>) -> Result<(), super::error::StoreError> {
        let len = (FRAME_HEADER_BYTES + 8 + self.checkpoint.len()) as u32;
        let parts = [&self.batch_start.to_le_bytes()[..], self.checkpoint, &len.to_le_bytes()];
        push(buffer, FrameKind::Commit, 0, &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zeros_are_no_frame() {
        assert_eq!(parse(&[0; 64]), Err(Flaw::Kind(0)));
    }

    #[test]
    fn the_largest_frame_is_taken_and_one_byte_more_is_not() {
        let mut buffer = Vec::new();
        let payload = vec![7; FRAME_PAYLOAD_BYTES_MAX];
        push(&mut buffer, FrameKind::Entry, 0, &[&payload]).unwrap();
        assert_eq!(parse(&buffer).unwrap().payload, payload);
        assert!(push(&mut buffer, FrameKind::Entry, 0, &[&payload, &[1]]).is_err());
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_and_any_flipped_bit_is_found(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
            flags: u8,
            flip: prop::sample::Index,
            bit in 0..8u8,
        ) {
            let mut buffer = Vec::new();
            let borrowed: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            push(&mut buffer, FrameKind::Feed, flags, &borrowed).unwrap();
            let frame = parse(&buffer).unwrap();
            prop_assert_eq!(frame.payload, parts.concat());
            prop_assert_eq!(frame.len(), buffer.len());
            let at = flip.index(buffer.len());
            buffer[at] ^= 1 << bit;
            prop_assert!(parse(&buffer).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(frame) = parse(&bytes) {
                let _ = frame.to_frame();
            }
        }
    }
}
