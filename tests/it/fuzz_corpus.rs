//! Replays the seeds of the fuzz targets, each with a thousand cheap mutations: a smoke run of about ten seconds.
//!
//! The mutations are the same in every run: a failure here is a fact, not luck. The seeds are made
//! here too, so that they follow the formats: `LIAISON_BLESS=1 cargo test --test it fuzz_corpus`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use liaison::audit::ProofFile;
use liaison::exchange::{ConsentMessage, FeedAction, FeedEntry};
use liaison::ident::{LeafIndex, PolicyVersion, TreeHash, TreeSize};
use liaison::merkle::{
    AddCheckpoint, Checkpoint, Cosigner, Note, NoteSigner, NoteVerifier, SignedCheckpoint,
    TileTree, TlogProof, TreeHead, leaf_hash,
};
use liaison::partner::armour;
use liaison::pb;
use liaison::record::consent::{
    Consent, ConsentRequest, ConsentTerms, ConsentVerdict, Parties, Purpose, Scope, Subject,
};
use liaison::record::draft::{self, Draft, Place, SeriesSecret};
use liaison::record::signed::Verified;
use liaison::record::slots::SlotMask;
use liaison::record::stored;
use liaison::store::{Batch, SegmentOptions, Segments};
use prost::Message as _;

use crate::bodies::{SeedKey, TARGETS};
use crate::fixture::hex;
use crate::random::Random;

/// Mutations of each seed, so that all take about ten seconds; targets that open files get a fifth.
const MUTATIONS: u32 = 1_200;

fn seeds_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")
}

/// A seed as it is made: target, name, bytes. The target accepts all but those named `refused-*`.
type Seed = (&'static str, &'static str, Vec<u8>);

/// A draft as a client submits it.
fn wire_draft(number: u8) -> pb::Draft {
    let marking = pb::Marking {
        tlp: pb::Tlp::Amber.into(),
        pap: pb::Pap::Green.into(),
        releasable_to: Some(pb::AgencyList { agencies: vec!["jc3.or.jp".to_owned()] }),
        ..pb::Marking::default()
    };
    pb::Draft {
        marking: Some(marking),
        labels: vec!["takedown".to_owned()],
        operation: "chakra-v".to_owned(),
        confidence: 80,
        key: String::new(),
        reinstate: false,
        content: Some(pb::draft::Content::Indicator(pb::Indicator {
            value: format!("pop-up{number}[.]example"),
            role: "popup".to_owned(),
            first_seen_ms: 1_750_000_000_000,
            source: "feed a".to_owned(),
            references: vec!["one".to_owned(), "two".to_owned()],
            cases: vec![Bytes::from_static(&[3; 16])],
            ..pb::Indicator::default()
        })),
    }
}

fn signed(count: u8) -> Vec<Verified> {
    let seal = |number: u8| {
        let draft = Draft::try_from(wire_draft(number)).unwrap();
        let place = Place::first(draft.series(&SeriesSecret::from_bytes([9; 32])));
        let at = "2026-03-01T10:00:00Z".parse().unwrap();
        let mut next = number;
        draft.seal("npa.go.jp".parse().unwrap(), place, at, || {
            next = next.wrapping_add(10);
            [next; 16]
        })
    };
    draft::sign((0..count).map(seal).collect(), &SeedKey::signing(), SeedKey::ID, || [5; 32])
        .unwrap()
}

fn checkpoint() -> SignedCheckpoint {
    let log = NoteSigner::new("npa.go.jp/journal".parse().unwrap(), SeedKey::signing());
    let origin = "npa.go.jp/journal".parse().unwrap();
    SignedCheckpoint::sign(Checkpoint::new(origin, TreeHead::EMPTY).unwrap(), &log)
}

fn receipted() -> Vec<u8> {
    let signed = checkpoint();
    let cosigner = Cosigner::new("jc3.or.jp/receipt".parse().unwrap(), SeedKey::signing());
    let at: liaison::ident::Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    let line = cosigner.cosign(signed.checkpoint(), at.into());
    signed.note().clone().with_signatures([line]).unwrap().to_bytes()
}

fn verifier_key() -> NoteVerifier {
    let log = NoteSigner::new("npa.go.jp/journal".parse().unwrap(), SeedKey::signing());
    NoteVerifier::from(&log)
}

