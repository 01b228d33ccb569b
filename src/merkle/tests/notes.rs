//! Notes, checkpoints and cosignatures: known answers, the crate signed_note, and changes.

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};

use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{
    Checkpoint, CosignatureTime, Cosigner, KeyError, Note, NoteSignature, NoteSigner, NoteText,
    NoteVerifier, OpenError, Origin, SignatureType, SignedCheckpoint, TreeHead, VerifyError,
    verify_note,
};

/// From C2SP signed-note, section "Example".
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJG\
h2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// A checkpoint of a certificate log with lines of three kinds of keys, two of them unknown types
/// here, and with the public keys of the log and of one witness.
const WITNESSED: &str = "arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

\u{2014} arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
\u{2014} arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
\u{2014} transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
\u{2014} remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
";
const WITNESSED_LOG: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const WITNESS: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::new(name.parse().unwrap(), key(seed))
}

fn witness() -> Cosigner {
    Cosigner::new("jc3.or.jp/witness".parse().unwrap(), key(2))
}

fn log() -> NoteSigner {
    signer("npa.go.jp/journal", 1)
}

fn origin() -> Origin {
    "npa.go.jp/journal".parse().unwrap()
}

fn at(seconds: u64) -> CosignatureTime {
    CosignatureTime::from_unix_seconds(seconds).unwrap()
}

fn checkpoint(size: u64) -> Checkpoint {
    let head = TreeHead { size: TreeSize::new(size), root: TreeHash::from_bytes([9; 32]) };
    Checkpoint::new(origin(), head).unwrap()
}

/// Our log's checkpoint with the witness's cosignature, as bytes.
fn witnessed() -> Vec<u8> {
    SignedCheckpoint::sign(checkpoint(7), &log())
        .with_cosignature(witness().cosign(&checkpoint(7), at(1_795_338_843)), &(&witness()).into())
        .unwrap()
        .to_bytes()
}

fn open(bytes: &[u8]) -> Result<SignedCheckpoint, OpenError> {
    SignedCheckpoint::open(bytes, &(&log()).into(), &[(&witness()).into()], &origin())
}

#[test]
fn the_example_of_the_specification_verifies() {
    let verifier: NoteVerifier = EXAMPLE_KEY.parse().unwrap();
    assert_eq!(verifier.key_id().to_string(), "530d903a");
    assert_eq!(verifier.to_string(), EXAMPLE_KEY);
    let note = Note::parse(EXAMPLE_NOTE.as_bytes()).unwrap();
    assert_eq!(note.text().as_str(), "This is an example message.\n");
    let known = [verifier];
    let lines = verify_note(&note, &known).unwrap();
    assert_eq!((lines.len(), lines[0].cosigned_at), (1, None));
}

#[test]
fn a_checkpoint_from_the_field_opens_with_its_witness() {
    let (log, witness) = (WITNESSED_LOG.parse().unwrap(), WITNESS.parse::<NoteVerifier>().unwrap());
    assert_eq!(witness.signature_type(), SignatureType::Cosignature);
    assert_eq!(witness.to_string(), WITNESS);
    let origin = "arche2025h1.staging.ct.transparency.dev".parse().unwrap();
    let known = [witness.clone()];
    let opened = SignedCheckpoint::open(WITNESSED.as_bytes(), &log, &known, &origin).unwrap();
    assert_eq!(opened.checkpoint().size(), TreeSize::new(1_432_088_532));
    assert_eq!(opened.note().signatures().len(), 2);
    let [cosignature] = opened.cosignatures() else { panic!("one cosignature") };
    assert_eq!((&cosignature.name, cosignature.at), (witness.name(), at(1_779_573_024)));
    let again = SignedCheckpoint::open(&opened.to_bytes(), &log, &known, &origin);
    assert_eq!(again, Ok(opened));
}

#[test]
fn verifier_keys_that_would_not_print_back_or_do_not_fit_are_refused() {
    let refused = |text: &str| text.parse::<NoteVerifier>().unwrap_err();
    for bad in ["", "example.com/foo", "example.com/foo+530d903a", "+530d903a+AekyeRrm"] {
        refused(bad);
    }
    assert!(matches!(refused(&EXAMPLE_KEY.replace("530d903a", "530D903A")), KeyError::IdForm(_)));
    let other_id = refused(&EXAMPLE_KEY.replace("530d903a", "530d903b"));
    assert!(matches!(other_id, KeyError::IdMismatch { .. }));
    let other_name = refused(&EXAMPLE_KEY.replace("foo", "fop"));
    assert!(matches!(other_name, KeyError::IdMismatch { .. }));
    assert!(matches!(refused(&EXAMPLE_KEY.replace("U2k", "U2k=")), KeyError::VkeyForm(_)));
    assert!(matches!(refused(&format!("{EXAMPLE_KEY}\n")), KeyError::VkeyForm(_)));
    assert_eq!(refused("n+00000000+BgAA"), KeyError::Type(0x06));
    assert_eq!(refused("n+00000000+AQAA"), KeyError::PublicKeyLength(2));
}

