//! Journal entries and feed entries as bytes: the leaves of the trees.

use super::JournalError;
use crate::exchange::Reason;
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use bytes::Bytes;
use prost::Message as _;

/// An entry must fit a C2SP tlog-tiles entry bundle, whose lengths have 16 bits.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// The key name of an agency's receipts.
pub fn receipt_name(agency: &AgencyName) -> String {
    format!("{agency}/receipt")
}

/// The key name of an agency's cosignatures as a witness.
pub fn witness_name(agency: &AgencyName) -> String {
    format!("{agency}/witness")
}

pub fn encode(at: Timestamp, event: Event) -> Vec<u8> {
    pb::JournalEntry { at_ms: at.unix_ms() as u64, event: Some(event) }.encode_to_vec()
}

/// Reads an entry of this node's own journal.
pub fn decode(index: u64, bytes: &Bytes) -> Result<(Timestamp, Event), JournalError> {
    let broken = |reason: &str| JournalError::Entry { index, reason: reason.to_owned() };
    let entry = pb::JournalEntry::decode(bytes.clone())
        .map_err(|error| broken(&format!("not a JournalEntry: {error}")))?;
    let at = i64::try_from(entry.at_ms)
        .ok()
        .and_then(|ms| Timestamp::from_unix_ms(ms).ok())
        .ok_or_else(|| broken("its time is out of range"))?;
    Ok((
        at,
        entry.event.ok_or_else(|| {
            broken("this program does not know its event; a newer version wrote it")
        })?,
    ))
}

pub fn decode_feed(index: u64, bytes: &Bytes) -> Result<pb::FeedEntry, JournalError> {
    pb::FeedEntry::decode(bytes.clone())
        .map_err(|error| JournalError::Entry { index, reason: format!("not a FeedEntry: {error}") })
}

pub fn record_id(bytes: &[u8]) -> Result<RecordId, JournalError> {
    RecordId::try_from(bytes)
        .map_err(|error| JournalError::Entry { index: 0, reason: error.to_string() })
}
/// Returns whether a receipt lists anything that is offered to the partner again.
pub(super) fn has_refusals(receipt: &pb::ReceiptReceived) -> bool {
    if !receipt.contradicted.is_empty() || !receipt.undecided.is_empty() {
        return true;
    }
    let mut reasons = receipt.exceptions.iter().map(|e| Reason::try_from(e.reason));
    reasons.any(|reason| reason.is_ok_and(Reason::is_refusal))
}
