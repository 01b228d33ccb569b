//! `liaison record why-not`: where a record stands on its way to a partner, and what to do next.

use bytes::Bytes;

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::cli::output::{Format, harmless_lines};
use crate::cli::schema::{self, Absent};
use crate::cli::table::{Table, facts};
use crate::ident::AgencyName;
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;

#[derive(Debug, clap::Args)]
pub struct WhyNotArgs {
    /// Id of the record, or its first digits, six at the least.
    id: GivenId,
    /// Name of the partner.
    #[arg(long)]
    partner: AgencyName,
}

pub(super) async fn run(args: &WhyNotArgs, context: &Context) -> Result<(), CliError> {
    let roles = [Role::Analyst, Role::PolicyOfficer, Role::Auditor];
    let id = args.id.resolve(context, &roles).await?;
    let channel = context.channel(&roles).await?;
    let request = pb::ExplainDeliveryRequest {
        record_id: Bytes::copy_from_slice(id.as_bytes()),
        partner: args.partner.to_string(),
    };
    let answer = RecordServiceClient::new(channel)
        .explain_delivery(context.request(request))
        .await
        .map_err(CliError::node("ask where the record stands"))?
        .into_inner();
    if context.output.format() != Format::Table {
        let document = schema::to_json("ExplainDeliveryResponse", &answer, Absent::Shown);
        return context.output.document(document);
    }
    context.output.table(&table(&answer))?;
    context.output.text("")?;
    context.output.text(&verdict(&answer, &args.partner))
}

fn table(answer: &pb::ExplainDeliveryResponse) -> Table {
    let mut table = Table::new(["step", "", "what was found"]).below(&[2]);
    for step in &answer.steps {
        let state = match step.state() {
            pb::DeliveryState::Passed => "ok",
            pb::DeliveryState::Stands => "STANDS",
            pb::DeliveryState::NotReached | pb::DeliveryState::Unspecified => "-",
        };
        table.row([step.name.clone(), state.to_owned(), step.detail.clone()]);
    }
    table
}

fn verdict(answer: &pb::ExplainDeliveryResponse, partner: &AgencyName) -> String {
    let Some(at) = answer.steps.iter().find(|step| step.state() == pb::DeliveryState::Stands)
    else {
        return format!("{partner} has the record and gave its receipt for it");
    };
    // In full: the table cuts long cells.
    let stands = format!("{}: {}", at.name, at.detail);
    harmless_lines(&facts([("stands at", stands), ("next", answer.next.clone())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, state: pb::DeliveryState, detail: &str) -> pb::DeliveryStep {
        pb::DeliveryStep { name: name.into(), state: state.into(), detail: detail.into() }
    }

    #[test]
    fn the_step_where_it_stands_is_named_with_what_to_do() {
        let answer = pb::ExplainDeliveryResponse {
            steps: vec![
                step("accepted", pb::DeliveryState::Passed, "journal entry 7"),
                step("usable", pb::DeliveryState::Stands, "it is under a hold"),
                step("partner", pb::DeliveryState::NotReached, ""),
            ],
            stands_at: "usable".into(),
            next: "liaison record unrestrict 9f".into(),
        };
        let partner = "jc3.or.jp".parse().unwrap();
        assert_eq!(
            table(&answer).to_text(),
            "STEP              WHAT WAS FOUND\n\
             accepted  ok      journal entry 7\n\
             usable    STANDS  it is under a hold\n\
             partner   -"
        );
        assert_eq!(
            verdict(&answer, &partner),
            "stands at  usable: it is under a hold\nnext       liaison record unrestrict 9f"
        );
        let arrived = pb::ExplainDeliveryResponse::default();
        assert!(verdict(&arrived, &partner).starts_with("jc3.or.jp has the record"));
    }
}
