//! The tree against another implementation, the published vectors and accumulated constants.

use super::*;
use crate::ident::TreeHash;

/// Leaf `n` is the hash of `n` as eight bytes, big-endian.
pub(super) fn leaves(count: u64) -> Vec<TreeHash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}
