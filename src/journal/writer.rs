//! The one writer: group commit over the segments.
//!
//! Jobs that wait together are written together: one write, one fdatasync, then all callers are
//! answered. An error while writing stops the thread; nothing is acknowledged after it, and the
//! next start repairs the log. A job that asks for what cannot be written is taken back as a whole
//! and refused; the others of its group are written.

pub(super) use super::limits::GROUP_BYTES;

use super::JournalError;
use super::gate::Gate;
use super::pending::{Located, PendingContent};
use super::state::State;
use super::transaction::{Group, LatelyTouched, Signing, Transaction};
use super::view::{Recent, Snapshot, View};
use crate::ident::Timestamp;
use crate::merkle::Frontier;
use crate::store::{LeafRecord, Position, Segments};
use bytes::Bytes;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// Jobs that may wait; a caller beyond that waits itself.
const QUEUE_MAX: usize = 256;

/// The state of the journal when a job became durable.
#[derive(Debug, Clone)]
pub struct Committed {
    pub size: u64,
    /// The journal's signed checkpoint.
    pub note: Bytes,
}

/// The answer to a job that is durable, or that was refused.
pub type Answered<T> = Result<(T, Committed), JournalError>;

type Answer = Box<dyn FnOnce(Result<&Committed, JournalError>) + Send>;
type Job = Box<dyn FnOnce(&mut Transaction<'_>) -> (Result<(), JournalError>, Answer) + Send>;

/// The source of the time; the simulator and tests use their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The way to the writer. Cloned by every task.
#[derive(Clone)]
pub struct JournalWriter {
    jobs: mpsc::Sender<Job>,
    view: Arc<View>,
    signing: Arc<Signing>,
    grown: watch::Receiver<u64>,
    gate: Gate,
}

impl JournalWriter {
    /// Returns the gate, which decides whether anything may be signed.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The name and keys that the writer signs with.
    pub const fn signing(&self) -> &Arc<Signing> {
        &self.signing
    }

    /// Everything that can be read.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Returns a watch on the journal's size after every commit.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.grown.clone()
    }

    /// Runs a job in the writer; answers when what it staged is durable.
    pub async fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<(T, Committed), JournalError> {
        self.enqueue(job).await?.await.map_err(|_| JournalError::Stopped)?
    }

    /// Puts a job in its place in the writer's queue. The receiver is answered when the job is
    /// durable, or when it was refused; jobs are durable in the order in which they were enqueued.
    pub async fn enqueue<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Answered<T>>, JournalError> {
        self.gate.pass().await?;
        self.send(job).await
    }

    /// Waits until everything that was enqueued before is durable and can be read. It waits at no gate,
    /// because it stages nothing.
    pub async fn settled(&self) -> Result<(), JournalError> {
        let answered = self.send(|_| Ok(())).await?;
        answered.await.map_err(|_| JournalError::Stopped)?.map(drop)
    }

    async fn send<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Answered<T>>, JournalError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let (value, staged) = match job(transaction) {
                Ok(value) => (Some(value), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let answer: Answer = Box::new(move |outcome| {
                let of_job = |committed: &Committed| value.map(|value| (value, committed.clone()));
                let outcome = outcome.and_then(|at| of_job(at).ok_or(JournalError::Stopped));
                // The caller may have gone; its work is durable all the same.
                drop(answer.send(outcome));
            });
            (staged, answer)
        });
        self.jobs.send(job).await.map_err(|_| JournalError::Stopped)?;
        Ok(answered)
    }
}

/// The thread behind a [`JournalWriter`]. It ends when all handles are gone, or at the first error.
pub struct WriterThread {
    thread: JoinHandle<Result<(), JournalError>>,
}

