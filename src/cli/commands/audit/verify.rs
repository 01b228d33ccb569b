//! `liaison audit verify` and `liaison store check`: what an auditor and an administrator run offline.

use super::prove;
use crate::audit::{Occasion, PartFault, verify_part};
use crate::cli::audit_outcome::{refused, show, unreadable};
use crate::cli::audit_store::exported::{Directory, FOREIGN_MAX};
use crate::cli::audit_store::{AuditOptions, anchor, is_part, verify_directory};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use clap::Args;
use std::path::{Path, PathBuf};

/// Verify a node's directory, an export, a part of one or the proof of one record: signatures, fields, trees,
/// checkpoints, feeds, receipts and every disclosure against its policy.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  liaison audit verify npa --identity '41822 09379 55120 83013 26790 71154'\n  liaison audit verify 9f31c2….liaison-proof --card originator.txt\n\nFor a proof, number and card are the originator's. Exit code 6 means that verification failed, and nothing else."
)]
pub struct VerifyArgs {
    /// The node's directory, a copy of it, an export or a part, or a proof that `audit prove` wrote.
    path: PathBuf,
    #[command(flatten)]
    options: AuditOptions,
    /// Also write the report as one HTML page, which loads nothing else.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Verifies whatever the path is.
pub(super) fn run(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    if args.path.is_file() {
        verify_proof(args, context)
    } else if is_part(&args.path) {
        verify_a_part(args, context)
    } else {
        verify(args, context)
    }
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    let report = verify_directory(&args.path, &args.options).map_err(unreadable)?;
    if let Some(path) = &args.report {
        let occasion = Occasion {
            source: args.path.display().to_string(),
            program: format!("liaison {}", env!("CARGO_PKG_VERSION")),
            at: (crate::journal::open::system_clock())().to_string(),
        };
        std::fs::write(path, report.to_html(&occasion)).map_err(CliError::file("write", path))?;
    }
    show(&report, context)
}

/// Verifies a part; its report names it as a part, so that it never passes for a history.
fn verify_a_part(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    if args.options.checkpoint.is_some() || args.report.is_some() {
        let found = "checkpoint and report are of a whole journal, this is a part of one";
        return Err(CliError::usage(
            found,
            "leave --checkpoint and --report away, or name a node's directory or a whole export",
        ));
    }
    let anchor = anchor(&args.options).map_err(unreadable)?;
    let folder = Directory::new(args.path.clone());
    let mut report = verify_part(&folder, &anchor).map_err(|fault| match fault {
        PartFault::Broken(failure) => refused(&failure.fault, failure.to_string()),
        PartFault::Io(error) => CliError::file("read", &args.path)(error),
    })?;
    report.foreign = folder.foreign().map_err(CliError::file("list", &args.path))?;
    report.foreign.truncate(FOREIGN_MAX);
    context.output.either(report.to_json(), || report.to_string().trim_end().to_owned())
}

fn verify_proof(args: &VerifyArgs, context: &Context) -> Result<(), CliError> {
    if args.options.checkpoint.is_some() || args.report.is_some() {
        let found = "checkpoint and report are of a whole journal, this is the proof of one record";
        return Err(CliError::usage(
            found,
            "leave --checkpoint and --report away, or name a node's directory",
        ));
    }
    let anchor = anchor(&args.options).map_err(unreadable)?;
    let report = prove::verify(&args.path, &anchor)?;
    context.output.either(report.to_json(), || report.to_string().trim_end().to_owned())
}

/// The same checks for an administrator, on the store of a node.
pub(in crate::cli::commands) fn check_store(dir: &Path, context: &Context) -> Result<(), CliError> {
    let report = verify_directory(dir, &AuditOptions::default()).map_err(unreadable)?;
    show(&report, context)
}

/// Verifies a journal; returns the first broken thing if it is not accepted.
pub(in crate::cli::commands) fn accepts(dir: &Path) -> Result<(), String> {
    match verify_directory(dir, &AuditOptions::default()) {
        Err(error) => Err(error.to_string()),
        Ok(report) => report.failure.map_or(Ok(()), |failure| Err(failure.to_string())),
    }
}
