//! `liaison policy who`: which partners may have a record, and why.

use bytes::Bytes;

use super::client::client;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::cli::names;
use crate::cli::output::{Format, harmless_lines};
use crate::cli::schema::{self, Absent};
use crate::cli::table::Table;
use crate::pb;

#[derive(Debug, clap::Args)]
pub struct WhoArgs {
    /// Id of the record, or its first digits, six at the least.
    record: GivenId,
}

pub(super) async fn run(args: &WhoArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::PolicyOfficer, Role::Analyst, Role::Auditor];
    let record = args.record.resolve(context, &roles).await?;
    let record_id = Bytes::copy_from_slice(record.as_bytes());
    let answer = client(context, &roles)
        .await?
        .explain_recipients(context.request(pb::ExplainRecipientsRequest { record_id }))
        .await
        .map_err(CliError::node("ask who may have the record"))?
        .into_inner();
    if context.output.format() != Format::Table {
        let document = schema::to_json("ExplainRecipientsResponse", &answer, Absent::Shown);
        return context.output.document(document);
    }
    for remark in &answer.remarks {
        context.output.text(&harmless_lines(&format!("! {remark}")))?;
    }
    context.output.table(&table(&answer))
}

fn table(answer: &pb::ExplainRecipientsResponse) -> Table {
    let header = ["partner", "verdict", "fields", "in its feed", "policies", "why"];
    let mut table = Table::new(header).below(&[5, 4, 2]);
    for view in &answer.recipients {
        let disclosed = view.feed_index.map_or_else(String::new, |index| {
            format!("{index}, {}", if view.receipted { "receipted" } else { "no receipt yet" })
        });
        table.row([
            view.partner.clone(),
            names::word(view.verdict()),
            view.classes.join(", "),
            disclosed,
            view.policies.join(", "),
            view.reason.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partner_has_a_line_with_its_verdict_and_the_reason() {
        let answer = pb::ExplainRecipientsResponse {
            recipients: vec![
                pb::RecipientView {
                    partner: "cbi.gov.in".into(),
                    verdict: pb::RecipientVerdict::Allowed.into(),
                    classes: vec!["core".into(), "links".into()],
                    policies: vec!["npa/police-case".into()],
                    reason: "Police partners share the case".into(),
                    feed_index: Some(7),
                    receipted: true,
                },
                pb::RecipientView {
                    partner: "dcu.example".into(),
                    verdict: pb::RecipientVerdict::Denied.into(),
                    reason: "nothing permits it".into(),
                    ..Default::default()
                },
            ],
            ..Default::default()
        };
        assert_eq!(
            table(&answer).to_text(),
            "PARTNER      VERDICT  FIELDS       IN ITS FEED   POLICIES         WHY\n\
             cbi.gov.in   allowed  core, links  7, receipted  npa/police-case  Police partners share the case\n\
             dcu.example  denied                                               nothing permits it"
        );
    }
}
