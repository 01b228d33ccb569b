//! The node's own certificate: shown to callers, and to those called. Renewed and replaced while the
//! node runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};

use super::authority::{Authority, AuthorityError, NodeNames, tls_dir};
use super::{caller, pem, provider};
use crate::ident::Timestamp;
use crate::partner::Host;
use crate::partner::secret_file::{private_dir, read_secret, replace_secret};

/// A certificate with less than this left is renewed: a third of its life, so that several tries fit.
pub const RENEW_BELOW_MS: i64 = 10 * 24 * 3_600_000;

/// The certificate in use. Configurations hold this and so never need to be rebuilt.
#[derive(Debug)]
pub struct NodeCertificate {
    names: NodeNames,
    path: PathBuf,
    current: ArcSwap<Held>,
}

#[derive(Debug)]
struct Held {
    certified: Arc<CertifiedKey>,
    expires_at: Timestamp,
}

impl NodeCertificate {
    /// Loads the certificate from `dir/tls/leaf.pem`; issues one where there is none, or where the one
    /// there is soon to run out, is for other names, or does not verify under the authority.
    pub fn load_or_create(
        dir: &Path,
        names: NodeNames,
        authority: &Authority,
        now: Timestamp,
    ) -> Result<Arc<Self>, AuthorityError> {
        private_dir(&tls_dir(dir))?;
        let path = tls_dir(dir).join("leaf.pem");
        let held = load_or_issue(&path, &names, authority, now)?;
        Ok(Arc::new(Self { names, path, current: ArcSwap::from_pointee(held) }))
    }

    /// Does the same again: picks up a replaced file, renews when due. The old certificate stays in use
    /// on any error. True when another certificate is in use now.
    pub fn refresh(&self, authority: &Authority, now: Timestamp) -> Result<bool, AuthorityError> {
        let held = load_or_issue(&self.path, &self.names, authority, now)?;
        let changed = held.certified.cert != self.current.load().certified.cert;
        if changed {
            self.current.store(Arc::new(held));
        }
        Ok(changed)
    }

    pub fn names(&self) -> &NodeNames {
        &self.names
    }

    pub fn expires_at(&self) -> Timestamp {
        self.current.load().expires_at
    }
}

impl ResolvesServerCert for NodeCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }
}

impl ResolvesClientCert for NodeCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn load_or_issue(
    path: &Path,
    names: &NodeNames,
    authority: &Authority,
    now: Timestamp,
) -> Result<Held, AuthorityError> {
    match read_secret(path) {
        Ok(text) => {
            if let Ok(held) = hold(path, &text, names, authority, now)
                && held.expires_at >= now.plus_ms(RENEW_BELOW_MS)
            {
                return Ok(held);
            }
        }
        Err(found) if found.is_absent() => {}
        Err(found) => return Err(found.into()),
    }
    let text = authority.issue_leaf(names, now)?;
    let held = hold(path, &text, names, authority, now)?;
    replace_secret(path, &text)?;
    Ok(held)
}

/// Accepts a certificate only as a partner would: verified under the authority, for every name.
fn hold(
    path: &Path,
    text: &str,
    names: &NodeNames,
    authority: &Authority,
    now: Timestamp,
) -> Result<Held, AuthorityError> {
    let found = pem::read(text).ok_or_else(|| AuthorityError::Pem { path: path.to_owned() })?;
    verify(&found.certificate, names, authority, now).map_err(AuthorityError::Unsound)?;
    let expires_at = caller::parse(&found.certificate)
        .map(|certificate| caller::expires_at(&certificate))
        .map_err(|source| AuthorityError::Unreadable { path: path.to_owned(), source })?;
    let key = PrivateKeyDer::Pkcs8(found.key);
    let certified = CertifiedKey::from_der(vec![found.certificate], key, &provider())
        .map_err(AuthorityError::Unsound)?;
    Ok(Held { certified: Arc::new(certified), expires_at })
}

fn verify(
    leaf: &CertificateDer<'_>,
    names: &NodeNames,
    authority: &Authority,
    now: Timestamp,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|found| rustls::Error::General(found.to_string()))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_seconds()));
    let hosts = names.hosts.iter().map(Host::to_string);
    for name in std::iter::once(names.agency.to_string()).chain(hosts) {
        let name = ServerName::try_from(name)
            .map_err(|found| rustls::Error::General(found.to_string()))?;
        verifier.verify_server_cert(leaf, &[], &name, &[], now)?;
    }
    Ok(())
}
