//! The error of a use case, with the gRPC code of each.

use super::approvals::error::ApprovalError;
use super::config::error::ConfigError;
use super::consents::error::ConsentCaseError;
use super::disclosure::error::ReleaseError;
use super::erasure::error::ErasureError;
use super::explanation::error::ExplanationError;
use super::init::error::InitError;
use super::key_succession::error::SuccessionError;
use super::partners::error::PartnerError;
use super::peers::error::PeerError;
use super::policies::error::PolicyError;
use super::submission::error::SubmissionError;
use super::witnessing::error::WitnessingError;
use crate::ident::{AgencyName, IdentError, RecordId, Timestamp};
use crate::journal::JournalError;
use crate::journal::gate::Closed;
use crate::store::{StoreError, SystemFault};
use tonic::Code;

/// The reason why a use case failed. Its message may be shown to the caller, unless its code is
/// `Internal`.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Partner(#[from] PartnerError),
    #[error(transparent)]
    Consent(#[from] ConsentCaseError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    #[error(transparent)]
    Explanation(#[from] ExplanationError),
    #[error(transparent)]
    Witnessing(#[from] WitnessingError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Init(#[from] InitError),
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A name, id or hash that the caller gave.
    #[error(transparent)]
    Ident(#[from] IdentError),
    #[error("this node holds no record {id}; `liaison query` finds records by their content")]
    UnknownRecord { id: RecordId },
    #[error("the journal holds no card of this agency; start the node once, then try again")]
    NoCard,
    #[error("nothing was ever disclosed to {agency}, so its feed has no checkpoint")]
    EmptyFeed { agency: AgencyName },
    #[error(
        "the wall clock of this node reads {wall}, and yours {given}; correct the wall clock first"
    )]
    OtherTime { wall: Timestamp, given: Timestamp },
    /// A part of the node cannot be read, made or written. The text has paths and is for the log.
    #[error("{part}: {reason}")]
    Failed { part: String, reason: String, system: Option<SystemFault> },
}

impl NodeError {
    pub(crate) fn start(part: &str, error: impl std::error::Error + 'static) -> Self {
        let reason = crate::store::describe(&error);
        Self::Failed { part: part.to_owned(), reason, system: SystemFault::find(&error) }
    }

    /// Returns the gRPC code, which shows the side at fault.
    pub const fn code(&self) -> Code {
        match self {
            Self::Approval(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Partner(error) => error.code(),
            Self::Consent(error) => error.code(),
            Self::Release(error) => error.code(),
            Self::Erasure(error) => error.code(),
            Self::Submission(error) => error.code(),
            Self::Explanation(error) => error.code(),
            Self::Witnessing(error) => error.code(),
            Self::Peer(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Succession(error) => error.code(),
            Self::Ident(_) => Code::InvalidArgument,
            Self::UnknownRecord { .. } | Self::EmptyFeed { .. } => Code::NotFound,
            Self::Init(_)
            | Self::NoCard
            | Self::OtherTime { .. }
            | Self::Journal(JournalError::Closed(Closed::Shut(_))) => Code::FailedPrecondition,
            Self::Journal(
                JournalError::Stopped | JournalError::Closed(Closed::Held | Closed::Doubted(_)),
            ) => Code::Unavailable,
            Self::Journal(
                JournalError::EntryTooLarge { .. }
                | JournalError::Store(
                    StoreError::FrameTooLarge { .. } | StoreError::BatchTooLarge { .. },
                ),
            ) => Code::InvalidArgument,
            Self::Journal(_) | Self::Failed { .. } => Code::Internal,
        }
    }

    /// Returns the next step of the person at the node's machine; empty where the message names it.
    pub fn fix(&self) -> String {
        let system = match self {
            Self::Failed { system, .. } => system.clone(),
            other => SystemFault::find(other),
        };
        match (self, system) {
            (Self::Config(error @ ConfigError::Read { source, .. }), _)
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                error.fix()
            }
            (_, Some(fault)) => fault.remedy.here.to_owned(),
            (Self::Config(error), None) => error.fix(),
            (Self::Init(error), None) => error.fix().to_owned(),
            (Self::Succession(error), None) => error.fix().to_owned(),
            (Self::Journal(error), None) => error.fix().to_owned(),
            (Self::Failed { part, .. }, None) => {
                format!("bring {part} back from the newest backup of the node's directory")
            }
            (_, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_code_of_the_side_at_fault() {
        let id = RecordId::from_bytes([7; 32]);
        let agency = || "b.example".parse::<AgencyName>().unwrap();
        let errors: [(NodeError, Code); 8] = [
            (ApprovalError::Unknown { proposal: 7 }.into(), Code::NotFound),
            (PolicyError::InForce { version: 2 }.into(), Code::FailedPrecondition),
            (PartnerError::Unknown { agency: agency() }.into(), Code::NotFound),
            (PeerError::Frozen { agency: agency() }.into(), Code::PermissionDenied),
            (SubmissionError::Drafts { found: 0, max: 1 }.into(), Code::InvalidArgument),
            (SubmissionError::Withdrawn { id }.into(), Code::FailedPrecondition),
            (SuccessionError::OtherLogKeys.into(), Code::Internal),
            (NodeError::UnknownRecord { id }, Code::NotFound),
        ];
        for (error, code) in errors {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn an_error_at_the_nodes_machine_has_its_own_next_step() {
        let bytes = ConfigError::SegmentBytes { found: 1, min: 1_024, max: 4_096 };
        let errors: [(NodeError, &str); 5] = [
            (bytes.into(), "set store.segment_bytes to a number from 1024 to 4096"),
            (InitError::NoIdentityKey.into(), "bring keys/identity.pem back"),
            (SuccessionError::NothingLost.into(), "start the node with its partners reachable"),
            (NodeError::start("card", std::fmt::Error), "bring card back from the newest backup"),
            (JournalError::Index("x".to_owned()).into(), ""),
        ];
        for (error, fix) in errors {
            assert!(error.fix().starts_with(fix), "{error}: {}", error.fix());
        }
    }
}
