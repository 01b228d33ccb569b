//! The report of rejected rows: line, column, reason, then the row as it came.
//!
//! Written as rows are settled, so that a cut leaves a report that is true. It has the form of the
//! file, and a second push skips what it has in front: after correction the report can be pushed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::columns::{REJECTED_TEXT, REJECTION_COLUMNS, report_columns};
use super::json_rows::members_of;
use super::row::Refusal;
use crate::cli::error::CliError;
use crate::cli::schema::hex;

/// The part of a report that belongs to settled rows, by which a later run knows it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The run came to its end, so nothing of it stands behind these bytes.
    pub(super) is_all: bool,
}

/// A report that is made when the first row is rejected.
pub(super) struct Rejects {
    path: PathBuf,
    /// The columns of a delimited file; `None` for NDJSON.
    header: Option<csv::ByteRecord>,
    writer: Option<BufWriter<Hashed>>,
}

impl Rejects {
    /// Goes on behind what an earlier run has settled; what a killed run wrote beyond goes.
    ///
    /// # Errors
    /// For a report that was changed or removed meanwhile: it may hold corrections.
    pub(super) fn resume(
        path: &Path,
        header: Option<csv::ByteRecord>,
        settled: &Settled,
    ) -> Result<Self, CliError> {
        let mut rejects = Self { path: path.to_owned(), header, writer: None };
        if settled.bytes > 0 {
            let opened = OpenOptions::new().read(true).write(true).open(path);
            let mut report = match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(changed(path)),
                opened => {
                    Hashed::read(opened.map_err(CliError::file("go on with", path))?, settled.bytes)
                        .map_err(CliError::file("read", path))?
                }
            };
            let len = report.file.metadata().map_err(CliError::file("read", path))?.len();
            let found = Settled { is_all: settled.is_all, ..report.settled() };
            if found != *settled || settled.is_all && len != settled.bytes {
                return Err(changed(path));
            }
            report.cut().map_err(CliError::file("go on with", path))?;
            rejects.writer = Some(BufWriter::new(report));
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

    /// Writes what is held back; returns what is in the file for good.
    pub(super) fn flush(&mut self) -> io::Result<Settled> {
        let Some(writer) = &mut self.writer else { return Ok(Settled::default()) };
        writer.flush()?;
        Ok(writer.get_ref().settled())
    }
}

fn changed(path: &Path) -> CliError {
    CliError::Precondition {
        found: format!(
            "{} was changed or removed after the push stopped; a push that goes on would lose the changes",
            path.display()
        ),
        fix:
            "keep the corrections under another name, then add --restart to begin again; rows that \
              the node has already are found unchanged"
                .into(),
    }
}

/// A file with the digest of all that is in it.
struct Hashed {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Hashed {
    const fn new(file: File, digest: Sha256) -> Self {
        Self { file, digest, bytes: 0 }
    }

    /// Reads the first `bytes` of a file, or all of a shorter one.
    fn read(file: File, bytes: u64) -> io::Result<Self> {
        let mut hashed = Self::new(file, Sha256::new());
        let mut buffer = vec![0; 64 * 1024];
        while hashed.bytes < bytes {
            let wanted = usize::try_from(bytes - hashed.bytes).unwrap_or(usize::MAX);
            let wanted = wanted.min(buffer.len());
            let count = hashed.file.read(&mut buffer[..wanted])?;
            if count == 0 {
                break;
            }
            hashed.add(&buffer[..count]);
        }
        Ok(hashed)
    }

