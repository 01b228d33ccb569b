//! liaison.toml: what an operator may set. Every field says its unit and what it is for.

use super::NodeError;
use crate::ident::AgencyName;
use crate::partner::{Address, Host};
use crate::store::EngineKind;
use crate::tls::NodeNames;
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
    /// Where partners reach this node, host:port, for the card; empty if it only dials out.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Where the node listens.
    #[serde(default)]
    pub listen: Listen,
    /// How the store works.
    #[serde(default)]
    pub store: Store,
}

/// Where the node listens.
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

/// How the store works.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The index engine: fjall or sled. `liaison store reindex` after a change.
    pub engine: String,
}

impl Default for Store {
    fn default() -> Self {
        Self { engine: EngineKind::default().name().to_owned() }
    }
}

impl Store {
    pub fn engine(&self) -> Result<EngineKind, NodeError> {
        self.engine.parse().map_err(|error| NodeError::start("store.engine in liaison.toml", error))
    }
}

impl Config {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    pub fn load(dir: &Path) -> Result<Self, NodeError> {
        let path = Self::path(dir);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            NodeError::Start(format!(
                "{}: {error}; is this a node's directory? `liaison init` makes one",
                path.display()
            ))
        })?;
        toml::from_str(&text)
            .map_err(|error| NodeError::Start(format!("{}: {error}", path.display())))
    }

    pub fn store(&self, dir: &Path) -> Result<(), NodeError> {
        let path = Self::path(dir);
        let text = toml::to_string_pretty(self)
            .map_err(|error| NodeError::start("liaison.toml", error))?;
        std::fs::write(&path, text)
            .map_err(|error| NodeError::Start(format!("{}: {error}", path.display())))
    }

    pub fn agency(&self) -> Result<AgencyName, NodeError> {
        self.agency.parse().map_err(|error| NodeError::start("agency in liaison.toml", error))
    }

    pub fn names(&self) -> Result<NodeNames, NodeError> {
        let hosts = self
            .hosts
            .iter()
            .map(|host| host.parse::<Host>())
            .collect::<Result<_, _>>()
            .map_err(|error| NodeError::start("hosts in liaison.toml", error))?;
        Ok(NodeNames { agency: self.agency()?, hosts })
    }

    pub fn card_addresses(&self) -> Result<Vec<Address>, NodeError> {
        self.addresses
            .iter()
            .map(|address| address.parse::<Address>())
            .collect::<Result<_, _>>()
            .map_err(|error| NodeError::start("addresses in liaison.toml", error))
    }
}
