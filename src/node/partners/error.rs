//! The errors of the use cases around partners.

use crate::ident::AgencyName;
use crate::journal::ids::PARTNERS_MAX;
use crate::partner::{CardError, NumberError, Refusal, TransitionError};
use crate::policy::AgreementError;
use tonic::Code;

/// The reason why a partner is not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum PartnerError {
    #[error("{agency} is not a partner of this node; `liaison partner list` shows the partners")]
    Unknown { agency: AgencyName },
    #[error(transparent)]
    Card(#[from] CardError),
    #[error(
        "this is the card of {agency}, which is this node's own agency; import the card of the partner"
    )]
    OwnCard { agency: AgencyName },
    #[error(transparent)]
    Number(#[from] NumberError),
    #[error("{found}; nothing was added. Ask {agency} to read the number again")]
    OtherNumber { agency: AgencyName, found: NumberError },
    #[error(transparent)]
    CardRefused(#[from] Refusal),
    #[error("{agency} is a partner already; `liaison partner show {agency}` shows it")]
    AlreadyPartner { agency: AgencyName },
    #[error("a node has at most {PARTNERS_MAX} partners")]
    TooMany,
    #[error(
        "one person suspends or revokes a partner; `liaison partner resume` proposes to resume one"
    )]
    TakesTwo,
    #[error(transparent)]
    State(#[from] TransitionError),
    #[error("{agency} changed at journal entry {entry}, after this was proposed; propose it again")]
    Changed { agency: AgencyName, entry: u64 },
    #[error(
        "the policy in force may show {agency} personal data or a sensitive class of fields, and the data \
         protection officer must approve that too; propose it again"
    )]
    Reveals { agency: String },
    #[error("the agreement with {agency} changed after this was proposed; propose it again")]
    ProposedOnOther { agency: AgencyName },
    #[error(
        "the agreement with {agency} changed meanwhile; look at it with `liaison partner show {agency}`, then \
         change it again"
    )]
    SeenOther { agency: AgencyName },
    #[error(
        "{name:?} cannot name a circle or an operation: a name has 1 to {max} bytes without white space"
    )]
    MembershipName { name: String, max: usize },
    #[error("a partner has at most {max} circles and as many operations, found {found}")]
    TooManyMemberships { found: usize, max: usize },
    #[error(
        "circle {name:?} has a slash; name a circle of this agency without one: only other agencies write \
         originator/circle"
    )]
    CircleOfAnother { name: String },
    #[error(transparent)]
    Agreement(#[from] AgreementError),
}

impl PartnerError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } => Code::NotFound,
            Self::Card(_)
            | Self::OwnCard { .. }
            | Self::Number(_)
            | Self::TakesTwo
            | Self::MembershipName { .. }
            | Self::TooManyMemberships { .. }
            | Self::CircleOfAnother { .. }
            | Self::Agreement(_) => Code::InvalidArgument,
            Self::OtherNumber { .. } | Self::CardRefused(_) => Code::PermissionDenied,
            Self::AlreadyPartner { .. }
            | Self::TooMany
            | Self::State(_)
            | Self::Changed { .. }
            | Self::Reveals { .. }
            | Self::ProposedOnOther { .. }
            | Self::SeenOther { .. } => Code::FailedPrecondition,
        }
    }
}
