//! `liaison audit verify` and `liaison store check`: what an auditor and an administrator run offline.

use super::audit::exported::{Directory, FOREIGN_MAX};
use super::audit::{AuditOptions, anchor, is_part, verify_directory};
use super::context::Context;
use super::error::CliError;
use super::export::{self, ExportArgs};
use super::ledger::{self, LedgerArgs};
use super::outcome::{refused, show, unreadable};
use super::prove::{self, ProveArgs};
use super::watch_log::{self, WatchLogArgs};
use super::witness::{self, WitnessCommand};
use crate::audit::{Occasion, verify_part};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Verify history offline, with no trust in the node or its configuration; see its witnesses.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    Verify(VerifyArgs),
    Export(ExportArgs),
    Ledger(LedgerArgs),
    Prove(ProveArgs),
    Watch(WatchLogArgs),
    #[command(
        subcommand,
        after_help = "Example:\n  liaison audit witness list --dir /var/lib/liaison"
    )]
    Witness(WitnessCommand),
}

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
    /// Also write the report as one page for people, HTML that loads nothing.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) async fn run(command: AuditCommand, context: &Context) -> Result<(), CliError> {
    match command {
        AuditCommand::Export(args) => export::run(args, context).await,
        AuditCommand::Ledger(args) => ledger::run(&args, context),
        AuditCommand::Prove(args) => prove::run(&args, context).await,
        AuditCommand::Witness(command) => witness::run(command, context).await,
        AuditCommand::Verify(args) if args.path.is_file() => verify_proof(&args, context),
        AuditCommand::Verify(args) if is_part(&args.path) => verify_a_part(&args, context),
        AuditCommand::Verify(args) => verify(&args, context),
        AuditCommand::Watch(args) => watch_log::run(args, context).await,
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
    let checked = verify_part(&folder, &anchor);
    let mut report = checked
        .map_err(CliError::file("read", &args.path))?
        .map_err(|failure| refused(&failure.fault, failure.to_string()))?;
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
pub(super) fn check_store(dir: &Path, context: &Context) -> Result<(), CliError> {
    let report = verify_directory(dir, &AuditOptions::default()).map_err(unreadable)?;
    show(&report, context)
}

/// Verifies a journal; returns the first broken thing if it is not accepted.
pub(super) fn accepts(dir: &Path) -> Result<(), String> {
    match verify_directory(dir, &AuditOptions::default()) {
        Err(error) => Err(error.to_string()),
        Ok(report) => report.failure.map_or(Ok(()), |failure| Err(failure.to_string())),
    }
}
