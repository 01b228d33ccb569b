//! The disclosure of records to a partner: what it may have, what its feed is owed, and what is accepted from it.
//!
//! One pure decision for every way out: for the feed, for what is sent, and for an explanation. It reads through
//! [`RecordReader`] and [`JournalReader`], and writes nothing.

mod acceptance;
mod accepted;
mod brake;
mod consent_news;
mod discloser;
mod gathering;
mod live;
mod read_error;
mod reader;
mod rescan;
mod rules;
mod sending;
mod series;
mod series_head;
mod standing;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

pub use acceptance::Accepting;
pub use accepted::AcceptedHeader;
pub use discloser::{Basis, Discloser, Verdict};
pub use gathering::{Found, Run};
pub use read_error::{BrokenEntry, ReadError, unless_damaged};
pub use reader::{ConsentsInForce, JournalReader, PartnerStanding, RecordReader};
pub use rules::{PartnerRules, denied_by, release_facts};
pub use series_head::{Member, SeriesHead, newest};
pub use standing::{Disclosure, HeldState, Marks, Standing};
