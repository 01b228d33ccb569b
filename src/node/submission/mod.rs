//! Records of this agency's clients: planned, signed, accepted.

pub(super) mod error;
mod live_series;
pub(super) mod plan;
pub mod receipt;
pub(super) mod record_signer;
mod reinstatement;
pub(super) mod submit;
