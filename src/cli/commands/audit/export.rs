//! `liaison audit export`: a node's history as a folder that needs no node to be verified.
//!
//! It reads the node's directory, never its keys, and may do so while the node runs; or it asks the
//! running node, believes nothing of what comes, and verifies what it wrote. The folder appears when
//! it is complete, or not at all. A part of the history is written with the proof of each entry and
//! never looks like the whole.

mod received;

use crate::audit::{
    Anchor, Chunk, Ending, ExportError, Exporter, PartError, PartFault, PartWriter, Selection,
    Sink, Summary, Survey, verify_part, walk,
};
use crate::cli::audit_store::exported::Directory;
use crate::cli::audit_store::recorded::{recorded_in, shortened};
use crate::cli::audit_store::{
    AuditError, AuditOptions, policies, segment_name, segment_numbers, verify_directory,
};
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::context::parse_time;
use crate::cli::error::{CliError, Exit};
use crate::cli::given_id::GivenId;
use crate::cli::interrupt;
use crate::ident::{PREFIX_IDS_MAX, RecordId, Timestamp};
use crate::numerals::counted;
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Write a node's history, or a part of it, as a folder that anybody can verify.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  liaison audit export npa --out npa-export
  liaison audit export --out npa-export --client auditor.client
  liaison audit export npa --out november --from 2026-11-01 --to 2026-12-01
  liaison audit export npa --out for-the-court --case NPA-2026-0417
  liaison audit verify npa-export --identity '41822 09379 55120 83013 26790 71154'

Without a directory the node of the client profile is asked (role auditor). What it sends is
written beside the folder first, about as large as the folder, and goes again; the folder appears
when all of it was verified. If it does not hold, what the node sent is kept as evidence in
OUT.refused, and the exit code is 6.

With --from, --to, --case or --record only a part is written: those entries, each with the proof
that it stands in the journal. Of a time it can be shown that nothing is missing, of a case or
record not.")]
pub struct ExportArgs {
    /// The node's directory, or a copy of it; without it the running node is asked.
    directory: Option<PathBuf>,
    /// The directory to create; it must not exist yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    part: PartArgs,
}

/// The selection of a part.
#[derive(Debug, Args)]
struct PartArgs {
    /// Only entries not before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Only entries before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Timestamp>,
    /// Only entries about the case with this reference, or about a record that refers to it.
    #[arg(long, value_name = "REFERENCE", conflicts_with_all = ["from", "to"])]
    case: Option<String>,
    /// Only entries about this record and its other revisions: its id, or its first digits, six at the least.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "case"])]
    record: Option<GivenId>,
}

impl PartArgs {
    /// `None`: the whole history. The first digits of an id are looked up in the directory, or at the
    /// node where there is none.
    async fn selection(
        self,
        directory: Option<&Path>,
        context: &Context,
    ) -> Result<Option<Selection>, CliError> {
        let Self { from, to, case, record } = self;
        let record = match record {
            Some(given) => Some(match directory {
                Some(directory) => record_in(directory, &given)?,
                None => given.resolve(context, &[Role::Auditor]).await?,
            }),
            None => None,
        };
        let time = (from.is_some() || to.is_some()).then_some(Selection::Time { from, to });
        Ok(time.or(case.map(Selection::Case)).or(record.map(Selection::Record)))
    }
}

/// The result of writing.
#[derive(Debug)]
enum Written {
    Whole(Box<Summary>),
    Part(Box<crate::audit::PartReport>),
}

