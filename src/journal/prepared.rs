//! A record with everything that its acceptance writes, derived before the writer is asked.
//!
//! The writer is one thread; whatever does not depend on the order of entries is done here, on the
//! threads of those who wait.

use super::index::SeriesHead;
use super::search;
use crate::pb;
use crate::record::signed::Verified;
use crate::record::stored;
use std::sync::Arc;

/// A series as it stood when the journal had a size.
#[derive(Debug, Clone, Copy)]
pub struct HeadAt {
    pub head: Option<SeriesHead>,
    pub size: u64,
}

/// A record ready to be accepted.
#[derive(Debug)]
pub struct Prepared {
    pub(super) record: Arc<Verified>,
    /// The payload of its content frame.
    pub(super) content: Vec<u8>,
    /// Its entry but for where it came from.
    pub(super) accepted: pb::RecordAccepted,
    /// The terms that it is found by.
    pub(super) terms: Vec<Vec<u8>>,
    /// Looked up by the caller; the writer looks again if that is no longer sure.
    pub(super) before: Option<HeadAt>,
    /// The fingerprint of a record of this node's own agency, if the caller knows it.
    pub(super) fingerprint: Option<[u8; 32]>,
}

impl From<Arc<Verified>> for Prepared {
    fn from(record: Arc<Verified>) -> Self {
        Self::new(record)
    }
}

impl Prepared {
    pub fn new(record: Arc<Verified>) -> Self {
        let mut content = Vec::with_capacity(stored::encoded_len(&record));
        stored::write(&record, &mut content);
        let mut terms = Vec::with_capacity(16);
        search::terms_of(&record, |term| terms.push(term));
        Self {
            content,
            accepted: pb::RecordAccepted {
                header: record.header_bytes().clone(),
                signature: Some(record.signature().into()),
                open_slots: record.open_slots().bits(),
                ..pb::RecordAccepted::default()
            },
            terms,
            before: None,
            fingerprint: None,
            record,
        }
    }

    /// Returns the record with the caller's lookup of its series.
    #[must_use]
    pub fn after(self, before: HeadAt) -> Self {
        Self { before: Some(before), ..self }
    }

    /// Returns the record with the result of [`crate::record::draft::fingerprint_of`].
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: [u8; 32]) -> Self {
        Self { fingerprint: Some(fingerprint), ..self }
    }

    pub const fn record(&self) -> &Arc<Verified> {
        &self.record
    }

    #[cfg(test)]
    pub(crate) fn before_head(&self) -> Option<SeriesHead> {
        self.before.and_then(|before| before.head)
    }
}
