//! A node whose segments lose their tail while what was written after them stays: it does not start,
//! and nobody ever signs two roots for one size of a log.

use std::collections::BTreeMap;

use super::injected::Injected;
use super::world::World;
use crate::exchange::session::Input;
use crate::ident::{Generation, TreeHash, TreeSize};
use crate::merkle::Shortfall;

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
    /// Keeps a copy of one node's state; later, once a run, that node's segments are as they were then,
    /// and its leaf files as they are now.
    pub(super) fn copy_or_damage(&mut self, node: usize) {
        if self.tails.is_damaged() {
            return;
        }
        let Some(own) = self.nodes.iter().position(|node| node.copy.is_some()) else {
            self.nodes[node].copy = Some(self.nodes[node].state.clone());
            return;
        };
        if !self.would_lose_receipted(own) && !self.random.chance(12) {
            return;
        }
        self.crash(own);
        let node = &mut self.nodes[own];
        let leaves_of_file = node.state.leaves.len() as u64;
        node.state = node.copy.take().unwrap();
        node.life += 1;
        self.tails.damaged = Some(own);
        self.start_after_damage(own, leaves_of_file);
    }

    /// The start of a node: the leaf file is compared with the segments before anything is signed.
    fn start_after_damage(&mut self, own: usize, leaves_of_file: u64) {
        let left = self.nodes[own].state.leaves.len() as u64;
        let is_noticed = self.nodes[own].state.injected != Some(Injected::TailSignedOver);
        if is_noticed && Shortfall::of(leaves_of_file, left).is_some() {
            self.nodes[own].is_behind = true;
            self.reached.tails_lost += 1;
        }
    }

    pub(super) const fn damages(&self) -> bool {
        self.tails.damages
    }

    /// Signs the newest checkpoint of a journal. Only a node that was put back with all its files may
    /// ever sign a second root for a size; its partners find that out.
    pub(super) fn sign_checkpoint(&mut self, own: usize, old: TreeSize) -> Input {
        let node = &self.nodes[own];
        let size = TreeSize::new(node.state.leaves.len() as u64);
        let root = node.journal_root(size).unwrap();
        let signed = self.tails.signed.entry((own, node.agency.generation)).or_default();
        let before = *signed.entry(size).or_insert(root);
        if self.restored != Some(own) {
            assert_eq!(before, root, "{own} signed a second root of size {size}");
        }
        node.checkpoint(old)
    }
}
