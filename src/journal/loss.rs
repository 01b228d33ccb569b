//! Entries that were acknowledged once and are not in the segments any more.
//!
//! Leaf files and index are written after the sync of a batch returned, so none of them is ever ahead
//! of the segments, whatever a crash or a power cut leaves of them. Where one is ahead, the segments
//! lost something: by damage to the last commit, a cut, or an older copy of the segments alone. Such a
//! node must not go on: it would sign another root for a size that it signed before.
//!
//! What was found is kept in a file of its own, so that it is not forgotten with the files that showed
//! it. Only the newest copy of the segments, or a succession of the logs, makes it void.

use super::JournalError;
use super::state::keys;
use crate::merkle::Shortfall;
use crate::store::{Index, LEAF_EXTENSION, LeafReach, Position, StoreError, Table};
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// The file that keeps a loss, in the directory of the store.
pub const LOSS_FILE: &str = "loss";
/// The first line of that file.
const LOSS_TITLE: &str = "liaison/loss/v1";
/// More bytes than the file ever has.
const LOSS_BYTES_MAX: u64 = 1_024;
/// The leaf file of the journal.
pub(super) const JOURNAL_LEAVES: &str = "journal.leaves";

/// A journal that is shorter than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Entries that were acknowledged, at least.
    pub recorded: u64,
    /// Entries that are left in the segments.
    pub left: u64,
    /// The file that shows it.
    pub witness: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, left, witness } = self;
        write!(
            f,
            "the segments end after {left} entries of the journal, but {witness} was written when at least \
             {recorded} were acknowledged: the rest is damaged or gone. Nothing was changed. Bring back the \
             newest copy of the directory; if there is none, let the logs be succeeded with `liaison store \
             succeed`"
        )
    }
}

impl Loss {
    /// Compares the end of the segments with everything that is written after them.
    pub(super) fn find(
        dir: &Path,
        end: Position,
        left: u64,
        index: Option<&Index>,
    ) -> Result<Option<Self>, JournalError> {
        let mut found: Option<Self> = None;
        let mut add = |recorded: u64, witness: &str| {
            if found.as_ref().is_none_or(|found| found.recorded < recorded) {
                found = Some(Self { recorded, left, witness: witness.to_owned() });
            }
        };
        for reach in LeafReach::all(dir)? {
            if reach.name == JOURNAL_LEAVES && Shortfall::of(reach.leaves, left).is_some() {
                add(reach.leaves, &reach.name);
            } else if reach.last.is_some_and(|last| last >= end) {
                // A feed grows together with the journal, by one entry at least.
                add(left + 1, &reach.name);
            }
        }
        if let Some(index) = index
            && index.watermark()?.is_some_and(|watermark| watermark > end)
        {
            let counted = index.read(Table::Meta, keys::COUNT_KEY)?;
            let counted = counted.and_then(|value| keys::counted_entries(&value));
            add(counted.unwrap_or_default().max(left + 1), "the index");
        }
        if let Some(kept) = Self::kept(dir)?
            && Shortfall::of(kept.recorded, left).is_some()
        {
            add(kept.recorded, &kept.witness);
        }
        Ok(found)
    }

    /// The loss that was found at an earlier start.
    fn kept(dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = dir.join(LOSS_FILE);
        let text = match File::open(&path) {
            Ok(file) => io::read_to_string(io::Read::take(file, LOSS_BYTES_MAX)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        let text = text.map_err(StoreError::io("read", &path))?;
        let parsed = parse(&text);
        let unreadable = || {
            let found = format!("{} is not a note of a loss: {text:?}", path.display());
            JournalError::Index(found)
        };
        parsed.ok_or_else(unreadable).map(Some)
    }

    /// Keeps it, durably.
    pub(super) fn keep(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(LOSS_FILE);
        let Self { recorded, left, witness } = self;
        let text = format!("{LOSS_TITLE}\nrecorded {recorded}\nleft {left}\nwitness {witness}\n");
        let new = dir.join(format!("{LOSS_FILE}.new"));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        });
        written.map_err(StoreError::io("write", &path))
    }

    /// Forgets what was kept: the segments are whole, or a succession lists what was lost.
    pub fn forget(dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(LOSS_FILE);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("remove", &path)(error)),
        }
    }
}

fn parse(text: &str) -> Option<Loss> {
    let mut lines = text.lines();
    (lines.next()? == LOSS_TITLE).then_some(())?;
    let recorded = lines.next()?.strip_prefix("recorded ")?.parse().ok()?;
    let left = lines.next()?.strip_prefix("left ")?.parse().ok()?;
    let witness = lines.next()?.strip_prefix("witness ")?.to_owned();
    lines.next().is_none().then_some(Loss { recorded, left, witness })
}

/// Removes every leaf file; they are made again from the segments.
pub(super) fn remove_leaves(dir: &Path) -> Result<(), StoreError> {
    let entries = std::fs::read_dir(dir).map_err(StoreError::io("list", dir))?;
    for entry in entries {
        let path = entry.map_err(StoreError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == LEAF_EXTENSION) {
            std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_loss_reads_back_and_other_bytes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Loss::kept(dir.path()).unwrap(), None);
        let loss = Loss { recorded: 70, left: 64, witness: JOURNAL_LEAVES.to_owned() };
        loss.keep(dir.path()).unwrap();
        assert_eq!(Loss::kept(dir.path()).unwrap(), Some(loss));
        std::fs::write(dir.path().join(LOSS_FILE), "recorded 70").unwrap();
        assert!(Loss::kept(dir.path()).is_err());
        Loss::forget(dir.path()).unwrap();
        Loss::forget(dir.path()).unwrap();
        assert_eq!(Loss::kept(dir.path()).unwrap(), None);
    }
}
