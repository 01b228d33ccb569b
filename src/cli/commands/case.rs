//! `liaison case`: open an investigation, look at it, follow its time line.

use prost::Message;
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::cli::connection::{ANSWER_BYTES_MAX, Role};
use crate::cli::context::{Context, parse_time};
use crate::cli::error::{CliError, Exit};
use crate::cli::given_id::{first_digits, series_at_node};
use crate::cli::names;
use crate::cli::output::Format;
use crate::cli::record_view::RecordText;
use crate::cli::schema::{hex, time_text};
use crate::cli::table::{Table, facts};
use crate::ident::{AgencyName, IdPrefix, SeriesId, Timestamp};
use crate::numerals::{counted, grouped};
use crate::pb;
use crate::pb::case_service_client::CaseServiceClient;
use crate::pb::record_service_client::RecordServiceClient;

/// Events of one time line at the most; the node gives no more.
const EVENTS_MAX: i64 = 10_000;

/// Open, show and follow cases.
#[derive(Debug, clap::Subcommand)]
pub enum CaseCommand {
    /// Record a case, or a new revision of it.
    #[command(
        after_help = "Example:\n  liaison case create --reference OP-1187 --title \"Tech support call centres\" --tlp amber \\\n    --crime-type tech-support-fraud --jurisdiction JP --jurisdiction IN --operation chakra"
    )]
    Create(Box<CreateArgs>),
    /// Show a case and how many records belong to it.
    #[command(after_help = "Example:\n  liaison case show OP-1187")]
    Show(CaseArgs),
    /// Show the events of a case, oldest first; if there are more than --limit, the newest.
    #[command(after_help = "Example:\n  liaison case timeline OP-1187 --limit 10000 -o json")]
    Timeline(CaseArgs),
}

#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The lead agency's own reference.
    #[arg(long)]
    reference: String,
    /// One line for people.
    #[arg(long)]
    title: String,
    /// The state of the case: open, overt, prosecution, closed.
    #[arg(long, default_value = "open", value_parser = names::parse::<pb::CaseStatus>)]
    status: pb::CaseStatus,
    /// For example tech-support-fraud; may be repeated.
    #[arg(long)]
    crime_type: Vec<String>,
    /// Country concerned, two letters; may be repeated.
    #[arg(long)]
    jurisdiction: Vec<String>,
    /// The leading agency.
    #[arg(long)]
    lead: Option<AgencyName>,
    /// A participating agency; may be repeated.
    #[arg(long)]
    participant: Vec<AgencyName>,
    /// Time at which it was opened.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    opened_at: Option<Timestamp>,
    /// Summary for investigators (class notes).
    #[arg(long, default_value = "")]
    summary: String,
    /// The origin of the case (class source).
    #[arg(long, default_value = "")]
    origin: String,
    /// TLP label.
    #[arg(long, value_parser = names::parse::<pb::Tlp>)]
    tlp: pb::Tlp,
    /// PAP label.
    #[arg(long, default_value = "amber", value_parser = names::parse::<pb::Pap>)]
    pap: pb::Pap,
    /// A label; may be repeated.
    #[arg(long)]
    label: Vec<String>,
    /// Code of the joint operation.
    #[arg(long, default_value = "")]
    operation: String,
    /// Your confidence, 0 to 100.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(0..=100))]
    confidence: u32,
    /// Record the case again if it was withdrawn: it begins a new series.
    #[arg(long)]
    reinstate: bool,
}

#[derive(Debug, clap::Args)]
pub struct CaseArgs {
    /// Reference or series id of the case; of the id the first digits are enough, six at the least.
    case: String,
    /// The greatest number of events.
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=EVENTS_MAX))]
    limit: u32,
}

pub(super) async fn run(command: CaseCommand, context: &Context) -> Result<(), CliError> {
    match command {
        CaseCommand::Create(args) => create(*args, context).await,
        CaseCommand::Show(args) => show(&args, context).await,
        CaseCommand::Timeline(args) => timeline(&args, context).await,
    }
}

/// The series of the case with this reference; a series id stands for itself.
pub(super) async fn series_of(
    reference: &str,
    channel: Channel,
    context: &Context,
) -> Result<SeriesId, CliError> {
    let named = named(reference, &channel, context).await?;
    if let Ok(series) = named.parse() {
        return Ok(series);
    }
    let answer = read(reference, 1, channel, context).await?;
    let envelope = answer.case.and_then(|view| view.envelope);
    let header = envelope.and_then(|envelope| pb::Header::decode(envelope.header).ok());
    header
        .and_then(|header| SeriesId::try_from(header.series.as_ref()).ok())
        .ok_or_else(|| CliError::Answer(format!("case {reference:?} has no readable header")))
}

