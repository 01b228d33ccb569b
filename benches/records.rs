//! The costs of records in memory: draft, header, commitments, batches of 64 signed and verified,
//! beside one strict Ed25519 verification.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use liaison::ident::{AgencyName, KeyId, Timestamp};
use liaison::pb;
use liaison::record::commit::{self, batch_message};
use liaison::record::draft::{self, Draft, Place, Sealed, SeriesSecret};
use liaison::record::header::Header;
use liaison::record::signed::{KeyRing, Signed, Slot, Verified, VerifiedRoots};
use liaison::record::slots::SlotNumber;

const BATCH: usize = 64;
const KEY_ID: KeyId = KeyId::from_bytes([7; KeyId::BYTES]);

/// An indicator with all the fields that a CERT fills in.
fn indicator(n: usize) -> pb::Draft {
    let marking = pb::Marking {
        tlp: pb::Tlp::Green.into(),
        pap: pb::Pap::Green.into(),
        ..pb::Marking::default()
    };
    pb::Draft {
        marking: Some(marking),
        labels: vec!["tech-support-scam".to_owned()],
        operation: "chakra-v".to_owned(),
        confidence: 80,
        key: String::new(),
        reinstate: false,
        content: Some(pb::draft::Content::Indicator(pb::Indicator {
            r#type: pb::ValueType::Domain.into(),
            value: format!("alert-{n:05}.support.example"),
            role: "popup".to_owned(),
            first_seen_ms: 1_779_753_600_000,
            title: "fake security alert with a telephone number".to_owned(),
            source: format!("victim report {n:04}"),
            reporter: "member bank 12".to_owned(),
            notes: "shows a full-screen alert and plays a siren".to_owned(),
            ..pb::Indicator::default()
        })),
    }
}

fn agency() -> AgencyName {
    "cert.example".parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn sealed(count: usize) -> Vec<Sealed> {
    let secret = SeriesSecret::from_bytes([9; 32]);
    let created_at = Timestamp::from_unix_ms(1_779_753_600_000).unwrap();
    let mut salt = 0_u128;
    let seal = |n| {
        let draft = Draft::try_from(indicator(n)).unwrap();
        let place = Place::first(draft.series(&secret));
        draft.seal(agency(), place, created_at, || {
            salt += 1;
            salt.to_be_bytes()
        })
    };
    (0..count).map(seal).collect()
}

/// Leaves that are not records; their bytes do not change what the hashes cost.
fn padding() -> [u8; 32] {
    [5; 32]
}

fn batch() -> Vec<Verified> {
    draft::sign(sealed(BATCH), &key(), KEY_ID, padding).unwrap()
}

struct OneKey(VerifyingKey);

impl KeyRing for OneKey {
    fn record_key(&self, _: &AgencyName, _: KeyId, _: Timestamp) -> Option<VerifyingKey> {
        Some(self.0)
    }
}

fn batches(c: &mut Criterion) {
    c.bench_function("sign a batch of 64", |b| {
        let key = key();
        b.iter_batched(
            || sealed(BATCH),
            |sealed| draft::sign(sealed, &key, KEY_ID, padding).unwrap(),
            BatchSize::LargeInput,
        );
    });
    c.bench_function("sign a record on its own", |b| {
        let key = key();
        b.iter_batched(
            || sealed(1),
            |sealed| draft::sign(sealed, &key, KEY_ID, padding).unwrap(),
            BatchSize::LargeInput,
        );
    });
    c.bench_function("decode and verify a batch of 64", |b| {
        let keys = OneKey(key().verifying_key());
        let envelopes: Vec<pb::Envelope> = batch().iter().map(Verified::envelope).collect();
        b.iter_batched(
            || envelopes.clone(),
            |envelopes| {
                let mut roots = VerifiedRoots::default();
                for envelope in envelopes {
                    let record = Signed::decode(envelope).unwrap();
                    black_box(record.verify(&keys, &mut roots).unwrap());
                }
            },
            BatchSize::LargeInput,
        );
    });
    c.bench_function("one strict verification", |b| {
        let key = key();
        let record = batch().swap_remove(0);
        let leaf = liaison::merkle::leaf_hash(record.id().as_bytes());
        let message = batch_message(&leaf);
        let signature = key.sign(&message);
        let public = key.verifying_key();
        b.iter(|| public.verify_strict(black_box(&message), &signature).unwrap());
    });
}

fn parts(c: &mut Criterion) {
    let record = batch().swap_remove(0);
    c.bench_function("commitments and slots hash of an indicator", |b| {
        let kind = record.kind();
        let slots: Vec<(SlotNumber, &Slot)> = record.numbered().collect();
        b.iter(|| {
            let commitments =
                slots.iter().map(|(number, slot)| black_box(slot).commitment(kind, *number));
            commit::slots_hash(kind, commitments)
        });
    });
    c.bench_function("decode a header", |b| {
        b.iter(|| Header::decode(black_box(record.header_bytes())).unwrap());
    });
    c.bench_function("check and normalise a draft", |b| {
        b.iter_batched(
            || indicator(17),
            |wire| Draft::try_from(wire).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

criterion_group! {
    name = records;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = batches, parts
}
criterion_main!(records);
