//! The paths in an export, from its top, and the form of what is not in tlog-tiles.

use crate::audit::feed_name::FeedName;
use crate::ident::{AgencyName, BundleHash};
use crate::merkle::{BUNDLE_ENTRY_BYTES_MAX, TILE_LEAVES, Tile};
use bytes::Bytes;

/// The journal's newest checkpoint.
pub const CHECKPOINT: &str = crate::merkle::CHECKPOINT_PATH;
/// The agency's newest card.
pub const CARD: &str = "card.txt";

/// A checkpoint note has at most 64 KiB.
pub(super) const NOTE_BYTES_MAX: u64 = 64 << 10;
/// Longest bundle: 256 entries with their lengths.
pub(super) const BUNDLE_BYTES_MAX: u64 = TILE_LEAVES * (2 + BUNDLE_ENTRY_BYTES_MAX as u64);
/// A hash tile has at most 256 hashes.
pub(super) const HASHES_BYTES_MAX: u64 = TILE_LEAVES * 32;
/// Longest content of one entry: the payload of a frame.
const CONTENT_BYTES_MAX: u64 = 1 << 20;
pub(super) const CONTENTS_BYTES_MAX: u64 = TILE_LEAVES * (4 + CONTENT_BYTES_MAX);
/// Files and bytes of a policy bundle: a node refuses larger ones.
pub(super) const POLICY_FILES_MAX: usize = 256;
pub(super) const POLICY_BYTES_MAX: u64 = 1 << 20;
/// Longest text file: one of a policy.
pub(super) const TEXT_BYTES_MAX: u64 = POLICY_BYTES_MAX;

/// Returns the file of the contents of a bundle's entries, under the bundle's number.
pub(super) fn contents(bundle: &Tile) -> String {
    bundle.to_string().replacen("tile/entries/", "content/", 1)
}

/// The agency's cards in the order in which the journal has them, from 0.
pub(super) fn own_card(place: usize) -> String {
    format!("cards/{place:04}.txt")
}

/// The newest card of a partner.
pub(super) fn partner_card(agency: &AgencyName) -> String {
    format!("partners/{agency}.txt")
}

/// The folder with the files of a policy.
pub(super) fn policy_folder(hash: BundleHash) -> String {
    format!("policies/{hash}")
}

/// The names of a policy's files, a line each.
pub(super) fn policy_names(hash: BundleHash) -> String {
    format!("{}/files", policy_folder(hash))
}

pub(super) fn policy_file(hash: BundleHash, name: &str) -> String {
    format!("policies/{hash}/{name}")
}

/// Returns true if the name of a policy's file cannot lead to another folder.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

/// Returns the folder of a feed's checkpoint and tiles.
pub(super) fn feed(name: &FeedName) -> String {
    format!("feed/{name}/")
}

/// Appends the content of one entry, or nothing of it: length u32 BE, then the bytes.
pub(super) fn push_content(contents: &mut Vec<u8>, content: &[u8]) {
    // A frame's payload is far below 4 GiB, see CONTENT_BYTES_MAX.
    contents.extend((content.len() as u32).to_be_bytes());
    contents.extend(content);
}

/// The contents of `count` entries; `None` for those that bring none. `None` in all if the bytes
/// are not exactly such.
pub(super) fn parse_contents(mut bytes: Bytes, count: usize) -> Option<Vec<Option<Bytes>>> {
    let mut contents = Vec::with_capacity(count);
    for _ in 0..count {
        let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        if bytes.len() - 4 < length {
            return None;
        }
        let content = bytes.split_to(4 + length).slice(4..);
        contents.push((!content.is_empty()).then_some(content));
    }
    bytes.is_empty().then_some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::TileRow;
    use proptest::prelude::*;

    #[test]
    fn contents_stand_under_the_number_of_their_bundle() {
        let tile = |number, width| Tile::new(TileRow::Entries, number, width).unwrap();
        assert_eq!(contents(&tile(1234, 256)), "content/x001/234");
        assert_eq!(contents(&tile(0, 7)), "content/000.p/7");
    }

    proptest! {
        #[test]
        fn contents_come_back_as_they_went(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10),
        ) {
            let mut bytes = Vec::new();
            parts.iter().for_each(|part| push_content(&mut bytes, part));
            let back = parse_contents(bytes.clone().into(), parts.len()).unwrap();
            let back: Vec<_> = back.into_iter().map(|c| c.unwrap_or_default().to_vec()).collect();
            prop_assert_eq!(&back, &parts);
            prop_assert_eq!(parse_contents(bytes.into(), parts.len() + 1), None);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, count in 0..5_usize) {
            let _ = parse_contents(bytes.into(), count);
        }
    }
}
