//! Numbers that stand for a partner and for a feed within this node's store, and how many there are.

use crate::ident::FEEDS_MAX;
pub use crate::ident::{FeedNumber, PartnerNumber};

/// Partners of one node at the most; their numbers have 16 bits and each costs a feed.
pub const PARTNERS_MAX: usize = FEEDS_MAX as usize;
