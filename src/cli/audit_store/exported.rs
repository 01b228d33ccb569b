//! The files of an export, read and examined by several threads and judged by one.

use super::error::{AuditError, reading};
use super::files::{CardFile, card_file, has_segments};
use super::threads::examiners;
use crate::audit::{
    Audit, CARD, CARD_TEXT_BYTES_MAX, CHECKPOINT, Ending, ExaminedBundle, Expectations,
    ExportAudit, Failure, Fault, Folder, Place, Remark, Report, examine_bundle, read_bundle,
};
use crate::merkle::Tile;
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Bundles that may wait for each thread: a decoded one takes up to a MiB as records usually are.
const QUEUE_MAX: usize = 4;

/// Files of a folder that are named in a remark at the most.
pub(crate) const FOREIGN_MAX: usize = 32;

/// The folder with the tiles of the journal.
pub(super) const TILES: &str = "tile";

/// A folder on this machine, with the files that were asked for.
#[derive(Debug)]
pub(crate) struct Directory {
    dir: PathBuf,
    asked: Mutex<HashSet<String>>,
}

impl Directory {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, asked: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Files that nobody asked for: no entry and no manifest names them. Each by its path from the top,
    /// in their order.
    pub(crate) fn foreign(&self) -> io::Result<Vec<String>> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut foreign, mut dirs) = (Vec::new(), vec![self.dir.clone()]);
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    dirs.push(entry.path());
                    continue;
                }
                let path = entry.path();
                let name = path.strip_prefix(&self.dir).unwrap_or(&path).to_string_lossy();
                if !asked.contains(name.as_ref()) {
                    foreign.push(name.into_owned());
                }
            }
        }
        foreign.sort();
        Ok(foreign)
    }
}

/// The remarks on files that nothing names.
pub(crate) fn remarks_on(foreign: Vec<String>) -> impl Iterator<Item = Remark> {
    let more = foreign.len().saturating_sub(FOREIGN_MAX);
    let named = foreign.into_iter().take(FOREIGN_MAX).map(|name| Remark::ForeignFile { name });
    let rest = format!("and {more} more files");
    named.chain((more > 0).then_some(Remark::ForeignFile { name: rest }))
}

impl Folder for Directory {
    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Bytes>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
        let path = self.dir.join(path);
        // Opening a pipe would wait for whoever writes to it.
        if path.exists() && !path.is_file() {
            return Ok(None);
        }
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len().min(bytes_max + 1);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
        match file.by_ref().take(bytes_max + 1).read_to_end(&mut bytes) {
            Err(error) if is_absent(&error) => Ok(None),
            read => read.map(|_| Some(bytes.into())),
        }
    }
}

/// Returns true if the file is absent; another thing at its path counts as absent.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// Returns true if a directory is an export. One that lacks a part of it is a damaged export. In a node's
/// directory, which has segments, somebody may have saved a checkpoint or tiles.
pub(super) fn is_export(dir: &Path) -> bool {
    match [CHECKPOINT, TILES].map(|name| dir.join(name).exists()) {
        [true, true] => true,
        [false, false] => false,
        _ => !has_segments(dir),
    }
}

pub(super) fn verify(dir: &Path, mut expectations: Expectations) -> Result<Report, AuditError> {
    match card_file(&dir.join(CARD))? {
        CardFile::Missing => {}
        CardFile::Signed(card) => expectations.directory_card = Some(*card),
        CardFile::Unusable(fault) => return Ok(refused(expectations, fault)),
    }
    let folder = Directory::new(dir.to_owned());
    folder.read(CARD, CARD_TEXT_BYTES_MAX as u64).map_err(reading(dir))?;
    let mut report = run(&folder, expectations).map_err(reading(dir))?;
    if report.failure.is_none() {
        report.remarks.extend(remarks_on(folder.foreign().map_err(reading(dir))?));
    }
    Ok(report)
}

fn run(folder: &Directory, expectations: Expectations) -> io::Result<Report> {
    let mut audit = ExportAudit::open(folder, expectations)?;
    let examiners = examiners();
    std::thread::scope(|scope| {
        let outputs: Vec<_> = (0..examiners)
            .map(|turn| {
                let (results, output) = sync_channel(QUEUE_MAX);
                let bundles = audit.bundles().skip(turn).step_by(examiners);
                scope.spawn(move || examine(folder, bundles, &results));
                output
            })
            .collect();
        judge(&mut audit, &outputs)
    })?;
    audit.finish()
}

fn examine(
    folder: &Directory,
    bundles: impl Iterator<Item = Tile>,
    results: &SyncSender<io::Result<ExaminedBundle>>,
) {
    for tile in bundles {
        let examined = read_bundle(folder, tile).map(examine_bundle);
        if results.send(examined).is_err() {
            return;
        }
    }
}

/// Takes the bundles in their order. Leaving early drops nothing that anybody waits for: whoever
/// sends finds the receivers gone.
fn judge(
    audit: &mut ExportAudit<'_, Directory>,
    outputs: &[Receiver<io::Result<ExaminedBundle>>],
) -> io::Result<()> {
    for output in outputs.iter().cycle() {
        let Ok(examined) = output.recv() else { return Ok(()) };
        if !audit.take(examined?)? {
            return Ok(());
        }
    }
    Ok(())
}

fn refused(expectations: Expectations, fault: Fault) -> Report {
    let failure = Failure { place: Place::File("card.txt".to_owned()), entry: None, fault };
    Audit::new(expectations).finish(Ending::Broken(failure))
}
