//! `liaison audit ledger`: who received what, offline, from a history that is verified on the way.
//!
//! A ledger of a history that does not hold is not shown.

use crate::audit::{Disclosure, LedgerFilter, UnknownName};
use crate::cli::audit_outcome::{show, unreadable};
use crate::cli::audit_store::{AuditOptions, verify_with};
use crate::cli::context::Context;
use crate::cli::context::parse_time;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::cli::output::Format;
use crate::cli::policy_difference::short;
use crate::cli::table::Table;
use crate::ident::{AgencyName, Timestamp};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// List who received what, which fields, under which policy, when, and whether with a receipt.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  liaison audit ledger npa-export --partner dcu.example
  liaison audit ledger npa --case NPA-2026-0417 --from 2026-11-01 -o ndjson")]
pub struct LedgerArgs {
    /// A node's directory, a copy of it, or an export.
    directory: PathBuf,
    /// Only disclosures to this partner.
    #[arg(long, value_name = "AGENCY")]
    partner: Option<AgencyName>,
    /// Only this record: its id, or its first digits, six at the least.
    #[arg(long, value_name = "ID")]
    record: Option<GivenId>,
    /// Only records of the case with this reference, and records that refer to it in a field that is here.
    #[arg(long, value_name = "REFERENCE")]
    case: Option<String>,
    /// Not before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Timestamp>,
    #[command(flatten)]
    options: AuditOptions,
}

pub(super) fn run(args: &LedgerArgs, context: &Context) -> Result<(), CliError> {
    let filter = LedgerFilter {
        partner: args.partner.clone(),
        record: args.record.as_ref().map(|given| given.prefix().clone()),
        case: args.case.clone(),
        from: args.from,
        to: args.to,
    };
    let report = verify_with(&args.directory, &args.options, Some(filter)).map_err(unreadable)?;
    if report.failure.is_some() {
        return show(&report, context);
    }
    if let Some(unknown) = &report.unknown {
        return Err(not_found(unknown, args));
    }
    let rows = &report.disclosures;
    if let Some(given) = args.record.as_ref().filter(|_| !rows.is_empty()) {
        given.among("a record", rows.iter().map(|row| row.record))?;
    }
    match context.output.format() {
        Format::Table => context.output.table(&table(rows)),
        Format::Ndjson => {
            rows.iter().try_for_each(|row| context.output.line_document(row.to_json()))
        }
        Format::Json => {
            let rows: Vec<Value> = rows.iter().map(Disclosure::to_json).collect();
            context.output.document(json!({ "disclosures": rows }))
        }
    }
}

/// A name that was mistyped must not read as if nothing had been disclosed.
fn not_found(unknown: &UnknownName, args: &LedgerArgs) -> CliError {
    let named = |given: Option<String>| given.unwrap_or_default();
    match unknown {
        UnknownName::Partner(partners) => {
            let asked = named(args.partner.as_ref().map(ToString::to_string));
            let all = match &partners[..] {
                [] => "none".to_owned(),
                all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            CliError::not_found(
                format!("{asked} is not a partner in this history; it has {all}"),
                "name one of them with --partner",
            )
        }
        UnknownName::Record => CliError::not_found(
            format!(
                "no record in this history has an id that begins with {}",
                named(args.record.as_ref().map(|given| given.digits().to_owned()))
            ),
            "check the digits; without --record all disclosures are listed",
        ),
        UnknownName::Case => CliError::not_found(
            format!("no case in this history has the reference {:?}", named(args.case.clone())),
            "check the reference; without --case all disclosures are listed",
        ),
    }
}

fn table(rows: &[Disclosure]) -> Table {
    let header = ["when", "partner", "action", "record", "kind", "fields", "policy", "receipt"];
    let mut table = Table::new(header).below(&[5, 1]);
    for row in rows {
        table.row([
            row.at.to_string(),
            row.partner.to_string(),
            row.action_name().to_owned(),
            short(row.record.as_bytes()),
            row.kind.name().to_owned(),
            row.fields().join(", "),
            row.policy_version.to_string(),
            row.receipt.name().to_owned(),
        ]);
    }
    table
}
