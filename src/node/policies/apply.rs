//! Puts a policy in force: after everybody whose approval it needs has seen what it changes.
//!
//! A bundle that shows nothing new takes one officer; one that does is proposed and put in force by
//! the last approval. Before either, all records are counted again: it must not have come to show
//! more than was approved. What is accepted after that count is as any record to come.

use super::bundles;
use super::bundles::{read_files, write_files};
use super::compare::{Counted, Progress, stands};
use super::error::PolicyError;
use super::{Policies, Proposed};
use crate::ident::{BundleHash, Timestamp};
use crate::journal::state::{Compared, State};
use crate::journal::transaction::Transaction;
use crate::journal::{JournalError, unless_damaged};
use crate::node::approvals::proposal::propose;
use crate::node::client::Client;
use crate::node::commit::commit_unless_refused;
use crate::node::error::NodeError;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::{ActKind, Bundle, Extent, PolicyChange};
use std::sync::Arc;

/// The greatest age of a diff when somebody acts on it: a working day, and the night before it.
const COMPARED_HOURS_MAX: i64 = 24;
const HOUR_MS: i64 = 3_600 * 1_000;
/// Versions of one answer.
const VERSIONS_MAX: usize = 100;

/// The result of applying a bundle.
#[derive(Debug)]
pub struct AppliedPolicy {
    pub hash: BundleHash,
    pub change: PolicyChange,
    /// `None`: it waits for others.
    pub version: Option<u64>,
    pub act: Option<pb::ActView>,
}

/// A bundle that was counted again and may be put in force now.
pub(in crate::node) struct Ready {
    comparison: u64,
    compared: pb::PolicyCompared,
    counted: Counted,
}

/// The proposer of a bundle, and those who approved it.
pub(in crate::node) struct Authority {
    pub(in crate::node) client: String,
    pub(in crate::node) role: String,
    pub(in crate::node) note: String,
    pub(in crate::node) restores: u64,
    /// The act and the entries that approved it; nothing where one person was enough.
    pub(in crate::node) approved: Option<(u64, Vec<u64>)>,
}

/// The diff that somebody may act on now.
fn recent(state: &State, hash: BundleHash, now: Timestamp) -> Result<&Compared, NodeError> {
    let Some(found) = state.compared.get(&hash.as_bytes()[..]) else {
        return Err(PolicyError::NotCompared { hash, version: state.policy_version() }.into());
    };
    stands(state, &found.compared)?;
    if now.unix_ms() - found.at.unix_ms() > COMPARED_HOURS_MAX * HOUR_MS {
        return Err(PolicyError::OldDiff { at: found.at, hours_max: COMPARED_HOURS_MAX }.into());
    }
    Ok(found)
}

/// The act as it is proposed, if it can be approved now.
fn check(tx: &Transaction<'_>, act: pb::ApplyPolicyAct) -> Result<pb::ApplyPolicyAct, NodeError> {
    let hash = BundleHash::try_from(&act.bundle_hash[..])?;
    let found = recent(tx.state(), hash, tx.now())?;
    if found.journal_index != act.comparison || found.compared.change != act.change {
        let (newest, referred) = (found.journal_index, act.comparison);
        return Err(PolicyError::NewerDiff { newest, referred }.into());
    }
    let now = tx.now().unix_ms().unsigned_abs();
    let waits = tx.state().acts.iter().find(|(_, open)| {
        let same = |act: &Act| matches!(act, Act::ApplyPolicy(a) if a.bundle_hash == found.compared.bundle_hash && a.base_hash == found.compared.base_hash);
        open.proposed.expires_at_ms > now
            && open.proposed.act.as_ref().and_then(|act| act.act.as_ref()).is_some_and(same)
    });
    match waits {
        Some((proposal, _)) => Err(PolicyError::Proposed { proposal: *proposal }.into()),
        None => Ok(act),
    }
}

impl Ready {
    /// Checks for the last time and writes it down; gives the new version.
    pub(in crate::node) fn put_in_force(
        &self,
        tx: &mut Transaction<'_>,
        authority: Authority,
    ) -> Result<u64, JournalError> {
        let version = tx.state().policy_version().get() + 1;
        let (newly_shown, newly_hidden) = self.counted.totals;
        let (proposal, decisions) = authority.approved.unwrap_or_default();
        tx.append(Event::PolicyApplied(pb::PolicyApplied {
            version,
            bundle_hash: self.compared.bundle_hash.clone(),
            client: authority.client,
            previous_hash: self.compared.base_hash.clone(),
            comparison: self.comparison,
            proposal,
            decisions,
            change: self.compared.change,
            newly_shown,
            newly_hidden,
            journal_size: self.counted.difference.journal_size,
            restores: authority.restores,
            role: authority.role,
            note: authority.note,
        }))?;
        Ok(version)
    }

