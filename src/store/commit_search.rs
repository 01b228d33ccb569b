//! The search for commits behind a place that cannot be read.

use super::frame::{Commit, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FrameKind, parse};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Searched at once for commits behind a flaw; a longest frame may straddle two windows.
const WINDOW_BYTES: usize = 4 << 20;

pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) file: Arc<File>,
    pub(super) len: u64,
}

/// Finds the end of the first commit behind a flaw: frames can be read again from there.
pub(super) fn commit_end_behind(
    file: &Arc<File>,
    flaw: u64,
    limit: u64,
) -> std::io::Result<Option<u64>> {
    let segment = Segment { number: 0, file: Arc::clone(file), len: limit };
    let mut end = None;
    each_commit(&segment, flaw + 1, |at, commit| {
        // A commit that is a part of something else begins its batch anywhere.
        if u64::from(commit.batch_start) <= at {
            end.get_or_insert(at + (FRAME_HEADER_BYTES + 8 + commit.checkpoint.len()) as u64);
        }
    })?;
    Ok(end)
}

/// Calls `found` for everything from `from` on that reads as a commit frame, wherever it begins:
/// behind a flaw the framing is lost.
pub(super) fn each_commit(
    segment: &Segment,
    from: u64,
    mut found: impl FnMut(u64, Commit<'_>),
) -> std::io::Result<()> {
    let longest = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX;
    let mut start = from;
    while start < segment.len {
        let len = (segment.len - start).min((WINDOW_BYTES + longest) as u64) as usize;
        let mut window = vec![0; len];
        segment.file.read_exact_at(&mut window, start)?;
        for at in 0..len.min(WINDOW_BYTES) {
            if window.get(at + 8) != Some(&(FrameKind::Commit as u8)) {
                continue;
            }
            if let Ok(commit) = parse(&window[at..]).and_then(Commit::parse) {
                found(start + at as u64, commit);
            }
        }
        start += len.min(WINDOW_BYTES) as u64;
    }
    Ok(())
}
