//! The clock of a running node: reads the machine's clocks, takes in the times of others, and holds
//! the gate while the wall clock is not believed.
//!
//! Which time it is, [`DecisionClock`] decides. Everything that is decided, signed or erased goes by
//! [`Timekeeping::now`]; the wall clock itself is for certificates, which the other side judges by its own, for
//! the hello, and for people.

use super::error::NodeError;
use crate::clock::{DecisionClock, Reading, STEP_MS_MAX};
use crate::ident::{AgencyName, Timestamp};
use crate::journal::entry::{receipt_name, witness_name};
use crate::journal::gate::Gate;
use crate::journal::state::State;
use crate::journal::view::View;
use crate::journal::writer::{Clock, JournalWriter};
use crate::merkle::{CosignatureTime, Note};
use crate::pb::{self, journal_entry::Event};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The interval at which the clock is read where nobody asks for the time.
const TICK: Duration = Duration::from_secs(1);
/// The readings after which partners are asked for their time again while the clock is in doubt.
const ASK_EVERY_TICKS: u32 = 60;

/// The machine's clocks, or those of a test.
#[derive(Clone)]
pub struct TimeSource {
    wall: Clock,
    /// Milliseconds that passed in this process, whatever the wall clock reads.
    elapsed_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl TimeSource {
    pub fn new(wall: Clock, elapsed_ms: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { wall, elapsed_ms }
    }

    /// The clocks of the machine.
    pub fn system() -> Self {
        let started = Instant::now();
        let elapsed = move || i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        Self::new(crate::journal::open::system_clock(), Arc::new(elapsed))
    }

    fn read(&self) -> Reading {
        Reading { time: (self.wall)(), elapsed_ms: (self.elapsed_ms)() }
    }
}

/// A wall clock that goes evenly by definition.
impl From<Clock> for TimeSource {
    fn from(wall: Clock) -> Self {
        let (first, clock) = (wall().unix_ms(), Arc::clone(&wall));
        Self::new(wall, Arc::new(move || clock().unix_ms() - first))
    }
}

/// The decision clock with the node's clocks, its journal and its gate.
pub(super) struct Timekeeping {
    source: TimeSource,
    clock: Mutex<DecisionClock>,
    /// Set once the journal is open.
    journal: OnceLock<(Gate, Arc<View>)>,
    /// Counts the times at which partners are asked for theirs: each stream begins anew.
    asked: watch::Sender<u64>,
    /// Set while records are due whose end nobody vouches for.
    retention_waits: watch::Sender<bool>,
    /// Wakes retention after a confirmation.
    pub(super) confirmed: Notify,
}

impl Timekeeping {
    pub(super) fn new(source: TimeSource) -> Arc<Self> {
        Arc::new(Self {
            source,
            clock: Mutex::default(),
            journal: OnceLock::new(),
            asked: watch::Sender::new(0),
            retention_waits: watch::Sender::new(false),
            confirmed: Notify::new(),
        })
    }

    /// The clock that the writer reads.
    pub(super) fn as_clock(self: &Arc<Self>) -> Clock {
        let time = Arc::clone(self);
        Arc::new(move || time.now())
    }

    /// Takes in the journal and its gate, and reads the clock for the first time.
    pub(super) fn begin(&self, gate: &Gate, view: &Arc<View>) {
        // A node opens one journal.
        drop(self.journal.set((gate.clone(), Arc::clone(view))));
        self.now();
    }

    fn clock(&self) -> MutexGuard<'_, DecisionClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock as it reads.
    pub(super) fn wall(&self) -> Timestamp {
        (self.source.wall)()
    }

    /// The time of decisions.
    pub(super) fn now(&self) -> Timestamp {
        let Some((gate, view)) = self.journal.get() else { return self.wall() };
        let snapshot = view.snapshot();
        let card = snapshot.state.card.as_ref().map(|card| card.card().issued_at);
        let floor = card.into_iter().chain(snapshot.state.last_at).max().unwrap_or(Timestamp::MIN);
        let wall = self.source.read();
        let mut clock = self.clock();
        let before = clock.doubt().map(std::mem::discriminant);
        let now = clock.read(wall, if floor == Timestamp::MIN { wall.time } else { floor });
        let doubt = clock.doubt();
        if doubt.map(std::mem::discriminant) != before {
            let words = doubt.map(ToString::to_string);
            gate.doubt(words.as_deref());
            match words {
                Some(doubt) => {
                    tracing::error!(%doubt, "the clock is in doubt; nothing is signed");
                    self.asked.send_modify(|count| *count += 1);
                }
                None => tracing::warn!(time = %wall.time, "the clock is believed again"),
            }
        }
        now
    }

    /// The time by which certificates are judged and made. The other side judges them by its own clock,
    /// so the lead of the journal does not matter.
    pub(super) fn certificate_time(&self) -> Timestamp {
        let now = self.now();
        let is_in_doubt = self.clock().doubt().is_some();
        if is_in_doubt { now } else { self.wall() }
    }

    /// Returns a watch on which each stream begins anew, so that its partner's hello brings a time.
    pub(super) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Takes the time that a partner's hello carries, as it is there now.
    pub(super) fn heard(&self, agency: &AgencyName, time_ms: u64) {
        if let Some(time) = timestamp(time_ms) {
            let elapsed_ms = (self.source.elapsed_ms)();
            self.clock().observe(agency.as_str(), Reading { time, elapsed_ms });
            self.now();
        }
    }

