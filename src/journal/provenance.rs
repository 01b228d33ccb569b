//! Partners that gave a record which is here by another's leave: each may lay duties on what it gave.
//!
//! The partner by whose leave a record is used stands in the record's place; this holds the others.
//! Who gave nothing has no say about a record, and is told nothing of it.

use super::JournalError;
use super::entry;
use super::index::SeriesHead;
use super::state::{PartnerNumber, State};
use super::tag::Tag;
use super::transaction::Transaction;
use super::view::View;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::record::slots::SlotMask;
use crate::store::{Change, KeyRange, Order, Table};
use bytes::Bytes;
use std::collections::BTreeSet;

const PROVENANCE: u8 = Tag::Provenance as u8;

/// Revisions of a series looked at to find whether a partner gave any of them; as many as are looked
/// at before one is disclosed.
const REVISIONS_MAX: usize = 64;

/// A record that a partner disclosed and that is here by another's leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlsoGiven {
    pub record: RecordId,
    pub open_slots: SlotMask,
    pub feed_index: u64,
}

fn prefix(id: &RecordId, number: PartnerNumber) -> Vec<u8> {
    [&[PROVENANCE][..], id.as_bytes(), &number.get().to_be_bytes()].concat()
}

/// The slots stand in the key, so that nothing has to be looked up where they become more.
pub(super) fn put(id: &RecordId, number: PartnerNumber, slots: SlotMask) -> Change {
    let key = [&prefix(id, number)[..], &slots.bits().to_be_bytes()].concat();
    Change::put(Table::Disclosures, key, Vec::new())
}

/// The index changes of an entry, if it is about provenance.
pub(super) fn put_entry(
    state: &State,
    event: &Event,
    changes: &mut Vec<Change>,
) -> Result<(), JournalError> {
    let Event::ProvenanceReceived(received) = event else { return Ok(()) };
    let agency = received.partner.parse::<AgencyName>().ok();
    let Some(partner) = agency.and_then(|agency| state.partners.get(&agency)) else {
        return Ok(());
    };
    for record in &received.records {
        let slots = SlotMask::from_bits(record.open_slots);
        changes.push(put(&entry::record_id(&record.record_id)?, partner.number, slots));
    }
    Ok(())
}

impl View {
    /// The slots of a record that a partner disclosed beside the one by whose leave it is used.
    fn also_given(
        &self,
        id: &RecordId,
        number: PartnerNumber,
    ) -> Result<Option<SlotMask>, JournalError> {
        let range = KeyRange::prefix(prefix(id, number));
        let mut found = None;
        for pair in self.index().scan(Table::Disclosures, &range, Order::Ascending) {
            let (key, _) = pair?;
            let slots = key.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
            let slots = SlotMask::from_bits(slots.unwrap_or_default());
            found = Some(found.unwrap_or(SlotMask::NONE).or(slots));
        }
        Ok(found)
    }
}

impl Transaction<'_> {
    /// The slots of a record that a partner gave, staged ones included; `None` if it never gave it,
    /// be it here or not.
    pub fn given_by(
        &self,
        id: &RecordId,
        number: PartnerNumber,
    ) -> Result<Option<SlotMask>, JournalError> {
        let first = self.given(id)?.filter(|given| given.from == number);
        let staged = self.group.pending.provenance.get(&(*id, number)).copied();
        let known = first.map(|given| given.slots).into_iter().chain(staged);
        let known = known.chain(self.view.also_given(id, number)?);
        Ok(known.reduce(SlotMask::or))
    }

    /// Returns whether a partner gave a revision of a series.
    pub fn series_given_by(
        &self,
        series: SeriesId,
        originator: &AgencyName,
        number: PartnerNumber,
    ) -> Result<bool, JournalError> {
        let Some(SeriesHead { id: head, .. }) = self.series_head(series, originator)? else {
            return Ok(false);
        };
        if self.given_by(&head, number)?.is_some() {
            return Ok(true);
        }
        let members = self.members(series, originator)?;
        let mut next: Vec<RecordId> = members.into_iter().map(|member| member.id).collect();
        next.push(head);
        let mut seen = BTreeSet::new();
        while let Some(id) = next.pop() {
            if seen.len() >= REVISIONS_MAX || !seen.insert(id) {
                continue;
            }
            if self.given_by(&id, number)?.is_some() {
                return Ok(true);
            }
            next.extend(self.record(&id)?.and_then(|record| record.header().previous));
        }
        Ok(false)
    }

    /// Notes that a partner gave records that are here by another's leave; as many as a batch has.
    pub fn add_provenance(
        &mut self,
        agency: &AgencyName,
        number: PartnerNumber,
        records: &[AlsoGiven],
    ) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        for AlsoGiven { record, open_slots, .. } in records {
            self.group.pending.add_provenance(record, number, *open_slots);
        }
        let record = |given: &AlsoGiven| pb::RecordProvenance {
            record_id: Bytes::copy_from_slice(given.record.as_bytes()),
            open_slots: given.open_slots.bits(),
            feed_index: given.feed_index,
        };
        self.append(Event::ProvenanceReceived(pb::ProvenanceReceived {
            partner: agency.to_string(),
            records: records.iter().map(record).collect(),
        }))
        .map(drop)
    }
}
