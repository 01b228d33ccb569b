//! The errors of the command line: the fault, its reason, and the next step.
//!
//! The only place that knows exit codes. An error is shown once, on stderr, by `report`; nothing
//! here prints, and no message repeats its source.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tonic::Code;

use crate::journal::JournalError;
use crate::node::{ConfigError, NodeError};
use crate::store::{Remedy, StoreError};

/// The exit code of the process. The numbers are part of the tool's promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Untrusted = 4,
    Refused = 5,
    VerificationFailed = 6,
    PartlyDone = 7,
    Unavailable = 8,
    Precondition = 9,
    Interrupted = 130,
}

impl Exit {
    /// The table that `liaison help` ends with.
    pub const HELP: &str = "\
Exit codes:
    0  done
    1  failed, no better code
    2  wrong usage
    3  not found
    4  not authenticated, or partner not trusted
    5  refused by policy
    6  verification failed: bad signature, broken proof, inconsistent log; raise an incident
    7  partly done; a report file lists the rest
    8  unavailable or timed out; safe to try again
    9  precondition: already there, changed meanwhile, another writer
  130  interrupted; work so far is kept";

    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word that stands in JSON errors.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Untrusted => "not-authenticated",
            Self::Refused => "refused",
            Self::VerificationFailed => "verification-failed",
            Self::PartlyDone => "partly-done",
            Self::Unavailable => "unavailable",
            Self::Precondition => "precondition",
            Self::Interrupted => "interrupted",
        }
    }

    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::PartlyDone | Self::Interrupted)
    }

    /// Returns the exit code for a node's status code.
    pub const fn from_grpc(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated => Self::Untrusted,
            Code::PermissionDenied => Self::Refused,
            Code::InvalidArgument | Code::OutOfRange => Self::Usage,
            Code::AlreadyExists | Code::FailedPrecondition => Self::Precondition,
            Code::DataLoss => Self::VerificationFailed,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled => Self::Unavailable,
            Code::Unknown | Code::Internal | Code::Unimplemented => Self::Failed,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The ways to send files that leave their line ends as they were written.
pub(super) const AGAIN_AS_BINARY: &str = "get it again as binary, such as in a zip or tar file (in git: a line `* -text` in .gitattributes); raise an \
     incident if that is refused too";

/// Anything that has a source of its own.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Typed input, or the content of an input file, that cannot be used.
    #[error("{found}")]
    Usage { found: String, fix: String },
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    /// There is no way to a node yet: no profile, or it cannot be used.
    #[error("{found}")]
    Profile { found: String, fix: String },
    #[error("cannot connect to the node at {address}")]
    Connect { address: String, source: Source },
    #[error("cannot {doing}")]
    Node { doing: String, source: Box<tonic::Status> },
    /// The node answered something that its own protocol does not allow.
    #[error("invalid answer of the node: {0}")]
    Answer(String),
    #[error("{found}")]
    NotFound { found: String, fix: String },
    /// Something signed or proven does not hold.
    #[error("verification failed: {found}")]
    Verification { found: String },
    /// Line ends of a file were changed on its way here.
    #[error("verification failed: {found}")]
    LineEnds { found: String },
    /// A policy or a rule refuses it.
    #[error("{found}")]
    Refused { found: String, fix: String },
    #[error("{rejected} of {rows} rows were rejected")]
    PartlyDone { rejected: u64, rows: u64, report: PathBuf, fix: String },
    #[error("{found}")]
    Precondition { found: String, fix: String },
    #[error("interrupted; {kept}")]
    Interrupted { kept: String, fix: String },
    /// The reader of our output closed it.
    #[error("the reader of the output has gone")]
    BrokenPipe,
    /// Writing results failed for another reason.
    #[error("cannot write the result")]
    Output { source: std::io::Error },
    /// A failure of another module, with the exit code that its meaning deserves.
    #[error("{doing}")]
    Other { doing: String, exit: Exit, fix: String, source: Source },
}

impl From<NodeError> for CliError {
    fn from(error: NodeError) -> Self {
        if let Some(taken) = taken(&error) {
            return taken;
        }
        Self::Precondition { found: crate::store::describe(&error), fix: error.fix() }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        NodeError::from(error).into()
    }
}

