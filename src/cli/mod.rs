//! The command line: one file a command, each a client of `liaison.v1`.
//!
//! Commands decide what to ask and how to show it; what may be done is the node's decision alone.
//! Nothing but `output` prints, and nothing but `error` knows exit codes.

mod acts;
pub mod audit;
mod bench;
mod case;
mod client;
mod clock;
mod completions;
pub mod connection;
mod consent;
mod demo;
mod erasure;
pub mod error;
pub mod export;
mod given_id;
mod init;
mod interrupt;
mod ledger;
mod names;
pub mod output;
mod partner;
mod policy;
mod policy_difference;
mod policy_log;
mod progress;
mod prove;
mod push;
mod query;
mod query_hint;
mod record;
mod record_verify;
mod record_view;
mod release;
mod retraction;
mod roster;
mod schema;
mod serve;
mod status;
mod store;
mod table;
mod takedown;
mod verify;
mod watch;
mod watch_log;
mod why_not;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tonic::transport::Channel;

use connection::Role;
use error::{CliError, Exit};
use output::{Color, Format, Output};
use progress::ProgressMode;

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

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalOptions {
    /// How results are written.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// When to use colour.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub color: Color,
    /// How long work shows that it goes on.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub progress: ProgressMode,
    /// The node's directory; profiles are looked for in DIR/clients.
    #[arg(long, global = true, env = "LIAISON_DIR", help_heading = "Global options")]
    pub dir: Option<PathBuf>,
    /// The client profile to use.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "LIAISON_CLIENT",
        help_heading = "Global options"
    )]
    pub client: Option<PathBuf>,
    /// How long to wait for the node, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "Global options")]
    pub timeout: u64,
}

impl GlobalOptions {
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            output: Format::Table,
            color: Color::Never,
            progress: ProgressMode::None,
            dir: None,
            client: None,
            timeout: 30,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(Box<init::InitArgs>),
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
    #[command(subcommand)]
    Client(client::ClientCommand),
    #[command(subcommand)]
    Store(store::StoreCommand),
    #[command(subcommand)]
    Audit(verify::AuditCommand),
    Status(status::StatusArgs),
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    Push(Box<push::PushArgs>),
    Query(query::QueryArgs),
    Watch(watch::WatchArgs),
    #[command(subcommand)]
    Record(record::RecordCommand),
    #[command(subcommand)]
    Case(case::CaseCommand),
    #[command(subcommand)]
    Takedown(takedown::TakedownCommand),
    #[command(subcommand)]
    Partner(partner::PartnerCommand),
    #[command(subcommand)]
    Circle(roster::CircleCommand),
    #[command(subcommand)]
    Operation(roster::OperationCommand),
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    #[command(subcommand)]
    Acts(acts::ActsCommand),
    #[command(subcommand)]
    Release(release::ReleaseCommand),
    #[command(subcommand)]
    Consent(consent::ConsentCommand),
    Completions(completions::CompletionsArgs),
}

/// What a command works with.
pub struct Context {
    pub options: GlobalOptions,
    pub output: Output,
}

impl Context {
    pub fn new(options: GlobalOptions) -> Self {
        let output = Output::new(options.output, options.color);
        Self { options, output }
    }

    async fn channel(&self, natural: &[Role]) -> Result<Channel, CliError> {
        connection::open(&self.options, natural).await
    }

    /// A request that gives up when the user no longer wants to wait.
    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.options.timeout());
        request
    }

    /// The same for work over every record of the node, which takes as long as it takes.
    fn long_request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.options.timeout().max(crate::rpc::LONG_CALL_TIMEOUT));
        request
    }
}

/// Runs the command and shows its error, if there is one.
pub async fn run(cli: Cli) -> Exit {
    let context = Context::new(cli.global);
    match dispatch(cli.command, &context).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            context.output.error(&error);
            error.exit()
        }
    }
}

/// Shows an error that came before any command could run.
pub fn fail(options: &GlobalOptions, error: &CliError) -> Exit {
    Output::new(options.output, options.color).error(error);
    error.exit()
}

impl Command {
    /// Returns true for a command that writes into a node's directory, which is for its owner alone.
    const fn writes_a_node(&self) -> bool {
        matches!(
            self,
            Self::Init(_)
                | Self::Serve(_)
                | Self::Demo(_)
                | Self::Bench(_)
                | Self::Client(_)
                | Self::Store(_)
        )
    }
}

async fn dispatch(command: Command, context: &Context) -> Result<(), CliError> {
    if command.writes_a_node() {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    match command {
        Command::Init(args) => init::run(*args, context),
        Command::Serve(args) => serve::run(args, context).await,
        Command::Demo(args) => demo::run(args, context).await,
        Command::Bench(args) => bench::run(args, context).await,
        Command::Client(command) => client::run(command, context),
        Command::Store(command) => store::run(command, context).await,
        Command::Audit(command) => verify::run(command, context).await,
        Command::Status(args) => status::run(&args, context).await,
        Command::Clock(command) => clock::run(command, context).await,
        Command::Push(args) => push::run(&args, context).await,
        Command::Query(args) => query::run(&args, context).await,
        Command::Watch(args) => watch::run(&args, context).await,
        Command::Record(command) => record::run(command, context).await,
        Command::Case(command) => case::run(command, context).await,
        Command::Takedown(command) => takedown::run(command, context).await,
        Command::Partner(command) => partner::run(command, context).await,
        Command::Circle(command) => roster::circle(command, context).await,
        Command::Operation(command) => roster::operation(command, context).await,
        Command::Policy(command) => policy::run(command, context).await,
        Command::Acts(command) => acts::run(command, context).await,
        Command::Release(command) => release::run(command, context).await,
        Command::Consent(command) => consent::run(command, context).await,
        Command::Completions(args) => completions::run(&args, context),
    }
}

/// The node's directory, for commands that work on it and not through a node.
fn directory(context: &Context) -> Result<PathBuf, CliError> {
    context.options.dir.clone().ok_or_else(|| {
        CliError::usage("no directory was named", "add --dir DIR, or set LIAISON_DIR")
    })
}

/// For flags that take a time: RFC 3339, or a date which means its midnight in UTC.
fn parse_time(text: &str) -> Result<crate::ident::Timestamp, String> {
    text.parse().map_err(|error: crate::ident::IdentError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

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
    fn the_root_help_ends_with_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("130  interrupted"), "{help}");
    }
}
