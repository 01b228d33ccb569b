//! Use cases around the sharing policy: what is in force, and checking what may be.

pub(super) mod apply;
mod bundles;
pub(super) mod compare;
pub(super) mod error;
pub(super) mod past_bundles;
pub(super) mod rules;
pub(super) mod rules_in_force;

use super::core::Core;
use super::error::NodeError;
use crate::ident::BundleHash;
use crate::pb;
use crate::policy::{Bundle, Finding, Vocabulary, load_proposed};
use bundles::{kept_bundles, read_files};
use rules_in_force::RulesInForce;
use std::path::PathBuf;
use std::sync::Arc;

/// The source of a proposed bundle.
#[derive(Debug, Clone)]
pub enum Proposed {
    Files(Vec<pb::PolicyFile>),
    /// The bundle of an earlier version.
    Version(u64),
}

/// The sharing policy: the bundles that were in force, and what another one would change.
pub struct Policies {
    core: Arc<Core>,
    rules: Arc<RulesInForce>,
    /// The node's directory, which holds the bundles.
    dir: PathBuf,
    /// Held by who counts what another policy would change: it takes all that can be spared.
    comparing: tokio::sync::Mutex<()>,
}

impl Policies {
    pub(super) fn new(core: Arc<Core>, rules: Arc<RulesInForce>, dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { core, rules, dir, comparing: tokio::sync::Mutex::default() })
    }

    /// The bundle in force: version, hash, files.
    pub fn in_force(&self) -> (u64, Option<BundleHash>, Vec<pb::PolicyFile>) {
        let rules = self.rules.current();
        (rules.version.get(), rules.hash, rules.files.clone())
    }

    /// The bundles that were put in force, ascending, and those that were proposed.
    pub fn kept_bundles(&self) -> Result<Vec<BundleHash>, NodeError> {
        kept_bundles(&self.dir)
    }

    /// The files of one of them.
    pub fn kept_files(&self, hash: BundleHash) -> Result<Vec<pb::PolicyFile>, NodeError> {
        read_files(&self.dir, hash)
    }

    fn vocabulary(&self) -> Vocabulary {
        let snapshot = self.core.view().snapshot();
        let facts = snapshot.state.partners.values().map(|partner| &partner.facts);
        let own = std::iter::once(self.core.agency().to_string());
        let partners = snapshot.state.partners.keys().map(ToString::to_string);
        Vocabulary {
            partners: Some(partners.chain(own).collect()),
            circles: Some(facts.clone().flat_map(|facts| facts.circles.clone()).collect()),
            operations: None,
            labels: None,
        }
    }

    /// A bundle as it may be put in force here. Check, diff, apply and approval all load it by this
    /// and nothing else, so whatever a bundle must stand is demanded in this one place.
    pub(super) fn load_bundle(
        &self,
        files: &[pb::PolicyFile],
    ) -> Result<Arc<Bundle>, Vec<Finding>> {
        let named = files.iter().map(|file| (file.name.as_str(), file.text.as_str()));
        load_proposed(&named.collect::<Vec<_>>(), &self.vocabulary())
    }

    /// Checks a bundle against the partners and circles of this node.
    pub fn check(&self, files: &[pb::PolicyFile]) -> Result<BundleHash, Vec<Finding>> {
        self.load_bundle(files).map(|bundle| bundle.hash())
    }
}
