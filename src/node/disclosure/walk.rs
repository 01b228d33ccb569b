//! The walk over the journal for one partner: the next step, what it looked at, and what is written down of it.
//!
//! It waits for nobody and sends nothing. Whoever walks takes a step, has it look, and has the writer write what was
//! found; the walk goes on once that is written.

use super::Discloser;
use super::staging::{hold_back, holds};
use crate::disclosure::{Basis, Found, Run};
use crate::exchange::{LAG_ENTRIES_MAX, Lag};
use crate::ident::{AgencyName, Timestamp};
use crate::journal::JournalError;
use crate::journal::progress::{Progress, Rescan};
use crate::journal::state::PartnerRecord;
use crate::journal::transaction::Transaction;
use crate::journal::view::{Snapshot, View};
use crate::node::policies::rules::Rules;
use crate::pb;
use crate::policy::{BrakeLimits, PolicyHour};
use std::sync::Arc;

/// Journal entries that one step considers at the most.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct StepLimit {
    pub(in crate::node) live: u64,
    pub(in crate::node) rescan: u64,
}

impl StepLimit {
    /// Between steps the task looks at what changed. A rescan step takes some 40 ms, so that a live record waits no
    /// longer for its turn.
    pub(in crate::node) const USUAL: Self = Self { live: 2_048, rescan: 8_192 };
}

/// A partner to whom nothing goes has its position written down this often, so that a restart
/// considers at most so many entries again.
const POSITION_EVERY: u64 = 100_000;
/// Entries without a receipt while a rescan goes on: a live record waits behind them, and two
/// batches take a partner some 100 ms.
const RESCAN_UNRECEIPTED_MAX: u64 = 1_024;
/// The same for a partner that is not there to wait: what it must no longer use is to be on record,
/// and half of what may lag is left to what is new.
const RESCAN_ABSENT_MAX: u64 = LAG_ENTRIES_MAX / 2;
/// The node as a step finds it.
pub(in crate::node) struct Setting<'a> {
    pub(in crate::node) view: &'a Arc<View>,
    pub(in crate::node) rules: &'a Rules,
    pub(in crate::node) limits: &'a BrakeLimits,
    pub(in crate::node) now: Timestamp,
    pub(in crate::node) is_connected: bool,
    pub(in crate::node) limit: StepLimit,
}

/// The progress of the feed to a partner, and who decides for it.
pub(in crate::node) struct Walk {
    agency: AgencyName,
    progress: Progress,
    discloser: Option<Discloser>,
    /// The first entry since the start that damage kept from being decided.
    undecided: Option<u64>,
}

impl Walk {
    /// Goes on where the journal says that the feed came to.
    pub(in crate::node) fn new(view: &View, agency: &AgencyName) -> Self {
        let progress = written(view, agency);
        Self { agency: agency.clone(), progress, discloser: None, undecided: None }
    }

    pub(in crate::node) const fn progress(&self) -> Progress {
        self.progress
    }

    /// Goes on under the rules from this entry on; returns the progress under them.
    pub(in crate::node) fn under(&mut self, since: u64) -> Progress {
        self.progress = self.progress.under(since);
        self.progress
    }

    /// Returns the next step under the rules; `None` while there is nothing to look at or nothing may go on.
    pub(in crate::node) fn next(
        &mut self,
        snapshot: &Snapshot,
        setting: &Setting<'_>,
    ) -> Option<Step> {
        let partner = snapshot.state.partners.get(&self.agency)?;
        let part = next_part(snapshot, (&self.agency, partner), self.progress, setting)?;
        let discloser = self.decider(setting)?;
        let basis = discloser.basis(snapshot.state.narrowings);
        let is_paused = matches!(part, Part::Rescan { .. }) && !discloser.is_in_standing();
        if basis.rules != setting.rules.since(&self.agency) || is_paused {
            self.discloser = Some(discloser);
            return None;
        }
        Some(Step { part, discloser, basis })
    }

    /// The discloser of before, unless rules or hour are others now; `None` if the agency is not a partner.
    fn decider(&mut self, setting: &Setting<'_>) -> Option<Discloser> {
        let rules = setting.rules.for_partner(&self.agency)?;
        let policy_hour = PolicyHour::at(setting.now);
        let held = self.discloser.take();
        held.filter(|held| held.is_current(&rules, &policy_hour)).or_else(|| {
            let limits = setting.limits.clone();
            Discloser::new(setting.view, rules, &self.agency, policy_hour, limits)
        })
    }

