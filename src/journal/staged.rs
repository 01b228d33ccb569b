//! The way back out of a job that fails: everything that it staged is taken back, and what the jobs
//! before it staged stays.
//!
//! The maps of a group note what they replace, so a job that succeeds costs next to nothing. The
//! state is small and failures are rare: it is folded anew from the last commit.

use super::JournalError;
use super::entry;
use super::pending::PendingMark;
use super::state::{FeedNumber, State};
use super::transaction::{Group, StagedLeaf};
use crate::merkle::Frontier;
use crate::store::{BATCH_BYTES_MAX, StoreError};
use bytes::Bytes;

/// Bytes of one job. A job begins when its group has less than [`super::writer::GROUP_BYTES`], so
/// both and the commit fit a batch: whether a job is too large does not depend on what came before.
pub(super) const JOB_BYTES_MAX: usize = BATCH_BYTES_MAX - super::writer::GROUP_BYTES - (1 << 20);

/// The edge of a feed and the number of its staged leaves before a job added to it; `None` if the group had
/// nothing of the feed.
pub(super) type ReplacedFeed = (FeedNumber, Option<(Frontier, usize)>);

/// The measure by which a group was when a job began.
pub(super) struct Savepoint {
    frontier: Frontier,
    frames: usize,
    bytes: usize,
    leaves: usize,
    pending: PendingMark,
}

impl Group {
    /// Marks where the next job begins.
    pub(super) fn mark(&mut self, frontier: &Frontier) -> Savepoint {
        self.erased.mark();
        self.replaced.clear();
        Savepoint {
            frontier: frontier.clone(),
            frames: self.batch.len(),
            bytes: self.batch.bytes(),
            leaves: self.leaves.len(),
            pending: self.pending.mark(),
        }
    }

    /// Refuses what the job since the mark staged if it is more than one job may stage.
    pub(super) fn check_job(&self, mark: &Savepoint) -> Result<(), StoreError> {
        let found = self.batch.bytes() - mark.bytes;
        if found > JOB_BYTES_MAX {
            return Err(StoreError::BatchTooLarge { found, max: JOB_BYTES_MAX });
        }
        Ok(())
    }

    /// Notes how a feed is before a job adds to it.
    pub(super) fn note_feed(&mut self, number: FeedNumber) {
        let before = self.feeds.get(&number).map(|(edge, leaves)| (edge.clone(), leaves.len()));
        self.replaced.push((number, before));
    }

    /// Takes back everything that was staged since the mark; gives the edge of the journal's tree.
    pub(super) fn take_back(&mut self, mark: Savepoint) -> Frontier {
        self.pending.take_back(&mark.pending);
        self.erased.take_back();
        for (number, before) in std::mem::take(&mut self.replaced).into_iter().rev() {
            match (before, self.feeds.get_mut(&number)) {
                (Some((edge, leaves)), Some(feed)) => {
                    feed.0 = edge;
                    feed.1.truncate(leaves);
                }
                _ => {
                    self.feeds.remove(&number);
                }
            }
        }
        self.batch.truncate(mark.frames);
        self.leaves.truncate(mark.leaves);
        mark.frontier
    }

    /// The state after the entries that are staged, from the state at the last commit.
    pub(super) fn state_after(&self, committed: &State, size: u64) -> Result<State, JournalError> {
        let mut state = committed.clone();
        for (index, StagedLeaf { frame, .. }) in (size..).zip(&self.leaves) {
            let bytes = self.batch.payload(*frame).map(Bytes::copy_from_slice).unwrap_or_default();
            let (at, event) = entry::decode(index, &bytes)?;
            state.apply(index, at, &event)?;
        }
        Ok(state)
    }
}
