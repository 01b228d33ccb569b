//! The files of a store that show how long its segments were.

use super::error::{AuditError, reading};
use super::files::{read_text, segment_name};
use crate::audit::{Ending, Failure, LEAF_RECORD_BYTES, Recorded, Remark, Report, SegmentsEnd};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// The file in which a node keeps a loss that it found, and the most that is read of it.
const LOSS_FILE: &str = "loss";
const LOSS_BYTES_MAX: u64 = 1_024;

/// Reads them. It is done before the segments are read: a node that runs writes on meanwhile, and the
/// segments first.
pub(in crate::cli) fn recorded_in(store: &Path) -> Result<Vec<Recorded>, AuditError> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(store) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(reading(store)(error)),
    };
    for entry in entries {
        let path = entry.map_err(reading(store))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !path.is_file() {
            continue;
        }
        if Recorded::is_leaf_file(&name) {
            found.push(leaf_file(&path, &name).map_err(reading(&path))?);
        } else if name == LOSS_FILE {
            let text = read_text(&path, LOSS_BYTES_MAX)?;
            found.extend(Recorded::kept_loss(&name, &text));
        }
    }
    Ok(found)
}

fn leaf_file(path: &Path, name: &str) -> io::Result<Recorded> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let Some(last) = (bytes / LEAF_RECORD_BYTES as u64).checked_sub(1) else {
        return Ok(Recorded::leaf_file(name, bytes, None));
    };
    let mut record = [0; LEAF_RECORD_BYTES];
    file.seek(SeekFrom::Start(last * LEAF_RECORD_BYTES as u64))?;
    file.read_exact(&mut record)?;
    Ok(Recorded::leaf_file(name, bytes, Some(record)))
}

/// Compares the end of the segments with those files; of a history that holds otherwise.
pub(super) fn compare(
    report: &mut Report,
    recorded: &[Recorded],
    segments: &Path,
    last: Option<u32>,
) -> Result<(), AuditError> {
    let torn = report.remarks.iter().find_map(|remark| match remark {
        Remark::TornTail { segment, offset, .. } => {
            Some(SegmentsEnd { segment: *segment, offset: *offset })
        }
        _ => None,
    });
    let end = match torn {
        Some(end) => end,
        None => whole_end(segments, last)?,
    };
    let left = Some(report.checkpoint.size.get());
    let failure = recorded.iter().find_map(|recorded| recorded.failure(left, end));
    if let (Some(failure), None) = (failure, &report.failure) {
        // What was acknowledged is in those bytes.
        report.remarks.retain(|remark| !matches!(remark, Remark::TornTail { .. }));
        report.failure = Some(failure);
    }
    Ok(())
}

/// The failure of segments of which not everything can be exported.
pub(in crate::cli) fn shortened(
    recorded: &[Recorded],
    ending: &Ending,
    segments: &Path,
    last: Option<u32>,
) -> Result<Option<Failure>, AuditError> {
    let end = match ending {
        Ending::Torn { segment, offset, .. } => SegmentsEnd { segment: *segment, offset: *offset },
        Ending::Whole => whole_end(segments, last)?,
        Ending::Broken(_) | Ending::Stopped => return Ok(None),
    };
    Ok(recorded.iter().find_map(|recorded| recorded.failure(None, end)))
}

fn whole_end(segments: &Path, last: Option<u32>) -> Result<SegmentsEnd, AuditError> {
    let Some(segment) = last else { return Ok(SegmentsEnd { segment: 0, offset: 0 }) };
    let path = segments.join(segment_name(segment));
    let offset = std::fs::metadata(&path).map_err(reading(&path))?.len();
    Ok(SegmentsEnd { segment, offset })
}
