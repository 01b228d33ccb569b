//! Tiles against the specification's examples, the crate tlog_tiles and a log written by Tessera.

use std::collections::BTreeSet;
use std::convert::Infallible;

use proptest::prelude::*;

use super::{leaves, shared};
use crate::ident::{LeafIndex, TreeHash, TreeSize};
use crate::merkle::{
    BUNDLE_ENTRY_BYTES_MAX, HashTiles, NodeSource, TILE_LEAVES, TILE_WIDTH_MAX, TREE_SIZE_MAX,
    Tile, TileRow, TileTree, TiledNodes, TiledNodesError, TilesError, TreeHead, encode_hashes,
    leaf_hash, prove_consistency, prove_inclusion, push_entry, root_at, verify_consistency,
    verify_inclusion,
};

const LEVEL_MAX: u8 = 7;

fn tile(row: TileRow, number: u64, width: u16) -> Tile {
    Tile::new(row, number, width).unwrap()
}

fn size(leaves: u64) -> TreeSize {
    TreeSize::new(leaves)
}

/// Returns for each row the number of full tiles and the width of the partial one.
fn shape(of: u64) -> Vec<(TileRow, usize, Option<u16>)> {
    let tiles: Vec<Tile> = Tile::all(size(of)).collect();
    let rows: BTreeSet<TileRow> = tiles.iter().map(Tile::row).collect();
    let of_row = |row| tiles.iter().filter(move |tile| tile.row() == row);
    let shape = |row| {
        let full = of_row(row).filter(|tile| tile.is_full()).count();
        (row, full, of_row(row).find(|tile| !tile.is_full()).map(Tile::width))
    };
    rows.into_iter().map(shape).collect()
}

#[test]
fn paths_are_as_the_specification_writes_them() {
    for (path, wanted) in [
        ("tile/0/x001/x234/067", tile(TileRow::Hashes(0), 1_234_067, 256)),
        ("tile/0/000", tile(TileRow::Hashes(0), 0, 256)),
        ("tile/3/999.p/1", tile(TileRow::Hashes(3), 999, 1)),
        ("tile/1/x001/000.p/255", tile(TileRow::Hashes(1), 1_000, 255)),
        ("tile/entries/x123/x456/789.p/16", tile(TileRow::Entries, 123_456_789, 16)),
        ("tile/7/000.p/127", tile(TileRow::Hashes(7), 0, 127)),
    ] {
        assert_eq!(path.parse(), Ok(wanted));
        assert_eq!(wanted.to_string(), path);
    }
}

#[test]
fn a_path_has_one_form() {
    for bad in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/+0/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/+00",
        "tile/0/x000",
        "tile/0/000/000",
        "tile/0/x000/000",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/data/000",
        "tile/8/000.p/1",
        "tile/64/000.p/1",
        "tile/0/xx001/000",
        "tile/7/000.p/128",
        "tile/7/000",
        "tile/0/../000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert!(bad.parse::<Tile>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_size_implies_the_tiles_that_the_specification_names() {
    use TileRow::{Entries, Hashes};
    let wanted = [
        (Hashes(0), 273, Some(112)),
        (Hashes(1), 1, Some(17)),
        (Hashes(2), 0, Some(1)),
        (Entries, 273, Some(112)),
    ];
    assert_eq!(shape(70_000), wanted);
    assert_eq!(shape(256), [(Hashes(0), 1, None), (Hashes(1), 0, Some(1)), (Entries, 1, None)]);
    assert_eq!(shape(0), []);
    assert_eq!(
        Tile::all(size(255)).map(|tile| tile.to_string()).collect::<Vec<_>>(),
        ["tile/0/000.p/255", "tile/entries/000.p/255"]
    );
}

