//! Proof that an entry stands in a log, in one text that needs nothing beside it but the entry and
//! the keys (C2SP tlog-proof).
//!
//! Reading is strict: bytes that would not print back to themselves are refused. A [`TlogProof`]
//! proves nothing before [`TlogProof::verify`] has said so, and its extra data never does: nobody
//! signs it.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, Origin};
use super::lines::{self, HashesError};
use super::note::{NOTE_BYTES_MAX, Note, NoteError};
use super::proof::{ProofError, verify_inclusion};
use super::signed_checkpoint::{OpenError, SignedCheckpoint};
use super::verifier::NoteVerifier;
use crate::ident::{LeafIndex, TreeHash};

/// Most bytes of extra data: a few identifiers, or an entry of a log.
pub const EXTRA_BYTES_MAX: usize = 64 * 1024;

/// Most lines of path: trees have at most 2^63 - 1 leaves.
const PATH_HASHES_MAX: usize = 63;

/// Longest proof in bytes: its first lines, extra data in base64, the path, a note.
pub const TLOG_PROOF_BYTES_MAX: usize =
    128 + EXTRA_BYTES_MAX.div_ceil(3) * 4 + PATH_HASHES_MAX * 45 + NOTE_BYTES_MAX;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The reason why bytes are not a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    #[error("a proof has at most {TLOG_PROOF_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    #[error("proof is not UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error("first line is not {FIRST_LINE}")]
    Version,
    #[error("extra data is not canonical base64 of 1 to {EXTRA_BYTES_MAX} bytes")]
    Extra,
    #[error("no line of `index` and a decimal without leading zeros")]
    Index,
    #[error("inclusion proof is malformed")]
    Path(#[from] HashesError),
    #[error("checkpoint is not a signed note")]
    Note(#[from] NoteError),
    #[error("note is not a checkpoint")]
    Checkpoint(#[from] CheckpointError),
}

/// The reason why a proof does not show that the entry is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotProved {
    #[error("checkpoint does not hold")]
    Checkpoint(#[from] OpenError),
    #[error("{wanted} cosignatures are wanted, found {found} by known keys")]
    Quorum { wanted: usize, found: usize },
    #[error("entry is not in the tree")]
    Inclusion(#[from] ProofError),
}

/// The demands on a proof: the log, its key, the accepted cosigners and their quorum.
#[derive(Debug, Clone, Copy)]
pub struct ProofPolicy<'a> {
    pub origin: &'a Origin,
    pub log: &'a NoteVerifier,
    pub cosigners: &'a [NoteVerifier],
    /// The number of different keys among `cosigners` that must have cosigned; the log's own never
    /// counts.
    pub quorum: usize,
}

/// Leaf index, inclusion path and checkpoint of one entry. Well formed, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    extra: Vec<u8>,
    index: LeafIndex,
    path: Vec<TreeHash>,
    checkpoint: Checkpoint,
    note: Note,
}

impl TlogProof {
    /// A proof without extra data. `path` goes from the leaf's sibling up.
    pub fn new(index: LeafIndex, path: Vec<TreeHash>, note: Note) -> Result<Self, TlogProofError> {
        if path.len() > PATH_HASHES_MAX {
            return Err(HashesError::TooMany(PATH_HASHES_MAX).into());
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { extra: Vec::new(), index, path, checkpoint, note })
    }

    /// This proof with extra data, which nobody vouches for.
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<Self, TlogProofError> {
        if !(1..=EXTRA_BYTES_MAX).contains(&extra.len()) {
            return Err(TlogProofError::Extra);
        }
        self.extra = extra;
        Ok(self)
    }

    /// Reads a proof. What it accepts, [`TlogProof::to_bytes`] gives back byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > TLOG_PROOF_BYTES_MAX {
            return Err(TlogProofError::Length(bytes.len()));
        }
        let mut rest = std::str::from_utf8(bytes)
            .map_err(|error| TlogProofError::Utf8(error.valid_up_to()))?;
        if lines::next_line(&mut rest) != Some(FIRST_LINE) {
            return Err(TlogProofError::Version);
        }
        let mut line = lines::next_line(&mut rest).ok_or(TlogProofError::Index)?;
        let extra = line.strip_prefix("extra ");
        if extra.is_some() {
            line = lines::next_line(&mut rest).ok_or(TlogProofError::Index)?;
        }
        let index =
            line.strip_prefix("index ").and_then(lines::decimal).ok_or(TlogProofError::Index)?;
        let path = lines::hashes(&mut rest, PATH_HASHES_MAX)?;
        let proof = Self::new(LeafIndex::new(index), path, Note::parse(rest.as_bytes())?)?;
        match extra {
            Some(extra) => {
                proof.with_extra(STANDARD.decode(extra).map_err(|_| TlogProofError::Extra)?)
            }
            None => Ok(proof),
        }
    }

    /// Returns the extra data, which nothing authenticates; empty if there is none.
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// Returns the leaf index that the proof claims for the entry.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// From the leaf's sibling up.
    pub fn path(&self) -> &[TreeHash] {
        &self.path
    }

    /// Returns the checkpoint of the note, unverified.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub fn note(&self) -> &Note {
        &self.note
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Checks that the log signed the checkpoint, that enough cosigners did, and that the leaf stands
    /// in its tree at the index. Gives the checkpoint with the lines that are good.
    pub fn verify(
        &self,
        leaf: &TreeHash,
        policy: ProofPolicy<'_>,
    ) -> Result<SignedCheckpoint, NotProved> {
        let ProofPolicy { origin, log, cosigners, quorum } = policy;
        let signed = SignedCheckpoint::of_note(&self.note, log, cosigners, origin)?;
        let found = distinct_keys(&signed, log, cosigners);
        if found < quorum {
            return Err(NotProved::Quorum { wanted: quorum, found });
        }
        let head = signed.checkpoint().head();
        verify_inclusion(leaf, self.index, head.size, &self.path, &head.root)?;
        Ok(signed)
    }
}

