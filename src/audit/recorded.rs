//! Files of a node's store that are written after its segments are durable, as far as they show how
//! long the segments were.
//!
//! A leaf file holds 40 bytes for each entry of its log: the leaf hash, and where the entry lies, u64
//! little endian with the segment in the high half. None of these files is ever ahead of the segments,
//! unless something that was acknowledged is gone from them.

use super::failure::{Check, Failure, Fault, Place};
use crate::merkle::Shortfall;

/// Bytes of a leaf file for each entry.
pub const LEAF_RECORD_BYTES: usize = 40;
/// The leaf file of the journal.
const JOURNAL_LEAVES: &str = "journal.leaves";

/// The end of the segments: number of the last, and the bytes of it that whole batches take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentsEnd {
    pub segment: u32,
    pub offset: u64,
}

/// The reach of one such file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    file: String,
    /// Entries of the journal, where the file counts those.
    entries: Option<u64>,
    /// The place where the last entry of the log begins.
    last: Option<SegmentsEnd>,
}

impl Recorded {
    /// Returns true if a node gives a leaf file that name.
    pub fn is_leaf_file(name: &str) -> bool {
        let feed = name.strip_prefix("feed-").and_then(|name| name.strip_suffix(".leaves"));
        name == JOURNAL_LEAVES || feed.is_some_and(|number| number.parse::<u16>().is_ok())
    }

    /// The leaf file of this name and length, with its last whole record.
    pub fn leaf_file(name: &str, bytes: u64, last: Option<[u8; LEAF_RECORD_BYTES]>) -> Self {
        let entries = (name == JOURNAL_LEAVES).then_some(bytes / LEAF_RECORD_BYTES as u64);
        let packed = last.and_then(|record| record.last_chunk::<8>().copied());
        let last = packed.map(u64::from_le_bytes).map(|packed| SegmentsEnd {
            segment: (packed >> 32) as u32,
            offset: packed & u64::from(u32::MAX),
        });
        Self { file: name.to_owned(), entries, last }
    }

    /// The file in which a node keeps that it found a loss.
    pub fn kept_loss(name: &str, text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("recorded "))?;
        Some(Self { file: name.to_owned(), entries: Some(line.parse().ok()?), last: None })
    }

    /// The failure of segments that end before the file does. `left` is the number of entries of the
    /// journal in them, as far as it is known.
    pub fn failure(&self, left: Option<u64>, end: SegmentsEnd) -> Option<Failure> {
        let counted = self.entries.zip(left);
        let counted = counted.and_then(|(entries, left)| Shortfall::of(entries, left));
        let expected = match (counted, self.last) {
            (Some(shortfall), _) => {
                format!("at least {} entries of the journal", shortfall.recorded)
            }
            (None, Some(last)) if last >= end => {
                format!("an entry at segment {} offset {}", last.segment, last.offset)
            }
            (None, _) => return None,
        };
        let entries = left.map_or_else(String::new, |left| format!("{left} entries, "));
        let found = format!(
            "{entries}the end at segment {} offset {}; acknowledged entries are damaged or gone",
            end.segment, end.offset
        );
        let place = Place::File(format!("store/{}", self.file));
        Some(Failure { place, entry: left, fault: Fault::new(Check::Recorded, expected, found) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(segment: u32, offset: u32) -> [u8; LEAF_RECORD_BYTES] {
        let mut record = [7; LEAF_RECORD_BYTES];
        let packed = u64::from(segment) << 32 | u64::from(offset);
        record[32..].copy_from_slice(&packed.to_le_bytes());
        record
    }

    #[test]
    fn a_file_that_goes_beyond_the_segments_is_a_failure_and_no_other() {
        let end = SegmentsEnd { segment: 2, offset: 500 };
        let journal = Recorded::leaf_file(JOURNAL_LEAVES, 70 * 40 + 39, Some(record(2, 400)));
        assert_eq!(journal.failure(Some(70), end), None);
        let failure = journal.failure(Some(64), end).unwrap().to_string();
        assert!(failure.contains("at least 70 entries") && failure.contains("64"), "{failure}");
        let feed = Recorded::leaf_file("feed-1.leaves", 400, Some(record(2, 500)));
        assert!(feed.failure(Some(70), end).is_some());
        assert_eq!(feed.failure(Some(70), SegmentsEnd { segment: 2, offset: 501 }), None);
        assert_eq!(Recorded::leaf_file("feed-1.leaves", 0, None).failure(Some(0), end), None);
        let kept = Recorded::kept_loss("loss", "liaison/loss/v1\nrecorded 70\nleft 64\n").unwrap();
        assert!(kept.failure(Some(64), end).is_some() && kept.failure(Some(70), end).is_none());
    }
}
