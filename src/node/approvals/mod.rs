//! Acts that take two persons: proposed, shown, decided.

mod acts;
pub(super) mod proposal;
