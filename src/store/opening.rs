//! Opening the segments of a directory: lock, examine, compare, repair.
//!
//! [`Segments::examine`] changes nothing that anybody could miss: its caller compares the end of the
//! log with the files that are written after each sync, and only then has the tail cut. A log begins
//! once, by [`Segments::begin`]; a directory without segments is never given new ones.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::sync_dir;
use super::error::StoreError;
use super::lock::DirLock;
use super::overwrite::SideFile;
use super::position::Position;
use super::reader::Shared;
use super::recovery::{Extent, Recovery, Repair, examine};
use super::segment::{SegmentOptions, Segments, create_segment, open_for_writing};
use super::segment_header::segment_path;

/// The segments of a locked directory, examined and not yet repaired.
#[derive(Debug)]
pub struct Examined {
    dir: PathBuf,
    options: SegmentOptions,
    last: u32,
    side_file: SideFile,
    recovery: Recovery,
    repair: Repair,
    lock: DirLock,
}

impl Segments {
    /// Begins a log in a directory that has none; a beginning that was cut short is begun again.
    pub fn begin(dir: &Path, options: SegmentOptions) -> Result<Self, StoreError> {
        create_dir(dir)?;
        let lock = DirLock::acquire(dir)?;
        let segments = dir.join("segments");
        create_dir(&segments)?;
        if last_segment(&segments)?.is_none() {
            create_segment(&segments, 1, &*options.disk)?;
        }
        let examined = Self::examine(lock, dir, options, Extent::Behind(None))?;
        if examined.recovery.end != Position::START {
            return Err(StoreError::Begun { dir: segments });
        }
        examined.repair()
    }

    /// Finishes an interrupted overwriting and finds the end of the log.
    pub fn examine(
        lock: DirLock,
        dir: &Path,
        options: SegmentOptions,
        extent: Extent,
    ) -> Result<Examined, StoreError> {
        let segments = dir.join("segments");
        let last = match segments.is_dir() {
            true => last_segment(&segments)?,
            false => None,
        };
        let Some(last) = last else { return Err(StoreError::NoSegments { dir: segments }) };
        let side_file = SideFile::open(dir)?;
        sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        side_file.redo(&segments, &*options.disk)?;
        let (recovery, repair) = examine(&segments, last, extent)?;
        // Segments behind a damaged place that is given up go.
        let last = last.min(recovery.end.segment);
        Ok(Examined { dir: segments, options, last, side_file, recovery, repair, lock })
    }

    /// Locks, examines and repairs in one go, for a caller without anything to compare the log with.
    pub fn open(
        dir: &Path,
        options: SegmentOptions,
        from: Option<Position>,
    ) -> Result<(Self, Recovery), StoreError> {
        let examined = Self::examine(DirLock::acquire(dir)?, dir, options, Extent::Behind(from))?;
        let recovery = examined.recovery.clone();
        Ok((examined.repair()?, recovery))
    }
}

impl Examined {
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Cuts off a torn batch, completes a segment that was being started, and opens the log for
    /// writing.
    pub fn repair(self) -> Result<Segments, StoreError> {
        let Self { dir, options, last, side_file, recovery, repair, lock } = self;
        repair.carry_out(&dir, &*options.disk)?;
        let path = segment_path(&dir, last);
        let file = open_for_writing(&path)?;
        // What the examination read may be in the page cache only, after a kill between write and sync.
        options.disk.sync_data(&file).map_err(StoreError::io("sync", &path))?;
        let shared = Arc::new(Shared::new(dir.clone(), recovery.end));
        Ok(Segments {
            dir,
            options,
            shared,
            file,
            end: recovery.end,
            side_file,
            poisoned: false,
            _lock: lock,
        })
    }
}

fn create_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(StoreError::io("create", dir))?;
    let parent = dir.parent().unwrap_or(dir);
    sync_dir(parent).map_err(StoreError::io("sync", parent))
}

/// The number of the last segment; `None` if there is none. Numbers run from 1 without a gap.
fn last_segment(dir: &Path) -> Result<Option<u32>, StoreError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
        let name = entry.map_err(StoreError::io("list", dir))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    for (expected, found) in (1..).zip(&numbers) {
        if expected != *found {
            let dir = dir.to_owned();
            return Err(StoreError::MissingSegment { dir, expected, found: *found });
        }
    }
    Ok(numbers.last().copied())
}
