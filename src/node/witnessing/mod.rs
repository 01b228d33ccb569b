//! Cosignatures: for logs of others, by partners, and by witnesses that are no partners.

mod cosigning;
pub(super) mod error;
mod external_witness;
pub(super) mod witness;
