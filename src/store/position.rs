//! The position of a frame in the segments.

use std::fmt;

/// Magic, then format version and segment number, u32 little endian each.
pub(super) const SEGMENT_HEADER_BYTES: usize = 16;

/// The place of a frame, or of the end of the log: segment number (from 1) and byte offset in it.
///
/// Positions order as the log does, and so do their packed forms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub segment: u32,
    pub offset: u32,
}

impl Position {
    /// The position of the first frame of every log.
    pub const START: Self = Self::first_of(1);

    /// Returns the position of the first frame of a segment.
    pub(super) const fn first_of(segment: u32) -> Self {
        Self { segment, offset: SEGMENT_HEADER_BYTES as u32 }
    }

    /// The segment number in the high half, the offset in the low half.
    pub const fn pack(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }

    pub const fn unpack(packed: u64) -> Self {
        Self { segment: (packed >> 32) as u32, offset: packed as u32 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({}:{})", self.segment, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_the_value_and_the_order(a: (u32, u32), b: (u32, u32)) {
            let [a, b] = [a, b].map(|(segment, offset)| Position { segment, offset });
            prop_assert_eq!(Position::unpack(a.pack()), a);
            prop_assert_eq!(a.cmp(&b), a.pack().cmp(&b.pack()));
        }
    }
}