#[test]
fn one_key_in_two_roles_has_two_ids() {
    let plain = NoteVerifier::from(&signer("n", 1));
    let cosigning = NoteVerifier::from(&Cosigner::new("n".parse().unwrap(), key(1)));
    assert_eq!(plain.verifying_key(), cosigning.verifying_key());
    assert_ne!(plain.key_id(), cosigning.key_id());
}

#[test]
fn our_notes_verify_there() {
    let text = NoteText::new("a\n\nb\n".to_owned()).unwrap();
    let signers = [signer("npa.go.jp", 1), signer("jc3.or.jp", 2)];
    let lines = signers.iter().map(|signer| signer.sign(&text)).collect();
    let bytes = Note::new(text, lines).unwrap().to_bytes();

    let theirs = signed_note::Note::from_bytes(&bytes).unwrap();
    let known = signers.iter().map(|signer| {
        let vkey = NoteVerifier::from(signer).to_string();
        Box::new(StandardVerifier::new(&vkey).unwrap()) as Box<dyn signed_note::Verifier>
    });
    let (verified, unverified) = theirs.verify(&VerifierList::new(known.collect())).unwrap();
    assert_eq!((verified.len(), unverified.len()), (2, 0));
    assert_eq!(theirs.to_bytes(), bytes);
}

#[test]
fn their_notes_verify_here() {
    let signer = StandardSigner::new(
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
    );
    let known: [NoteVerifier; 1] =
        ["PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap()];
    let mut theirs = signed_note::Note::new("one\n\ntwo\n".as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer.unwrap()]).unwrap();
    let note = Note::parse(&theirs.to_bytes()).unwrap();
    assert_eq!(verify_note(&note, &known).map(|lines| lines.len()), Ok(1));
    assert_eq!(note.to_bytes(), theirs.to_bytes());
}

#[test]
fn lines_of_unknown_keys_are_passed_over_and_prove_nothing() {
    let text = checkpoint(7).to_text();
    let good = log().sign(&text);
    // The same name with another id, and the same id under another name.
    let other_id = signer("npa.go.jp/journal", 3).sign(&text);
    let other_name =
        NoteSignature::new("n".parse().unwrap(), good.key_id(), good.bytes().to_vec()).unwrap();
    let known = [NoteVerifier::from(&log())];
    let strangers = Note::new(text, vec![other_id, other_name]).unwrap();
    let nothing = VerifyError::NoKnownKey { signatures: 2, known: 1 };
    assert_eq!(verify_note(&strangers, &known), Err(nothing));
    let together = strangers.with_signatures([good.clone()]).unwrap();
    let lines = verify_note(&together, &known).unwrap();
    assert_eq!((lines.len(), lines[0].signature), (1, &good));
}

#[test]
fn one_bad_line_of_a_known_key_condemns_the_note_wherever_it_stands() {
    let text = checkpoint(7).to_text();
    let good = log().sign(&text);
    let bad = log().sign(&checkpoint(8).to_text());
    let short =
        NoteSignature::new(good.name().clone(), good.key_id(), good.bytes()[1..].to_vec()).unwrap();
    let known = [NoteVerifier::from(&log()), (&witness()).into()];
    for bad in [bad, short] {
        for lines in [vec![good.clone(), bad.clone()], vec![bad.clone(), good.clone()]] {
            let note = Note::new(text.clone(), lines).unwrap();
            let refused = verify_note(&note, &known);
            assert!(matches!(refused, Err(VerifyError::BadSignature { .. })));
        }
    }
}

#[test]
fn a_key_counts_once_however_often_it_signs() {
    let text = checkpoint(7).to_text();
    let (early, late) =
        (witness().cosign(&checkpoint(7), at(1)), witness().cosign(&checkpoint(7), at(2)));
    let known = [NoteVerifier::from(&log()), (&witness()).into()];
    let lines = vec![early.clone(), early.clone(), late, log().sign(&text), log().sign(&text)];
    let note = Note::new(text, lines).unwrap();
    let good = verify_note(&note, &known).unwrap();
    assert_eq!(good.len(), 2);
    assert_eq!((good[0].signature, good[0].cosigned_at), (&early, Some(at(1))));
}

#[test]
fn the_same_known_key_twice_is_one_key() {
    let note = SignedCheckpoint::sign(checkpoint(7), &log()).note().clone();
    let known = [NoteVerifier::from(&log()), NoteVerifier::from(&log())];
    assert_eq!(verify_note(&note, &known).map(|lines| lines.len()), Ok(1));
}

