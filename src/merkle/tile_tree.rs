//! A tree that proves anything about itself while its leaf hashes lie elsewhere, in a file for
//! instance.
//!
//! In memory it keeps the right edge and the nodes from level 8 up, a quarter of a byte per leaf;
//! the levels below are computed again from the 256 leaf hashes of a tile. It is rebuilt by
//! pushing the leaf hashes in order, and it never checks that the leaf hashes it is given later
//! are the ones that were pushed: a wrong one makes a proof that does not verify, never a wrong
//! proof that does.

use std::convert::Infallible;
use std::ops::Range;

use super::frontier::Frontier;
use super::hash::{TreeHead, root_of};
use super::prove::{NodeSource, ProveError, prove_consistency, prove_inclusion, root_at};
use super::tiles::{Tile, TileRow};
use crate::ident::{LeafIndex, TreeHash, TreeSize};

/// Leaves under one node of the lowest level that is kept: the tile of C2SP tlog-tiles.
pub const TILE_LEAVES: u64 = 1 << TILE_LEVEL;

const TILE_LEVEL: u32 = 8;

/// A source of stored leaf hashes by their index.
pub trait LeafHashes {
    type Error: std::error::Error + 'static;

    /// The leaf hashes at `range`, at most [`TILE_LEAVES`] of them; all, or else fewer or an error.
    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<TreeHash>, Self::Error>;
}

impl LeafHashes for Vec<TreeHash> {
    type Error = Infallible;

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<TreeHash>, Infallible> {
        let bound = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
        let found = self.get(bound(range.start)..bound(range.end));
        Ok(found.unwrap_or_default().to_vec())
    }
}

/// The reason why a node of the tree cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E: std::error::Error + 'static> {
    #[error("the tree has {size} leaves, asked for {wanted}")]
    BeyondSize { size: TreeSize, wanted: u64 },
    #[error("leaf hashes {} to {} wanted, found {found}", .range.start, .range.end)]
    Leaves { range: Range<u64>, found: usize },
    #[error("leaf hashes could not be read")]
    Source(#[source] E),
}

/// The right edge and all nodes from level 8 up.
#[derive(Debug, Clone, Default)]
pub struct TileTree {
    frontier: Frontier,
    /// `upper[k][i]` is the node at level 8 + k and index i.
    upper: Vec<Vec<TreeHash>>,
}

