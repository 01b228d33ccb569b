//! Erasures and holds, and the end of a record's time.

pub(super) mod erase;
#[cfg(test)]
mod erase_tests;
mod retention;