#[test]
fn a_checkpoint_opens_only_for_its_origin_and_with_the_logs_own_line() {
    let bytes = witnessed();
    let opened = open(&bytes).unwrap();
    assert_eq!(opened.checkpoint(), &checkpoint(7));
    assert_eq!(opened.to_bytes(), bytes);
    assert_eq!(opened.cosignatures()[0].at, at(1_795_338_843));

    let known = [NoteVerifier::from(&witness())];
    let other = "npa.go.jp/feed/jc3.or.jp".parse().unwrap();
    let refused = SignedCheckpoint::open(&bytes, &(&log()).into(), &known, &other);
    assert!(matches!(refused, Err(OpenError::Origin { .. })));
    let stranger = NoteVerifier::from(&signer("npa.go.jp/journal", 5));
    let refused = SignedCheckpoint::open(&bytes, &stranger, &known, &origin());
    assert!(matches!(refused, Err(OpenError::LogSignature { .. })));
    let refused = SignedCheckpoint::open(&bytes, &stranger, &[], &origin());
    assert!(matches!(refused, Err(OpenError::Verify { .. })));
}

#[test]
fn lines_that_nobody_checked_are_not_kept() {
    let line = signer("cbi.gov.in", 4).sign(&checkpoint(7).to_text());
    let padded = Note::parse(&witnessed()).unwrap().with_signatures([line]).unwrap();
    let opened = open(&padded.to_bytes()).unwrap();
    assert_eq!(opened.to_bytes(), witnessed());
}

#[test]
fn a_fresher_cosignature_replaces_the_older_and_a_wrong_one_is_refused() {
    let verifier = NoteVerifier::from(&witness());
    let opened = open(&witnessed()).unwrap();
    let fresh = witness().cosign(&checkpoint(7), at(1_795_338_900));
    let renewed = opened.clone().with_cosignature(fresh, &verifier).unwrap();
    assert_eq!(renewed.cosignatures().len(), 1);
    assert_eq!(renewed.cosignatures()[0].at, at(1_795_338_900));
    assert_eq!(open(&renewed.to_bytes()), Ok(renewed));
    let wrong = witness().cosign(&checkpoint(8), at(1_795_338_900));
    let refused = opened.with_cosignature(wrong, &verifier);
    assert!(matches!(refused, Err(OpenError::Verify { .. })));
}

#[test]
fn every_change_of_one_byte_is_refused_or_says_the_same_checkpoint() {
    let bytes = witnessed();
    let opened = open(&bytes).unwrap();
    let alone = SignedCheckpoint::sign(checkpoint(7), &log());
    for at in 0..bytes.len() {
        for flip in [1, 2, 4, 8, 16, 32, 64, 128, 0x2a] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            // Only a cosigner's line that has become a stranger's may be lost.
            if let Ok(survivor) = open(&changed) {
                assert_eq!(survivor, alone, "byte {at} flipped by {flip:#x}");
            }
        }
        let mut shorter = bytes.clone();
        shorter.remove(at);
        assert!(open(&shorter).is_err() || open(&shorter).as_ref() == Ok(&alone), "byte {at}");
        let mut longer = bytes.clone();
        longer.insert(at, b'A');
        assert!(open(&longer).is_err() || open(&longer).as_ref() == Ok(&alone), "byte {at}");
        if at > 0 {
            assert!(open(&bytes[..at]).map_or(true, |survivor| survivor == alone), "cut at {at}");
        }
    }
    assert_ne!(opened, alone);
}

#[test]
fn every_change_of_one_byte_of_a_note_with_one_line_is_refused() {
    let bytes = EXAMPLE_NOTE.as_bytes();
    let known = [EXAMPLE_KEY.parse::<NoteVerifier>().unwrap()];
    for at in 0..bytes.len() {
        for flip in 1..=u8::MAX {
            let mut changed = bytes.to_vec();
            changed[at] ^= flip;
            let proves = Note::parse(&changed).is_ok_and(|note| verify_note(&note, &known).is_ok());
            assert!(!proves, "byte {at} flipped by {flip:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_verifier_key_prints_and_parses_back(
        name in "[^\\p{Z}\\p{Cc}+]{1,60}", seed: [u8; 32], cosigns: bool,
    ) {
        let (name, key) = (name.parse().unwrap(), SigningKey::from_bytes(&seed));
        let verifier: NoteVerifier = if cosigns {
            (&Cosigner::new(name, key)).into()
        } else {
            (&NoteSigner::new(name, key)).into()
        };
        prop_assert_eq!(verifier.to_string().parse(), Ok(verifier));
    }

    #[test]
    fn a_signed_and_cosigned_checkpoint_opens(size in 0..=i64::MAX as u64, time in 0..=i64::MAX as u64) {
        let signed = SignedCheckpoint::sign(checkpoint(size), &log())
            .with_cosignature(witness().cosign(&checkpoint(size), at(time)), &(&witness()).into())
            .unwrap();
        prop_assert_eq!(open(&signed.to_bytes()), Ok(signed));
    }
}
