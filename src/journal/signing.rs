//! The name and the keys with which the writer signs.

use super::JournalError;
use crate::ident::AgencyName;
use crate::merkle::{Checkpoint, NoteSigner, SignedCheckpoint, TreeHead};
use crate::record::draft::{self, SeriesSecret};
use crate::record::signed::Verified;
use bytes::Bytes;

/// The agency's name and keys, as far as the writer needs them.
pub struct Signing {
    pub agency: AgencyName,
    pub journal_key: ed25519_dalek::SigningKey,
    pub series_secret: SeriesSecret,
}

impl Signing {
    /// Returns the fingerprint by which a draft with the same content is found; of this agency's
    /// own records only.
    pub fn fingerprint_of(&self, record: &Verified) -> Option<[u8; 32]> {
        let own = record.header().originator == self.agency;
        own.then(|| draft::fingerprint_of(record, &self.series_secret)).flatten()
    }

    /// Signs a head of one of this agency's logs. The key's name is the log's origin, as
    /// tlog-checkpoint wants it.
    pub fn sign(&self, origin: &str, head: TreeHead) -> Result<Bytes, JournalError> {
        let broken = |reason: String| JournalError::Entry { index: head.size.get(), reason };
        let name = origin.parse().map_err(|e: crate::merkle::KeyError| broken(e.to_string()))?;
        let origin =
            origin.parse().map_err(|e: crate::merkle::CheckpointError| broken(e.to_string()))?;
        let checkpoint =
            Checkpoint::new(origin, head).map_err(|error| broken(error.to_string()))?;
        let signer = NoteSigner::new(name, self.journal_key.clone());
        Ok(SignedCheckpoint::sign(checkpoint, &signer).to_bytes().into())
    }
}
