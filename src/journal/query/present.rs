//! A record as clients see it: with what this node knows about it.

use super::scan::Hit;
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::view::{Kept, View};
use crate::pb;
use bytes::Bytes;

/// The record with the state of its series, which is read from the index.
pub fn record_view(view: &View, kept: &Kept) -> Result<pb::RecordView, JournalError> {
    let header = kept.record.header();
    let head = view.series_head(header.series, &header.originator)?;
    Ok(present(kept, head.as_ref()))
}

impl From<&Hit> for pb::RecordView {
    fn from(hit: &Hit) -> Self {
        present(&hit.kept, hit.head.as_ref())
    }
}

fn present(kept: &Kept, head: Option<&SeriesHead>) -> pb::RecordView {
    let revision = kept.record.header().revision;
    pb::RecordView {
        envelope: Some(kept.record.envelope()),
        record_id: Bytes::copy_from_slice(kept.record.id().as_bytes()),
        journal_index: kept.journal_index,
        accepted_at_ms: kept.accepted_at.unix_ms() as u64,
        partner: kept.partner.as_ref().map(ToString::to_string).unwrap_or_default(),
        superseded: head.is_some_and(|head| head.revision > revision),
        withdrawn: head.is_some_and(SeriesHead::is_withdrawn),
        conflicting: head.is_some_and(|head| head.conflicting),
    }
}
