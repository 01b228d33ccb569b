//! New entries of the journal: a record that is decided by its header is decided as by its content.

use super::damage_tests::draft;
use super::interference_tests::{NOTHING, Store, Story};
use super::walk::Walk;
use crate::disclosure::Found;
use crate::ident::RecordId;
use crate::journal::transaction::Origin;
use crate::pb;
use crate::policy::Reasons;
use crate::record::draft::Place;
use crate::testkit::{assert_same_index, exception, pairs, partner, receipt_of, secret};
use std::collections::BTreeMap;

const SEEDS: u64 = 6;
const STEPS: usize = 30;

/// The entries that are owed, the records that were denied by each policy, and those that the brake holds.
type Outcome = (Vec<pb::FeedEntry>, BTreeMap<String, u64>, BTreeMap<Reasons, Vec<RecordId>>);

/// Considers the whole journal as new.
fn consider_all(store: &mut Store) -> Outcome {
    let size = store.journal.view().snapshot().size;
    let (_, mut discloser) = store.take_discloser();
    let Found { runs, denied, held, .. } = discloser.live(0, size).unwrap();
    (runs.into_iter().flat_map(|run| run.entries).collect(), denied, held)
}

#[test]
fn a_record_that_is_no_longer_in_memory_is_decided_alike() {
    let mut denied = 0;
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        for number in 0..STEPS {
            story.step();
            if number % 5 == 0 {
                let draft = draft(1_000 + number, "shared");
                let place = Place::first(draft.series(&secret()));
                let theirs = story.sign_as_partner(draft, place);
                story.with.commit(move |tx| {
                    let agency = partner();
                    let origin = Origin::Partner { agency: &agency, feed_index: 0 };
                    tx.accept(theirs, origin).map(drop)
                });
            }
        }
        // Some records were disclosed already, and some were not.
        let mut store = story.with;
        let in_memory = consider_all(&mut store);
        let mut store = store.started_anew(|_| {});
        assert_eq!(consider_all(&mut store), in_memory);
        denied += in_memory.1.values().sum::<u64>();
    }
    assert!(denied > 20, "{denied} were denied");
}

#[test]
fn a_refusal_that_comes_between_a_look_and_its_writing_is_kept() {
    let mut store = Store::new();
    store.change_partner(false);
    store.apply_policy(0);
    store.accept_draft(draft(1, "shared"));
    store.bring_up(100);
    store.apply_policy(NOTHING);
    let mut walk = Walk::new(store.journal.view(), &partner());
    let looked = loop {
        let looked = store.look(&mut walk, 100).unwrap();
        if !looked.found().is_empty() {
            break looked;
        }
        store.write(&mut walk, looked);
    };
    let not_supplied = exception(0, pb::ExceptionReason::NotSupplied);
    store.commit(|tx| tx.receipt(receipt_of(tx, &partner(), vec![not_supplied])));
    store.write(&mut walk, looked);
    let live = pairs(store.journal.view().index());
    assert_same_index(&live, &pairs(store.journal.reindexed().view().index()));
}
