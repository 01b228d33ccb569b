//! The answer of a witness to a checkpoint that it is shown (C2SP tlog-witness, add-checkpoint).
//!
//! [`judge`] is given the head that was cosigned last and answers whether the checkpoint continues
//! it. It remembers nothing and signs nothing: whoever asks must make the new head durable before
//! the cosignature leaves, and must do both as one step for each log, or a slow request would take
//! the witness back.
//!
//! A signature that is good and a root that cannot be is the log's own doing and evidence for
//! anybody. A proof that does not hold is not: no key signs proofs, and whoever carries a checkpoint
//! can spoil the proof beside it. It accuses the log only if the log itself brought it.

use super::checkpoint::{Checkpoint, Origin};
use super::hash::{EMPTY_ROOT, TreeHead};
use super::note::Note;
use super::proof::{ProofError, verify_consistency};
use super::signed_checkpoint::{OpenError, SignedCheckpoint};
use super::verifier::NoteVerifier;
use crate::ident::{TreeHash, TreeSize};

/// A checkpoint as it is shown to a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCheckpoint {
    /// The tree size that the sender believes the witness cosigned last; 0 if none.
    pub old: TreeSize,
    /// Consistency proof from there; empty from 0.
    pub proof: Vec<TreeHash>,
    /// The signed note as it came.
    pub note: Vec<u8>,
}

