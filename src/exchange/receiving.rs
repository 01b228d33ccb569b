//! The partner's feed on its way in: order, then check, then storage, then the receipt.
//!
//! One batch is checked at a time, because each starts from the tree that the one before left. The
//! next may be checked while the one before is being stored; receipts leave in order, each after
//! its batch is durable and never before.

use std::collections::VecDeque;

use super::batch::Batch;
use super::check::{BatchFault, CheckedBatch};
use super::exception::Exception;
use super::exception_statement::receipt;
use super::fault::{Evidence, Fault, Misbehaviour, OwnFault};
use super::output::{Alert, Output};
use super::pair::{OwnLine, Pair};
use super::{RECEIPT_EXCEPTIONS_MAX, WINDOW};
use crate::ident::{LeafIndex, Timestamp, TreeSize};
use crate::merkle::{
    Checkpoint, CosignatureTime, Cosigner, Frontier, Note, SignedCheckpoint, TreeHead,
};
use crate::pb;
use crate::pb::exchange_frame::Body;

/// A checked batch to be made durable, together with the receipt that will be given for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedBatch {
    pub checked: CheckedBatch,
    /// Signed note: the partner's head with its signature and our receipt cosignature. It must not
    /// leave this node before the batch is durable.
    pub receipt_note: Vec<u8>,
}

/// A batch that is being stored, and the note of the receipt that waits for it.
struct Storing {
    start: LeafIndex,
    head: TreeHead,
    note: Vec<u8>,
}

pub(super) struct Receiving {
    /// The head of the partner's feed that is durable.
    held: TreeHead,
    /// The last receipt given for it; without a note at the beginning of a feed. A repeated batch is
    /// answered with it as it is, so that it does not matter which of two the partner takes.
    receipt: pb::Receipt,
    /// The time of the last receipt by the key in force. No later receipt has an earlier time, even if the
    /// clock went back: the partner would refuse it.
    signed_at: Option<CosignatureTime>,
    /// The edge of the tree after the last batch that was checked; away while one is.
    edge: Frontier,
    /// Size after the last batch that was let in.
    expected: TreeSize,
    queue: VecDeque<Batch>,
    /// Size after the batch that is being checked.
    checking: Option<TreeSize>,
    storing: VecDeque<Storing>,
    /// The partner's hello was held against our own history; until then nothing is checked.
    let_in: bool,
    /// Batches in a row that were here already. A partner that lost its place repeats at most one
    /// window of them.
    repeats: usize,
    /// The exceptions since the partner's last receipt were asked for, from this index.
    recalling: Option<LeafIndex>,
}

impl Receiving {
    pub(super) fn new(
        edge: Frontier,
        held_note: Vec<u8>,
        signed_at: Option<CosignatureTime>,
    ) -> Result<Self, OwnFault> {
        let held = edge.head();
        if !note_is_for(&held_note, held) {
            return Err(OwnFault::ReceiptNote { size: held.size, root: held.root });
        }
        Ok(Self {
            held,
            receipt: pb::Receipt { note: held_note.into(), ..pb::Receipt::default() },
            signed_at,
            edge,
            expected: held.size,
            queue: VecDeque::with_capacity(WINDOW),
            checking: None,
            storing: VecDeque::with_capacity(WINDOW),
            let_in: false,
            repeats: 0,
            recalling: None,
        })
    }

    pub(super) fn held_note(&self) -> &[u8] {
        &self.receipt.note
    }

