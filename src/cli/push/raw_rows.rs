//! The raw rows of a delimited file: one physical line each, or several where a quoted cell holds
//! line ends.
//!
//! A quote that is not closed, or that closes in the middle of a cell, costs the line that it stands
//! in and no other: the lines after it are read as rows of their own.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use super::rows::{ROW_BYTES_MAX, Refusal, RowsError};

/// The lines before a header that may be comments or blank; more is not a table.
const LINES_BEFORE_HEADER_MAX: usize = 1_000;

/// The first characters of the line with which spreadsheets name their delimiter.
const DELIMITER_LINE: &[u8] = b"sep=";

/// The delimiters that are recognised; the first wins where the header has none of them.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// A row as its bytes, without the end of its last line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawRow {
    /// The line that it begins at, from 1.
    pub(super) line: u64,
    pub(super) text: Vec<u8>,
    /// The reason why its quotes cannot be read; its text is one line then.
    pub(super) fault: Option<Refusal>,
}

/// A reader of raw rows.
pub(super) struct RawRows<R> {
    reader: BufReader<R>,
    delimiter: u8,
    /// Lines that were read ahead in search of a closing quote.
    ahead: VecDeque<Vec<u8>>,
    /// Lines given out so far.
    lines: u64,
    bytes_read: u64,
}

impl<R: Read> RawRows<R> {
    /// Reads up to the header row and settles the delimiter. `None`: the file has no row.
    pub(super) fn open(inner: R) -> Result<(Self, Option<RawRow>), RowsError> {
        let mut rows = Self {
            reader: BufReader::new(inner),
            delimiter: DELIMITERS[0],
            ahead: VecDeque::new(),
            lines: 0,
            bytes_read: 0,
        };
        let mut named = None;
        for _ in 0..LINES_BEFORE_HEADER_MAX {
            let Some(line) = rows.line_ahead(0)? else { return Ok((rows, None)) };
            if let Some(delimiter) = line.strip_prefix(DELIMITER_LINE).and_then(|rest| rest.first())
            {
                named = Some(*delimiter);
            } else if !line.trim_ascii().is_empty() && !line.starts_with(b"#") {
                rows.delimiter = named.unwrap_or_else(|| delimiter_of(line));
                let header = rows.next()?;
                return Ok((rows, header));
            }
            rows.ahead.pop_front();
            rows.lines += 1;
        }
        Ok((rows, None))
    }

    pub(super) const fn delimiter(&self) -> u8 {
        self.delimiter
    }

    pub(super) const fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next row that has something else than blanks in it.
    pub(super) fn next(&mut self) -> Result<Option<RawRow>, RowsError> {
        while let Some(line) = self.line_ahead(0)? {
            if !line.trim_ascii().is_empty() {
                return self.row().map(Some);
            }
            self.ahead.pop_front();
            self.lines += 1;
        }
        Ok(None)
    }

    /// The row that begins with the first line ahead.
    fn row(&mut self) -> Result<RawRow, RowsError> {
        let delimiter = self.delimiter;
        let mut quotes = Quotes::Start;
        let (mut count, mut bytes) = (0, 0);
        let fault = loop {
            let Some(line) = self.line_ahead(count)? else {
                break Some("a quote is opened here and not closed before the end of the file");
            };
            bytes += line.len();
            quotes = line.iter().fold(quotes, |quotes, byte| quotes.after(*byte, delimiter));
            count += 1;
            match quotes {
                Quotes::Broken => {
                    break Some(
                        "a quote is closed in the middle of a cell: write \"\" for a quote in a quoted cell",
                    );
                }
                Quotes::Inside if bytes > ROW_BYTES_MAX => {
                    break Some(
                        "a quote is opened here and not closed within a row's longest size",
                    );
                }
                Quotes::Inside => quotes = quotes.after(b'\n', delimiter),
                Quotes::Start | Quotes::Bare | Quotes::Closed => break None,
            }
        };
        let taken = if fault.is_some() { 1 } else { count };
        let line = self.lines + 1;
        let text: Vec<Vec<u8>> = self.ahead.drain(..taken).collect();
        self.lines += taken as u64;
        let fault = fault.map(|reason| Refusal::new("", reason));
        Ok(RawRow { line, text: text.join(&b'\n'), fault })
    }

    /// A line ahead by its place from 0, without its end; read if it was not yet.
    fn line_ahead(&mut self, at: usize) -> Result<Option<&[u8]>, RowsError> {
        while self.ahead.len() <= at {
            let line = self.lines + self.ahead.len() as u64 + 1;
            let mut bytes = Vec::new();
            let limit = ROW_BYTES_MAX as u64 + 1;
            let count = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut bytes)
                .map_err(|source| RowsError::Read { line: line - 1, source })?;
            if count == 0 {
                return Ok(None);
            }
            if count as u64 == limit {
                return Err(RowsError::RowTooLong { line });
            }
            self.bytes_read += count as u64;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
            self.ahead.push_back(bytes);
        }
        Ok(self.ahead.get(at).map(Vec::as_slice))
    }
}

