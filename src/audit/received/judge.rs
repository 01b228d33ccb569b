//! Entries of partners' feeds, judged against what the journal made of them.

use super::{Claim, fault};
use crate::audit::failure::Fault;
use crate::audit::holdings::RowNumber;
use crate::audit::ledger::Audit;
use crate::audit::partners::Partner;
use crate::ident::RecordId;
use crate::pb::{self, FeedAction};
use crate::record::slots::SlotMask;
use bytes::Bytes;
use std::collections::BTreeMap;

impl Audit {
    /// Entries of a partner's feed came; what they led to follows.
    pub(in crate::audit) fn arrive(
        &mut self,
        journal_index: u64,
        came: &pb::FeedEntriesReceived,
    ) -> Result<(), Fault> {
        let Partner { arriving, .. } = self.partners.named(&came.partner)?;
        // A long batch takes several entries, one right after the other.
        if arriving.waits() && arriving.brought_at + 1 != journal_index {
            return Err(fault("the receipt for the entries before", "more entries"));
        }
        arriving.brought_at = journal_index;
        let next = arriving.edge.size().get();
        if came.start != next || came.entries.is_empty() {
            let expected = format!("entries of the feed of {} from {next} on", came.partner);
            return Err(fault(expected, format!("{} from {}", came.entries.len(), came.start)));
        }
        came.entries.iter().try_for_each(|entry| arriving.add(entry))
    }

    /// Checks that an entry of the journal agrees with the received entry that it names as its source.
    /// Returns that entry.
    pub(in crate::audit) fn claim(&mut self, claim: &Claim<'_>) -> Result<&pb::FeedEntry, Fault> {
        let Claim { partner, index, record, actions } = claim;
        let Partner { arriving, .. } = self.partners.named(partner)?;
        arriving.claimed.insert(*index);
        let found = arriving.at(*index).ok_or_else(|| {
            let (from, to) = (arriving.start, arriving.edge.size());
            let expected = format!("an entry of the feed of {partner} from {from} to {to}");
            fault(expected, format!("entry {index}"))
        })?;
        let is_same = found.record_id[..] == **record && actions.contains(&found.action());
        if is_same {
            return Ok(found);
        }
        let id = |bytes: &[u8]| {
            RecordId::try_from(bytes).map_or_else(|_| "no record".to_owned(), |id| id.to_string())
        };
        let expected = format!("{actions:?} of record {} at entry {index}", id(record));
        Err(fault(expected, format!("{:?} of {}", found.action(), id(&found.record_id))))
    }

    /// The record that an entry of a feed names, if that came.
    pub(in crate::audit) fn arrived_record(&mut self, partner: &str, index: u64) -> Bytes {
        let found = self.partners.named(partner).ok();
        found
            .and_then(|partner| partner.arriving.at(index))
            .map(|entry| entry.record_id.clone())
            .unwrap_or_default()
    }

    /// The same of slots that came with a record.
    pub(in crate::audit) fn claim_slots(
        &mut self,
        claim: &Claim<'_>,
        slots: u32,
    ) -> Result<(), Fault> {
        let shown = self.claim(claim)?.open_slots;
        if slots & !shown == 0 {
            return Ok(());
        }
        let expected = format!("slots that entry {} discloses: {shown:#x}", claim.index);
        Err(fault(expected, format!("{slots:#x}")))
    }

    /// The same of an order to erase.
    pub(in crate::audit) fn claim_order(
        &mut self,
        claim: &Claim<'_>,
        order: Option<&pb::ErasureOrder>,
    ) -> Result<(), Fault> {
        if self.claim(claim)?.order.as_ref() == order {
            return Ok(());
        }
        Err(fault(format!("the order of entry {}", claim.index), "another"))
    }

