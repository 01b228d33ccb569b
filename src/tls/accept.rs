//! The accept loop: TCP connections in, identified callers out.
//!
//! Every step is bounded in number and time, so that strangers can fill neither memory nor the way for
//! partners. It reads nothing of what a caller sends after the handshake, and logs no content.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::caller;
use super::caller_info::CallerInfo;
use super::certificate::NodeCertificate;
use super::places::{PlaceLimits, Places};
use super::trust::{Gate, GateVerifier, Refusal, RefusalReason};
use super::{ALPN_HTTP2, IDLE_TIMEOUT, PREFACE_TIMEOUT, VERSIONS, provider};

/// The pause of the loop when the system has no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The load that a port accepts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Handshakes under way: enough to let every partner and client back in within a second or two
    /// after a restart.
    pub handshakes_max: usize,
    /// Handshakes under way from one network (an IPv4 /24, an IPv6 /48), so that one stranger
    /// cannot take all of them.
    pub handshakes_per_network_max: usize,
    /// The longest time for one handshake.
    pub handshake_timeout: Duration,
    /// The longest time from the handshake to the HTTP/2 preface.
    pub preface_timeout: Duration,
    /// The longest time that a connection without a request is kept.
    pub idle_timeout: Duration,
    /// The limits for callers whose handshake is done.
    pub places: PlaceLimits,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            handshakes_max: 64,
            handshakes_per_network_max: 16,
            handshake_timeout: Duration::from_secs(5),
            preface_timeout: PREFACE_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            places: PlaceLimits::default(),
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
}

