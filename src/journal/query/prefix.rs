//! Ids by their first digits, as tables show them.

use crate::ident::{IdPrefix, PREFIX_IDS_MAX, RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::view::View;
use crate::policy::{Visibility, VisiblePart};
use crate::store::{KeyRange, Order, Table};

/// Ids that are looked at: a prefix of six digits has more only among thousands of millions.
const EXAMINED_MAX: usize = 4_096;

/// The ids that begin with a prefix, in order; at most [`PREFIX_IDS_MAX`] of each sort.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundIds {
    pub records: Vec<RecordId>,
    pub series: Vec<SeriesId>,
    /// There are more of either sort.
    pub more: bool,
}

impl View {
    /// Returns the ids of records and series that begin with a prefix. Records that this sight does not
    /// show are left out, and so are series whose newest record it does not show.
    pub fn ids_with_prefix(
        &self,
        prefix: &IdPrefix,
        visibility: &Visibility,
    ) -> Result<FoundIds, JournalError> {
        let mut found = FoundIds::default();
        let range = || KeyRange::prefix(prefix.bytes().to_vec());
        let records = self.index().scan(Table::Records, &range(), Order::Ascending);
        for pair in records.take(EXAMINED_MAX) {
            let (key, _) = pair?;
            let Ok(id) = RecordId::try_from(&key[..]) else { continue };
            if prefix.begins(&key) && self.is_shown(&id, visibility)? {
                found.records.push(id);
            }
            if found.records.len() > PREFIX_IDS_MAX {
                break;
            }
        }
        let series = self.index().scan(Table::Series, &range(), Order::Ascending);
        for pair in series.take(EXAMINED_MAX) {
            let (key, value) = pair?;
            let Some(id) = key.first_chunk().copied().map(SeriesId::from_bytes) else { continue };
            // Agencies that copied an id have a series of it each, one behind the other.
            if prefix.begins(id.as_bytes())
                && found.series.last() != Some(&id)
                && self.is_shown(&SeriesHead::decode(&value)?.id, visibility)?
            {
                found.series.push(id);
            }
            if found.series.len() > PREFIX_IDS_MAX {
                break;
            }
        }
        found.more = found.records.len() > PREFIX_IDS_MAX || found.series.len() > PREFIX_IDS_MAX;
        found.records.truncate(PREFIX_IDS_MAX);
        found.series.truncate(PREFIX_IDS_MAX);
        Ok(found)
    }

    fn is_shown(&self, id: &RecordId, visibility: &Visibility) -> Result<bool, JournalError> {
        let kept = self.kept(id)?;
        Ok(kept.is_some_and(|kept| visibility.of_record(&kept.status()) != VisiblePart::Nothing))
    }
}
