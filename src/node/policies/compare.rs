//! The comparison of another policy with the one in force, counted over every record before it is
//! applied.
//!
//! Threads of their own and of low priority count, so that live traffic goes first; memory is
//! bounded whatever the size of the store. Nothing is put in force here, and nothing is disclosed.

use super::bundles::{sync_dirs, write_durably};
use super::error::PolicyError;
use super::{Policies, Proposed};
use crate::disclosure::release_facts;
use crate::ident::{AgencyName, BundleHash};
use crate::journal::consents::ConsentState;
use crate::journal::headers::AcceptedHeader;
use crate::journal::state::State;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};
use crate::node::client::Client;
use crate::node::commit::commit_unless_refused;
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::policy_facts;
use crate::pb::{self, journal_entry::Event};
use crate::policy::{
    Bundle, Comparer, Compiled, Difference, Extent, PartnerFacts, PolicyChange, PolicyHour, Seen,
    Tally, difference_hash, facts_hash,
};
use crate::record::kind::ClassSet;
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Threads that count. Two are what the smallest machine has; more would be felt by live traffic.
const THREADS: usize = 2;
/// The niceness of these threads: other threads get a contended processor first.
const NICENESS: i32 = 10;
/// Entries that a thread takes on at once: some 20 ms of work.
const STEP_ENTRIES: u64 = 8_192;
/// Partners that the journal entry lists; the whole result is kept beside it.
const COUNTED_MAX: usize = 64;
/// The directory of results, by their hash, until the bundle or another one is in force.
const RESULTS: &str = "comparisons";

/// The progress of a comparison.
#[derive(Debug, Default)]
pub struct Progress {
    considered: AtomicU64,
    entries: AtomicU64,
    is_unwanted: AtomicBool,
}

impl Progress {
    /// Entries looked at, and entries there are.
    pub fn reached(&self) -> (u64, u64) {
        (self.considered.load(Relaxed), self.entries.load(Relaxed))
    }
}

/// Stops the counting when whoever wanted it has gone.
struct Wanted(Arc<Progress>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.is_unwanted.store(true, Relaxed);
    }
}

/// The two bundles of a comparison, with the partners and the hour that it is made for.
pub(in crate::node) struct Question {
    before: Compiled,
    after: Compiled,
    base_version: u64,
    base: Option<BundleHash>,
    partners: Vec<PartnerFacts>,
    /// The position of each agency in `partners`, and true if it is not active.
    places: BTreeMap<AgencyName, (usize, bool)>,
    policy_hour: PolicyHour,
    consents: ConsentState,
    size: u64,
}

/// The result of a comparison.
pub(in crate::node) struct Counted {
    pub(in crate::node) difference: pb::PolicyDifference,
    pub(in crate::node) change: PolicyChange,
    pub(in crate::node) extent: Extent,
    pub(in crate::node) totals: (u64, u64),
    counts: Vec<pb::PolicyCount>,
}

/// The partners that a policy is compared for, as if none were suspended: a suspension is one
/// person's act and so is its end, and neither may show what nobody looked at.
fn standing(state: &State) -> Result<Vec<PartnerFacts>, NodeError> {
    let standing = state.partners.iter().filter(|(_, p)| p.state != pb::PartnerState::Revoked);
    standing
        .map(|(agency, partner)| {
            Ok(PartnerFacts { suspended: false, ..policy_facts(agency, partner)? })
        })
        .collect()
}

/// Checks that a comparison was made with the bundle in force and the partners of `state`.
pub(super) fn stands(state: &State, compared: &pb::PolicyCompared) -> Result<(), NodeError> {
    let in_force = state.policy.as_ref().map(|policy| policy.bundle_hash.clone());
    if in_force.unwrap_or_default() != compared.base_hash {
        return Err(PolicyError::OtherBase { version: state.policy_version() }.into());
    }
    if facts_hash(&standing(state)?)[..] != compared.facts_hash[..] {
        return Err(PolicyError::OtherPartners.into());
    }
    Ok(())
}

impl Question {
    fn excepted(&self, accepted: &AcceptedHeader) -> Vec<usize> {
        let source = accepted.partner.iter().chain([&accepted.header.originator]);
        source.filter_map(|agency| Some(self.places.get(agency)?.0)).collect()
    }

