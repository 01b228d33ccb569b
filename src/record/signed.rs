//! A record with its signature, before and after it was verified.
//!
//! [`Signed`] is what came from outside; only [`Verified`] can be kept or sent. There is one
//! strict verdict on every path: recompute the batch root from id and path, then
//! `verify_strict` once for each root.

use super::commit::{self, Commitment, Salt};
use super::header::{Header, HeaderError};
use super::kind::{ClassSet, Kind};
use super::personal::{self, PersonalGround};
use super::slots::{Rule, SlotMask, SlotNumber};
use super::wire::{self, SlotError};
use crate::ident::{AgencyName, KeyId, RecordId, SeriesId, Timestamp, TreeHash};
use crate::merkle::{BatchError, BatchPath, ProvenNodes};
use crate::pb;
use crate::value::{Value, ValueType};
use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use std::collections::HashSet;

/// The reason for refusing a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    #[error("slot {slot} ({name}): {error}")]
    Slot { slot: u8, name: &'static str, error: SlotError },
    #[error("found {found} slots, {kind} has {wanted}", kind = .kind.name())]
    SlotCount { kind: Kind, found: usize, wanted: usize },
    #[error("slot {slot}: {reason}")]
    SlotState { slot: u8, reason: &'static str },
    #[error("{0} is personal data, and the marking neither declares it nor states otherwise")]
    Undeclared(PersonalGround),
    #[error("the slots are not those that the originator signed")]
    SlotsHash,
    #[error("signature block: {0}")]
    SignatureForm(&'static str),
    #[error("signature block: {0}")]
    Batch(#[from] BatchError),
    #[error("key {key} is not a record key of {originator} at {at}")]
    UnknownKey { key: KeyId, originator: AgencyName, at: Timestamp },
    #[error("the signature does not verify under key {key} of {originator}")]
    Signature { key: KeyId, originator: AgencyName },
}

/// One field: here, or not here and why. An empty field is open without bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    Open {
        salt: Salt,
        bytes: Bytes,
    },
    Withheld(Commitment),
    /// Erased: by an entry of the journal here, or by the word of the originator that gave the record.
    Erased(Commitment),
    /// Erased by the word of a partner that forwards the record. Whoever may give the slot opens it.
    ClaimedErased(Commitment),
}

impl Slot {
    pub fn commitment(&self, kind: Kind, slot: SlotNumber) -> Commitment {
        match self {
            Self::Open { salt, bytes } => commit::slot_commitment(kind, slot, salt, bytes),
            Self::Withheld(commitment)
            | Self::Erased(commitment)
            | Self::ClaimedErased(commitment) => *commitment,
        }
    }
}

/// The signature that binds a record to its originator's key: over the root of a batch, with the
/// path of the record in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSignature {
    pub key_id: KeyId,
    pub path: BatchPath,
    pub bytes: [u8; 64],
}

impl TryFrom<pb::RecordSignature> for BatchSignature {
    type Error = RecordError;

    fn try_from(wire: pb::RecordSignature) -> Result<Self, RecordError> {
        let pb::RecordSignature { key_id, leaf_index, path, signature } = wire;
        let form = RecordError::SignatureForm;
        Ok(Self {
            key_id: KeyId::try_from(&key_id[..])
                .map_err(|_| form("the key id has not 16 bytes"))?,
            path: BatchPath::from_wire(leaf_index, &path)?,
            bytes: signature[..].try_into().map_err(|_| form("the signature has not 64 bytes"))?,
        })
    }
}

impl From<&BatchSignature> for pb::RecordSignature {
    fn from(signature: &BatchSignature) -> Self {
        Self {
            key_id: Bytes::copy_from_slice(signature.key_id.as_bytes()),
            leaf_index: u32::from(signature.path.leaf_index()),
            path: signature.path.wire_bytes().into(),
            signature: Bytes::copy_from_slice(&signature.bytes),
        }
    }
}

/// A record key signs nothing in its last hour, so that what was checked before it waited for the
/// writer is in time.
pub const KEY_END_MARGIN_MS: i64 = 3_600_000;

