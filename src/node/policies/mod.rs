//! Use cases around the sharing policy: what is in force, and checking what may be.

pub(super) mod apply;
mod bundles;
pub(super) mod compare;
pub(super) mod past_bundles;
pub(super) mod rules;

use super::Node;
use super::error::NodeError;
use crate::ident::BundleHash;
use crate::pb;
use crate::policy::{Bundle, Finding, Vocabulary, load_proposed};
use bundles::{kept_bundles, read_files};
use rules::Rules;
use std::sync::{Arc, PoisonError};

impl Node {
    /// Brings the rules to the state of the journal: another bundle, other partners.
    pub(super) fn reload_rules(&self) -> Result<(), NodeError> {
        // Two changes at once must not leave the older one's rules in place.
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.view().snapshot();
        let rules = self.rules.load();
        let in_force = snapshot.state.policy.as_ref().map(|policy| policy.bundle_hash.clone());
        let same = in_force.as_deref() == rules.hash.as_ref().map(|hash| &hash.as_bytes()[..]);
        let fresh = if same {
            Rules::compile(&snapshot.state, &rules.compiled, rules.files.clone(), rules.hash)?
        } else {
            Rules::load(&self.dir, self.agency(), &snapshot.state)?
        };
        self.rules.store(Arc::new(fresh));
        self.rules_changed.send_modify(|count| *count += 1);
        Ok(())
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// The bundle in force: version, hash, files.
    pub fn policy_in_force(&self) -> (u64, Option<BundleHash>, Vec<pb::PolicyFile>) {
        let rules = self.rules();
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
        let snapshot = self.view().snapshot();
        let facts = snapshot.state.partners.values().map(|partner| &partner.facts);
        let own = std::iter::once(self.agency().to_string());
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
    pub fn check_policy(&self, files: &[pb::PolicyFile]) -> Result<BundleHash, Vec<Finding>> {
        self.load_bundle(files).map(|bundle| bundle.hash())
    }
}
