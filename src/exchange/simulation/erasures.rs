//! Erasures by order, and holds: an originator orders slots or whole series erased, every node that
//! takes the order passes it on, and a hold keeps it waiting until it ends. What is ordered and how an
//! order is judged is decided by the functions of a real node; the checks know every order besides.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::injected::Injected;
use super::node::{Node, Noted};
use super::world::World;
use crate::exchange::entry::{FeedAction, FeedEntry};
use crate::exchange::exception::Reason;
use crate::exchange::fixture::Ring;
use crate::exchange::{Disclosed, Duty, GivenRecord, judge_order, judge_report};
use crate::ident::{Generation, RecordId, SeriesId};
use crate::policy::hold;
use crate::record::erasure::{ErasureBasis, ErasureOrder, slots_to_erase};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;

/// Runs with erasures: one in so many.
pub(super) const RUNS_WITH_ERASURES: u64 = 2;

/// An order that waits for the end of a hold.
#[derive(Clone)]
pub(super) struct Waiting {
    from: usize,
    /// The slots of the order that the partner's feed names.
    named: SlotMask,
    order: ErasureOrder,
}

/// An erasure of an own series that its originator decided on.
#[derive(Clone)]
pub(super) struct Decided {
    series: SeriesId,
    slots: SlotMask,
    basis: ErasureBasis,
}

impl Node {
    /// Erases slots of a record that are not erased yet, by an order that came from a partner or none.
    fn erase(&mut self, id: RecordId, order: ErasureOrder, from: Option<usize>) {
        let before = self.state.erased(&id);
        let Some(record) = self.state.records.get_mut(&id) else { return };
        let slots = order.slots.and(SlotMask::all(record.kind()));
        if slots.without(before).is_empty() {
            return;
        }
        *record = record.erased(slots);
        self.state.erased.insert(id, before.or(slots));
        self.say(Noted::Erased(id, order, from));
    }

    fn own_series(&self, series: SeriesId) -> impl Iterator<Item = &Verified> {
        let is_of = move |record: &&Verified| {
            let header = record.header();
            header.series == series && header.originator == self.agency.name
        };
        self.state.records.values().filter(is_of)
    }

    /// Carries out a decision on all revisions, or on none while one of them is under a hold. Gives the
    /// slots that are ordered erased.
    fn order_series(&mut self, decided: &Decided) -> Option<Vec<(RecordId, SlotMask)>> {
        let Decided { series, slots, basis } = *decided;
        let is_restricted = |id: &RecordId| self.state.restricted.contains_key(id);
        let is_held = |of: &Verified| hold(of.kind(), is_restricted(&of.id()), basis).is_some();
        if self.own_series(series).any(is_held) {
            return None;
        }
        let revisions = self.own_series(series);
        let ordered = revisions.map(|of| (of.id(), slots_to_erase(slots, of, true)));
        let ordered: Vec<_> = ordered.filter(|(_, slots)| !slots.is_empty()).collect();
        for (id, slots) in &ordered {
            let order = self.agency.order(id, *slots, basis);
            self.erase(*id, order, None);
        }
        Some(ordered)
    }

    /// Judges an order in a partner's feed, and carries it out or keeps it.
    pub(super) fn take_order(&mut self, partner: usize, ring: &Ring, entry: &FeedEntry) -> Duty {
        let id = entry.record;
        let gave = self.state.provenance.contains_key(&(id, partner));
        let held = self.state.records.get(&id).filter(|_| gave);
        let given = held.map(|record| GivenRecord {
            header: record.header(),
            erased: self.state.erased(&id),
            is_restricted: self.state.restricted.contains_key(&id)
                && self.state.injected != Some(Injected::HoldIgnored),
        });
        let duty = match self.state.injected {
            Some(Injected::ForgedOrderCarriedOut) => Duty::CarryOut,
            _ => judge_order(entry, given, ring),
        };
        let Some(order) = entry.order else { return duty };
        match duty {
            Duty::CarryOut if self.state.injected == Some(Injected::OrderDropped) => {}
            Duty::CarryOut => self.erase(id, order, Some(partner)),
            Duty::Waits(_) => {
                let waiting = Waiting { from: partner, named: entry.open_slots, order };
                self.state.waiting.entry(id).or_default().push(waiting);
                self.write(b"order waits");
            }
            Duty::Refused(..) => {}
        }
        duty
    }