/// The reason why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    #[error("no log of this origin is witnessed here")]
    UnknownLog,
    #[error("the log showed two histories and is frozen")]
    Frozen,
    #[error("the shown note is not a checkpoint")]
    Malformed(#[source] OpenError),
    #[error("the log did not sign this checkpoint")]
    Signature(#[source] OpenError),
    #[error("old size {old} is above the checkpoint's size {size}")]
    OldBeyondSize { old: TreeSize, size: TreeSize },
    #[error("the checkpoint cosigned last has size {known}, the proof is from {old}")]
    Conflict { old: TreeSize, known: TreeSize },
    #[error("the proof does not lead from size {} to size {}", .known.size, .shown.checkpoint().size())]
    Proof { known: TreeHead, shown: Box<SignedCheckpoint>, source: ProofError },
    #[error("the log signed two roots for size {}", .shown.checkpoint().size())]
    SameSize { shown: Box<SignedCheckpoint> },
    #[error("the log signed root {} for a tree without leaves", .shown.checkpoint().root())]
    EmptyRoot { shown: Box<SignedCheckpoint> },
}

/// Returns the log that a note names, without verifying it.
pub fn origin_of(note: &[u8]) -> Result<Origin, OpenError> {
    let note = Note::parse(note)?;
    Ok(Checkpoint::parse(note.text())?.origin().clone())
}

/// The checkpoint with the log's line alone, if it may be cosigned. `known` is the head that was
/// cosigned last, [`TreeHead::EMPTY`] if there is none. The log's key is named as its origin.
pub fn judge(
    log: &NoteVerifier,
    known: TreeHead,
    shown: &ShownCheckpoint,
) -> Result<SignedCheckpoint, WitnessRefusal> {
    let ShownCheckpoint { old, proof, note } = shown;
    let signed =
        SignedCheckpoint::open(note, log, &[], &Origin::from(log.name())).map_err(refused)?;
    let head = signed.checkpoint().head();
    if head.size == TreeHead::EMPTY.size && head.root != EMPTY_ROOT {
        return Err(WitnessRefusal::EmptyRoot { shown: Box::new(signed) });
    }
    if head.size == known.size && head.root != known.root {
        return Err(WitnessRefusal::SameSize { shown: Box::new(signed) });
    }
    if *old > head.size {
        return Err(WitnessRefusal::OldBeyondSize { old: *old, size: head.size });
    }
    if *old != known.size {
        return Err(WitnessRefusal::Conflict { old: *old, known: known.size });
    }
    match continues(known, head, proof) {
        Ok(()) => Ok(signed),
        Err(source) => Err(WitnessRefusal::Proof { known, shown: Box::new(signed), source }),
    }
}

fn refused(error: OpenError) -> WitnessRefusal {
    match error {
        OpenError::Note(_) | OpenError::Checkpoint(_) => WitnessRefusal::Malformed(error),
        OpenError::Origin { .. } => WitnessRefusal::UnknownLog,
        OpenError::Verify { .. } | OpenError::LogSignature { .. } => {
            WitnessRefusal::Signature(error)
        }
    }
}

/// Everything continues a tree without leaves, which needs no proof and may have none.
fn continues(known: TreeHead, head: TreeHead, proof: &[TreeHash]) -> Result<(), ProofError> {
    if known.size == TreeHead::EMPTY.size {
        return match proof.len() {
            0 => Ok(()),
            found => Err(ProofError::Length { expected: 0, found }),
        };
    }
    verify_consistency(&known, &head, proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{NoteSigner, TileTree, leaf_hash};
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    struct Log {
        signer: NoteSigner,
        leaves: Vec<TreeHash>,
    }

    impl Log {
        /// Every such log has the same first `common` leaves; then it goes its own way.
        fn new(way: &str, common: usize, size: usize) -> Self {
            let key = SigningKey::from_bytes(&[5; 32]);
            let leaf = |n: usize| if n < common { format!("{n}") } else { format!("{way}{n}") };
            Self {
                signer: NoteSigner::new("npa.go.jp/journal".parse().unwrap(), key),
                leaves: (0..size).map(|n| leaf_hash(leaf(n).as_bytes())).collect(),
            }
        }

        fn tree(&self, size: usize) -> TileTree {
            let mut tree = TileTree::new();
            self.leaves[..size].iter().for_each(|leaf| tree.push(*leaf));
            tree
        }

        fn sign(&self, head: TreeHead) -> Vec<u8> {
            let checkpoint = Checkpoint::new(Origin::from(self.signer.name()), head).unwrap();
            SignedCheckpoint::sign(checkpoint, &self.signer).to_bytes()
        }

        fn shown(&self, old: usize, size: usize) -> ShownCheckpoint {
            let (from, to) = (TreeSize::new(old as u64), TreeSize::new(size as u64));
            let tree = self.tree(size);
            let proof = match old {
                0 => Vec::new(),
                old if old > size => Vec::new(),
                _ => tree.consistency(&self.leaves, from, to).unwrap(),
            };
            ShownCheckpoint { old: from, proof, note: self.sign(tree.head()) }
        }

        fn judge(&self, known: usize, shown: &ShownCheckpoint) -> Result<u64, WitnessRefusal> {
            let known = self.tree(known).head();
            judge(&NoteVerifier::from(&self.signer), known, shown)
                .map(|signed| signed.checkpoint().size().get())
        }
    }

    fn log() -> Log {
        Log::new("a", 3, 9)
    }

    #[test]
    fn what_continues_the_last_checkpoint_is_cosigned_and_the_same_again() {
        for (known, size) in [(0, 0), (0, 1), (1, 3), (3, 3), (3, 5), (5, 9)] {
            assert_eq!(log().judge(known, &log().shown(known, size)), Ok(size as u64));
        }
    }

    #[test]
    fn a_proof_from_another_size_is_told_the_known_one() {
        for (known, old, size) in [(3, 0, 5), (3, 1, 5), (3, 1, 2), (0, 1, 3), (3, 3, 2)] {
            let refused = log().judge(known, &log().shown(old, size)).unwrap_err();
            let beyond = old > size;
            assert_eq!(matches!(refused, WitnessRefusal::OldBeyondSize { .. }), beyond);
            assert_eq!(matches!(refused, WitnessRefusal::Conflict { .. }), !beyond);
        }
    }

    #[test]
    fn another_root_for_the_known_size_is_evidence_whatever_stands_beside_it() {
        let other = Log::new("b", 3, 9);
        for old in [0, 3, 5, 7] {
            let mut shown = other.shown(5, 5);
            shown.old = TreeSize::new(old);
            let refused = log().judge(5, &shown).unwrap_err();
            assert!(matches!(refused, WitnessRefusal::SameSize { .. }), "{refused}");
        }
        let root = TreeHash::from_bytes([1; 32]);
        let note = log().sign(TreeHead { size: TreeSize::new(0), root });
        let shown = ShownCheckpoint { old: TreeSize::new(0), proof: Vec::new(), note };
        assert!(matches!(log().judge(3, &shown), Err(WitnessRefusal::EmptyRoot { .. })));
    }

    #[test]
    fn a_proof_that_does_not_hold_is_refused_and_is_no_evidence_by_itself() {
        let other = Log::new("b", 3, 9);
        let hash = TreeHash::from_bytes([1; 32]);
        let with =
            |proof: Vec<TreeHash>, old, size| ShownCheckpoint { proof, ..log().shown(old, size) };
        for (known, shown) in [
            (5, other.shown(5, 9)),
            (5, with(Vec::new(), 5, 9)),
            (5, with(vec![hash], 5, 5)),
            (0, with(vec![hash], 0, 5)),
        ] {
            let refused = log().judge(known, &shown).unwrap_err();
            assert!(matches!(refused, WitnessRefusal::Proof { .. }), "{refused}");
        }
    }

    #[test]
    fn what_the_log_did_not_sign_says_nothing_about_it() {
        let mut stranger = log();
        let key = SigningKey::from_bytes(&[6; 32]);
        stranger.signer = NoteSigner::new("npa.go.jp/journal".parse().unwrap(), key);
        let refused = log().judge(3, &stranger.shown(3, 5)).unwrap_err();
        assert!(matches!(refused, WitnessRefusal::Signature(_)), "{refused}");
        stranger.signer = NoteSigner::new("other.example/journal".parse().unwrap(), key_of(5));
        let refused = log().judge(3, &stranger.shown(3, 5)).unwrap_err();
        assert!(matches!(refused, WitnessRefusal::UnknownLog), "{refused}");
        let shown = ShownCheckpoint { note: b"no note".to_vec(), ..log().shown(3, 5) };
        assert!(matches!(log().judge(3, &shown), Err(WitnessRefusal::Malformed(_))));
    }

    fn key_of(number: u8) -> SigningKey {
        SigningKey::from_bytes(&[number; 32])
    }

    proptest! {
        #[test]
        fn nobody_brings_a_witness_to_cosign_two_branches(
            steps in prop::collection::vec((any::<bool>(), 0..9_usize, 0..9_usize), 1..40),
        ) {
            let branches = [Log::new("a", 3, 9), Log::new("b", 3, 9)];
            let verifier = NoteVerifier::from(&branches[0].signer);
            let (mut known, mut cosigned) = (TreeHead::EMPTY, Vec::new());
            for (branch, old, size) in steps {
                let shown = branches[usize::from(branch)].shown(old, size);
                if let Ok(signed) = judge(&verifier, known, &shown) {
                    known = signed.checkpoint().head();
                    cosigned.push(known);
                }
            }
            let on = |log: &Log| {
                cosigned.iter().all(|head| log.tree(head.size.get() as usize).head() == *head)
            };
            prop_assert!(branches.iter().any(on));
            prop_assert!(cosigned.is_sorted_by_key(|head| head.size));
        }
    }
}