/// Returns whether a case with this reference is here, and not only results that name it.
pub(super) async fn is_recorded(
    reference: &str,
    channel: Channel,
    context: &Context,
) -> Result<bool, CliError> {
    match read(reference, 1, channel, context).await {
        Ok(answer) => Ok(answer.case.is_some()),
        Err(error) if error.exit() == Exit::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the text that names a case to the node: a reference as it was given, and the series id for
/// its first digits. A case whose reference looks like such digits comes first.
pub(super) async fn named(
    text: &str,
    channel: &Channel,
    context: &Context,
) -> Result<String, CliError> {
    let digits = first_digits(text);
    if digits.len() >= 2 * SeriesId::BYTES || digits.parse::<IdPrefix>().is_err() {
        return Ok(text.to_owned());
    }
    let found = match is_recorded(text, channel.clone(), context).await {
        Ok(true) => return Ok(text.to_owned()),
        Ok(false) => series_at_node(&digits, channel.clone(), context).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(series) => Ok(series.map_or_else(|| text.to_owned(), |series| series.to_string())),
        // A role that may not look up ids gives references alone.
        Err(error) if error.exit() == Exit::Refused => Ok(text.to_owned()),
        Err(error) => Err(error),
    }
}

/// Returns the reference of a case that was named by it, by its series id, or by the first digits of that.
pub(super) async fn reference_of(
    text: &str,
    channel: &Channel,
    context: &Context,
) -> Result<String, CliError> {
    let named = named(text, channel, context).await?;
    if named.parse::<SeriesId>().is_err() {
        return Ok(named);
    }
    let answer = read(&named, 1, channel.clone(), context).await?;
    let case = RecordText::from_view(&answer.case.unwrap_or_default());
    match case.content.get("reference") {
        Some(Value::String(reference)) => Ok(reference.clone()),
        _ => Err(CliError::not_found(
            format!("the reference of case {named} is not shown here"),
            "liaison query --kind case",
        )),
    }
}

async fn create(args: CreateArgs, context: &Context) -> Result<(), CliError> {
    let mut client = RecordServiceClient::new(context.channel(&[Role::Analyst]).await?);
    let request = pb::SubmitRecordsRequest { drafts: vec![args.into_draft()] };
    let answer = client
        .submit_records(context.request(request))
        .await
        .map_err(CliError::node("record the case"))?
        .into_inner();
    let result = answer.results.into_iter().next();
    let result = result.ok_or_else(|| CliError::Answer("no result for the draft".into()))?;
    if result.outcome() == pb::DraftOutcome::Refused {
        let found = format!("the node refuses field {:?}: {}", result.field, result.reason);
        return Err(CliError::Refused { found, fix: "correct the field and run it again".into() });
    }
    let (outcome, id, series) =
        (names::word(result.outcome()), hex(&result.record_id), hex(&result.series));
    let document =
        json!({"outcome": outcome, "id": id, "series": series, "revision": result.revision});
    context.output.either(document, || {
        facts([
            ("case", outcome.clone()),
            ("id", id.clone()),
            ("series", series.clone()),
            ("revision", result.revision.to_string()),
        ])
    })
}

impl CreateArgs {
    fn into_draft(self) -> pb::Draft {
        let case = pb::Case {
            reference: self.reference,
            title: self.title,
            status: self.status.into(),
            crime_types: self.crime_type,
            jurisdictions: self.jurisdiction.iter().map(|code| code.to_ascii_uppercase()).collect(),
            lead: self.lead.map(|name| name.to_string()).unwrap_or_default(),
            participants: self.participant.iter().map(ToString::to_string).collect(),
            opened_at_ms: self.opened_at.map_or(0, |time| time.unix_ms().unsigned_abs()),
            summary: self.summary,
            origin: self.origin,
        };
        let marking =
            pb::Marking { tlp: self.tlp.into(), pap: self.pap.into(), ..Default::default() };
        pb::Draft {
            marking: Some(marking),
            labels: self.label,
            operation: self.operation,
            confidence: self.confidence,
            key: String::new(),
            reinstate: self.reinstate,
            content: Some(pb::draft::Content::Case(case)),
        }
    }
}

async fn read(
    case: &str,
    limit: u32,
    channel: Channel,
    context: &Context,
) -> Result<pb::GetTimelineResponse, CliError> {
    let request = pb::GetTimelineRequest { case: case.to_owned(), limit };
    CaseServiceClient::new(channel)
        .max_decoding_message_size(ANSWER_BYTES_MAX)
        .get_timeline(context.request(request))
        .await
        .map(tonic::Response::into_inner)
        .map_err(CliError::node(format!("read case {case:?}")))
        .map_err(|error| error.with_fix(tonic::Code::NotFound, "liaison query --kind case"))
}

async fn read_for(args: &CaseArgs, context: &Context) -> Result<pb::GetTimelineResponse, CliError> {
    let channel = context.channel(&[Role::Analyst, Role::Auditor]).await?;
    let case = named(&args.case, &channel, context).await?;
    let answer = read(&case, args.limit, channel, context).await?;
    context.output.note_damaged(answer.damaged, "records");
    Ok(answer)
}

async fn show(args: &CaseArgs, context: &Context) -> Result<(), CliError> {
    let answer = read_for(args, context).await?;
    let case = RecordText::from_view(&answer.case.unwrap_or_default());
    let document = json!({"case": case.to_json(), "totals": totals_json(&answer.totals)});
    context.output.either(document, || case_text(&case, &answer.totals))
}

async fn timeline(args: &CaseArgs, context: &Context) -> Result<(), CliError> {
    let answer = read_for(args, context).await?;
    let left_out = left_out(&answer);
    if left_out > 0 {
        context.output.note(&left_out_text(left_out));
    }
    match context.output.format() {
        Format::Table => context.output.table(&events_table(&answer.events)),
        Format::Ndjson => answer
            .events
            .iter()
            .try_for_each(|event| context.output.line_document(event_json(event))),
        Format::Json => {
            let case = RecordText::from_view(&answer.case.unwrap_or_default());
            let events: Vec<_> = answer.events.iter().map(event_json).collect();
            let totals = totals_json(&answer.totals);
            context
                .output
                .document(json!({"case": case.to_json(), "events": events, "totals": totals,
                    "left_out": left_out}))
        }
    }
}

/// Returns how many records of the case are not among the events.
fn left_out(answer: &pb::GetTimelineResponse) -> u64 {
    let all: u64 = answer.totals.iter().map(|count| count.count).sum();
    all.saturating_sub(answer.events.len() as u64)
}

fn left_out_text(left_out: u64) -> String {
    format!(
        "{} left out, indicators and takedown results before others and the oldest first; --limit up to \
         {EVENTS_MAX} shows more",
        counted(left_out, "record")
    )
}

fn case_text(case: &RecordText, totals: &[pb::Count]) -> String {
    let field = |name: &str| match case.content.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    };
    let names = [
        "reference",
        "title",
        "status",
        "lead",
        "participants",
        "jurisdictions",
        "crime_types",
        "opened_at",
        "summary",
        "origin",
    ];
    let mut lines: Vec<(&str, String)> = names.iter().map(|name| (*name, field(name))).collect();
    lines.push(("originator", case.header.originator.clone()));
    lines.push(("series", hex(&case.header.series)));
    lines.push(("withheld", case.slots_in("withheld").join(", ")));
    let totals = totals.iter().map(|count| format!("{} {}", grouped(count.count), count.name));
    lines.push(("records", totals.collect::<Vec<_>>().join(", ")));
    facts(lines)
}

fn totals_json(totals: &[pb::Count]) -> Value {
    totals.iter().map(|count| (count.name.clone(), Value::from(count.count))).collect()
}

fn events_table(events: &[pb::TimelineEvent]) -> Table {
    let mut table = Table::new(["at", "event", "kind", "originator", "id"]).below(&[1, 3]);
    for event in events {
        let record =
            RecordText::from_view(event.record.as_ref().unwrap_or(&pb::RecordView::default()));
        table.row([
            time_text(event.at_ms),
            event.summary.clone(),
            record.kind(),
            record.header.originator.clone(),
            record.short_id().to_owned(),
        ]);
    }
    table
}

fn event_json(event: &pb::TimelineEvent) -> Value {
    let record = event.record.as_ref().map(|view| RecordText::from_view(view).to_json());
    json!({"at": time_text(event.at_ms), "summary": event.summary, "record": record})
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn what_a_time_line_leaves_out_is_counted() {
        let count = |name: &str, count| pb::Count { name: name.into(), count };
        let answer = pb::GetTimelineResponse {
            events: vec![pb::TimelineEvent::default(); 3],
            totals: vec![count("takedown-result", 2_146), count("subject", 2)],
            ..Default::default()
        };
        assert_eq!(left_out(&answer), 2_145);
        let text = left_out_text(2_145);
        assert!(text.starts_with("2,145 records left out") && text.contains("--limit up to 10000"));
        assert_eq!(left_out(&pb::GetTimelineResponse::default()), 0);
    }

    #[test]
    fn flags_become_a_draft_of_a_case() {
        let cli = crate::cli::Cli::try_parse_from([
            "liaison",
            "case",
            "create",
            "--reference",
            "OP-1187",
            "--title",
            "T",
            "--tlp",
            "amber",
            "--jurisdiction",
            "jp",
            "--lead",
            "npa.go.jp",
            "--opened-at",
            "2024-05-01",
        ]);
        let crate::cli::Command::Case(CaseCommand::Create(args)) = cli.unwrap().command else {
            panic!()
        };
        let draft = args.into_draft();
        assert_eq!(draft.marking.unwrap().tlp(), pb::Tlp::Amber);
        let Some(pb::draft::Content::Case(case)) = draft.content else { panic!() };
        assert_eq!((case.reference.as_str(), case.status()), ("OP-1187", pb::CaseStatus::Open));
        assert_eq!(case.jurisdictions, ["JP"]);
        assert_eq!(case.opened_at_ms, 1_714_521_600_000);
    }

    #[test]
    fn events_are_rows_in_the_order_of_the_node() {
        let event = pb::TimelineEvent {
            at_ms: 1_763_800_000_000,
            summary: "19 places searched".into(),
            record: Some(crate::cli::record_view::tests::view()),
        };
        assert_eq!(
            events_table(&[event]).to_text(),
            "AT                        EVENT               KIND             ORIGINATOR   ID\n\
             2025-11-22T08:26:40.000Z  19 places searched  takedown-result  dcu.example  cdcdcdcdcdcd"
        );
    }
}
