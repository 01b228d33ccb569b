//! The options of every command, and the context that it works in.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::Channel;

use super::connection::{self, Role};
use super::error::CliError;
use super::output::{Color, Format, Output};
use super::progress::ProgressMode;

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalOptions {
    /// Format of the results.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// Use of colour.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub color: Color,
    /// Form of progress messages.
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
    /// Longest wait for the node, in seconds.
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

/// The options and the output of a command.
pub struct Context {
    pub options: GlobalOptions,
    pub output: Output,
}

impl Context {
    pub fn new(options: GlobalOptions) -> Self {
        let output = Output::new(options.output, options.color);
        Self { options, output }
    }

    pub(super) async fn channel(&self, natural: &[Role]) -> Result<Channel, CliError> {
        connection::open(&self.options, natural).await
    }

    /// A request that gives up when the user no longer wants to wait.
    pub(super) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.options.timeout());
        request
    }

    /// The same for work over every record of the node, which takes as long as it takes.
    pub(super) fn long_request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.options.timeout().max(crate::rpc::LONG_CALL_TIMEOUT));
        request
    }
}

/// The node's directory, for commands that work on it and not through a node.
pub(super) fn directory(context: &Context) -> Result<PathBuf, CliError> {
    context.options.dir.clone().ok_or_else(|| {
        CliError::usage("no directory is given", "add --dir DIR, or set LIAISON_DIR")
    })
}

/// For arguments whose absence asks for everything: an empty shell variable must not.
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty; give a value, or leave the argument out".to_owned());
    }
    Ok(text.to_owned())
}

/// For flags that take a time: RFC 3339, or a date which means its midnight in UTC.
pub(super) fn parse_time(text: &str) -> Result<crate::ident::Timestamp, String> {
    text.parse().map_err(|error: crate::ident::IdentError| error.to_string())
}
