//! Start-up of the segments: find the end of the last committed batch, plan the repair of a torn one,
//! and refuse anything else. Nothing is changed before the caller has seen what was found.
//!
//! A batch is one write and one fdatasync. After a power cut the last one may be there in part,
//! its sectors in any order; it was acknowledged to nobody and goes. Damage anywhere before a later
//! commit is damage to something acknowledged, and is never cut off.
//!
//! Known hole: damage within the last batch that spares its commit is told from a torn write by an
//! unwritten sector (512 zeros at a multiple of 512 in the file). Damage to the last commit
//! frame itself looks like a torn write. The caller tells them apart by the files that are written
//! after the sync, and without those by the checkpoints that partners hold.

use super::commit_search::{Segment, each_commit};
use super::damage::Damage;
use super::disk::{Disk, sync_dir};
use super::error::StoreError;
use super::frame::{
    Commit, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, Flaw, FrameKind, RawFrame, parse,
};
use super::position::Position;
use super::position::SEGMENT_HEADER_BYTES;
use super::segment_header::segment_path;
use super::segment_header::{header_flaw, write_header};
use super::walk::Walk;
use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The smallest unit that a disk writes wholly or not at all.
const SECTOR_BYTES: u64 = 512;

/// The state of the segments at start-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The end of the last committed batch.
    pub end: Position,
    /// The last commit, unless the log is empty.
    pub last_commit: Option<LastCommit>,
    /// Bytes behind the last committed batch: of a torn one, or of one that is damaged.
    pub torn_bytes: u64,
    /// The position at which checking began: the given one, or the start if that was not the end of
    /// a batch.
    pub checked_from: Position,
    /// The damaged place behind which everything is given up.
    pub given_up: Option<Damage>,
}

/// The part of the log that start-up examines, and what damage in it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything behind the end of a batch up to which the caller trusts the log; without it, or if it is not such
    /// an end, everything. Damage is an error.
    Behind(Option<Position>),
    /// Everything up to the first damaged place. What lies behind is given up: a repair removes it.
    UpToDamage,
}

/// The commit that closes the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCommit {
    pub position: Position,
    pub checkpoint: Bytes,
}

/// The end of a segment's valid batches, and the flaw that stopped the walk.
struct Walked {
    committed: u64,
    flaw: Option<(u64, Flaw)>,
}

/// The changes that make the segments whole again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repair {
    /// The last segment gets its header.
    header: Option<u32>,
    /// This segment is cut to this length.
    cut: Option<(u32, u64)>,
    /// These segments are removed.
    removed: Option<(u32, u32)>,
}

impl Repair {
    pub(super) fn carry_out(self, dir: &Path, disk: &dyn Disk) -> Result<(), StoreError> {
        if let Some((first, last)) = self.removed {
            // The last first: segments never have a gap, whenever this is cut short.
            for number in (first..=last).rev() {
                let path = segment_path(dir, number);
                std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            }
            sync_dir(dir).map_err(StoreError::io("sync", dir))?;
        }
        if let Some(number) = self.header {
            let path = segment_path(dir, number);
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(StoreError::io("open", &path))?;
            write_header(&file, &path, number, disk)?;
        }
        match self.cut {
            Some((number, len)) => cut(dir, number, len, disk),
            None => Ok(()),
        }
    }
}

/// Examines the segments 1 to `last` in `dir`, and changes nothing.
pub(super) fn examine(
    dir: &Path,
    last: u32,
    extent: Extent,
) -> Result<(Recovery, Repair), StoreError> {
    let from = match extent {
        Extent::Behind(from) => from,
        Extent::UpToDamage => return examine_up_to_damage(dir, last),
    };
    let mut repair = Repair::default();
    let whole = if is_unstarted(dir, last)? {
        repair.header = Some(last);
        last - 1
    } else {
        last
    };
    let from = match from {
        Some(from) if from.segment <= whole && commit_before(dir, from)?.is_some() => from,
        Some(from) if from == Position::first_of(last) && last > whole => from,
        _ => Position::START,
    };
    let mut end = from;
    let mut torn_bytes = 0;
    for number in from.segment..=whole {
        let segment = open(dir, number)?;
        let start = if number == from.segment { from } else { Position::first_of(number) };
        let walked = walk(dir, &segment, start.offset.into())?;
        if let Some((offset, flaw)) = walked.flaw {
            if number < last {
                return Err(corrupt(number, offset, flaw));
            }
            refuse_damage(dir, &segment, &walked, offset, flaw)?;
            torn_bytes = segment.len - walked.committed;
            repair.cut = Some((number, walked.committed));
        }
        end = Position { segment: number, offset: fitting(number, walked.committed)? };
    }
    if last > whole {
        end = Position::first_of(last);
    }
    let last_commit = commit_before(dir, end)?;
    let recovery = Recovery { end, last_commit, torn_bytes, checked_from: from, given_up: None };
    Ok((recovery, repair))
}

