//! The files of policy bundles in the node's directory, by the hash of the bundle.
//!
//! A bundle is durable here before the journal names its hash, and what was in force once stays:
//! an auditor decides everything anew with it. Nothing here judges what a policy says.

use super::error::PolicyError;
use crate::ident::BundleHash;
use crate::node::error::NodeError;
use crate::pb;
use crate::policy::is_examples;
use std::path::{Path, PathBuf};

/// Files of a bundle at the most.
pub(super) const POLICY_FILES_MAX: usize = 64;

/// The directory of the bundles that were proposed or put in force.
const BUNDLES: &str = "policies";

pub(super) fn bundle_dir(dir: &Path, hash: BundleHash) -> PathBuf {
    dir.join(BUNDLES).join(hash.to_string())
}

/// Returns true if a file of this name belongs to a bundle: a policy, or examples of one.
fn is_of_bundle(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    plain && !name.starts_with('.') && (name.ends_with(".cedar") || is_examples(name))
}

pub(super) fn check_names(files: &[pb::PolicyFile]) -> Result<(), PolicyError> {
    if files.len() > POLICY_FILES_MAX {
        let (found, max) = (files.len(), POLICY_FILES_MAX);
        return Err(PolicyError::TooManyFiles { found, max });
    }
    match files.iter().find(|file| !is_of_bundle(&file.name)) {
        None => Ok(()),
        Some(file) => Err(PolicyError::FileName { name: file.name.clone() }),
    }
}

/// The bundles that are kept, ascending.
pub(super) fn kept_bundles(dir: &Path) -> Result<Vec<BundleHash>, NodeError> {
    let dir = dir.join(BUNDLES);
    let failed = |error: std::io::Error| NodeError::start(&dir.display().to_string(), error);
    let mut found = Vec::new();
    match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        entries => {
            for entry in entries.map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                found.extend(name.to_str().and_then(|name| name.parse::<BundleHash>().ok()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The files of a bundle that is kept, by name.
pub(super) fn read_files(dir: &Path, hash: BundleHash) -> Result<Vec<pb::PolicyFile>, NodeError> {
    let dir = bundle_dir(dir, hash);
    let failed = |error: std::io::Error| NodeError::start(&dir.display().to_string(), error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_of_bundle(&name) {
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            files.push(pb::PolicyFile { name, text });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Keeps the files of a bundle durably.
pub(super) fn write_files(
    dir: &Path,
    hash: BundleHash,
    files: &[pb::PolicyFile],
) -> Result<(), NodeError> {
    let dir = bundle_dir(dir, hash);
    let failed = |error: std::io::Error| NodeError::start(&dir.display().to_string(), error);
    std::fs::create_dir_all(&dir).map_err(failed)?;
    for file in files {
        write_durably(&dir.join(&file.name), file.text.as_bytes()).map_err(failed)?;
    }
    sync_dirs(&dir).map_err(failed)
}

/// Writes a file whole; a directory above it is made durable by [`sync_dirs`].
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes durable what a directory lists, up to the node's own.
pub(super) fn sync_dirs(dir: &Path) -> std::io::Result<()> {
    dir.ancestors().take(3).try_for_each(crate::store::sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_directory_is_made_durable_up_to_the_working_directory() {
        sync_dirs(Path::new("src/node")).unwrap();
        sync_dirs(Path::new("src")).unwrap();
    }

    #[test]
    fn a_bundle_has_policies_and_their_examples_and_nothing_else() {
        for name in ["10-agency.cedar", "a.test.toml"] {
            assert!(is_of_bundle(name), "{name}");
        }
        for name in ["a.toml", "a.txt", ".a.cedar", "../a.cedar", "a b.cedar", "é.cedar", ""] {
            assert!(!is_of_bundle(name), "{name}");
        }
    }

    #[test]
    fn what_was_kept_is_read_back_and_strange_files_beside_it_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let hash = BundleHash::from_bytes([7; 32]);
        let file = |name: &str, text: &str| pb::PolicyFile { name: name.into(), text: text.into() };
        let files = vec![file("10.cedar", "// a"), file("10.test.toml", "")];
        write_files(dir.path(), hash, &files).unwrap();
        write_files(dir.path(), hash, &files).unwrap();
        std::fs::write(bundle_dir(dir.path(), hash).join("notes.txt"), "x").unwrap();
        assert_eq!(read_files(dir.path(), hash).unwrap(), files);
        assert_eq!(kept_bundles(dir.path()).unwrap(), [hash]);
        assert_eq!(kept_bundles(&dir.path().join("nowhere")).unwrap(), []);
    }
}
