//! UTF-16 text as UTF-8.
//!
//! A lone surrogate stands for no character. It comes out as a byte that is not UTF-8, so that its row is
//! refused like any other that cannot be decoded, and no value loses a character unseen.

use std::io::{self, Read};
use std::ops::Range;

/// Bytes that are decoded at a time.
const CHUNK_BYTES: usize = 8 * 1024;
/// Code units that are the first half of a character.
const FIRST_SURROGATES: Range<u16> = 0xd800..0xdc00;
/// A byte that UTF-8 never has.
const NOT_UTF_8: u8 = 0xff;

/// The order of the two bytes of a code unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    const fn unit(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }
}

/// A reader of UTF-16 that gives UTF-8.
pub(super) struct Utf16<R> {
    inner: R,
    order: ByteOrder,
    /// The beginning of a character whose end has not come yet: three bytes at the most.
    undecoded: Vec<u8>,
    decoded: Vec<u8>,
    taken: usize,
    is_at_end: bool,
}

impl<R: Read> Utf16<R> {
    pub(super) const fn new(inner: R, order: ByteOrder) -> Self {
        Self {
            inner,
            order,
            undecoded: Vec::new(),
            decoded: Vec::new(),
            taken: 0,
            is_at_end: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.decoded.clear();
        self.taken = 0;
        let mut bytes = [0; CHUNK_BYTES];
        while self.decoded.is_empty() && !self.is_at_end {
            let count = match self.inner.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                found => found?,
            };
            self.is_at_end = count == 0;
            self.undecoded.extend_from_slice(&bytes[..count]);
            self.decode();
        }
        Ok(())
    }

    fn decode(&mut self) {
        let (pairs, _) = self.undecoded.as_chunks();
        let mut units: Vec<u16> = pairs.iter().map(|pair| self.order.unit(*pair)).collect();
        if !self.is_at_end {
            units.pop_if(|unit| FIRST_SURROGATES.contains(unit));
        }
        self.undecoded.drain(..2 * units.len());
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    self.decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Err(_) => self.decoded.push(NOT_UTF_8),
            }
        }
        if self.is_at_end {
            self.decoded.extend(self.undecoded.drain(..).map(|_| NOT_UTF_8));
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.decoded.len() {
            self.fill()?;
        }
        let count = out.len().min(self.decoded.len() - self.taken);
        out[..count].copy_from_slice(&self.decoded[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A reader that returns a few bytes at a time, so that pairs are cut.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(out.len()).min(self.0.len());
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn decoded(units: &[u16], order: ByteOrder, step: usize) -> Vec<u8> {
        let bytes: Vec<u8> = units
            .iter()
            .flat_map(|unit| match order {
                ByteOrder::Little => unit.to_le_bytes(),
                ByteOrder::Big => unit.to_be_bytes(),
            })
            .collect();
        let mut out = Vec::new();
        Utf16::new(Slowly(&bytes, step), order).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn a_lone_surrogate_or_half_a_unit_is_not_utf_8_and_its_neighbours_are_kept() {
        let (a, b) = (u16::from(b'a'), u16::from(b'b'));
        for units in [&[a, 0xd800, b][..], &[a, 0xdc00, b], &[a, 0xd800, 0xd800, 0xdc00, b]] {
            let found = decoded(units, ByteOrder::Little, 1);
            assert!(std::str::from_utf8(&found).is_err(), "{units:x?}");
            assert!(found.starts_with(b"a") && found.ends_with(b"b"), "{units:x?}");
        }
        assert!(std::str::from_utf8(&decoded(&[a, 0xd800], ByteOrder::Big, 3)).is_err());
        let mut out = Vec::new();
        Utf16::new(&b"a\0b"[..], ByteOrder::Little).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"a\xff");
    }

    proptest! {
        #[test]
        fn every_text_comes_out_as_it_was(text: String, step in 1_usize..9) {
            let units: Vec<u16> = text.encode_utf16().collect();
            for order in [ByteOrder::Little, ByteOrder::Big] {
                prop_assert_eq!(&decoded(&units, order, step), text.as_bytes());
            }
        }
    }
}
