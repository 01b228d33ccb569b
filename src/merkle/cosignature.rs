//! Timestamped Ed25519 cosignatures of checkpoints (C2SP tlog-cosignature, cosignature/v1).
//!
//! One says: at this time, the largest consistent tree that I have seen for this origin has this
//! root. What is signed does not hold the cosigner's name, so one key must never serve two roles:
//! a witness and a receipt key are different keys. The time is the cosigner's own claim and is
//! given to this module; how old or how far ahead it may be, the caller judges.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::checkpoint::Checkpoint;
use super::key::{NoteKeyId, NoteKeyName, SignatureType};
use super::note::{NoteSignature, NoteText};
use crate::ident::Timestamp;

/// The time of a cosignature as its cosigner gives it: seconds since 1970-01-01T00:00:00Z, at most
/// 2^63 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CosignatureTime(u64);

/// A time that a cosignature cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time {0} s is above 2^63 - 1")]
pub struct TimeBeyondRange(pub u64);

impl CosignatureTime {
    pub fn from_unix_seconds(seconds: u64) -> Result<Self, TimeBeyondRange> {
        if i64::try_from(seconds).is_ok() {
            Ok(Self(seconds))
        } else {
            Err(TimeBeyondRange(seconds))
        }
    }

    pub const fn unix_seconds(self) -> u64 {
        self.0
    }

    /// Reads the time of a cosigner's line. It is worth what the line is: verify that first.
    pub fn of_line(line: &NoteSignature) -> Option<Self> {
        let (time, _) = line.bytes().split_first_chunk()?;
        Self::from_unix_seconds(u64::from_be_bytes(*time)).ok()
    }
}

impl From<Timestamp> for CosignatureTime {
    fn from(time: Timestamp) -> Self {
        Self(time.unix_seconds())
    }
}

impl fmt::Display for CosignatureTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that cosigns checkpoints, in one role only.
#[derive(Clone)]
pub struct Cosigner {
    name: NoteKeyName,
    key_id: NoteKeyId,
    key: SigningKey,
}

impl Cosigner {
    pub fn new(name: NoteKeyName, key: SigningKey) -> Self {
        let key_id = NoteKeyId::of(&name, SignatureType::Cosignature, &key.verifying_key());
        Self { name, key_id, key }
    }

    pub fn name(&self) -> &NoteKeyName {
        &self.name
    }

    pub fn key_id(&self) -> NoteKeyId {
        self.key_id
    }

    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs without asking whether it should: that the checkpoint is consistent with all that were
    /// cosigned before is the caller's duty.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: CosignatureTime) -> NoteSignature {
        let signature = self.key.sign(&message(&checkpoint.to_text(), time));
        let blob = [time.0.to_be_bytes().as_slice(), &signature.to_bytes()].concat();
        NoteSignature::new(self.name.clone(), self.key_id, blob).expect("the blob has 72 bytes")
    }

    /// Signs another message, which begins with a tag: no tag begins as the message of a cosignature.
    pub fn sign_tagged(&self, tag: &'static [u8], message: &[u8]) -> [u8; 64] {
        self.key.sign(&[tag, message].concat()).to_bytes()
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({}+{})", self.name, self.key_id)
    }
}

/// Checks the 72 bytes of a cosignature, time and signature, and gives the time.
pub(super) fn verify(key: &VerifyingKey, text: &NoteText, blob: &[u8]) -> Option<CosignatureTime> {
    let (time, signature) = blob.split_first_chunk()?;
    let time = CosignatureTime::from_unix_seconds(u64::from_be_bytes(*time)).ok()?;
    let signature = Signature::from_slice(signature).ok()?;
    key.verify_strict(&message(text, time), &signature).ok()?;
    Some(time)
}

/// Returns the signed message: a header line, the time, and the whole text of the checkpoint.
fn message(text: &NoteText, time: CosignatureTime) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{}", text.as_str()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::TreeHead;

    fn checkpoint() -> Checkpoint {
        Checkpoint::new("npa.go.jp/journal".parse().unwrap(), TreeHead::EMPTY).unwrap()
    }

    fn cosigner() -> Cosigner {
        Cosigner::new("jc3.or.jp/witness".parse().unwrap(), SigningKey::from_bytes(&[3; 32]))
    }

    #[test]
    fn a_cosignature_is_a_time_and_a_signature() {
        let time = CosignatureTime::from_unix_seconds(1_795_338_843).unwrap();
        let line = cosigner().cosign(&checkpoint(), time);
        assert_eq!(line.bytes().len(), 72);
        assert_eq!(line.bytes()[..8], 1_795_338_843_u64.to_be_bytes());
        assert_eq!(CosignatureTime::of_line(&line), Some(time));
        let verified = verify(&cosigner().verifying_key(), &checkpoint().to_text(), line.bytes());
        assert_eq!(verified, Some(time));
    }

    #[test]
    fn every_changed_bit_and_every_other_length_is_refused() {
        let time = CosignatureTime::from_unix_seconds(1).unwrap();
        let blob = cosigner().cosign(&checkpoint(), time).bytes().to_vec();
        let (key, text) = (cosigner().verifying_key(), checkpoint().to_text());
        for bit in 0..blob.len() * 8 {
            let mut changed = blob.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&key, &text, &changed), None, "bit {bit}");
        }
        for length in 0..blob.len() {
            assert_eq!(verify(&key, &text, &blob[..length]), None);
        }
        assert_eq!(verify(&key, &text, &[blob.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn times_above_the_maximum_are_refused() {
        let latest = i64::MAX as u64;
        assert!(CosignatureTime::from_unix_seconds(latest).is_ok());
        let refused = CosignatureTime::from_unix_seconds(latest + 1);
        assert_eq!(refused, Err(TimeBeyondRange(latest + 1)));
    }
}
