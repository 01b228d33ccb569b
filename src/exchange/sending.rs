//! Our feed on its way to the partner: where to begin, what is under way, what is receipted.
//!
//! Batches leave in order, at most [`WINDOW`] of them without a receipt, and receipts come in the
//! order of the batches. A batch is sent only after the partner's hello was held against our own
//! history, and after the receipt that a cut may have swallowed has come again.

use std::collections::VecDeque;

use super::batch::Batch;
use super::exception::Exception;
use super::exception_statement::{SignedExceptions, open};
use super::fault::{Evidence, Fault, Misbehaviour, OwnFault};
use super::lag::Lag;
use super::pair::Pair;
use super::session::{Alert, Output};
use super::{RECEIPT_EXCEPTIONS_MAX, WINDOW};
use crate::ident::{LeafIndex, TreeHash, TreeSize};
use crate::merkle::{SignedCheckpoint, TreeHead};
use crate::pb;

/// What was found in the partner's hello.
enum Start {
    /// The hello has not come.
    Unknown,
    /// The partner holds this head of our feed, if it is one of ours; the root was asked for. A
    /// receipt that came meanwhile waits.
    Asked {
        claimed: Box<SignedCheckpoint>,
        early: Option<pb::Receipt>,
    },
    Settled,
}

pub(super) struct Sending {
    start: Start,
    /// Entries of our feed with a published head.
    published: TreeSize,
    /// The largest head that we hold a receipt for, on this stream or before.
    recorded: TreeSize,
    /// The last head that the partner receipted on this stream, or in its hello.
    answered: TreeHead,
    /// Exceptions below this index were reported with receipts that we hold.
    reported: TreeSize,
    /// Size of the feed after the last batch sent.
    sent: TreeSize,
    /// Heads whose receipts are awaited.
    unanswered: VecDeque<TreeHead>,
    /// The receipt that is awaited first is one from before a cut.
    catching_up: bool,
    loading: bool,
    /// The receipts held are by keys that the partner gave up with its logs: it may hold less.
    may_hold_less: bool,
}

impl Sending {
    pub(super) fn new(published: TreeSize, recorded: TreeSize, may_hold_less: bool) -> Self {
        Self {
            start: Start::Unknown,
            published,
            recorded,
            answered: TreeHead::EMPTY,
            reported: recorded,
            sent: TreeSize::default(),
            unanswered: VecDeque::with_capacity(WINDOW),
            catching_up: false,
            loading: false,
            may_hold_less,
        }
    }

    pub(super) fn recorded(&self) -> TreeSize {
        self.recorded
    }

    pub(super) fn lag(&self) -> Lag {
        Lag::of(self.published.get(), self.answered.size.get())
    }

