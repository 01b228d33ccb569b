//! Series of more than one record: their members, and which of them another is as new as.
//!
//! A series is decided by its newest record. A record that is alone in its series has no key here and
//! no mark, so nothing is looked up for it. What an acceptance changes is derived by one function for
//! the live commit and for the rebuild.

mod read;
mod write;

use super::JournalError;
use super::index::{self, Fields, Marks, SeriesHead};
use super::tag::Tag;
pub use crate::disclosure::{Member, newest};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::store::{Change, Table};

/// The changes that the acceptance of a record makes to a series that has a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joined {
    /// The head so far has another record beside or above it from now on.
    pub(super) supersedes_head: bool,
    /// The record that comes has one.
    pub(super) is_superseded: bool,
}

impl Joined {
    pub(super) const fn new(head: &SeriesHead, header: &Header) -> Self {
        Self {
            supersedes_head: header.revision >= head.revision,
            is_superseded: header.revision <= head.revision,
        }
    }
}

impl Member {
    pub(super) const fn of_head(head: &SeriesHead, journal_index: u64) -> Self {
        Self { journal_index, revision: head.revision, kind: head.kind, id: head.id }
    }

    pub(super) const fn of_header(header: &Header, id: RecordId, journal_index: u64) -> Self {
        Self { journal_index, revision: header.revision, kind: header.kind, id }
    }

    pub(super) fn put(self, series: SeriesId, originator: &AgencyName) -> Change {
        let mut key = members_key(series, originator);
        key.extend_from_slice(&self.journal_index.to_be_bytes());
        let mut value = Vec::with_capacity(45);
        value.extend_from_slice(&self.journal_index.to_be_bytes());
        value.extend_from_slice(&self.revision.to_be_bytes());
        value.push(self.kind.number());
        value.extend_from_slice(self.id.as_bytes());
        Change::put(Table::Tagged, key, value)
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields::new(value);
        let (journal_index, revision) = (fields.u64()?, fields.u32()?);
        let [kind] = fields.array()?;
        let kind = Kind::from_number(u32::from(kind)).ok_or_else(|| index::damaged("a series"))?;
        Ok(Self { journal_index, revision, kind, id: RecordId::from_bytes(fields.array()?) })
    }
}

const MEMBER: u8 = Tag::SeriesMember as u8;
const SUPERSEDED: u8 = Tag::RecordSuperseded as u8;

/// The beginning of the keys of a series. No agency name has a zero byte.
pub(super) fn members_key(series: SeriesId, originator: &AgencyName) -> Vec<u8> {
    let mut key = vec![MEMBER];
    key.extend_from_slice(&index::series_key(series, originator));
    key.push(0);
    key
}

fn superseded_key(journal_index: u64) -> Vec<u8> {
    let mut key = vec![SUPERSEDED];
    key.extend_from_slice(&journal_index.to_be_bytes());
    key
}

pub(super) fn put_superseded_record(journal_index: u64) -> Change {
    Change::put(Table::Tagged, superseded_key(journal_index), Vec::new())
}

/// Returns the record under a hold that decides the series with this head: the newest, and of one that was
/// withdrawn the newest before that.
fn held_of(
    head: &SeriesHead,
    members: impl FnOnce() -> Result<Vec<Member>, JournalError>,
    marks: impl Fn(&RecordId) -> Result<Option<Marks>, JournalError>,
) -> Result<Option<RecordId>, JournalError> {
    let ids = if head.is_withdrawn() {
        let mut members = members()?;
        members.retain(|member| member.kind != Kind::Withdrawal);
        newest(&members).map(|member| member.id).collect()
    } else {
        vec![head.id]
    };
    for id in ids {
        if marks(&id)?.is_some_and(Marks::is_restricted) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::query::fixtures::{DAY, Journal, OWN, indicator};
    use proptest::prelude::*;

    #[test]
    fn only_records_that_are_not_alone_in_their_series_have_members_and_a_mark() {
        let mut journal = Journal::new();
        let alone = journal.add(OWN, indicator("alone.example", "", &[]), DAY);
        let first = journal.add(OWN, indicator("evil.example", "one", &[]), DAY);
        let second = journal.add(OWN, indicator("evil.example", "two", &[]), DAY);
        let ended = journal.add(OWN, indicator("gone.example", "", &[]), DAY);
        let withdrawal = journal.withdraw(&ended, DAY);
        let view = journal.view();
        let members = |header: &Header| view.members(header.series, &header.originator).unwrap();
        assert_eq!(members(alone.header()), []);
        let of = members(first.header());
        assert_eq!(
            of.iter().map(|member| member.id).collect::<Vec<_>>(),
            [first.id(), second.id()]
        );
        assert_eq!(newest(&of).map(|member| member.id).collect::<Vec<_>>(), [second.id()]);
        let ends = members(ended.header());
        assert_eq!(newest(&ends).map(|member| member.id).collect::<Vec<_>>(), [withdrawal.id()]);
        let superseded = view.superseded_in(0..u64::MAX).unwrap();
        for record in [&alone, &first, &second, &ended, &withdrawal] {
            let place = view.place(&record.id()).unwrap().unwrap();
            let is_older = [first.id(), ended.id()].contains(&record.id());
            assert_eq!(place.marks().is_superseded(), is_older);
            assert_eq!(superseded.contains(&place.journal_index), is_older);
            assert_eq!(view.is_superseded(place.journal_index).unwrap(), is_older);
            assert!(place.marks().is_usable());
        }
    }

    proptest! {
        #[test]
        fn a_member_is_written_and_read_back(
            journal_index: u64, revision: u32, id: [u8; 32],
            kind in prop::sample::select(Kind::ALL.to_vec()),
        ) {
            let member = Member { journal_index, revision, kind, id: RecordId::from_bytes(id) };
            let series = SeriesId::from_bytes([1; 16]);
            let change = member.put(series, &"npa.go.jp".parse().unwrap());
            prop_assert_eq!(Member::decode(change.value.as_deref().unwrap()).unwrap(), member);
        }
    }
}
