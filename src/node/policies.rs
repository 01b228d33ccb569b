//! Use cases around the sharing policy: check, put in force; and the rules in force.

use super::partners::policy_facts;
use super::{Node, NodeError};
use crate::ident::{AgencyName, BundleHash, PolicyVersion};
use crate::journal::state::State;
use crate::pb::{self, journal_entry::Event};
use crate::policy::{Bundle, Compiled, Decision, Finding, PartnerFacts, RecordFacts, Vocabulary};
use crate::record::header::Header;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of a bundle at the most.
pub(super) const POLICY_FILES_MAX: usize = 64;

/// Where the bundles that were put in force are kept, by hash.
const APPLIED: &str = "policies";

/// Names and texts.
type Files = Vec<(String, String)>;

/// The policy in force, ready to decide for every partner.
pub(super) struct Rules {
    pub(super) version: PolicyVersion,
    pub(super) compiled: Arc<Compiled>,
    pub(super) partners: BTreeMap<AgencyName, PartnerFacts>,
    hash: Option<BundleHash>,
    bundle: Arc<Bundle>,
    files: Files,
}

impl Rules {
    /// Reads the bundle that the journal says is in force.
    pub(super) fn load(dir: &Path, own: &AgencyName, state: &State) -> Result<Self, NodeError> {
        let applied = state.policy.as_ref();
        let hash = applied
            .map(|applied| BundleHash::try_from(&applied.bundle_hash[..]))
            .transpose()
            .map_err(|error| NodeError::start("policy in force", error))?;
        let (files, bundle) = bundle_of(dir, hash).map_err(|error| {
            NodeError::Start(format!("the policy in force cannot be used: {error}"))
        })?;
        Self::compile(state, own, Arc::new(bundle), files, hash)
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
        Self { version, compiled, partners, hash, bundle, files: Vec::new() }
    }

    /// The same rules for one partner, of whom other facts are assumed.
    pub(super) fn with_partner(&self, facts: PartnerFacts) -> Self {
        let (own, bundle) = (self.compiled.own(), Arc::clone(&self.bundle));
        Self::of_partner(own, self.version.get(), self.hash, bundle, facts)
    }

    pub(super) const fn hash(&self) -> Option<BundleHash> {
        self.hash
    }

    fn compile(
        state: &State,
        own: &AgencyName,
        bundle: Arc<Bundle>,
        files: Files,
        hash: Option<BundleHash>,
    ) -> Result<Self, NodeError> {
        let partners: BTreeMap<AgencyName, PartnerFacts> = state
            .partners
            .iter()
            .map(|(agency, partner)| Ok((agency.clone(), policy_facts(agency, partner)?)))
            .collect::<Result<_, NodeError>>()?;
        let compiled = Compiled::new(Arc::clone(&bundle), own.clone(), partners.values().cloned());
        let version = state.policy_version();
        Ok(Self { version, compiled: Arc::new(compiled), partners, hash, bundle, files })
    }
}

/// A bundle that was applied, by its hash; without one, that of no file, which denies everything.
pub(super) fn bundle_of(
    dir: &Path,
    hash: Option<BundleHash>,
) -> Result<(Files, Bundle), NodeError> {
    let files = hash.map(|hash| read_files(&bundle_dir(dir, hash))).transpose()?;
    let files = files.unwrap_or_default();
    let bundle = Bundle::load(files.clone(), &Vocabulary::default()).map_err(|findings| {
        let first = findings.first().map(ToString::to_string).unwrap_or_default();
        NodeError::Start(format!("it does not load: {first}"))
    })?;
    if let Some(hash) = hash.filter(|hash| *hash != bundle.hash()) {
        return Err(NodeError::Start(format!(
            "the files in {APPLIED}/{hash} are not those that were applied; put them back"
        )));
    }
    Ok((files, bundle))
}

