//! What must hold: every partner holds what policy in plain words let go at the moment of sending,
//! record by record and slot by slot, and nothing else; what policy allows in the end is there; and
//! no witness ever cosigns two histories of a log. It changes nothing in the world.

use std::collections::BTreeSet;

use super::world::{Masks, Node, PAIRS, Relation, World, shown};
use crate::exchange::witnessing::head_of;
use crate::ident::{Generation, RecordId};
use crate::merkle::TreeHead;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;

/// How often the runs came to what they are for.
#[derive(Default, Debug)]
pub(super) struct Reached {
    pub(super) receipts_caught_up: usize,
    pub(super) repeats: usize,
    pub(super) streams_ended_by_tampering: usize,
    pub(super) batches_lost_in_a_crash: usize,
    pub(super) streams_drained: usize,
    pub(super) withheld_at_sending: usize,
    pub(super) cosignatures: usize,
    pub(super) restored: usize,
    pub(super) found_behind: usize,
    pub(super) succeeded: usize,
    pub(super) refused_unaccepted: usize,
    pub(super) cosignatures_adopted: usize,
    exceptions: usize,
    duties: usize,
    records_forwarded: usize,
    withdrawals: usize,
    /// Records that a partner has with fewer slots than their holder.
    shown_in_part: usize,
    /// Records that a partner has and policy would not give it now.
    kept_after_narrowing: usize,
}

impl Reached {
    pub(super) fn all_at_least(&self, least: usize) -> bool {
        let Self {
            receipts_caught_up,
            repeats,
            streams_ended_by_tampering,
            batches_lost_in_a_crash,
            streams_drained,
            withheld_at_sending,
            cosignatures,
            restored,
            found_behind,
            succeeded,
            refused_unaccepted,
            cosignatures_adopted,
            exceptions,
            duties,
            records_forwarded,
            withdrawals,
            shown_in_part,
            kept_after_narrowing,
        } = self;
        [
            receipts_caught_up,
            repeats,
            streams_ended_by_tampering,
            batches_lost_in_a_crash,
            streams_drained,
            withheld_at_sending,
            cosignatures,
            restored,
            found_behind,
            succeeded,
            refused_unaccepted,
            cosignatures_adopted,
            exceptions,
            duties,
            records_forwarded,
            withdrawals,
            shown_in_part,
            kept_after_narrowing,
        ]
        .into_iter()
        .all(|count| *count >= least)
    }
}

/// What a node made itself, and what its partners were let send.
fn allowed(node: &Node) -> Masks {
    let own = node.state.records.values().filter(|r| r.header().originator == node.agency.name);
    let mut allowed: Masks = own.map(|r| (r.id(), r.open_slots())).collect();
    for (id, mask) in node.state.relations.values().flat_map(|relation| &relation.allowed) {
        let all = allowed.entry(*id).or_default();
        *all = all.or(*mask);
    }
    allowed
}

