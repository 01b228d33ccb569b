//! The commands: one file for each, and one folder for each group with the files of its commands.
//!
//! Connections, profiles, tables, messages and exit codes are beside this folder, for all of them.

mod acts;
pub mod audit;
mod bench;
mod case;
mod client;
mod clock;
mod completions;
mod consent;
mod demo;
mod init;
mod partner;
mod policy;
mod push;
mod query;
mod record;
mod release;
mod roster;
mod serve;
mod status;
mod store;
mod takedown;
mod watch;

use super::Cli;
use super::context::Context;
use super::error::CliError;
use clap::{CommandFactory as _, Subcommand};

/// The command to run.
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
    Audit(audit::AuditCommand),
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

pub(super) async fn dispatch(command: Command, context: &Context) -> Result<(), CliError> {
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
        Command::Audit(command) => audit::run(command, context).await,
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
        Command::Completions(args) => completions::run(&args, Cli::command(), context),
    }
}
