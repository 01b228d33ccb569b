//! The policy bundles in a node's directory, without the files that other programs left beside them.

use super::error::{AuditError, reading};
use super::files::{entries, read as read_file};
use crate::audit::{BundleFiles, bundle_hash, is_plain_name};
use crate::ident::BundleHash;
use crate::policy::is_examples;
use std::collections::BTreeMap;
use std::path::Path;

/// Files and bytes of a policy bundle: a node refuses larger ones.
const FILES_MAX: usize = 256;
const BYTES_MAX: u64 = 1 << 20;
/// Bytes up to which files are left out to find the bundle: a whole bundle and the copy of one.
const SEARCHED_BYTES_MAX: usize = 2 << 20;

/// Reads the files of each bundle, by the hash in its folder's name. Gives the paths of the other files too.
pub(super) fn read(
    dir: &Path,
) -> Result<(BTreeMap<BundleHash, BundleFiles>, Vec<String>), AuditError> {
    let (mut found, mut foreign) = (BTreeMap::new(), Vec::new());
    for path in entries(dir)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(named) = name.and_then(|name| name.parse::<BundleHash>().ok()) else { continue };
        let (files, others) = split(named, files(&path)?);
        foreign.extend(others.into_iter().map(|name| format!("policies/{named}/{name}")));
        found.insert(named, files);
    }
    foreign.sort_unstable();
    Ok((found, foreign))
}

fn files(dir: &Path) -> Result<BundleFiles, AuditError> {
    let mut files = BTreeMap::new();
    for path in entries(dir)?.into_iter().take(FILES_MAX) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Opening a pipe would wait for whoever writes to it.
        if (name.ends_with(".cedar") || is_examples(&name)) && path.is_file() {
            let bytes = read_file(&path, BYTES_MAX).map_err(reading(&path))?;
            files.insert(name, bytes);
        }
    }
    Ok(files)
}

/// Parts the bundle with this hash from files of other names and from one copied file. Files that lead to
/// the hash in no way stay together: the audit finds that they are not the policy that was applied.
fn split(wanted: BundleHash, files: BundleFiles) -> (BundleFiles, Vec<String>) {
    let is_it = |files: &BundleFiles| bundle_hash(files) == wanted;
    let bytes = files.values().map(Vec::len).sum::<usize>();
    if is_it(&files) || bytes > SEARCHED_BYTES_MAX {
        return (files, Vec::new());
    }
    let (mut plain, others): (BundleFiles, BundleFiles) =
        files.clone().into_iter().partition(|(name, _)| is_plain_name(name));
    let mut foreign: Vec<String> = others.into_keys().collect();
    if is_it(&plain) {
        return (plain, foreign);
    }
    let names: Vec<String> = plain.keys().cloned().collect();
    for name in names {
        let Some(text) = plain.remove(&name) else { continue };
        if is_it(&plain) {
            foreign.push(name);
            return (plain, foreign);
        }
        plain.insert(name, text);
    }
    (files, Vec::new())
}
