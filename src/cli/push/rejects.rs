//! The report of rejected rows: line, column, reason, then the row as it came.
//!
//! Written as rows are settled, so that a cut leaves a report that is true. It has the form of the
//! file, and a second push skips what it has in front: after correction the report can be pushed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::columns::{REJECTED_TEXT, REJECTION_COLUMNS, is_of_a_report};
use super::json_rows::members_of;
use super::rows::Refusal;

/// A report that is made when the first row is rejected.
pub(super) struct Rejects {
    path: PathBuf,
    /// The columns of a delimited file; `None` for NDJSON.
    header: Option<csv::ByteRecord>,
    writer: Option<BufWriter<File>>,
    bytes: u64,
}

impl Rejects {
    /// Goes on after `bytes` of an earlier run; what stands beyond was never settled and goes.
    pub(super) fn resume(
        path: &Path,
        header: Option<csv::ByteRecord>,
        bytes: u64,
    ) -> io::Result<Self> {
        let mut rejects = Self { path: path.to_owned(), header, writer: None, bytes };
        if bytes > 0 {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            if file.metadata()?.len() < bytes {
                return Err(io::Error::other("the report is shorter than it was"));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            rejects.writer = Some(BufWriter::new(file));
        }
        Ok(rejects)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn add(
        &mut self,
        line: u64,
        refusal: &Refusal,
        original: &csv::ByteRecord,
    ) -> io::Result<()> {
        let Self { path, header, writer, .. } = self;
        let writer = match writer {
            Some(writer) => writer,
            none => none.insert(begin(path, header.as_ref())?),
        };
        match header {
            Some(header) => {
                let line = line.to_string();
                let ours = [line.as_bytes(), refusal.column.as_bytes(), refusal.reason.as_bytes()];
                write_cells(writer, ours.into_iter().chain(original_cells(header, original)))
            }
            None => write_members(writer, line, refusal, original.get(0).unwrap_or_default()),
        }
    }

    /// Writes what is held back; returns the bytes that are in the file for good.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        if let Some(writer) = &mut self.writer {
            writer.flush()?;
            self.bytes = writer.get_ref().metadata()?.len();
        }
        Ok(self.bytes)
    }
}

fn begin(path: &Path, header: Option<&csv::ByteRecord>) -> io::Result<BufWriter<File>> {
    let mut writer = BufWriter::new(File::create(path)?);
    if let Some(header) = header {
        let ours = REJECTION_COLUMNS.iter().map(|name| name.as_bytes());
        write_cells(&mut writer, ours.chain(original_cells(header, header)))?;
    }
    Ok(writer)
}

/// Writes a row of a table, as ragged as it came.
fn write_cells<'a>(
    writer: &mut BufWriter<File>,
    cells: impl Iterator<Item = &'a [u8]>,
) -> io::Result<()> {
    let mut table = csv::WriterBuilder::new().flexible(true).from_writer(writer);
    table.write_record(cells)?;
    table.flush()
}

/// The cells of the original, without those that an earlier report put in front.
fn original_cells<'a>(
    header: &'a csv::ByteRecord,
    row: &'a csv::ByteRecord,
) -> impl Iterator<Item = &'a [u8]> {
    let is_ours = |at: &usize| {
        let name = header.get(*at).map(String::from_utf8_lossy);
        name.is_some_and(|name| is_of_a_report(&name))
    };
    row.iter().enumerate().filter(move |(at, _)| !is_ours(at)).map(|(_, cell)| cell)
}

/// Writes a line of NDJSON: the members of the original as they were written, or its text where it
/// is not an object.
fn write_members(
    writer: &mut BufWriter<File>,
    line: u64,
    refusal: &Refusal,
    original: &[u8],
) -> io::Result<()> {
    let [of_line, of_column, of_reason] = REJECTION_COLUMNS;
    write!(
        writer,
        "{{\"{of_line}\":{line},\"{of_column}\":{},\"{of_reason}\":{}",
        json!(refusal.column),
        json!(refusal.reason)
    )?;
    match members_of(original) {
        Ok(members) => {
            for (name, value) in members {
                if name == REJECTED_TEXT || !is_of_a_report(&name) {
                    write!(writer, ",{}:{}", json!(name), value.get())?;
                }
            }
        }
        Err(_) => {
            write!(writer, ",\"{REJECTED_TEXT}\":{}", json!(String::from_utf8_lossy(original)))?;
        }
    }
    writer.write_all(b"}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cells: &[&[u8]]) -> csv::ByteRecord {
        cells.iter().copied().collect()
    }

    #[test]
    fn a_report_has_line_column_reason_and_the_row_as_it_came() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let mut rejects = Rejects::resume(&path, Some(record(&[b"value", b"notes"])), 0).unwrap();
        assert!(!path.exists());
        rejects.add(3, &Refusal::new("value", "is bad"), &record(&[b"\xff", b"a,b"])).unwrap();
        rejects.add(9, &Refusal::new("", "ragged"), &record(&[b"x"])).unwrap();
        rejects.flush().unwrap();
        assert_eq!(
            std::fs::read(&path).unwrap(),
            b"rejected_line,rejected_column,rejected_reason,value,notes\n\
              3,value,is bad,\xff,\"a,b\"\n9,,ragged,x\n"
        );
    }

    #[test]
    fn what_was_not_settled_before_a_cut_is_not_in_the_report_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let refusal = Refusal::new("value", "is bad");
        let mut rejects = Rejects::resume(&path, Some(record(&[b"value"])), 0).unwrap();
        rejects.add(2, &refusal, &record(&[b"a"])).unwrap();
        let settled = rejects.flush().unwrap();
        rejects.add(3, &refusal, &record(&[b"b"])).unwrap();
        drop(rejects);
        let mut rejects = Rejects::resume(&path, Some(record(&[b"value"])), settled).unwrap();
        rejects.add(3, &refusal, &record(&[b"b"])).unwrap();
        rejects.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with("3,value,is bad,b\n"));
    }

    #[test]
    fn a_report_of_a_report_has_the_columns_in_front_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let header = record(&[b"rejected_line", b"rejected_column", b"rejected_reason", b"value"]);
        let mut rejects = Rejects::resume(&path, Some(header), 0).unwrap();
        rejects
            .add(2, &Refusal::new("value", "new"), &record(&[b"7", b"value", b"old", b"a"]))
            .unwrap();
        rejects.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "rejected_line,rejected_column,rejected_reason,value\n2,value,new,a\n");
    }

    #[test]
    fn a_report_in_ndjson_has_every_member_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.ndjson");
        let mut rejects = Rejects::resume(&path, None, 0).unwrap();
        let refusal = Refusal::new("value", "is \"bad\"");
        let rows: [&[u8]; 3] = [
            b"{\"value\": 123456789012345678901.0, \"tags\":[\"a\"]}",
            b"nonsense",
            b"{\"rejected_line\":9,\"rejected_reason\":\"old\",\"value\":\"a\"}",
        ];
        for (line, row) in (1..).zip(rows) {
            rejects.add(line, &refusal, &record(&[row])).unwrap();
        }
        rejects.flush().unwrap();
        let ours = |line: u64| {
            format!(
                "{{\"rejected_line\":{line},\"rejected_column\":\"value\",\
                 \"rejected_reason\":\"is \\\"bad\\\"\""
            )
        };
        let expected = format!(
            "{},\"value\":123456789012345678901.0,\"tags\":[\"a\"]}}\n\
             {},\"rejected_row\":\"nonsense\"}}\n{},\"value\":\"a\"}}\n",
            ours(1),
            ours(2),
            ours(3)
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }
}
