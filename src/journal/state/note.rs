//! Generation and tree size in a checkpoint note that is in this node's journal.

use crate::ident::Generation;

/// The generation in the first line of a checkpoint note.
pub(in crate::journal) fn generation_of(note: &[u8]) -> Generation {
    let origin = note.split(|byte| *byte == b'\n').next().unwrap_or_default();
    std::str::from_utf8(origin).map_or(Generation::FIRST, Generation::named_in)
}

/// The tree size in the second line of a checkpoint note of ours.
pub(in crate::journal) fn note_size(note: &[u8]) -> Result<u64, String> {
    std::str::from_utf8(note)
        .ok()
        .and_then(|text| text.lines().nth(1)?.parse().ok())
        .ok_or_else(|| "its note is not a checkpoint".to_owned())
}
