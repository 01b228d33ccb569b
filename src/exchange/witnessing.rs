//! Cosignatures between the two journals: asking for ours, passing on the partner's question, and
//! finding out at the beginning of a stream whether this node lost entries.
//!
//! Each answer is an entry in two journals, so it is asked for sparingly: when the journal grew by
//! something other than cosignatures, and not more often than the pace allows.

use super::fault::{Evidence, Fault, Misbehaviour, OwnFault};
use super::output::{Alert, Output};
use super::pair::{OwnLine, Pair};
use super::signed_time::SignedTime;
use crate::ident::{Timestamp, TreeHash, TreeSize};
use crate::merkle::{
    Checkpoint, Note, PROOF_HASHES_MAX, ShownCheckpoint, SignedCheckpoint, TreeHead, WitnessRefusal,
};
use crate::pb;
use crate::pb::exchange_frame::Body;

/// The size of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalSize {
    pub size: TreeSize,
    /// Its size after the last entry that is not about cosignatures.
    pub substance: TreeSize,
}

/// The durable state of this node about cosignatures when a stream begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WitnessStanding {
    pub journal: JournalSize,
    /// The newest checkpoint of the partner's journal that we cosigned; empty if none.
    pub witnessed_note: Vec<u8>,
    /// The newest checkpoint of our journal that the partner cosigned; empty if none.
    pub cosigned_note: Vec<u8>,
    /// The largest head of our feed with the partner's receipt; empty if none.
    pub receipted_note: Vec<u8>,
    /// The partner is asked at most once in so many milliseconds.
    pub every_ms: i64,
}

/// The journal's answer to a partner's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Witnessed {
    /// Durably cosigned: the note with the log's line and our cosignature.
    Cosigned(Vec<u8>),
    /// Not cosigned; a contradiction is kept as evidence by then.
    Refused(WitnessRefusal),
}

/// The state of the check of the partner's hello.
enum Start {
    Unknown,
    /// Our root at the size that the partner cosigned was asked for.
    Asked(SignedCheckpoint),
    Settled,
}

/// Our question to the partner.
enum Asking {
    Idle,
    /// The checkpoint and its proof are being brought.
    Loading {
        old: TreeSize,
    },
    /// The answer is awaited. A size that the witness names is tried once.
    Sent {
        old: TreeSize,
        size: TreeSize,
        /// The time of the last entry under the checkpoint.
        made_at: Option<Timestamp>,
        again: bool,
    },
}

pub(super) struct Witnessing {
    standing: WitnessStanding,
    start: Start,
    /// Size of our journal that the partner cosigned last.
    cosigned: TreeSize,
    asking: Asking,
    asked_at: Option<Timestamp>,
    /// The next question goes from the size that the witness named.
    named: bool,
    /// A checkpoint of the partner is with the journal.
    answering: bool,
}

impl Witnessing {
    pub(super) fn new(standing: WitnessStanding) -> Self {
        Self {
            standing,
            start: Start::Unknown,
            cosigned: TreeSize::default(),
            asking: Asking::Idle,
            asked_at: None,
            named: false,
            answering: false,
        }
    }

