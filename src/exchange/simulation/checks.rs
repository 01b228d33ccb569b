//! The invariants of the simulation. Every partner holds exactly what the plain form of policy let go
//! at the moment of sending, record by record and slot by slot. In the end it may use exactly what
//! policy then allows of all that was accepted. No witness ever cosigns two histories of a log. The
//! checks change nothing in the world.

use std::collections::BTreeSet;

use super::consents::lets_on;
use super::node::{Masks, Node};
use super::relation::Relation;
use super::series::series_of;
use super::world::{PAIRS, World};
use crate::exchange::ConsentRegister;
use crate::exchange::witnessing::head_of;
use crate::ident::{Generation, RecordId};
use crate::merkle::TreeHead;
use crate::record::consent::Purpose;
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;

/// Times that each state which takes several events must be reached.
const COMPOSITE_LEAST: usize = 20;

/// The number of times that the runs reached each situation that they are for.
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
    /// A node found at its start that its segments lost their tail.
    pub(super) tails_lost: usize,
    pub(super) succeeded: usize,
    pub(super) refused_unaccepted: usize,
    pub(super) cosignatures_adopted: usize,
    exceptions: usize,
    duties: usize,
    records_forwarded: usize,
    withdrawals: usize,
    /// Records that a partner has with fewer slots than their holder.
    shown_in_part: usize,
    pub(super) rescan_steps: usize,
    pub(super) taken_back: usize,
    pub(super) taken_back_in_part: usize,
    pub(super) shown_again: usize,
    pub(super) sent_again: usize,
    /// Older revisions that were taken back because the newest one is denied.
    pub(super) older_taken_back: usize,
    /// Withdrawals that went to a partner that has not every revision.
    pub(super) withdrawn_unseen: usize,
    /// A record was looked at that only feeds of before had given.
    pub(super) told_earlier: usize,
    /// Records that a partner has and may not use.
    out_of_use: usize,
    /// Records under originator control that went on.
    pub(super) let_on: usize,
    /// Receipts that a partner gave up with its logs.
    pub(super) receipts_lost: usize,
    /// Offers of what was refused, and records that were taken after they had been refused.
    pub(super) offered_again: usize,
    pub(super) taken_after_refusal: usize,
    /// Forged duties; and those of them about records that the forger gave.
    pub(super) forged: usize,
    pub(super) forged_of_given: usize,
    /// Records that originators ordered erased, and orders that a hold of theirs deferred.
    pub(super) erasures_ordered: usize,
    pub(super) erasures_deferred: usize,
    /// Orders that were carried out at the end of a hold, and records of which that was reported.
    pub(super) erased_after_hold: usize,
    pub(super) erasures_reported: usize,
    /// Records that were erased where their originator never gave them.
    pub(super) erased_over_hops: usize,
    /// Rosters that followed a change of their circle.
    pub(super) rosters_followed: usize,
    /// Records that went on to a member of a circle by its originator's roster.
    pub(super) passed_in_circles: usize,
    /// Slots that a hostile node marked as erased, and how often such slots came all the same: those marked by
    /// the originator, and by a forwarder.
    pub(super) marked_erased: usize,
    marks_opened: usize,
    claims_opened: usize,
    /// Denials of orders that the receipts of the same partner contradict.
    pub(super) denials_contradicted: usize,
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
            tails_lost,
            succeeded,
            refused_unaccepted,
            cosignatures_adopted,
            exceptions,
            duties,
            records_forwarded,
            withdrawals,
            shown_in_part,
            rescan_steps,
            taken_back,
            taken_back_in_part,
            shown_again,
            sent_again,
            older_taken_back,
            withdrawn_unseen,
            told_earlier,
            out_of_use,
            let_on,
            receipts_lost,
            offered_again,
            taken_after_refusal,
            forged,
            forged_of_given,
            erasures_ordered,
            erasures_deferred,
            erased_after_hold,
            erasures_reported,
            erased_over_hops,
            rosters_followed,
            passed_in_circles,
            marked_erased,
            marks_opened,
            claims_opened,
            denials_contradicted,
        } = self;
        // Several things must come together for these: a partner that lost entries it had receipted, whose
        // logs were succeeded and accepted; a policy that accepts what it refused and may still be sent;
        // one that allows what it took back.
        let composite = [receipts_lost, taken_after_refusal, shown_again];
        let common = [
            receipts_caught_up,
            repeats,
            streams_ended_by_tampering,
            batches_lost_in_a_crash,
            streams_drained,
            withheld_at_sending,
            cosignatures,
            restored,
            found_behind,
            tails_lost,
            succeeded,
            refused_unaccepted,
            cosignatures_adopted,
            exceptions,
            duties,
            records_forwarded,
            withdrawals,
            shown_in_part,
            rescan_steps,
            taken_back,
            taken_back_in_part,
            sent_again,
            older_taken_back,
            withdrawn_unseen,
            told_earlier,
            out_of_use,
            let_on,
            offered_again,
            forged,
            forged_of_given,
            erasures_ordered,
            erasures_deferred,
            erased_after_hold,
            erasures_reported,
            erased_over_hops,
            rosters_followed,
            passed_in_circles,
            marked_erased,
            marks_opened,
            claims_opened,
            denials_contradicted,
        ];
        composite.into_iter().all(|count| *count >= COMPOSITE_LEAST)
            && common.into_iter().all(|count| *count >= least)
    }
}

