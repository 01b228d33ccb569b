//! The errors of acts that take two persons.

use crate::journal::state::ACTS_OPEN_MAX;
use crate::policy::ActRefusal;
use tonic::Code;

/// The reason why an act is neither proposed nor decided.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    #[error(transparent)]
    Person(#[from] ActRefusal),
    #[error(
        "{ACTS_OPEN_MAX} acts wait for a decision already, and a node keeps no more; decide on one that \
         `liaison acts list` shows"
    )]
    TooMany,
    #[error("no act {proposal} waits for a decision; `liaison acts list` shows those that do")]
    Unknown { proposal: u64 },
    #[error("another person decided on act {proposal} at the same time; decide again")]
    Crossed { proposal: u64 },
    #[error(
        "this version of the node does not know the act as one that takes two persons; compare \
         `liaison --version` here and at the node"
    )]
    Kind,
}

impl ApprovalError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Person(_) => Code::PermissionDenied,
            Self::Unknown { .. } => Code::NotFound,
            Self::TooMany | Self::Crossed { .. } | Self::Kind => Code::FailedPrecondition,
        }
    }
}
