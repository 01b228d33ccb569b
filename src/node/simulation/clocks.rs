//! Clocks that are set wrong, on three nodes, one of them at a time: skew, steps, starts after an
//! absence. What decides is the node's own [`DecisionClock`]; with it nothing is erased early, nothing
//! is signed outside a key's validity, no honest receipt is refused for its time, and disclosing goes on
//! once the clocks are right. The same runs by the wall clock break each of these.

use crate::clock::{DecisionClock, Reading, STEP_MS_MAX};
use crate::exchange::{SignedTime, check_not_ahead};
use crate::ident::Timestamp;
use crate::testkit::Random;
use std::collections::BTreeSet;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const MACHINES: usize = 3;
const STEPS: usize = 400;
/// Validity of a record key, as `init` makes it.
const KEY_DAYS: i64 = 540;
/// Tries in a row that nothing came of: more is a busy loop.
const TRIES_MAX: usize = 3;

/// The faults that a wrong clock may cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Broken {
    ErasedEarly,
    SignedOutsideValidity,
    BusyLoop,
    DisclosingStopped,
    HonestReceiptRefused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    WallClock,
    DecisionClock,
}

/// A record and when it must go.
struct Kept {
    until: Timestamp,
    disclosed: bool,
    erased: bool,
}

struct Machine {
    /// The wall clock is ahead of the truth by this.
    off_ms: i64,
    started: Timestamp,
    clock: DecisionClock,
    /// The time of the card.
    issued: Timestamp,
    /// The time of the journal's last entry.
    last: Option<Timestamp>,
    /// The latest time of a receipt.
    signed: Option<Timestamp>,
    key_from: Timestamp,
    records: Vec<Kept>,
}

impl Machine {
    fn new(off_ms: i64, truth: Timestamp) -> Self {
        Self {
            off_ms,
            started: truth,
            clock: DecisionClock::default(),
            issued: truth,
            last: None,
            signed: None,
            key_from: truth.hour(),
            records: Vec::new(),
        }
    }

    fn wall(&self, truth: Timestamp) -> Reading {
        let elapsed_ms = truth.unix_ms() - self.started.unix_ms();
        Reading { time: truth.plus_ms(self.off_ms), elapsed_ms }
    }

    fn restart(&mut self, truth: Timestamp) {
        self.started = truth;
        self.clock = DecisionClock::default();
    }

    /// The time of decisions.
    fn now(&mut self, trust: Trust, truth: Timestamp) -> Timestamp {
        let wall = self.wall(truth);
        match trust {
            Trust::WallClock => wall.time,
            Trust::DecisionClock => {
                self.clock.read(wall, self.issued.max(self.last.unwrap_or(self.issued)))
            }
        }
    }

    /// Returns whether the writer takes jobs.
    fn may_sign(&mut self, trust: Trust, truth: Timestamp) -> bool {
        self.now(trust, truth);
        trust == Trust::WallClock || self.clock.doubt().is_none()
    }

    /// The time of an entry that the writer makes now.
    fn entry_time(&mut self, trust: Trust, truth: Timestamp) -> Timestamp {
        let now = self.now(trust, truth);
        self.last.map_or(now, |last| last.max(now))
    }
}

struct World {
    trust: Trust,
    random: Random,
    truth: Timestamp,
    machines: Vec<Machine>,
    broken: BTreeSet<Broken>,
    disclosed: usize,
    erased: usize,
    doubted: usize,
}

impl World {
    fn new(seed: u64, trust: Trust) -> Self {
        let truth: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let mut random = Random(seed);
        // Some begin a little behind the time at which their key was made.
        let machines = (0..MACHINES).map(|_| {
            let off = [0, 0, -3 * MINUTE, 3 * MINUTE][random.index(4)];
            Machine::new(off, truth)
        });
        let machines = machines.collect();
        let broken = BTreeSet::new();
        Self { trust, random, truth, machines, broken, disclosed: 0, erased: 0, doubted: 0 }
    }

    fn step(&mut self) {
        let pass = [0, MINUTE, 20 * MINUTE, 7 * HOUR][self.random.index(4)];
        self.truth = self.truth.plus_ms(pass);
        let at = self.random.index(MACHINES);
        match self.random.below(12) {
            0 => self.set_wrong(at),
            1 => self.machines[at].off_ms = 0,
            2 => {
                let off_for = [MINUTE, 5 * HOUR, 2 * DAY, 20 * DAY][self.random.index(4)];
                self.truth = self.truth.plus_ms(off_for);
                self.machines[at].restart(self.truth);
            }
            3 | 4 => self.push(at),
            5 | 6 => {
                self.disclose(at);
            }
            7 | 8 => self.erase_due(at),
            9 => self.confirm(at),
            _ => {
                let other = self.random.index(MACHINES);
                self.meet(at, other);
            }
        }
    }

    /// One clock is wrong at a time; two that are wrong alike would support each other.
    fn set_wrong(&mut self, at: usize) {
        let others_are_right =
            |(other, machine): (usize, &Machine)| other == at || machine.off_ms.abs() < STEP_MS_MAX;
        if self.machines.iter().enumerate().all(others_are_right) {
            let offs = [90 * MINUTE, -90 * MINUTE, -5 * HOUR, 2 * 365 * DAY, -365 * DAY];
            self.machines[at].off_ms = offs[self.random.index(offs.len())];
        }
    }

