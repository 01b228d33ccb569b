//! The point at which disclosures to a partner pause because its receipts lag.
//!
//! A feed that runs far ahead of its receipts shows that records were disclosed which the partner
//! may never have seen; what nobody confirmed must stay little. Entries alone are counted: a partner
//! that is not connected for days has received nothing that it could confirm.

/// Entries without a receipt at the most: a quarter of an hour of a slow partner, and little enough
/// to send again.
pub const LAG_ENTRIES_MAX: u64 = 100_000;

/// Entries of a feed that were published and not receipted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    pub entries: u64,
}

/// The reason why disclosures pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} entries of the feed have no receipt; above {LAG_ENTRIES_MAX} nothing new is disclosed"
)]
pub struct Lagging(u64);

impl Lag {
    /// Compares the size of a feed with that of the newest receipt.
    pub const fn of(published: u64, receipted: u64) -> Self {
        Self { entries: published.saturating_sub(receipted) }
    }

    /// Lets further records be disclosed, or refuses with the reason.
    pub const fn check(self) -> Result<(), Lagging> {
        if self.entries > LAG_ENTRIES_MAX { Err(Lagging(self.entries)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disclosures_pause_beyond_the_maximum_only() {
        assert_eq!(Lag::default().check(), Ok(()));
        assert_eq!(Lag::of(LAG_ENTRIES_MAX + 5, 5).check(), Ok(()));
        assert_eq!(Lag::of(LAG_ENTRIES_MAX + 6, 5).check(), Err(Lagging(100_001)));
        assert_eq!(Lag::of(5, 6).check(), Ok(()));
    }
}
