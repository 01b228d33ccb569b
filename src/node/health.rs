//! The look for damage behind the writer, and its report.
//!
//! A node with damage in the middle of its segments goes on: the roots that it signs are over leaf
//! hashes, which agree with its last signed checkpoint. What cannot be read is neither shown nor
//! disclosed nor proven, and `status` names it.

use super::Node;
use crate::journal::view::View;
use crate::pb;
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

impl Node {
    /// Reads every committed frame once after the start.
    pub(super) async fn check_segments(self: Arc<Self>) {
        let mut stopping = self.stopping();
        let mut checkup = self.view().segments().checkup();
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
}
