//! The rules that every index engine must keep, and that the index must keep over any engine.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::engine::{Change, EngineKind, IndexEngine, KeyRange, Order, Table};
use super::error::StoreError;
use super::fjall_engine::{FjallEngine, INGEST_CHANGES_MIN};
use super::generation::Marker;
use super::index::{Index, IndexLag, IndexOptions, OpenOutcome, RebuildReason};
use super::memory_engine::{Gate, MemoryEngine};
use super::overlay::OVERLAY_RUNS_MAX;
use super::position::Position;
use super::sled_engine::SledEngine;

const FORMAT: u32 = 1;

fn at(offset: u32) -> Position {
    Position { segment: 1, offset }
}

fn open(kind: EngineKind, dir: &Path) -> Box<dyn IndexEngine> {
    match kind {
        EngineKind::Sled => Box::new(SledEngine::open(dir, FORMAT).unwrap()),
        EngineKind::Fjall => Box::new(FjallEngine::open(dir, FORMAT, INGEST_CHANGES_MIN).unwrap()),
        EngineKind::Memory => Box::new(MemoryEngine::default()),
    }
}

/// Runs a check over each engine on disk, then over the one in memory.
fn each_engine(check: impl Fn(&dyn IndexEngine)) {
    for kind in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        check(&*open(kind, dir.path()));
    }
    // fjall again, with every change written as a table file.
    let dir = tempfile::tempdir().unwrap();
    check(&FjallEngine::open(dir.path(), FORMAT, 1).unwrap());
    check(&MemoryEngine::default());
}

fn apply(engine: &dyn IndexEngine, changes: &[Change], watermark: Position) {
    engine.apply(&changes.iter().collect::<Vec<_>>(), watermark).unwrap();
}

fn keys(engine: &dyn IndexEngine, table: Table, range: &KeyRange, order: Order) -> Vec<Vec<u8>> {
    engine.scan(table, range, order).map(|pair| pair.unwrap().0).collect()
}

#[test]
fn tables_are_apart_and_watermark_is_in_none_of_them() {
    each_engine(|engine| {
        assert_eq!(engine.watermark().unwrap(), None);
        let changes: Vec<_> =
            Table::ALL.iter().map(|t| Change::put(*t, *b"k", [*t as u8])).collect();
        apply(engine, &changes, at(99));
        for table in Table::ALL {
            assert_eq!(engine.read(table, b"k").unwrap(), Some(vec![table as u8]));
            let all = keys(engine, table, &KeyRange::all(), Order::Ascending);
            assert_eq!(all, [b"k".to_vec()]);
        }
        assert_eq!(engine.watermark().unwrap(), Some(at(99)));
    });
}

#[test]
fn scans_keep_to_their_range_in_both_orders() {
    each_engine(|engine| {
        let changes: Vec<_> =
            (0..=255u8).map(|n| Change::put(Table::Search, [n / 16, n], [])).collect();
        apply(engine, &changes, at(17));
        for (range, count) in [
            (KeyRange::all(), 256),
            (KeyRange::prefix([3]), 16),
            (KeyRange::prefix([15]), 16),
            (KeyRange::prefix([16]), 0),
            (KeyRange::between([1, 16], [2, 33]), 17),
            (KeyRange::between([2], [1]), 0),
            (KeyRange::starting_at([15, 250]), 6),
        ] {
            let mut up = keys(engine, Table::Search, &range, Order::Ascending);
            let down = keys(engine, Table::Search, &range, Order::Descending);
            assert_eq!(up.len(), count, "{range:?}");
            assert!(up.is_sorted());
            up.reverse();
            assert_eq!(up, down);
        }
        assert!(keys(engine, Table::Series, &KeyRange::all(), Order::Descending).is_empty());
    });
}

#[test]
fn applying_again_changes_nothing_and_deleting_the_absent_is_allowed() {
    each_engine(|engine| {
        let changes = [
            Change::put(Table::Records, vec![7; 300], vec![8; 10_000]),
            Change::put(Table::Records, *b"a", *b"1"),
            Change::delete(Table::Records, *b"b"),
        ];
        apply(engine, &[Change::put(Table::Records, *b"b", *b"0")], at(20));
        apply(engine, &changes, at(30));
        apply(engine, &changes, at(30));
        assert_eq!(engine.read(Table::Records, b"a").unwrap(), Some(b"1".to_vec()));
        assert_eq!(engine.read(Table::Records, b"b").unwrap(), None);
        assert_eq!(engine.read(Table::Records, &[7; 300]).unwrap(), Some(vec![8; 10_000]));
    });
}

