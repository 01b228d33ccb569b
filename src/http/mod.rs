//! The HTTP port, for clients without gRPC. Today it has the public witness protocol and nothing
//! else.
//!
//! It asks for no certificate, so it shows nothing but what this node's witness signed for anybody
//! to see, and changes nothing that the log's own signature does not call for. Off by default.

mod witness;

use crate::node::Node;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// The longest duration of a connection: a request is answered in less, and clients come again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time that the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that a connection buffers for the head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Serves the port until `shutdown`. Requests under way are cut off then: whatever they asked for
/// is durable or not there.
pub async fn serve(
    node: Arc<Node>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let node = Arc::clone(&node);
                connections.spawn(async move {
                    let _place = place;
                    connection(node, stream).await;
                });
            }
            Err(error) => tracing::warn!(%error, "a connection to the HTTP port was not accepted"),
        }
    }
}

async fn connection(node: Arc<Node>, stream: TcpStream) {
    let answering = service_fn(move |request: Request<Incoming>| {
        let node = Arc::clone(&node);
        async move { Ok::<Response<Full<Bytes>>, Infallible>(witness::answer(&node, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answering);
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the HTTP port broke"),
        Err(_) => tracing::debug!("a connection to the HTTP port lasted too long"),
    }
}
