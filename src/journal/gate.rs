//! The gate before the writer: while it is not open, nothing is signed.
//!
//! A node that runs on an old copy of its directory would sign a second root for a size. So whoever
//! starts the journal may hold the gate until it is known that nothing is missing, and shuts it when
//! something is. Every job passes here; there is no other way to the writer.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a job waits at a held gate. Partners answer within a second where they can be reached.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why a job was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error(
        "this node started and asks its partners whether it runs on an old copy of its directory; nothing is signed before one answers: try again, `liaison status` says who is awaited"
    )]
    Held,
    #[error(
        "this node runs on an old copy of its directory and signs nothing: {0}; stop it, bring back the newest copy and start it again, or if there is none let its logs be succeeded with `liaison store succeed`"
    )]
    Shut(Arc<str>),
}

/// Where the gate stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Open,
    /// Jobs wait.
    Held,
    /// Jobs are refused, with the reason, until the process ends.
    Shut(Arc<str>),
}

/// Shared by all handles of a ledger.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<Standing>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Standing::Open)))
    }
}

impl Gate {
    /// Makes jobs wait, unless the gate is shut.
    pub fn hold(&self) {
        self.change(Standing::Held);
    }

    /// Lets jobs through, unless the gate is shut.
    pub fn open(&self) {
        self.change(Standing::Open);
    }

    /// Refuses everything from now on. The first reason stays.
    pub fn shut(&self, reason: &str) {
        self.change(Standing::Shut(reason.into()));
    }

    fn change(&self, to: Standing) {
        self.0.send_if_modified(|standing| {
            let changes = !matches!(standing, Standing::Shut(_)) && *standing != to;
            if changes {
                *standing = to;
            }
            changes
        });
    }

    pub fn standing(&self) -> Standing {
        self.0.borrow().clone()
    }

    /// Returns once the gate is open; never if it is shut.
    pub async fn opened(&self) {
        let mut standing = self.0.subscribe();
        // The sender lives as long as this handle.
        drop(standing.wait_for(|standing| *standing == Standing::Open).await);
    }

    pub(super) async fn pass(&self) -> Result<(), Closed> {
        self.pass_within(PATIENCE).await
    }

    async fn pass_within(&self, patience: Duration) -> Result<(), Closed> {
        // The way of nearly every job: no timer and no list of those who wait.
        if *self.0.borrow() == Standing::Open {
            return Ok(());
        }
        let mut standing = self.0.subscribe();
        let settled = standing.wait_for(|standing| *standing != Standing::Held);
        match tokio::time::timeout(patience, settled).await {
            Ok(Ok(standing)) => match &*standing {
                Standing::Shut(reason) => Err(Closed::Shut(Arc::clone(reason))),
                Standing::Open | Standing::Held => Ok(()),
            },
            Ok(Err(_)) | Err(_) => Err(Closed::Held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_waits_at_a_held_gate_and_goes_through_when_it_opens() {
        let gate = Gate::default();
        assert_eq!(gate.pass().await, Ok(()));
        gate.hold();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        gate.open();
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_job_is_refused_after_a_while_and_at_once_at_a_shut_gate() {
        let gate = Gate::default();
        gate.hold();
        assert_eq!(gate.pass_within(Duration::ZERO).await, Err(Closed::Held));
        gate.shut("first");
        gate.shut("second");
        gate.open();
        gate.hold();
        assert_eq!(gate.pass().await, Err(Closed::Shut("first".into())));
    }
}
