//! A failure of an audit: the check, the place, the expected value and the found one.
//!
//! A failure names the first broken thing and nothing after it: what follows a break proves nothing.

use std::fmt;

/// The check that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// The history is of the agency that the auditor named.
    Identity,
    /// The node's own card file.
    DirectoryCard,
    /// A file that an export must have.
    ExportFile,
    /// A text file has the line ends that it was written with.
    LineEnds,
    /// A tile of an export holds what its entries lead to.
    Tile,
    /// Segment files run from 1 without a gap.
    SegmentSequence,
    SegmentHeader,
    /// Framing and checksum of a frame, or the commit that closes a batch.
    Frame,
    /// Frames stand where nothing accounts for them.
    FrameOrder,
    EntryForm,
    EntryTime,
    Genesis,
    /// A file that is written after the segments are durable is not ahead of them.
    Recorded,
    OwnCard,
    PartnerCard,
    Partner,
    CheckpointSignature,
    JournalSize,
    JournalRoot,
    KnownCheckpoint,
    Content,
    RecordForm,
    RecordSignature,
    RecordRepeated,
    OpenSlots,
    PolicyVersion,
    PolicyFiles,
    /// A policy was put in force with the comparison and approvals that it requires.
    PolicyApproval,
    FeedEntry,
    FeedRoot,
    FeedNote,
    FeedTotals,
    Disclosure,
    /// A disclosure decided anew comes out as it was made.
    PolicyDecision,
    /// A disclosure is dated when it was published.
    FeedTime,
    ReceivedFeed,
    Receipt,
    /// A witness's cosignature on a checkpoint that the journal had.
    Cosignature,
    /// The agency's cosignature of another log.
    CosignatureGiven,
    /// Evidence against another log.
    Contradiction,
    /// Too few cosignatures for what the auditor asked.
    Quorum,
    /// Times that others signed agree with those of the journal.
    SignedTime,
    /// A proof file as a text.
    ProofForm,
    ProofCards,
    ProofEntry,
    ProofInclusion,
    Act,
    Erasure,
    /// The bytes of erased slots are gone.
    ErasedContent,
    ErasureOrder,
    Release,
    /// A consent, a request for one, or what follows from either.
    Consent,
    /// A journal goes on under the next generation.
    Succession,
}

