//! The tree of 64 leaves over the record ids that an originator signs at once.
//!
//! A leaf is the RFC 9162 leaf hash of the 32 bytes of a record id, or of 32 random bytes where
//! there are fewer records, and the records stand at random places: neither path nor place shows
//! how many records were signed together, or in which order. The tree is made, its paths go into
//! the signatures of its records, and it is forgotten; it is not a log and grows no further.

use super::hash::{leaf_hash, node_hash};
use crate::ident::{RecordId, TreeHash};
use std::array;

/// Leaves under one signature, and most records. 64 bring the cost of verification to that of the
/// hashes (about 1.5 µs a record against 34 µs for a signature); more would only lengthen the path
/// that every record carries (6 hashes, 192 bytes).
pub const BATCH_LEAVES: usize = 64;

/// Hashes in the path of a record, leaf to root.
const BATCH_PATH_STEPS: usize = BATCH_LEAVES.ilog2() as usize;

/// The faults of a batch and of a record's path in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("a batch has 1 to {BATCH_LEAVES} records, found {0}")]
    Size(usize),
    #[error("leaf index {0} is outside a batch of {BATCH_LEAVES} leaves")]
    Place(u32),
    #[error("a path in a batch has {BATCH_PATH_STEPS} hashes of 32 bytes, found {0} bytes")]
    Path(usize),
}

/// The inclusion path of one record: its leaf index, below 64, and 6 hashes, leaf to root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPath {
    leaf_index: u8,
    steps: [TreeHash; BATCH_PATH_STEPS],
}

impl BatchPath {
    /// Takes a path as it travels: the hashes one after another, exactly 192 bytes.
    pub fn from_wire(leaf_index: u32, path: &[u8]) -> Result<Self, BatchError> {
        let place = u8::try_from(leaf_index)
            .ok()
            .filter(|index| usize::from(*index) < BATCH_LEAVES)
            .ok_or(BatchError::Place(leaf_index))?;
        let (steps, rest) = path.as_chunks::<{ TreeHash::BYTES }>();
        let steps: &[_; BATCH_PATH_STEPS] = steps
            .try_into()
            .ok()
            .filter(|_| rest.is_empty())
            .ok_or(BatchError::Path(path.len()))?;
        Ok(Self { leaf_index: place, steps: steps.map(TreeHash::from_bytes) })
    }

    /// The hashes as they travel, 192 bytes.
    pub fn wire_bytes(&self) -> Vec<u8> {
        self.steps.map(|step| *step.as_bytes()).concat()
    }

    pub const fn leaf_index(&self) -> u8 {
        self.leaf_index
    }

    pub const fn steps(&self) -> &[TreeHash; BATCH_PATH_STEPS] {
        &self.steps
    }

    /// Returns the root that a record leads to by this path. It proves something only once a
    /// signature over that root was verified.
    pub fn root(&self, id: &RecordId) -> TreeHash {
        let mut at = usize::from(self.leaf_index);
        let mut node = leaf_hash(id.as_bytes());
        for sibling in &self.steps {
            node = parent(at, &node, sibling);
            at >>= 1;
        }
        node
    }
}

/// The node above one and its sibling; a node at an even place is the left one.
fn parent(at: usize, node: &TreeHash, sibling: &TreeHash) -> TreeHash {
    if at & 1 == 0 { node_hash(node, sibling) } else { node_hash(sibling, node) }
}

/// The tree over 1 to 64 record ids and random leaves, with the path of every record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTree {
    /// Numbered from the root, 1: the children of n are 2n and 2n + 1, the leaves are the last
    /// 64. Number 0 is unused.
    nodes: Vec<TreeHash>,
    /// The leaf index of each record, in the order that they were given in.
    places: Vec<u8>,
}