impl WriterThread {
    /// Waits for the writer's end.
    pub fn join(self) -> Result<(), JournalError> {
        self.thread.join().unwrap_or(Err(JournalError::Stopped))
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The recovered parts of the journal, from [`super::open`].
pub(super) struct Recovered {
    pub(super) segments: Segments,
    pub(super) state: State,
    pub(super) view: Arc<View>,
}

pub(super) fn start(
    recovered: Recovered,
    signing: Arc<Signing>,
    clock: Clock,
) -> Result<(JournalWriter, WriterThread), JournalError> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let view = Arc::clone(&recovered.view);
    let (writing, grown) = Writing::new(recovered, Arc::clone(&signing), clock);
    let thread = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || writing.run(queue))
        .map_err(|_| JournalError::Stopped)?;
    let gate = Gate::default();
    Ok((JournalWriter { jobs, view, signing, grown, gate }, WriterThread { thread }))
}

/// Writes the first batch of a journal on the thread of the caller.
pub(super) fn write_first(
    recovered: Recovered,
    signing: Arc<Signing>,
    clock: Clock,
    first: impl FnOnce(&mut Transaction<'_>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut writer = CallerWriter::new(recovered, signing, clock);
    writer.commit(first)?;
    Ok(writer.view().index.flush()?)
}

/// A writer on the thread of its caller, for whom each job is a commit of its own.
pub struct CallerWriter(Writing);

impl CallerWriter {
    pub(super) fn new(recovered: Recovered, signing: Arc<Signing>, clock: Clock) -> Self {
        Self(Writing::new(recovered, signing, clock).0)
    }

    /// Everything that can be read.
    pub fn view(&self) -> &Arc<View> {
        &self.0.view
    }

    /// Runs a job and makes durable what it staged. A job that is refused leaves nothing behind; after any other
    /// error nothing more may be written.
    pub fn commit<T>(
        &mut self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        let (value, refused) = self.0.run_job(|transaction| match job(transaction) {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => (None, Err(error)),
        })?;
        if let Some(refused) = refused {
            return Err(refused);
        }
        self.0.commit()?;
        value.ok_or(JournalError::Stopped)
    }
}

struct Writing {
    segments: Segments,
    state: State,
    view: Arc<View>,
    signing: Arc<Signing>,
    clock: Clock,
    frontier: Frontier,
    group: Group,
    touched: LatelyTouched,
    growth: watch::Sender<u64>,
}

impl Writing {
    fn new(
        recovered: Recovered,
        signing: Arc<Signing>,
        clock: Clock,
    ) -> (Self, watch::Receiver<u64>) {
        let Recovered { segments, state, view } = recovered;
        let size = view.snapshot().size;
        let (growth, grown) = watch::channel(size);
        let writing = Self {
            frontier: view.journal.frontier(),
            segments,
            state,
            view,
            signing,
            clock,
            group: Group::default(),
            touched: LatelyTouched::since(size),
            growth,
        };
        (writing, grown)
    }

    fn run(mut self, mut queue: mpsc::Receiver<Job>) -> Result<(), JournalError> {
        while let Some(first) = queue.blocking_recv() {
            let mut answers = Vec::new();
            self.stage(first, &mut answers)?;
            while self.group.batch.bytes() < GROUP_BYTES {
                let Ok(next) = queue.try_recv() else { break };
                self.stage(next, &mut answers)?;
            }
            let committed = self.commit().inspect_err(|error| {
                let error = crate::store::describe(error);
                tracing::error!(
                    error,
                    "the journal stops; start the node again, it repairs itself"
                );
            })?;
            answers.into_iter().for_each(|answer| answer(Ok(&committed)));
        }
        Ok(())
    }

    fn stage(&mut self, job: Job, answers: &mut Vec<Answer>) -> Result<(), JournalError> {
        let (answer, refused) = self.run_job(|transaction| {
            let (staged, answer) = job(transaction);
            (answer, staged)
        })?;
        match refused {
            None => answers.push(answer),
            Some(error) => answer(Err(error)),
        }
        Ok(())
    }

    /// Runs a job; returns what it gave, and the reason if it is refused and what it staged was taken back.
    fn run_job<T>(
        &mut self,
        job: impl FnOnce(&mut Transaction<'_>) -> (T, Result<(), JournalError>),
    ) -> Result<(T, Option<JournalError>), JournalError> {
        let now = (self.clock)();
        let now = self.state.last_at.map_or(now, |last| last.max(now));
        let mark = self.group.mark(&self.frontier);
        let mut transaction = Transaction {
            signing: &self.signing,
            view: &self.view,
            state: &mut self.state,
            frontier: &mut self.frontier,
            group: &mut self.group,
            touched: &mut self.touched,
            now,
        };
        let (value, staged) = job(&mut transaction);
        match staged.and_then(|()| Ok(self.group.check_job(&mark)?)) {
            Ok(()) => Ok((value, None)),
            Err(error) if error.is_of_the_job() => {
                tracing::warn!(%error, "a job of the journal was refused");
                self.frontier = self.group.take_back(mark);
                let committed = self.view.snapshot();
                self.state = self.group.state_after(&committed.state, committed.size)?;
                Ok((value, Some(error)))
            }
            Err(error) => {
                let text = crate::store::describe(&error);
                tracing::error!(
                    error = text,
                    "a job failed after it was decided; the journal stops"
                );
                Err(error)
            }
        }
    }

    fn commit(&mut self) -> Result<Committed, JournalError> {
        if self.group.batch.is_empty() {
            let snapshot = self.view.snapshot();
            return Ok(Committed { size: snapshot.size, note: snapshot.note.clone() });
        }
        let head = self.frontier.head();
        let origin = self.state.generation().journal_origin(&self.signing.agency);
        let note = self.signing.sign(&origin, head)?;
        let appended = self.segments.append(&mut self.group.batch, &note)?;
        // The entries of erasures are durable; the index hears of them when the bytes are gone.
        let gone = self.group.pending.to_overwrite(&appended.positions);
        let view = Arc::clone(&self.view);
        let _erasing =
            (!gone.is_empty()).then(|| view.erasing.lock().unwrap_or_else(PoisonError::into_inner));
        self.segments.erase_content(&gone, crate::record::stored::KEPT_BYTES)?;
        self.publish(&appended.positions, appended.end, head.size.get(), note)
    }

    fn publish(
        &mut self,
        positions: &[Position],
        end: Position,
        size: u64,
        note: Bytes,
    ) -> Result<Committed, JournalError> {
        let located = |leaves: &[super::transaction::StagedLeaf]| -> Vec<LeafRecord> {
            leaves.iter().map(|leaf| (leaf.hash, positions[leaf.frame])).collect()
        };
        self.view.journal.append(&located(&self.group.leaves))?;
        for (number, (_, leaves)) in &self.group.feeds {
            self.view.feed(*number)?.append(&located(leaves))?;
        }
        let mut changes = self.group.pending.finish(positions);
        self.state.remember_count(&mut changes);
        {
            let mut recent = self.view.recent.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, Located { place, content, .. }) in self.group.pending.places.iter() {
                match content {
                    PendingContent::Record(record) if place.marks().is_current() => {
                        recent.insert(Arc::clone(record), place.journal_index, place.partner());
                    }
                    _ => recent.remove(id, place.journal_index),
                }
            }
            if !self.group.pending.overwrites.is_empty() {
                // What is left of a record shares its buffer with what was erased.
                *recent = Recent::default();
            }
        }
        self.view.stage(changes, end)?;
        self.view.snapshot.store(Arc::new(Snapshot {
            state: Arc::new(self.state.clone()),
            size,
            note: note.clone(),
        }));
        if self.group.pending.overwrites.is_empty() {
            self.group.clear();
        } else {
            // Buffers that are kept still hold what was erased.
            self.group = Group::default();
        }
        self.growth.send_replace(size);
        Ok(Committed { size, note })
    }
}
