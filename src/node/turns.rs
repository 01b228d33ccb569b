//! Turns of callers: one that brings much beside others waits until its own records are out of the way.
//!
//! The journal, the walk for each partner and its feed go on in one order, so whoever comes after a
//! thousand records waits for them. While one caller alone brings records nobody does, and it has all
//! of the node. Beside others it has one request under way, and while partners are behind by more
//! than a moment's work, it waits if it brought its part of that.

pub(super) mod admission;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Requests of one caller that are worked on at once while no other brings anything: enough for one
/// stream to keep the journal busy.
const UNDER_WAY_MAX: u32 = 4;
/// The time for which a caller counts as one that brings records after it last did.
const COUNTS_FOR: Duration = Duration::from_secs(1);
/// Entries that partners may be behind by before it counts: two steps of the walk.
const BACKLOG_MAX: u64 = 2_048;
/// Records that a caller may bring while partners are behind, and need not wait.
const SMALL: u64 = 256;
/// Callers that are remembered: partners and clients of one node.
const CALLERS_MAX: usize = 4_096;

/// A client or a partner that brings records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Caller<'a> {
    Client(&'a str),
    Partner(&'a str),
}

impl Caller<'_> {
    fn key(self) -> String {
        match self {
            Self::Client(name) => format!("client {name}"),
            Self::Partner(name) => format!("partner {name}"),
        }
    }
}

/// The turns of one caller.
#[derive(Debug)]
struct OfCaller {
    turns: Arc<Semaphore>,
    /// The time at which it last asked for one.
    asked: Instant,
    /// Records that it brought since partners were last up to date.
    brought: u64,
}

/// The turns of callers, each with its own.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, OfCaller>>);

/// One turn of a caller.
struct Turn {
    turns: Arc<Semaphore>,
    /// The number of its turns that this request takes.
    share: u32,
    /// No other caller brings anything.
    is_alone: bool,
}

impl Turns {
    fn begin(&self, caller: Caller<'_>, now: Instant) -> Turn {
        let key = caller.key();
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_at_it = |other: &OfCaller| now.saturating_duration_since(other.asked) < COUNTS_FOR;
        if callers.len() >= CALLERS_MAX && !callers.contains_key(&key) {
            callers.retain(|_, other| is_at_it(other));
        }
        let is_alone = !callers.iter().any(|(name, other)| *name != key && is_at_it(other));
        let own = callers.entry(key).or_insert_with(|| OfCaller {
            turns: Arc::new(Semaphore::new(UNDER_WAY_MAX as usize)),
            asked: now,
            brought: 0,
        });
        own.asked = now;
        let share = if is_alone { 1 } else { UNDER_WAY_MAX };
        Turn { turns: Arc::clone(&own.turns), share, is_alone }
    }

    /// Counts records that a caller brings while partners are behind by `backlog`. Returns whether it
    /// has to wait.
    fn has_to_wait(&self, caller: Caller<'_>, records: u64, backlog: u64) -> bool {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = callers.get_mut(&caller.key()) else { return false };
        if backlog <= BACKLOG_MAX {
            own.brought = 0;
            return false;
        }
        own.brought = own.brought.saturating_add(records);
        own.brought > SMALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: Caller<'_> = Caller::Client("tool");
    const OTHER: Caller<'_> = Caller::Partner("other.example");

    #[test]
    fn a_caller_has_one_request_under_way_beside_others_and_four_alone() {
        let (turns, now) = (Turns::default(), Instant::now());
        let under_way = |caller, now| UNDER_WAY_MAX / turns.begin(caller, now).share;
        assert_eq!((under_way(TOOL, now), under_way(TOOL, now)), (4, 4));
        assert_eq!((under_way(OTHER, now), under_way(TOOL, now)), (1, 1));
        let later = now + COUNTS_FOR;
        assert_eq!(under_way(TOOL, later), 4);
    }

    #[test]
    fn who_brought_the_backlog_waits_for_it_and_no_other_does() {
        let (turns, now) = (Turns::default(), Instant::now());
        turns.begin(TOOL, now);
        turns.begin(OTHER, now);
        assert!(!turns.has_to_wait(TOOL, 10_000, BACKLOG_MAX));
        assert!(!turns.has_to_wait(TOOL, SMALL, BACKLOG_MAX + 1));
        assert!(turns.has_to_wait(TOOL, 1, BACKLOG_MAX + 1));
        assert!(!turns.has_to_wait(OTHER, 1, BACKLOG_MAX + 1));
        assert!(!turns.has_to_wait(TOOL, 1, BACKLOG_MAX), "partners are up to date again");
        assert!(!turns.has_to_wait(TOOL, 1, BACKLOG_MAX + 1));
    }
}
