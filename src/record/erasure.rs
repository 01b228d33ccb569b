//! The originator's order to erase slots of a record: what whoever holds the record has to obey.
//!
//! It is signed by the originator's record key, so that it can be passed on by anybody and be
//! believed by everybody. It names no content and stays when the content is gone.

use super::signed::{KeyRing, Verified};
use super::slots::SlotMask;
use crate::ident::{AgencyName, KeyId, RecordId, Timestamp};
use crate::pb;
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey};

const ORDER_TAG: &[u8] = b"liaison/erase/v1\0";

/// The legal ground on which slots are erased. The numbers are under signatures and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ErasureBasis {
    /// Directive (EU) 2016/680, Article 16.
    Led16 = 1,
    /// Regulation (EU) 2016/679, Article 17.
    Gdpr17 = 2,
    CourtOrder = 3,
    SupervisoryOrder = 4,
    /// The time for which it may be kept has ended.
    Retention = 5,
    /// The agreement under which it was shared has ended or demands it.
    Agreement = 6,
}

impl ErasureBasis {
    pub const ALL: [Self; 6] = [
        Self::Led16,
        Self::Gdpr17,
        Self::CourtOrder,
        Self::SupervisoryOrder,
        Self::Retention,
        Self::Agreement,
    ];

    pub const fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|basis| i32::from(basis.number()) == number)
    }
}

impl From<ErasureBasis> for pb::ErasureBasis {
    fn from(basis: ErasureBasis) -> Self {
        match basis {
            ErasureBasis::Led16 => Self::Led16,
            ErasureBasis::Gdpr17 => Self::Gdpr17,
            ErasureBasis::CourtOrder => Self::CourtOrder,
            ErasureBasis::SupervisoryOrder => Self::SupervisoryOrder,
            ErasureBasis::Retention => Self::Retention,
            ErasureBasis::Agreement => Self::Agreement,
        }
    }
}

/// The slots of one revision that are erased when these slots of its series are. An order for an own
/// record also names what is erased nowhere else yet; of another agency's record the open slots go.
pub fn slots_to_erase(slots: SlotMask, revision: &Verified, is_own: bool) -> SlotMask {
    // A withdrawal has fewer slots than what it withdraws, and an order beyond them is refused.
    let slots = slots.and(SlotMask::all(revision.kind()));
    if is_own { slots.without(revision.erased_slots()) } else { slots.and(revision.open_slots()) }
}

/// The revisions that the approval of an erasure covers: those that had been accepted when it was given.
///
/// A place in the order of acceptance is the index of the entry that accepted a revision, or wherever records
/// alone are counted, the number of the record. What such a revision withholds here and a partner shows
/// later is covered: its header commits to it, and the approval names the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureScope {
    end: u64,
}

impl ErasureScope {
    /// The scope of an erasure whose last approval has this place.
    pub const fn approved_at(place: u64) -> Self {
        Self { end: place }
    }

    /// Returns whether a revision that was accepted at this place is covered.
    pub const fn covers(self, accepted: u64) -> bool {
        accepted < self.end
    }
}

/// The reason why an order to erase is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("slot mask {0:#x} names no slot, or bit 0")]
    Slots(u32),
    #[error("legal ground {0} is unknown")]
    Basis(i32),
    #[error("time {0} ms lies outside the years 2000 to 2100")]
    Time(u64),
    #[error("a key id has 16 bytes and a signature 64")]
    Length,
    #[error("key {key} is not a record key of {originator} at {at}")]
    UnknownKey { key: KeyId, originator: AgencyName, at: Timestamp },
    #[error("the signature does not verify under key {key} of {originator}")]
    Signature { key: KeyId, originator: AgencyName },
}

/// The order to erase. Only [`Self::verify`] checks its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErasureOrder {
    pub slots: SlotMask,
    pub basis: ErasureBasis,
    pub at: Timestamp,
    pub key_id: KeyId,
    signature: [u8; 64],
}

impl ErasureOrder {
    /// Orders slots of one of the signer's own records erased.
    pub fn sign(
        record: &RecordId,
        slots: SlotMask,
        basis: ErasureBasis,
        at: Timestamp,
        (key, key_id): (&SigningKey, KeyId),
    ) -> Self {
        let signature = key.sign(&message(record, slots, basis, at)).to_bytes();
        Self { slots, basis, at, key_id, signature }
    }

    /// Verifies that the originator of the record signed this order.
    pub fn verify(
        &self,
        record: &RecordId,
        originator: &AgencyName,
        keys: &impl KeyRing,
    ) -> Result<(), OrderError> {
        let (key, originator) = (self.key_id, originator.clone());
        let Some(verifying) = keys.record_key(&originator, key, self.at) else {
            return Err(OrderError::UnknownKey { key, originator, at: self.at });
        };
        let message = message(record, self.slots, self.basis, self.at);
        verifying
            .verify_strict(&message, &Signature::from_bytes(&self.signature))
            .map_err(|_| OrderError::Signature { key, originator })
    }
}

