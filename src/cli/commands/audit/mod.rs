//! `liaison audit`: verification of histories and proofs, and the means for it.

pub mod export;
mod ledger;
mod prove;
pub(super) mod verify;
mod watch;
mod witness;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use clap::Subcommand;
use export::ExportArgs;
use ledger::LedgerArgs;
use prove::ProveArgs;
use verify::VerifyArgs;
use watch::WatchLogArgs;
use witness::WitnessCommand;

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

pub(super) async fn run(command: AuditCommand, context: &Context) -> Result<(), CliError> {
    match command {
        AuditCommand::Export(args) => export::run(args, context).await,
        AuditCommand::Ledger(args) => ledger::run(&args, context),
        AuditCommand::Prove(args) => prove::run(&args, context).await,
        AuditCommand::Witness(command) => witness::run(command, context).await,
        AuditCommand::Verify(args) => verify::run(&args, context),
        AuditCommand::Watch(args) => watch::run(args, context).await,
    }
}
