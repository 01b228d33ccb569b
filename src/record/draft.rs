//! A record before it is signed, and the step that signs it.
//!
//! A draft is normalised and checked once, here. Signing takes whole batches; salts and padding
//! come from the caller, because nothing here draws random numbers.

use super::commit::{self, Salt};
use super::content::Content;
pub use super::draft_error::{DraftError, KEY_BYTES_MAX};
use super::header::{self, Header, HeaderError};
use super::kind::Kind;
use super::marking::Marking;
use super::personal;
use super::signed::{self, BatchSignature, RecordError, Slot, Verified};
use super::slots::{SlotMask, SlotNumber};
use super::times;
use super::wire;
use super::withdrawal;
use crate::ident::{AgencyName, KeyId, RecordId, SeriesId, Timestamp};
use crate::merkle::{BATCH_LEAVES, BatchTree};
use crate::pb;
use bytes::Bytes;
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const SERIES_TAG: &[u8] = b"liaison/series/v1\0";
const FINGERPRINT_TAG: &[u8] = b"liaison/fingerprint/v1\0";

/// Times that one thing is recorded again after a withdrawal. Every submission of it looks up as many
/// withdrawn series, so they are few; who withdraws more often corrects the source.
pub const REINSTATEMENTS_MAX: u8 = 16;

impl From<HeaderError> for DraftError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Field { field, reason } => Self::new(field, reason),
            other => Self::new("header", other),
        }
    }
}

impl From<RecordError> for DraftError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Slot { name, error, .. } => Self::new(name, error),
            other => Self::new("content", other),
        }
    }
}

/// The originator's own secret that makes series ids unguessable.
pub struct SeriesSecret([u8; 32]);

impl SeriesSecret {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(&self, tag: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of every length.
        #[allow(clippy::expect_used)]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key length");
        mac.update(tag);
        mac
    }
}

impl Drop for SeriesSecret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// A checked, normalised record without place in a series, salts and signature.
#[derive(Debug, Clone)]
pub struct Draft {
    kind: Kind,
    marking: Marking,
    labels: Vec<String>,
    operation: Option<String>,
    confidence: u8,
    slots: Vec<Bytes>,
    natural_key: Vec<u8>,
    times: Vec<times::Named>,
    reinstate: bool,
}

impl TryFrom<pb::Draft> for Draft {
    type Error = DraftError;

    fn try_from(wire: pb::Draft) -> Result<Self, DraftError> {
        let pb::Draft { marking, mut labels, operation, confidence, key, reinstate, content } =
            wire;
        let content = content
            .ok_or_else(|| DraftError::new("content", "the content is missing; set one kind"))?;
        let mut content = Content::from(content);
        content.normalise()?;
        labels.sort_unstable();
        labels.dedup();
        let marking = marking.ok_or_else(|| {
            DraftError::new("marking", "a record without a marking is refused; give TLP and PAP")
        })?;
        let mut marking = Marking::try_from(sorted(marking))?;
        personal::declare(&content, &mut marking)?;
        let draft = Self::assemble(
            content,
            marking,
            header::labels_in(labels)?,
            header::operation_in(operation)?,
            header::confidence_in(confidence)?,
            &key,
        )?;
        Ok(Self { reinstate, ..draft })
    }
}

/// Lists in a marking may come in any order; they are signed in one.
fn sorted(mut marking: pb::Marking) -> pb::Marking {
    let in_order = |list: &mut Vec<String>| {
        list.sort_unstable();
        list.dedup();
    };
    if let Some(list) = &mut marking.releasable_to {
        in_order(&mut list.agencies);
    }
    if let Some(list) = &mut marking.circles {
        in_order(&mut list.circles);
    }
    in_order(&mut marking.jurisdictions);
    in_order(&mut marking.foreign);
    marking
}

impl Draft {
    fn assemble(
        content: Content,
        marking: Marking,
        labels: Vec<String>,
        operation: Option<String>,
        confidence: u8,
        key: &str,
    ) -> Result<Self, DraftError> {
        let kind = content.kind();
        let times = times::in_order(&content)?;
        let natural_key = content.natural_key(key)?;
        let slots = wire::split(kind, &content.encode())
            .map_err(|error| DraftError::new("content", error))?;
        let checked: Vec<Slot> = slots
            .iter()
            .map(|bytes| Slot::Open { salt: Salt::default(), bytes: bytes.clone() })
            .collect();
        signed::check_contents(kind, &checked)?;
        Ok(Self {
            kind,
            marking,
            labels,
            operation,
            confidence,
            slots,
            natural_key,
            times,
            reinstate: false,
        })
    }

