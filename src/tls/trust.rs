//! The owner of each certificate: the anchors of each partner, and the gates of the two ports.
//!
//! A caller's certificate names an agency; only the anchors on that agency's own card can prove it. So
//! no partner can ever speak for another, whatever its authority signs. Whoever is refused learns
//! nothing but that: every refusal sends the same alert, and no anchor is ever listed. How long a
//! refusal takes still depends on whether the name is known; that difference is not hidden.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
};

use super::authority::Authority;
use super::caller::{self, Caller, Unreadable};
use super::provider;
use crate::ident::AgencyName;

/// The reason why a partner's anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("a trust anchor of {agency} is not a usable certification authority")]
    Anchor { agency: AgencyName, source: rustls::Error },
    #[error("{agency} has no anchor")]
    NoAnchor { agency: AgencyName, source: VerifierBuilderError },
}

/// The reason for turning a caller away.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    #[error("no certificate was shown")]
    NoCertificate,
    #[error("the certificate cannot be read")]
    Unreadable(#[from] Unreadable),
    #[error("the certificate does not name a partner of this node")]
    UnknownPartner,
    #[error("the certificate names two partners, {0} and {1}")]
    TwoPartners(AgencyName, AgencyName),
    #[error("the certificate does not prove that the caller is {agency}")]
    NotThePartner { agency: AgencyName, source: rustls::Error },
    #[error("the certificate was not issued by this node, or ran out")]
    NotOurClient(#[source] rustls::Error),
    #[error("the certificate does not name a client with a role")]
    NoRole(#[source] Unreadable),
    #[error("the handshake failed")]
    Handshake(#[source] Arc<std::io::Error>),
    #[error("the handshake was not done in time")]
    Timeout,
    #[error("too many connections, or too many handshakes from this network")]
    Crowded,
    #[error("the caller has {0} connections, as many as one may have")]
    CallerCrowded(usize),
}

/// Refusals as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    Handshake,
    Timeout,
    Crowded,
    CallerCrowded,
    Unreadable,
    Unknown,
    NotTrusted,
    NoRole,
}

impl RefusalReason {
    pub const ALL: [Self; 8] = [
        Self::Handshake,
        Self::Timeout,
        Self::Crowded,
        Self::CallerCrowded,
        Self::Unreadable,
        Self::Unknown,
        Self::NotTrusted,
        Self::NoRole,
    ];

    /// The value of the metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Timeout => "timeout",
            Self::Crowded => "crowded",
            Self::CallerCrowded => "connections_of_one_caller",
            Self::Unreadable => "unreadable",
            Self::Unknown => "unknown",
            Self::NotTrusted => "not_trusted",
            Self::NoRole => "no_role",
        }
    }
}

impl Refusal {
    pub fn reason(&self) -> RefusalReason {
        match self {
            Self::Handshake(_) | Self::NoCertificate => RefusalReason::Handshake,
            Self::Timeout => RefusalReason::Timeout,
            Self::Crowded => RefusalReason::Crowded,
            Self::CallerCrowded(_) => RefusalReason::CallerCrowded,
            Self::Unreadable(_) => RefusalReason::Unreadable,
            Self::UnknownPartner => RefusalReason::Unknown,
            Self::TwoPartners(..) | Self::NotThePartner { .. } | Self::NotOurClient(_) => {
                RefusalReason::NotTrusted
            }
            Self::NoRole(_) => RefusalReason::NoRole,
        }
    }

    /// Finds the refusal that [`GateVerifier`] put into a failed handshake.
    pub(super) fn of_handshake(failed: std::io::Error) -> Self {
        let inner = failed.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => {
                match why.downcast_ref::<Self>() {
                    Some(refusal) => refusal.clone(),
                    None => Self::Handshake(Arc::new(failed)),
                }
            }
            _ => Self::Handshake(Arc::new(failed)),
        }
    }
}

/// The anchors of every partner that may connect.
#[derive(Debug, Default)]
pub struct TrustMap {
    partners: HashMap<AgencyName, Arc<dyn ClientCertVerifier>>,
}

/// A trust map that is replaced while the doors are open.
pub type SharedTrust = Arc<ArcSwap<TrustMap>>;