/// The reason why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    #[error(transparent)]
    Read(#[from] AuditError),
    #[error("cannot read the segments")]
    Segments(#[source] io::Error),
    #[error("the segments are damaged: {0}")]
    Damaged(String),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Part(#[from] PartError),
    #[error("the written export does not verify: {0}")]
    NotVerified(String),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("interrupted")]
    Interrupted,
    #[error("the thread that wrote the export ended early")]
    Ended(#[from] tokio::task::JoinError),
}

pub(super) async fn run(args: ExportArgs, context: &Context) -> Result<(), CliError> {
    refuse_existing(&args.out)?;
    let ExportArgs { directory, out, part } = args;
    let part = part.selection(directory.as_deref(), context).await?;
    let (written, is_verified) = match directory {
        Some(directory) => {
            let is_verified = part.is_some();
            let written = write_out(directory, out, part, export).await.map_err(failed)?;
            (written, is_verified)
        }
        None => (export_from_node(&out, part, context).await?, true),
    };
    match written {
        Written::Whole(summary) => show(&summary, is_verified, context),
        Written::Part(report) => {
            context.output.either(report.to_json(), || report.to_string().trim_end().to_owned())
        }
    }
}

/// Exports from a running node. A history that does not hold is kept: the node may never show it
/// again.
async fn export_from_node(
    out: &Path,
    part: Option<Selection>,
    context: &Context,
) -> Result<Written, CliError> {
    let received = received::receive(out, context).await.map_err(|error| match error {
        CliError::Profile { found, fix } => {
            let fix = format!("{fix}; or name a node's directory to export from");
            CliError::Profile { found, fix }
        }
        error => error,
    })?;
    let written = write_out(received.dir().to_owned(), out.to_owned(), part, export_verified);
    let fault = match written.await {
        Ok(written) => return Ok(written),
        Err(fault) if !fault.is_of_the_history() => return Err(failed(fault)),
        Err(fault) => fault,
    };
    let name = out.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
    let kept = out.with_file_name(format!("{name}.refused"));
    let found = match received.keep(&kept) {
        Ok(()) => format!("{fault}; what the node sent is in {}", kept.display()),
        Err(error) => {
            context.output.note(&format!("cannot keep what the node sent: {error}"));
            fault.to_string()
        }
    };
    Err(CliError::Verification { found })
}

/// Writes the whole, by `whole`, or a part; stops when the user wants to.
async fn write_out(
    directory: PathBuf,
    out: PathBuf,
    part: Option<Selection>,
    whole: impl FnOnce(&Path, &Path, &AtomicBool) -> Result<Summary, ExportFault> + Send + 'static,
) -> Result<Written, ExportFault> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = Arc::clone(&stop);
    let mut work = tokio::task::spawn_blocking(move || match part {
        None => whole(&directory, &out, &stopping).map(|s| Written::Whole(Box::new(s))),
        Some(part) => export_part(&directory, &out, part, &stopping)
            .map(|report| Written::Part(Box::new(report))),
    });
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = interrupt::interrupted() => {
            stop.store(true, Ordering::Relaxed);
            work.await
        }
    };
    ended?
}

fn interrupted() -> CliError {
    CliError::Interrupted {
        kept: "nothing was exported".to_owned(),
        fix: "run it again".to_owned(),
    }
}

impl ExportFault {
    /// Returns true if the history itself is at fault, and neither the disk nor the question.
    fn is_of_the_history(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::NotVerified(_) => true,
            Self::Export(error) | Self::Part(PartError::Export(error)) => {
                !matches!(error, ExportError::Write(_))
            }
            Self::Part(PartError::Proof { .. } | PartError::Changed) => true,
            Self::Part(PartError::Nothing(_) | PartError::TooMuch | PartError::Reference)
            | Self::Read(_)
            | Self::Segments(_)
            | Self::Write { .. }
            | Self::Interrupted
            | Self::Ended(_) => false,
        }
    }
}

fn failed(fault: ExportFault) -> CliError {
    let (exit, fix) = match &fault {
        ExportFault::Part(PartError::Nothing(_)) => {
            (Exit::NotFound, "check the reference or the id; `liaison query` finds ids")
        }
        ExportFault::Interrupted => return interrupted(),
        ExportFault::Part(PartError::TooMuch | PartError::Reference) => (Exit::Usage, ""),
        ExportFault::Ended(_) => (Exit::Failed, "run it again; if it fails again, report it"),
        ExportFault::Write { .. } => (Exit::Failed, "choose another place with --out"),
        _ => (
            Exit::Failed,
            "name a node's directory, which has store/segments and policies; \
             `liaison audit verify` names its faults",
        ),
    };
    CliError::Other {
        doing: "the history cannot be exported".to_owned(),
        exit,
        fix: fix.to_owned(),
        source: Box::new(fault),
    }
}

