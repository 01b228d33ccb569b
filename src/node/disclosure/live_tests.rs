//! New entries of the journal: a record that is decided by its header is decided as by its content.

use super::damage_tests::draft;
use super::interference_tests::{Store, Story};
use crate::disclosure::Found;
use crate::ident::RecordId;
use crate::journal::transaction::Origin;
use crate::pb;
use crate::policy::Reasons;
use crate::record::draft::Place;
use crate::testkit::{partner, secret};
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