/// Two entries, and the note over them.
fn log_of_two() -> (TileTree, Vec<TreeHash>, Note) {
    let leaves = vec![leaf_hash(b"an entry"), leaf_hash(b"another")];
    let tree: TileTree = leaves.iter().copied().collect();
    let log = NoteSigner::new("npa.go.jp/journal".parse().unwrap(), SeedKey::signing());
    let origin = "npa.go.jp/journal".parse().unwrap();
    let signed = SignedCheckpoint::sign(Checkpoint::new(origin, tree.head()).unwrap(), &log);
    (tree, leaves, signed.note().clone())
}

fn proof(extra: &[u8]) -> Vec<u8> {
    let (tree, leaves, note) = log_of_two();
    let index = LeafIndex::new(0);
    let path = tree.inclusion(&leaves, index, tree.size()).unwrap();
    let proof = TlogProof::new(index, path, note).unwrap();
    let proof = if extra.is_empty() { proof } else { proof.with_extra(extra.to_vec()).unwrap() };
    proof.to_bytes()
}

/// Its form is sound; its card and its acceptance are not.
fn proof_file() -> Vec<u8> {
    let card = pb::SignedCard {
        card: Bytes::from_static(&[7; 60]),
        signature: Bytes::from_static(&[8; 64]),
    };
    let acceptance = TlogProof::parse(&proof(b"an entry")).unwrap();
    let file = ProofFile {
        envelope: signed(1)[0].envelope(),
        cards: [("npa.go.jp".parse().unwrap(), vec![card])].into(),
        holder: "npa.go.jp".parse().unwrap(),
        consent: None,
        disclosures: [("jc3.or.jp".parse().unwrap(), acceptance.clone())].into(),
        acceptance,
    };
    file.to_bytes()
}

/// A request to a witness; its log has five entries.
fn asked(old: u64, proof: &[u8]) -> Vec<u8> {
    let log = NoteSigner::new("npa.go.jp/journal".parse().unwrap(), SeedKey::signing());
    let head = TreeHead { size: TreeSize::new(5), root: leaf_hash(b"") };
    let origin = "npa.go.jp/journal".parse().unwrap();
    let signed = SignedCheckpoint::sign(Checkpoint::new(origin, head).unwrap(), &log);
    let proof = proof.iter().map(|byte| TreeHash::from_bytes([*byte; 32])).collect();
    AddCheckpoint::new(TreeSize::new(old), proof, signed.note().clone()).unwrap().to_bytes()
}

/// A first part before the note of the empty log.
fn text_seed(before: &str) -> Vec<u8> {
    [before.as_bytes(), &checkpoint().to_bytes()].concat()
}

fn journal_entry() -> Vec<u8> {
    let published = pb::FeedPublished {
        partner: "jc3.or.jp".to_owned(),
        note: checkpoint().to_bytes().into(),
        considered: 7,
        policy_version: 1,
        records_disclosed: 2,
        fields_withheld: 3,
        rescan_rules: 4,
        rescan_next: 5,
        rescan_end: 6,
        ..pb::FeedPublished::default()
    };
    let event = Some(pb::journal_entry::Event::FeedPublished(published));
    pb::JournalEntry { at_ms: 1_772_359_200_000, event }.encode_to_vec()
}

fn feed_batch() -> Vec<u8> {
    let record = signed(1).remove(0);
    let entry = pb::FeedEntry {
        action: pb::FeedAction::Disclose.into(),
        record_id: Bytes::copy_from_slice(record.id().as_bytes()),
        open_slots: record.open_slots().bits(),
        policy_version: 1,
        at_ms: 1_772_359_200_000,
        ..pb::FeedEntry::default()
    };
    pb::FeedBatch {
        start: 4,
        entries: vec![entry.encode_to_vec().into()],
        envelopes: vec![record.envelope()],
        note: checkpoint().to_bytes().into(),
    }
    .encode_to_vec()
}

