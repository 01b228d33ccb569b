//! The headers of all records that were accepted, in the order of the journal: what a policy is
//! replayed on.
//!
//! Nothing of a record's content is read. Marks and disclosures change after a record was accepted;
//! whoever needs them looks them up.

use super::JournalError;
use super::view::View;
pub use crate::disclosure::AcceptedHeader;
use crate::pb::journal_entry::Event;
use std::ops::Range;

/// Positions of entries that are read at once: 160 KiB.
const CHUNK: u64 = 4_096;

impl View {
    /// Returns what the entries in `range` accepted. A damaged entry is an error after which the rest follows; any
    /// other error is the last item.
    pub fn headers(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = Result<AcceptedHeader, JournalError>> {
        let end = range.end.min(self.journal().size());
        let chunks = (range.start..end).step_by(CHUNK as usize);
        let found = chunks.flat_map(move |start| {
            match self.headers_in(start..end.min(start.saturating_add(CHUNK))) {
                Ok(headers) => headers,
                Err(error) => vec![Err(error)],
            }
        });
        let mut failed = false;
        let fails = |header: &Result<_, JournalError>| {
            header.as_ref().is_err_and(|error| !error.is_damage())
        };
        found.take_while(move |header| !std::mem::replace(&mut failed, fails(header)))
    }

    fn headers_in(
        &self,
        range: Range<u64>,
    ) -> Result<Vec<Result<AcceptedHeader, JournalError>>, JournalError> {
        let positions = range.clone().zip(self.journal().positions(range)?);
        let header = |(index, (_, position))| {
            let read = || {
                let bytes = self.segments().read(position)?.payload;
                match super::entry::decode(index, &bytes)? {
                    (_, Event::RecordAccepted(accepted)) => {
                        Ok(Some(AcceptedHeader::decode(index, &accepted)?))
                    }
                    _ => Ok(None),
                }
            };
            read().transpose()
        };
        Ok(positions.filter_map(header).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::journal::query::fixtures::{DAY, Journal, OWN, case, indicator};

    #[test]
    fn the_headers_of_a_range_are_those_that_its_entries_accepted() {
        let mut journal = Journal::new();
        let mut records = vec![journal.add(OWN, case("NPA-1", "one"), DAY)];
        records.push(journal.add(OWN, indicator("a.example", "", &[]), DAY));
        records.push(journal.add(OWN, indicator("b.example", "", &[]), DAY));
        let view = journal.view();
        let headers = |range| view.headers(range).map(Result::unwrap).collect::<Vec<_>>();
        let all = headers(0..u64::MAX);
        // The first entry of a journal accepts nothing.
        assert_eq!(all.iter().map(|one| one.journal_index).collect::<Vec<_>>(), [1, 2, 3]);
        for (found, record) in all.iter().zip(&records) {
            assert_eq!((found.id, &found.header), (record.id(), record.header()));
            assert_eq!(found.partner, None);
        }
        assert_eq!(headers(2..3), all[1..2]);
        assert_eq!(headers(4..9), []);
    }

    #[test]
    fn a_damaged_entry_is_an_error_and_the_headers_behind_it_follow() {
        let mut journal = Journal::new();
        let records: Vec<_> = ["a.example", "b.example", "c.example"]
            .map(|value| journal.add(OWN, indicator(value, "", &[]), DAY))
            .into();
        journal.damage_entry(&records[1]);
        let found: Vec<_> = journal.view().headers(0..u64::MAX).collect();
        let ids = found.iter().map(|header| header.as_ref().map(|header| header.id).ok());
        let expected = [Some(records[0].id()), None, Some(records[2].id())];
        assert_eq!(ids.collect::<Vec<_>>(), expected);
        assert!(found[1].as_ref().is_err_and(super::JournalError::is_damage));
    }
}
