//! Limits that the writer shares with the jobs that it carries out.

/// A group closes when it has this many bytes: about 10,000 records, 20 ms of work.
pub(super) const GROUP_BYTES: usize = 8 << 20;
