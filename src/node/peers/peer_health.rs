//! Peer health: the condition of the exchange with each partner, for people and for the tasks that wait for a
//! partner. Nothing here is written down; it begins anew with the process.

use crate::ident::{AgencyName, Timestamp};
use crate::journal::progress::Progress;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Receipts whose delay is kept for the median in `status`.
const DELAYS_MAX: usize = 1_024;

/// Bytes of an error that are kept for people. A partner's words may be in it.
const ERROR_BYTES_MAX: usize = 1_024;

/// The state of the exchange with a partner, for people.
#[derive(Debug, Clone, Default)]
pub(in crate::node) struct Health {
    pub(in crate::node) connected: bool,
    /// The time at which the present stream began, or the last one ended.
    pub(in crate::node) since: Option<Timestamp>,
    pub(in crate::node) last_error: String,
    /// The reason why our feed to it does not go on; empty if it does.
    pub(in crate::node) stopped: String,
    /// The progress of the feed, once its task runs.
    pub(in crate::node) progress: Option<Progress>,
    pub(in crate::node) receipt_ms_p50: u64,
}

/// The figures of one partner.
#[derive(Default)]
pub(in crate::node) struct Peer {
    pub(in crate::node) health: Health,
    delays_ms: VecDeque<u64>,
    /// The number of times that the partner's rules of acceptance changed, by its own count.
    pub(in crate::node) acceptance: u64,
    /// Records that policy denied to the partner since the start, by policy.
    pub(in crate::node) denied: BTreeMap<String, u64>,
}

/// The health of all peers of a node.
#[derive(Default)]
pub(in crate::node) struct PeerHealth {
    peers: Mutex<HashMap<AgencyName, Peer>>,
    /// Changes whenever a feed has considered more of the journal.
    walked: watch::Sender<()>,
}

impl PeerHealth {
    pub(in crate::node) fn with<T>(
        &self,
        agency: &AgencyName,
        change: impl FnOnce(&mut Peer) -> T,
    ) -> T {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        change(peers.entry(agency.clone()).or_default())
    }

    pub(in crate::node) fn of(&self, agency: &AgencyName) -> Health {
        self.with(agency, |peer| {
            let mut delays: Vec<u64> = peer.delays_ms.iter().copied().collect();
            delays.sort_unstable();
            let median = delays.get(delays.len() / 2).copied().unwrap_or_default();
            Health { receipt_ms_p50: median, ..peer.health.clone() }
        })
    }

    pub(in crate::node) fn failed(&self, agency: &AgencyName, mut error: String) {
        error.truncate(shown(&error).len());
        self.with(agency, |peer| peer.health.last_error = error);
    }

    /// Notes that our feed does not go on before stored bytes are mended.
    pub(in crate::node) fn feed_stopped(&self, agency: &AgencyName, error: String) {
        self.with(agency, |peer| shown(&error).clone_into(&mut peer.health.stopped));
        self.failed(agency, error);
    }

    pub(in crate::node) fn feed_goes_on(&self, agency: &AgencyName) {
        self.with(agency, |peer| peer.health.stopped.clear());
    }

    /// Clears a fault unless another was shown since.
    pub(in crate::node) fn recovered(&self, agency: &AgencyName, error: &str) {
        self.with(agency, |peer| {
            if peer.health.last_error == shown(error) {
                peer.health.last_error.clear();
            }
        });
    }

    pub(in crate::node) fn progressed(&self, agency: &AgencyName, progress: Progress) {
        self.with(agency, |peer| peer.health.progress = Some(progress));
        self.walked.send_replace(());
    }

    /// Returns a watch that changes whenever a feed has considered more of the journal.
    pub(in crate::node) fn walked(&self) -> watch::Receiver<()> {
        self.walked.subscribe()
    }

    /// Counts records that policy denied to the partner.
    pub(in crate::node) fn denied(&self, agency: &AgencyName, denied: &BTreeMap<String, u64>) {
        self.with(agency, |peer| {
            for (policy, count) in denied {
                *peer.denied.entry(policy.clone()).or_default() += count;
            }
        });
    }

    pub(in crate::node) fn receipted(&self, agency: &AgencyName, delay_ms: u64) {
        self.with(agency, |peer| {
            peer.delays_ms.push_back(delay_ms);
            if peer.delays_ms.len() > DELAYS_MAX {
                peer.delays_ms.pop_front();
            }
        });
    }

    pub(in crate::node) fn is_connected(&self, agency: &AgencyName) -> bool {
        self.with(agency, |peer| peer.health.connected)
    }
}

/// The part of an error that is kept.
fn shown(error: &str) -> &str {
    &error[..error.floor_char_boundary(ERROR_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_and_is_cleared_by_its_whole_text() {
        let (peers, agency) = (PeerHealth::default(), "jc3.or.jp".parse().unwrap());
        let error = "ü".repeat(ERROR_BYTES_MAX);
        peers.failed(&agency, error.clone());
        assert_eq!(peers.of(&agency).last_error.len(), ERROR_BYTES_MAX);
        peers.recovered(&agency, &error);
        assert_eq!(peers.of(&agency).last_error, "");
    }
}
