//! The two hashes of the tree (RFC 9162, section 2.1.1) and the head that they lead to.
//!
//! The prefixes 0x00 and 0x01 are what keeps an inner node from passing for a leaf. No other hash
//! of this product may start with either byte.

use sha2::{Digest, Sha256};

use super::frontier::Frontier;
use crate::ident::{TreeHash, TreeSize};

const LEAF_PREFIX: [u8; 1] = [0x00];
const NODE_PREFIX: [u8; 1] = [0x01];

/// The largest tree size that is accepted from outside or signed: 2^63 - 1, because other
/// implementations keep sizes in signed 64-bit integers.
pub const TREE_SIZE_MAX: TreeSize = TreeSize::new(i64::MAX as u64);

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: TreeHash = TreeHash::from_bytes([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// A tree's size together with its root hash: all that a proof is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHead {
    pub size: TreeSize,
    pub root: TreeHash,
}

impl TreeHead {
    pub const EMPTY: Self = Self { size: TreeSize::new(0), root: EMPTY_ROOT };
}

/// SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> TreeHash {
    finish(Sha256::new().chain_update(LEAF_PREFIX).chain_update(entry))
}

/// SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    let mut node = [0; 1 + 2 * TreeHash::BYTES];
    node[..1].copy_from_slice(&NODE_PREFIX);
    node[1..=TreeHash::BYTES].copy_from_slice(left.as_bytes());
    node[1 + TreeHash::BYTES..].copy_from_slice(right.as_bytes());
    finish(Sha256::new().chain_update(node))
}

/// The root over leaf hashes that are all at hand; [`EMPTY_ROOT`] for none.
pub fn root_of(leaves: &[TreeHash]) -> TreeHash {
    leaves.iter().copied().collect::<Frontier>().root()
}

fn finish(hasher: Sha256) -> TreeHash {
    TreeHash::from_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(finish(Sha256::new()), EMPTY_ROOT);
        assert_eq!(root_of(&[]), EMPTY_ROOT);
    }

    #[test]
    fn a_leaf_over_two_hashes_is_not_the_node_over_them() {
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let joined = [left.as_bytes().as_slice(), right.as_bytes()].concat();
        assert_ne!(leaf_hash(&joined), node_hash(&left, &right));
    }

    #[test]
    fn the_root_of_one_leaf_is_that_leaf() {
        assert_eq!(root_of(&[leaf_hash(b"")]), leaf_hash(b""));
        assert_eq!(
            leaf_hash(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }
}
