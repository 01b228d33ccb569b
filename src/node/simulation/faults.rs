//! The faults of the simulation: cuts, crashes, a hostile network, policies that change in between, and a node
//! restored from an old copy or without the tail of its segments. Nothing here knows what is right.

use super::injected::Injected;
use super::machine::Copy;
use super::reached::Situation;
use super::streams::{Durable, Job, Way, nodes_of};
use super::world::{PAIRS, World};
use crate::exchange::{Fault, Input, Refusal};
use crate::ident::{Generation, TreeHash, TreeSize};
use crate::journal::loss::Loss;
use crate::node::error::NodeError;
use crate::node::key_succession::error::SuccessionError;
use crate::node::key_succession::{Lost, given, missing, next_card, write_down};
use crate::partner::Role;
use crate::pb::{self, exchange_frame::Body};
use std::collections::BTreeMap;

/// The most bytes of a batch that a crash leaves half-written.
const TORN_BYTES_MAX: u64 = 40;

/// Tails that were lost, and every root that was signed.
#[derive(Default)]
pub(super) struct Tails {
    /// In this run the tail of a node is damaged instead of the whole node restored.
    damages: bool,
    /// The node of which it was.
    damaged: Option<usize>,
    /// The roots that each node signed of its journal, by generation.
    signed: BTreeMap<(usize, Generation), BTreeMap<TreeSize, TreeHash>>,
}

impl Tails {
    pub(super) fn of_run(seed: u64) -> Self {
        Self { damages: seed % 4 == 1, ..Self::default() }
    }

    pub(super) const fn is_damaged(&self) -> bool {
        self.damaged.is_some()
    }
}

