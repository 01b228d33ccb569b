//! The one integration binary: everything with a port, a disk or a process, and what is checked
//! about the text of the project itself.
//!
//! One binary, because linking is most of what an integration test costs. No sleeps, no retries,
//! no ignored tests: wait for a condition.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../fuzz/bodies.rs"]
#[allow(unreachable_pub, reason = "a library of its own for cargo-fuzz")]
mod bodies;
mod circles;
mod clocks;
mod consent;
mod damage;
mod directory;
mod duties;
mod erasure;
mod explain;
mod examples;
mod export;
mod faults;
mod fixture;
mod follows_policy;
mod forwarding;
mod fuzz_corpus;
mod given_ids;
mod glossary;
mod hostile;
mod impostor;
mod independent;
mod kill;
mod memory;
mod onboarding;
mod policy_life;
mod prove;
mod published;
mod push;
#[path = "../../src/testkit/random.rs"]
mod random;
mod real_data;
mod refusals;
mod refused;
mod reinstate;
mod release;
mod rollback;
mod rpcs;
mod series;
mod visibility;
mod slot_tables;
mod source;
mod stores;
mod succession;
mod threats;
mod tidy;
mod verify_export;
mod watch_log;
mod withheld;
mod witness;
