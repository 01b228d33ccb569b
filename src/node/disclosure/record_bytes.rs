//! The bytes that a record takes when it is sent.

use crate::ident::RecordId;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};

/// Bytes of an envelope with everything that is here of a record; 0 if it is not here or cannot be read.
pub(in crate::node) fn envelope_bytes_max(
    view: &View,
    id: &RecordId,
) -> Result<usize, JournalError> {
    let here = unless_damaged(view.record(id))?.flatten();
    Ok(here.map_or(0, |record| record.envelope_bytes_max()))
}
