//! The bodies of the fuzz targets. Each takes its bytes as coming from outside. It holds accepted
//! bytes to the promises of the formats.
//!
//! Each returns whether the bytes were accepted, so that the tests can show that the seeds reach
//! what they are for. Used by `cargo fuzz` and, with the seeds and cheap mutations, by the tests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use liaison::audit::{Anchor, ProofFile, verify_proof};
use liaison::exchange::{Batch, ConsentMessage, FeedEntry};
use liaison::ident::{AgencyName, KeyId, SeriesId, Timestamp};
use liaison::merkle::{
    AddCheckpoint, Checkpoint, Note, NoteSignature, NoteText, NoteVerifier, Tile, TlogProof,
    encode_hashes, push_entry, signature_lines,
};
use liaison::partner::{Card, armour};
use liaison::pb;
use liaison::record::commit;
use liaison::record::consent::Parties;
use liaison::record::content::Content;
use liaison::record::draft::{self, Draft, Place, SeriesSecret};
use liaison::record::header::Header;
use liaison::record::kind::Kind;
use liaison::record::signed::{KeyRing, Signed, VerifiedRoots};
use liaison::record::slots::{Rule, SlotMask, SlotNumber};
use liaison::record::{stored, withdrawal};
use liaison::store::{Disk, Position, SegmentOptions, Segments};
use liaison::value::{Value, ValueType};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

/// A target: its name, which is that of its directory of seeds, and what it does.
pub type Target = (&'static str, fn(&[u8]) -> bool);

pub const TARGETS: [Target; 18] = [
    ("envelope", envelope),
    ("header", header),
    ("slot", slot),
    ("content_frame", content_frame),
    ("note", note),
    ("checkpoint", checkpoint),
    ("verifier_key", verifier_key),
    ("add_checkpoint", add_checkpoint),
    ("tlog_proof", tlog_proof),
    ("tile", tile),
    ("proof_file", proof_file),
    ("journal_entry", journal_entry),
    ("feed_batch", feed_batch),
    ("consent", consent),
    ("draft", draft),
    ("card", card),
    ("segment", segment),
    ("value", value),
];

/// Knows one record key for every agency: that of the seeds.
pub struct SeedKey;

impl SeedKey {
    pub const ID: KeyId = KeyId::from_bytes([7; 16]);

    pub fn signing() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }
}

impl KeyRing for SeedKey {
    fn record_key(&self, _: &AgencyName, key: KeyId, _: Timestamp) -> Option<VerifyingKey> {
        (key == Self::ID).then(|| Self::signing().verifying_key())
    }
}

/// An entry of a feed about consent is in its one encoding, and a statement holds for its two parties
/// and for no others.
pub fn consent(data: &[u8]) -> bool {
    let Ok(entry) = FeedEntry::decode(data) else { return false };
    let Some(said) = entry.message.as_deref() else { return false };
    assert_eq!(entry.encode(), data);
    if let ConsentMessage::Consent(consent) = said {
        let [originator, holder, other] =
            ["npa.go.jp", "jc3.or.jp", "dcu.example"].map(|name| name.parse().expect("a name"));
        let holds =
            |originator, holder| consent.verify(Parties { originator, holder }, &SeedKey).is_ok();
        assert!(!holds(&originator, &other) && !holds(&other, &holder));
        return holds(&originator, &holder);
    }
    true
}

/// A record that verifies does so from its own bytes again, in full and with every field withheld.
pub fn envelope(data: &[u8]) -> bool {
    let mut roots = VerifiedRoots::default();
    let Ok(signed) = pb::Envelope::decode(data).map(Signed::decode) else { return false };
    let Ok(record) = signed.and_then(|signed| signed.verify(&SeedKey, &mut roots)) else {
        return false;
    };
    let again = |wire: pb::Envelope| {
        let wire = pb::Envelope::decode(wire.encode_to_vec().as_slice()).expect("it was encoded");
        Signed::decode(wire)
            .and_then(|signed| signed.verify(&SeedKey, &mut VerifiedRoots::default()))
    };
    assert_eq!(again(record.envelope()).as_ref(), Ok(&record));
    let withheld = again(record.redacted(SlotMask::NONE)).expect("redaction is omission");
    assert_eq!((withheld.id(), withheld.open_slots()), (record.id(), SlotMask::NONE));
    record.content().expect("slots that were checked join to a message");
    true
}

/// Checks that an accepted header is in its one encoding.
pub fn header(data: &[u8]) -> bool {
    let Ok(header) = Header::decode(data) else { return false };
    assert_eq!(header.encode(), data);
    true
}

