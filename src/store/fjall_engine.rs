//! The index in fjall 3: one keyspace a table and one for the watermark, written in one batch.
//!
//! fjall's journal is written to the operating system and not synced by us; after a power cut the
//! index is behind and is fed again from the watermark. Large chunks skip journal and memtable: they
//! come sorted, so they are written as tables at once, for a fraction of the processor time, and
//! the watermark follows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::engine::{
    Change, EngineScan, EngineSize, IndexEngine, KeyRange, Order, Table, decode_watermark,
    encode_watermark,
};
use super::error::StoreError;
use super::position::Position;

const NAME: &str = "fjall";

/// Blocks of all tables together.
const CACHE_BYTES: u64 = 16 << 20;

/// The smallest that fjall takes.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

/// One worker: a second one would compact at the expense of the exchange on a two-core machine.
const WORKERS: usize = 1;

/// A table's share of a chunk is written as a table file of its own from this many changes on.
/// Below, two fsyncs and a file would cost more than they save.
pub(super) const INGEST_CHANGES_MIN: usize = 4_096;

/// Room a batch starts with.
const BATCH_SLOTS: usize = 1_024;

/// Files that may wait to be compacted; fjall itself does not hold back who writes tables directly.
const L0_TABLES_MAX: usize = 24;

/// The longest wait for compaction. It bounds the wait should compaction have stopped, which the
/// next batch reports.
const COMPACTION_MS_MAX: u32 = 30_000;

/// Files merged into the next level at once. More means less rewriting of that level, and more
/// filters asked by a read.
const L0_TABLES_MERGED: u8 = 16;

/// The first level then holds 256 MiB, about a million records of the largest table.
const TABLE_FILE_BYTES: u64 = 16 << 20;

const WATERMARK_KEY: &[u8] = b"watermark";

pub(super) struct FjallEngine {
    db: Database,
    tables: [Keyspace; Table::ALL.len()],
    watermark: Keyspace,
    format: u32,
    ingest_changes_min: usize,
}

impl FjallEngine {
    /// `ingest_changes_min` is [`INGEST_CHANGES_MIN`] except in tests.
    pub(super) fn open(
        dir: &Path,
        format: u32,
        ingest_changes_min: usize,
    ) -> Result<Self, StoreError> {
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKERS)
            .open()
            .map_err(failed)?;
        let [records, series, search, disclosures, meta] = Table::ALL;
        let keyspace = |table: Table| {
            db.keyspace(table.name(), || keyspace_options(memtable_bytes_max(table)))
                .map_err(failed)
        };
        let tables = [
            keyspace(records)?,
            keyspace(series)?,
            keyspace(search)?,
            keyspace(disclosures)?,
            keyspace(meta)?,
        ];
        let watermark = db.keyspace("watermark", || keyspace_options(1 << 20)).map_err(failed)?;
        Ok(Self { db, tables, watermark, format, ingest_changes_min })
    }

    fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }

    /// Writes the changes of one table as a sorted file.
    fn ingest(&self, table: Table, changes: &[&Change]) -> Result<(), StoreError> {
        let keyspace = self.table(table);
        hold_back_for_compaction(keyspace);
        let mut ingestion = keyspace.start_ingestion().map_err(failed)?;
        for change in changes {
            match &change.value {
                Some(value) => ingestion.write(&change.key[..], &value[..]),
                None => ingestion.write_tombstone(&change.key[..]),
            }
            .map_err(failed)?;
        }
        ingestion.finish().map_err(failed)
    }
}

fn hold_back_for_compaction(keyspace: &Keyspace) {
    for _ in 0..COMPACTION_MS_MAX {
        if keyspace.l0_table_count() < L0_TABLES_MAX {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A table has at most this much in its memtable, and up to four sealed ones while they are
/// being written.
const fn memtable_bytes_max(table: Table) -> u64 {
    match table {
        Table::Search => 8 << 20,
        Table::Records | Table::Series | Table::Tagged => 4 << 20,
        Table::Meta => 1 << 20,
    }
}

/// Keys are mostly random: they don't compress, and a filter of 10 bits saves most misses.
fn keyspace_options(memtable_bytes_max: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes_max)
        .compaction_strategy(Arc::new(
            Leveled::default()
                .with_l0_threshold(L0_TABLES_MERGED)
                .with_table_target_size(TABLE_FILE_BYTES),
        ))
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_compression_policy(CompressionPolicy::disabled())
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
            fjall::config::BloomConstructionPolicy::BitsPerKey(10.0),
        )))
}

fn failed(error: fjall::Error) -> StoreError {
    StoreError::engine(NAME, error)
}

impl IndexEngine for FjallEngine {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.table(table).get(key).map_err(failed)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, range: &KeyRange, order: Order) -> EngineScan<'static> {
        let keyspace = self.table(table);
        let found = match range.end() {
            Some(end) if range.start() >= end => return Box::new(std::iter::empty()),
            Some(end) => keyspace.range(range.start()..end),
            None => keyspace.range(range.start()..),
        };
        let pair = |found: fjall::Guard| {
            let (key, value) = found.into_inner().map_err(failed)?;
            Ok((key.to_vec(), value.to_vec()))
        };
        match order {
            Order::Ascending => Box::new(found.map(pair)),
            Order::Descending => Box::new(found.rev().map(pair)),
        }
    }

    fn apply(&self, changes: &[&Change], watermark: Position) -> Result<(), StoreError> {
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.db.clone(), changes.len().min(BATCH_SLOTS))
                .durability(Some(PersistMode::Buffer));
        for of_table in changes.chunk_by(|a, b| a.table == b.table) {
            let Some(table) = of_table.first().map(|change| change.table) else { continue };
            if of_table.len() >= self.ingest_changes_min {
                self.ingest(table, of_table)?;
                continue;
            }
            let keyspace = self.table(table);
            for change in of_table {
                match &change.value {
                    Some(value) => batch.insert(keyspace, &change.key[..], &value[..]),
                    None => batch.remove(keyspace, &change.key[..]),
                }
            }
        }
        let watermark = encode_watermark(self.format, watermark);
        batch.insert(&self.watermark, WATERMARK_KEY, &watermark[..]);
        batch.commit().map_err(failed)
    }

    fn watermark(&self) -> Result<Option<Position>, StoreError> {
        self.watermark
            .get(WATERMARK_KEY)
            .map_err(failed)?
            .map(|bytes| decode_watermark(&bytes, self.format))
            .transpose()
            .map_err(|found| StoreError::engine(NAME, found))
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.watermark.clear().map_err(failed)?;
        self.db.persist(PersistMode::SyncData).map_err(failed)?;
        self.tables.iter().try_for_each(|table| table.clear().map_err(failed))
    }

    fn size(&self) -> Result<EngineSize, StoreError> {
        Ok(EngineSize {
            disk_bytes: self.db.disk_space().map_err(failed)?,
            memory_bytes: Some(self.db.write_buffer_size() + self.db.cache_size()),
        })
    }
}
