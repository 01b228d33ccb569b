//! Inclusion and consistency proofs, verified (RFC 9162, sections 2.1.3.2 and 2.1.4.2).
//!
//! The exact number of hashes follows from the indexes alone and is checked before any hash is
//! looked at. A proof is split at the level where the leaf's path leaves the right edge of the
//! tree: below it ("inner") the bits of the index say on which side a sibling stands; above it
//! ("border") the tree is missing the right siblings and every hash stands on the left.
//!
//! Hashes are compared as public values: roots and proofs are not secrets.

use super::hash::{TREE_SIZE_MAX, TreeHead, node_hash};
use crate::ident::{LeafIndex, TreeHash, TreeSize};

/// Most hashes that any proof can have. The longest inclusion proof for sizes up to
/// [`TREE_SIZE_MAX`] has 63, the longest consistency proof (from 2^63 - 3 to 2^63 - 1) has 64.
pub const PROOF_HASHES_MAX: usize = 64;

/// The reason why a proof fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("leaf index {index} lies outside a tree of {size} leaves")]
    IndexBeyondSize { index: LeafIndex, size: TreeSize },
    #[error("tree size {0} is above {TREE_SIZE_MAX}")]
    SizeTooLarge(TreeSize),
    #[error("old tree of {old} leaves is larger than the new one of {new}")]
    OldTreeLarger { old: TreeSize, new: TreeSize },
    #[error("nothing can be proved from a tree without leaves")]
    OldTreeEmpty,
    #[error("a proof of {expected} hashes is wanted, found {found}")]
    Length { expected: usize, found: usize },
    #[error("proof leads to root {computed} of the {which} tree, not to {wanted}")]
    Root { which: WhichTree, computed: TreeHash, wanted: TreeHash },
}

/// WhichTree tree's root a proof did not lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichTree {
    Old,
    New,
}

impl std::fmt::Display for WhichTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// Checks that the leaf stands at `index` in the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: LeafIndex,
    size: TreeSize,
    path: &[TreeHash],
    root: &TreeHash,
) -> Result<(), ProofError> {
    expect_root(WhichTree::New, root_from_inclusion(leaf, index, size, path)?, root)
}

