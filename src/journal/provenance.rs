//! Partners that gave a record which is here by another's leave: each may lay duties on what it gave.
//!
//! The partner by whose leave a record is used stands in the record's place; this holds the others.
//! Who gave nothing has no say about a record, and is told nothing of it.

mod write;

use super::JournalError;
use super::entry;
use super::state::{PartnerNumber, State};
use super::tag::Tag;
use super::view::View;
use crate::ident::{AgencyName, RecordId};
use crate::pb::journal_entry::Event;
use crate::record::slots::SlotMask;
use crate::store::{Change, KeyRange, Order, Table};

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
    Change::put(Table::Tagged, key, Vec::new())
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
        for pair in self.index().scan(Table::Tagged, &range, Order::Ascending) {
            let (key, _) = pair?;
            let slots = key.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
            let slots = SlotMask::from_bits(slots.unwrap_or_default());
            found = Some(found.unwrap_or(SlotMask::NONE).or(slots));
        }
        Ok(found)
    }
}
