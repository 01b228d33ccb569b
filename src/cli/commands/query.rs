//! `liaison query`: records by value, network, case, kind, time or words.

mod hint;

use serde_json::{Value, json};
use tonic::transport::Channel;

use super::case;
use crate::cli::connection::Role;
use crate::cli::context::{Context, not_empty, parse_time};
use crate::cli::error::CliError;
use crate::cli::names;
use crate::cli::output::Format;
use crate::cli::record_view::RecordText;
use crate::cli::table::Table;
use crate::ident::{AgencyName, Timestamp};
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;
use hint::nothing_found;

/// Records that a table or a document shows, unless --limit is given.
const LIMIT: u64 = 100;
/// Records in one page, as the protocol allows.
const PAGE_RECORDS_MAX: u32 = 1000;

const EXAMPLES: &str = "\
Examples:
  liaison query hxxp://evil[.]example/login
  liaison query --domain evil.example --kind takedown-result --since 2026-11-01
  liaison query --network 198.51.100.0/24 -o ndjson | jq -r .content.value
  liaison query --case OP-1187 --limit 1000 -o json";

/// Search records; all conditions must hold.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct QueryArgs {
    /// A value of any type, as people write it; defanged forms are understood.
    #[arg(value_parser = not_empty)]
    pub(super) value: Option<String>,
    /// This domain and everything below it.
    #[arg(long, value_parser = not_empty)]
    domain: Option<String>,
    /// Addresses and networks within this network, and networks that contain it.
    #[arg(long, value_parser = not_empty)]
    network: Option<String>,
    /// Reference or series id of a case; of the id the first digits are enough, six at the least.
    #[arg(long, value_name = "REF", value_parser = not_empty)]
    pub(super) case: Option<String>,
    /// Only this kind, for example indicator.
    #[arg(long, value_parser = names::parse::<pb::Kind>)]
    kind: Option<pb::Kind>,
    /// Only records that this agency signed.
    #[arg(long, value_name = "AGENCY")]
    originator: Option<AgencyName>,
    /// Created at or after this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Created before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Words that must all occur in titles or notes.
    #[arg(long, value_name = "WORDS", value_parser = not_empty)]
    pub(super) text: Option<String>,
    /// Superseded revisions too.
    #[arg(long)]
    pub(super) include_superseded: bool,
    /// The greatest number of records; by default 100, and with `-o ndjson` all.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Go on after an earlier query, with its next_cursor.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) async fn run(args: &QueryArgs, context: &Context) -> Result<(), CliError> {
    let channel = context.channel(&[Role::Analyst, Role::Auditor, Role::PolicyOfficer]).await?;
    let case = match &args.case {
        Some(case) => Some(case::named(case, &channel, context).await?),
        None => None,
    };
    let args = &QueryArgs { case, ..args.clone() };
    let mut shown = Shown::new(context.output.format());
    let mut token = args.cursor.clone().unwrap_or_default();
    let format = context.output.format();
    let mut left = args.limit.unwrap_or(if format == Format::Ndjson { u64::MAX } else { LIMIT });
    let (mut found, mut damaged) = (0, 0);
    loop {
        let request = args.request(token, left);
        let page = read_page(&channel, request, context, |view| shown.add(&view, context)).await?;
        token = page.next_page_token;
        damaged += page.damaged;
        left = left.saturating_sub(page.records);
        found += page.records;
        if token.is_empty() || left == 0 || page.records == 0 {
            break;
        }
    }
    let is_end = token.is_empty();
    shown.finish(&token, context)?;
    context.output.note_damaged(damaged, "records");
    if found == 0 && is_end {
        context.output.note(&nothing_found(args));
    }
    Ok(())
}

/// The result of one page.
struct Page {
    records: u64,
    /// Records that might match and cannot be read.
    damaged: u64,
    next_page_token: String,
}

async fn read_page(
    channel: &Channel,
    request: pb::QueryRecordsRequest,
    context: &Context,
    mut each: impl FnMut(pb::RecordView) -> Result<(), CliError>,
) -> Result<Page, CliError> {
    let mut client = RecordServiceClient::new(channel.clone());
    let failed = || CliError::node("read the records");
    let answer = client.query_records(context.request(request)).await.map_err(failed())?;
    let mut stream = answer.into_inner();
    let mut page = Page { records: 0, damaged: 0, next_page_token: String::new() };
    while let Some(response) = stream.message().await.map_err(failed())? {
        if let Some(view) = response.record {
            page.records += 1;
            each(view)?;
        }
        page.damaged = response.damaged;
        page.next_page_token = response.next_page_token;
    }
    Ok(page)
}

