//! Use cases of the agency's own clients: submit drafts, withdraw records.
//!
//! Drafts are checked, sealed and signed outside the writer, by a plan that rests on the journal as
//! it was then. The writer, where alone the order is known, takes the plan or asks for another.

use super::error::SubmissionError;
use super::plan::{Grounds, Plan, Randomness, count_not_permitted};
use super::receipt;
use super::record_signer::RecordSigner;
use crate::ident::{RecordId, SeriesId, Timestamp};
use crate::journal::JournalError;
use crate::journal::index::SeriesHead;
use crate::journal::transaction::{Origin, Signing, Transaction};
use crate::journal::view::View;
use crate::journal::writer::Committed;
use crate::node::client::Client;
use crate::node::commit::commit_unless_refused;
use crate::node::core::Core;
use crate::node::error::NodeError;
use crate::node::quota::{Charge, DayLimits, Quota, RECORD_BYTES};
use crate::node::turns::Caller;
use crate::node::turns::admission::Admission;
use crate::pb;
use crate::policy::Visibility;
use crate::record::draft::{Draft, DraftError, Place};
use ed25519_dalek::SigningKey;
use prost::Message as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Drafts that one job of the writer takes.
const DRAFTS_MAX: usize = 1_024;
/// Plans made beside the writer before it makes one itself: others kept speaking of the same.
const PLANS_MAX: usize = 3;

/// The results of a submission's drafts, and the journal that holds them.
#[derive(Debug)]
pub struct Submitted {
    pub results: Vec<pb::DraftResult>,
    pub committed: Committed,
}

/// Series that one bulk submission remembers; beyond that it begins to forget. 48 bytes each.
const BATCH_SERIES_MAX: usize = 1_000_000;

/// The contents of one bulk submission so far, by series. Two rows about one thing that contradict
/// each other would otherwise revise it in turn, again at every push of the same table.
#[derive(Debug, Clone, Default)]
pub struct BatchDedup(Arc<Mutex<HashMap<SeriesId, [u8; 32]>>>);

impl BatchDedup {
    fn words(&self) -> MutexGuard<'_, HashMap<SeriesId, [u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the submission had another content for the series before.
    pub(in crate::node) fn contradicts(&self, series: SeriesId, fingerprint: [u8; 32]) -> bool {
        self.words().get(&series).is_some_and(|before| *before != fingerprint)
    }

    /// Takes the contents of a request unless one contradicts an earlier one.
    pub(in crate::node) fn add(&self, words: &[(SeriesId, [u8; 32])]) -> bool {
        let mut dedup = self.words();
        let agrees = |(series, word)| dedup.get(series).is_none_or(|before| before == word);
        if !words.iter().map(|(series, word)| (series, word)).all(agrees) {
            return false;
        }
        if dedup.len() + words.len() > BATCH_SERIES_MAX {
            dedup.clear();
        }
        dedup.extend(words.iter().copied());
        true
    }
}

/// The submissions of this agency's clients.
pub struct Submissions {
    core: Arc<Core>,
    signer: RecordSigner,
    /// The key of receipts over bulk submissions.
    receipt_key: SigningKey,
    /// The share of the day of each client.
    quota: Quota,
    admission: Arc<Admission>,
}

impl Submissions {
    pub(in crate::node) const fn new(
        core: Arc<Core>,
        signer: RecordSigner,
        receipt_key: SigningKey,
        quota: Quota,
        admission: Arc<Admission>,
    ) -> Self {
        Self { core, signer, receipt_key, quota, admission }
    }

