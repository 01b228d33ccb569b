//! The two things the segment writer asks of a disk, so that tests can make them fail.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes and makes durable. Reads don't go through it.
pub trait Disk: fmt::Debug + Send + Sync {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns only when what was written, and the file's length, survive a power cut.
    fn sync_data(&self, file: &File) -> io::Result<()>;
}

/// Makes durable what a directory lists. The parent of a relative path with one part is the empty path,
/// which stands for the working directory.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// pwrite(2) and fdatasync(2).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Writes and never waits for the disk, for tests that cut no power.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub struct UnsyncedDisk;

#[cfg(test)]
impl Disk for UnsyncedDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that are written to see whether there is room: more than a receipt, or one batch of a few
/// records.
const PROBE_BYTES: usize = 64 << 10;

/// Checks that a file can be written at `path`, where there may be one already. Nothing is left.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut probe = path.as_os_str().to_owned();
    probe.push(".probe");
    let written = File::create(&probe).and_then(|file| {
        file.write_all_at(&[0; PROBE_BYTES], 0)?;
        file.sync_data()
    });
    match std::fs::remove_file(&probe) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => written.and(Err(error)),
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_takes_no_file_is_found_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.csv.receipt.json");
        check_writable(&path).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(check_writable(dir.path()).is_err());
        assert!(check_writable(&dir.path().join("nowhere/f.csv.receipt.json")).is_err());
        // Who runs this may be allowed everything; no user writes here.
        let nobody = check_writable(Path::new("/proc/f.csv.receipt.json"));
        assert!(nobody.is_err());
    }
}
