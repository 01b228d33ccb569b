//! The state of a watch: the last checkpoint that held, and the right edge of its tree, from which
//! the next one is judged. It is kept in a file from one look to the next.

use crate::audit::Folder as _;
use crate::cli::audit_store::exported::Directory;
use crate::cli::error::CliError;
use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{Frontier, NOTE_BYTES_MAX};
use bytes::Bytes;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A state has a checkpoint, a head and at most 63 hashes.
const STATE_BYTES_MAX: u64 = 2 * NOTE_BYTES_MAX as u64 + (16 << 10);

/// A tree and the checkpoint that signs its head; both empty before the first look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) tree: Frontier,
    /// The signed note, to be shown beside one that contradicts it. States of earlier versions have
    /// none.
    pub(super) note: Bytes,
}

impl Seen {
    pub(super) fn load(path: &Path) -> Result<Self, CliError> {
        let other = |reason: String| {
            CliError::usage(
                format!("{} is not the state of a watch: {reason}", path.display()),
                "name another file with --state",
            )
        };
        let folder = Directory::new(PathBuf::new());
        let text = folder.read(&path.to_string_lossy(), STATE_BYTES_MAX);
        let Some(text) = text.map_err(CliError::file("read", path))? else {
            return Ok(Self::default());
        };
        let state: Value =
            serde_json::from_slice(&text).map_err(|error| other(error.to_string()))?;
        let size = state["size"].as_str().and_then(|size| size.parse().ok());
        let hashes = state["edge"].as_array().and_then(|edge| {
            let hashes = edge.iter().map(|hash| hash.as_str()?.parse::<TreeHash>().ok());
            hashes.collect::<Option<Vec<_>>>()
        });
        let (Some(size), Some(hashes)) = (size, hashes) else {
            return Err(other("it has no size and edge".to_owned()));
        };
        let tree = Frontier::from_hashes(TreeSize::new(size), hashes);
        let tree = tree.map_err(|error| other(error.to_string()))?;
        let note = state["checkpoint"].as_str().unwrap_or_default().to_owned().into();
        Ok(Self { tree, note })
    }

    /// Keeps it: a cut in between leaves the one of before.
    pub(super) fn keep(&self, path: &Path) -> Result<(), CliError> {
        let edge: Vec<String> = self.tree.to_hashes().iter().map(ToString::to_string).collect();
        let state = json!({
            "size": self.tree.size().to_string(),
            "edge": edge,
            "checkpoint": String::from_utf8_lossy(&self.note),
        });
        let new = beside(path, "new");
        std::fs::write(&new, format!("{state:#}\n")).map_err(CliError::file("write", &new))?;
        std::fs::rename(&new, path).map_err(CliError::file("replace", path))
    }
}

/// Keeps a signed checkpoint that contradicts the one in the state at `path`: evidence. The first one
/// stays.
pub(super) fn keep_refused(path: &Path, note: &[u8]) -> io::Result<PathBuf> {
    let refused = beside(path, "refused");
    match File::create_new(&refused) {
        Ok(mut file) => file.write_all(note).and_then(|()| file.sync_all()).map(|()| refused),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(refused),
        Err(error) => Err(error),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::Exit;
    use crate::merkle::leaf_hash;

    #[test]
    fn what_was_kept_is_what_was_seen_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("npa.state");
        assert_eq!(Seen::load(&path).unwrap(), Seen::default());
        let tree: Frontier = (0..7_u8).map(|n| leaf_hash(&[n])).collect();
        let seen = Seen { tree, note: "a/journal\n7\n\n— a/journal x\n".into() };
        seen.keep(&path).unwrap();
        assert_eq!(Seen::load(&path).unwrap(), seen);
        for other in ["{}", "[", r#"{"size": "7", "edge": []}"#] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(Seen::load(&path).unwrap_err().exit(), Exit::Usage, "{other}");
        }
    }

    #[test]
    fn the_first_checkpoint_that_was_refused_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("npa.state");
        for note in [b"one", b"two"] {
            let refused = keep_refused(&path, note).unwrap();
            assert_eq!(std::fs::read(&refused).unwrap(), b"one");
            assert_eq!(refused, dir.path().join("npa.state.refused"));
        }
    }
}