    /// Returns the withdrawal of a series: nothing of its revisions is in it.
    pub fn withdrawal(content: pb::Withdrawal) -> Result<Self, DraftError> {
        Self::assemble(
            Content::Withdrawal(content),
            withdrawal::marking(),
            Vec::new(),
            None,
            withdrawal::CONFIDENCE,
            "withdrawal",
        )
    }

    /// Refuses a draft of something that has not happened by the node's time, or that ends too late.
    pub fn check_times(&self, now: Timestamp) -> Result<(), DraftError> {
        times::check_ahead(&self.times, now)
    }

    /// Refuses a new record whose marking has ended by the node's time: nobody would get it, or it would be
    /// erased at once.
    pub fn check_marking_times(&self, now: Timestamp) -> Result<(), DraftError> {
        times::check_not_past("marking.expires_at_ms", self.marking.expires, now)?;
        times::check_not_past("marking.retain_until_ms", self.marking.retain_until, now)
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub const fn marking(&self) -> &Marking {
        &self.marking
    }

    #[cfg(test)]
    pub(crate) const fn set_tlp(&mut self, tlp: super::marking::Tlp) {
        self.marking.tlp = tlp;
    }

    /// Returns whether it may begin a new series where its series was withdrawn.
    pub const fn may_reinstate(&self) -> bool {
        self.reinstate
    }

    /// Returns the stable identity of the thing that the draft is about, for those who know the
    /// secret.
    pub fn series(&self, secret: &SeriesSecret) -> SeriesId {
        self.series_after(0, secret)
    }

    /// Returns the series that begins after so many withdrawals. Each kind has a fixed number of key
    /// parts, so the further part of a later series is not the key of another thing.
    pub fn series_after(&self, reinstatements: u8, secret: &SeriesSecret) -> SeriesId {
        let mut mac = secret.mac(SERIES_TAG);
        mac.update(&[self.kind.number()]);
        mac.update(&self.natural_key);
        if reinstatements > 0 {
            mac.update(&1_u32.to_be_bytes());
            mac.update(&[reinstatements]);
        }
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let mut id = [0; SeriesId::BYTES];
        id.copy_from_slice(&digest[..SeriesId::BYTES]);
        SeriesId::from_bytes(id)
    }

    /// The slots that are not empty.
    pub fn filled_slots(&self) -> SlotMask {
        SlotNumber::of(self.kind)
            .zip(&self.slots)
            .filter(|(_, bytes)| !bytes.is_empty())
            .fold(SlotMask::NONE, |mask, (number, _)| mask.with(number))
    }

    /// Returns a fingerprint that is equal for drafts with the same content. It is keyed, so that
    /// it reveals nothing about erased content.
    pub fn fingerprint(&self, secret: &SeriesSecret) -> [u8; 32] {
        fingerprint(
            secret,
            self.kind,
            &self.marking,
            &self.labels,
            self.operation.as_deref(),
            self.confidence,
            self.slots.iter(),
        )
    }

    /// Fixes the record's place and draws a salt for each slot: all that is left is to sign it.
    pub fn seal(
        self,
        originator: AgencyName,
        place: Place,
        created_at: Timestamp,
        mut salt: impl FnMut() -> Salt,
    ) -> Sealed {
        let slots: Vec<Slot> =
            self.slots.into_iter().map(|bytes| Slot::Open { salt: salt(), bytes }).collect();
        let commitments =
            SlotNumber::of(self.kind).zip(&slots).map(|(n, slot)| slot.commitment(self.kind, n));
        let header = Header {
            kind: self.kind,
            originator,
            series: place.series,
            revision: place.revision,
            previous: place.previous,
            created_at,
            labels: self.labels,
            operation: self.operation,
            confidence: self.confidence,
            marking: self.marking,
            slots_hash: commit::slots_hash(self.kind, commitments),
        };
        let header_bytes = header.encode();
        Sealed { id: commit::record_id(&header_bytes), header_bytes, header, slots }
    }
}

/// The fingerprint that a draft saying the same as this record would have; `None` once a slot of
/// it is not here.
pub fn fingerprint_of(record: &Verified, secret: &SeriesSecret) -> Option<[u8; 32]> {
    let slots: Vec<&Bytes> = record
        .slots()
        .iter()
        .map(|slot| match slot {
            Slot::Open { bytes, .. } => Some(bytes),
            Slot::Withheld(_) | Slot::Erased(_) | Slot::ClaimedErased(_) => None,
        })
        .collect::<Option<_>>()?;
    let header = record.header();
    Some(fingerprint(
        secret,
        header.kind,
        &header.marking,
        &header.labels,
        header.operation.as_deref(),
        header.confidence,
        slots.into_iter(),
    ))
}

fn fingerprint<'a>(
    secret: &SeriesSecret,
    kind: Kind,
    marking: &Marking,
    labels: &[String],
    operation: Option<&str>,
    confidence: u8,
    slots: impl Iterator<Item = &'a Bytes>,
) -> [u8; 32] {
    use prost::Message as _;
    let mut mac = secret.mac(FINGERPRINT_TAG);
    let mut part = |bytes: &[u8]| {
        mac.update(&(bytes.len() as u32).to_be_bytes());
        mac.update(bytes);
    };
    part(&[kind.number(), confidence, labels.len() as u8]);
    part(&pb::Marking::from(marking).encode_to_vec());
    labels.iter().for_each(|label| part(label.as_bytes()));
    part(operation.unwrap_or_default().as_bytes());
    slots.for_each(|bytes| part(bytes));
    mac.finalize().into_bytes().into()
}

