//! A card with every field filled in.

use std::sync::LazyLock;

use rustls_pki_types::CertificateDer;

use crate::ident::Generation;
use crate::partner::{Card, Contact, RecordKey, RecordKeyStatus, Role, SecretKey};
use crate::policy::Sector;

/// The certificate of an authority of TLS.
pub(crate) static AUTHORITY: LazyLock<CertificateDer<'static>> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.self_signed(&key).unwrap().der().clone()
});

/// A card of npa.go.jp whose keys have the seeds from 1 on.
pub(crate) fn sample_card() -> Card {
    let public = |seed| *SecretKey::from_seed(Role::Record, [seed; 32]).public();
    Card {
        agency: "npa.go.jp".parse().unwrap(),
        display_name: "警察庁".to_owned(),
        country: "JP".parse().unwrap(),
        sector: Sector::Police,
        serial: 1,
        issued_at: "2026-01-01".parse().unwrap(),
        expires_at: "2027-01-31".parse().unwrap(),
        addresses: vec!["node.npa.go.jp:7443".parse().unwrap()],
        tls_authorities: vec![AUTHORITY.clone()],
        tls_server_names: vec!["node.npa.go.jp".parse().unwrap()],
        identity_key: public(1),
        record_keys: vec![RecordKey {
            key: public(2),
            from: "2026-01-01".parse().unwrap(),
            until: "2027-06-01".parse().unwrap(),
            status: RecordKeyStatus::Active,
        }],
        journal_key: public(3),
        witness_key: public(4),
        receipt_key: public(5),
        contacts: vec![Contact {
            role: "duty desk".to_owned(),
            name: String::new(),
            phone: "+81 3 0000 0000".to_owned(),
            mail: "desk@npa.go.jp".to_owned(),
        }],
        previous: None,
        generation: Generation::FIRST,
    }
}