/// Returns an entry of a feed with an originator's statement, or a request to it.
fn consent_entry(verdict: Option<ConsentVerdict>) -> Vec<u8> {
    let partner = "dcu.example".parse().unwrap();
    let scope = Scope::Operation("chakra-v".to_owned());
    let subject = Subject { purpose: Purpose::Forward(partner), scope };
    let at = "2026-03-01T10:00:00Z".parse().unwrap();
    let reason = "takedowns of operation 7".to_owned();
    let said = match verdict {
        None => ConsentMessage::Request(ConsentRequest::new(3, subject, reason).unwrap()),
        Some(verdict) => {
            let (originator, holder) = ("npa.go.jp".parse().unwrap(), "jc3.or.jp".parse().unwrap());
            let parties = Parties { originator: &originator, holder: &holder };
            let saying = ConsentTerms { number: 2, request: 3, verdict, subject, at, reason };
            let key = (&SeedKey::signing(), SeedKey::ID);
            ConsentMessage::Consent(Consent::sign(saying, parties, key).unwrap())
        }
    };
    let action = match said {
        ConsentMessage::Request(_) => FeedAction::ConsentRequest,
        ConsentMessage::Consent(_) => FeedAction::Consent,
    };
    let entry = FeedEntry {
        action,
        record: said.record(),
        open_slots: SlotMask::NONE,
        policy_version: PolicyVersion::new(1),
        at,
        order: None,
        message: Some(Box::new(said)),
    };
    entry.encode().to_vec()
}

/// The same with something that is not under the signature.
fn consent_with_surplus() -> Vec<u8> {
    let mut wire = pb::FeedEntry::decode(&consent_entry(None)[..]).unwrap();
    wire.open_slots = 2;
    wire.encode_to_vec()
}

fn segment(batches: u8) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Segments::begin(dir.path(), SegmentOptions::default()).unwrap();
    for number in 0..batches {
        let mut batch = Batch::new();
        batch.entry(&[number; 40]).unwrap();
        batch.content(&[&[number; 7], &[1; 30]]).unwrap();
        batch.feed(3, &[number; 20]).unwrap();
        log.append(&mut batch, &checkpoint().to_bytes()).unwrap();
    }
    drop(log);
    std::fs::read(dir.path().join("segments/00000001.seg")).unwrap()
}

fn record_seeds() -> Vec<Seed> {
    let batch = signed(3);
    let core = batch[1].redacted(batch[1].slots_in(liaison::record::kind::ClassSet::CORE));
    let mut frame = Vec::new();
    stored::write(&batch[0], &mut frame);
    vec![
        ("envelope", "one", signed(1)[0].envelope().encode_to_vec()),
        ("envelope", "of-a-batch", batch[2].envelope().encode_to_vec()),
        ("envelope", "redacted", core.encode_to_vec()),
        ("draft", "indicator", wire_draft(1).encode_to_vec()),
        ("header", "indicator", batch[0].header_bytes().to_vec()),
        ("content_frame", "indicator", frame),
        ("slot", "indicator-value", b"\x00\x01\x01\x12\x09b.example".to_vec()),
        ("slot", "indicator-references", b"\x00\x08\x01\x4a\x03one\x4a\x03two".to_vec()),
        ("slot", "case-time", b"\x01\x07\x00\x40\x80\xb0\x87\xd9\xf9\x32".to_vec()),
        ("slot", "evidence-custody", b"\x04\x06\x00\x3a\x06\x12\x04desk".to_vec()),
        ("slot", "refused-unknown-in-step", b"\x04\x06\x00\x3a\x09\x12\x04desk\x7a\x01x".to_vec()),
        ("slot", "refused-foreign-field", b"\x00\x06\x01\x3a\x01a\x42\x01b".to_vec()),
    ]
}

fn value_seeds() -> Vec<Seed> {
    let typed = |number: u8, text: &str| [&[number - 1], text.as_bytes()].concat();
    vec![
        ("value", "domain", typed(1, "B\u{fc}cher[.]example.")),
        ("value", "url", typed(2, "hxxps://pop-up[.]example:443/a/../b?c=%41#d")),
        ("value", "ip", typed(3, "2001:DB8::0:1")),
        ("value", "cidr", typed(4, "192.0.2.77/24")),
        ("value", "email", typed(6, "desk@npa.go.jp")),
        ("value", "phone", typed(7, "+81 3-1234-5678")),
        ("value", "iban", typed(11, "DE89 3704 0044 0532 0130 00")),
        ("value", "refused-control", typed(1, "a\u{202e}b.example")),
    ]
}

