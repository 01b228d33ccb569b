//! The clock as the tasks of a node and its administrators use it.

use super::super::Node;
use crate::clock::STEP_MS_MAX;
use crate::ident::{AgencyName, Timestamp};
use crate::journal::state::State;
use crate::node::error::NodeError;
use crate::pb::{self, journal_entry::Event};
use std::time::Duration;

/// The number of times that the clock is read where nobody asks for the time.
const TICK: Duration = Duration::from_secs(1);
/// The number of times that partners are asked for their time while the clock is in doubt.
const ASK_EVERY_TICKS: u32 = 60;

impl Node {
    /// The time of decisions and signatures: never before the journal's last entry.
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Reads the clock each second until the node stops, so that a step shows where nothing is asked.
    pub(in crate::node) async fn watch_clock(&self) {
        let mut stopping = self.stopping();
        let mut ticks = tokio::time::interval(TICK);
        let mut in_doubt = 0;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            self.now();
            let is_in_doubt = self.time.clock().doubt().is_some();
            in_doubt = if is_in_doubt { in_doubt + 1 } else { 0 };
            if is_in_doubt && in_doubt % ASK_EVERY_TICKS == 0 {
                self.time.asked.send_modify(|count| *count += 1);
            }
        }
    }

    /// Forgets the times of partners that are not active any more.
    pub(in crate::node) fn forget_times(&self, state: &State) {
        let is_known = |name: &str| {
            let partner = name.parse::<AgencyName>().ok();
            let partner = partner.and_then(|agency| state.partners.get(&agency));
            state.witnessing.added.contains_key(name)
                || partner.is_some_and(|partner| partner.state == pb::PartnerState::Active)
        };
        self.time.clock().retain(is_known);
    }

    /// Believes the wall clock on the word of an administrator, who read `time` off another clock.
    pub async fn confirm_clock(&self, client: &str, time: Timestamp) -> Result<(), NodeError> {
        let wall = self.time.source.read();
        if (wall.time.unix_ms() - time.unix_ms()).abs() > STEP_MS_MAX {
            return Err(NodeError::Precondition(format!(
                "the wall clock of this node reads {}, and yours {time}; set the wall clock right first",
                wall.time
            )));
        }
        self.time.clock().confirm(wall);
        self.now();
        let confirmed = pb::ClockConfirmed {
            client: client.to_owned(),
            wall_ms: wall.time.unix_ms().unsigned_abs(),
        };
        self.journal
            .commit(move |tx| tx.append(Event::ClockConfirmed(confirmed)).map(drop))
            .await?;
        self.time.confirmed.notify_one();
        Ok(())
    }
}
