//! Cards: every field, every refusal, every changed byte.

use super::*;
use crate::partner::{CardChange, CardUpdate, Refusal, compare_cards};
use crate::testkit::{AUTHORITY, sample_card};
use proptest::prelude::*;

pub(crate) fn key(role: Role, seed: u8) -> SecretKey {
    SecretKey::from_seed(role, [seed; 32])
}

pub(crate) fn public(seed: u8) -> PublicKey {
    *key(Role::Record, seed).public()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seal(card: Card) -> Result<VerifiedCard, CardError> {
    card.seal(&key(Role::Identity, 1))
}

fn refused(edit: impl FnOnce(&mut Card)) -> CardError {
    let mut card = sample_card();
    edit(&mut card);
    seal(card).unwrap_err()
}

#[test]
fn a_sealed_card_verifies_to_what_was_said() {
    let sealed = seal(sample_card()).unwrap();
    let read = Card::verify(&sealed.to_armour().unwrap()).unwrap();
    assert_eq!(read.card(), &sample_card());
    assert_eq!(read, sealed);
}

#[test]
fn a_full_card_fits_its_armour() {
    let mut card = sample_card();
    card.addresses = vec!["node.npa.go.jp:7443".parse().unwrap(); ADDRESSES_MAX];
    card.tls_authorities = vec![AUTHORITY.clone(); AUTHORITIES_MAX];
    card.contacts = vec![card.contacts[0].clone(); CONTACTS_MAX];
    card.record_keys = (10..10 + RECORD_KEYS_MAX as u8)
        .map(|seed| RecordKey { key: public(seed), ..card.record_keys[0] })
        .collect();
    let sealed = seal(card).unwrap();
    assert!(sealed.to_armour().unwrap().len() <= armour::ARMOUR_BYTES_MAX);
}

#[test]
fn only_the_identity_key_that_the_card_names_seals_it() {
    assert_eq!(
        sample_card().seal(&key(Role::Record, 1)).unwrap_err(),
        CardError::WrongRole(Role::Record)
    );
    assert!(matches!(
        sample_card().seal(&key(Role::Identity, 9)).unwrap_err(),
        CardError::WrongSigner { .. }
    ));
}

#[test]
fn no_change_of_one_byte_of_the_armour_yields_another_card() {
    let sealed = seal(sample_card()).unwrap();
    let armour = sealed.to_armour().unwrap().into_bytes();
    for position in 0..armour.len() {
        for byte in [armour[position] ^ 1, armour[position] ^ 0x20, b'='] {
            let mut changed = armour.clone();
            changed[position] = byte;
            let Ok(text) = std::str::from_utf8(&changed) else { continue };
            if let Ok(card) = Card::verify(text) {
                assert_eq!(card, sealed, "byte {position} as {byte:#x}");
            }
        }
        let mut shorter = armour.clone();
        shorter.remove(position);
        if let Ok(card) = Card::verify(std::str::from_utf8(&shorter).unwrap()) {
            assert_eq!(card, sealed, "byte {position} removed");
        }
    }
}

#[test]
fn no_flipped_bit_of_the_bytes_is_accepted() {
    let bytes = seal(sample_card()).unwrap().signed().encode_to_vec();
    for position in 0..bytes.len() {
        for bit in [position % 8, (position + 5) % 8] {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << bit;
            assert!(VerifiedCard::from_bytes(&changed).is_err(), "byte {position} bit {bit}");
        }
    }
}

#[test]
fn bytes_after_the_signed_card_are_refused() {
    let mut bytes = seal(sample_card()).unwrap().signed().encode_to_vec();
    // Field 3 as a varint: unknown to the message, so a lax reader would drop it.
    bytes.extend([0x18, 0x01]);
    assert_eq!(VerifiedCard::from_bytes(&bytes).unwrap_err(), CardError::NotCanonical);
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    assert_eq!(refused(|card| card.serial = 0), CardError::Serial);
    assert!(matches!(refused(|card| card.tls_authorities.clear()), CardError::Count { .. }));
    assert!(matches!(refused(|card| card.record_keys.clear()), CardError::Count { .. }));
    assert!(matches!(
        refused(|card| card.addresses = vec![card.addresses[0].clone(); ADDRESSES_MAX + 1]),
        CardError::Count { found: 9, .. }
    ));
    assert!(matches!(refused(|card| card.display_name.clear()), CardError::TextLength { .. }));
    assert!(matches!(
        refused(|card| card.display_name = "a\u{202e}b".to_owned()),
        CardError::TextCharacter { found: '\u{202e}', .. }
    ));
    assert!(matches!(refused(|card| card.expires_at = card.issued_at), CardError::Order { .. }));
    assert_eq!(refused(|card| card.expires_at = at("2027-03-01")), CardError::Validity(424));
    assert!(matches!(
        refused(|card| card.record_keys[0].until = card.record_keys[0].from),
        CardError::Order { .. }
    ));
}

#[test]
fn one_key_in_two_roles_is_refused() {
    assert_eq!(
        refused(|card| card.receipt_key = card.witness_key),
        CardError::SharedKey("witness key", "receipt key")
    );
    assert_eq!(
        refused(|card| card.record_keys[0].key = card.identity_key),
        CardError::SharedKey("identity key", "record key")
    );
}

#[test]
fn an_authority_that_may_not_issue_is_refused() {
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["npa.go.jp".to_owned()]).unwrap();
    let leaf = leaf.self_signed(&leaf_key).unwrap().der().clone();
    assert!(matches!(
        refused(|card| card.tls_authorities[0] = leaf),
        CardError::Authority { position: 1, .. }
    ));
    assert!(matches!(
        refused(|card| card.tls_authorities[0] = vec![0x30, 0x00].into()),
        CardError::Authority { position: 1, .. }
    ));
}

