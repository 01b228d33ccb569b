//! The system's figures on a process and a directory: memory and bytes on disk.

use crate::cli::commands::demo::nodes::RunningNode;
use std::path::Path;

/// The memory of a node's process in bytes; zeros where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    pub(super) peak: u64,
}

impl Memory {
    pub(super) fn of(node: &RunningNode) -> Self {
        node.process_status().map_or_else(Self::default, |status| Self::read(&status))
    }

    fn read(status: &str) -> Self {
        Self { resident: bytes_after(status, "VmRSS:"), peak: crate::node::peak_memory_in(status) }
    }
}

/// A field of proc_pid_status(5), which counts in KiB.
fn bytes_after(status: &str, field: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// Bytes that the files below a directory take on the disk. Files that go away meanwhile are not
/// counted: an index moves its own.
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?, entry.path())))
        // stat(2) counts blocks of 512 bytes, whatever the file system's own are.
        .map(|(meta, path)| if meta.is_dir() { disk_bytes(&path) } else { meta.blocks() * 512 })
        .sum()
}

/// Bytes as MB of 10^6, the unit of the targets.
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_and_peak_memory_are_read_from_a_process_status() {
        let status = "Name:\tliaison\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(Memory::read(status), Memory { resident: 1 << 20, peak: 2 << 20 });
        assert_eq!(Memory::read("Name:\tliaison\n"), Memory::default());
    }

    #[test]
    fn files_in_directories_below_count_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("below/file"), vec![1; 100_000]).unwrap();
        assert!(disk_bytes(dir.path()) >= 100_000);
    }
}