/// Counts the keys that cosigned; one key under two names counts once.
fn distinct_keys(
    signed: &SignedCheckpoint,
    log: &NoteVerifier,
    cosigners: &[NoteVerifier],
) -> usize {
    let of = |name, key_id| {
        cosigners.iter().find(|known| known.name() == name && known.key_id() == key_id)
    };
    let keys: BTreeSet<_> = signed
        .cosignatures()
        .iter()
        .filter_map(|line| of(&line.name, line.key_id))
        .map(|cosigner| cosigner.verifying_key().to_bytes())
        .filter(|key| key != log.verifying_key().as_bytes())
        .collect();
    keys.len()
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", STANDARD.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", lines::hash_line(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::TreeSize;
    use crate::merkle::tests::leaves;
    use crate::merkle::{
        CosignatureTime, Cosigner, NoteSigner, OpenError, SignatureType, TileTree, VerifyError,
    };
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    const LEAVES: u64 = 11;

    fn signer() -> NoteSigner {
        NoteSigner::new("npa.go.jp/journal".parse().unwrap(), SigningKey::from_bytes(&[1; 32]))
    }

    fn cosigner(name: &str, seed: u8) -> Cosigner {
        Cosigner::new(name.parse().unwrap(), SigningKey::from_bytes(&[seed; 32]))
    }

    /// A proof for one leaf of a tree of eleven, cosigned by these.
    fn proof(index: u64, cosigners: &[Cosigner]) -> TlogProof {
        let all = leaves(LEAVES);
        let tree: TileTree = all.iter().copied().collect();
        let origin = Origin::from(signer().name());
        let checkpoint = Checkpoint::new(origin, tree.head()).unwrap();
        let at = CosignatureTime::from_unix_seconds(1_795_338_843).unwrap();
        let lines = cosigners.iter().map(|cosigner| cosigner.cosign(&checkpoint, at));
        let note = SignedCheckpoint::sign(checkpoint.clone(), &signer()).note().clone();
        let note = note.with_signatures(lines.collect::<Vec<_>>()).unwrap();
        let index = LeafIndex::new(index);
        TlogProof::new(index, tree.inclusion(&all, index, tree.size()).unwrap(), note).unwrap()
    }

    fn verify(
        proof: &TlogProof,
        leaf: u64,
        cosigners: &[Cosigner],
        quorum: usize,
    ) -> Result<SignedCheckpoint, NotProved> {
        let origin = Origin::from(signer().name());
        let cosigners: Vec<_> = cosigners.iter().map(NoteVerifier::from).collect();
        let (log, cosigners) = (&(&signer()).into(), cosigners.as_slice());
        let policy = ProofPolicy { origin: &origin, log, cosigners, quorum };
        proof.verify(&leaves(LEAVES)[leaf as usize], policy)
    }

    #[test]
    fn a_proof_is_its_version_index_path_and_checkpoint() {
        let proof = proof(10, &[]);
        let lines: Vec<String> = proof.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[..2], ["c2sp.org/tlog-proof@v1", "index 10"]);
        assert_eq!((lines[2].len(), lines[4].as_str()), (44, ""));
        assert_eq!(lines[5..7], ["npa.go.jp/journal", "11"]);
        let extra = proof.clone().with_extra(vec![0, 1, 2]).unwrap();
        assert!(extra.to_string().starts_with("c2sp.org/tlog-proof@v1\nextra AAEC\nindex 10\n"));
        for proof in [proof, extra] {
            assert_eq!(TlogProof::parse(&proof.to_bytes()), Ok(proof.clone()));
        }
    }

    #[test]
    fn every_leaf_is_proved_at_its_place_and_nowhere_else() {
        for index in 0..LEAVES {
            let proof = proof(index, &[]);
            for leaf in 0..LEAVES {
                assert_eq!(verify(&proof, leaf, &[], 0).is_ok(), leaf == index);
            }
            let moved = TlogProof { index: LeafIndex::new((index + 1) % LEAVES), ..proof };
            assert!(matches!(verify(&moved, index, &[], 0), Err(NotProved::Inclusion(_))));
        }
        let beyond = TlogProof { index: LeafIndex::new(LEAVES), ..proof(0, &[]) };
        assert!(matches!(verify(&beyond, 0, &[], 0), Err(NotProved::Inclusion(_))));
    }

    #[test]
    fn a_quorum_is_of_different_known_keys_that_are_not_the_logs() {
        let known = [cosigner("a", 2), cosigner("b", 3), cosigner("b2", 3), cosigner("log", 1)];
        let strange = cosigner("c", 4);
        let both = proof(3, &[known[0].clone(), known[1].clone(), strange.clone()]);
        assert_eq!(verify(&both, 3, &known, 2).unwrap().cosignatures().len(), 2);
        let short = |found| Err(NotProved::Quorum { wanted: 2, found });
        assert_eq!(verify(&proof(3, &[known[0].clone(), strange]), 3, &known, 2), short(1));
        // One key under two names, and the log's own.
        assert_eq!(verify(&proof(3, &known[1..]), 3, &known, 2), short(1));
        assert_eq!(verify(&proof(3, &known[3..]), 3, &known, 2), short(0));
    }

    #[test]
    fn another_log_another_key_and_another_origin_are_refused() {
        let (proof, leaf) = (proof(3, &[]), leaves(LEAVES)[3]);
        let ours = NoteVerifier::from(&signer());
        let other = "npa.go.jp/feed/jc3.or.jp".parse().unwrap();
        let policy = ProofPolicy { origin: &other, log: &ours, cosigners: &[], quorum: 0 };
        let refused = proof.verify(&leaf, policy);
        assert!(matches!(refused, Err(NotProved::Checkpoint(OpenError::Origin { .. }))));
        let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
        let name = signer().name().clone();
        let stranger = NoteVerifier::new(name, SignatureType::Ed25519, key.as_bytes()).unwrap();
        let origin = Origin::from(signer().name());
        let policy = ProofPolicy { origin: &origin, log: &stranger, cosigners: &[], quorum: 0 };
        let refused = proof.verify(&leaf, policy);
        let Err(NotProved::Checkpoint(OpenError::Verify { source, .. })) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(source, VerifyError::NoKnownKey { signatures: 1, known: 1 });
    }

    #[test]
    fn what_would_not_print_back_is_refused() {
        let good = proof(3, &[]).with_extra(vec![1; 4]).unwrap().to_string();
        assert!(TlogProof::parse(good.as_bytes()).is_ok());
        for (from, to) in [
            ("@v1", "@v2"),
            ("@v1\n", "@v1\r\n"),
            ("index 3", "index 03"),
            ("index 3", "index  3"),
            ("index 3\n", ""),
            ("index 3\n", "index 3\n\n"),
            ("extra AQEBAQ==", "extra AQEBAR=="),
            ("extra AQEBAQ==", "extra AQEBAQ"),
            ("extra AQEBAQ==", "extra "),
            ("extra AQEBAQ==\n", "extra AQEBAQ==\nextra AQEBAQ==\n"),
            ("\n\n", "\n"),
            ("\n\n", "\nAAAA\n\n"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(bad != good && TlogProof::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let long = vec![b'a'; TLOG_PROOF_BYTES_MAX + 1];
        assert_eq!(TlogProof::parse(&long), Err(TlogProofError::Length(long.len())));
    }

    #[test]
    fn every_change_of_one_byte_is_refused_or_says_the_same() {
        let cosigners = [cosigner("jc3.or.jp/witness", 2)];
        let good = proof(3, &cosigners);
        let (bytes, verified) = (good.to_bytes(), verify(&good, 3, &cosigners, 1).unwrap());
        assert_eq!(verified.checkpoint().size(), TreeSize::new(LEAVES));
        for at in 0..bytes.len() {
            for flip in [1, 4, 32, 128] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let Ok(changed) = TlogProof::parse(&changed) else { continue };
                assert!(verify(&changed, 3, &cosigners, 1).is_err(), "byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_back(
            index in 0..LEAVES, extra: Option<[u8; 5]>, at: prop::sample::Index, with: u8, cut: bool,
        ) {
            let proof = proof(index, &[]);
            let proof = match extra {
                Some(extra) => proof.with_extra(extra.to_vec()).unwrap(),
                None => proof,
            };
            let mut bytes = proof.to_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = with }
            if let Ok(back) = TlogProof::parse(&bytes) {
                prop_assert_eq!(back.to_bytes(), bytes);
            }
        }
    }
}