#[test]
fn clearing_leaves_neither_keys_nor_a_watermark() {
    each_engine(|engine| {
        apply(engine, &[Change::put(Table::Meta, *b"a", *b"1")], at(20));
        engine.clear().unwrap();
        assert_eq!(engine.watermark().unwrap(), None);
        assert!(keys(engine, Table::Meta, &KeyRange::all(), Order::Ascending).is_empty());
        apply(engine, &[Change::put(Table::Meta, *b"b", *b"2")], at(30));
        assert_eq!(engine.read(Table::Meta, b"b").unwrap(), Some(b"2".to_vec()));
        engine.size().unwrap();
    });
}

fn options(dir: &Path, engine: EngineKind, format: u32) -> IndexOptions {
    IndexOptions { dir: dir.to_owned(), engine, format }
}

fn ready(options: &IndexOptions, end: Position) -> Index {
    match Index::open(options, end).unwrap() {
        OpenOutcome::Ready(index) => index,
        OpenOutcome::NeedsRebuild(reason) => panic!("{reason}"),
    }
}

#[test]
fn an_index_reopens_with_what_was_staged_before_it_was_dropped() {
    for kind in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), kind, FORMAT);
        let index = ready(&options, at(100));
        assert_eq!(index.watermark().unwrap(), None);
        index.stage(vec![Change::put(Table::Series, *b"s", *b"v")], at(100)).unwrap();
        index.close().unwrap();
        let index = ready(&options, at(100));
        assert_eq!(index.watermark().unwrap(), Some(at(100)));
        assert_eq!(index.read(Table::Series, b"s").unwrap(), Some(b"v".to_vec()));
    }
}

#[test]
fn an_index_ahead_of_the_segments_or_of_another_format_needs_a_rebuild() {
    for kind in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let old = options(dir.path(), kind, FORMAT);
        let index = ready(&old, at(100));
        index.stage(vec![Change::put(Table::Series, *b"s", *b"v")], at(100)).unwrap();
        drop(index);
        let behind = Index::open(&old, at(99)).unwrap();
        assert!(matches!(behind, OpenOutcome::NeedsRebuild(RebuildReason::Ahead { .. })));
        drop(behind);
        let new = options(dir.path(), kind, FORMAT + 1);
        let other = Index::open(&new, at(100)).unwrap();
        assert!(matches!(other, OpenOutcome::NeedsRebuild(RebuildReason::Unreadable(_))));
        drop(other);
        let index = Index::rebuild(&new).unwrap();
        assert_eq!(index.watermark().unwrap(), None);
        assert_eq!(index.read(Table::Series, b"s").unwrap(), None);
    }
}

#[test]
fn an_engine_with_overwritten_files_needs_a_rebuild_and_gets_one() {
    for kind in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), kind, FORMAT);
        let index = ready(&options, at(100));
        index.stage(vec![Change::put(Table::Series, *b"s", *b"v")], at(100)).unwrap();
        drop(index);
        overwrite_files(&dir.path().join(kind.name()));
        match Index::open(&options, at(100)).unwrap() {
            OpenOutcome::NeedsRebuild(RebuildReason::Unreadable(_)) => {}
            OpenOutcome::Ready(index) => assert_eq!(index.watermark().unwrap(), None, "{kind}"),
            OpenOutcome::NeedsRebuild(reason) => panic!("{kind}: {reason}"),
        }
        assert_eq!(Index::rebuild(&options).unwrap().watermark().unwrap(), None);
    }
}

fn overwrite_files(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.metadata().unwrap().is_dir() {
            overwrite_files(&entry.path());
        } else {
            std::fs::write(entry.path(), [0xAB; 4_096]).unwrap();
        }
    }
}