struct Handshaker {
    tls: TlsAcceptor,
    gate: Gate,
    limits: AcceptLimits,
    places: Places,
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
            limits,
            places: Places::new(limits.places),
            counts: Arc::default(),
        };
        Ok(Self { listener, handshaker: Arc::new(handshaker), limits })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn refusals(&self) -> Arc<RefusalCounts> {
        self.handshaker.counts.clone()
    }

    /// Identified callers, without end. Dropping the stream closes the port and ends the handshakes
    /// under way. Nothing is accepted while it is not polled.
    ///
    /// Nobody waits for the handshakes of others: where all places are taken, the oldest handshake of
    /// the network that has most of them gives way. An honest one takes milliseconds.
    pub fn incoming(self) -> impl Stream<Item = io::Result<CallerStream>> + Send {
        async_stream::stream! {
            let mut under_way = UnderWay::default();
            loop {
                tokio::select! {
                    Some(done) = under_way.next_done() => {
                        if let Some(caller) = done {
                            yield Ok(caller);
                        }
                    }
                    accepted = self.listener.accept() => match accepted {
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
        let yields = under_way.yields_to(network, &self.limits);
        if let Some(remote) = yields.and_then(|network| under_way.give_up_oldest(network)) {
            self.handshaker.refuse(remote, &Refusal::Crowded);
        }
        under_way.add(network, remote, self.handshaker.clone().run(socket, remote));
    }
}

/// A handshake that was begun and is not done.
struct Begun {
    id: Id,
    network: IpAddr,
    remote: SocketAddr,
    task: AbortHandle,
}

/// The handshakes under way, oldest first.
#[derive(Default)]
struct UnderWay {
    handshakes: JoinSet<Option<CallerStream>>,
    begun: Vec<Begun>,
}

impl UnderWay {
    fn from(&self, network: IpAddr) -> usize {
        self.begun.iter().filter(|other| other.network == network).count()
    }

    /// Returns the network whose oldest handshake gives way to one more from `network`.
    fn yields_to(&self, network: IpAddr, limits: &AcceptLimits) -> Option<IpAddr> {
        if self.from(network) >= limits.handshakes_per_network_max {
            return Some(network);
        }
        let is_full = self.begun.len() >= limits.handshakes_max;
        is_full.then(|| self.busiest()).flatten()
    }

    /// The network with most handshakes; the one that began first of those with as many.
    fn busiest(&self) -> Option<IpAddr> {
        let networks = self.begun.iter().rev().map(|begun| begun.network);
        networks.max_by_key(|network| self.from(*network))
    }

    /// Ends the oldest handshake from a network; gives where it came from.
    fn give_up_oldest(&mut self, network: IpAddr) -> Option<SocketAddr> {
        let oldest = self.begun.iter().position(|begun| begun.network == network)?;
        let begun = self.begun.remove(oldest);
        begun.task.abort();
        Some(begun.remote)
    }

    fn add(
        &mut self,
        network: IpAddr,
        remote: SocketAddr,
        handshake: impl Future<Output = Option<CallerStream>> + Send + 'static,
    ) {
        let task = self.handshakes.spawn(handshake);
        self.begun.push(Begun { id: task.id(), network, remote, task });
    }

    /// The next handshake that ended: with a caller, or with none. `None` when none is under way.
    async fn next_done(&mut self) -> Option<Option<CallerStream>> {
        let (id, caller) = match self.handshakes.join_next_with_id().await? {
            Ok((id, caller)) => (id, caller),
            Err(ended) => (ended.id(), None),
        };
        self.begun.retain(|begun| begun.id != id);
        Some(caller)
    }
}

impl Handshaker {
    async fn run(self: Arc<Self>, socket: TcpStream, remote: SocketAddr) -> Option<CallerStream> {
        let handshake = self.handshake(socket, remote);
        let done = match tokio::time::timeout(self.limits.handshake_timeout, handshake).await {
            Ok(done) => done,
            Err(_) => Err(Refusal::Timeout),
        };
        match done {
            Ok((stream, info)) => Some(CallerStream {
                stream,
                info,
                preface_left: PREFACE_BYTES,
                deadline: Box::pin(tokio::time::sleep(self.limits.preface_timeout)),
                idle_timeout: self.limits.idle_timeout,
            }),
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
        let place = self.places.take(&caller)?;
        Ok((stream, CallerInfo { caller, remote, certificate_expires, place }))
    }

    fn refuse(&self, remote: SocketAddr, refusal: &Refusal) {
        let reason = refusal.reason();
        self.counts.add(reason);
        let detail = std::error::Error::source(refusal).map(ToString::to_string);
        tracing::info!(%remote, reason = reason.name(), detail, "refused a caller: {refusal}");
    }
}

/// The network that counts as one stranger: the smallest that is routed by itself, an IPv4 /24, and the largest that one site
/// is given, an IPv6 /48 (RFC 6177).
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
        }
    }
}

/// Bytes of the HTTP/2 preface, `PRI * HTTP/2.0` and so on (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// A connection whose caller is known. It holds its place among the port's connections, and ends when
/// its preface or its next request does not come in time.
pub struct CallerStream {
    stream: TlsStream<TcpStream>,
    info: CallerInfo,
    preface_left: usize,
    deadline: Pin<Box<Sleep>>,
    idle_timeout: Duration,
}

impl CallerStream {
    /// Returns whether the caller let the time for its preface or its next request pass.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.deadline.as_mut().poll(cx).is_ready() {
            let left = self.idle_timeout.saturating_sub(self.info.place.idle());
            if self.preface_left > 0 || left.is_zero() {
                return Poll::Ready(());
            }
            self.deadline.as_mut().reset(tokio::time::Instant::now() + left);
        }
        Poll::Pending
    }
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
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "the caller was silent too long");
            return self.poll_overdue(cx).map(|()| Err(late()));
        }
        self.preface_left = self.preface_left.saturating_sub(buffer.filled().len() - before);
        read
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> AcceptLimits = || AcceptLimits {
        handshakes_max: 6,
        handshakes_per_network_max: 4,
        ..AcceptLimits::default()
    };

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 40_000)
    }

    /// Begins a handshake that never ends; gives the address whose handshake gave way.
    fn begin(under_way: &mut UnderWay, from: &str) -> Option<String> {
        let remote = address(from);
        let network = network(remote.ip());
        let yields = under_way.yields_to(network, &LIMITS());
        let gone = yields.and_then(|network| under_way.give_up_oldest(network));
        under_way.add(network, remote, std::future::pending());
        gone.map(|remote| remote.ip().to_string())
    }

    fn has(under_way: &UnderWay, from: &str) -> bool {
        under_way.begun.iter().any(|begun| begun.remote == address(from))
    }

    #[tokio::test]
    async fn many_addresses_of_one_network_delay_no_handshake_from_another() {
        for (stranger, honest) in [("203.0.113.", "198.51.100.7"), ("2001:db8:1:", "2001:db8:2::1")]
        {
            let mut under_way = UnderWay::default();
            assert_eq!(begin(&mut under_way, honest), None);
            for n in 1..=100 {
                let from = match stranger.ends_with(':') {
                    // Each from another /64 of one site.
                    true => format!("{stranger}{n:x}::1"),
                    false => format!("{stranger}{n}"),
                };
                let gone = begin(&mut under_way, &from);
                assert_eq!(gone.is_some(), n > 4, "{n}");
                assert!(gone.is_none_or(|gone| gone.starts_with(stranger)));
            }
            assert!(has(&under_way, honest), "it began first and is there still");
            assert_eq!(begin(&mut under_way, honest), None, "one more finds a place");
            assert_eq!(under_way.begun.len(), 6);
        }
    }

    #[tokio::test]
    async fn where_all_places_are_taken_the_network_with_most_gives_way() {
        let mut under_way = UnderWay::default();
        begin(&mut under_way, "198.51.100.7");
        begin(&mut under_way, "192.0.2.1");
        for n in 1..=4 {
            assert_eq!(begin(&mut under_way, &format!("203.0.113.{n}")), None);
        }
        assert_eq!(begin(&mut under_way, "192.0.2.2").as_deref(), Some("203.0.113.1"));
        assert!(has(&under_way, "198.51.100.7") && has(&under_way, "192.0.2.1"));
    }
}
