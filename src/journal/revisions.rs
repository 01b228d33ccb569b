//! The revisions of a series without their content: markings, holds, and who submitted them.
//!
//! What a client submits or withdraws is held to limits that depend on the revisions before it.

use super::JournalError;
use super::entry;
use super::index::Marks;
use super::series::Member;
use super::transaction::Transaction;
use super::view::View;
use crate::disclosure::AcceptedHeader;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb::journal_entry::Event;
use crate::policy::RecordStatus;
use crate::record::kind::Kind;
use crate::record::marking::Marking;
use bytes::Bytes;

/// Revisions of one series that are looked at. Each costs one read of some 500 bytes.
pub const REVISIONS_MAX: usize = 1_024;

/// A revision as its successors are judged by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub id: RecordId,
    pub marking: Marking,
    pub marks: Marks,
    /// The local client that submitted it; empty for one that a partner gave.
    pub client: String,
}

impl Revision {
    /// Returns what sight of the record depends on.
    pub fn status(&self) -> RecordStatus<'_> {
        RecordStatus {
            restricted: self.marks.is_restricted(),
            retracted: self.marks.is_retracted(),
            tlp: self.marking.tlp,
            submitted_by: &self.client,
        }
    }

    fn new(index: u64, event: Event, marks: Marks) -> Result<Self, JournalError> {
        let Event::RecordAccepted(accepted) = event else {
            let reason = "it accepts no record".to_owned();
            return Err(JournalError::Entry { index, reason });
        };
        let found = AcceptedHeader::decode(index, &accepted)?;
        Ok(Self { id: found.id, marking: found.header.marking, marks, client: accepted.client })
    }
}

/// Looks up the revisions with content; `None` if they are more than [`REVISIONS_MAX`].
fn collect(
    members: &[Member],
    mut revision: impl FnMut(&RecordId) -> Result<Option<Revision>, JournalError>,
) -> Result<Option<Vec<Revision>>, JournalError> {
    let with_content = || members.iter().filter(|member| member.kind != Kind::Withdrawal);
    if with_content().count() > REVISIONS_MAX {
        return Ok(None);
    }
    let found = with_content().filter_map(|member| revision(&member.id).transpose());
    found.collect::<Result<_, _>>().map(Some)
}

impl View {
    /// Returns a record as its successors are judged by it; `None` if it is not here.
    pub fn revision(&self, id: &RecordId) -> Result<Option<Revision>, JournalError> {
        let Some(place) = self.place(id)? else { return Ok(None) };
        let (_, event) = self.event(place.journal_index)?;
        Revision::new(place.journal_index, event, place.marks()).map(Some)
    }

    /// Returns the revisions of a series of more than one record, without a withdrawal; `None` if they
    /// are more than [`REVISIONS_MAX`].
    pub fn revisions(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Option<Vec<Revision>>, JournalError> {
        collect(&self.members(series, originator)?, |id| self.revision(id))
    }
}

impl Transaction<'_> {
    /// Returns a record as its successors are judged by it; `None` if it is not here.
    pub fn revision(&self, id: &RecordId) -> Result<Option<Revision>, JournalError> {
        let Some(located) = self.located(id)? else { return Ok(None) };
        let index = located.place.journal_index;
        Revision::new(index, self.event(index)?, located.place.marks()).map(Some)
    }

    /// Returns the revisions of a series of more than one record, without a withdrawal; `None` if they
    /// are more than [`REVISIONS_MAX`].
    pub fn revisions(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Option<Vec<Revision>>, JournalError> {
        collect(&self.members(series, originator)?, |id| self.revision(id))
    }

    /// Returns a record under a hold of the series that this record is the newest of.
    pub fn held_revision(
        &self,
        (series, originator): (SeriesId, &AgencyName),
        newest: RecordId,
    ) -> Result<Option<RecordId>, JournalError> {
        let members = self.members(series, originator)?;
        for id in std::iter::once(newest).chain(members.iter().map(|member| member.id)) {
            if self.marks(&id)?.is_some_and(Marks::is_restricted) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Returns an entry, staged ones included.
    fn event(&self, index: u64) -> Result<Event, JournalError> {
        let Some(staged) = index.checked_sub(self.view.snapshot().size) else {
            return self.view.event(index).map(|(_, event)| event);
        };
        let leaf = usize::try_from(staged).ok().and_then(|staged| self.group.leaves.get(staged));
        let bytes = leaf.and_then(|leaf| self.group.batch.payload(leaf.frame));
        let bytes = bytes.map(Bytes::copy_from_slice).unwrap_or_default();
        entry::decode(index, &bytes).map(|(_, event)| event)
    }
}
