//! The counts of what this node refused since its start, for `status`.

use crate::pb;
use crate::tls::RefusalCounts;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
pub(super) struct Refusals {
    by_reason: Mutex<BTreeMap<String, u64>>,
    /// The counts of handshakes that the ports refuse.
    handshakes: Mutex<Vec<Arc<RefusalCounts>>>,
}

impl Refusals {
    pub(super) fn count(&self, reason: &str) {
        let mut refusals = self.by_reason.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(reason.to_owned()).or_default() += 1;
    }

    /// Takes in the counts of handshakes that a port refuses.
    pub(super) fn add_port(&self, counts: Arc<RefusalCounts>) {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).push(counts);
    }

    /// Everything refused since the start, by reason.
    pub(super) fn all(&self) -> Vec<pb::Count> {
        let mut all = self.by_reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for port in self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (reason, count) in port.all().filter(|(_, count)| *count > 0) {
                *all.entry(format!("handshake: {}", reason.name())).or_default() += count;
            }
        }
        all.into_iter().map(|(name, count)| pb::Count { name, count }).collect()
    }
}