/// Finds the keys that an originator signs records with.
pub trait KeyRing {
    /// The key, if the originator's card lists it as good for records made at that time.
    fn record_key(
        &self,
        originator: &AgencyName,
        key: KeyId,
        at: Timestamp,
    ) -> Option<VerifyingKey>;
}

/// Roots whose signature verified, so that a batch costs one verification.
#[derive(Debug, Default)]
pub struct VerifiedRoots {
    seen: HashSet<(KeyId, TreeHash, [u8; 64])>,
    last: Option<LastBatch>,
}

/// The batch of the record before: the next record is mostly of the same.
#[derive(Debug)]
struct LastBatch {
    key_id: KeyId,
    bytes: [u8; 64],
    nodes: ProvenNodes,
}

impl LastBatch {
    fn is_of(&self, signature: &BatchSignature) -> bool {
        self.key_id == signature.key_id && self.bytes == signature.bytes
    }
}

impl VerifiedRoots {
    /// Batches arrive together; remembering more than a window of them buys nothing.
    const MOST: usize = 4096;

    /// Returns whether the record's path leads to a root that the key signed.
    fn verify(&mut self, key: &VerifyingKey, signature: &BatchSignature, id: RecordId) -> bool {
        if let Some(last) = self.last.as_mut().filter(|last| last.is_of(signature))
            && last.nodes.prove(&id, &signature.path)
        {
            return true;
        }
        let root = signature.path.root(&id);
        if !self.check(key, signature, root) {
            return false;
        }
        self.last = Some(LastBatch {
            key_id: signature.key_id,
            bytes: signature.bytes,
            nodes: ProvenNodes::new(root),
        });
        true
    }

    fn check(&mut self, key: &VerifyingKey, signature: &BatchSignature, root: TreeHash) -> bool {
        let entry = (signature.key_id, root, signature.bytes);
        if self.seen.contains(&entry) {
            return true;
        }
        let message = commit::batch_message(&root);
        let good = key.verify_strict(&message, &Signature::from_bytes(&signature.bytes)).is_ok();
        if good {
            if self.seen.len() >= Self::MOST {
                self.seen.clear();
            }
            self.seen.insert(entry);
        }
        good
    }
}

/// A record as it came from outside: its form is sound, its signature not yet checked.
#[derive(Debug, Clone)]
pub struct Signed {
    record: Verified,
}

impl Signed {
    /// Takes an envelope apart and checks everything but the signature.
    pub fn decode(wire: pb::Envelope) -> Result<Self, RecordError> {
        let pb::Envelope { header, signature, slots } = wire;
        let signature = signature
            .ok_or(RecordError::SignatureForm("it is missing"))
            .and_then(BatchSignature::try_from)?;
        let parsed = Header::decode(&header)?;
        let slots = slots_from_wire(parsed.kind, slots)?;
        Self::sound(header, parsed, signature, slots)
    }

    /// The same for slots that were read from somewhere else than an envelope.
    pub fn of(
        header: Bytes,
        signature: pb::RecordSignature,
        slots: Vec<Slot>,
    ) -> Result<Self, RecordError> {
        let signature = signature.try_into()?;
        let parsed = Header::decode(&header)?;
        let (kind, found, wanted) = (parsed.kind, slots.len(), parsed.kind.slots().len());
        if found != wanted {
            return Err(RecordError::SlotCount { kind, found, wanted });
        }
        Self::sound(header, parsed, signature, slots)
    }

    fn sound(
        header_bytes: Bytes,
        header: Header,
        signature: BatchSignature,
        slots: Vec<Slot>,
    ) -> Result<Self, RecordError> {
        let id = commit::record_id(&header_bytes);
        let record = Verified { id, header_bytes, header, signature, slots };
        record.check_rules()?;
        record.check_slots_hash()?;
        Ok(Self { record })
    }

    pub const fn header(&self) -> &Header {
        &self.record.header
    }

    pub const fn id(&self) -> RecordId {
        self.record.id
    }

