//! Tests of a journal that goes on under the next generation, and of one that only claims to.

use super::fixtures::{Node, forged_checkpoint};
use super::{AuditOptions, verify_directory};
use crate::audit::{Check, Remark, Report, Selection};
use crate::exchange::WHOLE_RECORD;
use crate::ident::{Generation, TreeSize};
use crate::journal::entry::witness_name;
use crate::merkle::{TreeHead, leaf_hash};
use crate::partner::{Card, Role, VerifiedCard};
use crate::pb::{self, journal_entry::Event};
use crate::testkit::{Agency, feed_entry, now, own, partner};
use bytes::Bytes;
use std::sync::atomic::AtomicBool;

const SECOND: u32 = 2;

/// The own agency after its logs were succeeded.
fn next() -> Agency {
    let mut own = Agency::own();
    own.succeed();
    own
}

/// The card of the second generation.
pub(in crate::cli) fn next_own_card() -> VerifiedCard {
    next_card(|_| ())
}

fn next_card(edit: impl FnOnce(&mut Card)) -> VerifiedCard {
    let before = Agency::own().card();
    next().card_with(|card| {
        card.serial = before.card().serial + 1;
        card.previous = Some(before.hash());
        edit(card);
    })
}

/// A checkpoint of the first generation that the partner cosigned.
fn shown(size: u64) -> pb::LostSigned {
    let partner = Agency::partner();
    let name = witness_name(&partner.name);
    let note = partner.cosign(&name, &forged_checkpoint(size), now()).into();
    pb::LostSigned { partner: partner.name.to_string(), note }
}

/// The succession entry of a node, and the card that follows.
struct Told {
    succeeded: pb::LogSucceeded,
    card: Option<VerifiedCard>,
}

impl Told {
    fn of(node: &Node) -> Self {
        let snapshot = node.journal.view().snapshot();
        let succeeded = pb::LogSucceeded {
            generation: SECOND,
            last_note: snapshot.note.clone(),
            lost: vec![shown(snapshot.size + 3)],
            reason: "a disk".to_owned(),
            by: "K. Tanaka".to_owned(),
            recorded_size: 0,
        };
        Self { succeeded, card: Some(next_card(|_| ())) }
    }

    fn commit(self, node: &Node) {
        let Self { succeeded, card } = self;
        node.commit(move |t| {
            t.append(Event::LogSucceeded(succeeded))?;
            if let Some(card) = card {
                let card = Some(card.signed().clone());
                t.append(Event::CardIssued(pb::CardIssued { card }))?;
            }
            Ok(())
        });
    }
}

fn verified(node: &Node) -> Report {
    verify_directory(node.path(), &AuditOptions::default()).unwrap()
}

/// A node after its journal was succeeded.
pub(in crate::cli) fn succeed(node: Node) -> Node {
    let node = node.reopened(&next());
    Told::of(&node).commit(&node);
    node
}

/// Returns a full node with a succeeded journal after an edit of its succession entry.
fn succeeded(edit: impl FnOnce(&mut Told)) -> Node {
    let node = Node::full().reopened(&next());
    let mut told = Told::of(&node);
    edit(&mut told);
    told.commit(&node);
    node
}

fn fault(edit: impl FnOnce(&mut Told)) -> Option<Check> {
    verified(&succeeded(edit)).failure.map(|failure| failure.fault.check)
}

#[test]
fn a_succession_is_a_remark_with_the_bound_of_the_loss() {
    let mut node = succeeded(|_| ());
    node.submit(10..12);
    let left = node.journal.view().snapshot().size - 4;
    let report = verified(&node);
    assert_eq!(report.failure, None);
    let remark = report.remarks.iter().find(|remark| remark.name() == "log_succeeded").unwrap();
    assert_eq!(
        *remark,
        Remark::Succeeded {
            generation: Generation::new(SECOND).unwrap(),
            left,
            signed: Some(left + 3),
            recorded: None,
            reason: "a disk".to_owned(),
        }
    );
    let out = node.path().join("export");
    crate::cli::commands::audit::export::export(node.path(), &out, &AtomicBool::new(false))
        .unwrap();
    let exported = verify_directory(&out, &AuditOptions::default()).unwrap();
    assert_eq!(exported.failure, None);
    assert!(exported.remarks.contains(remark));
    assert_eq!(exported.feeds, report.feeds);
}