/// Returns true if any file below a directory contains these bytes.
fn is_in_a_file(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().map(Result::unwrap).any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_in_a_file(&path, needle);
        }
        std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn an_index_written_anew_has_everything_but_what_was_deleted_in_no_file() {
    const SECRET: &[u8] = b"a name that must go";
    for kind in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), kind, FORMAT);
        let index = ready(&options, at(100));
        let marker = || Marker { table: Table::Meta, key: b"scrub".to_vec() };
        assert!(!index.rewrite_if_marked(marker()).unwrap());
        let mut changes: Vec<_> =
            (0..=255u8).map(|n| Change::put(Table::Records, [n], [n])).collect();
        changes.push(Change::put(Table::Search, SECRET, *b""));
        index.stage(changes, at(50)).unwrap();
        index.flush().unwrap();
        assert!(is_in_a_file(dir.path(), SECRET), "{kind}");
        let scan = index.scan(Table::Records, &KeyRange::all(), Order::Ascending);
        index
            .stage(
                vec![
                    Change::delete(Table::Search, SECRET),
                    Change::put(Table::Meta, *b"scrub", *b"1"),
                ],
                at(60),
            )
            .unwrap();
        std::thread::scope(|scope| {
            let rewriting = scope.spawn(|| index.rewrite_if_marked(marker()));
            assert_eq!(scan.count(), 256);
            assert!(rewriting.join().unwrap().unwrap());
        });
        assert!(!index.rewrite_if_marked(marker()).unwrap());
        assert!(!is_in_a_file(dir.path(), SECRET), "{kind}");
        index.stage(vec![Change::put(Table::Series, *b"late", *b"1")], at(70)).unwrap();
        index.close().unwrap();
        assert!(!is_in_a_file(dir.path(), SECRET), "{kind}");
        let index = ready(&options, at(100));
        assert_eq!(index.watermark().unwrap(), Some(at(70)));
        assert_eq!(index.scan(Table::Records, &KeyRange::all(), Order::Ascending).count(), 256);
        assert_eq!(index.read(Table::Series, b"late").unwrap(), Some(b"1".to_vec()));
        assert_eq!(index.scan(Table::Search, &KeyRange::all(), Order::Ascending).count(), 0);
        drop(index);
        let rebuilt = Index::rebuild(&options).unwrap();
        assert_eq!(rebuilt.watermark().unwrap(), None);
    }
}

fn memory_index(gate: Gate) -> (MemoryEngine, Index) {
    let engine = MemoryEngine::default();
    engine.set(gate);
    let index = Index::over(Box::new(engine.clone())).unwrap();
    (engine, index)
}

