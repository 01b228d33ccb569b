//! The tagged hashes of a record. No tag can begin with 0x00 or 0x01: those are RFC 6962's.

use super::kind::Kind;
use super::slots::SlotNumber;
use crate::ident::{RecordId, TreeHash};
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use std::slice;
use zeroize::Zeroize as _;

const SLOT_TAG: &[u8] = b"liaison/slot/v1\0";
const SLOT_PREFIX_BYTES: usize = SLOT_TAG.len() + 4 + 1 + 16 + 4;
const SHA256_BLOCK_BYTES: usize = 64;
/// The state before the first block (FIPS 180-4, 5.3.3).
const SHA256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const SLOTS_TAG: &[u8] = b"liaison/slots/v1\0";
const RECORD_TAG: &[u8] = b"liaison/record/v1\0";
const BATCH_TAG: &[u8] = b"liaison/batch/v1\0";

/// Random bytes that hide a slot; never derived, never used twice.
pub type Salt = [u8; 16];
/// The salted SHA-256 of a slot.
pub type Commitment = [u8; 32];

/// SHA-256(tag, kind as u32, slot number as u8, salt, length as u32, bytes); big-endian.
pub fn slot_commitment(kind: Kind, slot: SlotNumber, salt: &Salt, bytes: &[u8]) -> Commitment {
    let mut prefix = [0; SLOT_PREFIX_BYTES];
    let (tag, fields) = prefix.split_at_mut(SLOT_TAG.len());
    tag.copy_from_slice(SLOT_TAG);
    fields[..4].copy_from_slice(&u32::from(kind.number()).to_be_bytes());
    fields[4] = slot.get();
    fields[5..21].copy_from_slice(salt);
    fields[21..].copy_from_slice(&(bytes.len() as u32).to_be_bytes());
    sha256_leaving_no_copy(&prefix, bytes)
}

/// SHA-256 of a prefix shorter than a block and a text after it (FIPS 180-4, 5.1.1 and 6.2).
///
/// A hasher keeps its last block, and each move of it leaves a copy on the stack of a thread that may
/// run for months; but an erased text is to be in no memory. Here the only copy is overwritten.
fn sha256_leaving_no_copy(prefix: &[u8; SLOT_PREFIX_BYTES], text: &[u8]) -> [u8; 32] {
    let bits = 8 * (prefix.len() + text.len()) as u64;
    let mut state = SHA256_START;
    let mut block = [0; SHA256_BLOCK_BYTES];
    block[..prefix.len()].copy_from_slice(prefix);
    let (head, rest) = text.split_at(text.len().min(block.len() - prefix.len()));
    block[prefix.len()..][..head.len()].copy_from_slice(head);
    let mut filled = prefix.len() + head.len();
    if filled == block.len() {
        compress256(&mut state, slice::from_ref(&block));
        let (blocks, tail) = rest.as_chunks();
        compress256(&mut state, blocks);
        block[..tail.len()].copy_from_slice(tail);
        filled = tail.len();
    }
    block[filled] = 0x80;
    block[filled + 1..].fill(0);
    let length_at = block.len() - size_of_val(&bits);
    if filled >= length_at {
        compress256(&mut state, slice::from_ref(&block));
        block.fill(0);
    }
    block[length_at..].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, slice::from_ref(&block));
    block.zeroize();
    let mut hash = [0; 32];
    for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    hash
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
        for length in 0..5 * SHA256_BLOCK_BYTES {
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
