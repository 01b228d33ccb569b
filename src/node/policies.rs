//! Use cases around the sharing policy: what is in force, and checking what may be.

use super::bundles::{kept_bundles, read_files};
use super::partners::policy_facts;
use super::{Node, NodeError};
use crate::ident::{AgencyName, BundleHash, PolicyVersion, RecordId};
use crate::journal::state::State;
use crate::journal::transaction::Transaction;
use crate::pb;
use crate::policy::{
    Bundle, Compiled, Consents, Decision, Finding, Moment, PartnerFacts, RecordFacts, Vocabulary,
    load_proposed,
};
use crate::record::header::Header;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// The files of a bundle.
type Files = Vec<pb::PolicyFile>;

/// The policy in force, ready to decide for every partner.
pub(super) struct Rules {
    pub(super) version: PolicyVersion,
    pub(super) compiled: Arc<Compiled>,
    pub(super) partners: BTreeMap<AgencyName, PartnerFacts>,
    /// The journal entry from which they hold for each partner.
    since: BTreeMap<AgencyName, u64>,
    pub(super) hash: Option<BundleHash>,
    pub(super) bundle: Arc<Bundle>,
    files: Files,
}

impl Rules {
    /// Reads the bundle that is in force by the journal.
    pub(super) fn load(dir: &Path, own: &AgencyName, state: &State) -> Result<Self, NodeError> {
        let applied = state.policy.as_ref();
        let hash = applied
            .map(|applied| BundleHash::try_from(&applied.bundle_hash[..]))
            .transpose()
            .map_err(|error| NodeError::start("policy in force", error))?;
        let (files, bundle) = bundle_of(dir, hash).map_err(|error| {
            NodeError::Start(format!("the policy in force cannot be used: {error}"))
        })?;
        Self::compile(state, &Compiled::new(Arc::new(bundle), own.clone(), []), files, hash)
    }

    /// Refuses what was looked at under these rules if the journal has put others in force.
    pub(super) fn check_current(&self, tx: &Transaction<'_>) -> Result<(), NodeError> {
        if tx.state().policy_version() == self.version {
            return Ok(());
        }
        let text = "the policy changes at this moment; try again";
        Err(NodeError::Precondition(text.to_owned()))
    }

    /// The rules of a bundle, ready to decide for one partner.
    pub(super) fn of_partner(
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
    pub(super) fn with_partner(&self, facts: PartnerFacts) -> Self {
        let (own, bundle) = (self.compiled.own(), Arc::clone(&self.bundle));
        Self::of_partner(own, self.version.get(), self.hash, bundle, facts)
    }

    pub(super) const fn hash(&self) -> Option<BundleHash> {
        self.hash
    }

    /// Compiles the rules of a bundle for the partners as they are in the journal now.
    pub(super) fn compile(
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

    /// The journal entry from which these rules hold for a partner; 0 if they know none of it.
    pub(super) fn since(&self, agency: &AgencyName) -> u64 {
        self.since.get(agency).copied().unwrap_or_default()
    }
}

fn texts(files: &[pb::PolicyFile]) -> impl Iterator<Item = (String, String)> {
    files.iter().map(|file| (file.name.clone(), file.text.clone()))
}

/// A bundle that was applied, by its hash; without one, that of no file, which denies everything.
pub(super) fn bundle_of(
    dir: &Path,
    hash: Option<BundleHash>,
) -> Result<(Files, Bundle), NodeError> {
    let files = hash.map(|hash| read_files(dir, hash)).transpose()?.unwrap_or_default();
    let bundle = Bundle::load(texts(&files), &Vocabulary::default()).map_err(|findings| {
        let first = findings.first().map(ToString::to_string).unwrap_or_default();
        NodeError::Start(format!("it does not load: {first}"))
    })?;
    if hash.is_some_and(|hash| hash != bundle.hash()) {
        return Err(NodeError::Start(format!(
            "its files make the bundle {}, and another was applied; put the files in policies/ back",
            bundle.hash()
        )));
    }
    Ok((files, bundle))
}

/// The same where its release is decided: whom its originator consented to is on its release list.
pub(super) fn release_facts(
    id: &RecordId,
    header: &Header,
    consents: &Consents,
    moment: &Moment,
) -> RecordFacts {
    consents.extend(RecordFacts::from(header), id, moment.hour())
}

/// The policies that denied a release, for counting: the forbids, or that nothing permits.
pub(super) fn denied_by(decision: &Decision) -> String {
    if decision.erred() {
        return "an error of evaluation".to_owned();
    }
    decision.release.deciding.first().cloned().unwrap_or_else(|| "nothing permits".to_owned())
}

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
