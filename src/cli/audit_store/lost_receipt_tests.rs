//! A partner whose logs were succeeded and that holds less of our feed than it gave receipts for: what it
//! refused before stays known, and its receipts count anew from what it holds.

use super::fixtures::{Node, addition};
use super::{AuditOptions, verify_directory};
use crate::audit::{Check, Report};
use crate::exchange::{Exception, ExceptionStatement, Reason};
use crate::ident::{Generation, LeafIndex};
use crate::merkle::{Checkpoint, Cosigner, Note, NoteSigner, NoteVerifier, SignedCheckpoint};
use crate::pb::{self, journal_entry::Event};
use crate::testkit::{Agency, feed_entry, now, partner};
use bytes::Bytes;

/// The partner after its logs were succeeded.
fn later_partner() -> Agency {
    let mut partner = Agency::partner();
    partner.succeed();
    partner
}

/// People accept the partner's card of its second generation.
fn accepted() -> Event {
    let [_, _, Event::PartnerChanged(known)] = addition(&Agency::partner(), 1, 2) else {
        unreachable!("the third entry is the partner")
    };
    let before = Agency::partner().card();
    let card = later_partner().card_with(|card| {
        card.serial = before.card().serial + 1;
        card.previous = Some(before.hash());
    });
    let card = Some(card.signed().clone());
    Event::PartnerChanged(pb::PartnerChanged { card, proposal: 0, ..known })
}

/// A published head with the partner's line.
fn receipted(published: &[u8], by: &Cosigner) -> Bytes {
    let (own, partner) = (Agency::own(), Agency::partner());
    let checkpoint = Checkpoint::parse(Note::parse(published).unwrap().text()).unwrap();
    let origin = Generation::FIRST.feed_origin(&own.name, &partner.name);
    let signer = NoteSigner::new(origin.parse().unwrap(), own.signing().journal_key);
    let line = by.cosign(&checkpoint, now().into());
    let signed = SignedCheckpoint::sign(checkpoint, &signer);
    signed.with_cosignature(line, &NoteVerifier::from(by)).unwrap().to_bytes().into()
}

/// The receipt for a head, with the entries from `range` that the partner refused.
fn receipt(
    published: &[u8],
    range: std::ops::Range<u64>,
    refused: u64,
    total: u64,
    by: &Cosigner,
) -> Event {
    let (own, partner) = (Agency::own(), Agency::partner());
    let refused = [Exception::new(LeafIndex::new(refused), Reason::Policy, "")];
    let origin = Generation::FIRST.feed_origin(&own.name, &partner.name);
    let statement = ExceptionStatement::sign(&origin.parse().unwrap(), range, &refused, by);
    Event::ReceiptReceived(pb::ReceiptReceived {
        partner: partner.name.to_string(),
        note: receipted(published, by),
        exceptions: refused.iter().map(Into::into).collect(),
        exceptions_total: total,
        statement: Some((&statement).into()),
        ..pb::ReceiptReceived::default()
    })
}

fn lost(held: u64, note: Bytes) -> Event {
    Event::ReceiptLost(pb::ReceiptLost {
        partner: partner().to_string(),
        generation: Generation::FIRST.to_wire(),
        held,
        note,
    })
}

/// A node that published heads of two and of four entries.
struct Story {
    node: Node,
    two: Bytes,
    four: Bytes,
}

impl Story {
    fn begin() -> Self {
        let mut node = Node::new();
        node.submit(0..4);
        let mut heads = Vec::new();
        for numbers in [0..2, 2..4] {
            let entries = node.records[numbers]
                .iter()
                .map(|record| feed_entry(pb::FeedAction::Disclose, &record.id(), 0b110));
            node.publish(entries.collect());
            let snapshot = node.journal.view().snapshot();
            heads.push(snapshot.state.partners[&partner()].published.note.clone());
        }
        let [two, four] = heads.try_into().unwrap();
        Self { node, two, four }
    }

    /// A receipt for four of which the second was refused, the succession of the partner, its receipt for
    /// two, and the one for four of which it now refuses the last.
    fn events(&self) -> Vec<Event> {
        let first = Agency::partner().receipts;
        let later = later_partner().receipts;
        vec![
            receipt(&self.four, 0..4, 1, 1, &first),
            accepted(),
            lost(2, receipted(&self.two, &later)),
            receipt(&self.four, 2..4, 3, 2, &later),
        ]
    }

    fn commit(&self, events: Vec<Event>) {
        for event in events {
            self.node.commit(move |t| match event {
                Event::ReceiptReceived(receipt) => t.receipt(receipt),
                event => t.append(event).map(drop),
            });
        }
    }

    fn report(&self) -> Report {
        verify_directory(self.node.path(), &AuditOptions::default()).unwrap()
    }
}

/// The check that a journal with an edited story fails.
fn fault(edit: impl FnOnce(&Story, &mut Vec<Event>)) -> Option<Check> {
    let story = Story::begin();
    let mut events = story.events();
    edit(&story, &mut events);
    story.commit(events);
    story.report().failure.map(|failure| failure.fault.check)
}

#[test]
fn what_a_partner_refused_before_its_logs_were_succeeded_stays_known() {
    let story = Story::begin();
    let agency = partner();
    let mut events = story.events();
    let last = events.pop().unwrap();
    story.commit(events);
    let known = || {
        let view = story.node.journal.view();
        let partner = &view.snapshot().state.partners[&agency];
        let refusals = view.refusals(partner.feed, 0).unwrap();
        let refused = refusals.records.values().sum::<u64>();
        (partner.receipted, partner.exceptions, refused)
    };
    assert_eq!(known(), (2, 1, 1), "it holds two entries, and refused one of them");
    assert_eq!(story.report().failure, None);
    story.commit(vec![last]);
    assert_eq!(known(), (4, 2, 2), "it refused another of those that came again");
    let report = story.report();
    assert_eq!(report.failure, None);
    assert_eq!((report.feeds[0].receipted, report.feeds[0].exceptions), (4, 2));
}

#[test]
fn a_partner_that_lost_everything_holds_nothing_under_a_receipt() {
    let nothing = |_: &Story, events: &mut Vec<Event>| {
        events.truncate(2);
        events.push(lost(0, Bytes::new()));
    };
    assert_eq!(fault(nothing), None);
}

#[test]
fn a_loss_of_receipts_that_no_partner_showed_is_found() {
    let first = Agency::partner().receipts;
    let later = later_partner().receipts;
    let replaced = |of: &dyn Fn(&Story) -> Event| fault(|story, events| events[2] = of(story));
    let lies: [&dyn Fn(&Story) -> Event; 4] = [
        // Another size than the receipt's, no receipt, no less than before, by a key that was given up.
        &|story| lost(1, receipted(&story.two, &later)),
        &|_| lost(2, Bytes::new()),
        &|story| lost(4, receipted(&story.four, &later)),
        &|story| lost(2, receipted(&story.two, &first)),
    ];
    for lie in lies {
        assert_eq!(replaced(lie), Some(Check::Receipt));
    }
    let not_succeeded = |_: &Story, events: &mut Vec<Event>| {
        events.remove(1);
    };
    assert_eq!(fault(not_succeeded), Some(Check::Receipt));
}

#[test]
fn a_loss_of_receipts_that_was_left_out_is_found() {
    let dropped = |_: &Story, events: &mut Vec<Event>| {
        events.remove(2);
    };
    assert_eq!(fault(dropped), Some(Check::Receipt));
}
