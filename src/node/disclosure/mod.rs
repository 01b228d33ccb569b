//! The disclosure of records to a partner: from accepted records to entries of its feed, and their
//! retraction.
//!
//! One task a partner walks the journal: first what is new, then, when the policy or the partner
//! changed, what was accepted before, in small steps, so that a live record never waits for long.
//! The fast selection finds candidates, Cedar has the last word, and what is disclosed stands in
//! the feed before it leaves. Nothing here sends anything.

pub(super) mod error;
pub(super) mod loading;
pub mod releases;
mod staging;
pub(in crate::node) mod walk;

#[cfg(test)]
mod brake_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod series_tests;
#[cfg(test)]
pub(in crate::node) mod interference_tests;

/// Decides by the journal of this node.
pub(super) type Discloser = crate::disclosure::Discloser<View>;

use super::core::Core;
use super::error::NodeError;
use super::peers::peer_health::PeerHealth;
use super::policies::rules::Rules;
use super::policies::rules_in_force::RulesInForce;
use crate::disclosure::Found;
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::gate::Closed;
use crate::journal::state::PartnerRecord;
use crate::journal::view::View;
use crate::policy::BrakeLimits;
use std::sync::Arc;
use std::time::{Duration, Instant};
use walk::{Looked, Setting, Step, StepLimit, Walk, is_offer_due};

/// The interval at which a waiting rescan looks whether it may go on.
const RESCAN_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tries in a row to write down what was found, each overtaken. The first is tried again at once, as
/// when an hour begins; the pause then doubles, so that what stays wrong costs next to nothing.
#[derive(Debug, Default)]
struct Retries(u32);

impl Retries {
    const FIRST: Duration = Duration::from_millis(10);
    /// The pause ends well below what a person notices once the cause is gone.
    const MAX: Duration = Duration::from_secs(5);

    fn pause(&mut self) -> Duration {
        self.0 = self.0.saturating_add(1);
        match self.0 {
            1 => Duration::ZERO,
            tries => Self::MAX.min(Self::FIRST * 2_u32.saturating_pow(tries.min(16) - 2)),
        }
    }
}

/// Steps with records that came without their content, by the partner's word. Policy may have changed
/// between two moments, so the first are owed again at once; a partner that goes on saying so waits
/// ever longer, and its feed and our disk do not grow by its word alone.
#[derive(Debug, Default)]
struct Lapses {
    pauses: Retries,
    last: Option<Instant>,
}

impl Lapses {
    /// After so long without any, the next counts as the first.
    const FORGOTTEN: Duration = Duration::from_secs(600);

    fn pause(&mut self, now: Instant) -> Duration {
        let since = self.last.replace(now).map(|last| now.saturating_duration_since(last));
        if since.is_none_or(|since| since > Self::FORGOTTEN) {
            self.pauses = Retries::default();
        }
        self.pauses.pause()
    }
}

/// A fault that disclosing to a partner stopped at. It is shown until a step succeeds again.
#[derive(Debug, Default)]
struct Problem {
    text: String,
    retries: Retries,
}

impl Problem {
    /// Shows the fault and returns the pause before the next try. The log has it once, however often it
    /// comes back.
    fn begin(&mut self, health: &PeerHealth, agency: &AgencyName, error: &NodeError) -> Duration {
        let text = format!("disclosing stopped and is tried again: {error}");
        if text != self.text {
            tracing::error!(partner = %agency, %error, "disclosing has stopped and is tried again");
            *self = Self { text: text.clone(), retries: Retries::default() };
        }
        health.failed(agency, text);
        self.retries.pause()
    }

    fn end(&mut self, health: &PeerHealth, agency: &AgencyName) {
        if !self.text.is_empty() {
            tracing::info!(partner = %agency, "disclosing goes on");
            health.recovered(agency, &self.text);
            *self = Self::default();
        }
    }
}

/// The walk over the journal for each partner.
pub struct Disclosures {
    core: Arc<Core>,
    rules: Arc<RulesInForce>,
    health: Arc<PeerHealth>,
    /// The limits of the release brake.
    limits: BrakeLimits,
}

impl Disclosures {
    pub(super) fn new(
        core: Arc<Core>,
        rules: Arc<RulesInForce>,
        health: Arc<PeerHealth>,
        limits: BrakeLimits,
    ) -> Arc<Self> {
        Arc::new(Self { core, rules, health, limits })
    }

    /// Walks the journal for one partner until the node stops or the partner is revoked.
    pub(super) async fn disclose_to(self: Arc<Self>, agency: AgencyName) {
        let mut stopping = self.core.stopping();
        let mut problem = Problem::default();
        loop {
            match self.disclose_until_stopped(&agency, &mut problem).await {
                // It goes on once the gate is open.
                Err(NodeError::Journal(JournalError::Closed(
                    Closed::Held | Closed::Doubted(_),
                ))) => {}
                // Whoever shut the gate told why.
                Ok(()) | Err(NodeError::Journal(JournalError::Closed(Closed::Shut(_)))) => return,
                Err(error) => {
                    let pause = problem.begin(&self.health, &agency, &error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stopping.wait_for(|stop| *stop) => return,
                    }
                }
            }
        }
    }

