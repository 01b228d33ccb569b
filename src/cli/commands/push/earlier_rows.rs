//! The rows that an interrupted push has settled, so that no later row contradicts one of them.
//!
//! The node compares the rows of one stream. A push that goes on is another stream, so the rows
//! before it are read again here; those that were rejected are not compared with.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::Path;

use super::json_rows::members_of;
use super::row::{Refusal, Row};
use super::rows::FileFormat;
use super::template::Template;
use crate::ident::SeriesId;
use crate::pb;
use crate::record::draft::{Draft, SeriesSecret};

/// Series that are remembered, as many as the node remembers of a stream; beyond that it begins to
/// forget. 48 bytes each.
const SERIES_MAX: usize = 1_000_000;

/// Names series and contents within this process alone.
const SECRET: [u8; 32] = [0; 32];

/// The settled rows of an interrupted push.
#[derive(Default)]
pub(super) struct EarlierRows {
    count: u64,
    rejected: Option<RejectedLines>,
    contents: HashMap<SeriesId, [u8; 32]>,
}

impl EarlierRows {
    pub(super) fn new(count: u64, rejected: Option<RejectedLines>) -> Self {
        Self { count, rejected, contents: HashMap::new() }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Takes the next of the settled rows.
    pub(super) fn add(&mut self, row: Row, template: &Template) -> io::Result<()> {
        if let Some(rejected) = &mut self.rejected
            && rejected.contains(row.line)?
        {
            return Ok(());
        }
        let draft = row.cells.and_then(|cells| template.draft(cells));
        if let Some((series, content)) = draft.ok().and_then(identify) {
            if self.contents.len() >= SERIES_MAX {
                self.contents.clear();
            }
            self.contents.insert(series, content);
        }
        Ok(())
    }

    /// Refuses a row about the same thing as an earlier one but with other content.
    pub(super) fn check(&self, draft: pb::Draft) -> Result<pb::Draft, Refusal> {
        if self.contents.is_empty() {
            return Ok(draft);
        }
        match identify(draft.clone()) {
            Some((series, content))
                if self.contents.get(&series).is_some_and(|before| *before != content) =>
            {
                let reason = "a row before the interruption of this push is about the same and has \
                              another content; keep one of them";
                Err(Refusal::new("value", reason))
            }
            // What cannot be a draft is for the node to refuse.
            _ => Ok(draft),
        }
    }
}

fn identify(draft: pb::Draft) -> Option<(SeriesId, [u8; 32])> {
    let secret = SeriesSecret::from_bytes(SECRET);
    let draft = Draft::try_from(draft).ok()?;
    Some((draft.series(&secret), draft.fingerprint(&secret)))
}

/// The lines in a report of rejected rows, in their order.
pub(super) struct RejectedLines {
    report: Report,
    next: Option<u64>,
}

enum Report {
    Csv(csv::Reader<Take<File>>),
    Ndjson(BufReader<Take<File>>),
}

impl RejectedLines {
    /// Opens the first `bytes` of a report.
    pub(super) fn open(path: &Path, format: FileFormat, bytes: u64) -> io::Result<Self> {
        let file = File::open(path)?.take(bytes);
        let report = match format {
            FileFormat::Csv => {
                Report::Csv(csv::ReaderBuilder::new().flexible(true).from_reader(file))
            }
            FileFormat::Ndjson => Report::Ndjson(BufReader::new(file)),
        };
        let mut lines = Self { report, next: None };
        lines.next = lines.read()?;
        Ok(lines)
    }

    /// Returns true if the row at a line was rejected; asked in the order of the lines.
    fn contains(&mut self, line: u64) -> io::Result<bool> {
        while self.next.is_some_and(|next| next < line) {
            self.next = self.read()?;
        }
        Ok(self.next == Some(line))
    }

    fn read(&mut self) -> io::Result<Option<u64>> {
        let text = match &mut self.report {
            Report::Csv(rows) => {
                let mut row = csv::ByteRecord::new();
                if !rows.read_byte_record(&mut row)? {
                    return Ok(None);
                }
                String::from_utf8_lossy(row.get(0).unwrap_or_default()).into_owned()
            }
            Report::Ndjson(lines) => {
                let mut line = Vec::new();
                if lines.read_until(b'\n', &mut line)? == 0 {
                    return Ok(None);
                }
                let members = members_of(&line).map_err(|error| io::Error::other(error.reason))?;
                members.first().map(|(_, value)| value.get().to_owned()).unwrap_or_default()
            }
        };
        text.parse().map(Some).map_err(io::Error::other)
    }
}
