//! `liaison completions`: a completion script for a shell.

use clap::CommandFactory;

use super::error::CliError;
use super::{Cli, Context};

/// Write a completion script to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  liaison completions bash > /etc/bash_completion.d/liaison")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "liaison", &mut script);
    context.output.raw(&script)
}
