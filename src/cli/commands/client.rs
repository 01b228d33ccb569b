//! `liaison client`: certificates for the agency's own people and tools.

use crate::cli::context::{Context, directory};
use crate::cli::error::CliError;
use crate::node::init;
use crate::policy::ClientRole;
use crate::tls::{ClientName, ClientProfile};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;

/// Certificates for the agency's own people and tools.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    Issue(IssueArgs),
}

/// Issue a certificate; writes a profile to DIR/clients/NAME.client.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison client issue m.jansen --role analyst --dir npa")]
pub struct IssueArgs {
    /// Name of the person or tool; the journal names it with each of its actions.
    name: ClientName,
    /// analyst, vendor-tool, auditor, policy-officer, data-protection-officer or admin.
    #[arg(long)]
    role: ClientRole,
    /// Issue another certificate in the same role and replace the present profile. The earlier certificate stays
    /// valid until its date.
    #[arg(long)]
    again: bool,
}

pub(super) fn run(command: ClientCommand, context: &Context) -> Result<(), CliError> {
    let ClientCommand::Issue(args) = command;
    let dir = directory(context)?;
    check_name(&dir, &args)?;
    let now = (crate::journal::open::system_clock())();
    let path = init::issue_client(&dir, &args.name, args.role, now).map_err(CliError::from)?;
    let shown = path.display().to_string();
    context.output.either(
        json!({ "name": args.name.as_str(), "role": args.role.name(), "profile": shown }),
        || format!("issued  {} as {}: {shown}", args.name.as_str(), args.role),
    )?;
    if args.again {
        context.output.note("an earlier certificate of this name stays valid until its date");
    }
    context.output.note("the file holds a private key: hand it over safely, then delete it here");
    Ok(())
}

/// Refuses a name whose profile is still here: it may be another person's, and the journal would hold both under one
/// name.
fn check_name(dir: &Path, args: &IssueArgs) -> Result<(), CliError> {
    let path = ClientProfile::path(dir, &args.name);
    if !path.exists() {
        return Ok(());
    }
    let there = ClientProfile::load(&path).ok().map(|profile| profile.role);
    if args.again && there.is_none_or(|role| role == args.role) {
        return Ok(());
    }
    let role = there.map_or_else(String::new, |role| format!(" as {role}"));
    Err(CliError::Precondition {
        found: format!("{} was issued{role} already: {}", args.name.as_str(), path.display()),
        fix: "choose another name for another person or role; add --again for another certificate in the same role"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_issued_once_and_again_only_in_the_same_role() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("npa");
        let config = crate::cli::commands::init::tests::config("localhost:7443", "127.0.0.1:7443");
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        init::init(&dir, &config, now).unwrap();
        let args = |role, again| IssueArgs { name: "m.jansen".parse().unwrap(), role, again };
        check_name(&dir, &args(ClientRole::Analyst, false)).unwrap();
        let name = "m.jansen".parse().unwrap();
        init::issue_client(&dir, &name, ClientRole::Analyst, now).unwrap();
        for (role, again) in [
            (ClientRole::Analyst, false),
            (ClientRole::Auditor, false),
            (ClientRole::Auditor, true),
        ] {
            let error = check_name(&dir, &args(role, again)).unwrap_err();
            assert_eq!(error.exit().code(), 9);
            assert!(
                error.to_string().contains("m.jansen was issued as analyst already"),
                "{error}"
            );
        }
        check_name(&dir, &args(ClientRole::Analyst, true)).unwrap();
    }
}
