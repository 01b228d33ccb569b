//! The faults of disk and index, and their severity.

use std::io;
use std::path::{Path, PathBuf};

use super::frame::{FRAME_PAYLOAD_BYTES_MAX, FrameKind};
use super::position::Position;
use super::system_fault::SystemFault;

/// An error of the store; [`StoreError::is_fatal`] decides whether the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("segment {segment} is corrupt at offset {offset}: {found}")]
    Corrupt { segment: u32, offset: u64, found: String },
    #[error("expected segment {expected} in {}, found segment {found}", dir.display())]
    MissingSegment { dir: PathBuf, expected: u32, found: u32 },
    #[error(
        "{} holds no segment files, so this node has no journal: bring back the newest copy of its directory; a journal begins with `liaison init` and not again",
        dir.display()
    )]
    NoSegments { dir: PathBuf },
    #[error("{} holds a log already", dir.display())]
    Begun { dir: PathBuf },
    #[error("a {kind:?} frame holds at most {FRAME_PAYLOAD_BYTES_MAX} bytes, found {found}")]
    FrameTooLarge { kind: FrameKind, found: usize },
    #[error("a batch holds at most {max} bytes, found {found}")]
    BatchTooLarge { found: usize, max: usize },
    #[error("{position} is not before the committed end, {end}")]
    NotCommitted { position: Position, end: Position },
    #[error("only content frames can be overwritten, found {found:?} at {position}")]
    NotContent { position: Position, found: FrameKind },
    #[error("content at {position} has {expected} bytes, the overwriting payload has {found}")]
    OverwriteLength { position: Position, expected: usize, found: usize },
    #[error("an earlier write failed, so nothing more is written until the store is opened again")]
    Poisoned,
    #[error("{} holds {len} leaves, wanted {start} to {end}", path.display())]
    LeafRange { path: PathBuf, len: u64, start: u64, end: u64 },
    #[error("the {engine} index engine failed")]
    Engine { engine: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the index stopped after an error: {0}")]
    IndexFailed(IndexFault),
}

/// The reason why the index stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFault {
    pub reason: String,
    /// The error of the operating system behind it.
    pub system: Option<SystemFault>,
}

impl std::fmt::Display for IndexFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<&str> for IndexFault {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), system: None }
    }
}

impl From<&StoreError> for IndexFault {
    fn from(error: &StoreError) -> Self {
        Self { reason: describe(error), system: SystemFault::find(error) }
    }
}

impl StoreError {
    /// Returns true if the data on disk is now uncertain or known to be damaged. Then the process
    /// must stop and let start-up repair or an operator look. The other errors are the caller's
    /// mistakes.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::Locked { .. }
            | Self::Corrupt { .. }
            | Self::MissingSegment { .. }
            | Self::NoSegments { .. }
            | Self::Begun { .. }
            | Self::Poisoned
            | Self::Engine { .. }
            | Self::IndexFailed(_) => true,
            Self::FrameTooLarge { .. }
            | Self::BatchTooLarge { .. }
            | Self::NotCommitted { .. }
            | Self::NotContent { .. }
            | Self::OverwriteLength { .. }
            | Self::LeafRange { .. } => false,
        }
    }

    /// For `map_err`: names the action and its path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn engine(
        engine: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Engine { engine, source: source.into() }
    }
}

/// An error with its sources in one line, for those who get only the text.
pub fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}
