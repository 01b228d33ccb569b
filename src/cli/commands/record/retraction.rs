//! `liaison record retractions`: what partners must no longer use, and who has not answered.

use serde_json::{Value, json};

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::names::word;
use crate::cli::output::Format;
use crate::cli::schema::hex;
use crate::cli::table::Table;
use crate::cli::wording::slots_text;
use crate::ident::AgencyName;
use crate::numerals::grouped;
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;

/// Characters of a record id in a table.
const SHORT_ID_DIGITS: usize = 12;

#[derive(Debug, clap::Args)]
pub struct RetractionsArgs {
    /// Only those from this partner.
    #[arg(long)]
    partner: Option<AgencyName>,
    /// Only those that the partner has not answered yet.
    #[arg(long)]
    outstanding: bool,
}

pub(super) async fn report(args: &RetractionsArgs, context: &Context) -> Result<(), CliError> {
    let channel = context.channel(&[Role::Analyst, Role::Auditor, Role::PolicyOfficer]).await?;
    let mut client = RecordServiceClient::new(channel);
    let mut request = pb::ListRetractionsRequest {
        agency: args.partner.as_ref().map(ToString::to_string).unwrap_or_default(),
        outstanding: args.outstanding,
        ..pb::ListRetractionsRequest::default()
    };
    let mut retractions = Vec::new();
    loop {
        let answer = client
            .list_retractions(context.request(request.clone()))
            .await
            .map_err(CliError::node("read the retractions"))?
            .into_inner();
        retractions.extend(answer.retractions);
        if answer.next_agency.is_empty() {
            break;
        }
        request.after_agency = answer.next_agency;
        request.before = answer.next_before;
    }
    if context.output.format() != Format::Table {
        let retractions: Vec<_> = retractions.iter().map(to_json).collect();
        return context.output.document(json!({"retractions": retractions}));
    }
    context.output.table(&table(&retractions))
}

fn table(retractions: &[pb::RetractionView]) -> Table {
    let header = ["partner", "feed index", "record", "slots", "receipt", "since"];
    let mut table = Table::new(header).right(&[1]).below(&[3]);
    for view in retractions {
        table.row([
            view.agency.clone(),
            grouped(view.feed_index),
            hex(&view.record_id).chars().take(SHORT_ID_DIGITS).collect(),
            if view.slots == 0 { "all".to_owned() } else { slots_text(view.slots) },
            word(view.progress()),
            if view.lifted { "disclosed again" } else { "" }.to_owned(),
        ]);
    }
    table
}

fn to_json(view: &pb::RetractionView) -> Value {
    let slots: Vec<u32> = (1..32).filter(|number| view.slots & 1 << number != 0).collect();
    json!({
        "partner": view.agency,
        "feed_index": view.feed_index,
        "record": hex(&view.record_id),
        "whole": view.slots == 0,
        "slots": slots,
        "progress": word(view.progress()),
        "lifted": view.lifted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_what_was_taken_back_from_whom_and_whether_they_answered() {
        let view = pb::RetractionView {
            agency: "a.example".into(),
            feed_index: 7,
            record_id: vec![0xab; 32].into(),
            slots: 0,
            progress: pb::ErasureProgress::Outstanding.into(),
            lifted: false,
        };
        let slots = pb::RetractionView {
            feed_index: 5,
            slots: 0b10010,
            progress: pb::ErasureProgress::Done.into(),
            lifted: true,
            ..view.clone()
        };
        let views = [view, slots];
        assert_eq!(
            table(&views).to_text(),
            "PARTNER    FEED INDEX  RECORD        SLOTS  RECEIPT      SINCE\n\
             a.example           7  abababababab  all    outstanding\n\
             a.example           5  abababababab  1, 4   done         disclosed again"
        );
        let json = to_json(&views[1]);
        assert_eq!((&json["slots"], &json["whole"]), (&json!([1, 4]), &json!(false)));
    }
}