/// Returns the error of a directory that another process works on.
fn taken(error: &NodeError) -> Option<CliError> {
    let NodeError::Journal(JournalError::Store(StoreError::Locked { path })) = error else {
        return None;
    };
    let store = path.parent().unwrap_or(path);
    let dir = store.parent().unwrap_or(store).display();
    Some(CliError::Precondition {
        found: format!("a node, or another command, works on {dir} already"),
        fix: "stop it first; one process at a time uses a node's directory".to_owned(),
    })
}

impl CliError {
    pub fn usage(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Usage { found: found.into(), fix: fix.into() }
    }

    pub fn not_found(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::NotFound { found: found.into(), fix: fix.into() }
    }

    /// Replaces the next step after a node's answer of this code by one that fits the command.
    #[must_use]
    pub fn with_fix(self, code: Code, fix: impl Into<String>) -> Self {
        match self {
            Self::Node { doing, source } if source.code() == code => Self::Other {
                doing: format!("cannot {doing}"),
                exit: Exit::from_grpc(code),
                fix: fix.into(),
                source: node_cause(&source).into(),
            },
            other => other,
        }
    }

    /// For `map_err`: what was being done with which file.
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    /// For `map_err`: what the node was asked to do, as an infinitive.
    pub fn node(doing: impl Into<String>) -> impl FnOnce(tonic::Status) -> Self {
        let doing = doing.into();
        move |status| Self::Node { doing, source: Box::new(with_lost_connection(status)) }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } => Exit::Usage,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Exit::NotFound
            }
            Self::File { .. } | Self::Answer(_) | Self::Output { .. } => Exit::Failed,
            Self::Profile { .. } => Exit::Untrusted,
            Self::Connect { .. } => Exit::Unavailable,
            Self::Node { source, .. } => Exit::from_grpc(source.code()),
            Self::NotFound { .. } => Exit::NotFound,
            Self::Verification { .. } | Self::LineEnds { .. } => Exit::VerificationFailed,
            Self::Refused { .. } => Exit::Refused,
            Self::PartlyDone { .. } => Exit::PartlyDone,
            Self::Precondition { .. } => Exit::Precondition,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::BrokenPipe => Exit::Done,
            Self::Other { exit, .. } => *exit,
        }
    }

    /// The next thing to do, where there is one.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Usage { fix, .. }
            | Self::Profile { fix, .. }
            | Self::Refused { fix, .. }
            | Self::Precondition { fix, .. }
            | Self::Interrupted { fix, .. }
            | Self::NotFound { fix, .. }
            | Self::PartlyDone { fix, .. }
            | Self::Other { fix, .. } => Some(fix.clone()).filter(|fix| !fix.is_empty()),
            Self::File { source, .. } => Remedy::of(source).map(|remedy| remedy.here.to_owned()),
            Self::Connect { .. } => {
                Some("check that the node runs and that the address in the profile is right".into())
            }
            Self::Node { source, .. } => node_fix(source.code()).map(str::to_owned),
            Self::Answer(_) => Some("compare `liaison --version` with the node's".into()),
            Self::Verification { .. } => {
                Some("keep what you have and raise an incident; do not try again".into())
            }
            Self::LineEnds { .. } => Some(AGAIN_AS_BINARY.into()),
            Self::Output { source } => Remedy::of(source).map(|remedy| remedy.here.to_owned()),
            Self::BrokenPipe => None,
        }
    }

    /// The chain of sources in one line.
    pub fn cause(&self) -> Option<String> {
        if let Self::Node { source, .. } = self {
            return Some(node_cause(source));
        }
        if let Self::PartlyDone { report, .. } = self {
            return Some(format!("{} names the line, the column and the reason", report.display()));
        }
        let mut links: Vec<String> = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            let text = error.to_string();
            if links.last() != Some(&text) {
                links.push(text);
            }
            next = error.source();
        }
        (!links.is_empty()).then(|| links.join(": "))
    }

    /// The object that goes to stderr with `-o json`.
    pub fn to_json(&self) -> Value {
        let exit = self.exit();
        json!({
            "schema": super::output::SCHEMA,
            "error": {
                "code": exit.word(),
                "exit": exit.code(),
                "message": self.to_string(),
                "cause": self.cause(),
                "fix": self.fix(),
                "retryable": exit.is_retryable(),
            }
        })
    }

    /// The lines for people: error, cause, fix, and where to read on.
    pub fn to_text(&self) -> String {
        let exit = self.exit();
        if let Self::Interrupted { kept, fix } = self {
            // The user wanted it: nothing went wrong.
            return match fix.as_str() {
                "" => format!("stopped; {kept}"),
                fix => format!("stopped; {kept}\n  go on: {fix}"),
            };
        }
        let mut text = format!("error[{}]: {self}", exit.word());
        if let Some(cause) = self.cause() {
            text.push_str(&format!("\n  cause: {cause}"));
        }
        if let Some(fix) = self.fix() {
            text.push_str(&format!("\n  fix:   {fix}"));
        }
        text.push_str(&format!(
            "\n  more:  exit code {}; see the end of `liaison help`",
            exit.code()
        ));
        text
    }
}

