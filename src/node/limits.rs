//! The limits of liaison.toml: how much of the node one partner or one client may take.

use super::quota::DayLimits;
use crate::tls::{AcceptLimits, PlaceLimits};
use serde::{Deserialize, Serialize};

/// The share of the node that one partner or one client may take. A limit of 0 counts as 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections on each port.
    pub connections: u32,
    /// Connections among these that are kept for officers, auditors and administrators.
    pub connections_reserved: u32,
    /// Connections of one caller on a port.
    pub connections_per_caller: u32,
    /// Requests of one caller under way on a port.
    pub requests_per_caller: u32,
    /// MiB of messages that one caller has begun to send and not finished.
    pub message_mib_per_caller: u32,
    /// Feed entries of one partner that are taken in on one day.
    pub partner_records_per_day: u64,
    /// MiB of one partner's feed and checkpoints that are taken in on one day.
    pub partner_mib_per_day: u64,
    /// Drafts that one client may submit on one day.
    pub client_records_per_day: u64,
    /// MiB of drafts that one client may submit on one day.
    pub client_mib_per_day: u64,
}

/// A million records with their signatures, four times over: a first exchange of a large store fits
/// a day, and a partner that sends without end fills no disk in a night.
const RECORDS_PER_DAY: u64 = 4_000_000;
const MIB_PER_DAY: u64 = 8 << 10;

impl Default for Limits {
    fn default() -> Self {
        let PlaceLimits {
            connections_max,
            connections_reserved,
            connections_per_caller_max,
            requests_per_caller_max,
            message_bytes_per_caller_max,
        } = PlaceLimits::default();
        Self {
            connections: connections_max as u32,
            connections_reserved: connections_reserved as u32,
            connections_per_caller: connections_per_caller_max as u32,
            requests_per_caller: requests_per_caller_max as u32,
            message_mib_per_caller: (message_bytes_per_caller_max >> 20) as u32,
            partner_records_per_day: RECORDS_PER_DAY,
            partner_mib_per_day: MIB_PER_DAY,
            client_records_per_day: RECORDS_PER_DAY,
            client_mib_per_day: MIB_PER_DAY,
        }
    }
}

impl Limits {
    pub fn accept(&self) -> AcceptLimits {
        let count = |limit: u32| limit.max(1) as usize;
        let places = PlaceLimits {
            connections_max: count(self.connections),
            connections_reserved: self.connections_reserved.min(self.connections / 2) as usize,
            connections_per_caller_max: count(self.connections_per_caller),
            requests_per_caller_max: count(self.requests_per_caller),
            message_bytes_per_caller_max: count(self.message_mib_per_caller.min(1 << 10)) << 20,
        };
        AcceptLimits { places, ..AcceptLimits::default() }
    }

    pub(super) fn of_partner(&self) -> DayLimits {
        day(self.partner_records_per_day, self.partner_mib_per_day)
    }

    pub(super) fn of_client(&self) -> DayLimits {
        day(self.client_records_per_day, self.client_mib_per_day)
    }
}

fn day(records: u64, mib: u64) -> DayLimits {
    DayLimits { records: records.max(1), bytes: mib.clamp(1, 1 << 40) << 20 }
}
