//! `liaison client`: certificates for the agency's own people and tools.

use super::error::CliError;
use super::{Context, directory};
use crate::node::init;
use crate::policy::ClientRole;
use crate::tls::ClientName;
use clap::{Args, Subcommand};
use serde_json::json;

/// Certificates for the agency's own people and tools.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    Issue(IssueArgs),
}

/// Issue a certificate; writes a profile to DIR/clients/NAME.client.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison client issue m.jansen --role analyst --dir npa")]
pub struct IssueArgs {
    /// Name of the person or tool; it stands in the journal beside what it does.
    name: ClientName,
    /// analyst, vendor-tool, auditor, policy-officer, data-protection-officer or admin.
    #[arg(long)]
    role: ClientRole,
}

pub(super) fn run(command: ClientCommand, context: &Context) -> Result<(), CliError> {
    let ClientCommand::Issue(args) = command;
    let dir = directory(context)?;
    let now = (crate::journal::open::system_clock())();
    let path = init::issue_client(&dir, &args.name, args.role, now).map_err(CliError::from)?;
    let shown = path.display().to_string();
    context.output.either(
        json!({ "name": args.name.as_str(), "role": args.role.name(), "profile": shown }),
        || format!("issued  {} as {}: {shown}", args.name.as_str(), args.role),
    )?;
    context.output.note("the file holds a private key: hand it over safely, then delete it here");
    Ok(())
}
