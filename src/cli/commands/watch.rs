//! `liaison watch`: records as they are accepted, until the user stops.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::Format;
use crate::cli::record_view::RecordText;
use crate::cli::{interrupt, names};
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;

const EXAMPLES: &str = "\
Examples:
  liaison watch
  liaison watch --from 0 -o ndjson > everything.ndjson
  liaison watch --kind takedown-result -o ndjson | jq -r .content.value

The cursor to go on with is written to stderr at the end, and stands in every JSON line.";

/// Follow records as the node accepts them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct WatchArgs {
    /// Journal index to begin with, or now.
    #[arg(long, value_name = "CURSOR", default_value = "now", value_parser = parse_from)]
    from: From,
    /// Only this kind.
    #[arg(long, value_parser = names::parse::<pb::Kind>)]
    kind: Option<pb::Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Cursor(u64),
}

pub(super) async fn run(args: &WatchArgs, context: &Context) -> Result<(), CliError> {
    let channel = context.channel(&[Role::Analyst, Role::Auditor]).await?;
    let mut client = RecordServiceClient::new(channel);
    // No deadline: the stream is meant to last.
    let answer = client.watch_records(args.request()).await;
    let mut stream = answer.map_err(CliError::node("follow the records"))?.into_inner();
    let mut interrupted = std::pin::pin!(interrupt::interrupted());
    let mut cursor = None;
    let end = loop {
        tokio::select! {
            biased;
            () = &mut interrupted => break Err(stopped(cursor)),
            answer = stream.message() => match answer {
                Ok(Some(response)) => {
                    cursor = Some(response.cursor);
                    if let Err(error) = show(&response, context) {
                        break Err(error);
                    }
                }
                Ok(None) => break Err(ended(tonic::Status::unavailable("the node ended the stream"))),
                Err(status) => break Err(ended(status)),
            }
        }
    };
    if let Some(cursor) = cursor {
        context.output.note(&format!("cursor {cursor}"));
    }
    end
}

fn show(response: &pb::WatchRecordsResponse, context: &Context) -> Result<(), CliError> {
    context.output.note_damaged(response.damaged, "entries");
    let Some(view) = &response.record else { return Ok(()) };
    let record = RecordText::from_view(view);
    if context.output.format() == Format::Table {
        return context.output.text(&line(&record));
    }
    let mut document = record.to_json();
    document["cursor"] = response.cursor.into();
    context.output.line_document(document)
}

/// Columns of fixed width, because the rows to come are not known.
fn line(record: &RecordText) -> String {
    let line = format!(
        "{}  {:<20}  {:<20}  {:<12}  {}  {}",
        record.created(),
        record.kind(),
        record.header.originator,
        record.tlp(),
        record.short_id(),
        record.what(),
    );
    crate::cli::output::harmless(&line)
}

/// A watch lasts until the user stops: that the node ends it is never a success.
fn ended(status: tonic::Status) -> CliError {
    CliError::node("follow the records any longer")(status)
}

fn stopped(cursor: Option<u64>) -> CliError {
    let fix = cursor.map_or_else(String::new, |cursor| format!("liaison watch --from {cursor}"));
    CliError::Interrupted { kept: "everything that was shown is complete".into(), fix }
}

impl WatchArgs {
    fn request(&self) -> pb::WatchRecordsRequest {
        let (cursor, from_now) = match self.from {
            From::Now => (0, true),
            From::Cursor(cursor) => (cursor, false),
        };
        pb::WatchRecordsRequest { cursor, from_now, kind: self.kind.unwrap_or_default().into() }
    }
}

fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "now" => Ok(From::Now),
        number => number
            .parse()
            .map(From::Cursor)
            .map_err(|_| format!("{text:?} is neither a journal index nor now")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_journal_index_or_now() {
        assert_eq!(parse_from("now"), Ok(From::Now));
        assert_eq!(parse_from("41"), Ok(From::Cursor(41)));
        assert!(parse_from("-1").is_err());
    }

    #[test]
    fn a_record_is_one_line() {
        let record = RecordText::from_view(&crate::cli::record_view::tests::view());
        assert_eq!(
            line(&record),
            "2025-11-22T08:26:40.000Z  takedown-result       dcu.example           AMBER+STRICT  cdcdcdcdcdcd  domain evil.example down"
        );
    }
}
