//! The audit's check of series: each disclosure must be allowed by the newest revision.

use super::fixtures::{Node, marked, record};
use super::tests::verified;
use crate::audit::Check;
use crate::journal::transaction::Origin;
use crate::pb::{self, FeedAction};
use crate::record::signed::Verified;
use crate::testkit::{Agency, feed_entry};
use std::sync::Arc;

/// An entry about a record of a story.
#[derive(Clone, Copy)]
enum Step {
    Accept(usize),
    Feed(FeedAction, usize),
}

use Step::{Accept, Feed};

const FIRST: usize = 0;
const SECOND: usize = 1;
/// Another second revision, under TLP:RED.
const RED: usize = 2;
const WITHDRAWAL: usize = 3;

fn records() -> [Arc<Verified>; 4] {
    let own = Agency::own();
    let first = record(&own, |_| {});
    let second = own.revision(&first, marked(|marking| marking.pap = pb::Pap::Amber.into()));
    let red = own.revision(&first, marked(|marking| marking.tlp = pb::Tlp::Red.into()));
    let withdrawal = own.withdrawal(&first);
    [first, second.into(), red.into(), withdrawal.into()]
}

/// The check that the audit of a story fails.
fn found(story: &[Step]) -> Option<Check> {
    let (node, records) = (Node::new(), records());
    for step in story {
        match *step {
            Accept(at) => {
                let record = Arc::clone(&records[at]);
                node.commit(move |t| t.accept(record, Origin::Client("desk")));
            }
            Feed(action, at) => node.publish(vec![feed_entry(action, &records[at].id(), 0b10)]),
        }
    }
    verified(&node).failure.map(|failure| failure.fault.check)
}

#[test]
fn only_the_newest_revision_is_disclosed() {
    let disclose = |at| Feed(FeedAction::Disclose, at);
    let sound = [Accept(FIRST), disclose(FIRST), Accept(SECOND), disclose(SECOND)];
    assert_eq!(found(&sound), None);
    let late = [Accept(FIRST), Accept(SECOND), disclose(FIRST)];
    assert_eq!(found(&late), Some(Check::Disclosure));
    let out_of_order = [Accept(SECOND), Accept(FIRST), disclose(FIRST)];
    assert_eq!(found(&out_of_order), Some(Check::Disclosure));
    let widened = [Accept(FIRST), disclose(FIRST), Accept(SECOND), Feed(FeedAction::Revise, FIRST)];
    assert_eq!(found(&widened), Some(Check::Disclosure));
    let taken_back =
        [Accept(FIRST), disclose(FIRST), Accept(RED), Feed(FeedAction::Retract, FIRST)];
    assert_eq!(found(&taken_back), None);
}

#[test]
fn a_revision_that_another_one_as_new_denies_is_not_disclosed() {
    let disclose = |at| Feed(FeedAction::Disclose, at);
    assert_eq!(found(&[Accept(SECOND), disclose(SECOND), Accept(RED)]), None);
    let denied = Some(Check::PolicyDecision);
    assert_eq!(found(&[Accept(SECOND), Accept(RED), disclose(SECOND)]), denied);
    assert_eq!(found(&[Accept(RED), Accept(SECOND), disclose(SECOND)]), denied);
}

#[test]
fn a_withdrawal_goes_to_whoever_was_given_a_revision_and_ends_the_series() {
    let (disclose, withdraw) =
        (|at| Feed(FeedAction::Disclose, at), Feed(FeedAction::Withdraw, WITHDRAWAL));
    let hidden = [Accept(FIRST), disclose(FIRST), Accept(RED), Accept(WITHDRAWAL), withdraw];
    assert_eq!(found(&hidden), None);
    let unknown = [Accept(FIRST), Accept(WITHDRAWAL), withdraw];
    assert_eq!(found(&unknown), Some(Check::Disclosure));
    let as_news = [Accept(FIRST), disclose(FIRST), Accept(WITHDRAWAL), disclose(WITHDRAWAL)];
    assert_eq!(found(&as_news), Some(Check::Disclosure));
    let after = [Accept(FIRST), Accept(WITHDRAWAL), disclose(FIRST)];
    assert_eq!(found(&after), Some(Check::Disclosure));
    let later = [Accept(WITHDRAWAL), Accept(SECOND), disclose(SECOND)];
    assert_eq!(found(&later), Some(Check::Disclosure));
}
