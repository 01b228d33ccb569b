//! The node's journal and feeds: append, make durable, publish, read back.
//!
//! One thread writes ([`writer`]); it alone decides order. Everything that is read ([`view`]) was
//! durable before it could be seen. Positions, indexes and state are derived from the segments and
//! can be made again from them ([`open`]).

pub mod consents;
pub mod entry;
pub mod erase;
pub mod erasure_index;
pub mod erasures;
mod error;
pub mod gate;
pub mod headers;
pub mod held;
pub mod history;
pub mod ids;
pub mod index;
pub mod writer;
mod limits;
pub mod log;
pub mod loss;
pub mod open;
mod pending;
pub mod prepared;
pub mod progress;
mod projection;
pub mod provenance;
pub mod query;
mod reader;
mod references;
pub mod refusals;
mod replay;
pub mod retractions;
pub mod revisions;
pub mod search;
pub mod series;
mod signing;
mod staged;
mod staged_map;
pub mod state;
mod tag;
mod touched;
pub mod transaction;
pub mod versions;
pub mod view;
pub mod waiting;
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

pub use crate::disclosure::unless_damaged;
pub use error::JournalError;
