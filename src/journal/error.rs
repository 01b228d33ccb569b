//! The errors of the journal, of a job of its writer, and of a question to it.

use super::entry::ENTRY_BYTES_MAX;
use super::gate::Closed;
use super::loss::Loss;
use crate::store::{Damage, StoreError};

/// The error that stops the journal or a question to it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("journal entry {index} cannot be read: {reason}")]
    Entry { index: u64, reason: String },
    #[error(
        "a journal entry of {found} bytes was to be written, and an entry has at most {} bytes; \
         shorten the longest text",
        ENTRY_BYTES_MAX
    )]
    EntryTooLarge { found: usize },
    #[error("the log ends with a checkpoint of {found}, and this node is {wanted}")]
    ForeignLog { found: String, wanted: String },
    #[error("the journal's root at size {size} is {found}, its checkpoint has {wanted}")]
    Root { size: u64, found: String, wanted: String },
    #[error("{0}")]
    Lost(Loss),
    #[error(
        "the segments are damaged at {0}, and what the index lacks cannot be derived over a damaged place. \
         Nothing was changed. Bring back the newest copy of the directory; if there is none, let the logs be \
         succeeded with `liaison store succeed`: then every entry behind that place is given up"
    )]
    Gap(Damage),
    #[error(
        "entry {entry} of the feed cannot be sent: {found}. Nothing behind it is sent either, because a withdrawal \
         or an order to erase would be left out unseen; bring back the newest copy of the node's directory"
    )]
    FeedDamaged { entry: u64, found: String },
    #[error("the index disagrees with the segments: {0}; run `liaison store reindex`")]
    Index(String),
    #[error("{0}")]
    Closed(#[from] Closed),
    #[error("the journal has stopped; start the node again, it repairs itself on start")]
    Stopped,
}

impl JournalError {
    /// Returns true if stored bytes are damaged: the rest of the store can be read.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Corrupt { .. }))
    }

    /// Returns the next step of the person at the node's machine; empty where the message names it.
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Begun { .. }) => "choose another directory with --dir",
            Self::Store(StoreError::Io { .. }) => "check the disk, then run it again",
            Self::Store(StoreError::Engine { .. } | StoreError::IndexFailed(_)) => {
                "run `liaison store reindex`, then try again"
            }
            Self::Store(StoreError::Poisoned) => "start the node again; it repairs itself on start",
            Self::ForeignLog { .. } => "name the directory of the node that wrote this log",
            Self::Store(
                StoreError::Corrupt { .. }
                | StoreError::MissingSegment { .. }
                | StoreError::LeafRange { .. },
            )
            | Self::Entry { .. }
            | Self::Root { .. } => "bring back the newest copy of the node's directory",
            _ => "",
        }
    }

    /// Returns whether a job of the writer asked for what cannot be written, or read something that is damaged. The
    /// writer takes back what it staged, refuses it, and goes on; all other errors of a job are of disk or program.
    pub(super) const fn is_of_the_job(&self) -> bool {
        matches!(
            self,
            Self::EntryTooLarge { .. }
                | Self::Entry { .. }
                | Self::Store(
                    StoreError::FrameTooLarge { .. }
                        | StoreError::BatchTooLarge { .. }
                        | StoreError::Corrupt { .. }
                )
        )
    }
}
