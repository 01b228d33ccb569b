//! Published vectors: the accumulated constants of draft-ietf-plants-merkle-tree-certs, appendix C,
//! and, where the folder of shared data is there, the JSON cases of transparency-dev/merkle and a
//! real log written by Tessera.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Levels, shared};
use crate::ident::{LeafIndex, TreeHash, TreeSize};
use crate::merkle::{
    NoteVerifier, SignedCheckpoint, TileTree, TreeHead, leaf_hash, prove_inclusion,
    root_from_inclusion, root_of, verify_consistency, verify_inclusion,
};

/// The draft's valid subtrees: the start is a multiple of the smallest power of two that is not
/// below the number of leaves. Ends ascend first, then starts.
fn subtrees(leaves_max: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..=leaves_max)
        .flat_map(|end| (0..=end).map(move |start| (start, end)))
        .filter(|(start, end)| start.is_multiple_of((end - start).next_power_of_two()))
}

fn accumulated(lines: impl Iterator<Item = String>) -> String {
    let hash = lines.fold(Sha256::new(), Digest::chain_update);
    TreeHash::from_bytes(hash.finalize().into()).to_string()
}

fn joined(proof: &[TreeHash]) -> String {
    proof.iter().map(|hash| format!(" {hash}")).collect()
}

#[test]
fn all_subtree_hashes_to_130_leaves_add_up_to_the_published_constant() {
    let leaves: Vec<_> = (0..130_u8).map(|n| leaf_hash(&[n])).collect();
    let lines = subtrees(130)
        .map(|(start, end)| format!("[{start}, {end}) {}\n", root_of(&leaves[start..end])));
    assert_eq!(
        accumulated(lines),
        "b82806ad4265bb151c1119c0f4db437bb4d1a1f887b3a7fba1cd4ebf552e3e81"
    );
}

#[test]
fn all_inclusion_proofs_to_130_leaves_add_up_to_the_published_constant() {
    let leaves: Vec<_> = (0..130_u8).map(|n| leaf_hash(&[n])).collect();
    let lines = subtrees(130).flat_map(|(start, end)| {
        let inside = leaves[start..end].to_vec();
        let mut nodes = Levels::default();
        inside.iter().for_each(|leaf| nodes.push(*leaf));
        let (size, wanted) = (TreeSize::new(inside.len() as u64), root_of(&inside));
        (start..end).map(move |index| {
            let place = LeafIndex::new((index - start) as u64);
            let path = prove_inclusion(&mut nodes, place, size).unwrap();
            let root = root_from_inclusion(&inside[index - start], place, size, &path);
            assert_eq!(root, Ok(wanted));
            format!("{index} [{start}, {end}){}\n", joined(&path))
        })
    });
    assert_eq!(
        accumulated(lines),
        "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"
    );
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { json_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect()
}

/// Judges every case of a folder; a case passes when the verdict is the wanted one.
fn judge<C: for<'a> Deserialize<'a>>(folder: &str, verdict: impl Fn(&C) -> Option<bool>) {
    #[derive(Deserialize)]
    struct Wanted {
        #[serde(rename = "wantErr")]
        want_err: bool,
    }
    let Some(folder) = shared(&format!("merkle/transparency-dev/{folder}")) else { return };
    let files = json_files(&folder);
    assert!(!files.is_empty());
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let wanted: Wanted = serde_json::from_slice(&bytes).unwrap();
        let case: C = serde_json::from_slice(&bytes).unwrap();
        let holds = verdict(&case).unwrap_or(false);
        assert_eq!(holds, !wanted.want_err, "{}", path.display());
    }
}

/// `None` for a hash of any other length than 32: it cannot even be named here.
fn hash(text: &str) -> Option<TreeHash> {
    STANDARD.decode(text).unwrap().as_slice().try_into().ok()
}

fn hashes(proof: &Option<Vec<String>>) -> Option<Vec<TreeHash>> {
    proof.iter().flatten().map(|text| hash(text)).collect()
}

#[test]
fn the_published_inclusion_cases_are_judged_as_wanted() {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Case {
        leaf_idx: u64,
        #[serde(default)]
        start: u64,
        #[serde(alias = "end")]
        tree_size: u64,
        root: String,
        leaf_hash: String,
        proof: Option<Vec<String>>,
    }
    let verdict = |case: &Case| {
        // A subtree is a tree of its own, if it starts where one can.
        let size = case.tree_size.checked_sub(case.start)?;
        let index = case.leaf_idx.checked_sub(case.start)?;
        let is_subtree = case.start.is_multiple_of(size.checked_next_power_of_two()?);
        let (leaf, root) = (hash(&case.leaf_hash)?, hash(&case.root)?);
        let (index, size) = (LeafIndex::new(index), TreeSize::new(size));
        let verified = verify_inclusion(&leaf, index, size, &hashes(&case.proof)?, &root);
        Some(is_subtree && verified.is_ok())
    };
    judge("inclusion", verdict);
    judge("subtreeinclusion", verdict);
}

#[test]
fn the_published_consistency_cases_are_judged_as_wanted() {
    #[derive(Deserialize)]
    struct Case {
        size1: u64,
        size2: u64,
        root1: String,
        root2: String,
        proof: Option<Vec<String>>,
    }
    judge("consistency", |case: &Case| {
        let head = |size, text: &str| {
            // A root of another length stands for "any root"; what counts is whether both differ.
            let root = hash(text).unwrap_or_else(|| leaf_hash(text.as_bytes()));
            TreeHead { size: TreeSize::new(size), root }
        };
        let (old, new) = (head(case.size1, &case.root1), head(case.size2, &case.root2));
        Some(verify_consistency(&old, &new, &hashes(&case.proof)?).is_ok())
    });
}

/// The public key of Tessera's test log, from its repository.
const TESSERA: &str =
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

#[test]
fn every_checkpoint_of_a_real_log_opens_and_is_consistent_with_its_leaves() {
    let Some(folder) = shared("tlog/tessera-log") else { return };
    let log: NoteVerifier = TESSERA.parse().unwrap();
    let origin = log.name().into();
    let tile = fs::read(folder.join("tile/0/000.p/15")).unwrap();
    let leaves: Vec<TreeHash> =
        tile.chunks_exact(32).map(|hash| hash.try_into().unwrap()).collect();
    let tree: TileTree = leaves.iter().copied().collect();
    for size in 0..=15 {
        let bytes = fs::read(folder.join(format!("checkpoint.{size}"))).unwrap();
        let opened = SignedCheckpoint::open(&bytes, &log, &[], &origin).unwrap();
        assert_eq!(opened.to_bytes(), bytes);
        let head = opened.checkpoint().head();
        assert_eq!(head.size, TreeSize::new(size));
        assert_eq!(tree.root_at(&leaves, head.size), Ok(head.root));
        if size > 0 {
            let proof = tree.consistency(&leaves, head.size, tree.size()).unwrap();
            assert_eq!(verify_consistency(&head, &tree.head(), &proof), Ok(()));
        }
    }
}
