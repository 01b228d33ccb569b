//! `liaison push`: sends the rows of a file as drafts and keeps the node's signed receipt.
//!
//! Made for tens of thousands of rows tonight and again tomorrow: memory does not grow with the
//! file, a cut costs at most a second of work, rows that cannot be taken end in a report and
//! never stop the others, and pushing the same rows again changes nothing.

mod batch;
mod columns;
mod csv_rows;
mod earlier_rows;
mod heard;
mod input;
mod json_rows;
mod ledger;
mod lists;
mod marking;
mod places;
mod raw_rows;
mod rejects;
mod retry;
mod row;
mod rows;
mod state;
mod stream;
mod summary;
mod template;
mod unknown_cases;
mod utf16;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tokio::sync::mpsc;

use super::case;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::progress::Progress;
use crate::cli::{interrupt, names};
use crate::partner::Card;
use crate::pb;
use crate::pb::partner_service_client::PartnerServiceClient;
use crate::value::DeclaredType;
use columns::{ColumnRules, Field};
use earlier_rows::{EarlierRows, RejectedLines};
use heard::ReceiptGiver;
use input::{FileIdentity, Input};
use ledger::Ledger;
use marking::MarkingArgs;
use rejects::{Rejects, Settled};
use rows::{FileFormat, Rows};
use state::{Position, StateFile, Subject};
use stream::End;
use template::Template;

/// Portions that are read ahead of the wire.
const PORTIONS_AHEAD: usize = 2;

const EXAMPLES: &str = "\
Examples:
  Takedown results of a campaign, with the case they belong to:
    liaison push results.csv --tlp amber --case OP-1187 --status down

  Indicators from a feed whose column names differ:
    liaison push feed.csv --kind indicator --tlp green --map host=value --type domain

  Look at the file first; nothing is sent:
    liaison push results.csv --tlp amber --dry-run

  Values that were withdrawn by mistake, recorded again:
    liaison push corrected.csv --tlp amber --reinstate

  From another program:
    export-results | liaison push - --format ndjson --tlp green --receipt receipt.json

Files that are written beside FILE:
  FILE.receipt.json   the node's signed receipt; of stdin stdin.receipt.json, or the next name
                      that is free: stdin.2.receipt.json
  FILE.rejected.csv   rows that were not taken: line, column, reason, and the row as it came;
                      correct it and push it (FILE.rejected.ndjson for NDJSON)
  FILE.dry-run.csv    the same report after --dry-run
  FILE.state          how far an interrupted push came; the same command at the same node goes
                      on, as long as nobody changes FILE.rejected.csv before that";

