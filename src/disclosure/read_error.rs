//! The errors of reading: broken entries, and damage.

use crate::ident::RecordId;

/// An entry whose bytes have another form than entries of its sort have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} cannot be read: {reason}")]
pub struct BrokenEntry {
    pub index: u64,
    pub reason: String,
}

/// The error of a reader.
pub trait ReadError: std::error::Error + From<BrokenEntry> {
    /// Returns true if stored bytes are damaged, while the rest can be read.
    fn is_damage(&self) -> bool;
}

/// Returns `None` where stored bytes are damaged: a reader of many records counts that and goes on.
pub fn unless_damaged<T, E: ReadError>(read: Result<T, E>) -> Result<Option<T>, E> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the id of the record that an entry is about.
pub(super) fn record_id(index: u64, bytes: &[u8]) -> Result<RecordId, BrokenEntry> {
    RecordId::try_from(bytes).map_err(|error| BrokenEntry { index, reason: error.to_string() })
}
