//! When disclosures to a partner must pause because its receipts lag.
//!
//! A feed that runs far ahead of its receipts says that records were disclosed which the partner
//! may never have seen; what nobody confirmed must stay little.

use crate::ident::Timestamp;

/// Entries without a receipt at the most: a quarter of an hour of a slow partner, and little enough
/// to send again.
pub const LAG_ENTRIES_MAX: u64 = 100_000;

/// Age of the oldest entry that was sent and has no receipt, at the most: an hour.
pub const LAG_AGE_MS_MAX: i64 = 60 * 60 * 1000;

/// How far the receipts are behind the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Entries published and not receipted.
    pub entries: u64,
    /// When the oldest of them was sent; none when none is under way.
    pub oldest_sent: Option<Timestamp>,
}

/// Why disclosures pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lagging {
    #[error("{0} entries have no receipt, at most {LAG_ENTRIES_MAX} may")]
    Entries(u64),
    #[error("a batch is without a receipt since {since}, at most {LAG_AGE_MS_MAX} ms are allowed")]
    Age { since: Timestamp },
}

/// Whether further records may be disclosed to the partner now.
pub fn disclosures_may_go_on(lag: Lag, now: Timestamp) -> Result<(), Lagging> {
    if lag.entries > LAG_ENTRIES_MAX {
        return Err(Lagging::Entries(lag.entries));
    }
    match lag.oldest_sent {
        Some(since) if now.unix_ms() - since.unix_ms() > LAG_AGE_MS_MAX => {
            Err(Lagging::Age { since })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disclosures_pause_beyond_the_maxima_only() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let since = now.plus_ms(-LAG_AGE_MS_MAX);
        let at_most = Lag { entries: LAG_ENTRIES_MAX, oldest_sent: Some(since) };
        assert_eq!(disclosures_may_go_on(at_most, now), Ok(()));
        assert_eq!(disclosures_may_go_on(Lag::default(), now), Ok(()));
        let many = Lag { entries: LAG_ENTRIES_MAX + 1, oldest_sent: None };
        assert_eq!(disclosures_may_go_on(many, now), Err(Lagging::Entries(100_001)));
        assert_eq!(disclosures_may_go_on(at_most, now.plus_ms(1)), Err(Lagging::Age { since }));
    }
}
