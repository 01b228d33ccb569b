//! The errors of succeeding the logs of a node.

use crate::ident::{AgencyName, Generation, TreeSize};

/// The reason why the logs of a node are not succeeded.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    #[error("{what} has 1 to {max} bytes and no control characters, found {found} bytes")]
    Text { what: &'static str, found: usize, max: usize },
    #[error("the journal of this node has not begun, so its logs cannot be succeeded")]
    NotBegun,
    #[error("this node lacks nothing that a partner showed, so its logs are not succeeded")]
    NothingLost,
    #[error(
        "the logs of an agency are succeeded up to generation {}, which is reached",
        Generation::MAX
    )]
    LastGeneration,
    #[error(
        "{agency} shows another root of {origin} at {size} entries than this copy has: two histories were signed \
         under one key"
    )]
    TwoHistories { agency: AgencyName, origin: String, size: TreeSize },
    #[error("the newest card in the journal has other log keys than the directory keys/")]
    OtherLogKeys,
}

impl SuccessionError {
    pub(in crate::node) const fn fix(&self) -> &'static str {
        match self {
            Self::Text { .. } => "give a shorter text, or one without control characters",
            Self::NotBegun => "bring back the newest copy of the node's directory",
            Self::NothingLost => {
                "start the node with its partners reachable; if it runs on an old copy, `liaison status` shows \
                 that, and then run this again"
            }
            Self::LastGeneration => "make a new node under another agency name with `liaison init`",
            Self::TwoHistories { .. } => {
                "keep the directory as evidence and raise an incident; a succession cannot repair it"
            }
            Self::OtherLogKeys => {
                "if `liaison store succeed` was cut short, run it again; otherwise bring back the newest keys/"
            }
        }
    }

    pub(in crate::node) const fn code(&self) -> tonic::Code {
        match self {
            Self::Text { .. } => tonic::Code::InvalidArgument,
            Self::OtherLogKeys => tonic::Code::Internal,
            Self::NotBegun
            | Self::NothingLost
            | Self::LastGeneration
            | Self::TwoHistories { .. } => tonic::Code::FailedPrecondition,
        }
    }
}
