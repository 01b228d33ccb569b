//! Damage under the walks over the journal: what cannot be decided is not disclosed, the rest goes on, and nothing
//! is forgotten once the bytes are back.

use super::interference_tests::{NOTHING, Store, Story, labelled};
use super::loading::load_batch;
use crate::journal::JournalError;
use crate::journal::ids::FeedNumber;
use crate::journal::view::View;
use crate::pb::{self, draft::Content};
use crate::record::draft::{Draft, Place};
use crate::record::signed::Verified;
use crate::store::flip_byte_of_frame;
use crate::testkit::secret;
use std::sync::Arc;

pub(super) fn draft(number: usize, label: &str) -> Draft {
    let indicator = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: format!("host{number}.example"),
        ..pb::Indicator::default()
    };
    Draft::try_from(labelled(Content::Indicator(indicator), label)).unwrap()
}

/// A journal with records that the partner may have, none of them considered yet.
fn with_records(count: usize) -> (Story, Vec<Arc<Verified>>) {
    let story = Story::new(1);
    let records = (0..count)
        .map(|number| {
            let draft = draft(number, "shared");
            let place = Place::first(draft.series(&secret()));
            let record = story.sign(draft, place);
            story.with.accept(&record);
            record
        })
        .collect();
    (story, records)
}

/// Records of which the partner has something in use.
fn live(view: &View, records: &[Arc<Verified>]) -> Vec<bool> {
    let one = |record: &Arc<Verified>| {
        let found = view.disclosure(FeedNumber::new(1), &record.id()).unwrap();
        found.is_some_and(|found| found.disclosed.is_live())
    };
    records.iter().map(one).collect()
}

#[test]
fn a_damaged_record_is_not_disclosed_and_goes_out_once_it_can_be_read() {
    let (story, records) = with_records(4);
    let place = story.with.journal.view().place(&records[1].id()).unwrap().unwrap();
    let damage = |dir: &std::path::Path| flip_byte_of_frame(dir, place.content);
    let mut store = story.with.started_anew(damage);
    store.bring_up(2_048);
    assert_eq!(live(store.journal.view(), &records), [true, false, true, true]);
    assert_eq!(store.written().considered, place.journal_index);
    let mut store = store.started_anew(damage);
    store.bring_up(2_048);
    assert_eq!(live(store.journal.view(), &records), [true; 4]);
    let snapshot = store.journal.view().snapshot();
    let feed = snapshot.state.partners.values().next().unwrap().published.size;
    assert_eq!(feed, 4, "nothing is disclosed twice");
}

#[test]
fn a_rescan_goes_on_behind_a_damaged_entry_and_decides_it_once_it_can_be_read() {
    let (story, records) = with_records(4);
    let mut store = story.with;
    store.bring_up(2_048);
    assert_eq!(live(store.journal.view(), &records), [true; 4]);
    let view = Arc::clone(store.journal.view());
    let place = view.place(&records[1].id()).unwrap().unwrap();
    let position = view.journal().position(place.journal_index).unwrap();
    drop(view);
    flip_byte_of_frame(store.journal.dir(), position);
    store.apply_policy(NOTHING);
    store.bring_up(3);
    assert_eq!(live(store.journal.view(), &records), [false, true, false, false]);
    let mut store = store.started_anew(|dir| flip_byte_of_frame(dir, position));
    store.bring_up(3);
    assert_eq!(live(store.journal.view(), &records), [false; 4]);
}

#[test]
fn a_rescan_shows_nothing_of_a_series_whose_newest_revision_is_damaged() {
    let (mut story, mut records) = with_records(2);
    story.with.apply_policy(NOTHING);
    let first = records[0].header();
    let place = Place::after(first.series, first.revision, records[0].id());
    let newest = story.sign(draft(0, "hidden"), place);
    story.with.accept(&newest);
    story.with.bring_up(2_048);
    let place = story.with.journal.view().place(&newest.id()).unwrap().unwrap();
    let mut store = story.with.started_anew(|dir| flip_byte_of_frame(dir, place.content));
    store.apply_policy(0);
    store.bring_up(3);
    records.push(newest);
    assert_eq!(live(store.journal.view(), &records), [false, true, false]);
}

#[test]
fn a_damaged_record_is_sent_without_content_and_those_behind_it_go() {
    let (mut story, records) = with_records(3);
    story.with.bring_up(2_048);
    let place = story.with.journal.view().place(&records[1].id()).unwrap().unwrap();
    let mut store = story.with.started_anew(|dir| flip_byte_of_frame(dir, place.content));
    let (entries, envelopes, _) = store.sent();
    assert_eq!(entries.len(), 3);
    let is_sent = |envelope: &pb::Envelope| *envelope != pb::Envelope::default();
    assert_eq!(envelopes.iter().map(is_sent).collect::<Vec<_>>(), [true, false, true]);
}

/// Entries of the batch from an index of the feed on.
fn batch(store: &mut Store, from: u64) -> Result<usize, JournalError> {
    let (_, mut discloser) = store.take_discloser();
    let batch =
        load_batch(store.journal.view(), FeedNumber::new(1), &mut discloser, from..u64::MAX);
    batch.map(|(batch, ..)| batch.entries.len())
}

/// A feed of four entries, each with a head of its own.
fn with_feed() -> Store {
    let mut store = with_records(4).0.with;
    store.bring_up(1);
    assert_eq!(batch(&mut store, 0).unwrap(), 4);
    store
}

#[test]
fn a_feed_goes_as_far_as_its_last_head_before_a_damaged_entry_and_says_where_it_stops() {
    let store = with_feed();
    let feed = store.journal.view().feed(FeedNumber::new(1)).unwrap();
    let position = feed.positions(2..3).unwrap().remove(0).1;
    drop(feed);
    let mut store = store.started_anew(|dir| flip_byte_of_frame(dir, position));
    assert_eq!(batch(&mut store, 0).unwrap(), 2);
    let stopped = batch(&mut store, 2);
    assert!(matches!(stopped, Err(JournalError::FeedDamaged { entry: 2, .. })), "{stopped:?}");
    let mut store = store.started_anew(|dir| flip_byte_of_frame(dir, position));
    assert_eq!(batch(&mut store, 2).unwrap(), 2);
}

#[test]
fn a_feed_goes_on_by_another_head_where_one_is_damaged() {
    let store = with_feed();
    let view = store.journal.view();
    let is_head = |index: &u64| {
        let (_, event) = view.event(*index).unwrap();
        matches!(event, pb::journal_entry::Event::FeedPublished(published) if !published.note.is_empty())
    };
    let heads: Vec<u64> = (0..view.journal().size()).filter(is_head).collect();
    assert_eq!(heads.len(), 4);
    // A start reads what the index lacks, which is the last batch.
    store.change_partner(false);
    let [third, last] = [2, 3].map(|at| view.journal().position(heads[at]).unwrap());
    let mut store = store.started_anew(|dir| flip_byte_of_frame(dir, last));
    assert_eq!(batch(&mut store, 0).unwrap(), 3);
    let stopped = batch(&mut store, 3);
    assert!(matches!(stopped, Err(JournalError::FeedDamaged { entry: 3, .. })), "{stopped:?}");
    let mut store = store.started_anew(|dir| {
        flip_byte_of_frame(dir, last);
        flip_byte_of_frame(dir, third);
    });
    assert_eq!(batch(&mut store, 2).unwrap(), 2);
}
