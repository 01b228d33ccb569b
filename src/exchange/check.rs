//! Judging a batch of a partner's feed: the head, then every entry for itself.
//!
//! A head that does not hold condemns the batch. An entry that does not hold is not taken and the
//! rest goes on: a feed cannot take a leaf back, so to refuse the whole batch would end it for
//! ever. This is the only expensive step of a session; it runs wherever the driver wants.

use super::batch::Batch;
use super::entry::{FeedAction, FeedEntry};
use super::exception::{Exception, Reason};
use super::pair::Pair;
use crate::ident::{LeafIndex, TreeHash, TreeSize};
use crate::merkle::{Frontier, OpenError, SignedCheckpoint, TreeHead, leaf_hash};
use crate::pb;
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::signed::{KeyRing, RecordError, Signed, Verified, VerifiedRoots};
use bytes::Bytes;
use std::sync::Arc;

/// The decisions of this node itself on the records that a partner sends.
pub trait Acceptance {
    /// Returns true if its own policy takes a record from this partner.
    fn accepts(&mut self, header: &Header) -> bool;
}

/// The inputs of a check besides the batch.
pub struct CheckContext<'a, K, A> {
    pub pair: &'a Pair,
    pub keys: &'a K,
    /// Remembers signatures between batches.
    pub roots: &'a mut VerifiedRoots,
    pub acceptance: &'a mut A,
}

/// The reason for refusing a whole batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    #[error("batch from entry {found}, wanted from {wanted}")]
    Start { found: LeafIndex, wanted: TreeSize },
    #[error("note of the batch does not hold")]
    Note(#[from] OpenError),
    #[error("note is for {found} entries, wanted {wanted}")]
    NoteSize { found: TreeSize, wanted: TreeSize },
    #[error("root {} is signed at {} entries, the entries lead to {computed}", .signed.root, .signed.size)]
    Fork { note: Vec<u8>, signed: TreeHead, computed: TreeHash },
}

/// An entry that holds, with the record that it discloses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub index: LeafIndex,
    pub entry: FeedEntry,
    /// There if and only if the entry's action carries a record.
    pub record: Option<Arc<Verified>>,
    /// `false` for a withdrawal alone, which is a duty too: policy takes no record of its marking, and
    /// the writer judges it by what the partner gave.
    pub is_accepted: bool,
}

/// A batch that may be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBatch {
    /// Index of the first entry.
    pub start: LeafIndex,
    /// The entries as they are hashed.
    pub entries: Vec<Bytes>,
    /// The right edge of the partner's feed after the batch.
    pub frontier: Frontier,
    /// The partner's head over it, verified.
    pub head: SignedCheckpoint,
    /// In the order of the feed. Every entry is either here or among the exceptions. Duties are here
    /// whatever they name: the writer judges them ([`super::duty`]).
    pub taken: Vec<Taken>,
    pub exceptions: Vec<Exception>,
}

/// Checks a batch against the partner's feed as it stands at `frontier`.
pub fn check_batch<K: KeyRing, A: Acceptance>(
    context: &mut CheckContext<'_, K, A>,
    frontier: Frontier,
    batch: Batch,
) -> Result<CheckedBatch, BatchFault> {
    let (frontier, head) = check_head(context.pair, frontier, &batch)?;
    let start = batch.start();
    let range = batch.range();
    let pb::FeedBatch { entries, envelopes, .. } = batch.into_wire();
    let (mut taken, mut exceptions) = (Vec::with_capacity(entries.len()), Vec::new());
    for (index, (entry, envelope)) in range.map(LeafIndex::new).zip(entries.iter().zip(envelopes)) {
        match context.judge(entry, envelope) {
            Ok((entry, record, is_accepted)) => {
                taken.push(Taken { index, entry, record, is_accepted });
            }
            Err((reason, detail)) => exceptions.push(Exception::new(index, reason, &detail)),
        }
    }
    Exception::share_space(&mut exceptions);
    Ok(CheckedBatch { start, entries, frontier, head, taken, exceptions })
}

fn check_head(
    pair: &Pair,
    mut frontier: Frontier,
    batch: &Batch,
) -> Result<(Frontier, SignedCheckpoint), BatchFault> {
    if frontier.size().get() != batch.start().get() {
        return Err(BatchFault::Start { found: batch.start(), wanted: frontier.size() });
    }
    let head = pair.open_partner_head(batch.note())?;
    let signed = head.checkpoint().head();
    if signed.size != batch.end() {
        return Err(BatchFault::NoteSize { found: signed.size, wanted: batch.end() });
    }
    frontier.extend(batch.entries().iter().map(|entry| leaf_hash(entry)));
    let computed = frontier.root();
    if computed != signed.root {
        return Err(BatchFault::Fork { note: batch.note().to_vec(), signed, computed });
    }
    Ok((frontier, head))
}

type Judgement = Result<(FeedEntry, Option<Arc<Verified>>, bool), (Reason, String)>;

impl<K: KeyRing, A: Acceptance> CheckContext<'_, K, A> {
    fn judge(&mut self, entry: &[u8], envelope: pb::Envelope) -> Judgement {
        let malformed = |detail: String| (Reason::Malformed, detail);
        let entry =
            FeedEntry::decode(entry).map_err(|error| malformed(format!("feed entry: {error}")))?;
        if !entry.action.carries_record() {
            if envelope != pb::Envelope::default() {
                let detail = "an envelope where the action carries no record";
                return Err(malformed(detail.to_owned()));
            }
            return Ok((entry, None, true));
        }
        if envelope.header.is_empty() {
            return Err((Reason::NotSupplied, String::new()));
        }
        let signed = Signed::decode(envelope).map_err(|error| malformed(error.to_string()))?;
        if signed.id() != entry.record {
            let detail = format!("record {} where {} is disclosed", signed.id(), entry.record);
            return Err(malformed(detail));
        }
        check_action(entry.action, signed.header().kind).map_err(malformed)?;
        let record = signed
            .verify(self.keys, self.roots)
            .map_err(|error| (reason_of(&error), error.to_string()))?;
        let beyond = record.open_slots().without(entry.open_slots);
        if !beyond.is_empty() {
            let detail = format!("slots {:#x} are open and not disclosed", beyond.bits());
            return Err(malformed(detail));
        }
        let is_originator = record.header().originator == *self.pair.partner.agency();
        let record = if is_originator { record } else { record.forwarded() };
        let is_accepted = self.acceptance.accepts(record.header());
        if !is_accepted && record.kind() != Kind::Withdrawal {
            return Err((Reason::Policy, String::new()));
        }
        Ok((entry, Some(Arc::new(record)), is_accepted))
    }
}

fn check_action(action: FeedAction, kind: Kind) -> Result<(), String> {
    match (action, kind) {
        // A withdrawal's own slots may be revealed step by step like those of any record.
        (FeedAction::Revise, _) | (FeedAction::Withdraw, Kind::Withdrawal) => Ok(()),
        (FeedAction::Disclose, kind) if kind != Kind::Withdrawal => Ok(()),
        _ => Err(format!("{action:?} does not go with a record of kind {}", kind.name())),
    }
}

fn reason_of(error: &RecordError) -> Reason {
    match error {
        RecordError::UnknownKey { .. }
        | RecordError::Signature { .. }
        | RecordError::Batch(_)
        | RecordError::SignatureForm(_) => Reason::Signature,
        RecordError::Header(_)
        | RecordError::Slot { .. }
        | RecordError::SlotCount { .. }
        | RecordError::SlotState { .. }
        | RecordError::Undeclared(_)
        | RecordError::SlotsHash => Reason::Malformed,
    }
}