/// The part of a record that a partner must have in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Shown(SlotMask),
    /// An older revision: these slots, as far as it has them already.
    AtMost(SlotMask),
    Nothing,
    /// The slots that it has: a hold keeps them as they are.
    Unchanged,
    /// The slots that it has already, with the withdrawal.
    Withdrawn,
}

impl Wanted {
    /// The slots that it may have.
    fn slots(self) -> SlotMask {
        match self {
            Self::Shown(slots) | Self::AtMost(slots) => slots,
            Self::Nothing => SlotMask::NONE,
            Self::Unchanged | Self::Withdrawn => SlotMask::from_bits(u32::MAX),
        }
    }
}

impl World<'_> {
    /// The slots that a node made itself, and those that its partners were let send: without those that orders
    /// erased here, and of those that the originator marked as erased only the ones that it sent itself.
    fn let_in(&self, node: &Node) -> Masks {
        let state = &node.state;
        let own = state.records.values().filter(|r| r.header().originator == node.agency.name);
        let mut allowed: Masks = own.map(|r| (r.id(), r.open_slots())).collect();
        for (from, relation) in &state.relations {
            for (id, mask) in &relation.allowed {
                let record = &state.records[id];
                let is_originator = record.header().originator == *self.book.agency(*from);
                let marked = state.marked.get(id).filter(|_| !is_originator);
                let barred = state.erased(id).or(marked.copied().unwrap_or_default());
                let all = allowed.entry(*id).or_default();
                *all = all.or(mask.without(barred));
            }
        }
        allowed
    }
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
            let let_in = self.let_in(node);
            assert_eq!(held, let_in, "{} holds what policy allowed", node.agency.name);
            let once: BTreeSet<_> = node.state.accepted.iter().collect();
            assert_eq!(once.len(), node.state.accepted.len(), "no record was accepted twice");
        }
        for (from, to) in self.ways() {
            self.assert_feeds_agree(from, to);
            self.assert_all_is_there(from, to);
            self.assert_forgeries_are_answered_alike(from, to);
            self.assert_orders_are_answered(from, to);
        }
        for node in (0..self.nodes.len()).filter(|node| !self.nodes[*node].is_behind) {
            self.assert_uses_what_is_allowed(node);
            self.assert_erased_as_ordered(node);
            self.assert_withdrawals_reveal_nothing(node);
        }
    }

    fn assert_feeds_agree(&self, from: usize, to: usize) {
        let sender: &Relation = &self.nodes[from].state.relations[&to];
        let receiver: &Relation = &self.nodes[to].state.relations[&from];
        let published = sender.feed.published();
        assert_eq!(sender.receipted, published, "receipts cover the whole feed");
        assert_eq!(receiver.partner_feed.size(), published);
        assert_eq!(Some(receiver.partner_feed.root()), sender.feed.root_at(published));
        if self.nodes[to].agency.generation == Generation::FIRST {
            // Who was restored judged some entries a second time.
            assert_eq!(sender.reported, receiver.exceptions, "every exception was reported once");
        }
        assert_eq!(sender.taken_back, receiver.duties, "every duty arrived");
        self.assert_consents(from, to);
        let cosigned = head_of(&sender.cosigned_note).size;
        let known = head_of(&receiver.witnessed_note).size;
        assert!(cosigned <= known, "a witness knows what it cosigned");
        let is_cosigned = head_of(&receiver.witnessed_note).size.get() > 0;
        let says_anything = self.nodes[from].state.substance > 0;
        assert_eq!(is_cosigned, says_anything, "every journal that says anything is cosigned");
    }

    /// Checks that the holder knows every consent of an originator that is in force in the end. A
    /// consent that a restored originator gave and lost is in force until it ends.
    fn assert_consents(&self, from: usize, to: usize) {
        let (originator, holder) = (self.book.agency(from), self.book.agency(to));
        let given = self.nodes[from].state.dealings.given().filter(|(of, _)| *of == holder);
        let given: BTreeSet<u64> = given.map(|(_, given)| given.consent.number).collect();
        let let_on = self.nodes[to].state.let_on.keys().filter(|(of, _)| of == originator);
        let let_on: BTreeSet<u64> = let_on.map(|(_, number)| *number).collect();
        let generation = self.nodes[from].agency.generation;
        if generation == Generation::FIRST {
            assert_eq!(given, let_on, "every consent arrived");
            let members = self.members(from);
            let told = self.nodes[to].state.let_on.iter().filter(|((of, _), _)| of == originator);
            for (_, purpose) in told {
                let Purpose::Circle(roster) = purpose else { continue };
                assert_eq!(roster.members(), members, "a roster names the members of its circle");
            }
        }
        let first = ConsentRegister::default().next_consent(holder, generation);
        assert!(
            given.range(first..).all(|number| let_on.contains(number)),
            "every consent arrived"
        );
    }

    /// Checks that everything that policy allows in the end is there, except what the receiver
    /// refuses.
    fn assert_all_is_there(&self, from: usize, to: usize) {
        for id in self.offered(from, to) {
            let Wanted::Shown(wanted) = self.wanted(from, to, &id) else { continue };
            let held = self.nodes[to].state.records.get(&id);
            let held = held.map(|record| record.open_slots().or(record.erased_slots()));
            let refused = self.nodes[to].state.relations[&from].refused.get(&id);
            let refused = match self.takes_now(from, to, &self.nodes[from].state.records[&id]) {
                true => None,
                false => refused,
            };
            let there = held.unwrap_or_default().or(refused.copied().unwrap_or_default());
            assert!(wanted.without(there).is_empty(), "{id} did not go from {from} to {to}");
        }
    }

    /// A record is in use by leave of the partner that gave it first or of its originator, exactly as
    /// far as that one's policy allows now; slots that others gave besides, as far as one of theirs
    /// does.
    fn assert_uses_what_is_allowed(&self, node: usize) {
        let state = &self.nodes[node].state;
        for (id, given) in &state.given {
            let from = given.from;
            if self.nodes[from].is_behind {
                continue;
            }
            let sender = &self.nodes[from];
            let known = sender.state.relations[&node].known_given(id);
            // What was given by entries that are lost, nobody there can take back.
            let may_be_lost = sender.agency.generation != Generation::FIRST;
            if may_be_lost && known.is_none() {
                continue;
            }
            let known = known.filter(|_| may_be_lost).unwrap_or(SlotMask::from_bits(u32::MAX));
            let wanted = match self.wanted(from, node, id) {
                Wanted::Shown(slots) => Some(slots),
                Wanted::AtMost(slots) if given.is_retracted => Some(slots),
                Wanted::AtMost(slots) => Some(slots.and(given.slots)),
                Wanted::Nothing => None,
                Wanted::Unchanged => continue,
                Wanted::Withdrawn => {
                    self.assert_knows_withdrawal(node, id);
                    continue;
                }
            };
            let is_older = matches!(self.wanted(from, node, id), Wanted::AtMost(_));
            let refused = state.relations[&from].refused.get(id).copied();
            let what = format!("{id} from {from} at {node}: {given:?}, wanted {wanted:?}");
            // What it did not take when it came anew stays out of use.
            assert!(wanted.is_some() || given.is_retracted, "more in use: {what}");
            let is_less = wanted.is_some() && given.is_retracted && !is_older;
            assert!(!is_less || refused.is_some(), "less in use: {what}");
            let refused = refused.unwrap_or_default();
            let Some(wanted) = wanted.filter(|_| !given.is_retracted) else { continue };
            // What was erased there or here is nobody's to take back.
            let erased =
                |of: usize| self.nodes[of].state.records.get(id).map(Verified::erased_slots);
            let erased = [from, node].map(|of| erased(of).unwrap_or_default());
            let more = given.slots.without(wanted).and(known).without(erased[0]).without(erased[1]);
            assert!(more.is_empty(), "more slots in use: {what}");
            let fewer = wanted.without(given.slots).without(refused).without(erased[1]);
            assert!(fewer.is_empty(), "fewer: {what}");
            let unknown = given.slots.without(known);
            let used = state.records[id].open_slots().without(given.retracted);
            let beside = used.without(wanted).without(unknown).without(erased[0]);
            let others = (0..self.nodes.len()).filter(|other| *other != node && *other != from);
            let theirs =
                others.fold(SlotMask::NONE, |mask, other| match self.nodes[other].is_behind {
                    true => SlotMask::from_bits(u32::MAX),
                    _ if self.nodes[other].agency.generation != Generation::FIRST => {
                        SlotMask::from_bits(u32::MAX)
                    }
                    false => mask.or(self.wanted(other, node, id).slots()),
                });
            assert!(beside.without(theirs).is_empty(), "slots of nobody in use: {what}");
        }
    }

    /// Records that a node has for a partner, if policy allows.
    fn offered(&self, from: usize, to: usize) -> BTreeSet<RecordId> {
        let node = &self.nodes[from];
        let partner = self.book.agency(to);
        let owed = |id: &&RecordId| {
            node.source(id) != Some(to) && node.state.records[*id].header().originator != *partner
        };
        node.state.records.keys().filter(owed).copied().collect()
    }

    /// A node that may still use a record of a withdrawn series knows that it is withdrawn.
    fn assert_knows_withdrawal(&self, node: usize, id: &RecordId) {
        let state = &self.nodes[node].state;
        let record = &state.records[id];
        let is_used = state.given.get(id).is_some_and(|given| !given.is_retracted);
        let knows = series_of(state, record).any(|other| other.kind() == Kind::Withdrawal);
        assert!(!is_used || knows, "{id} at {node} is withdrawn, and that is not known there");
    }

    /// All withdrawals that a node has look alike, whatever they withdraw.
    fn assert_withdrawals_reveal_nothing(&self, node: usize) {
        let records = self.nodes[node].state.records.values();
        let withdrawals = records.filter(|record| record.kind() == Kind::Withdrawal);
        let shapes: Vec<_> = withdrawals
            .map(|record| {
                let header = record.header();
                let of_record = (header.revision, header.previous, header.confidence);
                (of_record, header.marking.clone(), header.labels.clone())
            })
            .collect();
        let is_alike = shapes.windows(2).all(|pair| pair[0] == pair[1]);
        let names_none = shapes.iter().all(|((_, previous, _), ..)| previous.is_none());
        assert!(is_alike && names_none, "a withdrawal reveals nothing: {shapes:?} at {node}");
    }

    /// Returns what the plain form of policy allows now of a node's record: of each series what its
    /// newest revisions all allow.
    fn wanted(&self, from: usize, to: usize, id: &RecordId) -> Wanted {
        let state = &self.nodes[from].state;
        let Some(record) = state.records.get(id) else { return Wanted::Nothing };
        let classes_of = |of: &Verified| {
            let lets = lets_on(state, of.header(), self.book.agency(to));
            self.book.plainly(self.asked(from, to), of.header(), lets)
        };
        let is_retracted =
            |of: &Verified| state.given.get(&of.id()).is_some_and(|given| given.is_retracted);
        let retracted = state.given.get(id).map_or(SlotMask::NONE, |given| given.retracted);
        let slots = |classes: ClassSet| {
            record.slots_in(classes).and(record.open_slots()).without(retracted)
        };
        let is_restricted = |of: &Verified| state.restricted.contains_key(&of.id());
        if record.kind() == Kind::Withdrawal {
            if is_restricted(record) {
                return Wanted::Unchanged;
            }
            let was_given = series_of(state, record)
                .any(|other| other.id() != *id && state.relations[&to].told(&other.id()).is_some());
            let classes = classes_of(record).with(SlotClass::Core);
            return match was_given && !is_retracted(record) {
                true => Wanted::Shown(slots(classes)),
                false => Wanted::Nothing,
            };
        }
        let last = series_of(state, record).map(|other| other.header().revision).max();
        let newest: Vec<_> = series_of(state, record)
            .filter(|other| Some(other.header().revision) == last)
            .collect();
        let mut withdrawals = newest.iter().filter(|newest| newest.kind() == Kind::Withdrawal);
        if let Some(withdrawal) = withdrawals.next() {
            return if is_restricted(withdrawal) { Wanted::Unchanged } else { Wanted::Withdrawn };
        }
        let mut classes = classes_of(record);
        if !classes.contains(SlotClass::Core) || is_retracted(record) {
            return Wanted::Nothing;
        }
        for newest in newest.iter().filter(|newest| newest.id() != *id) {
            if is_retracted(newest) {
                return Wanted::Nothing;
            }
            if state.given.get(&newest.id()).is_none_or(|given| given.from != to) {
                classes = classes.intersection(classes_of(newest));
            }
        }
        let is_from =
            |of: &Verified| state.given.get(&of.id()).is_some_and(|given| given.from == to);
        let held = newest.iter().any(|newest| is_restricted(newest) && !is_from(newest));
        if classes.contains(SlotClass::Core) && (held || is_restricted(record)) {
            return Wanted::Unchanged;
        }
        match classes.contains(SlotClass::Core) {
            false => Wanted::Nothing,
            true if Some(record.header().revision) == last => Wanted::Shown(slots(classes)),
            true => Wanted::AtMost(slots(classes)),
        }
    }

    pub(super) fn count_outcomes(&mut self) {
        self.count_erasures();
        for node in &self.nodes {
            self.reached.marks_opened += node.marks_opened;
            self.reached.claims_opened += node.claims_opened;
        }
        let ways: Vec<_> = self.ways().collect();
        for (from, to) in ways {
            let sender = &self.nodes[from].state;
            let relation = &self.nodes[to].state.relations[&from];
            self.reached.exceptions += relation.exceptions.len();
            self.reached.duties += relation.duties.len();
            let refused = relation.refused.keys();
            let taken = refused.filter(|id| relation.allowed.contains_key(id));
            self.reached.taken_after_refusal += taken.count();
            for (id, mask) in &relation.allowed {
                // Who was restored may have lost what it disclosed.
                let Some(record) = sender.records.get(id) else { continue };
                let is_own = record.header().originator == self.nodes[from].agency.name;
                self.reached.records_forwarded += usize::from(!is_own);
                self.reached.withdrawals += usize::from(record.kind() == Kind::Withdrawal);
                let lets = lets_on(sender, record.header(), self.book.agency(to));
                let in_circle = !is_own && lets.in_circle && !lets.by_name;
                self.reached.passed_in_circles += usize::from(in_circle);
                self.reached.shown_in_part += usize::from(*mask != record.open_slots());
                let given = self.nodes[to].state.given.get(id);
                let is_out = given.is_some_and(|given| given.is_retracted);
                self.reached.out_of_use += usize::from(is_out);
            }
        }
    }
}
