//! The files of a bundle on this machine, and what a node or this program found in them.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::harmless_lines;
use crate::cli::schema::{self, Absent};
use crate::numerals::counted;
use crate::pb;
use crate::policy::is_examples;
use serde_json::{Value, json};
use std::path::Path;

/// Files of one bundle, as the node takes them.
const FILES_MAX: usize = 64;
/// Longest policy file; the longest real ones have a few hundred lines.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Reads the policies of a directory and their examples in the order of their names.
pub(super) fn read_bundle(directory: &Path) -> Result<Vec<pb::PolicyFile>, CliError> {
    let entries = std::fs::read_dir(directory).map_err(CliError::file("read", directory))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(CliError::file("read", directory))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if name.ends_with(".cedar") || is_examples(&name) {
            paths.push(path);
        }
    }
    paths.sort();
    let has_policies = paths.iter().any(|path| path.extension().is_some_and(|e| e == "cedar"));
    if !has_policies || paths.len() > FILES_MAX {
        let found =
            format!("{} has {} *.cedar and *.test.toml files", directory.display(), paths.len());
        let fix = format!("a bundle has 1 to {FILES_MAX} of them, a policy among them");
        return Err(CliError::usage(found, fix));
    }
    paths.iter().map(|path| read_policy(path)).collect()
}

pub(super) fn read_policy(path: &Path) -> Result<pb::PolicyFile, CliError> {
    let length = std::fs::metadata(path).map_err(CliError::file("read", path))?.len();
    if length > FILE_BYTES_MAX {
        let found = format!("{} has {length} bytes", path.display());
        return Err(CliError::usage(found, format!("a policy file has at most {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read_to_string(path).map_err(CliError::file("read", path))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(pb::PolicyFile { name, text })
}

/// Shows findings; what to say of them.
pub(super) fn refused(
    findings: &[pb::PolicyFinding],
    context: &Context,
) -> Result<CliError, CliError> {
    let found = format!(
        "the bundle has {}; nothing was changed",
        counted(findings.len() as u64, "finding")
    );
    let documents: Vec<Value> = findings
        .iter()
        .map(|finding| schema::to_json("PolicyFinding", finding, Absent::Shown))
        .collect();
    context.output.either(json!({"findings": documents}), || {
        let lines: Vec<_> = findings.iter().map(finding_text).collect();
        harmless_lines(&lines.join("\n"))
    })?;
    Ok(CliError::Refused { found, fix: "correct the files and run it again".into() })
}

/// `file:line:column: message`, as editors jump to it.
pub(super) fn finding_text(finding: &pb::PolicyFinding) -> String {
    let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
    match finding.help.as_str() {
        "" => format!("{place}: {}", finding.message),
        help => format!("{place}: {}\n  fix: {help}", finding.message),
    }
}