impl QueryArgs {
    fn request(&self, page_token: String, left: u64) -> pb::QueryRecordsRequest {
        let page_size = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE_RECORDS_MAX);
        let ms = |time: Option<Timestamp>| time.map_or(0, |time| time.unix_ms().unsigned_abs());
        pb::QueryRecordsRequest {
            value: self.value.clone().unwrap_or_default(),
            domain_suffix: self.domain.clone().unwrap_or_default(),
            network: self.network.clone().unwrap_or_default(),
            case: self.case.clone().unwrap_or_default(),
            kind: self.kind.unwrap_or_default().into(),
            originator: self.originator.as_ref().map(ToString::to_string).unwrap_or_default(),
            created_from_ms: ms(self.since),
            created_until_ms: ms(self.until),
            text: self.text.clone().unwrap_or_default(),
            include_superseded: self.include_superseded,
            page_size,
            page_token,
        }
    }
}

/// Results as the format wants them: at once, or gathered for a table or a document.
enum Shown {
    Table(Box<Table>),
    Document(Vec<Value>),
    Lines,
}

impl Shown {
    fn new(format: Format) -> Self {
        match format {
            Format::Table => Self::Table(Box::new(table())),
            Format::Json => Self::Document(Vec::new()),
            Format::Ndjson => Self::Lines,
        }
    }

    fn add(&mut self, view: &pb::RecordView, context: &Context) -> Result<(), CliError> {
        let record = RecordText::from_view(view);
        match self {
            Self::Table(table) => table.row(row(&record)),
            Self::Document(records) => records.push(record.to_json()),
            Self::Lines => context.output.line_document(record.to_json())?,
        }
        Ok(())
    }

    fn finish(self, next_cursor: &str, context: &Context) -> Result<(), CliError> {
        let more = !next_cursor.is_empty();
        match self {
            Self::Table(table) => context.output.table(&table)?,
            Self::Document(records) => {
                let next = more.then_some(next_cursor);
                return context.output.document(json!({"records": records, "next_cursor": next}));
            }
            Self::Lines => {}
        }
        if more {
            context.output.note(&format!("there is more; go on with --cursor {next_cursor}"));
        }
        Ok(())
    }
}

/// The table of records.
pub(super) fn table() -> Table {
    let header = ["created", "kind", "originator", "tlp", "what", "confidence", "id"];
    Table::new(header).right(&[5]).below(&[4, 2])
}

/// A record as a row of that table.
pub(super) fn row(record: &RecordText) -> [String; 7] {
    let remarks = record.remarks().into_iter().map(str::to_owned);
    let remarks = remarks.chain(record.erased()).chain(record.handling());
    let remarks: String = remarks.map(|remark| format!(" [{remark}]")).collect();
    [
        record.created(),
        record.kind(),
        record.header.originator.clone(),
        record.tlp(),
        format!("{}{remarks}", record.what()),
        record.header.confidence.to_string(),
        record.short_id().to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::record_view::tests::view;
    use crate::cli::table::tests::assert_fits;
    use clap::Parser;

    #[test]
    fn a_record_is_a_row() {
        let mut table = table();
        table.row(row(&RecordText::from_view(&view())));
        assert_eq!(
            table.to_text(),
            "CREATED                   KIND             ORIGINATOR   TLP           CONFIDENCE  ID\n\
             2025-11-22T08:26:40.000Z  takedown-result  dcu.example  AMBER+STRICT          80  cdcdcdcdcdcd\n\
             \u{20} what  domain evil.example down [withdrawn] [erased: country]"
        );
        assert_fits(&table.to_text());
        let wide = table.to_text_within(150);
        assert!(wide.ends_with("[erased: country]          80  cdcdcdcdcdcd"), "{wide}");
    }

    #[test]
    fn flags_become_conditions_and_pages_stay_within_the_protocol() {
        let cli = crate::cli::Cli::try_parse_from([
            "liaison",
            "query",
            "evil.example",
            "--kind",
            "case",
            "--since",
            "2026-11-01",
            "--limit",
            "2500",
        ]);
        let crate::cli::Command::Query(args) = cli.unwrap().command else { panic!() };
        let request = args.request(String::new(), args.limit.unwrap());
        assert_eq!(request.kind(), pb::Kind::Case);
        assert_eq!(request.created_from_ms, 1_793_491_200_000);
        assert_eq!((request.value.as_str(), request.page_size), ("evil.example", 1000));
        assert_eq!(args.request(String::new(), 7).page_size, 7);
    }
}
