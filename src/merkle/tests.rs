//! The module against other implementations, published vectors and accumulated constants.

mod notes;
mod oracle;
mod vectors;

use super::leaf_hash;
use crate::ident::TreeHash;

/// Leaf `n` is the hash of `n` as eight bytes, big-endian.
pub(super) fn leaves(count: u64) -> Vec<TreeHash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}
