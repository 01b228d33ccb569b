//! Errors of the operating system that a person can mend: the system's reason, and what to do.
//!
//! The one table of remedies, for the command line and for the answers of a node.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// The remedy for an error of the operating system. Each text is an instruction without a full
/// stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy {
    /// The remedy for a person who runs a command on files of their own.
    pub here: &'static str,
    /// The remedy for the person who runs the node.
    pub at_node: &'static str,
}

impl Remedy {
    /// `None` for an error that a person cannot mend.
    pub fn of(error: &io::Error) -> Option<Self> {
        let (here, at_node) = match (error.kind(), Errno::from_io_error(error)) {
            (ErrorKind::NotFound, _) => {
                ("check the path", "bring back what is missing in the node's directory")
            }
            (ErrorKind::PermissionDenied, _) => (
                "run as a user that may use this file, or choose another place",
                "let the node's user read and write the node's directory",
            ),
            (ErrorKind::StorageFull | ErrorKind::QuotaExceeded, _) => (
                "free some space, then run it again",
                "free some space where the node's directory is",
            ),
            (ErrorKind::ReadOnlyFilesystem, _) => (
                "mount the file system for writing, or choose another place",
                "mount the file system of the node's directory for writing",
            ),
            (_, Some(Errno::MFILE | Errno::NFILE)) => (
                "raise the limit of open files (ulimit -n), then run it again",
                "raise the limit of open files (LimitNOFILE= of its service, or ulimit -n)",
            ),
            (_, Some(Errno::IO)) => (
                "check the disk, or choose another place",
                "check the disk, and bring back the newest copy of the node's directory if it failed",
            ),
            _ => return None,
        };
        Some(Self { here, at_node })
    }
}

/// An error of the operating system that a person can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFault {
    /// In the system's words, without a path.
    pub reason: String,
    pub remedy: Remedy,
}

impl SystemFault {
    /// Returns the first one in a chain of errors.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let found = error.downcast_ref::<io::Error>();
            if let Some((found, remedy)) = found.and_then(|found| Some((found, Remedy::of(found)?)))
            {
                // A text that a library added may contain a path.
                let reason = match Errno::from_io_error(found) {
                    Some(_) => found.to_string(),
                    None => found.kind().to_string(),
                };
                return Some(Self { reason, remedy });
            }
            next = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn what_a_person_can_mend_has_a_reason_and_a_remedy_for_either_reader() {
        for (errno, reason, here, at_node) in [
            (Errno::NOSPC, "No space left on device", "free some space", "free some space"),
            (Errno::DQUOT, "quota exceeded", "free some space", "free some space"),
            (Errno::ROFS, "Read-only file system", "mount", "mount"),
            (Errno::ACCESS, "Permission denied", "run as a user", "let the node's user"),
            (Errno::PERM, "Operation not permitted", "run as a user", "let the node's user"),
            (Errno::NOENT, "No such file or directory", "check the path", "bring back"),
            (Errno::MFILE, "Too many open files", "ulimit -n", "LimitNOFILE="),
            (Errno::NFILE, "Too many open files", "ulimit -n", "LimitNOFILE="),
            (Errno::IO, "Input/output error", "check the disk", "check the disk"),
        ] {
            let source = io::Error::from(errno);
            let error = StoreError::Io { action: "write", path: "/secret/1.seg".into(), source };
            let fault = SystemFault::find(&error).unwrap_or_else(|| panic!("{errno}"));
            assert!(fault.reason.contains(reason), "{}", fault.reason);
            assert!(!fault.reason.contains("/secret"), "{}", fault.reason);
            assert!(fault.remedy.here.contains(here), "{:?}", fault.remedy);
            assert!(fault.remedy.at_node.contains(at_node), "{:?}", fault.remedy);
        }
    }

    #[test]
    fn a_text_of_a_library_is_left_out_and_other_errors_have_no_remedy() {
        let added = io::Error::new(ErrorKind::StorageFull, "cannot extend /secret/1.sst");
        assert_eq!(SystemFault::find(&added).unwrap().reason, "no storage space");
        assert_eq!(SystemFault::find(&io::Error::from(Errno::CONNRESET)), None);
        assert_eq!(SystemFault::find(&StoreError::Poisoned), None);
        let engine = StoreError::engine("fjall", io::Error::from(Errno::NOSPC));
        assert!(SystemFault::find(&engine).is_some());
    }
}
