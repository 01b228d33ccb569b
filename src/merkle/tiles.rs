//! The tiled form of a log (C2SP tlog-tiles): which resources a tree of some size has, their paths
//! and their bytes.
//!
//! A [`Tile`] only names a resource and says how wide it is; reading and writing it is the caller's.
//! Nothing taken from a tile is true before the root that follows from it was compared with that of
//! a checkpoint. Tiles that no tree up to [`TREE_SIZE_MAX`] can have are not tiles here, so numbers
//! never overflow and a path has one reading.

use std::fmt;
use std::iter;
use std::ops::Range;
use std::str::FromStr;

use super::hash::{TREE_SIZE_MAX, root_of};
use super::prove::NodeSource;
use super::tile_tree::TILE_LEAVES;
use crate::ident::{TreeHash, TreeSize};

/// Most hashes in a hash tile and entries in a bundle.
pub const TILE_WIDTH_MAX: u16 = TILE_LEAVES as u16;

/// Longest entry that fits a bundle, in bytes: its length is written in two.
pub const BUNDLE_ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// The path at which a tiled log publishes its newest checkpoint, beside the tiles.
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// Highest level that a tree of at most 2^63 - 1 leaves has hashes on: 256^7 = 2^56. The
/// specification leaves room for 63.
const LEVEL_MAX: u8 = 7;

/// The levels that one tile spans: 2^8 = 256.
const TILE_HEIGHT: u32 = 8;

/// Digits in one element of a path.
const GROUP: u64 = 1000;

/// The reason why something is not a tile, or not the contents of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TilesError {
    #[error("{0:?} is not tile/<level>/<number>, tile/entries/<number> or such with .p/<width>")]
    Path(String),
    #[error("no tree of at most {TREE_SIZE_MAX} leaves has tile {number} of {row}, {width} wide")]
    Impossible { row: TileRow, number: u64, width: u16 },
    #[error("tile {tile} has {wanted} bytes, found {found}")]
    TileBytes { tile: Tile, wanted: usize, found: usize },
    #[error("bundle {tile} ends within its entry {at}")]
    BundleCut { tile: Tile, at: u16 },
    #[error("bundle {tile} goes on for {0} bytes after its last entry", .bytes)]
    BundleLong { tile: Tile, bytes: usize },
    #[error("an entry of {0} bytes, a bundle takes at most {BUNDLE_ENTRY_BYTES_MAX}")]
    EntryBytes(usize),
}

/// The row of a tile: a level of hashes, or the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileRow {
    /// Hashes of level `0..=7`: each is the root of 256^level leaves, and on level 0 a leaf hash.
    Hashes(u8),
    /// The entries themselves, in a bundle.
    Entries,
}

impl TileRow {
    /// Leaves under one hash or entry of this row, as a power of two.
    const fn shift(self) -> u32 {
        match self {
            Self::Hashes(level) => level as u32 * TILE_HEIGHT,
            Self::Entries => 0,
        }
    }
}

impl fmt::Display for TileRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes(level) => level.fmt(f),
            Self::Entries => f.write_str("entries"),
        }
    }
}

/// A resource of a tiled log: row, number within the row, and 1 to 256 items in it. It prints and
/// parses as its path, `tile/0/x001/x234/067` or `tile/entries/000.p/17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    row: TileRow,
    number: u64,
    width: u16,
}

impl Tile {
    /// Refuses what no tree of at most [`TREE_SIZE_MAX`] leaves has: an empty tile among it.
    pub fn new(row: TileRow, number: u64, width: u16) -> Result<Self, TilesError> {
        let tile = Self { row, number, width };
        let level_is_known = !matches!(row, TileRow::Hashes(level) if level > LEVEL_MAX);
        let end = u128::from(number) * u128::from(TILE_LEAVES) + u128::from(width);
        let is_possible = level_is_known
            && (1..=TILE_WIDTH_MAX).contains(&width)
            && end << row.shift() <= u128::from(TREE_SIZE_MAX.get());
        if is_possible { Ok(tile) } else { Err(TilesError::Impossible { row, number, width }) }
    }

    /// The tiles that a tree of `size` leaves has, hash tiles level by level and then the bundles,
    /// each as wide as `size` makes it: all full but the last of a row, and none empty.
    pub fn all(size: TreeSize) -> impl Iterator<Item = Self> {
        Self::added(TreeSize::new(0), size)
    }