impl TileTree {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, leaf: TreeHash) {
        let upper = &mut self.upper;
        self.frontier.push_reporting(leaf, |level, node| {
            let Some(row) = level.checked_sub(TILE_LEVEL) else { return };
            // Levels are completed from the lowest up, so at most one row is new.
            if row as usize == upper.len() {
                upper.push(Vec::new());
            }
            upper[row as usize].push(node);
        });
    }

    pub fn size(&self) -> TreeSize {
        self.frontier.size()
    }

    pub fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    pub fn head(&self) -> TreeHead {
        self.frontier.head()
    }

    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// The root that the tree had when it had `size` leaves.
    pub fn root_at<L: LeafHashes>(
        &self,
        leaves: &L,
        size: TreeSize,
    ) -> Result<TreeHash, ProveError<TileError<L::Error>>> {
        root_at(&mut self.nodes(leaves, size)?, size)
    }

    /// The inclusion path of the leaf at `index` in the first `size` leaves.
    pub fn inclusion<L: LeafHashes>(
        &self,
        leaves: &L,
        index: LeafIndex,
        size: TreeSize,
    ) -> Result<Vec<TreeHash>, ProveError<TileError<L::Error>>> {
        prove_inclusion(&mut self.nodes(leaves, size)?, index, size)
    }

    /// The consistency proof from the first `old` leaves to the first `new`.
    pub fn consistency<L: LeafHashes>(
        &self,
        leaves: &L,
        old: TreeSize,
        new: TreeSize,
    ) -> Result<Vec<TreeHash>, ProveError<TileError<L::Error>>> {
        prove_consistency(&mut self.nodes(leaves, new)?, old, new)
    }

    /// The hashes of a hash tile, as it is or was at any size that implies it. A bundle has none: it
    /// gives the leaf hashes of its entries.
    pub fn hash_tile<L: LeafHashes>(
        &self,
        leaves: &L,
        tile: &Tile,
    ) -> Result<Vec<TreeHash>, TileError<L::Error>> {
        let beyond = || TileError::BeyondSize { size: self.size(), wanted: tile.leaves().end };
        if tile.leaves().end > self.size().get() {
            return Err(beyond());
        }
        let items = tile.items();
        let row = match tile.row() {
            TileRow::Entries | TileRow::Hashes(0) => return whole(leaves, items),
            TileRow::Hashes(level) => usize::from(level - 1) * TILE_LEVEL as usize,
        };
        let bound = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
        let hashes =
            self.upper.get(row).and_then(|row| row.get(bound(items.start)..bound(items.end)));
        hashes.map(<[_]>::to_vec).ok_or_else(beyond)
    }

    fn nodes<'a, L: LeafHashes>(
        &'a self,
        leaves: &'a L,
        wanted: TreeSize,
    ) -> Result<Nodes<'a, L>, ProveError<TileError<L::Error>>> {
        let size = self.size();
        if wanted > size {
            let beyond = TileError::BeyondSize { size, wanted: wanted.get() };
            return Err(ProveError::Source(beyond));
        }
        Ok(Nodes { tree: self, leaves, tile: None })
    }
}

impl Extend<TreeHash> for TileTree {
    fn extend<I: IntoIterator<Item = TreeHash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<TreeHash> for TileTree {
    fn from_iter<I: IntoIterator<Item = TreeHash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaves);
        tree
    }
}

/// The leaf hashes at `range`, all of them.
fn whole<L: LeafHashes>(
    leaves: &L,
    range: Range<u64>,
) -> Result<Vec<TreeHash>, TileError<L::Error>> {
    let hashes = leaves.leaf_hashes(range.clone()).map_err(TileError::Source)?;
    if hashes.len() as u64 == range.end - range.start {
        Ok(hashes)
    } else {
        Err(TileError::Leaves { range, found: hashes.len() })
    }
}

/// The nodes of a tree for the length of one proof. A proof needs the low nodes of two tiles at
/// most, that of its leaf and the last one, one after the other: so one is remembered.
struct Nodes<'a, L> {
    tree: &'a TileTree,
    leaves: &'a L,
    tile: Option<(u64, Vec<TreeHash>)>,
}

impl<L: LeafHashes> Nodes<'_, L> {
    /// The leaf hashes of one tile, fewer than [`TILE_LEAVES`] only in the last.
    fn tile(&mut self, number: u64) -> Result<&[TreeHash], TileError<L::Error>> {
        let tile = match self.tile.take() {
            Some((held, hashes)) if held == number => hashes,
            _ => self.read(number)?,
        };
        Ok(&self.tile.insert((number, tile)).1)
    }

    fn read(&self, number: u64) -> Result<Vec<TreeHash>, TileError<L::Error>> {
        let start = number << TILE_LEVEL;
        let range = start..(start + TILE_LEAVES).min(self.tree.size().get());
        whole(self.leaves, range)
    }

    fn beyond(&self, wanted: u64) -> TileError<L::Error> {
        TileError::BeyondSize { size: self.tree.size(), wanted }
    }
}

