//! Whole handshakes on the loopback interface, with certificates made here.

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Mutex;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;

use super::*;
use crate::ident::{AgencyName, Timestamp};
use crate::partner::card::tests::key;
use crate::partner::{Address, Role, VerifiedCard};
use crate::policy::ClientRole;
use crate::testkit::policy::agency;
use crate::testkit::sample_card;

const LIMIT: Duration = Duration::from_secs(10);

fn now() -> Timestamp {
    let since = rustls::pki_types::UnixTime::now().as_secs();
    Timestamp::from_unix_ms(since as i64 * 1000).unwrap()
}

fn days(count: i64) -> i64 {
    count * 24 * 3_600_000
}

fn names(name: &str, hosts: &[&str]) -> NodeNames {
    let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    NodeNames { agency: agency(name), hosts }
}

struct Node {
    dir: tempfile::TempDir,
    authority: Authority,
    certificate: Arc<NodeCertificate>,
}

impl Node {
    fn new(name: &str) -> Self {
        Self::at(name, now())
    }

    fn at(name: &str, now: Timestamp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let names = names(name, &["localhost", "127.0.0.1"]);
        let authority = Authority::create(dir.path(), &names, now).unwrap();
        let certificate =
            NodeCertificate::load_or_create(dir.path(), names, &authority, now).unwrap();
        Self { dir, authority, certificate }
    }

    fn agency(&self) -> &AgencyName {
        &self.certificate.names().agency
    }

    fn card(&self, addresses: Vec<Address>) -> VerifiedCard {
        let mut card = sample_card();
        card.agency = self.agency().clone();
        card.tls_authorities = vec![self.authority.certificate().clone()];
        card.addresses = addresses;
        card.seal(&key(Role::Identity, 1)).unwrap()
    }

    fn profile(&self, name: &str, role: ClientRole, node: Address) -> ClientProfile {
        let name: ClientName = name.parse().unwrap();
        let issued = self.authority.issue_client(&name, role, now()).unwrap();
        let authority = std::fs::read_to_string(self.dir.path().join("tls/ca.pem")).unwrap();
        let (authority, _) = authority.split_once("-----BEGIN PRIVATE").unwrap();
        ClientProfile {
            node,
            agency: self.agency().clone(),
            name,
            role,
            authority_pem: authority.to_owned(),
            certificate_pem: issued.certificate_pem,
            key_pem: issued.key_pem,
        }
    }
}

fn trust(partners: &[(&AgencyName, &Node)]) -> SharedTrust {
    let anchors = partners
        .iter()
        .map(|(agency, node)| (*agency, std::slice::from_ref(node.authority.certificate())));
    trust_in(anchors)
}