/// Returns the message that a record key signs: tag, record id, slots as u32, basis as u32, time in
/// milliseconds as u64; big-endian.
fn message(record: &RecordId, slots: SlotMask, basis: ErasureBasis, at: Timestamp) -> Vec<u8> {
    let mut message = ORDER_TAG.to_vec();
    message.extend_from_slice(record.as_bytes());
    message.extend_from_slice(&slots.bits().to_be_bytes());
    message.extend_from_slice(&u32::from(basis.number()).to_be_bytes());
    message.extend_from_slice(&at.unix_ms().unsigned_abs().to_be_bytes());
    message
}

impl From<&ErasureOrder> for pb::ErasureOrder {
    fn from(order: &ErasureOrder) -> Self {
        Self {
            slots: order.slots.bits(),
            basis: pb::ErasureBasis::from(order.basis).into(),
            at_ms: order.at.unix_ms().unsigned_abs(),
            key_id: Bytes::copy_from_slice(order.key_id.as_bytes()),
            signature: Bytes::copy_from_slice(&order.signature),
        }
    }
}

impl TryFrom<pb::ErasureOrder> for ErasureOrder {
    type Error = OrderError;

    fn try_from(wire: pb::ErasureOrder) -> Result<Self, OrderError> {
        let pb::ErasureOrder { slots, basis, at_ms, key_id, signature } = wire;
        let mask = SlotMask::from_bits(slots);
        if mask.bits() != slots || mask.is_empty() {
            return Err(OrderError::Slots(slots));
        }
        Ok(Self {
            slots: mask,
            basis: ErasureBasis::from_number(basis).ok_or(OrderError::Basis(basis))?,
            at: i64::try_from(at_ms)
                .ok()
                .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
                .ok_or(OrderError::Time(at_ms))?,
            key_id: KeyId::try_from(&key_id[..]).map_err(|_| OrderError::Length)?,
            signature: signature[..].try_into().map_err(|_| OrderError::Length)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Ring, now};
    use proptest::prelude::*;

    const KEY_ID: KeyId = KeyId::from_bytes([7; 16]);

    fn order(record: &RecordId, key: &SigningKey, slots: u32, basis: usize) -> ErasureOrder {
        let slots = SlotMask::from_bits(slots);
        let basis = ErasureBasis::ALL[basis];
        ErasureOrder::sign(record, slots, basis, now(), (key, KEY_ID))
    }

    proptest! {
        #[test]
        fn an_order_is_written_and_read_back_and_verifies(
            key: [u8; 32], record: [u8; 32], slots in 2_u32.., basis in 0..6_usize,
        ) {
            let (key, record) = (SigningKey::from_bytes(&key), RecordId::from_bytes(record));
            let order = order(&record, &key, slots & !1 | 2, basis);
            let back = ErasureOrder::try_from(pb::ErasureOrder::from(&order)).unwrap();
            prop_assert_eq!(back, order);
            let ring = Ring::one("npa.go.jp", KEY_ID, &key);
            let originator = "npa.go.jp".parse().unwrap();
            prop_assert_eq!(back.verify(&record, &originator, &ring), Ok(()));
        }
    }

    #[test]
    fn an_order_for_another_record_slot_ground_or_agency_does_not_verify() {
        let (key, record) = (SigningKey::from_bytes(&[5; 32]), RecordId::from_bytes([1; 32]));
        let given = order(&record, &key, 6, 0);
        let ring = Ring::one("npa.go.jp", KEY_ID, &key);
        let verify = |order: &ErasureOrder, record: &RecordId, by: &str| {
            order.verify(record, &by.parse().unwrap(), &ring).is_ok()
        };
        assert!(verify(&given, &record, "npa.go.jp"));
        assert!(!verify(&given, &record, "jc3.or.jp"));
        assert!(!verify(&given, &RecordId::from_bytes([2; 32]), "npa.go.jp"));
        let other = ErasureOrder { slots: SlotMask::from_bits(14), ..given };
        assert!(!verify(&other, &record, "npa.go.jp"));
        let other = ErasureOrder { basis: ErasureBasis::CourtOrder, ..given };
        assert!(!verify(&other, &record, "npa.go.jp"));
    }

    #[test]
    fn an_order_without_slots_ground_or_signature_is_refused() {
        let (key, record) = (SigningKey::from_bytes(&[5; 32]), RecordId::from_bytes([1; 32]));
        let sound = pb::ErasureOrder::from(&order(&record, &key, 6, 0));
        let broken = |change: fn(&mut pb::ErasureOrder)| {
            let mut wire = sound.clone();
            change(&mut wire);
            ErasureOrder::try_from(wire).unwrap_err()
        };
        assert_eq!(broken(|o| o.slots = 0), OrderError::Slots(0));
        assert_eq!(broken(|o| o.slots = 3), OrderError::Slots(3));
        assert_eq!(broken(|o| o.basis = 0), OrderError::Basis(0));
        assert_eq!(broken(|o| o.at_ms = 1), OrderError::Time(1));
        assert_eq!(broken(|o| o.key_id = Bytes::new()), OrderError::Length);
        assert_eq!(broken(|o| o.signature = Bytes::new()), OrderError::Length);
    }
}