/// The position of a new record in its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub series: SeriesId,
    pub revision: u32,
    pub previous: Option<RecordId>,
}

impl Place {
    pub const fn first(series: SeriesId) -> Self {
        Self { series, revision: 1, previous: None }
    }

    /// The place of a withdrawal.
    pub const fn end(series: SeriesId) -> Self {
        Self { series, revision: withdrawal::END_OF_SERIES, previous: None }
    }

    pub const fn after(series: SeriesId, revision: u32, previous: RecordId) -> Self {
        Self { series, revision: revision + 1, previous: Some(previous) }
    }
}

/// A record that is complete but for its signature.
#[derive(Debug)]
pub struct Sealed {
    id: RecordId,
    header_bytes: Bytes,
    header: Header,
    slots: Vec<Slot>,
}

impl Sealed {
    pub const fn id(&self) -> RecordId {
        self.id
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }
}

/// Signs records in batches of at most 64, each a tree of exactly 64 leaves. `draw` returns other
/// random bytes at each call, for the places of the records and the leaves that are not records.
/// Each root's signature is verified before it is used, so that a fault while signing cannot leave
/// the program.
pub fn sign(
    records: Vec<Sealed>,
    key: &SigningKey,
    key_id: KeyId,
    mut draw: impl FnMut() -> [u8; 32],
) -> Result<Vec<Verified>, RecordError> {
    let mut signed = Vec::with_capacity(records.len());
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let batch: Vec<Sealed> = records.by_ref().take(BATCH_LEAVES).collect();
        sign_batch(batch, key, key_id, &mut draw, &mut signed)?;
    }
    Ok(signed)
}

fn sign_batch(
    batch: Vec<Sealed>,
    key: &SigningKey,
    key_id: KeyId,
    draw: impl FnMut() -> [u8; 32],
    signed: &mut Vec<Verified>,
) -> Result<(), RecordError> {
    let ids: Vec<RecordId> = batch.iter().map(Sealed::id).collect();
    let tree = BatchTree::new(&ids, draw)?;
    let message = commit::batch_message(&tree.root());
    let bytes = key.sign(&message).to_bytes();
    key.verifying_key().verify_strict(&message, &Signature::from_bytes(&bytes)).map_err(|_| {
        RecordError::SignatureForm("the signature just made does not verify; the machine is faulty")
    })?;
    for (path, record) in tree.paths().zip(batch) {
        let signature = BatchSignature { key_id, path, bytes };
        let Sealed { id, header_bytes, header, slots } = record;
        signed.push(Verified::signed_here(header_bytes, header, id, signature, slots));
    }
    Ok(())
}
