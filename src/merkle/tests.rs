//! The module against other implementations, published vectors and accumulated constants.

mod notes;
mod oracle;
mod tiles;
mod vectors;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use super::{NodeSource, leaf_hash, node_hash};
use crate::ident::TreeHash;

/// Leaf `n` is the hash of `n` as eight bytes, big-endian.
pub(super) fn leaves(count: u64) -> Vec<TreeHash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// The folder of shared data, if this checkout has one.
pub(super) fn shared(folder: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let root = std::env::var_os("LIAISON_SHARED_DATA").map_or_else(beside, PathBuf::from);
    Some(root.join("vectors").join(folder)).filter(|path| path.is_dir())
}

/// Every complete subtree, by level and index: the plainest source of nodes.
#[derive(Default)]
struct Levels(Vec<Vec<TreeHash>>);

impl Levels {
    fn push(&mut self, leaf: TreeHash) {
        let mut node = leaf;
        for level in 0.. {
            if level == self.0.len() {
                self.0.push(Vec::new());
            }
            let row = &mut self.0[level];
            row.push(node);
            if row.len() % 2 == 1 {
                return;
            }
            node = node_hash(&row[row.len() - 2], &node);
        }
    }
}

impl NodeSource for Levels {
    type Error = Infallible;

    fn node(&mut self, level: u32, index: u64) -> Result<TreeHash, Infallible> {
        Ok(self.0[level as usize][index as usize])
    }
}
