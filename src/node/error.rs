//! The errors of use cases, with the gRPC code of each.

use crate::journal::JournalError;
use crate::journal::gate::Closed;
use crate::store::{StoreError, SystemFault};

/// The reason why a use case failed. The text may be shown to the caller.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Precondition(String),
    #[error("{0}")]
    Refused(String),
    /// It may be tried again later.
    #[error("{0}")]
    Unavailable(String),
    /// The caller has used up its share of something.
    #[error("{0}")]
    Exhausted(String),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Start(String),
    /// The operating system refused, and a person can mend that. The text has paths and is for the log.
    #[error("{text}")]
    System { text: String, fault: SystemFault },
}

impl NodeError {
    pub(crate) fn start(what: &str, error: impl std::error::Error + 'static) -> Self {
        let text = format!("{what}: {}", crate::store::describe(&error));
        match SystemFault::find(&error) {
            Some(fault) => Self::System { text, fault },
            None => Self::Start(text),
        }
    }

    /// Returns the gRPC code, which shows the side at fault.
    pub const fn code(&self) -> tonic::Code {
        match self {
            Self::NotFound(_) => tonic::Code::NotFound,
            Self::Invalid(_) => tonic::Code::InvalidArgument,
            Self::Precondition(_) => tonic::Code::FailedPrecondition,
            Self::Refused(_) => tonic::Code::PermissionDenied,
            Self::Exhausted(_) => tonic::Code::ResourceExhausted,
            Self::Journal(JournalError::Closed(Closed::Shut(_))) => tonic::Code::FailedPrecondition,
            Self::Journal(
                JournalError::Stopped | JournalError::Closed(Closed::Held | Closed::Doubted(_)),
            )
            | Self::Unavailable(_) => tonic::Code::Unavailable,
            Self::Journal(
                JournalError::EntryTooLarge { .. }
                | JournalError::Store(
                    StoreError::FrameTooLarge { .. } | StoreError::BatchTooLarge { .. },
                ),
            ) => tonic::Code::InvalidArgument,
            Self::Journal(_) | Self::Start(_) | Self::System { .. } => tonic::Code::Internal,
        }
    }
}