impl TrustMap {
    /// Takes each partner with the certification authorities of its card. A partner whose anchors
    /// cannot be used is left out and reported: no card may shut the door on the others.
    pub fn new<'a, I>(partners: I) -> (Self, Vec<TrustError>)
    where
        I: IntoIterator<Item = (&'a AgencyName, &'a [CertificateDer<'static>])>,
    {
        let mut map = Self::default();
        let mut left_out = Vec::new();
        for (agency, anchors) in partners {
            match partner_verifier(agency, anchors) {
                Ok(verifier) => {
                    map.partners.insert(agency.clone(), verifier);
                }
                Err(error) => left_out.push(error),
            }
        }
        (map, left_out)
    }

    pub fn shared(self) -> SharedTrust {
        Arc::new(ArcSwap::from_pointee(self))
    }

    /// Returns the owner of a certificate: the one partner that it names, if that partner's anchors
    /// prove it.
    fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<AgencyName, Refusal> {
        let mut known = caller::agency_names(&caller::parse(leaf)?)?;
        known.retain(|name| self.partners.contains_key(name));
        known.sort_unstable();
        known.dedup();
        let agency = match <[AgencyName; 1]>::try_from(known) {
            Ok([agency]) => agency,
            Err(names) => {
                return Err(match &names[..] {
                    [one, other, ..] => Refusal::TwoPartners(one.clone(), other.clone()),
                    _ => Refusal::UnknownPartner,
                });
            }
        };
        let Some(verifier) = self.partners.get(&agency) else {
            return Err(Refusal::UnknownPartner);
        };
        match verifier.verify_client_cert(leaf, intermediates, now) {
            Ok(_) => Ok(agency),
            Err(source) => Err(Refusal::NotThePartner { agency, source }),
        }
    }
}

fn partner_verifier(
    agency: &AgencyName,
    anchors: &[CertificateDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let roots =
        roots(anchors).map_err(|source| TrustError::Anchor { agency: agency.clone(), source })?;
    chain_verifier(roots).map_err(|source| TrustError::NoAnchor { agency: agency.clone(), source })
}

pub(super) fn roots(anchors: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    anchors.iter().try_for_each(|anchor| roots.add(anchor.clone()))?;
    Ok(roots)
}

fn chain_verifier(
    roots: RootCertStore,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .clear_root_hint_subjects()
        .build()
}

/// The callers that a port lets in.
#[derive(Debug, Clone)]
pub enum Gate {
    /// The partner port: partners by their own anchors.
    Partners(SharedTrust),
    /// The API port: clients whom this node's own authority gave a role.
    Clients(ClientTrust),
}

/// Trust in the node's own authority, and in nothing else.
#[derive(Debug, Clone)]
pub struct ClientTrust(Arc<dyn ClientCertVerifier>);

impl Gate {
    pub fn partners(trust: &SharedTrust) -> Self {
        Self::Partners(trust.clone())
    }

    /// Fails only when the authority's own certificate is not a usable anchor.
    pub fn clients(authority: &Authority) -> Result<Self, rustls::Error> {
        let roots = roots(std::slice::from_ref(authority.certificate()))?;
        let verifier =
            chain_verifier(roots).map_err(|found| rustls::Error::General(found.to_string()))?;
        Ok(Self::Clients(ClientTrust(verifier)))
    }

    /// Returns the caller with this certificate, by the present trust.
    pub fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Caller, Refusal> {
        match self {
            Self::Partners(trust) => {
                trust.load().identify(leaf, intermediates, now).map(Caller::Partner)
            }
            Self::Clients(ClientTrust(verifier)) => {
                verifier
                    .verify_client_cert(leaf, intermediates, now)
                    .map_err(Refusal::NotOurClient)?;
                caller::client(&caller::parse(leaf)?).map_err(Refusal::NoRole)
            }
        }
    }
}

/// Asks the gate during the handshake, so that a stranger's connection ends there.
#[derive(Debug)]
pub(super) struct GateVerifier {
    gate: Gate,
    algorithms: WebPkiSupportedAlgorithms,
}

impl GateVerifier {
    pub(super) fn new(gate: Gate) -> Self {
        Self { gate, algorithms: provider().signature_verification_algorithms }
    }
}

impl ClientCertVerifier for GateVerifier {
    /// Empty on purpose: the request for a certificate must not list whom this node trusts.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // One kind of error for all refusals, so that all of them send one alert.
        self.gate
            .identify(leaf, intermediates, now)
            .map(|_| ClientCertVerified::assertion())
            .map_err(|refusal| CertificateError::Other(OtherError(Arc::new(refusal))).into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
