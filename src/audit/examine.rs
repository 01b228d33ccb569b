//! The part of an audit that looks at each frame alone: hashes, decoding, the form of records.
//!
//! It knows nothing of what came before, so that pieces can be examined side by side; that is where
//! the time goes. Everything about order and keys is judged afterwards, in order.

use super::content::Content;
use super::failure::{Check, Fault};
use super::segment::{Chunk, FrameKind, Span};
use super::words::slots;
use crate::ident::{KeyId, RecordId, SeriesId, Timestamp, TreeHash};
use crate::merkle::leaf_hash;
use crate::pb::{self, journal_entry::Event};
use crate::policy::RecordFacts;
use crate::record::commit;
use crate::record::header::Header;
use crate::record::signed::{
    BatchSignature, KeyRing, RecordError, Signed, VerifiedRoots, verify_header,
};
use bytes::Bytes;
use prost::Message as _;

/// An entry must fit a C2SP tlog-tiles entry bundle, whose lengths have 16 bits.
const ENTRY_BYTES_MAX: usize = 65_535;
/// The flag of content that an erasure has overwritten.
const ERASED: u8 = 1;

/// The frames of a piece of a segment, each with its offset and looked at alone.
#[derive(Debug)]
pub struct Examined {
    pub(super) segment: u32,
    pub(super) frames: Vec<(u64, Result<DecodedFrame, Fault>)>,
}

/// The examined form of a frame.
#[derive(Debug)]
pub(super) enum DecodedFrame {
    Entry { leaf: TreeHash, at: Timestamp, told: DecodedEntry },
    Feed { number: u16, leaf: TreeHash, entry: pb::FeedEntry },
    Commit(Bytes),
}

/// The event of an entry, with the content that stands before it.
#[derive(Debug)]
pub(super) enum DecodedEntry {
    Accepted(Box<Accepted>),
    Extended { received: pb::SlotsReceived, content: Content },
    Erased { erased: pb::SlotsErased, content: Content },
    Other(Box<Event>),
}

/// A record whose form, slots and content rules are sound, or whose content was overwritten.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) attested: ExaminedRecord,
    pub(super) signature: pb::RecordSignature,
    pub(super) content: Content,
    pub(super) open_slots: u32,
    pub(super) partner: String,
    pub(super) feed_index: u64,
    /// The facts of the record that policy may see.
    pub(super) facts: RecordFacts,
}

/// The verifiable part of a record before its key is known.
#[derive(Debug)]
pub(super) enum ExaminedRecord {
    Whole(Box<Signed>),
    /// Without its content, which was overwritten.
    HeaderAlone {
        header: Box<Header>,
        id: RecordId,
        signature: Box<BatchSignature>,
    },
}

impl ExaminedRecord {
    pub(super) fn header(&self) -> &Header {
        match self {
            Self::Whole(signed) => signed.header(),
            Self::HeaderAlone { header, .. } => header,
        }
    }

    pub(super) fn id(&self) -> RecordId {
        match self {
            Self::Whole(signed) => signed.id(),
            Self::HeaderAlone { id, .. } => *id,
        }
    }

    /// The series that its content refers to, as far as it is here.
    pub(super) fn references(&self) -> Vec<SeriesId> {
        match self {
            Self::Whole(signed) => signed.references().collect(),
            Self::HeaderAlone { .. } => Vec::new(),
        }
    }

    /// The key that signed it.
    pub(super) fn verify(
        self,
        keys: &impl KeyRing,
        roots: &mut VerifiedRoots,
    ) -> Result<KeyId, RecordError> {
        match self {
            Self::Whole(signed) => {
                signed.verify(keys, roots).map(|record| record.signature().key_id)
            }
            Self::HeaderAlone { header, id, signature } => {
                verify_header(&header, &id, &signature, keys, roots).map(|()| signature.key_id)
            }
        }
    }
}

/// Looks at every frame of a piece.
pub fn examine(chunk: Chunk) -> Examined {
    let mut frames = Vec::with_capacity(chunk.spans.len());
    let mut content: Option<(u64, Bytes)> = None;
    for span in &chunk.spans {
        let offset = chunk.base + u64::from(span.start);
        let payload = chunk.payload(*span);
        if span.kind == FrameKind::Content && content.is_none() {
            if let Err(fault) = flags(*span) {
                frames.push((offset, Err(fault)));
            }
            content = Some((offset, payload));
            continue;
        }
        let before = content.take();
        let at = before.as_ref().map_or(offset, |(offset, _)| *offset);
        let found =
            flags(*span).and_then(|()| frame(*span, payload, before.map(|(_, before)| before)));
        frames.push((if found.is_err() { at } else { offset }, found));
    }
    Examined { segment: chunk.segment, frames }
}

fn flags(span: Span) -> Result<(), Fault> {
    match (span.kind, span.flags) {
        (_, 0) | (FrameKind::Content, ERASED) => Ok(()),
        (_, flags) => Err(Fault::new(Check::Frame, "no flags", format!("flags {flags:#04x}"))),
    }
}

fn frame(span: Span, payload: Bytes, content: Option<Bytes>) -> Result<DecodedFrame, Fault> {
    let stray = || Err(Fault::new(Check::FrameOrder, "the entry of the content", "another frame"));
    match span.kind {
        FrameKind::Entry => entry(&payload, leaf_hash(&payload), content),
        _ if content.is_some() => stray(),
        FrameKind::Content => stray(),
        FrameKind::Feed => feed(payload),
        FrameKind::Commit => Ok(DecodedFrame::Commit(payload)),
    }
}

