//! The name and the header of a segment file.

use super::disk::Disk;
use super::error::StoreError;
use super::position::SEGMENT_HEADER_BYTES;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

const MAGIC: [u8; 8] = *b"LIAISON\0";
const VERSION: u32 = 1;

pub(super) fn write_header(
    file: &File,
    path: &Path,
    number: u32,
    disk: &dyn Disk,
) -> Result<(), StoreError> {
    disk.write_all_at(file, &header(number), 0)
        .and_then(|()| disk.sync_data(file))
        .map_err(StoreError::io("write the header of", path))
}

pub(super) fn header(number: u32) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let (magic, rest) = header.split_at_mut(8);
    let (version, segment) = rest.split_at_mut(4);
    magic.copy_from_slice(&MAGIC);
    version.copy_from_slice(&VERSION.to_le_bytes());
    segment.copy_from_slice(&number.to_le_bytes());
    header
}

/// Returns the flaw of the header of segment `number`.
pub(super) fn header_flaw(found: &[u8; SEGMENT_HEADER_BYTES], number: u32) -> Option<String> {
    let wanted = header(number);
    if *found == wanted {
        return None;
    }
    let u32_at = |at: usize| found[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    Some(if found[..8] != MAGIC {
        "no segment file of liaison".to_owned()
    } else if found[8..12] != wanted[8..12] {
        format!("format version {}, wanted {VERSION}", u32_at(8))
    } else {
        format!("the header of segment {}, wanted {number}", u32_at(12))
    })
}

pub(super) fn segment_path(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:08}.seg"))
}
