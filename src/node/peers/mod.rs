//! The exchange with each partner: links, streams, and what comes in on them.

pub(super) mod flow;
pub(super) mod link;
#[cfg(test)]
mod link_tests;
pub(super) mod links;
pub(super) mod pair;
mod ingest;
