//! `liaison audit verify`: opens the files of a node's directory or of an export and has them
//! verified.
//!
//! It only reads. Several threads look at pieces of the journal side by side; one judges them in
//! order, so that what is reported never depends on the threads.

use crate::audit::{
    Anchor, Audit, BundleFiles, CARD_TEXT_BYTES_MAX, CHECKPOINT, Card, CardFault, Check, Chunk,
    Ending, Examined, Expectations, Failure, Fault, KnownCheckpoint, LedgerFilter, MANIFEST,
    NotACheckpoint, Number, NumberForm, Place, Remark, Report, changed_line_ends, examine, walk,
};
use crate::ident::BundleHash;
use crate::merkle::NOTE_BYTES_MAX;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Pieces that may wait for each thread: enough to keep it busy, a few MiB.
const QUEUE_MAX: usize = 8;
/// More threads would wait for the one that judges.
const EXAMINERS_MAX: usize = 8;

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

/// The reason why an audit could not be done. A failed verification is not such an error; see
/// [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot read the card {}", path.display())]
    CardFile { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Number(#[from] NumberForm),
    #[error("{} is {kind} and not a card", path.display())]
    Card { path: PathBuf, kind: String, source: CardFault },
    #[error("{} is {kind} and not a checkpoint", path.display())]
    Checkpoint { path: PathBuf, kind: String, source: NotACheckpoint },
    #[error("the lines of {} end with CR LF, and no checkpoint was written so", .0.display())]
    LineEnds(PathBuf),
    #[error("{} is a part of a journal and not the whole; audit verify checks it", .0.display())]
    Part(PathBuf),
}

mod bundles;
pub(super) mod exported;
pub(super) mod recorded;
mod rereading;

fn reading(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Read { path, source }
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
        Ok(card) => (card, None),
        Err(fault) => (None, Some(fault.found)),
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

/// Returns true if a directory is a part of an export. A node's directory, which has segments, may have a
/// file of the same name as the manifest and has no entries in files of their own.
pub(super) fn is_part(dir: &Path) -> bool {
    dir.join(MANIFEST).exists() && (dir.join("journal").exists() || !has_segments(dir))
}

/// Returns true if a directory holds the files of a node's journal.
fn has_segments(dir: &Path) -> bool {
    dir.join("store").join("segments").is_dir()
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

/// A card that the auditor brings along.
pub(super) fn read_card(path: &Path) -> Result<Card, AuditError> {
    let bytes = read(path, CARD_TEXT_BYTES_MAX as u64)
        .map_err(|source| AuditError::CardFile { path: path.to_owned(), source })?;
    Card::from_text(&String::from_utf8_lossy(&bytes)).map_err(|source| AuditError::Card {
        path: path.to_owned(),
        kind: kind_of(&bytes),
        source,
    })
}

/// The sort of a file by its first bytes, for whoever named the wrong one.
pub(super) fn kind_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(known) = KnownCheckpoint::parse(Bytes::copy_from_slice(bytes)) {
        return format!("a checkpoint of {}", known.origin());
    }
    let kind = match text.lines().next().unwrap_or_default() {
        "-----BEGIN LIAISON CARD-----" => "a card",
        "liaison-proof/v1" => "the proof of a record",
        "liaison-part/v1" => "the manifest of a part",
        "c2sp.org/tlog-proof@v1" => "the proof of an entry",
        _ if bytes.is_empty() => "an empty file",
        _ => "a file of another sort",
    };
    kind.to_owned()
}

/// The card beside the journal; `None` if there is none.
fn card_file(path: &Path) -> Result<Result<Option<Card>, Fault>, AuditError> {
    // Opening a pipe would wait for whoever writes to it.
    if !path.is_file() {
        return Ok(Ok(None));
    }
    let bytes = read(path, CARD_TEXT_BYTES_MAX as u64).map_err(reading(path))?;
    let card = Card::from_text(&String::from_utf8_lossy(&bytes));
    Ok(card.map(Some).map_err(|fault| Fault {
        check: Check::DirectoryCard,
        expected: "a signed card".to_owned(),
        found: fault.to_string(),
    }))
}

fn refused(expectations: Expectations, fault: Fault) -> Report {
    let failure = Failure { place: Place::File("card.txt".to_owned()), entry: None, fault };
    Audit::new(expectations).finish(Ending::Broken(failure))
}

/// The files of each bundle kept in the directory, by the hash in its name.
pub(super) fn policies(dir: &Path) -> Result<BTreeMap<BundleHash, BundleFiles>, AuditError> {
    bundles::read(dir).map(|(policies, _)| policies)
}

/// Lists a directory; empty if it does not exist.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, AuditError> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(reading(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(reading(dir)(error)),
    }
}

/// The numbers of the segment files, ascending, and the names of files that are none.
pub(super) fn segment_numbers(dir: &Path) -> Result<(Vec<u32>, Vec<String>), AuditError> {
    let mut numbers = Vec::new();
    let mut foreign = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(reading(dir))? {
        let name = entry.map_err(reading(dir))?.file_name().to_string_lossy().into_owned();
        let number: Option<u32> = name.strip_suffix(".seg").and_then(|number| number.parse().ok());
        match number.filter(|number| segment_name(*number) == name) {
            Some(number) => numbers.push(number),
            None => foreign.push(name),
        }
    }
    numbers.sort_unstable();
    foreign.sort_unstable();
    Ok((numbers, foreign))
}

pub(super) fn segment_name(number: u32) -> String {
    format!("{number:08}.seg")
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, AuditError> {
    read(path, bytes_max)
        .and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
        })
        .map_err(reading(path))
}

/// The first `bytes_max` + 1 bytes of a file at the most.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn examiners() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(EXAMINERS_MAX)
}

/// One thread reads, several examine in turn, this one judges.
fn verify(expectations: Expectations, dir: &Path, numbers: &[u32]) -> io::Result<Report> {
    let examiners = examiners();
    std::thread::scope(|scope| {
        let mut inputs = Vec::new();
        let mut outputs = Vec::new();
        for _ in 0..examiners {
            let (input, chunks) = sync_channel::<Chunk>(QUEUE_MAX);
            let (results, output) = sync_channel::<Examined>(QUEUE_MAX);
            scope.spawn(move || examine_all(&chunks, &results));
            inputs.push(input);
            outputs.push(output);
        }
        let reader = scope.spawn(move || read_all(dir, numbers, inputs));
        let mut audit = Audit::new(expectations);
        judge(&mut audit, outputs);
        let ending = reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))?;
        Ok(audit.finish(ending))
    })
}

fn read_all(dir: &Path, numbers: &[u32], inputs: Vec<SyncSender<Chunk>>) -> io::Result<Ending> {
    let segments =
        numbers.iter().map(|number| Ok((*number, File::open(dir.join(segment_name(*number)))?)));
    let mut turn = inputs.iter().cycle();
    walk(segments, |chunk| match turn.next().map(|input| input.send(chunk)) {
        Some(Ok(())) => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    })
}

fn examine_all(chunks: &Receiver<Chunk>, results: &SyncSender<Examined>) {
    for chunk in chunks {
        if results.send(examine(chunk)).is_err() {
            return;
        }
    }
}

/// Takes the pieces in the turn in which they were handed out. Leaving early drops the receivers,
/// which stops everybody.
fn judge(audit: &mut Audit, outputs: Vec<Receiver<Examined>>) {
    for output in outputs.iter().cycle() {
        let Ok(examined) = output.recv() else { return };
        if !audit.take(examined) {
            return;
        }
    }
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
