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
use super::policies::rules_in_force::RulesInForce;
use crate::disclosure::{Basis, Found, Run};
use crate::exchange::{LAG_ENTRIES_MAX, Lag};
use crate::ident::{AgencyName, Timestamp};
use crate::journal::JournalError;
use crate::journal::gate::Closed;
use crate::journal::progress::{Progress, Rescan};
use crate::journal::state::PartnerRecord;
use crate::journal::transaction::Transaction;
use crate::journal::view::{Snapshot, View};
use crate::pb;
use crate::policy::{BrakeLimits, PolicyHour};
use staging::{hold_back, holds};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Journal entries considered in one step; between steps the task looks at what changed.
const STEP_ENTRIES: u64 = 2_048;
/// A partner to whom nothing goes has its position written down this often, so that a restart
/// considers at most so many entries again.
const POSITION_EVERY: u64 = 100_000;
/// Entries without a receipt while a rescan goes on: a live record waits behind them, and two
/// batches take a partner some 100 ms.
const RESCAN_UNRECEIPTED_MAX: u64 = 1_024;
/// The same for a partner that is not there to wait: what it must no longer use is to be on record,
/// and half of what may lag is left to what is new.
const RESCAN_ABSENT_MAX: u64 = LAG_ENTRIES_MAX / 2;
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

/// A part of the journal to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Live { start: u64, end: u64 },
    Rescan { start: u64, end: u64 },
}

impl Part {
    fn look(self, discloser: &mut Discloser) -> Result<Found, JournalError> {
        match self {
            Self::Live { start, end } => discloser.live(start, end),
            Self::Rescan { start, end } => discloser.rescan(start, end),
        }
    }

    /// Returns the progress of the feed after this part was looked at.
    fn after(self, before: Progress, found: &Found) -> Progress {
        match self {
            Self::Live { .. } => {
                let after = Progress { considered: found.reached, ..before };
                if found.rescan { after.again() } else { after }
            }
            Self::Rescan { .. } => {
                Progress { rescan: Rescan { next: found.reached, ..before.rescan }, ..before }
            }
        }
    }
}

/// Returns true if a position is worth an entry of its own, although nothing was found.
fn is_due(written: Progress, now: Progress) -> bool {
    let behind = now.considered.saturating_sub(written.considered);
    let is_other = now.rescan.rules != written.rescan.rules || now.rescan.end != written.rescan.end;
    let before = if is_other { 0 } else { written.rescan.next };
    let ended = now.rescan.is_done() && now.rescan.next > before;
    behind >= POSITION_EVERY || ended || now.rescan.next >= before + POSITION_EVERY
}