    /// The tiles of a tree of `new` leaves that one of `old` leaves did not have, or not as wide: what
    /// is to be written when a log grows from `old` to `new`. Nothing if `new` is not larger.
    /// Neither may be above [`TREE_SIZE_MAX`]; what lies above is left out.
    pub fn added(old: TreeSize, new: TreeSize) -> impl Iterator<Item = Self> {
        let new = new.min(TREE_SIZE_MAX);
        rows().flat_map(move |row| {
            let (old, new) = (old.get() >> row.shift(), new.get() >> row.shift());
            let numbers =
                if old < new { old / TILE_LEAVES..new.div_ceil(TILE_LEAVES) } else { 0..0 };
            numbers.map(move |number| Self { row, number, width: width_of(number, new) })
        })
    }

    /// The tile `number` of `row` as a tree of `size` leaves has it; `None` if it has none there.
    pub fn within(row: TileRow, number: u64, size: TreeSize) -> Option<Self> {
        let items = size.get() >> row.shift();
        let start = number.checked_mul(TILE_LEAVES)?;
        Self::new(row, number, width_of(number, items)).ok().filter(|_| start < items)
    }

    pub fn row(&self) -> TileRow {
        self.row
    }

    /// Its place in the row, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Hashes or entries in it, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH_MAX
    }

    /// The same tile once it is full, which a log may serve in place of a partial one; `None` where
    /// that would be beyond the largest tree.
    pub fn full(&self) -> Option<Self> {
        Self::new(self.row, self.number, TILE_WIDTH_MAX).ok()
    }

    /// Returns the range of the tile's items in its row.
    pub fn items(&self) -> Range<u64> {
        let start = self.number * TILE_LEAVES;
        start..start + u64::from(self.width)
    }

    /// Returns the range of leaves that the tile's hashes or entries cover.
    pub fn leaves(&self) -> Range<u64> {
        let Range { start, end } = self.items();
        start << self.row.shift()..end << self.row.shift()
    }

    /// The bytes of a hash tile as hashes, exactly as many as the tile is wide. For a bundle, which
    /// has no hashes, an error.
    pub fn parse_hashes(&self, bytes: &[u8]) -> Result<Vec<TreeHash>, TilesError> {
        let wanted = usize::from(self.width) * TreeHash::BYTES;
        let (hashes, rest) = bytes.as_chunks::<{ TreeHash::BYTES }>();
        let is_whole = rest.is_empty() && hashes.len() == usize::from(self.width);
        if !is_whole || self.row == TileRow::Entries {
            return Err(TilesError::TileBytes { tile: *self, wanted, found: bytes.len() });
        }
        Ok(hashes.iter().map(|hash| TreeHash::from_bytes(*hash)).collect())
    }

    /// The bytes of a bundle as entries, exactly as many as the tile is wide and nothing after them.
    pub fn parse_entries<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TilesError> {
        let mut rest = bytes;
        let entries = (0..self.width).map(|at| {
            let cut = || TilesError::BundleCut { tile: *self, at };
            let (length, behind) = rest.split_first_chunk().ok_or_else(cut)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
            rest = behind;
            Ok(entry)
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        if rest.is_empty() {
            Ok(entries)
        } else {
            Err(TilesError::BundleLong { tile: *self, bytes: rest.len() })
        }
    }
}

/// The bytes of a hash tile: its hashes, one after the other.
pub fn encode_hashes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(TreeHash::as_bytes).copied().collect()
}

/// Appends one entry to the bytes of a bundle: its length as u16 BE, then itself. Nothing is
/// appended on an error.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TilesError> {
    let length = u16::try_from(entry.len()).map_err(|_| TilesError::EntryBytes(entry.len()))?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

fn rows() -> impl Iterator<Item = TileRow> {
    (0..=LEVEL_MAX).map(TileRow::Hashes).chain(iter::once(TileRow::Entries))
}

/// Returns the width of the tile `number` in a row of `items`; 0 if it lies beyond them.
fn width_of(number: u64, items: u64) -> u16 {
    let left = items.saturating_sub(number.saturating_mul(TILE_LEAVES));
    left.min(TILE_LEAVES) as u16
}