    /// The series that open slots refer to.
    pub fn references(&self) -> impl Iterator<Item = SeriesId> {
        references(self.record.kind(), &self.record.slots)
    }

    /// The one verdict on signatures.
    pub fn verify(
        self,
        keys: &impl KeyRing,
        roots: &mut VerifiedRoots,
    ) -> Result<Verified, RecordError> {
        let Verified { header, signature, id, .. } = &self.record;
        verify_header(header, id, signature, keys, roots)?;
        Ok(self.record)
    }
}

/// Verifies the signature over a header, even if slots are gone. It is the only check for a record
/// whose content was erased.
pub fn verify_header(
    header: &Header,
    id: &RecordId,
    signature: &BatchSignature,
    keys: &impl KeyRing,
    roots: &mut VerifiedRoots,
) -> Result<(), RecordError> {
    let originator = &header.originator;
    let key =
        keys.record_key(originator, signature.key_id, header.created_at).ok_or_else(|| {
            RecordError::UnknownKey {
                key: signature.key_id,
                originator: originator.clone(),
                at: header.created_at,
            }
        })?;
    if roots.verify(&key, signature, *id) {
        Ok(())
    } else {
        Err(RecordError::Signature { key: signature.key_id, originator: originator.clone() })
    }
}

/// A record whose slots and signature were checked, or that this program signed itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    header_bytes: Bytes,
    header: Header,
    id: RecordId,
    signature: BatchSignature,
    slots: Vec<Slot>,
}

impl Verified {
    /// For the signer alone: the batch root was signed and checked by the caller.
    pub(super) const fn signed_here(
        header_bytes: Bytes,
        header: Header,
        id: RecordId,
        signature: BatchSignature,
        slots: Vec<Slot>,
    ) -> Self {
        Self { header_bytes, header, id, signature, slots }
    }

    /// Takes back a record from this node's own store. Its slots are hashed again, so that bytes
    /// that rotted on the disk are found; the signature was checked before it was stored.
    pub fn from_store(
        header_bytes: Bytes,
        signature: pb::RecordSignature,
        slots: Vec<Slot>,
    ) -> Result<Self, RecordError> {
        let record = Self {
            id: commit::record_id(&header_bytes),
            header: Header::decode(&header_bytes)?,
            header_bytes,
            signature: signature.try_into()?,
            slots,
        };
        let (found, wanted) = (record.slots.len(), record.header.kind.slots().len());
        if found != wanted {
            return Err(RecordError::SlotCount { kind: record.header.kind, found, wanted });
        }
        record.check_slots_hash()?;
        Ok(record)
    }

    /// Checks what stands in the open slots. Copies of one record that each keep the rules may break them
    /// together, where one has the type of the value and another the value.
    pub fn check_rules(&self) -> Result<(), RecordError> {
        check_contents(self.kind(), &self.slots)?;
        let undeclared = value_type(self.kind(), &self.slots)
            .and_then(|value_type| personal::undeclared(value_type, &self.header.marking));
        undeclared.map_or(Ok(()), |ground| Err(RecordError::Undeclared(ground)))
    }

    fn check_slots_hash(&self) -> Result<(), RecordError> {
        let kind = self.header.kind;
        let commitments = self.numbered().map(|(number, slot)| slot.commitment(kind, number));
        if commit::slots_hash(kind, commitments) == self.header.slots_hash {
            Ok(())
        } else {
            Err(RecordError::SlotsHash)
        }
    }

    pub const fn id(&self) -> RecordId {
        self.id
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }

    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    pub const fn header_bytes(&self) -> &Bytes {
        &self.header_bytes
    }

    pub const fn signature(&self) -> &BatchSignature {
        &self.signature
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// All slots with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (SlotNumber, &Slot)> {
        SlotNumber::of(self.header.kind).zip(&self.slots)
    }

    /// The slots that are open here.
    pub fn open_slots(&self) -> SlotMask {
        self.numbered()
            .filter(|(_, slot)| matches!(slot, Slot::Open { .. }))
            .fold(SlotMask::NONE, |mask, (number, _)| mask.with(number))
    }