#[test]
fn everything_is_disclosed_anew_in_a_feed_of_its_own() {
    let node = succeeded(|_| ());
    let entries = node.records[..3]
        .iter()
        .map(|record| feed_entry(pb::FeedAction::Disclose, &record.id(), 0b110));
    node.publish(entries.collect());
    let report = verified(&node);
    assert_eq!(report.failure, None);
    let feeds: Vec<_> = report
        .feeds
        .iter()
        .map(|feed| (feed.name.to_string(), feed.size, feed.receipted))
        .collect();
    assert_eq!(feeds, [("cert.example".to_owned(), 10, 6), ("cert.example/2".to_owned(), 3, 0)]);
    let out = node.path().join("export");
    crate::cli::commands::audit::export::export(node.path(), &out, &AtomicBool::new(false))
        .unwrap();
    let exported = verify_directory(&out, &AuditOptions::default()).unwrap();
    assert_eq!((exported.failure, exported.feeds), (None, report.feeds));
}

#[test]
fn what_was_disclosed_before_a_succession_can_still_be_taken_back() {
    let mut node = succeeded(|_| ());
    let partner = partner();
    let snapshot = node.journal.view().snapshot();
    let (id, number) = (node.records[0].id(), snapshot.state.partners[&partner].number);
    let disclosed = node.journal.view().disclosed_before(number, &id).unwrap();
    assert_eq!(disclosed.unwrap().bits(), 0b1110);
    let entry = |node: &Node, action: pb::FeedAction, at: usize, slots: u32| {
        feed_entry(action, &node.records[at].id(), slots)
    };
    let whole = WHOLE_RECORD.bits();
    node.publish(vec![
        entry(&node, pb::FeedAction::Retract, 0, whole),
        entry(&node, pb::FeedAction::Retract, 1, 0b100),
    ]);
    let said = |at: usize| {
        let view = node.journal.view();
        let feed = view.snapshot().state.partners[&partner].feed;
        view.disclosure(feed, &node.records[at].id()).unwrap().unwrap().disclosed
    };
    assert!(said(0).is_retracted && !said(0).is_earlier);
    assert!(said(1).is_earlier, "nothing in the feed shows it");
    node.publish(vec![entry(&node, pb::FeedAction::Disclose, 1, 0b010)]);
    assert_eq!((said(1).slots.bits(), said(1).is_earlier), (0b010, false));
    assert_eq!(verified(&node).failure, None);
    node.submit(10..11);
    node.publish(vec![entry(&node, pb::FeedAction::Retract, 5, whole)]);
    let failure = verified(&node).failure.unwrap();
    assert_eq!(failure.fault.check, Check::Disclosure, "it was never disclosed");
}

#[test]
fn what_only_an_earlier_feed_showed_is_not_revised_in_this_one() {
    let node = succeeded(|_| ());
    node.publish(vec![feed_entry(pb::FeedAction::Revise, &node.records[0].id(), 0b110)]);
    let failure = verified(&node).failure.unwrap();
    assert_eq!(failure.fault.check, Check::Disclosure);
}

#[test]
fn a_part_tells_of_a_succession_and_proves_both_generations() {
    let node = succeeded(|_| ());
    let entry = feed_entry(pb::FeedAction::Disclose, &node.records[0].id(), 0b110);
    node.publish(vec![entry]);
    let out = node.path().join("part");
    let selection = Selection::Record(node.records[0].id());
    let stop = AtomicBool::new(false);
    let report =
        crate::cli::commands::audit::export::export_part(node.path(), &out, selection, &stop)
            .unwrap();
    let feeds: Vec<_> =
        report.feeds.iter().map(|feed| (feed.name.to_string(), feed.share.here)).collect();
    assert_eq!(feeds, [("cert.example".to_owned(), 2), ("cert.example/2".to_owned(), 1)]);
}

