//! Tests of proofs of one record: a sound proof is reported, and every changed one is refused.

use super::card::armoured;
use super::*;
use crate::ident::{LeafIndex, TreeHash};
use crate::journal::entry::receipt_name;
use crate::merkle::{
    Checkpoint, Cosigner, NoteSigner, SignedCheckpoint, TileTree, TlogProof, leaf_hash,
};
use crate::partner::{Role, VerifiedCard};
use crate::pb::{self, draft::Content, journal_entry::Event};
use crate::record::kind::ClassSet;
use crate::record::signed::Verified;
use crate::testkit::{Agency, NOW_MS, draft, feed_entry, now, own};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The card of an agency with a serial number, which names the card before it.
fn card(of: &Agency, serial: u64, before: Option<&VerifiedCard>) -> VerifiedCard {
    of.card_with(|card| {
        card.serial = serial;
        card.previous = before.map(VerifiedCard::hash);
    })
}

/// Two cards, the second naming the first.
fn cards(of: &Agency) -> Vec<pb::SignedCard> {
    let first = card(of, 1, None);
    let second = card(of, 2, Some(&first));
    vec![first.signed().clone(), second.signed().clone()]
}

/// The proof of entry 1 of three in a log of an agency.
fn prove(by: &Agency, log: &str, entry: &[u8], cosigner: Option<&Cosigner>) -> TlogProof {
    let leaves: Vec<TreeHash> = [b"before", entry, b"after"].map(leaf_hash).into();
    let tree: TileTree = leaves.iter().copied().collect();
    let name: crate::merkle::NoteKeyName = format!("{}/{log}", by.name).parse().unwrap();
    let checkpoint = Checkpoint::new((&name).into(), tree.head()).unwrap();
    let signer = NoteSigner::new(name, by.key(Role::Journal).signing_key().clone());
    let signed = SignedCheckpoint::sign(checkpoint.clone(), &signer);
    let lines = cosigner.map(|cosigner| cosigner.cosign(&checkpoint, now().into()));
    let note = signed.note().clone().with_signatures(lines).unwrap();
    let index = LeafIndex::new(1);
    let path = tree.inclusion(&leaves, index, tree.size()).unwrap();
    TlogProof::new(index, path, note).unwrap().with_extra(entry.to_vec()).unwrap()
}

/// Got the record from somebody that got it from the originator.
fn holder() -> Agency {
    Agency::partner()
}

fn receiver() -> Agency {
    Agency::stranger()
}

/// An indicator with a title, a source and notes.
fn record(value: &str) -> Verified {
    let content = Content::Indicator(pb::Indicator {
        value: value.to_owned(),
        title: "fake alert".to_owned(),
        source: "a feed".to_owned(),
        notes: "seen twice".to_owned(),
        ..pb::Indicator::default()
    });
    Agency::own().first(pb::Draft { confidence: 80, ..draft(content) })
}

fn accepted(record: &Verified) -> Vec<u8> {
    let pb::Envelope { header, signature, .. } = record.envelope();
    let partner = "jc3.or.jp".to_owned();
    let accepted = pb::RecordAccepted { header, signature, partner, ..Default::default() };
    let at_ms = NOW_MS.unsigned_abs();
    pb::JournalEntry { at_ms, event: Some(Event::RecordAccepted(accepted)) }.encode_to_vec()
}

fn disclosed(record: &Verified) -> Vec<u8> {
    // Type, value and title.
    let open = 1 << 1 | 1 << 2 | 1 << 7;
    feed_entry(pb::FeedAction::Disclose, &record.id(), open).encode_to_vec()
}

/// A proof by the holder, with a witness and a receipt.
fn file(envelope: pb::Envelope) -> ProofFile {
    let record = record("pop-up.example");
    let (holder, receiver) = (holder(), receiver());
    let feed = format!("feed/{}", receiver.name);
    let disclosure = prove(&holder, &feed, &disclosed(&record), Some(&receiver.receipts));
    ProofFile {
        envelope,
        cards: [&Agency::own(), &holder, &receiver]
            .into_iter()
            .map(|agency| (agency.name.clone(), cards(agency)))
            .collect(),
        acceptance: prove(&holder, "journal", &accepted(&record), Some(&receiver.witness)),
        holder: holder.name.clone(),
        consent: None,
        disclosures: BTreeMap::from([(receiver.name.clone(), disclosure)]),
    }
}

fn whole() -> ProofFile {
    file(record("pop-up.example").envelope())
}

/// A file once made, because making cards takes most of the time.
static WHOLE: LazyLock<ProofFile> = LazyLock::new(whole);

fn verify(file: &ProofFile) -> Result<ProofReport, Fault> {
    verify_proof(&file.to_bytes(), &Anchor::Directory)
}

