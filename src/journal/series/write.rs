//! The hold on a series as a job of the writer sees it.

use super::held_of;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::transaction::Transaction;

impl Transaction<'_> {
    /// Returns the record under a hold that decides the series with this head, if it is under one.
    pub fn held_head(
        &self,
        series: SeriesId,
        originator: &AgencyName,
        head: &SeriesHead,
    ) -> Result<Option<RecordId>, JournalError> {
        held_of(head, || self.members(series, originator), |id| self.marks(id))
    }
}
