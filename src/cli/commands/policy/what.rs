//! `liaison policy what`: what a partner may see of everything that is here.

use super::client::client;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::policy_difference::short;
use crate::cli::progress::Progress;
use crate::cli::schema::{self, Absent, time_text};
use crate::cli::table::{Table, facts};
use crate::ident::AgencyName;
use crate::numerals::grouped;
use crate::pb;

#[derive(Debug, clap::Args)]
pub struct WhatArgs {
    /// Name of the partner.
    partner: AgencyName,
    /// Count by this property alone.
    #[arg(long, value_enum)]
    by: Option<By>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Kind,
    Operation,
    Case,
    Marking,
    Class,
    Denial,
}

impl By {
    const ALL: [Self; 6] =
        [Self::Kind, Self::Operation, Self::Case, Self::Marking, Self::Class, Self::Denial];

    const fn title(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Operation => "operation",
            Self::Case => "case, with what refers to it",
            Self::Marking => "marking",
            Self::Class => "sensitive class shown",
            Self::Denial => "denied by",
        }
    }

    fn counts(self, report: &pb::PartnerSight) -> &[pb::SightCount] {
        match self {
            Self::Kind => &report.kinds,
            Self::Operation => &report.operations,
            Self::Case => &report.cases,
            Self::Marking => &report.markings,
            Self::Class => &report.classes,
            Self::Denial => &report.denied_by,
        }
    }
}

pub(super) async fn run(args: &WhatArgs, context: &Context) -> Result<(), CliError> {
    let report = survey(&args.partner, context).await?;
    if context.output.format() != Format::Table {
        let document = schema::to_json("PartnerSight", &report, Absent::Shown);
        return context.output.document(document);
    }
    context.output.text(&summary(&args.partner, &report))?;
    for by in By::ALL.into_iter().filter(|by| args.by.is_none_or(|wanted| wanted == *by)) {
        if !by.counts(&report).is_empty() {
            context.output.text("")?;
            context.output.table(&table(by, &report))?;
        }
    }
    Ok(())
}

async fn survey(partner: &AgencyName, context: &Context) -> Result<pb::PartnerSight, CliError> {
    let failed = || CliError::node("ask what the partner may see");
    // No time limit but that of the connection: the node tells how far it is, and ends with us.
    let request = pb::ExplainPartnerRequest { partner: partner.to_string() };
    let mut answers = client(context, &[Role::PolicyOfficer, Role::Auditor])
        .await?
        .explain_partner(request)
        .await
        .map_err(failed())?
        .into_inner();
    let mut progress = Progress::start(context.options.progress, None, 0, &context.output);
    let mut report = None;
    while let Some(answer) = answers.message().await.map_err(failed())? {
        progress.update(answer.considered, answer.considered);
        report = answer.sight.or(report);
    }
    progress.finish();
    report.ok_or_else(|| failed()(tonic::Status::data_loss("the node's answer has no end")))
}

fn summary(partner: &AgencyName, report: &pb::PartnerSight) -> String {
    let count = |count: u64| if count == 0 { String::new() } else { grouped(count) };
    facts([
        ("partner", partner.to_string()),
        (
            "policy",
            format!("version {}, hour of {}", report.policy_version, time_text(report.at_ms)),
        ),
        ("records here", grouped(report.records)),
        ("may see", grouped(report.allowed)),
        ("may not see", grouped(report.denied)),
        ("its own", count(report.own)),
        ("held", count(report.held)),
        ("superseded", count(report.superseded)),
        ("withdrawals", count(report.withdrawals)),
        ("COULD NOT BE DECIDED", count(report.erred)),
        ("DAMAGED", count(report.damaged)),
    ])
}

fn table(by: By, report: &pb::PartnerSight) -> Table {
    let mut table = Table::new([by.title(), "records", "for instance"]).right(&[1]).below(&[0]);
    for count in by.counts(report) {
        let name = if count.name.is_empty() { "(none)" } else { &count.name };
        let sample = count.samples.first().map(|id| short(id)).unwrap_or_default();
        table.row([name.to_owned(), grouped(count.count), sample]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_partner_may_see_is_counted_with_an_example() {
        let report = pb::PartnerSight {
            policy_version: 3,
            at_ms: 1_772_323_200_000,
            records: 1_204_118,
            allowed: 66_000,
            denied: 1_138_118,
            operations: vec![pb::SightCount {
                name: String::new(),
                count: 66_000,
                samples: vec![bytes::Bytes::from_static(&[0xab; 32])],
            }],
            ..Default::default()
        };
        assert_eq!(
            summary(&"jc3.or.jp".parse().unwrap(), &report),
            "partner       jc3.or.jp\n\
             policy        version 3, hour of 2026-03-01T00:00:00.000Z\n\
             records here  1,204,118\n\
             may see       66,000\n\
             may not see   1,138,118"
        );
        assert_eq!(
            table(By::Operation, &report).to_text(),
            format!("OPERATION  RECORDS  FOR INSTANCE\n(none)      66,000  {}", "ab".repeat(6))
        );
    }
}
