//! Duties in a batch: what a node makes of each by the functions that decide for a real one, and a
//! hostile partner that puts forged ones into its feed, about records that it gave and others.

use super::node::Node;
use super::world::World;
use crate::exchange::entry::{FeedAction, FeedEntry, WHOLE_RECORD};
use crate::exchange::exception::Reason;
use crate::exchange::fixture::Ring;
use crate::exchange::{Duty, judge_consent};
use crate::ident::{AgencyName, Generation, RecordId};
use crate::record::erasure::ErasureBasis;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use std::collections::BTreeSet;

impl Node {
    /// Returns whether a partner gave a revision of what a record withdraws.
    pub(super) fn gave_series(&self, partner: usize, withdrawal: &Verified) -> bool {
        let mut gave = self.state.provenance.keys().filter(|(_, from)| *from == partner);
        gave.any(|(id, _)| {
            let record = self.state.records.get(id);
            record.is_some_and(|record| record.header().series == withdrawal.header().series)
        })
    }

    /// Judges a duty against what is here by now, and carries it out.
    pub(super) fn take_duty(
        &mut self,
        partner: usize,
        sender: &AgencyName,
        ring: &Ring,
        entry: &FeedEntry,
    ) -> Duty {
        let FeedEntry { action, record: id, open_slots, message: said, .. } = entry;
        match action {
            FeedAction::Retract => {
                let relation = self.state.relations.get_mut(&partner).unwrap();
                relation.duties.push((*id, *open_slots));
                self.take_back(*id, *open_slots, partner);
                Duty::CarryOut
            }
            FeedAction::Erase => self.take_order(partner, ring, entry),
            FeedAction::Erased => self.take_report(partner, entry),
            _ => {
                let said = said.as_deref().unwrap();
                let own = &self.agency.name;
                let duty = judge_consent(said, sender, own, ring, &self.state.dealings);
                if duty == Duty::CarryOut {
                    self.hear(partner, sender, said);
                }
                duty
            }
        }
    }
}

impl World<'_> {
    /// Puts a forged duty into a feed, behind whatever stands there without a head.
    pub(super) fn forge(&mut self, own: usize, partner: usize) {
        let others = self.nodes.iter().flat_map(|node| node.state.records.keys());
        let mut ids: BTreeSet<RecordId> = others.copied().collect();
        ids.insert(RecordId::from_bytes([self.random.below(8) as u8; 32]));
        let ids: Vec<_> = ids.into_iter().collect();
        let id = ids[self.random.below(ids.len())];
        let node = &mut self.nodes[own];
        let is_own = node
            .state
            .records
            .get(&id)
            .is_some_and(|record| record.header().originator == node.agency.name);
        let relation = node.state.relations.get_mut(&partner).unwrap();
        let gave = relation.known_given(&id).is_some();
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
        if action == FeedAction::Retract {
            relation.taken_back.push((id, slots));
        } else {
            relation.forged.insert(relation.feed.entries.len() as u64);
        }
        relation.feed.append_duty(action, (id, slots), order);
        self.reached.forged += 1;
        self.reached.forged_of_given += usize::from(gave);
    }

    /// Puts a forged duty into a feed while nothing else is disclosed, under a head of its own.
    pub(super) fn forge_alone(&mut self, own: usize, partner: usize) {
        self.forge(own, partner);
        let feed = &mut self.nodes[own].state.relations.get_mut(&partner).unwrap().feed;
        if feed.entries.len() as u64 > feed.published().get() {
            feed.publish();
        }
        self.announce(own, partner);
    }

    /// Checks that a forged order changes nothing, and that its answer reveals nothing of the
    /// records here.
    pub(super) fn assert_forgeries_are_answered_alike(&self, from: usize, to: usize) {
        let relation = &self.nodes[from].state.relations[&to];
        let mut answers = BTreeSet::new();
        for exception in &relation.reported {
            let bytes = &relation.feed.entries[exception.index.get() as usize];
            let Ok(entry) = FeedEntry::decode(bytes) else { continue };
            let never_gave = relation.known_given(&entry.record).is_none();
            let is_forged = relation.forged.contains(&exception.index.get());
            if entry.action == FeedAction::Erase && never_gave && is_forged {
                assert_eq!(exception.reason, Reason::NotOrdered);
                answers.insert(exception.detail().to_owned());
            }
        }
        assert!(answers.len() <= 1, "{from} learns what {to} holds: {answers:?}");
        let reported: BTreeSet<u64> = relation.reported.iter().map(|e| e.index.get()).collect();
        let receiver = &self.nodes[to];
        let ordered = &receiver.state.relations[&from].ordered;
        for index in relation.forged.range(..relation.receipted.get()) {
            let entry = FeedEntry::decode(&relation.feed.entries[*index as usize]).unwrap();
            // What was ordered may be reported falsely as done; what was lost may have been ordered.
            let ordered = ordered.get(&entry.record).copied().unwrap_or_default();
            let may_be_due = entry.action == FeedAction::Erased
                && (entry.open_slots.without(ordered).is_empty()
                    || receiver.agency.generation != Generation::FIRST);
            let what = format!("{to} receipted a forged order of {from} as carried out");
            assert!(may_be_due || reported.contains(index), "{what}");
        }
    }
}
