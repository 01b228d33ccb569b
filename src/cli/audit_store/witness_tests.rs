//! The audit's check of entries about cosignatures, in the journal of a node that lies.

use super::fixtures::{Node, forged_checkpoint, framed, frames};
use super::tests::{audited, dishonest, verified};
use super::{AuditOptions, verify_directory};
use crate::audit::{Check, Remark, Report};
use crate::ident::TreeSize;
use crate::journal::entry::witness_name;
use crate::merkle::{NoteVerifier, SignatureType, TreeHead, leaf_hash};
use crate::partner::Role;
use crate::pb::{self, journal_entry::Event};
use crate::testkit::{Agency, now, own};

/// A checkpoint of the partner's journal, signed by the partner.
fn of_partner(size: u64, root: &[u8]) -> Vec<u8> {
    let partner = Agency::partner();
    let head = TreeHead { size: TreeSize::new(size), root: leaf_hash(root) };
    partner.signing().sign("cert.example/journal", head).unwrap().to_vec()
}

/// The agency's witness cosigns that, or `by` does in its name.
fn cosigned(note: &[u8], by: &Agency) -> pb::CosignatureGiven {
    let note = by.cosign(&witness_name(&own()), note, now()).into();
    let (origin, partner) = ("cert.example/journal".to_owned(), "cert.example".to_owned());
    pb::CosignatureGiven { origin, partner, note }
}

fn append(node: &Node, event: Event) {
    node.commit(|t| t.append(event));
}

fn evidence(held: &[u8], shown: &[u8]) -> Event {
    Event::ContradictionFound(pb::ContradictionFound {
        origin: "cert.example/journal".into(),
        partner: "cert.example".into(),
        kind: pb::Contradiction::SameSize.into(),
        held_note: held.to_vec().into(),
        shown_note: shown.to_vec().into(),
        ..Default::default()
    })
}

/// A witness that is not a partner.
fn added(role: SignatureType) -> Event {
    named("w.example", &Agency::stranger(), role)
}

/// The same under another name, with the witness key of that party.
fn named(name: &str, party: &Agency, role: SignatureType) -> Event {
    let key = party.key(Role::Witness);
    let name = name.parse().unwrap();
    let key = NoteVerifier::new(name, role, key.public().as_bytes()).unwrap();
    let vkey = key.to_string();
    let (url, client) = ("http://w.example".into(), "admin".into());
    Event::WitnessAdded(pb::WitnessAdded { vkey, url, client })
}

#[test]
fn a_cosignature_given_is_the_agencys_own_and_never_goes_back() {
    let own = Agency::own();
    let give = |node: &Node, given| append(node, Event::CosignatureGiven(given));
    let first = || cosigned(&of_partner(5, b"one"), &own);
    let mut node = Node::new();
    node.submit(0..2);
    give(&node, first());
    give(&node, first());
    give(&node, cosigned(&of_partner(9, b"two"), &own));
    assert_eq!(verified(&node).failure, None);
    let after = |next: pb::CosignatureGiven| {
        dishonest(|node| {
            give(node, first());
            give(node, next);
        })
    };
    let wrong = [
        ("another branch", cosigned(&of_partner(5, b"two"), &own)),
        ("a smaller tree", cosigned(&of_partner(4, b"one"), &own)),
        ("another's line", cosigned(&of_partner(9, b"one"), &Agency::stranger())),
        ("no line", pb::CosignatureGiven { note: of_partner(9, b"one").into(), ..first() }),
        ("a log that did not sign", cosigned(&forged_checkpoint(9), &own)),
        ("another origin", pb::CosignatureGiven { origin: "a.example/journal".into(), ..first() }),
        ("a stranger", pb::CosignatureGiven { partner: "far.example".into(), ..first() }),
    ];
    for (what, given) in wrong {
        assert_eq!(after(given), Check::CosignatureGiven, "{what}");
    }
}