fn refuse_existing(out: &Path) -> Result<(), CliError> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        return Err(CliError::usage(
            format!("cannot create a directory in {}", parent.display()),
            "make it first, or choose another place with --out",
        ));
    }
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(CliError::Precondition {
        found: format!("{} exists already", out.display()),
        fix: "choose another folder with --out; an export is never changed".to_owned(),
    })
}

fn show(summary: &Summary, is_verified: bool, context: &Context) -> Result<(), CliError> {
    let Summary { size, root, feeds, policies, cards, files, bytes } = summary;
    let value = json!({
        "size": size.to_string(),
        "root": root,
        "feeds": feeds.iter().map(|(name, size)| (name.clone(), size.to_string().into()))
            .collect::<serde_json::Map<_, _>>(),
        "policies": policies.to_string(),
        "cards": cards.to_string(),
        "files": files.to_string(),
        "bytes": bytes.to_string(),
        "verified": is_verified,
    });
    context.output.either(value, || {
        let entries: u64 = feeds.values().sum();
        format!(
            "{}, {} of {}, {}, {}; {}, {}{}",
            counted(*size, "journal entry"),
            counted(entries, "entry"),
            counted(feeds.len() as u64, "feed"),
            counted(*cards, "card"),
            counted(*policies, "policy"),
            counted(*files, "file"),
            counted(*bytes, "byte"),
            if is_verified { "; verified" } else { "" }
        )
    })
}

/// Exports the history in the node's directory `dir` to `out`, which must not be there. `stop` ends
/// it early; then nothing is left.
pub fn export(dir: &Path, out: &Path, stop: &AtomicBool) -> Result<Summary, ExportFault> {
    appearing(out, stop, |files| write(dir, files))
}

/// The same, and it is verified before it appears.
fn export_verified(dir: &Path, out: &Path, stop: &AtomicBool) -> Result<Summary, ExportFault> {
    appearing(out, stop, |files| {
        let partial = files.dir.clone();
        let summary = write(dir, files)?;
        match verify_directory(&partial, &AuditOptions::default())?.failure {
            Some(failure) => Err(ExportFault::NotVerified(failure.to_string())),
            None => Ok(summary),
        }
    })
}

/// The same for a part of it. What is written was verified by the code that whoever gets it will run.
pub(in crate::cli) fn export_part(
    dir: &Path,
    out: &Path,
    selection: Selection,
    stop: &AtomicBool,
) -> Result<crate::audit::PartReport, ExportFault> {
    appearing(out, stop, |files| {
        let (dir_written, folder) = (files.dir.clone(), Directory::new(files.dir.clone()));
        write_part(dir, selection, files)?;
        verify_part(&folder, &Anchor::Directory).map_err(|fault| match fault {
            PartFault::Broken(failure) => ExportFault::NotVerified(failure.to_string()),
            PartFault::Io(source) => ExportFault::Write { path: dir_written, source },
        })
    })
}

