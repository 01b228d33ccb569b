//! How a call that failed is answered: what was found, what was wanted, what to do next.
//!
//! Faults of our own are told to the log in full and to the caller by an id only.

use crate::node::NodeError;
use std::error::Error;
use std::fmt::Display;
use tonic::{Code, Status};

/// The same words for everything that a caller may not know more about.
pub(super) fn forbidden() -> Status {
    Status::permission_denied("permission denied")
}

pub(super) fn invalid(field: &str, reason: impl Display) -> Status {
    Status::invalid_argument(format!("{field}: {reason}"))
}

/// Our own fault: logged with an id, which alone is answered.
pub(super) fn internal(error: &dyn Error) -> Status {
    // Without random numbers the id is 0, and the time in the log has to do.
    let id = getrandom::u32().unwrap_or_default();
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    tracing::error!(id = format!("{id:08x}"), %detail, "a call failed");
    Status::internal(format!("internal error; see the node's log, id {id:08x}"))
}

pub(super) fn of_node(error: &NodeError) -> Status {
    match error.code() {
        Code::Internal | Code::Unknown | Code::DataLoss => internal(error),
        code => Status::new(code, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalError;

    #[test]
    fn an_internal_error_tells_the_caller_an_id_only() {
        let secret = "/var/lib/liaison/00000001.seg is corrupt".to_owned();
        let status = of_node(&NodeError::Journal(JournalError::Index(secret)));
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().starts_with("internal error; see the node's log, id "));
        assert!(!status.message().contains("corrupt"), "{status}");
    }

    #[test]
    fn a_fault_of_the_caller_is_told_in_full() {
        let status = of_node(&NodeError::NotFound("partner x.example is unknown".to_owned()));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "partner x.example is unknown");
    }
}