impl BatchTree {
    /// Puts the records at random places of a tree of 64 leaves and fills it with random leaves.
    /// `draw` returns other random bytes at each call; 16 calls arrange the tree and one more
    /// makes each leaf that is not a record.
    pub fn new(ids: &[RecordId], mut draw: impl FnMut() -> [u8; 32]) -> Result<Self, BatchError> {
        if !(1..=BATCH_LEAVES).contains(&ids.len()) {
            return Err(BatchError::Size(ids.len()));
        }
        let order = permutation(&mut draw);
        let mut nodes = vec![TreeHash::from_bytes([0; 32]); 2 * BATCH_LEAVES];
        for (nth, place) in order.into_iter().enumerate() {
            nodes[BATCH_LEAVES + usize::from(place)] = match ids.get(nth) {
                Some(id) => leaf_hash(id.as_bytes()),
                None => leaf_hash(&draw()),
            };
        }
        for number in (1..BATCH_LEAVES).rev() {
            nodes[number] = node_hash(&nodes[2 * number], &nodes[2 * number + 1]);
        }
        Ok(Self { nodes, places: order[..ids.len()].to_vec() })
    }

    pub fn root(&self) -> TreeHash {
        self.nodes[1]
    }

    /// The path of each record, in the order that they were given in.
    pub fn paths(&self) -> impl Iterator<Item = BatchPath> {
        self.places.iter().map(|place| {
            let leaf = BATCH_LEAVES + usize::from(*place);
            let steps = array::from_fn(|step| self.nodes[leaf >> step ^ 1]);
            BatchPath { leaf_index: *place, steps }
        })
    }
}

/// The leaf indexes in random order (Fisher and Yates). A number of 64 bits taken modulo at most
/// 64 favours no place by more than 2^-58.
fn permutation(draw: &mut impl FnMut() -> [u8; 32]) -> [u8; BATCH_LEAVES] {
    let mut order: [u8; BATCH_LEAVES] = array::from_fn(|place| place as u8);
    let mut last = BATCH_LEAVES;
    while last > 0 {
        for number in draw().as_chunks::<8>().0 {
            let chosen = u64::from_be_bytes(*number) % last as u64;
            last -= 1;
            order.swap(last, chosen as usize);
        }
    }
    order
}

/// Nodes of one batch tree that are known to lead to its root.
///
/// The path of every record names nodes that its neighbours need, so that the records of a batch,
/// one after another, cost one inner hash each instead of six.
#[derive(Debug, Clone)]
pub struct ProvenNodes {
    /// Numbered as in [`BatchTree`].
    nodes: Vec<Option<TreeHash>>,
}

impl ProvenNodes {
    /// Begins with a root whose signature was verified.
    pub fn new(root: TreeHash) -> Self {
        let mut nodes = vec![None; 2 * BATCH_LEAVES];
        nodes[1] = Some(root);
        Self { nodes }
    }

