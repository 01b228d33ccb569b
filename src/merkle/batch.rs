//! The small tree over the record ids that an originator signs at once.
//!
//! A leaf is the RFC 9162 leaf hash of the 32 bytes of a record id. The tree is made, its paths go
//! into the signatures of its records, and it is forgotten; it is no log and grows no further.

use super::hash::{leaf_hash, node_hash};
use super::proof::{ProofError, root_from_inclusion};
use crate::ident::{LeafIndex, RecordId, TreeHash, TreeSize};

/// Most records under one signature. 64 bring the cost of verification to that of the hashes
/// (about 1.5 µs a record against 34 µs for a signature); more would only lengthen the path that
/// every record carries (6 hashes, 192 bytes).
pub const BATCH_LEAVES_MAX: usize = 64;

/// What is wrong with a batch, or with a record's place in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("a batch has 1 to {BATCH_LEAVES_MAX} records, found {0}")]
    Size(u64),
    #[error("place of a record in its batch is impossible")]
    Place(#[from] ProofError),
}

/// The tree over 1 to 64 record ids, with every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTree {
    /// Leaves first, the root alone last. A node without a sibling rises to the next level as it
    /// is, which gives the tree of RFC 9162.
    levels: Vec<Vec<TreeHash>>,
}

impl BatchTree {
    pub fn new(ids: &[RecordId]) -> Result<Self, BatchError> {
        check_batch_size(ids.len() as u64)?;
        let leaves: Vec<_> = ids.iter().map(|id| leaf_hash(id.as_bytes())).collect();
        let levels = std::iter::successors(Some(leaves), |below| {
            (below.len() > 1).then(|| below.chunks(2).map(join).collect())
        });
        Ok(Self { levels: levels.collect() })
    }

    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.levels[0].len() as u64)
    }

    pub fn root(&self) -> TreeHash {
        self.levels[self.levels.len() - 1][0]
    }

    /// The inclusion path of the record at `index`, leaf to root, at most 6 hashes; `None` outside
    /// the batch.
    pub fn path(&self, index: LeafIndex) -> Option<Vec<TreeHash>> {
        let place = usize::try_from(index.get()).ok().filter(|at| *at < self.levels[0].len())?;
        let siblings = self.levels.iter().enumerate();
        Some(siblings.filter_map(|(level, nodes)| nodes.get(place >> level ^ 1)).copied().collect())
    }
}

/// The batch root that a record and its path lead to. It proves something only once a signature
/// over that root was verified.
pub fn batch_root(
    id: &RecordId,
    index: LeafIndex,
    size: TreeSize,
    path: &[TreeHash],
) -> Result<TreeHash, BatchError> {
    check_batch_size(size.get())?;
    Ok(root_from_inclusion(&leaf_hash(id.as_bytes()), index, size, path)?)
}

fn check_batch_size(size: u64) -> Result<(), BatchError> {
    if (1..=BATCH_LEAVES_MAX as u64).contains(&size) { Ok(()) } else { Err(BatchError::Size(size)) }
}

fn join(pair: &[TreeHash]) -> TreeHash {
    match pair {
        [left, right] => node_hash(left, right),
        alone => alone[0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::root_of;

    fn ids(count: u8) -> Vec<RecordId> {
        (0..count).map(|n| RecordId::from_bytes([n; 32])).collect()
    }

    #[test]
    fn every_record_of_every_batch_leads_to_the_root() {
        for count in 1..=BATCH_LEAVES_MAX as u8 {
            let ids = ids(count);
            let tree = BatchTree::new(&ids).unwrap();
            let hashes: Vec<_> = ids.iter().map(|id| leaf_hash(id.as_bytes())).collect();
            assert_eq!(tree.root(), root_of(&hashes));
            for (id, index) in ids.iter().zip(0..) {
                let path = tree.path(LeafIndex::new(index)).unwrap();
                assert!(path.len() <= 6);
                let root = batch_root(id, LeafIndex::new(index), tree.size(), &path);
                assert_eq!(root, Ok(tree.root()));
            }
            assert_eq!(tree.path(LeafIndex::new(u64::from(count))), None);
        }
    }

    #[test]
    fn a_batch_of_one_is_its_leaf() {
        let ids = ids(1);
        let tree = BatchTree::new(&ids).unwrap();
        assert_eq!(tree.root(), leaf_hash(ids[0].as_bytes()));
        assert_eq!(tree.path(LeafIndex::new(0)), Some(Vec::new()));
    }

    #[test]
    fn a_record_at_another_place_leads_elsewhere() {
        let ids = ids(7);
        let tree = BatchTree::new(&ids).unwrap();
        let path = tree.path(LeafIndex::new(2)).unwrap();
        for index in (0..7).filter(|index| *index != 2) {
            let root = batch_root(&ids[2], LeafIndex::new(index), tree.size(), &path);
            assert_ne!(root, Ok(tree.root()));
        }
    }

    #[test]
    fn empty_and_oversized_batches_are_refused() {
        assert_eq!(BatchTree::new(&[]), Err(BatchError::Size(0)));
        assert_eq!(BatchTree::new(&ids(65)), Err(BatchError::Size(65)));
        for size in [0, 65, u64::MAX] {
            let root = batch_root(&ids(1)[0], LeafIndex::new(0), TreeSize::new(size), &[]);
            assert_eq!(root, Err(BatchError::Size(size)));
        }
    }
}