fn trust_in<'a>(
    anchors: impl IntoIterator<Item = (&'a AgencyName, &'a [CertificateDer<'static>])>,
) -> SharedTrust {
    let (map, left_out) = TrustMap::new(anchors);
    assert!(left_out.is_empty(), "{left_out:?}");
    map.shared()
}

/// A partner port of `node`, and where it listens.
async fn partner_port(node: &Node, trust: &SharedTrust) -> (Acceptor, Address) {
    port(node, Gate::partners(trust), AcceptLimits::default()).await
}

async fn api_port(node: &Node) -> (Acceptor, Address) {
    port(node, Gate::clients(&node.authority).unwrap(), AcceptLimits::default()).await
}

async fn port(node: &Node, gate: Gate, limits: AcceptLimits) -> (Acceptor, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let acceptor = Acceptor::new(listener, gate, &node.certificate, limits).unwrap();
    let address = acceptor.local_addr().unwrap().try_into().unwrap();
    (acceptor, address)
}

/// Polls `incoming` until a caller comes; the dialling runs beside it.
async fn first_caller(
    incoming: impl Stream<Item = std::io::Result<CallerStream>>,
    dialing: impl Future<Output = Result<impl Sized, ConnectError>>,
) -> CallerInfo {
    let mut incoming = pin!(incoming);
    let both = async { tokio::join!(dialing, incoming.next()) };
    let (dialed, caller) = tokio::time::timeout(LIMIT, both).await.unwrap();
    if let Err(failed) = dialed {
        panic!("{failed}: {:?}", std::error::Error::source(&failed));
    }
    caller.unwrap().unwrap().connect_info()
}

/// Dials and expects that the port refuses for `reason`, lets nobody in and sends nothing.
async fn assert_refused(acceptor: Acceptor, dialer: Dialer, reason: RefusalReason) {
    let counts = acceptor.refusals();
    let address = acceptor.local_addr().unwrap().try_into().unwrap();
    let mut incoming = pin!(acceptor.incoming());
    let dialing = async {
        // With TLS 1.3 the client is done before the server has looked at its certificate.
        if let Ok(mut stream) = dialer.dial(address).await {
            let mut buffer = [0; 1];
            let read = stream.read(&mut buffer).await;
            assert!(matches!(read, Err(_) | Ok(0)), "{read:?}");
        }
        while counts.of(reason) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, async {
        tokio::select! {
            caller = incoming.next() => panic!("let in {caller:?}"),
            () = dialing => {}
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?}", counts.all().collect::<Vec<_>>()));
    assert_eq!(counts.all().map(|(_, count)| count).sum::<u64>(), 1);
}

/// Dials `node`'s name as whoever holds `identity`.
fn dialer(node: &Node, identity: Arc<dyn ResolvesClientCert>) -> Dialer {
    Dialer::new(node.agency(), &[node.authority.certificate().clone()], identity).unwrap()
}

/// Shows one certificate always, and remembers whom the server asked for.
#[derive(Debug)]
struct Shown {
    certified: Arc<CertifiedKey>,
    hints: Mutex<Option<usize>>,
}

impl Shown {
    fn from_pem(text: &str) -> Arc<Self> {
        let held = pem::read(text).unwrap();
        let certified =
            CertifiedKey::from_der(vec![held.certificate], held.key.into(), &provider()).unwrap();
        Arc::new(Self { certified: Arc::new(certified), hints: Mutex::default() })
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.hints.lock().unwrap() = Some(hints.len());
        Some(self.certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_partner_is_let_in_under_its_own_name() {
    let (a, b, c) = (Node::new("a.example"), Node::new("b.example"), Node::new("c.example"));
    let trust = trust(&[(b.agency(), &b), (c.agency(), &c)]);
    let (acceptor, address) = partner_port(&a, &trust).await;
    let dialing = Dialer::partner(&b.certificate, &a.card(vec![])).unwrap().dial(address);
    let info = first_caller(acceptor.incoming(), dialing).await;
    assert_eq!(info.caller, Caller::Partner(agency("b.example")));
    assert_eq!(info.certificate_expires, b.certificate.expires_at());
}

#[tokio::test]
async fn the_hybrid_group_tls_13_and_http2_are_negotiated_and_nothing_is_resumable() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let (acceptor, address) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    let mut incoming = pin!(acceptor.incoming());
    let dialing = Dialer::partner(&b.certificate, &a.card(vec![])).unwrap().dial(address);
    let (stream, caller) = tokio::join!(dialing, incoming.next());
    let mut stream = stream.unwrap();
    let mut caller = caller.unwrap().unwrap();
    let session = stream.get_ref().1;
    assert_eq!(
        session.negotiated_key_exchange_group().unwrap().name(),
        rustls::NamedGroup::X25519MLKEM768
    );
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(session.alpn_protocol(), Some(ALPN_HTTP2));
    // Tickets would arrive with the first bytes of the server.
    caller.write_all(b"x").await.unwrap();
    caller.flush().await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test]
async fn a_strangers_authority_is_refused_and_learns_no_partners_name() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    // The stranger calls itself by the partner's name, but under its own authority.
    let stranger = Node::new("b.example");
    let (acceptor, _) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    let leaf = stranger.authority.issue_leaf(stranger.certificate.names(), now()).unwrap();
    let shown = Shown::from_pem(&leaf);
    assert_refused(acceptor, dialer(&a, shown.clone()), RefusalReason::NotTrusted).await;
    assert_eq!(*shown.hints.lock().unwrap(), Some(0), "the request lists no authorities");
}

#[tokio::test]
async fn a_name_that_is_no_partners_is_refused() {
    let (a, b, c) = (Node::new("a.example"), Node::new("b.example"), Node::new("c.example"));
    let (acceptor, _) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    assert_refused(acceptor, dialer(&a, c.certificate.clone()), RefusalReason::Unknown).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let a = Node::new("a.example");
    let b = Node::at("b.example", now().plus_ms(-days(31)));
    let (acceptor, _) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    assert_refused(acceptor, dialer(&a, b.certificate.clone()), RefusalReason::NotTrusted).await;
}

/// A leaf under an authority without name constraints, as a hostile partner would make them.
fn hostile_leaf(leaf_names: &[&str]) -> (CertificateDer<'static>, String) {
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(ca, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = leaf_names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    (ca.der().clone(), [leaf.pem(), key.serialize_pem()].concat())
}

#[tokio::test]
async fn a_partners_authority_cannot_speak_for_another_partner() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let hostile = agency("hostile.example");
    for (leaf_names, name_it) in
        [(vec!["b.example"], false), (vec!["b.example", "hostile.example"], true)]
    {
        let (anchor, leaf) = hostile_leaf(&leaf_names);
        let both = [
            (&hostile, std::slice::from_ref(&anchor)),
            (b.agency(), std::slice::from_ref(b.authority.certificate())),
        ];
        let trust = trust_in(both);
        let (acceptor, _) = partner_port(&a, &trust).await;
        let shown = Shown::from_pem(&leaf);
        assert_refused(acceptor, dialer(&a, shown), RefusalReason::NotTrusted).await;
        // The same certificate is good for the one name that its authority may speak for.
        let (acceptor, address) =
            partner_port(&a, &trust_in([(&hostile, std::slice::from_ref(&anchor))])).await;
        let dialer = dialer(&a, Shown::from_pem(&leaf));
        if name_it {
            let info = first_caller(acceptor.incoming(), dialer.dial(address)).await;
            assert_eq!(info.caller, Caller::Partner(hostile.clone()));
        } else {
            assert_refused(acceptor, dialer, RefusalReason::Unknown).await;
        }
    }
}

#[tokio::test]
async fn a_partner_taken_out_of_the_trust_map_is_refused_at_the_next_handshake() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let trust = trust(&[(b.agency(), &b)]);
    let (acceptor, address) = partner_port(&a, &trust).await;
    let mut incoming = pin!(acceptor.incoming());
    let info =
        first_caller(Pin::as_mut(&mut incoming), dialer(&a, b.certificate.clone()).dial(address))
            .await;
    assert_eq!(info.caller, Caller::Partner(agency("b.example")));
    trust.store(Arc::default());
    let (acceptor, _) = partner_port(&a, &trust).await;
    assert_refused(acceptor, dialer(&a, b.certificate.clone()), RefusalReason::Unknown).await;
}

#[tokio::test]
async fn tls_12_is_refused() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let (acceptor, address) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    let counts = acceptor.refusals();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(
            trust::roots(std::slice::from_ref(a.authority.certificate())).unwrap(),
        )
        .with_client_cert_resolver(b.certificate.clone());
    let mut incoming = pin!(acceptor.incoming());
    let dialing = async {
        let socket = TcpStream::connect(address.to_string()).await.unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let dialed = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        assert!(dialed.is_err());
        while counts.of(RefusalReason::Handshake) == 0 {
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::time::timeout(LIMIT, async {
        tokio::select! { _ = incoming.next() => false, () = dialing => true }
    });
    assert!(outcome.await.unwrap(), "let in over TLS 1.2");
}

#[tokio::test]
async fn a_client_is_known_by_name_role_and_serial() {
    let a = Node::new("a.example");
    for role in ClientRole::ALL {
        let (acceptor, address) = api_port(&a).await;
        let profile = a.profile("tanaka", role, address.clone());
        let path = profile.store(a.dir.path()).unwrap();
        let loaded = ClientProfile::load(&path).unwrap();
        let dialing = Dialer::client(&loaded).unwrap().dial(address);
        let info = first_caller(acceptor.incoming(), dialing).await;
        let Caller::Client { name, role: found, serial } = info.caller else {
            panic!("{:?}", info.caller);
        };
        assert_eq!((name.as_str(), found, serial.as_bytes().len()), ("tanaka", role, 16));
    }
}

#[tokio::test]
async fn each_port_refuses_the_others_certificates() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let (api, _) = api_port(&a).await;
    assert_refused(api, dialer(&a, b.certificate.clone()), RefusalReason::NotTrusted).await;
    // The node's own certificate is under the right authority, but names no role.
    let (api, _) = api_port(&a).await;
    assert_refused(api, dialer(&a, a.certificate.clone()), RefusalReason::NoRole).await;

    let trust = trust(&[(b.agency(), &b)]);
    let (port, address) = partner_port(&a, &trust).await;
    let client = Dialer::client(&a.profile("tanaka", ClientRole::Admin, address.clone())).unwrap();
    assert_refused(port, client, RefusalReason::Unknown).await;
    // A client of the partner is not the partner.
    let (port, _) = partner_port(&a, &trust).await;
    let client = b.profile("tanaka", ClientRole::Admin, address);
    let shown = Shown::from_pem(&[client.certificate_pem.as_str(), &client.key_pem].concat());
    assert_refused(port, dialer(&a, shown), RefusalReason::Unknown).await;
}

#[tokio::test]
async fn a_server_that_cannot_prove_the_agencys_name_is_not_talked_to() {
    let (a, b, imposter) = (Node::new("a.example"), Node::new("b.example"), Node::new("a.example"));
    let (acceptor, address) = partner_port(&imposter, &trust(&[(b.agency(), &b)])).await;
    let mut incoming = pin!(acceptor.incoming());
    let dialing = dialer(&a, b.certificate.clone()).dial(address);
    let dialed = tokio::select! { dialed = dialing => dialed, _ = incoming.next() => panic!() };
    assert!(matches!(dialed.unwrap_err(), ConnectError::Tls { .. }));
}

#[tokio::test]
async fn a_stalled_handshake_does_not_hold_up_others() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let (acceptor, address) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    let _stalled = TcpStream::connect(address.to_string()).await.unwrap();
    let dialing = dialer(&a, b.certificate.clone()).dial(address);
    first_caller(acceptor.incoming(), dialing).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_given_up() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let gate = Gate::partners(&trust(&[(b.agency(), &b)]));
    let limits =
        AcceptLimits { handshake_timeout: Duration::from_millis(20), ..AcceptLimits::default() };
    let (acceptor, address) = port(&a, gate, limits).await;
    let counts = acceptor.refusals();
    let mut incoming = pin!(acceptor.incoming());
    let waiting = async {
        let mut stalled = TcpStream::connect(address.to_string()).await.unwrap();
        // Ends when the node closes the connection.
        assert!(matches!(stalled.read(&mut [0]).await, Err(_) | Ok(0)));
        while counts.of(RefusalReason::Timeout) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, async {
        tokio::select! { _ = incoming.next() => panic!("let in"), () = waiting => {} }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_used_on_both_sides_without_a_restart() {
    let before = now().plus_ms(-days(21));
    let (a, b) = (Node::at("a.example", before), Node::at("b.example", before));
    let (acceptor, address) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    let dialer = dialer(&a, b.certificate.clone());
    let mut incoming = pin!(acceptor.incoming());
    for renewed in [false, true] {
        if renewed {
            assert!(a.certificate.refresh(&a.authority, now()).unwrap());
            assert!(b.certificate.refresh(&b.authority, now()).unwrap());
        }
        let dialing = dialer.clone().dial(address.clone());
        let (stream, caller) = tokio::join!(dialing, incoming.next());
        let (stream, caller) = (stream.unwrap(), caller.unwrap().unwrap());
        let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
        let shown = caller::expires_at(&caller::parse(shown).unwrap());
        assert_eq!(shown, a.certificate.expires_at());
        assert_eq!(caller.connect_info().certificate_expires, b.certificate.expires_at());
    }
}

#[test]
fn one_partners_unusable_anchor_leaves_the_others_in() {
    let b = Node::new("b.example");
    let (bad, broken) = (agency("bad.example"), [CertificateDer::from(vec![0x30, 0x00])]);
    let none = agency("none.example");
    let (map, left_out) = TrustMap::new([
        (&bad, &broken[..]),
        (&none, &[][..]),
        (b.agency(), std::slice::from_ref(b.authority.certificate())),
    ]);
    assert!(matches!(&left_out[..], [TrustError::Anchor { .. }, TrustError::NoAnchor { .. }]));
    let leaf =
        pem::certificate(&b.authority.issue_leaf(b.certificate.names(), now()).unwrap()).unwrap();
    let gate = Gate::partners(&map.shared());
    let found = gate.identify(&leaf, &[], rustls::pki_types::UnixTime::now()).unwrap();
    assert_eq!(found, Caller::Partner(agency("b.example")));
}

#[tokio::test]
async fn handshakes_from_one_network_are_bounded() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let gate = Gate::partners(&trust(&[(b.agency(), &b)]));
    let limits = AcceptLimits { handshakes_per_network_max: 2, ..AcceptLimits::default() };
    let (acceptor, address) = port(&a, gate, limits).await;
    let counts = acceptor.refusals();
    let mut incoming = pin!(acceptor.incoming());
    let dialing = async {
        let mut stalled = Vec::new();
        for _ in 0..3 {
            stalled.push(TcpStream::connect(address.to_string()).await.unwrap());
        }
        while counts.of(RefusalReason::Crowded) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, async {
        tokio::select! { _ = incoming.next() => panic!("let in"), () = dialing => {} }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn connections_are_bounded_and_a_closed_one_makes_room() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let gate = Gate::partners(&trust(&[(b.agency(), &b)]));
    let limits = AcceptLimits {
        places: PlaceLimits {
            connections_max: 1,
            connections_reserved: 0,
            ..PlaceLimits::default()
        },
        ..AcceptLimits::default()
    };
    let (acceptor, address) = port(&a, gate, limits).await;
    let counts = acceptor.refusals();
    let mut incoming = pin!(acceptor.incoming());
    let dialer = dialer(&a, b.certificate.clone());
    let (first, held) = tokio::join!(dialer.clone().dial(address.clone()), incoming.next());
    let (first, held) = (first.unwrap(), held.unwrap().unwrap());
    let refused = async {
        // With TLS 1.3 the client is done before the server has looked at its certificate.
        if let Ok(mut second) = dialer.clone().dial(address.clone()).await {
            assert!(matches!(second.read(&mut [0]).await, Err(_) | Ok(0)));
        }
        while counts.of(RefusalReason::Crowded) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = incoming.next() => panic!("let in"),
        () = refused => {}
    }
    assert_eq!(counts.of(RefusalReason::Crowded), 1);
    drop((first, held));
    first_caller(Pin::as_mut(&mut incoming), dialer.dial(address)).await;
}

#[tokio::test]
async fn grpc_crosses_between_partners_and_from_a_client() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let (partners, partner_address) = partner_port(&a, &trust(&[(b.agency(), &b)])).await;
    let (api, api_address) = api_port(&a).await;
    let (_, health) = tonic_health::server::health_reporter();
    let serve = |acceptor: Acceptor| {
        tonic::transport::Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .add_service(health.clone())
            .serve_with_incoming(acceptor.incoming())
    };
    let calling = async {
        let card = a.card(vec![partner_address]);
        let profile = a.profile("tanaka", ClientRole::Analyst, api_address);
        for channel in [
            connect_partner(&b.certificate, &card).await.unwrap(),
            connect_client(&profile).await.unwrap(),
        ] {
            let request = HealthCheckRequest { service: String::new() };
            let answer = HealthClient::new(channel).check(request).await.unwrap();
            assert_eq!(answer.into_inner().status, 1);
        }
    };
    tokio::time::timeout(LIMIT, async {
        tokio::select! {
            ended = serve(partners) => panic!("{ended:?}"),
            ended = serve(api) => panic!("{ended:?}"),
            () = calling => {}
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_card_without_addresses_is_not_dialled() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let failed = connect_partner(&b.certificate, &a.card(vec![])).await.unwrap_err();
    assert!(matches!(failed, ConnectError::NoAddress { .. }));
}

#[test]
fn the_certificate_is_kept_until_ten_days_remain_and_then_renewed() {
    let start = now();
    let node = Node::at("a.example", start);
    let first = node.certificate.expires_at();
    assert!(!node.certificate.refresh(&node.authority, start.plus_ms(days(19))).unwrap());
    assert_eq!(node.certificate.expires_at(), first);
    assert!(node.certificate.refresh(&node.authority, start.plus_ms(days(21))).unwrap());
    assert!(node.certificate.expires_at() >= first.plus_ms(days(20)));
}

#[test]
fn what_was_created_is_loaded_again_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new("a.example");
    let dir = node.dir.path();
    let names = node.certificate.names().clone();
    let authority = Authority::load(dir, now()).unwrap();
    assert_eq!(authority.certificate(), node.authority.certificate());
    let again = NodeCertificate::load_or_create(dir, names, &authority, now()).unwrap();
    assert_eq!(again.expires_at(), node.certificate.expires_at());
    let profile =
        node.profile("x", ClientRole::Auditor, "localhost:1".parse().unwrap()).store(dir).unwrap();
    for path in [&dir.join("tls/ca.pem"), &dir.join("tls/leaf.pem"), &profile] {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path), 0o600, "{}", path.display());
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let error = ClientProfile::load(&profile).unwrap_err().to_string();
    assert!(error.contains("chmod 0600"), "{error}");
    assert!(Authority::load(dir, now()).is_err());
}

#[test]
fn an_authority_cannot_certify_names_that_it_was_not_made_for() {
    let dir = tempfile::tempdir().unwrap();
    let old = names("a.example", &["node.a.example"]);
    let authority = Authority::create(dir.path(), &old, now()).unwrap();
    for other in [names("b.example", &[]), names("a.example", &["10.0.0.1"])] {
        let failed = NodeCertificate::load_or_create(dir.path(), other, &authority, now());
        assert!(matches!(failed.unwrap_err(), AuthorityError::Unsound(_)));
    }
    assert!(!dir.path().join("tls/leaf.pem").exists(), "a bad certificate is never written");
}

#[test]
fn an_authority_that_is_missing_is_not_made_anew() {
    let node = Node::new("a.example");
    let dir = node.dir.path();
    std::fs::remove_dir_all(dir.join("tls")).unwrap();
    let failed = Authority::load(dir, now()).unwrap_err();
    assert!(matches!(failed, AuthorityError::Absent { .. }), "{failed}");
    assert!(failed.to_string().contains("bring tls/ back from the backup"), "{failed}");
    assert!(!dir.join("tls").exists());
}

#[test]
fn an_authority_that_ran_out_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let names = names("a.example", &[]);
    Authority::create(dir.path(), &names, now()).unwrap();
    let later = now().plus_ms(days(6 * 365));
    let failed = Authority::load(dir.path(), later).unwrap_err();
    assert!(matches!(failed, AuthorityError::Expired(_)));
}

#[test]
fn a_profile_of_another_form_is_refused_without_quoting_it() {
    let node = Node::new("a.example");
    let profile = node.profile("x", ClientRole::Auditor, "localhost:1".parse().unwrap());
    let path = profile.store(node.dir.path()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}extra = \"s3cret\"\n")).unwrap();
    let error = ClientProfile::load(&path).unwrap_err();
    assert!(matches!(error, ProfileError::Form { .. }));
    assert!(!format!("{error:?} {error}").contains("s3cret"));
}

#[tokio::test]
async fn a_caller_that_fills_its_connections_keeps_nobody_else_out() {
    let (a, b, c) = (Node::new("a.example"), Node::new("b.example"), Node::new("c.example"));
    let gate = Gate::partners(&trust(&[(b.agency(), &b), (c.agency(), &c)]));
    let places = PlaceLimits { connections_per_caller_max: 2, ..PlaceLimits::default() };
    let (acceptor, address) =
        port(&a, gate, AcceptLimits { places, ..AcceptLimits::default() }).await;
    let counts = acceptor.refusals();
    let mut incoming = pin!(acceptor.incoming());
    let mut held = Vec::new();
    for _ in 0..2 {
        let dialing = dialer(&a, b.certificate.clone()).dial(address.clone());
        let (dialed, caller) = tokio::join!(dialing, incoming.next());
        held.push((dialed.unwrap(), caller.unwrap().unwrap()));
    }
    let third = async {
        drop(dialer(&a, b.certificate.clone()).dial(address.clone()).await);
        while counts.of(RefusalReason::CallerCrowded) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = incoming.next() => panic!("let in"),
        () = third => {}
    }
    let dialing = dialer(&a, c.certificate.clone()).dial(address);
    let info = first_caller(Pin::as_mut(&mut incoming), dialing).await;
    assert_eq!(info.caller, Caller::Partner(agency("c.example")));
}

#[tokio::test]
async fn an_honest_handshake_gets_in_while_strangers_hold_all_places() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let gate = Gate::partners(&trust(&[(b.agency(), &b)]));
    let limits = AcceptLimits {
        handshakes_max: 4,
        handshake_timeout: Duration::from_secs(3_600),
        ..AcceptLimits::default()
    };
    let (acceptor, address) = port(&a, gate, limits).await;
    let counts = acceptor.refusals();
    let mut incoming = pin!(acceptor.incoming());
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(TcpStream::connect(address.to_string()).await.unwrap());
    }
    let info =
        first_caller(Pin::as_mut(&mut incoming), dialer(&a, b.certificate.clone()).dial(address));
    assert_eq!(info.await.caller, Caller::Partner(agency("b.example")));
    assert!(counts.of(RefusalReason::Crowded) <= 1);
}

#[tokio::test]
async fn a_connection_without_a_preface_or_a_request_ends() {
    let (a, b) = (Node::new("a.example"), Node::new("b.example"));
    let gate = Gate::partners(&trust(&[(b.agency(), &b)]));
    for idle_timeout in [IDLE_TIMEOUT, Duration::from_millis(20)] {
        let preface_timeout = Duration::from_millis(20);
        let limits = AcceptLimits { preface_timeout, idle_timeout, ..AcceptLimits::default() };
        let (acceptor, address) = port(&a, gate.clone(), limits).await;
        let mut incoming = pin!(acceptor.incoming());
        let dialing = dialer(&a, b.certificate.clone()).dial(address);
        let (dialed, caller) = tokio::join!(dialing, incoming.next());
        let (mut dialed, mut caller) = (dialed.unwrap(), caller.unwrap().unwrap());
        if idle_timeout < IDLE_TIMEOUT {
            // What a client sends first; then nothing.
            dialed.write_all(&[0; 24]).await.unwrap();
            dialed.flush().await.unwrap();
            caller.read_exact(&mut [0; 24]).await.unwrap();
        }
        let late = tokio::time::timeout(LIMIT, caller.read(&mut [0])).await.unwrap();
        assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }
}