    /// Takes the time of a partner's line under a note that was verified.
    pub(super) fn signed(&self, agency: &AgencyName, name: &str, note: &[u8]) {
        if let Some(time) = line_time(note, name) {
            let elapsed_ms = (self.source.elapsed_ms)();
            self.clock().observe_signed(agency.as_str(), Reading { time, elapsed_ms });
        }
    }

    /// Takes the time of a witness that was asked just now.
    pub(super) fn answered(&self, witness: &str, note: &[u8]) {
        if let Some(time) = line_time(note, witness) {
            let elapsed_ms = (self.source.elapsed_ms)();
            self.clock().observe(witness, Reading { time, elapsed_ms });
            self.now();
        }
    }

    /// The time by which a record's time must have ended before it is erased; `None` while nobody
    /// vouches for the clock.
    pub(super) fn vouched(&self, state: &State) -> Option<Timestamp> {
        let now = self.now();
        let vouched = self.clock().vouched(self.source.read(), signed_time(state));
        vouched.map(|vouched| vouched.min(now))
    }

    /// Notes for `status` that records wait for somebody to vouch for the clock.
    pub(super) fn retention_waits(&self, waits: bool) {
        self.retention_waits.send_replace(waits);
    }

    /// Reads the clock each second until the node stops, so that a step shows where nothing is asked.
    pub(super) async fn watch(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        let mut in_doubt = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            self.now();
            let is_in_doubt = self.clock().doubt().is_some();
            in_doubt = if is_in_doubt { in_doubt + 1 } else { 0 };
            if is_in_doubt && in_doubt % ASK_EVERY_TICKS == 0 {
                self.asked.send_modify(|count| *count += 1);
            }
        }
    }

    /// Forgets the times of partners that are not active any more.
    pub(super) fn forget_others(&self, state: &State) {
        let is_known = |name: &str| {
            let partner = name.parse::<AgencyName>().ok();
            let partner = partner.and_then(|agency| state.partners.get(&agency));
            state.witnessing.added.contains_key(name)
                || partner.is_some_and(|partner| partner.state == pb::PartnerState::Active)
        };
        self.clock().retain(is_known);
    }

    /// Believes the wall clock on the word of an administrator, who read `time` off another clock.
    pub(super) async fn confirm(
        &self,
        journal: &JournalWriter,
        client: &str,
        time: Timestamp,
    ) -> Result<(), NodeError> {
        let wall = self.source.read();
        if (wall.time.unix_ms() - time.unix_ms()).abs() > STEP_MS_MAX {
            return Err(NodeError::OtherTime { wall: wall.time, given: time });
        }
        self.clock().confirm(wall);
        self.now();
        let confirmed = pb::ClockConfirmed {
            client: client.to_owned(),
            wall_ms: wall.time.unix_ms().unsigned_abs(),
        };
        journal.commit(move |tx| tx.append(Event::ClockConfirmed(confirmed)).map(drop)).await?;
        self.confirmed.notify_one();
        Ok(())
    }

    pub(super) fn view(&self) -> pb::ClockView {
        let now = self.now();
        let wall = self.source.read();
        let clock = self.clock();
        let support = clock.support(wall);
        let contradicting = support.contradicting.iter();
        pb::ClockView {
            doubt: clock.doubt().map_or_else(String::new, ToString::to_string),
            wall_ms: wall.time.unix_ms().unsigned_abs(),
            decision_ms: now.unix_ms().unsigned_abs(),
            agreeing: support.agreeing.clone(),
            contradicting: contradicting
                .map(|(other, time)| format!("{other} at {time}"))
                .collect(),
            retention_waits: *self.retention_waits.borrow(),
        }
    }
}

/// The latest time in the journal that somebody else signed, or a person confirmed.
fn signed_time(state: &State) -> Option<Timestamp> {
    let active = state.partners.iter().filter(|(_, partner)| {
        partner.state == pb::PartnerState::Active && !partner.receipt_note.is_empty()
    });
    let receipts = active
        .filter_map(|(agency, partner)| line_time(&partner.receipt_note, &receipt_name(agency)));
    let received = state.witnessing.received.iter();
    let is_known = |witness: &str| {
        let is_partners = |agency: &AgencyName, state| {
            state == pb::PartnerState::Active && witness_name(agency) == witness
        };
        state.witnessing.added.contains_key(witness)
            || state.partners.iter().any(|(agency, partner)| is_partners(agency, partner.state))
    };
    let cosigned = received
        .filter(|(witness, _)| is_known(witness))
        .filter_map(|(witness, cosigned)| line_time(&cosigned.note, witness));
    receipts.chain(cosigned).chain(state.clock_confirmed).max()
}

/// The time in a cosigner's line under a note.
fn line_time(note: &[u8], name: &str) -> Option<Timestamp> {
    let note = Note::parse(note).ok()?;
    let line = note.signatures().iter().find(|line| line.name().as_str() == name)?;
    let seconds = CosignatureTime::of_line(line)?.unix_seconds();
    timestamp(seconds.checked_mul(1_000)?)
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_unix_ms(ms).ok())
}
