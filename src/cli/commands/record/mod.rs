//! `liaison record`: one record: shown with every field's state, verified here, withdrawn, erased or
//! put under a hold; why it is not at a partner.

mod erasure;
mod retraction;
mod verify;
mod which;
mod why_not;

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::given_id::GivenId;
use crate::cli::names;
use crate::cli::output::Format;
use crate::cli::record_view::RecordText;
use crate::cli::schema::hex;
use crate::cli::table::{Table, facts};
use crate::cli::wording::notes_text;
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;
use crate::record::withdrawal::END_OF_SERIES;
use bytes::Bytes;
use erasure::{EndHoldArgs, EraseArgs, ErasuresArgs, HoldArgs};
use retraction::RetractionsArgs;
use serde_json::{Value, json};
use verify::VerifyArgs;
use which::{Which, read};
use why_not::WhyNotArgs;

/// Show, verify, withdraw, erase or hold one record; say why it is not at a partner.
#[derive(Debug, clap::Subcommand)]
pub enum RecordCommand {
    /// Show a record with the state of every field.
    #[command(
        after_help = "Examples:\n  liaison record show 9f31c2…(64 digits)\n  liaison record show 0b5e41 -o json   (the first digits of a record or series)"
    )]
    Show(ShowArgs),
    /// Verify commitments, batch path and signature here, without trusting the node.
    #[command(
        after_help = "Example:\n  liaison record verify 9f31c2…\n\nExits 6 when anything does not verify."
    )]
    Verify(VerifyArgs),
    /// Withdraw a record of your agency; holders must no longer use it.
    #[command(
        after_help = "Example:\n  liaison record withdraw 9f31c2… --reason error --explanation \"wrong host\""
    )]
    Withdraw(WithdrawArgs),
    /// Ask for fields of a record to be erased, in every revision and at every partner.
    #[command(
        after_help = "Example:\n  liaison record erase 9f31c2… --slots name,contacts --basis led-16 --authority \"DPO 2026/117\"\n\nA policy officer approves it: liaison acts approve ID"
    )]
    Erase(EraseArgs),
    /// Show erasures, and the partners whose receipt for them is missing.
    #[command(
        after_help = "Examples:\n  liaison record erasures --outstanding\n  liaison record erasures 9f31c2… -o json"
    )]
    Erasures(ErasuresArgs),
    /// List the records that were taken back from partners, and the missing answers.
    #[command(
        after_help = "Examples:\n  liaison record retractions --outstanding\n  liaison record retractions --partner jc3.or.jp -o json"
    )]
    Retractions(RetractionsArgs),
    /// Put a record under a hold: kept, not erased, served to auditors and policy officers only.
    #[command(
        after_help = "Example:\n  liaison record restrict 9f31c2… --reason \"exhibit in case 2026/4\""
    )]
    Restrict(HoldArgs),
    /// End a hold, and erase the fields that the originator ordered erased meanwhile.
    #[command(
        after_help = "Example:\n  liaison record unrestrict 9f31c2… --reason \"case 2026/4 is closed\" --erase-ordered"
    )]
    Unrestrict(EndHoldArgs),
    /// Show the position of a record on its way to a partner, and the next step.
    #[command(after_help = "Example:\n  liaison record why-not 9f31c2… --partner jc3.or.jp")]
    WhyNot(WhyNotArgs),
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Record id, or series id for its newest revision; whole or the first digits, six at the least.
    id: Which,
}

#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    /// Id of the newest revision, or its first digits, six at the least.
    id: GivenId,
    /// Reason: error, outdated, unauthorised, order.
    #[arg(long, value_parser = names::parse::<pb::WithdrawalReason>)]
    reason: pb::WithdrawalReason,
    /// Explanation for all holders of a revision, under TLP:AMBER, where policy shows them notes; at most
    /// 1,024 bytes.
    #[arg(long, default_value = "")]
    explanation: String,
}

pub(super) async fn run(command: RecordCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RecordCommand::Show(args) => show(&args, context).await,
        RecordCommand::Verify(args) => verify::run(&args, context).await,
        RecordCommand::Withdraw(args) => withdraw(&args, context).await,
        RecordCommand::Erase(args) => erasure::erase(&args, context).await,
        RecordCommand::Erasures(args) => erasure::report(&args, context).await,
        RecordCommand::Retractions(args) => retraction::report(&args, context).await,
        RecordCommand::Restrict(args) => erasure::restrict(&args, context).await,
        RecordCommand::Unrestrict(args) => erasure::unrestrict(&args, context).await,
        RecordCommand::WhyNot(args) => why_not::run(&args, context).await,
    }
}

async fn show(args: &ShowArgs, context: &Context) -> Result<(), CliError> {
    let (answer, _) = read(&args.id, context).await?;
    let view = answer.record.unwrap_or_default();
    let record = RecordText::from_view(&view);
    if context.output.format() != Format::Table {
        return context
            .output
            .document(json!({"record": record.to_json(), "slots": slots_json(&record)}));
    }
    context.output.text(&header_text(&record, &view))?;
    context.output.text("")?;
    context.output.table(&slots_table(&record))
}

