//! The admission of callers that bring records: each waits for its turn, and for partners that are behind.

use super::{BACKLOG_MAX, Caller, Turn, Turns};
use crate::node::core::Core;
use crate::node::disclosure::walk::may_disclose;
use crate::node::peers::peer_health::PeerHealth;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// The longest that one request waits for partners. A partner that confirms nothing slows a flood
/// down and stops nobody.
const WAIT_MAX: Duration = Duration::from_millis(250);

pub(in crate::node) struct Admission {
    core: Arc<Core>,
    health: Arc<PeerHealth>,
    turns: Turns,
}

impl Admission {
    pub(in crate::node) fn new(core: Arc<Core>, health: Arc<PeerHealth>) -> Arc<Self> {
        Arc::new(Self { core, health, turns: Turns::default() })
    }

    /// Waits until a caller may bring so many records. They go on in the order in which they asked; the
    /// turn ends when what this returns is dropped.
    pub(in crate::node) async fn turn(
        &self,
        caller: Caller<'_>,
        records: u64,
    ) -> Option<OwnedSemaphorePermit> {
        let Turn { turns, share, is_alone } = self.turns.begin(caller, Instant::now());
        let permit = turns.acquire_many_owned(share).await.ok();
        if !is_alone && self.turns.has_to_wait(caller, records, self.backlog(caller)) {
            // Out of patience is as good as up to date.
            drop(tokio::time::timeout(WAIT_MAX, self.caught_up(caller)).await);
        }
        permit
    }

    /// Entries by which the connected partner is behind that is furthest behind: of the journal, that its
    /// feed has to consider, or of the feed, that it has to confirm. What a partner brings does not wait
    /// for confirmations: two nodes would wait for each other.
    fn backlog(&self, caller: Caller<'_>) -> u64 {
        let snapshot = self.core.view().snapshot();
        let behind = |(agency, partner)| {
            let health = self.health.with(agency, |peer| peer.health.clone());
            let progress = health.progress.filter(|_| health.connected);
            let Some(progress) = progress else { return 0 };
            if !may_disclose(&snapshot, agency, partner) {
                return 0;
            }
            let unconsidered = snapshot.size.saturating_sub(progress.considered);
            match caller {
                Caller::Client(_) => {
                    unconsidered.max(partner.published.size.saturating_sub(partner.receipted))
                }
                Caller::Partner(_) => unconsidered,
            }
        };
        snapshot.state.partners.iter().map(behind).max().unwrap_or_default()
    }

    /// Returns once the backlog no longer counts.
    async fn caught_up(&self, caller: Caller<'_>) {
        let (mut grown, mut walked) = (self.core.journal.grown(), self.health.walked());
        while self.backlog(caller) > BACKLOG_MAX {
            tokio::select! {
                _ = grown.changed() => {}
                _ = walked.changed() => {}
            }
        }
    }
}
