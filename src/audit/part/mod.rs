//! A part of a history as a plain folder: the entries of a time, a case or a record, each with its
//! proof. A manifest states that the rest was left out.
//!
//! Of a time it can be shown that no entry of the journal is missing: the entries next to it are
//! there too. Of a case or a record it cannot; only the whole shows that. docs/FORMATS.md has the
//! layout.
//!
//! Never here: a file; a part that could be taken for the whole.

mod judge;
mod manifest;
mod report;
mod survey;
mod write;

pub use judge::{PartFault, verify_part};
pub use manifest::{MANIFEST, Selection};
pub use report::{PartFeed, PartReport};
pub use survey::{PART_FILES_MAX, PartError, Plan, Survey};
pub use write::PartWriter;
