//! The records that a feed disclosed, counted by originator, and a node that counts wrongly.

use super::fixtures::{Node, addition, received, record};
use super::tests::verified;
use crate::audit::Check;
use crate::exchange::WHOLE_RECORD;
use crate::journal::progress::{Progress, Rescan};
use crate::journal::transaction::Origin;
use crate::pb::{self, FeedAction};
use crate::policy::{Categories, GivenCategories, NewRecords, OriginatorNumber, Reasons, Unusual};
use crate::record::kind::Kind;
use crate::record::signed::Verified;
use crate::testkit::{Agency, feed_entry, partner};
use std::sync::Arc;

const PARTNER: OriginatorNumber = OriginatorNumber::numbered(1);
const STRANGER: OriginatorNumber = OriginatorNumber::numbered(2);

/// A node with a record of its own, and one of the first partner that may go on to the second.
fn node() -> (Node, Arc<Verified>) {
    let mut node = Node::new();
    node.submit(1..2);
    let (partner, far) = (Agency::partner(), Agency::stranger());
    let theirs = record(&partner, |marking| {
        marking.releasable_to = Some(pb::AgencyList { agencies: vec![far.name.to_string()] });
    });
    let record = Arc::clone(&theirs);
    node.commit(move |t| {
        addition(&far, 2, t.size().get()).into_iter().try_for_each(|e| t.append(e).map(drop))?;
        let open_slots = record.open_slots().bits();
        let entry = feed_entry(FeedAction::Disclose, &record.id(), open_slots);
        received(t, &[entry], &[], |t, feed_index| {
            let origin = Origin::Partner { agency: &partner.name, feed_index };
            t.accept(record, origin).map(drop)
        })
    });
    (node, theirs)
}

/// Returns the check that fails where both records are disclosed to the second partner, and the node counts them so.
fn counted(count: impl FnOnce(&mut NewRecords)) -> Option<Check> {
    let (node, theirs) = node();
    let entries = [&node.records[0], &theirs];
    let entries = entries.map(|record| feed_entry(FeedAction::Disclose, &record.id(), 0b110));
    let sorts = Categories::of(Kind::Indicator, false);
    let mut new = NewRecords::default();
    new.add(OriginatorNumber::OWN, sorts);
    new.add(PARTNER, sorts);
    count(&mut new);
    node.commit(move |t| {
        let to = Agency::stranger().name;
        let rescan = Rescan { rules: t.state().rules_since(&to), ..Rescan::default() };
        let progress = Progress { considered: t.size().get(), rescan };
        t.publish_counted(&to, &entries, None, progress, (0, &new))
    });
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn records_of_this_agency_and_those_passed_on_are_counted_apart_and_counted_anew() {
    assert_eq!(counted(|_| {}), None);
    let wrong = Some(Check::FeedTotals);
    let move_to = |from, to| {
        move |new: &mut NewRecords| {
            let count = new.counts.remove(&from).unwrap();
            *new.counts.entry(to).or_default() += count;
        }
    };
    assert_eq!(counted(move_to(PARTNER, OriginatorNumber::OWN)), wrong, "all as its own");
    assert_eq!(counted(move_to(OriginatorNumber::OWN, PARTNER)), wrong, "none as its own");
    assert_eq!(counted(move_to(PARTNER, STRANGER)), wrong, "as another originator's");
    assert_eq!(counted(move_to(PARTNER, OriginatorNumber::UNKNOWN)), wrong);
    assert_eq!(counted(|new| *new.counts.get_mut(&PARTNER).unwrap() += 1), wrong, "too many");
    assert_eq!(counted(|new| new.counts.clear()), wrong, "nothing");
    assert_eq!(counted(|new| new.counts.extend([(STRANGER, 0)])), wrong, "one more originator");
    let swapped = |new: &mut NewRecords| {
        let GivenCategories { own, passed_on } = new.sorts;
        new.sorts = GivenCategories {
            own: passed_on.and(Categories::of(Kind::Note, false)),
            passed_on: own,
        };
    };
    assert_eq!(counted(swapped), wrong, "a kind that was never disclosed");
    assert_eq!(
        counted(|new| new.sorts.passed_on = Categories::default()),
        wrong,
        "its own kinds alone"
    );
    assert_eq!(
        counted(|new| new.sorts.own = Categories::default()),
        wrong,
        "the kinds of others alone"
    );
}

/// Returns the check that fails where a record is disclosed, taken back and disclosed again, and the second disclosure
/// is counted so.
fn counted_again(new: NewRecords) -> Option<Check> {
    let mut node = Node::new();
    node.submit(1..2);
    let entry = |action, slots| feed_entry(action, &node.records[0].id(), slots);
    let shown = entry(FeedAction::Disclose, 0b110);
    node.publish(vec![shown.clone(), entry(FeedAction::Retract, WHOLE_RECORD.bits())]);
    node.commit(move |t| {
        let to = partner();
        let rescan = Rescan { rules: t.state().rules_since(&to), ..Rescan::default() };
        let progress = Progress { considered: t.size().get(), rescan };
        t.publish_counted(&to, &[shown], None, progress, (0, &new))
    });
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn a_record_that_is_taken_back_and_disclosed_again_counts_once() {
    assert_eq!(counted_again(NewRecords::default()), None);
    let mut twice = NewRecords::default();
    twice.add(OriginatorNumber::OWN, Categories::of(Kind::Indicator, false));
    assert_eq!(counted_again(twice), Some(Check::FeedTotals));
}

#[test]
fn records_of_others_are_held_under_a_rule_of_their_own() {
    let held = |is_own: bool, reasons: Reasons| {
        let (node, theirs) = node();
        let record = if is_own { node.records[0].id() } else { theirs.id() };
        let to = Agency::stranger().name;
        node.commit(move |t| t.hold_back(&to, reasons, &[record]));
        verified(&node).failure.map(|failure| failure.fault.check)
    };
    let volume = Reasons::NONE.with(Unusual::Volume);
    let passed_on = volume.with(Unusual::PassedOn);
    assert_eq!([held(true, volume), held(false, passed_on)], [None, None]);
    let wrong = Some(Check::Release);
    assert_eq!([held(true, passed_on), held(false, volume)], [wrong, wrong]);
    assert_eq!(held(false, Reasons::NONE.with(Unusual::PassedOn)), wrong, "no reason to hold it");
}
