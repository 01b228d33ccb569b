//! The index in sled 0.34: one tree whose keys begin with the table's number.
//!
//! One tree, because sled makes only the batches of one tree atomic. sled's memory under load has no
//! bound of its own: with its default log segments it passed 20 GB before a million records. Small segments
//! and small batches, each flushed, are what brings it down. sled may panic on a damaged file, so
//! opening catches that; the caller then rebuilds.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::engine::{
    Change, EngineScan, EngineSize, IndexEngine, KeyRange, Order, Table, decode_watermark,
    encode_watermark,
};
use super::error::StoreError;
use super::position::Position;

const NAME: &str = "sled";

/// sled's page cache. It is a soft bound: sled evicts to it only as pages are touched.
const CACHE_BYTES: u64 = 8 << 20;

/// Bytes of sled's log segments and write buffers; memory under load grows with it (100,000
/// records: 3.9 GB with the default of 512 KiB, 0.2 GB with this), but not only with it.
const LOG_SEGMENT_BYTES: usize = 64 << 10;

/// Changes applied between two flushes.
const BATCH_CHANGES_MAX: usize = 1_000;

/// The longest time for a dropped database to release its file.
const RELEASE_MS_MAX: u32 = 5_000;

/// Sorts after every table.
const WATERMARK_KEY: [u8; 1] = [0xFF];

/// Keys that fit here are prefixed with the table's number without an allocation.
const SHORT_KEY_BYTES: usize = 64;

pub(super) struct SledEngine {
    db: sled::Db,
    format: u32,
}

impl SledEngine {
    pub(super) fn open(dir: &Path, format: u32) -> Result<Self, StoreError> {
        await_release(&dir.join("db"));
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(LOG_SEGMENT_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None);
        let db = catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| StoreError::engine(NAME, "it panicked while opening its file"))?
            .map_err(failed)?;
        Ok(Self { db, format })
    }
}

/// A database that was dropped in this process keeps its file, and the lock on it, until sled's
/// own threads are done. Waits for that; whoever still holds it after [`RELEASE_MS_MAX`] is left
/// for sled to complain about.
fn await_release(file: &Path) {
    let Ok(file) = File::open(file) else { return };
    for _ in 0..RELEASE_MS_MAX {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::engine(NAME, error)
}

fn with_table<T>(table: Table, key: &[u8], then: impl FnOnce(&[u8]) -> T) -> T {
    let mut short = [0; 1 + SHORT_KEY_BYTES];
    short[0] = table as u8;
    if let Some(room) = short.get_mut(1..=key.len()) {
        room.copy_from_slice(key);
        return then(&short[..=key.len()]);
    }
    then(&[&[table as u8], key].concat())
}

impl IndexEngine for SledEngine {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = with_table(table, key, |key| self.db.get(key)).map_err(failed)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, range: &KeyRange, order: Order) -> EngineScan<'static> {
        let start = with_table(table, range.start(), <[u8]>::to_vec);
        let end = match range.end() {
            Some(end) => with_table(table, end, <[u8]>::to_vec),
            None => vec![table as u8 + 1],
        };
        if start >= end {
            return Box::new(std::iter::empty());
        }
        let pair = |found: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, value) = found.map_err(failed)?;
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
        };
        let found = self.db.range(start..end);
        match order {
            Order::Ascending => Box::new(found.map(pair)),
            Order::Descending => Box::new(found.rev().map(pair)),
        }
    }

    fn apply(&self, changes: &[&Change], watermark: Position) -> Result<(), StoreError> {
        for some in changes.chunks(BATCH_CHANGES_MAX) {
            let mut batch = sled::Batch::default();
            for change in some {
                let key = with_table(change.table, &change.key, |key| sled::IVec::from(key));
                match &change.value {
                    Some(value) => batch.insert(key, &value[..]),
                    None => batch.remove(key),
                }
            }
            self.db.apply_batch(batch).map_err(failed)?;
            self.db.flush().map_err(failed)?;
        }
        let watermark = encode_watermark(self.format, watermark);
        self.db.insert(WATERMARK_KEY, &watermark).map_err(failed)?;
        self.db.flush().map(drop).map_err(failed)
    }

    fn watermark(&self) -> Result<Option<Position>, StoreError> {
        self.db
            .get(WATERMARK_KEY)
            .map_err(failed)?
            .map(|bytes| decode_watermark(&bytes, self.format))
            .transpose()
            .map_err(|found| StoreError::engine(NAME, found))
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.db.remove(WATERMARK_KEY).map_err(failed)?;
        self.db.flush().map_err(failed)?;
        self.db.clear().map_err(failed)?;
        self.db.flush().map(drop).map_err(failed)
    }

    fn size(&self) -> Result<EngineSize, StoreError> {
        let disk_bytes = self.db.size_on_disk().map_err(failed)?;
        Ok(EngineSize { disk_bytes, memory_bytes: None })
    }
}