#[test]
fn evidence_is_signed_by_the_log_that_it_accuses() {
    let (one, two) = (of_partner(5, b"one"), of_partner(5, b"two"));
    let mut node = Node::new();
    node.submit(0..2);
    append(&node, evidence(&one, &two));
    let report = verified(&node);
    assert_eq!(report.failure, None);
    let remarks: Vec<_> = report.remarks.iter().map(Remark::name).collect();
    assert!(remarks.contains(&"contradiction"), "{remarks:?}");
    let forged = forged_checkpoint(5);
    let wrong = [("another's", evidence(&one, &forged)), ("the same", evidence(&one, &one))];
    for (what, found) in wrong {
        let check = dishonest(|node| append(node, found));
        assert_eq!(check, Check::Contradiction, "{what}");
    }
}

#[test]
fn a_witness_that_was_added_has_a_witnesss_key() {
    let mut node = Node::new();
    node.submit(0..2);
    append(&node, added(SignatureType::Cosignature));
    assert_eq!(verified(&node).failure, None);
    let check = dishonest(|node| append(node, added(SignatureType::Ed25519)));
    assert_eq!(check, Check::Cosignature);
}

#[test]
fn an_altered_byte_of_an_entry_about_cosignatures_is_found() {
    let mut node = Node::new();
    node.submit(0..2);
    let plain = node.segments();
    node.take_cosignature(&node.journal.view().snapshot().note.clone());
    let note = of_partner(5, b"one");
    append(&node, Event::CosignatureGiven(cosigned(&note, &Agency::own())));
    append(&node, evidence(&note, &of_partner(5, b"two")));
    append(&node, added(SignatureType::Cosignature));
    let segments = node.segments();
    assert_eq!(audited(&segments).failure, None);
    let whole = (plain.len() - 1, frames(&plain[plain.len() - 1]).len());
    for (number, bytes) in (1..).zip(&segments) {
        let sound = frames(bytes);
        assert_eq!(framed(number, &sound), *bytes);
        let at_segment = number as usize - 1;
        for place in (0..sound.len()).filter(|place| (at_segment, *place) >= whole) {
            let len = sound[place].payload.len();
            for at in (0..len).step_by(len.div_ceil(16)) {
                let mut altered = sound.clone();
                altered[place].payload[at] ^= 1 << (at % 8);
                let mut segments = segments.clone();
                segments[at_segment] = framed(number, &altered);
                let report = audited(&segments);
                assert!(report.failure.is_some(), "segment {number} frame {place} byte {at}");
            }
        }
    }
}

#[test]
fn a_quorum_counts_witnesses_and_not_cosignatures() {
    let mut node = Node::new();
    node.submit(0..2);
    node.take_cosignature(&node.journal.view().snapshot().note.clone());
    node.take_cosignature(&node.journal.view().snapshot().note.clone());
    let with = |quorum| {
        let options = AuditOptions { quorum: Some(quorum), ..AuditOptions::default() };
        verify_directory(node.path(), &options).unwrap()
    };
    let report = with(1);
    assert_eq!(report.failure, None);
    assert_eq!(report.witnesses[0].name, "cert.example/witness");
    assert!(report.to_string().contains("quorum     ✓ 1 witness covers"), "{report}");
    let fault = with(2).failure.unwrap().fault;
    assert_eq!(fault.check, Check::Quorum);
    assert!(fault.found.starts_with("at most 1 cosigned them; 2 cosigned 0"), "{}", fault.found);
}

#[test]
fn a_cosignature_that_comes_too_late_to_be_compared_counts_for_no_quorum() {
    // More entries than the auditor keeps leaves of.
    const LATER: usize = 18_000;
    let partner = Agency::partner();
    let mut node = Node::new();
    node.submit(0..2);
    node.commit(|t| {
        let confirmed = pb::ClockConfirmed { client: "admin".into(), ..Default::default() };
        (0..LATER).try_for_each(|_| t.append(Event::ClockConfirmed(confirmed.clone())).map(drop))
    });
    let name = "cert.example/witness";
    let note = partner.cosign(name, &forged_checkpoint(3), now()).into();
    append(
        &node,
        Event::CosignatureReceived(pb::CosignatureReceived { witness: name.into(), note }),
    );
    let report = with_quorum(&node, 1);
    assert_eq!(report.failure.map(|failure| failure.fault.check), Some(Check::Quorum));
    assert_eq!(report.counts.old_cosignatures, 1);
    let text = verified(&node).to_string();
    assert!(text.contains("does not count: its cosignatures came too late"), "{text}");
    node.take_cosignature(&node.journal.view().snapshot().note.clone());
    assert_eq!(with_quorum(&node, 1).failure, None);
}

