//! Requests and answers between a log and a witness (C2SP tlog-witness, `add-checkpoint`): their
//! bodies, read and written without a transport.
//!
//! Reading is strict: bytes that would not print back to themselves are refused. Nothing here has
//! been verified: neither the signatures of the checkpoint nor the proof, and what the witness knew
//! before is not known here.

use std::fmt;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::lines::{self, HashesError};
use super::note::{NOTE_BYTES_MAX, Note, NoteError, NoteSignature};
use crate::ident::{TreeHash, TreeSize};

/// Most lines of proof in a request: the protocol's own bound, which every tree of up to 2^62 leaves
/// keeps.
pub const ADD_CHECKPOINT_HASHES_MAX: usize = 63;

/// Longest request in bytes: the old size, all lines of proof, an empty line, a note.
pub const ADD_CHECKPOINT_BYTES_MAX: usize =
    "old \n".len() + 20 + ADD_CHECKPOINT_HASHES_MAX * 45 + 1 + NOTE_BYTES_MAX;

/// The reason why bytes are not an `add-checkpoint` request. All of these are the sender's fault
/// (status 400).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddCheckpointError {
    #[error("a request has at most {ADD_CHECKPOINT_BYTES_MAX} bytes, found {0}")]
    Length(usize),
    #[error("request is not UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error("first line is not `old` and a size in decimal without leading zeros")]
    OldSize,
    #[error("consistency proof is malformed")]
    Proof(#[from] HashesError),
    #[error("checkpoint is not a signed note")]
    Note(#[from] NoteError),
    #[error("note is not a checkpoint")]
    Checkpoint(#[from] CheckpointError),
    #[error("old size {old} is above the checkpoint's {size}")]
    OldLarger { old: TreeSize, size: TreeSize },
}

/// A request to cosign a checkpoint: the size that the witness is thought to have cosigned last (0
/// for none), the consistency proof from there, and the checkpoint's note. Well formed, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: TreeSize,
    proof: Vec<TreeHash>,
    checkpoint: Checkpoint,
    note: Note,
}

impl AddCheckpoint {
    pub fn new(
        old: TreeSize,
        proof: Vec<TreeHash>,
        note: Note,
    ) -> Result<Self, AddCheckpointError> {
        if proof.len() > ADD_CHECKPOINT_HASHES_MAX {
            return Err(HashesError::TooMany(ADD_CHECKPOINT_HASHES_MAX).into());
        }
        let checkpoint = Checkpoint::parse(note.text())?;
        if old > checkpoint.size() {
            return Err(AddCheckpointError::OldLarger { old, size: checkpoint.size() });
        }
        Ok(Self { old, proof, checkpoint, note })
    }

    /// Reads a body. What it accepts, [`AddCheckpoint::to_bytes`] gives back byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, AddCheckpointError> {
        if bytes.len() > ADD_CHECKPOINT_BYTES_MAX {
            return Err(AddCheckpointError::Length(bytes.len()));
        }
        let mut rest = std::str::from_utf8(bytes)
            .map_err(|error| AddCheckpointError::Utf8(error.valid_up_to()))?;
        let old = lines::next_line(&mut rest)
            .and_then(|line| line.strip_prefix("old "))
            .and_then(lines::decimal)
            .ok_or(AddCheckpointError::OldSize)?;
        let proof = lines::hashes(&mut rest, ADD_CHECKPOINT_HASHES_MAX)?;
        Self::new(TreeSize::new(old), proof, Note::parse(rest.as_bytes())?)
    }

    /// Size that the proof starts from; at most the checkpoint's.
    pub fn old(&self) -> TreeSize {
        self.old
    }

    /// Consistency proof from the old size; of any length up to the maximum, also where it must be
    /// empty.
    pub fn proof(&self) -> &[TreeHash] {
        &self.proof
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
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", lines::hash_line(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

/// The body of a witness's answer: its signature lines, at least one, as [`NoteSignature::parse_lines`]
/// reads them.
pub fn signature_lines(lines: &[NoteSignature]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The body of the answer to a request with another old size than the witness's: the size that it
/// cosigned last (`text/x.tlog.size`).
pub fn size_line(size: TreeSize) -> String {
    format!("{size}\n")
}

/// Reads what [`size_line`] writes.
pub fn parse_size_line(body: &[u8]) -> Option<TreeSize> {
    let line = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    lines::decimal(line).map(TreeSize::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::tests::shared;
    use crate::merkle::{
        Cosigner, NoteSigner, NoteVerifier, SignedCheckpoint, TREE_SIZE_MAX, TreeHead,
        verify_consistency, verify_note,
    };
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    fn note(size: u64) -> Note {
        let signer = NoteSigner::new("npa.go.jp/journal".parse().unwrap(), key());
        let head = TreeHead { size: TreeSize::new(size), root: TreeHash::from_bytes([9; 32]) };
        let checkpoint = Checkpoint::new("npa.go.jp/journal".parse().unwrap(), head).unwrap();
        SignedCheckpoint::sign(checkpoint, &signer).note().clone()
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn request(old: u64, hashes: usize) -> Result<AddCheckpoint, AddCheckpointError> {
        let proof = vec![TreeHash::from_bytes([7; 32]); hashes];
        AddCheckpoint::new(TreeSize::new(old), proof, note(9))
    }

    #[test]
    fn a_request_is_old_size_proof_empty_line_and_note() {
        let hash = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
        let text = request(5, 2).unwrap().to_string();
        assert_eq!(text, format!("old 5\n{hash}{hash}\n{}", note(9)));
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), request(5, 2));
        assert_eq!(request(0, 0).unwrap().to_string(), format!("old 0\n\n{}", note(9)));
    }

    #[test]
    fn the_old_size_is_at_most_the_checkpoints_and_the_proof_at_most_63_lines() {
        let (old, size) = (TreeSize::new(10), TreeSize::new(9));
        assert_eq!(request(10, 0), Err(AddCheckpointError::OldLarger { old, size }));
        assert!(request(9, 63).is_ok());
        assert_eq!(request(9, 64), Err(HashesError::TooMany(63).into()));
        let line = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
        let body = format!("old 1\n{}\n{}", line.repeat(64), note(9));
        assert_eq!(AddCheckpoint::parse(body.as_bytes()), Err(HashesError::TooMany(63).into()));
        let long = vec![b'a'; ADD_CHECKPOINT_BYTES_MAX + 1];
        assert_eq!(AddCheckpoint::parse(&long), Err(AddCheckpointError::Length(long.len())));
    }

    #[test]
    fn what_would_not_print_back_is_refused() {
        let good = format!("old 5\n\n{}", note(9));
        assert!(AddCheckpoint::parse(good.as_bytes()).is_ok());
        for (from, to) in [
            ("old 5", "old 05"),
            ("old 5", "old +5"),
            ("old 5", "old  5"),
            ("old 5", "old 5 "),
            ("old 5", "old"),
            ("old 5", "Old 5"),
            ("old 5", "old 5\r"),
            ("old 5\n", ""),
            ("old 5\n\n", "old 5\n"),
            ("old 5\n", "old 5\n\n"),
            ("old 5\n", "old 5\nAAAA\n"),
            ("\n9\n", "\n09\n"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(AddCheckpoint::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn answers_print_and_parse_back() {
        let cosigner = Cosigner::new("jc3.or.jp/witness".parse().unwrap(), key());
        let (request, at) = (request(0, 0).unwrap(), "2026-03-01T10:00:00Z");
        let at: crate::ident::Timestamp = at.parse().unwrap();
        let line = cosigner.cosign(request.checkpoint(), at.into());
        let body = signature_lines(&[line.clone(), line.clone()]);
        assert_eq!(NoteSignature::parse_lines(body.as_bytes()), Ok(vec![line.clone(), line]));
        for bad in ["", "\n", &body[..body.len() - 1], &format!("{body}\n"), &format!("\n{body}")] {
            assert!(NoteSignature::parse_lines(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(parse_size_line(size_line(TREE_SIZE_MAX).as_bytes()), Some(TREE_SIZE_MAX));
        for bad in ["", "\n", "3", "03\n", "3\n\n", " 3\n", "3\r\n"] {
            assert_eq!(parse_size_line(bad.as_bytes()), None, "{bad:?}");
        }
    }

    /// The bodies between the fences of the script, each with the status that it must get.
    fn scripted() -> Option<Vec<(String, u16)>> {
        let script = std::fs::read_to_string(shared("tlog/litewitness")?.join("litewitness.txt"));
        let script = script.unwrap();
        let requests = script.split("POST http").skip(1).map(|request| {
            let (_, request) = request.split_once("```\n").unwrap();
            let (body, answer) = request.split_once("```\nHTTP ").unwrap();
            (body.to_owned(), answer[..3].parse().unwrap())
        });
        Some(requests.collect())
    }

    /// Their log signs with key `ffdc2d4d...100f`, given there for a Sigsum log.
    const SCRIPTED_ORIGIN: &str =
        "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    const SCRIPTED_KEY: [u8; 32] = [
        0xff, 0xdc, 0x2d, 0x4d, 0x98, 0xe4, 0x12, 0x4d, 0x3f, 0xea, 0xf7, 0x88, 0xc0, 0xc2, 0xf9,
        0xab, 0xfd, 0x79, 0x60, 0x83, 0xd1, 0xf0, 0x49, 0x54, 0x37, 0xf3, 0x02, 0xec, 0x79, 0xcf,
        0x10, 0x0f,
    ];

    /// Returns the status with which a witness with this head answers, by the parts of this module.
    fn status(request: &AddCheckpoint, known: &mut TreeHead) -> u16 {
        use crate::merkle::SignatureType::Ed25519;
        let name = SCRIPTED_ORIGIN.parse().unwrap();
        let log = NoteVerifier::new(name, Ed25519, &SCRIPTED_KEY).unwrap();
        let new = request.checkpoint().head();
        if request.checkpoint().origin().as_str() != SCRIPTED_ORIGIN
            || verify_note(request.note(), std::slice::from_ref(&log)).is_err()
        {
            return 403;
        }
        if request.old() != known.size {
            return 409;
        }
        let extends = match request.old().get() {
            0 => request.proof().is_empty(),
            _ => verify_consistency(known, &new, request.proof()).is_ok(),
        };
        if extends {
            *known = new;
        }
        if extends { 200 } else { 422 }
    }

    #[test]
    fn the_requests_of_another_implementations_script_get_the_status_that_it_wants() {
        let Some(requests) = scripted() else { return };
        assert_eq!(requests.len(), 9);
        let mut known = TreeHead::EMPTY;
        for (number, (body, wanted)) in requests.iter().enumerate() {
            let request = AddCheckpoint::parse(body.as_bytes());
            // Its signature was made wrong by a last character with padding bits, which is no longer
            // canonical base64: refused before any key is asked.
            if number == 1 {
                assert_eq!(request, Err(NoteError::LineBase64(1).into()));
                continue;
            }
            let request = request.unwrap();
            assert_eq!(request.to_bytes(), body.as_bytes());
            assert_eq!(status(&request, &mut known), *wanted, "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_back(
            old in 0..=9_u64, hashes in 0..4_usize, at: prop::sample::Index, with: u8, cut: bool,
        ) {
            let mut bytes = request(old, hashes).unwrap().to_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = with }
            if let Ok(back) = AddCheckpoint::parse(&bytes) {
                prop_assert_eq!(back.to_bytes(), bytes);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = AddCheckpoint::parse(&[b"old 1\n", bytes.as_slice()].concat());
        }
    }
}
