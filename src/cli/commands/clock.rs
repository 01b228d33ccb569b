//! `liaison clock`: the time of a node, on the word of an administrator.

use crate::cli::connection::Role;
use crate::cli::context::{Context, parse_time};
use crate::cli::error::CliError;
use crate::ident::Timestamp;
use crate::pb;
use crate::pb::node_service_client::NodeServiceClient;

/// Confirm the node's wall clock.
#[derive(Debug, clap::Subcommand)]
pub enum ClockCommand {
    /// Confirm that the node's wall clock is right.
    #[command(after_help = CONFIRM_EXAMPLE)]
    Confirm(ConfirmArgs),
}

const CONFIRM_EXAMPLE: &str = "\
Example:
  liaison clock confirm --time 2026-11-30T12:00:00Z

Read the time off a clock that is not this machine's. The node refuses it if its wall clock differs by
more than ten minutes. Afterwards the node signs again, and records whose time has ended by then are
erased for good. Needed only where no partner's or witness's time agrees with the wall clock.";

#[derive(Debug, clap::Args)]
pub struct ConfirmArgs {
    /// The time on another clock now, as RFC 3339.
    #[arg(long, value_parser = parse_time)]
    time: Timestamp,
}

pub(super) async fn run(command: ClockCommand, context: &Context) -> Result<(), CliError> {
    let ClockCommand::Confirm(ConfirmArgs { time }) = command;
    let mut client = NodeServiceClient::new(context.channel(&[Role::Admin]).await?);
    let request = pb::ConfirmClockRequest { time_ms: time.unix_ms().unsigned_abs() };
    client
        .confirm_clock(context.request(request))
        .await
        .map_err(CliError::node("confirm the clock"))?;
    context.output.note("confirmed; the journal has it");
    Ok(())
}
