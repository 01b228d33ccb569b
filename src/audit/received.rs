//! The feeds from partners. Every entry of one is in the journal, stands under the head that was
//! receipted, and led to what it must: a record that was receipted is here, what was ordered erased is
//! gone, and whatever claims to have come from an entry came from that one.

use super::failure::{Check, Fault};
use super::holdings::RowNumber;
use super::ledger::Audit;
use super::partners::Partner;
use crate::exchange::FOREIGN_ENTRY_BYTES_MAX;
use crate::ident::RecordId;
use crate::merkle::{Frontier, leaf_hash};
use crate::pb::{self, FeedAction};
use crate::record::slots::SlotMask;
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// Entries of one batch at the most, by which so many may wait for a receipt.
const ARRIVING_MAX: usize = crate::exchange::BATCH_ENTRIES_MAX;

/// The feed from one partner as far as it came.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    /// The tree of all entries so far.
    edge: Frontier,
    /// Index of the first entry that is not receipted.
    start: u64,
    /// Entries that are not receipted.
    entries: Vec<pb::FeedEntry>,
    /// Those of them that an entry of the journal names as its source.
    claimed: BTreeSet<u64>,
    /// The last entry of the journal that brought some.
    brought_at: u64,
}

/// The reference in a journal entry to the feed entry that it came from.
pub(super) struct Claim<'a> {
    pub(super) partner: &'a str,
    pub(super) index: u64,
    pub(super) record: &'a [u8],
    pub(super) actions: &'a [FeedAction],
}

/// Actions that carry a record.
pub(super) const SHOWING: [FeedAction; 3] =
    [FeedAction::Disclose, FeedAction::Revise, FeedAction::Withdraw];

/// The action that takes slots or a record back.
pub(super) const TAKING_BACK: [FeedAction; 1] = [FeedAction::Retract];

fn fault(expected: impl ToString, found: impl ToString) -> Fault {
    Fault::new(Check::ReceivedFeed, expected, found)
}

impl Arriving {
    fn add(&mut self, bytes: &Bytes) -> Result<(), Fault> {
        if self.entries.len() == ARRIVING_MAX {
            return Err(fault(format!("at most {ARRIVING_MAX} entries before a receipt"), "more"));
        }
        if bytes.len() > FOREIGN_ENTRY_BYTES_MAX {
            let expected = format!("an entry of at most {FOREIGN_ENTRY_BYTES_MAX} bytes");
            return Err(fault(expected, bytes.len()));
        }
        // What cannot be read is among the exceptions.
        self.entries.push(pb::FeedEntry::decode(bytes.clone()).unwrap_or_default());
        self.edge.push(leaf_hash(bytes));
        Ok(())
    }

    fn at(&self, index: u64) -> Option<&pb::FeedEntry> {
        let place = index.checked_sub(self.start)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// Takes the receipt for all entries so far, which lead to `root`.
    fn receipt(&mut self) {
        self.start += self.entries.len() as u64;
        self.entries.clear();
        self.claimed.clear();
    }

    /// Returns whether entries wait for their receipt.
    pub(super) fn waits(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(super) fn edge(&self) -> &Frontier {
        &self.edge
    }
}

impl Audit {
    /// Entries of a partner's feed came; what they led to follows.
    pub(super) fn arrive(
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
    pub(super) fn claim(&mut self, claim: &Claim<'_>) -> Result<&pb::FeedEntry, Fault> {
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
    pub(super) fn arrived_record(&mut self, partner: &str, index: u64) -> Bytes {
        let found = self.partners.named(partner).ok();
        found
            .and_then(|partner| partner.arriving.at(index))
            .map(|entry| entry.record_id.clone())
            .unwrap_or_default()
    }

    /// The same of slots that came with a record.
    pub(super) fn claim_slots(&mut self, claim: &Claim<'_>, slots: u32) -> Result<(), Fault> {
        let shown = self.claim(claim)?.open_slots;
        if slots & !shown == 0 {
            return Ok(());
        }
        let expected = format!("slots that entry {} discloses: {shown:#x}", claim.index);
        Err(fault(expected, format!("{slots:#x}")))
    }

    /// The same of an order to erase.
    pub(super) fn claim_order(
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
    pub(super) fn settle_received(&mut self, received: &pb::FeedReceived) -> Result<(), Fault> {
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
