//! The raw rows of a delimited file: one physical line each, or several where a quoted cell holds
//! line ends.
//!
//! A quote that is not closed, or that closes in the middle of a cell, costs the line that it stands
//! in and no other: the lines after it are read as rows of their own. A line end of another kind
//! than the first line's costs its line too: no text of a row is taken for a row.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::row::{ROW_BYTES_MAX, Refusal, RowsError};

/// The lines before a header that may be comments or blank; more is not a table.
const LINES_BEFORE_HEADER_MAX: usize = 1_000;

/// The bytes in which the first line end is looked for. A header is shorter.
const HEAD_BYTES: u64 = 64 * 1024;

/// The first characters of the line with which spreadsheets name their delimiter.
const DELIMITER_LINE: &[u8] = b"sep=";

/// The delimiters that are recognised; the first wins where the header has none of them.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

const NOT_CLOSED: &str = "a quote is opened here and not closed before the end of the file";
const NOT_CLOSED_IN_TIME: &str =
    "a quote is opened here and not closed within a row's longest size";
const CLOSED_IN_A_CELL: &str =
    "a quote is closed in the middle of a cell: write \"\" for a quote in a quoted cell";
const OTHER_LINE_END: &str = "another line end (CR or LF) than that of the first line stands here \
                              outside quotes: end all lines alike, or put the cell in quotes";

/// A row as its bytes, without the end of its last line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawRow {
    /// The line that it begins at, from 1.
    pub(super) line: u64,
    /// Lines of one row are joined by a line feed.
    pub(super) text: Vec<u8>,
    /// The reason why it cannot be read; its text is one line then.
    pub(super) fault: Option<Refusal>,
}

/// The line end of a file, by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    /// LF, with or without CR before it.
    Lf,
    /// CR alone, as old spreadsheets for the Macintosh write it.
    Cr,
}

impl LineEnd {
    const fn byte(self) -> u8 {
        match self {
            Self::Lf => b'\n',
            Self::Cr => b'\r',
        }
    }

    /// The byte that ends no line of such a file.
    const fn other(self) -> u8 {
        match self {
            Self::Lf => b'\r',
            Self::Cr => b'\n',
        }
    }

    /// Finds the first line end outside quotes.
    fn of(head: &[u8]) -> Self {
        let is_comment = head.starts_with(b"#");
        let mut is_quoted = false;
        for (at, byte) in head.iter().enumerate() {
            match byte {
                b'"' => is_quoted ^= !is_comment,
                b'\n' if !is_quoted => return Self::Lf,
                b'\r' if !is_quoted => {
                    let after = head[at..].iter().find(|byte| **byte != b'\r');
                    return if after == Some(&b'\n') { Self::Lf } else { Self::Cr };
                }
                _ => {}
            }
        }
        Self::Lf
    }

    /// Removes a line's end, and the other half of a line end of two bytes.
    fn strip(self, line: &mut Vec<u8>) {
        if line.last() == Some(&self.byte()) {
            line.pop();
        }
        match self {
            Self::Lf => {
                line.truncate(line.iter().rposition(|b| *b != b'\r').map_or(0, |at| at + 1));
            }
            Self::Cr if line.first() == Some(&b'\n') => drop(line.remove(0)),
            Self::Cr => {}
        }
    }
}

