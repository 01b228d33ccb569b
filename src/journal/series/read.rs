//! Questions about a series to the view of the journal.

use super::{Member, held_of, members_key, superseded_key};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::view::View;
use crate::record::header::Header;
use crate::store::{KeyRange, Order, Table};
use std::collections::HashSet;
use std::ops::Range;

impl View {
    /// Returns the record under a hold that decides the series with this head, if it is under one.
    pub fn held_head(
        &self,
        series: SeriesId,
        originator: &AgencyName,
        head: &SeriesHead,
    ) -> Result<Option<RecordId>, JournalError> {
        let marks = |id: &RecordId| Ok(self.place(id)?.map(|place| place.marks()));
        held_of(head, || self.members(series, originator), marks)
    }

    /// Returns the records of a series in the order of their acceptance; none if it has one only.
    pub fn members(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Vec<Member>, JournalError> {
        let range = KeyRange::prefix(members_key(series, originator));
        let pairs = self.index().scan(Table::Tagged, &range, Order::Ascending);
        pairs.map(|pair| Member::decode(&pair?.1)).collect()
    }

    /// Returns whether no record of its series is newer than the one with this header.
    pub fn is_newest(&self, header: &Header) -> Result<bool, JournalError> {
        let head = self.series_head(header.series, &header.originator)?;
        Ok(head.is_none_or(|head| head.revision <= header.revision))
    }

    /// Returns whether another record of its series is as new as the one that an entry accepted, or newer.
    pub fn is_superseded(&self, journal_index: u64) -> Result<bool, JournalError> {
        let key = superseded_key(journal_index);
        Ok(self.index().read(Table::Tagged, &key)?.is_some())
    }

    /// Returns the entries in `range` whose records another of their series is as new as.
    pub fn superseded_in(&self, range: Range<u64>) -> Result<HashSet<u64>, JournalError> {
        let range = KeyRange::between(superseded_key(range.start), superseded_key(range.end));
        let mut found = HashSet::new();
        for pair in self.index().scan(Table::Tagged, &range, Order::Ascending) {
            let (key, _) = pair?;
            found.extend(key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)));
        }
        Ok(found)
    }
}
