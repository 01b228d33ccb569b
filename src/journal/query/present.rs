//! A record as clients see it: with what this node knows about it.

use super::scan::Hit;
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::view::{Kept, View};
use crate::pb;
use crate::policy::{Visibility, VisiblePart};
use crate::record::slots::SlotMask;
use bytes::Bytes;

/// The record with the state of its series, which is read from the index.
pub fn record_view(
    view: &View,
    kept: &Kept,
    visibility: &Visibility,
) -> Result<pb::RecordView, JournalError> {
    let header = kept.record.header();
    let head = view.series_head(header.series, &header.originator)?;
    Ok(present(kept, head.as_ref(), visibility))
}

impl Hit {
    /// Returns the record as clients see it.
    pub fn view(&self, visibility: &Visibility) -> pb::RecordView {
        present(&self.kept, self.head.as_ref(), visibility)
    }
}

fn present(kept: &Kept, head: Option<&SeriesHead>, visibility: &Visibility) -> pb::RecordView {
    let revision = kept.record.header().revision;
    let envelope = match visibility.of_record(&kept.status()) {
        VisiblePart::Content => Some(kept.record.envelope()),
        VisiblePart::Header => Some(kept.record.redacted(SlotMask::NONE)),
        VisiblePart::Nothing => return pb::RecordView::default(),
    };
    pb::RecordView {
        envelope,
        record_id: Bytes::copy_from_slice(kept.record.id().as_bytes()),
        journal_index: kept.journal_index,
        accepted_at_ms: kept.accepted_at.unix_ms() as u64,
        partner: kept.partner.as_ref().map(ToString::to_string).unwrap_or_default(),
        superseded: head.is_some_and(|head| head.revision > revision),
        withdrawn: head.is_some_and(SeriesHead::is_withdrawn),
        conflicting: head.is_some_and(|head| head.conflicting),
        erasures: kept.erasures.iter().map(Into::into).collect(),
        restricted: kept.marks.is_restricted(),
        retracted: kept.marks.is_retracted(),
    }
}
