//! Four agencies, six streams, one thread, one seed: everything that can come in between does, and
//! in the end every partner holds exactly what policy allowed. [`world`] is all nodes and what people change
//! at them, [`node`] what one of them holds, [`streams`] sessions and the network, [`disclosing`] the task
//! that feeds a partner, [`relation`] what a node knows of a partner, [`series`] what of a series may go,
//! [`faults`] what goes wrong, [`tail`] a node whose segments lost their tail, [`policies`] what is to be
//! shared, [`duties`] what is laid on a partner and forged, [`erasures`] what originators order erased and
//! what holds defer, [`lies`] what is marked and denied falsely, [`checks`] what must hold in the end,
//! [`injected`] faults that the checks must find.
//!
//! What is durable survives a crash; sessions, frames and jobs under way do not. The network
//! either delivers in order or breaks; now and then a hostile one doubles or swaps frames.

mod checks;
mod clocks;
mod consents;
mod disclosing;
mod duties;
mod erasures;
mod faults;
mod injected;
mod lies;
mod node;
mod offers;
mod policies;
mod relation;
mod series;
mod tail;
mod storing;
mod streams;
mod world;

use checks::Reached;
use injected::Injected;
use policies::Book;
use world::World;

use super::fixture::Agency;

const NODES: usize = 4;
const STEPS: u64 = 600;
/// Records that clients submit in one run.
const RECORDS: usize = 8;

fn agencies() -> Vec<Agency> {
    (1..=NODES as u8).map(Agency::new).collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and one seed is one run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
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

fn run(seed: u64, book: &mut Book, reached: &mut Reached) {
    let seed = Seed(seed);
    simulate(seed.0, None, book, reached);
}

fn simulate(seed: u64, injected: Option<Injected>, book: &mut Book, reached: &mut Reached) {
    let mut world = World::new(seed, injected, book, reached);
    (0..STEPS).for_each(|_| world.step());
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
}

/// Runs every seed, and sees to it that they reached what they are for.
fn run_all(seeds: std::ops::Range<u64>) {
    let (mut book, mut reached) = (Book::new(), Reached::default());
    seeds.for_each(|seed| run(seed, &mut book, &mut reached));
    assert!(reached.all_at_least(5), "hardly reached: {reached:#?}");
}

// In two halves, so that two cores share them.

#[test]
fn whatever_comes_in_between_every_partner_holds_what_policy_allowed() {
    run_all(0..500);
}

#[test]
fn whatever_comes_in_between_every_partner_holds_what_policy_allowed_again() {
    run_all(500..1000);
}
