//! Answers about decisions: why a record is or is not at a partner, now and at a time in the past.

mod delivery;
pub(super) mod error;
mod explain;
mod missing_consent;
pub(super) mod evaluation;
pub(super) mod decision_context;
pub(super) mod access_report;

use super::core::Core;
use super::peers::peer_health::PeerHealth;
use super::policies::past_bundles::PastBundles;
use super::policies::rules_in_force::RulesInForce;
use crate::policy::BrakeLimits;
use std::path::PathBuf;
use std::sync::Arc;

/// Answers about decisions. They decide as the feeds do, and change nothing.
pub struct Explanations {
    core: Arc<Core>,
    rules: Arc<RulesInForce>,
    health: Arc<PeerHealth>,
    past_bundles: PastBundles,
    /// The node's directory, which holds the bundles.
    dir: PathBuf,
    /// The limits of the release brake.
    limits: BrakeLimits,
}

impl Explanations {
    pub(super) fn new(
        core: Arc<Core>,
        rules: Arc<RulesInForce>,
        health: Arc<PeerHealth>,
        dir: PathBuf,
        limits: BrakeLimits,
    ) -> Self {
        Self { core, rules, health, past_bundles: PastBundles::default(), dir, limits }
    }
}