/// State of the lines ahead of the first one: none closes quotes that are open before it.
#[derive(Debug, Clone, Copy)]
enum Beyond {
    /// Quotes are still open behind the last line ahead.
    Open,
    /// A row whose quotes are open at one of their beginnings has this fault.
    Faulty(&'static str),
}

/// A reader of raw rows.
pub(super) struct RawRows<R> {
    reader: BufReader<io::Chain<Cursor<Vec<u8>>, R>>,
    line_end: LineEnd,
    delimiter: u8,
    /// Lines that were read ahead in search of a closing quote.
    ahead: VecDeque<Vec<u8>>,
    /// The bytes of the lines ahead, one more for each as its end.
    ahead_bytes: usize,
    /// Each search goes on where the last one stopped, so that no line is looked at again and again.
    beyond: Beyond,
    /// Lines given out so far.
    lines: u64,
    bytes_read: u64,
}

impl<R: Read> RawRows<R> {
    /// Reads up to the header row and settles line end and delimiter. `None`: the file has no row.
    pub(super) fn open(mut inner: R) -> Result<(Self, Option<RawRow>), RowsError> {
        let mut head = Vec::new();
        (&mut inner)
            .take(HEAD_BYTES)
            .read_to_end(&mut head)
            .map_err(|source| RowsError::Read { line: 0, source })?;
        let mut rows = Self {
            line_end: LineEnd::of(&head),
            reader: BufReader::new(Cursor::new(head).chain(inner)),
            delimiter: DELIMITERS[0],
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            beyond: Beyond::Open,
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
            rows.take(1);
        }
        Ok((rows, None))
    }

    pub(super) const fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The byte that stands in no row outside quotes, unless the row has a fault of another kind.
    pub(super) const fn line_end(&self) -> u8 {
        self.line_end.byte()
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
            self.take(1);
        }
        Ok(None)
    }

    /// The row that begins with the first line ahead.
    fn row(&mut self) -> Result<RawRow, RowsError> {
        let (count, fault) = self.extent()?;
        let line = self.lines + 1;
        let text = self.take(count);
        let fault = fault.map(|reason| Refusal::new("", reason));
        Ok(RawRow { line, text, fault })
    }

    /// Returns how many of the lines ahead are the row, or one and its fault.
    fn extent(&mut self) -> Result<(usize, Option<&'static str>), RowsError> {
        let (delimiter, other) = (self.delimiter, self.line_end.other());
        let mut quotes = Quotes::Start;
        let (mut count, mut bytes) = (0, 0);
        let fault = loop {
            let Some(line) = self.line_ahead(count)? else { break NOT_CLOSED };
            bytes += line.len() + 1;
            quotes = line.iter().fold(quotes, |quotes, byte| quotes.after(*byte, delimiter, other));
            count += 1;
            match quotes {
                Quotes::Start | Quotes::Bare | Quotes::Closed => return Ok((count, None)),
                Quotes::Broken if count == 1 => return Ok((1, Some(CLOSED_IN_A_CELL))),
                Quotes::Split if count == 1 => return Ok((1, Some(OTHER_LINE_END))),
                Quotes::Broken => break CLOSED_IN_A_CELL,
                Quotes::Split => break OTHER_LINE_END,
                Quotes::Inside if count == 1 && self.ahead.len() > 1 => match self.beyond {
                    Beyond::Open => (count, bytes) = (self.ahead.len(), self.ahead_bytes),
                    Beyond::Faulty(fault) => return Ok((1, Some(fault))),
                },
                Quotes::Inside => {}
            }
            if bytes > ROW_BYTES_MAX {
                self.beyond = Beyond::Open;
                return Ok((1, Some(NOT_CLOSED_IN_TIME)));
            }
        };
        self.beyond = Beyond::Faulty(fault);
        Ok((1, Some(fault)))
    }