impl<L: LeafHashes> NodeSource for Nodes<'_, L> {
    type Error = TileError<L::Error>;

    fn node(&mut self, level: u32, index: u64) -> Result<TreeHash, Self::Error> {
        let end = (index + 1) << level;
        if end > self.tree.size().get() {
            return Err(self.beyond(end));
        }
        if let Some(row) = level.checked_sub(TILE_LEVEL) {
            let row = self.tree.upper.get(row as usize);
            let node = usize::try_from(index).ok().and_then(|index| row?.get(index));
            return node.copied().ok_or_else(|| self.beyond(end));
        }
        let start = ((index << level) % TILE_LEAVES) as usize;
        let tile = self.tile(index << level >> TILE_LEVEL)?;
        Ok(root_of(&tile[start..start + (1 << level)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::tests::leaves;
    use crate::merkle::{verify_consistency, verify_inclusion};
    use std::cell::RefCell;

    /// Counts the reads that a proof causes.
    struct Counted(Vec<TreeHash>, RefCell<Vec<Range<u64>>>);

    impl LeafHashes for Counted {
        type Error = Infallible;

        fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<TreeHash>, Infallible> {
            self.1.borrow_mut().push(range.clone());
            self.0.leaf_hashes(range)
        }
    }

    #[test]
    fn a_proof_reads_two_tiles_at_most() {
        let all = leaves(70_000);
        let tree: TileTree = all.iter().copied().collect();
        let counted = Counted(all.clone(), RefCell::default());
        for (index, size) in [(0, 70_000), (1_000, 69_999), (69_998, 69_999), (3, 65_537)] {
            let (leaf, index, size) =
                (all[index as usize], LeafIndex::new(index), TreeSize::new(size));
            let path = tree.inclusion(&counted, index, size).unwrap();
            assert!(counted.1.take().len() <= 2);
            let root = tree.root_at(&all, size).unwrap();
            assert_eq!(verify_inclusion(&leaf, index, size, &path, &root), Ok(()));
        }
        for (old, new) in [(1, 70_000), (65_535, 69_999), (65_536, 65_537), (255, 256)] {
            let [old, new] = [old, new].map(|size| {
                let size = TreeSize::new(size);
                TreeHead { size, root: tree.root_at(&all, size).unwrap() }
            });
            let proof = tree.consistency(&counted, old.size, new.size).unwrap();
            assert!(counted.1.take().len() <= 2);
            assert_eq!(verify_consistency(&old, &new, &proof), Ok(()));
        }
    }

    #[test]
    fn old_roots_are_the_roots_of_the_prefixes() {
        let all = leaves(1_100);
        let tree: TileTree = all.iter().copied().collect();
        let mut frontier = Frontier::new();
        for size in 0..=all.len() {
            let root = tree.root_at(&all, TreeSize::new(size as u64));
            assert_eq!(root, Ok(frontier.root()), "size {size}");
            frontier.extend(all.get(size).copied());
        }
    }

    #[test]
    fn more_than_the_tree_has_is_refused() {
        let all = leaves(300);
        let tree: TileTree = all[..299].iter().copied().collect();
        let size = TreeSize::new(300);
        let beyond =
            || ProveError::Source(TileError::BeyondSize { size: tree.size(), wanted: 300 });
        assert_eq!(tree.root_at(&all, size), Err(beyond()));
        assert_eq!(tree.inclusion(&all, LeafIndex::new(0), size), Err(beyond()));
        assert_eq!(tree.consistency(&all, TreeSize::new(1), size), Err(beyond()));
        let refused = tree.inclusion(&all, LeafIndex::new(299), TreeSize::new(299));
        assert!(matches!(refused, Err(ProveError::Request(_))));
        let refused = tree.consistency(&all, TreeSize::new(0), TreeSize::new(299));
        assert!(matches!(refused, Err(ProveError::Request(_))));
    }

    #[test]
    fn missing_leaf_hashes_are_an_error() {
        let all = leaves(300);
        let tree: TileTree = all.iter().copied().collect();
        let short = all[..299].to_vec();
        let refused = tree.inclusion(&short, LeafIndex::new(298), TreeSize::new(299));
        let found = TileError::Leaves { range: 256..300, found: 0 };
        assert_eq!(refused, Err(ProveError::Source(found)));
    }
}
