//! `liaison audit export`: a node's history as a folder that needs no node to be verified.
//!
//! It reads the node's directory, never its keys, and may do so while the node runs. The folder
//! appears when it is complete, or not at all. A part of the history is written with the proof of
//! each entry and never looks like the whole.

use super::Context;
use super::audit::{AuditError, exported::Directory, policies, segment_name, segment_numbers};
use super::error::{CliError, Exit};
use super::{interrupt, parse_time};
use crate::audit::{
    Anchor, Chunk, Ending, ExportError, Exporter, PartError, PartWriter, Selection, Sink, Summary,
    Survey, verify_part, walk,
};
use crate::ident::{RecordId, Timestamp};
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
  liaison audit export npa --out november --from 2026-11-01 --to 2026-12-01
  liaison audit export npa --out for-the-court --case NPA-2026-0417
  liaison audit verify npa-export --identity '41822 09377 55120 83014 26790 71158'

With --from, --to, --case or --record only a part is written: those entries, each with the proof that it
stands in the journal. Of a time it can be shown that nothing is missing, of a case or record not.")]
pub struct ExportArgs {
    /// The node's directory, or a copy of it.
    directory: PathBuf,
    /// The folder to make; it must not be there yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    part: PartArgs,
}

/// What a part is to hold.
#[derive(Debug, Args)]
struct PartArgs {
    /// Only entries not before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Only entries before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Timestamp>,
    /// Only what is about the case with this reference, or about a record that refers to it.
    #[arg(long, value_name = "REFERENCE", conflicts_with_all = ["from", "to"])]
    case: Option<String>,
    /// Only what is about this record and its other revisions.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "case"])]
    record: Option<RecordId>,
}

impl PartArgs {
    /// `None`: the whole history.
    fn selection(self) -> Option<Selection> {
        let Self { from, to, case, record } = self;
        let time = (from.is_some() || to.is_some()).then_some(Selection::Time { from, to });
        time.or(case.map(Selection::Case)).or(record.map(Selection::Record))
    }
}

/// What was written.
#[derive(Debug)]
enum Written {
    Whole(Box<Summary>),
    Part(Box<crate::audit::PartReport>),
}

/// Why there is no export.
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
    #[error("the part that was written does not hold: {0}")]
    NotVerified(String),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("interrupted")]
    Interrupted,
}

pub(super) async fn run(args: ExportArgs, context: &Context) -> Result<(), CliError> {
    refuse_existing(&args.out)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (out, stopping) = (args.out.clone(), Arc::clone(&stop));
    let mut work = tokio::task::spawn_blocking(move || match args.part.selection() {
        None => export(&args.directory, &out, &stopping).map(|s| Written::Whole(Box::new(s))),
        Some(part) => export_part(&args.directory, &out, part, &stopping)
            .map(|report| Written::Part(Box::new(report))),
    });
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = interrupt::interrupted() => {
            stop.store(true, Ordering::Relaxed);
            work.await
        }
    };
    let written =
        ended.map_err(|error| failed(error.to_string().into()))?.map_err(|fault| match fault {
            ExportFault::Interrupted => CliError::Interrupted {
                kept: "nothing was exported".to_owned(),
                fix: "run it again".to_owned(),
            },
            fault => failed(fault.into()),
        })?;
    match written {
        Written::Whole(summary) => show(&summary, context),
        Written::Part(report) => {
            context.output.either(report.to_json(), || report.to_string().trim_end().to_owned())
        }
    }
}

fn failed(source: super::error::Source) -> CliError {
    CliError::Other {
        doing: "the history cannot be exported".to_owned(),
        exit: Exit::Failed,
        fix: "name a node's directory, which has store/segments and policies; \
              `liaison audit verify` says what is wrong with it"
            .to_owned(),
        source,
    }
}

fn refuse_existing(out: &Path) -> Result<(), CliError> {
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(CliError::Precondition {
        found: format!("{} is there already", out.display()),
        fix: "choose another folder with --out; an export is never changed".to_owned(),
    })
}

fn show(summary: &Summary, context: &Context) -> Result<(), CliError> {
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
    });
    context.output.either(value, || {
        let entries: u64 = feeds.values().sum();
        format!(
            "{size} journal entries, {entries} entries of {} feeds, {cards} cards, {policies} \
             policies; {files} files, {bytes} bytes",
            feeds.len()
        )
    })
}

/// Exports the history in the node's directory `dir` to `out`, which must not be there. `stop` ends
/// it early; then nothing is left.
pub fn export(dir: &Path, out: &Path, stop: &AtomicBool) -> Result<Summary, ExportFault> {
    appearing(out, stop, |files| write(dir, files))
}

/// The same for a part of it. What is written was verified by the code that whoever gets it will run.
pub(super) fn export_part(
    dir: &Path,
    out: &Path,
    selection: Selection,
    stop: &AtomicBool,
) -> Result<crate::audit::PartReport, ExportFault> {
    appearing(out, stop, |files| {
        let folder = Directory(files.dir.clone());
        write_part(dir, selection, files)?;
        let checked = verify_part(&folder, &Anchor::Directory);
        let checked = checked.map_err(|source| ExportFault::Write { path: folder.0, source })?;
        checked.map_err(|failure| ExportFault::NotVerified(failure.to_string()))
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