fn seeds() -> Vec<Seed> {
    let granted = ConsentVerdict::Granted { until: "2027-03-01".parse().unwrap() };
    let other = vec![
        ("note", "checkpoint", checkpoint().to_bytes()),
        ("note", "receipt", receipted()),
        ("checkpoint", "empty", checkpoint().checkpoint().to_text().as_str().into()),
        ("verifier_key", "log", verifier_key().to_string().into()),
        ("add_checkpoint", "first", asked(0, &[])),
        ("add_checkpoint", "with-proof", asked(3, &[7, 8])),
        ("add_checkpoint", "refused-old-larger", text_seed("old 9\n\n")),
        ("tlog_proof", "entry", proof(b"an entry")),
        ("tlog_proof", "bare", proof(b"")),
        ("tile", "hashes", [b"tile/0/x001/234.p/2\n".as_slice(), &[5; 64]].concat()),
        ("tile", "bundle", b"tile/entries/000.p/2\n\0\x01a\0\0".to_vec()),
        ("tile", "refused-long-path", b"tile/0/x000/000.p/1\n".to_vec()),
        ("proof_file", "accepted", proof_file()),
        ("journal_entry", "published", journal_entry()),
        ("feed_batch", "one", feed_batch()),
        ("consent", "request", consent_entry(None)),
        ("consent", "granted", consent_entry(Some(granted))),
        ("consent", "revoked", consent_entry(Some(ConsentVerdict::Revoked))),
        ("consent", "refused-slots", consent_with_surplus()),
        ("card", "any-bytes", armour::wrap(&[7; 100]).unwrap().into_bytes()),
        ("card", "refused-short-line", b"-----BEGIN LIAISON CARD-----\nAA\n\n".to_vec()),
        ("segment", "two-batches", segment(2)),
        ("segment", "torn", [segment(1), segment(2)[..90].to_vec()].concat()),
    ];
    [record_seeds(), value_seeds(), other].concat()
}

/// One to four small changes.
fn mutated(random: &mut Random, seed: &[u8], others: &[Seed]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.index(4) {
        let at = random.index(bytes.len());
        match random.index(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.index(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 if !bytes.is_empty() => {
                const EDGES: [u8; 7] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b' '];
                bytes[at] = EDGES[random.index(EDGES.len())];
            }
            3 => bytes.insert(at, random.next() as u8),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            5 => bytes.truncate(at),
            6 => {
                let end = (at + random.index(24)).min(bytes.len());
                let run = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, run);
            }
            _ => {
                let (_, _, other) = &others[random.index(others.len())];
                let from = random.index(other.len());
                let run = &other[from..(from + random.index(24)).min(other.len())];
                bytes.splice(at..at, run.iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn the_seeds_in_git_are_those_that_the_formats_make() {
    for (target, name, bytes) in seeds() {
        let path = seeds_dir().join(target).join(name);
        if std::env::var_os("LIAISON_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        let hint = "if this is meant: LIAISON_BLESS=1 cargo test --test it fuzz_corpus";
        assert_eq!(hex(&found), hex(&bytes), "{target}/{name}: {hint}");
    }
}

#[test]
fn every_seed_is_accepted_unless_its_name_says_otherwise() {
    for (name, target) in TARGETS {
        let mut count = 0;
        for (_, seed, bytes) in seeds().into_iter().filter(|(of, ..)| *of == name) {
            assert_eq!(target(&bytes), !seed.starts_with("refused-"), "{name}/{seed}");
            count += 1;
        }
        assert!(count > 0, "{name} has no seed");
    }
}

#[test]
fn no_mutation_of_a_seed_breaks_what_the_formats_promise() {
    let all = seeds();
    for (name, target) in TARGETS {
        let mutations = if name == "segment" { MUTATIONS / 5 } else { MUTATIONS };
        let mut random = Random(1);
        for (_, seed, bytes) in all.iter().filter(|(of, ..)| *of == name) {
            for _ in 0..mutations {
                let input = mutated(&mut random, bytes, &all);
                let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
                assert!(outcome.is_ok(), "{name}, from {seed}: {}", hex(&input));
            }
        }
    }
}