/// The root that a leaf and its path, leaf to root, lead to. It proves something only once it is
/// compared with a root, or checked against a signature over one.
pub fn root_from_inclusion(
    leaf: &TreeHash,
    index: LeafIndex,
    size: TreeSize,
    path: &[TreeHash],
) -> Result<TreeHash, ProofError> {
    check_size(size)?;
    if index.get() >= size.get() {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let shape = Shape::of(index.get(), size.get());
    check_length(shape.inner + shape.border, path)?;
    let (inner, border) = path.split_at(shape.inner);
    let at_border = climb(*leaf, index.get(), inner);
    Ok(climb_border(at_border, border))
}

/// Checks that the new tree begins with all the leaves of the old one, in their order.
///
/// Trees of one size need an empty proof and equal roots. An old tree without leaves is refused:
/// everything extends it, so there is nothing to prove, and whoever wants to allow that says so
/// itself.
pub fn verify_consistency(
    old: &TreeHead,
    new: &TreeHead,
    proof: &[TreeHash],
) -> Result<(), ProofError> {
    check_old_and_new(old.size, new.size)?;
    if old.size == new.size {
        check_length(0, proof)?;
        return expect_root(WhichTree::New, new.root, &old.root);
    }
    // The path of the old tree's last leaf, from the largest complete subtree that ends with it.
    let (last, level) = (old.size.get() - 1, old.size.get().trailing_zeros());
    let shape = Shape::of(last, new.size.get());
    let inner_count = shape.inner - level as usize;
    let old_is_one_subtree = old.size.get().is_power_of_two();
    let expected = usize::from(!old_is_one_subtree) + inner_count + shape.border;
    check_length(expected, proof)?;

    let (seed, path) = match proof.split_first() {
        Some((first, rest)) if !old_is_one_subtree => (*first, rest),
        _ => (old.root, proof),
    };
    let (inner, border) = path.split_at(inner_count);
    let old_root = climb_border(climb_left_siblings(seed, last >> level, inner), border);
    let new_root = climb_border(climb(seed, last >> level, inner), border);
    expect_root(WhichTree::Old, old_root, &old.root)?;
    expect_root(WhichTree::New, new_root, &new.root)
}

pub(super) fn check_size(size: TreeSize) -> Result<(), ProofError> {
    if size > TREE_SIZE_MAX { Err(ProofError::SizeTooLarge(size)) } else { Ok(()) }
}

pub(super) fn check_old_and_new(old: TreeSize, new: TreeSize) -> Result<(), ProofError> {
    check_size(new)?;
    if old > new {
        return Err(ProofError::OldTreeLarger { old, new });
    }
    if old.get() == 0 {
        return Err(ProofError::OldTreeEmpty);
    }
    Ok(())
}

fn check_length(expected: usize, proof: &[TreeHash]) -> Result<(), ProofError> {
    if proof.len() == expected {
        Ok(())
    } else {
        Err(ProofError::Length { expected, found: proof.len() })
    }
}

fn expect_root(which: WhichTree, computed: TreeHash, wanted: &TreeHash) -> Result<(), ProofError> {
    if computed == *wanted {
        Ok(())
    } else {
        Err(ProofError::Root { which, computed, wanted: *wanted })
    }
}

/// The numbers of hashes in an inclusion path below and above the point where it joins the right
/// edge of the tree.
struct Shape {
    inner: usize,
    border: usize,
}

impl Shape {
    /// Needs `index < size <= TREE_SIZE_MAX`, so that `inner` is at most 63.
    fn of(index: u64, size: u64) -> Self {
        let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
        Self { inner: inner as usize, border: (index >> inner).count_ones() as usize }
    }
}

/// Joins siblings on the side that the bits of `index`, lowest first, tell.
fn climb(seed: TreeHash, index: u64, siblings: &[TreeHash]) -> TreeHash {
    siblings.iter().enumerate().fold(seed, |node, (level, sibling)| {
        if index >> level & 1 == 0 { node_hash(&node, sibling) } else { node_hash(sibling, &node) }
    })
}

/// Like [`climb`], but without the siblings on the right, which the old tree did not have.
fn climb_left_siblings(seed: TreeHash, index: u64, siblings: &[TreeHash]) -> TreeHash {
    siblings
        .iter()
        .enumerate()
        .filter(|(level, _)| index >> level & 1 == 1)
        .fold(seed, |node, (_, sibling)| node_hash(sibling, &node))
}

fn climb_border(seed: TreeHash, siblings: &[TreeHash]) -> TreeHash {
    siblings.iter().fold(seed, |node, sibling| node_hash(sibling, &node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::root_of;
    use crate::merkle::tests::leaves;

    fn head(size: u64, root: TreeHash) -> TreeHead {
        TreeHead { size: TreeSize::new(size), root }
    }

    #[test]
    fn the_longest_proofs_are_within_the_stated_maximum() {
        let (old, new) = (TREE_SIZE_MAX.get() - 2, TREE_SIZE_MAX.get());
        let any = leaves(1)[0];
        let refused = verify_consistency(&head(old, any), &head(new, any), &[]);
        assert_eq!(refused, Err(ProofError::Length { expected: PROOF_HASHES_MAX, found: 0 }));
        let refused = root_from_inclusion(&any, LeafIndex::new(0), TREE_SIZE_MAX, &[]);
        assert_eq!(refused, Err(ProofError::Length { expected: 63, found: 0 }));
    }

    #[test]
    fn sizes_above_the_maximum_and_indexes_outside_are_refused() {
        let any = leaves(1)[0];
        let path = vec![any; 64];
        for size in [1 << 63, u64::MAX] {
            let size = TreeSize::new(size);
            let refused = root_from_inclusion(&any, LeafIndex::new(0), size, &path);
            assert_eq!(refused, Err(ProofError::SizeTooLarge(size)));
            let refused = verify_consistency(&head(1, any), &TreeHead { size, root: any }, &path);
            assert_eq!(refused, Err(ProofError::SizeTooLarge(size)));
        }
        for (index, size) in [(0, 0), (1, 1), (7, 7), (u64::MAX, 7)] {
            let (index, size) = (LeafIndex::new(index), TreeSize::new(size));
            let refused = root_from_inclusion(&any, index, size, &[]);
            assert_eq!(refused, Err(ProofError::IndexBeyondSize { index, size }));
        }
    }

    #[test]
    fn a_tree_is_consistent_with_itself_only_through_an_empty_proof() {
        let all = leaves(5);
        let (five, other) = (head(5, root_of(&all)), head(5, all[0]));
        assert_eq!(verify_consistency(&five, &five, &[]), Ok(()));
        assert_eq!(
            verify_consistency(&five, &five, &all[..1]),
            Err(ProofError::Length { expected: 0, found: 1 })
        );
        assert!(matches!(
            verify_consistency(&other, &five, &[]),
            Err(ProofError::Root { which: WhichTree::New, .. })
        ));
    }

    #[test]
    fn an_empty_old_tree_and_a_larger_old_tree_are_refused() {
        let five = head(5, root_of(&leaves(5)));
        let refused = verify_consistency(&TreeHead::EMPTY, &five, &[]);
        assert_eq!(refused, Err(ProofError::OldTreeEmpty));
        let refused = verify_consistency(&TreeHead::EMPTY, &TreeHead::EMPTY, &[]);
        assert_eq!(refused, Err(ProofError::OldTreeEmpty));
        assert!(matches!(
            verify_consistency(&five, &head(4, root_of(&leaves(4))), &[]),
            Err(ProofError::OldTreeLarger { .. })
        ));
    }
}
