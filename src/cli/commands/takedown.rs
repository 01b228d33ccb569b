//! `liaison takedown`: what came of takedowns, in totals.

use super::case;
use crate::cli::connection::Role;
use crate::cli::context::{Context, not_empty};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Format;
use crate::cli::schema::{self, Absent};
use crate::cli::table::{Table, facts};
use crate::numerals::grouped;
use crate::pb;
use crate::pb::case_service_client::CaseServiceClient;

/// Totals of takedown results.
#[derive(Debug, clap::Subcommand)]
pub enum TakedownCommand {
    /// Count the results of a case, or all, over the newest revisions.
    #[command(
        after_help = "Examples:\n  liaison takedown status OP-1187\n  liaison takedown status OP-1187 --by provider\n  liaison takedown status -o json | jq .by_country"
    )]
    Status(StatusArgs),
}

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Reference of the case, or its series id or the first digits of that; all results without one.
    #[arg(value_parser = not_empty)]
    case: Option<String>,
    /// Property to count by.
    #[arg(long, value_enum, default_value = "status")]
    by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Day,
    Provider,
    Country,
    Status,
}

impl By {
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Provider => "provider",
            Self::Country => "country",
            Self::Status => "status",
        }
    }

    fn counts(self, totals: &pb::GetTakedownStatusResponse) -> &[pb::Count] {
        match self {
            Self::Day => &totals.by_day,
            Self::Provider => &totals.by_provider,
            Self::Country => &totals.by_country,
            Self::Status => &totals.by_status,
        }
    }
}

pub(super) async fn run(command: TakedownCommand, context: &Context) -> Result<(), CliError> {
    let TakedownCommand::Status(args) = command;
    let channel = context.channel(&[Role::Analyst, Role::VendorTool, Role::Auditor]).await?;
    let case_reference = match &args.case {
        Some(case) => case::reference_of(case, &channel, context).await?,
        None => String::new(),
    };
    let request = pb::GetTakedownStatusRequest { case_reference: case_reference.clone() };
    let totals = CaseServiceClient::new(channel.clone())
        .get_takedown_status(context.request(request))
        .await
        .map_err(CliError::node("count the takedown results"))?
        .into_inner();
    context.output.note_damaged(totals.damaged, "results");
    if totals.total == 0 && totals.damaged == 0 && !case_reference.is_empty() {
        known(
            &case_reference,
            case::is_recorded(&case_reference, channel, context).await,
            context,
        )?;
    }
    if context.output.format() != Format::Table {
        let document = schema::to_json("GetTakedownStatusResponse", &totals, Absent::Shown);
        return context.output.document(document);
    }
    context.output.table(&table(args.by, &totals))?;
    context.output.text("")?;
    context.output.text(&facts([("total", grouped(totals.total))]))
}

/// A reference that was mistyped must not read as a case without results.
fn known(
    reference: &str,
    recorded: Result<bool, CliError>,
    context: &Context,
) -> Result<(), CliError> {
    match recorded {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::not_found(
            format!("there is no case {reference:?} here, and no result that names it"),
            "liaison query --kind case",
        )),
        // A vendor tool reads no cases.
        Err(error) if error.exit() == Exit::Refused => {
            context
                .output
                .note(&format!("no result names case {reference:?}; check the reference"));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn table(by: By, totals: &pb::GetTakedownStatusResponse) -> Table {
    let mut table = Table::new([by.name(), "results", "share"]).right(&[1, 2]).below(&[0]);
    for count in by.counts(totals) {
        let name = if count.name.is_empty() { "(not told)" } else { &count.name };
        table.row([name.to_owned(), grouped(count.count), share(count.count, totals.total)]);
    }
    table
}

/// Tenths of a percent, rounded.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    let permille = (part * 2000 + whole) / (2 * whole);
    format!("{}.{} %", permille / 10, permille % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_nothing_has_is_not_found() {
        let context = Context::new(crate::cli::context::GlobalOptions::for_tests());
        assert!(known("OP-1187", Ok(true), &context).is_ok());
        let missing = known("NOCASE", Ok(false), &context).unwrap_err();
        assert_eq!(missing.exit(), Exit::NotFound);
        let forbidden = CliError::node("read")(tonic::Status::permission_denied("no"));
        assert!(known("NOCASE", Err(forbidden), &context).is_ok());
    }

    #[test]
    fn totals_have_counts_and_shares() {
        let totals = pb::GetTakedownStatusResponse {
            total: 66_000,
            by_status: vec![
                pb::Count { name: "down".into(), count: 64_000 },
                pb::Count { name: "refused".into(), count: 2_000 },
            ],
            ..Default::default()
        };
        assert_eq!(
            table(By::Status, &totals).to_text(),
            "STATUS   RESULTS   SHARE\n\
             down      64,000  97.0 %\n\
             refused    2,000   3.0 %"
        );
    }
}