    /// Begins a stream: each node gets the reading of the other's wall clock.
    fn meet(&mut self, at: usize, other: usize) {
        if at == other {
            return;
        }
        for (own, partner) in [(at, other), (other, at)] {
            let time = self.machines[partner].wall(self.truth).time;
            let elapsed_ms = self.machines[own].wall(self.truth).elapsed_ms;
            let name = format!("machine{partner}.example");
            self.machines[own].clock.observe(&name, Reading { time, elapsed_ms });
        }
    }

    fn push(&mut self, at: usize) {
        let keeps = [DAY, 30 * DAY, 400 * DAY][self.random.index(3)];
        let (trust, truth) = (self.trust, self.truth);
        let machine = &mut self.machines[at];
        if !machine.may_sign(trust, truth) {
            self.doubted += 1;
            return;
        }
        let created = machine.entry_time(trust, truth);
        let key_until = machine.key_from.plus_ms(KEY_DAYS * DAY);
        // The writer's record signer refuses what its key may not sign; before, it did not look.
        if !(machine.key_from <= created && created < key_until) {
            if trust == Trust::WallClock {
                self.broken.insert(Broken::SignedOutsideValidity);
            }
            return;
        }
        machine.last = Some(created);
        let until = truth.plus_ms(keeps);
        machine.records.push(Kept { until, disclosed: false, erased: false });
    }

    /// A step decides by the hour of now, and its writer refuses it if the hour of the entry is another.
    fn disclose(&mut self, at: usize) -> bool {
        let (trust, truth) = (self.trust, self.truth);
        let partner = &mut self.machines[(at + 1) % MACHINES];
        // It signs the receipt when its writer has taken the batch.
        let gives_receipt = partner.may_sign(trust, truth);
        let receipt = partner.now(trust, truth);
        let machine = &mut self.machines[at];
        if machine.records.iter().all(|record| record.disclosed) {
            return true;
        }
        for _ in 0..TRIES_MAX {
            if !machine.may_sign(trust, truth) {
                self.doubted += 1;
                return false;
            }
            let moment = machine.now(trust, truth).hour();
            let entry = machine.entry_time(trust, truth);
            if entry.hour() == moment {
                machine.last = Some(entry);
                machine.signed = machine.signed.max(Some(receipt));
                machine.records.iter_mut().for_each(|record| record.disclosed = true);
                self.disclosed += 1;
                let time = SignedTime { signed: receipt.into(), made: Some(entry), last: None };
                let verdict = time.check().and_then(|()| check_not_ahead(time.signed, entry));
                if gives_receipt && verdict.is_err() {
                    self.broken.insert(Broken::HonestReceiptRefused);
                }
                return true;
            }
        }
        self.broken.insert(Broken::BusyLoop);
        false
    }

    fn erase_due(&mut self, at: usize) {
        let (trust, truth) = (self.trust, self.truth);
        let machine = &mut self.machines[at];
        if !machine.may_sign(trust, truth) {
            return;
        }
        let entry = machine.entry_time(trust, truth);
        let ended_by = match trust {
            Trust::WallClock => Some(entry),
            Trust::DecisionClock => {
                let vouched = machine.clock.vouched(machine.wall(truth), machine.signed);
                vouched.map(|vouched| vouched.min(entry))
            }
        };
        let Some(ended_by) = ended_by else { return };
        for record in machine.records.iter_mut().filter(|record| !record.erased) {
            if record.until > ended_by {
                continue;
            }
            record.erased = true;
            self.erased += 1;
            if record.until > truth.plus_ms(STEP_MS_MAX) {
                self.broken.insert(Broken::ErasedEarly);
            }
            machine.last = Some(entry);
        }
    }

    /// An administrator with a clock of their own, who is asked when nothing is signed.
    fn confirm(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let wall = machine.wall(self.truth);
        machine.now(Trust::DecisionClock, self.truth);
        if machine.clock.doubt().is_some() && machine.off_ms.abs() <= STEP_MS_MAX {
            machine.clock.confirm(wall);
        }
    }

    /// All clocks are right again, and everybody meets everybody.
    fn quiesce(&mut self) {
        for machine in &mut self.machines {
            machine.off_ms = 0;
        }
        for (at, other) in [(0, 1), (0, 2), (1, 2)] {
            self.meet(at, other);
        }
        for at in 0..MACHINES {
            self.confirm(at);
            self.push(at);
            if !self.disclose(at) {
                self.broken.insert(Broken::DisclosingStopped);
            }
        }
    }
}

fn run(seed: u64, trust: Trust) -> World {
    let mut world = World::new(seed, trust);
    (0..STEPS).for_each(|_| world.step());
    world.quiesce();
    world
}

#[test]
fn whatever_clocks_do_nothing_is_erased_early_or_signed_out_of_time_and_disclosing_goes_on() {
    let (mut disclosed, mut erased, mut doubted) = (0, 0, 0);
    for seed in 0..300 {
        let _seed = super::Seed(seed);
        let world = run(seed, Trust::DecisionClock);
        assert_eq!(world.broken, BTreeSet::new(), "seed {seed}");
        disclosed += world.disclosed;
        erased += world.erased;
        doubted += world.doubted;
    }
    let reached = [disclosed, erased, doubted];
    assert!(reached.iter().all(|count| *count > 100), "hardly reached: {reached:?}");
}

#[test]
fn the_same_runs_by_the_wall_clock_break_every_rule() {
    let runs = (0..300).map(|seed| run(seed, Trust::WallClock).broken);
    let broken: BTreeSet<Broken> = runs.flatten().collect();
    let every = [
        Broken::ErasedEarly,
        Broken::SignedOutsideValidity,
        Broken::BusyLoop,
        Broken::DisclosingStopped,
        Broken::HonestReceiptRefused,
    ];
    assert_eq!(broken, BTreeSet::from(every));
}
