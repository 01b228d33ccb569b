//! The errors of a stream with a partner.

use crate::ident::{AgencyName, LeafIndex};
use tonic::Code;

/// The reason why a stream does not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("{agency} showed two histories and is frozen")]
    Frozen { agency: AgencyName },
    #[error("{agency} is not an active partner, so nothing is exchanged with it")]
    Inactive { agency: AgencyName },
    #[error("the partner refused the stream: {0}")]
    Refused(String),
    #[error("the batch from feed entry {start} is to be stored and was never checked")]
    Unchecked { start: LeafIndex },
}

impl PeerError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Frozen { .. } | Self::Inactive { .. } | Self::Refused(_) => {
                Code::PermissionDenied
            }
            Self::Unchecked { .. } => Code::Internal,
        }
    }
}