    /// Signs and keeps drafts; answers when they are durable. A refused draft changes nothing and
    /// holds up no other. With `dedup`, a draft that contradicts one before it is refused.
    pub async fn submit(
        &self,
        client: &Client,
        drafts: Vec<pb::Draft>,
        dedup: Option<BatchDedup>,
    ) -> Result<Submitted, NodeError> {
        if drafts.is_empty() || drafts.len() > DRAFTS_MAX {
            let (found, max) = (drafts.len(), DRAFTS_MAX);
            return Err(SubmissionError::Drafts { found, max }.into());
        }
        self.charge(&client.name, &drafts)?;
        let _turn = self.admission.turn(Caller::Client(&client.name), drafts.len() as u64).await;
        let planner = self.planner();
        let visibility = Visibility::new(client.role, &client.name);
        let (client, signer) = (client.name.clone(), self.signer.clone());
        signer.check(&self.core.view().snapshot().state, self.core.now())?;
        let (task, first) = beside(move || {
            let now = planner.now;
            let by = (client, visibility);
            let task = Arc::new(Submission::new(drafts, now, by, signer, dedup));
            let plan = planner.plan(&task)?;
            Ok((task, plan))
        })
        .await?;
        let refused = task.drafts.iter().filter(|draft| draft.is_err()).count();
        for _ in 0..refused {
            self.core.refused("draft");
        }
        let mut next = Some(first);
        for _ in 0..PLANS_MAX {
            let plan = match next.take() {
                Some(plan) => plan,
                None => {
                    let (planner, task) = (self.planner(), Arc::clone(&task));
                    beside(move || planner.plan(&task)).await?
                }
            };
            let task = Arc::clone(&task);
            let (results, committed) =
                self.core.journal.commit(move |tx| plan.carry_out(tx, &task)).await?;
            if let Some(results) = results {
                return Ok(self.submitted(results, committed));
            }
        }
        let job =
            move |tx: &mut Transaction<'_>| task.decide_within(tx, &mut Randomness::default());
        let (results, committed) = self.core.journal.commit(job).await?;
        Ok(self.submitted(results, committed))
    }

    fn submitted(&self, results: Vec<pb::DraftResult>, committed: Committed) -> Submitted {
        for _ in 0..count_not_permitted(&results) {
            self.core.refused("TLP:RED record of another client");
        }
        Submitted { results, committed }
    }

    /// Counts drafts for their client, unless it has used up its day.
    fn charge(&self, client: &str, drafts: &[pb::Draft]) -> Result<(), NodeError> {
        let bytes: usize = drafts.iter().map(|draft| draft.encoded_len() + RECORD_BYTES).sum();
        let charge = Charge { records: drafts.len() as u64, bytes: bytes as u64 };
        self.quota.take(client, charge, Instant::now()).map_err(|wait| {
            self.core.refused("journal quota of a client");
            let DayLimits { records, bytes } = self.quota.limits();
            let (client, mib) = (client.to_owned(), bytes >> 20);
            SubmissionError::Quota { client, records, mib, wait }.into()
        })
    }

    fn planner(&self) -> Planner {
        Planner {
            view: Arc::clone(self.core.view()),
            signing: Arc::clone(self.core.journal.signing()),
            now: self.core.now(),
        }
    }

    /// A signed note over the figures of a submission, by the receipt key.
    pub fn sign_receipt(&self, figures: &pb::SubmissionReceipt) -> Result<Vec<u8>, NodeError> {
        receipt::sign(self.core.agency(), figures, &self.receipt_key)
            .map_err(|error| NodeError::start("receipt", error))
    }

    /// Signs the withdrawal of one of this agency's own records.
    pub async fn withdraw(
        &self,
        client: &Client,
        id: RecordId,
        reason: pb::WithdrawalReason,
        explanation: String,
    ) -> Result<(RecordId, Committed), NodeError> {
        let visibility = Visibility::new(client.role, &client.name);
        let (client, signer) = (client.name.clone(), self.signer.clone());
        let withdrawal = Withdrawing { id, reason, explanation, client, visibility, signer };
        let job = move |tx: &mut Transaction<'_>| withdrawal.write(tx, &mut Randomness::default());
        let withdrawn = commit_unless_refused(&self.core.journal, job).await;
        if withdrawn.as_ref().is_err_and(|error| error.code() == tonic::Code::PermissionDenied) {
            self.core.refused("withdrawal");
        }
        withdrawn
    }
}

/// The withdrawal of an own record, and who asks for it.
pub(in crate::node) struct Withdrawing {
    pub(in crate::node) id: RecordId,
    pub(in crate::node) reason: pb::WithdrawalReason,
    pub(in crate::node) explanation: String,
    pub(in crate::node) client: String,
    pub(in crate::node) visibility: Visibility,
    pub(in crate::node) signer: RecordSigner,
}