    /// The partner's hello was held against our own feed.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.start, Start::Settled)
    }

    /// Nothing is under way and nothing is owed to us.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.start, Start::Settled) && self.unanswered.is_empty()
    }

    pub(super) fn publish(&mut self, size: TreeSize) -> Result<(), OwnFault> {
        if size < self.published {
            return Err(OwnFault::FeedShrank { from: self.published, to: size });
        }
        self.published = size;
        Ok(())
    }

    /// Takes the receipt note of the partner's hello.
    pub(super) fn hello(
        &mut self,
        note: &[u8],
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        if note.is_empty() {
            self.begin(TreeHead::EMPTY, Vec::new(), out);
            return Ok(());
        }
        let claimed = pair.open_receipt(note).map_err(|source| Misbehaviour::HelloReceipt {
            found: String::from_utf8_lossy(&note[..note.len().min(256)]).into_owned(),
            source,
        })?;
        self.refuse_beyond_ours(&claimed)?;
        out.push(Output::AskRoot(claimed.checkpoint().size()));
        self.start = Start::Asked { claimed: Box::new(claimed), early: None };
        Ok(())
    }

    /// Takes our own root at the size that the partner claims to hold.
    pub(super) fn root(
        &mut self,
        size: TreeSize,
        root: Option<TreeHash>,
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let Start::Asked { claimed, early } = std::mem::replace(&mut self.start, Start::Settled)
        else {
            return Err(OwnFault::Unasked("root").into());
        };
        let wanted = claimed.checkpoint().size();
        if size != wanted {
            return Err(OwnFault::RootSize { found: size, wanted }.into());
        }
        let own = root.ok_or(OwnFault::RootMissing(size))?;
        refuse_other_root(&claimed, own)?;
        let note = claimed.to_bytes();
        self.begin(claimed.checkpoint().head(), note, out);
        early.map_or(Ok(()), |receipt| self.receipt(receipt, pair, out))
    }

    /// Goes on from `held`, which is a head of our feed, with its receipt.
    fn begin(&mut self, held: TreeHead, note: Vec<u8>, out: &mut Vec<Output>) {
        self.start = Start::Settled;
        self.sent = held.size;
        if held.size < self.recorded {
            out.push(Output::Alert(Alert::PartnerLostEntries {
                receipted: self.recorded,
                held: held.size,
            }));
            if self.may_hold_less {
                // What it does not take when it comes again is then in a receipt that counts.
                self.recorded = held.size;
                out.push(Output::ReceiptLost { held: held.size, note });
            }
        }
        if held.size > self.recorded {
            self.catching_up = true;
            self.unanswered.push_back(held);
        } else {
            self.answered = held;
            self.reported = held.size;
        }
    }

    /// Asks for the next batch if one may be sent.
    pub(super) fn load_more(&mut self, out: &mut Vec<Output>) {
        let may_send = matches!(self.start, Start::Settled)
            && !self.catching_up
            && !self.loading
            && self.unanswered.len() < WINDOW
            && self.sent < self.published;
        if may_send {
            self.loading = true;
            out.push(Output::Load { from: LeafIndex::new(self.sent.get()) });
        }
    }

    /// Takes the batch that was asked for and sends it, unless `stopping`.
    pub(super) fn loaded(
        &mut self,
        batch: pb::FeedBatch,
        root: TreeHash,
        stopping: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), OwnFault> {
        if !std::mem::take(&mut self.loading) {
            return Err(OwnFault::Unasked("batch"));
        }
        if stopping {
            return Ok(());
        }
        let batch = Batch::try_from(batch)?;
        let (start, end) = (batch.start(), batch.end());
        if start.get() != self.sent.get() || end > self.published {
            let (wanted, size) = (self.sent, self.published);
            return Err(OwnFault::BatchRange { start, end, wanted, size });
        }
        self.sent = end;
        self.unanswered.push_back(TreeHead { size: end, root });
        out.push(Output::send(pb::exchange_frame::Body::FeedBatch(batch.into_wire())));
        Ok(())
    }

    /// Takes a receipt: for the batch that waits longest, or once more the one before.
    pub(super) fn receipt(
        &mut self,
        receipt: pb::Receipt,
        pair: &Pair,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        if let Start::Asked { early, .. } = &mut self.start {
            // Before we sent anything there is one receipt that can come.
            if early.is_none() {
                *early = Some(receipt);
                return Ok(());
            }
        }
        let pb::Receipt { note, exceptions, statements } = receipt;
        let opened = pair.open_receipt(&note).map_err(Misbehaviour::from)?;
        self.refuse_beyond_ours(&opened)?;
        let head = opened.checkpoint().head();
        if head.size == self.answered.size {
            return Ok(refuse_other_root(&opened, self.answered.root)?);
        }
        let wanted = self.unanswered.front().copied();
        let Some(wanted) = wanted.filter(|wanted| wanted.size == head.size) else {
            let wanted = wanted.map(|wanted| wanted.size);
            return Err(Misbehaviour::ReceiptOrder { found: head.size, wanted }.into());
        };
        refuse_other_root(&opened, wanted.root)?;
        let signed = signed_exceptions(exceptions, statements, (self.reported, head.size), pair)?;
        self.unanswered.pop_front();
        self.catching_up = false;
        self.answered = head;
        self.reported = head.size;
        if head.size > self.recorded {
            self.recorded = head.size;
            out.push(Output::RecordReceipt { size: head.size, note: opened.to_bytes(), signed });
        }
        Ok(())
    }

    fn refuse_beyond_ours(&self, held: &SignedCheckpoint) -> Result<(), Box<Evidence>> {
        let receipted = held.checkpoint().head();
        if receipted.size <= self.published {
            return Ok(());
        }
        let (note, own) = (held.to_bytes(), self.published);
        Err(Box::new(Evidence::OwnRolledBack { note, receipted, own }))
    }
}

fn refuse_other_root(held: &SignedCheckpoint, own: TreeHash) -> Result<(), Box<Evidence>> {
    let receipted = held.checkpoint().head();
    if receipted.root == own {
        return Ok(());
    }
    Err(Box::new(Evidence::OwnForked { note: held.to_bytes(), receipted, own }))
}

/// The exceptions since the receipt before, as the partner signed them.
fn signed_exceptions(
    wire: Vec<pb::FeedException>,
    statements: Vec<pb::ExceptionStatement>,
    (from, to): (TreeSize, TreeSize),
    pair: &Pair,
) -> Result<Vec<SignedExceptions>, Misbehaviour> {
    if wire.len() > RECEIPT_EXCEPTIONS_MAX {
        return Err(Misbehaviour::ExceptionCount(wire.len()));
    }
    let exceptions = wire
        .into_iter()
        .map(|wire| {
            let index = LeafIndex::new(wire.index);
            Exception::try_from(wire).map_err(|source| Misbehaviour::Exception { index, source })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (feed, key) = (pair.own_feed(), pair.partner.receipts().verifying_key());
    Ok(open(statements, &exceptions, (&feed, from.get()..to.get()), key)?)
}