    /// Takes what a step found; returns the progress after it, and what is to be written down before that counts.
    pub(in crate::node) fn take(
        &mut self,
        looked: Looked,
        view: &View,
    ) -> (Progress, Option<Writing>) {
        let Looked { step: Step { part, discloser, basis }, found } = looked;
        self.discloser = Some(discloser);
        self.undecided = self.undecided.into_iter().chain(found.damaged).min();
        let after = part.after(self.progress, &found);
        let progress = after.before(self.undecided);
        let is_due = is_due(written(view, &self.agency), progress);
        let is_written = !found.is_empty() || is_due;
        let agency = self.agency.clone();
        (after, is_written.then(|| Writing { agency, found, progress, is_due, basis }))
    }

    /// Goes on from here: what was found before it is written down.
    pub(in crate::node) const fn reached(&mut self, after: Progress) {
        self.progress = after;
    }
}

/// Returns the progress of the feed by the journal.
fn written(view: &View, agency: &AgencyName) -> Progress {
    let snapshot = view.snapshot();
    let partner = snapshot.state.partners.get(agency);
    partner.map_or_else(Progress::default, |partner| partner.published.progress)
}

/// A part of the journal that is to be looked at, and who decides on it.
pub(in crate::node) struct Step {
    part: Part,
    discloser: Discloser,
    basis: Basis,
}

impl Step {
    /// Finds what is due; it reads much and writes nothing.
    pub(in crate::node) fn look(mut self) -> Result<Looked, JournalError> {
        let found = self.part.look(&mut self.discloser)?;
        Ok(Looked { step: self, found })
    }
}

/// A step with what it found.
pub(in crate::node) struct Looked {
    step: Step,
    found: Found,
}

impl Looked {
    pub(in crate::node) const fn found(&self) -> &Found {
        &self.found
    }

    /// The findings, for tests that change them.
    #[cfg(test)]
    pub(in crate::node) const fn found_mut(&mut self) -> &mut Found {
        &mut self.found
    }
}

/// The findings of a step that are to be written down.
pub(in crate::node) struct Writing {
    agency: AgencyName,
    found: Found,
    progress: Progress,
    /// The progress alone is worth an entry.
    is_due: bool,
    basis: Basis,
}

impl Writing {
    /// Writes it down. `false`: what it rests on has changed, and nothing was written.
    pub(in crate::node) fn write(
        &mut self,
        tx: &mut Transaction<'_>,
    ) -> Result<bool, JournalError> {
        let Self { agency, found, progress, is_due, basis } = self;
        let (agency, progress) = (&*agency, *progress);
        let mut shown = found.runs.iter().flat_map(|run| &run.shown);
        let stand = shown.all(|series| tx.stands(*series, found.journal_size));
        if !stand || !holds(basis, tx, agency) {
            return Ok(false);
        }
        hold_back(tx, agency, &found.held)?;
        if found.runs.is_empty() && *is_due {
            tx.publish(agency, &[], progress, 0)?;
        }
        // Nothing else went into the feed and no more of it was refused, so what was looked up still stands.
        let now = tx.state().partners.get(agency);
        let stands = now.is_some_and(|now| {
            (now.published.size, now.exceptions) == (found.feed_size, found.exceptions)
        });
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
pub(in crate::node) fn may_disclose(
    snapshot: &Snapshot,
    agency: &AgencyName,
    partner: &PartnerRecord,
) -> bool {
    partner.state == pb::PartnerState::Active
        && snapshot.state.policy.is_some()
        && !snapshot.state.witnessing.is_frozen(agency)
        && Lag::of(partner.published.size, partner.receipted).check().is_ok()
}

/// Returns the next part of the work; new entries come first.
fn next_part(
    snapshot: &Snapshot,
    (agency, partner): (&AgencyName, &PartnerRecord),
    progress: Progress,
    setting: &Setting<'_>,
) -> Option<Part> {
    let lag = Lag::of(partner.published.size, partner.receipted);
    let Progress { considered, rescan } = progress;
    if !may_disclose(snapshot, agency, partner) {
        return None;
    }
    if considered < snapshot.size {
        let end = snapshot.size.min(considered + setting.limit.live);
        return Some(Part::Live { start: considered, end });
    }
    let most = if setting.is_connected { RESCAN_UNRECEIPTED_MAX } else { RESCAN_ABSENT_MAX };
    let end = rescan.end.min(rescan.next.saturating_add(setting.limit.rescan));
    let part = Part::Rescan { start: rescan.next, end };
    (!rescan.is_done() && lag.entries < most).then_some(part)
}

/// Returns true if the partner is to be offered again what it refused. `acceptance`: the number of changes to
/// its rules of acceptance, by its own count.
pub(in crate::node) fn is_offer_due(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(considered: u64, next: u64, end: u64) -> Progress {
        Progress { considered, rescan: Rescan { rules: 7, next, end } }
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
