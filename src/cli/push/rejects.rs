//! The report of rejected rows: line, column, reason, then the row as it came.
//!
//! Written as rows are settled, so that a cut leaves a report that is true. It begins with columns
//! that a second push skips: after correction the same file can be pushed.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::columns::REJECTION_COLUMNS;
use super::rows::Refusal;

/// A report that is made when the first row is rejected.
pub(super) struct Rejects {
    path: PathBuf,
    header: csv::ByteRecord,
    writer: Option<csv::Writer<File>>,
    bytes: u64,
}

impl Rejects {
    /// Goes on after `bytes` of an earlier run; what stands beyond was never settled and goes.
    pub(super) fn resume(path: &Path, header: csv::ByteRecord, bytes: u64) -> io::Result<Self> {
        let mut rejects = Self { path: path.to_owned(), header, writer: None, bytes };
        if bytes > 0 {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            if file.metadata()?.len() < bytes {
                return Err(io::Error::other("the report is shorter than it was"));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            rejects.writer = Some(writer_to(file));
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
        let header = &self.header;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(begin(&self.path, header)?),
        };
        let line = line.to_string();
        let ours = [line.as_bytes(), refusal.column.as_bytes(), refusal.reason.as_bytes()];
        let kept = original_columns(header, original);
        writer.write_record(ours.into_iter().chain(kept))?;
        Ok(())
    }

    /// Bytes that are in the file for good.
    pub(super) fn flush(&mut self) -> io::Result<u64> {
        if let Some(writer) = &mut self.writer {
            writer.flush()?;
            self.bytes = writer.get_ref().metadata()?.len();
        }
        Ok(self.bytes)
    }
}

/// The original's cells, without those that an earlier report put in front.
fn original_columns<'a>(
    header: &'a csv::ByteRecord,
    row: &'a csv::ByteRecord,
) -> impl Iterator<Item = &'a [u8]> {
    row.iter().enumerate().filter(|(at, _)| !is_ours(header.get(*at))).map(|(_, cell)| cell)
}

fn is_ours(name: Option<&[u8]>) -> bool {
    name.is_some_and(|name| {
        REJECTION_COLUMNS.iter().any(|ours| ours.as_bytes() == name.trim_ascii())
    })
}

/// A ragged row is written as ragged as it came.
fn writer_to(file: File) -> csv::Writer<File> {
    csv::WriterBuilder::new().flexible(true).from_writer(file)
}

fn begin(path: &Path, header: &csv::ByteRecord) -> io::Result<csv::Writer<File>> {
    let mut writer = writer_to(File::create(path)?);
    let ours = REJECTION_COLUMNS.iter().map(|name| name.as_bytes());
    writer.write_record(ours.chain(original_columns(header, header)))?;
    Ok(writer)
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
        let mut rejects = Rejects::resume(&path, record(&[b"value", b"notes"]), 0).unwrap();
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
        let mut rejects = Rejects::resume(&path, record(&[b"value"]), 0).unwrap();
        rejects.add(2, &refusal, &record(&[b"a"])).unwrap();
        let settled = rejects.flush().unwrap();
        rejects.add(3, &refusal, &record(&[b"b"])).unwrap();
        drop(rejects);
        let mut rejects = Rejects::resume(&path, record(&[b"value"]), settled).unwrap();
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
        let mut rejects = Rejects::resume(&path, header, 0).unwrap();
        rejects
            .add(2, &Refusal::new("value", "new"), &record(&[b"7", b"value", b"old", b"a"]))
            .unwrap();
        rejects.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "rejected_line,rejected_column,rejected_reason,value\n2,value,new,a\n");
    }
}
