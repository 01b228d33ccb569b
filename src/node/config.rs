//! The configuration of a node, liaison.toml. Every field has a comment with its unit and its
//! purpose.

pub(super) mod error;

use super::limits::Limits;
use crate::ident::AgencyName;
use crate::journal::open::JournalOptions;
use crate::journal::transaction::Signing;
use crate::merkle::{NoteVerifier, SignatureType};
use crate::partner::NodeKeys;
use crate::partner::{Address, Host};
use crate::policy::{BrakeLimits, Country, LearningRule, PersonalDataRule, Sector};
use crate::record::draft::SeriesSecret;
use crate::store::{EngineKind, SEGMENT_BYTES_MAX};
use crate::tls::NodeNames;
use error::ConfigError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file in a node's directory.
pub const FILE: &str = "liaison.toml";

/// A node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// DNS-like name of the agency, for example npa.go.jp. Part of every signature: never changes.
    pub agency: String,
    /// Name for people, on the card.
    pub display_name: String,
    /// Country, ISO 3166-1 alpha-2.
    pub country: String,
    /// police, cert, vendor, prosecutor, regulator or other.
    pub sector: String,
    /// Host names and addresses of this machine that certificates are made for.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The addresses at which partners reach this node, host:port, for the card; empty if it only
    /// dials out.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The addresses on which the node listens.
    #[serde(default)]
    pub listen: Listen,
    /// The settings of the store.
    #[serde(default)]
    pub store: Store,
    /// Cosignatures of this journal and of others.
    #[serde(default)]
    pub witness: Witness,
    /// The guard at start: the node's behaviour until partners confirm that it misses nothing.
    #[serde(default)]
    pub guard: RollbackGuard,
    /// The HTTP port.
    #[serde(default)]
    pub http: Http,
    /// The limits beyond which a disclosure is so unusual that it waits for two persons.
    #[serde(default)]
    pub release: Release,
    /// The share of the node that one partner or one client may take.
    #[serde(default)]
    pub limits: Limits,
}

/// The limits beyond which a disclosure is so unusual that it waits for two persons.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Days after the first disclosure to a partner during which what it normally gets is learnt.
    /// Volume, new kinds and first personal data are not held until then; `learning` holds.
    pub learning_days: u32,
    /// Hold in those days: off; sensitive: more than core fields up to TLP:GREEN; all.
    pub learning: LearningRule,
    /// Records of one originator that may go to a partner on one day (UTC) whatever it normally gets.
    pub volume_floor: u64,
    /// Beyond the floor, as many times the busiest of the last 28 days may go on one day.
    pub volume_factor: u32,
    /// Hold own records of a kind that the partner was never given, and those of a kind that was never passed
    /// on to it.
    pub new_kind: bool,
    /// Hold records that are marked as personal data: off; first: to a partner that was never given
    /// any of this agency, or of others; always.
    pub personal_data: PersonalDataRule,
    /// Hold records that revise one under a stricter marking: TLP, PAP, release list, circles, originator
    /// control, limits on use, personal data, jurisdictions, expiry, retention, caveat.
    pub loosened_marking: bool,
}

impl Default for Release {
    fn default() -> Self {
        let BrakeLimits {
            learning_days,
            learning,
            volume_floor,
            volume_factor,
            new_kind,
            personal_data,
            loosened_marking,
        } = BrakeLimits::default();
        Self {
            learning_days,
            learning,
            volume_floor,
            volume_factor,
            new_kind,
            personal_data,
            loosened_marking,
        }
    }
}

impl Release {
    pub const fn limits(&self) -> BrakeLimits {
        let Self {
            learning_days,
            learning,
            volume_floor,
            volume_factor,
            new_kind,
            personal_data,
            loosened_marking,
        } = *self;
        BrakeLimits {
            learning_days,
            learning,
            volume_floor,
            volume_factor,
            new_kind,
            personal_data,
            loosened_marking,
        }
    }
}

/// Cosignatures of this journal and of others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Witness {
    /// A witness is asked at most once in so many seconds, and only when something happened.
    pub every_seconds: u32,
    /// Witnesses that must have cosigned before the journal counts as witnessed; 0 asks for none.
    pub quorum: u32,
    /// Verifier keys (C2SP signed-note, type 0x01) of logs that are cosigned here beside the
    /// journals of partners. The key's name is the log's origin.
    pub logs: Vec<String>,
}

impl Default for Witness {
    fn default() -> Self {
        Self { every_seconds: 60, quorum: 0, logs: Vec::new() }
    }
}

/// Further logs at the most: each keeps its last checkpoint in memory.
const LOGS_MAX: usize = 256;

impl Witness {
    pub fn logs(&self) -> Result<Vec<NoteVerifier>, ConfigError> {
        if self.logs.len() > LOGS_MAX {
            return Err(ConfigError::TooManyLogs { found: self.logs.len(), max: LOGS_MAX });
        }
        self.logs
            .iter()
            .map(|vkey| {
                let log: NoteVerifier = vkey.parse().map_err(ConfigError::value("witness.logs"))?;
                if log.signature_type() != SignatureType::Ed25519 {
                    return Err(ConfigError::NotALog { name: log.name().to_string() });
                }
                Ok(log)
            })
            .collect()
    }
}