/// Has a folder written under another name and then gives it its own.
fn appearing<T>(
    out: &Path,
    stop: &AtomicBool,
    write: impl FnOnce(Files<'_>) -> Result<T, ExportFault>,
) -> Result<T, ExportFault> {
    let name = out.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
    let partial = out.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let writing = |source| ExportFault::Write { path: partial.clone(), source };
    std::fs::create_dir(&partial).map_err(writing)?;
    let written = write(Files { dir: partial.clone(), last: None, stop }).and_then(|written| {
        if stop.load(Ordering::Relaxed) {
            return Err(ExportFault::Interrupted);
        }
        publish(&partial, out).map_err(writing)?;
        Ok(written)
    });
    if written.is_err() {
        // What is left of it is named as partial and harms nobody.
        drop(std::fs::remove_dir_all(&partial));
    }
    match written {
        Err(_) if stop.load(Ordering::Relaxed) => Err(ExportFault::Interrupted),
        written => written,
    }
}

fn write(dir: &Path, files: Files<'_>) -> Result<Summary, ExportFault> {
    let policies = policies(&dir.join("policies"))?;
    let mut exporter = Exporter::new(files);
    each_chunk(dir, |chunk| Ok(exporter.take(chunk)?))?;
    Ok(exporter.finish(&policies)?)
}

/// The record of a directory that is meant. Its first digits take a walk over the whole history.
fn record_in(directory: &Path, given: &GivenId) -> Result<RecordId, CliError> {
    if let Some(id) = given.whole() {
        return Ok(id);
    }
    let mut found = Vec::new();
    let walked = each_chunk(directory, |chunk| {
        let ids = chunk.accepted_ids().filter(|id| given.prefix().begins(id.as_bytes()));
        // One more than are listed tells that there are more.
        found.extend(ids.take((PREFIX_IDS_MAX + 1).saturating_sub(found.len())));
        Ok(())
    });
    walked.map_err(failed)?;
    given.among("a record", found)
}

/// Twice through the history: what belongs together is known only at its end.
fn write_part(dir: &Path, selection: Selection, files: Files<'_>) -> Result<(), ExportFault> {
    let stop = files.stop;
    let go_on = || match stop.load(Ordering::Relaxed) {
        true => Err(ExportFault::Interrupted),
        false => Ok(()),
    };
    let mut survey = Survey::new(selection);
    each_chunk(dir, |chunk| go_on().and_then(|()| Ok(survey.take(chunk)?)))?;
    let mut writer = PartWriter::new(survey.finish()?, files);
    each_chunk(dir, |chunk| go_on().and_then(|()| Ok(writer.take(chunk)?)))?;
    writer.finish()?;
    Ok(())
}

/// Hands every piece of the segments to `sink`, until it fails.
fn each_chunk(
    dir: &Path,
    mut sink: impl FnMut(&Chunk) -> Result<(), ExportFault>,
) -> Result<(), ExportFault> {
    let segments = dir.join("store").join("segments");
    let recorded = recorded_in(&dir.join("store"))?;
    let (numbers, _) = segment_numbers(&segments)?;
    let sources = numbers
        .iter()
        .map(|number| Ok((*number, File::open(segments.join(segment_name(*number)))?)));
    let mut fault = None;
    let ending = walk(sources, |chunk| match sink(&chunk) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            fault = Some(error);
            ControlFlow::Break(())
        }
    })
    .map_err(ExportFault::Segments)?;
    if let Some(failure) = shortened(&recorded, &ending, &segments, numbers.last().copied())? {
        return Err(ExportFault::Damaged(failure.to_string()));
    }
    match (fault, ending) {
        (Some(fault), _) => Err(fault),
        (None, Ending::Broken(failure)) => Err(ExportFault::Damaged(failure.to_string())),
        (None, _) => Ok(()),
    }
}

/// Makes everything durable, then gives the folder its name. A name that was taken meanwhile by a
/// folder with something in it stays as it is.
fn publish(partial: &Path, out: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(partial)?)?;
    std::fs::rename(partial, out)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The files of an export that is being written.
#[derive(Debug)]
struct Files<'a> {
    dir: PathBuf,
    /// The directory written to last: it is there.
    last: Option<PathBuf>,
    stop: &'a AtomicBool,
}

impl Sink for Files<'_> {
    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let path = self.dir.join(path);
        let parent = path.parent().unwrap_or(&self.dir);
        if self.last.as_deref() != Some(parent) {
            std::fs::create_dir_all(parent)?;
            self.last = Some(parent.to_owned());
        }
        io::Write::write_all(&mut File::create_new(&path)?, bytes)
    }
}
