//! The end of a record's storage: it is erased when its marking's time has ended.
//!
//! The originator fixed the time under its signature, so no second person is asked; every holder
//! finds the same, so no order travels. What is held stays. What a wrong clock erases is gone, so the
//! time must have ended by somebody else's clock too: a partner's, a witness's, or an administrator's.

use super::erase::Erasures;
use crate::ident::{RecordId, Timestamp};
use crate::journal::erase::Ground;
use crate::journal::transaction::Transaction;
use crate::journal::writer::JournalWriter;
use crate::journal::{JournalError, unless_damaged};
use crate::node::error::NodeError;
use crate::policy::retention_ended;
use crate::record::erasure::ErasureBasis;
use crate::record::slots::SlotMask;
use std::sync::Arc;
use std::time::Duration;

/// The interval between two looks for records whose time has ended. Times are dates; a day more is
/// within any law's tolerance.
const EVERY: Duration = Duration::from_secs(24 * 3_600);

/// The interval until the next attempt when nothing could be signed.
const AGAIN: Duration = Duration::from_secs(60);

/// The interval until the next look while nobody vouches for the clock: partners come back.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Records of one job of the writer: about 1 MiB to overwrite.
const STEP_RECORDS: usize = 256;

impl Erasures {
    /// Erases what is due at the start and then daily, until the node stops.
    pub(in crate::node) async fn keep_to_retention(self: Arc<Self>) {
        let mut stopping = self.core.stopping();
        loop {
            let pause = match self.erase_due().await {
                Ok(Due { erased, damaged, waits }) => {
                    if erased > 0 {
                        tracing::info!(erased, "erased what may no longer be kept");
                    }
                    if damaged > 0 {
                        tracing::warn!(
                            damaged,
                            "records whose time has ended are damaged and still here; bring back the newest copy"
                        );
                    }
                    if waits {
                        tracing::warn!(
                            "records whose time has ended wait until a partner or a witness agrees                              with this node's clock, or `liaison clock confirm`"
                        );
                    }
                    self.core.time.retention_waits(waits);
                    if waits { LOOK_AGAIN } else { EVERY }
                }
                Err(error) => {
                    tracing::warn!(%error, "what may no longer be kept is still here");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.core.time.confirmed.notified() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Erases every record whose time has ended, by this node's clock and by another.
    pub async fn erase_due(&self) -> Result<Due, NodeError> {
        let (mut erased, mut damaged, mut from) = (0, 0, None::<Vec<u8>>);
        let vouched = self.core.time.vouched(&self.core.view().snapshot().state);
        let now = vouched.unwrap_or(Timestamp::MIN);
        loop {
            let (view, after) = (Arc::clone(self.core.view()), from.clone());
            let due = tokio::task::spawn_blocking(move || {
                view.retention_due(after.as_deref(), now, STEP_RECORDS)
            });
            let due = due.await.map_err(|_| JournalError::Stopped)??;
            let Some((last, _)) = due.last() else { break };
            from = Some(last.clone());
            let ids = due.into_iter().map(|(_, id)| id).collect();
            let (gone, left) = erase_all(&self.core.journal, ids, now).await?;
            erased += gone;
            damaged += left;
        }
        if erased > 0 {
            self.scrub_soon();
        }
        Ok(Due { erased, damaged, waits: self.is_due_unvouched(now).await? })
    }

    /// Returns whether the time of a record has ended by this node's clock alone.
    async fn is_due_unvouched(&self, vouched: Timestamp) -> Result<bool, NodeError> {
        let (view, now) = (Arc::clone(self.core.view()), self.core.now());
        let look = tokio::task::spawn_blocking(move || -> Result<bool, JournalError> {
            let mut from = None::<Vec<u8>>;
            loop {
                let due = view.retention_due(from.as_deref(), now, STEP_RECORDS)?;
                let Some((last, _)) = due.last() else { return Ok(false) };
                from = Some(last.clone());
                for (_, id) in &due {
                    let Some(kept) = unless_damaged(view.kept(id))?.flatten() else { continue };
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

/// The result of looking for records whose time has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub erased: u64,
    /// Records whose time has ended and that cannot be read.
    pub damaged: u64,
    /// The time of others of them has ended by this node's clock, and nobody else vouches for that.
    pub waits: bool,
}

/// Erases those of some records whose time has ended; gives how many, and how many are damaged. A job that meets
/// damage is refused as a whole, so then each record has a job of its own.
async fn erase_all(
    journal: &JournalWriter,
    ids: Vec<RecordId>,
    vouched: Timestamp,
) -> Result<(u64, u64), JournalError> {
    if let Some(erased) = unless_damaged(erase_at_once(journal, ids.clone(), vouched).await)? {
        return Ok((erased, 0));
    }
    let (mut erased, mut damaged) = (0, 0);
    for id in ids {
        match unless_damaged(erase_at_once(journal, vec![id], vouched).await)? {
            Some(gone) => erased += gone,
            None => damaged += 1,
        }
    }
    Ok((erased, damaged))
}

async fn erase_at_once(
    journal: &JournalWriter,
    ids: Vec<RecordId>,
    vouched: Timestamp,
) -> Result<u64, JournalError> {
    let job = move |tx: &mut Transaction<'_>| {
        ids.iter().try_fold(0, |sum, id| Ok(sum + u64::from(erase(tx, id, vouched)?)))
    };
    journal.commit(job).await.map(|(erased, _)| erased)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::disclosure::interference_tests::Store;
    use crate::pb;
    use crate::record::draft::Draft;
    use crate::store::flip_byte_of_frame;
    use crate::testkit::{self, green, now};

    const DAY_MS: i64 = 86_400_000;

    /// A record whose time ended yesterday.
    fn ended(number: u8) -> Draft {
        let retain_until_ms = now().plus_ms(-DAY_MS).unix_ms().unsigned_abs();
        let marking = pb::Marking { retain_until_ms, ..green() };
        let note = testkit::note(&format!("note {number}"), "words", &[]);
        Draft::try_from(pb::Draft { marking: Some(marking), ..note }).unwrap()
    }

    #[test]
    fn a_damaged_record_keeps_no_other_from_being_erased_when_its_time_has_ended() {
        let store = Store::new();
        let ids: Vec<_> = (1..=3).map(|n| store.accept_draft(ended(n))).collect();
        let place = store.journal.view().place(&ids[1]).unwrap().unwrap();
        let damage = |dir: &std::path::Path| flip_byte_of_frame(dir, place.content);
        let store = store.started_anew(damage);
        let due = || ids.clone();
        assert_eq!(store.run(erase_all(&store.journal.writer, due(), now())).unwrap(), (2, 1));
        assert_eq!(store.run(erase_all(&store.journal.writer, due(), now())).unwrap(), (0, 1));
        let store = store.started_anew(damage);
        assert_eq!(store.run(erase_all(&store.journal.writer, due(), now())).unwrap(), (1, 0));
    }
}
