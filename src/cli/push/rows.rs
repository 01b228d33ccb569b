//! Rows of a CSV or NDJSON file, read one at a time with bounded memory.
//!
//! A bad row is a refusal with its line, and the next one is read; only a file that cannot be read
//! at all, or a row that does not end, stops the reading.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::columns::{ColumnError, ColumnRules, Columns, Field};

/// Longest row in bytes. A draft's own fields stay below 64 KiB; an open quote must not swallow
/// the file.
pub(super) const ROW_BYTES_MAX: usize = 1024 * 1024;

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    #[error("the row that begins at line {line} is longer than {ROW_BYTES_MAX} bytes")]
    RowTooLong { line: u64 },
    #[error("the first line is not UTF-8")]
    HeaderText,
    #[error(transparent)]
    Columns(#[from] ColumnError),
    #[error("cannot read the row after line {line}")]
    Read { line: u64, source: io::Error },
}

/// Why one row cannot be used.
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
    /// Where it begins, from 1.
    pub(super) line: u64,
    pub(super) cells: Result<Cells, Refusal>,
    /// The row as it came, for the report.
    pub(super) original: csv::ByteRecord,
}

/// The two forms of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FileFormat {
    /// Comma-separated with a header line (RFC 4180).
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// A file that is being read.
pub(super) enum Rows<R> {
    Csv(CsvRows<R>),
    Ndjson(JsonRows<R>),
}

impl<R: Read> Rows<R> {
    /// Reads the header and settles the columns.
    pub(super) fn open(
        format: FileFormat,
        inner: R,
        rules: ColumnRules,
    ) -> Result<Self, RowsError> {
        match format {
            FileFormat::Csv => CsvRows::open(inner, &rules).map(Self::Csv),
            FileFormat::Ndjson => JsonRows::open(inner, rules).map(Self::Ndjson),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, RowsError> {
        match self {
            Self::Csv(rows) => rows.next(),
            Self::Ndjson(rows) => rows.next(),
        }
    }

    /// Names of the original columns, for the report of rejected rows.
    pub(super) fn header(&self) -> csv::ByteRecord {
        match self {
            Self::Csv(rows) => rows.header.clone(),
            Self::Ndjson(_) => csv::ByteRecord::from(vec!["row"]),
        }
    }

    /// Known columns that this kind has no place for.
    pub(super) fn without_place(&self) -> &[String] {
        match self {
            Self::Csv(rows) => &rows.columns.without_place,
            Self::Ndjson(rows) => &rows.without_place,
        }
    }

    /// Bytes taken from the file so far.
    pub(super) fn bytes_read(&self) -> u64 {
        match self {
            Self::Csv(rows) => rows.reader.position().byte(),
            Self::Ndjson(rows) => rows.bytes_read,
        }
    }
}

/// Rows of a CSV file.
pub(super) struct CsvRows<R> {
    reader: csv::Reader<Bounded<R>>,
    budget: Arc<AtomicUsize>,
    header: csv::ByteRecord,
    columns: Columns,
}

impl<R: Read> CsvRows<R> {
    fn open(inner: R, rules: &ColumnRules) -> Result<Self, RowsError> {
        let budget = Arc::new(AtomicUsize::new(ROW_BYTES_MAX));
        let bounded = Bounded::new(inner, Arc::clone(&budget));
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bounded);
        let mut header = csv::ByteRecord::new();
        read_record(&mut reader, &budget, &mut header)?;
        let names = header
            .iter()
            .map(|name| std::str::from_utf8(name).map(|name| name.trim().to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| RowsError::HeaderText)?;
        let columns = Columns::resolve(&names, rules)?;
        Ok(Self { reader, budget, header, columns })
    }

    fn next(&mut self) -> Result<Option<Row>, RowsError> {
        let mut original = csv::ByteRecord::new();
        if !read_record(&mut self.reader, &self.budget, &mut original)? {
            return Ok(None);
        }
        // Counted from the end: before the row there may be blank lines, after it there are none.
        let inside = original.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let line = self.reader.position().line().saturating_sub(inside + 1);
        Ok(Some(Row { line, cells: self.cells(&original), original }))
    }

    fn cells(&self, record: &csv::ByteRecord) -> Result<Cells, Refusal> {
        if record.len() != self.columns.len() {
            let reason = format!(
                "the row has {} columns, the header has {}",
                record.len(),
                self.columns.len()
            );
            return Err(Refusal::new("", reason));
        }
        let mut cells = Cells::new();
        for (at, bytes) in record.iter().enumerate() {
            let Some(field) = self.columns.meaning(at) else { continue };
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Refusal::new(self.column_name(at), "the cell is not UTF-8"))?
                .trim();
            if !text.is_empty() {
                cells.push((field, text.to_owned()));
            }
        }
        Ok(cells)
    }

    fn column_name(&self, at: usize) -> String {
        self.header
            .get(at)
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .unwrap_or_default()
    }
}

fn read_record<R: Read>(
    reader: &mut csv::Reader<Bounded<R>>,
    budget: &AtomicUsize,
    record: &mut csv::ByteRecord,
) -> Result<bool, RowsError> {
    budget.store(ROW_BYTES_MAX, Ordering::Relaxed);
    let line = reader.position().line();
    reader.read_byte_record(record).map_err(|error| match error.into_kind() {
        csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
            RowsError::RowTooLong { line }
        }
        csv::ErrorKind::Io(source) => RowsError::Read { line, source },
        other => RowsError::Read { line, source: io::Error::other(format!("{other:?}")) },
    })
}