    /// The bytes of an open slot that is not empty.
    pub fn slot_bytes(&self, number: SlotNumber) -> Option<&Bytes> {
        match self.slots.get(number.row())? {
            Slot::Open { bytes, .. } if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }

    /// Returns whether none of these slots has content here: each is empty, withheld or erased.
    pub fn is_empty(&self, slots: SlotMask) -> bool {
        let has_content = |slot: &SlotNumber| self.slot_bytes(*slot).is_some();
        !SlotNumber::of(self.kind()).any(|slot| slots.contains(slot) && has_content(&slot))
    }

    fn row_with(&self, rule: impl Fn(Rule) -> bool) -> Option<&Bytes> {
        let number = SlotNumber::of(self.kind()).find(|slot| rule(slot.spec(self.kind()).rule))?;
        self.slot_bytes(number)
    }

    /// Returns the value that an indicator, takedown or sighting is about, if it is here.
    pub fn value(&self) -> Option<Value> {
        let number = wire::number_in(self.row_with(|rule| rule == Rule::ValueType)?)?;
        let value_type = ValueType::from_number(u32::try_from(number).ok()?).ok()?;
        let text = wire::values_in(self.row_with(|rule| rule == Rule::Value)?).next()?;
        Value::from_normalised(value_type, std::str::from_utf8(text).ok()?).ok()
    }

    /// The series ids in a slot of references.
    pub fn references(&self, number: SlotNumber) -> Vec<SeriesId> {
        if number.spec(self.kind()).rule != Rule::Series {
            return Vec::new();
        }
        self.slot_bytes(number)
            .map(|bytes| {
                wire::values_in(bytes).filter_map(|id| SeriesId::try_from(id).ok()).collect()
            })
            .unwrap_or_default()
    }

    /// The wire bytes of the content: all open slots, joined in order.
    pub fn content_bytes(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        for slot in &self.slots {
            if let Slot::Open { bytes, .. } = slot {
                joined.extend_from_slice(bytes);
            }
        }
        joined
    }

    /// The envelope with only these slots open. Redaction is omission: the signature stays valid.
    pub fn redacted(&self, open: SlotMask) -> pb::Envelope {
        let slots = self
            .numbered()
            .map(|(number, slot)| match slot {
                Slot::Open { salt, bytes } if open.contains(number) => pb::Slot {
                    state: pb::SlotState::Open.into(),
                    salt: Bytes::copy_from_slice(salt),
                    content: bytes.clone(),
                    commitment: Bytes::new(),
                },
                Slot::Open { .. } | Slot::Withheld(_) => {
                    closed(pb::SlotState::Withheld, slot.commitment(self.header.kind, number))
                }
                Slot::Erased(commitment) | Slot::ClaimedErased(commitment) => {
                    closed(pb::SlotState::Erased, *commitment)
                }
            })
            .collect();
        pb::Envelope {
            header: self.header_bytes.clone(),
            signature: Some((&self.signature).into()),
            slots,
        }
    }

    /// Bytes that an envelope of this record has at the most, whichever slots are open in it.
    pub fn envelope_bytes_max(&self) -> usize {
        // Tags and lengths of header, signature and slots, with room to spare.
        const FRAME: usize = 160;
        const SLOT: usize = 48;
        let slots: usize = self
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Open { bytes, .. } => bytes.len() + SLOT,
                Slot::Withheld(_) | Slot::Erased(_) | Slot::ClaimedErased(_) => SLOT,
            })
            .sum();
        FRAME + self.header_bytes.len() + size_of_val(self.signature.path.steps()) + slots
    }

    /// The envelope with everything that is here.
    pub fn envelope(&self) -> pb::Envelope {
        self.redacted(SlotMask::from_bits(u32::MAX))
    }

    /// This record with the slots that are open in `other`, another copy of the same record, opened too; of
    /// the erased ones those in `reopened` alone. Returns the slots gained; `None` when it is another record.
    pub fn absorb(&mut self, other: &Self, reopened: SlotMask) -> Option<SlotMask> {
        if self.id != other.id {
            return None;
        }
        let mut gained = SlotMask::NONE;
        for (number, (own, others)) in
            SlotNumber::of(self.header.kind).zip(self.slots.iter_mut().zip(&other.slots))
        {
            let is_closed = match own {
                Slot::Open { .. } => false,
                Slot::Withheld(_) | Slot::ClaimedErased(_) => true,
                Slot::Erased(_) => reopened.contains(number),
            };
            if is_closed && matches!(others, Slot::Open { .. }) {
                *own = others.clone();
                gained = gained.with(number);
            }
        }
        Some(gained)
    }

    /// This record with these slots erased, whether they were open or withheld here.
    #[must_use]
    pub fn erased(&self, slots: SlotMask) -> Self {
        let erase = |(number, slot): (SlotNumber, &Slot)| {
            if slots.contains(number) {
                Slot::Erased(slot.commitment(self.header.kind, number))
            } else {
                slot.clone()
            }
        };
        Self { slots: self.numbered().map(erase).collect(), ..self.clone() }
    }

    /// This record as a partner forwards it: what it marks as erased is its own word.
    #[must_use]
    pub fn forwarded(self) -> Self {
        let claim = |slot| match slot {
            Slot::Erased(commitment) => Slot::ClaimedErased(commitment),
            slot => slot,
        };
        Self { slots: self.slots.into_iter().map(claim).collect(), ..self }
    }

    /// This record without these slots, as if they had not come.
    #[must_use]
    pub fn withholding(&self, slots: SlotMask) -> Self {
        let withhold = |(number, slot): (SlotNumber, &Slot)| match slot {
            Slot::Open { .. } if slots.contains(number) => {
                Slot::Withheld(slot.commitment(self.header.kind, number))
            }
            _ => slot.clone(),
        };
        Self { slots: self.numbered().map(withhold).collect(), ..self.clone() }
    }

    /// The slots that are erased here, or marked so by the originator that gave the record.
    pub fn erased_slots(&self) -> SlotMask {
        self.numbered()
            .filter(|(_, slot)| matches!(slot, Slot::Erased(_)))
            .fold(SlotMask::NONE, |mask, (number, _)| mask.with(number))
    }

    /// Returns true if all of these slots that the record has are erased here.
    pub fn is_erased(&self, slots: SlotMask) -> bool {
        slots.and(SlotMask::all(self.kind())).without(self.erased_slots()).is_empty()
    }

    /// The slots that may be shown under a set of classes.
    pub fn slots_in(&self, classes: ClassSet) -> SlotMask {
        self.header.kind.slots_of(classes)
    }
}

