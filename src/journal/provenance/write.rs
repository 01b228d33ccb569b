//! The provenance of records with the entries of the group that waits.

use super::{AlsoGiven, REVISIONS_MAX};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::ids::PartnerNumber;
use crate::journal::index::SeriesHead;
use crate::journal::transaction::Transaction;
use crate::pb::{self, journal_entry::Event};
use crate::record::slots::SlotMask;
use bytes::Bytes;
use std::collections::BTreeSet;

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
