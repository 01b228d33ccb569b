//! The errors of submitting and withdrawing own records.

use crate::ident::{AgencyName, KeyId, RecordId, Timestamp};
use crate::record::draft::DraftError;
use std::time::Duration;
use tonic::Code;

/// The reason why a request makes no records.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    #[error("a request has 1 to {max} drafts, found {found}")]
    Drafts { found: usize, max: usize },
    #[error(
        "{client} submitted as much as a client may in a day: {records} drafts, or {mib} MiB; try again in {} s, \
         or have client_records_per_day or client_mib_per_day raised in liaison.toml",
        .wait.as_secs()
    )]
    Quota { client: String, records: u64, mib: u64, wait: Duration },
    #[error("record {id} is of {originator}, and only its originator can withdraw it")]
    OtherOriginator { id: RecordId, originator: AgencyName },
    #[error(
        "record {id} is marked TLP:RED, and another client submitted it: only that client may withdraw it; \
         otherwise have it erased with `liaison record erase`"
    )]
    RedOfAnother { id: RecordId },
    #[error("record {id} has a newer revision, {newest}; withdraw that one")]
    Revised { id: RecordId, newest: RecordId },
    #[error("record {id} is withdrawn already")]
    Withdrawn { id: RecordId },
    #[error(
        "record {held} of the same series is under a hold, and a withdrawal would end the hold unseen; have a \
         policy officer end it with `liaison record unrestrict {held} --reason TEXT`, then withdraw the record"
    )]
    SeriesHeld { held: RecordId },
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error(
        "this node's card does not name record key {key}; bring keys/ and card.txt back from one backup"
    )]
    RecordKey { key: KeyId },
    #[error(
        "it is {now}, and record key {key} signs from {from} to an hour before {until}; correct the clock if it \
         is wrong, otherwise issue a card with another record key"
    )]
    RecordKeyTime { now: Timestamp, key: KeyId, from: Timestamp, until: Timestamp },
}

impl SubmissionError {
    pub(in crate::node) const fn code(&self) -> Code {
        match self {
            Self::Drafts { .. } | Self::Draft(_) => Code::InvalidArgument,
            Self::Quota { .. } => Code::ResourceExhausted,
            Self::OtherOriginator { .. } | Self::RedOfAnother { .. } => Code::PermissionDenied,
            Self::Revised { .. } | Self::Withdrawn { .. } | Self::SeriesHeld { .. } => {
                Code::FailedPrecondition
            }
            Self::RecordKey { .. } | Self::RecordKeyTime { .. } => Code::Unavailable,
        }
    }
}
