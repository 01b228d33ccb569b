//! The errors of deciding on disclosures that the brake holds.

use crate::ident::AgencyName;
use crate::policy::Reasons;
use tonic::Code;

/// The reason why a release is neither proposed nor carried out.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(
        "act {proposal} asks for this decision already; `liaison acts show {proposal}` shows it"
    )]
    Proposed { proposal: u64 },
    #[error("{name:?} is not a partner of this node; `liaison partner list` shows the partners")]
    UnknownPartner { name: String },
    #[error("{bits:#x} does not stand for rules of the release brake")]
    Rules { bits: u32 },
    #[error(
        "no disclosure to {agency} is held because of {reasons}; `liaison release list` shows those that are"
    )]
    NothingHeld { agency: AgencyName, reasons: Reasons },
}

impl ReleaseError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::UnknownPartner { .. } => Code::NotFound,
            Self::Rules { .. } => Code::InvalidArgument,
            Self::Proposed { .. } | Self::NothingHeld { .. } => Code::FailedPrecondition,
        }
    }
}
