//! The files of a node's directory and of an export, read with a limit of bytes.

use super::error::{AuditError, reading};
use crate::audit::{CARD_TEXT_BYTES_MAX, Card, Check, Fault, KnownCheckpoint, MANIFEST};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Returns true if a directory is a part of an export. A node's directory, which has segments, may have a
/// file of the same name as the manifest and has no entries in files of their own.
pub(in crate::cli) fn is_part(dir: &Path) -> bool {
    dir.join(MANIFEST).exists() && (dir.join("journal").exists() || !has_segments(dir))
}

/// Returns true if a directory holds the files of a node's journal.
pub(super) fn has_segments(dir: &Path) -> bool {
    dir.join("store").join("segments").is_dir()
}

/// A card that the auditor brings along.
pub(in crate::cli) fn read_card(path: &Path) -> Result<Card, AuditError> {
    let bytes = read(path, CARD_TEXT_BYTES_MAX as u64)
        .map_err(|source| AuditError::CardFile { path: path.to_owned(), source })?;
    Card::from_text(&String::from_utf8_lossy(&bytes)).map_err(|source| AuditError::Card {
        path: path.to_owned(),
        kind: kind_of(&bytes),
        source,
    })
}

/// The sort of a file by its first bytes, for whoever named the wrong one.
pub(in crate::cli) fn kind_of(bytes: &[u8]) -> String {
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

/// The file with the card beside a journal.
pub(super) enum CardFile {
    Missing,
    Signed(Box<Card>),
    Unusable(Fault),
}

/// Reads the card beside the journal.
pub(super) fn card_file(path: &Path) -> Result<CardFile, AuditError> {
    // Opening a pipe would wait for whoever writes to it.
    if !path.is_file() {
        return Ok(CardFile::Missing);
    }
    let bytes = read(path, CARD_TEXT_BYTES_MAX as u64).map_err(reading(path))?;
    Ok(match Card::from_text(&String::from_utf8_lossy(&bytes)) {
        Ok(card) => CardFile::Signed(Box::new(card)),
        Err(fault) => CardFile::Unusable(Fault {
            check: Check::DirectoryCard,
            expected: "a signed card".to_owned(),
            found: fault.to_string(),
        }),
    })
}

/// Lists a directory; empty if it does not exist.
pub(super) fn entries(dir: &Path) -> Result<Vec<PathBuf>, AuditError> {
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
pub(in crate::cli) fn segment_numbers(dir: &Path) -> Result<(Vec<u32>, Vec<String>), AuditError> {
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

pub(in crate::cli) fn segment_name(number: u32) -> String {
    format!("{number:08}.seg")
}

pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, AuditError> {
    read(path, bytes_max)
        .and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
        })
        .map_err(reading(path))
}

/// The first `bytes_max` + 1 bytes of a file at the most.
pub(in crate::cli) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
