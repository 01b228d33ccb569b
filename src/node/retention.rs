//! The end of a record's time: what its marking says it may no longer be kept for is erased.
//!
//! The originator fixed the time under its signature, so no second person is asked; every holder
//! finds the same, so no order travels. What is held stays. What a wrong clock erases is gone, so the
//! time must have ended by somebody else's clock too: a partner's, a witness's, or an administrator's.

use super::{Node, NodeError};
use crate::ident::{RecordId, Timestamp};
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

/// How soon it is looked for again while nobody vouches for the clock: partners come back.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Records of one job of the writer: about 1 MiB to overwrite.
const STEP_RECORDS: usize = 256;

impl Node {
    /// Erases what is due at the start and then daily, until the node stops.
    pub(super) async fn keep_to_retention(self: Arc<Self>) {
        let mut stopping = self.stopping();
        loop {
            let pause = match self.erase_due().await {
                Ok(Due { erased, waits }) => {
                    if erased > 0 {
                        tracing::info!(erased, "erased what may no longer be kept");
                    }
                    if waits {
                        tracing::warn!(
                            "records whose time has ended wait until a partner or a witness agrees                              with this node's clock, or `liaison clock confirm`"
                        );
                    }
                    self.time.retention_waits(waits);
                    if waits { LOOK_AGAIN } else { EVERY }
                }
                Err(error) => {
                    tracing::warn!(%error, "what may no longer be kept is still here");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.time.confirmed.notified() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Erases every record whose time has ended, by this node's clock and by another.
    pub async fn erase_due(&self) -> Result<Due, NodeError> {
        let (mut erased, mut from) = (0, None::<Vec<u8>>);
        let vouched = self.time.vouched(&self.view().snapshot().state);
        let now = vouched.unwrap_or(Timestamp::MIN);
        loop {
            let (view, after) = (Arc::clone(self.view()), from.clone());
            let due = tokio::task::spawn_blocking(move || {
                view.retention_due(after.as_deref(), now, STEP_RECORDS)
            });
            let due = due.await.map_err(|_| JournalError::Stopped)??;
            let Some((last, _)) = due.last() else { break };
            from = Some(last.clone());
            let (count, _) = self
                .ledger
                .commit(move |tx| {
                    due.iter().try_fold(0, |sum, (_, id)| Ok(sum + u64::from(erase(tx, id, now)?)))
                })
                .await?;
            erased += count;
        }
        if erased > 0 {
            self.scrub_soon();
        }
        Ok(Due { erased, waits: self.is_due_unvouched(now).await? })
    }

    /// Returns whether the time of a record has ended by this node's clock alone.
    async fn is_due_unvouched(&self, vouched: Timestamp) -> Result<bool, NodeError> {
        let (view, now) = (Arc::clone(self.view()), self.now());
        let look = tokio::task::spawn_blocking(move || -> Result<bool, JournalError> {
            let mut from = None::<Vec<u8>>;
            loop {
                let due = view.retention_due(from.as_deref(), now, STEP_RECORDS)?;
                let Some((last, _)) = due.last() else { return Ok(false) };
                from = Some(last.clone());
                for (_, id) in &due {
                    let Some(kept) = view.kept(id)? else { continue };
                    let until = kept.record.header().marking.retain_until;
                    let is_held = kept.marks.is_restricted();
                    let ended = |at| retention_ended(kept.record.kind(), is_held, until, at);
                    if ended(now) && !ended(vouched) {
                        return Ok(true);
                    }
                }
            }
        });
        Ok(look.await.map_err(|_| JournalError::Stopped)??)
    }
}

/// What came of looking for records whose time has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub erased: u64,
    /// The time of others of them has ended by this node's clock, and nobody else vouches for that.
    pub waits: bool,
}

fn erase(
    tx: &mut Transaction<'_>,
    id: &RecordId,
    vouched: Timestamp,
) -> Result<bool, JournalError> {
    let (Some(record), Some(marks)) = (tx.record(id)?, tx.marks(id)?) else {
        return Ok(false);
    };
    let until = record.header().marking.retain_until;
    if !retention_ended(record.kind(), marks.is_restricted(), until, tx.now().min(vouched)) {
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
