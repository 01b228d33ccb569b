//! Turns of questions to the disk: how many are answered at once on a port, and how many of one caller.
//!
//! A question is asked somewhere within a call or the stream of its answers, so the task knows the caller: [`as_caller`] and
//! [`poll_as_caller`] say it where requests come in and answers go out.

use crate::tls::{Place, READS_PER_CALLER_MAX};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions to the disk that are answered at once, on one port; more wait for their turn.
const READS_MAX: usize = 16;
/// A caller that asks without end leaves as much to the others.
const _: () = assert!(2 * READS_PER_CALLER_MAX <= READS_MAX);

tokio::task_local! {
    static CALLER: Place;
}

/// The turns of one port.
#[derive(Clone)]
pub(super) struct Reads(Arc<Semaphore>);

/// A question that is being answered, until it is dropped.
pub(super) struct Turn {
    _of_caller: Option<OwnedSemaphorePermit>,
    _of_port: OwnedSemaphorePermit,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(READS_MAX)))
    }

    /// Waits for a turn; none when the port is closed.
    pub(super) async fn turn(&self) -> Option<Turn> {
        // The caller's share first: who waits for its own questions takes no turn of the port.
        let caller = CALLER.try_with(Place::clone).ok();
        let _of_caller = match caller {
            Some(place) => Some(place.begin_read().await?),
            None => None,
        };
        let _of_port = Arc::clone(&self.0).acquire_owned().await.ok()?;
        Some(Turn { _of_caller, _of_port })
    }
}

/// Lets work ask questions as a caller.
pub(super) fn as_caller<F: Future>(place: Place, work: F) -> impl Future<Output = F::Output> {
    CALLER.scope(place, work)
}

/// Lets one step of a stream ask questions as a caller.
pub(super) fn poll_as_caller<T>(place: Place, step: impl FnOnce() -> T) -> T {
    CALLER.sync_scope(place, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ClientRole;
    use crate::tls::{Caller, CertificateSerial, PlaceLimits, Places};
    use std::task::Poll;

    fn place(places: &Places, name: &str) -> Place {
        let serial = CertificateSerial::from_bytes(&[1]).unwrap();
        let name = name.parse().unwrap();
        places.take(&Caller::Client { name, role: ClientRole::Analyst, serial }).unwrap()
    }

    /// Asks for a turn once; none where it would have to wait.
    async fn ask(reads: &Reads, place: &Place) -> Option<Turn> {
        let mut asking = Box::pin(as_caller(place.clone(), reads.turn()));
        std::future::poll_fn(|context| match asking.as_mut().poll(context) {
            Poll::Ready(turn) => Poll::Ready(turn),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn a_caller_has_half_of_the_reads_at_most_over_all_its_connections() {
        let (reads, places) = (Reads::new(), Places::new(PlaceLimits::default()));
        let tool = [place(&places, "tool"), place(&places, "tool")];
        let mut held = Vec::new();
        for turn in 0..READS_PER_CALLER_MAX {
            held.push(ask(&reads, &tool[turn % 2]).await.unwrap());
        }
        for connection in &tool {
            assert!(ask(&reads, connection).await.is_none());
        }
        // Others find the rest, and a turn that ends is the next one of the same caller.
        let other = place(&places, "other");
        for _ in READS_PER_CALLER_MAX..READS_MAX {
            held.push(ask(&reads, &other).await.unwrap());
        }
        assert!(ask(&reads, &place(&places, "third")).await.is_none(), "the port has no more");
        held.remove(0);
        assert!(ask(&reads, &other).await.is_none());
        assert!(ask(&reads, &tool[1]).await.is_some());
    }

    #[tokio::test]
    async fn a_step_of_a_stream_counts_for_its_caller() {
        let (reads, places) = (Reads::new(), Places::new(PlaceLimits::default()));
        let tool = place(&places, "tool");
        let mut held = Vec::new();
        let mut step = async || {
            let mut asking = Box::pin(reads.turn());
            let turn = std::future::poll_fn(|context| {
                let polled = poll_as_caller(tool.clone(), || asking.as_mut().poll(context));
                Poll::Ready(match polled {
                    Poll::Ready(turn) => turn,
                    Poll::Pending => None,
                })
            });
            let turn = turn.await;
            let is_given = turn.is_some();
            held.extend(turn);
            is_given
        };
        for _ in 0..READS_PER_CALLER_MAX {
            assert!(step().await);
        }
        assert!(!step().await);
    }
}
