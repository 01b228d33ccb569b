//! Roots and proofs made from the hashes of complete subtrees (RFC 9162, sections 2.1.3.1 and
//! 2.1.4.1), wherever those are kept.
//!
//! Each function asks its source for O(log n) nodes. It never asks for a node that reaches beyond
//! the size it was given, so proofs for old heads can be made from a larger tree.

use super::hash::{EMPTY_ROOT, node_hash};
use super::proof::{ProofError, check_old_and_new, check_size};
use crate::ident::{LeafIndex, TreeHash, TreeSize};

/// A source of the hashes of complete subtrees.
pub trait NodeSource {
    type Error: std::error::Error + 'static;

    /// The root of the 2^`level` leaves that start at leaf `index` · 2^`level`; level 0 are the
    /// leaf hashes. `&mut` lets a source keep what it has just read.
    fn node(&mut self, level: u32, index: u64) -> Result<TreeHash, Self::Error>;
}

/// The reason why a root or proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E: std::error::Error + 'static> {
    /// The root or proof that was asked for cannot exist.
    #[error("no such proof")]
    Request(#[from] ProofError),
    /// The nodes could not be had.
    #[error("nodes of the tree are not available")]
    Source(#[source] E),
}

/// The root of the first `size` leaves.
pub fn root_at<S: NodeSource>(
    source: &mut S,
    size: TreeSize,
) -> Result<TreeHash, ProveError<S::Error>> {
    check_size(size)?;
    range_root(source, 0, size.get()).map_err(ProveError::Source)
}

/// The hashes that lead from the leaf at `index` to the root of the first `size` leaves, leaf to
/// root.
pub fn prove_inclusion<S: NodeSource>(
    source: &mut S,
    index: LeafIndex,
    size: TreeSize,
) -> Result<Vec<TreeHash>, ProveError<S::Error>> {
    check_size(size)?;
    if index.get() >= size.get() {
        return Err(ProofError::IndexBeyondSize { index, size }.into());
    }
    path_from(source, 0, index.get(), size.get()).map_err(ProveError::Source)
}

/// The hashes that show the first `old` leaves to be a prefix of the first `new`; none when both
/// are the same. `old` of 0 is refused, as it is by the verifier.
pub fn prove_consistency<S: NodeSource>(
    source: &mut S,
    old: TreeSize,
    new: TreeSize,
) -> Result<Vec<TreeHash>, ProveError<S::Error>> {
    check_old_and_new(old, new)?;
    if old == new {
        return Ok(Vec::new());
    }
    // From the largest complete subtree that ends with the old tree's last leaf. Where that is the
    // whole old tree, the verifier has its hash already.
    let level = old.get().trailing_zeros();
    let last = (old.get() - 1) >> level;
    let mut proof = Vec::new();
    if !old.get().is_power_of_two() {
        proof.push(source.node(level, last).map_err(ProveError::Source)?);
    }
    proof.extend(path_from(source, level, last, new.get()).map_err(ProveError::Source)?);
    Ok(proof)
}

/// The siblings on the way from the node at (`level`, `index`) up to the root of `size` leaves. A
/// node of the right edge without a sibling rises as it is and adds nothing.
fn path_from<S: NodeSource>(
    source: &mut S,
    level: u32,
    index: u64,
    size: u64,
) -> Result<Vec<TreeHash>, S::Error> {
    let height = u64::BITS - (size - 1).leading_zeros();
    (level..height)
        .map(|at| (at, index >> (at - level) ^ 1))
        .filter(|(at, sibling)| sibling << at < size)
        .map(|(at, sibling)| {
            let start = sibling << at;
            if size - start >= 1 << at {
                source.node(at, sibling)
            } else {
                range_root(source, start, size)
            }
        })
        .collect()
}

/// The root of the leaves `start..end`, where `start` is a multiple of the smallest power of two
/// that is not below their number: the complete subtrees are then as the bits of that number.
fn range_root<S: NodeSource>(source: &mut S, start: u64, end: u64) -> Result<TreeHash, S::Error> {
    let mut from = start;
    let mut subtrees = Vec::new();
    while from < end {
        let level = (end - from).ilog2();
        subtrees.push(source.node(level, from >> level)?);
        from += 1 << level;
    }
    let root = subtrees.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    Ok(root.unwrap_or(EMPTY_ROOT))
}
