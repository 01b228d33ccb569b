//! Numbers that stand for a partner and for a feed within this node's store.
//!
//! They are never sent: another node numbers its partners in an order of its own.

use super::Generation;

/// The number of a partner in this node's store, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartnerNumber(u16);

impl PartnerNumber {
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The number of a feed in this node's store. The feeds of another generation have other numbers, so
/// that nothing of one is ever found in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedNumber(u16);

impl FeedNumber {
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Returns the number of the feed to or from a partner; the generation is that of the log's
    /// owner.
    pub const fn of(partner: PartnerNumber, generation: Generation) -> Self {
        Self(generation.feed_number(partner.0))
    }

    /// Returns the partner that the feed goes to or comes from.
    pub const fn partner(self) -> PartnerNumber {
        PartnerNumber(Generation::partner_of(self.0))
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}
