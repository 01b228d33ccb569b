//! The errors of liaison.toml.

use std::path::PathBuf;

/// The reason why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be read as settings", path.display())]
    Syntax { path: PathBuf, source: toml::de::Error },
    #[error("the settings cannot be written as TOML")]
    Encode(#[from] toml::ser::Error),
    #[error("{setting} in liaison.toml: {reason}")]
    Value { setting: &'static str, reason: String },
    #[error("store.segment_bytes in liaison.toml is {found}, wanted {min} to {max}")]
    SegmentBytes { found: u32, min: u32, max: u32 },
    #[error("listen.partners in liaison.toml is {found:?}, wanted ADDR:PORT")]
    ListenPartners { found: String },
    #[error("witness.logs in liaison.toml has {found} logs, at most {max} are possible")]
    TooManyLogs { found: usize, max: usize },
    #[error(
        "witness.logs in liaison.toml: {name} is the key of a witness, wanted the key of a log"
    )]
    NotALog { name: String },
    #[error("sector {found:?} in liaison.toml is not known")]
    Sector { found: String },
}

impl ConfigError {
    /// For `map_err`: names the setting.
    pub(in crate::node) fn value<E: std::error::Error + 'static>(
        setting: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::Value { setting, reason: crate::store::describe(&error) }
    }

    pub(in crate::node) fn fix(&self) -> String {
        match self {
            Self::Read { .. } => {
                "name a node's directory with --dir; `liaison init` makes one".to_owned()
            }
            Self::Write { path, .. } => {
                format!("make {} writable, then run it again", path.display())
            }
            Self::Syntax { path, .. } => {
                format!("correct the line in {}, then run it again", path.display())
            }
            Self::Encode(_) => "remove control characters from the settings".to_owned(),
            Self::Value { setting, .. } => format!("correct {setting} in liaison.toml"),
            Self::SegmentBytes { min, max, .. } => {
                format!("set store.segment_bytes to a number from {min} to {max}")
            }
            Self::ListenPartners { .. } => {
                "set listen.partners to an address and a port, such as 0.0.0.0:7443".to_owned()
            }
            Self::TooManyLogs { max, .. } => format!("leave at most {max} keys in witness.logs"),
            Self::NotALog { .. } => {
                "replace it with the verifier key of the log, which has type 0x01".to_owned()
            }
            Self::Sector { .. } => "set sector to one that `liaison init --help` lists".to_owned(),
        }
    }

    pub(in crate::node) const fn code(&self) -> tonic::Code {
        match self {
            Self::Sector { .. } => tonic::Code::InvalidArgument,
            _ => tonic::Code::Internal,
        }
    }
}
