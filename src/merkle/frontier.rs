//! The right edge of a tree: enough to append and to know the root, in O(log n) memory.
//!
//! It holds one hash per set bit of the size, the largest complete subtree first (the "compact
//! range" [0, n)). It never holds a leaf and can prove nothing about one.

use super::hash::{EMPTY_ROOT, TREE_SIZE_MAX, TreeHead, node_hash};
use crate::ident::{TreeHash, TreeSize};

/// The reason why stored hashes are not a frontier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    #[error("a tree of {size} leaves has {expected} hashes on its right edge, found {found}")]
    Length { size: TreeSize, expected: usize, found: usize },
    #[error("tree size {0} is above {TREE_SIZE_MAX}")]
    Size(TreeSize),
}

/// The right edge of a tree of `size` leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first; as many as `size` has set bits.
    hashes: Vec<TreeHash>,
}

impl Frontier {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back what [`Frontier::to_hashes`] gave; exactly one hash per set bit of `size`.
    pub fn from_hashes(size: TreeSize, hashes: Vec<TreeHash>) -> Result<Self, FrontierError> {
        if size > TREE_SIZE_MAX {
            return Err(FrontierError::Size(size));
        }
        let expected = size.get().count_ones() as usize;
        if hashes.len() != expected {
            return Err(FrontierError::Length { size, expected, found: hashes.len() });
        }
        Ok(Self { size: size.get(), hashes })
    }

    /// The hashes of the right edge, largest complete subtree first; at most 63.
    pub fn to_hashes(&self) -> &[TreeHash] {
        &self.hashes
    }

    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.size)
    }

    pub fn root(&self) -> TreeHash {
        self.hashes
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or(EMPTY_ROOT)
    }

    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size(), root: self.root() }
    }

    /// Appends a leaf: one hash on average, 63 at most. Nobody can push often enough to get beyond
    /// [`TREE_SIZE_MAX`]; a checkpoint of such a size would be refused.
    pub fn push(&mut self, leaf: TreeHash) {
        self.push_reporting(leaf, |_, _| {});
    }

    /// Appends a leaf and reports every inner node that it completes, with its level (a leaf's is
    /// 0), from the lowest up. The node's index at that level is the new size shifted right by the
    /// level, less one.
    pub(super) fn push_reporting(
        &mut self,
        leaf: TreeHash,
        mut completed: impl FnMut(u32, TreeHash),
    ) {
        let merged = self.size.trailing_ones();
        let kept = self.hashes.len() - merged as usize;
        let lefts = self.hashes.drain(kept..).rev();
        let node = lefts.zip(1..).fold(leaf, |right, (left, level)| {
            let node = node_hash(&left, &right);
            completed(level, node);
            node
        });
        self.hashes.push(node);
        self.size += 1;
    }
}

impl Extend<TreeHash> for Frontier {
    fn extend<I: IntoIterator<Item = TreeHash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<TreeHash> for Frontier {
    fn from_iter<I: IntoIterator<Item = TreeHash>>(leaves: I) -> Self {
        let mut frontier = Self::new();
        frontier.extend(leaves);
        frontier
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::tests::leaves;
    use proptest::prelude::*;

    #[test]
    fn every_other_number_of_hashes_is_refused() {
        let hashes = leaves(8);
        for size in 0..=255_u64 {
            for count in 0..=hashes.len() {
                let made =
                    Frontier::from_hashes(TreeSize::new(size), hashes[..count].to_vec()).is_ok();
                assert_eq!(made, count == size.count_ones() as usize);
            }
        }
    }

    #[test]
    fn a_size_above_the_maximum_is_refused() {
        let size = TreeSize::new(1 << 63);
        assert_eq!(Frontier::from_hashes(size, leaves(1)), Err(FrontierError::Size(size)));
    }

    proptest! {
        #[test]
        fn a_frontier_taken_apart_and_put_together_goes_on_as_if_nothing_was(
            first in 0..600_u64, second in 0..600_u64,
        ) {
            let all = leaves(first + second);
            let (before, after) = all.split_at(first as usize);
            let half: Frontier = before.iter().copied().collect();
            let mut back = Frontier::from_hashes(half.size(), half.to_hashes().to_vec()).unwrap();
            prop_assert_eq!(&back, &half);
            back.extend(after.iter().copied());
            prop_assert_eq!(back, all.into_iter().collect::<Frontier>());
        }
    }
}