    /// Nothing that the count was made for has changed since.
    pub(in crate::node) fn stands(&self, tx: &Transaction<'_>) -> Result<(), NodeError> {
        stands(tx.state(), &self.compared)
    }
}

impl Policies {
    /// The bundle that is meant, as it may be put in force here, and its files.
    pub(in crate::node) fn proposed(
        &self,
        proposed: Proposed,
    ) -> Result<(Arc<Bundle>, Vec<pb::PolicyFile>), NodeError> {
        let files = match proposed {
            Proposed::Files(files) => files,
            Proposed::Version(version) => read_files(&self.dir, self.version_hash(version)?)?,
        };
        bundles::check_names(&files)?;
        let bundle =
            self.load_bundle(&files).map_err(|findings| PolicyError::Refused { findings })?;
        Ok((bundle, files))
    }

    fn version_hash(&self, version: u64) -> Result<BundleHash, NodeError> {
        let found = self.core.view().policy_version(version)?;
        let found = found.ok_or(PolicyError::UnknownVersion { version })?;
        BundleHash::try_from(&found.applied.bundle_hash[..])
            .map_err(|error| NodeError::start("a version of the policy", error))
    }

    /// Puts a bundle in force that shows nothing new; proposes one that does.
    pub async fn apply(
        self: &Arc<Self>,
        client: Client,
        proposed: Proposed,
        note: String,
    ) -> Result<AppliedPolicy, NodeError> {
        let restores = match &proposed {
            Proposed::Version(version) => *version,
            Proposed::Files(_) => 0,
        };
        let (bundle, files) = self.proposed(proposed)?;
        let hash = bundle.hash();
        let snapshot = self.core.view().snapshot();
        let in_force = snapshot.state.policy.as_ref();
        if let Some(same) = in_force.filter(|p| p.bundle_hash[..] == hash.as_bytes()[..]) {
            return Err(PolicyError::InForce { version: same.version }.into());
        }
        let found = recent(&snapshot.state, hash, self.core.now())?.clone();
        let change = change_of(&found.compared)?;
        // The approval is for these bytes, so they are durable before anybody is asked.
        write_files(&self.dir, hash, &files)?;
        let Some(_) = ActKind::of_policy(change) else {
            let ready = self.make_ready(bundle, found.journal_index, &found.compared).await?;
            let authority = Authority {
                client: client.name,
                role: client.role.name().to_owned(),
                note,
                restores,
                approved: None,
            };
            let version = self.narrow(ready, authority).await?;
            return Ok(AppliedPolicy { hash, change, version: Some(version), act: None });
        };
        let act = self.act_of(&found, restores, note)?;
        let (act, _) = propose(&self.core.journal, client, (act, Act::ApplyPolicy), check).await?;
        Ok(AppliedPolicy { hash, change, version: None, act: Some(act) })
    }

    fn act_of(
        &self,
        found: &Compared,
        restores: u64,
        note: String,
    ) -> Result<pb::ApplyPolicyAct, NodeError> {
        let compared = &found.compared;
        let (partners, revealed) = self.approvable(compared)?.summary();
        Ok(pb::ApplyPolicyAct {
            bundle_hash: compared.bundle_hash.clone(),
            base_hash: compared.base_hash.clone(),
            comparison: found.journal_index,
            change: compared.change,
            newly_shown: compared.newly_shown,
            newly_hidden: compared.newly_hidden,
            partners: partners as u32,
            revealed: revealed.iter().map(|class| class.name().to_owned()).collect(),
            restores,
            note,
        })
    }

    /// Returns the extent that is approved with a diff.
    fn approvable(&self, compared: &pb::PolicyCompared) -> Result<Extent, NodeError> {
        Extent::try_from(&self.kept_difference(compared)?)
            .map_err(|error| NodeError::start("a kept diff", error))
    }

