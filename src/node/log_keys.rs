//! The log keys of a node, compared with those in its newest card.

use super::error::NodeError;
use super::key_succession::error::SuccessionError;
use crate::journal::state::State;
use crate::partner::{Card, NodeKeys};

/// Refuses to sign with keys that are not those of the newest card: they may be of a generation
/// before.
pub(super) fn check(keys: &NodeKeys, state: &State) -> Result<(), NodeError> {
    let Some(card) = &state.card else { return Ok(()) };
    if keys.of_logs().map(|key| *key.public()) == log_keys(card.card()) {
        return Ok(());
    }
    Err(SuccessionError::OtherLogKeys.into())
}

pub(super) const fn log_keys(card: &Card) -> [crate::partner::PublicKey; 3] {
    [card.journal_key, card.witness_key, card.receipt_key]
}
