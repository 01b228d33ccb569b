//! Duties between partners: what is taken back and shown again, and how the answers to ours show.

use super::erase::Ground;
use super::erase_tests::{TITLE, VALUE, finds, ground, indicator};
use super::ids::PartnerNumber;
use super::progress::Progress;
use super::transaction::{Origin, Transaction};
use crate::ident::RecordId;
use crate::pb::{self, ErasureProgress, ExceptionReason, FeedAction};
use crate::record::erasure::ErasureBasis;
use crate::record::slots::SlotMask;
use crate::testkit::{Agency, TestJournal, exception, feed_entry, partner, receipt_of};
use std::sync::Arc;

const NUMBER: PartnerNumber = PartnerNumber::new(1);

#[test]
fn what_is_taken_back_and_shown_again_in_one_batch_can_be_taken_back_again() {
    let journal = TestJournal::new();
    journal.add_partner();
    let (record, title) = (indicator(), SlotMask::from_bits(TITLE));
    let (id, first, whole) = (record.id(), Arc::clone(&record), Arc::clone(&record));
    journal.commit(move |tx| {
        let origin = Origin::Partner { agency: &partner(), feed_index: 0 };
        tx.accept(first, origin).map(drop)
    });
    let retract = |feed_index| {
        move |tx: &mut Transaction<'_>| tx.retract(&id, title, (&partner(), NUMBER, feed_index))
    };
    let taken_back = retract(1);
    journal.commit(move |tx| {
        taken_back(tx)?;
        let mut merged = (*tx.record(&id)?.unwrap()).clone();
        let gained = merged.absorb(&whole, SlotMask::NONE).unwrap();
        assert_eq!(gained, title, "what is taken back is no longer in use");
        tx.extend(Arc::new(merged), gained, (&partner(), 2))
    });
    let in_use = |journal: &TestJournal, id: &RecordId| {
        let kept = journal.view().kept(id).unwrap().unwrap();
        (kept.record.open_slots(), finds(journal, "kept"))
    };
    let all = record.open_slots();
    assert_eq!(in_use(&journal, &id), (all, 1));
    let journal = journal.reindexed();
    assert_eq!(in_use(&journal, &id), (all, 1));
    journal.commit(retract(3));
    assert_eq!(in_use(&journal, &id), (all.without(title), 0));
    let journal = journal.reindexed();
    assert_eq!(in_use(&journal, &id), (all.without(title), 0));
}

/// A record with its disclosure, a retraction of its value and an order to erase its title in the feed to
/// the partner.
fn with_duties(journal: &TestJournal) -> RecordId {
    with_order(journal, |all| vec![(FeedAction::Disclose, all), (FeedAction::Retract, VALUE)])
}

/// A record with these entries about it in the feed to the partner, and then an order to erase its title;
/// `before` gets all slots.
fn with_order(
    journal: &TestJournal,
    before: impl FnOnce(u32) -> Vec<(FeedAction, u32)>,
) -> RecordId {
    let record = indicator();
    let (id, all) = (record.id(), record.open_slots().bits());
    let before = before(all);
    journal.add_partner();
    journal.accept(&record);
    let title = SlotMask::from_bits(TITLE);
    let order = Agency::own().order(&id, title, ErasureBasis::Led16);
    journal.commit(move |tx| {
        tx.erase(&id, title, &Ground { order: Some(order), ..ground() })?;
        let ordered = feed_entry(FeedAction::Erase, &id, TITLE);
        let mut entries: Vec<_> =
            before.into_iter().map(|(action, slots)| feed_entry(action, &id, slots)).collect();
        entries.push(pb::FeedEntry { order: Some((&order).into()), ..ordered });
        tx.publish(&partner(), &entries, Progress::default(), 0)
    });
    id
}

/// The partner's receipt for everything, which takes neither duty for this reason.
fn answer(journal: &TestJournal, reason: Option<ExceptionReason>) {
    let refused = reason.into_iter().flat_map(|reason| [(1, reason), (2, reason)]);
    except(journal, refused.collect());
}

/// The partner's receipt for everything but these entries of the feed.
fn except(journal: &TestJournal, refused: Vec<(u64, ExceptionReason)>) {
    journal.commit(move |tx| {
        let refused = refused.into_iter().map(|(index, reason)| exception(index, reason));
        tx.receipt(receipt_of(tx, &partner(), refused.collect()))
    });
}

/// Returns the progress of the retraction and of the order to erase.
fn progress(journal: &TestJournal, id: &RecordId) -> (ErasureProgress, ErasureProgress) {
    let view = journal.view();
    let retractions = view.retractions(None, None, u64::MAX, false, 9).unwrap().retractions;
    let erasures = view.erasure_report(Some(id), false, u64::MAX, 9).unwrap().erasures;
    (retractions[0].progress(), erasures[0].partners[0].progress())
}

