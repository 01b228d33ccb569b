//! A new node: directory, keys, authority, card, journal, first client. No journal begins anywhere else.

pub(super) mod error;

use super::config::Config;
use super::error::NodeError;
use crate::ident::Timestamp;
use crate::journal::open;
use crate::partner::{Card, NodeKeys, RecordKey, RecordKeyStatus, VerifiedCard};
use crate::pb::{self, journal_entry::Event};
use crate::policy::ClientRole;
use crate::tls::{Authority, ClientName, ClientProfile, certificate_text};
use error::InitError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A card is good for 13 months, so that a yearly renewal is never late.
pub(super) const CARD_DAYS: i64 = 395;
/// A record key is used for 18 months at the most.
const RECORD_KEY_DAYS: i64 = 540;
pub(super) const DAY_MS: i64 = 24 * 3_600_000;

/// Mode of a node's directory, and the bits that are other users'.
const DIR_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// The file of the own card, for people to send.
pub const CARD_FILE: &str = "card.txt";

/// The place of a new directory while it is made. The remains of an interrupted one are removed.
const STAGING_DIR: &str = ".init";

/// A node that was made.
#[derive(Debug)]
pub struct Made {
    pub card: VerifiedCard,
    /// The profile of the first client.
    pub profile: PathBuf,
}

/// Makes a node's directory with the first entries of its journal. Refuses one that holds a node
/// already; a failure leaves nothing behind.
pub fn init(dir: &Path, config: &Config, now: Timestamp) -> Result<VerifiedCard, NodeError> {
    Making::new(dir, config)?.run(|staging| make(staging, config, now))
}

/// The same with a first client.
pub fn init_with_client(
    dir: &Path,
    config: &Config,
    name: &ClientName,
    role: ClientRole,
    now: Timestamp,
) -> Result<Made, NodeError> {
    let made = Making::new(dir, config)?.run(|staging| {
        let card = make(staging, config, now)?;
        let profile = issue_client(staging, name, role, now)?;
        let below = profile.strip_prefix(staging).unwrap_or(&profile).to_owned();
        Ok(Made { card, profile: below })
    })?;
    Ok(Made { profile: dir.join(&made.profile), ..made })
}

/// A directory under way.
struct Making<'a> {
    dir: &'a Path,
    is_new: bool,
}

impl<'a> Making<'a> {
    /// Checks everything that can be checked without writing.
    fn new(dir: &'a Path, config: &Config) -> Result<Self, NodeError> {
        if Config::path(dir).exists() {
            return Err(InitError::NodeExists { dir: dir.to_owned() }.into());
        }
        for part in ["keys", "store"] {
            if dir.join(part).exists() {
                return Err(InitError::PartOfNode { dir: dir.to_owned(), part }.into());
            }
        }
        config.check()?;
        Ok(Self { dir, is_new: !dir.exists() })
    }

    fn run<T>(self, make: impl FnOnce(&Path) -> Result<T, NodeError>) -> Result<T, NodeError> {
        let staging = self.dir.join(STAGING_DIR);
        let mut placed = Vec::new();
        let made = self.prepare(&staging).and_then(|()| make(&staging)).and_then(|made| {
            self.place(&staging, &mut placed)?;
            Ok(made)
        });
        if made.is_err() {
            self.clear(&staging, &placed);
        }
        made
    }

    fn prepare(&self, staging: &Path) -> Result<(), NodeError> {
        private_dir(self.dir)?;
        match std::fs::remove_dir_all(staging) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(staging)(error));
            }
            _ => {}
        }
        private_dir(staging)
    }

    /// Moves everything to its place, the configuration last: its presence shows that the directory
    /// is whole.
    fn place(&self, staging: &Path, placed: &mut Vec<PathBuf>) -> Result<(), NodeError> {
        let mut names: Vec<OsString> = std::fs::read_dir(staging)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
            .map_err(failed(staging))?;
        let config = Config::path(staging);
        names.sort_by_key(|name| Some(name.as_os_str()) == config.file_name());
        for name in names {
            let (from, to) = (staging.join(&name), self.dir.join(&name));
            if to.exists() {
                return Err(InitError::Exists { path: to }.into());
            }
            std::fs::rename(&from, &to).map_err(failed(&to))?;
            placed.push(to);
        }
        std::fs::remove_dir(staging).map_err(failed(staging))?;
        std::fs::File::open(self.dir).and_then(|dir| dir.sync_all()).map_err(failed(self.dir))
    }

    /// Removes what was made. A file that cannot be removed is left to the next attempt.
    fn clear(&self, staging: &Path, placed: &[PathBuf]) {
        let _ = std::fs::remove_dir_all(staging);
        for path in placed {
            let _ = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
        }
        if self.is_new {
            let _ = std::fs::remove_dir(self.dir);
        }
    }
}

fn make(dir: &Path, config: &Config, now: Timestamp) -> Result<VerifiedCard, NodeError> {
    let names = config.names()?;
    let keys = NodeKeys::create(dir).map_err(|error| NodeError::start("keys", error))?;
    let authority = Authority::create(dir, &names, now)
        .map_err(|error| NodeError::start("certification authority", error))?;
    let card = issue_card(config, &keys, &authority, now, None)?;
    let armour = card.to_armour().map_err(|error| NodeError::start("card", error))?;
    write(&dir.join(CARD_FILE), &armour)?;
    let policy = dir.join("policy");
    std::fs::create_dir(&policy).map_err(failed(&policy))?;
    let (agency, first) = (config.agency()?, Some(card.signed().clone()));
    let signing = super::config::signing(config, &keys)?;
    open::begin(&config.store.journal(dir)?, signing, Arc::new(move || now), move |tx| {
        tx.append(open::genesis(&agency))?;
        tx.append(Event::CardIssued(pb::CardIssued { card: first })).map(drop)
    })?;
    config.store(dir)?;
    Ok(card)
}

/// Signs a card from the present configuration and keys.
pub fn issue_card(
    config: &Config,
    keys: &NodeKeys,
    authority: &Authority,
    now: Timestamp,
    previous: Option<&VerifiedCard>,
) -> Result<VerifiedCard, NodeError> {
    let identity = keys.identity.as_ref().ok_or(InitError::NoIdentityKey)?;
    let names = config.names()?;
    Card {
        agency: config.agency()?,
        display_name: config.display_name.clone(),
        country: config.country()?,
        sector: config.sector()?,
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
    let authority = Authority::load(dir, now)
        .map_err(|error| NodeError::start("certification authority", error))?;
    let issued = authority
        .issue_client(name, role, now)
        .map_err(|error| NodeError::start("client certificate", error))?;
    let node = config.listen.clients()?;
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

/// Makes a directory for its owner alone. One that is there and open to others is closed to them: it
/// is to hold keys, and values in the index.
pub(super) fn private_dir(dir: &Path) -> Result<(), NodeError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).map_err(failed(dir))?;
    let mode = std::fs::metadata(dir).map_err(failed(dir))?.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    tracing::warn!(dir = %dir.display(), mode = format!("{:04o}", mode & 0o7777), "closed to other users");
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode & !OTHERS))
        .map_err(failed(dir))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> NodeError {
    let path = path.display().to_string();
    move |error| NodeError::start(&path, error)
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), NodeError> {
    std::fs::write(path, text).map_err(failed(path))
}