/// Does the same for a caller that gives up whatever lies behind the first damaged place.
fn examine_up_to_damage(dir: &Path, last: u32) -> Result<(Recovery, Repair), StoreError> {
    let flaw = match examine(dir, last, Extent::Behind(None)) {
        Err(StoreError::Corrupt { segment, offset, found }) => (segment, offset, found),
        sound => return sound,
    };
    let (number, offset, found) = flaw;
    let start = Position { segment: number, offset: fitting(number, offset)? };
    let given_up = Some(Damage { start, end: start.offset, found });
    let mut repair = Repair::default();
    let (end, kept) = match open(dir, number) {
        Ok(segment) => {
            let first = Position::first_of(number);
            let committed = walk(dir, &segment, first.offset.into())?.committed;
            repair.cut = Some((number, committed));
            (Position { segment: number, offset: fitting(number, committed)? }, number)
        }
        // Without its header nothing of a segment is left; without the first, nothing of the log.
        Err(StoreError::Corrupt { .. }) if number > 1 => {
            let before = open(dir, number - 1)?;
            (Position { segment: number - 1, offset: fitting(number - 1, before.len)? }, number - 1)
        }
        Err(error) => return Err(error),
    };
    repair.removed = (kept < last).then_some((kept + 1, last));
    let mut torn_bytes = 0;
    for number in end.segment..=last {
        let path = segment_path(dir, number);
        let len = std::fs::metadata(&path).map_err(StoreError::io("examine", &path))?.len();
        torn_bytes += if number == end.segment { len - u64::from(end.offset) } else { len };
    }
    let last_commit = commit_before(dir, end)?;
    let checked_from = Position::START;
    Ok((Recovery { end, last_commit, torn_bytes, checked_from, given_up }, repair))
}

fn corrupt(segment: u32, offset: u64, found: impl ToString) -> StoreError {
    StoreError::Corrupt { segment, offset, found: found.to_string() }
}

fn fitting(segment: u32, offset: u64) -> Result<u32, StoreError> {
    u32::try_from(offset).map_err(|_| corrupt(segment, offset, "the segment is too long"))
}

fn open(dir: &Path, number: u32) -> Result<Segment, StoreError> {
    let path = segment_path(dir, number);
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let len = file.metadata().map_err(StoreError::io("examine", &path))?.len();
    let mut header = [0; SEGMENT_HEADER_BYTES];
    if len < SEGMENT_HEADER_BYTES as u64 {
        return Err(corrupt(number, 0, "the file ends within its header"));
    }
    file.read_exact_at(&mut header, 0).map_err(StoreError::io("read", &path))?;
    match header_flaw(&header, number) {
        Some(flaw) => Err(corrupt(number, 0, flaw)),
        None => Ok(Segment { number, file: Arc::new(file), len }),
    }
}

/// Returns true if a crash while the segment was being started left it without a whole header; then it has
/// no frames.
fn is_unstarted(dir: &Path, last: u32) -> Result<bool, StoreError> {
    let path = segment_path(dir, last);
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let len = file.metadata().map_err(StoreError::io("examine", &path))?.len();
    if len > SEGMENT_HEADER_BYTES as u64 {
        return Ok(false);
    }
    let mut header = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut header[..len as usize], 0).map_err(StoreError::io("read", &path))?;
    Ok(header_flaw(&header, last).is_some())
}

