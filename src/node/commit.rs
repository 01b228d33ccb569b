//! Jobs of the journal's writer that may refuse what they are asked for.

use super::error::NodeError;
use crate::journal::transaction::Transaction;
use crate::journal::writer::{Committed, JournalWriter};

/// Runs a job in the writer and answers when what it staged is durable. A job that refuses stages nothing, and the
/// writer goes on; an error of the journal is the writer's own, as in [`JournalWriter::commit`].
pub(super) async fn commit_unless_refused<T: Send + 'static>(
    journal: &JournalWriter,
    job: impl FnOnce(&mut Transaction<'_>) -> Result<T, NodeError> + Send + 'static,
) -> Result<(T, Committed), NodeError> {
    let job = move |tx: &mut Transaction<'_>| match job(tx) {
        Err(NodeError::Journal(error)) => Err(error),
        done => Ok(done),
    };
    let (done, committed) = journal.commit(job).await?;
    Ok((done?, committed))
}
