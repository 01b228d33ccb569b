//! The reason why a draft cannot be a record.

/// Bytes of a draft's key at the most.
pub const KEY_BYTES_MAX: usize = 256;

/// The refusal of a draft: the field at fault, the value found and the value required.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct DraftError {
    pub field: String,
    pub reason: String,
}

impl DraftError {
    pub(super) fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }
}
