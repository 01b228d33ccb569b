//! The slots of a record as a content frame holds them.
//!
//! Layout: record id (32), slot count (1), then for each slot its state (1) and, when open, salt
//! (16), length (u32, little endian) and bytes; when withheld or erased, the commitment (32). An
//! erasure leaves the record id and zeros, and what is left of the record stands in a later frame.

use super::failure::{Check, Fault};
use crate::ident::RecordId;
use crate::pb;
use crate::record::commit::{self, Commitment};
use crate::record::kind::Kind;
use crate::record::signed::Slot;
use crate::record::slots::{SlotMask, SlotNumber};
use bytes::Bytes;

/// Slots of a record at the most: their numbers fit a mask of 32 bits whose bit 0 is unused.
const SLOTS_MAX: u8 = 31;

/// What a content frame says.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) id: RecordId,
    pub(super) slots: Vec<pb::Slot>,
    /// The slots that are open; bit k is slot k.
    pub(super) open: SlotMask,
    /// The slots that are said to be erased. Of a record that came from a partner this is the
    /// partner's word, and it claims nothing here.
    pub(super) erased: SlotMask,
    /// Nothing is left of it but the record id.
    pub(super) is_overwritten: bool,
}

impl Content {
    pub(super) fn read(frame: &Bytes) -> Result<Self, Fault> {
        let content = Self::parse_overwritten(frame).or_else(|| Self::parse(frame.clone()));
        content.ok_or_else(|| Fault::new(Check::Content, "a record's slots", "other bytes"))
    }

    fn parse_overwritten(frame: &Bytes) -> Option<Self> {
        let (id, rest) = frame.split_first_chunk::<{ RecordId::BYTES }>()?;
        let is_gone = !rest.is_empty() && rest.iter().all(|byte| *byte == 0);
        is_gone.then(|| Self {
            id: RecordId::from_bytes(*id),
            slots: Vec::new(),
            open: SlotMask::NONE,
            erased: SlotMask::NONE,
            is_overwritten: true,
        })
    }

    fn parse(mut rest: Bytes) -> Option<Self> {
        let id = RecordId::try_from(&take(&mut rest, RecordId::BYTES)?[..]).ok()?;
        let count = take(&mut rest, 1)?[0];
        if count > SLOTS_MAX {
            return None;
        }
        let mut slots = Vec::with_capacity(usize::from(count));
        let (mut open, mut erased) = (0, 0);
        for number in 1..=count {
            let slot = slot(&mut rest)?;
            if slot.state == pb::SlotState::Open as i32 {
                open |= 1 << number;
            }
            if slot.state == pb::SlotState::Erased as i32 {
                erased |= 1 << number;
            }
            slots.push(slot);
        }
        let [open, erased] = [open, erased].map(SlotMask::from_bits);
        rest.is_empty().then_some(Self { id, slots, open, erased, is_overwritten: false })
    }

    /// The slots in the form that content rules and commitments are computed from.
    pub(super) fn to_slots(&self) -> Result<Vec<Slot>, Fault> {
        self.slots
            .iter()
            .map(|slot| match slot.state() {
                pb::SlotState::Open => {
                    let salt = slot.salt[..].try_into().ok()?;
                    Some(Slot::Open { salt, bytes: slot.content.clone() })
                }
                pb::SlotState::Withheld => Some(Slot::Withheld(commitment(slot)?)),
                pb::SlotState::Erased => Some(Slot::Erased(commitment(slot)?)),
                pb::SlotState::Unspecified => None,
            })
            .collect::<Option<_>>()
            .ok_or_else(|| Fault::new(Check::Content, "a record's slots", "other bytes"))
    }
}

/// The hash over the commitments of these slots.
pub(super) fn slots_hash(kind: Kind, slots: &[Slot]) -> [u8; 32] {
    let commitments =
        SlotNumber::of(kind).zip(slots).map(|(number, slot)| slot.commitment(kind, number));
    commit::slots_hash(kind, commitments)
}

fn commitment(slot: &pb::Slot) -> Option<Commitment> {
    slot.commitment[..].try_into().ok()
}

fn slot(rest: &mut Bytes) -> Option<pb::Slot> {
    let state = match take(rest, 1)?[0] {
        1 => pb::SlotState::Open,
        2 => pb::SlotState::Withheld,
        3 => pb::SlotState::Erased,
        _ => return None,
    };
    let mut slot = pb::Slot { state: state.into(), ..pb::Slot::default() };
    if state == pb::SlotState::Open {
        slot.salt = take(rest, 16)?;
        let length = take(rest, 4)?;
        let length = u32::from_le_bytes(length[..].try_into().ok()?);
        slot.content = take(rest, usize::try_from(length).ok()?)?;
    } else {
        slot.commitment = take(rest, 32)?;
    }
    Some(slot)
}

fn take(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    (rest.len() >= length).then(|| rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_read_and_nothing_may_be_left_over() {
        let open = [&[1][..], &[5; 16], &2_u32.to_le_bytes(), b"ab"].concat();
        let frame = [&[7; 32][..], &[3], &open, &[2], &[8; 32], &[3], &[9; 32]].concat();
        let content = Content::read(&frame.clone().into()).unwrap();
        assert_eq!((content.open.bits(), content.erased.bits()), (0b10, 0b1000));
        assert_eq!(content.slots[0].content, b"ab"[..]);
        assert_eq!(content.to_slots().unwrap()[2], Slot::Erased([9; 32]));
        for len in 0..frame.len() {
            assert!(Content::read(&frame[..len].to_vec().into()).is_err(), "{len}");
        }
        assert!(Content::read(&[frame.clone(), vec![0]].concat().into()).is_err());
        let zeros = [[7; 32], [0; 32]].concat();
        assert!(Content::read(&zeros.into()).unwrap().is_overwritten);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(0..5_u8, 0..200)) {
            let bytes = Bytes::from(bytes);
            let _ = Content::read(&bytes);
        }
    }
}
