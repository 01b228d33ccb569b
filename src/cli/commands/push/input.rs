//! The file that is pushed, opened once: its identity for going on later, and its text as UTF-8.
//!
//! A pipe can be read once only, so nothing here opens or reads a file a second time.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::utf16::{ByteOrder, Utf16};
use crate::cli::schema::hex;

/// Bytes at the beginning of the file that identify it, besides its size and time.
const PREFIX_BYTES: u64 = 64 * 1024;

/// The identity of a file on disk, as far as a later push can compare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileIdentity {
    pub(super) bytes: u64,
    modified_ms: u64,
    prefix_sha256: String,
}

/// An opened input whose first bytes are read already.
pub(super) struct Input {
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
    /// `None` for standard input, a pipe or a device: it cannot be read again.
    pub(super) identity: Option<FileIdentity>,
}

/// The reader of an input as UTF-8.
pub(super) type Text = Box<dyn Read + Send>;

impl Input {
    /// Opens a file, or standard input for `-`, and reads its first bytes.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if is_stdin(path) {
            return Self::read(Box::new(io::stdin()), |_| Ok(None));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Self::read(Box::new(file), |head| {
            if !metadata.is_file() {
                return Ok(None);
            }
            let since_1970 = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            Ok(Some(FileIdentity {
                bytes: metadata.len(),
                modified_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
                prefix_sha256: hex(&Sha256::digest(head)),
            }))
        })
    }

    fn read(
        mut rest: Box<dyn Read + Send>,
        identify: impl FnOnce(&[u8]) -> io::Result<Option<FileIdentity>>,
    ) -> io::Result<Self> {
        let mut head = Vec::new();
        (&mut rest).take(PREFIX_BYTES).read_to_end(&mut head)?;
        let identity = identify(&head)?;
        Ok(Self { head, rest, identity })
    }

    /// Reads UTF-16 with a byte order mark as UTF-8 and drops the mark; other bytes pass as they are,
    /// and a cell that is not UTF-8 is refused with its row.
    pub(super) fn into_text(self) -> Text {
        let (mark_bytes, order) = match self.head[..] {
            [0xFF, 0xFE, ..] => (2, Some(ByteOrder::Little)),
            [0xFE, 0xFF, ..] => (2, Some(ByteOrder::Big)),
            [0xEF, 0xBB, 0xBF, ..] => (3, None),
            _ => (0, None),
        };
        let mut head = Cursor::new(self.head);
        head.set_position(mark_bytes);
        let bytes = head.chain(self.rest);
        match order {
            Some(order) => Box::new(Utf16::new(bytes, order)),
            None => Box::new(bytes),
        }
    }
}

pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The path of a file that is written beside the input: in the current directory for standard input
/// and for devices such as `/dev/fd/63`, whose directory takes no files.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let base = if is_stdin(path) || path.starts_with("/dev") || path.starts_with("/proc") {
        Path::new("stdin")
    } else {
        path
    };
    let mut name = base.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Receipts of inputs without a name that are kept in one directory.
const NAMELESS_RECEIPTS_MAX: u32 = 10_000;

/// The path of the receipt. Pushes from standard input share no file: an earlier receipt stays, as nobody
/// could write it again.
pub(super) fn receipt_beside(path: &Path) -> PathBuf {
    receipt_name(path, Path::exists)
}

fn receipt_name(path: &Path, exists: impl Fn(&Path) -> bool) -> PathBuf {
    let first = beside(path, "receipt.json");
    if first != Path::new("stdin.receipt.json") || !exists(&first) {
        return first;
    }
    let mut later = (2..NAMELESS_RECEIPTS_MAX)
        .map(|number| PathBuf::from(format!("stdin.{number}.receipt.json")));
    later.find(|path| !exists(path)).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.csv");
        std::fs::write(&path, bytes).unwrap();
        let mut text = String::new();
        Input::open(&path).unwrap().into_text().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn utf_16_with_a_byte_order_mark_is_read_as_utf_8() {
        let utf16 = |mark: u16, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            std::iter::once(mark)
                .chain("value\nä.example\n".encode_utf16())
                .flat_map(bytes)
                .collect()
        };
        assert_eq!(text_of(&utf16(0xFEFF, u16::to_le_bytes)), "value\nä.example\n");
        assert_eq!(text_of(&utf16(0xFEFF, u16::to_be_bytes)), "value\nä.example\n");
        assert_eq!(text_of(b"\xef\xbb\xbfvalue\n"), "value\n");
    }

    #[test]
    fn the_receipt_of_an_earlier_push_from_standard_input_stays() {
        let named = |path: &str, exists: &[&str]| {
            let exists = |path: &Path| exists.iter().any(|known| path == Path::new(known));
            receipt_name(Path::new(path), exists)
        };
        let (one, two) = ("stdin.receipt.json", "stdin.2.receipt.json");
        assert_eq!(named("-", &[]), Path::new(one));
        assert_eq!(named("-", &[one]), Path::new(two));
        assert_eq!(named("/dev/fd/63", &[one, two]), Path::new("stdin.3.receipt.json"));
        // A file's receipt is about the file, and the newest stands for it.
        assert_eq!(named("a/f.csv", &["a/f.csv.receipt.json"]), Path::new("a/f.csv.receipt.json"));
    }

    #[test]
    fn a_pipe_is_read_from_its_first_byte_and_has_no_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let rows = "a.example\n".repeat(20_000);
        let (writer, wanted) = (path.clone(), rows.clone());
        let writes = std::thread::spawn(move || std::fs::write(writer, rows).unwrap());
        let input = Input::open(&path).unwrap();
        assert_eq!(input.identity, None);
        let mut text = String::new();
        input.into_text().read_to_string(&mut text).unwrap();
        writes.join().unwrap();
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_report_of_a_device_is_written_in_the_current_directory() {
        assert_eq!(
            beside(Path::new("/dev/fd/63"), "receipt.json"),
            Path::new("stdin.receipt.json")
        );
        assert_eq!(beside(Path::new("a/f.csv"), "state"), Path::new("a/f.csv.state"));
    }
}
