//! A checkpoint with its log's signature, made or verified: the only kind that may be stored,
//! published or proved against.
//!
//! What [`SignedCheckpoint::open`] gives back holds only lines that it verified. A line that nobody
//! has checked must never be kept: stored beside good ones it can make a note that no longer opens.

use super::checkpoint::{Checkpoint, CheckpointError, Origin};
use super::cosignature::CosignatureTime;
use super::key::{NoteKeyId, NoteKeyName};
use super::note::{Note, NoteError, NoteSignature};
use super::signer::NoteSigner;
use super::verifier::{NoteVerifier, VerifiedLine, VerifyError, verify_note};

/// The reason why bytes are not a checkpoint signed by the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("not a signed note")]
    Note(#[from] NoteError),
    #[error("not a checkpoint")]
    Checkpoint(#[from] CheckpointError),
    #[error("checkpoint is of {found}, wanted one of {wanted}")]
    Origin { found: Origin, wanted: Origin },
    #[error("signatures on the checkpoint of {origin} do not hold")]
    Verify { origin: Origin, source: VerifyError },
    #[error("checkpoint of {origin} is not signed by {log}")]
    LogSignature { origin: Origin, log: NoteKeyName },
}

/// A cosigner of a checkpoint, and the time that it gives for its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    pub name: NoteKeyName,
    pub key_id: NoteKeyId,
    pub at: CosignatureTime,
}

impl Cosignature {
    /// `None` for a line that is not a cosignature.
    fn of(line: &VerifiedLine<'_>) -> Option<Self> {
        let (name, key_id) = (line.verifier.name().clone(), line.verifier.key_id());
        Some(Self { name, key_id, at: line.cosigned_at? })
    }
}

/// A checkpoint, and a note over it with the log's line and perhaps cosignatures, all verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
    cosignatures: Vec<Cosignature>,
}

impl SignedCheckpoint {
    pub fn sign(checkpoint: Checkpoint, log: &NoteSigner) -> Self {
        let text = checkpoint.to_text();
        let line = log.sign(&text);
        let note = Note::new(text, vec![line])
            .expect("three short lines and one signature are within the size of a note");
        Self { checkpoint, note, cosignatures: Vec::new() }
    }

    /// Reads a note and checks that it is a checkpoint of `origin`, that `log` signed it, and that
    /// every line by one of the `cosigners` is good. Lines of other keys are left out.
    pub fn open(
        bytes: &[u8],
        log: &NoteVerifier,
        cosigners: &[NoteVerifier],
        origin: &Origin,
    ) -> Result<Self, OpenError> {
        Self::of_note(&Note::parse(bytes)?, log, cosigners, origin)
    }

    /// Like [`SignedCheckpoint::open`], from a note that was read already.
    pub fn of_note(
        note: &Note,
        log: &NoteVerifier,
        cosigners: &[NoteVerifier],
        origin: &Origin,
    ) -> Result<Self, OpenError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != origin {
            let found = checkpoint.origin().clone();
            return Err(OpenError::Origin { found, wanted: origin.clone() });
        }
        let known: Vec<_> = std::iter::once(log).chain(cosigners).cloned().collect();
        let lines = verify_note(note, &known)
            .map_err(|source| OpenError::Verify { origin: origin.clone(), source })?;
        if !lines.iter().any(|line| line.verifier == log) {
            let log = log.name().clone();
            return Err(OpenError::LogSignature { origin: origin.clone(), log });
        }
        let cosignatures = lines.iter().filter_map(Cosignature::of).collect();
        let signatures = lines.iter().map(|line| line.signature.clone()).collect();
        let note = Note::new(note.text().clone(), signatures)?;
        Ok(Self { checkpoint, note, cosignatures })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with verified lines only.
    pub fn note(&self) -> &Note {
        &self.note
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_bytes()
    }

    /// The cosignatures among the lines of the note, in their order.
    pub fn cosignatures(&self) -> &[Cosignature] {
        &self.cosignatures
    }

    /// This checkpoint with a further line, which is verified; one of the same key that is there
    /// already is replaced, as a fresher cosignature replaces an older one.
    pub fn with_cosignature(
        self,
        line: NoteSignature,
        cosigner: &NoteVerifier,
    ) -> Result<Self, OpenError> {
        let Self { checkpoint, note, mut cosignatures } = self;
        let alone = Note::new(note.text().clone(), vec![line])?;
        let verified = verify_note(&alone, std::slice::from_ref(cosigner))
            .map_err(|source| OpenError::Verify { origin: checkpoint.origin().clone(), source })?;
        cosignatures.retain(|c| c.key_id != cosigner.key_id() || c.name != *cosigner.name());
        cosignatures.extend(verified.iter().filter_map(Cosignature::of));
        let kept = note.signatures().iter().filter(|other| !cosigner.is_named_by(other));
        let signatures = kept.chain(alone.signatures()).cloned().collect();
        let note = Note::new(note.text().clone(), signatures)?;
        Ok(Self { checkpoint, note, cosignatures })
    }
}
