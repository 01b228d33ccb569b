//! The node's journal and feeds: append, make durable, publish, read back.
//!
//! One thread writes ([`ledger`]); it alone decides order. Everything that is read ([`view`]) was
//! durable before it could be seen. Positions, indexes and state are derived from the segments and
//! can be made again from them ([`open`]).

pub mod consents;
pub mod entry;
pub mod erase;
pub mod erasure_index;
pub mod erasures;
pub mod gate;
pub mod headers;
pub mod held;
pub mod history;
pub mod index;
pub mod ledger;
pub mod log;
pub mod loss;
pub mod open;
pub mod open_act;
mod pending;
pub mod prepared;
pub mod progress;
mod projection;
pub mod provenance;
pub mod query;
mod references;
pub mod refusals;
mod replay;
pub mod retractions;
pub mod revisions;
pub mod search;
pub mod series;
mod staged;
pub mod state;
mod state_keys;
mod tag;
mod touched;
pub mod transaction;
mod usual_rows;
pub mod versions;
pub mod view;
pub mod waiting;
pub mod witnessing;
pub mod words;

#[cfg(test)]
mod duty_tests;
#[cfg(test)]
mod erase_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod rebuild_tests;
#[cfg(test)]
mod references_tests;

use crate::store::{Damage, StoreError};

/// The error that stops the journal or a question to it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("journal entry {index} cannot be read: {reason}")]
    Entry { index: u64, reason: String },
    #[error(
        "what would become a journal entry has {found} bytes, and an entry has at most {}; \
         shorten the longest text",
        entry::ENTRY_BYTES_MAX
    )]
    EntryTooLarge { found: usize },
    #[error("the log ends with a checkpoint of {found}, this node is {wanted}")]
    ForeignLog { found: String, wanted: String },
    #[error("the journal's root at size {size} is {found}, its checkpoint says {wanted}")]
    Root { size: u64, found: String, wanted: String },
    #[error("{0}")]
    Lost(loss::Loss),
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
    Closed(#[from] gate::Closed),
    #[error("the journal has stopped; start the node again, it repairs itself on start")]
    Stopped,
}

impl JournalError {
    /// Returns true if stored bytes are damaged: the rest of the store can be read.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Corrupt { .. }))
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

/// Returns `None` where stored bytes are damaged: a reader of many records counts that and goes on.
pub fn unless_damaged<T>(read: Result<T, JournalError>) -> Result<Option<T>, JournalError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}