impl World<'_> {
    /// Takes down that a witness cosigned this head of a log of one generation. The log as it is now
    /// must lead to every head of it that this witness ever cosigned; of a log that was succeeded,
    /// nothing more is cosigned.
    pub(super) fn note_cosigned(
        &mut self,
        (witness, log, generation): (usize, usize, Generation),
        head: TreeHead,
    ) {
        let now = self.nodes[log].agency.generation;
        assert_eq!(generation, now, "{witness} cosigned a log of {log} that was succeeded");
        let roots = self.cosigned.entry((witness, log, generation)).or_default();
        roots.insert(head.size, head.root);
        for (size, root) in roots.iter() {
            let now = self.nodes[log].journal_root(*size);
            assert_eq!(now, Some(*root), "{witness} cosigned a second history of {log}");
        }
    }

    /// Both ways between nodes that are not found to run on an old copy.
    fn ways(&self) -> impl Iterator<Item = (usize, usize)> {
        let is_sound = |node: usize| !self.nodes[node].is_behind;
        PAIRS
            .into_iter()
            .flat_map(|(a, b)| [(a, b), (b, a)])
            .filter(move |(from, to)| is_sound(*from) && is_sound(*to))
    }

    pub(super) fn assert_agreement(&self) {
        for node in self.nodes.iter().filter(|node| !node.is_behind) {
            let records = node.state.records.iter();
            let held: Masks = records.map(|(id, record)| (*id, record.open_slots())).collect();
            assert_eq!(held, allowed(node), "{} holds what policy allowed", node.agency.name);
            let once: BTreeSet<_> = node.state.accepted.iter().collect();
            assert_eq!(once.len(), node.state.accepted.len(), "no record was accepted twice");
        }
        for (from, to) in self.ways() {
            self.assert_feeds_agree(from, to);
            self.assert_all_is_there(from, to);
        }
    }

    fn assert_feeds_agree(&self, from: usize, to: usize) {
        let sender: &Relation = &self.nodes[from].state.relations[&to];
        let receiver: &Relation = &self.nodes[to].state.relations[&from];
        let published = sender.feed.published();
        assert_eq!(sender.receipted, published, "receipts cover the whole feed");
        assert_eq!(receiver.partner_feed.size(), published);
        assert_eq!(Some(receiver.partner_feed.root()), sender.feed.root_at(published));
        let of = |node: usize| self.nodes[node].agency.generation;
        if of(to) == Generation::FIRST {
            // Who was restored judged some entries a second time.
            assert_eq!(sender.reported, receiver.exceptions, "every exception was reported once");
        }
        if of(from) == Generation::FIRST && of(to) == Generation::FIRST {
            assert_eq!(sender.retracted, receiver.duties, "every duty arrived");
        }
        assert!(sender.retracted.is_subset(&receiver.duties), "every duty arrived");
        let cosigned = head_of(&sender.cosigned_note).size;
        let known = head_of(&receiver.witnessed_note).size;
        assert!(cosigned <= known, "a witness knows what it cosigned");
        let is_cosigned = head_of(&receiver.witnessed_note).size.get() > 0;
        let says_anything = self.nodes[from].state.substance > 0;
        assert_eq!(is_cosigned, says_anything, "every journal that says anything is cosigned");
    }

    /// What policy allows in the end is there, but for what it did not allow when its turn came.
    fn assert_all_is_there(&self, from: usize, to: usize) {
        for id in self.offered(from, to) {
            let wanted = self.wanted(from, to, &id).unwrap_or_default();
            let held = self.nodes[to].state.records.get(&id).map(Verified::open_slots);
            let lapsed = self.nodes[to].state.relations[&from].lapsed.get(&id);
            let there = held.unwrap_or_default().or(lapsed.copied().unwrap_or_default());
            assert!(wanted.without(there).is_empty(), "{id} did not go from {from} to {to}");
        }
    }

    /// Records that a node has for a partner, if policy allows.
    fn offered(&self, from: usize, to: usize) -> BTreeSet<RecordId> {
        let state = &self.nodes[from].state;
        let partner = self.book.agency(to);
        let owed = |(id, source): &&(RecordId, Option<usize>)| {
            *source != Some(to)
                && state.records[id].header().originator != *partner
                && !state.relations[&to].retracted.contains(id)
        };
        state.journal.iter().filter(owed).map(|(id, _)| *id).collect()
    }

    /// What policy, in plain words, allows now.
    fn wanted(&self, from: usize, to: usize, id: &RecordId) -> Option<SlotMask> {
        let state = &self.nodes[from].state;
        let record = &state.records[id];
        let classes = self.book.plainly(self.asked(from, to), record.header());
        shown(&state.records, &state.relations[&to].ever, record, classes)
    }

    pub(super) fn count_outcomes(&mut self) {
        let ways: Vec<_> = self.ways().collect();
        for (from, to) in ways {
            let sender = &self.nodes[from].state;
            let relation = &self.nodes[to].state.relations[&from];
            self.reached.exceptions += relation.exceptions.len();
            self.reached.duties += relation.duties.len();
            for (id, mask) in &relation.allowed {
                // Who was restored may have lost what it disclosed.
                let Some(record) = sender.records.get(id) else { continue };
                let wanted = self.wanted(from, to, id);
                let is_own = record.header().originator == self.nodes[from].agency.name;
                self.reached.records_forwarded += usize::from(!is_own);
                self.reached.withdrawals += usize::from(record.kind() == Kind::Withdrawal);
                self.reached.shown_in_part += usize::from(*mask != record.open_slots());
                self.reached.kept_after_narrowing += usize::from(wanted.is_none());
            }
        }
    }
}
