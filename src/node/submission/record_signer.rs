//! The key by which this agency signs its records.

use super::error::SubmissionError;
use super::plan::Randomness;
use crate::ident::{KeyId, Timestamp};
use crate::journal::JournalError;
use crate::journal::state::State;
use crate::node::error::NodeError;
use crate::record::draft::{self, Sealed};
use crate::record::signed::{KEY_END_MARGIN_MS, Verified};
use ed25519_dalek::SigningKey;

/// Signs in the agency's name.
#[derive(Clone)]
pub(in crate::node) struct RecordSigner {
    key: SigningKey,
    key_id: KeyId,
}

impl RecordSigner {
    /// `index` names the place in the journal, should the machine sign wrongly.
    pub(in crate::node) fn sign(
        &self,
        sealed: Vec<Sealed>,
        index: u64,
        random: &mut Randomness,
    ) -> Result<Vec<Verified>, JournalError> {
        draft::sign(sealed, &self.key, self.key_id, || random.next())
            .map_err(|error| JournalError::Entry { index, reason: error.to_string() })
    }
}

impl RecordSigner {
    /// Refuses to sign outside the time for which the agency's card names the key.
    pub(in crate::node) fn check(&self, state: &State, now: Timestamp) -> Result<(), NodeError> {
        let card = state.card.as_ref().map(|card| card.card());
        let keys = card.map_or(&[][..], |card| &card.record_keys[..]);
        let Some(key) = keys.iter().find(|key| key.key.id() == self.key_id) else {
            return Err(SubmissionError::RecordKey { key: self.key_id }.into());
        };
        if key.from <= now && now < key.until.plus_ms(-KEY_END_MARGIN_MS) {
            return Ok(());
        }
        let (from, until) = (key.from, key.until);
        Err(SubmissionError::RecordKeyTime { now, key: self.key_id, from, until }.into())
    }

    pub(in crate::node) const fn of(key: SigningKey, key_id: KeyId) -> Self {
        Self { key, key_id }
    }

    pub(in crate::node) const fn parts(&self) -> (&SigningKey, KeyId) {
        (&self.key, self.key_id)
    }
}
