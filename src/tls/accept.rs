//! The accept loop: TCP connections in, identified callers out.
//!
//! Every step is bounded in number and time, so that strangers can fill neither memory nor the way for
//! partners. It reads nothing of what a caller sends after the handshake, and logs no content.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{Id, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::caller::{self, CallerInfo};
use super::certificate::NodeCertificate;
use super::trust::{Gate, GateVerifier, Refusal, RefusalReason};
use super::{ALPN_HTTP2, VERSIONS, provider};

/// How long the loop rests when the system has no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How much a port takes on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Handshakes under way: enough to let every partner and client back in within a second or two
    /// after a restart.
    pub handshakes_max: usize,
    /// Handshakes under way from one network (an IPv4 address, an IPv6 /64), so that one stranger
    /// cannot take all of them.
    pub handshakes_per_network_max: usize,
    /// Connections, handshakes among them: far more than partners and clients of one node. Each may
    /// buffer up to its HTTP/2 connection window.
    pub connections_max: usize,
    /// How long one handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            handshakes_max: 64,
            handshakes_per_network_max: 16,
            connections_max: 256,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// Refused callers by reason, since the start.
#[derive(Debug, Default)]
pub struct RefusalCounts([AtomicU64; RefusalReason::ALL.len()]);

impl RefusalCounts {
    pub fn of(&self, reason: RefusalReason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    pub fn all(&self) -> impl Iterator<Item = (RefusalReason, u64)> + '_ {
        RefusalReason::ALL.into_iter().map(|reason| (reason, self.of(reason)))
    }

    fn add(&self, reason: RefusalReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The server's side of TLS for a port: TLS 1.3, HTTP/2, a certificate from every caller, nothing
/// resumed.
pub fn server_config(
    gate: &Gate,
    certificate: &Arc<NodeCertificate>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(Arc::new(GateVerifier::new(gate.clone())))
        .with_cert_resolver(certificate.clone());
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    // A resumed session would skip the verifier, and with it a suspension.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A listening port and whom it lets in.
pub struct Acceptor {
    listener: TcpListener,
    handshaker: Arc<Handshaker>,
    limits: AcceptLimits,
    connections: Arc<Semaphore>,
}

struct Handshaker {
    tls: TlsAcceptor,
    gate: Gate,
    timeout: Duration,
    counts: Arc<RefusalCounts>,
}

impl Acceptor {
    pub fn new(
        listener: TcpListener,
        gate: Gate,
        certificate: &Arc<NodeCertificate>,
        limits: AcceptLimits,
    ) -> Result<Self, rustls::Error> {
        let handshaker = Handshaker {
            tls: TlsAcceptor::from(server_config(&gate, certificate)?),
            gate,
            timeout: limits.handshake_timeout,
            counts: Arc::default(),
        };
        Ok(Self {
            listener,
            handshaker: Arc::new(handshaker),
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
        })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn refusals(&self) -> Arc<RefusalCounts> {
        self.handshaker.counts.clone()
    }

    /// Identified callers, without end. Dropping the stream closes the port and ends the handshakes
    /// under way. Nothing is accepted while it is not polled.
    pub fn incoming(self) -> impl Stream<Item = io::Result<CallerStream>> + Send {
        async_stream::stream! {
            let mut under_way = UnderWay::default();
            loop {
                let may_begin = under_way.handshakes.len() < self.limits.handshakes_max;
                tokio::select! {
                    Some(done) = under_way.next_done() => {
                        if let Some(caller) = done {
                            yield Ok(caller);
                        }
                    }
                    accepted = self.listener.accept(), if may_begin => match accepted {
                        Ok((socket, remote)) => self.begin(&mut under_way, socket, remote),
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    },
                }
            }
        }
    }

    fn begin(&self, under_way: &mut UnderWay, socket: TcpStream, remote: SocketAddr) {
        let network = network(remote.ip());
        let crowded = under_way.from(network) >= self.limits.handshakes_per_network_max;
        match self.connections.clone().try_acquire_owned() {
            Ok(permit) if !crowded => {
                let handshake = self.handshaker.clone().run(socket, remote, permit);
                under_way.add(network, handshake);
            }
            // Dropping the socket closes it.
            _ => self.handshaker.refuse(remote, &Refusal::Crowded),
        }
    }
}

/// The handshakes that were begun and are not done, with the network each comes from.
#[derive(Default)]
struct UnderWay {
    handshakes: JoinSet<Option<CallerStream>>,
    networks: HashMap<Id, IpAddr>,
}

impl UnderWay {
    fn from(&self, network: IpAddr) -> usize {
        self.networks.values().filter(|other| **other == network).count()
    }

    fn add(
        &mut self,
        network: IpAddr,
        handshake: impl Future<Output = Option<CallerStream>> + Send + 'static,
    ) {
        let id = self.handshakes.spawn(handshake).id();
        self.networks.insert(id, network);
    }

    /// The next handshake that ended: with a caller, or with none. `None` when none is under way.
    async fn next_done(&mut self) -> Option<Option<CallerStream>> {
        let (id, caller) = match self.handshakes.join_next_with_id().await? {
            Ok((id, caller)) => (id, caller),
            Err(ended) => (ended.id(), None),
        };
        self.networks.remove(&id);
        Some(caller)
    }
}

impl Handshaker {
    async fn run(
        self: Arc<Self>,
        socket: TcpStream,
        remote: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> Option<CallerStream> {
        let done = match tokio::time::timeout(self.timeout, self.handshake(socket, remote)).await {
            Ok(done) => done,
            Err(_) => Err(Refusal::Timeout),
        };
        match done {
            Ok((stream, info)) => Some(CallerStream { stream, info, _permit: permit }),
            Err(refusal) => {
                self.refuse(remote, &refusal);
                None
            }
        }
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        remote: SocketAddr,
    ) -> Result<(TlsStream<TcpStream>, CallerInfo), Refusal> {
        socket.set_nodelay(true).map_err(|failed| Refusal::Handshake(Arc::new(failed)))?;
        let stream = self.tls.accept(socket).await.map_err(Refusal::of_handshake)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let [leaf, intermediates @ ..] = chain else { return Err(Refusal::NoCertificate) };
        // Asked again, so that trust withdrawn during the handshake counts.
        let caller = self.gate.identify(leaf, intermediates, UnixTime::now())?;
        let certificate_expires = caller::expires_at(&caller::parse(leaf)?);
        Ok((stream, CallerInfo { caller, remote, certificate_expires }))
    }

    fn refuse(&self, remote: SocketAddr, refusal: &Refusal) {
        let reason = refusal.reason();
        self.counts.add(reason);
        let detail = std::error::Error::source(refusal).map(ToString::to_string);
        tracing::info!(%remote, reason = reason.name(), detail, "refused a caller: {refusal}");
    }
}

/// What counts as one stranger: an IPv4 address, or the /64 that an IPv6 host chooses addresses from.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// A connection whose caller is known. Holds its place among the port's connections until dropped.
pub struct CallerStream {
    stream: TlsStream<TcpStream>,
    info: CallerInfo,
    _permit: OwnedSemaphorePermit,
}

impl std::fmt::Debug for CallerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CallerStream({:?})", self.info)
    }
}

impl Connected for CallerStream {
    type ConnectInfo = CallerInfo;

    fn connect_info(&self) -> CallerInfo {
        self.info.clone()
    }
}

impl AsyncRead for CallerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CallerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