/// What policy sees of a record.
pub(super) fn record_facts(header: &Header) -> RecordFacts {
    RecordFacts::new(
        header.kind,
        header.originator.clone(),
        header.created_at,
        &header.labels,
        header.operation.as_deref(),
        header.confidence,
        &header.marking,
    )
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
        let snapshot = self.view().snapshot();
        let rules = self.rules.load();
        let in_force = snapshot.state.policy.as_ref().map(|policy| policy.bundle_hash.clone());
        let same = in_force.as_deref() == rules.hash.as_ref().map(|hash| &hash.as_bytes()[..]);
        let fresh = if same {
            Rules::compile(
                &snapshot.state,
                self.agency(),
                Arc::clone(&rules.bundle),
                rules.files.clone(),
                rules.hash,
            )?
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
    pub fn policy_files(&self) -> (u64, Option<BundleHash>, Vec<pb::PolicyFile>) {
        let rules = self.rules();
        let files = rules
            .files
            .iter()
            .map(|(name, text)| pb::PolicyFile { name: name.clone(), text: text.clone() });
        (rules.version.get(), rules.hash, files.collect())
    }

    /// The bundles that were put in force, ascending; or were to be, when the node was cut off.
    pub fn applied_bundles(&self) -> Result<Vec<BundleHash>, NodeError> {
        let dir = self.dir.join(APPLIED);
        let failed = |error| NodeError::Start(format!("{}: {error}", dir.display()));
        let mut found = Vec::new();
        match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(failed)? {
                    let name = entry.map_err(failed)?.file_name();
                    found.extend(name.to_str().and_then(|name| name.parse::<BundleHash>().ok()));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The files of one of them.
    pub fn applied_files(&self, hash: BundleHash) -> Result<Vec<pb::PolicyFile>, NodeError> {
        let files = read_files(&bundle_dir(&self.dir, hash))?;
        Ok(files.into_iter().map(|(name, text)| pb::PolicyFile { name, text }).collect())
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

    fn load_bundle(&self, files: &[pb::PolicyFile]) -> Result<Bundle, Vec<Finding>> {
        let files = files.iter().map(|file| (file.name.clone(), file.text.clone()));
        Bundle::load(files, &self.vocabulary())
    }

    /// Checks a bundle against the partners and circles of this node.
    pub fn check_policy(&self, files: &[pb::PolicyFile]) -> Result<BundleHash, Vec<Finding>> {
        self.load_bundle(files).map(|bundle| bundle.hash())
    }

    /// Puts a bundle in force. Its files are durable before the journal names their hash.
    pub async fn apply_policy(
        &self,
        client: &str,
        files: Vec<pb::PolicyFile>,
    ) -> Result<(u64, BundleHash), NodeError> {
        check_names(&files)?;
        let bundle = self.load_bundle(&files).map_err(|findings| {
            let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
            NodeError::Invalid(format!("the bundle is refused:\n{}", text.join("\n")))
        })?;
        let hash = bundle.hash();
        write_files(&bundle_dir(&self.dir, hash), &files)?;
        let client = client.to_owned();
        let (version, _) = self
            .ledger
            .commit(move |tx| {
                let before = tx.state().policy.clone().unwrap_or_default();
                let version = before.version + 1;
                tx.append(Event::PolicyApplied(pb::PolicyApplied {
                    version,
                    bundle_hash: bytes::Bytes::copy_from_slice(hash.as_bytes()),
                    client,
                    previous_hash: before.bundle_hash,
                }))?;
                Ok(version)
            })
            .await?;
        self.reload_rules()?;
        Ok((version, hash))
    }
}

fn bundle_dir(dir: &Path, hash: BundleHash) -> PathBuf {
    dir.join(APPLIED).join(hash.to_string())
}

fn check_names(files: &[pb::PolicyFile]) -> Result<(), NodeError> {
    if files.len() > POLICY_FILES_MAX {
        let text = format!("{} files are more than {POLICY_FILES_MAX}", files.len());
        return Err(NodeError::Invalid(text));
    }
    for file in files {
        let plain = file.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain || file.name.starts_with('.') || !file.name.ends_with(".cedar") {
            return Err(NodeError::Invalid(format!(
                "{:?} is no name of a policy file such as 10-agency.cedar",
                file.name
            )));
        }
    }
    Ok(())
}

/// The policy files of a directory, by name.
fn read_files(dir: &Path) -> Result<Files, NodeError> {
    let failed = |error: std::io::Error| NodeError::Start(format!("{}: {error}", dir.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path).map_err(failed)?));
        }
    }
    files.sort();
    Ok(files)
}

fn write_files(dir: &Path, files: &[pb::PolicyFile]) -> Result<(), NodeError> {
    let failed = |error: std::io::Error| NodeError::Start(format!("{}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    for file in files {
        let path = dir.join(&file.name);
        std::fs::write(&path, &file.text).map_err(failed)?;
        std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    for dir in dir.ancestors().take(3) {
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    Ok(())
}