/// Send the rows of a CSV or NDJSON file as records.
///
/// The first line of a CSV file names the columns: value, type, status, action, provider, country,
/// acted_at, reason, evidence, source, reporter, notes, case, first_seen, last_seen, valid_until,
/// tags, reference, group, role, title, confidence, operation; and for the marking tlp, pap,
/// releasable_to, circles, handling, caveat, personal_data, jurisdictions, expires, retain_until,
/// no_notify, no_attribution, grading. Flags give what is the same for all rows; a cell that is not
/// empty wins over its flag. A time without a zone is taken as UTC. valid_until says until when a
/// value is of use; expires ends its disclosure; retain_until ends its storage.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PushArgs {
    /// CSV or NDJSON file, or - for stdin.
    file: PathBuf,
    /// Kind of the rows: takedown-result or indicator.
    #[arg(long, default_value = "takedown-result", value_parser = parse_kind)]
    kind: pb::Kind,
    /// Form of the file; by default from its name (.ndjson, .jsonl), else CSV. CSV files may have
    /// comma, semicolon or tab between cells, in UTF-8 or UTF-16.
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    #[command(flatten)]
    marking: MarkingArgs,
    /// A label for all rows; may be repeated.
    #[arg(long)]
    label: Vec<String>,
    /// Code of the joint operation.
    #[arg(long, default_value = "")]
    operation: String,
    /// Your confidence, 0 to 100.
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(0..=100))]
    confidence: u32,
    /// Reference of the case.
    #[arg(long, value_name = "REF", value_parser = crate::cli::context::not_empty)]
    case: Option<String>,
    /// Type of all values, where there is no column type.
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_type)]
    value_type: Option<DeclaredType>,
    /// Action that was taken: remove-content, suspend-domain, suspend-account, sinkhole, block.
    #[arg(long, value_parser = names::parse::<pb::TakedownAction>)]
    action: Option<pb::TakedownAction>,
    /// Result of the action: reported, actioned, down, refused, up-again, unreachable.
    #[arg(long, value_parser = names::parse::<pb::TakedownStatus>)]
    status: Option<pb::TakedownStatus>,
    /// Provider that acted.
    #[arg(long, default_value = "")]
    provider: String,
    /// Country of the provider, two letters.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = parse_country)]
    country: String,
    /// Feed or campaign the values come from.
    #[arg(long, default_value = "")]
    source: String,
    /// Meaning of a column, for example registrar_name=provider; may be repeated.
    #[arg(long, value_name = "COLUMN=FIELD", value_parser = columns::parse_mapping)]
    map: Vec<(String, Field)>,
    /// Leave out columns that are not understood.
    #[arg(long)]
    ignore_unknown: bool,
    /// Record withdrawn values again: such a row begins a new series, which partners see as a new
    /// record. Without this flag it is refused. Erased values stay refused.
    #[arg(long)]
    reinstate: bool,
    /// File for the signed receipt. An earlier receipt there is replaced, and nothing else.
    #[arg(long, value_name = "PATH")]
    receipt: Option<PathBuf>,
    /// Begin again, and ignore the state of an interrupted push.
    #[arg(long)]
    restart: bool,
    /// Check all rows here and send nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &PushArgs, context: &Context) -> Result<(), CliError> {
    // Columns first: a file that cannot be used needs no connection.
    let input = args.open()?;
    let identity = input.identity.clone();
    let rows = args.rows(input)?;
    args.note_without_place(rows.without_place(), context);
    for note in args.marking.notes() {
        context.output.note(&note);
    }
    if args.dry_run {
        let file_bytes = identity.map(|identity| identity.bytes);
        return dry_run(args, context, rows, file_bytes).await;
    }
    // Before anything is sent: a row that the node took without a receipt cannot be shown to anybody.
    args.check_places()?;
    let channel = context.channel(&args.natural_roles()).await?;
    let mut template = args.template();
    if let (pb::Kind::Indicator, Some(reference)) = (args.kind, &args.case) {
        template.case_series = Some(case::series_of(reference, channel.clone(), context).await?);
    }
    let giver = receipt_giver(channel.clone(), context).await?;
    let source = Source { identity, rows, template };
    push(args, context, channel, giver, source, interrupt::interrupted()).await
}

/// Returns the agency that must have signed a receipt: the one whose node this is, by its card.
async fn receipt_giver(
    channel: tonic::transport::Channel,
    context: &Context,
) -> Result<ReceiptGiver, CliError> {
    let answer = PartnerServiceClient::new(channel)
        .get_own_card(context.request(pb::GetOwnCardRequest {}))
        .await
        .map_err(CliError::node("read the node's card, which names its receipt key"))?
        .into_inner();
    let card = Card::verify(&answer.card)
        .map_err(|error| CliError::Answer(format!("the node's own card: {error}")))?;
    let card = card.card();
    Ok(ReceiptGiver { agency: card.agency.clone(), key: card.receipt_key })
}

