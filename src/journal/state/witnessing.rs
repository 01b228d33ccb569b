//! The journal's state about cosignatures: those given and received, added witnesses, and logs that
//! contradicted themselves.
//!
//! One entry a log and one a witness, so it stays small. A contradiction is never taken back.

use crate::ident::{AgencyName, Timestamp};
use crate::journal::JournalError;
use crate::merkle::{Checkpoint, Note, NoteVerifier, TreeHead};
use crate::pb;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Witnesses beside partners at the most: each is asked about every checkpoint.
pub const WITNESSES_MAX: usize = 16;

/// A checkpoint with a cosignature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    pub head: TreeHead,
    /// Signed note with the log's line and the cosignature.
    pub note: Bytes,
    /// The time at which the journal took it in.
    pub at: Timestamp,
}

/// A log that showed two histories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundContradiction {
    pub partner: Option<AgencyName>,
    pub kind: pb::Contradiction,
    pub journal_index: u64,
    pub at: Timestamp,
}

/// A witness that is not a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedWitness {
    pub verifier: NoteVerifier,
    pub url: String,
}

/// Everything about cosignatures that the entries so far add up to.
#[derive(Debug, Clone, Default)]
pub struct Witnessing {
    /// By origin: what this node cosigned last.
    pub given: BTreeMap<String, Cosigned>,
    /// By the name of the witness's key: the newest checkpoint of ours that it cosigned.
    pub received: BTreeMap<String, Cosigned>,
    /// By origin: the first contradiction.
    pub contradictions: BTreeMap<String, FoundContradiction>,
    /// By the name of its key.
    pub added: BTreeMap<String, AddedWitness>,
}

impl Witnessing {
    /// Returns true if any log of a partner contradicted itself.
    pub fn is_frozen(&self, agency: &AgencyName) -> bool {
        self.contradictions.values().any(|found| found.partner.as_ref() == Some(agency))
    }

    /// Returns the head of a log that this node cosigned last.
    pub fn known(&self, origin: &str) -> TreeHead {
        self.given.get(origin).map_or(TreeHead::EMPTY, |cosigned| cosigned.head)
    }

    pub(in crate::journal) fn give(
        &mut self,
        index: u64,
        at: Timestamp,
        given: &pb::CosignatureGiven,
    ) -> Result<(), JournalError> {
        let cosigned = cosigned(index, at, &given.note)?;
        self.given.insert(given.origin.clone(), cosigned);
        Ok(())
    }

    pub(in crate::journal) fn receive(
        &mut self,
        index: u64,
        at: Timestamp,
        received: &pb::CosignatureReceived,
    ) -> Result<(), JournalError> {
        let cosigned = cosigned(index, at, &received.note)?;
        self.received.insert(received.witness.clone(), cosigned);
        Ok(())
    }

    pub(in crate::journal) fn contradict(
        &mut self,
        index: u64,
        at: Timestamp,
        found: &pb::ContradictionFound,
    ) {
        self.contradictions.entry(found.origin.clone()).or_insert_with(|| FoundContradiction {
            partner: found.partner.parse().ok(),
            kind: found.kind(),
            journal_index: index,
            at,
        });
    }

    pub(in crate::journal) fn add(
        &mut self,
        index: u64,
        added: &pb::WitnessAdded,
    ) -> Result<(), JournalError> {
        let verifier: NoteVerifier = added
            .vkey
            .parse()
            .map_err(|error: crate::merkle::KeyError| broken(index, error.to_string()))?;
        let name = verifier.name().to_string();
        self.added.insert(name, AddedWitness { verifier, url: added.url.clone() });
        Ok(())
    }
}

fn broken(index: u64, reason: String) -> JournalError {
    JournalError::Entry { index, reason }
}

/// The note was verified before it was journaled.
fn cosigned(index: u64, at: Timestamp, note: &Bytes) -> Result<Cosigned, JournalError> {
    let parsed = Note::parse(note).map_err(|error| broken(index, error.to_string()))?;
    let checkpoint =
        Checkpoint::parse(parsed.text()).map_err(|error| broken(index, error.to_string()))?;
    Ok(Cosigned { head: checkpoint.head(), note: note.clone(), at })
}
