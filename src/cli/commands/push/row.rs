//! One row of a file as cells, and why it or its file cannot be read.

use super::columns::{ColumnError, Field};
use std::io;

/// The longest row in bytes. The fields of a draft stay below 64 KiB, and reading one row must not
/// fill the memory.
pub(super) const ROW_BYTES_MAX: usize = 1024 * 1024;

/// The reason why the reading stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    #[error("line {line} is longer than {ROW_BYTES_MAX} bytes")]
    RowTooLong { line: u64 },
    #[error("the first line is not UTF-8")]
    HeaderText,
    #[error("line {line}, which names the columns: {reason}")]
    Header { line: u64, reason: String },
    #[error(transparent)]
    Columns(#[from] ColumnError),
    #[error("cannot read the row after line {line}")]
    Read { line: u64, source: io::Error },
}

/// The reason why one row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Name of the column at fault, or empty when it is the row as a whole.
    pub(super) column: String,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(column: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { column: column.into(), reason: reason.into() }
    }
}

/// The cells of a row that are read; empty ones are left out.
pub(super) type Cells = Vec<(Field, String)>;

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    /// The line that it begins at, from 1.
    pub(super) line: u64,
    pub(super) cells: Result<Cells, Refusal>,
    /// The row as it came, for the report: its cells, or the line of an NDJSON file as one.
    pub(super) original: csv::ByteRecord,
}