impl World<'_> {
    pub(super) fn step(&mut self) {
        let pair = PAIRS[self.random.index(PAIRS.len())];
        let way = (pair, self.random.index(2));
        let (node, partner) = nodes_of(way);
        if self.nodes[node].is_behind {
            if self.succeeds && self.random.chance(8) {
                self.succeed(node);
            }
            return;
        }
        let may_sign = self.nodes[node].may_sign();
        match self.random.below(256) {
            // The network, and what nodes do by themselves.
            0..=79 => self.repeat(way, Self::deliver),
            80..=159 => self.repeat(way, Self::work),
            160..=189 => drop(self.publish(node, partner)),
            190..=209 => self.connect(pair),
            210..=211 => self.cut(pair),
            212..=213 => {
                // Much is under way then.
                self.repeat(way, Self::deliver);
                self.crash(node);
            }
            214..=217 => self.tamper(way),
            218 => self.begin_drain(way),
            219..=222 if self.tails.damages => self.copy_or_damage(node),
            219..=222 if self.restores => self.copy_or_restore(node),
            // What people do, which the node refuses while it may sign nothing.
            _ if !may_sign => {}
            223..=227 => self.submit(node),
            228..=229 => self.change_policy(node),
            230 => self.change_partner(node, partner),
            231..=232 => self.consent(node, partner),
            233..=234 => self.accept(node, partner),
            235..=237 if self.hostile == Some(node) => self.forge(node, partner),
            238..=240 if self.erases => self.propose_erasure(node),
            241..=244 if self.erases => self.change_hold(node),
            245..=252 => drop(self.decide(node)),
            253 => drop(self.propose_release(node, partner)),
            _ => {}
        }
    }

    /// Does something with a stream a few times.
    fn repeat(&mut self, way: Way, act: fn(&mut Self, Way) -> bool) {
        for _ in 0..=self.random.below(4) {
            if !act(self, way) {
                return;
            }
        }
    }

    /// The stream breaks. What was being made durable goes on.
    pub(super) fn cut(&mut self, pair: (usize, usize)) {
        let Some(link) = self.links.remove(&pair) else { return };
        for end in link.ends {
            for job in end.jobs {
                if let Job::Durable(of_stream, job) = job {
                    self.make_durable(end.node, &of_stream, job);
                }
            }
        }
    }

    /// The node stops dead: of what was being made durable a first part is. It starts again.
    pub(super) fn crash(&mut self, node: usize) {
        self.break_off(node);
        let torn = self.random.below(TORN_BYTES_MAX);
        let torn: Vec<u8> = (0..torn).map(|_| self.random.next() as u8).collect();
        let cut = self.nodes[node].restart(&torn);
        self.reached.once(Situation::IndexMadeAnew);
        self.reached.add(Situation::TornTailCut, usize::from(cut > 0));
    }

    /// Its streams break, and a last part of what was being made durable is not.
    fn break_off(&mut self, node: usize) {
        for pair in PAIRS.into_iter().filter(|pair| pair.0 == node || pair.1 == node) {
            if let Some(link) = self.links.get_mut(&pair) {
                let end = link.ends.iter_mut().find(|end| end.node == node).unwrap();
                end.jobs.retain(Job::is_durable);
                let kept = self.random.index(end.jobs.len() + 1);
                let is_batch = |job: &Job| matches!(job, Job::Durable(_, Durable::Store(..)));
                let lost = end.jobs.drain(kept..).filter(is_batch).count();
                self.reached.add(Situation::BatchLostInACrash, lost);
                self.cut(pair);
            }
        }
    }

    /// Returns the copy that somebody kept of a node, once something is lost with it; that node has stopped by then.
    fn take_copy(&mut self) -> Option<(usize, Copy)> {
        let own = self.nodes.iter().position(|node| node.copy.is_some())?;
        if !self.would_lose_receipted(own) && !self.random.chance(12) {
            return None;
        }
        self.break_off(own);
        self.readings[own] = None;
        self.nodes[own].copy.take().map(|copy| (own, copy))
    }

    /// Keeps a copy of one node; later, once a run, puts that node back to it.
    fn copy_or_restore(&mut self, node: usize) {
        if self.nodes.iter().all(|node| node.copy.is_none()) {
            if self.restored.is_none_or(|restored| self.may_lose_more(restored, node)) {
                self.nodes[node].keep_copy();
            }
            return;
        }
        let Some((own, copy)) = self.take_copy() else { return };
        self.nodes[own].restore(copy);
        self.restored = Some(own);
        self.reached.once(Situation::Restored);
    }

    /// Keeps a copy of one node; later, once a run, that node's segments are as they were then, and the files that
    /// are written after them as they are now.
    fn copy_or_damage(&mut self, node: usize) {
        if self.tails.is_damaged() {
            return;
        }
        if self.nodes.iter().all(|node| node.copy.is_none()) {
            return self.nodes[node].keep_copy();
        }
        let Some((own, copy)) = self.take_copy() else { return };
        let is_short = copy.size < self.nodes[own].snapshot().size;
        self.nodes[own].lose_tail(copy);
        self.tails.damaged = Some(own);
        if self.injected == Some(Injected::TailSignedOver) {
            self.nodes[own].remove_derived();
        }
        if self.nodes[own].start().is_none() {
            assert!(is_short, "{own} lost nothing and starts");
            self.nodes[own].is_behind = true;
            self.reached.once(Situation::TailLost);
        }
    }

    /// Returns true if a partner has a receipt for more than the copy of a node holds of its feed.
    fn would_lose_receipted(&self, own: usize) -> bool {
        let copy = self.nodes[own].copy.as_ref().unwrap();
        (0..self.nodes.len()).filter(|partner| *partner != own).any(|partner| {
            let receipted = |of: usize, from: usize| {
                let state = &self.nodes[of].snapshot().state;
                TreeSize::new(state.partners[self.book.agency(from)].receipted)
            };
            self.nodes[partner].is_open()
                && receipted(partner, own)
                    > copy.received.get(&partner).copied().unwrap_or_default()
        })
    }

    /// A node whose logs were succeeded once may be restored once more.
    fn may_lose_more(&self, restored: usize, node: usize) -> bool {
        restored == node && self.nodes[node].agency.generation.get() == 2
    }

    /// Somebody lets the logs of a node that is behind be succeeded, unless two histories of one were signed.
    fn succeed(&mut self, own: usize) {
        if self.nodes[own].signed_two_histories {
            return;
        }
        let Some(lost) = self.lost(own) else {
            self.nodes[own].signed_two_histories = true;
            return self.reached.once(Situation::TwoHistories);
        };
        let node = &mut self.nodes[own];
        node.agency.succeed();
        let recorded_size = node.open_for_succession();
        let snapshot = node.snapshot();
        assert!(!lost.is_empty() || recorded_size > 0, "{own}: something is known to be lost");
        let key = |role| *node.agency.key(role).public();
        let keys = [key(Role::Journal), key(Role::Witness), key(Role::Receipt)];
        let before = snapshot.state.card.clone().unwrap();
        let card = next_card(&before, keys, node.now()).unwrap();
        let card = card.seal(&node.agency.key(Role::Identity)).unwrap();
        let succeeded = pb::LogSucceeded {
            generation: card.card().generation.to_wire(),
            last_note: snapshot.note.clone(),
            lost: lost.iter().map(pb::LostSigned::from).collect(),
            reason: "a disk was lost".to_owned(),
            by: "admin".to_owned(),
            recorded_size,
        };
        let (signed, given) = (card.signed().clone(), given(&lost));
        node.commit(|tx| Ok(write_down(tx, succeeded, signed, given)?)).unwrap();
        Loss::forget(node.dir()).unwrap();
        node.is_behind = false;
        node.copy = None;
        node.shown.clear();
        node.forget();
        for of_partner in node.notes.partners.values_mut() {
            of_partner.reported.clear();
            of_partner.forged.clear();
        }
        self.readings[own] = None;
        self.reached.once(Situation::Succeeded);
    }

    /// Returns what a node signed and lost, as its partners showed; `None` if it signed two histories of a log.
    fn lost(&self, own: usize) -> Option<Vec<Lost>> {
        let (node, mut lost) = (&self.nodes[own], Vec::new());
        for (partner, hello) in &node.shown {
            let (snapshot, agency) = (node.snapshot(), self.book.agency(*partner));
            let known = (agency, &snapshot.state.partners[agency]);
            match missing(node.view(), node.name(), known, hello) {
                Ok(found) => lost.extend(found),
                Err(NodeError::Succession(SuccessionError::TwoHistories { .. })) => return None,
                Err(error) => panic!("{own}: {error}"),
            }
        }
        Some(lost)
    }

    pub(super) fn succeed_and_accept_all(&mut self) {
        for own in 0..self.nodes.len() {
            if self.succeeds && self.nodes[own].is_behind {
                self.succeed(own);
            }
        }
        for (one, other) in PAIRS {
            self.accept(one, other);
            self.accept(other, one);
        }
    }

    /// Doubles or swaps frames that are on their way.
    fn tamper(&mut self, (pair, side): Way) {
        let Some(link) = self.links.get_mut(&pair) else { return };
        let wire = &mut link.ends[side].wire;
        if wire.is_empty() {
            return;
        }
        let is_batch = |frame: &pb::ExchangeFrame| matches!(frame.body, Some(Body::FeedBatch(_)));
        let at = self.random.index(wire.len());
        if let Some(batch) = wire.iter().position(is_batch).filter(|_| at.is_multiple_of(2)) {
            let to = batch + 1 + self.random.index(wire.len() - batch);
            wire.insert(to, wire[batch].clone());
        } else if self.random.chance(4) {
            wire.insert(at, wire[at].clone());
        } else {
            wire.swap(0, at);
        }
        link.is_tampered = true;
    }

    /// A session ended with a fault: by the network's doing, or because the node whose session it
    /// is was restored and found out. Nobody else ever sees a contradiction.
    pub(super) fn ended_by(&mut self, way @ (pair, side): Way, fault: &Fault) {
        let (node, partner) = nodes_of(way);
        match fault {
            Fault::PeerMisbehaved(_) if self.links[&pair].is_tampered => {
                self.reached.once(Situation::StreamEndedByTampering);
                self.cut(pair);
            }
            Fault::Contradiction(evidence)
                if evidence.is_against_us() && self.restored == Some(node) =>
            {
                self.reached.once(Situation::FoundBehind);
                let hello = self.links[&pair].ends[side].heard.clone().unwrap();
                self.nodes[node].shown.insert(partner, hello);
                self.nodes[node].is_behind = true;
                PAIRS
                    .into_iter()
                    .filter(|pair| pair.0 == node || pair.1 == node)
                    .for_each(|pair| self.cut(pair));
            }
            Fault::PeerRefused(Refusal::Generation { .. } | Refusal::OwnGeneration { .. })
                if self.nodes.iter().any(|node| node.agency.generation != Generation::FIRST) =>
            {
                self.reached.once(Situation::RefusedUnaccepted);
                self.cut(pair);
            }
            fault => panic!("{node} with {partner}: {fault:?}"),
        }
    }

    /// Notes the newest checkpoint of a journal, which is shown to somebody. Only a node that was put back with all
    /// its files may ever sign a second root for a size; its partners find that out.
    pub(super) fn note_signed(&mut self, own: usize) {
        let node = &self.nodes[own];
        let size = node.snapshot().size;
        let root = node.view().journal().root_at(size).unwrap();
        let signed = self.tails.signed.entry((own, node.agency.generation)).or_default();
        let before = *signed.entry(TreeSize::new(size)).or_insert(root);
        if self.restored != Some(own) {
            assert_eq!(before, root, "{own} signed a second root of size {size}");
        }
    }

    pub(super) fn begin_drain(&mut self, way @ (pair, _): Way) {
        if let Some(link) = self.links.get_mut(&pair) {
            link.is_draining = true;
            self.input(way, Input::Drain);
        }
    }
}
