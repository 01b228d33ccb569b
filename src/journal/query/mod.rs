//! Questions to the journal: which records meet a filter, what belongs to a case, how takedowns
//! stand.
//!
//! An index only proposes records; each is then loaded and every condition is checked on the record
//! itself, so that no answer depends on which index proposed. Nothing here decides who may ask, and
//! nothing here writes.

mod candidates;
mod case;
mod filter;
mod summary;
mod page;
mod prefix;
mod present;
mod scan;
mod takedown;

#[cfg(test)]
pub(in crate::journal) mod fixtures;
#[cfg(test)]
mod tests;

pub use case::{CASE_SERIES_MAX, CaseScope, Timeline, TimelineEvent};
pub use filter::{CaseSelector, Filter, FilterError, QUERY_WORDS_MAX, kind_in};
pub use page::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Page, PageError};
pub use prefix::FoundIds;
pub use present::record_view;
pub use scan::{Candidate, Hit, STEP_BYTES_MAX, STEP_EXAMINED_MAX, Search, Step};
