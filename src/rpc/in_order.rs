//! Work that begins early and ends in order.
//!
//! Each piece is started when it comes, so that what it does on other threads runs beside the pieces
//! before it; it is taken further only when those are done. So nothing that a later piece does after
//! its first wait can happen before an earlier one ended.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Pieces of work in the order in which they came.
pub(super) struct InOrder<T> {
    pieces: VecDeque<Piece<T>>,
    most: usize,
}

enum Piece<T> {
    Running(Pin<Box<dyn Future<Output = T> + Send>>),
    Done(T),
}

impl<T> InOrder<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { pieces: VecDeque::with_capacity(most), most }
    }

    pub(super) fn is_full(&self) -> bool {
        self.pieces.len() >= self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Starts another piece: runs it up to its first wait.
    pub(super) async fn begin(&mut self, work: impl Future<Output = T> + Send + 'static) {
        let mut work: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(work);
        let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        self.pieces.push_back(match first {
            Poll::Ready(done) => Piece::Done(done),
            Poll::Pending => Piece::Running(work),
        });
    }

    /// Returns the result of the earliest piece; waits for ever if there is none. May be dropped
    /// and asked again without loss.
    pub(super) async fn next(&mut self) -> T {
        let done = poll_fn(|context| match self.pieces.front_mut() {
            None => Poll::Pending,
            Some(Piece::Done(_)) => Poll::Ready(None),
            Some(Piece::Running(work)) => work.as_mut().poll(context).map(Some),
        })
        .await;
        match (self.pieces.pop_front(), done) {
            (_, Some(done)) | (Some(Piece::Done(done)), None) => done,
            // Ready without a value is said of a piece that is done alone.
            (Some(Piece::Running(work)), None) => work.await,
            (None, None) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_later_piece_that_could_end_first_waits_for_the_earlier_one() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut pieces = InOrder::new(4);
        let (release_first, first) = oneshot::channel::<()>();
        let (release_second, second) = oneshot::channel::<()>();
        for (number, gate) in [(1, first), (2, second)] {
            let log = Arc::clone(&log);
            pieces
                .begin(async move {
                    log.lock().unwrap().push(format!("begun {number}"));
                    gate.await.unwrap();
                    log.lock().unwrap().push(format!("ended {number}"));
                    number
                })
                .await;
        }
        release_second.send(()).unwrap();
        release_first.send(()).unwrap();
        assert_eq!((pieces.next().await, pieces.next().await), (1, 2));
        assert!(pieces.is_empty());
        let log = log.lock().unwrap();
        assert_eq!(*log, ["begun 1", "begun 2", "ended 1", "ended 2"]);
    }

    #[tokio::test]
    async fn a_piece_that_ends_at_once_is_answered_in_its_turn() {
        let mut pieces = InOrder::new(2);
        pieces.begin(async { tokio::task::yield_now().await }).await;
        pieces.begin(async {}).await;
        assert!(pieces.is_full());
        pieces.next().await;
        pieces.next().await;
        assert!(pieces.is_empty());
    }
}
