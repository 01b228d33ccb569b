//! A new node: directory, keys, authority, card, first client.

use super::NodeError;
use super::config::Config;
use crate::ident::Timestamp;
use crate::partner::{Address, Card, NodeKeys, RecordKey, RecordKeyStatus, VerifiedCard};
use crate::policy::{ClientRole, Sector};
use crate::tls::{Authority, ClientName, ClientProfile, certificate_text};
use std::path::{Path, PathBuf};

/// A card is good for 13 months, so that a yearly renewal is never late.
pub(super) const CARD_DAYS: i64 = 395;
/// A record key is used for 18 months at the most.
const RECORD_KEY_DAYS: i64 = 540;
pub(super) const DAY_MS: i64 = 24 * 3_600_000;

/// Where the own card lies, for people to send.
pub const CARD_FILE: &str = "card.txt";

/// Makes a node's directory. Refuses one that holds a node already.
pub fn init(dir: &Path, config: &Config, now: Timestamp) -> Result<VerifiedCard, NodeError> {
    if Config::path(dir).exists() {
        return Err(NodeError::Precondition(format!(
            "{} holds a node already; choose another directory with --dir",
            dir.display()
        )));
    }
    create_private(dir)?;
    let names = config.names()?;
    let keys = NodeKeys::create(dir).map_err(|error| NodeError::start("keys", error))?;
    let authority = Authority::load_or_create(dir, &names, now)
        .map_err(|error| NodeError::start("certification authority", error))?;
    let card = issue_card(config, &keys, &authority, now, None)?;
    let armour = card.to_armour().map_err(|error| NodeError::start("card", error))?;
    write(&dir.join(CARD_FILE), &armour)?;
    std::fs::create_dir_all(dir.join("policy"))
        .map_err(|error| NodeError::start("policy directory", error))?;
    // Last, because its presence says that the directory is whole.
    config.store(dir)?;
    Ok(card)
}

/// Signs a card that says what configuration and keys say now.
pub fn issue_card(
    config: &Config,
    keys: &NodeKeys,
    authority: &Authority,
    now: Timestamp,
    previous: Option<&VerifiedCard>,
) -> Result<VerifiedCard, NodeError> {
    let identity = keys.identity.as_ref().ok_or_else(|| {
        NodeError::Precondition(
            "the identity key is kept offline; bring keys/identity.key to issue a card".to_owned(),
        )
    })?;
    let invalid = |what: &str, value: &str| {
        NodeError::Invalid(format!("{what} {value:?} in liaison.toml is not known"))
    };
    let names = config.names()?;
    Card {
        agency: config.agency()?,
        display_name: config.display_name.clone(),
        country: config
            .country
            .parse()
            .map_err(|error| NodeError::start("country in liaison.toml", error))?,
        sector: Sector::from_name(&config.sector)
            .ok_or_else(|| invalid("sector", &config.sector))?,
        serial: previous.map_or(1, |card| card.card().serial + 1),
        issued_at: now,
        expires_at: now.plus_ms(CARD_DAYS * DAY_MS),
        addresses: config.card_addresses()?,
        tls_authorities: vec![authority.certificate().clone()],
        tls_server_names: names.hosts,
        identity_key: *identity.public(),
        record_keys: vec![RecordKey {
            key: *keys.record.public(),
            from: now.hour(),
            until: now.plus_ms(RECORD_KEY_DAYS * DAY_MS),
            status: RecordKeyStatus::Active,
        }],
        journal_key: *keys.journal.public(),
        witness_key: *keys.witness.public(),
        receipt_key: *keys.receipt.public(),
        contacts: Vec::new(),
        previous: previous.map(VerifiedCard::hash),
        generation: previous.map(|card| card.card().generation).unwrap_or_default(),
    }
    .seal(identity)
    .map_err(|error| NodeError::start("card", error))
}

/// Issues a certificate for a local client and writes its profile below `dir/clients`.
pub fn issue_client(
    dir: &Path,
    name: &ClientName,
    role: ClientRole,
    now: Timestamp,
) -> Result<PathBuf, NodeError> {
    let config = Config::load(dir)?;
    let authority = Authority::load_or_create(dir, &config.names()?, now)
        .map_err(|error| NodeError::start("certification authority", error))?;
    let issued = authority
        .issue_client(name, role, now)
        .map_err(|error| NodeError::start("client certificate", error))?;
    let node: Address = config
        .listen
        .clients
        .parse()
        .map_err(|error| NodeError::start("listen.clients in liaison.toml", error))?;
    let profile = ClientProfile {
        node,
        agency: config.agency()?,
        name: name.clone(),
        role,
        authority_pem: certificate_text(authority.certificate()),
        certificate_pem: issued.certificate_pem,
        key_pem: issued.key_pem,
    };
    profile.store(dir).map_err(|error| NodeError::start("client profile", error))
}

fn create_private(dir: &Path) -> Result<(), NodeError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| NodeError::Start(format!("{}: {error}", dir.display())))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), NodeError> {
    std::fs::write(path, text)
        .map_err(|error| NodeError::Start(format!("{}: {error}", path.display())))
}
