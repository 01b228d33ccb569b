//! An index written anew, so that nothing deleted is left in the engine's files.
//!
//! Engines only mark keys as deleted and drop them from their files in their own time, some never.
//! Where that will not do, all living pairs are copied into a new directory, a generation, and the
//! old one is removed. A file of one number says which generation counts; whatever else lies
//! there is the rest of a copying that was cut short and is removed by the next start.

use std::path::{Path, PathBuf};

use super::engine::{Change, EngineKind, IndexEngine, KeyRange, Order, Table};
use super::error::StoreError;
use super::position::Position;

/// Pairs copied in one step; between steps the index applies what was staged. About 10 MiB.
const STEP_PAIRS_MAX: usize = 65_536;

/// The directories of one engine below the directory of the index.
#[derive(Debug, Clone)]
pub(super) struct Generations {
    dir: PathBuf,
    engine: EngineKind,
}

impl Generations {
    pub(super) fn new(dir: &Path, engine: EngineKind) -> Self {
        Self { dir: dir.to_owned(), engine }
    }

    fn file(&self) -> PathBuf {
        self.dir.join(format!("{}.generation", self.engine.name()))
    }

    /// The one that counts; the first is 0 and needs no file.
    pub(super) fn current(&self) -> u64 {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    pub(super) fn path(&self, generation: u64) -> PathBuf {
        self.dir.join(match generation {
            0 => self.engine.name().to_owned(),
            later => format!("{}-{later}", self.engine.name()),
        })
    }

    /// Makes another one count, durably and at once.
    pub(super) fn set(&self, generation: u64) -> Result<(), StoreError> {
        let (path, next) = (self.file(), self.file().with_extension("next"));
        std::fs::write(&next, format!("{generation}\n"))
            .and_then(|()| std::fs::File::open(&next)?.sync_all())
            .and_then(|()| std::fs::rename(&next, &path))
            .and_then(|()| std::fs::File::open(&self.dir)?.sync_all())
            .map_err(StoreError::io("write", &path))
    }

    /// Removes every generation but the one that counts.
    pub(super) fn remove_others(&self) -> Result<(), StoreError> {
        let counts = self.path(self.current());
        let prefix = format!("{}-", self.engine.name());
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path != counts && (name == self.engine.name() || name.starts_with(&prefix)) {
                remove_dir(&path)?;
            }
        }
        Ok(())
    }
}

pub(super) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

/// The key whose presence asks for a copying; it is left out of the copy unless it was put anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub table: Table,
    pub key: Vec<u8>,
}

/// A copying under way. Whatever is applied to the old engine meanwhile is applied to the new too,
/// so that it does not matter how far the copying is.
pub(super) struct Copying {
    pub(super) engine: Box<dyn IndexEngine>,
    pub(super) generation: u64,
    marker: Marker,
    marked: Option<Vec<u8>>,
    tables: std::vec::IntoIter<Table>,
    table: Option<Table>,
    next: Vec<u8>,
}

impl Copying {
    pub(super) fn begin(
        old: &dyn IndexEngine,
        engine: Box<dyn IndexEngine>,
        generation: u64,
        marker: Marker,
    ) -> Result<Self, StoreError> {
        let marked = old.read(marker.table, &marker.key)?;
        let mut tables = Table::ALL.to_vec().into_iter();
        let table = tables.next();
        Ok(Self { engine, generation, marker, marked, tables, table, next: Vec::new() })
    }

    /// Copies some pairs; true once all are there.
    pub(super) fn step(&mut self, old: &dyn IndexEngine) -> Result<bool, StoreError> {
        let Some(table) = self.table else { return Ok(true) };
        let range = KeyRange::starting_at(std::mem::take(&mut self.next));
        let mut changes = Vec::new();
        for pair in old.scan(table, &range, Order::Ascending).take(STEP_PAIRS_MAX) {
            let (key, value) = pair?;
            changes.push(Change::put(table, key, value));
        }
        match changes.last() {
            Some(last) if changes.len() == STEP_PAIRS_MAX => {
                self.next = [&last.key[..], &[0]].concat();
            }
            _ => self.table = self.tables.next(),
        }
        let copied: Vec<&Change> =
            changes.iter().filter(|change| !self.is_marker(change)).collect();
        self.engine.apply(&copied, Position::START)?;
        Ok(self.table.is_none())
    }

    fn is_marker(&self, change: &Change) -> bool {
        change.table == self.marker.table && *change.key == *self.marker.key
    }

    /// Makes the copy what the old engine is; it may count from now on.
    pub(super) fn finish(&self, old: &dyn IndexEngine) -> Result<(), StoreError> {
        let now = old.read(self.marker.table, &self.marker.key)?;
        let (table, key) = (self.marker.table, self.marker.key.clone());
        // Marked again meanwhile: what was deleted since is in this copy's files too.
        let change = match now.filter(|now| Some(now) != self.marked.as_ref()) {
            Some(again) => Change::put(table, key, again),
            None => Change::delete(table, key),
        };
        let watermark = old.watermark()?.unwrap_or(Position::START);
        self.engine.apply(&[&change], watermark)
    }
}
