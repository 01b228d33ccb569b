//! A node that runs overwrites erased content in place. Whoever reads meanwhile may see half a frame, or content
//! from before an erasure beside the entry about it. A history that changed while it was read is
//! read again before it counts as broken.

use super::error::{AuditError, reading};
use crate::audit::Report;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

/// A node that goes on writing gets no more readings than this.
const READINGS_MAX: usize = 4;

/// Length and time of the last change of each segment file.
pub(super) type State = BTreeMap<OsString, (u64, SystemTime)>;

pub(super) fn state(segments: &Path) -> Result<State, AuditError> {
    let mut found = State::new();
    for entry in std::fs::read_dir(segments).map_err(reading(segments))? {
        let entry = entry.map_err(reading(segments))?;
        let file = entry.metadata().map_err(reading(segments))?;
        let changed = file.modified().map_err(reading(segments))?;
        found.insert(entry.file_name(), (file.len(), changed));
    }
    Ok(found)
}

/// The report of the first reading that holds or during which nothing changed, or of the last one.
pub(super) fn settled(
    state: impl Fn() -> Result<State, AuditError>,
    mut read: impl FnMut() -> Result<Report, AuditError>,
) -> Result<Report, AuditError> {
    let mut readings = 0;
    loop {
        let before = state()?;
        let report = read()?;
        readings += 1;
        if report.failure.is_none() || readings == READINGS_MAX || state()? == before {
            return Ok(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit_store::fixtures::{Node, framed, frames};
    use crate::cli::audit_store::tests::verified;
    use std::cell::Cell;
    use std::time::Duration;

    /// The first segment as it is, and with half of a frame of content overwritten.
    fn halves(node: &Node) -> (Vec<u8>, Vec<u8>) {
        let good = node.segments().remove(0);
        let sound = frames(&good);
        assert_eq!(framed(1, &sound), good);
        let content = sound.iter().position(|frame| frame.kind == 2).unwrap();
        let before: usize = framed(1, &sound[..content]).len();
        let mut half = good.clone();
        let len = sound[content].payload.len();
        half[before + 10 + len / 2..before + 10 + len].fill(0);
        (good, half)
    }

    #[test]
    fn a_frame_that_is_overwritten_while_it_is_read_is_read_again() {
        let node = Node::full();
        let (good, half) = halves(&node);
        let path = node.segment_path(1);
        let write = |bytes: &[u8], seconds| {
            std::fs::write(&path, bytes).unwrap();
            // The clock of a file system may be too coarse for a test.
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let readings = Cell::new(0);
        let read = |writes_on: bool| {
            readings.set(0);
            write(&half, 1);
            let segments = path.parent().unwrap();
            let report = settled(
                || state(segments),
                || {
                    let report = verified(&node);
                    readings.set(readings.get() + 1);
                    match writes_on {
                        true => write(&half, 1 + readings.get()),
                        false if readings.get() == 1 => write(&good, 2),
                        false => {}
                    }
                    Ok(report)
                },
            );
            (report.unwrap().failure.is_none(), readings.get())
        };
        assert_eq!(read(false), (true, 2));
        assert_eq!(read(true), (false, READINGS_MAX as u64));
        write(&half, 1);
        assert!(verified(&node).failure.is_some(), "damage that stays is found");
    }
}
