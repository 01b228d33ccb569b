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

/// Rows of the tree over that many: 64 leaves, 32 nodes, and so on to the root.
const BATCH_ROWS_MAX: usize = BATCH_LEAVES_MAX.ilog2() as usize + 1;

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

/// Nodes of one batch tree that are known to lead to its root.
///
/// The path of every record names nodes that its neighbours need, so that the records of a batch,
/// one after another, cost one inner hash each instead of six.
#[derive(Debug, Clone)]
pub struct ProvenNodes {
    size: u64,
    /// Row by row, leaves first; the root alone in the last. A node without a sibling stands in
    /// the next row again.
    rows: Vec<Vec<Option<TreeHash>>>,
}

impl ProvenNodes {
    /// Begins with a root whose signature was verified.
    pub fn new(root: TreeHash, size: TreeSize) -> Result<Self, BatchError> {
        check_batch_size(size.get())?;
        let widths = std::iter::successors(Some(size.get() as usize), |width| {
            (*width > 1).then(|| width.div_ceil(2))
        });
        let mut rows: Vec<Vec<Option<TreeHash>>> = widths.map(|width| vec![None; width]).collect();
        if let Some(top) = rows.last_mut().and_then(|row| row.first_mut()) {
            *top = Some(root);
        }
        Ok(Self { size: size.get(), rows })
    }

    /// Whether the path, leaf to root, leads from this record to the root; every hash of it is
    /// compared or computed with. What it adds is remembered.
    pub fn prove(&mut self, leaf: TreeHash, index: LeafIndex, path: &[TreeHash]) -> bool {
        let Ok(index) = usize::try_from(index.get()) else { return false };
        if index as u64 >= self.size {
            return false;
        }
        let mut climbed = [leaf; BATCH_ROWS_MAX];
        let mut rest = path;
        let mut meeting = None;
        for (row, nodes) in self.rows.iter().enumerate() {
            let at = index >> row;
            if let Some(known) = nodes[at] {
                if known != climbed[row] {
                    return false;
                }
                meeting = Some(row);
                break;
            }
            climbed[row + 1] = match (at ^ 1 < nodes.len(), rest.split_first()) {
                (false, _) => climbed[row],
                (true, None) => return false,
                (true, Some((sibling, above))) => {
                    rest = above;
                    let (left, right) = if at & 1 == 0 {
                        (&climbed[row], sibling)
                    } else {
                        (sibling, &climbed[row])
                    };
                    node_hash(left, right)
                }
            };
        }
        let Some(meeting) = meeting else { return false };
        let agrees = self.siblings(meeting, index).eq(rest.iter().copied().map(Some));
        if agrees {
            self.learn(&climbed[..meeting], index, path);
        }
        agrees
    }

    /// The siblings on the way up from a row; each is known once its parent was computed.
    fn siblings(&self, from: usize, index: usize) -> impl Iterator<Item = Option<TreeHash>> {
        let above = self.rows.iter().enumerate().skip(from);
        above.filter_map(move |(row, nodes)| nodes.get(index >> row ^ 1).copied())
    }

    fn learn(&mut self, climbed: &[TreeHash], index: usize, path: &[TreeHash]) {
        let mut path = path.iter();
        for (row, (nodes, node)) in self.rows.iter_mut().zip(climbed).enumerate() {
            let at = index >> row;
            nodes[at] = Some(*node);
            if let Some(sibling) = nodes.get_mut(at ^ 1) {
                *sibling = path.next().copied();
            }
        }
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
    fn proven_nodes_take_every_path_of_the_batch_in_any_order_and_no_other() {
        for count in 1..=BATCH_LEAVES_MAX as u8 {
            let ids = ids(count);
            let tree = BatchTree::new(&ids).unwrap();
            for step in [1, 37] {
                let mut proven = ProvenNodes::new(tree.root(), tree.size()).unwrap();
                for n in 0..usize::from(count) {
                    // 37 shares no factor with most sizes: the records come in disorder.
                    let place = n * step % usize::from(count);
                    let leaf = leaf_hash(ids[place].as_bytes());
                    let index = LeafIndex::new(place as u64);
                    let path = tree.path(index).unwrap();
                    assert!(!proven.prove(leaf_hash(b"another"), index, &path));
                    for flipped in 0..path.len() {
                        let mut wrong = path.clone();
                        wrong[flipped] = leaf;
                        assert!(!proven.prove(leaf, index, &wrong));
                    }
                    if let Some((_, shorter)) = path.split_last() {
                        assert!(!proven.prove(leaf, index, shorter));
                    }
                    assert!(!proven.prove(leaf, index, &[&path[..], &[leaf]].concat()));
                    assert!(!proven.prove(leaf, LeafIndex::new(u64::from(count)), &path));
                    assert!(proven.prove(leaf, index, &path));
                    assert!(proven.prove(leaf, index, &path));
                }
            }
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
