//! Cosignatures: for logs of others, by partners, and by witnesses that are no partners.

mod cosigning;
mod outside;
pub(super) mod witness;
