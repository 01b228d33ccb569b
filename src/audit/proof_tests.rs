//! Tests of proofs of one record: a sound proof is reported, and every changed one is refused.

use super::card::armoured;
use super::*;
use crate::ident::{AgencyName, LeafIndex, Timestamp, TreeHash};
use crate::merkle::{
    Checkpoint, Cosigner, NoteSigner, SignedCheckpoint, TileTree, TlogProof, leaf_hash,
};
use crate::partner::card::tests::sample;
use crate::partner::{Role, SecretKey, VerifiedCard};
use crate::pb::{self, journal_entry::Event};
use crate::record::draft::{self, Draft, Place, SeriesSecret};
use crate::record::kind::ClassSet;
use crate::record::signed::Verified;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// An agency whose keys have the seeds from `base` on.
struct Party {
    agency: AgencyName,
    base: u8,
}

impl Party {
    fn new(agency: &str, base: u8) -> Self {
        Self { agency: agency.parse().unwrap(), base }
    }

    fn key(&self, role: Role) -> SecretKey {
        let place = Role::ALL.iter().position(|other| *other == role).unwrap();
        SecretKey::from_seed(role, self.base + place as u8)
    }

    fn card(&self, serial: u64, before: Option<&VerifiedCard>) -> VerifiedCard {
        let mut card = sample();
        let public = |role| *self.key(role).public();
        card.agency = self.agency.clone();
        card.serial = serial;
        card.identity_key = public(Role::Identity);
        card.record_keys[0].key = public(Role::Record);
        card.journal_key = public(Role::Journal);
        card.witness_key = public(Role::Witness);
        card.receipt_key = public(Role::Receipt);
        card.previous = before.map(VerifiedCard::hash);
        card.seal(&self.key(Role::Identity)).unwrap()
    }

    /// Two cards, the second naming the first.
    fn cards(&self) -> Vec<pb::SignedCard> {
        let first = self.card(1, None);
        let second = self.card(2, Some(&first));
        vec![first.signed().clone(), second.signed().clone()]
    }

    fn cosigner(&self, role: Role, name: &str) -> Cosigner {
        let name = format!("{}/{name}", self.agency).parse().unwrap();
        Cosigner::new(name, self.key(role).signing_key().clone())
    }

    /// The proof of entry 1 of three in a log of this agency.
    fn prove(&self, log: &str, entry: &[u8], cosigner: Option<&Cosigner>) -> TlogProof {
        let leaves: Vec<TreeHash> = [b"before", entry, b"after"].map(leaf_hash).into();
        let tree: TileTree = leaves.iter().copied().collect();
        let name: crate::merkle::NoteKeyName = format!("{}/{log}", self.agency).parse().unwrap();
        let checkpoint = Checkpoint::new((&name).into(), tree.head()).unwrap();
        let signer = NoteSigner::new(name, self.key(Role::Journal).signing_key().clone());
        let signed = SignedCheckpoint::sign(checkpoint.clone(), &signer);
        let lines = cosigner.map(|cosigner| cosigner.cosign(&checkpoint, at().into()));
        let note = signed.note().clone().with_signatures(lines).unwrap();
        let index = LeafIndex::new(1);
        let path = tree.inclusion(&leaves, index, tree.size()).unwrap();
        TlogProof::new(index, path, note).unwrap().with_extra(entry.to_vec()).unwrap()
    }
}

fn at() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn originator() -> Party {
    Party::new("npa.go.jp", 10)
}

/// Got the record from somebody that got it from the originator.
fn holder() -> Party {
    Party::new("cert.example", 30)
}

fn partner() -> Party {
    Party::new("far.example", 50)
}

/// An indicator with a title, a source and notes.
fn record(value: &str) -> Verified {
    let wire = pb::Draft {
        marking: Some(pb::Marking {
            tlp: pb::Tlp::Green.into(),
            pap: pb::Pap::Green.into(),
            ..pb::Marking::default()
        }),
        confidence: 80,
        content: Some(pb::draft::Content::Indicator(pb::Indicator {
            value: value.to_owned(),
            title: "fake alert".to_owned(),
            source: "a feed".to_owned(),
            notes: "seen twice".to_owned(),
            ..pb::Indicator::default()
        })),
        ..pb::Draft::default()
    };
    let draft = Draft::try_from(wire).unwrap();
    let place = Place::first(draft.series(&SeriesSecret::from_bytes([9; 32])));
    let mut salt = 0;
    let sealed = draft.seal(originator().agency, place, at(), || {
        salt += 1;
        [salt; 16]
    });
    let key = originator().key(Role::Record);
    draft::sign(vec![sealed], key.signing_key(), key.public().id(), || [5; 32]).unwrap().remove(0)
}