    /// Judges a partner's report that it erased what a hold had kept.
    pub(super) fn take_report(&mut self, partner: usize, entry: &FeedEntry) -> Duty {
        let relation = self.state.relations.get_mut(&partner).unwrap();
        let ordered = relation.ordered.get(&entry.record).copied().unwrap_or_default();
        let ordered = match self.state.injected {
            Some(Injected::ForgedReportTaken) => entry.open_slots,
            _ => ordered,
        };
        let duty = judge_report(entry, ordered);
        if duty == Duty::CarryOut {
            let reports = relation.reports.entry(entry.record).or_default();
            *reports = reports.or(entry.open_slots);
            self.write(b"erasure reported");
        }
        duty
    }

    /// Orders a partner to erase what it was given; returns true if there is anything.
    pub(super) fn pass_order_on(&mut self, to: usize, id: RecordId, order: ErasureOrder) -> bool {
        let relation = self.state.relations.get_mut(&to).unwrap();
        let owed = relation.known_given(&id).unwrap_or_default().and(order.slots);
        if owed.is_empty() || self.state.injected == Some(Injected::OrderNotPassedOn) {
            return false;
        }
        let at = relation.feed.entries.len() as u64;
        relation.feed.append_duty(FeedAction::Erase, (id, owed), Some(order));
        let before = relation.disclosed.get(&id).copied();
        let shown_at = before.map_or(at, |(shown_at, _)| shown_at);
        let before = before.map(|(_, disclosed)| disclosed);
        let after = Disclosed::after(before, FeedAction::Erase, owed);
        relation.disclosed.insert(id, (shown_at, after));
        let ordered = relation.ordered.entry(id).or_default();
        *ordered = ordered.or(owed);
        true
    }

    /// Lays the duties on a partner once more that it refused.
    pub(super) fn repeat_orders(&mut self, to: usize, range: std::ops::Range<u64>) -> bool {
        let relation = self.state.relations.get_mut(&to).unwrap();
        let refused: Vec<u64> = relation.refused_duties.range(range).copied().collect();
        for index in &refused {
            let entry = FeedEntry::decode(&relation.feed.entries[*index as usize]).unwrap();
            let of = (entry.record, entry.open_slots);
            relation.feed.append_duty(entry.action, of, entry.order);
        }
        !refused.is_empty()
    }

    /// Reports to a partner what was erased at its order after a hold; returns true if there is
    /// anything.
    pub(super) fn report_erased(&mut self, to: usize, id: RecordId) -> bool {
        let waiting = self.state.waiting.get(&id).into_iter().flatten();
        let of_partner = waiting.filter(|waiting| waiting.from == to);
        let named = of_partner.fold(SlotMask::NONE, |mask, waiting| mask.or(waiting.named));
        let erased = named.and(self.state.records[&id].erased_slots());
        let relation = self.state.relations.get_mut(&to).unwrap();
        let answered = relation.answered.entry(id).or_default();
        let fresh = erased.without(*answered);
        if fresh.is_empty() || self.state.injected == Some(Injected::ReportNotSent) {
            return false;
        }
        *answered = answered.or(fresh);
        relation.feed.append_duty(FeedAction::Erased, (id, fresh), None);
        true
    }
}

