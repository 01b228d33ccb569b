//! Erasures and holds, and the end of a record's time.

pub(super) mod erase;
pub(super) mod error;
#[cfg(test)]
mod erase_tests;
mod retention;
