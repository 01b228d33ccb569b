//! Bodies that count for their caller: what it has begun to send and not finished, and what it has
//! under way.
//!
//! A message of gRPC is a prefix of 5 bytes and its content. A caller that begins many and finishes
//! none would have the node hold them all; here they wait for each other, and run out of time.

use super::reads::poll_as_caller;
use crate::tls::{Place, RequestPlace};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

/// The longest time for one message to arrive: 4 MiB over half a megabit a second.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// A flag, and the length of the content as u32 BE.
const PREFIX_BYTES: usize = 5;

/// The position of a body in its messages.
#[derive(Debug, Default)]
struct Messages {
    prefix: [u8; PREFIX_BYTES],
    /// Bytes of the prefix that came.
    have: usize,
    /// Bytes of the content that are to come.
    left: usize,
}

/// The end of some bytes of a body, in terms of messages.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Between,
    /// Within the message that these bytes began in.
    Within,
    /// Within another, which has so many bytes.
    WithinNew(usize),
}

impl Messages {
    fn pass(&mut self, mut bytes: &[u8]) -> End {
        let mut begun = None;
        while !bytes.is_empty() {
            let taken = if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                taken
            } else {
                let taken = (PREFIX_BYTES - self.have).min(bytes.len());
                self.prefix[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                if self.have == PREFIX_BYTES {
                    let [_, length @ ..] = self.prefix;
                    self.left = u32::from_be_bytes(length) as usize;
                    self.have = 0;
                    begun = Some(self.left);
                }
                taken
            };
            bytes = &bytes[taken..];
        }
        match begun {
            _ if self.left == 0 => End::Between,
            Some(length) => End::WithinNew(length),
            None => End::Within,
        }
    }
}

type Acquiring = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// The body of a request.
pub(super) struct Metered {
    body: Body,
    place: Place,
    messages: Messages,
    /// The permit that the present message holds.
    held: Option<OwnedSemaphorePermit>,
    /// Bytes that wait for it.
    waiting: Option<(Bytes, Acquiring)>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    pub(super) fn of(body: Body, place: Place) -> Body {
        Body::new(Self {
            body,
            place,
            messages: Messages::default(),
            held: None,
            waiting: None,
            deadline: None,
        })
    }

    fn poll_late(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(context));
        let text = format!("a message was not finished within {} s", MESSAGE_TIMEOUT.as_secs());
        Poll::Ready(Some(Err(Status::deadline_exceeded(text))))
    }

    fn pass(&mut self, bytes: Bytes) -> Option<Bytes> {
        match self.messages.pass(&bytes) {
            End::Within => return Some(bytes),
            End::Between => {
                self.held = None;
                self.deadline = None;
                return Some(bytes);
            }
            End::WithinNew(length) => {
                self.held = None;
                self.deadline = Some(Box::pin(tokio::time::sleep(MESSAGE_TIMEOUT)));
                let place = self.place.clone();
                let acquiring = Box::pin(async move { place.message(length).await });
                self.waiting = Some((bytes, acquiring));
            }
        }
        None
    }
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some((bytes, acquiring)) = &mut self.waiting {
                let Poll::Ready(permit) = acquiring.as_mut().poll(context) else {
                    return self.poll_late(context);
                };
                let bytes = std::mem::take(bytes);
                self.held = permit;
                self.waiting = None;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return self.poll_late(context),
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(end) => {
                    self.held = None;
                    return Poll::Ready(end);
                }
            };
            match frame.into_data() {
                Ok(bytes) => {
                    if let Some(bytes) = self.pass(bytes) {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }
}

/// The body of an answer: the request is under way until it is dropped.
pub(super) struct Answering {
    body: Body,
    request: RequestPlace,
}

impl Answering {
    pub(super) fn of(body: Body, request: RequestPlace) -> Body {
        Body::new(Self { body, request })
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let caller = self.request.place().clone();
        poll_as_caller(caller, || Pin::new(&mut self.body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend((bytes as u32).to_be_bytes());
        message.resize(PREFIX_BYTES + bytes, 7);
        message
    }

    #[test]
    fn the_end_of_bytes_is_found_however_they_are_cut() {
        let body = [message(3), message(0), message(9)].concat();
        for cut in 0..=body.len() {
            let mut messages = Messages::default();
            let first = messages.pass(&body[..cut]);
            assert_eq!(messages.pass(&body[cut..]), End::Between, "cut at {cut}");
            let within = (5..8).contains(&cut) || (18..27).contains(&cut);
            assert_eq!(first != End::Between, within, "cut at {cut}");
        }
    }

    #[test]
    fn a_message_is_counted_once_when_it_begins() {
        let mut messages = Messages::default();
        let body = message(100);
        assert_eq!(messages.pass(&body[..20]), End::WithinNew(100));
        assert_eq!(messages.pass(&body[20..50]), End::Within);
        assert_eq!(messages.pass(&body[50..]), End::Between);
        let two = [message(4), message(50)].concat();
        assert_eq!(messages.pass(&two[..30]), End::WithinNew(50));
    }
}
