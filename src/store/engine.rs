//! The narrow contract of an index engine: five ordered tables and a watermark.
//!
//! An engine never sees the segments and is never asked to be durable on its own: losing the
//! newest changes is allowed, as long as the watermark is lost with them.

use std::fmt;
use std::str::FromStr;

use super::error::StoreError;
use super::position::Position;

/// The tables of the index; keys and values are opaque here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    Records = 0,
    Series = 1,
    Search = 2,
    /// Keys with a tag in their first byte, of many sorts; its name on disk is that of the first sort.
    Tagged = 3,
    Meta = 4,
}

impl Table {
    pub const ALL: [Self; 5] =
        [Self::Records, Self::Series, Self::Search, Self::Tagged, Self::Meta];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Series => "series",
            Self::Search => "search",
            Self::Tagged => "disclosures",
            Self::Meta => "meta",
        }
    }
}

/// One key put to a fixed value or deleted: doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub table: Table,
    pub key: Box<[u8]>,
    /// `None` deletes.
    pub value: Option<Box<[u8]>>,
}

impl Change {
    pub fn put(table: Table, key: impl Into<Box<[u8]>>, value: impl Into<Box<[u8]>>) -> Self {
        Self { table, key: key.into(), value: Some(value.into()) }
    }

    pub fn delete(table: Table, key: impl Into<Box<[u8]>>) -> Self {
        Self { table, key: key.into(), value: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// A half-open range of keys of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    pub const fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// `start` and up, but less than `end`; empty if `end` is not greater.
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        let (start, end) = (start.into(), end.into());
        let end = if end < start { start.clone() } else { end };
        Self { start, end: Some(end) }
    }

    pub fn starting_at(start: impl Into<Vec<u8>>) -> Self {
        Self { start: start.into(), end: None }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start = prefix.into();
        let mut end = start.clone();
        while end.pop_if(|byte| *byte == 0xFF).is_some() {}
        let end = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Some(end)
            }
            None => None,
        };
        Self { start, end }
    }

    /// The part of the range behind a key.
    #[must_use]
    pub fn behind(&self, key: &[u8]) -> Self {
        Self { start: [key, &[0]].concat(), end: self.end.clone() }
    }

    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The first key beyond the range; `None` if there is no upper bound.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }
}

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A key and its value, as a scan yields them.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Pairs in key order, or the error at which the scan ends.
pub type EngineScan<'a> = Box<dyn Iterator<Item = Result<KeyValue, StoreError>> + Send + 'a>;

/// The bytes that an engine occupies, as far as it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineSize {
    pub disk_bytes: u64,
    /// Caches and write buffers that the engine accounts for; allocator overhead is not in it.
    pub memory_bytes: Option<u64>,
}

/// An ordered key-value store with a watermark.
///
/// Every implementation passes the same conformance tests.
pub trait IndexEngine: Send + Sync {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The scan does not borrow the engine, but its files must stay.
    fn scan(&self, table: Table, range: &KeyRange, order: Order) -> EngineScan<'static>;

    /// Applies `changes`, sorted by table and key with no key twice, and sets the watermark.
    ///
    /// After a crash either the watermark is the new one and all changes are there, or it is an
    /// older one and any of them may be there.
    fn apply(&self, changes: &[&Change], watermark: Position) -> Result<(), StoreError>;

    /// Up to where in the segments everything is indexed; `None` if nothing is.
    fn watermark(&self) -> Result<Option<Position>, StoreError>;

    /// Deletes everything, the watermark first.
    fn clear(&self) -> Result<(), StoreError>;

    fn size(&self) -> Result<EngineSize, StoreError>;
}

/// The engine that keeps the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EngineKind {
    Sled,
    /// The default, because it stays within the node's memory; docs/PERFORMANCE.md has figures.
    #[default]
    Fjall,
    /// Keeps nothing over a restart.
    #[cfg(test)]
    Memory,
}

impl EngineKind {
    pub const ALL: [Self; 2] = [Self::Sled, Self::Fjall];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Fjall => "fjall",
            #[cfg(test)]
            Self::Memory => "memory",
        }
    }
}

/// The text names no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an index engine; the engines are fjall and sled")]
pub struct UnknownEngine(String);

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownEngine(text.to_owned()))
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Length of the stored watermark.
pub(super) const WATERMARK_BYTES: usize = 12;

/// The stored watermark: index format, u32, and packed position, u64, both little endian.
pub(super) fn encode_watermark(format: u32, position: Position) -> [u8; WATERMARK_BYTES] {
    let mut bytes = [0; WATERMARK_BYTES];
    let (head, tail) = bytes.split_at_mut(4);
    head.copy_from_slice(&format.to_le_bytes());
    tail.copy_from_slice(&position.pack().to_le_bytes());
    bytes
}

/// The inverse of [`encode_watermark`]; an error names the format that was found.
pub(super) fn decode_watermark(bytes: &[u8], format: u32) -> Result<Position, String> {
    let Some((head, tail)) = bytes.split_first_chunk::<4>() else {
        return Err(format!("a watermark of {} bytes", bytes.len()));
    };
    let found = u32::from_le_bytes(*head);
    if found != format {
        return Err(format!("index format {found}, wanted {format}"));
    }
    <[u8; 8]>::try_from(tail)
        .map(|packed| Position::unpack(u64::from_le_bytes(packed)))
        .map_err(|_| format!("a watermark of {} bytes", bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_named_by_its_text() {
        for kind in EngineKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("Sled".parse::<EngineKind>().is_err());
    }

    #[test]
    fn a_prefix_of_ff_bytes_has_no_upper_bound() {
        assert_eq!(KeyRange::prefix([0xFF, 0xFF]).end(), None);
        assert_eq!(KeyRange::prefix([1, 0xFF]).end(), Some(&[2][..]));
        assert_eq!(KeyRange::prefix([]).end(), None);
    }

    #[test]
    fn a_watermark_of_another_format_is_refused() {
        let position = Position { segment: 3, offset: 99 };
        let bytes = encode_watermark(7, position);
        assert_eq!(decode_watermark(&bytes, 7), Ok(position));
        assert!(decode_watermark(&bytes, 8).is_err());
        assert!(decode_watermark(&bytes[..11], 7).is_err());
        assert!(decode_watermark(&[], 7).is_err());
    }
}
