//! The hash tiles of a growing tree: each as soon as it is full, the partial ones at the end.

use crate::ident::TreeHash;
use crate::merkle::{TILE_LEAVES, Tile, TileRow, TilesError, root_of};

/// The last, unfinished tile of every level.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Row {
    /// Full tiles of this level so far.
    full: u64,
    hashes: Vec<TreeHash>,
}

impl Rows {
    /// Adds the next hash of `level`. `each` is given every tile that becomes full thereby, from the
    /// lowest level up.
    pub(super) fn push<E: From<TilesError>>(
        &mut self,
        level: u8,
        hash: TreeHash,
        each: &mut impl FnMut(Tile, &[TreeHash]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut level, mut hash) = (level, hash);
        loop {
            while self.rows.len() <= usize::from(level) {
                self.rows.push(Row::default());
            }
            let row = &mut self.rows[usize::from(level)];
            row.hashes.push(hash);
            if (row.hashes.len() as u64) < TILE_LEAVES {
                return Ok(());
            }
            each(row.tile(level)?, &row.hashes)?;
            hash = root_of(&row.hashes);
            row.hashes.clear();
            row.full += 1;
            level += 1;
        }
    }

    /// Returns the partial tiles.
    pub(super) fn finish<E: From<TilesError>>(
        &self,
        each: &mut impl FnMut(Tile, &[TreeHash]) -> Result<(), E>,
    ) -> Result<(), E> {
        (0_u8..)
            .zip(&self.rows)
            .filter(|(_, row)| !row.hashes.is_empty())
            .try_for_each(|(level, row)| each(row.tile(level)?, &row.hashes))
    }
}

impl Row {
    fn tile(&self, level: u8) -> Result<Tile, TilesError> {
        // A row is cut when it has 256 hashes.
        Tile::new(TileRow::Hashes(level), self.full, self.hashes.len() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::TreeSize;
    use crate::merkle::leaf_hash;
    use std::collections::BTreeSet;

    #[test]
    fn exactly_the_tiles_of_the_tree_are_given() {
        for size in [0, 1, 255, 256, 257, 65_536, 70_000_u64] {
            let mut rows = Rows::default();
            let mut seen = BTreeSet::new();
            let mut each = |tile: Tile, hashes: &[TreeHash]| {
                assert_eq!(hashes.len(), usize::from(tile.width()));
                assert!(seen.insert(tile), "{tile} twice");
                Ok::<_, TilesError>(())
            };
            for index in 0..size {
                rows.push(0, leaf_hash(&index.to_be_bytes()), &mut each).unwrap();
            }
            rows.finish(&mut each).unwrap();
            let wanted: BTreeSet<_> = Tile::all(TreeSize::new(size))
                .filter(|tile| tile.row() != TileRow::Entries)
                .collect();
            assert_eq!(seen, wanted, "size {size}");
        }
    }
}