/// Reads an entry whose leaf hash was computed.
pub(super) fn entry(
    bytes: &Bytes,
    leaf: TreeHash,
    content: Option<Bytes>,
) -> Result<DecodedFrame, Fault> {
    let fault = |expected: &str, found: String| Fault::new(Check::EntryForm, expected, found);
    if bytes.len() > ENTRY_BYTES_MAX {
        let found = format!("{} bytes", bytes.len());
        return Err(fault("an entry of at most 65535 bytes", found));
    }
    let entry = pb::JournalEntry::decode(bytes.clone())
        .map_err(|error| fault("a journal entry", error.to_string()))?;
    let at = i64::try_from(entry.at_ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .ok_or_else(|| fault("a time from 2000 to 2100", format!("{} ms", entry.at_ms)))?;
    let event =
        entry.event.ok_or_else(|| fault("an event that this program knows", "none".to_owned()))?;
    let told = match (event, content) {
        (Event::RecordAccepted(accepted), content) => {
            DecodedEntry::Accepted(Box::new(Accepted::read(accepted, content)?))
        }
        (Event::SlotsReceived(received), content) => {
            DecodedEntry::Extended { received, content: read(content)? }
        }
        (Event::SlotsErased(erased), content) => {
            DecodedEntry::Erased { erased, content: read(content)? }
        }
        (event, None) => DecodedEntry::Other(Box::new(event)),
        (_, Some(_)) => {
            let found = "an entry of another sort";
            return Err(Fault::new(Check::FrameOrder, "the entry of the content", found));
        }
    };
    Ok(DecodedFrame::Entry { leaf, at, told })
}

fn read(content: Option<Bytes>) -> Result<Content, Fault> {
    let missing = || Fault::new(Check::Content, "the record's content before its entry", "none");
    Content::read(&content.ok_or_else(missing)?)
}

impl Accepted {
    fn read(wire: pb::RecordAccepted, content: Option<Bytes>) -> Result<Self, Fault> {
        let pb::RecordAccepted { header, signature, partner, feed_index, client, open_slots } =
            wire;
        if client.is_empty() == partner.is_empty() {
            let found = format!("client {client:?} and partner {partner:?}");
            let expected = "the client or the partner that a record came from";
            return Err(Fault::new(Check::EntryForm, expected, found));
        }
        let content = read(content)?;
        if partner.is_empty() && !content.erased.is_empty() {
            let found = format!("{} erased without such an entry", slots(content.erased.bits()));
            let expected = "slots that are here, or an entry that says they were erased";
            return Err(Fault::new(Check::Content, expected, found));
        }
        let signature =
            signature.ok_or_else(|| Fault::new(Check::RecordSignature, "a signature", "none"))?;
        let attested = if content.is_overwritten {
            Self::header_alone(&header, signature.clone())?
        } else {
            Self::whole(header, signature.clone(), &content)?
        };
        if attested.id() != content.id {
            let expected = format!("the content of record {}", attested.id());
            return Err(Fault::new(Check::Content, expected, format!("that of {}", content.id)));
        }
        let facts = RecordFacts::from(attested.header());
        Ok(Self { attested, signature, content, open_slots, partner, feed_index, facts })
    }

    fn header_alone(
        bytes: &Bytes,
        signature: pb::RecordSignature,
    ) -> Result<ExaminedRecord, Fault> {
        let fault = |error: &dyn std::fmt::Display| {
            Fault::new(Check::RecordForm, "a header and signature of the one form", error)
        };
        let header = Header::decode(bytes).map_err(|error| fault(&error))?;
        let signature = BatchSignature::try_from(signature).map_err(|error| fault(&error))?;
        let id = commit::record_id(bytes);
        let signature = Box::new(signature);
        Ok(ExaminedRecord::HeaderAlone { header: Box::new(header), id, signature })
    }

    fn whole(
        header: Bytes,
        signature: pb::RecordSignature,
        content: &Content,
    ) -> Result<ExaminedRecord, Fault> {
        let signed = Signed::of(header, signature, content.slots.clone()).map_err(|error| {
            let check = match error {
                RecordError::SlotsHash
                | RecordError::Slot { .. }
                | RecordError::SlotCount { .. }
                | RecordError::SlotState { .. } => Check::Content,
                _ => Check::RecordForm,
            };
            Fault::new(check, "a record as its originator signed it", error)
        })?;
        Ok(ExaminedRecord::Whole(Box::new(signed)))
    }
}

fn feed(payload: Bytes) -> Result<DecodedFrame, Fault> {
    let Some((number, _)) = payload.split_first_chunk::<2>() else {
        let found = format!("{} bytes", payload.len());
        return Err(Fault::new(Check::FeedEntry, "an entry of a feed", found));
    };
    let number = u16::from_le_bytes(*number);
    let bytes = payload.slice(2..);
    let leaf = leaf_hash(&bytes);
    Ok(DecodedFrame::Feed { number, leaf, entry: feed_entry(bytes)? })
}

pub(super) fn feed_entry(bytes: Bytes) -> Result<pb::FeedEntry, Fault> {
    pb::FeedEntry::decode(bytes)
        .map_err(|error| Fault::new(Check::FeedEntry, "an entry of a feed", error))
}
