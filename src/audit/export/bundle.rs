//! The entries of one bundle with what they bring along, looked at without what came before: hashed,
//! compared with their tile, decoded. Bundles can be examined side by side.

use super::{Folder, layout};
use crate::audit::examine::{DecodedFrame, entry};
use crate::audit::failure::{Check, Fault, Place};
use crate::ident::TreeHash;
use crate::merkle::{Tile, TileRow, leaf_hash, root_of};
use bytes::Bytes;
use std::io;

/// The files of one bundle of the journal, as far as they are there.
#[derive(Debug)]
pub struct ReadBundle {
    tile: Tile,
    entries: Option<Bytes>,
    hashes: Option<Bytes>,
    contents: Option<Bytes>,
}

/// The entries of a bundle, each looked at alone.
#[derive(Debug)]
pub struct ExaminedBundle {
    pub(super) tile: Tile,
    pub(super) found: Vec<Result<DecodedFrame, Broken>>,
    /// The root over a full bundle.
    pub(super) root: Option<TreeHash>,
}

/// A fault and its place.
pub(super) type Broken = Box<(Place, Fault)>;

/// Reads the files that belong to one bundle of the journal.
pub fn read_bundle(folder: &impl Folder, tile: Tile) -> io::Result<ReadBundle> {
    Ok(ReadBundle {
        tile,
        entries: folder.read(&tile.to_string(), layout::BUNDLE_BYTES_MAX)?,
        hashes: folder.read(&hash_tile(&tile), layout::HASHES_BYTES_MAX)?,
        contents: folder.read(&layout::contents(&tile), layout::CONTENTS_BYTES_MAX)?,
    })
}

fn hash_tile(bundle: &Tile) -> String {
    match Tile::new(TileRow::Hashes(0), bundle.number(), bundle.width()) {
        Ok(tile) => tile.to_string(),
        // Level 0 has every tile that the bundles have.
        Err(error) => error.to_string(),
    }
}

/// Returns the failure of a file that is missing or does not fit its path.
pub(super) fn unfit(path: &str, expected: &str, found: impl ToString) -> Broken {
    let fault = Fault::new(Check::ExportFile, expected, found);
    Box::new((Place::File(path.to_owned()), fault))
}

/// The leaves of a bundle with their hashes, compared with the tile of level 0.
pub(super) fn leaves(
    prefix: &str,
    tile: &Tile,
    entries: Option<Bytes>,
    hashes: Option<Bytes>,
) -> Result<(Vec<Bytes>, Vec<TreeHash>), Broken> {
    let path = format!("{prefix}{tile}");
    let bytes = entries.ok_or_else(|| unfit(&path, "a bundle of entries", "none"))?;
    let entries = tile.parse_entries(&bytes).map_err(|error| unfit(&path, "entries", error))?;
    let hash_path = format!("{prefix}{}", hash_tile(tile));
    let hashes = hashes.ok_or_else(|| unfit(&hash_path, "a tile of leaf hashes", "none"))?;
    let level = Tile::new(TileRow::Hashes(0), tile.number(), tile.width());
    let hashes = level
        .and_then(|level| level.parse_hashes(&hashes))
        .map_err(|error| unfit(&hash_path, "leaf hashes", error))?;
    for ((index, entry), hash) in tile.items().zip(&entries).zip(&hashes) {
        let leaf = leaf_hash(entry);
        if leaf != *hash {
            let fault = Fault::new(Check::Tile, format!("leaf {hash} of {hash_path}"), leaf);
            return Err(Box::new((Place::Entry { file: path, index }, fault)));
        }
    }
    Ok((entries.into_iter().map(|entry| bytes.slice_ref(entry)).collect(), hashes))
}

/// Looks at every entry of a bundle.
pub fn examine_bundle(read: ReadBundle) -> ExaminedBundle {
    let ReadBundle { tile, entries, hashes, contents } = read;
    match leaves("", &tile, entries, hashes).and_then(|(entries, hashes)| {
        let path = layout::contents(&tile);
        let contents = contents.ok_or_else(|| unfit(&path, "the content of entries", "none"))?;
        let length = contents.len();
        let contents = layout::parse_contents(contents, entries.len()).ok_or_else(|| {
            let expected = format!("the content of {} entries", entries.len());
            unfit(&path, &expected, format!("{length} other bytes"))
        })?;
        Ok((entries, hashes, contents))
    }) {
        Err(broken) => ExaminedBundle { tile, found: vec![Err(broken)], root: None },
        Ok((entries, hashes, contents)) => {
            let found = tile.items().zip(entries.iter().zip(&hashes).zip(contents));
            let found = found
                .map(|(index, ((bytes, leaf), content))| {
                    entry(bytes, *leaf, content).map_err(|fault| at(&tile, index, fault))
                })
                .collect();
            ExaminedBundle { tile, found, root: tile.is_full().then(|| root_of(&hashes)) }
        }
    }
}

fn at(tile: &Tile, index: u64, fault: Fault) -> Broken {
    let file = match fault.check {
        Check::Content => layout::contents(tile),
        _ => tile.to_string(),
    };
    Box::new((Place::Entry { file, index }, fault))
}