fn accepted(record: &Verified) -> Vec<u8> {
    let pb::Envelope { header, signature, .. } = record.envelope();
    let partner = "jc3.or.jp".to_owned();
    let accepted = pb::RecordAccepted { header, signature, partner, ..Default::default() };
    let at_ms = at().unix_ms() as u64;
    pb::JournalEntry { at_ms, event: Some(Event::RecordAccepted(accepted)) }.encode_to_vec()
}

fn disclosed(record: &Verified) -> Vec<u8> {
    pb::FeedEntry {
        action: pb::FeedAction::Disclose.into(),
        record_id: Bytes::copy_from_slice(record.id().as_bytes()),
        // Type, value and title.
        open_slots: 1 << 1 | 1 << 2 | 1 << 7,
        policy_version: 1,
        at_ms: at().unix_ms() as u64,
        ..pb::FeedEntry::default()
    }
    .encode_to_vec()
}

/// A proof by the holder, with a witness and a receipt.
fn file(envelope: pb::Envelope) -> ProofFile {
    let record = record("pop-up.example");
    let (holder, partner) = (holder(), partner());
    let witness = partner.cosigner(Role::Witness, "witness");
    let receipt = partner.cosigner(Role::Receipt, "receipt");
    let feed = format!("feed/{}", partner.agency);
    let disclosure = holder.prove(&feed, &disclosed(&record), Some(&receipt));
    ProofFile {
        envelope,
        cards: [originator(), self::holder(), self::partner()]
            .into_iter()
            .map(|party| (party.agency.clone(), party.cards()))
            .collect(),
        acceptance: holder.prove("journal", &accepted(&record), Some(&witness)),
        holder: holder.agency.clone(),
        consent: None,
        disclosures: BTreeMap::from([(partner.agency.clone(), disclosure)]),
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
    assert_eq!(report.originator, originator().agency);
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
    assert!(report.unchecked.contains(&Unchecked::Erased { holder: holder().agency }));
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
    let known = |party: &Party| {
        let text = party.card(1, None).to_armour().unwrap();
        Card::from_text(&text).unwrap()
    };
    let (right, wrong) = (known(&originator()), known(&partner()));
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
    let (holder, partner) = (holder(), partner());
    let feed = format!("feed/{}", partner.agency);
    let receipt = partner.cosigner(Role::Receipt, "receipt");
    let disclosure = |proof: TlogProof| {
        move |file: &mut ProofFile| drop(file.disclosures.insert(self::partner().agency, proof))
    };
    let record = record("pop-up.example");
    assert_eq!(refused(|file| file.envelope = other.envelope()), Check::ProofEntry);
    let acceptance = holder.prove("journal", &accepted(&other), None);
    assert_eq!(refused(|file| file.acceptance = acceptance), Check::ProofEntry);
    let proof = holder.prove(&feed, &disclosed(&other), Some(&receipt));
    assert_eq!(refused(disclosure(proof)), Check::ProofEntry);
    // Without a receipt, with one by the witness key, and in the feed to another.
    let witness = partner.cosigner(Role::Witness, "receipt");
    let entry = disclosed(&record);
    for proof in [
        holder.prove(&feed, &entry, None),
        holder.prove(&feed, &entry, Some(&witness)),
        holder.prove("feed/npa.go.jp", &entry, Some(&receipt)),
        partner.prove(&feed, &entry, Some(&receipt)),
    ] {
        assert_eq!(refused(disclosure(proof)), Check::ProofInclusion);
    }
    assert_eq!(refused(|file| file.holder = self::partner().agency), Check::ProofInclusion);
    assert_eq!(refused(|file| drop(file.cards.remove(&originator().agency))), Check::ProofCards);
    assert_eq!(refused(|file| drop(file.cards.remove(&self::partner().agency))), Check::ProofCards);
}

#[test]
fn cards_must_be_one_history_of_one_identity() {
    let agency = originator().agency;
    let cards = |cards: Vec<VerifiedCard>| {
        let cards = cards.iter().map(|card| card.signed().clone()).collect();
        let agency = originator().agency;
        refused(move |file| drop(file.cards.insert(agency, cards)))
    };
    let first = originator().card(1, None);
    let stranger = Party { agency: agency.clone(), base: 70 };
    let unchained = originator().card(2, Some(&stranger.card(1, None)));
    assert_eq!(cards(vec![originator().card(2, Some(&first)), first.clone()]), Check::ProofCards);
    assert_eq!(cards(vec![first.clone(), unchained]), Check::ProofCards);
    assert_eq!(cards(vec![first.clone(), stranger.card(2, Some(&first))]), Check::ProofCards);
    assert_eq!(cards(vec![partner().card(1, None)]), Check::ProofCards);
    assert_eq!(cards(Vec::new()), Check::ProofForm);
    assert_eq!(cards(vec![stranger.card(1, None)]), Check::RecordSignature);
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
    let card = originator().card(1, None);
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