/// Everything after the connection is there.
async fn push(
    args: &PushArgs,
    context: &Context,
    channel: tonic::transport::Channel,
    giver: ReceiptGiver,
    source: Source,
    interrupted: impl Future<Output = ()>,
) -> Result<(), CliError> {
    let Source { identity, rows, template } = source;
    let file_bytes = identity.as_ref().map(|identity| identity.bytes);
    let _lock = identity.as_ref().map(|_| places::lock(&args.file)).transpose()?;
    let (state, position) = args.open_state(identity, &giver)?;
    let rows_before = position.counts.rows();
    if rows_before > 0 {
        context.output.note(&format!("going on after row {rows_before}"));
    }
    let rejects_path = args.report_path("rejected");
    let report_bytes = position.report.bytes;
    let rejects = Rejects::resume(&rejects_path, rows.header(), &position.report)?;
    let rejected_lines = (report_bytes > 0)
        .then(|| RejectedLines::open(&rejects_path, args.file_format(), report_bytes))
        .transpose()
        .map_err(CliError::file("read", &rejects_path))?;
    let progress =
        Progress::start(context.options.progress, file_bytes, rows_before, &context.output);
    let mut ledger = Ledger::new(position, rejects, state, progress).receipted_by(giver);
    let portions = read_ahead(rows, template, EarlierRows::new(rows_before, rejected_lines));
    let patience = context.options.timeout();
    let submitted =
        stream::submit(channel.clone(), portions, &mut ledger, interrupted, patience).await;
    args.note_without_place(ledger.without_place(), context);
    match submitted {
        Ok(End::Complete) => {
            let completed = complete(args, context, &mut ledger);
            unknown_cases::warn(ledger.case_references(), &channel, context).await;
            completed
        }
        Ok(End::Interrupted) => {
            ledger.break_off()?;
            Err(summary::broken_off(&ledger))
        }
        Err(error) => {
            ledger.break_off()?;
            Err(summary::with_progress(error, &ledger))
        }
    }
}

fn complete(args: &PushArgs, context: &Context, ledger: &mut Ledger<'_>) -> Result<(), CliError> {
    let receipt_path = args.receipt_path();
    let summary = summary::Summary::of(&args.file, ledger, &receipt_path);
    ledger.save(true)?;
    if !ledger.receipts().is_empty() {
        state::replace(&receipt_path, &summary.receipt_document())
            .map_err(CliError::file("write", &receipt_path))?;
    }
    ledger.finish()?;
    if ledger.counts().rejected == 0 && ledger.rejects_path().exists() {
        context.output.note(&format!(
            "note: {} is the report of an earlier push; no row of this one was rejected",
            ledger.rejects_path().display()
        ));
    }
    context.output.either(summary.to_json(), || summary.to_text())?;
    summary.result(&std::env::args_os().collect::<Vec<_>>())
}

async fn dry_run(
    args: &PushArgs,
    context: &Context,
    rows: InputRows,
    file_bytes: Option<u64>,
) -> Result<(), CliError> {
    // Not over the report of a push that may go on.
    let rejects_path = args.report_path("dry-run");
    places::check_report(&rejects_path, &args.file)?;
    let rejects = Rejects::resume(&rejects_path, rows.header(), &Settled::default())?;
    let progress = Progress::start(context.options.progress, file_bytes, 0, &context.output);
    let mut ledger = Ledger::new(Position::default(), rejects, None, progress);
    let template = Template { check_values: true, ..args.template() };
    let mut portions = read_ahead(rows, template, EarlierRows::default());
    let mut good = 0;
    while let Some(batch) = portions.recv().await {
        good += ledger.settle_unsent(&batch?)?;
    }
    ledger.finish()?;
    args.note_without_place(ledger.without_place(), context);
    let summary = summary::DryRun { good, rejected: ledger.counts().rejected };
    context.output.either(summary.to_json(), || summary.to_text())?;
    summary.result(&args.file, ledger.rejects_path())
}

type InputRows = Rows<input::Text>;

/// The opened input and the way its rows become drafts.
struct Source {
    identity: Option<FileIdentity>,
    rows: InputRows,
    template: Template,
}

type Portions = mpsc::Receiver<Result<batch::Batch, CliError>>;

/// Reads on a thread of its own, a little ahead of the wire.
fn read_ahead(rows: InputRows, template: Template, earlier: EarlierRows) -> Portions {
    let (portions, taken) = mpsc::channel(PORTIONS_AHEAD);
    std::thread::spawn(move || batch::read_all(rows, &template, earlier, &portions));
    taken
}

