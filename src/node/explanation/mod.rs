//! Answers about decisions: why a record is or is not at a partner, now and at a time in the past.

mod delivery;
mod explain;
pub(super) mod evaluation;
pub(super) mod decision_context;
pub(super) mod access_report;
