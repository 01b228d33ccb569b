//! The look for damage behind the writer, and its report.
//!
//! A node with damage in the middle of its segments goes on: the roots that it signs are over leaf
//! hashes, which agree with its last signed checkpoint. What cannot be read is neither shown nor
//! disclosed nor proven, and `status` names it.

use super::{Addresses, Node};
use crate::journal::view::View;
use crate::pb;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Between two steps of 1 MiB: 25 MiB a second are some 100 seconds for a million records, and a
/// hundredth of one core.
const STEP_EVERY: Duration = Duration::from_millis(40);

/// Returns the damaged places for `status`; a place whose entries are unknown is listed too.
fn damage_views(view: &View) -> Vec<pb::DamageView> {
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
    pub fn status(&self) -> pb::GetStatusResponse {
        let snapshot = self.view().snapshot();
        let head = self.view().journal().head();
        let Addresses { partners, clients, http } =
            self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let witnesses = self.witness_views();
        let covers = |view: &&pb::WitnessView| view.cosigned_size >= snapshot.state.substance;
        // One key under several names is one witness.
        let keys: BTreeSet<_> = witnesses.iter().filter(covers).map(key_of).collect();
        let cosigned_by = keys.len() as u32;
        pb::GetStatusResponse {
            agency: self.agency().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal_size: snapshot.size,
            journal_root: bytes::Bytes::copy_from_slice(head.root.as_bytes()),
            records: snapshot.state.records,
            index_engine: self.config.store.engine.clone(),
            index_lag: self.view().index().lag().changes as u64,
            segment_bytes: segment_bytes(&self.dir.join("store/segments")),
            policy_version: snapshot.state.policy_version().get(),
            partners: self.partner_views(),
            peak_memory_bytes: peak_memory_bytes(),
            refused: self.refusals(),
            started_at_ms: self.started_at.unix_ms() as u64,
            partner_address: partners,
            client_address: clients,
            guard: Some(self.guard.view()),
            contradictions: self.contradiction_views(),
            witnesses,
            http_address: http,
            quorum: self.config.witness.quorum,
            cosigned_by,
            index_failure: self.view().index().failure().unwrap_or_default(),
            damages: damage_views(self.view()),
            clock: Some(self.time.view()),
        }
    }

    /// Everything refused since the start, by reason.
    fn refusals(&self) -> Vec<pb::Count> {
        let mut all = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for port in self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (reason, count) in port.all().filter(|(_, count)| *count > 0) {
                *all.entry(format!("handshake: {}", reason.name())).or_default() += count;
            }
        }
        all.into_iter().map(|(name, count)| pb::Count { name, count }).collect()
    }

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

fn segment_bytes(dir: &Path) -> u64 {
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

/// Type and key in the verifier key of a witness, without its name and id.
fn key_of(witness: &pb::WitnessView) -> &str {
    // Base64 may itself hold a plus sign.
    witness.vkey.splitn(3, '+').nth(2).unwrap_or_default()
}