#[test]
fn the_largest_tree_has_tiles_on_eight_levels_and_no_tile_is_beyond_it() {
    let last = TREE_SIZE_MAX.get();
    for level in 0..=LEVEL_MAX {
        let row = TileRow::Hashes(level);
        let number = (last >> (8 * u32::from(level))) / TILE_LEAVES;
        let tile = Tile::within(row, number, TREE_SIZE_MAX).unwrap();
        assert!(tile.leaves().end <= last && tile.to_string().parse() == Ok(tile));
        assert_eq!(Tile::within(row, number + 1, TREE_SIZE_MAX), None);
        assert_eq!(Tile::within(row, u64::MAX, TREE_SIZE_MAX), None);
    }
    assert!(Tile::new(TileRow::Hashes(8), 0, 1).is_err());
    assert!(Tile::new(TileRow::Entries, u64::MAX, 1).is_err());
    assert_eq!(tile(TileRow::Hashes(7), 0, 127).full(), None);
    assert_eq!(tile(TileRow::Entries, 0, 1).full(), Some(tile(TileRow::Entries, 0, 256)));
}

#[test]
fn a_hash_tile_has_exactly_its_hashes() {
    let hashes = leaves(3);
    let bytes = encode_hashes(&hashes);
    let three = tile(TileRow::Hashes(0), 0, 3);
    assert_eq!(three.parse_hashes(&bytes), Ok(hashes));
    for wrong in [&bytes[1..], &bytes[32..], &[bytes.as_slice(), &[0]].concat(), &[]] {
        assert!(three.parse_hashes(wrong).is_err());
    }
    assert!(tile(TileRow::Entries, 0, 3).parse_hashes(&bytes).is_err());
}

#[test]
fn a_bundle_has_exactly_its_entries() {
    let entries: [&[u8]; 3] = [b"", b"one", &[7; BUNDLE_ENTRY_BYTES_MAX]];
    let mut bundle = Vec::new();
    entries.iter().for_each(|entry| push_entry(&mut bundle, entry).unwrap());
    assert_eq!(bundle[..7], *b"\0\0\0\x03one");
    let three = tile(TileRow::Entries, 0, 3);
    assert_eq!(three.parse_entries(&bundle).unwrap(), entries);
    let cut = three.parse_entries(&bundle[..bundle.len() - 1]);
    assert_eq!(cut, Err(TilesError::BundleCut { tile: three, at: 2 }));
    assert_eq!(
        three.parse_entries(&bundle[..6]),
        Err(TilesError::BundleCut { tile: three, at: 1 })
    );
    let two = tile(TileRow::Entries, 0, 2);
    let bytes = BUNDLE_ENTRY_BYTES_MAX + 2;
    assert_eq!(two.parse_entries(&bundle), Err(TilesError::BundleLong { tile: two, bytes }));
    let before = bundle.clone();
    let refused = push_entry(&mut bundle, &[0; BUNDLE_ENTRY_BYTES_MAX + 1]);
    assert_eq!((refused, bundle), (Err(TilesError::EntryBytes(65_536)), before));
}

/// Tiles held in memory, as a server has them; it answers for those that exist.
struct Served<'a>(&'a TileTree, &'a Vec<TreeHash>);

impl HashTiles for Served<'_> {
    type Error = Infallible;

    fn hashes(&mut self, tile: &Tile) -> Result<Vec<TreeHash>, Infallible> {
        Ok(self.0.hash_tile(self.1, tile).unwrap())
    }
}