impl World<'_> {
    /// An originator decides that slots of one of its series are erased, or all of them.
    pub(super) fn decide_erasure(&mut self, own: usize) {
        let Self { random, nodes, .. } = self;
        let node = &nodes[own];
        let records = node.state.records.values();
        let records: Vec<_> =
            records.filter(|record| record.header().originator == node.agency.name).collect();
        if records.is_empty() {
            return;
        }
        let record = records[random.below(records.len())];
        let all = SlotMask::all(record.kind());
        let some = SlotMask::from_bits(random.next() as u32).and(all);
        let slots = if random.chance(2) || some.is_empty() { all } else { some };
        let basis = ErasureBasis::ALL[random.below(ErasureBasis::ALL.len())];
        let decided = Decided { series: record.header().series, slots, basis };
        self.order_erasure(own, decided);
    }

    /// Orders an erasure, or keeps the decision until no hold is in its way.
    fn order_erasure(&mut self, own: usize, decided: Decided) {
        let node = &mut self.nodes[own];
        let Some(ordered) = node.order_series(&decided) else {
            self.reached.erasures_deferred += 1;
            return node.state.deferred.push(decided);
        };
        self.reached.erasures_ordered += ordered.len();
        for (id, slots) in ordered {
            let all = self.ordered.entry(id).or_default();
            *all = all.or(slots);
        }
    }

    /// Puts a record under a hold, or ends a hold.
    pub(super) fn change_hold(&mut self, own: usize) {
        let Self { random, nodes, .. } = self;
        let state = &mut nodes[own].state;
        let held: Vec<_> = state.restricted.keys().copied().collect();
        if !held.is_empty() && random.chance(4) {
            let id = held[random.below(held.len())];
            return self.end_hold(own, id);
        }
        // Orders come to those whose records are another's.
        let ids: Vec<_> = match random.chance(4) {
            true => state.records.keys().copied().collect(),
            false => state.given.keys().copied().collect(),
        };
        if ids.is_empty() {
            return;
        }
        let id = ids[random.below(ids.len())];
        if let Entry::Vacant(hold) = state.restricted.entry(id) {
            hold.insert(state.erased.get(&id).copied().unwrap_or_default());
            nodes[own].write(b"under a hold");
        }
    }

    /// Ends a hold, and carries out what waited for that.
    fn end_hold(&mut self, own: usize, id: RecordId) {
        let node = &mut self.nodes[own];
        node.state.restricted.remove(&id);
        node.say(Noted::HoldEnded(id));
        for waiting in node.state.waiting.get(&id).cloned().unwrap_or_default() {
            let erased = node.state.erased(&id);
            self.reached.erased_after_hold +=
                usize::from(!waiting.order.slots.without(erased).is_empty());
            node.erase(id, waiting.order, Some(waiting.from));
        }
        for decided in std::mem::take(&mut node.state.deferred) {
            self.order_erasure(own, decided);
        }
    }

    /// Everybody puts records under holds and orders erasures, before all comes to rest.
    pub(super) fn hold_and_erase(&mut self) {
        for own in 0..self.nodes.len() {
            if self.erases && !self.nodes[own].is_behind {
                self.change_hold(own);
                self.decide_erasure(own);
            }
        }
    }

    /// Every hold ends.
    pub(super) fn end_holds(&mut self) {
        for own in 0..self.nodes.len() {
            for id in self.nodes[own].state.restricted.clone().into_keys() {
                if !self.nodes[own].is_behind {
                    self.end_hold(own, id);
                }
            }
        }
    }

    /// Nothing is erased that its originator did not order, and whoever an order reached holds nothing
    /// of it unless under a hold.
    pub(super) fn assert_erased_as_ordered(&self, node: usize) {
        let state = &self.nodes[node].state;
        for (id, record) in &state.records {
            let ordered = self.ordered.get(id).copied().unwrap_or_default();
            let erased = state.erased(id);
            let beyond = erased.without(ordered);
            assert!(beyond.is_empty(), "{id} at {node}: slots {:#x} erased", beyond.bits());
            if let Some(before) = state.restricted.get(id) {
                let since = erased.without(*before);
                assert!(since.is_empty(), "{id} at {node} was erased under a hold");
            }
            let left = record.open_slots().and(ordered);
            if left.is_empty() || state.restricted.contains_key(id) {
                continue;
            }
            let may_have_lost = |of: usize| {
                self.nodes[of].is_behind
                    || self.restored == Some(of)
                    || self.nodes[of].agency.generation != Generation::FIRST
            };
            let is_own = record.header().originator == self.nodes[node].agency.name;
            assert!(!is_own || may_have_lost(node), "{id}: {node} holds what it ordered erased");
            for ((_, from), gave) in state.provenance.range((*id, 0)..=(*id, usize::MAX)) {
                let missed = left.and(*gave).and(self.nodes[*from].state.erased(id));
                let what = format!("{id}: {node} holds what {from} erased: {:#x}", missed.bits());
                assert!(missed.is_empty() || may_have_lost(*from), "{what}");
            }
        }
    }

    /// Every order in a feed is carried out, or waits for a hold, or is about what the partner never
    /// got; and every erasure that waited is reported to whoever ordered it.
    pub(super) fn assert_orders_are_answered(&self, from: usize, to: usize) {
        let is_first = |node: usize| {
            self.nodes[node].agency.generation == Generation::FIRST && self.restored != Some(node)
        };
        if !is_first(from) || !is_first(to) {
            return;
        }
        let relation = &self.nodes[from].state.relations[&to];
        let receiver = &self.nodes[to].state;
        let reasons = relation.reported.iter().map(|e| (e.index.get(), e.reason));
        let reasons: BTreeMap<u64, Reason> = reasons.collect();
        for (index, bytes) in (0..).zip(&relation.feed.entries) {
            let Ok(entry) = FeedEntry::decode(bytes) else { continue };
            if relation.forged.contains(&index) {
                continue;
            }
            let (id, slots) = (entry.record, entry.open_slots);
            let reason = reasons.get(&index);
            let what = format!("{id}: {:?} {:#x} of {from} at {to}", entry.action, slots.bits());
            match (entry.action, reason) {
                (FeedAction::Erased, reason) => assert_eq!(reason, None, "{what}"),
                (FeedAction::Erase, None) => {
                    let left = slots.without(receiver.erased(&id));
                    assert!(left.is_empty(), "{what} is not carried out");
                }
                (FeedAction::Erase, Some(Reason::HeldAsEvidence)) => {
                    let reports = relation.reports.get(&id).copied().unwrap_or_default();
                    let is_reported = slots.without(reports).is_empty();
                    let is_held = receiver.restricted.contains_key(&id);
                    assert!(is_held || is_reported, "{what}: its erasure was not reported");
                }
                // The record was refused or sent without its envelope.
                (FeedAction::Erase, Some(Reason::NotOrdered)) => {
                    let gave = receiver.provenance.get(&(id, from)).copied().unwrap_or_default();
                    assert!(gave.and(slots).is_empty(), "{what} was refused");
                }
                (FeedAction::Erase, Some(Reason::NotSupplied)) => {
                    let gave = receiver.provenance.get(&(id, from)).copied().unwrap_or_default();
                    let left = gave.and(slots).without(receiver.erased(&id));
                    let is_done = left.is_empty() || receiver.restricted.contains_key(&id);
                    assert!(is_done, "{what} was denied and is never carried out");
                }
                (FeedAction::Erase, Some(reason)) => panic!("{what} was refused: {reason:?}"),
                _ => {}
            }
        }
    }

    pub(super) fn count_erasures(&mut self) {
        for node in self.nodes.iter().filter(|node| !node.is_behind) {
            let relations = node.state.relations.values();
            self.reached.erasures_reported += relations.map(|of| of.reports.len()).sum::<usize>();
            let gave: BTreeSet<_> = node.state.provenance.keys().copied().collect();
            for (id, record) in &node.state.records {
                let originator = &record.header().originator;
                let is_own = *originator == node.agency.name;
                let of_originator = |from: &usize| {
                    self.book.agency(*from) == originator && gave.contains(&(*id, *from))
                };
                let is_direct = (0..self.nodes.len()).any(|from| of_originator(&from));
                let is_far = !is_own && !is_direct && !node.state.erased(id).is_empty();
                self.reached.erased_over_hops += usize::from(is_far);
            }
        }
    }
}
