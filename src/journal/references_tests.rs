//! The filter of references on real segments and engines: it denies no reference that a reader could find.

use super::JournalError;
use super::erase_tests::ground;
use super::search;
use super::transaction::Origin;
use crate::ident::{RecordId, SeriesId};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{KeyRange, Order, Table};
use crate::testkit::{self, Agency, TestJournal, partner, redacted};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::Arc;

/// Series that records of a history may refer to.
const SERIES: u8 = 6;
/// No record refers to it.
const UNREFERRED: SeriesId = series(u8::MAX);

const fn series(number: u8) -> SeriesId {
    SeriesId::from_bytes([number; 16])
}

#[derive(Debug, Clone)]
enum Step {
    /// A record that refers to some of the series, with some slots open.
    Accept {
        to: Vec<u8>,
        open: u32,
        is_refused: bool,
    },
    Extend {
        record: Index,
        slots: u32,
    },
    Erase {
        record: Index,
        slots: u32,
    },
    Restart,
    Reindex,
}

fn step() -> impl Strategy<Value = Step> {
    let (record, slots) = (any::<Index>(), prop_oneof![any::<u32>(), Just(u32::MAX)]);
    let to = prop::collection::vec(0..SERIES, 0..3);
    prop_oneof![
        4 => (to, slots.clone(), prop::bool::weighted(0.2))
            .prop_map(|(to, open, is_refused)| Step::Accept { to, open, is_refused }),
        3 => (record.clone(), slots.clone())
            .prop_map(|(record, slots)| Step::Extend { record, slots }),
        1 => (record, slots).prop_map(|(record, slots)| Step::Erase { record, slots }),
        1 => Just(Step::Restart),
        1 => Just(Step::Reindex),
    ]
}

/// A note that refers to series.
fn note(number: usize, to: &[SeriesId]) -> Arc<Verified> {
    Arc::new(Agency::own().first(testkit::note(&format!("key-{number}"), "", to)))
}

fn may_be_referred_to(journal: &TestJournal, series: SeriesId) -> bool {
    journal.view().may_be_referred_to(series).unwrap()
}

fn is_referred_to(journal: &TestJournal, series: SeriesId) -> bool {
    let range = KeyRange::prefix(search::linked_term(series));
    journal.view().index().scan(Table::Search, &range, Order::Ascending).next().is_some()
}

/// Lets a job stage a record and fail.
fn refuse(journal: &TestJournal, record: Arc<Verified>) {
    let refused = journal.try_commit(move |tx| {
        tx.accept(record, Origin::Client("desk"))?;
        Err::<(), _>(JournalError::Entry { index: 0, reason: "it is refused".to_owned() })
    });
    assert!(refused.is_err());
}

fn extend(journal: &TestJournal, full: Arc<Verified>, slots: u32) {
    journal.commit(move |tx| {
        let Some(known) = tx.record(&full.id())? else { return Ok(()) };
        let mut merged = (*known).clone();
        match merged.absorb(&redacted(&full, slots), SlotMask::NONE) {
            Some(gained) if !gained.is_empty() => {
                tx.extend(Arc::new(merged), gained, (&partner(), 0))
            }
            _ => Ok(()),
        }
    });
}

fn erase(journal: &TestJournal, id: RecordId, slots: u32) {
    journal.commit(move |tx| tx.erase(&id, SlotMask::from_bits(slots), &ground()).map(drop));
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn the_filter_denies_no_reference_whatever_the_journal_went_through(
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let mut journal = TestJournal::new();
        journal.add_partner();
        let mut records: Vec<Arc<Verified>> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Accept { to, open, is_refused } => {
                    let to: Vec<_> = to.iter().map(|number| series(*number)).collect();
                    let record = note(number, &to);
                    match is_refused {
                        true => refuse(&journal, record),
                        false => {
                            journal.accept(&redacted(&record, *open));
                            records.push(record);
                        }
                    }
                }
                Step::Extend { record, slots } if !records.is_empty() => {
                    extend(&journal, Arc::clone(record.get(&records)), *slots);
                }
                Step::Erase { record, slots } if !records.is_empty() => {
                    erase(&journal, record.get(&records).id(), *slots);
                }
                Step::Extend { .. } | Step::Erase { .. } => {}
                Step::Restart => journal = journal.restarted(|_| ()),
                Step::Reindex => journal = journal.reindexed(),
            }
            for series in (0..SERIES).map(series) {
                let is_denied = !may_be_referred_to(&journal, series);
                prop_assert!(!is_denied || !is_referred_to(&journal, series));
            }
            prop_assert!(!may_be_referred_to(&journal, UNREFERRED));
        }
    }
}

#[test]
fn a_reference_is_known_while_the_index_is_still_being_read() {
    let journal = TestJournal::new();
    let mut numbers = (1..=u64::from(u32::MAX)).map(|n| {
        let mut bytes = [7; 16];
        bytes[1..9].copy_from_slice(&n.to_be_bytes());
        SeriesId::from_bytes(bytes)
    });
    let mut referred = Vec::new();
    // It takes three questions to read them.
    for number in 0..50 {
        let to: Vec<_> = numbers.by_ref().take(50).collect();
        journal.accept(&note(number, &to));
        referred.extend(to);
    }
    assert!(referred.iter().all(|series| may_be_referred_to(&journal, *series)));
    assert!(!may_be_referred_to(&journal, UNREFERRED));
    let journal = journal.restarted(|_| ());
    assert!(may_be_referred_to(&journal, UNREFERRED), "nothing was read yet");
    // One lies before everything that was read, and one behind it.
    for (number, series) in [series(1), series(9)].into_iter().enumerate() {
        journal.accept(&note(100 + number, &[series]));
        referred.push(series);
    }
    assert!(may_be_referred_to(&journal, UNREFERRED), "a part is left to read");
    assert!(!may_be_referred_to(&journal, UNREFERRED), "all was read");
    assert!(referred.iter().all(|series| may_be_referred_to(&journal, *series)));
}
