//! The rows of a delimited or NDJSON file, read one at a time with bounded memory.
//!
//! A bad row is a refusal with its line, and the next one is read; only a file that cannot be read
//! at all, or a line that does not end, stops the reading.

use super::columns::ColumnRules;
use super::csv_rows::CsvRows;
use super::json_rows::JsonRows;
use super::row::{Row, RowsError};
use std::io::Read;

/// The two forms of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FileFormat {
    /// Cells separated by comma, semicolon or tab, with a header line (RFC 4180).
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

    /// The names of the original columns, for the report of rejected rows; `None` for NDJSON.
    pub(super) fn header(&self) -> Option<csv::ByteRecord> {
        match self {
            Self::Csv(rows) => Some(rows.header().clone()),
            Self::Ndjson(_) => None,
        }
    }

    /// The known columns that this kind has no place for.
    pub(super) fn without_place(&self) -> &[String] {
        match self {
            Self::Csv(rows) => rows.without_place(),
            Self::Ndjson(rows) => rows.without_place(),
        }
    }

    /// The bytes taken from the text of the file so far.
    pub(super) fn bytes_read(&self) -> u64 {
        match self {
            Self::Csv(rows) => rows.bytes_read(),
            Self::Ndjson(rows) => rows.bytes_read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::push::columns::Field;
    use crate::cli::commands::push::row::Refusal;
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
    fn a_row_with_a_quote_that_is_not_closed_is_refused_and_the_next_is_read() {
        let rows = read(FileFormat::Csv, b"value,notes\na.example,\"open\nb.example,c\n");
        assert_eq!((rows[0].line, rows[1].line), (2, 3));
        let refusal = rows[0].cells.as_ref().unwrap_err();
        assert!(refusal.reason.contains("not closed"), "{}", refusal.reason);
        assert_eq!(cell(&rows[1], Field::Value), Some("b.example"));
    }

    #[test]
    fn files_of_spreadsheets_are_read_with_their_delimiter_blank_rows_and_empty_columns() {
        let rows = read(
            FileFormat::Csv,
            b"sep=;\nvalue;notes;;\na.example;\"x; y\";;\n;;;\nb.example;z;;;;\nc.example;z;w;\n",
        );
        assert_eq!(rows.len(), 3);
        assert_eq!(cell(&rows[0], Field::Notes), Some("x; y"));
        assert_eq!((rows[1].line, cell(&rows[1], Field::Notes)), (5, Some("z")));
        let refusal = rows[2].cells.as_ref().unwrap_err();
        assert_eq!(
            refusal.reason,
            "the cell in column 3 has the text \"w\" and its column has no name"
        );
        let tabs = read(FileFormat::Csv, b"value\tnotes\na.example\tx, y\n");
        assert_eq!(cell(&tabs[0], Field::Notes), Some("x, y"));
    }

    #[test]
    fn a_comment_line_is_left_out_and_a_row_that_begins_like_one_is_not() {
        let rows = read(
            FileFormat::Csv,
            b"# made by a feed\nvalue,notes\n# 2 rows, of them 1 new, 1 old\na.example,x\n#tag,y\n# end\n",
        );
        let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [4, 5]);
        assert_eq!(cell(&rows[1], Field::Value), Some("#tag"));
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

    #[test]
    fn a_later_row_of_ndjson_with_a_field_that_has_no_place_is_remembered_for_a_note() {
        let file = b"{\"value\":\"a.example\"}\n{\"value\":\"b.example\",\"first_seen\":\"x\"}\n\
                     {\"value\":\"c.example\",\"first_seen\":\"y\"}\n";
        let mut rows = Rows::open(FileFormat::Ndjson, &file[..], rules()).unwrap();
        assert!(rows.without_place().is_empty());
        while rows.next().unwrap().is_some() {}
        assert_eq!(rows.without_place(), ["first_seen"]);
    }

    #[test]
    fn a_member_of_the_author_with_a_name_of_a_report_is_read_as_his() {
        let rows = read(
            FileFormat::Ndjson,
            b"{\"value\":\"a.example\"}\n{\"value\":\"b.example\",\"rejected_reason\":\"x\"}\n\
              {\"rejected_line\":2,\"rejected_column\":\"\",\"rejected_reason\":\"is bad\",\
              \"value\":\"c.example\",\"reason\":\"x\"}\n\
              {\"rejected_line\":2,\"rejected_column\":\"\",\"rejected_reason\":\"is bad\",\
              \"rejected_row\":\"nonsense\"}\n",
        );
        let reason = |at: usize| rows[at].cells.as_ref().unwrap_err().reason.clone();
        assert_eq!(reason(1), "unknown columns: rejected_reason");
        assert_eq!(cell(&rows[2], Field::Reason), Some("x"));
        assert!(reason(3).contains("the file has no column value"), "{}", reason(3));
    }

    #[test]
    fn text_behind_a_carriage_return_in_a_cell_is_neither_lost_nor_a_row() {
        let file = b"value,notes\na.example,one\revil.example,x\nb.example,z\n\"c\rd\",y\n";
        let rows = read(FileFormat::Csv, file);
        let refusal = rows[0].cells.as_ref().unwrap_err();
        assert!(refusal.reason.contains("another line end"), "{}", refusal.reason);
        let original: Vec<_> = rows[0].original.iter().collect();
        assert_eq!(original, [&b"a.example"[..], b"one\revil.example", b"x"]);
        assert_eq!((rows[1].line, cell(&rows[1], Field::Value)), (3, Some("b.example")));
        assert_eq!(cell(&rows[2], Field::Value), Some("c\rd"));
        let old = read(FileFormat::Csv, b"value,notes\ra.example,x\rb.example,y\r");
        assert_eq!((old.len(), cell(&old[1], Field::Notes)), (2, Some("y")));
        let header = Rows::open(FileFormat::Csv, &b"value,\"notes\na,b\n"[..], rules());
        assert!(matches!(header.err(), Some(RowsError::Header { line: 1, .. })));
    }

    proptest! {
        #[test]
        fn every_character_of_a_table_is_in_one_of_its_rows(
            text in "[z,;\"\r\n ]{0,60}",
            end in "\r|\n|\r\n",
        ) {
            let file = format!("value,notes{end}{text}");
            let rows = read(FileFormat::Csv, file.as_bytes());
            let in_rows = rows.iter().flat_map(|row| row.original.iter().flatten());
            prop_assert_eq!(
                in_rows.filter(|byte| **byte == b'z').count(),
                text.matches('z').count()
            );
        }

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
