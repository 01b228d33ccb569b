//! `liaison completions`: a completion script for a shell.

use crate::cli::context::Context;
use crate::cli::error::CliError;

/// Write a completion script to stdout.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  liaison completions bash > /etc/bash_completion.d/liaison")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// `command` is the whole command line.
pub(super) fn run(
    args: &CompletionsArgs,
    mut command: clap::Command,
    context: &Context,
) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "liaison", &mut script);
    context.output.raw(&script)
}