    /// Counts what is left, step by step, beside others that do the same.
    fn work(
        &self,
        view: &View,
        next: &AtomicU64,
        progress: &Progress,
    ) -> Result<(Tally, Vec<ClassSet>), JournalError> {
        let mut comparer =
            Comparer::new(&self.before, &self.after, &self.partners, &self.policy_hour);
        let mut tally = Tally::new(self.partners.len());
        loop {
            let start = next.fetch_add(STEP_ENTRIES, Relaxed);
            if start >= self.size || progress.is_unwanted.load(Relaxed) {
                return Ok((tally, comparer.may_reveal()));
            }
            let end = self.size.min(start + STEP_ENTRIES);
            let superseded = view.superseded_in(start..end)?;
            for accepted in view.headers(start..end) {
                // What no count has might be the first of its sort, so it is shown how much that is. By the
                // policies alone no bundle that may show more passes for a narrowing one.
                let Some(accepted) = unless_damaged(accepted)? else {
                    tally.damaged += 1;
                    continue;
                };
                if superseded.contains(&accepted.journal_index)
                    && !view.is_newest(&accepted.header)?
                {
                    // The newest revision of its series is counted for it.
                    tally.records += 1;
                    continue;
                }
                self.count(view, accepted, &mut comparer, &mut tally)?;
            }
            progress.considered.fetch_add(end - start, Relaxed);
        }
    }

    fn count(
        &self,
        view: &View,
        accepted: AcceptedHeader,
        comparer: &mut Comparer,
        tally: &mut Tally,
    ) -> Result<(), JournalError> {
        let consents = self.consents.in_force();
        let facts = release_facts(&accepted.id, &accepted.header, consents, &self.policy_hour);
        let answers = comparer.ask(&facts);
        let excepted = self.excepted(&accepted);
        tally.records += 1;
        if !tally.concerns(&answers, &excepted) {
            return Ok(());
        }
        let AcceptedHeader { journal_index, id, .. } = accepted;
        if view.place(&id)?.is_some_and(|place| place.marks().is_usable()) {
            tally.take(&Seen { journal_index, id, facts }, &answers, &excepted);
        }
        Ok(())
    }

    /// Counts everything; keeps [`THREADS`] threads busy, this one among them.
    fn answer(&self, view: &View, progress: &Progress) -> Result<Counted, NodeError> {
        progress.entries.store(self.size, Relaxed);
        let next = AtomicU64::new(0);
        let work = || {
            yield_to_others();
            self.work(view, &next, progress)
        };
        let found = std::thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
            let mut found = vec![work()];
            found.extend(
                others
                    .into_iter()
                    .map(|other| other.join().unwrap_or_else(|_| Err(JournalError::Stopped))),
            );
            found
        });
        if progress.is_unwanted.load(Relaxed) {
            return Err(JournalError::Stopped.into());
        }
        let mut sum = Tally::new(self.partners.len());
        let mut may_reveal = Vec::new();
        for part in found {
            let (tally, may) = part?;
            sum.merge(tally);
            may_reveal = may;
        }
        self.conclude(sum, &may_reveal)
    }

    fn conclude(&self, tally: Tally, may_reveal: &[ClassSet]) -> Result<Counted, NodeError> {
        let (before, after) = (self.before.bundle(), self.after.bundle());
        let found = Difference::new(before, after, &self.partners, tally, may_reveal);
        let mut wire = found
            .to_wire(&self.before, &self.after, &self.policy_hour)
            .map_err(|error| NodeError::start("the result of the comparison", error))?;
        wire.bundle_hash = Bytes::copy_from_slice(after.hash().as_bytes());
        let base = self.base.as_ref().map(BundleHash::as_bytes);
        wire.base_hash = base.map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(hash));
        wire.base_version = self.base_version;
        wire.facts_hash = Bytes::copy_from_slice(&facts_hash(&self.partners));
        wire.journal_size = self.size;
        wire.partners_compared = self.partners.len() as u32;
        for partner in &mut wire.partners {
            let place = partner.agency.parse().ok();
            let place = place.and_then(|agency: AgencyName| self.places.get(&agency));
            partner.suspended = place.is_some_and(|(_, is_suspended)| *is_suspended);
        }
        Ok(Counted {
            change: found.change(),
            extent: found.extent(),
            totals: found.totals(),
            counts: found.counts(COUNTED_MAX),
            difference: wire,
        })
    }
}