    async fn disclose_until_stopped(
        &self,
        agency: &AgencyName,
        problem: &mut Problem,
    ) -> Result<(), NodeError> {
        let mut grown = self.core.journal.grown();
        let mut rules_changed = self.rules.changes();
        let mut stopping = self.core.stopping();
        let mut looks = tokio::time::interval(RESCAN_LOOK_EVERY);
        let mut walk = Walk::new(self.core.view(), agency);
        let (mut retries, mut lapses) = (Retries::default(), Lapses::default());
        tokio::select! {
            () = self.core.journal.gate().opened() => {}
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        }
        loop {
            grown.mark_unchanged();
            rules_changed.mark_unchanged();
            let snapshot = self.core.view().snapshot();
            let Some(partner) = snapshot.state.partners.get(agency) else { return Ok(()) };
            // Rules are loaded after they are journaled; nothing is considered in between.
            let since = snapshot.state.rules_since(agency);
            let refuses = partner.offering.refused_at.is_some();
            let rules = self.rules.current();
            if rules.since(agency) == since {
                self.health.progressed(agency, walk.under(since));
                self.offer_refused(agency, partner).await?;
                if let Some(step) = walk.next(&snapshot, &self.setting(&rules, agency)) {
                    let looked = self.look(step).await?;
                    self.tell(agency, looked.found());
                    let lapsed = looked.found().lapsed;
                    let pause = if self.publish(&mut walk, looked).await? {
                        retries = Retries::default();
                        problem.end(&self.health, agency);
                        if lapsed { lapses.pause(Instant::now()) } else { Duration::ZERO }
                    } else {
                        retries.pause()
                    };
                    if !pause.is_zero() {
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                        }
                    }
                    continue;
                }
            }
            problem.end(&self.health, agency);
            tokio::select! {
                _ = grown.changed() => {}
                _ = rules_changed.changed() => {}
                _ = looks.tick(), if !walk.progress().rescan.is_done() || refuses => {}
                _ = stopping.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    /// Offers again what the partner refused, when that is due.
    async fn offer_refused(
        &self,
        agency: &AgencyName,
        partner: &PartnerRecord,
    ) -> Result<(), NodeError> {
        let acceptance = self.health.with(agency, |peer| peer.acceptance);
        if is_offer_due(self.core.view(), partner, acceptance, self.core.now())? {
            let agency = agency.clone();
            self.core.journal.commit(move |tx| tx.offer_refused(&agency, acceptance)).await?;
        }
        Ok(())
    }

    fn setting<'a>(&'a self, rules: &'a Rules, agency: &AgencyName) -> Setting<'a> {
        Setting {
            view: self.core.view(),
            rules,
            limits: &self.limits,
            now: self.core.now(),
            is_connected: self.health.is_connected(agency),
            limit: StepLimit::USUAL,
        }
    }

    async fn look(&self, step: Step) -> Result<Looked, NodeError> {
        let looking = tokio::task::spawn_blocking(move || step.look());
        Ok(looking.await.map_err(|_| JournalError::Stopped)??)
    }

    /// Tells people of what was found and is not in the feed.
    fn tell(&self, agency: &AgencyName, found: &Found) {
        self.health.denied(agency, &found.denied);
        if let Some(index) = found.damaged {
            tracing::error!(partner = %agency, from_entry = index,
                "stored bytes are damaged; what cannot be decided is not disclosed until the newest copy is back");
        }
        if found.erred > 0 {
            tracing::error!(partner = %agency, records = found.erred,
                "a policy could not be evaluated; the records were withheld");
        }
    }

    /// Writes down what was found. `false`: policy, partner, hour or the newest revision of a series
    /// are others by now, nothing was written, and all of it is to be decided again.
    async fn publish(&self, walk: &mut Walk, looked: Looked) -> Result<bool, NodeError> {
        let (after, writing) = walk.take(looked, self.core.view());
        if let Some(mut writing) = writing
            && !self.core.journal.commit(move |tx| writing.write(tx)).await?.0
        {
            return Ok(false);
        }
        walk.reached(after);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overtaken_step_is_tried_again_at_once_and_then_ever_later() {
        let mut retries = Retries::default();
        let pauses: Vec<_> = (0..12).map(|_| retries.pause().as_millis()).collect();
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000]);
        assert_eq!(Retries(u32::MAX).pause(), Retries::MAX);
    }

    #[test]
    fn a_partner_that_goes_on_saying_that_content_is_missing_waits_ever_longer() {
        let (mut lapses, now) = (Lapses::default(), Instant::now());
        let pauses: Vec<_> = (0..12).map(|_| lapses.pause(now).as_millis()).collect();
        assert_eq!((pauses[0], pauses[1], pauses[11]), (0, 10, 5_000));
        assert_eq!(lapses.pause(now + Lapses::FORGOTTEN), Retries::MAX);
        let later = now + 2 * Lapses::FORGOTTEN + Duration::from_secs(1);
        assert_eq!(lapses.pause(later), Duration::ZERO);
    }

    #[test]
    fn a_fault_of_disclosing_is_shown_until_a_step_succeeds_and_is_tried_again_ever_later() {
        let (health, agency) = (PeerHealth::default(), "jc3.or.jp".parse().unwrap());
        let fault = |reason: &str| {
            NodeError::Journal(JournalError::Entry { index: 7, reason: reason.to_owned() })
        };
        let mut problem = Problem::default();
        problem.end(&health, &agency);
        for pause in [0, 10, 20] {
            let found = problem.begin(&health, &agency, &fault("left over"));
            assert_eq!(found, Duration::from_millis(pause));
        }
        assert!(health.of(&agency).last_error.contains("entry 7 cannot be read: left over"));
        assert_eq!(problem.begin(&health, &agency, &fault("other")), Duration::ZERO);
        problem.end(&health, &agency);
        assert_eq!(health.of(&agency).last_error, "");
        // Another fault of the peer stays.
        problem.begin(&health, &agency, &fault("again"));
        health.failed(&agency, "no route".to_owned());
        problem.end(&health, &agency);
        assert_eq!(health.of(&agency).last_error, "no route");
    }
}
