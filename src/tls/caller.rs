//! The caller at the other end of a connection, read from its certificate.
//!
//! Reading is not trusting: only [`Gate`](super::Gate) makes a [`Caller`], after the chain verified.

use super::client::{CertificateSerial, ClientName};
use crate::ident::{AgencyName, Timestamp};
use crate::policy::ClientRole;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Most subject alternative names that are looked at: more than a card may list, and few enough that a
/// stranger's certificate costs nothing.
const NAMES_MAX: usize = 32;

/// The prefix of a role in the organizational unit of a client's certificate.
pub(super) const ROLE_PREFIX: &str = "role:";

/// The caller on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Another agency's node, by the anchors on that agency's own card.
    Partner(AgencyName),
    /// A client of this node's own agency, by a certificate that this node issued.
    Client { name: ClientName, role: ClientRole, serial: CertificateSerial },
}

/// A certificate out of which nobody's name can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate {0}")]
pub struct Unreadable(pub &'static str);

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Unreadable> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Unreadable("is not X.509 in DER")),
    }
}

/// The DNS names of a certificate that have the form of an agency's name.
pub(super) fn agency_names(
    certificate: &X509Certificate<'_>,
) -> Result<Vec<AgencyName>, Unreadable> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| Unreadable("has unsound alternative names"))?;
    let Some(names) = names else { return Ok(Vec::new()) };
    let names = &names.value.general_names;
    if names.len() > NAMES_MAX {
        return Err(Unreadable("has more than 32 alternative names"));
    }
    Ok(names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => text.parse().ok(),
            _ => None,
        })
        .collect())
}

/// The client that a certificate of the node's own authority names. One without a role, such as the
/// node's own, names no client.
pub(super) fn client(certificate: &X509Certificate<'_>) -> Result<Caller, Unreadable> {
    let subject = certificate.subject();
    let [unit] = subject.iter_organizational_unit().collect::<Vec<_>>()[..] else {
        return Err(Unreadable("does not have exactly one organizational unit"));
    };
    let role = unit
        .as_str()
        .ok()
        .and_then(|text| text.strip_prefix(ROLE_PREFIX))
        .and_then(|text| text.parse().ok())
        .ok_or(Unreadable("names no role"))?;
    let [name] = subject.iter_common_name().collect::<Vec<_>>()[..] else {
        return Err(Unreadable("does not have exactly one common name"));
    };
    let name = name
        .as_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Unreadable("names no client"))?;
    let serial = CertificateSerial::from_bytes(certificate.raw_serial())
        .ok_or(Unreadable("has an unsound serial number"))?;
    Ok(Caller::Client { name, role, serial })
}

/// Returns the expiry of a certificate, limited to the years 2000 to 2100.
pub(super) fn expires_at(certificate: &X509Certificate<'_>) -> Timestamp {
    let ms = certificate.validity().not_after.timestamp().saturating_mul(1000);
    Timestamp::MIN.plus_ms(ms.saturating_sub(Timestamp::MIN.unix_ms()))
}
