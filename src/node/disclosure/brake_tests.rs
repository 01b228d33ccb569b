//! The release brake over the revisions of one series.

use super::interference_tests::{Store, Story, labelled};
use crate::journal::held::HeldState;
use crate::journal::ids::{FeedNumber, PartnerNumber};
use crate::pb::{self, draft::Content};
use crate::policy::OriginatorNumber;
use crate::record::draft::{Draft, Place};
use crate::record::signed::Verified;
use crate::testkit::{green, partner, secret};
use std::sync::Arc;

/// More than the brake looks at one by one.
const MANY: usize = 70;

fn indicator(tlp: pb::Tlp) -> Draft {
    let indicator = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: "host.example".to_owned(),
        ..pb::Indicator::default()
    };
    let marking = Some(pb::Marking { tlp: tlp.into(), ..green() });
    let draft = labelled(Content::Indicator(indicator), "shared");
    Draft::try_from(pb::Draft { marking, ..draft }).unwrap()
}

/// A series, and the feed to a partner that may have all of it.
struct Series {
    story: Story,
    newest: Option<Arc<Verified>>,
}

impl Series {
    fn new() -> Self {
        Self { story: Story::new(1), newest: None }
    }

    /// Adds a revision with this label; gives the state of a revision that the brake held.
    fn revise(&mut self, tlp: pb::Tlp) -> Option<HeldState> {
        let draft = indicator(tlp);
        let place = match &self.newest {
            None => Place::first(draft.series(&secret())),
            Some(before) => {
                let header = before.header();
                Place::after(header.series, header.revision, before.id())
            }
        };
        let record = self.story.sign(draft, place);
        self.story.with.accept(&record);
        self.story.with.bring_up(2_048);
        let (view, id) = (self.story.with.journal.view(), record.id());
        let held = view.held_state(PartnerNumber::new(1), &id).unwrap();
        let is_disclosed = view.disclosure(FeedNumber::new(1), &id).unwrap().is_some();
        assert_eq!(is_disclosed, held.is_none());
        self.newest = Some(record);
        held
    }
}

#[test]
fn a_looser_revision_waits_however_many_before_it_wait() {
    let mut series = Series::new();
    assert_eq!(series.revise(pb::Tlp::Green), None);
    for number in 0..MANY {
        assert_eq!(series.revise(pb::Tlp::Clear), Some(HeldState::Waiting), "revision {number}");
    }
}

#[test]
fn a_record_that_waits_does_not_go_as_a_revision_under_a_looser_marking() {
    let mut series = Series::new();
    assert_eq!(series.revise(pb::Tlp::Amber), Some(HeldState::Waiting), "the partner is new");
    assert_eq!(series.revise(pb::Tlp::Green), Some(HeldState::Waiting));
}

#[test]
fn what_comes_back_counts_once_and_a_start_counts_on() {
    let mut series = Series::new();
    assert_eq!(series.revise(pb::Tlp::Green), None);
    let Story { with: mut store, .. } = series.story;
    // The journal has no card, so that its own agency is unknown to it.
    let counted = |store: &Store| {
        let state = &store.journal.view().snapshot().state;
        state.partners[&partner()].baseline.in_feed(OriginatorNumber::UNKNOWN)
    };
    assert_eq!(counted(&store), 1);
    for policy in [4, 0] {
        store.apply_policy(policy);
        store.bring_up(2_048);
    }
    let baseline = |store: &Store| {
        Arc::clone(&store.journal.view().snapshot().state.partners[&partner()].baseline)
    };
    let (before, size) = (baseline(&store), store.journal.view().snapshot().size);
    let store = store.started_anew(|_| ());
    assert_eq!(store.journal.view().snapshot().size, size);
    assert_eq!((counted(&store), baseline(&store)), (1, before));
}
