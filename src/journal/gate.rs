//! The gate before the writer: while it is not open, nothing is signed.
//!
//! A node that runs on an old copy of its directory would sign a second root for a size. So whoever
//! starts the journal may hold the gate until it is known that nothing is missing, and shuts it when
//! something is. A wall clock that is not believed holds it too. Every job that stages anything passes
//! here; there is no other way to the writer.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest wait of a job at a held gate. Partners answer within a second if they can be
/// reached.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The reason why a job was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error(
        "this node started and asks its partners whether it runs on an old copy of its directory; nothing is signed before one answers: try again, `liaison status` names the partners"
    )]
    Held,
    #[error(
        "nothing is signed while the clock is in doubt: {0}; correct the clock, or if it is right confirm it with `liaison clock confirm`, then try again"
    )]
    Doubted(Arc<str>),
    #[error(
        "this node runs on an old copy of its directory and signs nothing: {0}; stop it, bring back the newest copy and start it again, or if there is none let its logs be succeeded with `liaison store succeed`"
    )]
    Shut(Arc<str>),
}

/// The state of the gate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    #[default]
    Open,
    /// Jobs wait for partners' answers.
    Held,
    /// Jobs wait until the clock is believed again; with the reason.
    Doubted(Arc<str>),
    /// Jobs are refused, with the reason, until the process ends.
    Shut(Arc<str>),
}

/// The grounds on which the gate is not open; each is lifted on its own.
#[derive(Debug, Default, PartialEq, Eq)]
struct Grounds {
    is_held: bool,
    doubt: Option<Arc<str>>,
    shut: Option<Arc<str>>,
}

impl Grounds {
    const fn are_none(&self) -> bool {
        !self.is_held && self.doubt.is_none() && self.shut.is_none()
    }

    fn standing(&self) -> Standing {
        match self {
            Self { shut: Some(reason), .. } => Standing::Shut(Arc::clone(reason)),
            Self { is_held: true, .. } => Standing::Held,
            Self { doubt: Some(reason), .. } => Standing::Doubted(Arc::clone(reason)),
            Self { .. } => Standing::Open,
        }
    }
}

/// Shared by all handles of a ledger.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<Grounds>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Grounds::default())))
    }
}

impl Gate {
    /// Makes jobs wait, unless the gate is shut.
    pub fn hold(&self) {
        self.change(|grounds| grounds.is_held = true);
    }

    /// Lets jobs through that [`Self::hold`] made wait.
    pub fn open(&self) {
        self.change(|grounds| grounds.is_held = false);
    }

    /// Makes jobs wait because of this doubt about the clock; lets them through without one.
    pub fn doubt(&self, reason: Option<&str>) {
        self.change(|grounds| grounds.doubt = reason.map(Arc::from));
    }

    /// Refuses everything from now on. The first reason stays.
    pub fn shut(&self, reason: &str) {
        self.change(|grounds| {
            grounds.shut.get_or_insert_with(|| reason.into());
        });
    }

    fn change(&self, to: impl FnOnce(&mut Grounds)) {
        self.0.send_modify(to);
    }

    pub fn standing(&self) -> Standing {
        self.0.borrow().standing()
    }

    /// Returns once the gate is open; never if it is shut.
    pub async fn opened(&self) {
        let mut grounds = self.0.subscribe();
        // The sender lives as long as this handle.
        drop(grounds.wait_for(Grounds::are_none).await);
    }

    pub(super) async fn pass(&self) -> Result<(), Closed> {
        self.pass_within(PATIENCE).await
    }

    async fn pass_within(&self, patience: Duration) -> Result<(), Closed> {
        // The way of nearly every job: no timer and no list of those who wait.
        if self.0.borrow().are_none() {
            return Ok(());
        }
        let mut grounds = self.0.subscribe();
        let settled = grounds.wait_for(|grounds| grounds.are_none() || grounds.shut.is_some());
        // Settled, or out of patience: what stands now is the answer.
        drop(tokio::time::timeout(patience, settled).await);
        match self.standing() {
            Standing::Open => Ok(()),
            Standing::Held => Err(Closed::Held),
            Standing::Doubted(reason) => Err(Closed::Doubted(reason)),
            Standing::Shut(reason) => Err(Closed::Shut(reason)),
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

    #[tokio::test]
    async fn each_ground_is_lifted_on_its_own() {
        let gate = Gate::default();
        gate.hold();
        gate.doubt(Some("a step"));
        assert_eq!(gate.standing(), Standing::Held);
        gate.open();
        let refused = Err(Closed::Doubted("a step".into()));
        assert_eq!(gate.pass_within(Duration::ZERO).await, refused);
        gate.doubt(None);
        assert_eq!(gate.pass().await, Ok(()));
    }
}
