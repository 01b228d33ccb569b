//! The exchange with each partner: the driver of its stream, its health, and what comes in.

pub(super) mod answers;
pub(super) mod dialer;
pub(super) mod driver;
#[cfg(test)]
mod driver_tests;
pub(super) mod error;
pub(super) mod flow;
pub(in crate::node) mod ingest;
pub(super) mod pair;
pub(super) mod peer_health;
pub(super) mod session_drivers;

use super::core::Core;
use super::erasure::erase::Erasures;
use super::policies::rules_in_force::RulesInForce;
use super::quota::Quota;
use super::rollback_guard::RollbackGuard;
use super::turns::admission::Admission;
use super::witnessing::witness::Witnessing;
use crate::merkle::Cosigner;
use crate::policy::BrakeLimits;
use peer_health::PeerHealth;
use session_drivers::SessionDrivers;
use std::sync::Arc;

/// The exchange of records, receipts and cosignatures with partners.
pub struct Peers {
    pub(in crate::node) core: Arc<Core>,
    pub(in crate::node) rules: Arc<RulesInForce>,
    pub(in crate::node) health: Arc<PeerHealth>,
    pub(in crate::node) drivers: SessionDrivers,
    pub(in crate::node) guard: Arc<RollbackGuard>,
    pub(in crate::node) witnessing: Arc<Witnessing>,
    pub(in crate::node) erasures: Arc<Erasures>,
    pub(in crate::node) admission: Arc<Admission>,
    /// The share of the day of each partner.
    pub(in crate::node) quota: Quota,
    /// The key of this agency's receipts.
    pub(in crate::node) receipts: Cosigner,
    /// The limits of the release brake.
    pub(in crate::node) limits: BrakeLimits,
}