#[test]
fn a_succession_that_shows_no_loss_is_none() {
    assert_eq!(fault(|told| told.succeeded.lost.clear()), Some(Check::Succession));
    let stranger = |told: &mut Told| told.succeeded.lost[0].partner = "far.example".to_owned();
    assert_eq!(fault(stranger), Some(Check::Succession));
    let not_beyond = |told: &mut Told| told.succeeded.lost = vec![shown(3)];
    assert_eq!(fault(not_beyond), Some(Check::Succession));
    let alone = |told: &mut Told| told.succeeded.lost[0].note = forged_checkpoint(99);
    assert_eq!(fault(alone), Some(Check::Succession), "no partner showed it");
    let by_another = |told: &mut Told| {
        let origin = Generation::FIRST.journal_origin(&own());
        let head = TreeHead { size: TreeSize::new(99), root: leaf_hash(b"x") };
        told.succeeded.lost[0].note = Agency::partner().signing().sign(&origin, head).unwrap();
    };
    assert_eq!(fault(by_another), Some(Check::Succession));
}

#[test]
fn a_succession_leaves_out_no_entry_and_no_generation() {
    let earlier = |told: &mut Told| told.succeeded.last_note = forged_checkpoint(3);
    assert_eq!(fault(earlier), Some(Check::Succession));
    assert_eq!(fault(|told| told.succeeded.last_note = Bytes::new()), Some(Check::Succession));
    assert_eq!(fault(|told| told.succeeded.generation = 3), Some(Check::Succession));
    assert_eq!(fault(|told| told.succeeded.generation = 0), Some(Check::Succession));
}

#[test]
fn a_succession_brings_a_card_with_other_keys_at_once() {
    assert_eq!(fault(|told| told.card = None), Some(Check::Succession));
    let old_key = |told: &mut Told| {
        let witness_key = *Agency::own().key(Role::Witness).public();
        told.card = Some(next_card(|card| card.witness_key = witness_key));
    };
    assert_eq!(fault(old_key), Some(Check::Succession));
    let third = |told: &mut Told| {
        told.card = Some(next_card(|card| card.generation = Generation::new(3).unwrap()));
    };
    assert_eq!(fault(third), Some(Check::Succession));
}

#[test]
fn a_card_of_another_generation_needs_a_succession() {
    let node = Node::full().reopened(&next());
    node.commit(|t| {
        let card = Some(next_card(|_| ()).signed().clone());
        t.append(Event::CardIssued(pb::CardIssued { card }))
    });
    let failure = verified(&node).failure.unwrap();
    assert_eq!(failure.fault.check, Check::Succession);
}

#[test]
fn a_checkpoint_of_what_was_lost_is_compared_with_nothing_and_any_other_is() {
    let before = Node::full().journal.view().snapshot().note.clone();
    let node = succeeded(|_| ());
    let left = node.journal.view().snapshot().size - 2;
    let with = |note: &[u8]| {
        let path = node.path().join("kept");
        std::fs::write(&path, note).unwrap();
        let options = AuditOptions { checkpoint: Some(path), ..AuditOptions::default() };
        verify_directory(node.path(), &options).unwrap()
    };
    let whole = with(&before);
    assert_eq!(whole.failure, None);
    assert!(!whole.remarks.iter().any(|remark| remark.name() == "known_checkpoint_lost"));
    let lost = with(&forged_checkpoint(left + 1));
    assert_eq!(lost.failure, None);
    let remark = Remark::KnownCheckpointLost { size: left + 1, left };
    assert!(lost.remarks.contains(&remark), "{:?}", lost.remarks);
    let other = with(&forged_checkpoint(left - 1)).failure.unwrap();
    assert_eq!(other.fault.check, Check::KnownCheckpoint);
}
