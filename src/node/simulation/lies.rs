//! A hostile node: it puts forged duties into its feeds, marks what it withholds as erased, and answers orders to
//! erase with the word that it never got the record. In the end it is honest, so that what it denied comes again.

use super::reached::Situation;
use super::world::World;
use crate::exchange::{CheckedBatch, Exception, FeedAction, FeedEntry, Reason, WHOLE_RECORD};
use crate::ident::{PolicyVersion, RecordId};
use crate::pb;
use crate::record::erasure::ErasureBasis;
use crate::record::slots::SlotMask;
use prost::Message as _;
use std::collections::BTreeSet;

/// Marks every slot that a batch withholds as erased. Tells how many there are.
pub(super) fn mark_erased(batch: &mut pb::FeedBatch) -> usize {
    let slots = batch.envelopes.iter_mut().flat_map(|envelope| &mut envelope.slots);
    let withheld = slots.filter(|slot| slot.state() == pb::SlotState::Withheld);
    withheld.map(|slot| slot.set_state(pb::SlotState::Erased)).count()
}

/// Answers every order of a batch with the word that its record never came. Tells how many there are.
pub(super) fn deny_orders(checked: &mut CheckedBatch) -> usize {
    let orders = checked.taken.extract_if(.., |taken| taken.entry.action == FeedAction::Erase);
    let denials = orders.map(|taken| Exception::new(taken.index, Reason::NotSupplied, ""));
    let denials: Vec<_> = denials.collect();
    let denied = denials.len();
    checked.exceptions = Exception::merged(std::mem::take(&mut checked.exceptions), denials);
    denied
}

impl World<'_> {
    /// Puts a forged duty into the feed of the hostile node.
    pub(super) fn forge(&mut self, own: usize, partner: usize) {
        let mut ids = BTreeSet::from([RecordId::from_bytes([self.random.below(8) as u8; 32])]);
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_open() {
                ids.extend(self.read(node).records.keys());
            }
        }
        let is_given = |id: &RecordId| self.nodes[own].gave_to(partner, id).is_some();
        let given: BTreeSet<_> = ids.iter().copied().filter(is_given).collect();
        let ids = if self.random.chance(2) && !given.is_empty() { given } else { ids };
        let id = *ids.iter().nth(self.random.index(ids.len())).unwrap();
        let held = self.read(own).records.get(&id);
        let is_own = held.is_some_and(|held| held.given.is_none());
        let node = &mut self.nodes[own];
        let gave = node.gave_to(partner, &id).is_some();
        let (action, slots) = match self.random.below(3) {
            0 if !gave => (FeedAction::Retract, WHOLE_RECORD),
            1 => (FeedAction::Erased, SlotMask::from_bits(0b110)),
            _ => (FeedAction::Erase, SlotMask::from_bits(0b110)),
        };
        if is_own {
            return;
        }
        let order = (action == FeedAction::Erase)
            .then(|| node.agency.order(&id, slots, ErasureBasis::CourtOrder));
        let at = node.now();
        let entry = FeedEntry {
            action,
            record: id,
            open_slots: slots,
            policy_version: PolicyVersion::new(1),
            at,
            order,
            message: None,
        };
        let entry = pb::FeedEntry::decode(&entry.encode()[..]).unwrap();
        let agency = self.book.agency(partner);
        let published = &node.snapshot().state.partners[agency].published;
        let (index, progress) = (published.size, published.progress);
        node.commit(|tx| Ok(tx.publish(agency, &[entry], progress, 0)?)).unwrap();
        node.notes.of(partner).forged.insert(index);
        self.reached.once(Situation::DutyForged);
        self.reached.add(Situation::ForgedOfGiven, usize::from(gave));
        self.announce(own, partner);
    }
}
