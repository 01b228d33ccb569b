//! One PEM file holds a certificate and its key, so that the two can never be replaced apart.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// A certificate and its private key in PKCS#8, as they stand in a file.
pub(super) struct CertificateAndKey {
    pub certificate: CertificateDer<'static>,
    pub key: PrivatePkcs8KeyDer<'static>,
}

/// Reads exactly one certificate and one key. `None` when either is missing or there are more.
pub(super) fn read(text: &str) -> Option<CertificateAndKey> {
    Some(CertificateAndKey { certificate: certificate(text)?, key: key(text)? })
}

pub(super) fn certificate(text: &str) -> Option<CertificateDer<'static>> {
    let mut found = CertificateDer::pem_slice_iter(text.as_bytes());
    let certificate = found.next()?.ok()?;
    found.next().is_none().then_some(certificate)
}

pub(super) fn key(text: &str) -> Option<PrivatePkcs8KeyDer<'static>> {
    let mut found = PrivatePkcs8KeyDer::pem_slice_iter(text.as_bytes());
    let key = found.next()?.ok()?;
    found.next().is_none().then_some(key)
}
