//! The record keys of all agencies this node knows: its own and its partners', from their cards.

use crate::ident::{AgencyName, KeyId, Timestamp};
use crate::journal::state::State;
use crate::partner::{RecordKey, RecordKeyStatus, VerifiedCard};
use crate::record::signed::KeyRing;
use ed25519_dalek::VerifyingKey;
use std::collections::HashMap;

/// Record keys by agency and key id.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<(AgencyName, KeyId), RecordKey>);

impl Keys {
    pub(super) fn of(state: &State) -> Self {
        let own = state.card.as_deref();
        let partners = state.partners.values().map(|partner| &*partner.card);
        Self(own.into_iter().chain(partners).flat_map(Self::of_card).collect())
    }

    fn of_card(card: &VerifiedCard) -> impl Iterator<Item = ((AgencyName, KeyId), RecordKey)> {
        let card = card.card();
        card.record_keys.iter().map(|key| ((card.agency.clone(), key.key.id()), *key))
    }
}

impl KeyRing for Keys {
    fn record_key(
        &self,
        originator: &AgencyName,
        key: KeyId,
        at: Timestamp,
    ) -> Option<VerifyingKey> {
        let known = self.0.get(&(originator.clone(), key))?;
        let in_time = known.from <= at && at < known.until;
        let trusted = match known.status {
            RecordKeyStatus::Active | RecordKeyStatus::Retired => true,
            RecordKeyStatus::Compromised(since) => at < since,
        };
        (in_time && trusted).then(|| *known.key.verifying_key())
    }
}
