//! The leaf file of one log: where each entry lies and what its leaf hash is, by leaf index.
//!
//! Derived from the segments and therefore not synced on the commit path: after a power cut its
//! tail may be missing or wrong. The caller compares the root over it with the last checkpoint and
//! writes it again from the segments if they differ. It is written after the segments were synced, so
//! it is never longer than they are: where it is, they lost something ([`LeafReach`]).

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::StoreError;
use super::lock::FILE_MODE;
use super::position::Position;
use crate::ident::TreeHash;

/// Leaf hash, then the packed position of the entry, u64 little endian.
const RECORD_BYTES: usize = TreeHash::BYTES + 8;

/// Records read or written at once: 160 kB.
const CHUNK_RECORDS: u64 = 4_096;

/// The ending of a leaf file's name.
pub const LEAF_EXTENSION: &str = "leaves";

/// A leaf hash and where its entry lies.
pub type LeafRecord = (TreeHash, Position);

/// Shared by one writer and any number of readers; an append is visible when it returns.
#[derive(Debug)]
pub struct LeafFile {
    file: File,
    path: PathBuf,
    /// Published after the write.
    len: AtomicU64,
    writing: Mutex<()>,
}

/// The reach of a leaf file, read without changing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafReach {
    /// The name of the file, which names its log.
    pub name: String,
    /// Whole leaves in it.
    pub leaves: u64,
    /// The position of the entry of the last leaf.
    pub last: Option<Position>,
}

impl LeafReach {
    /// The reach of each leaf file in a directory, by name.
    pub fn all(dir: &Path) -> Result<Vec<Self>, StoreError> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
            let path = entry.map_err(StoreError::io("list", dir))?.path();
            if path.extension().is_some_and(|extension| extension == LEAF_EXTENSION) {
                all.push(Self::of(&path).map_err(StoreError::io("read", &path))?);
            }
        }
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn of(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let leaves = file.metadata()?.len() / RECORD_BYTES as u64;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(last) = leaves.checked_sub(1) else {
            return Ok(Self { name, leaves, last: None });
        };
        let mut record = [0; RECORD_BYTES];
        file.read_exact_at(&mut record, last * RECORD_BYTES as u64)?;
        Ok(Self { name, leaves, last: parse(&record).map(|(_, position)| position) })
    }
}

