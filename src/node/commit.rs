//! Jobs of the journal's writer that may refuse what they are asked for.

use super::error::NodeError;
use crate::journal::JournalError;
use crate::journal::transaction::Transaction;
use crate::journal::writer::{Committed, JournalWriter};

/// Runs a job in the writer and answers when what it staged is durable. A job that refuses stages nothing, and the
/// writer goes on; an error of the journal is the writer's own, as in [`JournalWriter::commit`].
pub(super) async fn commit_unless_refused<T: Send + 'static>(
    journal: &JournalWriter,
    job: impl FnOnce(&mut Transaction<'_>) -> Result<T, NodeError> + Send + 'static,
) -> Result<(T, Committed), NodeError> {
    let (done, committed) = journal.commit(unless_refused(job)).await?;
    Ok((done?, committed))
}

/// The job as the writer takes it: an error that is not the journal's is a value to it.
pub(super) fn unless_refused<T>(
    job: impl FnOnce(&mut Transaction<'_>) -> Result<T, NodeError>,
) -> impl FnOnce(&mut Transaction<'_>) -> Result<Result<T, NodeError>, JournalError> {
    |tx| match job(tx) {
        Err(NodeError::Journal(error)) => Err(error),
        done => Ok(done),
    }
}
