//! The tagged hashes of a record. No tag can begin with 0x00 or 0x01: those are RFC 6962's.

use super::kind::Kind;
use super::slots::SlotNumber;
use crate::ident::{RecordId, TreeHash};
use sha2::{Digest as _, Sha256};

const SLOT_TAG: &[u8] = b"liaison/slot/v1\0";
const SLOT_PREFIX_BYTES: usize = SLOT_TAG.len() + 4 + 1 + 16 + 4;
/// Two blocks of SHA-256 without the padding: most fields with what is hashed before them.
const SHORT_BYTES: usize = 2 * 64 - 9;
const SLOTS_TAG: &[u8] = b"liaison/slots/v1\0";
const RECORD_TAG: &[u8] = b"liaison/record/v1\0";
const BATCH_TAG: &[u8] = b"liaison/batch/v1\0";

/// Random bytes that hide a slot; never derived, never used twice.
pub type Salt = [u8; 16];
/// The salted SHA-256 of a slot.
pub type Commitment = [u8; 32];

/// SHA-256(tag, kind as u32, slot number as u8, salt, length as u32, bytes); big-endian.
pub fn slot_commitment(kind: Kind, slot: SlotNumber, salt: &Salt, bytes: &[u8]) -> Commitment {
    let mut message = [0; SHORT_BYTES];
    let (prefix, rest) = message.split_at_mut(SLOT_PREFIX_BYTES);
    let (tag, fields) = prefix.split_at_mut(SLOT_TAG.len());
    tag.copy_from_slice(SLOT_TAG);
    fields[..4].copy_from_slice(&u32::from(kind.number()).to_be_bytes());
    fields[4] = slot.get();
    fields[5..21].copy_from_slice(salt);
    fields[21..].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
    // A record has a dozen of these, mostly short, and each further piece costs the hasher's bookkeeping.
    if let Some(room) = rest.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
        return Sha256::digest(&message[..SLOT_PREFIX_BYTES + bytes.len()]).into();
    }
    Sha256::new().chain_update(prefix).chain_update(bytes).finalize().into()
}

/// SHA-256(tag, kind as u32, slot count as u32, all commitments in slot order); big-endian.
pub fn slots_hash(kind: Kind, commitments: impl Iterator<Item = Commitment>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(SLOTS_TAG);
    hash.update(u32::from(kind.number()).to_be_bytes());
    hash.update((kind.slots().len() as u32).to_be_bytes());
    commitments.for_each(|commitment| hash.update(commitment));
    hash.finalize().into()
}

/// SHA-256(tag, header bytes).
pub fn record_id(header: &[u8]) -> RecordId {
    RecordId::from_bytes(
        Sha256::new().chain_update(RECORD_TAG).chain_update(header).finalize().into(),
    )
}

/// Returns the message that a record key signs: tag, root of a tree of 64 leaves.
pub fn batch_message(root: &TreeHash) -> [u8; BATCH_TAG.len() + TreeHash::BYTES] {
    let mut message = [0; BATCH_TAG.len() + TreeHash::BYTES];
    message[..BATCH_TAG.len()].copy_from_slice(BATCH_TAG);
    message[BATCH_TAG.len()..].copy_from_slice(root.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_any_length_is_hashed_as_its_parts_one_after_another() {
        let (kind, salt) = (Kind::Indicator, [7; 16]);
        let slot = SlotNumber::of(kind).next().unwrap();
        for length in 0..3 * SHORT_BYTES {
            let bytes = vec![b'x'; length];
            let mut parts = Sha256::new();
            parts.update(SLOT_TAG);
            parts.update(u32::from(kind.number()).to_be_bytes());
            parts.update([slot.get()]);
            parts.update(salt);
            parts.update((length as u32).to_be_bytes());
            parts.update(&bytes);
            let wanted: Commitment = parts.finalize().into();
            assert_eq!(slot_commitment(kind, slot, &salt, &bytes), wanted, "{length} bytes");
        }
    }
}