#[test]
fn roots_and_proofs_made_from_tiles_are_those_of_the_tree() {
    let all = leaves(66_000);
    let tree: TileTree = all.iter().copied().collect();
    for at in [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 66_000] {
        let mut nodes = TiledNodes::new(Served(&tree, &all), size(at));
        let head = TreeHead { size: size(at), root: tree.root_at(&all, size(at)).unwrap() };
        assert_eq!(root_at(&mut nodes, size(at)), Ok(head.root));
        let index = LeafIndex::new(at / 2);
        let path = prove_inclusion(&mut nodes, index, size(at)).unwrap();
        assert_eq!(
            verify_inclusion(&all[at as usize / 2], index, size(at), &path, &head.root),
            Ok(())
        );
        let old = at.div_ceil(3);
        let old = TreeHead { size: size(old), root: tree.root_at(&all, size(old)).unwrap() };
        let proof = prove_consistency(&mut nodes, old.size, size(at)).unwrap();
        assert_eq!(verify_consistency(&old, &head, &proof), Ok(()));
        assert!(matches!(nodes.node(0, at), Err(TiledNodesError::Beyond { .. })));
        assert!(matches!(nodes.node(u32::MAX, 0), Err(TiledNodesError::Beyond { .. })));
        assert!(matches!(nodes.node(1, u64::MAX), Err(TiledNodesError::Beyond { .. })));
    }
}

#[test]
fn a_real_log_has_the_tiles_and_bundles_that_its_sizes_imply() {
    let Some(folder) = shared("tlog/tessera-log") else { return };
    for leaves in 1..=15 {
        let tiles: Vec<Tile> = Tile::all(size(leaves)).collect();
        let [hashes, entries] = tiles[..] else { panic!("{tiles:?}") };
        let read = |tile: Tile| std::fs::read(folder.join(tile.to_string())).unwrap();
        let (tile, bundle) = (read(hashes), read(entries));
        let found = hashes.parse_hashes(&tile).unwrap();
        let entries = entries.parse_entries(&bundle).unwrap();
        assert_eq!(entries.iter().map(|entry| leaf_hash(entry)).collect::<Vec<_>>(), found);
        assert_eq!(encode_hashes(&found), tile);
        let mut again = Vec::new();
        entries.iter().for_each(|entry| push_entry(&mut again, entry).unwrap());
        assert_eq!(again, bundle);
    }
}

/// The other implementation writes the height into the path and calls entries data.
fn theirs(tile: &Tile) -> String {
    tile.to_string().replacen("tile/", "tile/8/", 1).replacen("/entries/", "/data/", 1)
}

proptest! {
    #[test]
    fn a_tile_prints_and_parses_back_here_and_there(
        level in 0..=LEVEL_MAX, bundle: bool, number: u64, width in 1..=TILE_WIDTH_MAX, short in 0..64,
    ) {
        let row = if bundle { TileRow::Entries } else { TileRow::Hashes(level) };
        if let Ok(tile) = Tile::new(row, number >> short, width) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            let there = tlog_tiles::Tile::from_path(&theirs(&tile)).unwrap();
            prop_assert_eq!(there.path(), theirs(&tile));
            let found = (there.level_index(), there.width(), there.is_data());
            prop_assert_eq!(found, (tile.number(), u32::from(tile.width()), bundle));
        }
    }

    #[test]
    fn a_growing_log_adds_the_same_tiles_as_the_other_implementation(old in 0..200_000_u64, by in 0..70_000_u64) {
        let added = Tile::added(size(old), size(old + by));
        let here: Vec<String> =
            added.filter(|tile| tile.row() != TileRow::Entries).map(|tile| theirs(&tile)).collect();
        let there: Vec<String> =
            tlog_tiles::Tile::new_tiles(8, old, old + by).iter().map(tlog_tiles::Tile::path).collect();
        prop_assert_eq!(here, there);
    }

    #[test]
    fn whatever_path_parses_prints_back(path in "tile/([0-9]{1,2}|entries)(/x?[0-9]{2,4}){1,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(tile) = path.parse::<Tile>() {
            prop_assert_eq!(tile.to_string(), path);
        }
    }

    #[test]
    fn whatever_bundle_parses_is_written_the_same(bytes: Vec<u8>, width in 1..=TILE_WIDTH_MAX) {
        if let Ok(entries) = tile(TileRow::Entries, 0, width).parse_entries(&bytes) {
            let mut again = Vec::new();
            entries.iter().for_each(|entry| push_entry(&mut again, entry).unwrap());
            prop_assert_eq!(again, bytes);
        }
    }
}
