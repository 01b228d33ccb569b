//! The command line: clients of `liaison.v1`, and what an auditor runs offline. The commands are in [`commands`].
//!
//! Commands decide what to ask and how to show it; what may be done is the node's decision alone.
//! Nothing but `output` prints, and nothing but `error` knows exit codes.

mod audit_outcome;
pub mod audit_store;
mod card_file;
pub mod commands;
pub mod connection;
mod context;
pub mod error;
mod given_id;
mod interrupt;
mod names;
pub mod output;
mod policy_difference;
mod progress;
mod record_view;
mod schema;
mod table;
mod wording;

pub use commands::Command;
pub use context::{Context, GlobalOptions};

use std::ffi::{OsStr, OsString};
use std::pin::Pin;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use error::{CliError, Exit};
use output::Output;

/// Share signed intelligence records between agencies.
///
/// Results go to stdout, everything else to stderr. Commands that talk to a node need a client
/// profile: name it with --client, or name the node's directory with --dir.
#[derive(Debug, Parser)]
#[command(name = "liaison", version, after_help = Exit::HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalOptions,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line and the environment; an error or a wish for help ends the process.
    pub fn read() -> Self {
        let command = without_empty_variables(Self::command(), |name| std::env::var_os(name));
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// An environment variable that is set to nothing counts as one that is not set.
fn without_empty_variables(
    command: clap::Command,
    value_of: impl Fn(&OsStr) -> Option<OsString>,
) -> clap::Command {
    command.mut_args(|arg| match arg.get_env().and_then(&value_of) {
        Some(value) if value.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    })
}

/// A command under way. It is behind a pointer so that the code of all commands is generated once: waiting for the
/// future itself would generate it anew wherever somebody waits.
pub type Running = Pin<Box<dyn Future<Output = Exit>>>;

/// Runs the command and shows its error, if there is one.
pub fn run(cli: Cli) -> Running {
    Box::pin(async move {
        let context = Context::new(cli.global);
        match commands::dispatch(cli.command, &context).await {
            Ok(()) => Exit::Done,
            Err(error) => {
                context.output.error(&error);
                error.exit()
            }
        }
    })
}

/// Shows an error that came before any command could run.
pub fn fail(options: &GlobalOptions, error: &CliError) -> Exit {
    Output::new(options.output, options.color).error(error);
    error.exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        for command in Cli::command().get_subcommands() {
            let has_example = |c: &clap::Command| {
                c.get_after_help().is_some_and(|help| help.to_string().contains("liaison "))
            };
            let shown = has_example(command) || command.get_subcommands().all(has_example);
            assert!(shown, "{} has no example", command.get_name());
        }
    }

    #[test]
    fn an_argument_that_would_ask_for_everything_if_it_were_left_out_is_not_empty() {
        for arguments in [
            &["query", ""][..],
            &["query", " "],
            &["query", "--case", ""],
            &["query", "--domain", ""],
            &["query", "--network", ""],
            &["query", "--text", ""],
            &["takedown", "status", ""],
            &["push", "f.csv", "--case", ""],
        ] {
            let parsed = Cli::try_parse_from(["liaison"].iter().chain(arguments));
            let error = parsed.map(drop).unwrap_err().to_string();
            assert!(error.contains("it is empty"), "{arguments:?}: {error}");
        }
        assert!(Cli::try_parse_from(["liaison", "takedown", "status"]).is_ok());
    }

    #[test]
    fn an_empty_variable_is_as_if_it_were_not_set() {
        let variable = |value: Option<&str>| {
            let command = without_empty_variables(Cli::command(), |_| value.map(OsString::from));
            let dir = command.get_arguments().find(|arg| arg.get_id() == "dir").cloned().unwrap();
            dir.get_env().map(ToOwned::to_owned)
        };
        assert_eq!(variable(Some("")), None);
        assert_eq!(variable(Some("/srv/npa")), Some("LIAISON_DIR".into()));
        assert_eq!(variable(None), Some("LIAISON_DIR".into()));
    }

    /// All help texts that stand behind the options of a command and those below it.
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        found.extend(command.get_after_help().map(ToString::to_string));
        command.get_subcommands().for_each(|command| examples(command, found));
    }

    #[test]
    fn the_numbers_in_examples_have_sound_check_digits() {
        let mut texts = Vec::new();
        examples(&Cli::command(), &mut texts);
        let numbers: Vec<&str> =
            texts.iter().flat_map(|text| text.split("--identity '").skip(1)).collect();
        assert!(numbers.len() >= 3, "{numbers:?}");
        for number in numbers {
            let number = number.split('\'').next().unwrap();
            assert!(number.parse::<crate::partner::HeardNumber>().is_ok(), "{number}");
        }
    }

    #[test]
    fn the_root_help_ends_with_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("130  interrupted"), "{help}");
    }
}