impl fmt::Display for Tile {
    /// The path: <https://c2sp.org/tlog-tiles>, section "Merkle Tree".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.row)?;
        let groups = self.number.checked_ilog(GROUP).unwrap_or(0);
        for power in (1..=groups).rev() {
            write!(f, "x{:03}/", self.number / GROUP.pow(power) % GROUP)?;
        }
        write!(f, "{:03}", self.number % GROUP)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = TilesError;

    /// Reads a path. What it accepts, printing gives back.
    fn from_str(path: &str) -> Result<Self, TilesError> {
        let refused = || TilesError::Path(path.to_owned());
        let (row, place) =
            path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or_else(refused)?;
        let row = match row {
            "entries" => TileRow::Entries,
            level => TileRow::Hashes(level.parse().map_err(|_| refused())?),
        };
        let (groups, width) = match place.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().map_err(|_| refused())?),
            None => (place, TILE_WIDTH_MAX),
        };
        let number = groups.split('/').try_fold(0_u64, |number, group| {
            let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            number.checked_mul(GROUP)?.checked_add(group)
        });
        let tile = Self::new(row, number.ok_or_else(refused)?, width)?;
        // Signs, missing or additional zeroes, an x too many or too few, `.p/256`.
        if tile.to_string() == path { Ok(tile) } else { Err(refused()) }
    }
}

/// A source of the hashes of a tile, a folder or a server for instance. It need not check them.
pub trait HashTiles {
    type Error: std::error::Error + 'static;

    /// The hashes of a hash tile, all of them. A wider tile of the same number may have been read
    /// and cut.
    fn hashes(&mut self, tile: &Tile) -> Result<Vec<TreeHash>, Self::Error>;
}

/// The reason why a node of a tiled tree cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TiledNodesError<E: std::error::Error + 'static> {
    #[error("a tree of {size} leaves has no node {index} of level {level}")]
    Beyond { size: TreeSize, level: u32, index: u64 },
    #[error("tile {tile} gave {found} hashes")]
    Width { tile: Tile, found: usize },
    #[error("tile {tile} could not be read")]
    Source { tile: Tile, source: E },
}

/// The nodes of a tree of a stated size out of its tiles: what [`super::root_at`],
/// [`super::prove_inclusion`] and [`super::prove_consistency`] need. Its root is worth nothing
/// until it was compared with the checkpoint's of that size.
#[derive(Debug)]
pub struct TiledNodes<T> {
    tiles: T,
    size: TreeSize,
    /// Proofs ask for neighbours: the tile that was read last answers most of them.
    last: Option<(Tile, Vec<TreeHash>)>,
}

impl<T: HashTiles> TiledNodes<T> {
    /// Reads only the tiles, as wide as they are, that a tree of `size` leaves implies.
    pub fn new(tiles: T, size: TreeSize) -> Self {
        Self { tiles, size, last: None }
    }

    fn tile(&mut self, tile: Tile) -> Result<&[TreeHash], TiledNodesError<T::Error>> {
        let hashes = match self.last.take() {
            Some((held, hashes)) if held == tile => hashes,
            _ => self
                .tiles
                .hashes(&tile)
                .map_err(|source| TiledNodesError::Source { tile, source })?,
        };
        if hashes.len() != usize::from(tile.width()) {
            return Err(TiledNodesError::Width { tile, found: hashes.len() });
        }
        Ok(&self.last.insert((tile, hashes)).1)
    }
}

impl<T: HashTiles> NodeSource for TiledNodes<T> {
    type Error = TiledNodesError<T::Error>;

    fn node(&mut self, level: u32, index: u64) -> Result<TreeHash, Self::Error> {
        let beyond = TiledNodesError::Beyond { size: self.size, level, index };
        let (row, above) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        // The node covers 2^above hashes of its tile, from this one on.
        let first = index.checked_shl(above).filter(|first| first >> above == index);
        let tile = first.zip(u8::try_from(row).ok()).and_then(|(first, row)| {
            Tile::within(TileRow::Hashes(row), first / TILE_LEAVES, self.size)
        });
        let (Some(first), Some(tile)) = (first, tile) else { return Err(beyond) };
        let from = (first % TILE_LEAVES) as usize;
        let covered = self.tile(tile)?.get(from..from + (1 << above));
        covered.map(root_of).ok_or(beyond)
    }
}
