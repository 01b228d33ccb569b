//! A quick look at a record: what totals and time lines need of very many of them.
//!
//! Only what is counted is read, and slots are not hashed again: what is shown to anybody is loaded
//! in full and checked first.

use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::view::View;
use crate::pb::{self, journal_entry::Event};
use crate::policy::{RecordStatus, Visibility};
use crate::record::commit;
use crate::record::content::Content;
use crate::record::kind::Kind;
use crate::record::marking::Tlp;
use crate::record::signed::Slot;
use crate::record::stored;
use prost::Message as _;

/// The header of a record, as far as totals need it.
pub(super) struct RecordSummary {
    pub(super) journal_index: u64,
    pub(super) id: RecordId,
    pub(super) kind: Kind,
    pub(super) created_at_ms: u64,
    pub(super) series: SeriesId,
    originator: AgencyName,
    revision: u32,
    tlp: Tlp,
    /// The local client that submitted it; empty for one that a partner gave.
    client: String,
}

fn broken(index: u64, reason: impl ToString) -> JournalError {
    JournalError::Entry { index, reason: reason.to_string() }
}

/// The TLP of a header that was checked when it was accepted; the strictest for anything else.
fn tlp_of(marking: Option<&pb::Marking>) -> Tlp {
    match marking.map(pb::Marking::tlp) {
        Some(pb::Tlp::Clear) => Tlp::Clear,
        Some(pb::Tlp::Green) => Tlp::Green,
        Some(pb::Tlp::Amber) => Tlp::Amber,
        Some(pb::Tlp::AmberStrict) => Tlp::AmberStrict,
        Some(pb::Tlp::Red | pb::Tlp::Unspecified) | None => Tlp::Red,
    }
}

impl View {
    /// Returns the record that an entry accepted, if it accepted one.
    pub(super) fn summary(
        &self,
        journal_index: u64,
    ) -> Result<Option<RecordSummary>, JournalError> {
        let Event::RecordAccepted(accepted) = self.event(journal_index)?.1 else {
            return Ok(None);
        };
        let broken = |reason: String| broken(journal_index, reason);
        let id = commit::record_id(&accepted.header);
        let client = accepted.client;
        let header =
            pb::Header::decode(accepted.header).map_err(|error| broken(error.to_string()))?;
        let kind = u32::try_from(header.kind).ok().and_then(Kind::from_number);
        Ok(Some(RecordSummary {
            journal_index,
            id,
            kind: kind.ok_or_else(|| broken(format!("kind {} is unknown", header.kind)))?,
            created_at_ms: header.created_at_ms,
            series: SeriesId::try_from(&header.series[..]).map_err(|e| broken(e.to_string()))?,
            originator: header
                .originator
                .parse()
                .map_err(|e: crate::ident::IdentError| broken(e.to_string()))?,
            revision: header.revision,
            tlp: tlp_of(header.marking.as_ref()),
            client,
        }))
    }
}

impl RecordSummary {
    /// The newest revision of its series.
    pub(super) fn head(&self, view: &View) -> Result<Option<SeriesHead>, JournalError> {
        view.series_head(self.series, &self.originator)
    }

    pub(super) fn is_superseded(&self, view: &View) -> Result<bool, JournalError> {
        Ok(self.head(view)?.is_some_and(|head| head.revision > self.revision))
    }

    /// Returns what its open slots contain; `None` where it does not count for this sight.
    pub(super) fn content(
        &self,
        view: &View,
        visibility: &Visibility,
    ) -> Result<Option<Content>, JournalError> {
        let broken = |reason: String| broken(self.journal_index, reason);
        let place = view.place(&self.id)?.ok_or_else(|| {
            JournalError::Index(format!("record {} is accepted and not there", self.id))
        })?;
        let marks = place.marks();
        let status = RecordStatus {
            restricted: marks.is_restricted(),
            retracted: marks.is_retracted(),
            tlp: self.tlp,
            submitted_by: &self.client,
        };
        if !marks.is_usable() || !visibility.counts(&status) {
            return Ok(None);
        }
        let (_, content) = view.content(&self.id, place)?;
        let (_, slots) = stored::read(&content).map_err(|e| broken(e.to_string()))?;
        let mut joined = Vec::with_capacity(content.len());
        for slot in &slots {
            if let Slot::Open { bytes, .. } = slot {
                joined.extend_from_slice(bytes);
            }
        }
        Content::decode(self.kind, &joined).map(Some).map_err(|error| broken(error.to_string()))
    }
}