    /// Checks that everything in a batch had its required effect, unless the receipt lists it as not
    /// taken.
    pub(in crate::audit) fn settle_received(
        &mut self,
        received: &pb::FeedReceived,
    ) -> Result<(), Fault> {
        let Partner { arriving, .. } = self.partners.named(&received.partner)?;
        let arriving = std::mem::take(arriving);
        let mut refused = BTreeMap::new();
        let mut next = arriving.start;
        for exception in &received.exceptions {
            if !(next..arriving.edge.size().get()).contains(&exception.index) {
                let expected = format!("exceptions from entry {next} on, in their order");
                return Err(fault(expected, format!("entry {}", exception.index)));
            }
            next = exception.index + 1;
            refused.insert(exception.index, exception.reason());
        }
        for (index, entry) in (arriving.start..).zip(&arriving.entries) {
            match refused.get(&index) {
                None => {
                    let is_claimed = arriving.claimed.contains(&index);
                    self.check_taken(&received.partner, index, entry, is_claimed)?;
                }
                Some(pb::ExceptionReason::HeldAsEvidence) => {
                    self.check_waits(&received.partner, index, entry)?;
                }
                Some(_) => {}
            }
        }
        let Partner { arriving: left, .. } = self.partners.named(&received.partner)?;
        *left = arriving;
        left.receipt();
        Ok(())
    }

    /// An order to erase that a hold keeps waiting is in the journal, so that the end of the hold carries it
    /// out.
    fn check_waits(&self, partner: &str, index: u64, entry: &pb::FeedEntry) -> Result<(), Fault> {
        let found = RecordId::try_from(&entry.record_id[..]).ok();
        let Some((number, row)) = found.and_then(|id| self.holdings.find(&id)) else {
            return Ok(());
        };
        let ordered = entry.order.as_ref().map_or(0, |order| order.slots);
        let waits = self.holds.waiting_for(number, partner);
        let missing = SlotMask::from_bits(ordered).and(row.open).without(waits);
        if missing.is_empty() {
            return Ok(());
        }
        let expected = format!("the order of entry {index}, which waits for the end of a hold");
        Err(fault(expected, format!("no entry about slots {:#x}", missing.bits())))
    }

    /// Returns whether entries say of all these slots that the partner reported their erasure.
    fn has_reported(&self, partner: &str, number: RowNumber, slots: u32) -> bool {
        let slots = SlotMask::from_bits(slots);
        let reported = self.holds.reported_by(number, partner);
        !slots.is_empty() && slots.without(reported).is_empty()
    }

    fn check_taken(
        &self,
        partner: &str,
        index: u64,
        entry: &pb::FeedEntry,
        is_claimed: bool,
    ) -> Result<(), Fault> {
        let id = RecordId::try_from(&entry.record_id[..])
            .map_err(|error| fault(format!("a record id at entry {index}"), error))?;
        let held = self.holdings.find(&id);
        match (entry.action(), held) {
            (FeedAction::Disclose | FeedAction::Revise | FeedAction::Withdraw, None) => {
                let expected =
                    format!("record {id}, which entry {index} brought and was receipted");
                Err(fault(expected, "no acceptance of it"))
            }
            (FeedAction::Erase, Some((_, row))) => {
                let ordered = entry.order.as_ref().map_or(0, |order| order.slots);
                let left = row.open.and(SlotMask::from_bits(ordered));
                if left.is_empty() {
                    return Ok(());
                }
                let expected = format!("the erasure of record {id} that entry {index} orders");
                Err(fault(expected, format!("slots {:#x} still open", left.bits())))
            }
            // A report that has nothing new leads to no entry.
            (FeedAction::Erased, Some((number, _)))
                if self.has_reported(partner, number, entry.open_slots) =>
            {
                Ok(())
            }
            (FeedAction::Erased | FeedAction::ConsentRequest | FeedAction::Consent, _)
                if !is_claimed =>
            {
                Err(fault(format!("what follows from entry {index}"), "no entry about it"))
            }
            (FeedAction::Unspecified, _) => {
                Err(fault(format!("entry {index} of the feed among the exceptions"), "none"))
            }
            _ => Ok(()),
        }
    }
}
