//! The faults of the simulation: cuts, crashes, a hostile network, policies that change in between,
//! and a node restored from an old copy. Nothing here knows what is right.
//!
//! The gate that a node has before its journal besides is not here: what the checks show holds
//! without it, by the sessions alone.

use super::NODES;
use super::streams::Job;
use super::world::{PAIRS, World};
use crate::exchange::fault::{Fault, Refusal};
use crate::exchange::fixture::Feed;
use crate::pb;
use crate::pb::exchange_frame::Body;

impl World<'_> {
    pub(super) fn step(&mut self) {
        let pair = PAIRS[self.random.below(PAIRS.len())];
        let side = self.random.below(2);
        let (node, partner) = if side == 0 { pair } else { (pair.1, pair.0) };
        if self.nodes[node].is_behind {
            if self.succeeds && self.random.chance(8) {
                self.succeed(node);
            }
            return;
        }
        match self.random.below(256) {
            0..=4 => self.submit(node),
            5..=25 => drop(self.publish(node, partner)),
            26..=34 => self.connect(pair),
            35..=36 => self.cut(pair),
            37 => self.crash(node),
            38..=49 => self.tamper(pair, side),
            50..=52 => self.change_policy(node),
            53..=54 => self.change_partner(node, partner),
            55 => self.begin_drain(pair, side),
            57..=58 => self.consent(node, partner),
            56 | 61 | 159..=160 if self.damages() => self.copy_or_damage(node),
            56 | 61 | 159..=160 if self.restores => self.copy_or_restore(node),
            59..=60 => self.accept(node, partner),
            151..=153 if self.hostile == Some(node) => self.forge_alone(node, partner),
            154 if self.erases => self.decide_erasure(node),
            155..=158 if self.erases => self.change_hold(node),
            62..=150 => drop(self.deliver(pair, side)),
            _ => drop(self.work(pair, side)),
        }
    }

    /// The stream breaks. What was being made durable goes on.
    pub(super) fn cut(&mut self, pair: (usize, usize)) {
        let Some(link) = self.links.remove(&pair) else { return };
        for (end, partner) in link.ends.into_iter().zip([pair.1, pair.0]) {
            for job in end.jobs {
                self.finish(end.node, partner, job);
            }
        }
    }

    /// The node stops dead: of what was being made durable a first part is.
    pub(super) fn crash(&mut self, node: usize) {
        for pair in PAIRS.into_iter().filter(|pair| pair.0 == node || pair.1 == node) {
            if let Some(link) = self.links.get_mut(&pair) {
                let end = link.ends.iter_mut().find(|end| end.node == node).unwrap();
                end.jobs.retain(Job::is_durable);
                let kept = self.random.below(end.jobs.len() + 1);
                self.reached.batches_lost_in_a_crash +=
                    end.jobs.drain(kept..).filter(|job| matches!(job, Job::Store(..))).count();
                self.cut(pair);
            }
        }
        self.nodes[node].restart();
    }

    /// Keeps a copy of one node's state; later, once a run, puts that node back to it.
    fn copy_or_restore(&mut self, node: usize) {
        let Some(own) = self.nodes.iter().position(|node| node.copy.is_some()) else {
            if self.restored.is_none_or(|restored| self.may_lose_more(restored, node)) {
                self.nodes[node].copy = Some(self.nodes[node].state.clone());
            }
            return;
        };
        if !self.would_lose_receipted(own) && !self.random.chance(12) {
            return;
        }
        self.crash(own);
        let node = &mut self.nodes[own];
        node.state = node.copy.take().unwrap();
        node.life += 1;
        self.restored = Some(own);
        self.reached.restored += 1;
    }

    /// Returns true if a partner has a receipt for more than the copy of a node holds of its feed.
    pub(super) fn would_lose_receipted(&self, own: usize) -> bool {
        let copy = self.nodes[own].copy.as_ref().unwrap();
        copy.relations.iter().any(|(partner, relation)| {
            let receipted = self.nodes[*partner].state.relations[&own].receipted;
            receipted > relation.partner_feed.size()
        })
    }

    /// A node whose logs were succeeded once may be restored once more.
    fn may_lose_more(&self, restored: usize, node: usize) -> bool {
        restored == node && self.nodes[node].agency.generation.get() == 2
    }

    /// Somebody lets the logs of a node that is behind be succeeded.
    fn succeed(&mut self, own: usize) {
        let node = &mut self.nodes[own];
        node.agency.succeed();
        node.is_behind = false;
        node.copy = None;
        for partner in (0..NODES).filter(|partner| *partner != own) {
            let feed = Feed::new(&self.nodes[own].agency, &self.nodes[partner].agency);
            self.nodes[own].state.relations.get_mut(&partner).unwrap().begin_anew(feed);
        }
        self.nodes[own].restart();
        self.nodes[own].write(b"succeeded");
        self.reached.succeeded += 1;
    }

    /// People accept a partner's card, if it has a new one.
    fn accept(&mut self, own: usize, partner: usize) {
        let side = self.nodes[partner].agency.side();
        let relation = self.nodes[own].state.relations.get_mut(&partner).unwrap();
        if relation.partner.generation() == side.generation() {
            return;
        }
        relation.accept(side);
        self.nodes[own].write(b"partner changed");
        self.cut((own.min(partner), own.max(partner)));
    }

    pub(super) fn succeed_and_accept_all(&mut self) {
        for own in 0..NODES {
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
    fn tamper(&mut self, pair: (usize, usize), side: usize) {
        let Some(link) = self.links.get_mut(&pair) else { return };
        let wire = &mut link.ends[side].wire;
        if wire.is_empty() {
            return;
        }
        let is_batch = |frame: &pb::ExchangeFrame| matches!(frame.body, Some(Body::FeedBatch(_)));
        let at = self.random.below(wire.len());
        if let Some(batch) = wire.iter().position(is_batch).filter(|_| at.is_multiple_of(2)) {
            let to = batch + 1 + self.random.below(wire.len() - batch);
            wire.insert(to, wire[batch].clone());
        } else if self.random.chance(4) {
            wire.insert(at, wire[at].clone());
        } else {
            wire.swap(0, at);
        }
        link.tampered = true;
    }

    /// A session ended with a fault: by the network's doing, or because the node whose session it
    /// is was restored and found out. Nobody else ever sees a contradiction.
    pub(super) fn ended_by(&mut self, pair: (usize, usize), node: usize, fault: &Fault) {
        match fault {
            Fault::PeerMisbehaved(_) if self.links[&pair].tampered => {
                self.reached.streams_ended_by_tampering += 1;
                self.cut(pair);
            }
            Fault::Contradiction(evidence)
                if evidence.is_against_us() && self.restored == Some(node) =>
            {
                self.reached.found_behind += 1;
                self.nodes[node].is_behind = true;
                PAIRS
                    .into_iter()
                    .filter(|pair| pair.0 == node || pair.1 == node)
                    .for_each(|pair| self.cut(pair));
            }
            Fault::PeerRefused(Refusal::Generation { .. } | Refusal::OwnGeneration { .. })
                if self.reached.succeeded > 0 =>
            {
                self.reached.refused_unaccepted += 1;
                self.cut(pair);
            }
            fault => panic!("{fault:?}"),
        }
    }
}
