//! The invariants of the simulation. Every partner holds exactly what the plain form of policy let go
//! at the moment of sending, record by record and slot by slot. In the end it may use exactly what
//! policy then allows of all that was accepted. No witness ever cosigns two histories of a log. The
//! checks change nothing in the world.

use super::NODES;
use super::machine::number;
use super::notes::{Masks, OfPartner, add};
use super::plain::Wanted;
use super::reached::Situation;
use super::reading::{Held, Reading, size_in};
use super::world::{PAIRS, World};
use crate::exchange::{ConsentRegister, FeedAction, FeedEntry, Reason, WHOLE_RECORD};
use crate::ident::{AgencyName, Generation, RecordId, TreeSize};
use crate::journal::entry::witness_name;
use crate::merkle::{Checkpoint, Note};
use crate::record::consent::Purpose;
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::testkit::assert_same_index;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Characters of an entry that are told of it.
const EVENT_CHARS: usize = 160;

const ALL: SlotMask = SlotMask::from_bits(u32::MAX);

impl World<'_> {
    /// Takes down that a witness cosigned a checkpoint of a log of one generation. The log as it is now
    /// must lead to every head of it that this witness ever cosigned; of a log that was succeeded,
    /// nothing more is cosigned.
    pub(super) fn note_cosigned(
        &mut self,
        witness: usize,
        (log, generation): (usize, Generation),
        note: &[u8],
    ) {
        let now = self.nodes[log].agency.generation;
        assert_eq!(generation, now, "{witness} cosigned a log of {log} that was succeeded");
        let note = Note::parse(note).unwrap();
        let head = Checkpoint::parse(note.text()).unwrap().head();
        let roots = self.cosigned.entry((witness, log, generation)).or_default();
        roots.insert(head.size, head.root);
        let view = self.nodes[log].view();
        for (size, root) in roots.iter() {
            let has = size.get() <= view.snapshot().size;
            let now = has.then(|| view.journal().root_at(size.get()).unwrap());
            assert_eq!(now, Some(*root), "{witness} cosigned a second history of {log}");
        }
    }

    fn sound(&self) -> impl Iterator<Item = usize> + use<> {
        let sound: Vec<_> = (0..NODES).filter(|node| !self.nodes[*node].is_behind).collect();
        sound.into_iter()
    }

    /// Both ways between nodes that are not found to run on an old copy.
    fn ways(&self) -> Vec<(usize, usize)> {
        let is_sound = |node: usize| !self.nodes[node].is_behind;
        let ways = PAIRS.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]);
        ways.filter(|(from, to)| is_sound(*from) && is_sound(*to)).collect()
    }

    fn is_first(&self, node: usize) -> bool {
        self.nodes[node].agency.generation == Generation::FIRST
    }

    fn reading(&self, node: usize) -> &Reading {
        self.readings[node].as_ref().unwrap()
    }

    pub(super) fn assert_agreement(&mut self) {
        for node in (0..NODES).filter(|node| self.nodes[*node].is_open()).collect::<Vec<_>>() {
            let ids: Vec<_> = self.read(node).records.keys().copied().collect();
            let ways = ids.iter().flat_map(|id| (0..NODES).map(move |from| (*id, from)));
            let given = ways
                .filter(|(_, from)| *from != node)
                .filter_map(|(id, from)| Some(((id, from), self.nodes[node].given_by(from, &id)?)));
            self.provenance[node] = given.collect();
        }
        for node in self.sound() {
            let held = self.reading(node).records.iter();
            let held =
                held.map(|(id, held)| (*id, held.open())).filter(|(_, open)| !open.is_empty());
            let held: Masks = held.collect();
            let let_in = self.let_in(node);
            assert_eq!(held, let_in, "{node} holds what policy allowed");
        }
        for (from, to) in self.ways() {
            self.assert_feeds_agree(from, to);
            self.assert_consents(from, to);
            self.assert_all_is_there(from, to);
            self.assert_forgeries_are_answered_alike(from, to);
            self.assert_orders_are_answered(from, to);
        }
        for node in self.sound() {
            self.assert_uses_what_is_allowed(node);
            self.assert_erased_as_ordered(node);
            self.assert_withdrawals_reveal_nothing(node);
        }
    }

    /// Every node starts again, and the index that it makes anew is that of before.
    pub(super) fn assert_indexes_are_made_anew(&mut self) {
        for node in self.sound() {
            let live = self.nodes[node].index();
            self.nodes[node].stop(&[]);
            assert_eq!(self.nodes[node].start(), Some(0));
            assert_same_index(&live, &self.nodes[node].index());
            self.reached.once(Situation::IndexMadeAnew);
        }
    }

    /// The slots that a node made itself, and those that its partners were let send: without those that orders
    /// erased here, and of those that the originator marked as erased only the ones that it sent itself.
    fn let_in(&self, node: usize) -> Masks {
        let (reading, notes) = (self.reading(node), &self.nodes[node].notes);
        let own = reading.records.iter().filter(|(_, held)| held.given.is_none());
        let mut allowed: Masks = own.map(|(id, held)| (*id, held.open())).collect();
        for (from, of_partner) in &notes.partners {
            for (id, slots) in &of_partner.allowed {
                let held = reading.records.get(id);
                let is_originator =
                    held.is_some_and(|held| held.header().originator == *self.book.agency(*from));
                let marked = notes.marked.get(id).filter(|_| !is_originator);
                let erased = held.map_or(SlotMask::NONE, |held| held.erased);
                let barred = erased.or(marked.copied().unwrap_or_default());
                add(&mut allowed, *id, slots.without(barred));
            }
        }
        allowed.retain(|_, slots| !slots.is_empty());
        allowed
    }

    fn assert_feeds_agree(&self, from: usize, to: usize) {
        let [sender, receiver] = [(from, to), (to, from)].map(|(own, partner)| {
            self.nodes[own].snapshot().state.partners[self.book.agency(partner)].clone()
        });
        let published = sender.published.size;
        let what = format!("receipts of {to} cover the whole feed of {from}");
        assert_eq!(sender.receipted, published, "{what}");
        assert_eq!(receiver.received.frontier.size().get(), published);
        let root = self.nodes[from].view().feed(sender.feed).unwrap().root_at(published).unwrap();
        assert_eq!(receiver.received.frontier.root(), root, "{to} holds the feed of {from}");
        if self.is_first(to) {
            // Who was restored judged some entries a second time.
            let of = |own: usize, partner: usize| self.nodes[own].notes.partners.get(&partner);
            let reported = of(from, to).map(|of| of.reported.clone()).unwrap_or_default();
            let found = of(to, from).map(|of| of.exceptions.clone()).unwrap_or_default();
            assert_eq!(reported, found, "every exception was reported once");
        }
        let names = [from, to].map(|node| self.book.agency(node));
        let received = self.nodes[from].snapshot().state.witnessing.received.clone();
        let cosigned = received.get(&witness_name(names[1]));
        let cosigned = cosigned.map_or(TreeSize::default(), |of| size_in(&of.note));
        let origin = self.nodes[from].agency.generation.journal_origin(names[0]);
        let known = self.nodes[to].snapshot().state.witnessing.known(&origin).size;
        assert!(cosigned <= known, "a witness knows what it cosigned");
        assert!(known.get() > 0, "every journal is cosigned");
    }

    /// Checks that the holder knows every consent of an originator that is in force in the end. A
    /// consent that a restored originator gave and lost is in force until it ends.
    fn assert_consents(&self, from: usize, to: usize) {
        let (originator, holder) = (self.book.agency(from), self.book.agency(to));
        let state = self.nodes[from].snapshot().state.clone();
        let given = state.consents.dealings.given().filter(|(of, _)| *of == holder);
        let given: BTreeSet<u64> = given.map(|(_, given)| given.consent.number).collect();
        let let_on = &self.nodes[to].notes.let_on;
        let let_on = let_on.iter().filter(|((of, _), _)| of == originator);
        let told: BTreeSet<u64> = let_on.clone().map(|((_, number), _)| *number).collect();
        let generation = self.nodes[from].agency.generation;
        if generation == Generation::FIRST {
            assert_eq!(given, told, "every consent arrived");
            let members = self.members(from);
            for (_, purpose) in let_on {
                let Purpose::Circle(roster) = purpose else { continue };
                assert_eq!(roster.members(), members, "a roster names the members of its circle");
            }
        }
        let first = ConsentRegister::default().next_consent(holder, generation);
        assert!(given.range(first..).all(|number| told.contains(number)), "every consent arrived");
    }

    /// Members of the circle of a node, as its journal has them.
    fn members(&self, own: usize) -> Vec<AgencyName> {
        let state = &self.nodes[own].snapshot().state;
        let is_member = |partner: &usize| {
            self.book.is_member(*partner, self.book.asked(own, *partner, state).facts)
        };
        let partners = (0..NODES).filter(|partner| *partner != own).filter(is_member);
        let mut members: Vec<_> = partners.map(|n| self.book.agency(n).clone()).collect();
        members.sort();
        members
    }

    /// Checks that everything that policy allows in the end is there, except what the receiver
    /// refuses, and what persons refused to release.
    fn assert_all_is_there(&self, from: usize, to: usize) {
        let plain = self.plain(from, to);
        let receiver = self.book.asked(to, from, &self.nodes[to].snapshot().state);
        let notes = self.nodes[to].notes.partners.get(&from);
        let partner = self.book.agency(to);
        for (id, held) in &plain.reading.records {
            let is_theirs = held.header().originator == *partner;
            if is_theirs || held.given.is_some_and(|given| given.from == to) {
                continue;
            }
            let Wanted::Shown(wanted) = plain.wanted(id) else { continue };
            let there = self.reading(to).records.get(id);
            let there = there.map(|there| there.open().or(there.record.erased_slots()));
            let header = held.header();
            let takes_now = self.book.plainly_accepts(receiver, header.confidence)
                || header.kind == Kind::Withdrawal
                    && notes.is_some_and(|notes| notes.taken_series.contains(&header.series));
            let refused = notes.filter(|_| !takes_now).and_then(|notes| notes.refused.get(id));
            let there = there.unwrap_or_default().or(refused.copied().unwrap_or_default());
            let missing = wanted.without(there);
            let what = || format!("{id} did not go from {from} to {to}: {missing:?}");
            assert!(missing.is_empty(), "{}\n{}", what(), self.describe(from, to));
        }
    }

    /// A record is in use by leave of the partner that gave it first or of its originator, exactly as
    /// far as that one's policy allows now; slots that others gave besides, as far as one of theirs
    /// does.
    fn assert_uses_what_is_allowed(&self, node: usize) {
        for (id, held) in &self.reading(node).records {
            let Some(given) = held.given else { continue };
            let from = given.from;
            if self.nodes[from].is_behind {
                continue;
            }
            let known = self.nodes[from].gave_to(node, id);
            // What was given by entries that are lost, nobody there can take back.
            let may_be_lost = !self.is_first(from);
            if may_be_lost && known.is_none() {
                continue;
            }
            let known = known.filter(|_| may_be_lost).unwrap_or(ALL);
            let plain = self.plain(from, node);
            let found = plain.wanted(id);
            let wanted = match found {
                Wanted::Shown(slots) => Some(slots),
                Wanted::AtMost(slots) if given.is_retracted => Some(slots),
                Wanted::AtMost(slots) => Some(slots.and(given.slots)),
                Wanted::Nothing => None,
                Wanted::Unchanged => continue,
                Wanted::Withdrawn => {
                    self.assert_knows_withdrawal(node, id, held);
                    continue;
                }
            };
            let is_older = matches!(found, Wanted::AtMost(_));
            let notes = &self.nodes[node].notes;
            let refused = notes.partners.get(&from).and_then(|of| of.refused.get(id)).copied();
            let what = format!("{id} from {from} at {node}: {given:?}, wanted {wanted:?}");
            // What it did not take when it came anew stays out of use.
            let is_out = wanted.is_some() || given.is_retracted;
            assert!(is_out, "more in use: {what}\n{}", self.describe(from, node));
            let is_less = wanted.is_some() && given.is_retracted && !is_older;
            assert!(!is_less || refused.is_some(), "less in use: {what}");
            let refused = refused.unwrap_or_default();
            let Some(wanted) = wanted.filter(|_| !given.is_retracted) else { continue };
            // What was erased there or here is nobody's to take back.
            let erased = [from, node].map(|of| {
                let held = self.reading(of).records.get(id);
                held.map_or(SlotMask::NONE, |held| held.record.erased_slots())
            });
            let more = given.slots.without(wanted).and(known).without(erased[0]).without(erased[1]);
            assert!(more.is_empty(), "more slots in use: {what}");
            // What it brought itself need not come back to it.
            let brought = self.provenance[from].get(&(*id, node)).copied().unwrap_or_default();
            let fewer = wanted.without(given.slots).without(refused).without(erased[1]);
            let fewer = fewer.without(brought);
            assert!(fewer.is_empty(), "fewer: {what}\n{}", self.describe(from, node));
            let unknown = given.slots.without(known);
            let used = held.record.open_slots();
            let beside = used.without(wanted).without(unknown).without(erased[0]);
            let others = (0..NODES).filter(|other| *other != node && *other != from);
            let theirs = others.fold(SlotMask::NONE, |mask, other| {
                match self.nodes[other].is_behind || !self.is_first(other) {
                    true => ALL,
                    false => mask.or(self.plain(other, node).wanted(id).slots()),
                }
            });
            assert!(beside.without(theirs).is_empty(), "slots of nobody in use: {what}");
        }
    }

    /// A node that may still use a record of a withdrawn series knows that it is withdrawn.
    fn assert_knows_withdrawal(&self, node: usize, id: &RecordId, held: &Held) {
        let mut series = self.reading(node).series(held.header());
        let knows = series.any(|(_, other)| other.record.kind() == Kind::Withdrawal);
        let what = format!("{id} at {node} is withdrawn, and that is not known there");
        assert!(held.is_retracted() || knows, "{what}");
    }

    /// All withdrawals that a node has look alike, whatever they withdraw.
    fn assert_withdrawals_reveal_nothing(&self, node: usize) {
        let records = self.reading(node).records.values();
        let withdrawals = records.filter(|held| held.record.kind() == Kind::Withdrawal);
        let shapes: Vec<_> = withdrawals
            .map(|held| {
                let header = held.header();
                let of_record = (header.revision, header.previous, header.confidence);
                (of_record, header.marking.clone(), header.labels.clone())
            })
            .collect();
        let is_alike = shapes.windows(2).all(|pair| pair[0] == pair[1]);
        let names_none = shapes.iter().all(|((_, previous, _), ..)| previous.is_none());
        assert!(is_alike && names_none, "a withdrawal reveals nothing: {shapes:?} at {node}");
    }

    fn may_have_lost(&self, node: usize) -> bool {
        self.nodes[node].is_behind || self.restored == Some(node) || !self.is_first(node)
    }

    /// Nothing is erased that its originator did not order, and whoever an order reached holds nothing
    /// of it unless under a hold.
    fn assert_erased_as_ordered(&self, node: usize) {
        for (id, held) in &self.reading(node).records {
            let ordered = self.ordered.get(id).copied().unwrap_or_default();
            let beyond = held.erased.without(ordered);
            assert!(beyond.is_empty(), "{id} at {node}: slots {:#x} erased", beyond.bits());
            let held_since = self.nodes[node].notes.held.get(id);
            assert_eq!(held_since.is_some(), held.is_restricted, "{id} at {node} under a hold");
            if let Some(before) = held_since {
                let since = held.erased.without(*before);
                assert!(since.is_empty(), "{id} at {node} was erased under a hold");
            }
            let left = held.open().and(ordered);
            if left.is_empty() || held.is_restricted {
                continue;
            }
            let is_own = held.given.is_none();
            let what = format!("{id}: {node} holds what it ordered erased");
            assert!(!is_own || self.may_have_lost(node), "{what}");
            for ((_, from), gave) in self.provenance[node].range((*id, 0)..=(*id, NODES)) {
                // Whoever forged an order takes the true one for given already.
                if self.may_have_lost(*from) || self.hostile == Some(*from) {
                    continue;
                }
                let erased = self.reading(*from).records.get(id).map(|held| held.erased);
                let missed = left.and(*gave).and(erased.unwrap_or_default());
                let what = format!("{id}: {node} holds what {from} erased: {:#x}", missed.bits());
                assert!(missed.is_empty(), "{what}\n{}", self.describe(*from, node));
            }
        }
    }

    /// Every order in a feed is carried out, or waits for a hold, or is about what the partner never
    /// got; and every erasure that waited is reported to whoever ordered it.
    fn assert_orders_are_answered(&self, from: usize, to: usize) {
        if self.may_have_lost(from) || self.may_have_lost(to) {
            return;
        }
        let none = OfPartner::default();
        let notes = self.nodes[from].notes.partners.get(&to).unwrap_or(&none);
        let reasons = notes.reported.iter().map(|e| (e.index.get(), e.reason));
        let reasons: BTreeMap<u64, Reason> = reasons.collect();
        let forged = self.forged(from, to);
        for (index, entry) in (0..).zip(self.nodes[from].feed(to)) {
            if forged.contains(&index) {
                continue;
            }
            let (id, slots) = (entry.record, entry.open_slots);
            let there = self.reading(to).records.get(&id);
            let gave = self.provenance[to].get(&(id, from)).copied().unwrap_or_default();
            let erased = there.map_or(SlotMask::NONE, |held| held.erased);
            let is_held = there.is_some_and(|held| held.is_restricted);
            let reason = reasons.get(&index);
            let what = format!("{id}: {:?} {:#x} of {from} at {to}", entry.action, slots.bits());
            match (entry.action, reason) {
                (FeedAction::Erased, reason) => assert_eq!(reason, None, "{what}"),
                (FeedAction::Erase, None) => {
                    let left = slots.without(erased);
                    assert!(left.is_empty(), "{what} is not carried out");
                }
                (FeedAction::Erase, Some(Reason::HeldAsEvidence)) => {
                    let reports = self.nodes[from].view().reported(&id, number(to)).unwrap();
                    // Whoever forged a report takes the true one for sent already.
                    let is_reported = slots.without(reports).is_empty() || self.hostile == Some(to);
                    let what = || format!("{what}: its erasure was not reported");
                    assert!(is_held || is_reported, "{}\n{}", what(), self.describe(to, from));
                }
                // The record was refused or sent without its envelope.
                (FeedAction::Erase, Some(Reason::NotOrdered)) => {
                    assert!(gave.and(slots).is_empty(), "{what} was refused");
                }
                (FeedAction::Erase, Some(Reason::NotSupplied)) => {
                    let is_done = gave.and(slots).without(erased).is_empty() || is_held;
                    assert!(is_done, "{what} was denied and is never carried out");
                }
                (FeedAction::Erase, Some(reason)) => panic!("{what} was refused: {reason:?}"),
                _ => {}
            }
        }
    }

    /// Returns the entries of a feed that are forged, also where they were laid on the partner once more.
    fn forged(&self, from: usize, to: usize) -> BTreeSet<u64> {
        let Some(notes) = self.nodes[from].notes.partners.get(&to) else { return BTreeSet::new() };
        if notes.forged.is_empty() {
            return BTreeSet::new();
        }
        let duties: Vec<_> = self.nodes[from]
            .feed(to)
            .into_iter()
            .map(|entry| (entry.action, entry.record, entry.open_slots, entry.order))
            .collect();
        let is_forged = |duty: &_| notes.forged.iter().any(|at| duties[*at as usize] == *duty);
        (0..).zip(&duties).filter(|(_, duty)| is_forged(duty)).map(|(index, _)| index).collect()
    }

    /// Checks that a forged order changes nothing, and that its answer reveals nothing of the
    /// records here.
    fn assert_forgeries_are_answered_alike(&self, from: usize, to: usize) {
        let Some(notes) = self.nodes[from].notes.partners.get(&to) else { return };
        let forged = self.forged(from, to);
        if forged.is_empty() {
            return;
        }
        let feed = self.nodes[from].feed(to);
        let entry_at = |index: u64| -> &FeedEntry { &feed[index as usize] };
        let is_given = |id: &RecordId| {
            feed.iter().any(|entry| entry.action.carries_record() && entry.record == *id)
        };
        let mut answers = BTreeSet::new();
        for exception in &notes.reported {
            let entry = entry_at(exception.index.get());
            let is_forged = forged.contains(&exception.index.get());
            if entry.action == FeedAction::Erase && !is_given(&entry.record) && is_forged {
                assert_eq!(exception.reason, Reason::NotOrdered);
                answers.insert(exception.detail().to_owned());
            }
        }
        assert!(answers.len() <= 1, "{from} learns what {to} holds: {answers:?}");
        let reported: BTreeSet<u64> = notes.reported.iter().map(|e| e.index.get()).collect();
        for index in &forged {
            let entry = entry_at(*index);
            if entry.action == FeedAction::Retract {
                continue;
            }
            // What was ordered may be reported falsely as done; what was lost may have been ordered.
            let ordered = self.nodes[to].view().ordered(&entry.record, number(from)).unwrap();
            let may_be_due = entry.action == FeedAction::Erased
                && (entry.open_slots.without(ordered).is_empty() || !self.is_first(to));
            let what = format!("{to} receipted a forged order of {from} as carried out");
            assert!(may_be_due || reported.contains(index), "{what}");
        }
    }

    pub(super) fn count_outcomes(&mut self) {
        let mut counts = Vec::new();
        for node in self.sound() {
            for (id, held) in &self.reading(node).records {
                let reports = (0..NODES).filter(|other| *other != node).filter(|other| {
                    !self.nodes[node].view().reported(id, number(*other)).unwrap().is_empty()
                });
                counts.push((Situation::ErasureReported, reports.count()));
                let originator = self.book.node(&held.header().originator);
                let is_far = originator != node
                    && !self.provenance[node].contains_key(&(*id, originator))
                    && !held.erased.is_empty();
                counts.push((Situation::ErasedOverHops, usize::from(is_far)));
            }
        }
        for (from, to) in self.ways() {
            let plain = self.plain(from, to);
            let hidden = plain.reading.records.values().filter(|held| plain.hides_subject(held));
            counts.push((Situation::OpinionWithheld, hidden.count()));
            let Some(notes) = self.nodes[to].notes.partners.get(&from) else { continue };
            counts.push((Situation::NotTaken, notes.exceptions.len()));
            let taken = notes.refused.keys().filter(|id| notes.allowed.contains_key(id));
            counts.push((Situation::TakenAfterRefusal, taken.count()));
            let reported = self.nodes[from].notes.partners.get(&to);
            let reported = reported.into_iter().flat_map(|of| &of.reported);
            let lapsed: BTreeSet<u64> = reported
                .filter(|exception| exception.reason == Reason::NotSupplied)
                .map(|exception| exception.index.get())
                .collect();
            let mut before = BTreeMap::new();
            for (index, entry) in (0..).zip(self.nodes[from].feed(to)) {
                let is_back = entry.action == FeedAction::Retract;
                let is_whole = entry.open_slots == WHOLE_RECORD;
                let shows = entry.action.carries_record();
                let last = before.insert(entry.record, (is_back && is_whole, index));
                let was_back = last.is_some_and(|(is_back, _)| is_back);
                let has_lapsed = last.is_some_and(|(_, at)| lapsed.contains(&at));
                let mut count = |situation, is: bool| counts.push((situation, usize::from(is)));
                count(Situation::TakenBackInPart, is_back && !is_whole);
                count(Situation::ShownAgain, shows && was_back);
                count(Situation::SentAgain, shows && has_lapsed);
            }
            for (id, slots) in &notes.allowed {
                // Who was restored may have lost what it disclosed.
                let Some(held) = plain.reading.records.get(id) else { continue };
                let (header, record): (_, &Verified) = (held.header(), &held.record);
                let is_own = held.given.is_none();
                let lets = plain.lets(header);
                let there = self.reading(to).records.get(id);
                let mut count = |situation, is: bool| counts.push((situation, usize::from(is)));
                count(Situation::Forwarded, !is_own);
                count(Situation::OpinionShown, header.kind == Kind::Opinion);
                count(Situation::Withdrawn, header.kind == Kind::Withdrawal);
                count(Situation::ConsentUsed, !is_own && header.marking.orcon);
                count(Situation::PassedInACircle, !is_own && lets.in_circle && !lets.by_name);
                count(Situation::ShownInPart, *slots != record.open_slots());
                count(Situation::OutOfUse, there.is_some_and(Held::is_retracted));
            }
        }
        counts.into_iter().for_each(|(situation, times)| self.reached.add(situation, times));
    }
}

