//! The things that a session asks its driver to do.

use super::batch::Batch;
use super::exception_statement::SignedExceptions;
use super::fault::Fault;
use super::receiving::ReceivedBatch;
use crate::ident::{LeafIndex, TreeSize};
use crate::merkle::{Frontier, ShownCheckpoint};
use crate::pb;
use crate::pb::exchange_frame::Body;

/// An instruction to the driver of the session.
#[derive(Debug)]
pub enum Output {
    /// Send this to the peer.
    Send(pb::ExchangeFrame),
    /// Say which root our feed had at this size. It is at most the published size.
    AskRoot(TreeSize),
    /// Bring the entries of our feed from this index to a published head, within the bounds of
    /// [`Batch`], with an envelope for each that policy still allows now.
    Load { from: LeafIndex },
    /// Bring the exceptions of the partner's feed from this index on, in order. At most one window
    /// of batches holds them.
    LoadExceptions { from: LeafIndex },
    /// Run [`super::check_batch`].
    Check { frontier: Frontier, batch: Batch },
    /// Make this durable, all or nothing, in the order in which it comes.
    Store(Box<ReceivedBatch>),
    /// The partner durably holds our feed up to `size`, but for the exceptions: journal it. Each of the
    /// statements, at least one, fits a journal entry with its exceptions.
    RecordReceipt { size: TreeSize, note: Vec<u8>, signed: Vec<SignedExceptions> },
    /// The partner gave up the keys of its receipts with its logs and holds our feed up to here only:
    /// journal it, with the receipt for that; none at the beginning of the feed.
    ReceiptLost { held: TreeSize, note: Vec<u8> },
    /// Say which root our journal had at this size.
    AskJournalRoot(TreeSize),
    /// The partner's hello holds against our own history: nothing that it holds is missing here.
    Assured,
    /// Bring the newest checkpoint of our journal, with the consistency proof from this size; none
    /// from 0 or where both sizes are the same.
    LoadCheckpoint { old: TreeSize },
    /// Judge this checkpoint of the partner's journal against the one that was cosigned last, and
    /// make a new cosignature durable, as one step.
    Witness(ShownCheckpoint),
    /// The partner cosigned a checkpoint of our journal: journal the note.
    RecordCosignature { note: Vec<u8> },
    /// We cosigned this checkpoint of the partner's journal before our own logs were succeeded, and
    /// lost the entry: journal the note, unless a later one is known, before anything else of that
    /// journal is judged.
    AdoptCosignature { note: Vec<u8> },
    /// The number of changes to the partner's rules of acceptance for us, by its own count.
    AcceptanceNoticed(u64),
    /// Tell an operator; the session goes on.
    Alert(Alert),
    /// End the stream.
    Close(Closing),
}

impl Output {
    pub(super) fn send(body: Body) -> Self {
        Self::Send(pb::ExchangeFrame { body: Some(body) })
    }
}

/// The way in which a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// In good order: everything sent was receipted, in both directions.
    Drained,
    Fault(Fault),
}

/// An event that an operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Alert {
    /// The partner runs on an old copy of its store; its entries are sent again.
    #[error("the partner receipted {receipted} entries of our feed and now holds {held}")]
    PartnerLostEntries { receipted: TreeSize, held: TreeSize },
    /// By the partner's word, unsigned, this node runs on an old copy of its store.
    #[error("the partner shows our receipt for {receipted} entries of its feed, we hold {held}")]
    OwnEntriesLost { receipted: TreeSize, held: TreeSize },
    /// By the partner's word, unsigned.
    #[error("the partner did not cosign our journal of {own} entries: it last cosigned {known}")]
    NotCosigned { known: TreeSize, own: TreeSize },
    #[error("a checkpoint of the partner's journal was not cosigned: {0}")]
    CheckpointRefused(&'static str),
}
