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
use super::output::{Alert, Output};
use super::pair::Pair;
use super::signed_time::SignedTime;
use super::{RECEIPT_EXCEPTIONS_MAX, WINDOW};
use crate::ident::{LeafIndex, Timestamp, TreeHash, TreeSize};
use crate::merkle::{CosignatureTime, SignedCheckpoint, TreeHead};
use crate::pb;

/// The state of the search for a starting point in the partner's hello.
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

/// A head whose receipt is awaited, and when it was first published, where that is known.
#[derive(Clone, Copy)]
struct Awaited {
    head: TreeHead,
    published_at: Option<Timestamp>,
}

pub(super) struct Sending {
    start: Start,
    /// Entries of our feed with a published head.
    published: TreeSize,
    /// The largest head that we hold a receipt for, on this stream or before.
    recorded: TreeSize,
    /// The time of the partner's last receipt that we hold, by the key in force.
    last_receipt_at: Option<CosignatureTime>,
    /// The last head that the partner receipted on this stream, or in its hello.
    answered: TreeHead,
    /// Exceptions below this index were reported with receipts that we hold.
    reported: TreeSize,
    /// Size of the feed after the last batch sent.
    sent: TreeSize,
    unanswered: VecDeque<Awaited>,
    /// The receipt that is awaited first is one from before a cut.
    catching_up: bool,
    loading: bool,
    /// The receipts held are by keys that the partner gave up with its logs: it may hold less.
    may_hold_less: bool,
}

impl Sending {
    pub(super) fn new(
        (published, recorded): (TreeSize, TreeSize),
        last_receipt_at: Option<CosignatureTime>,
        may_hold_less: bool,
    ) -> Self {
        Self {
            start: Start::Unknown,
            published,
            recorded,
            last_receipt_at,
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

    /// Returns true if nothing is under way and no receipt is due.
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
            self.begin(None, None, out);
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

    /// Takes our own root at the size that the partner claims to hold, and when its head was published.
    pub(super) fn root(
        &mut self,
        size: TreeSize,
        (root, published_at): (Option<TreeHash>, Option<Timestamp>),
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
        self.begin(Some(&claimed), published_at, out);
        early.map_or(Ok(()), |receipt| self.receipt(receipt, pair, out))
    }

    /// Goes on from the head of our feed that the partner holds, with its receipt; from the beginning without.
    fn begin(
        &mut self,
        claimed: Option<&SignedCheckpoint>,
        published_at: Option<Timestamp>,
        out: &mut Vec<Output>,
    ) {
        let held = claimed.map_or(TreeHead::EMPTY, |claimed| claimed.checkpoint().head());
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
                self.last_receipt_at = claimed.and_then(receipt_time);
                let note = claimed.map_or_else(Vec::new, SignedCheckpoint::to_bytes);
                out.push(Output::ReceiptLost { held: held.size, note });
            }
        }
        if held.size > self.recorded {
            self.catching_up = true;
            self.unanswered.push_back(Awaited { head: held, published_at });
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
        (root, published_at): (TreeHash, Option<Timestamp>),
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
        let head = TreeHead { size: end, root };
        self.unanswered.push_back(Awaited { head, published_at });
        out.push(Output::send(pb::exchange_frame::Body::FeedBatch(batch.into_wire())));
        Ok(())
    }

    /// Takes a receipt: for the batch that waits longest, or once more the one before. One whose time cannot
    /// be is refused before anything of it counts.
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
        let Some(wanted) = wanted.filter(|wanted| wanted.head.size == head.size) else {
            let wanted = wanted.map(|wanted| wanted.head.size);
            return Err(Misbehaviour::ReceiptOrder { found: head.size, wanted }.into());
        };
        refuse_other_root(&opened, wanted.head.root)?;
        let signed_at = receipt_time(&opened);
        if let Some(signed) = signed_at {
            let (made, last) = (wanted.published_at, self.last_receipt_at);
            SignedTime { signed, made, last }.check().map_err(Misbehaviour::from)?;
        }
        let signed = signed_exceptions(exceptions, statements, (self.reported, head.size), pair)?;
        self.unanswered.pop_front();
        self.catching_up = false;
        self.answered = head;
        self.reported = head.size;
        if head.size > self.recorded {
            self.recorded = head.size;
            self.last_receipt_at = signed_at;
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

/// Returns the time of a receipt.
fn receipt_time(receipt: &SignedCheckpoint) -> Option<CosignatureTime> {
    receipt.cosignatures().first().map(|line| line.at)
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