/// A node whose newest checkpoint is cosigned under these names, each by the witness key of a party and
/// so much later than the journal says. All but the partner's own name are added as witnesses first.
fn witnessed(by: &[(&str, &Agency, i64)]) -> Node {
    let mut node = Node::new();
    node.submit(0..2);
    for (name, party, _) in by.iter().filter(|(name, ..)| *name != "cert.example/witness") {
        append(&node, named(name, party, SignatureType::Cosignature));
    }
    let note = node.journal.view().snapshot().note.clone();
    for (name, party, later_ms) in by {
        let note = party.cosign(name, &note, now().plus_ms(*later_ms)).into();
        let witness = (*name).to_owned();
        append(&node, Event::CosignatureReceived(pb::CosignatureReceived { witness, note }));
    }
    node
}

fn with_quorum(node: &Node, quorum: usize) -> Report {
    let options = AuditOptions { quorum: Some(quorum), ..AuditOptions::default() };
    verify_directory(node.path(), &options).unwrap()
}

#[test]
fn one_key_under_three_names_is_one_witness_of_a_quorum() {
    let (partner, stranger) = (Agency::partner(), Agency::stranger());
    let node = witnessed(&[
        ("a.example", &partner, 0),
        ("b.example", &partner, 0),
        ("cert.example/witness", &partner, 0),
    ]);
    assert_eq!(with_quorum(&node, 1).failure, None);
    assert_eq!(with_quorum(&node, 2).failure.unwrap().fault.check, Check::Quorum);
    let text = with_quorum(&node, 1).to_string();
    assert!(text.contains("does not count: the key of"), "{text}");
    let two = witnessed(&[("a.example", &stranger, 0), ("cert.example/witness", &partner, 0)]);
    assert_eq!(with_quorum(&two, 2).failure, None);
}

#[test]
fn a_key_of_the_agency_itself_never_counts_for_a_quorum() {
    let (own, partner) = (Agency::own(), Agency::partner());
    let node = witnessed(&[("w.example", &own, 0), ("cert.example/witness", &partner, 0)]);
    let report = with_quorum(&node, 1);
    assert_eq!(report.failure, None);
    assert!(report.to_string().contains("does not count: a key of the agency's own"), "{report}");
    assert_eq!(with_quorum(&node, 2).failure.unwrap().fault.check, Check::Quorum);
}

#[test]
fn a_journal_that_is_years_ahead_of_its_witnesses_or_dated_back_is_found() {
    const HOUR_MS: i64 = 3_600_000;
    let (partner, stranger) = (Agency::partner(), Agency::stranger());
    let signed = |later_ms| {
        let report = verified(&witnessed(&[("cert.example/witness", &partner, later_ms)]));
        let remarks = report.remarks.iter().filter(|remark| remark.name() == "signed_times");
        (report.failure.clone().map(|failure| failure.fault.check), remarks.count())
    };
    assert_eq!(signed(0), (None, 0));
    assert_eq!(signed(-60_000), (None, 0));
    assert_eq!(signed(-2 * HOUR_MS), (None, 1));
    assert_eq!(signed(2 * HOUR_MS), (None, 1));
    assert_eq!(signed(-2 * 365 * 24 * HOUR_MS), (Some(Check::SignedTime), 1));
    assert_eq!(signed(30 * HOUR_MS), (Some(Check::SignedTime), 1));
    // A node takes in no cosignature that is dated back so far, so one is enough; of those dated ahead most.
    let check = |later_ms| {
        let one_of_two =
            [("w.example", &stranger, 0), ("cert.example/witness", &partner, later_ms)];
        verified(&witnessed(&one_of_two)).failure.map(|failure| failure.fault.check)
    };
    assert_eq!(check(-48 * HOUR_MS), Some(Check::SignedTime));
    assert_eq!(check(48 * HOUR_MS), None);
}