impl Check {
    /// The stable word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::DirectoryCard => "directory_card",
            Self::ExportFile => "export_file",
            Self::LineEnds => "line_ends",
            Self::Tile => "tile",
            Self::SegmentSequence => "segment_sequence",
            Self::SegmentHeader => "segment_header",
            Self::Frame => "frame",
            Self::FrameOrder => "frame_order",
            Self::EntryForm => "entry_form",
            Self::EntryTime => "entry_time",
            Self::Genesis => "genesis",
            Self::Recorded => "recorded",
            Self::OwnCard => "own_card",
            Self::PartnerCard => "partner_card",
            Self::Partner => "partner",
            Self::CheckpointSignature => "checkpoint_signature",
            Self::JournalSize => "journal_size",
            Self::JournalRoot => "journal_root",
            Self::KnownCheckpoint => "known_checkpoint",
            Self::Content => "content",
            Self::RecordForm => "record_form",
            Self::RecordSignature => "record_signature",
            Self::RecordRepeated => "record_repeated",
            Self::OpenSlots => "open_slots",
            Self::PolicyVersion => "policy_version",
            Self::PolicyFiles => "policy_files",
            Self::PolicyApproval => "policy_approval",
            Self::FeedEntry => "feed_entry",
            Self::FeedRoot => "feed_root",
            Self::FeedNote => "feed_note",
            Self::FeedTotals => "feed_totals",
            Self::Disclosure => "disclosure",
            Self::PolicyDecision => "policy_decision",
            Self::FeedTime => "feed_time",
            Self::ReceivedFeed => "received_feed",
            Self::Receipt => "receipt",
            Self::Cosignature => "cosignature",
            Self::CosignatureGiven => "cosignature_given",
            Self::Contradiction => "contradiction",
            Self::Quorum => "quorum",
            Self::SignedTime => "signed_time",
            Self::ProofForm => "proof_form",
            Self::ProofCards => "proof_cards",
            Self::ProofEntry => "proof_entry",
            Self::ProofInclusion => "proof_inclusion",
            Self::Act => "act",
            Self::Erasure => "erasure",
            Self::ErasedContent => "erased_content",
            Self::ErasureOrder => "erasure_order",
            Self::Release => "release",
            Self::Consent => "consent",
            Self::Succession => "succession",
        }
    }

    /// Returns the text of the failed check, for people.
    const fn text(self) -> &'static str {
        match self {
            Self::Identity => "this is the history of another identity than the one that you named",
            Self::DirectoryCard => "the card in the directory is not sound",
            Self::ExportFile => "a file of the export is missing or not what it must be",
            Self::LineEnds => "the line ends of a file were changed from LF to CR LF",
            Self::Tile => "a tile does not hold what the entries lead to",
            Self::SegmentSequence => "a segment file is missing",
            Self::SegmentHeader => "a segment has a wrong header",
            Self::Frame => "stored bytes are damaged",
            Self::FrameOrder => "a frame stands where no entry accounts for it",
            Self::EntryForm => "a journal entry cannot be read",
            Self::EntryTime => "a journal entry is dated before the one before it",
            Self::Genesis => "the journal does not begin as it must",
            Self::Recorded => "the segments lost entries that were acknowledged",
            Self::OwnCard => "an own card is not sound",
            Self::PartnerCard => "a partner's card is not sound",
            Self::Partner => "an entry speaks of a partner wrongly",
            Self::CheckpointSignature => "a checkpoint of the journal is not signed by its key",
            Self::JournalSize => "a checkpoint does not fit the number of entries",
            Self::JournalRoot => "the entries do not lead to the signed root",
            Self::KnownCheckpoint => "the journal contradicts the checkpoint that you hold",
            Self::Content => "a record's content is missing or altered",
            Self::RecordForm => "a record is not well formed",
            Self::RecordSignature => "a record's signature does not hold",
            Self::RecordRepeated => "a record was accepted twice",
            Self::OpenSlots => "an entry misstates which slots are here",
            Self::PolicyVersion => "policy versions are out of order",
            Self::PolicyFiles => "the files of an applied policy were altered",
            Self::PolicyApproval => "a policy was put in force without the approvals that it needs",
            Self::FeedEntry => "an entry of a feed cannot be read",
            Self::FeedRoot => "the entries of a feed do not lead to its signed root",
            Self::FeedNote => "a published feed head is not signed by the journal's key",
            Self::FeedTotals => "the totals of a feed are wrong",
            Self::Disclosure => "a disclosure is not covered",
            Self::PolicyDecision => "a disclosure is outside the policy version that it names",
            Self::FeedTime => "an entry of a feed is not dated when it was published",
            Self::ReceivedFeed => "a received feed head does not hold",
            Self::Receipt => "a partner's receipt does not hold",
            Self::Cosignature => "a witness's cosignature does not hold",
            Self::CosignatureGiven => "the agency cosigned what it should not have",
            Self::Contradiction => "evidence against a log does not hold",
            Self::Quorum => "too few witnesses cosigned the journal",
            Self::SignedTime => "the times of the journal contradict those that others signed",
            Self::ProofForm => "the proof cannot be read",
            Self::ProofCards => "the cards in the proof do not hold",
            Self::ProofEntry => "an entry in the proof is not about this record",
            Self::ProofInclusion => "the log does not hold the entry",
            Self::Act => "an act was not decided by two persons",
            Self::Erasure => "an erasure has no ground in the journal",
            Self::ErasedContent => "content that was erased is still there",
            Self::ErasureOrder => "an order to erase was not given by the record's originator",
            Self::Release => "a disclosure that was held is not decided on as it must be",
            Self::Consent => "a consent is not given, told or ended as it must be",
            Self::Succession => "the logs are not succeeded as they must be",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A check that did not hold, without its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: expected {expected}, found {found}")]
pub struct Fault {
    pub check: Check,
    pub expected: String,
    pub found: String,
}

impl Fault {
    pub(super) fn new(check: Check, expected: impl ToString, found: impl ToString) -> Self {
        Self { check, expected: expected.to_string(), found: found.to_string() }
    }
}

/// The place of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A frame of a segment, from 1, in bytes from the start of its file.
    Segment { number: u32, offset: u64 },
    /// A file of an export, by its path from the folder's top.
    File(String),
    /// An entry in a bundle of an export, by its index in the log.
    Entry { file: String, index: u64 },
    /// The history, and no one place in it.
    History,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { number, offset } => write!(f, "segment {number} offset {offset}"),
            Self::File(file) => f.write_str(file),
            Self::Entry { file, index } => write!(f, "entry {index} in {file}"),
            Self::History => f.write_str("the history"),
        }
    }
}

/// A check that did not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Failure {
    pub place: Place,
    /// The journal entry, or the one that would have come next.
    pub entry: Option<u64>,
    pub fault: Fault,
}