impl LeafFile {
    /// Opens or creates the file; a last record that is not whole is cut off.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(FILE_MODE)
            .open(path)
            .map_err(StoreError::io("open", path))?;
        let bytes = file.metadata().map_err(StoreError::io("examine", path))?.len();
        let leaves = Self {
            file,
            path: path.to_owned(),
            len: AtomicU64::new(bytes / RECORD_BYTES as u64),
            writing: Mutex::default(),
        };
        leaves.truncate(leaves.len())?;
        Ok(leaves)
    }

    /// The number of leaves.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn append(&self, records: &[LeafRecord]) -> Result<(), StoreError> {
        let _writing = self.lock();
        let mut len = self.len();
        let mut bytes = Vec::new();
        for chunk in records.chunks(CHUNK_RECORDS as usize) {
            bytes.clear();
            for (hash, position) in chunk {
                bytes.extend_from_slice(hash.as_bytes());
                bytes.extend_from_slice(&position.pack().to_le_bytes());
            }
            self.file
                .write_all_at(&bytes, len * RECORD_BYTES as u64)
                .map_err(StoreError::io("append to", &self.path))?;
            len += chunk.len() as u64;
        }
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    /// Keeps the first `len` leaves; nothing happens if there are fewer.
    pub fn truncate(&self, len: u64) -> Result<(), StoreError> {
        let _writing = self.lock();
        if len > self.len() {
            return Ok(());
        }
        self.len.store(len, Ordering::Release);
        self.file.set_len(len * RECORD_BYTES as u64).map_err(StoreError::io("truncate", &self.path))
    }

    /// The leaf hashes of a range; the caller bounds it.
    pub fn hashes(&self, range: Range<u64>) -> Result<Vec<TreeHash>, StoreError> {
        let mut hashes = Vec::with_capacity(range.end.saturating_sub(range.start) as usize);
        self.each(range, |(hash, _)| hashes.push(hash))?;
        Ok(hashes)
    }

    /// Leaf hashes and positions of a range; the caller bounds it.
    pub fn records(&self, range: Range<u64>) -> Result<Vec<LeafRecord>, StoreError> {
        let mut records = Vec::with_capacity(range.end.saturating_sub(range.start) as usize);
        self.each(range, |record| records.push(record))?;
        Ok(records)
    }

    /// Returns the position in the segments of a leaf's entry.
    pub fn position(&self, index: u64) -> Result<Position, StoreError> {
        let mut found = Position::START;
        self.each(index..index.saturating_add(1), |(_, position)| found = position)?;
        Ok(found)
    }

    /// Makes the file durable, so that less is written again after the next start.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))
    }

    fn each(&self, range: Range<u64>, mut visit: impl FnMut(LeafRecord)) -> Result<(), StoreError> {
        let len = self.len();
        let Range { start, end } = range;
        if start > end || end > len {
            return Err(StoreError::LeafRange { path: self.path.clone(), len, start, end });
        }
        let mut bytes = vec![0; (end - start).min(CHUNK_RECORDS) as usize * RECORD_BYTES];
        let mut next = start;
        while next < end {
            let count = (end - next).min(CHUNK_RECORDS);
            bytes.truncate(count as usize * RECORD_BYTES);
            self.file
                .read_exact_at(&mut bytes, next * RECORD_BYTES as u64)
                .map_err(StoreError::io("read", &self.path))?;
            let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
            records.iter().filter_map(parse).for_each(&mut visit);
            next += count;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Always `Some`: the two parts make up the whole record.
fn parse(record: &[u8; RECORD_BYTES]) -> Option<LeafRecord> {
    let (hash, position) = record.split_first_chunk::<{ TreeHash::BYTES }>()?;
    let position = u64::from_le_bytes(position.try_into().ok()?);
    Some((TreeHash::from_bytes(*hash), Position::unpack(position)))
}

impl crate::merkle::LeafHashes for LeafFile {
    type Error = StoreError;

    fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<TreeHash>, StoreError> {
        self.hashes(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: u64) -> LeafRecord {
        (TreeHash::from_bytes([n as u8; 32]), Position { segment: 1, offset: n as u32 })
    }

    #[test]
    fn leaves_read_back_by_index_and_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.leaves");
        let leaves = LeafFile::open(&path).unwrap();
        let all: Vec<_> = (0..10_000).map(record).collect();
        leaves.append(&all[..1]).unwrap();
        leaves.append(&all[1..]).unwrap();
        assert_eq!(leaves.records(0..10_000).unwrap(), all);
        drop(leaves);
        let leaves = LeafFile::open(&path).unwrap();
        assert_eq!(leaves.len(), 10_000);
        assert_eq!(leaves.position(9_999).unwrap(), all[9_999].1);
        assert_eq!(
            leaves.hashes(4_095..4_098).unwrap(),
            [all[4_095].0, all[4_096].0, all[4_097].0]
        );
        assert!(leaves.hashes(7..7).unwrap().is_empty());
    }

    #[test]
    fn a_range_beyond_the_end_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let leaves = LeafFile::open(&dir.path().join("l")).unwrap();
        leaves.append(&[record(0)]).unwrap();
        assert!(matches!(leaves.hashes(0..2), Err(StoreError::LeafRange { len: 1, .. })));
        assert!(leaves.position(u64::MAX).is_err());
    }

    #[test]
    fn a_half_written_leaf_is_cut_off_and_truncation_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let leaves = LeafFile::open(&path).unwrap();
        leaves.append(&[record(0), record(1), record(2)]).unwrap();
        drop(leaves);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(119).unwrap();
        let leaves = LeafFile::open(&path).unwrap();
        assert_eq!(leaves.len(), 2);
        leaves.truncate(1).unwrap();
        leaves.truncate(5).unwrap();
        leaves.append(&[record(9)]).unwrap();
        assert_eq!(leaves.records(0..2).unwrap(), [record(0), record(9)]);
    }

    #[test]
    fn readers_on_other_threads_see_whole_appends() {
        let dir = tempfile::tempdir().unwrap();
        let leaves = LeafFile::open(&dir.path().join("l")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..2_000).for_each(|n| leaves.append(&[record(n)]).unwrap()));
            while leaves.len() < 2_000 {
                let len = leaves.len();
                let last = leaves.records(len.saturating_sub(3)..len).unwrap();
                assert!(last.iter().all(|(hash, at)| hash.as_bytes()[0] == at.offset as u8));
            }
        });
    }
}