impl Counted {
    fn event(&self, difference_hash: [u8; 32], client: Client) -> pb::PolicyCompared {
        let wire = &self.difference;
        let (newly_shown, newly_hidden) = self.totals;
        pb::PolicyCompared {
            bundle_hash: wire.bundle_hash.clone(),
            base_hash: wire.base_hash.clone(),
            facts_hash: wire.facts_hash.clone(),
            journal_size: wire.journal_size,
            records: wire.records,
            change: wire.change,
            newly_shown,
            newly_hidden,
            partners: self.counts.clone(),
            difference_hash: Bytes::copy_from_slice(&difference_hash),
            client: client.name,
            role: client.role.name().to_owned(),
        }
    }
}

/// Leaves the processor to others that want it. Without the right to do so it is merely less kind.
fn yield_to_others() {
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

fn result_path(dir: &Path, hash: &[u8]) -> PathBuf {
    let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    dir.join(RESULTS).join(name)
}

fn keep(dir: &Path, hash: &[u8], bytes: &[u8]) -> Result<(), NodeError> {
    let path = result_path(dir, hash);
    let failed = |error: std::io::Error| NodeError::start(&path.display().to_string(), error);
    let parent = dir.join(RESULTS);
    std::fs::create_dir_all(&parent).map_err(failed)?;
    write_durably(&path, bytes).and_then(|()| sync_dirs(&parent)).map_err(failed)
}

impl Policies {
    /// Returns the comparison of `bundle` with the one in force, for the present partners and hour.
    pub(in crate::node) fn question(&self, bundle: Arc<Bundle>) -> Result<Question, NodeError> {
        let (snapshot, rules) = (self.core.view().snapshot(), self.rules.current());
        let state = &snapshot.state;
        if state.policy_version() != rules.version {
            let (loaded, in_force) = (rules.version, state.policy_version());
            return Err(PolicyError::Changing { loaded, in_force }.into());
        }
        let partners = standing(state)?;
        let places = partners.iter().enumerate().map(|(at, facts)| {
            let known = state.partners.get(&facts.agency);
            let is_active = known.is_some_and(|known| known.state == pb::PartnerState::Active);
            (facts.agency.clone(), (at, !is_active))
        });
        let compiled = |bundle: Arc<Bundle>| {
            Compiled::new(bundle, self.core.agency().clone(), partners.iter().cloned())
        };
        Ok(Question {
            before: compiled(Arc::clone(&rules.bundle)),
            after: compiled(bundle),
            base_version: rules.version.get(),
            base: rules.hash,
            places: places.collect(),
            policy_hour: PolicyHour::at(self.core.now()),
            consents: snapshot.state.consents.clone(),
            size: snapshot.size,
            partners,
        })
    }

    /// Counts; one comparison at a time, the others wait.
    pub(in crate::node) async fn count(
        &self,
        question: Question,
        progress: Arc<Progress>,
    ) -> Result<Counted, NodeError> {
        let _turn = self.comparing.lock().await;
        let _wanted = Wanted(Arc::clone(&progress));
        let view = Arc::clone(self.core.view());
        let (answer, answered) = tokio::sync::oneshot::channel();
        // A thread of its own, because its low priority can't be taken back.
        std::thread::Builder::new()
            .name("policy-diff".to_owned())
            // Nobody listens any more when the caller has gone.
            .spawn(move || drop(answer.send(question.answer(&view, &progress))))
            .map_err(|error| NodeError::start("a thread to count with", error))?;
        answered.await.map_err(|_| JournalError::Stopped)?
    }

    /// Shows what a bundle would change, journals that it was shown, and keeps it until it is in
    /// force. Gives the index of the entry.
    pub async fn compare(
        &self,
        client: Client,
        proposed: Proposed,
        progress: Arc<Progress>,
    ) -> Result<(u64, pb::PolicyDifference), NodeError> {
        let (bundle, _) = self.proposed(proposed)?;
        let counted = self.count(self.question(bundle)?, progress).await?;
        let bytes = counted.difference.encode_to_vec();
        let hash = difference_hash(&bytes);
        keep(&self.dir, &hash, &bytes)?;
        let compared = counted.event(hash, client);
        let (index, _) = commit_unless_refused(&self.core.journal, move |tx| {
            stands(tx.state(), &compared)?;
            Ok(tx.append(Event::PolicyCompared(compared))?)
        })
        .await?;
        self.forget_differences();
        Ok((index, counted.difference))
    }

    /// Returns the result of a comparison, as far as it is kept.
    pub fn difference(&self, comparison: u64) -> Result<pb::PolicyDifference, NodeError> {
        let snapshot = self.core.view().snapshot();
        let none = PolicyError::NotADiff { entry: comparison };
        if comparison >= snapshot.size {
            return Err(none.into());
        }
        let (_, Event::PolicyCompared(compared)) = self.core.view().event(comparison)? else {
            return Err(none.into());
        };
        self.kept_difference(&compared)
    }

    pub(in crate::node) fn kept_difference(
        &self,
        compared: &pb::PolicyCompared,
    ) -> Result<pb::PolicyDifference, NodeError> {
        let path = result_path(&self.dir, &compared.difference_hash);
        let bytes = std::fs::read(path).map_err(|_| PolicyError::DiffGone)?;
        if difference_hash(&bytes)[..] != compared.difference_hash[..] {
            return Err(PolicyError::DiffAltered.into());
        }
        pb::PolicyDifference::decode(&bytes[..]).map_err(|_| PolicyError::DiffGone.into())
    }

    /// Deletes results that nothing waits for any more. What can't be deleted harms nobody.
    pub(in crate::node) fn forget_differences(&self) {
        let snapshot = self.core.view().snapshot();
        let state = &snapshot.state;
        let mut wanted: BTreeSet<PathBuf> = state
            .compared
            .values()
            .map(|known| result_path(&self.dir, &known.compared.difference_hash))
            .collect();
        for act in state.acts.values() {
            let Some(pb::act::Act::ApplyPolicy(act)) =
                act.proposed.act.as_ref().and_then(|act| act.act.as_ref())
            else {
                continue;
            };
            // What cannot be read may name any of them.
            let Ok((_, event)) = self.core.view().event(act.comparison) else { return };
            if let Event::PolicyCompared(compared) = event {
                wanted.insert(result_path(&self.dir, &compared.difference_hash));
            }
        }
        let Ok(kept) = std::fs::read_dir(self.dir.join(RESULTS)) else { return };
        for path in kept.flatten().map(|entry| entry.path()).filter(|path| !wanted.contains(path)) {
            drop(std::fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::disclosure::interference_tests::{NOTHING, Store, with_damage};
    use crate::testkit::{now, own};

    /// The difference between sharing nothing and sharing everything of some records.
    fn compared(store: &Store) -> pb::PolicyDifference {
        let view = store.journal.view();
        let snapshot = view.snapshot();
        let partners = standing(&snapshot.state).unwrap();
        let compiled = |policy| {
            let bundle = Arc::clone(&store.rules(policy).bundle);
            Compiled::new(bundle, own(), partners.iter().cloned())
        };
        let question = Question {
            before: compiled(NOTHING),
            after: compiled(0),
            base_version: 1,
            base: None,
            places: BTreeMap::new(),
            policy_hour: PolicyHour::at(now()),
            consents: snapshot.state.consents.clone(),
            size: snapshot.size,
            partners: partners.clone(),
        };
        let (tally, may_reveal) =
            question.work(view, &AtomicU64::new(0), &Progress::default()).unwrap();
        question.conclude(tally, &may_reveal).unwrap().difference
    }

    #[test]
    fn a_comparison_goes_on_behind_damaged_entries_and_counts_them() {
        let shown = |difference: &pb::PolicyDifference| {
            let shown = difference.partners[0].shown.clone().unwrap_or_default();
            (difference.records, shown.records, difference.damaged)
        };
        let (store, mend) = with_damage(4, &[1, 2]);
        let found = compared(&store);
        assert_eq!(shown(&found), (2, 2, 2));
        assert_eq!(found.change(), pb::PolicyChange::Revealing);
        assert_eq!(shown(&compared(&store.started_anew(mend))), (4, 4, 0));
    }

    #[test]
    fn what_only_damaged_entries_would_show_is_not_called_narrowing() {
        let (store, _) = with_damage(1, &[0]);
        let found = compared(&store);
        assert_eq!((found.records, found.damaged), (0, 1));
        assert_eq!(found.change(), pb::PolicyChange::Revealing);
    }
}
