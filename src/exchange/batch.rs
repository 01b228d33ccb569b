//! A batch of a feed on its way: consecutive entries, what they disclose, and the head they end at.
//!
//! Its form is bounded here once, for batches that come and for those that leave. What stands in it
//! is judged in [`super::check_batch`].

use std::ops::Range;

use bytes::Bytes;
use prost::Message as _;

use super::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, FOREIGN_ENTRY_BYTES_MAX, RECORD_ENTRY_BYTES_MAX};
use crate::ident::{LeafIndex, TreeSize};
use crate::merkle::{NOTE_BYTES_MAX, TREE_SIZE_MAX};
use crate::pb;

/// Bytes that an entry adds to a batch beyond its envelope: its own, and tags and lengths of both.
/// One about consent has no envelope, and its bytes are counted as if they were that.
const ENTRY_COST: usize = RECORD_ENTRY_BYTES_MAX + 8;

/// Bytes of a batch without entries: start and note with their tags and lengths.
const FRAME_COST: usize = NOTE_BYTES_MAX + 16;

/// The reason why a message is not a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchForm {
    #[error("a batch has 1 to {BATCH_ENTRIES_MAX} entries, found {0}")]
    Entries(usize),
    #[error("a batch has at most {BATCH_BYTES_MAX} bytes, found {0}")]
    Bytes(usize),
    #[error("an entry has at most {FOREIGN_ENTRY_BYTES_MAX} bytes, found {0}")]
    EntryBytes(usize),
    #[error("{envelopes} envelopes for {entries} entries")]
    Envelopes { entries: usize, envelopes: usize },
    #[error("the feed would grow above {TREE_SIZE_MAX} entries from {0}")]
    Start(LeafIndex),
}

/// A batch within all bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    wire: pb::FeedBatch,
    end: TreeSize,
}

impl Batch {
    /// Index of the first entry.
    pub fn start(&self) -> LeafIndex {
        LeafIndex::new(self.wire.start)
    }

    /// Size of the feed after the last entry.
    pub fn end(&self) -> TreeSize {
        self.end
    }

    /// The leaves, exactly as they are hashed.
    pub fn entries(&self) -> &[Bytes] {
        &self.wire.entries
    }

    /// The signed note of the feed's head, as it came.
    pub fn note(&self) -> &Bytes {
        &self.wire.note
    }

    pub fn into_wire(self) -> pb::FeedBatch {
        self.wire
    }

    /// The indexes of the entries.
    pub fn range(&self) -> Range<u64> {
        self.wire.start..self.end.get()
    }
}

impl TryFrom<pb::FeedBatch> for Batch {
    type Error = BatchForm;

    fn try_from(wire: pb::FeedBatch) -> Result<Self, BatchForm> {
        let pb::FeedBatch { start, entries, envelopes, note: _ } = &wire;
        if !(1..=BATCH_ENTRIES_MAX).contains(&entries.len()) {
            return Err(BatchForm::Entries(entries.len()));
        }
        if entries.len() != envelopes.len() {
            let (entries, envelopes) = (entries.len(), envelopes.len());
            return Err(BatchForm::Envelopes { entries, envelopes });
        }
        let longest = entries.iter().map(Bytes::len).max().unwrap_or_default();
        if longest > FOREIGN_ENTRY_BYTES_MAX {
            return Err(BatchForm::EntryBytes(longest));
        }
        let end = start
            .checked_add(entries.len() as u64)
            .map(TreeSize::new)
            .filter(|end| *end <= TREE_SIZE_MAX)
            .ok_or(BatchForm::Start(LeafIndex::new(*start)))?;
        let bytes = wire.encoded_len();
        if bytes > BATCH_BYTES_MAX {
            return Err(BatchForm::Bytes(bytes));
        }
        Ok(Self { wire, end })
    }
}

/// The spacing of a feed's heads that lets the entries between two of them fit one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadSpacing {
    entries: usize,
    bytes: usize,
}

impl HeadSpacing {
    /// Takes one more entry, or refuses it if a head must be published before it. The first entry
    /// after a head always fits. `envelope` is with every slot that is or may yet be sent; a slot
    /// that is closed by then may need up to 16 bytes more than an open one, which is counted.
    pub fn admits(&mut self, envelope: &pb::Envelope) -> bool {
        self.admits_bytes(envelope.encoded_len() + 16 * envelope.slots.len())
    }

    /// The same for an envelope of at most so many bytes, however its slots are opened or closed.
    pub fn admits_bytes(&mut self, envelope_bytes: usize) -> bool {
        let cost = envelope_bytes + ENTRY_COST;
        let fits =
            self.entries < BATCH_ENTRIES_MAX && self.bytes + cost + FRAME_COST <= BATCH_BYTES_MAX;
        let first = self.entries == 0;
        if fits || first {
            self.entries += 1;
            self.bytes += cost;
        }
        fits || first
    }

    /// A head was published.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(entries: usize) -> pb::FeedBatch {
        pb::FeedBatch {
            start: 5,
            entries: vec![Bytes::from_static(&[1; RECORD_ENTRY_BYTES_MAX]); entries],
            envelopes: vec![pb::Envelope::default(); entries],
            note: Bytes::new(),
        }
    }

    #[test]
    fn empty_oversized_and_uneven_batches_are_refused() {
        assert_eq!(Batch::try_from(wire(1024)).map(|b| b.range()), Ok(5..1029));
        assert_eq!(Batch::try_from(wire(0)), Err(BatchForm::Entries(0)));
        assert_eq!(Batch::try_from(wire(1025)), Err(BatchForm::Entries(1025)));
        let uneven = pb::FeedBatch { envelopes: Vec::new(), ..wire(2) };
        let error = BatchForm::Envelopes { entries: 2, envelopes: 0 };
        assert_eq!(Batch::try_from(uneven), Err(error));
        let heavy = pb::FeedBatch { note: vec![0; BATCH_BYTES_MAX].into(), ..wire(1) };
        assert!(matches!(Batch::try_from(heavy), Err(BatchForm::Bytes(_))));
        for start in [u64::MAX, TREE_SIZE_MAX.get()] {
            let error = BatchForm::Start(LeafIndex::new(start));
            assert_eq!(Batch::try_from(pb::FeedBatch { start, ..wire(1) }), Err(error));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_the_spacing_admits_fits_one_batch(
            sizes in prop::collection::vec(0..40_000_usize, 1..1500),
        ) {
            let envelope = |size: usize| pb::Envelope {
                header: vec![7; size].into(),
                ..pb::Envelope::default()
            };
            let mut spacing = HeadSpacing::default();
            let envelopes: Vec<_> =
                sizes.into_iter().map(envelope).take_while(|e| spacing.admits(e)).collect();
            let batch = pb::FeedBatch {
                note: vec![1; NOTE_BYTES_MAX].into(),
                entries: vec![Bytes::from_static(&[1; RECORD_ENTRY_BYTES_MAX]); envelopes.len()],
                envelopes,
                ..wire(0)
            };
            prop_assert!(Batch::try_from(batch).is_ok());
        }
    }
}
