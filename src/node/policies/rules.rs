//! The policy in force, ready to decide, and what it sees of a record.

use super::bundles::read_files;
use super::error::PolicyError;
use crate::disclosure::PartnerRules;
use crate::ident::{AgencyName, BundleHash, PolicyVersion};
use crate::journal::state::State;
use crate::journal::transaction::Transaction;
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::policy_facts;
use crate::pb;
use crate::policy::{Bundle, Compiled, PartnerFacts, Vocabulary};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The files of a bundle.
type Files = Vec<pb::PolicyFile>;

/// The policy in force, ready to decide for every partner.
pub(in crate::node) struct Rules {
    pub(in crate::node) version: PolicyVersion,
    pub(in crate::node) compiled: Arc<Compiled>,
    pub(in crate::node) partners: BTreeMap<AgencyName, PartnerFacts>,
    /// The journal entry from which they hold for each partner.
    since: BTreeMap<AgencyName, u64>,
    pub(in crate::node) hash: Option<BundleHash>,
    pub(in crate::node) bundle: Arc<Bundle>,
    pub(in crate::node) files: Files,
}

impl Rules {
    /// Reads the bundle that is in force by the journal.
    pub(in crate::node) fn load(
        dir: &Path,
        own: &AgencyName,
        state: &State,
    ) -> Result<Self, NodeError> {
        let applied = state.policy.as_ref();
        let hash = applied
            .map(|applied| BundleHash::try_from(&applied.bundle_hash[..]))
            .transpose()
            .map_err(|error| NodeError::start("policy in force", error))?;
        let (files, bundle) = bundle_of(dir, hash)?;
        Self::compile(state, &Compiled::new(Arc::new(bundle), own.clone(), []), files, hash)
    }

    /// Refuses what was looked at under these rules if the journal has put others in force.
    pub(in crate::node) fn check_current(&self, tx: &Transaction<'_>) -> Result<(), NodeError> {
        let (loaded, in_force) = (self.version, tx.state().policy_version());
        if in_force == loaded {
            return Ok(());
        }
        Err(PolicyError::Changing { loaded, in_force }.into())
    }

    /// The rules of a bundle, ready to decide for one partner.
    pub(in crate::node) fn of_partner(
        own: &AgencyName,
        version: u64,
        hash: Option<BundleHash>,
        bundle: Arc<Bundle>,
        facts: PartnerFacts,
    ) -> Self {
        let compiled = Compiled::new(Arc::clone(&bundle), own.clone(), [facts.clone()]);
        let partners = BTreeMap::from([(facts.agency.clone(), facts)]);
        let version = PolicyVersion::new(version);
        let compiled = Arc::new(compiled);
        let (since, files) = (BTreeMap::new(), Vec::new());
        Self { version, compiled, partners, since, hash, bundle, files }
    }

    /// The same rules for one partner, of whom other facts are assumed.
    pub(in crate::node) fn with_partner(&self, facts: PartnerFacts) -> Self {
        let (own, bundle) = (self.compiled.own(), Arc::clone(&self.bundle));
        Self::of_partner(own, self.version.get(), self.hash, bundle, facts)
    }

    pub(in crate::node) const fn hash(&self) -> Option<BundleHash> {
        self.hash
    }

    /// Compiles the rules of a bundle for the partners as they are in the journal now.
    pub(in crate::node) fn compile(
        state: &State,
        before: &Compiled,
        files: Files,
        hash: Option<BundleHash>,
    ) -> Result<Self, NodeError> {
        let partners: BTreeMap<AgencyName, PartnerFacts> = state
            .partners
            .iter()
            .map(|(agency, partner)| Ok((agency.clone(), policy_facts(agency, partner)?)))
            .collect::<Result<_, NodeError>>()?;
        let compiled = Arc::new(before.with_partners(partners.values().cloned()));
        let bundle = Arc::clone(compiled.bundle());
        let version = state.policy_version();
        let since = |agency: &AgencyName| (agency.clone(), state.rules_since(agency));
        let since = partners.keys().map(since).collect();
        Ok(Self { version, compiled, partners, since, hash, bundle, files })
    }

    /// Returns the rules for one partner; `None` if the agency is not one.
    pub(in crate::node) fn for_partner(&self, agency: &AgencyName) -> Option<PartnerRules> {
        Some(PartnerRules {
            version: self.version,
            compiled: Arc::clone(&self.compiled),
            facts: self.partners.get(agency)?.clone(),
            since: self.since(agency),
        })
    }

    /// The journal entry from which these rules hold for a partner; 0 if they know none of it.
    pub(in crate::node) fn since(&self, agency: &AgencyName) -> u64 {
        self.since.get(agency).copied().unwrap_or_default()
    }
}

fn texts(files: &[pb::PolicyFile]) -> impl Iterator<Item = (String, String)> {
    files.iter().map(|file| (file.name.clone(), file.text.clone()))
}

/// A bundle that was applied, by its hash; without one, that of no file, which denies everything.
pub(in crate::node) fn bundle_of(
    dir: &Path,
    hash: Option<BundleHash>,
) -> Result<(Files, Bundle), NodeError> {
    let files = hash.map(|hash| read_files(dir, hash)).transpose()?.unwrap_or_default();
    let bundle = Bundle::load(texts(&files), &Vocabulary::default()).map_err(|findings| {
        let finding = findings.first().map(ToString::to_string).unwrap_or_default();
        PolicyError::Unloadable { hash, finding }
    })?;
    if let Some(applied) = hash.filter(|hash| *hash != bundle.hash()) {
        return Err(PolicyError::AlteredFiles { applied, found: bundle.hash() }.into());
    }
    Ok((files, bundle))
}
