//! The rows of a delimited file by the columns of its header.
//!
//! Rows without a text in any cell and comments are left out; a cell in a column without a name is
//! refused, so that nothing that was written is dropped in silence.

use std::io::{self, Read};

use super::columns::{ColumnError, ColumnRules, Columns};
use super::raw_rows::{OneRow, RawRow, RawRows};
use super::row::{Cells, Refusal, Row, RowsError};

const NOT_ONE_ROW: &str = "a quote is closed in the middle of a cell, so that nobody can tell where the row ends: write \
     \"\" for a quote in a quoted cell";

/// A reader of rows by columns.
pub(super) struct CsvRows<R> {
    raw: RawRows<R>,
    cells: csv::Reader<OneRow>,
    header: csv::ByteRecord,
    columns: Columns,
}

impl<R: Read> CsvRows<R> {
    pub(super) fn open(inner: R, rules: &ColumnRules) -> Result<Self, RowsError> {
        let (raw, header) = RawRows::open(inner)?;
        let header = header.ok_or(ColumnError::Empty)?;
        if let Some(fault) = header.fault {
            return Err(RowsError::Header { line: header.line, reason: fault.reason });
        }
        let mut cells = reader_of_cells(&raw);
        let line = header.line;
        let Some(mut header) = split(&mut cells, &header, raw.line_end())? else {
            return Err(RowsError::Header { line, reason: NOT_ONE_ROW.to_owned() });
        };
        header.truncate(
            header.iter().rposition(|name| !name.trim_ascii().is_empty()).map_or(0, |at| at + 1),
        );
        let names = header
            .iter()
            .map(|name| std::str::from_utf8(name).map(|name| name.trim().to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| RowsError::HeaderText)?;
        let columns = Columns::resolve(&names, rules)?;
        Ok(Self { raw, cells, header, columns })
    }

    pub(super) const fn header(&self) -> &csv::ByteRecord {
        &self.header
    }

    pub(super) fn without_place(&self) -> &[String] {
        &self.columns.without_place
    }

    pub(super) const fn bytes_read(&self) -> u64 {
        self.raw.bytes_read()
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, RowsError> {
        while let Some(raw) = self.raw.next()? {
            let line = raw.line;
            let Some(mut original) = split(&mut self.cells, &raw, self.raw.line_end())? else {
                self.cells = reader_of_cells(&self.raw);
                let fault = raw.fault.unwrap_or_else(|| Refusal::new("", NOT_ONE_ROW));
                let original = csv::ByteRecord::from(vec![raw.text]);
                return Ok(Some(Row { line, cells: Err(fault), original }));
            };
            if let Some(fault) = raw.fault {
                return Ok(Some(Row { line, cells: Err(fault), original }));
            }
            let is_comment = raw.text.starts_with(b"#") && original.len() != self.columns.len();
            if is_comment || original.iter().all(|cell| cell.trim_ascii().is_empty()) {
                continue;
            }
            // Spreadsheets write delimiters for columns that are empty to the end of the sheet.
            let used = original.iter().rposition(|cell| !cell.trim_ascii().is_empty());
            original.truncate(self.columns.len().max(used.map_or(0, |at| at + 1)));
            return Ok(Some(Row { line, cells: self.cells_of(&original), original }));
        }
        Ok(None)
    }

    fn cells_of(&self, record: &csv::ByteRecord) -> Result<Cells, Refusal> {
        let (found, columns) = (record.len(), self.columns.len());
        if found < columns {
            let reason = format!("the row has {found} columns, the header has {columns}");
            return Err(Refusal::new("", reason));
        }
        let mut cells = Cells::new();
        for (at, bytes) in record.iter().enumerate() {
            let meaning = self.columns.meaning(at);
            let has_name = self.header.get(at).is_some_and(|name| !name.trim_ascii().is_empty());
            if meaning.is_none() && has_name {
                continue;
            }
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Refusal::new(self.column_name(at), "the cell is not UTF-8"))?
                .trim();
            match meaning {
                _ if text.is_empty() => {}
                Some(field) => cells.push((field, text.to_owned())),
                None => {
                    let reason = format!(
                        "the cell in column {} has the text {text:?} and its column has no name",
                        at + 1
                    );
                    return Err(Refusal::new("", reason));
                }
            }
        }
        Ok(cells)
    }

    fn column_name(&self, at: usize) -> String {
        let name = self.header.get(at).unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

fn reader_of_cells<R: Read>(raw: &RawRows<R>) -> csv::Reader<OneRow> {
    csv::ReaderBuilder::new()
        .delimiter(raw.delimiter())
        // The other byte may stand in a cell: it must not end the record there.
        .terminator(csv::Terminator::Any(raw.line_end()))
        .has_headers(false)
        .flexible(true)
        .from_reader(OneRow::default())
}

/// Splits a raw row into its cells. `None`: it is read as more than one row, and the reader, which holds
/// the rest, is of no more use.
fn split(
    cells: &mut csv::Reader<OneRow>,
    raw: &RawRow,
    line_end: u8,
) -> Result<Option<csv::ByteRecord>, RowsError> {
    let begin = cells.position().byte();
    cells.get_mut().set(&raw.text, line_end);
    let mut record = csv::ByteRecord::new();
    cells
        .read_byte_record(&mut record)
        .map_err(|error| RowsError::Read { line: raw.line, source: io::Error::other(error) })?;
    let is_whole = cells.position().byte() - begin >= raw.text.len() as u64;
    Ok(is_whole.then_some(record))
}