/// Gives out at most a budget of bytes between two rows, and every line with one line feed at its
/// end, the last one too: only so do the reader's line numbers agree with an editor's.
struct Bounded<R> {
    inner: R,
    budget: Arc<AtomicUsize>,
    /// The last byte was a carriage return; whether it goes depends on the next.
    held_return: bool,
    last: u8,
}

impl<R: Read> Bounded<R> {
    fn new(inner: R, budget: Arc<AtomicUsize>) -> Self {
        Self { inner, budget, held_return: false, last: b'\n' }
    }

    /// Takes the returns of line ends out of `bytes[..count]`; answers how many bytes are left.
    fn fold_line_ends(&mut self, bytes: &mut [u8], count: usize) -> usize {
        let mut kept = 0;
        for at in 0..count {
            let byte = bytes[at];
            if byte == b'\n' && kept > 0 && bytes[kept - 1] == b'\r' {
                kept -= 1;
            }
            bytes[kept] = byte;
            kept += 1;
        }
        if kept > 0 && bytes[kept - 1] == b'\r' {
            kept -= 1;
            self.held_return = true;
        }
        kept
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let end = buffer.len().min(left.max(2));
        loop {
            let held = usize::from(std::mem::take(&mut self.held_return));
            let Some(room) = buffer.get_mut(..end).filter(|room| room.len() > held) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let count = self.inner.read(&mut room[held..])?;
            if count == 0 {
                let is_missing = held == 1 || self.last != b'\n';
                self.last = b'\n';
                room[0] = b'\n';
                return Ok(usize::from(is_missing));
            }
            if held == 1 {
                room[0] = b'\r';
            }
            self.budget.store(left.saturating_sub(count), Ordering::Relaxed);
            let kept = self.fold_line_ends(room, held + count);
            if let Some(last) = kept.checked_sub(1).and_then(|at| room.get(at)) {
                self.last = *last;
                return Ok(kept);
            }
        }
    }
}

/// Rows of an NDJSON file. Its first row settles the columns; later rows may have fewer, and a row
/// with an unknown one is refused by itself.
pub(super) struct JsonRows<R> {
    reader: BufReader<R>,
    rules: ColumnRules,
    first: Option<Row>,
    line: u64,
    bytes_read: u64,
    without_place: Vec<String>,
}

impl<R: Read> JsonRows<R> {
    fn open(inner: R, rules: ColumnRules) -> Result<Self, RowsError> {
        let mut rows = Self {
            reader: BufReader::new(inner),
            rules,
            first: None,
            line: 0,
            bytes_read: 0,
            without_place: Vec::new(),
        };
        let Some((line, bytes)) = rows.next_line()? else { return Err(ColumnError::Empty.into()) };
        if let Ok(members) = members_of(&bytes) {
            let names: Vec<_> = members.into_iter().map(|(name, _)| name).collect();
            rows.without_place = Columns::resolve(&names, &rows.rules)?.without_place;
        }
        // From here on every row stands for itself: a mapped column may be absent.
        rows.first = Some(rows.row(line, bytes));
        Ok(rows)
    }

    fn next(&mut self) -> Result<Option<Row>, RowsError> {
        if let Some(row) = self.first.take() {
            return Ok(Some(row));
        }
        Ok(self.next_line()?.map(|(line, bytes)| self.row(line, bytes)))
    }

    /// The next line that is not blank, without its end.
    fn next_line(&mut self) -> Result<Option<(u64, Vec<u8>)>, RowsError> {
        loop {
            let mut bytes = Vec::new();
            let limit = ROW_BYTES_MAX as u64 + 1;
            let count = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut bytes)
                .map_err(|source| RowsError::Read { line: self.line, source })?;
            if count == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes_read += count as u64;
            if count as u64 == limit {
                return Err(RowsError::RowTooLong { line: self.line });
            }
            if self.line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
            bytes.truncate(bytes.trim_ascii_end().len());
            if !bytes.is_empty() {
                return Ok(Some((self.line, bytes)));
            }
        }
    }

    fn row(&self, line: u64, bytes: Vec<u8>) -> Row {
        let cells = members_of(&bytes).and_then(|members| self.cells(members));
        Row { line, cells, original: csv::ByteRecord::from(vec![bytes]) }
    }

    fn cells(&self, members: Vec<(String, Value)>) -> Result<Cells, Refusal> {
        let names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
        let mut rules = self.rules.clone();
        rules.map.retain(|name, _| names.contains(name));
        let columns = Columns::resolve(&names, &rules)
            .map_err(|error| Refusal::new("", error.to_string()))?;
        let mut cells = Cells::new();
        for (at, (name, value)) in members.into_iter().enumerate() {
            let Some(field) = columns.meaning(at) else { continue };
            let text = text_of(&value).map_err(|reason| Refusal::new(&name, reason))?;
            let text = text
                .ok_or_else(|| Refusal::new(name, "expected text, a number or a list of texts"))?;
            if !text.is_empty() {
                cells.push((field, text));
            }
        }
        Ok(cells)
    }
}

