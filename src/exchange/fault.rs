//! The reasons why a session ends early, and the side at fault.

use super::batch::BatchForm;
use super::check::BatchFault;
use super::exception::ExceptionError;
use super::exception_statement::StatementError;
use super::pair::{CosignedError, ReceiptError};
use super::signed_time::ImpossibleTime;
use super::{PROTOCOL, RECEIPT_EXCEPTIONS_MAX, WINDOW};
use crate::ident::{AgencyName, Generation, LeafIndex, TreeHash, TreeSize};
use crate::merkle::{OpenError, PROOF_HASHES_MAX, TreeHead, WitnessRefusal};

/// The reason why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The peer broke the protocol. A new stream may go well.
    #[error("the peer misbehaved")]
    PeerMisbehaved(#[from] Misbehaviour),
    /// The peer is not a valid partner for this session. A new stream will end the same way.
    #[error("the peer was refused")]
    PeerRefused(#[from] Refusal),
    /// This node's own state or driver is at fault. Stop, and let start-up repair.
    #[error("fault of this node")]
    Own(#[from] OwnFault),
    /// Two signed accounts of one feed. Freeze it; an operator must judge.
    #[error("two histories of one feed")]
    Contradiction(#[from] Box<Evidence>),
}

/// The peer's breach of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    #[error("frame without a body")]
    EmptyFrame,
    #[error("{0} before hello")]
    BeforeHello(&'static str),
    #[error("hello came twice")]
    HelloTwice,
    #[error("{0} after drain")]
    AfterDrain(&'static str),
    #[error("hello shows a cosignature that does not hold")]
    HelloCosigned(#[source] CosignedError),
    #[error("hello shows a receipt of ours that does not hold")]
    HelloOwnReceipt(#[source] ReceiptError),
    #[error("a second checkpoint to be cosigned before the first was answered")]
    CheckpointTwice,
    #[error("a consistency proof has at most {PROOF_HASHES_MAX} hashes of 32 bytes")]
    CheckpointProof,
    #[error("a checkpoint was answered and none was shown")]
    AnswerUnasked,
    #[error("answer to our checkpoint does not hold")]
    Answer(#[from] CosignedError),
    #[error("cosignature for {found} entries, asked for {wanted}")]
    AnswerSize { found: TreeSize, wanted: TreeSize },
    #[error("hello names {found:?} as the speaker's last receipt")]
    HelloReceipt { found: String, source: ReceiptError },
    #[error("batch does not hold its form")]
    BatchForm(#[from] BatchForm),
    #[error("batch from entry {found}, wanted from {wanted}")]
    BatchOrder { found: LeafIndex, wanted: TreeSize },
    #[error("more than {WINDOW} batches without a receipt")]
    WindowExceeded,
    #[error("more than {WINDOW} batches in a row that are here already")]
    RepeatedTooOften,
    #[error("note of the batch does not hold")]
    BatchNote(#[source] OpenError),
    #[error("note of the batch is for {found} entries, wanted {wanted}")]
    BatchNoteSize { found: TreeSize, wanted: TreeSize },
    #[error("receipt does not hold")]
    Receipt(#[from] ReceiptError),
    #[error("receipt for {found} entries, wanted {}", .wanted.map_or_else(|| "none".to_owned(), |size| size.to_string()))]
    ReceiptOrder { found: TreeSize, wanted: Option<TreeSize> },
    #[error("a receipt has at most {RECEIPT_EXCEPTIONS_MAX} exceptions, found {0}")]
    ExceptionCount(usize),
    #[error("exception {index} does not hold its form")]
    Exception { index: LeafIndex, source: ExceptionError },
    #[error("the time under a receipt or cosignature cannot be")]
    SignedTime(#[from] ImpossibleTime),
    #[error("statement of the exceptions does not hold")]
    Statement(#[from] StatementError),
}

/// The reason for refusing to exchange with a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it speaks protocol {0}, this program {PROTOCOL}")]
    Protocol(u32),
    #[error("it calls itself {found:?}, wanted {wanted}")]
    Agency { found: String, wanted: AgencyName },
    /// It claims a succession that nobody accepted here, or runs on a copy from before one.
    #[error(
        "its logs are of generation {found}, on its card that was accepted here of {accepted}; a higher one needs its new card, accepted with `liaison partner add`"
    )]
    Generation { found: u32, accepted: Generation },
    /// The other way round.
    #[error(
        "it accepted a card with our logs of generation {found}, they are of {own}; a lower one needs our new card there"
    )]
    OwnGeneration { found: u32, own: Generation },
}

/// A fault of this node's own state or driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnFault {
    #[error("{0} was given and not asked for")]
    Unasked(&'static str),
    #[error("root at {found} entries was given, wanted at {wanted}")]
    RootSize { found: TreeSize, wanted: TreeSize },
    #[error("no root of our feed at {0} entries, which it once had")]
    RootMissing(TreeSize),
    #[error("our feed of {from} entries was published with {to}")]
    FeedShrank { from: TreeSize, to: TreeSize },
    #[error("our batch does not hold its form")]
    BatchForm(#[from] BatchForm),
    #[error("our batch from {start} to {end}, wanted from {wanted} to at most {size}")]
    BatchRange { start: LeafIndex, end: TreeSize, wanted: TreeSize, size: TreeSize },
    #[error("checked batch ends at {found} entries, wanted {wanted}")]
    CheckedSize { found: TreeSize, wanted: TreeSize },
    #[error("the receipt key is not the one of our card")]
    ReceiptKey,
    #[error("our last receipt is not for the {size} entries that are held with root {root}")]
    ReceiptNote { size: TreeSize, root: TreeHash },
    #[error("our last cosignature of the partner's journal does not hold")]
    WitnessedNote(#[source] CosignedError),
    #[error("our receipt could not be made")]
    Cosign(#[source] OpenError),
}

/// Signed contradictions: what an operator needs to show that one log had two histories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Evidence {
    /// The partner holds a head that our key signed and that our feed has not reached: this node
    /// runs on an old copy of its store.
    #[error("the partner receipted {} entries of our feed, which has {own}", .receipted.size)]
    OwnRolledBack { note: Vec<u8>, receipted: TreeHead, own: TreeSize },
    /// The partner holds a head that our key signed and that our feed never had.
    #[error("the partner receipted root {} at {} entries, ours is {own}", .receipted.root, .receipted.size)]
    OwnForked { note: Vec<u8>, receipted: TreeHead, own: TreeHash },
    /// The partner cosigned a head that our key signed and that our journal has not reached.
    #[error("the partner cosigned {} entries of our journal, which has {own}", .witnessed.size)]
    OwnJournalRolledBack { note: Vec<u8>, witnessed: TreeHead, own: TreeSize },
    /// The partner cosigned a head that our key signed and that our journal never had.
    #[error("the partner cosigned root {} at {} entries of our journal, ours is {own}", .witnessed.root, .witnessed.size)]
    OwnJournalForked { note: Vec<u8>, witnessed: TreeHead, own: TreeHash },
    /// The partner holds a cosignature of ours that our journal does not know.
    #[error("we cosigned {} entries of the partner's journal and know of {known}", .cosigned.size)]
    OwnCosignatureLost { note: Vec<u8>, cosigned: TreeHead, known: TreeSize },
    /// The partner holds a receipt of ours for more than we hold.
    #[error("we receipted {} entries of the partner's feed and hold {held}", .receipted.size)]
    OwnReceiptLost { note: Vec<u8>, receipted: TreeHead, held: TreeSize },
    /// The partner's journal showed a checkpoint that contradicts the one cosigned here.
    #[error("the partner's journal contradicts itself: {0}")]
    PartnerJournal(WitnessRefusal),
    /// The partner's key signed a head that its own entries do not lead to.
    #[error("the partner signed root {} at {} entries, its entries lead to {computed}", .signed.root, .signed.size)]
    PartnerForked {
        /// The note that contradicts.
        note: Vec<u8>,
        signed: TreeHead,
        computed: TreeHash,
        /// Our last receipt, with the partner's signature on the history before; empty if none.
        held: Vec<u8>,
    },
}

impl Evidence {
    /// Returns true if it shows that this node runs on an old copy of its store; else the partner's
    /// log has two histories.
    pub const fn is_against_us(&self) -> bool {
        match self {
            Self::OwnRolledBack { .. }
            | Self::OwnForked { .. }
            | Self::OwnJournalRolledBack { .. }
            | Self::OwnJournalForked { .. }
            | Self::OwnCosignatureLost { .. }
            | Self::OwnReceiptLost { .. } => true,
            Self::PartnerJournal(_) | Self::PartnerForked { .. } => false,
        }
    }
}

impl Fault {
    /// A fault found while a batch was checked; `held` is the last receipt given.
    pub(super) fn of_batch(fault: BatchFault, held: &[u8]) -> Self {
        match fault {
            BatchFault::Note(source) => Misbehaviour::BatchNote(source).into(),
            BatchFault::NoteSize { found, wanted } => {
                Misbehaviour::BatchNoteSize { found, wanted }.into()
            }
            // The session gave out both, and they fitted.
            BatchFault::Start { found, wanted } => {
                OwnFault::CheckedSize { found: TreeSize::new(found.get()), wanted }.into()
            }
            BatchFault::Fork { note, signed, computed } => {
                let held = held.to_vec();
                Box::new(Evidence::PartnerForked { note, signed, computed, held }).into()
            }
        }
    }
}
