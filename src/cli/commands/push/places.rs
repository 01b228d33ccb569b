//! The checks on the places where a push writes: it replaces what an earlier push wrote, and nothing
//! else.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::error::CliError;

/// The longest document that is read to see whether it is a receipt.
const RECEIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Keeps a second push of the same file away until the result is dropped.
pub(super) fn lock(file: &Path) -> Result<File, CliError> {
    let opened = File::open(file).map_err(CliError::file("read", file))?;
    match opened.try_lock() {
        Err(TryLockError::WouldBlock) => Err(CliError::Precondition {
            found: format!("another push of {} is running", file.display()),
            fix: "wait until it has ended".into(),
        }),
        // Some network file systems lock nothing that is only read; the push goes on without.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(opened),
    }
}

/// Checks that receipt and report can be written where they belong, and what they would replace.
pub(super) fn check(
    file: &Path,
    receipt: &Path,
    report: &Path,
    state: &Path,
) -> Result<(), CliError> {
    const OTHER_RECEIPT: &str = "name another place with --receipt";
    check_replaced(receipt, file, OTHER_RECEIPT)?;
    check_report(report, file)?;
    check_replaced(state, file, "move it away")?;
    if let Some(other) = [file, report, state].into_iter().find(|other| is_same(receipt, other)) {
        let found = format!("the receipt would take the place of {}", other.display());
        return Err(CliError::usage(found, OTHER_RECEIPT));
    }
    if !may_be_receipt(receipt).map_err(CliError::file("read", receipt))? {
        return Err(CliError::Precondition {
            found: format!("{} exists and is not the receipt of a push", receipt.display()),
            fix: format!("{OTHER_RECEIPT}, or move it away"),
        });
    }
    for path in [receipt, report] {
        crate::store::check_writable(path).map_err(CliError::file("write", path))?;
    }
    Ok(())
}

/// Checks what a report would replace.
pub(super) fn check_report(report: &Path, file: &Path) -> Result<(), CliError> {
    check_replaced(report, file, "move it away; the report of rejected rows is written there")
}

/// Refuses a link, a device and the like, and the input under another name.
fn check_replaced(path: &Path, file: &Path, fix: &str) -> Result<(), CliError> {
    // A place that cannot be looked at is found when it is written to.
    let Ok(there) = path.symlink_metadata() else { return Ok(()) };
    if !there.is_file() {
        let found = format!("{} is there and is not a regular file", path.display());
        return Err(CliError::usage(found, fix));
    }
    let is_input =
        file.metadata().is_ok_and(|input| (input.dev(), input.ino()) == (there.dev(), there.ino()));
    if is_input {
        let found = format!("{} is the file that is pushed", path.display());
        return Err(CliError::usage(found, fix));
    }
    Ok(())
}

fn is_same(path: &Path, other: &Path) -> bool {
    place(path).is_some_and(|path| place(other) == Some(path))
}

/// A path by its real directory; the file itself need not be there.
fn place(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize().ok()?;
    Some(parent.join(path.file_name()?))
}

/// Returns true if the path is free, or holds an empty file or the receipt of an earlier push.
fn may_be_receipt(path: &Path) -> std::io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(true);
        }
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(RECEIPT_BYTES_MAX).read_to_end(&mut text)?;
    let document: Option<Value> = serde_json::from_slice(&text).ok();
    Ok(text.is_empty() || document.is_some_and(|document| document["receipts"].is_array()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_replaces_an_earlier_receipt_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (file, report, state) =
            (path("f.csv"), path("f.csv.rejected.csv"), path("f.csv.state"));
        std::fs::write(&file, "value\n").unwrap();
        std::fs::write(path("notes.txt"), "mine").unwrap();
        std::fs::write(path("old.json"), "{\"receipts\":[]}").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        std::fs::hard_link(&file, path("same")).unwrap();
        std::os::unix::fs::symlink(path("notes.txt"), path("link")).unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        let code = |receipt: &Path| {
            check(&file, receipt, &report, &state).err().map(|error| error.exit().code())
        };
        for free in ["new.json", "old.json", "empty", "folder/new.json"] {
            assert_eq!(code(&path(free)), None, "{free}");
        }
        let taken = ["f.csv", "folder/../f.csv", "same", "link", "folder", "f.csv.rejected.csv"];
        for taken in taken {
            assert_eq!(code(&path(taken)), Some(2), "{taken}");
        }
        assert_eq!(code(Path::new("/dev/null")), Some(2));
        assert_eq!(code(&path("f.csv.state")), Some(2));
        assert_eq!(code(&path("notes.txt")), Some(9));
        assert_eq!(std::fs::read_to_string(path("notes.txt")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "value\n");
        std::os::unix::fs::symlink(path("notes.txt"), &report).unwrap();
        assert_eq!(code(&path("new.json")), Some(2));
    }

    #[test]
    fn a_file_is_pushed_once_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.csv");
        std::fs::write(&file, "value\n").unwrap();
        let first = lock(&file).unwrap();
        assert_eq!(lock(&file).unwrap_err().exit().code(), 9);
        drop(first);
        lock(&file).unwrap();
    }
}