/// The text of a member; lists are joined by blanks, as tags and references are written in CSV.
///
/// # Errors
/// For a number with a point or an exponent: an identifier of digits has become another that way.
fn text_of(value: &Value) -> Result<Option<String>, String> {
    if let Value::Number(number) = value
        && number.is_f64()
    {
        return Err(format!(
            "{number} is a number with a point or an exponent; write it in quotes, as text"
        ));
    }
    Ok(match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| item.as_str()).collect();
            texts.map(|texts| texts.join(" "))
        }
        Value::Object(_) => None,
    })
}

/// Members of a JSON object in their order, repeated names included.
fn members_of(bytes: &[u8]) -> Result<Vec<(String, Value)>, Refusal> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object with the columns as names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found = reader.deserialize_map(Members).and_then(|members| reader.end().map(|()| members));
    found.map_err(|error| Refusal::new("", format!("the line is not a JSON object: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::Kind;
    use proptest::prelude::*;

    fn rules() -> ColumnRules {
        ColumnRules {
            kind: Kind::TakedownResult,
            map: std::collections::HashMap::new(),
            ignore_unknown: false,
            tlp_is_given: true,
        }
    }

    fn read(format: FileFormat, bytes: &[u8]) -> Vec<Row> {
        let mut rows = Rows::open(format, bytes, rules()).unwrap();
        std::iter::from_fn(|| rows.next().unwrap()).collect()
    }

    fn cell(row: &Row, field: Field) -> Option<&str> {
        let cells = row.cells.as_ref().unwrap();
        cells.iter().find(|(found, _)| *found == field).map(|(_, text)| text.as_str())
    }

    #[test]
    fn a_byte_order_mark_crlf_and_quoted_line_breaks_are_read() {
        let rows = read(
            FileFormat::Csv,
            b"\xef\xbb\xbfvalue,notes\r\na.example,\"two\r\nlines\"\r\n\r\nb.example,x\r",
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(cell(&rows[0], Field::Notes), Some("two\nlines"));
        assert_eq!((rows[0].line, rows[1].line), (2, 5));
    }

    #[test]
    fn a_ragged_row_and_invalid_utf8_are_refused_by_row_and_the_rest_goes_on() {
        let rows =
            read(FileFormat::Csv, b"value,notes\na.example\n\xff\xfe,x\nb.example,y\nc,d,e\n");
        let refusals: Vec<_> = rows.iter().map(|row| row.cells.as_ref().err()).collect();
        assert_eq!(refusals[0].unwrap().reason, "the row has 1 columns, the header has 2");
        assert_eq!(refusals[1].unwrap(), &Refusal::new("value", "the cell is not UTF-8"));
        assert_eq!(refusals[2], None);
        assert!(refusals[3].is_some());
    }

    #[test]
    fn a_quote_that_never_ends_is_refused_with_its_line() {
        let mut bytes = b"value,notes\na,b\nx,\"".to_vec();
        bytes.resize(3 * ROW_BYTES_MAX, b'z');
        let mut rows = Rows::open(FileFormat::Csv, bytes.as_slice(), rules()).unwrap();
        assert!(rows.next().unwrap().is_some());
        assert!(matches!(rows.next(), Err(RowsError::RowTooLong { line: 3 })));
    }

    #[test]
    fn ndjson_rows_have_lists_numbers_and_refusals() {
        let rows = read(
            FileFormat::Ndjson,
            b"{\"value\":\"a.example\",\"tags\":[\"x\",\"y\"],\"confidence\":80}\n\n\
              {\"value\":\"a\",\"colour\":1}\nnonsense\n{\"value\":\"a\",\"value\":\"b\"}\n",
        );
        assert_eq!(cell(&rows[0], Field::Tags), Some("x y"));
        assert_eq!(cell(&rows[0], Field::Confidence), Some("80"));
        let reason = |at: usize| rows[at].cells.as_ref().unwrap_err().reason.clone();
        assert_eq!(reason(1), "unknown columns: colour");
        assert!(reason(2).starts_with("the line is not a JSON object"));
        assert!(reason(3).contains("both mean value"));
        assert_eq!(rows[1].line, 3);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for format in [FileFormat::Csv, FileFormat::Ndjson] {
                let head: &[u8] = if format == FileFormat::Csv { b"value,notes\n" } else { b"" };
                let file = [head, &bytes].concat();
                if let Ok(mut rows) = Rows::open(format, file.as_slice(), rules()) {
                    while let Ok(Some(_)) = rows.next() {}
                }
            }
        }
    }
}
