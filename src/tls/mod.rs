//! The TLS of a node: its certification authority, its listeners for partners and clients, and its
//! outgoing connections.
//!
//! TLS 1.3 only, hybrid X25519MLKEM768 first, no resumption: each connection shows its certificate
//! anew. Trust is per partner; there is no common pool of anchors, and no door says whom it knows.
//! This module tells who is calling. It must never decide what they may do: whoever serves a request
//! asks for the partner's state and the policy again.

pub mod accept;
pub mod authority;
pub mod caller;
mod caller_info;
pub mod certificate;
pub mod client;
pub mod connect;
mod pem;
pub mod places;
pub mod profile;
pub mod trust;
pub mod web;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use accept::{AcceptLimits, Acceptor, CallerStream, RefusalCounts, server_config};
pub use authority::{Authority, AuthorityError, IssuedClient, NodeNames};
pub use caller::{Caller, Unreadable};
pub use caller_info::CallerInfo;
pub use certificate::NodeCertificate;
pub use client::{CertificateSerial, ClientName, ClientNameError};
pub use connect::{ConnectError, Dialer, connect_client, connect_partner};
pub use pem::certificate_text;
pub use places::{Place, PlaceLimits, Places, READS_PER_CALLER_MAX, RequestPlace};
pub use profile::{ClientProfile, ProfileError};
pub use trust::{Gate, Refusal, RefusalReason, SharedTrust, TrustError, TrustMap};
pub use web::{Answer, WebClient, WebError};

/// HTTP/2 flow control window of one stream: 4 MiB under way fill a 300 Mbit/s line at 100 ms there
/// and back.
pub const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// HTTP/2 flow control window of one connection: four streams at full window.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// The silence after which the other side is asked for a sign of life. The question also keeps the
/// connection in the tables of address translators on the way.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// The longest wait for the answer to that.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time from the handshake to the HTTP/2 preface, which clients send at once.
pub const PREFACE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time that a connection without a request is kept; clients dial again when they need
/// it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest time for name resolution, TCP and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const ALPN_HTTP2: &[u8] = b"h2";
static VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// aws-lc-rs with the hybrid post-quantum group first. Always handed over by name: the process-wide
/// default depends on what else is linked.
fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    Arc::new(CryptoProvider {
        kx_groups: vec![X25519MLKEM768, X25519, SECP256R1],
        ..aws_lc_rs::default_provider()
    })
}

#[cfg(test)]
mod tests;
