//! The two things the segment writer asks of a disk, so that tests can make them fail.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Writes and makes durable. Reads don't go through it.
pub trait Disk: fmt::Debug + Send + Sync {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns only when what was written, and the file's length, survive a power cut.
    fn sync_data(&self, file: &File) -> io::Result<()>;
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