impl Withdrawing {
    /// Signs the withdrawal and writes it down; returns its id.
    pub(in crate::node) fn write(
        self,
        tx: &mut Transaction<'_>,
        random: &mut Randomness,
    ) -> Result<RecordId, NodeError> {
        let (id, own) = (self.id, tx.signing().agency.clone());
        let record = tx.record(&id)?.ok_or(NodeError::UnknownRecord { id })?;
        let header = record.header();
        if header.originator != own {
            let originator = header.originator.clone();
            return Err(SubmissionError::OtherOriginator { id, originator }.into());
        }
        let revision = tx.revision(&id)?;
        if revision.is_some_and(|known| !self.visibility.may_replace(&known.status())) {
            return Err(SubmissionError::RedOfAnother { id }.into());
        }
        let head = tx.series_head(header.series, &own)?;
        if let Some(head) = head.filter(|head| head.id != id) {
            return Err(SubmissionError::Revised { id, newest: head.id }.into());
        }
        if record.kind() == crate::record::kind::Kind::Withdrawal {
            return Err(SubmissionError::Withdrawn { id }.into());
        }
        if let Some(held) = tx.held_revision((header.series, &own), id)? {
            return Err(SubmissionError::SeriesHeld { held }.into());
        }
        self.signer.check(tx.state(), tx.now())?;
        let content = pb::Withdrawal { reason: self.reason.into(), explanation: self.explanation };
        let draft = Draft::withdrawal(content).map_err(SubmissionError::from)?;
        let place = Place::end(header.series);
        let sealed = draft.seal(own, place, tx.now(), || random.next());
        let id = sealed.id();
        for record in self.signer.sign(vec![sealed], tx.size().get(), random)? {
            tx.accept(Arc::new(record), Origin::Client(&self.client))?;
        }
        Ok(id)
    }
}

/// Drafts of one request and who sent them.
pub(in crate::node) struct Submission {
    drafts: Vec<Result<Draft, DraftError>>,
    pub(in crate::node) client: String,
    visibility: Visibility,
    signer: RecordSigner,
    pub(in crate::node) dedup: Option<BatchDedup>,
}

impl Submission {
    /// Checks drafts at a time; `by` is the client with the records that it may see.
    pub(in crate::node) fn new(
        drafts: Vec<pb::Draft>,
        now: Timestamp,
        (client, visibility): (String, Visibility),
        signer: RecordSigner,
        dedup: Option<BatchDedup>,
    ) -> Self {
        let draft = |wire: pb::Draft| {
            let draft = Draft::try_from(wire)?;
            draft.check_times(now).map(|()| draft)
        };
        let drafts = drafts.into_iter().map(draft).collect();
        Self { drafts, client, visibility, signer, dedup }
    }

    fn grounds<'a>(&'a self, signing: &'a Signing, now: Timestamp, size: u64) -> Grounds<'a> {
        let Signing { agency, series_secret, .. } = signing;
        let (signer, dedup, visibility) = (&self.signer, self.dedup.as_ref(), &self.visibility);
        Grounds { own: agency, secret: series_secret, signer, visibility, dedup, now, size }
    }

    /// Plans within the writer, where nothing can come between a plan and its execution. Only what
    /// other requests of the stream say may: then the rows are judged again, against that too.
    pub(in crate::node) fn decide_within(
        &self,
        tx: &mut Transaction<'_>,
        random: &mut Randomness,
    ) -> Result<Vec<pb::DraftResult>, JournalError> {
        loop {
            let signing = tx.signing();
            let grounds = self.grounds(signing, tx.now(), tx.size().get());
            let plan = Plan::make(
                (&self.drafts, random),
                &grounds,
                |series| tx.series_head(series, &signing.agency),
                |series| tx.barred(series, &signing.agency),
                |series, head| tx.held_head(series, &signing.agency, head),
                |series| tx.revisions(series, &signing.agency),
                |id| tx.revision(id),
            )?;
            if let Some(results) = plan.carry_out(tx, self)? {
                return Ok(results);
            }
        }
    }
}

/// Makes plans from what is durable.
struct Planner {
    view: Arc<View>,
    signing: Arc<Signing>,
    now: Timestamp,
}

impl Planner {
    fn plan(&self, task: &Submission) -> Result<Plan, JournalError> {
        let grounds = task.grounds(&self.signing, self.now, self.view.snapshot().size);
        let agency = &self.signing.agency;
        let head_of = |series| self.view.series_head(series, agency);
        let barred_of = |series| self.view.barred_slots(series, agency);
        let held_of = |series, head: &SeriesHead| self.view.held_head(series, agency, head);
        let revisions_of = |series| self.view.revisions(series, agency);
        let revision_of = |id: &RecordId| self.view.revision(id);
        let mut random = Randomness::default();
        let drafts = (&task.drafts[..], &mut random);
        Plan::make(drafts, &grounds, head_of, barred_of, held_of, revisions_of, revision_of)
    }
}

/// Runs work on a thread that may be kept busy.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| JournalError::Stopped)?
}
