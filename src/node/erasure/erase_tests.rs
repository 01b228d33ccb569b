//! An approved erasure in parts: what is left of it is carried out after a stop, and nothing twice.

use super::erase::{Part, PartLimit, check_no_erasure, finish, next_part, plan};
use crate::ident::RecordId;
use crate::journal::transaction::Transaction;
use crate::node::commit::commit_unless_refused;
use crate::node::disclosure::interference_tests::Store;
use crate::node::error::NodeError;
use crate::node::submission::record_signer::RecordSigner;
use crate::pb::{self, journal_entry::Event};
use crate::record::draft::{Draft, Place};
use crate::record::erasure::ErasureScope;
use crate::record::slots::SlotMask;
use crate::testkit::{self, Agency, approved, id_bytes, proposed, secret};

/// The title of an indicator.
const TITLE: u32 = 1 << 7;
const REVISIONS: u32 = 7;

/// Runs a job that may refuse.
fn decide<T: Send + 'static>(
    store: &Store,
    job: impl FnOnce(&mut Transaction<'_>) -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    store.run(commit_unless_refused(&store.journal.writer, job)).map(|(done, _)| done)
}

fn signer() -> RecordSigner {
    let own = Agency::own();
    RecordSigner::of(own.record_key.clone(), own.key_id())
}

const fn parts_of(revisions: usize, bytes: usize) -> PartLimit {
    PartLimit { revisions, bytes }
}

/// A journal with a series of another agency, oldest revision first.
fn with_series() -> (Store, Vec<RecordId>) {
    let (store, mut ids) = (Store::new(), Vec::new());
    (0..REVISIONS).for_each(|_| revise(&store, &mut ids));
    (store, ids)
}

/// Accepts the next revision of the series.
fn revise(store: &Store, ids: &mut Vec<RecordId>) {
    let revision = ids.len() as u32 + 1;
    let draft = testkit::indicator("host.example", &format!("words {revision}"));
    let draft = Draft::try_from(draft).unwrap();
    let series = draft.series(&secret());
    let place = match ids.last() {
        Some(last) => Place::after(series, revision - 1, *last),
        None => Place::first(series),
    };
    let record = Agency::stranger().sign(draft, place);
    ids.push(record.id());
    store.accept(&record);
}

/// Approves the erasure of the titles of a series, and carries out the first part.
fn approve(store: &Store, ids: &[RecordId], limit: PartLimit) -> (u64, Part) {
    let act = pb::EraseAct {
        record_id: id_bytes(&ids[0]),
        slots: TITLE,
        basis: pb::ErasureBasis::CourtOrder.into(),
        authority: "file 7".to_owned(),
        series_head: id_bytes(ids.last().unwrap()),
    };
    store.commit(move |tx| {
        let erase = pb::act::Act::Erase(act.clone());
        let proposal = tx.append(Event::ActProposed(proposed("sato", "analyst", erase)))?;
        let plan = plan(tx, &act).unwrap();
        let approval = tx.append(approved(proposal))?;
        let scope = ErasureScope::approved_at(approval);
        let part = plan.carry_out(tx, (proposal, scope, &signer()), None, limit)?;
        Ok((proposal, part))
    })
}

/// Revisions of which the title is still here.
fn left(store: &Store, ids: &[RecordId]) -> usize {
    let has_title = |id: &&RecordId| {
        let record = store.journal.view().record(id).unwrap().unwrap();
        !record.open_slots().and(SlotMask::from_bits(TITLE)).is_empty()
    };
    ids.iter().filter(has_title).count()
}

fn erasing(store: &Store) -> Vec<u64> {
    store.journal.view().snapshot().state.erasing.keys().copied().collect()
}

/// Entries that erase slots, and entries that end an erasure.
fn entries(store: &Store) -> (usize, usize) {
    let view = store.journal.view();
    let events: Vec<_> =
        (0..view.snapshot().size).map(|index| view.event(index).unwrap().1).collect();
    let erased = events.iter().filter(|event| matches!(event, Event::SlotsErased(_))).count();
    let ended = events.iter().filter(|event| matches!(event, Event::ErasureCompleted(_))).count();
    (erased, ended)
}

#[test]
fn an_approved_erasure_of_many_revisions_goes_on_after_a_stop_between_its_parts() {
    let limit = parts_of(2, usize::MAX);
    let (store, ids) = with_series();
    let (proposal, part) = approve(&store, &ids, limit);
    assert!(matches!(part, Part::Behind(_)), "{part:?}");
    assert_eq!((left(&store, &ids), erasing(&store)), (5, vec![proposal]));
    assert!(store.journal.view().snapshot().state.acts.is_empty(), "nobody decides on it again");

    let store = store.started_anew(|_| ());
    assert_eq!((left(&store, &ids), erasing(&store)), (5, vec![proposal]));
    // Nothing is put under a hold in the middle of it.
    let held = ids[0];
    assert!(decide(&store, move |tx| check_no_erasure(tx, &held)).is_err());
    let part = decide(&store, move |tx| next_part(tx, (proposal, &signer()), None, limit));
    assert!(matches!(part, Ok(Part::Behind(_))), "{part:?}");
    assert_eq!((left(&store, &ids), entries(&store)), (3, (4, 0)));

    let store = store.started_anew(|_| ());
    assert!(store.run(finish(&store.journal.writer, &signer(), proposal, limit)).unwrap());
    assert_eq!((left(&store, &ids), erasing(&store)), (0, vec![]));
    assert_eq!(entries(&store), (7, 1));
    let store = store.started_anew(|_| ());
    assert!(store.run(finish(&store.journal.writer, &signer(), proposal, limit)).unwrap());
    assert_eq!((erasing(&store), entries(&store)), (vec![], (7, 1)), "it has effect once");
    assert!(decide(&store, move |tx| check_no_erasure(tx, &held)).is_ok());
}

#[test]
fn a_revision_that_was_recorded_after_the_approval_is_not_erased_and_may_be_held() {
    let limit = parts_of(2, usize::MAX);
    let (store, mut ids) = with_series();
    let (proposal, _) = approve(&store, &ids, limit);
    revise(&store, &mut ids);
    let store = store.started_anew(|_| ());
    let (covered, later) = (ids[0], ids[REVISIONS as usize]);
    assert!(decide(&store, move |tx| check_no_erasure(tx, &covered)).is_err());
    assert!(decide(&store, move |tx| check_no_erasure(tx, &later)).is_ok());
    assert!(store.run(finish(&store.journal.writer, &signer(), proposal, limit)).unwrap());
    assert_eq!((left(&store, &ids), entries(&store)), (1, (7, 1)));
    assert_eq!((left(&store, &ids[REVISIONS as usize..]), erasing(&store)), (1, vec![]));
}

#[test]
fn a_part_is_bounded_by_the_bytes_that_are_written_again() {
    let (store, ids) = with_series();
    let (proposal, _) = approve(&store, &ids, parts_of(usize::MAX, 1));
    assert_eq!(left(&store, &ids), 6);
    assert!(
        store.run(finish(&store.journal.writer, &signer(), proposal, parts_of(100, 1))).unwrap()
    );
    assert_eq!((left(&store, &ids), entries(&store)), (0, (7, 1)));
}

#[test]
fn an_erasure_that_fits_one_job_is_complete_with_its_approval() {
    let (store, ids) = with_series();
    let (_, part) = approve(&store, &ids, PartLimit::OF_A_JOB);
    assert_eq!((part, left(&store, &ids), entries(&store)), (Part::Completed, 0, (7, 1)));
    assert_eq!(erasing(&store), [0; 0]);
}
