//! The errors of making a node's directory and of issuing its cards.

use std::path::PathBuf;

/// The reason why no directory is made, or no card is issued.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{} holds a node already", dir.display())]
    NodeExists { dir: PathBuf },
    #[error("{} holds {part}/ of a node without its liaison.toml", dir.display())]
    PartOfNode { dir: PathBuf, part: &'static str },
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("the identity key is kept offline, and a card is signed with it")]
    NoIdentityKey,
}

impl InitError {
    pub(in crate::node) const fn fix(&self) -> &'static str {
        match self {
            Self::NodeExists { .. } | Self::Exists { .. } => "choose another directory with --dir",
            Self::PartOfNode { .. } => {
                "bring liaison.toml back from a backup, or choose another directory with --dir"
            }
            Self::NoIdentityKey => "bring keys/identity.pem back, then run it again",
        }
    }
}