#[test]
fn the_age_of_a_card_is_checked_against_the_time_given() {
    let card = seal(sample_card()).unwrap();
    assert_eq!(card.check_age(at("2026-06-01")), Ok(()));
    assert_eq!(card.check_age(at("2027-01-31")), Err(CardError::Expired(at("2027-01-31"))));
    assert!(matches!(card.check_age(at("2025-12-01")), Err(CardError::FromTheFuture { .. })));
}

fn successor(edit: impl FnOnce(&mut Card)) -> (VerifiedCard, VerifiedCard) {
    let known = seal(sample_card()).unwrap();
    let mut next = sample_card();
    next.serial = 2;
    next.issued_at = at("2026-02-01");
    next.previous = Some(known.hash());
    edit(&mut next);
    let seed = if next.identity_key == public(9) { 9 } else { 1 };
    (known, next.seal(&key(Role::Identity, seed)).unwrap())
}

fn update(edit: impl FnOnce(&mut Card)) -> CardUpdate {
    let (known, next) = successor(edit);
    compare_cards(&known, &next)
}

#[test]
fn addresses_certificates_and_record_keys_change_without_a_human() {
    let changed = update(|card| {
        card.addresses.clear();
        card.tls_authorities.push(AUTHORITY.clone());
        card.record_keys.push(RecordKey { key: public(20), ..card.record_keys[0] });
    });
    assert_eq!(changed, CardUpdate::Automatic);
}

#[test]
fn who_the_agency_is_and_how_it_is_reached_needs_a_human() {
    let changed = update(|card| {
        card.display_name = "NPA".to_owned();
        card.sector = Sector::Cert;
        card.contacts.clear();
        card.journal_key = public(30);
    });
    assert_eq!(
        changed,
        CardUpdate::NeedsHuman(vec![
            CardChange::DisplayName,
            CardChange::Sector,
            CardChange::LogKeys,
            CardChange::Contacts
        ])
    );
}

#[test]
fn the_same_card_again_changes_nothing() {
    let known = seal(sample_card()).unwrap();
    assert_eq!(compare_cards(&known, &known.clone()), CardUpdate::Unchanged);
}

#[test]
fn a_card_that_does_not_follow_is_refused() {
    let refusal = |edit: fn(&mut Card)| match update(edit) {
        CardUpdate::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(|card| card.serial = 1), Refusal::Serial { known: 1, found: 1 });
    assert_eq!(refusal(|card| card.identity_key = public(9)), Refusal::Identity);
    assert_eq!(refusal(|card| card.previous = None), Refusal::Chain);
    assert!(matches!(refusal(|card| card.issued_at = at("2025-12-31")), Refusal::Issued { .. }));
    assert!(matches!(
        refusal(|card| card.agency = "jc3.or.jp".parse().unwrap()),
        Refusal::Agency { .. }
    ));
}

#[test]
fn logs_of_another_generation_come_with_other_keys_and_a_human() {
    let second = |card: &mut Card| {
        card.generation = Generation::new(2).unwrap();
        (card.journal_key, card.witness_key, card.receipt_key) =
            (public(30), public(31), public(32));
    };
    let changes = vec![CardChange::LogKeys, CardChange::Generation];
    assert_eq!(update(second), CardUpdate::NeedsHuman(changes));
    let old_key = sample_card().receipt_key;
    let keeps_a_key = update(|card| {
        second(card);
        card.receipt_key = old_key;
    });
    let generation = Generation::new(2).unwrap();
    assert_eq!(keeps_a_key, CardUpdate::Refused(Refusal::SucceededKeys(generation)));
    let (_, known) = successor(second);
    let mut back = sample_card();
    (back.serial, back.previous) = (3, Some(known.hash()));
    back.issued_at = at("2026-03-01");
    let refusal = Refusal::Generation { known: generation, found: Generation::FIRST };
    assert_eq!(compare_cards(&known, &seal(back).unwrap()), CardUpdate::Refused(refusal));
}

#[test]
fn a_compromised_key_never_comes_back() {
    let mut first = sample_card();
    first.record_keys[0].status = RecordKeyStatus::Compromised(at("2026-01-15"));
    let known = seal(first).unwrap();
    let mut second = sample_card();
    second.serial = 2;
    second.previous = Some(known.hash());
    let next = seal(second).unwrap();
    assert_eq!(
        compare_cards(&known, &next),
        CardUpdate::Refused(Refusal::CompromisedKey(public(2).id()))
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = VerifiedCard::from_bytes(&bytes);
        let _ = VerifiedCard::try_from(pb::SignedCard {
            card: bytes.into(),
            signature: Bytes::from_static(&[0; 64]),
        });
    }
}
