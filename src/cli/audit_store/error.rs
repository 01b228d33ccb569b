//! The errors that keep an audit from being done.

use crate::audit::{CardFault, NotACheckpoint, NumberForm};
use std::io;
use std::path::{Path, PathBuf};

/// The reason why an audit could not be done. A failed verification is not such an error; see
/// [`crate::audit::Report`].
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot read the card {}", path.display())]
    CardFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Number(#[from] NumberForm),
    #[error("{} is {kind}, not a card", path.display())]
    Card { path: PathBuf, kind: String, source: CardFault },
    #[error("{} is {kind}, not a checkpoint", path.display())]
    Checkpoint { path: PathBuf, kind: String, source: NotACheckpoint },
    #[error("the lines of {} end with CR LF, and no checkpoint was written so", .0.display())]
    LineEnds(PathBuf),
    #[error("{} is a part of a journal; `liaison audit verify` checks parts", .0.display())]
    Part(PathBuf),
}

pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Read { path, source }
}
