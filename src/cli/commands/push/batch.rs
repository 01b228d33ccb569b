//! Rows in portions for the wire: read and judged on a thread of their own.

use std::io::Read;

use prost::Message;
use tokio::sync::mpsc;

use super::earlier_rows::EarlierRows;
use super::row::{Refusal, RowsError};
use super::rows::Rows;
use super::template::Template;
use super::unknown_cases::reference_of;
use crate::cli::error::CliError;
use crate::pb;

/// Drafts in one request. The node takes 1,024; smaller ones keep progress smooth.
pub(super) const BATCH_DRAFTS_MAX: usize = 512;

/// Encoded drafts and rows as they came in one portion; so its request is below the 4 MiB that gRPC
/// servers take by default.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Rows in one portion, so that a file of bad rows does not become one portion.
const BATCH_ROWS_MAX: usize = 4 * BATCH_DRAFTS_MAX;

/// A row whose draft is in the portion, or whose refusal is settled already.
pub(super) struct JudgedRow {
    pub(super) line: u64,
    pub(super) original: csv::ByteRecord,
    pub(super) refusal: Option<Refusal>,
    /// The case of a takedown result.
    pub(super) case_reference: Option<String>,
}

/// A portion of rows in the order of the file.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<JudgedRow>,
    pub(super) drafts: Vec<pb::Draft>,
    /// The number of drafts, also after they were handed to the wire.
    pub(super) draft_count: usize,
    /// Columns without a place in the kind that stood in no row before.
    pub(super) without_place: Vec<String>,
    /// Bytes of the file up to the end of this portion.
    pub(super) bytes_read: u64,
    /// Bytes that it keeps: encoded drafts, and the rows as they came.
    kept_bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.drafts.len() >= BATCH_DRAFTS_MAX
            || self.kept_bytes >= BATCH_BYTES_MAX
            || self.rows.len() >= BATCH_ROWS_MAX
    }
}

/// Reads everything after the settled rows into portions until nobody takes them any more.
pub(super) fn read_all<R: Read>(
    mut rows: Rows<R>,
    template: &Template,
    earlier: EarlierRows,
    portions: &mpsc::Sender<Result<Batch, CliError>>,
) {
    let result = read_portions(&mut rows, template, earlier, portions);
    if let Err(error) = result {
        // Nobody takes portions any more: nobody wants to know.
        let _ = portions.blocking_send(Err(not_readable(error)));
    }
}

fn read_portions<R: Read>(
    rows: &mut Rows<R>,
    template: &Template,
    mut earlier: EarlierRows,
    portions: &mpsc::Sender<Result<Batch, CliError>>,
) -> Result<(), RowsError> {
    let mut noted = rows.without_place().len();
    for _ in 0..earlier.count() {
        let Some(row) = rows.next()? else { return Ok(()) };
        let line = row.line;
        earlier.add(row, template).map_err(|source| RowsError::Read { line, source })?;
    }
    loop {
        let mut batch = Batch::default();
        let filled = fill(&mut batch, rows, template, &earlier);
        batch.without_place = rows.without_place()[noted..].to_vec();
        noted += batch.without_place.len();
        let wanted = send(batch, rows.bytes_read(), portions);
        // What was read before a fault is still sent.
        if filled? == Filled::ToTheEnd || !wanted {
            return Ok(());
        }
    }
}

#[derive(PartialEq, Eq)]
enum Filled {
    ToTheBrim,
    ToTheEnd,
}

fn fill<R: Read>(
    batch: &mut Batch,
    rows: &mut Rows<R>,
    template: &Template,
    earlier: &EarlierRows,
) -> Result<Filled, RowsError> {
    while !batch.is_full() {
        let Some(row) = rows.next()? else { return Ok(Filled::ToTheEnd) };
        batch.kept_bytes += row.original.as_slice().len();
        let judged = row.cells.and_then(|cells| template.draft(cells));
        let judged = judged.and_then(|draft| earlier.check(draft));
        let (case_reference, refusal) = match judged {
            Ok(draft) => {
                batch.kept_bytes += draft.encoded_len();
                let case_reference = reference_of(&draft);
                batch.drafts.push(draft);
                (case_reference, None)
            }
            Err(refusal) => (None, Some(refusal)),
        };
        let (line, original) = (row.line, row.original);
        batch.rows.push(JudgedRow { line, original, refusal, case_reference });
    }
    Ok(Filled::ToTheBrim)
}

/// False when nobody takes portions any more.
fn send(
    mut batch: Batch,
    bytes_read: u64,
    portions: &mpsc::Sender<Result<Batch, CliError>>,
) -> bool {
    if batch.rows.is_empty() {
        return true;
    }
    batch.bytes_read = bytes_read;
    batch.draft_count = batch.drafts.len();
    portions.blocking_send(Ok(batch)).is_ok()
}

/// The error of a file whose rows cannot be read.
pub(super) fn not_readable(error: RowsError) -> CliError {
    let fix = match &error {
        RowsError::Columns(columns) => columns.fix(),
        RowsError::RowTooLong { .. } => "look for a quote that is opened and never closed".into(),
        RowsError::HeaderText => "save the file as UTF-8".into(),
        RowsError::Header { .. } => "correct that line; nothing was sent".into(),
        RowsError::Read { .. } => "check the file, then run the same command to go on".into(),
    };
    match error {
        RowsError::Read { source, line } => CliError::Other {
            doing: format!("cannot read the row after line {line}"),
            exit: crate::cli::error::Exit::Failed,
            fix,
            source: Box::new(source),
        },
        other => CliError::usage(other.to_string(), fix),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::commands::push::row::ROW_BYTES_MAX;
    use crate::cli::commands::push::rows::FileFormat;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_portion_of_long_rows_is_bounded_by_what_it_keeps() {
        let row = format!("a.example,{}\n", "x".repeat(ROW_BYTES_MAX / 2));
        let file = format!("value,colour\n{}", row.repeat(8));
        let words = ["liaison", "push", "f.csv", "--tlp", "amber", "--ignore-unknown"];
        let Command::Push(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
        let template = args.template();
        let mut rows = Rows::open(FileFormat::Csv, file.as_bytes(), args.rules()).unwrap();
        let mut rows_read = 0;
        loop {
            let mut batch = Batch::default();
            let filled = fill(&mut batch, &mut rows, &template, &EarlierRows::default()).unwrap();
            let kept: usize = batch.rows.iter().map(|row| row.original.as_slice().len()).sum();
            assert!(kept <= BATCH_BYTES_MAX + ROW_BYTES_MAX, "{kept}");
            rows_read += batch.rows.len();
            if filled == Filled::ToTheEnd {
                break;
            }
        }
        assert_eq!(rows_read, 8);
    }
}
