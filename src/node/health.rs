//! The look for damage behind the writer, and its report.
//!
//! A node with damage in the middle of its segments goes on: the roots that it signs are over leaf
//! hashes, which agree with its last signed checkpoint. What cannot be read is neither shown nor
//! disclosed nor proven, and `status` names it.

use super::core::Core;
use crate::journal::view::View;
use crate::pb;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two steps of 1 MiB: 25 MiB a second are some 100 seconds for a million records, and a
/// hundredth of one core.
const STEP_EVERY: Duration = Duration::from_millis(40);

/// Returns the damaged places for `status`; a place whose entries are unknown is listed too.
pub(super) fn damage_views(view: &View) -> Vec<pb::DamageView> {
    let damages = view.damages().unwrap_or_else(|error| {
        tracing::warn!(%error, "the entries that damage concerns cannot be told");
        view.segments().damages().into_iter().map(|damage| (damage, 0, 0)).collect()
    });
    let one = |(damage, first_entry, entries): (crate::store::Damage, u64, u64)| pb::DamageView {
        segment: damage.start.segment,
        offset: damage.start.offset.into(),
        first_entry,
        entries,
        found: damage.found,
    };
    damages.into_iter().map(one).collect()
}

/// Reads every committed frame once after the start.
pub(super) async fn check_segments(core: Arc<Core>) {
    let mut stopping = core.stopping();
    let mut checkup = core.view().segments().checkup();
    loop {
        let step = tokio::task::spawn_blocking(move || {
            let step = checkup.step();
            (checkup, step)
        });
        let Ok((next, step)) = step.await else { return };
        checkup = next;
        match step {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                let error = crate::store::describe(&error);
                tracing::error!(error, "the segments cannot be read");
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(STEP_EVERY) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

pub(super) fn segment_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// Returns the largest resident memory that this process had (Linux, `VmHWM`); 0 where the system
/// does not report it.
pub fn peak_memory_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| peak_memory_in(&status))
}

/// `VmHWM` in the text of a Linux process status, in bytes.
pub fn peak_memory_in(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