impl miette::Diagnostic for CliError {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(self.exit().word()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.fix().map(|fix| Box::new(fix) as Box<dyn std::fmt::Display>)
    }
}

/// Only what this side found out about the connection has a source: a node's own answer is a code and
/// words. A connection that broke is one that may be there again.
fn with_lost_connection(status: tonic::Status) -> tonic::Status {
    let is_ours = std::error::Error::source(&status).is_some();
    match status.code() {
        Code::Unknown | Code::Internal if is_ours => {
            tonic::Status::unavailable(format!("the connection broke: {}", status.message()))
        }
        _ => status,
    }
}

fn node_cause(status: &tonic::Status) -> String {
    let words = match status.code() {
        Code::Unavailable => "the node does not answer",
        Code::DeadlineExceeded => "the node did not answer in time",
        Code::Cancelled => "the connection was closed",
        _ => "the node answered",
    };
    match status.message() {
        "" => format!("{words} ({:?})", status.code()),
        message => format!("{words}: {message} ({:?})", status.code()),
    }
}

/// The way on from an id or name that is not known. A node's answer does not name the sort of thing.
const NOT_FOUND_FIX: &str = "compare it with the lists: `liaison query` lists records and cases, \
    `liaison acts list`, `liaison policy log` and `liaison partner list` the rest";

