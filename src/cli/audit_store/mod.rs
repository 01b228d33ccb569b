//! The disk edge of an audit: opens the files of a node's directory or of an export and has them
//! verified.
//!
//! It only reads.

mod bundles;
mod error;
pub(super) mod exported;
mod files;
pub(super) mod recorded;
mod rereading;
mod threads;

pub use error::AuditError;
pub(super) use files::{is_part, kind_of, read, read_card, segment_name, segment_numbers};

use crate::audit::{
    Anchor, BundleFiles, CHECKPOINT, Expectations, KnownCheckpoint, LedgerFilter, MANIFEST, Number,
    Remark, Report, changed_line_ends,
};
use crate::ident::BundleHash;
use crate::merkle::NOTE_BYTES_MAX;
use bytes::Bytes;
use error::reading;
use files::{CardFile, card_file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use threads::verify;

/// The auditor's own inputs.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AuditOptions {
    /// The agency's 30-digit number, as it was compared over a second channel.
    #[arg(long, value_name = "NUMBER", conflicts_with = "card")]
    pub identity: Option<String>,
    /// The agency's card, from elsewhere than the directory.
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// A checkpoint of the journal from before; only it shows a history cut off at its end.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Witnesses that must have cosigned the journal, to at most an hour before its last entry.
    #[arg(long, value_name = "N")]
    pub quorum: Option<usize>,
}

/// Verifies the node's directory `dir`, or the export that it is. The node may run; what it writes
/// meanwhile may show as an unfinished write, and what it overwrites is read again.
pub fn verify_directory(dir: &Path, options: &AuditOptions) -> Result<Report, AuditError> {
    verify_with(dir, options, None)
}

/// The same, with the part of the disclosure ledger that is asked for.
pub fn verify_with(
    dir: &Path,
    options: &AuditOptions,
    ledger: Option<LedgerFilter>,
) -> Result<Report, AuditError> {
    let expectations = Expectations { ledger, ..expectations(options)? };
    if is_part(dir) {
        return Err(AuditError::Part(dir.to_owned()));
    }
    if exported::is_export(dir) {
        return exported::verify(dir, expectations);
    }
    let segments = dir.join("store").join("segments");
    rereading::settled(
        || rereading::state(&segments),
        || verify_node(dir, &segments, expectations.clone()),
    )
}

/// Verifies the directory of a node.
fn verify_node(
    dir: &Path,
    segments: &Path,
    mut expectations: Expectations,
) -> Result<Report, AuditError> {
    let (policies, mut foreign) = bundles::read(&dir.join("policies"))?;
    expectations.policies = policies;
    let saved = [CHECKPOINT, exported::TILES, MANIFEST].into_iter().map(str::to_owned);
    foreign.extend(saved.filter(|name| dir.join(name).exists()));
    let (card, unusable) = match card_file(&dir.join("card.txt"))? {
        CardFile::Missing => (None, None),
        CardFile::Signed(card) => (Some(*card), None),
        CardFile::Unusable(fault) => (None, Some(fault.found)),
    };
    expectations.directory_card = card;
    let store = dir.join("store");
    let recorded = recorded::recorded_in(&store)?;
    let (numbers, beside) = segment_numbers(segments)?;
    foreign.extend(beside);
    let mut report = verify(expectations, segments, &numbers).map_err(reading(segments))?;
    recorded::compare(&mut report, &recorded, segments, numbers.last().copied())?;
    report.remarks.extend(foreign.into_iter().map(|name| Remark::ForeignFile { name }));
    if let Some(why) = unusable {
        report.remarks.retain(|remark| *remark != Remark::NoCardFile);
        report.remarks.push(Remark::CardFileUnusable { why });
    }
    if store.join("overwrite.redo").metadata().is_ok_and(|file| file.len() > 0) {
        report.remarks.push(Remark::OverwritePending);
    }
    Ok(report)
}

fn expectations(options: &AuditOptions) -> Result<Expectations, AuditError> {
    let anchor = anchor(options)?;
    let checkpoint = match &options.checkpoint {
        Some(path) => {
            let note = Bytes::from(read(path, NOTE_BYTES_MAX as u64).map_err(reading(path))?);
            let (kind, changed) = (kind_of(&note), changed_line_ends(&note));
            let known = KnownCheckpoint::parse(note).map_err(|source| match changed {
                Some(_) => AuditError::LineEnds(path.clone()),
                None => AuditError::Checkpoint { path: path.clone(), kind, source },
            })?;
            Some(known)
        }
        None => None,
    };
    Ok(Expectations { anchor, checkpoint, quorum: options.quorum, ..Expectations::default() })
}

/// Returns the auditor's own source of the agency's identity.
pub(super) fn anchor(options: &AuditOptions) -> Result<Anchor, AuditError> {
    Ok(match (&options.identity, &options.card) {
        (Some(number), _) => Anchor::Number(number.parse::<Number>()?),
        (None, Some(path)) => Anchor::Card(Box::new(read_card(path)?)),
        (None, None) => Anchor::Directory,
    })
}

/// The files of each bundle kept in the directory, by the hash in its name.
pub(super) fn policies(dir: &Path) -> Result<BTreeMap<BundleHash, BundleFiles>, AuditError> {
    bundles::read(dir).map(|(policies, _)| policies)
}

#[cfg(test)]
mod checkpoint_tests;
#[cfg(test)]
mod consent_tests;
#[cfg(test)]
mod denial_tests;
#[cfg(test)]
mod erasure_tests;
#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod mark_tests;
#[cfg(test)]
mod part_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod lost_receipt_tests;
#[cfg(test)]
pub(super) mod succession_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod totals_tests;
#[cfg(test)]
mod witness_tests;