fn closed(state: pb::SlotState, commitment: Commitment) -> pb::Slot {
    pb::Slot {
        state: state.into(),
        salt: Bytes::new(),
        content: Bytes::new(),
        commitment: Bytes::copy_from_slice(&commitment),
    }
}

fn slots_from_wire(kind: Kind, wire: Vec<pb::Slot>) -> Result<Vec<Slot>, RecordError> {
    let wanted = kind.slots().len();
    if wire.len() != wanted {
        return Err(RecordError::SlotCount { kind, found: wire.len(), wanted });
    }
    let mut slots = Vec::with_capacity(wanted);
    for (number, slot) in SlotNumber::of(kind).zip(wire) {
        slots.push(slot_from_wire(number, slot)?);
    }
    Ok(slots)
}

fn slot_from_wire(number: SlotNumber, wire: pb::Slot) -> Result<Slot, RecordError> {
    let pb::Slot { state, salt, content, commitment } = wire;
    let refuse = |reason| RecordError::SlotState { slot: number.get(), reason };
    match pb::SlotState::try_from(state) {
        Ok(pb::SlotState::Open) if !commitment.is_empty() => {
            Err(refuse("an open slot carries a commitment"))
        }
        Ok(pb::SlotState::Open) => {
            let salt = salt[..].try_into().map_err(|_| refuse("its salt has not 16 bytes"))?;
            Ok(Slot::Open { salt, bytes: content })
        }
        Ok(state @ (pb::SlotState::Withheld | pb::SlotState::Erased)) => {
            if !salt.is_empty() || !content.is_empty() {
                return Err(refuse("a closed slot carries a salt or bytes"));
            }
            let commitment =
                commitment[..].try_into().map_err(|_| refuse("its commitment has not 32 bytes"))?;
            Ok(if state == pb::SlotState::Erased {
                Slot::Erased(commitment)
            } else {
                Slot::Withheld(commitment)
            })
        }
        Ok(pb::SlotState::Unspecified) | Err(_) => Err(refuse("its state is unknown")),
    }
}

