//! `liaison audit witness`: who cosigns this node's journal.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::schema::{self, Absent, time_text};
use crate::cli::table::Table;
use crate::numerals::grouped;
use crate::pb;
use crate::pb::witness_service_client::WitnessServiceClient;

/// See and add witnesses of the journal.
#[derive(Debug, clap::Subcommand)]
pub enum WitnessCommand {
    /// List witnesses and how far they cosigned. Partners are witnesses by themselves.
    #[command(after_help = "Example:\n  liaison audit witness list")]
    List,
    /// Add a witness that is not a partner, or change where it is asked.
    #[command(after_help = ADD_EXAMPLE)]
    Add(AddArgs),
}

const ADD_EXAMPLE: &str = "\
Example:
  liaison audit witness add 'w.example+5ff7c2c4+BF...' http://127.0.0.1:7445

The node asks it over HTTP as C2SP tlog-witness says. Its answer is believed for its signature alone;
for https put a local proxy between.";

#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Its verifier key (C2SP signed-note).
    vkey: String,
    /// Address of the witness, http://host[:port][/prefix].
    url: String,
}

pub(super) async fn run(command: WitnessCommand, context: &Context) -> Result<(), CliError> {
    match command {
        WitnessCommand::List => list(context).await,
        WitnessCommand::Add(args) => add(args, context).await,
    }
}

async fn list(context: &Context) -> Result<(), CliError> {
    let natural = [Role::Auditor, Role::Admin, Role::PolicyOfficer];
    let mut client = WitnessServiceClient::new(context.channel(&natural).await?);
    let answer = client
        .list_witnesses(context.request(pb::ListWitnessesRequest {}))
        .await
        .map_err(CliError::node("list the witnesses"))?
        .into_inner();
    if context.output.format() != Format::Table {
        let json = schema::to_json("ListWitnessesResponse", &answer, Absent::Shown);
        return context.output.document(json);
    }
    context.output.table(&table(&answer.witnesses))?;
    context.output.note(&format!("this journal: {}", answer.journal_vkey));
    context.output.note(&format!("this node as a witness: {}", answer.witness_vkey));
    Ok(())
}

fn table(witnesses: &[pb::WitnessView]) -> Table {
    let header = ["witness", "asked", "cosigned", "came", "trouble"];
    let mut table = Table::new(header).right(&[2]).below(&[4, 1]);
    for witness in witnesses {
        let asked = if witness.url.is_empty() { "on its stream" } else { &witness.url };
        let came = match witness.cosigned_at_ms {
            0 => "-".to_owned(),
            at => time_text(at),
        };
        let name = witness.vkey.split('+').next().unwrap_or_default().to_owned();
        let trouble = witness.last_error.clone();
        table.row([name, asked.to_owned(), grouped(witness.cosigned_size), came, trouble]);
    }
    table
}

async fn add(args: AddArgs, context: &Context) -> Result<(), CliError> {
    let mut client = WitnessServiceClient::new(context.channel(&[Role::Admin]).await?);
    let AddArgs { vkey, url } = args;
    client
        .add_witness(context.request(pb::AddWitnessRequest { vkey, url }))
        .await
        .map_err(CliError::node("add the witness"))?;
    context.output.note("added; the node asks it from now on");
    Ok(())
}
