//! One log: its leaf file and its tree, shared by the writer and all readers.

use super::JournalError;
use crate::ident::{LeafIndex, TreeHash, TreeSize};
use crate::merkle::{Frontier, TileTree, TreeHead};
use crate::store::{LeafFile, LeafRecord, Position};
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Leaf hashes read at once when a tree is built again: 128 KiB.
const CHUNK: u64 = 4_096;

/// The journal, or the feed to one partner.
#[derive(Debug)]
pub struct Log {
    leaves: LeafFile,
    tree: RwLock<TileTree>,
}

impl Log {
    /// Opens the leaf file and builds the tree over it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let leaves = LeafFile::open(path)?;
        let mut tree = TileTree::new();
        let len = leaves.len();
        for start in (0..len).step_by(CHUNK as usize) {
            for hash in leaves.hashes(start..len.min(start + CHUNK))? {
                tree.push(hash);
            }
        }
        Ok(Self { leaves, tree: RwLock::new(tree) })
    }

    /// Cuts the log to its first `size` leaves.
    pub fn truncate(&self, size: u64) -> Result<(), JournalError> {
        self.leaves.truncate(size)?;
        let mut tree = TileTree::new();
        for start in (0..size).step_by(CHUNK as usize) {
            for hash in self.leaves.hashes(start..size.min(start + CHUNK))? {
                tree.push(hash);
            }
        }
        *self.write() = tree;
        Ok(())
    }

    /// Shows new leaves to readers.
    pub fn append(&self, leaves: &[LeafRecord]) -> Result<(), JournalError> {
        self.leaves.append(leaves)?;
        let mut tree = self.write();
        leaves.iter().for_each(|(hash, _)| tree.push(*hash));
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, TileTree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, TileTree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn size(&self) -> u64 {
        self.read().size().get()
    }

    pub fn head(&self) -> TreeHead {
        self.read().head()
    }

    pub fn frontier(&self) -> Frontier {
        self.read().frontier().clone()
    }

    pub fn position(&self, index: u64) -> Result<Position, JournalError> {
        Ok(self.leaves.position(index)?)
    }

    pub fn positions(&self, range: std::ops::Range<u64>) -> Result<Vec<LeafRecord>, JournalError> {
        Ok(self.leaves.records(range)?)
    }

    pub fn root_at(&self, size: u64) -> Result<TreeHash, JournalError> {
        self.read().root_at(&self.leaves, TreeSize::new(size)).map_err(proof_failed)
    }

    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<TreeHash>, JournalError> {
        self.read()
            .inclusion(&self.leaves, LeafIndex::new(index), TreeSize::new(size))
            .map_err(proof_failed)
    }

    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<TreeHash>, JournalError> {
        self.read()
            .consistency(&self.leaves, TreeSize::new(old), TreeSize::new(new))
            .map_err(proof_failed)
    }
}

fn proof_failed(error: impl std::fmt::Display) -> JournalError {
    JournalError::Index(error.to_string())
}