#[test]
fn staged_changes_are_read_before_they_are_applied() {
    let (engine, index) = memory_index(Gate::Closed);
    index.stage(vec![Change::put(Table::Records, *b"a", *b"1")], at(20)).unwrap();
    index.stage(vec![Change::put(Table::Records, *b"a", *b"2")], at(30)).unwrap();
    index.stage(vec![Change::delete(Table::Records, *b"b")], at(40)).unwrap();
    assert_eq!(index.read(Table::Records, b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(engine.read(Table::Records, b"a").unwrap(), None);
    assert_eq!(index.watermark().unwrap(), Some(at(40)));
    assert_eq!(index.lag(), IndexLag { changes: 3, bytes: 5 });
    engine.set(Gate::Open);
    index.flush().unwrap();
    assert_eq!(engine.read(Table::Records, b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(engine.watermark().unwrap(), Some(at(40)));
    assert_eq!(index.lag(), IndexLag::default());
    index.clear().unwrap();
    assert_eq!(index.watermark().unwrap(), None);
}

#[test]
fn of_two_changes_to_one_key_in_one_batch_the_last_counts() {
    let (engine, index) = memory_index(Gate::Closed);
    let changes = vec![
        Change::put(Table::Records, *b"a", *b"1"),
        Change::put(Table::Records, *b"a", *b"2"),
        Change::put(Table::Records, *b"b", *b"3"),
        Change::delete(Table::Records, *b"b"),
    ];
    index.stage(changes, at(20)).unwrap();
    assert_eq!(index.read(Table::Records, b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(index.read(Table::Records, b"b").unwrap(), None);
    engine.set(Gate::Open);
    index.flush().unwrap();
    assert_eq!(index.read(Table::Records, b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(index.read(Table::Records, b"b").unwrap(), None);
}

#[test]
fn staging_waits_while_the_overlay_is_full() {
    let (engine, index) = memory_index(Gate::Closed);
    let runs = OVERLAY_RUNS_MAX as u32;
    let put = |n: u32| vec![Change::put(Table::Records, n.to_be_bytes(), [])];
    (0..runs).for_each(|n| index.stage(put(n), at(n)).unwrap());
    std::thread::scope(|scope| {
        let late = scope.spawn(|| index.stage(put(runs), at(runs)));
        assert_eq!(index.lag().changes, OVERLAY_RUNS_MAX);
        engine.set(Gate::Open);
        late.join().unwrap().unwrap();
    });
    index.flush().unwrap();
    let found = index.scan(Table::Records, &KeyRange::all(), Order::Ascending).count();
    assert_eq!(found, OVERLAY_RUNS_MAX + 1);
}

#[test]
fn an_engine_error_or_panic_surfaces_on_the_next_call() {
    for (gate, wanted) in [(Gate::Failing, "told to fail"), (Gate::Panicking, "panicked")] {
        let (_, index) = memory_index(gate);
        index.stage(vec![Change::delete(Table::Meta, *b"a")], at(20)).unwrap();
        let error = index.flush().unwrap_err();
        assert!(error.is_fatal());
        assert!(matches!(error, StoreError::IndexFailed(fault) if fault.reason.contains(wanted)));
        assert!(index.stage(Vec::new(), at(30)).is_err());
        assert!(index.close().is_err());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Stage(Vec<Change>),
    /// Lets everything be applied, then holds the engine back again.
    Apply,
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xFF]), 0..4)
}

/// Not the empty key, which fjall does not take.
fn any_stored_key() -> impl Strategy<Value = Vec<u8>> {
    any_key().prop_map(|mut key| {
        key.push(b'k');
        key
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    let table = prop::sample::select(vec![Table::Records, Table::Search]);
    (table, any_stored_key(), prop::option::of(prop::collection::vec(any::<u8>(), 0..3))).prop_map(
        |(table, key, value)| Change {
            table,
            key: key.into(),
            value: value.map(Vec::into_boxed_slice),
        },
    )
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop::collection::vec(any_change(), 0..12).prop_map(Step::Stage),
        1 => Just(Step::Apply),
    ];
    prop::collection::vec(step, 1..12)
}

fn any_range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        Just(KeyRange::all()),
        any_key().prop_map(KeyRange::prefix),
        any_key().prop_map(KeyRange::starting_at),
        (any_key(), any_key()).prop_map(|(start, end)| KeyRange::between(start, end)),
    ]
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn change_model(model: &mut Model, changes: &[Change]) {
    for change in changes {
        let key = (change.table, change.key.to_vec());
        match &change.value {
            Some(value) => model.insert(key, value.to_vec()),
            None => model.remove(&key),
        };
    }
}

fn assert_shows(index: &Index, model: &Model, table: Table, range: &KeyRange) {
    let within = |key: &[u8]| key >= range.start() && range.end().is_none_or(|end| key < end);
    let mut wanted: Vec<_> = model
        .iter()
        .filter(|((of, key), _)| *of == table && within(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    let found = |order| index.scan(table, range, order).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(found(Order::Ascending), wanted);
    wanted.reverse();
    assert_eq!(found(Order::Descending), wanted);
    for (key, value) in &wanted {
        assert_eq!(index.read(table, key).unwrap().as_ref(), Some(value));
    }
}

fn play(index: &Index, gate: Option<&MemoryEngine>, steps: &[Step], ranges: &[KeyRange]) {
    let mut model = Model::new();
    for (n, step) in (17..).zip(steps) {
        match (step, gate) {
            (Step::Stage(changes), _) => {
                change_model(&mut model, changes);
                index.stage(changes.clone(), at(n)).unwrap();
            }
            (Step::Apply, Some(engine)) => {
                engine.set(Gate::Open);
                index.flush().unwrap();
                engine.set(Gate::Closed);
            }
            (Step::Apply, None) => index.flush().unwrap(),
        }
        for range in ranges {
            assert_shows(index, &model, Table::Records, range);
            assert_shows(index, &model, Table::Search, range);
        }
    }
    if let Some(engine) = gate {
        engine.set(Gate::Open);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_overlay_merges_like_one_ordered_map(
        steps in any_steps(),
        ranges in prop::collection::vec(any_range(), 1..4),
    ) {
        let (engine, index) = memory_index(Gate::Closed);
        play(&index, Some(&engine), &steps, &ranges);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn every_engine_shows_the_same_as_one_ordered_map(
        steps in any_steps(),
        ranges in prop::collection::vec(any_range(), 1..4),
    ) {
        for kind in EngineKind::ALL {
            let dir = tempfile::tempdir().unwrap();
            let index = Index::over(open(kind, dir.path())).unwrap();
            play(&index, None, &steps, &ranges);
        }
        let dir = tempfile::tempdir().unwrap();
        // Some changes as table files and some not.
        let mixed = FjallEngine::open(dir.path(), FORMAT, 3).unwrap();
        play(&Index::over(Box::new(mixed)).unwrap(), None, &steps, &ranges);
    }
}
