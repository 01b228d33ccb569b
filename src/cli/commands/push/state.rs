//! The progress of a push, kept beside the file so that the same command goes on.
//!
//! Written by replacing the file as a whole, and only about rows that the node has made durable.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::heard::ReceiptGiver;
use super::input::FileIdentity;
use super::rejects::Settled;
use crate::cli::error::CliError;
use crate::cli::schema::hex;

/// Often enough to lose little work, seldom enough to cost nothing.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// The file that is pushed, the node that takes it, and the options that it is pushed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    file: FileIdentity,
    /// Over everything that shapes the drafts.
    options_sha256: String,
    /// Over agency and receipt key: what one node has, another has not.
    node_sha256: String,
}

impl Subject {
    pub(super) fn new(file: FileIdentity, options: &str, node: &ReceiptGiver) -> Self {
        let node_sha256 = hex(&Sha256::digest(format!("{node:?}")));
        Self { file, options_sha256: hex(&Sha256::digest(options.as_bytes())), node_sha256 }
    }
}

/// Rows by what came of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) created: u64,
    pub(super) revised: u64,
    pub(super) unchanged: u64,
    pub(super) rejected: u64,
}

impl Counts {
    pub(super) const fn rows(&self) -> u64 {
        self.created + self.revised + self.unchanged + self.rejected
    }
}

/// The progress of the push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) counts: Counts,
    /// Rejected rows whose thing was withdrawn before.
    pub(super) withdrawn: u64,
    /// The part of the report of rejected rows that belongs to these rows.
    pub(super) report: Settled,
    /// One for each stream that was closed in order.
    pub(super) receipts: Vec<PartReceipt>,
}

/// The node's receipt over some of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartReceipt {
    /// Rows before the first of this part.
    pub(super) after_row: u64,
    /// The last row of this part.
    pub(super) through_row: u64,
    pub(super) receipt: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    schema: String,
    subject: Subject,
    position: Position,
}

/// The state file of one push.
pub(super) struct StateFile {
    path: PathBuf,
    subject: Subject,
    written: Option<Instant>,
}

impl StateFile {
    /// Reads how far an earlier run came; the beginning, if there was none or `restart` is asked.
    ///
    /// # Errors
    /// A state that belongs to a file with other bytes, to another node or to a command with other
    /// options.
    pub(super) fn open(
        path: PathBuf,
        subject: Subject,
        restart: bool,
    ) -> Result<(Self, Position), CliError> {
        let position = if restart { Position::default() } else { load(&path, &subject)? };
        Ok((Self { path, subject, written: None }, position))
    }

    /// Writes if the last time is long enough ago.
    pub(super) fn note(&mut self, position: &Position) -> Result<(), CliError> {
        match self.written {
            Some(at) if at.elapsed() < WRITE_EVERY => Ok(()),
            _ => self.write(position),
        }
    }

    /// Writes now: beside the file, then in its place.
    pub(super) fn write(&mut self, position: &Position) -> Result<(), CliError> {
        let saved = Saved {
            schema: crate::cli::output::SCHEMA.to_owned(),
            subject: self.subject.clone(),
            position: position.clone(),
        };
        replace(&self.path, &saved).map_err(CliError::file("write", &self.path))?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// The push is complete: there is nothing to go on with.
    pub(super) fn remove(&self) -> Result<(), CliError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CliError::file("remove", &self.path)(error))
            }
            _ => Ok(()),
        }
    }
}

fn load(path: &Path, subject: &Subject) -> Result<Position, CliError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Position::default()),
        Err(error) => return Err(CliError::file("read", path)(error)),
    };
    let stale = |found: &str| CliError::Precondition {
        found: format!("{} {found}", path.display()),
        fix: "add --restart to begin again; rows that the node has already are found unchanged"
            .into(),
    };
    let saved: Saved =
        serde_json::from_slice(&text).map_err(|_| stale("is not a state of this tool"))?;
    if saved.subject.node_sha256 != subject.node_sha256 {
        return Err(stale("belongs to a push to another node"));
    }
    if saved.subject.options_sha256 != subject.options_sha256 {
        return Err(stale("belongs to a push with other options"));
    }
    if saved.subject != *subject {
        return Err(stale("belongs to the file as it was before it was changed"));
    }
    Ok(saved.position)
}

/// Writes a JSON document so that a reader sees the old one or the new one, never a part.
pub(super) fn replace<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.sync_data()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(path: &Path, options: &str) -> Subject {
        subject_at("a.example", path, options)
    }

    fn subject_at(agency: &str, path: &Path, options: &str) -> Subject {
        let identity =
            crate::cli::commands::push::input::Input::open(path).unwrap().identity.unwrap();
        let giver = ReceiptGiver {
            agency: agency.parse().unwrap(),
            ..crate::cli::commands::push::tests::giver()
        };
        Subject::new(identity, options, &giver)
    }

    fn position() -> Position {
        Position {
            counts: Counts { created: 512, rejected: 3, ..Counts::default() },
            withdrawn: 1,
            report: Settled { bytes: 99, ..Settled::default() },
            receipts: Vec::new(),
        }
    }

    #[test]
    fn the_same_command_on_the_same_file_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (file, state) = (dir.path().join("f.csv"), dir.path().join("f.csv.state"));
        std::fs::write(&file, "value\na\n").unwrap();
        let open = |options: &str, restart| {
            StateFile::open(state.clone(), subject(&file, options), restart)
        };
        let (mut opened, found) = open("x", false).unwrap();
        assert_eq!(found, Position::default());
        opened.write(&position()).unwrap();

        assert_eq!(open("x", false).unwrap().1, position());
        assert_eq!(open("x", true).unwrap().1, Position::default());
        assert_eq!(open("y", false).err().unwrap().exit().code(), 9);
        std::fs::write(&file, "value\na\nb\n").unwrap();
        assert_eq!(open("x", false).err().unwrap().exit().code(), 9);
        opened.remove().unwrap();
        opened.remove().unwrap();
        assert_eq!(open("x", false).unwrap().1, Position::default());
    }

    #[test]
    fn a_push_to_another_node_does_not_go_on_with_the_state() {
        let dir = tempfile::tempdir().unwrap();
        let (file, state) = (dir.path().join("f.csv"), dir.path().join("f.csv.state"));
        std::fs::write(&file, "value\na\n").unwrap();
        let open = |agency, restart| {
            StateFile::open(state.clone(), subject_at(agency, &file, ""), restart)
        };
        open("a.example", false).unwrap().0.write(&position()).unwrap();
        let error = open("b.example", false).err().unwrap();
        assert_eq!(error.exit().code(), 9);
        assert!(error.to_string().ends_with("belongs to a push to another node"), "{error}");
        assert_eq!(open("b.example", true).unwrap().1, Position::default());
        assert_eq!(open("a.example", false).unwrap().1, position());
    }

    #[test]
    fn a_damaged_state_is_refused_and_not_taken_for_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let (file, state) = (dir.path().join("f.csv"), dir.path().join("f.csv.state"));
        std::fs::write(&file, "value\n").unwrap();
        std::fs::write(&state, "{").unwrap();
        let opened = StateFile::open(state, subject(&file, ""), false);
        assert_eq!(opened.err().unwrap().exit().code(), 9);
    }
}
