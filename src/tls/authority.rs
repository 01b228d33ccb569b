//! The node's own certification authority: an ECDSA P-256 key that vouches for this node and its
//! clients, and for nobody else.
//!
//! It is name-constrained to the node's names, so that a partner who trusts it trusts it for those
//! only. Times come in from outside. Private keys leave only into files for the owner alone.

use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::caller::{self, ROLE_PREFIX, Unreadable};
use super::client::{CertificateSerial, ClientName};
use super::pem;
use crate::ident::{AgencyName, Timestamp};
use crate::partner::Host;
use crate::partner::secret_file::{SecretFileError, create_secret, private_dir, read_secret};
use crate::policy::ClientRole;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The validity of the authority: five years.
pub const AUTHORITY_VALIDITY_MS: i64 = 5 * 365 * DAY_MS;
/// The validity of the node's certificate.
pub const LEAF_VALIDITY_MS: i64 = 30 * DAY_MS;
/// The validity of a client's certificate.
pub const CLIENT_VALIDITY_MS: i64 = 365 * DAY_MS;
/// The time by which a certificate begins in the past, for partners whose clock is behind.
const BACKDATED_MS: i64 = HOUR_MS;

const SERIAL_BYTES: usize = 16;

/// The reason why the authority or a certificate could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    File(#[from] SecretFileError),
    #[error("the certificate could not be made")]
    Make(#[from] rcgen::Error),
    #[error("the operating system gave no randomness")]
    Randomness(#[source] getrandom::Error),
    #[error(
        "{} is missing: the card names the authority that it held, and every partner and client would refuse \
         this node with another; bring tls/ back from the backup",
        path.display()
    )]
    Absent { path: PathBuf },
    #[error("{} does not have exactly one certificate and its PKCS#8 key in PEM", path.display())]
    Pem { path: PathBuf },
    #[error("{} holds a certificate that cannot be used", path.display())]
    Unreadable { path: PathBuf, source: Unreadable },
    #[error("the node's authority ran out at {0}; make a new one and send partners a new card")]
    Expired(Timestamp),
    #[error(
        "the node's certificate does not verify under its authority; if the node's names changed, make a new authority and send partners a new card"
    )]
    Unsound(#[source] rustls::Error),
}

/// The names that a node answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNames {
    pub agency: AgencyName,
    /// Host names and IP addresses of its front ends; may be empty.
    pub hosts: Vec<Host>,
}

impl NodeNames {
    fn alternative_names(&self) -> Result<Vec<SanType>, rcgen::Error> {
        let hosts = self.hosts.iter().map(|host| match host {
            Host::Name(name) => Ok(SanType::DnsName(name.to_string().try_into()?)),
            Host::Ip(ip) => Ok(SanType::IpAddress(*ip)),
        });
        let agency = SanType::DnsName(self.agency.to_string().try_into()?);
        std::iter::once(Ok(agency)).chain(hosts).collect()
    }

    /// Returns the names that the authority may certify. A DNS constraint also covers the names
    /// below it (RFC 5280, section 4.2.1.10). A type of name without a permitted subtree would be
    /// free, so without IP addresses all of them are excluded.
    fn constraints(&self) -> NameConstraints {
        let mut permitted_subtrees = vec![GeneralSubtree::DnsName(self.agency.to_string())];
        let mut excluded_subtrees = Vec::new();
        for host in &self.hosts {
            permitted_subtrees.push(match host {
                Host::Name(name) => GeneralSubtree::DnsName(name.to_string()),
                Host::Ip(ip) => {
                    let bits = if ip.is_ipv4() { 32 } else { 128 };
                    GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, bits))
                }
            });
        }
        if !self.hosts.iter().any(|host| matches!(host, Host::Ip(_))) {
            for any in [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])] {
                excluded_subtrees.push(GeneralSubtree::IpAddress(any));
            }
        }
        NameConstraints { permitted_subtrees, excluded_subtrees }
    }
}

/// The node's certification authority with its private key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    expires_at: Timestamp,
}

impl Authority {
    /// Makes the authority of a new node in `dir/tls/ca.pem`. Nothing else makes one: the card names it, so a
    /// second one would be trusted by nobody.
    pub fn create(dir: &Path, names: &NodeNames, now: Timestamp) -> Result<Self, AuthorityError> {
        private_dir(&tls_dir(dir))?;
        let path = authority_path(dir);
        let text = make_authority(names, now)?;
        create_secret(&path, &text)?;
        Self::from_pem(&path, &text)
    }

