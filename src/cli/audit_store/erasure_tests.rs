//! Tests of the audit of erasures: the grounds that a dishonest node gives.

use super::fixtures::{Node, erase_act, ground, marked, order, received, record, retention};
use super::tests::verified;
use crate::audit::{Check, Remark, Report};
use crate::journal::JournalError;
use crate::journal::transaction::{Origin, Transaction};
use crate::pb::{self, FeedAction, act::Act, journal_entry::Event};
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::testkit::{Agency, NOW_MS, approved, feed_entry, now, partner, proposed};
use std::sync::Arc;

/// The check that fails after a record that may be kept until then was erased by retention.
fn erased_by_retention(retain_until_ms: u64) -> Option<Check> {
    let record = record(&Agency::own(), |marking| marking.retain_until_ms = retain_until_ms);
    let node = Node::new();
    let id = record.id();
    node.commit(move |t| t.accept(record, Origin::Client("desk")));
    node.commit(move |t| t.erase(&id, SlotMask::all(Kind::Indicator), &retention()));
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn an_erasure_by_retention_is_replayed_from_the_signed_header_and_the_time_of_the_journal() {
    let now = NOW_MS.unsigned_abs();
    assert_eq!(erased_by_retention(now), None);
    assert_eq!(erased_by_retention(now + 3_600_000), Some(Check::Erasure));
    assert_eq!(erased_by_retention(0), Some(Check::Erasure));
}

/// The check that fails after an approved act on one record led to the erasure of another one, with or
/// without an order, decided so long after the proposal expired.
fn erased_by_act(
    (named, erased): (usize, usize),
    is_ordered: bool,
    expires_ms: i64,
) -> Option<Check> {
    let mut node = Node::new();
    node.submit(1..3);
    let (named, erased) = (Arc::clone(&node.records[named]), Arc::clone(&node.records[erased]));
    node.commit(move |t| {
        let proposal = approve(t, &named, expires_ms)?;
        let order = order(&erased, 0b110);
        let ground = ground(proposal, is_ordered.then_some(order));
        t.erase(&erased.id(), SlotMask::from_bits(0b110), &ground)
    });
    verified(&node).failure.map(|failure| failure.fault.check)
}

/// Writes down that an erasure of slots of a record was asked for and approved.
fn approve(
    t: &mut Transaction<'_>,
    record: &Verified,
    expires_ms: i64,
) -> Result<u64, JournalError> {
    let proposal = t.append(Event::ActProposed(erasure_proposed(record, expires_ms)))?;
    t.append(approved(proposal))?;
    Ok(proposal)
}

fn erasure_proposed(record: &Verified, expires_ms: i64) -> pb::ActProposed {
    let expires_at_ms = now().plus_ms(expires_ms).unix_ms().unsigned_abs();
    let act = Act::Erase(erase_act(record));
    pb::ActProposed { expires_at_ms, ..proposed("sato", "analyst", act) }
}

#[test]
fn an_act_covers_the_series_it_names_and_orders_everybody_to_erase_own_records() {
    let later = 3_600_000;
    assert_eq!(erased_by_act((0, 0), true, later), None);
    assert_eq!(erased_by_act((0, 1), true, later), Some(Check::Erasure));
    assert_eq!(erased_by_act((0, 0), false, later), Some(Check::Erasure));
}

#[test]
fn nobody_decides_on_an_act_that_has_expired() {
    assert_eq!(erased_by_act((0, 0), true, 0), Some(Check::Act));
}

/// The report after an approved act whose slots were erased one entry after the other, and what was then said to be
/// complete, and erased after that.
fn erased_in_parts(masks: &[u32], is_completed: bool, after: u32) -> Report {
    let mut node = Node::new();
    node.submit(1..3);
    let record = Arc::clone(&node.records[0]);
    let (tell, told) = std::sync::mpsc::channel();
    let named = Arc::clone(&record);
    node.commit(move |t| {
        tell.send(approve(t, &named, 3_600_000)?).unwrap();
        Ok(())
    });
    let proposal = told.recv().unwrap();
    let erase = |slots: u32| {
        let order = order(&record, slots);
        let ground = ground(proposal, Some(order));
        let id = record.id();
        node.commit(move |t| t.erase(&id, SlotMask::from_bits(slots), &ground));
    };
    masks.iter().copied().for_each(erase);
    if is_completed {
        let completed = Event::ErasureCompleted(pb::ErasureCompleted { proposal });
        node.commit(move |t| t.append(completed).map(drop));
    }
    if after != 0 {
        erase(after);
    }
    verified(&node)
}

#[test]
fn a_part_of_an_erasure_is_accepted_as_pending_and_the_whole_as_complete() {
    let pending = Remark::ErasureIncomplete { acts: 1 };
    let check = |report: &Report| report.failure.as_ref().map(|failure| failure.fault.check);
    for masks in [&[][..], &[0b010], &[0b010, 0b100]] {
        let report = erased_in_parts(masks, false, 0);
        assert_eq!(check(&report), None, "{:?}", report.failure);
        assert!(report.remarks.contains(&pending), "{masks:?}");
    }
    let report = erased_in_parts(&[0b010, 0b100], true, 0);
    assert_eq!(check(&report), None, "{:?}", report.failure);
    assert!(!report.remarks.contains(&pending));
    // What is left is not complete, and what is complete is over.
    assert_eq!(check(&erased_in_parts(&[0b010], true, 0)), Some(Check::Erasure));
    assert_eq!(check(&erased_in_parts(&[0b010], true, 0b100)), Some(Check::Erasure));
}

/// The report after an approved act on a series led to the erasure of its second revision, which was recorded
/// before the approval or after it. The first revision may be erased too, and the act then be said to be complete.
fn erased_revision(is_later: bool, is_completed: bool) -> Report {
    let node = Node::new();
    let own = Agency::own();
    let first = record(&own, |_| {});
    let second = Arc::new(own.revision(&first, marked(|_| {})));
    let (named, revision) = (Arc::clone(&first), Arc::clone(&second));
    node.commit(move |t| t.accept(first, Origin::Client("desk")));
    let (tell, told) = std::sync::mpsc::channel();
    let of_act = Arc::clone(&named);
    node.commit(move |t| {
        let accept = |t: &mut Transaction<'_>| t.accept(second, Origin::Client("desk")).map(drop);
        if is_later {
            tell.send(approve(t, &of_act, 3_600_000)?).unwrap();
            accept(t)
        } else {
            accept(t)?;
            tell.send(approve(t, &of_act, 3_600_000)?).unwrap();
            Ok(())
        }
    });
    let proposal = told.recv().unwrap();
    let erase = |record: &Verified| {
        let (id, order) = (record.id(), order(record, 0b110));
        let ground = ground(proposal, Some(order));
        node.commit(move |t| t.erase(&id, SlotMask::from_bits(0b110), &ground));
    };
    match is_completed {
        false => erase(&revision),
        true => {
            erase(&named);
            let completed = Event::ErasureCompleted(pb::ErasureCompleted { proposal });
            node.commit(move |t| t.append(completed).map(drop));
        }
    }
    verified(&node)
}

#[test]
fn an_approval_covers_the_revisions_that_were_recorded_before_it_and_no_later_one() {
    let check = |is_later, is_completed| {
        erased_revision(is_later, is_completed).failure.map(|failure| failure.fault.check)
    };
    assert_eq!(check(false, false), None);
    assert_eq!(check(true, false), Some(Check::Erasure));
    // What is complete lost all that the approval covers: a later revision stays.
    assert_eq!(check(true, true), None);
    assert_eq!(check(false, true), Some(Check::Erasure));
}

/// The check that fails after the partner reports these slots of one of our records erased so often in
/// one batch, with those of before that [`Node::erased`] has of the second record.
fn reported_again(place: usize, slots: u32, times: usize) -> Option<Check> {
    let node = Node::erased();
    let record = Arc::clone(&node.records[place]);
    let entries = vec![feed_entry(FeedAction::Erased, &record.id(), slots); times];
    let agency = partner();
    node.commit(move |t| {
        let number = t.state().partners[&agency].number;
        received(t, &entries, &[], |t, start| {
            (start..).take(times).try_for_each(|index| {
                let ordered = t.ordered(&record.id(), number)?;
                let named = SlotMask::from_bits(slots).and(ordered);
                t.report_erased(&record.id(), named, (&agency, number, index))
            })
        })
    });
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn an_erasure_that_a_partner_reports_again_needs_no_entry_of_its_own() {
    assert_eq!(reported_again(1, 0b110, 1), None);
    assert_eq!(reported_again(1, 0b010, 3), None);
    // What was never reported, or never ordered, is not covered by what was.
    assert_eq!(reported_again(1, 0b1110, 1), Some(Check::ReceivedFeed));
    assert_eq!(reported_again(0, 0b110, 2), Some(Check::ReceivedFeed));
}
