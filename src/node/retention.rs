//! The end of a record's time: what its marking says it may no longer be kept for is erased.
//!
//! The originator fixed the time under its signature, so no second person is asked; every holder
//! finds the same, so no order travels. What is held stays.

use super::{Node, NodeError};
use crate::ident::RecordId;
use crate::journal::JournalError;
use crate::journal::erase::Ground;
use crate::journal::transaction::Transaction;
use crate::policy::retention_ended;
use crate::record::erasure::ErasureBasis;
use crate::record::slots::SlotMask;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked for. Times are dates; a day more is within any law's tolerance.
const EVERY: Duration = Duration::from_secs(24 * 3_600);

/// How soon it is tried again when nothing could be signed.
const AGAIN: Duration = Duration::from_secs(60);

/// Records of one job of the writer: about 1 MiB to overwrite.
const STEP_RECORDS: usize = 256;

impl Node {
    /// Erases what is due at the start and then daily, until the node stops.
    pub(super) async fn keep_to_retention(self: Arc<Self>) {
        let mut stopping = self.stopping();
        loop {
            let pause = match self.erase_due().await {
                Ok(0) => EVERY,
                Ok(records) => {
                    tracing::info!(records, "erased what may no longer be kept");
                    EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "what may no longer be kept is still here");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Erases every record whose time has ended; tells how many.
    pub async fn erase_due(&self) -> Result<u64, NodeError> {
        let (mut erased, mut from) = (0, None::<Vec<u8>>);
        loop {
            let (view, now, after) = (Arc::clone(self.view()), self.now(), from.clone());
            let due = tokio::task::spawn_blocking(move || {
                view.retention_due(after.as_deref(), now, STEP_RECORDS)
            });
            let due = due.await.map_err(|_| JournalError::Stopped)??;
            let Some((last, _)) = due.last() else { break };
            from = Some(last.clone());
            let (count, _) = self
                .ledger
                .commit(move |tx| {
                    due.iter().try_fold(0, |sum, (_, id)| Ok(sum + u64::from(erase(tx, id)?)))
                })
                .await?;
            erased += count;
        }
        if erased > 0 {
            self.scrub_soon();
        }
        Ok(erased)
    }
}

fn erase(tx: &mut Transaction<'_>, id: &RecordId) -> Result<bool, JournalError> {
    let (Some(record), Some(marks)) = (tx.record(id)?, tx.marks(id)?) else {
        return Ok(false);
    };
    let until = record.header().marking.retain_until;
    if !retention_ended(record.kind(), marks.is_restricted(), until, tx.now()) {
        return Ok(false);
    }
    let ground = Ground {
        basis: ErasureBasis::Retention,
        authority: String::new(),
        proposal: 0,
        partner: None,
        order: None,
    };
    tx.erase(id, SlotMask::all(record.kind()), &ground).map(|slots| !slots.is_empty())
}