/// Returns whether the feed to a partner goes on, or stands still for now.
pub(super) fn may_disclose(
    snapshot: &Snapshot,
    agency: &AgencyName,
    partner: &PartnerRecord,
) -> bool {
    partner.state == pb::PartnerState::Active
        && snapshot.state.policy.is_some()
        && !snapshot.state.witnessing.is_frozen(agency)
        && Lag::of(partner.published.size, partner.receipted).check().is_ok()
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
        let mut held: Option<Discloser> = None;
        let mut progress = self.written(agency);
        let (mut retries, mut lapses) = (Retries::default(), Lapses::default());
        // The first entry since the start that damage kept from being decided.
        let mut undecided: Option<u64> = None;
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
            if self.rules.current().since(agency) == since {
                progress = progress.under(since);
                self.health.progressed(agency, progress);
                self.offer_refused(agency, partner).await?;
                let is_connected = self.health.is_connected(agency);
                let part = next_part(&snapshot, (agency, partner), progress, is_connected);
                if let Some(part) = part {
                    let discloser = self.discloser(held.take(), agency);
                    let Some(discloser) = discloser else { return Ok(()) };
                    let basis = discloser.basis(snapshot.state.narrowings);
                    let is_paused =
                        matches!(part, Part::Rescan { .. }) && !discloser.is_in_standing();
                    if basis.rules == since && !is_paused {
                        let (discloser, found) = self.look(discloser, part).await?;
                        held = Some(discloser);
                        let (after, lapsed) = (part.after(progress, &found), found.lapsed);
                        undecided = undecided.into_iter().chain(found.damaged).min();
                        let published = self.publish(agency, found, after.before(undecided), basis);
                        let pause = if published.await? {
                            progress = after;
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
                    held = Some(discloser);
                }
            }
            problem.end(&self.health, agency);
            tokio::select! {
                _ = grown.changed() => {}
                _ = rules_changed.changed() => {}
                _ = looks.tick(), if !progress.rescan.is_done() || refuses => {}
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

    /// Returns the progress of the feed by the journal.
    fn written(&self, agency: &AgencyName) -> Progress {
        let snapshot = self.core.view().snapshot();
        let partner = snapshot.state.partners.get(agency);
        partner.map_or_else(Progress::default, |partner| partner.published.progress)
    }

    /// The discloser of before, unless rules or hour are others now; `None` if the agency is not a partner.
    fn discloser(&self, held: Option<Discloser>, agency: &AgencyName) -> Option<Discloser> {
        let rules = self.rules.current().for_partner(agency)?;
        let policy_hour = PolicyHour::at(self.core.now());
        held.filter(|held| held.is_current(&rules, &policy_hour)).or_else(|| {
            let view = self.core.view();
            Discloser::new(view, rules, agency, policy_hour, self.limits.clone())
        })
    }

    async fn look(
        &self,
        mut discloser: Discloser,
        part: Part,
    ) -> Result<(Discloser, Found), NodeError> {
        tokio::task::spawn_blocking(move || {
            let found = part.look(&mut discloser)?;
            Ok((discloser, found))
        })
        .await
        .map_err(|_| JournalError::Stopped)?
    }

    /// Writes down what was found. `false`: policy, partner, hour or the newest revision of a series
    /// are others by now, nothing was written, and all of it is to be decided again.
    async fn publish(
        &self,
        agency: &AgencyName,
        mut found: Found,
        progress: Progress,
        basis: Basis,
    ) -> Result<bool, NodeError> {
        self.health.denied(agency, &found.denied);
        if let Some(index) = found.damaged {
            tracing::error!(partner = %agency, from_entry = index,
                "stored bytes are damaged; what cannot be decided is not disclosed until the newest copy is back");
        }
        if found.erred > 0 {
            tracing::error!(partner = %agency, records = found.erred,
                "a policy could not be evaluated; the records were withheld");
        }
        let is_due = is_due(self.written(agency), progress);
        if found.is_empty() && !is_due {
            return Ok(true);
        }
        let agency = agency.clone();
        let job = move |tx: &mut Transaction<'_>| {
            write_down(tx, &agency, &mut found, (progress, is_due), &basis)
        };
        Ok(self.core.journal.commit(job).await?.0)
    }
}

/// Returns true if the partner is to be offered again what it refused. `acceptance`: the number of changes to
/// its rules of acceptance, by its own count.
pub(super) fn is_offer_due(
    view: &View,
    partner: &PartnerRecord,
    acceptance: u64,
    now: Timestamp,
) -> Result<bool, JournalError> {
    let due = partner.offering.due_at(acceptance);
    Ok(due.is_some_and(|due| due <= now)
        && partner.state == pb::PartnerState::Active
        && view.refuses_any(partner.feed, partner.offering.below)?)
}

/// Returns the next part of the work; new entries come first.
fn next_part(
    snapshot: &Snapshot,
    (agency, partner): (&AgencyName, &PartnerRecord),
    progress: Progress,
    is_connected: bool,
) -> Option<Part> {
    let lag = Lag::of(partner.published.size, partner.receipted);
    let Progress { considered, rescan } = progress;
    if !may_disclose(snapshot, agency, partner) {
        return None;
    }
    if considered < snapshot.size {
        let end = snapshot.size.min(considered + STEP_ENTRIES);
        return Some(Part::Live { start: considered, end });
    }
    let most = if is_connected { RESCAN_UNRECEIPTED_MAX } else { RESCAN_ABSENT_MAX };
    let part = Part::Rescan { start: rescan.next, end: rescan.end };
    (!rescan.is_done() && lag.entries < most).then_some(part)
}

/// Writes down what a step found, with the progress after it; with `is_due` the progress alone too. `false`:
/// what it rests on has changed, and nothing was written.
fn write_down(
    tx: &mut Transaction<'_>,
    agency: &AgencyName,
    found: &mut Found,
    (progress, is_due): (Progress, bool),
    basis: &Basis,
) -> Result<bool, JournalError> {
    let mut shown = found.runs.iter().flat_map(|run| &run.shown);
    let stand = shown.all(|series| tx.stands(*series, found.journal_size));
    if !stand || !holds(basis, tx, agency) {
        return Ok(false);
    }
    hold_back(tx, agency, &found.held)?;
    if found.runs.is_empty() && is_due {
        tx.publish(agency, &[], progress, 0)?;
    }
    // Nothing else went into the feed, so what was looked up still stands.
    let stands = tx.feed_size(agency) == found.feed_size;
    let at_ms = tx.now().unix_ms() as u64;
    for Run { entries, before, withheld, new, shown: _ } in &mut found.runs {
        entries.iter_mut().for_each(|entry| entry.at_ms = at_ms);
        if stands {
            let counted = (*withheld, &*new);
            tx.publish_counted(agency, entries, Some(before), progress, counted)?;
        } else {
            tx.publish(agency, entries, progress, *withheld)?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(considered: u64, next: u64, end: u64) -> Progress {
        Progress { considered, rescan: Rescan { rules: 7, next, end } }
    }

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

    #[test]
    fn a_position_is_written_now_and_then_and_when_a_rescan_ends() {
        let written = at(900_000, 0, 900_000);
        assert!(!is_due(written, at(900_500, 99_999, 900_000)));
        assert!(is_due(written, at(900_500, 100_000, 900_000)));
        assert!(is_due(written, at(1_000_000, 0, 900_000)));
        let later = at(900_000, 899_000, 900_000);
        assert!(is_due(later, at(900_000, 900_000, 900_000)));
        assert!(!is_due(at(900_000, 900_000, 900_000), at(900_001, 900_000, 900_000)));
    }

    #[test]
    fn other_rules_begin_a_rescan_of_what_was_considered_before_them() {
        let progress = Progress { considered: 50, rescan: Rescan::default() };
        let under = progress.under(40);
        assert_eq!(under.rescan, Rescan { rules: 40, next: 0, end: 40 });
        assert_eq!(under.under(40), under);
        assert_eq!(progress.under(60).rescan.end, 50);
        let fresh = Progress::default().under(40);
        assert!(fresh.rescan.is_done(), "a new partner's journal is all before it");
        let found = Found { reached: 60, rescan: true, ..Found::default() };
        let again = Part::Live { start: 50, end: 60 }.after(under, &found);
        assert_eq!((again.considered, again.rescan.next, again.rescan.end), (60, 0, 60));
    }
}