fn walk(dir: &Path, segment: &Segment, start: u64) -> Result<Walked, StoreError> {
    let mut walk = Walk::new(Arc::clone(&segment.file), start, segment.len);
    let mut committed = start;
    loop {
        let offset = walk.offset();
        let found = walk
            .next()
            .map_err(|error| StoreError::io("read", &segment_path(dir, segment.number))(error))?;
        let flaw = match found {
            None if offset == committed => None,
            None => Some((committed, Flaw::Uncommitted)),
            Some(Err(flaw)) => Some((offset, flaw)),
            Some(Ok(frame)) if frame.kind == FrameKind::Commit => {
                if closes(frame, committed) {
                    committed = walk.offset();
                    continue;
                }
                Some((offset, Flaw::Commit))
            }
            Some(Ok(_)) => continue,
        };
        return Ok(Walked { committed, flaw });
    }
}

fn closes(frame: RawFrame<'_>, batch_start: u64) -> bool {
    Commit::parse(frame).is_ok_and(|commit| u64::from(commit.batch_start) == batch_start)
}

/// Returns only if everything behind the flaw can be a batch that was never made durable.
fn refuse_damage(
    dir: &Path,
    segment: &Segment,
    walked: &Walked,
    offset: u64,
    flaw: Flaw,
) -> Result<(), StoreError> {
    let path = segment_path(dir, segment.number);
    let mut own_commit = None;
    let mut later_commit = false;
    each_commit(segment, offset, |at, commit| {
        let start = u64::from(commit.batch_start);
        own_commit = own_commit.or((start == walked.committed).then_some(at));
        later_commit |= start > walked.committed && start <= at;
    })
    .map_err(StoreError::io("read", &path))?;
    let torn = match own_commit {
        _ if later_commit => false,
        None => true,
        Some(at) => {
            has_unwritten_sector(segment, offset, at).map_err(StoreError::io("read", &path))?
        }
    };
    if torn { Ok(()) } else { Err(corrupt(segment.number, offset, flaw)) }
}

fn has_unwritten_sector(segment: &Segment, from: u64, to: u64) -> std::io::Result<bool> {
    let mut sector = [0; SECTOR_BYTES as usize];
    let mut at = from.next_multiple_of(SECTOR_BYTES);
    while at + SECTOR_BYTES <= to {
        segment.file.read_exact_at(&mut sector, at)?;
        if sector.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        at += SECTOR_BYTES;
    }
    Ok(false)
}

fn cut(dir: &Path, number: u32, len: u64, disk: &dyn Disk) -> Result<(), StoreError> {
    let path = segment_path(dir, number);
    let file = OpenOptions::new().write(true).open(&path).map_err(StoreError::io("open", &path))?;
    file.set_len(len)
        .and_then(|()| disk.sync_data(&file))
        .map_err(StoreError::io("cut a torn batch off", &path))
}

/// The commit that ends exactly at `end`, found by the length at its own end.
fn commit_before(dir: &Path, end: Position) -> Result<Option<LastCommit>, StoreError> {
    if end <= Position::START {
        return Ok(None);
    }
    let number = if end == Position::first_of(end.segment) { end.segment - 1 } else { end.segment };
    let segment = open(dir, number)?;
    let end = if number == end.segment { end.offset.into() } else { segment.len };
    let mut len = [0; 4];
    let path = segment_path(dir, number);
    let Some(at) = end.checked_sub(4).filter(|_| end <= segment.len) else {
        return Ok(None);
    };
    segment.file.read_exact_at(&mut len, at).map_err(StoreError::io("read", &path))?;
    let len = u64::from(u32::from_le_bytes(len));
    let longest = (FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX) as u64;
    let Some(start) = end.checked_sub(len).filter(|_| len <= longest) else {
        return Ok(None);
    };
    let mut bytes = vec![0; len as usize];
    segment.file.read_exact_at(&mut bytes, start).map_err(StoreError::io("read", &path))?;
    let Ok(commit) = parse(&bytes).and_then(Commit::parse) else {
        return Ok(None);
    };
    let position = Position { segment: number, offset: fitting(number, start)? };
    Ok(Some(LastCommit { position, checkpoint: Bytes::copy_from_slice(commit.checkpoint) }))
}
