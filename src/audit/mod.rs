//! Offline verification of a node's history, by somebody who trusts neither the node nor its code.
//!
//! Bytes of segments go in, in order: [`walk()`] cuts them into pieces, [`examine()`] looks at each
//! piece alone (pieces may be examined side by side), [`Audit::take`] judges them in order, and
//! [`Audit::finish`] reports. Frames, batches, cards and sums are read and computed here anew; only
//! wire types, hashes, notes and the form of records are shared with the node.
//!
//! [`verify_proof`] checks the proof of one record instead, which needs no history, and
//! [`verify_part`] some entries with the proof of each.
//!
//! Out of scope: a history cut off at its end, which only somebody who holds a later checkpoint can
//! see.
//!
//! Never here: a clock, a file, a socket; repairing; going on after a break.

mod accepted_ids;
mod acts;
mod card;
mod consents;
mod content;
mod cosigned;
mod disclosures;
mod examine;
mod expectations;
mod export;
mod failure;
mod feed;
mod feed_name;
mod given_slots;
mod holdings;
mod holds;
mod key_use;
mod known;
mod ledger;
mod line_ends;
mod lines;
mod page;
mod part;
mod partners;
mod policy;
mod proof;
mod proof_file;
mod proof_report;
#[cfg(test)]
mod proof_tests;
mod provenance;
mod received;
mod recorded;
mod records;
mod refusals;
mod releases;
mod remarks;
mod replay;
mod report;
mod row_set;
mod segment;
mod succession;
mod times;
mod walk;
mod witnesses;
mod words;

pub use card::{CARD_TEXT_BYTES_MAX, Card, CardFault, Number, NumberForm};
pub use disclosures::{Disclosure, LedgerAction, LedgerFilter, ReceiptState, UnknownName};
pub use examine::{Examined, examine};
pub use expectations::{Anchor, Expectations, KnownCheckpoint, NotACheckpoint};
pub use export::{
    CARD, CHECKPOINT, ExaminedBundle, ExportAudit, ExportError, Exporter, Folder, ReadBundle, Sink,
    Summary, examine_bundle, is_plain_name, read_bundle,
};
pub use failure::{Check, Failure, Fault, Place};
pub use feed_name::FeedName;
pub use ledger::Audit;
pub use line_ends::changed_line_ends;
pub use page::Occasion;
pub use part::{
    MANIFEST, PART_FILES_MAX, PartError, PartFault, PartFeed, PartReport, PartWriter, Plan,
    Selection, Survey, verify_part,
};
pub use policy::bundle_hash;
pub use proof::verify_proof;
pub use proof_file::{
    PROOF_CARDS_MAX, PROOF_DISCLOSURES_MAX, PROOF_FILE_BYTES_MAX, ProofFile, ProofFileError,
};
pub use proof_report::{Checked, Field, FieldState, ProofReport, Unchecked};
pub use recorded::{LEAF_RECORD_BYTES, Recorded, SegmentsEnd};
pub use remarks::Remark;
pub use replay::BundleFiles;
pub use report::{Counts, FeedCount, NotCounted, Quorum, Report, Verdict, WitnessCount};
pub use segment::Chunk;
pub use times::TimeDifference;
pub use walk::{Ending, walk};

use std::io::{self, Read};
use std::ops::ControlFlow;

/// Verifies segments one piece after another. Only the errors of reading are errors.
pub fn verify<R: Read>(
    expectations: Expectations,
    segments: impl IntoIterator<Item = io::Result<(u32, R)>>,
) -> io::Result<Report> {
    let mut audit = Audit::new(expectations);
    let ending = walk(segments, |chunk| {
        if audit.take(examine(chunk)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(audit.finish(ending))
}
