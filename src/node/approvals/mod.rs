//! Acts that take two persons: proposed, shown, decided.

pub(super) mod acts;
pub(super) mod error;
pub(super) mod proposal;