async fn withdraw(args: &WithdrawArgs, context: &Context) -> Result<(), CliError> {
    let id = args.id.resolve(context, &[Role::Analyst]).await?;
    let mut client = RecordServiceClient::new(context.channel(&[Role::Analyst]).await?);
    let request = pb::WithdrawRecordRequest {
        record_id: Bytes::copy_from_slice(id.as_bytes()),
        reason: args.reason.into(),
        explanation: args.explanation.clone(),
    };
    let answer = client
        .withdraw_record(context.request(request))
        .await
        .map_err(CliError::node("withdraw the record"))?
        .into_inner();
    let withdrawal = hex(&answer.record_id);
    let document = json!({"withdrawn": id.to_string(), "withdrawal": withdrawal});
    context.output.either(document, || {
        facts([("withdrawn", id.to_string()), ("withdrawal", withdrawal.clone())])
    })
}

/// The series of a record and its place there.
fn place_text(header: &pb::Header) -> String {
    match header.revision {
        END_OF_SERIES => format!("{}, its end", hex(&header.series)),
        revision => format!("{}, revision {revision}", hex(&header.series)),
    }
}

fn header_text(record: &RecordText, view: &pb::RecordView) -> String {
    let header = &record.header;
    let from = if view.partner.is_empty() { "this agency's own client" } else { &view.partner };
    facts([
        ("id", record.id.clone()),
        ("series", place_text(header)),
        ("kind", record.kind()),
        ("what", record.what()),
        ("originator", header.originator.clone()),
        ("created", record.created()),
        ("accepted", crate::cli::schema::time_text(view.accepted_at_ms)),
        ("came from", from.to_owned()),
        ("journal index", view.journal_index.to_string()),
        ("marking", marking_text(header.marking.as_ref())),
        ("labels", header.labels.join(", ")),
        ("operation", header.operation.clone()),
        ("confidence", header.confidence.to_string()),
        ("remarks", record.remarks().join(", ")),
        ("erased", notes_text(&view.erasures)),
    ])
}

fn marking_text(marking: Option<&pb::Marking>) -> String {
    let Some(marking) = marking else { return "none".to_owned() };
    let label = |word: String| word.to_uppercase().replace('-', "+");
    let mut words = vec![
        format!("TLP:{}", label(names::word(marking.tlp()))),
        format!("PAP:{}", label(names::word(marking.pap()))),
    ];
    if let Some(list) = &marking.releasable_to {
        words.push(format!("releasable to {}", or_nobody(&list.agencies)));
    }
    if let Some(list) = &marking.circles {
        words.push(format!("circles {}", or_nobody(&list.circles)));
    }
    let flags = [
        (marking.no_evidence, "H1 not in proceedings without the originator's permission"),
        (marking.orcon, "H2 originator control"),
        (marking.no_notify, "no notification"),
        (marking.no_attribution, "no attribution"),
        (marking.personal_data, "personal data"),
        (marking.not_personal, "not a person's"),
    ];
    words.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()));
    if !marking.caveat.is_empty() {
        words.push(format!("H3 {:?}", marking.caveat));
    }
    words.extend(marking.foreign.iter().map(|text| format!("of another scheme {text:?}")));
    words.join(", ")
}

fn or_nobody(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(" ") }
}

fn slots_table(record: &RecordText) -> Table {
    let header = ["slot", "field", "class", "state", "content"];
    let mut table = Table::new(header).right(&[0]).below(&[4]);
    for slot in &record.slots {
        let content = match record.content.get(&slot.name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let cells = [
            slot.number.to_string(),
            slot.name.clone(),
            slot.class.clone(),
            slot.state.clone(),
            content,
        ];
        table.row(cells);
    }
    table
}

fn slots_json(record: &RecordText) -> Vec<Value> {
    let slots = record.slots.iter();
    slots
        .map(|slot| json!({"slot": slot.number, "field": slot.name, "class": slot.class, "state": slot.state}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::record_view::tests::view;

    #[test]
    fn every_slot_is_shown_with_class_and_state() {
        let record = RecordText::from_view(&view());
        assert_eq!(
            slots_table(&record).to_text(),
            "SLOT  FIELD     CLASS  STATE     CONTENT\n\
             \u{20}  1  type      core   open      domain\n\
             \u{20}  2  value     core   open      evil.example\n\
             \u{20}  3  action    core   empty\n\
             \u{20}  4  status    core   open      down\n\
             \u{20}  5  provider  core   withheld\n\
             \u{20}  6  country   core   erased"
        );
    }

    #[test]
    fn a_marking_says_nobody_where_a_list_is_present_and_empty() {
        let marking = pb::Marking {
            tlp: pb::Tlp::AmberStrict.into(),
            pap: pb::Pap::Green.into(),
            releasable_to: Some(pb::AgencyList::default()),
            orcon: true,
            caveat: "ask first".into(),
            ..Default::default()
        };
        assert_eq!(
            marking_text(Some(&marking)),
            "TLP:AMBER+STRICT, PAP:GREEN, releasable to nobody, H2 originator control, H3 \"ask first\""
        );
    }

    #[test]
    fn an_id_is_told_from_a_series_by_its_length() {
        assert!(matches!("ab".repeat(32).parse(), Ok(Which::Given(_))));
        assert!(matches!("ab".repeat(16).parse(), Ok(Which::Series(_))));
        assert!(matches!("ababab".parse(), Ok(Which::Given(_))));
        assert!("ab".parse::<Which>().is_err());
    }
}