    /// Removes what stands behind the bytes that were read.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::End(0)).map(drop)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn settled(&self) -> Settled {
        let sha256 = hex(&self.digest.clone().finalize());
        Settled { bytes: self.bytes, sha256, is_all: false }
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.add(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn begin(path: &Path, header: Option<&csv::ByteRecord>) -> io::Result<BufWriter<Hashed>> {
    let mut writer = BufWriter::new(Hashed::new(File::create(path)?, Sha256::new()));
    if let Some(header) = header {
        let ours = REJECTION_COLUMNS.iter().map(|name| name.as_bytes());
        write_cells(&mut writer, ours.chain(original_cells(header, header)))?;
    }
    Ok(writer)
}

/// Writes a row of a table, as ragged as it came.
fn write_cells<'a>(
    writer: &mut BufWriter<Hashed>,
    cells: impl Iterator<Item = &'a [u8]>,
) -> io::Result<()> {
    let mut table = csv::WriterBuilder::new().flexible(true).from_writer(writer);
    table.write_record(cells)?;
    table.flush()
}

/// The cells of the original, without those that an earlier report put in front.
fn original_cells<'a>(
    header: &csv::ByteRecord,
    row: &'a csv::ByteRecord,
) -> impl Iterator<Item = &'a [u8]> {
    let names = header.iter().take(REJECTION_COLUMNS.len());
    let of_a_report = report_columns(names.map(|name| str::from_utf8(name).unwrap_or_default()));
    row.iter().skip(of_a_report)
}

/// Writes a line of NDJSON: the members of the original as they were written, or its text where it
/// is not an object.
fn write_members(
    writer: &mut BufWriter<Hashed>,
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
            let of_a_report = report_columns(members.iter().map(|(name, _)| name.as_str()));
            for (name, value) in members.into_iter().skip(of_a_report) {
                write!(writer, ",{}:{}", json!(name), value.get())?;
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
        let mut rejects =
            Rejects::resume(&path, Some(record(&[b"value", b"notes"])), &Settled::default())
                .unwrap();
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
        let mut rejects =
            Rejects::resume(&path, Some(record(&[b"value"])), &Settled::default()).unwrap();
        rejects.add(2, &refusal, &record(&[b"a"])).unwrap();
        let settled = rejects.flush().unwrap();
        rejects.add(3, &refusal, &record(&[b"b"])).unwrap();
        drop(rejects);
        let mut rejects = Rejects::resume(&path, Some(record(&[b"value"])), &settled).unwrap();
        rejects.add(3, &refusal, &record(&[b"b"])).unwrap();
        rejects.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with("3,value,is bad,b\n"));
    }

    #[test]
    fn a_report_that_was_changed_or_removed_meanwhile_is_not_cut_and_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let header = || Some(record(&[b"value"]));
        let mut rejects = Rejects::resume(&path, header(), &Settled::default()).unwrap();
        rejects.add(2, &Refusal::new("value", "is bad"), &record(&[b"a"])).unwrap();
        let settled = rejects.flush().unwrap();
        drop(rejects);
        let written = std::fs::read_to_string(&path).unwrap();
        let corrected = written.replace("is bad,a", "is bad,a-longer-value.example");
        for other in [corrected.as_str(), &written[..20], &written.replace("bad", "bat")] {
            std::fs::write(&path, other).unwrap();
            let error = Rejects::resume(&path, header(), &settled).err().unwrap();
            assert_eq!(error.exit().code(), 9, "{other}");
            assert!(error.fix().unwrap().contains("--restart"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        // After an end in order, rows behind the settled ones are somebody's as well.
        std::fs::write(&path, format!("{written}3,,,b\n")).unwrap();
        let whole = Settled { is_all: true, ..settled.clone() };
        assert_eq!(Rejects::resume(&path, header(), &whole).err().unwrap().exit().code(), 9);
        Rejects::resume(&path, header(), &settled).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
        std::fs::remove_file(&path).unwrap();
        let error = Rejects::resume(&path, header(), &settled).err().unwrap();
        assert_eq!(error.exit().code(), 9);
    }

    #[test]
    fn a_column_of_the_author_with_a_name_of_a_report_is_in_the_report() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let header = record(&[b"value", b"rejected_reason"]);
        let mut rejects = Rejects::resume(&path, Some(header), &Settled::default()).unwrap();
        let refusal = Refusal::new("value", "is bad");
        rejects.add(2, &refusal, &record(&[b"a", b"no proof"])).unwrap();
        rejects.flush().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "rejected_line,rejected_column,rejected_reason,value,rejected_reason\n\
             2,value,is bad,a,no proof\n"
        );
        let mut rejects = Rejects::resume(&path, None, &Settled::default()).unwrap();
        let row = record(&[b"{\"value\":\"a\",\"rejected_reason\":\"no proof\"}"]);
        rejects.add(2, &refusal, &row).unwrap();
        rejects.flush().unwrap();
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .ends_with("\"is bad\",\"value\":\"a\",\"rejected_reason\":\"no proof\"}\n")
        );
    }

    #[test]
    fn a_report_of_a_report_has_the_columns_in_front_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let header = record(&[b"rejected_line", b"rejected_column", b"rejected_reason", b"value"]);
        let mut rejects = Rejects::resume(&path, Some(header), &Settled::default()).unwrap();
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
        let mut rejects = Rejects::resume(&path, None, &Settled::default()).unwrap();
        let refusal = Refusal::new("value", "is \"bad\"");
        let rows: [&[u8]; 3] = [
            b"{\"value\": 123456789012345678901.0, \"tags\":[\"a\"]}",
            b"nonsense",
            b"{\"rejected_line\":9,\"rejected_column\":\"\",\"rejected_reason\":\"old\",\"value\":\"a\"}",
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