/// Byte 0 picks the kind, byte 1 the slot, byte 2 the type of a value; the rest is the slot. Slots
/// that are accepted join to a message that is encoded in the same bytes.
pub fn slot(data: &[u8]) -> bool {
    let [kind, slot, value_type, bytes @ ..] = data else { return false };
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    let number = u32::from(*slot) % kind.slots().len() as u32 + 1;
    let number = SlotNumber::in_kind(number, kind).expect("it is within the table");
    let contents: Vec<Bytes> = SlotNumber::of(kind)
        .map(|at| match at.spec(kind).rule {
            _ if at == number => Bytes::copy_from_slice(bytes),
            Rule::ValueType => vec![0x08, *value_type].into(),
            // The domain a.example, for where the value is not what is tried.
            Rule::Value => Bytes::from_static(b"\x12\x09a.example"),
            _ => Bytes::new(),
        })
        .collect();
    if Signed::decode(unsigned(kind, &contents)).is_err() {
        return false;
    }
    let joined = contents.concat();
    let content =
        Content::decode(kind, &joined).expect("slots that were checked join to a message");
    assert_eq!(content.encode(), joined, "the slots are in their one encoding");
    true
}

/// An envelope whose form is sound, around any contents.
fn unsigned(kind: Kind, contents: &[Bytes]) -> pb::Envelope {
    let salt = [0; 16];
    let commitments = SlotNumber::of(kind)
        .zip(contents)
        .map(|(number, bytes)| commit::slot_commitment(kind, number, &salt, bytes));
    let header = Header {
        kind,
        originator: "npa.go.jp".parse().expect("it is an agency name"),
        series: SeriesId::from_bytes([1; 16]),
        revision: 1,
        previous: None,
        created_at: Timestamp::MIN,
        labels: Vec::new(),
        operation: None,
        confidence: 0,
        marking: withdrawal::marking(),
        slots_hash: commit::slots_hash(kind, commitments),
    };
    let open = |bytes: &Bytes| pb::Slot {
        state: pb::SlotState::Open.into(),
        salt: Bytes::copy_from_slice(&salt),
        content: bytes.clone(),
        commitment: Bytes::new(),
    };
    pb::Envelope {
        header: header.encode(),
        signature: Some(pb::RecordSignature {
            key_id: Bytes::from_static(&[7; 16]),
            leaf_index: 0,
            path: Bytes::from_static(&[5; 192]),
            signature: Bytes::from_static(&[0; 64]),
        }),
        slots: contents.iter().map(open).collect(),
    }
}

/// A content frame of the store, which may have rotted.
pub fn content_frame(data: &[u8]) -> bool {
    stored::read(&Bytes::copy_from_slice(data)).is_ok()
}

/// Checks that an accepted note prints back to itself.
pub fn note(data: &[u8]) -> bool {
    let Ok(note) = Note::parse(data) else { return false };
    assert_eq!(note.to_bytes(), data);
    true
}

/// Checks that an accepted checkpoint prints back to itself.
pub fn checkpoint(data: &[u8]) -> bool {
    let text = String::from_utf8(data.to_vec()).ok().and_then(|text| NoteText::new(text).ok());
    let Some(text) = text else { return false };
    let Ok(checkpoint) = Checkpoint::parse(&text) else { return false };
    assert_eq!(checkpoint.to_text(), text);
    true
}

/// Checks that an accepted key prints back to itself.
pub fn verifier_key(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let Ok(key) = text.parse::<NoteVerifier>() else { return false };
    assert_eq!(key.to_string(), text);
    true
}

/// Checks that an accepted request prints back to itself, and so do the signature lines that answer
/// it.
pub fn add_checkpoint(data: &[u8]) -> bool {
    if let Ok(lines) = NoteSignature::parse_lines(data) {
        assert_eq!(signature_lines(&lines).as_bytes(), data);
    }
    let Ok(request) = AddCheckpoint::parse(data) else { return false };
    assert_eq!(request.to_bytes(), data);
    assert!(request.old() <= request.checkpoint().size());
    true
}

/// Checks that an accepted proof prints back to itself.
pub fn tlog_proof(data: &[u8]) -> bool {
    let Ok(proof) = TlogProof::parse(data) else { return false };
    assert_eq!(proof.to_bytes(), data);
    true
}

/// A path, a line feed, and the bytes of that tile. A path prints back to itself, and accepted bytes
/// are written the same.
pub fn tile(data: &[u8]) -> bool {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return false };
    let (path, bytes) = (std::str::from_utf8(&data[..at]).unwrap_or_default(), &data[at + 1..]);
    let Ok(tile) = path.parse::<Tile>() else { return false };
    assert_eq!(tile.to_string(), path);
    if let Ok(hashes) = tile.parse_hashes(bytes) {
        assert_eq!(encode_hashes(&hashes), bytes);
        return true;
    }
    let Ok(entries) = tile.parse_entries(bytes) else { return false };
    assert_eq!(entries.len(), usize::from(tile.width()));
    let mut again = Vec::new();
    for entry in entries {
        push_entry(&mut again, entry).expect("it fitted before");
    }
    assert_eq!(again, bytes);
    true
}