    pub(super) fn standing(&self) -> &WitnessStanding {
        &self.standing
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.start, Start::Settled)
    }

    /// Takes the two notes of the partner's hello.
    pub(super) fn hello(
        &mut self,
        witnessed_note: &[u8],
        cosigned_note: &[u8],
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        self.check_own_cosignature(cosigned_note, pair, out)?;
        if witnessed_note.is_empty() {
            self.start = Start::Settled;
            return Ok(());
        }
        let witnessed = pair.open_witnessed(witnessed_note).map_err(Misbehaviour::HelloCosigned)?;
        out.push(Output::AskJournalRoot(witnessed.checkpoint().size()));
        self.start = Start::Asked(witnessed);
        Ok(())
    }

    /// Checks that the partner does not hold a cosignature of ours that our journal does not know. One
    /// from before our own logs were succeeded counts as known from now on, so that no second branch
    /// is cosigned.
    fn check_own_cosignature(
        &mut self,
        note: &[u8],
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        if note.is_empty() {
            return Ok(());
        }
        let line = pair.open_own_cosigned(note).map_err(Misbehaviour::HelloCosigned)?;
        let shown = line.signed();
        let cosigned = shown.checkpoint().head();
        let known = head_of(&self.standing.witnessed_note);
        if cosigned.size == known.size && cosigned.root != known.root {
            let refusal = WitnessRefusal::SameSize { shown: Box::new(shown.clone()) };
            return Err(Box::new(Evidence::PartnerJournal(refusal)).into());
        }
        if cosigned.size <= known.size {
            return Ok(());
        }
        let note = shown.to_bytes();
        match line {
            OwnLine::InForce(_) => {
                let known = known.size;
                Err(Box::new(Evidence::OwnCosignatureLost { note, cosigned, known }).into())
            }
            OwnLine::Retired(_) => {
                self.standing.witnessed_note.clone_from(&note);
                out.push(Output::AdoptCosignature { note });
                Ok(())
            }
        }
    }

    /// Takes our own root at the size that the partner cosigned; none if our journal is smaller.
    pub(super) fn root(&mut self, size: TreeSize, root: Option<TreeHash>) -> Result<(), Fault> {
        let Start::Asked(claimed) = std::mem::replace(&mut self.start, Start::Settled) else {
            return Err(OwnFault::Unasked("journal root").into());
        };
        let witnessed = claimed.checkpoint().head();
        if size != witnessed.size {
            return Err(OwnFault::RootSize { found: size, wanted: witnessed.size }.into());
        }
        let note = claimed.to_bytes();
        match root {
            None => {
                let own = self.standing.journal.size;
                Err(Box::new(Evidence::OwnJournalRolledBack { note, witnessed, own }).into())
            }
            Some(own) if own != witnessed.root => {
                Err(Box::new(Evidence::OwnJournalForked { note, witnessed, own }).into())
            }
            Some(_) => {
                self.cosigned = size;
                Ok(())
            }
        }
    }

    /// The journal has this size now.
    pub(super) fn grown(&mut self, journal: JournalSize) {
        self.standing.journal = journal;
    }

    /// Asks for the checkpoint to be shown if it is time.
    pub(super) fn ask(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let is_due = self.asked_at.is_none_or(|asked| {
            now.unix_ms().saturating_sub(asked.unix_ms()) >= self.standing.every_ms
        });
        let is_wanted = self.standing.journal.substance > self.cosigned;
        if self.is_settled() && matches!(self.asking, Asking::Idle) && is_due && is_wanted {
            self.asked_at = Some(now);
            self.load(out);
        }
    }

    fn load(&mut self, out: &mut Vec<Output>) {
        self.asking = Asking::Loading { old: self.cosigned };
        out.push(Output::LoadCheckpoint { old: self.cosigned });
    }

    /// Takes the checkpoint that was asked for and shows it to the partner.
    pub(super) fn loaded(
        &mut self,
        proof: Vec<TreeHash>,
        note: Vec<u8>,
        made_at: Option<Timestamp>,
        out: &mut Vec<Output>,
    ) -> Result<(), OwnFault> {
        let Asking::Loading { old } = self.asking else {
            return Err(OwnFault::Unasked("checkpoint"));
        };
        let size = head_of(&note).size;
        let again = std::mem::take(&mut self.named);
        self.asking = Asking::Sent { old, size, made_at, again };
        out.push(Output::send(Body::AddCheckpoint(pb::AddCheckpoint {
            old_size: old.get(),
            proof: proof.iter().map(|h| bytes::Bytes::copy_from_slice(h.as_bytes())).collect(),
            note: note.into(),
        })));
        Ok(())
    }

    /// Takes the partner's answer to our checkpoint. A cosignature whose time cannot be is refused.
    pub(super) fn answer(
        &mut self,
        answer: &pb::CheckpointAnswer,
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let Asking::Sent { old, size, made_at, again } =
            std::mem::replace(&mut self.asking, Asking::Idle)
        else {
            return Err(Misbehaviour::AnswerUnasked.into());
        };
        let pb::CheckpointAnswer { note, known_size } = answer;
        if note.is_empty() {
            self.not_cosigned(old, TreeSize::new(*known_size), again, out);
            return Ok(());
        }
        let opened = pair.open_witnessed(note).map_err(Misbehaviour::from)?;
        let found = opened.checkpoint().size();
        if found != size {
            return Err(Misbehaviour::AnswerSize { found, wanted: size }.into());
        }
        if let Some(line) = opened.cosignatures().first() {
            let time = SignedTime { signed: line.at, made: made_at, last: None };
            time.check().map_err(Misbehaviour::from)?;
        }
        self.cosigned = size;
        let note = opened.to_bytes();
        self.standing.cosigned_note.clone_from(&note);
        out.push(Output::RecordCosignature { note });
        Ok(())
    }

    fn not_cosigned(&mut self, old: TreeSize, known: TreeSize, again: bool, out: &mut Vec<Output>) {
        let own = self.standing.journal.size;
        if known != old && known <= own && !again {
            self.cosigned = known;
            self.named = true;
            self.load(out);
        } else {
            out.push(Output::Alert(Alert::NotCosigned { known, own }));
        }
    }

    /// Takes a checkpoint of the partner's journal off the stream.
    pub(super) fn shown(
        &mut self,
        request: pb::AddCheckpoint,
        out: &mut Vec<Output>,
    ) -> Result<(), Misbehaviour> {
        if std::mem::replace(&mut self.answering, true) {
            return Err(Misbehaviour::CheckpointTwice);
        }
        let pb::AddCheckpoint { old_size, proof, note } = request;
        if proof.len() > PROOF_HASHES_MAX {
            return Err(Misbehaviour::CheckpointProof);
        }
        let proof = proof
            .iter()
            .map(|hash| TreeHash::try_from(&hash[..]))
            .collect::<Result<_, _>>()
            .map_err(|_| Misbehaviour::CheckpointProof)?;
        let (old, note) = (TreeSize::new(old_size), note.to_vec());
        out.push(Output::Witness(ShownCheckpoint { old, proof, note }));
        Ok(())
    }

    /// Takes the journal's answer to the partner's checkpoint.
    pub(super) fn witnessed(
        &mut self,
        verdict: Witnessed,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        if !std::mem::take(&mut self.answering) {
            return Err(OwnFault::Unasked("verdict on a checkpoint").into());
        }
        let answer = match verdict {
            Witnessed::Cosigned(note) => {
                self.standing.witnessed_note.clone_from(&note);
                pb::CheckpointAnswer { note: note.into(), known_size: 0 }
            }
            Witnessed::Refused(
                refusal @ (WitnessRefusal::SameSize { .. }
                | WitnessRefusal::EmptyRoot { .. }
                | WitnessRefusal::Proof { .. }),
            ) => return Err(Box::new(Evidence::PartnerJournal(refusal)).into()),
            Witnessed::Refused(WitnessRefusal::Conflict { known, .. }) => {
                pb::CheckpointAnswer { known_size: known.get(), ..pb::CheckpointAnswer::default() }
            }
            Witnessed::Refused(refusal) => {
                out.push(Output::Alert(Alert::CheckpointRefused(refusal_name(&refusal))));
                pb::CheckpointAnswer::default()
            }
        };
        out.push(Output::send(Body::CheckpointAnswer(answer)));
        Ok(())
    }
}

const fn refusal_name(refusal: &WitnessRefusal) -> &'static str {
    match refusal {
        WitnessRefusal::UnknownLog => "the log is not witnessed here",
        WitnessRefusal::Frozen => "the log is frozen",
        WitnessRefusal::Malformed(_) => "it is malformed",
        WitnessRefusal::Signature(_) => "its signature does not hold",
        WitnessRefusal::OldBeyondSize { .. } => "it is smaller than the one its proof is from",
        WitnessRefusal::Conflict { .. } => "its proof is from another size",
        WitnessRefusal::Proof { .. } => "its proof does not hold",
        WitnessRefusal::SameSize { .. } | WitnessRefusal::EmptyRoot { .. } => "it contradicts",
    }
}

/// The head in a note of our own store, which was verified before it was stored; the empty tree's
/// for no note.
pub(super) fn head_of(note: &[u8]) -> TreeHead {
    Note::parse(note)
        .ok()
        .and_then(|note| Checkpoint::parse(note.text()).ok())
        .map_or(TreeHead::EMPTY, |checkpoint| checkpoint.head())
}
