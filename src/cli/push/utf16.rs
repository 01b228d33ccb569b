//! UTF-16 text as UTF-8.
//!
//! A lone surrogate stands for no character. It comes out as bytes that are not UTF-8, so that its row is
//! refused like any other that cannot be decoded, and no value loses a character unseen.

use std::io::{self, Read};

/// Bytes that are decoded at a time.
const CHUNK_BYTES: usize = 8 * 1024;

/// The order of the two bytes of a code unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// A reader of UTF-16 that gives UTF-8.
pub(super) struct Utf16<R> {
    inner: R,
    order: ByteOrder,
    /// A first surrogate whose second has not come yet.
    surrogate: Option<u16>,
    /// The first byte of a code unit whose second has not come yet.
    half: Option<u8>,
    decoded: Vec<u8>,
    taken: usize,
    is_at_end: bool,
}

impl<R: Read> Utf16<R> {
    pub(super) const fn new(inner: R, order: ByteOrder) -> Self {
        Self {
            inner,
            order,
            surrogate: None,
            half: None,
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
            for byte in &bytes[..count] {
                match self.half.take() {
                    None => self.half = Some(*byte),
                    Some(first) => self.unit(match self.order {
                        ByteOrder::Little => u16::from_le_bytes([first, *byte]),
                        ByteOrder::Big => u16::from_be_bytes([first, *byte]),
                    }),
                }
            }
            if count == 0 {
                self.is_at_end = true;
                self.end_surrogate();
                // Half a code unit; no byte of UTF-8 is 0xFF.
                self.decoded.extend(self.half.take().map(|_| 0xff));
            }
        }
        Ok(())
    }

    fn unit(&mut self, unit: u16) {
        let pair = self.surrogate.map(|first| [first, unit]);
        if let Some(Ok(character)) = pair.and_then(|pair| char::decode_utf16(pair).next()) {
            self.surrogate = None;
            self.character(character);
            return;
        }
        self.end_surrogate();
        match char::from_u32(u32::from(unit)) {
            Some(character) => self.character(character),
            None if unit < 0xdc00 => self.surrogate = Some(unit),
            None => self.lone(unit),
        }
    }

    fn end_surrogate(&mut self) {
        if let Some(first) = self.surrogate.take() {
            self.lone(first);
        }
    }

    fn character(&mut self, character: char) {
        self.decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// The three bytes that UTF-8 would have for a surrogate if it had any.
    fn lone(&mut self, unit: u16) {
        let [high, low] = unit.to_be_bytes();
        self.decoded.extend_from_slice(&[
            0xe0 | high >> 4,
            0x80 | (high & 0x0f) << 2 | low >> 6,
            0x80 | low & 0x3f,
        ]);
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

    /// Gives a few bytes at a time, so that pairs are cut.
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