const fn node_fix(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => {
            Some("have a new profile issued: liaison client issue NAME --role ROLE --dir DIR")
        }
        Code::PermissionDenied => {
            Some("use a profile whose role may do this (--client FILE), or ask the policy officer")
        }
        Code::NotFound => Some(NOT_FOUND_FIX),
        Code::Unavailable | Code::Aborted | Code::Cancelled => {
            Some("try again; nothing that was acknowledged is lost")
        }
        Code::DeadlineExceeded => Some("try again, or wait longer with --timeout SECONDS"),
        Code::ResourceExhausted => Some("wait a little and try again"),
        Code::DataLoss => Some("keep what you have and raise an incident"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node_error(code: Code) -> CliError {
        CliError::node("read the record")(tonic::Status::new(code, "because"))
    }

    #[test]
    fn each_answer_of_a_node_has_its_exit_code() {
        let expected = [
            (Code::NotFound, 3),
            (Code::Unauthenticated, 4),
            (Code::PermissionDenied, 5),
            (Code::DataLoss, 6),
            (Code::Unavailable, 8),
            (Code::DeadlineExceeded, 8),
            (Code::ResourceExhausted, 8),
            (Code::FailedPrecondition, 9),
            (Code::AlreadyExists, 9),
            (Code::InvalidArgument, 2),
            (Code::Internal, 1),
        ];
        for (code, exit) in expected {
            assert_eq!(node_error(code).exit().code(), exit, "{code:?}");
        }
    }

    #[test]
    fn an_error_for_people_has_error_cause_fix_and_more() {
        let text = node_error(Code::Unavailable).to_text();
        assert_eq!(
            text,
            "error[unavailable]: cannot read the record\n  \
             cause: the node does not answer: because (Unavailable)\n  \
             fix:   try again; nothing that was acknowledged is lost\n  \
             more:  exit code 8; see the end of `liaison help`"
        );
    }

    #[test]
    fn an_error_for_machines_has_the_same_facts() {
        let value = node_error(Code::NotFound).to_json();
        assert_eq!(value["error"]["code"], "not-found");
        assert_eq!(value["error"]["exit"], 3);
        assert_eq!(value["error"]["retryable"], false);
        assert_eq!(value["schema"], "liaison.cli/v1");
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130] {
            assert!(
                Exit::HELP.lines().any(|line| line.trim_start().starts_with(&format!("{code}  ")))
            );
        }
    }

    #[test]
    fn a_connection_that_broke_may_be_tried_again_and_an_answer_stays_what_it_is() {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let error = CliError::node("read")(tonic::Status::from_error(Box::new(broken)));
        assert_eq!((error.exit().code(), error.exit().is_retryable()), (8, true));
        assert_eq!(node_error(Code::Internal).exit().code(), 1);
        assert_eq!(node_error(Code::Unknown).exit().code(), 1);
    }

    #[test]
    fn the_reason_of_the_operating_system_is_named_with_what_to_do() {
        let full = std::io::Error::from(rustix::io::Errno::NOSPC);
        let error = NodeError::Journal(JournalError::Store(StoreError::Io {
            action: "append to",
            path: "/x/1.seg".into(),
            source: full,
        }));
        let text = CliError::from(error).to_text();
        assert!(text.contains("cannot append to /x/1.seg: No space left on device"), "{text}");
        assert!(text.contains("free some space"), "{text}");
        let read_only = std::io::Error::from(rustix::io::Errno::ROFS);
        let text = CliError::file("write", Path::new("receipt.json"))(read_only).to_text();
        assert!(text.contains("Read-only file system") && text.contains("mount"), "{text}");
        let many = std::io::Error::from(rustix::io::Errno::MFILE);
        let text = CliError::from(NodeError::start("policies", many)).to_text();
        assert!(
            text.contains("policies: Too many open files") && text.contains("ulimit"),
            "{text}"
        );
    }

    #[test]
    fn a_directory_that_is_in_use_is_named_with_what_to_do() {
        let path = "/var/lib/npa/store/LOCK".into();
        let store = JournalError::Store(StoreError::Locked { path });
        let error = CliError::from(NodeError::Journal(store));
        assert_eq!(error.exit(), Exit::Precondition);
        let text = error.to_text();
        assert!(text.contains("works on /var/lib/npa already\n  fix:   stop it first"), "{text}");
    }

    #[test]
    fn a_command_may_give_a_nodes_answer_another_next_step() {
        let error = node_error(Code::NotFound).with_fix(Code::NotFound, "liaison acts list");
        let text = error.to_text();
        assert_eq!(error.exit(), Exit::NotFound);
        assert!(text.starts_with(
            "error[not-found]: cannot read the record\n  cause: the node answered: because"
        ));
        assert!(text.contains("fix:   liaison acts list"), "{text}");
        let other = node_error(Code::Internal).with_fix(Code::NotFound, "liaison acts list");
        assert_eq!(other.fix(), None);
    }

    #[test]
    fn a_stop_that_the_user_wanted_is_not_shown_as_an_error() {
        let fix = "liaison watch --from 7".to_owned();
        let stopped = CliError::Interrupted { kept: "all is shown".to_owned(), fix };
        assert_eq!(stopped.to_text(), "stopped; all is shown\n  go on: liaison watch --from 7");
        assert_eq!(stopped.exit().code(), 130);
    }

    #[test]
    fn a_missing_file_is_not_found_and_an_interruption_is_130() {
        let missing = CliError::file("read", Path::new("x"))(std::io::ErrorKind::NotFound.into());
        assert_eq!(missing.exit(), Exit::NotFound);
        let interrupted = CliError::Interrupted { kept: String::new(), fix: String::new() };
        assert_eq!(interrupted.exit().code(), 130);
    }
}
