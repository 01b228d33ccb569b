//! The costs of the tree over a log: one more leaf, and proofs over 100,000 leaves.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use liaison::ident::{LeafIndex, TreeHash, TreeSize};
use liaison::merkle::{TileTree, leaf_hash, verify_inclusion};

const LEAVES: u64 = 100_000;

fn leaves() -> Vec<TreeHash> {
    (0..LEAVES).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn tree(leaves: &[TreeHash]) -> TileTree {
    let mut tree = TileTree::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

fn appends(c: &mut Criterion) {
    let leaves = leaves();
    c.bench_function("append 1,000 leaves to 100,000", |b| {
        let tree = tree(&leaves);
        b.iter_batched_ref(
            || tree.clone(),
            |tree| leaves.iter().take(1_000).for_each(|leaf| tree.push(*leaf)),
            BatchSize::LargeInput,
        );
    });
    c.bench_function("root of 100,000 leaves", |b| {
        let tree = tree(&leaves);
        b.iter(|| black_box(&tree).root());
    });
}

fn proofs(c: &mut Criterion) {
    let leaves = leaves();
    let tree = tree(&leaves);
    let size = TreeSize::new(LEAVES);
    let mut index = 0;
    c.bench_function("prove inclusion in 100,000 leaves", |b| {
        b.iter(|| {
            // A prime stride visits tiles all over the tree.
            index = (index + 7_919) % LEAVES;
            tree.inclusion(&leaves, LeafIndex::new(index), size).unwrap()
        });
    });
    c.bench_function("prove consistency from 50,000 to 100,000 leaves", |b| {
        b.iter(|| tree.consistency(&leaves, TreeSize::new(LEAVES / 2), size).unwrap());
    });
    c.bench_function("verify inclusion in 100,000 leaves", |b| {
        let at = LeafIndex::new(LEAVES / 3);
        let path = tree.inclusion(&leaves, at, size).unwrap();
        let (leaf, root) = (leaves[(LEAVES / 3) as usize], tree.root());
        b.iter(|| verify_inclusion(black_box(&leaf), at, size, &path, &root).unwrap());
    });
}

criterion_group! {
    name = merkle;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = appends, proofs
}
criterion_main!(merkle);
