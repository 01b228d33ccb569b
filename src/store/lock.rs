//! One process a directory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::StoreError;

/// Mode of the files of a store: they hold what was shared in confidence.
pub(super) const FILE_MODE: u32 = 0o600;

/// Held while the store is open. flock(2) and not fcntl(2), whose locks vanish when any
/// descriptor of the file is closed. The operating system releases it with the process.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Refuses at once while another process holds the lock. The directory must be there.
    pub fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("LOCK");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(StoreError::Locked { path }),
            Err(errno) => Err(StoreError::io("lock", &path)(errno.into())),
        }
    }
}
