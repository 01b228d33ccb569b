//! The answer to a failed call: the found value, the expected value, and the next step.
//!
//! Faults of our own are told to the log in full and to the caller by an id only.

use crate::journal::JournalError;
use crate::node::NodeError;
use crate::store::{StoreError, SystemFault};
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
pub(super) fn internal(error: &(dyn Error + 'static)) -> Status {
    // Without random numbers the id is 0, and the time in the log has to do.
    let id = getrandom::u32().unwrap_or_default();
    let detail = crate::store::describe(error);
    tracing::error!(id = format!("{id:08x}"), %detail, "a call failed");
    match mendable(error) {
        Some(status) => status,
        None => Status::internal(format!("internal error; see the node's log, id {id:08x}")),
    }
}

/// The answer for a fault that a person can mend: the reason of the operating system without its path,
/// and the next step.
fn mendable(error: &(dyn Error + 'static)) -> Option<Status> {
    let journal = match error.downcast_ref::<NodeError>() {
        Some(NodeError::Failed { system: Some(fault), .. }) => {
            return Some(of_system(fault, "try again"));
        }
        Some(NodeError::Journal(journal)) => Some(journal),
        _ => error.downcast_ref::<JournalError>(),
    };
    let store = match journal {
        Some(JournalError::Stopped) => {
            return Some(Status::unavailable(JournalError::Stopped.to_string()));
        }
        Some(JournalError::Store(store)) => Some(store),
        _ => error.downcast_ref::<StoreError>(),
    };
    // The writer and the index stop at such an error.
    let fault = match store {
        Some(StoreError::IndexFailed(fault)) => fault.system.clone(),
        _ => SystemFault::find(error),
    };
    if let Some(fault) = fault {
        return Some(of_system(&fault, "start the node again"));
    }
    match store? {
        StoreError::Io { source, .. } => Some(Status::failed_precondition(format!(
            "the node cannot use its disk: {source}; check the disk and start the node again"
        ))),
        StoreError::IndexFailed(_) | StoreError::Engine { .. } => {
            Some(Status::failed_precondition(
                "the node's index stopped; start the node again, and run `liaison store reindex` if it stops \
                 once more",
            ))
        }
        StoreError::Corrupt { segment, offset, .. } => Some(Status::data_loss(format!(
            "stored bytes are damaged at segment {segment} offset {offset}; bring back the newest copy of the \
             node's directory"
        ))),
        _ => None,
    }
}

fn of_system(fault: &SystemFault, next: &str) -> Status {
    let SystemFault { reason, remedy } = fault;
    Status::failed_precondition(format!(
        "the node's operating system refused: {reason}; {}, then {next}",
        remedy.at_node
    ))
}

pub(super) fn of_node(error: &NodeError) -> Status {
    match error.code() {
        Code::Internal | Code::Unknown | Code::DataLoss => internal(error),
        code => Status::new(code, crate::store::describe(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::PartnerError;

    #[test]
    fn an_internal_error_tells_the_caller_an_id_only() {
        let secret = "/var/lib/liaison/00000001.seg is corrupt".to_owned();
        let status = of_node(&NodeError::Journal(JournalError::Index(secret)));
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().starts_with("internal error; see the node's log, id "));
        assert!(!status.message().contains("corrupt"), "{status}");
    }

    #[test]
    fn a_fault_that_a_person_can_mend_is_named_without_a_path() {
        let full = std::io::Error::from(rustix::io::Errno::NOSPC);
        let store =
            StoreError::Io { action: "append to", path: "/secret/1.seg".into(), source: full };
        let status = of_node(&NodeError::Journal(JournalError::Store(store)));
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("No space left on device"), "{status}");
        assert!(!status.message().contains("/secret"), "{status}");
        let damaged = StoreError::Corrupt { segment: 2, offset: 91, found: "checksum".to_owned() };
        let status = internal(&JournalError::Store(damaged));
        assert_eq!(status.code(), Code::DataLoss);
        assert!(status.message().contains("segment 2 offset 91"), "{status}");
        let status = internal(&JournalError::Store(StoreError::IndexFailed("x".into())));
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(internal(&JournalError::Stopped).code(), Code::Unavailable);
    }

    #[test]
    fn every_fault_of_the_system_that_a_person_can_mend_is_named_with_its_remedy() {
        use crate::store::IndexFault;
        use rustix::io::Errno;
        for (errno, reason, remedy) in [
            (Errno::NOSPC, "No space left on device", "free some space"),
            (Errno::ROFS, "Read-only file system", "mount the file system"),
            (Errno::ACCESS, "Permission denied", "let the node's user"),
            (Errno::NOENT, "No such file or directory", "bring back what is missing"),
            (Errno::MFILE, "Too many open files", "raise the limit of open files"),
        ] {
            let source = || std::io::Error::from(errno);
            let io =
                || StoreError::Io { action: "write", path: "/secret/a".into(), source: source() };
            let stopped = IndexFault::from(&io());
            for (error, next) in [
                (NodeError::start("/secret/policies", source()), "then try again"),
                (NodeError::Journal(JournalError::Store(io())), "then start the node again"),
                (
                    NodeError::Journal(JournalError::Store(StoreError::IndexFailed(stopped))),
                    "then start the node again",
                ),
            ] {
                let status = of_node(&error);
                assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
                for part in [reason, remedy, next] {
                    assert!(status.message().contains(part), "{part}: {status}");
                }
                assert!(!status.message().contains("/secret"), "{status}");
            }
        }
    }

    #[test]
    fn a_fault_of_the_caller_is_told_in_full() {
        let agency = "x.example".parse().unwrap();
        let status = of_node(&PartnerError::Unknown { agency }.into());
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().starts_with("x.example is not a partner"), "{status}");
    }
}
