//! The slots of a record as a content frame holds them.
//!
//! Layout: record id (32), slot count (1), then for each slot its state (1) and, when open, salt
//! (16), length (u32, little endian) and bytes; when withheld, erased or claimed to be erased, the
//! commitment (32). An erasure leaves the record id and zeros, and what is left of the record stands in a
//! later frame.

use super::failure::{Check, Fault};
use crate::ident::RecordId;
use crate::record::commit;
use crate::record::kind::Kind;
use crate::record::signed::Slot;
use crate::record::slots::{SlotMask, SlotNumber};
use bytes::Bytes;

/// Slots of a record at the most: their numbers fit a mask of 32 bits whose bit 0 is unused.
const SLOTS_MAX: u8 = 31;

/// The decoded content frame of a record.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) id: RecordId,
    pub(super) slots: Vec<Slot>,
    /// The slots that are open; bit k is slot k.
    pub(super) open: SlotMask,
    /// The slots that entries erased, and those that the originator marked so when it gave the record.
    pub(super) erased: SlotMask,
    /// Nothing is left of it but the record id.
    pub(super) is_overwritten: bool,
}

impl Content {
    pub(super) fn read(frame: &Bytes) -> Result<Self, Fault> {
        let content = Self::parse_overwritten(frame).or_else(|| Self::parse(frame));
        content.ok_or_else(|| Fault::new(Check::Content, "a record's slots", "other bytes"))
    }

    /// The frame without the bytes and salts of any slot: what the originator signed still holds.
    pub(super) fn kept_out(&self, kind: Kind) -> Vec<u8> {
        let mut frame = self.id.as_bytes().to_vec();
        frame.push(self.slots.len() as u8);
        for (number, slot) in SlotNumber::of(kind).zip(&self.slots) {
            frame.push(match slot {
                Slot::Open { .. } | Slot::Withheld(_) => 2,
                Slot::Erased(_) => 3,
                Slot::ClaimedErased(_) => 4,
            });
            frame.extend_from_slice(&slot.commitment(kind, number));
        }
        frame
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

    fn parse(frame: &Bytes) -> Option<Self> {
        let mut reader = Reader { frame, at: 0 };
        let id = RecordId::from_bytes(reader.array()?);
        let [count] = reader.array()?;
        if count > SLOTS_MAX {
            return None;
        }
        let mut slots = Vec::with_capacity(usize::from(count));
        let (mut open, mut erased) = (0, 0);
        for number in 1..=count {
            let slot = reader.slot()?;
            match slot {
                Slot::Open { .. } => open |= 1 << number,
                Slot::Withheld(_) | Slot::ClaimedErased(_) => {}
                Slot::Erased(_) => erased |= 1 << number,
            }
            slots.push(slot);
        }
        let [open, erased] = [open, erased].map(SlotMask::from_bits);
        let is_whole = reader.at == frame.len();
        is_whole.then_some(Self { id, slots, open, erased, is_overwritten: false })
    }
}

/// The hash over the commitments of these slots.
pub(super) fn slots_hash(kind: Kind, slots: &[Slot]) -> [u8; 32] {
    let commitments =
        SlotNumber::of(kind).zip(slots).map(|(number, slot)| slot.commitment(kind, number));
    commit::slots_hash(kind, commitments)
}

/// Takes a frame apart from its start; only the bytes of fields stay shared with it.
struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.frame.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(array)
    }

    fn slot(&mut self) -> Option<Slot> {
        let [state] = self.array()?;
        match state {
            1 => {
                let salt = self.array()?;
                let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
                let end = self.at.checked_add(length).filter(|end| *end <= self.frame.len())?;
                let bytes = self.frame.slice(self.at..end);
                self.at = end;
                Some(Slot::Open { salt, bytes })
            }
            2 => self.array().map(Slot::Withheld),
            3 => self.array().map(Slot::Erased),
            4 => self.array().map(Slot::ClaimedErased),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_read_and_nothing_may_be_left_over() {
        let open = [&[1][..], &[5; 16], &2_u32.to_le_bytes(), b"ab"].concat();
        let closed = [&[2][..], &[8; 32], &[3], &[9; 32], &[4], &[6; 32]].concat();
        let frame = [&[7; 32][..], &[4], &open, &closed].concat();
        let content = Content::read(&frame.clone().into()).unwrap();
        assert_eq!((content.open.bits(), content.erased.bits()), (0b10, 0b1000));
        let bytes = Bytes::from_static(b"ab");
        assert_eq!(content.slots[0], Slot::Open { salt: [5; 16], bytes });
        assert_eq!(content.slots[2], Slot::Erased([9; 32]));
        assert_eq!(content.slots[3], Slot::ClaimedErased([6; 32]));
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
