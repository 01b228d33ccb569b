//! Checkpoints, cards and files that the auditor brings: those that the agency signed, and wrong ones.

use super::fixtures::{Node, forged_checkpoint};
use super::*;
use crate::audit::Check;
use crate::cli::audit_outcome::{outcome, unreadable};
use crate::cli::error::Exit;
use crate::ident::TreeSize;
use crate::merkle::{TreeHead, leaf_hash};
use crate::partner::Role;
use crate::testkit::Agency;

/// A node, and the report on it with a checkpoint from a file with these bytes.
fn verified_with(note: &[u8]) -> Result<Report, AuditError> {
    let mut node = Node::new();
    node.submit(0..2);
    let file = node.path().join("held.note");
    std::fs::write(&file, note).unwrap();
    let options = AuditOptions { checkpoint: Some(file), ..AuditOptions::default() };
    verify_directory(node.path(), &options)
}

fn exit(report: &Report) -> Option<Exit> {
    outcome(report).err().map(|error| error.exit())
}

#[test]
fn only_a_checkpoint_that_the_agency_signed_can_contradict_its_journal() {
    let head = TreeHead { size: TreeSize::new(3), root: leaf_hash(b"another") };
    let by = |party: &Agency, origin: &str| party.signing().sign(origin, head).unwrap();
    let (own, partner) = (Agency::own(), Agency::partner());
    for (what, note, words) in [
        (
            "another agency's",
            by(&partner, "cert.example/journal"),
            "of the journal of cert.example",
        ),
        ("a feed's", by(&own, "npa.go.jp/feed/cert.example"), "which is not a journal"),
        ("another's signature", by(&partner, "npa.go.jp/journal"), "did not sign it"),
    ] {
        let report = verified_with(&note).unwrap();
        assert_eq!(report.failure, None, "{what}");
        let why = report.unusable.clone().unwrap();
        assert!(why.contains(words), "{what}: {why}");
        assert_eq!(exit(&report), Some(Exit::Usage), "{what}");
    }
    let forged = verified_with(&forged_checkpoint(3)).unwrap();
    assert_eq!(exit(&forged), Some(Exit::VerificationFailed));
}

#[test]
fn a_checkpoint_whose_line_ends_were_changed_is_named_as_such() {
    let note = String::from_utf8(forged_checkpoint(3).to_vec()).unwrap();
    let refused = verified_with(note.replace('\n', "\r\n").as_bytes());
    assert!(matches!(refused, Err(AuditError::LineEnds(_))), "{refused:?}");
}

/// A card of the node's agency with the journal key of another party, so many serials later.
fn rekeyed(later: u64, by: &Agency) -> String {
    let own = Agency::own();
    let mut card = own.card().card().clone();
    card.serial += later;
    card.journal_key = *by.key(Role::Journal).public();
    card.seal(&own.key(Role::Identity)).unwrap().to_armour().unwrap()
}

#[test]
fn a_held_card_of_a_serial_that_the_journal_has_in_another_form_contradicts_it() {
    let node = Node::new();
    let file = node.path().join("held.txt");
    let with = |card: String| {
        std::fs::write(&file, card).unwrap();
        let options = AuditOptions { card: Some(file.clone()), ..AuditOptions::default() };
        verify_directory(node.path(), &options).unwrap()
    };
    assert_eq!(with(Agency::own().card().to_armour().unwrap()).failure, None);
    assert_eq!(with(rekeyed(1, &Agency::stranger())).failure, None);
    let report = with(rekeyed(0, &Agency::stranger()));
    assert_eq!(exit(&report), Some(Exit::VerificationFailed));
    assert_eq!(report.failure.unwrap().fault.check, Check::OwnCard);
}

