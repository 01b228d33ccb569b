//! The errors of explaining a decision of the past.

use crate::ident::{AgencyName, Timestamp};
use tonic::Code;

/// The reason why a decision cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplanationError {
    #[error("{agency} was not a partner of this node yet at {at}")]
    NotYetPartner { agency: AgencyName, at: Timestamp },
    #[error(
        "version {version} of the policy, in force at that time, cannot be read: {found}; bring its files back \
         from a backup"
    )]
    PastPolicy { version: u64, found: String },
}

impl ExplanationError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::NotYetPartner { .. } => Code::NotFound,
            Self::PastPolicy { .. } => Code::FailedPrecondition,
        }
    }
}