/// The guard at start: the node's behaviour until partners confirm that it misses nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackGuard {
    /// wait: sign nothing before `answers` partners answered. warn: go on after
    /// `warn_after_seconds` without an answer, and say so in `status`.
    pub start: GuardStart,
    /// Partners that must answer; fewer if fewer ever exchanged anything with this node.
    pub answers: u32,
    /// The time that `warn` waits, in seconds.
    pub warn_after_seconds: u32,
}

impl Default for RollbackGuard {
    fn default() -> Self {
        Self { start: GuardStart::Wait, answers: 1, warn_after_seconds: 30 }
    }
}

/// The behaviour of a start without an answer: wait, or go on with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardStart {
    Wait,
    Warn,
}

/// The HTTP port.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address of the HTTP port, best a loopback one behind a proxy, for example 127.0.0.1:7445;
    /// empty: off. It serves checkpoints to be cosigned and cosigned ones, and needs no certificate.
    pub listen: String,
}

/// The addresses on which the node listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Address of the port for partners; mutual TLS, known partners only.
    pub partners: String,
    /// Address of the port for local clients; mutual TLS, this node's own certificates only.
    pub clients: String,
}

impl Default for Listen {
    fn default() -> Self {
        Self { partners: "127.0.0.1:7443".to_owned(), clients: "127.0.0.1:7444".to_owned() }
    }
}

impl Listen {
    /// Any port may be given here, 0 for one that is free.
    fn check_partners(&self) -> Result<(), ConfigError> {
        let port = self.partners.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if matches!(port, Some(Ok(_))) {
            return Ok(());
        }
        Err(ConfigError::ListenPartners { found: self.partners.clone() })
    }

    pub(super) fn clients(&self) -> Result<Address, ConfigError> {
        self.clients.parse().map_err(ConfigError::value("listen.clients"))
    }
}

/// The settings of the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The index engine: fjall or sled. `liaison store reindex` after a change.
    pub engine: String,
    /// Bytes after which a segment file is left and the next begun, 1 KiB to 256 MiB; a batch is never
    /// divided. Smaller files suit a backup that copies what changed.
    pub segment_bytes: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self { engine: EngineKind::default().name().to_owned(), segment_bytes: SEGMENT_BYTES_MAX }
    }
}

/// A segment holds a batch of one record at the least.
const SEGMENT_BYTES_MIN: u32 = 1 << 10;

impl Store {
    fn engine(&self) -> Result<EngineKind, ConfigError> {
        self.engine.parse().map_err(ConfigError::value("store.engine"))
    }

    /// The journal of the node in `dir`.
    pub fn journal(&self, dir: &Path) -> Result<JournalOptions, ConfigError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            let (found, min, max) = (self.segment_bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
            return Err(ConfigError::SegmentBytes { found, min, max });
        }
        let mut options = JournalOptions::new(&dir.join("store"), self.engine()?);
        options.segments.segment_bytes_max = self.segment_bytes;
        Ok(options)
    }
}

impl Config {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    pub fn load(dir: &Path) -> Result<Self, ConfigError> {
        let path = Self::path(dir);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|source| ConfigError::Syntax { path, source })
            }
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    pub fn store(&self, dir: &Path) -> Result<(), ConfigError> {
        let (path, text) = (Self::path(dir), toml::to_string_pretty(self)?);
        std::fs::write(&path, text).map_err(|source| ConfigError::Write { path, source })
    }

    pub fn agency(&self) -> Result<AgencyName, ConfigError> {
        self.agency.parse().map_err(ConfigError::value("agency"))
    }

    pub(super) fn country(&self) -> Result<Country, ConfigError> {
        self.country.parse().map_err(ConfigError::value("country"))
    }

    pub(super) fn sector(&self) -> Result<Sector, ConfigError> {
        let found = &self.sector;
        Sector::from_name(found).ok_or_else(|| ConfigError::Sector { found: found.clone() })
    }

    /// Reads every setting that a node and its card are made from.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            agency: _,
            display_name: _,
            country: _,
            sector: _,
            hosts: _,
            addresses: _,
            listen,
            store,
            witness,
            guard: _,
            http: _,
            release: _,
            limits: _,
        } = self;
        self.names()?;
        self.card_addresses()?;
        self.country()?;
        self.sector()?;
        listen.check_partners()?;
        listen.clients()?;
        store.journal(Path::new(""))?;
        witness.logs().map(drop)
    }

    pub fn names(&self) -> Result<NodeNames, ConfigError> {
        let hosts = self
            .hosts
            .iter()
            .map(|host| host.parse::<Host>())
            .collect::<Result<_, _>>()
            .map_err(ConfigError::value("hosts"))?;
        Ok(NodeNames { agency: self.agency()?, hosts })
    }

    pub fn card_addresses(&self) -> Result<Vec<Address>, ConfigError> {
        self.addresses
            .iter()
            .map(|address| address.parse::<Address>())
            .collect::<Result<_, _>>()
            .map_err(ConfigError::value("addresses"))
    }
}

/// Returns what the journal signs with.
pub(super) fn signing(config: &Config, keys: &NodeKeys) -> Result<Signing, ConfigError> {
    Ok(Signing {
        agency: config.agency()?,
        journal_key: keys.journal.signing_key().clone(),
        series_secret: SeriesSecret::from_bytes(*keys.series.as_bytes()),
    })
}