    /// Counts again what a bundle changes; refused if that is more than its diff showed.
    async fn make_ready(
        &self,
        bundle: Arc<Bundle>,
        comparison: u64,
        compared: &pb::PolicyCompared,
    ) -> Result<Ready, NodeError> {
        let approved = self.approvable(compared)?;
        stands(&self.core.view().snapshot().state, compared)?;
        let counted = self.count(self.question(bundle)?, Arc::new(Progress::default())).await?;
        let beyond = counted.extent.beyond(&approved).or_else(|| {
            let wider = counted.change > change_of(compared).ok()?;
            wider.then(|| format!("enough to make it {}", counted.change))
        });
        match beyond {
            None => Ok(Ready { comparison, compared: compared.clone(), counted }),
            Some(beyond) => Err(PolicyError::ShowsMore { beyond }.into()),
        }
    }

    /// Returns the bundle of an act with a new count, ready to be put in force.
    pub(in crate::node) async fn ready_for(
        &self,
        act: &pb::ApplyPolicyAct,
    ) -> Result<Ready, NodeError> {
        let hash = BundleHash::try_from(&act.bundle_hash[..])
            .map_err(|error| NodeError::start("the bundle of an act", error))?;
        let (bundle, _) = self.proposed(Proposed::Files(read_files(&self.dir, hash)?))?;
        if bundle.hash() != hash {
            let found = bundle.hash();
            return Err(PolicyError::OtherFiles { proposed: hash, found }.into());
        }
        let (_, Event::PolicyCompared(compared)) = self.core.view().event(act.comparison)? else {
            return Err(PolicyError::ActWithoutDiff { entry: act.comparison }.into());
        };
        self.make_ready(bundle, act.comparison, &compared).await
    }

    /// Puts in force what takes one person. It is done whether or not the caller waits for it.
    async fn narrow(
        self: &Arc<Self>,
        ready: Ready,
        authority: Authority,
    ) -> Result<u64, NodeError> {
        let policies = Arc::clone(self);
        let done = tokio::spawn(async move {
            let (version, _) = commit_unless_refused(&policies.core.journal, move |tx| {
                ready.stands(tx)?;
                Ok(ready.put_in_force(tx, authority)?)
            })
            .await?;
            policies.rules.reload()?;
            policies.forget_differences();
            Ok(version)
        });
        done.await.map_err(|_| JournalError::Stopped)?
    }

    /// A bundle by its version, by its hash, or the one in force: version, hash, files.
    pub fn files(
        &self,
        version: u64,
        hash: Option<BundleHash>,
    ) -> Result<(u64, Option<BundleHash>, Vec<pb::PolicyFile>), NodeError> {
        let hash = match (version, hash) {
            (0, None) => return Ok(self.in_force()),
            (0, Some(hash)) => hash,
            (version, _) => self.version_hash(version)?,
        };
        if !bundles::bundle_dir(&self.dir, hash).is_dir() {
            return Err(PolicyError::UnknownBundle { hash }.into());
        }
        Ok((version, Some(hash), read_files(&self.dir, hash)?))
    }

    /// The versions that were in force, below one or all, newest first; and whether there are more.
    pub fn log(&self, below: u64) -> Result<pb::ListPoliciesResponse, NodeError> {
        let below = if below == 0 { u64::MAX } else { below };
        let mut found = self.core.view().policy_versions(below, VERSIONS_MAX + 1)?;
        let more = found.len() > VERSIONS_MAX;
        found.truncate(VERSIONS_MAX);
        let mut answer = pb::ListPoliciesResponse { more, ..pb::ListPoliciesResponse::default() };
        for found in found {
            let Some(found) = found else {
                answer.damaged += 1;
                continue;
            };
            let mut read = |index: u64| {
                let event = unless_damaged(self.core.view().event(index))?.map(|(_, event)| event);
                answer.damaged += u64::from(event.is_none());
                Ok::<_, JournalError>(event)
            };
            let mut approvals = Vec::new();
            for index in &found.applied.decisions {
                match read(*index)? {
                    Some(Event::ActDecided(decided)) => approvals.push(decided),
                    Some(_) => approvals.push(pb::ActDecided::default()),
                    None => {}
                }
            }
            let compared = match read(found.applied.comparison)? {
                Some(Event::PolicyCompared(compared)) => Some(compared),
                _ => None,
            };
            answer.versions.push(pb::PolicyVersionView {
                at_ms: found.at.unix_ms().unsigned_abs(),
                journal_index: found.journal_index,
                applied: Some(found.applied),
                approvals,
                compared,
            });
        }
        Ok(answer)
    }
}

fn change_of(compared: &pb::PolicyCompared) -> Result<PolicyChange, NodeError> {
    PolicyChange::from_wire(compared.change()).ok_or_else(|| PolicyError::NoChange.into())
}