#[test]
fn a_duty_that_a_partner_refused_shows_as_refused_whatever_the_reason() {
    use ErasureProgress::{Contradicted, Done, Held, Outstanding, Refused};
    let answers = [
        (None, (Done, Done)),
        (Some(ExceptionReason::Malformed), (Refused, Refused)),
        (Some(ExceptionReason::Signature), (Refused, Refused)),
        (Some(ExceptionReason::Policy), (Refused, Refused)),
        (Some(ExceptionReason::NotSupplied), (Refused, Contradicted)),
        (Some(ExceptionReason::NotOrdered), (Refused, Refused)),
        (Some(ExceptionReason::HeldAsEvidence), (Refused, Held)),
    ];
    for (reason, wanted) in answers {
        let journal = TestJournal::new();
        let id = with_duties(&journal);
        assert_eq!(progress(&journal, &id), (Outstanding, Outstanding));
        answer(&journal, reason);
        assert_eq!(progress(&journal, &id), wanted, "{reason:?}");
        let journal = journal.reindexed();
        assert_eq!(progress(&journal, &id), wanted, "{reason:?} with a new index");
    }
}

/// An order that a partner denied, as it shows: its progress, whether it is offered again, and the number of
/// denials that the partner's receipt contradicts.
fn denied(journal: &TestJournal, id: &RecordId) -> (ErasureProgress, bool, u64) {
    let view = journal.view();
    let erasures = view.erasure_report(Some(id), false, u64::MAX, 9).unwrap().erasures;
    let snapshot = view.snapshot();
    let refusing = &snapshot.state.partners[&partner()];
    let duties = view.refused_duties(refusing.feed, 0, u64::MAX, 9).unwrap();
    let is_offered = !duties.is_empty() && refusing.offering.due_at(0).is_some();
    let contradicted = view.refusals(refusing.feed, 0).unwrap().contradicted;
    assert_eq!(view.contradicted_order(refusing.feed, 0, id).unwrap().is_some(), contradicted > 0);
    (erasures[0].partners[0].progress(), is_offered, contradicted)
}

#[test]
fn an_order_that_a_partner_denies_is_settled_or_contradicted_by_its_own_receipts() {
    use ErasureProgress::{Contradicted, Done, Refused};
    use ExceptionReason::{NotOrdered, NotSupplied, Policy};
    let once = |all| vec![(FeedAction::Disclose, all)];
    let twice = |all| vec![(FeedAction::Disclose, all), (FeedAction::Revise, all)];
    let without_title = |all| vec![(FeedAction::Disclose, all & !TITLE), (FeedAction::Revise, all)];
    type Entries = fn(u32) -> Vec<(FeedAction, u32)>;
    type Exceptions = &'static [(u64, ExceptionReason)];
    let cases: [(&str, Entries, Exceptions, u64, bool); 6] = [
        ("taken", once, &[], 1, true),
        ("refused", once, &[(0, Policy)], 1, false),
        ("without its envelope", once, &[(0, NotSupplied)], 1, false),
        ("taken, and refused when it came again", twice, &[(1, Policy)], 2, true),
        ("refused twice", twice, &[(0, Policy), (1, NotSupplied)], 2, false),
        ("taken without what is to be erased", without_title, &[(1, Policy)], 2, false),
    ];
    for (what, entries, exceptions, order, is_taken) in cases {
        for reason in [NotSupplied, NotOrdered] {
            let journal = TestJournal::new();
            let id = with_order(&journal, entries);
            let denial = [exceptions, &[(order, reason)]].concat();
            except(&journal, denial);
            let wanted = match (is_taken, reason) {
                (true, NotSupplied) => (Contradicted, true, 1),
                (true, _) => (Refused, true, 0),
                (false, _) => (Done, false, 0),
            };
            assert_eq!(denied(&journal, &id), wanted, "{what}: {reason:?}");
            let journal = journal.reindexed();
            assert_eq!(denied(&journal, &id), wanted, "{what}: {reason:?} with a new index");
        }
    }
}

#[test]
fn a_denial_after_a_partner_gave_up_its_receipts_decides_nothing_and_the_order_is_offered_again() {
    let journal = TestJournal::new();
    let id = with_order(&journal, |all| vec![(FeedAction::Disclose, all)]);
    except(&journal, Vec::new());
    assert_eq!(denied(&journal, &id), (ErasureProgress::Done, false, 0));
    journal.commit(|tx| tx.lose_receipt(&partner(), 0, Vec::new()));
    except(&journal, vec![(1, ExceptionReason::NotSupplied)]);
    assert_eq!(denied(&journal, &id), (ErasureProgress::Refused, true, 0));
    let journal = journal.reindexed();
    assert_eq!(denied(&journal, &id), (ErasureProgress::Refused, true, 0));
}
