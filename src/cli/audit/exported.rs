//! The files of an export, read and examined by several threads and judged by one.

use super::{AuditError, card_file, examiners, reading, refused};
use crate::audit::{
    CARD, CHECKPOINT, ExaminedBundle, Expectations, ExportAudit, Folder, Report, examine_bundle,
    read_bundle,
};
use crate::merkle::Tile;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bundles that may wait for each thread: a decoded one takes up to a MiB as records usually are.
const QUEUE_MAX: usize = 4;

/// A folder on this machine.
#[derive(Debug)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Folder for Directory {
    fn read(&self, path: &str, bytes_max: u64) -> io::Result<Option<Bytes>> {
        let mut file = match File::open(self.0.join(path)) {
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

/// What stands where a file should be and is none is as good as nothing.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// Whether a directory is an export and no node's directory. One that lacks a part of it is a
/// damaged export.
pub(super) fn is_export(dir: &Path) -> bool {
    let has = |name: &str| dir.join(name).exists();
    (has(CHECKPOINT) || has("tile")) && !has("store")
}

pub(super) fn verify(dir: &Path, mut expectations: Expectations) -> Result<Report, AuditError> {
    match card_file(&dir.join(CARD))? {
        Ok(card) => expectations.directory_card = card,
        Err(fault) => return Ok(refused(expectations, fault)),
    }
    run(&Directory(dir.to_owned()), expectations).map_err(reading(dir))
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
