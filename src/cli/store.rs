//! `liaison store`: what an administrator does to a node that is not running.

use super::error::{CliError, Exit};
use super::{Context, directory};
use crate::node;
use clap::{Args, Subcommand};
use serde_json::json;

/// Work on the store of a node that is not running.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    Reindex(ReindexArgs),
    Check(CheckArgs),
}

/// Make the index and leaf files again from the segments.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison store reindex --dir npa")]
pub struct ReindexArgs {}

/// Read every frame of the segments, compare checksums, roots and fields with what was signed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison store check --dir npa")]
pub struct CheckArgs {}

pub(super) async fn run(command: StoreCommand, context: &Context) -> Result<(), CliError> {
    let dir = directory(context)?;
    match command {
        StoreCommand::Reindex(_) => {
            let report = tokio::task::spawn_blocking(move || node::reindex(&dir)).await.map_err(
                |error| CliError::Other {
                    doing: "the work was cut off".to_owned(),
                    exit: Exit::Failed,
                    fix: "run it again".to_owned(),
                    source: Box::new(error),
                },
            )??;
            context.output.either(
                json!({
                    "entries": report.replayed_entries,
                    "torn_bytes": report.torn_bytes,
                }),
                || format!("made the index again from {} entries", report.replayed_entries),
            )
        }
        StoreCommand::Check(_) => super::verify::check_store(&dir, context),
    }
}
