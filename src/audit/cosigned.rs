//! Cosignatures of witnesses on this journal's checkpoints: that the key is one the journal names,
//! and that the head is one the journal had.
//!
//! Roots of older sizes are computed from the last leaves alone; a cosignature that comes later than
//! [`LEAVES_KEPT`] entries after its checkpoint is verified and not compared, and counted as such.

use super::card::Card;
use super::failure::{Check, Fault};
use super::feed::shown;
use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{Frontier, NoteVerifier, SignatureType, SignedCheckpoint, TreeHead};
use std::collections::VecDeque;

/// Leaves that older roots can be computed from, 32 bytes each: minutes of a busy node.
const LEAVES_KEPT: usize = 1 << 14;
/// Leaves between two frontiers that are kept.
const STEP: u64 = 1 << 10;

/// The last leaves of a journal and the trees before them.
#[derive(Debug)]
pub(super) struct Recent {
    leaves: VecDeque<TreeHash>,
    /// Trees of every [`STEP`] leaves, the oldest first.
    trees: VecDeque<Frontier>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { leaves: VecDeque::new(), trees: VecDeque::from([Frontier::new()]) }
    }
}

impl Recent {
    /// A leaf was added, which led to `tree`.
    pub(super) fn push(&mut self, leaf: TreeHash, tree: &Frontier) {
        self.leaves.push_back(leaf);
        if tree.size().get().is_multiple_of(STEP) {
            self.trees.push_back(tree.clone());
        }
        if self.leaves.len() > LEAVES_KEPT + STEP as usize {
            self.leaves.drain(..STEP as usize);
            self.trees.pop_front();
        }
    }

    /// The head that the journal had at `size`; `None` if it is too old or beyond the last leaf.
    fn head_at(&self, size: TreeSize) -> Option<TreeHead> {
        let oldest = self.trees.front()?.size().get();
        let mut tree = self.trees.iter().rev().find(|tree| tree.size() <= size)?.clone();
        let start = usize::try_from(tree.size().get() - oldest).ok()?;
        let count = usize::try_from(size.get() - tree.size().get()).ok()?;
        let leaves = self.leaves.iter().skip(start).take(count);
        tree.extend(leaves.copied());
        (tree.size() == size).then(|| tree.head())
    }

    /// Checks the head that a witness cosigned; `false` if it is too old to be compared. `end` is
    /// the size now.
    pub(super) fn check(&self, cosigned: TreeHead, end: TreeSize) -> Result<bool, Fault> {
        if cosigned.size > end {
            let expected = format!("a checkpoint of at most {end} entries");
            return Err(Fault::new(Check::Cosignature, expected, shown(cosigned)));
        }
        match self.head_at(cosigned.size) {
            Some(head) if head != cosigned => {
                Err(Fault::new(Check::Cosignature, shown(head), shown(cosigned)))
            }
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }
}

/// The head in a note that carries a cosignature by the witness named `name`. `partner` is the card
/// of the partner whose key has that name, `added` the keys of witnesses that are no partners.
pub(super) fn cosigned_head(
    note: &[u8],
    name: &str,
    own: &[Card],
    partner: Option<&Card>,
    added: &[NoteVerifier],
) -> Result<TreeHead, Fault> {
    let fault = |found: &dyn ToString| {
        let expected = format!("an own checkpoint with a cosignature of {name}");
        Fault::new(Check::Cosignature, expected, found.to_string())
    };
    let verifier = |name: &str, role, key: &ed25519_dalek::VerifyingKey| {
        NoteVerifier::new(name.parse().ok()?, role, key.as_bytes()).ok()
    };
    let of_partner = partner
        .and_then(|card| verifier(name, SignatureType::Cosignature, &card.witness))
        .into_iter();
    let keys: Vec<NoteVerifier> =
        of_partner.chain(added.iter().filter(|key| key.name().as_str() == name).cloned()).collect();
    let Some(last) = own.last() else { return Err(fault(&"no card of our own")) };
    let generation = last.generation;
    let origin = generation.journal_origin(&last.agency);
    let mut found = "a key that no entry names".to_owned();
    let own = own.iter().rev().filter(|card| card.generation == generation);
    for card in own.filter(|_| !keys.is_empty()) {
        let log = verifier(&origin, SignatureType::Ed25519, &card.journal);
        let (Some(log), Ok(origin)) = (log, origin.parse()) else { continue };
        match SignedCheckpoint::open(note, &log, &keys, &origin) {
            Ok(signed) if signed.cosignatures().is_empty() => found = "no cosignature".to_owned(),
            Ok(signed) => return Ok(signed.checkpoint().head()),
            Err(error) => found = error.to_string(),
        }
    }
    Err(fault(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf_hash;

    #[test]
    fn heads_of_the_last_leaves_are_known_and_no_older_ones() {
        let (mut recent, mut tree, mut heads) = (Recent::default(), Frontier::new(), vec![]);
        for index in 0..(LEAVES_KEPT as u64 + 3 * STEP + 7) {
            heads.push(tree.head());
            let leaf = leaf_hash(&index.to_be_bytes());
            tree.push(leaf);
            recent.push(leaf, &tree);
        }
        let end = tree.size();
        for head in heads.iter().rev().step_by(701) {
            let kept = end.get() - head.size.get() <= LEAVES_KEPT as u64;
            if kept {
                assert_eq!(recent.check(*head, end), Ok(true), "{}", head.size);
            }
            let other = TreeHead { root: leaf_hash(b"other"), ..*head };
            assert_eq!(recent.check(other, end).is_err(), recent.head_at(head.size).is_some());
        }
        assert_eq!(recent.check(heads[1], end), Ok(false));
        let beyond = TreeHead { size: TreeSize::new(end.get() + 1), ..heads[1] };
        assert!(recent.check(beyond, end).is_err());
    }
}
