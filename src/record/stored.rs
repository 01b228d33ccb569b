//! The slots of a record as a content frame of the store holds them.
//!
//! An erasure writes what is left of a record to a new frame and overwrites every older one behind
//! its record id with zeros.

use super::signed::{Slot, Verified};
use crate::ident::RecordId;
use bytes::Bytes;

/// The bytes of an overwritten frame that remain: the record id.
pub const KEPT_BYTES: usize = RecordId::BYTES;

const OPEN: u8 = 1;
const WITHHELD: u8 = 2;
const ERASED: u8 = 3;
const CLAIMED_ERASED: u8 = 4;

/// The reason why a content frame cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    #[error("the content frame ends early")]
    Truncated,
    #[error("the content frame holds slot state {0}")]
    State(u8),
    #[error("{0} bytes are left over in the content frame")]
    Trailing(usize),
}

/// Appends: record id (32), slot count (1), then for each slot its state (1) and
/// open: salt (16), length (u32 little-endian), bytes;
/// withheld, erased or claimed to be erased: commitment (32).
pub fn write(record: &Verified, out: &mut Vec<u8>) {
    out.extend_from_slice(record.id().as_bytes());
    out.push(record.slots().len() as u8);
    for slot in record.slots() {
        match slot {
            Slot::Open { salt, bytes } => {
                out.push(OPEN);
                out.extend_from_slice(salt);
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Slot::Withheld(commitment) => {
                out.push(WITHHELD);
                out.extend_from_slice(commitment);
            }
            Slot::Erased(commitment) => {
                out.push(ERASED);
                out.extend_from_slice(commitment);
            }
            Slot::ClaimedErased(commitment) => {
                out.push(CLAIMED_ERASED);
                out.extend_from_slice(commitment);
            }
        }
    }
}

/// The record that a frame is about, if nothing else is left in it.
pub fn overwritten(frame: &[u8]) -> Option<RecordId> {
    let (id, rest) = frame.split_first_chunk::<KEPT_BYTES>()?;
    let is_gone = !rest.is_empty() && rest.iter().all(|byte| *byte == 0);
    is_gone.then(|| RecordId::from_bytes(*id))
}

/// Bytes that [`write`] appends.
pub fn encoded_len(record: &Verified) -> usize {
    let slot = |slot: &Slot| match slot {
        Slot::Open { bytes, .. } => 1 + 16 + 4 + bytes.len(),
        Slot::Withheld(_) | Slot::Erased(_) | Slot::ClaimedErased(_) => 1 + 32,
    };
    RecordId::BYTES + 1 + record.slots().iter().map(slot).sum::<usize>()
}

/// Reads what [`write`] wrote.
pub fn read(frame: &Bytes) -> Result<(RecordId, Vec<Slot>), StoredError> {
    let mut rest = &frame[..];
    let id = RecordId::from_bytes(array(&mut rest)?);
    let [count] = array(&mut rest)?;
    let mut slots = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        slots.push(read_slot(frame, &mut rest)?);
    }
    if rest.is_empty() { Ok((id, slots)) } else { Err(StoredError::Trailing(rest.len())) }
}

/// The bytes of an open slot share the buffer of the frame.
fn read_slot(frame: &Bytes, rest: &mut &[u8]) -> Result<Slot, StoredError> {
    let [state] = array(rest)?;
    match state {
        OPEN => {
            let salt = array(rest)?;
            let length = u32::from_le_bytes(array(rest)?) as usize;
            let (bytes, after) = rest.split_at_checked(length).ok_or(StoredError::Truncated)?;
            *rest = after;
            Ok(Slot::Open { salt, bytes: frame.slice_ref(bytes) })
        }
        WITHHELD => array(rest).map(Slot::Withheld),
        ERASED => array(rest).map(Slot::Erased),
        CLAIMED_ERASED => array(rest).map(Slot::ClaimedErased),
        other => Err(StoredError::State(other)),
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], StoredError> {
    let (array, after) = rest.split_first_chunk().ok_or(StoredError::Truncated)?;
    *rest = after;
    Ok(*array)
}
