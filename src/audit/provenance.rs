//! Partners that gave a record: each may take back what it gave, and pass on an order to erase it.

use super::failure::{Check, Fault};
use super::holdings::RowNumber;
use super::ledger::Audit;
use super::received::{Claim, SHOWING};
use super::words::slots;
use crate::exchange::BATCH_ENTRIES_MAX;
use crate::ident::AgencyName;
use crate::pb;
use crate::record::slots::SlotMask;

impl Audit {
    /// A partner disclosed records that are here by another's leave.
    pub(super) fn add_provenance(
        &mut self,
        received: &pb::ProvenanceReceived,
    ) -> Result<(), Fault> {
        self.partners.known(&received.partner)?;
        let count = received.records.len();
        if !(1..=BATCH_ENTRIES_MAX).contains(&count) {
            let expected = format!("1 to {BATCH_ENTRIES_MAX} records");
            return Err(Fault::new(Check::EntryForm, expected, count));
        }
        let Some(from) = self.partner_number(&received.partner) else { return Ok(()) };
        for record in &received.records {
            let claim = Claim {
                partner: &received.partner,
                index: record.feed_index,
                record: &record.record_id,
                actions: &SHOWING,
            };
            self.claim_slots(&claim, record.open_slots)?;
            let row = self.held(&record.record_id)?;
            let named = SlotMask::from_bits(record.open_slots);
            let all = SlotMask::all(self.holdings.at(row).kind);
            if named.bits() != record.open_slots || !named.without(all).is_empty() {
                let found = slots(record.open_slots);
                return Err(Fault::new(Check::OpenSlots, slots(all.bits()), found));
            }
            self.holdings.add_provenance(row, from, named);
        }
        Ok(())
    }

    fn partner_number(&self, partner: &str) -> Option<u16> {
        self.partners.number(&partner.parse::<AgencyName>().ok()?)
    }

    /// The slots of a record that the partner gave whose feed an entry names.
    pub(super) fn gave(&self, row: RowNumber, partner: &str) -> Result<SlotMask, Fault> {
        let number = self.partner_number(partner);
        number.and_then(|number| self.holdings.given_by(row, number)).ok_or_else(|| {
            let expected = format!("a partner that gave record {}", self.holdings.at(row).id);
            Fault::new(Check::OpenSlots, expected, partner)
        })
    }
}