impl World<'_> {
    /// Tells what a node holds and what its feed to a partner was, for whoever looks into a failure.
    pub(super) fn describe(&self, from: usize, to: usize) -> String {
        let (plain, mut text) = (self.plain(from, to), String::new());
        for (id, held) in &plain.reading.records {
            let (header, there) =
                (held.header(), self.readings[to].as_ref().and_then(|there| there.records.get(id)));
            let there = there.map(|there| (there.open().bits(), there.given));
            let slots = held.record.kind().subject_slots();
            let about = slots.flat_map(|number| held.record.references(number));
            let about: Vec<_> = about.map(|series| series.to_string()).collect();
            writeln!(
                text,
                "{id}: {} revision {} of {} by {}, about {about:?}, {:#x} open, {:#x} erased, given {:?}, restricted {}, {:?}; there {there:?}",
                header.kind.name(),
                header.revision,
                header.series,
                header.originator,
                held.open().bits(),
                held.erased.bits(),
                held.given,
                held.is_restricted,
                plain.wanted(id),
            )
            .unwrap();
        }
        for (index, entry) in self.nodes[from].feed(to).iter().enumerate() {
            let slots = entry.open_slots.bits();
            writeln!(text, "{index}: {:?} {} {slots:#x}", entry.action, entry.record).unwrap();
        }
        let view = self.nodes[from].view();
        for index in 0..view.snapshot().size {
            let event = format!("{:?}", view.event(index).unwrap().1);
            let event: String = event.chars().take(EVENT_CHARS).collect();
            writeln!(text, "entry {index}: {event}").unwrap();
        }
        let notes = self.nodes[from].notes.partners.get(&to);
        let generations = [from, to].map(|node| self.nodes[node].agency.generation.get());
        let reported = notes.map(|notes| &notes.reported);
        writeln!(text, "not taken: {reported:?}; generations {generations:?}").unwrap();
        text
    }
}
