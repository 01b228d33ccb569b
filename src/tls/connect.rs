//! Dialling: to a partner with that partner's anchors only, or as a client to one's own node.
//!
//! The other side must prove the agency's name, whatever address it answers at, so a name server can
//! misdirect but not deceive. No name is sent in the clear: the node has one certificate only, and
//! who talks to whom is nobody's business.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use super::certificate::NodeCertificate;
use super::profile::ClientProfile;
use super::{
    ALPN_HTTP2, CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT,
    STREAM_WINDOW_BYTES, VERSIONS, pem, provider, trust,
};
use crate::ident::AgencyName;
use crate::partner::{Address, Host, VerifiedCard};

/// The reason why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{agency} has no address; it has to dial in")]
    NoAddress { agency: AgencyName },
    #[error("{agency} cannot be a server name in a certificate")]
    ServerName { agency: AgencyName, source: InvalidDnsNameError },
    #[error("the trust or the certificate for the connection cannot be used")]
    Setup(#[source] rustls::Error),
    #[error("the profile's {0} is not PEM as it was issued")]
    Profile(&'static str),
    #[error("cannot reach {address}")]
    Tcp { address: Address, source: io::Error },
    #[error("{address} did not prove to be a node of {agency}")]
    Tls { address: Address, agency: AgencyName, source: io::Error },
    #[error("{address} does not speak HTTP/2")]
    NoHttp2 { address: Address },
    #[error("the connection to {agency} at {address} failed")]
    Channel { address: Address, agency: AgencyName, source: tonic::transport::Error },
}

/// All that is needed to dial one agency, again and again.
#[derive(Clone)]
pub struct Dialer {
    agency: AgencyName,
    server_name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Dialer {
    /// Dials a partner as this node, with the anchors of that partner's card only. Renewed
    /// certificates are picked up by the next connection.
    pub fn partner(own: &Arc<NodeCertificate>, card: &VerifiedCard) -> Result<Self, ConnectError> {
        let card = card.card();
        Self::new(&card.agency, &card.tls_authorities, own.clone())
    }

    /// Dials the node of a client's profile.
    pub fn client(profile: &ClientProfile) -> Result<Self, ConnectError> {
        let anchor =
            pem::certificate(&profile.authority_pem).ok_or(ConnectError::Profile("ca_pem"))?;
        let certificate =
            pem::certificate(&profile.certificate_pem).ok_or(ConnectError::Profile("cert_pem"))?;
        let key = pem::key(&profile.key_pem).ok_or(ConnectError::Profile("key_pem"))?;
        let certified =
            CertifiedKey::from_der(vec![certificate], PrivateKeyDer::Pkcs8(key), &provider())
                .map_err(ConnectError::Setup)?;
        Self::new(&profile.agency, &[anchor], Arc::new(SingleCertAndKey::from(certified)))
    }

    pub(super) fn new(
        agency: &AgencyName,
        anchors: &[CertificateDer<'static>],
        identity: Arc<dyn ResolvesClientCert>,
    ) -> Result<Self, ConnectError> {
        let server_name = ServerName::try_from(agency.to_string())
            .map_err(|source| ConnectError::ServerName { agency: agency.clone(), source })?;
        let config = client_config(anchors, identity).map_err(ConnectError::Setup)?;
        Ok(Self { agency: agency.clone(), server_name, config: Arc::new(config) })
    }

    /// Connects now, and by itself again whenever the connection was lost.
    pub async fn connect(&self, address: &Address) -> Result<Channel, ConnectError> {
        let failed = |source| ConnectError::Channel {
            address: address.clone(),
            agency: self.agency.clone(),
            source,
        };
        // Only a name for the requests' authority; the connector decides where to.
        Endpoint::from_shared(format!("https://{}", self.agency))
            .map_err(failed)?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector(Connector { dialer: self.clone(), address: address.clone() })
            .await
            .map_err(failed)
    }

    /// One TLS connection over HTTP/2's protocol name, without a request on it.
    pub(super) async fn dial(self, address: Address) -> Result<TlsStream<TcpStream>, ConnectError> {
        let port = address.port.get();
        let connected = match &address.host {
            Host::Name(name) => TcpStream::connect((&**name, port)).await,
            Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
        };
        let socket = connected
            .and_then(|socket| socket.set_nodelay(true).map(|()| socket))
            .map_err(|source| ConnectError::Tcp { address: address.clone(), source })?;
        let stream = TlsConnector::from(self.config)
            .connect(self.server_name, socket)
            .await
            .map_err(|source| ConnectError::Tls {
                address: address.clone(),
                agency: self.agency,
                source,
            })?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN_HTTP2) {
            return Err(ConnectError::NoHttp2 { address });
        }
        Ok(stream)
    }
}

/// Connects to a partner at the first of its card's addresses that answers.
pub async fn connect_partner(
    own: &Arc<NodeCertificate>,
    card: &VerifiedCard,
) -> Result<Channel, ConnectError> {
    let dialer = Dialer::partner(own, card)?;
    let mut last = ConnectError::NoAddress { agency: card.card().agency.clone() };
    for address in &card.card().addresses {
        match dialer.connect(address).await {
            Ok(channel) => return Ok(channel),
            Err(failed) => last = failed,
        }
    }
    Err(last)
}

/// Connects a client to its node.
pub async fn connect_client(profile: &ClientProfile) -> Result<Channel, ConnectError> {
    Dialer::client(profile)?.connect(&profile.node).await
}

fn client_config(
    anchors: &[CertificateDer<'static>],
    identity: Arc<dyn ResolvesClientCert>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)?
        .with_root_certificates(trust::roots(anchors)?)
        .with_client_cert_resolver(identity);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// The connector with which tonic uses our own connections, to the one address it was made for.
struct Connector {
    dialer: Dialer,
    address: Address,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialing = self.dialer.clone().dial(self.address.clone());
        Box::pin(async move { dialing.await.map(TokioIo::new) })
    }
}