fn refused(edit: impl FnOnce(&mut ProofFile)) -> Check {
    let mut file = WHOLE.clone();
    edit(&mut file);
    verify(&file).unwrap_err().check
}

#[test]
fn a_proof_holds_and_tells_by_whose_keys() {
    let report = verify(&WHOLE).unwrap();
    assert_eq!(report.record, record("pop-up.example").id());
    assert_eq!(report.fields_in(FieldState::Open), ["type", "value", "title", "source", "notes"]);
    let checked: Vec<_> = report.checked.iter().map(Checked::name).collect();
    assert_eq!(checked, ["record", "accepted", "witnessed", "receipted"]);
    let by: Vec<_> = report.checked.iter().map(Checked::by).collect();
    assert!(by[0].starts_with("record key ") && by[0].ends_with(" of npa.go.jp"), "{by:?}");
    assert_eq!(
        by[1..],
        ["journal key of cert.example", "key far.example/witness", "receipt key of far.example"]
    );
    let unchecked: Vec<_> = report.unchecked.iter().map(Unchecked::name).collect();
    assert_eq!(unchecked, ["identity", "exceptions"]);
    let text = report.to_string();
    assert!(text.contains("fields type, value, title"), "{text}");
    assert!(text.ends_with("OK\n"), "{text}");
    assert_eq!(report.to_json()["fields"]["withheld"], serde_json::json!([]));
}

#[test]
fn a_redacted_copy_holds_and_names_what_was_withheld() {
    let record = record("pop-up.example");
    let core = file(record.redacted(record.slots_in(ClassSet::CORE)));
    let report = verify(&core).unwrap();
    assert_eq!(report.originator, own());
    let withheld = report.fields_in(FieldState::Withheld);
    assert_eq!(withheld, ["source", "references", "reporter", "notes", "cases"]);
    assert_eq!(report.fields_in(FieldState::Open), ["type", "value", "title"]);
    assert!(matches!(report.checked[0], Checked::Record { open: 7, slots: 12, .. }));
}

#[test]
fn an_erased_field_holds_and_is_told_from_a_withheld_one() {
    let record = record("pop-up.example");
    let mut envelope = record.redacted(record.slots_in(ClassSet::CORE));
    // Row 10 is the notes: their bytes and salt are nowhere any more.
    envelope.slots[10].state = pb::SlotState::Erased.into();
    let report = verify(&file(envelope)).unwrap();
    assert_eq!(report.fields_in(FieldState::Erased), ["notes"]);
    assert!(!report.fields_in(FieldState::Withheld).contains(&"notes"));
    assert!(report.unchecked.contains(&Unchecked::Erased { holder: holder().name }));
    let mut forged = record.envelope();
    forged.slots[10] = pb::Slot {
        state: pb::SlotState::Erased.into(),
        commitment: Bytes::from_static(&[1; 32]),
        ..pb::Slot::default()
    };
    assert_eq!(verify(&file(forged)).unwrap_err().check, Check::RecordForm);
}

#[test]
fn what_the_reader_knows_of_the_originator_decides() {
    let bytes = WHOLE.to_bytes();
    let known = |agency: &Agency| {
        let text = agency.card().to_armour().unwrap();
        Card::from_text(&text).unwrap()
    };
    let (right, wrong) = (known(&Agency::own()), known(&receiver()));
    for anchor in [Anchor::Number(right.number()), Anchor::Card(Box::new(right))] {
        let report = verify_proof(&bytes, &anchor).unwrap();
        assert!(report.unchecked.iter().all(|unchecked| unchecked.name() != "identity"));
    }
    for anchor in [Anchor::Number(wrong.number()), Anchor::Card(Box::new(wrong))] {
        assert_eq!(verify_proof(&bytes, &anchor).unwrap_err().check, Check::Identity);
    }
}

#[test]
fn what_belongs_to_another_record_or_agency_is_refused() {
    let other = record("other.example");
    let (holder, receiver) = (holder(), receiver());
    let feed = format!("feed/{}", receiver.name);
    let receipt = &receiver.receipts;
    let disclosure = |proof: TlogProof| {
        move |file: &mut ProofFile| drop(file.disclosures.insert(self::receiver().name, proof))
    };
    let record = record("pop-up.example");
    assert_eq!(refused(|file| file.envelope = other.envelope()), Check::ProofEntry);
    let acceptance = prove(&holder, "journal", &accepted(&other), None);
    assert_eq!(refused(|file| file.acceptance = acceptance), Check::ProofEntry);
    let proof = prove(&holder, &feed, &disclosed(&other), Some(receipt));
    assert_eq!(refused(disclosure(proof)), Check::ProofEntry);
    // Without a receipt, with one by the witness key, and in the feed to another.
    let witness = receiver.key(Role::Witness).signing_key().clone();
    let witness = Cosigner::new(receipt_name(&receiver.name).parse().unwrap(), witness);
    let entry = disclosed(&record);
    for proof in [
        prove(&holder, &feed, &entry, None),
        prove(&holder, &feed, &entry, Some(&witness)),
        prove(&holder, "feed/npa.go.jp", &entry, Some(receipt)),
        prove(&receiver, &feed, &entry, Some(receipt)),
    ] {
        assert_eq!(refused(disclosure(proof)), Check::ProofInclusion);
    }
    assert_eq!(refused(|file| file.holder = receiver.name.clone()), Check::ProofInclusion);
    assert_eq!(refused(|file| drop(file.cards.remove(&own()))), Check::ProofCards);
    assert_eq!(refused(|file| drop(file.cards.remove(&receiver.name))), Check::ProofCards);
}

