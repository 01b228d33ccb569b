//! Files that only their owner may read: private keys, secrets, client profiles.
//!
//! Whole or not at all: a file appears under its name only when its bytes are on the disk. This must
//! never widen a permission, follow a half-written file, or put what it read into an error.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest secret file in bytes. A client profile with its certificates has about 4 KiB.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
const OTHERS: u32 = 0o077;

/// The reason why a secret file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} has mode {mode:04o}, so others may reach it; run: chmod {wanted:04o} {}",
        path.display(), path.display()
    )]
    TooOpen { path: PathBuf, mode: u32, wanted: u32 },
    #[error("{} exists already and is not replaced", path.display())]
    Exists { path: PathBuf },
    #[error("{} is longer than {SECRET_FILE_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
}

impl SecretFileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Returns true if the file does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Makes `dir` and its parents where they are missing, new ones with mode 0700, and refuses one that
/// others may enter.
pub fn private_dir(dir: &Path) -> Result<(), SecretFileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(dir)
        .map_err(SecretFileError::io("make directory", dir))?;
    let found = std::fs::metadata(dir).map_err(SecretFileError::io("look at", dir))?;
    refuse_if_open(dir, found.permissions().mode(), DIR_MODE)
}

/// Reads the text of a file that only its owner may reach. The buffer is wiped when dropped.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let file = File::open(path).map_err(SecretFileError::io("open", path))?;
    // The opened file is asked, not the path, so that it cannot be swapped in between.
    let found = file.metadata().map_err(SecretFileError::io("look at", path))?;
    refuse_if_open(path, found.permissions().mode(), FILE_MODE)?;
    if found.len() > SECRET_FILE_BYTES_MAX {
        return Err(SecretFileError::TooLong { path: path.to_owned() });
    }
    // Reserved up front: a growing buffer would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(found.len() as usize + 1));
    file.take(SECRET_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(SecretFileError::io("read", path))?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| SecretFileError::NotText { path: path.to_owned() })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Writes a new file with mode 0600, durable when this returns. One that is there already is refused
/// and left as it is.
pub fn create_secret(path: &Path, text: &str) -> Result<(), SecretFileError> {
    let staged = stage(path, text)?;
    // A hard link, unlike a rename, fails when the name is taken.
    let linked = std::fs::hard_link(&staged, path);
    std::fs::remove_file(&staged).map_err(SecretFileError::io("remove", &staged))?;
    match linked {
        Ok(()) => sync_parent(path),
        Err(found) if found.kind() == io::ErrorKind::AlreadyExists => {
            Err(SecretFileError::Exists { path: path.to_owned() })
        }
        Err(found) => Err(SecretFileError::io("create", path)(found)),
    }
}

/// Writes a file with mode 0600 in the place of the one that may be there, durable when this returns.
pub fn replace_secret(path: &Path, text: &str) -> Result<(), SecretFileError> {
    let staged = stage(path, text)?;
    std::fs::rename(&staged, path).map_err(SecretFileError::io("replace", path))?;
    sync_parent(path)
}

fn stage(path: &Path, text: &str) -> Result<PathBuf, SecretFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let staged = path.with_file_name(name);
    // Left behind by a process of the same id that was killed here.
    match std::fs::remove_file(&staged) {
        Err(found) if found.kind() != io::ErrorKind::NotFound => {
            return Err(SecretFileError::io("remove", &staged)(found));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&staged)
        .map_err(SecretFileError::io("create", &staged))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(SecretFileError::io("write", &staged))?;
    Ok(staged)
}

fn sync_parent(path: &Path) -> Result<(), SecretFileError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(SecretFileError::io("sync directory", parent))
}

fn refuse_if_open(path: &Path, mode: u32, wanted: u32) -> Result<(), SecretFileError> {
    if mode & OTHERS == 0 {
        return Ok(());
    }
    Err(SecretFileError::TooOpen { path: path.to_owned(), mode: mode & 0o7777, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_secret_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("a/keys");
        private_dir(&keys).unwrap();
        let path = keys.join("x.pem");
        create_secret(&path, "secret").unwrap();
        assert_eq!((mode_of(&keys), mode_of(&path)), (0o700, 0o600));
        assert_eq!(read_secret(&path).unwrap().as_str(), "secret");
        assert_eq!(std::fs::read_dir(&keys).unwrap().count(), 1, "nothing staged is left");
    }

    #[test]
    fn a_secret_that_exists_is_never_overwritten_by_create() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        create_secret(&path, "one").unwrap();
        assert!(matches!(create_secret(&path, "two"), Err(SecretFileError::Exists { .. })));
        assert_eq!(read_secret(&path).unwrap().as_str(), "one");
        replace_secret(&path, "three").unwrap();
        assert_eq!(read_secret(&path).unwrap().as_str(), "three");
        assert_eq!(mode_of(&path), 0o600);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        create_secret(&path, "one").unwrap();
        for mode in [0o640, 0o604, 0o660, 0o610] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = read_secret(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
            assert!(error.contains("chmod 0600 "), "{error}");
        }
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        assert!(matches!(
            private_dir(dir.path()),
            Err(SecretFileError::TooOpen { mode: 0o755, wanted: 0o700, .. })
        ));
    }

    #[test]
    fn an_oversized_or_absent_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(read_secret(&path).unwrap_err().is_absent());
        create_secret(&path, &"x".repeat(SECRET_FILE_BYTES_MAX as usize + 1)).unwrap();
        assert!(matches!(read_secret(&path), Err(SecretFileError::TooLong { .. })));
    }
}
