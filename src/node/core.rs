//! The core that every use case has: the name of the agency, the journal, the time, the counts of refusals, and the
//! signal that the node stops. It knows no use case.

use super::refusals::Refusals;
use super::timekeeping::Timekeeping;
use crate::ident::{AgencyName, Timestamp};
use crate::journal::view::View;
use crate::journal::writer::JournalWriter;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) struct Core {
    agency: AgencyName,
    pub(super) journal: JournalWriter,
    pub(super) time: Arc<Timekeeping>,
    pub(super) refusals: Refusals,
    stopping: watch::Sender<bool>,
}

impl Core {
    pub(super) fn new(
        agency: AgencyName,
        journal: JournalWriter,
        time: Arc<Timekeeping>,
    ) -> Arc<Self> {
        let (stopping, _) = watch::channel(false);
        Arc::new(Self { agency, journal, time, refusals: Refusals::default(), stopping })
    }

    pub(super) const fn agency(&self) -> &AgencyName {
        &self.agency
    }

    pub(super) fn view(&self) -> &Arc<View> {
        self.journal.view()
    }

    /// The time of decisions and signatures: never before the journal's last entry.
    pub(super) fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Counts something refused, by reason.
    pub(super) fn refused(&self, reason: &str) {
        self.refusals.count(reason);
    }

    /// Stops every task.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Becomes true when the node stops.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}
