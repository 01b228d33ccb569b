//! The errors of asking for consents and of giving them.

use crate::exchange::ConsentFault;
use crate::ident::{AgencyName, RecordId};
use crate::record::consent::ConsentError;
use tonic::Code;

/// The reason why a consent is not asked for, given, refused or revoked.
#[derive(Debug, thiserror::Error)]
pub enum ConsentCaseError {
    #[error(transparent)]
    Malformed(#[from] ConsentError),
    #[error(transparent)]
    Fault(#[from] ConsentFault),
    #[error(
        "{agency} is not a partner of this node, so it cannot be asked over the exchange; ask it by another way \
         to name the release in the record itself, or make it a partner"
    )]
    OriginatorNotPartner { agency: AgencyName },
    #[error(
        "{agency} is not a partner of this node, so a consent cannot be sent to it; name the release in the \
         record itself, or make the agency a partner"
    )]
    HolderNotPartner { agency: AgencyName },
    #[error("the originator of record {id} is {originator}, not {named}")]
    OtherOriginator { id: RecordId, originator: AgencyName, named: AgencyName },
    #[error("the request names no originator; name the agency to ask")]
    NoOriginator,
    #[error("record {id} may be used as evidence already: its marking does not forbid it")]
    EvidenceAllowed { id: RecordId },
    #[error(
        "record {id} is not marked for circle {circle}, so the roster of the circle changes nothing"
    )]
    NotForCircle { id: RecordId, circle: String },
    #[error(
        "record {id} has neither originator control nor a release list, so a consent changes nothing; \
         `liaison record why-not` shows the reason why it is not disclosed"
    )]
    Unrestricted { id: RecordId },
    #[error(
        "this agency is the originator: the policy decides where its records go, and two persons permit their \
         use as evidence with `liaison consent give`"
    )]
    OwnRecords,
    #[error("{to} is the originator of the records, so they need no consent to go there")]
    ToOriginator { to: AgencyName },
    #[error(
        "{to} is not a partner of this node, so nothing can be passed on to it; make it a partner first"
    )]
    ToStranger { to: AgencyName },
    #[error("{originator} was asked for this already, in journal entry {entry}")]
    Asked { originator: AgencyName, entry: u64 },
    #[error("{to} holds the records already, so it needs no consent")]
    ToHolder { to: AgencyName },
    #[error(
        "a consent needs an end between the years 2000 and 2100, found {found} ms; name its end"
    )]
    NoEnd { found: u64 },
    #[error("this node holds no record {id} that this agency signed")]
    NotOwn { id: RecordId },
    #[error(
        "no request of journal entry {entry} waits for this agency; `liaison consent list --open` shows those \
         that do"
    )]
    UnknownRequest { entry: u64 },
    #[error(
        "no consent of journal entry {entry} by this agency is in force; `liaison consent list --open` shows \
         those that are"
    )]
    UnknownConsent { entry: u64 },
    #[error("circle {circle} cannot have a roster: {found}")]
    Roster { circle: String, found: ConsentError },
    #[error(
        "{holder} is not in circle {circle}, so the roster is not sent to it; add it first with \
         `liaison circle add {circle} {holder}`"
    )]
    NotInCircle { holder: AgencyName, circle: String },
    #[error("the members of circle {circle} changed after this was proposed; propose it again")]
    CircleChanged { circle: String },
}

impl ConsentCaseError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Malformed(_)
            | Self::OtherOriginator { .. }
            | Self::NoOriginator
            | Self::ToHolder { .. }
            | Self::NoEnd { .. } => Code::InvalidArgument,
            Self::NotOwn { .. } | Self::UnknownRequest { .. } | Self::UnknownConsent { .. } => {
                Code::NotFound
            }
            Self::Fault(_)
            | Self::OriginatorNotPartner { .. }
            | Self::HolderNotPartner { .. }
            | Self::EvidenceAllowed { .. }
            | Self::NotForCircle { .. }
            | Self::Unrestricted { .. }
            | Self::OwnRecords
            | Self::ToOriginator { .. }
            | Self::ToStranger { .. }
            | Self::Asked { .. }
            | Self::Roster { .. }
            | Self::NotInCircle { .. }
            | Self::CircleChanged { .. } => Code::FailedPrecondition,
        }
    }
}