#[test]
fn cards_must_be_one_history_of_one_identity() {
    let cards = |cards: Vec<VerifiedCard>| {
        let cards = cards.iter().map(|card| card.signed().clone()).collect();
        refused(move |file| drop(file.cards.insert(own(), cards)))
    };
    let (agency, of_one_name) = (Agency::own(), Agency::named(own().as_str(), 22));
    let first = card(&agency, 1, None);
    let other = card(&of_one_name, 1, None);
    let unchained = card(&agency, 2, Some(&other));
    assert_eq!(cards(vec![card(&agency, 2, Some(&first)), first.clone()]), Check::ProofCards);
    assert_eq!(cards(vec![first.clone(), unchained]), Check::ProofCards);
    let continued = card(&of_one_name, 2, Some(&first));
    assert_eq!(cards(vec![first.clone(), continued]), Check::ProofCards);
    assert_eq!(cards(vec![receiver().card()]), Check::ProofCards);
    assert_eq!(cards(Vec::new()), Check::ProofForm);
    assert_eq!(cards(vec![other]), Check::RecordSignature);
}

#[test]
fn changed_line_ends_of_a_proof_are_named() {
    let text = String::from_utf8(WHOLE.to_bytes()).unwrap().replace('\n', "\r\n");
    let fault = verify_proof(text.as_bytes(), &Anchor::Directory).unwrap_err();
    assert_eq!(fault.check, Check::LineEnds);
}

#[test]
fn a_changed_byte_is_refused_wherever_it_stands() {
    let bytes = WHOLE.to_bytes();
    assert!(verify_proof(&bytes, &Anchor::Directory).is_ok());
    for at in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(verify_proof(&changed, &Anchor::Directory).is_err(), "byte {at}");
    }
    for length in (0..bytes.len()).step_by(19) {
        assert!(verify_proof(&bytes[..length], &Anchor::Directory).is_err(), "cut at {length}");
    }
}

/// A file can be changed and its sum computed anew: then only the signatures show the change.
#[test]
fn a_change_with_a_new_sum_never_makes_another_statement_under_the_same_keys() {
    use sha2::{Digest as _, Sha256};
    let (good, bytes) = (verify(&WHOLE).unwrap(), WHOLE.to_bytes());
    let end = bytes.windows(10).rposition(|window| window == b"-- sha256 ").unwrap();
    for at in (0..end).step_by(19) {
        let mut changed = bytes[..end].to_vec();
        changed[at] ^= 1 << (at % 6);
        let sum: String = Sha256::digest(&changed).iter().map(|b| format!("{b:02x}")).collect();
        changed.extend(format!("-- sha256 {sum}\n").into_bytes());
        if let Ok(survivor) = verify_proof(&changed, &Anchor::Directory) {
            // Only a witness's line that has become a stranger's may be lost.
            assert_eq!((survivor.record, &survivor.fields), (good.record, &good.fields));
            assert!(survivor.checked.iter().all(|line| good.checked.contains(line)), "byte {at}");
        }
    }
}

#[test]
fn cards_stand_in_the_file_as_a_node_writes_them() {
    let card = Agency::own().card();
    assert_eq!(armoured(card.signed()), card.to_armour().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_parses_prints_back(at: prop::sample::Index, with in "[ -~\n]{0,3}") {
        use sha2::{Digest as _, Sha256};
        let bytes = WHOLE.to_bytes();
        let end = bytes.windows(10).rposition(|window| window == b"-- sha256 ").unwrap();
        let at = at.index(end);
        let mut changed = [&bytes[..at], with.as_bytes(), &bytes[at..end]].concat();
        let sum: String = Sha256::digest(&changed).iter().map(|b| format!("{b:02x}")).collect();
        changed.extend(format!("-- sha256 {sum}\n").into_bytes());
        if let Ok(file) = ProofFile::parse(&changed) {
            prop_assert_eq!(file.to_bytes(), changed);
        }
    }
}