/// Returns the delimiter that stands most often outside quotes in a header line.
fn delimiter_of(header: &[u8]) -> u8 {
    let mut counts = DELIMITERS.map(|delimiter| (0, delimiter));
    let mut is_quoted = false;
    for byte in header {
        is_quoted ^= *byte == b'"';
        if let Some((count, _)) = counts.iter_mut().find(|(_, delimiter)| delimiter == byte)
            && !is_quoted
        {
            *count += 1;
        }
    }
    // Of equal ones the last is taken, so the preferred one is looked at last.
    counts.into_iter().rev().max_by_key(|(count, _)| *count).map_or(b',', |(_, found)| found)
}

/// The state of quoting after a byte, by RFC 4180.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes; a quote in it is a character like others.
    Bare,
    /// In a quoted cell.
    Inside,
    /// After a quote in a quoted cell: its end, or the first of two.
    Closed,
    /// A character follows a closing quote.
    Broken,
}

impl Quotes {
    fn after(self, byte: u8, delimiter: u8) -> Self {
        match (self, byte) {
            (Self::Broken, _) => Self::Broken,
            (Self::Inside, b'"') => Self::Closed,
            (Self::Start | Self::Closed, b'"') | (Self::Inside, _) => Self::Inside,
            (_, byte) if byte == delimiter => Self::Start,
            // Some programs write blanks between a closing quote and the delimiter.
            (Self::Closed, b' ') => Self::Closed,
            (Self::Closed, _) => Self::Broken,
            (Self::Start | Self::Bare, _) => Self::Bare,
        }
    }
}

/// Gives one row to a reader that asks for more only when it was not complete.
#[derive(Debug, Default)]
pub(super) struct OneRow {
    text: Vec<u8>,
    given: usize,
}

impl OneRow {
    pub(super) fn set(&mut self, text: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.text.push(b'\n');
        self.given = 0;
    }
}

impl Read for OneRow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.text[self.given..];
        let count = rest.read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (u8, Vec<(u64, String, bool)>) {
        let (mut rows, mut next) = RawRows::open(text.as_bytes()).unwrap();
        let mut found = Vec::new();
        while let Some(row) = next {
            found.push((row.line, String::from_utf8(row.text).unwrap(), row.fault.is_some()));
            next = rows.next().unwrap();
        }
        (rows.delimiter(), found)
    }

    fn good(line: u64, text: &str) -> (u64, String, bool) {
        (line, text.to_owned(), false)
    }

    fn bad(line: u64, text: &str) -> (u64, String, bool) {
        (line, text.to_owned(), true)
    }

    #[test]
    fn quoted_line_ends_belong_to_one_row_and_lines_are_counted_as_an_editor_does() {
        let (_, rows) = read("value,notes\r\na,\"two\r\nlines, \"\"x\"\"\"\r\n\r\nb,c");
        let quoted = good(2, "a,\"two\nlines, \"\"x\"\"\"");
        assert_eq!(rows, [good(1, "value,notes"), quoted, good(5, "b,c")]);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line_only() {
        let (_, rows) = read("value,notes\na,\"open\nb,c\nd,e\n");
        let expected = [good(1, "value,notes"), bad(2, "a,\"open"), good(3, "b,c"), good(4, "d,e")];
        assert_eq!(rows, expected);
        let (_, rows) = read("value,notes\na,\"open\nb,\"quoted\"\nd,e\n");
        let expected =
            [good(1, "value,notes"), bad(2, "a,\"open"), good(3, "b,\"quoted\""), good(4, "d,e")];
        assert_eq!(rows, expected);
    }

    #[test]
    fn comments_before_the_header_and_a_named_delimiter_are_read() {
        assert_eq!(read("# feed\n\nsep=;\nvalue,x;notes\n").0, b';');
        assert_eq!(
            read("# feed\nvalue;notes\na;b\n"),
            (b';', vec![good(2, "value;notes"), good(3, "a;b")])
        );
        assert_eq!(read("value\tnotes\n").0, b'\t');
        assert_eq!(read("value\n").0, b',');
        assert_eq!(read("\"a;b;c\",value\n").0, b',');
        assert_eq!(read("# nothing\n").1, []);
    }

    #[test]
    fn a_line_beyond_the_longest_row_stops_the_reading() {
        let mut text = "value\n".to_owned();
        text.push_str(&"x".repeat(ROW_BYTES_MAX + 1));
        let (mut rows, _) = RawRows::open(text.as_bytes()).unwrap();
        assert!(matches!(rows.next(), Err(RowsError::RowTooLong { line: 2 })));
    }
}
