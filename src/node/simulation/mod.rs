//! Four agencies, six streams, one thread, one seed: everything that can come in between does, and in the end every
//! partner holds exactly what policy allowed. The nodes are real: their journals, their decisions and what they take
//! in are those of the program, without its tasks and sockets.
//!
//! [`world`] is all of it with the clock, [`machine`] one node, [`streams`] sessions and the network, [`people`] what
//! persons do, [`faults`] what goes wrong, [`lies`] what a hostile node does; [`policies`] is what is to be shared,
//! [`plain`] the same restated in plain words, [`reading`] what a node holds, [`notes`] what the checks know beside it,
//! [`checks`] what must hold in the end, [`injected`] faults that the checks must find, [`reached`] what the runs got into.
//! [`clocks`] is a small world of its own, about clocks that are set wrong.
//!
//! Durable entries survive a crash; sessions, frames and jobs under way do not. The network either delivers in order
//! or breaks; now and then a hostile one doubles or swaps frames.

mod checks;
mod clocks;
mod faults;
mod injected;
mod lies;
mod machine;
mod notes;
mod people;
mod plain;
mod policies;
mod reached;
mod reading;
mod streams;
mod world;

use crate::policy::{BrakeLimits, LearningRule, PersonalDataRule};
use crate::testkit::Random;
use injected::Injected;
use policies::Book;
use reached::Reached;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use world::World;

const NODES: usize = 4;
/// Steps of one run.
const STEPS: u64 = 600;
/// Seeds of a usual run. CONTRIBUTING.md says how to run others.
const SEEDS: u64 = 280;
/// Records that clients submit in one run.
const RECORDS: usize = 10;
/// A partner is asked for a cosignature at most once in so many milliseconds of simulated time.
const PAUSE_OF_WITNESS_MS: i64 = 10_000;
/// Runs in which the release brake holds nothing: all but one in so many.
const RUNS_WITH_BRAKE: u64 = 4;

static BOOK: LazyLock<Book> = LazyLock::new(Book::new);

impl Random {
    /// Returns true once in so many times.
    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// The limits of the release brake in a run.
fn brake_of_run(seed: u64) -> BrakeLimits {
    if seed % RUNS_WITH_BRAKE == 2 {
        return BrakeLimits::default();
    }
    BrakeLimits {
        learning: LearningRule::Off,
        volume_floor: u64::MAX,
        new_kind: false,
        personal_data: PersonalDataRule::Off,
        loosened_marking: false,
        ..BrakeLimits::default()
    }
}

/// Prints the seed of the run that it sees fail.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "simulation failed with seed {}", self.0);
        }
    }
}

fn simulate(seed: u64, injected: Option<Injected>, book: &'static Book, reached: &mut Reached) {
    let mut world = World::new(seed, injected, book, reached);
    (0..STEPS / 2).for_each(|_| world.step());
    // Everybody has something by then.
    world.meet();
    (0..STEPS / 2).for_each(|_| world.step());
    world.hold_and_erase();
    world.quiesce();
    world.assert_agreement();
    world.end_holds();
    world.change_policies();
    world.quiesce();
    world.assert_agreement();
    world.drain();
    world.assert_agreement();
    world.count_outcomes();
    world.assert_indexes_are_made_anew();
}

/// Returns a number that the environment sets, for a search or a long run.
fn number(name: &str, usual: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs seeds on all processors; tells what they reached.
fn run_all(seeds: Range<u64>) -> Reached {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = || {
        let mut reached = Reached::default();
        loop {
            let seed = Seed(next.fetch_add(1, Ordering::Relaxed));
            if seed.0 >= seeds.end {
                return reached;
            }
            simulate(seed.0, None, &BOOK, &mut reached);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        let all: Vec<_> = joined.collect();
        let mut reached = Reached::default();
        all.into_iter()
            .for_each(|one| reached.merge(one.unwrap_or_else(|panic| resume_unwind(panic))));
        reached
    })
}

#[test]
fn whatever_comes_in_between_every_partner_holds_what_policy_allowed() {
    let from = number("LIAISON_SIMULATION_FROM", 0);
    let seeds = number("LIAISON_SIMULATION_SEEDS", SEEDS);
    let below = run_all(from..from + seeds).below(seeds);
    assert!(below.is_empty(), "hardly reached: {below:?}");
}