    /// Takes the first lines ahead, joined by a line feed.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let lines: Vec<Vec<u8>> = self.ahead.drain(..count.min(self.ahead.len())).collect();
        self.lines += lines.len() as u64;
        self.ahead_bytes -= lines.iter().map(|line| line.len() + 1).sum::<usize>();
        lines.join(&b'\n')
    }

    /// A line ahead by its place from 0, without its end; read if it was not yet.
    fn line_ahead(&mut self, at: usize) -> Result<Option<&[u8]>, RowsError> {
        while self.ahead.len() <= at {
            let line = self.lines + self.ahead.len() as u64 + 1;
            let mut bytes = Vec::new();
            let limit = ROW_BYTES_MAX as u64 + 1;
            let count = (&mut self.reader)
                .take(limit)
                .read_until(self.line_end.byte(), &mut bytes)
                .map_err(|source| RowsError::Read { line: line - 1, source })?;
            if count == 0 {
                return Ok(None);
            }
            if count as u64 == limit {
                return Err(RowsError::RowTooLong { line });
            }
            self.bytes_read += count as u64;
            self.line_end.strip(&mut bytes);
            self.ahead_bytes += bytes.len() + 1;
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
    /// A line end of another kind than the file's stands outside quotes.
    Split,
}

impl Quotes {
    fn after(self, byte: u8, delimiter: u8, other_line_end: u8) -> Self {
        match (self, byte) {
            (Self::Broken | Self::Split, _) => self,
            (Self::Inside, b'"') => Self::Closed,
            (Self::Start | Self::Closed, b'"') | (Self::Inside, _) => Self::Inside,
            (_, byte) if byte == delimiter => Self::Start,
            (_, byte) if byte == other_line_end => Self::Split,
            // Some programs write blanks between a closing quote and the delimiter.
            (Self::Closed, b' ') => Self::Closed,
            (Self::Closed, _) => Self::Broken,
            (Self::Start | Self::Bare, _) => Self::Bare,
        }
    }
}

/// A row for a reader that asks for more only when the row was not complete.
#[derive(Debug, Default)]
pub(super) struct OneRow {
    text: Vec<u8>,
    given: usize,
}

impl OneRow {
    pub(super) fn set(&mut self, text: &[u8], line_end: u8) {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.text.push(line_end);
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
    fn a_file_whose_lines_end_with_a_carriage_return_has_all_its_rows() {
        let (_, rows) = read("value,notes\ra,\"two\rlines\"\r\rb,c\rd,e");
        let quoted = good(2, "a,\"two\nlines\"");
        assert_eq!(rows, [good(1, "value,notes"), quoted, good(5, "b,c"), good(6, "d,e")]);
        let (_, rows) = read("# 5\" disks\rvalue\ra\r\nb\r");
        assert_eq!(rows, [good(2, "value"), good(3, "a"), good(4, "b")]);
        assert_eq!(read("value\r\r\na\r\r\n").1, [good(1, "value"), good(2, "a")]);
    }

    #[test]
    fn a_line_end_of_another_kind_costs_its_line_and_no_other() {
        let (_, rows) = read("value,notes\na,one\rb,two\nc,\"x\ry\"\n");
        let kept = good(3, "c,\"x\ry\"");
        assert_eq!(rows, [good(1, "value,notes"), bad(2, "a,one\rb,two"), kept]);
        let (_, rows) = read("value,notes\ra,one\nb,two\rc,d\r");
        assert_eq!(rows, [good(1, "value,notes"), bad(2, "a,one\nb,two"), good(3, "c,d")]);
    }

    #[test]
    fn a_search_for_a_closing_quote_begins_where_the_last_one_stopped() {
        let mut text = "value,notes\n".to_owned();
        // Each line opens a quote, and closes one that is open; the last one breaks all of them.
        text.push_str(&"x\",\",\n".repeat(30_000));
        text.push_str(&format!("{}\",\"y\"z\nlast,row\n", "y".repeat(ROW_BYTES_MAX / 2)));
        let started = std::time::Instant::now();
        let (_, rows) = read(&text);
        assert_eq!(rows.len(), 30_003);
        assert!(rows[1..30_002].iter().all(|(_, _, is_bad)| *is_bad));
        assert_eq!(rows[30_002], good(30_003, "last,row"));
        // A search from each line to the last one takes minutes.
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn a_quote_that_is_open_beyond_the_longest_row_costs_its_own_line_only() {
        let filler = format!("{}\n", "y".repeat(999));
        let text = format!("value\n\"a\n\"b\n{}c\"\nd\n", filler.repeat(2_000));
        let (_, rows) = read(&text);
        assert_eq!(rows[1..4], [bad(2, "\"a"), bad(3, "\"b"), good(4, filler.trim_end())]);
        assert_eq!(rows.len(), 2_005);
        // The same within the size is one row.
        let text = format!("value\n\"a\n{}c\"\nd\n", filler.repeat(1_000));
        assert_eq!(read(&text).1.len(), 3);
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
