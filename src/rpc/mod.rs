//! The gRPC services: one file a service, and the two ports that serve them.
//!
//! A service parses, calls one use case of the node and answers. It decides nothing: who may call is
//! the access policy's, what may leave is the sharing policy's. Clients and partners have a port
//! each; nothing of one is served on the other.

mod access;
mod acts;
mod cases;
mod consents;
mod erasures;
mod exchange;
mod explain;
mod history;
mod in_order;
mod logs;
mod metered;
mod node;
mod partners;
mod policies;
mod port;
mod reads;
mod record_proof;
mod records;
mod refusal;
mod releases;
mod submission;
mod watch;
mod witnesses;

pub use port::{ServeError, serve_client_port, serve_partner_port};

use self::reads::Reads;
use crate::ident::{AgencyName, RecordId};
use crate::journal::JournalError;
use crate::journal::view::View;
use crate::node::{Client, Node};
use crate::policy::{ClientRole, Visibility};
use crate::tls::{Caller, CallerInfo};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_stream::Stream;
use tonic::{Request, Status};

/// Bytes of a message that is taken in: 1,024 drafts of 4 KiB each, several times what a draft has,
/// or a batch of the exchange (2 MiB) with its frame.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes of an answer that is not a stream; below the 4 MiB that gRPC clients take by default.
pub const ANSWER_BYTES_MAX: usize = 3 << 20;
/// Requests under way on one connection; tools call a handful at once. All connections of a caller
/// share what [`crate::tls::PlaceLimits`] gives it.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// The longest time for a call that is answered once; a stream begins within it and may then last.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time for a call that counts every record before it acts. It is several times the
/// time for a million records and a hundred partners.
pub const LONG_CALL_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest time for calls to go on after the node began to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Drafts of one unary submission: they are answered in one message.
pub const UNARY_DRAFTS_MAX: usize = 64;
/// Drafts of one request of a bulk submission: one job of the journal.
pub const STREAM_DRAFTS_MAX: usize = 1_024;

/// The stream of answers of a streaming call.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The state that all services of a port share.
#[derive(Clone)]
struct Context {
    node: Arc<Node>,
    reads: Reads,
    /// Becomes true when the port closes.
    stopping: tokio::sync::watch::Receiver<bool>,
}

impl Context {
    /// Asks the journal something that takes as long as there are records. The question ends when
    /// its caller has gone or [`CALL_TIMEOUT`] has passed.
    async fn read_while_wanted<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View, &Wanted) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Status> {
        let caller = Waiting::default();
        let wanted = caller.wanted();
        self.read(move |view| question(view, &wanted)).await
    }

    /// Asks the journal on a thread that may block. A caller that has gone leaves the question
    /// running to its end; it is bounded.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Status> {
        let stopped = || Status::unavailable("the node is stopping; try again later");
        let turn = self.reads.turn().await.ok_or_else(stopped)?;
        let view = Arc::clone(self.node.view());
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            question(&view)
        });
        match answer.await {
            Ok(answer) => answer.map_err(|error| refusal::of_node(&error.into())),
            Err(failed) if failed.is_cancelled() => Err(stopped()),
            Err(failed) => Err(refusal::internal(&failed)),
        }
    }
}

/// Somebody who waits for an answer; dropped with the call.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

/// The wish of somebody who waits.
struct Wanted(Arc<AtomicBool>);

impl Waiting {
    fn wanted(&self) -> Wanted {
        Wanted(Arc::clone(&self.0))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Wanted {
    fn is_wanted(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// The name of the client that calls. The access layer let nobody else through.
fn client_of<T>(request: &Request<T>) -> Result<String, Status> {
    match request.extensions().get::<CallerInfo>().map(|info| &info.caller) {
        Some(Caller::Client { name, .. }) => Ok(name.as_str().to_owned()),
        Some(Caller::Partner(_)) | None => Err(refusal::forbidden()),
    }
}

/// The client that calls, with its role.
fn person_of<T>(request: &Request<T>) -> Result<Client, Status> {
    match request.extensions().get::<CallerInfo>().map(|info| &info.caller) {
        Some(Caller::Client { name, role, .. }) => {
            let role = role.name().parse::<ClientRole>().map_err(|_| refusal::forbidden())?;
            Ok(Client { name: name.as_str().to_owned(), role })
        }
        Some(Caller::Partner(_)) | None => Err(refusal::forbidden()),
    }
}

/// Returns the sight of the caller, whichever way it asks.
fn visibility_of<T>(request: &Request<T>) -> Result<Visibility, Status> {
    let Client { name, role } = person_of(request)?;
    Ok(Visibility::new(role, &name))
}

/// A record id of 32 bytes.
fn record_id(bytes: &[u8]) -> Result<RecordId, Status> {
    RecordId::try_from(bytes).map_err(|error| refusal::invalid("record_id", error))
}

fn agency(field: &str, name: &str) -> Result<AgencyName, Status> {
    name.parse().map_err(|error| refusal::invalid(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_wanted_until_its_caller_has_gone() {
        let caller = Waiting::default();
        let wanted = caller.wanted();
        assert!(wanted.is_wanted());
        drop(caller);
        assert!(!wanted.is_wanted());
    }
}