    /// Returns whether the path leads from this record to the root; every hash of it is compared
    /// or computed with. The nodes that it proves are remembered.
    pub fn prove(&mut self, id: &RecordId, path: &BatchPath) -> bool {
        let leaf = BATCH_LEAVES + usize::from(path.leaf_index);
        let mut climbed = [leaf_hash(id.as_bytes()); BATCH_PATH_STEPS + 1];
        let mut met = 0;
        while self.nodes[leaf >> met].is_none() && met < BATCH_PATH_STEPS {
            climbed[met + 1] = parent(leaf >> met, &climbed[met], &path.steps[met]);
            met += 1;
        }
        let known = |step: usize| self.nodes[leaf >> step ^ 1] == Some(path.steps[step]);
        if self.nodes[leaf >> met] != Some(climbed[met]) || !(met..BATCH_PATH_STEPS).all(known) {
            return false;
        }
        for (step, (node, beside)) in climbed.iter().zip(&path.steps).take(met).enumerate() {
            self.nodes[leaf >> step] = Some(*node);
            self.nodes[leaf >> step ^ 1] = Some(*beside);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::root_of;
    use std::collections::BTreeSet;

    fn ids(count: usize) -> Vec<RecordId> {
        (0..count).map(|n| RecordId::from_bytes([n as u8; 32])).collect()
    }

    /// Bytes that differ from call to call and repeat from run to run.
    fn drawn(seed: u64) -> impl FnMut() -> [u8; 32] {
        let mut calls = 0;
        move || {
            calls += 1;
            *leaf_hash(&[seed, calls].map(u64::to_be_bytes).concat()).as_bytes()
        }
    }

    #[test]
    fn every_record_of_every_batch_leads_to_the_root_of_64_leaves() {
        for count in 1..=BATCH_LEAVES {
            let ids = ids(count);
            let tree = BatchTree::new(&ids, drawn(1)).unwrap();
            assert_eq!(tree.root(), root_of(&tree.nodes[BATCH_LEAVES..]));
            let leaves: BTreeSet<_> = tree.nodes[BATCH_LEAVES..].iter().collect();
            assert_eq!(leaves.len(), BATCH_LEAVES);
            assert_eq!(tree.paths().count(), count);
            for (id, path) in ids.iter().zip(tree.paths()) {
                assert_eq!(path.root(id), tree.root());
                let again = BatchPath::from_wire(path.leaf_index().into(), &path.wire_bytes());
                assert_eq!(again, Ok(path));
            }
        }
    }

    #[test]
    fn the_place_of_a_record_shows_neither_how_many_were_signed_nor_in_which_order() {
        for count in [1, 3, 64] {
            let mut seen = vec![[0_u32; BATCH_LEAVES]; count.min(3)];
            for seed in 0..6_400 {
                let tree = BatchTree::new(&ids(count), drawn(seed)).unwrap();
                for (seen, path) in seen.iter_mut().zip(tree.paths()) {
                    seen[usize::from(path.leaf_index())] += 1;
                }
            }
            // 100 on average; five standard deviations either way.
            assert!(seen.iter().flatten().all(|times| (50..=150).contains(times)), "{seen:?}");
        }
    }

    #[test]
    fn a_record_on_its_own_has_another_root_each_time() {
        let root = |seed| BatchTree::new(&ids(1), drawn(seed)).unwrap().root();
        assert_ne!(root(1), root(2));
    }

    #[test]
    fn a_record_at_another_place_leads_elsewhere() {
        let ids = ids(7);
        let tree = BatchTree::new(&ids, drawn(1)).unwrap();
        let path = tree.paths().nth(2).unwrap();
        for index in (0..64).filter(|index| *index != u32::from(path.leaf_index())) {
            let moved = BatchPath::from_wire(index, &path.wire_bytes()).unwrap();
            assert_ne!(moved.root(&ids[2]), tree.root());
        }
    }

    #[test]
    fn proven_nodes_take_every_path_of_the_batch_in_any_order_and_no_other() {
        for count in 1..=BATCH_LEAVES {
            let ids = ids(count);
            let tree = BatchTree::new(&ids, drawn(count as u64)).unwrap();
            let mut proven = ProvenNodes::new(tree.root());
            for (id, path) in ids.iter().zip(tree.paths()) {
                assert!(!proven.prove(&RecordId::from_bytes([200; 32]), &path));
                for flipped in 0..BATCH_PATH_STEPS {
                    let mut wrong = path;
                    wrong.steps[flipped] = leaf_hash(id.as_bytes());
                    assert!(!proven.prove(id, &wrong));
                }
                let moved = BatchPath { leaf_index: path.leaf_index ^ 1, ..path };
                assert!(!proven.prove(id, &moved));
                assert!(proven.prove(id, &path));
                assert!(proven.prove(id, &path));
            }
        }
    }

    #[test]
    fn empty_and_oversized_batches_are_refused() {
        for count in [0, 65] {
            assert_eq!(BatchTree::new(&ids(count), drawn(1)), Err(BatchError::Size(count)));
        }
    }

    #[test]
    fn a_path_of_another_length_or_an_index_beyond_64_leaves_is_refused() {
        for bytes in [0, 32, 160, 191, 193, 224, 6 * 32 * 64] {
            assert_eq!(BatchPath::from_wire(0, &vec![1; bytes]), Err(BatchError::Path(bytes)));
        }
        for index in [64, 255, 256, u32::MAX] {
            assert_eq!(BatchPath::from_wire(index, &[1; 192]), Err(BatchError::Place(index)));
        }
    }
}
