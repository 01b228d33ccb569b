//! Series in a feed: what it took back stays so, and a copied id shows and hides nothing.

use super::damage_tests::draft;
use super::interference_tests::{Store, Story, labelled};
use crate::ident::RecordId;
use crate::journal::entry::decode_feed;
use crate::journal::ids::FeedNumber;
use crate::journal::transaction::Origin;
use crate::pb::{self, draft::Content};
use crate::record::draft::{Draft, Place};
use crate::record::signed::Verified;
use crate::testkit::{Agency, partner, secret};
use bytes::Bytes;
use std::sync::Arc;

/// The revision of a record that follows it.
fn revised(story: &mut Story, before: &Verified, label: &str) -> Arc<Verified> {
    let header = before.header();
    let place = Place::after(header.series, header.revision, before.id());
    let record = story.sign(draft(0, label), place);
    story.with.accept(&record);
    story.with.bring_up(2_048);
    record
}

/// An opinion of our own about a series, which the partner may have with it.
fn opinion_on(series: crate::ident::SeriesId) -> Draft {
    let opinion = pb::Opinion {
        record: Bytes::copy_from_slice(series.as_bytes()),
        verdict: pb::OpinionVerdict::Agree.into(),
        ..pb::Opinion::default()
    };
    Draft::try_from(labelled(Content::Opinion(opinion), "shared")).unwrap()
}

fn is_live_in(store: &Store, id: &RecordId) -> bool {
    let found = store.journal.view().disclosure(FeedNumber::new(1), id).unwrap();
    found.is_some_and(|found| found.disclosed.is_live())
}

fn is_live(story: &Story, record: &Verified) -> bool {
    is_live_in(&story.with, &record.id())
}

/// A record that the partner made.
fn of_partner(number: usize) -> Arc<Verified> {
    Arc::new(Agency::partner().first(draft(number, "shared")))
}

/// Accepts a record that the partner gave, and brings its feed up.
fn take_in(store: &mut Store, record: Arc<Verified>) {
    store.commit(move |tx| {
        let agency = partner();
        let origin = Origin::Partner { agency: &agency, feed_index: 0 };
        tx.accept(record, origin).map(drop)
    });
    store.bring_up(2_048);
}

#[test]
fn a_record_whose_subject_comes_late_is_disclosed_with_it() {
    for is_started_anew in [false, true] {
        let mut store = Store::new();
        store.change_partner(false);
        store.apply_policy(0);
        take_in(&mut store, of_partner(1));
        let subject = of_partner(2);
        let opinion = store.accept_draft(opinion_on(subject.header().series));
        // With its disclosure the feed is past the opinion.
        store.accept_draft(draft(3, "shared"));
        store.bring_up(2_048);
        assert!(!is_live_in(&store, &opinion), "its subject is not here");
        if is_started_anew {
            store = store.started_anew(|_| {});
        }
        take_in(&mut store, subject);
        assert!(is_live_in(&store, &opinion), "its subject came");
    }
}

#[test]
fn a_revision_that_the_feed_took_back_is_not_sent_with_its_content() {
    let mut story = Story::new(1);
    let place = Place::first(draft(0, "shared").series(&secret()));
    let first = story.sign(draft(0, "shared"), place);
    story.with.accept(&first);
    story.with.bring_up(2_048);
    let hidden = revised(&mut story, &first, "hidden");
    let newest = revised(&mut story, &hidden, "shared");
    let (entries, envelopes, _) = story.with.sent();
    let mut sent = Vec::new();
    for ((index, entry), envelope) in (0..).zip(&entries).zip(&envelopes) {
        let entry = decode_feed(index, entry).unwrap();
        if *envelope != pb::Envelope::default() {
            sent.push(entry.record_id);
        }
    }
    assert_eq!(sent, [Bytes::copy_from_slice(newest.id().as_bytes())]);
}

#[test]
fn a_copied_series_id_shows_nothing_that_hangs_on_the_original_and_hides_nothing() {
    for (label, is_shown) in [("hidden", false), ("shared", true)] {
        let mut story = Story::new(1);
        let series = draft(0, label).series(&secret());
        let original = story.sign(draft(0, label), Place::first(series));
        story.with.accept(&original);
        let about = opinion_on(series);
        let place = Place::first(about.series(&secret()));
        let opinion = story.sign(about, place);
        story.with.accept(&opinion);
        story.with.bring_up(2_048);
        assert_eq!(is_live(&story, &opinion), is_shown);
        let copy = story.sign_as_partner(draft(7, "shared"), Place::first(series));
        story.with.commit(move |tx| {
            let agency = partner();
            let origin = Origin::Partner { agency: &agency, feed_index: 0 };
            tx.accept(copy, origin).map(drop)
        });
        story.with.bring_up(2_048);
        assert_eq!(is_live(&story, &opinion), is_shown, "after the copy");
    }
}
