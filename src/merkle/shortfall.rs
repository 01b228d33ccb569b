//! The entries by which a log is shorter than something that was made from it.

/// Entries that a log lost: whatever is written after its entries became durable holds more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    pub recorded: u64,
    pub left: u64,
}

impl Shortfall {
    /// Compares how many entries were recorded with how many are left. A log that lost entries must
    /// not sign again: it would give another root to a size that it signed before.
    pub const fn of(recorded: u64, left: u64) -> Option<Self> {
        if recorded > left { Some(Self { recorded, left }) } else { None }
    }
}