#[test]
fn a_held_checkpoint_by_the_key_on_the_held_card_contradicts_a_journal_under_another_key() {
    let mut node = Node::new();
    node.submit(0..2);
    let stranger = Agency::stranger();
    let (card, note) = (node.path().join("held.txt"), node.path().join("held.note"));
    std::fs::write(&card, rekeyed(1, &stranger)).unwrap();
    let with = |head: TreeHead, card: Option<&PathBuf>| {
        std::fs::write(&note, stranger.signing().sign("npa.go.jp/journal", head).unwrap()).unwrap();
        let checkpoint = Some(note.clone());
        let options = AuditOptions { card: card.cloned(), checkpoint, ..AuditOptions::default() };
        verify_directory(node.path(), &options).unwrap()
    };
    for size in [3, 1_000] {
        let head = TreeHead { size: TreeSize::new(size), root: leaf_hash(b"another") };
        let report = with(head, Some(&card));
        assert_eq!(exit(&report), Some(Exit::VerificationFailed), "{size}");
        assert_eq!(report.failure.unwrap().fault.check, Check::KnownCheckpoint, "{size}");
        assert_eq!(exit(&with(head, None)), Some(Exit::Usage), "{size}");
    }
    let newest = verify_directory(node.path(), &AuditOptions::default()).unwrap().checkpoint;
    assert_eq!(exit(&with(newest, Some(&card))), None);
}

#[test]
fn a_file_of_another_sort_is_named_as_what_it_is() {
    let card = Agency::partner().card().to_armour().unwrap();
    for (bytes, kind) in [
        (card.as_bytes(), "a card"),
        (&b"liaison-proof/v1\n"[..], "the proof of a record"),
        (&b"liaison-part/v1\n"[..], "the manifest of a part"),
        (&b""[..], "an empty file"),
        (&[0xff, 0xfe][..], "a file of another sort"),
    ] {
        let error = verified_with(bytes).unwrap_err();
        assert!(error.to_string().contains(kind), "{error}");
        assert_eq!(unreadable(error).exit(), Exit::Usage, "{kind}");
    }
    let mut node = Node::new();
    node.submit(0..2);
    let checkpoint = node.path().join("checkpoint.note");
    std::fs::write(&checkpoint, &node.journal.view().snapshot().note).unwrap();
    let options = AuditOptions { card: Some(checkpoint), ..AuditOptions::default() };
    let error = verify_directory(node.path(), &options).unwrap_err();
    assert!(error.to_string().contains("a checkpoint of npa.go.jp/journal"), "{error}");
}

#[test]
fn another_identity_than_the_one_named_is_not_an_incident_of_its_own() {
    let node = Node::new();
    let number = Agency::partner().card().number().to_string();
    let options = AuditOptions { identity: Some(number), ..AuditOptions::default() };
    let report = verify_directory(node.path(), &options).unwrap();
    assert_eq!(exit(&report), Some(Exit::Untrusted));
    let mistyped = AuditOptions { identity: Some("12345".into()), ..AuditOptions::default() };
    let error = verify_directory(node.path(), &mistyped).unwrap_err();
    assert_eq!(unreadable(error).exit(), Exit::Usage);
}

#[test]
fn a_file_of_an_export_that_no_entry_names_is_a_remark() {
    let mut node = Node::new();
    node.submit(0..2);
    let out = node.path().join("export");
    crate::cli::commands::audit::export::export(node.path(), &out, &false.into()).unwrap();
    let foreign = || -> Vec<String> {
        let report = verify_directory(&out, &AuditOptions::default()).unwrap();
        assert_eq!(report.failure, None);
        let named = report.remarks.into_iter().filter_map(|remark| match remark {
            Remark::ForeignFile { name } => Some(name),
            _ => None,
        });
        named.collect()
    };
    assert_eq!(foreign(), Vec::<String>::new());
    for path in ["tile/0/000.p/3", "partners/far.example.txt", "store/segments/00000001.seg"] {
        let path = out.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "stale").unwrap();
    }
    let wanted = ["partners/far.example.txt", "store/segments/00000001.seg", "tile/0/000.p/3"];
    assert_eq!(foreign(), wanted);
}