impl PushArgs {
    /// The roles that may push, the most fitting first: an indicator's case is looked up, which a vendor tool
    /// may not.
    const fn natural_roles(&self) -> [Role; 2] {
        match (self.kind, &self.case) {
            (pb::Kind::Indicator, Some(_)) => [Role::Analyst, Role::VendorTool],
            _ => [Role::VendorTool, Role::Analyst],
        }
    }

    fn receipt_path(&self) -> PathBuf {
        self.receipt.clone().unwrap_or_else(|| input::receipt_beside(&self.file))
    }

    /// Checks that receipt and report can be written where they belong.
    fn check_places(&self) -> Result<(), CliError> {
        let (report, state) = (self.report_path("rejected"), self.beside("state"));
        places::check(&self.file, &self.receipt_path(), &report, &state)
    }

    fn note_without_place(&self, columns: &[String], context: &Context) {
        let kind = names::word(self.kind);
        for name in columns {
            let note = format!("note: column {name:?} has no place in a {kind} and is left out");
            context.output.note(&note);
        }
    }

    fn open(&self) -> Result<Input, CliError> {
        Input::open(&self.file).map_err(CliError::file("read", &self.file))
    }

    fn rows(&self, input: Input) -> Result<InputRows, CliError> {
        Rows::open(self.file_format(), input.into_text(), self.rules()).map_err(batch::not_readable)
    }

    fn report_path(&self, name: &str) -> PathBuf {
        let ending = match self.file_format() {
            FileFormat::Csv => "csv",
            FileFormat::Ndjson => "ndjson",
        };
        self.beside(&format!("{name}.{ending}"))
    }

    fn file_format(&self) -> FileFormat {
        let ending = self.file.extension().and_then(|ending| ending.to_str());
        self.format.unwrap_or(match ending {
            Some("ndjson" | "jsonl") => FileFormat::Ndjson,
            _ => FileFormat::Csv,
        })
    }

    fn rules(&self) -> ColumnRules {
        ColumnRules {
            kind: self.kind,
            map: self.map.iter().cloned().collect(),
            ignore_unknown: self.ignore_unknown,
            tlp_is_given: self.marking.tlp.is_some(),
        }
    }

    fn template(&self) -> Template {
        Template {
            kind: self.kind,
            marking: self.marking.clone(),
            labels: self.label.clone(),
            operation: self.operation.clone(),
            confidence: self.confidence,
            value_type: self.value_type,
            action: self.action.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
            provider: self.provider.clone(),
            country: self.country.clone(),
            source: self.source.clone(),
            case_reference: self.case.clone().unwrap_or_default(),
            case_series: None,
            reinstate: self.reinstate,
            check_values: false,
        }
    }

    /// A pipe has no state: it cannot be read again.
    fn open_state(
        &self,
        identity: Option<FileIdentity>,
        node: &ReceiptGiver,
    ) -> Result<(Option<StateFile>, Position), CliError> {
        let Some(identity) = identity else { return Ok((None, Position::default())) };
        let options = format!("{:?} {:?} {:?}", self.template(), self.map, self.file_format());
        let subject = Subject::new(identity, &options, node);
        let (state, position) = StateFile::open(self.beside("state"), subject, self.restart)?;
        Ok((Some(state), position))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        input::beside(&self.file, ending)
    }
}

fn parse_kind(text: &str) -> Result<pb::Kind, String> {
    match names::parse(text)? {
        kind @ (pb::Kind::TakedownResult | pb::Kind::Indicator) => Ok(kind),
        kind => {
            Err(format!("rows cannot be {}s; known: takedown-result, indicator", names::word(kind)))
        }
    }
}

fn parse_type(text: &str) -> Result<DeclaredType, String> {
    DeclaredType::from_name(text).map_err(|error| error.to_string())
}

fn parse_country(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { template::parse_country(text) }
}