/// Checks that an accepted proof file prints back to itself. The sum, of which no mutation would be
/// right, is made anew.
pub fn proof_file(data: &[u8]) -> bool {
    let end = data.windows(10).rposition(|window| window == b"-- sha256 ");
    let body = &data[..end.unwrap_or(data.len())];
    let sum: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let summed = [body, format!("-- sha256 {sum}\n").as_bytes()].concat();
    let Ok(file) = ProofFile::parse(&summed) else { return false };
    assert_eq!(file.to_bytes(), summed);
    let _ = verify_proof(&summed, &Anchor::Directory);
    true
}

/// An entry of a journal that somebody else wrote.
pub fn journal_entry(data: &[u8]) -> bool {
    liaison::journal::entry::decode(0, &Bytes::copy_from_slice(data)).is_ok()
}

/// A batch of a partner's feed is within its bounds where it is accepted.
pub fn feed_batch(data: &[u8]) -> bool {
    let Ok(wire) = pb::FeedBatch::decode(data) else { return false };
    let start = wire.start;
    let Ok(batch) = Batch::try_from(wire) else { return false };
    assert_eq!(batch.end().get() - batch.start().get(), batch.entries().len() as u64);
    assert_eq!(batch.start().get(), start);
    for entry in batch.entries() {
        if let Ok(entry) = FeedEntry::decode(entry) {
            FeedEntry::decode(&entry.encode()).expect("it was decoded before");
        }
    }
    true
}

/// Checks that an accepted draft is sealed in slots that would be accepted from others.
pub fn draft(data: &[u8]) -> bool {
    let Ok(wire) = pb::Draft::decode(data) else { return false };
    let Ok(draft) = Draft::try_from(wire) else { return false };
    let place = Place::first(draft.series(&SeriesSecret::from_bytes([9; 32])));
    let agency = "npa.go.jp".parse().expect("it is an agency name");
    let sealed = draft.seal(agency, place, Timestamp::MIN, || [0; 16]);
    let signed = draft::sign(vec![sealed], &SeedKey::signing(), SeedKey::ID, || [5; 32]);
    let envelope = signed.expect("a draft that was accepted can be signed")[0].envelope();
    let verified = Signed::decode(envelope)
        .and_then(|signed| signed.verify(&SeedKey, &mut VerifiedRoots::default()));
    verified.expect("what is signed here is accepted elsewhere");
    true
}

/// The armour gives one reading; the card inside verifies or is refused. Accepted is what is
/// armoured soundly.
pub fn card(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(inside) = armour::unwrap(text) else { return false };
    let wrapped = armour::wrap(&inside).map(|text| armour::unwrap(&text));
    assert_eq!(wrapped, Ok(Ok(inside)));
    if let Ok(card) = Card::verify(text) {
        assert_eq!(Card::verify(&card.to_armour().expect("it came in armour")).as_ref(), Ok(&card));
    }
    true
}

/// Writes without waiting for the disk: what is tried here is reading.
#[derive(Debug)]
struct Unsynced;

impl Disk for Unsynced {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes are a segment file as start-up finds it. What it recovers can be read, and a second
/// start-up finds nothing more to do. Accepted is a log with a commit.
pub fn segment(data: &[u8]) -> bool {
    let dir = tempfile::tempdir().expect("a directory for the segment");
    let segments = dir.path().join("segments");
    std::fs::create_dir(&segments).expect("a directory for the segment");
    std::fs::write(segments.join("00000001.seg"), data).expect("the segment is written");
    let open = || {
        let options = SegmentOptions { disk: Arc::new(Unsynced), ..SegmentOptions::default() };
        Segments::open(dir.path(), options, None)
    };
    let Ok((log, recovery)) = open() else { return false };
    for frame in log.reader().scan(Position::START) {
        frame.expect("what start-up accepted can be read");
    }
    drop(log);
    let (_, again) = open().expect("what start-up recovered it takes again");
    assert_eq!((again.end, again.torn_bytes), (recovery.end, 0));
    recovery.last_commit.is_some()
}

/// Byte 0 picks the type, the rest is what somebody typed. A normal form is its own normal form.
pub fn value(data: &[u8]) -> bool {
    let Some((value_type, text)) = data.split_first() else { return false };
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let value_type = ValueType::ALL[usize::from(*value_type) % ValueType::ALL.len()];
    let found = [Value::normalise(value_type, text), Value::guess(text)];
    for value in found.iter().flatten() {
        let again = Value::from_normalised(value.value_type(), value.text());
        assert_eq!(again.as_ref(), Ok(value));
    }
    found[0].is_ok()
}
