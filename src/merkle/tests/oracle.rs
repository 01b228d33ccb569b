//! The tree against the crate ct-merkle: every size to 130, and larger ones at random.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;

use super::{Levels, leaves};
use crate::ident::{LeafIndex, TreeHash, TreeSize};
use crate::merkle::{
    TileTree, TreeHead, prove_consistency, prove_inclusion, root_of, verify_consistency,
    verify_inclusion,
};

type Oracle = MemoryBackedTree<Sha256, [u8; 8]>;

/// Both implementations over the leaves of [`leaves`], with what each thinks of the other.
struct Pair {
    leaves: Vec<TreeHash>,
    ours: TileTree,
    nodes: Levels,
    theirs: Oracle,
    /// Our roots and theirs, by size.
    heads: Vec<(TreeHead, RootHash<Sha256>)>,
}

impl Pair {
    fn new() -> Self {
        let (ours, theirs) = (TileTree::new(), Oracle::new());
        let heads = vec![(ours.head(), theirs.root())];
        Self { leaves: Vec::new(), nodes: Levels::default(), ours, theirs, heads }
    }

    fn grow_to(mut self, size: u64) -> Self {
        let all = leaves(size);
        for n in self.theirs.len()..size {
            self.leaves.push(all[n as usize]);
            self.ours.push(all[n as usize]);
            self.nodes.push(all[n as usize]);
            self.theirs.push(n.to_be_bytes());
            self.heads.push((self.ours.head(), self.theirs.root()));
        }
        self
    }

    fn size(&self) -> u64 {
        self.theirs.len()
    }

    fn agree_on_roots(&self) {
        for (ours, theirs) in &self.heads {
            assert_eq!(ours.root.as_bytes()[..], theirs.as_bytes()[..], "size {}", ours.size);
            assert_eq!(ours.size.get(), theirs.num_leaves());
        }
    }

    fn agree_on_inclusion(&mut self, index: u64) -> Vec<TreeHash> {
        let (head, _) = &self.heads[self.size() as usize];
        let leaf_index = LeafIndex::new(index);
        let path = prove_inclusion(&mut self.nodes, leaf_index, head.size).unwrap();
        let theirs = self.theirs.prove_inclusion(index as usize);
        assert_eq!(concat(&path), theirs.as_bytes());
        let leaf = &self.leaves[index as usize];
        assert_eq!(verify_inclusion(leaf, leaf_index, head.size, &path, &head.root), Ok(()));
        path
    }

    fn agree_on_consistency(&mut self, old: u64) -> Vec<TreeHash> {
        let (old_head, _) = &self.heads[old as usize];
        let (head, _) = &self.heads[self.size() as usize];
        let proof = prove_consistency(&mut self.nodes, old_head.size, head.size).unwrap();
        let theirs = self.theirs.prove_consistency((self.size() - old) as usize);
        assert_eq!(concat(&proof), theirs.as_bytes());
        assert_eq!(verify_consistency(old_head, head, &proof), Ok(()));
        proof
    }

    /// The tree of tiles makes the same proofs, and the other implementation verifies them.
    fn verify_there(&mut self, index: u64) {
        let (path, proof) = (self.agree_on_inclusion(index), self.agree_on_consistency(index + 1));
        let (old_head, old_root) = &self.heads[index as usize + 1];
        let (head, root) = &self.heads[self.size() as usize];
        let tiled = self.ours.inclusion(&self.leaves, LeafIndex::new(index), head.size);
        assert_eq!(tiled.as_ref(), Ok(&path));
        let tiled = self.ours.consistency(&self.leaves, old_head.size, head.size);
        assert_eq!(tiled.as_ref(), Ok(&proof));

        let path = InclusionProof::from_bytes(concat(&path));
        assert!(root.verify_inclusion(&index.to_be_bytes(), index, &path).is_ok());
        let proof = ConsistencyProof::try_from_bytes(concat(&proof)).unwrap();
        assert!(root.verify_consistency(old_root, &proof).is_ok());
    }
}

fn concat(proof: &[TreeHash]) -> Vec<u8> {
    proof.iter().flat_map(TreeHash::as_bytes).copied().collect()
}

#[test]
fn every_proof_of_every_size_to_130_is_the_same_as_the_other_implementations() {
    let mut pair = Pair::new();
    for size in 1..=130 {
        pair = pair.grow_to(size);
        for index in 0..size {
            pair.agree_on_inclusion(index);
            pair.agree_on_consistency(index + 1);
        }
        pair.verify_there(size / 2);
    }
    pair.agree_on_roots();
}

#[test]
fn proofs_around_the_edges_of_tiles_are_the_same_as_the_other_implementations() {
    let mut pair = Pair::new();
    let edges = [255, 256, 257, 511, 512, 513, 1_023, 1_024, 1_025];
    for size in edges {
        pair = pair.grow_to(size);
        for edge in edges.into_iter().filter(|edge| *edge <= size) {
            pair.verify_there(edge - 1);
        }
    }
    pair.agree_on_roots();
}

/// Changed hashes, dropped, added and swapped ones: none may verify.
fn mutations(proof: &[TreeHash]) -> Vec<Vec<TreeHash>> {
    let mut all = Vec::new();
    for (at, hash) in proof.iter().enumerate() {
        for byte in 0..TreeHash::BYTES {
            let mut bytes = *hash.as_bytes();
            bytes[byte] ^= 1 << (byte % 8);
            let mut changed = proof.to_vec();
            changed[at] = TreeHash::from_bytes(bytes);
            all.push(changed);
        }
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        all.push(shorter);
        let mut longer = proof.to_vec();
        longer.insert(at, *hash);
        all.push(longer);
        let mut swapped = proof.to_vec();
        swapped.swap(at, 0);
        all.extend((at > 0).then_some(swapped));
    }
    all.push([proof, &[TreeHash::from_bytes([0; 32])]].concat());
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn larger_trees_are_the_same_as_the_other_implementations(
        size in 131..1_500_u64, picks in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let mut pair = Pair::new().grow_to(size);
        pair.agree_on_roots();
        for pick in picks {
            pair.verify_there(pick.index(size as usize) as u64);
        }
    }

    #[test]
    fn a_changed_proof_proves_nothing(size in 2..700_u64, pick: prop::sample::Index) {
        let all = leaves(size);
        let tree: TileTree = all.iter().copied().collect();
        let head = tree.head();
        let at = pick.index(size as usize - 1);

        let (leaf, index) = (&all[at], LeafIndex::new(at as u64));
        let path = tree.inclusion(&all, index, head.size).unwrap();
        prop_assert_eq!(verify_inclusion(leaf, index, head.size, &path, &head.root), Ok(()));
        for changed in mutations(&path) {
            let verdict = verify_inclusion(leaf, index, head.size, &changed, &head.root);
            prop_assert!(verdict.is_err());
        }
        for other in (0..size).filter(|other| *other != at as u64) {
            let other = LeafIndex::new(other);
            let verdict = verify_inclusion(leaf, other, head.size, &path, &head.root);
            prop_assert!(verdict.is_err());
        }

        let old = TreeHead { size: TreeSize::new(at as u64 + 1), root: root_of(&all[..=at]) };
        let proof = tree.consistency(&all, old.size, head.size).unwrap();
        prop_assert_eq!(verify_consistency(&old, &head, &proof), Ok(()));
        for changed in mutations(&proof) {
            prop_assert!(verify_consistency(&old, &head, &changed).is_err());
        }
        let forked = TreeHead { root: root_of(&all[1..=at + 1]), ..old };
        prop_assert!(verify_consistency(&forked, &head, &proof).is_err());
    }
}