    /// Every batch that came is durable and its receipt is sent.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way() == 0 && self.recalling.is_none()
    }

    fn under_way(&self) -> usize {
        self.queue.len() + self.storing.len() + usize::from(self.checking.is_some())
    }

    /// Takes the size up to which the partner holds our receipts by its hello, and the largest.
    pub(super) fn hello(
        &mut self,
        receipted: TreeSize,
        receipted_note: &[u8],
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        if !receipted_note.is_empty() {
            self.check_own_receipt(receipted_note, pair)?;
        }
        if receipted > self.held.size {
            let held = self.held.size;
            out.push(Output::Alert(Alert::OwnEntriesLost { receipted, held }));
        } else if receipted < self.held.size {
            // No more than one window is ever without a receipt; a partner that names less lost its
            // place, or wants us to read everything.
            let window = self.held.size.get().saturating_sub(RECEIPT_EXCEPTIONS_MAX as u64);
            let from = LeafIndex::new(receipted.get().max(window));
            self.recalling = Some(from);
            out.push(Output::LoadExceptions { from });
        }
        Ok(())
    }

    /// Refuses a receipt of ours for more than is held here, which the partner shows.
    fn check_own_receipt(&mut self, note: &[u8], pair: &Pair) -> Result<(), Fault> {
        let shown = match pair.open_own_receipt(note).map_err(Misbehaviour::HelloOwnReceipt)? {
            OwnLine::InForce(shown) => shown,
            // What was lost before our own logs were succeeded is sent again.
            OwnLine::Retired(_) => return Ok(()),
        };
        self.signed_at = self.signed_at.max(shown.cosignatures().first().map(|line| line.at));
        let receipted = shown.checkpoint().head();
        if receipted.size <= self.held.size {
            return Ok(());
        }
        let (note, held) = (shown.to_bytes(), self.held.size);
        Err(Box::new(Evidence::OwnReceiptLost { note, receipted, held }).into())
    }

    /// Begins to check what came. `false` if that was begun before.
    pub(super) fn let_in(&mut self, out: &mut Vec<Output>) -> bool {
        if std::mem::replace(&mut self.let_in, true) {
            return false;
        }
        out.push(Output::Assured);
        self.check_next(out);
        true
    }

    /// Takes the exceptions that were asked for, and gives the last receipt again. It is signed anew: the
    /// partner may have refused the one before for its time, when a clock was wrong.
    pub(super) fn recalled(
        &mut self,
        exceptions: &[Exception],
        pair: &Pair,
        cosigner: &Cosigner,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), OwnFault> {
        let from = self.recalling.take().ok_or(OwnFault::Unasked("exceptions"))?;
        let since = exceptions.iter().filter(|exception| exception.index >= from);
        let since: Vec<Exception> = since.cloned().collect();
        let note = match pair.open_partner_head(&self.receipt.note) {
            Ok(head) => self.cosign(head, pair, cosigner, now)?,
            // By a key that the partner had before.
            Err(_) => self.receipt.note.to_vec(),
        };
        let range = from.get()..self.held.size.get();
        self.receipt = receipt(note, &pair.partner_feed(), range, &since, cosigner);
        out.push(Output::send(Body::Receipt(self.receipt.clone())));
        self.check_next(out);
        Ok(())
    }

    /// Takes a batch off the stream.
    pub(super) fn batch(
        &mut self,
        batch: pb::FeedBatch,
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let batch = Batch::try_from(batch).map_err(Misbehaviour::from)?;
        if batch.end() <= self.expected {
            return self.repeat(&batch, pair, out);
        }
        if batch.start().get() != self.expected.get() {
            let (found, wanted) = (batch.start(), self.expected);
            return Err(Misbehaviour::BatchOrder { found, wanted }.into());
        }
        if self.under_way() >= WINDOW {
            return Err(Misbehaviour::WindowExceeded.into());
        }
        self.repeats = 0;
        self.expected = batch.end();
        self.queue.push_back(batch);
        self.check_next(out);
        Ok(())
    }

    /// A batch that is here already changes nothing, but may show that the partner's log forked.
    fn repeat(&mut self, batch: &Batch, pair: &Pair, out: &mut Vec<Output>) -> Result<(), Fault> {
        self.repeats += 1;
        if self.repeats > WINDOW {
            return Err(Misbehaviour::RepeatedTooOften.into());
        }
        if batch.end() == self.held.size {
            let head = pair.open_partner_head(batch.note()).map_err(Misbehaviour::BatchNote)?;
            let signed = head.checkpoint().head();
            if signed.size == self.held.size && signed.root != self.held.root {
                return Err(Box::new(Evidence::PartnerForked {
                    note: batch.note().to_vec(),
                    signed,
                    computed: self.held.root,
                    held: self.receipt.note.to_vec(),
                })
                .into());
            }
        }
        // A receipt that is still owed with its exceptions comes by itself.
        if self.recalling.is_none() && !self.receipt.note.is_empty() {
            out.push(Output::send(Body::Receipt(self.receipt.clone())));
        }
        Ok(())
    }

    fn check_next(&mut self, out: &mut Vec<Output>) {
        if !self.let_in || self.checking.is_some() || self.recalling.is_some() {
            return;
        }
        if let Some(batch) = self.queue.pop_front() {
            self.checking = Some(batch.end());
            out.push(Output::Check { frontier: self.edge.clone(), batch });
        }
    }

    /// Takes the verdict on the batch that was given out to be checked.
    pub(super) fn checked(
        &mut self,
        verdict: Result<CheckedBatch, BatchFault>,
        pair: &Pair,
        cosigner: &Cosigner,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let wanted = self.checking.take().ok_or(OwnFault::Unasked("verdict"))?;
        let checked = verdict.map_err(|fault| Fault::of_batch(fault, &self.receipt.note))?;
        let head = checked.frontier.head();
        if head != checked.head.checkpoint().head() || head.size != wanted {
            return Err(OwnFault::CheckedSize { found: head.size, wanted }.into());
        }
        let receipt_note = self.cosign(checked.head.clone(), pair, cosigner, now)?;
        self.edge = checked.frontier.clone();
        self.storing.push_back(Storing { start: checked.start, head, note: receipt_note.clone() });
        out.push(Output::Store(Box::new(ReceivedBatch { checked, receipt_note })));
        self.check_next(out);
        Ok(())
    }

    /// The receipt for a head of the partner's feed, never dated before the last one.
    fn cosign(
        &mut self,
        head: SignedCheckpoint,
        pair: &Pair,
        cosigner: &Cosigner,
        now: Timestamp,
    ) -> Result<Vec<u8>, OwnFault> {
        let now = CosignatureTime::from(now);
        let at = self.signed_at.map_or(now, |last| last.max(now));
        self.signed_at = Some(at);
        let line = cosigner.cosign(head.checkpoint(), at);
        let signed = head.with_cosignature(line, pair.own.receipts()).map_err(OwnFault::Cosign)?;
        Ok(signed.to_bytes())
    }

    /// The batch that was given out first is durable, but for these entries.
    pub(super) fn stored(
        &mut self,
        exceptions: &[Exception],
        pair: &Pair,
        cosigner: &Cosigner,
        out: &mut Vec<Output>,
    ) -> Result<(), OwnFault> {
        let Storing { start, head, note } =
            self.storing.pop_front().ok_or(OwnFault::Unasked("stored"))?;
        let range = start.get()..head.size.get();
        let receipt = receipt(note, &pair.partner_feed(), range, exceptions, cosigner);
        self.held = head;
        self.receipt = receipt.clone();
        out.push(Output::send(Body::Receipt(receipt)));
        Ok(())
    }
}

/// Returns true if our own stored receipt is for this head. It was verified before it was stored.
fn note_is_for(note: &[u8], held: TreeHead) -> bool {
    if note.is_empty() {
        return held == TreeHead::EMPTY;
    }
    let checkpoint = Note::parse(note).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    checkpoint.is_some_and(|checkpoint| checkpoint.head() == held)
}
