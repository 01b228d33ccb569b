//! `liaison store`: what an administrator does to a node that is not running.

use crate::cli::context::{Context, directory};
use crate::cli::error::{CliError, Exit};
use crate::journal::loss::Loss;
use crate::node;
use crate::node::key_succession::{Lost, Request, Succession, succeed};
use clap::{Args, Subcommand};
use serde_json::json;

/// Work on the store of a node that is not running.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    Reindex(ReindexArgs),
    Check(CheckArgs),
    Succeed(SucceedArgs),
}

/// Make the index and leaf files again from the segments.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison store reindex --dir npa")]
pub struct ReindexArgs {}

/// Read every frame of the segments, compare checksums, roots and fields with what was signed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  liaison store check --dir npa")]
pub struct CheckArgs {}

/// Let the logs of a node whose newest copy is an old one be succeeded by new ones.
///
/// For a stopped node that misses entries, by what its partners or its own leaf files and index show, or that damage
/// keeps from starting, when no newer copy exists. In the latter case every entry behind the damaged place is
/// given up. What is missing is lost for good; the node goes on behind what is left, with other log keys.
/// Partners must accept its new card before anything is exchanged with them again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  liaison store succeed --dir npa --accept-loss --by 'K. Tanaka' --reason 'disk of 2026-11-24, no newer backup'

Bring the identity key for it if it is kept offline. The private log keys of before are destroyed.")]
pub struct SucceedArgs {
    /// Confirm that the missing entries are lost for good.
    #[arg(long, required = true)]
    accept_loss: bool,
    /// Reason, for the journal; 1 to 1,024 bytes.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Person who does it, for the journal; 1 to 128 bytes.
    #[arg(long, value_name = "NAME")]
    by: String,
}

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
        StoreCommand::Check(_) => super::audit::verify::check_store(&dir, context),
        StoreCommand::Succeed(SucceedArgs { accept_loss: _, reason, by }) => {
            let clock = crate::journal::open::system_clock();
            let made = succeed(&dir, Request { reason, by }, clock).await?;
            show(&made, context)
        }
    }
}

fn show(made: &Succession, context: &Context) -> Result<(), CliError> {
    let Succession { generation, left, lost, loss, card } = made;
    let value = json!({
        "generation": generation.get(),
        "left": left.to_string(),
        "lost": lost.iter().map(|lost| json!({
            "log": lost.origin,
            "shown_by": lost.partner.to_string(),
            "signed": lost.signed.to_string(),
            "left": lost.left.to_string(),
        })).collect::<Vec<_>>(),
        "recorded": loss.as_ref().map(|loss| loss.recorded.to_string()),
        "card": card.display().to_string(),
    });
    context.output.either(value, || {
        let recorded = loss.as_ref().map_or_else(String::new, |loss| {
            let Loss { recorded, left, witness } = loss;
            format!("lost   {left} of at least {recorded} entries of the journal are left, shown by {witness}\n")
        });
        let lost: String = lost
            .iter()
            .map(|lost| {
                let Lost { origin, partner, signed, left, .. } = lost;
                format!("lost   {origin}: {left} of {signed} entries are left, shown by {partner}\n")
            })
            .collect();
        format!(
            "{recorded}{lost}The logs of generation {generation} go on behind {left} entries of the journal.\n\
             Give {} to every partner; each accepts it with `liaison partner add`.",
            card.display()
        )
    })
}