    /// Loads the authority from `dir/tls/ca.pem`.
    pub fn load(dir: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let path = authority_path(dir);
        let text = read_secret(&path).map_err(|found| {
            if found.is_absent() {
                AuthorityError::Absent { path: path.clone() }
            } else {
                found.into()
            }
        })?;
        private_dir(&tls_dir(dir))?;
        let authority = Self::from_pem(&path, &text)?;
        if authority.expires_at <= now {
            return Err(AuthorityError::Expired(authority.expires_at));
        }
        Ok(authority)
    }

    fn from_pem(path: &Path, text: &str) -> Result<Self, AuthorityError> {
        let held = pem::read(text).ok_or_else(|| AuthorityError::Pem { path: path.to_owned() })?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&held.key, &PKCS_ECDSA_P256_SHA256)?;
        let expires_at = caller::parse(&held.certificate)
            .map(|certificate| caller::expires_at(&certificate))
            .map_err(|source| AuthorityError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&held.certificate, key)?,
            certificate: held.certificate,
            expires_at,
        })
    }

    /// The authority's certificate, as it goes into the card.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Issues a certificate for the node itself: 30 days, for both sides of a connection. PEM of the
    /// certificate and its new key.
    pub fn issue_leaf(
        &self,
        names: &NodeNames,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(now, LEAF_VALIDITY_MS)?;
        params.distinguished_name = distinguished_name(names.agency.as_str());
        params.subject_alt_names = names.alternative_names()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(joined(&certificate, &key))
    }

    /// Issues a certificate for a client in a role: one year, good for calling only, and for no DNS
    /// name or address.
    pub fn issue_client(
        &self,
        name: &ClientName,
        role: ClientRole,
        now: Timestamp,
    ) -> Result<IssuedClient, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(now, CLIENT_VALIDITY_MS)?;
        params.distinguished_name = distinguished_name(name.as_str());
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, format!("{ROLE_PREFIX}{role}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let unreadable =
            |source| AuthorityError::Unreadable { path: PathBuf::from(name.as_str()), source };
        let parsed = caller::parse(certificate.der()).map_err(unreadable)?;
        let serial = CertificateSerial::from_bytes(parsed.raw_serial())
            .ok_or_else(|| unreadable(Unreadable("has an unsound serial number")))?;
        Ok(IssuedClient {
            serial,
            expires_at: caller::expires_at(&parsed),
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority(until {})", self.expires_at)
    }
}

/// A client's new certificate and key.
pub struct IssuedClient {
    pub serial: CertificateSerial,
    pub expires_at: Timestamp,
    pub certificate_pem: String,
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for IssuedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuedClient({}, until {})", self.serial, self.expires_at)
    }
}

/// Returns the directory of the authority and the node's certificate, below the node's directory.
pub fn tls_dir(dir: &Path) -> PathBuf {
    dir.join("tls")
}

fn authority_path(dir: &Path) -> PathBuf {
    tls_dir(dir).join("ca.pem")
}

fn make_authority(names: &NodeNames, now: Timestamp) -> Result<Zeroizing<String>, AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = params(now, AUTHORITY_VALIDITY_MS)?;
    params.distinguished_name = distinguished_name(&format!("{} CA", names.agency));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(names.constraints());
    let certificate = params.self_signed(&key)?;
    Ok(joined(&certificate, &key))
}

fn params(now: Timestamp, validity_ms: i64) -> Result<CertificateParams, AuthorityError> {
    let mut serial = [0; SERIAL_BYTES];
    getrandom::fill(&mut serial).map_err(AuthorityError::Randomness)?;
    // Positive and of full length in DER.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = certificate_time(now.plus_ms(-BACKDATED_MS));
    params.not_after = certificate_time(now.plus_ms(validity_ms));
    Ok(params)
}

fn certificate_time(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(time.unix_ms())
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // A common name has at most 64 characters (RFC 5280, appendix A.1); what counts is elsewhere.
    name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    name
}

fn joined(certificate: &rcgen::Certificate, key: &KeyPair) -> Zeroizing<String> {
    let key = Zeroizing::new(key.serialize_pem());
    Zeroizing::new([certificate.pem().as_str(), key.as_str()].concat())
}
