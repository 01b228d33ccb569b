//! Cosignatures of witnesses on this journal's checkpoints: that the key is one the journal names,
//! and that the head is one the journal had.
//!
//! Roots of older sizes are computed from the last leaves alone; a cosignature that comes later than
//! [`LEAVES_KEPT`] entries after its checkpoint is verified and not compared, and counts for no quorum.

use super::card::Card;
use super::failure::{Check, Fault};
use super::words::shown;
use crate::ident::{Timestamp, TreeHash, TreeSize};
use crate::merkle::{
    CosignatureTime, Frontier, NoteVerifier, SignatureType, SignedCheckpoint, TreeHead,
};
use ed25519_dalek::VerifyingKey;
use std::collections::VecDeque;

/// Leaves that older roots can be computed from, 40 bytes each: minutes of a busy node.
const LEAVES_KEPT: usize = 1 << 14;
/// Leaves between two frontiers that are kept.
const STEP: u64 = 1 << 10;

/// The last leaves of a journal with their times, and the trees before them.
#[derive(Debug)]
pub(super) struct Recent {
    leaves: VecDeque<(TreeHash, Timestamp)>,
    /// Trees of every [`STEP`] leaves, the oldest first.
    trees: VecDeque<Frontier>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { leaves: VecDeque::new(), trees: VecDeque::from([Frontier::new()]) }
    }
}

impl Recent {
    /// A leaf was added at a time, which led to `tree`.
    pub(super) fn push(&mut self, leaf: TreeHash, at: Timestamp, tree: &Frontier) {
        self.leaves.push_back((leaf, at));
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
        tree.extend(leaves.map(|(leaf, _)| *leaf));
        (tree.size() == size).then(|| tree.head())
    }

    /// The time of the last entry of the journal of `size` entries, where that is kept.
    fn time_at(&self, size: TreeSize) -> Option<Timestamp> {
        let oldest = self.trees.front()?.size().get();
        let place = size.get().checked_sub(oldest + 1)?;
        self.leaves.get(usize::try_from(place).ok()?).map(|(_, at)| *at)
    }

    /// Checks the head that a witness cosigned, and gives the time of its last entry; `None` if it is
    /// too old to be compared. `end` is the size now.
    pub(super) fn check(
        &self,
        cosigned: TreeHead,
        end: TreeSize,
    ) -> Result<Option<Timestamp>, Fault> {
        if cosigned.size > end {
            let expected = format!("a checkpoint of at most {end} entries");
            return Err(Fault::new(Check::Cosignature, expected, shown(cosigned)));
        }
        match self.head_at(cosigned.size) {
            Some(head) if head != cosigned => {
                Err(Fault::new(Check::Cosignature, shown(head), shown(cosigned)))
            }
            Some(_) => Ok(self.time_at(cosigned.size)),
            None => Ok(None),
        }
    }
}

/// A head of the journal that a witness cosigned.
#[derive(Debug)]
pub(super) struct Cosigned {
    pub(super) head: TreeHead,
    /// The key that cosigned it.
    pub(super) key: VerifyingKey,
    /// The time that the witness signed.
    pub(super) at: CosignatureTime,
}

/// The head in a note that carries a cosignature by the witness named `name`. `partner` is the card
/// of the partner whose key has that name, `added` the keys of witnesses that are not partners.
pub(super) fn cosigned_head(
    note: &[u8],
    name: &str,
    own: &[Card],
    partner: Option<&Card>,
    added: &[NoteVerifier],
) -> Result<Cosigned, Fault> {
    let fault = |found: &dyn ToString| {
        let expected = format!("an own checkpoint with a cosignature of {name}");
        Fault::new(Check::Cosignature, expected, found.to_string())
    };
    let verifier = |name: &str, role, key: &VerifyingKey| {
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
            Ok(signed) => {
                let line = signed.cosignatures().iter().find_map(|line| {
                    let key = keys.iter().find(|key| key.key_id() == line.key_id)?;
                    Some((*key.verifying_key(), line.at))
                });
                let head = signed.checkpoint().head();
                match line {
                    Some((key, at)) => return Ok(Cosigned { head, key, at }),
                    None => found = "no cosignature".to_owned(),
                }
            }
            Err(error) => found = error.to_string(),
        }
    }
    Err(fault(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::leaf_hash;

    fn at(index: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + index as i64).unwrap()
    }

    #[test]
    fn heads_of_the_last_leaves_are_known_and_no_older_ones() {
        let (mut recent, mut tree, mut heads) = (Recent::default(), Frontier::new(), vec![]);
        for index in 0..(LEAVES_KEPT as u64 + 3 * STEP + 7) {
            heads.push(tree.head());
            let leaf = leaf_hash(&index.to_be_bytes());
            tree.push(leaf);
            recent.push(leaf, at(index), &tree);
        }
        let end = tree.size();
        for head in heads.iter().rev().step_by(701) {
            let kept = end.get() - head.size.get() <= LEAVES_KEPT as u64;
            if kept {
                let last = at(head.size.get() - 1);
                assert_eq!(recent.check(*head, end), Ok(Some(last)), "{}", head.size);
            }
            let other = TreeHead { root: leaf_hash(b"other"), ..*head };
            assert_eq!(recent.check(other, end).is_err(), recent.head_at(head.size).is_some());
        }
        assert_eq!(recent.check(heads[1], end), Ok(None));
        let beyond = TreeHead { size: TreeSize::new(end.get() + 1), ..heads[1] };
        assert!(recent.check(beyond, end).is_err());
    }
}