/// The series ids in those slots of references that are open.
pub fn references(kind: Kind, slots: &[Slot]) -> impl Iterator<Item = SeriesId> {
    SlotNumber::of(kind)
        .zip(slots)
        .filter(move |(number, _)| number.spec(kind).rule == Rule::Series)
        .filter_map(|(_, slot)| match slot {
            Slot::Open { bytes, .. } => Some(wire::values_in(bytes)),
            Slot::Withheld(_) | Slot::Erased(_) | Slot::ClaimedErased(_) => None,
        })
        .flatten()
        .filter_map(|id| SeriesId::try_from(id).ok())
}

/// Checks the bytes of all open slots, and that a value is in its normal form. The form of a value whose type
/// was erased cannot be checked any more, and whoever sends it may have claimed the erasure: it is plain text of bounded
/// length, and [`Verified::value`] gives nothing for it, so that it is never indexed as a value of some type.
pub fn check_contents(kind: Kind, slots: &[Slot]) -> Result<(), RecordError> {
    let (mut value_type, mut is_type_erased) = (None, false);
    for (number, slot) in SlotNumber::of(kind).zip(slots) {
        let spec = number.spec(kind);
        is_type_erased |= spec.rule == Rule::ValueType
            && matches!(slot, Slot::Erased(_) | Slot::ClaimedErased(_));
        let Slot::Open { bytes, .. } = slot else { continue };
        let refuse = |error| RecordError::Slot { slot: number.get(), name: spec.name, error };
        wire::check_slot(kind, number, bytes).map_err(refuse)?;
        match spec.rule {
            Rule::ValueType => {
                value_type = wire::number_in(bytes)
                    .and_then(|n| ValueType::from_number(u32::try_from(n).ok()?).ok());
            }
            Rule::Value if is_type_erased => check_untyped(bytes).map_err(refuse)?,
            Rule::Value => check_value(value_type, bytes).map_err(refuse)?,
            _ => {}
        }
    }
    Ok(())
}

/// The type of the value that a record is about, if it is here.
fn value_type(kind: Kind, slots: &[Slot]) -> Option<ValueType> {
    let (_, slot) = SlotNumber::of(kind)
        .zip(slots)
        .find(|(number, _)| number.spec(kind).rule == Rule::ValueType)?;
    let Slot::Open { bytes, .. } = slot else { return None };
    ValueType::from_number(u32::try_from(wire::number_in(bytes)?).ok()?).ok()
}

fn check_value(value_type: Option<ValueType>, slot: &[u8]) -> Result<(), SlotError> {
    let rule = |text: String| SlotError::Rule(text);
    let value_type = value_type.ok_or_else(|| rule("its type is not given".to_owned()))?;
    let normal = Value::from_normalised(value_type, value_text(slot)?);
    normal.map(drop).map_err(|error| rule(error.to_string()))
}

fn check_untyped(slot: &[u8]) -> Result<(), SlotError> {
    Value::check_untyped(value_text(slot)?).map_err(SlotError::Rule)
}

fn value_text(slot: &[u8]) -> Result<&str, SlotError> {
    let rule = |text: String| SlotError::Rule(text);
    let text = wire::values_in(slot).next().ok_or_else(|| rule("it is empty".to_owned()))?;
    std::str::from_utf8(text).map_err(|error| rule(error.to_string()))
}
