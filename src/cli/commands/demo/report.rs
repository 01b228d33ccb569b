//! The report at the end of the demonstration: nodes, pairs, figures, and the audit of its history.

use super::agencies::NPA;
use super::asked;
use super::nodes::RunningNode;
use crate::cli::commands::audit::verify;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::table::Table;
use crate::pb::{self, node_service_client::NodeServiceClient};
use crate::policy::ClientRole;
use serde_json::{Value, json};
use std::path::Path;

/// The measured figures.
pub(super) struct Figures {
    pub(super) records: usize,
    pub(super) seconds_push: f64,
    pub(super) seconds_receipts: f64,
    pub(super) push_peak_memory_bytes: u64,
}

pub(super) async fn show(
    nodes: &[RunningNode],
    figures: &Figures,
    context: &Context,
) -> Result<bool, CliError> {
    let mut verified = true;
    let (mut node_rows, mut pair_rows) = (Vec::new(), Vec::new());
    let mut pairs = Table::new([
        "FROM",
        "TO",
        "DISCLOSED",
        "FIELDS WITHHELD",
        "DENIED",
        "RECEIPTED",
        "LAG",
        "DENIED BY",
    ])
    .below(&[7]);
    let mut journals = Table::new(["NODE", "RECORDS", "JOURNAL", "ROOT", "PEAK MB", "OFFLINE"]);
    for node in nodes {
        let mut client = NodeServiceClient::new(node.client(ClientRole::Auditor).await?);
        let status = asked("read the status", client.get_status(pb::GetStatusRequest {}).await)?;
        let accepted = verify::accepts(&node.dir);
        verified &= accepted.is_ok();
        let root: String = status.journal_root.iter().map(|byte| format!("{byte:02x}")).collect();
        let offline = match &accepted {
            Ok(()) => "verified".to_owned(),
            Err(found) => format!("NOT ACCEPTED: {found}"),
        };
        journals.row([
            status.agency.clone(),
            status.records.to_string(),
            status.journal_size.to_string(),
            root[..16].to_owned(),
            (status.peak_memory_bytes >> 20).to_string(),
            offline.clone(),
        ]);
        for partner in &status.partners {
            pair_rows.push(pair_json(&status.agency, partner));
            pairs.row(pair_row(&status.agency, partner));
        }
        node_rows.push(json!({
            "agency": status.agency,
            "records": status.records,
            "journal_size": status.journal_size,
            "journal_root": root,
            "peak_memory_bytes": status.peak_memory_bytes,
            "segment_bytes": status.segment_bytes,
            "index_engine": status.index_engine,
            "offline": offline,
        }));
    }
    let document = json!({
        "nodes": node_rows,
        "pairs": pair_rows,
        "records_pushed": figures.records,
        "seconds_push": figures.seconds_push,
        "seconds_push_to_receipts": figures.seconds_receipts,
        "records_per_second_to_receipts": figures.records as f64 / figures.seconds_receipts,
        "push_peak_memory_bytes": figures.push_peak_memory_bytes,
        "verified": verified,
    });
    context.output.either(document, || {
        format!(
            "\n{}\n{}\n{} takedown results in {:.1} s until every entitled partner's receipt was \
             here: {:.0} records/s\n",
            journals.to_text(),
            pairs.to_text(),
            figures.records,
            figures.seconds_receipts,
            figures.records as f64 / figures.seconds_receipts,
        )
    })?;
    Ok(verified)
}

/// Names commands that work while the nodes run.
pub(super) fn show_next(dir: &Path, context: &Context) {
    context.output.note(&while_running(dir));
}

/// Names commands that work when the nodes have stopped. A directory that nobody named is removed.
pub(super) fn show_left(dir: &Path, context: &Context) {
    if context.options.dir.is_some() {
        context.output.note(&after_the_end(dir));
    }
}

fn while_running(dir: &Path) -> String {
    format!(
        "try next, in another terminal:\n  \
         liaison --dir {npa} query --domain support-3.example --limit 5\n  \
         liaison --dir {npa} case timeline NPA-2026-0417\n  \
         liaison --dir {npa} takedown status NPA-2026-0417 --by provider\n  \
         liaison --dir {npa} partner list\n  \
         liaison audit verify {npa}",
        npa = dir.join(NPA).display(),
    )
}

fn after_the_end(dir: &Path) -> String {
    format!(
        "the nodes have stopped and their directories stay; try next:\n  \
         liaison audit verify {npa}\n  \
         liaison serve --dir {npa}",
        npa = dir.join(NPA).display(),
    )
}

fn denied(partner: &pb::PartnerView) -> u64 {
    partner.denied.iter().map(|count| count.count).sum()
}

fn pair_row(from: &str, partner: &pb::PartnerView) -> [String; 8] {
    let reasons: Vec<String> =
        partner.denied.iter().map(|count| format!("{} ({})", count.name, count.count)).collect();
    [
        from.to_owned(),
        partner.agency.clone(),
        partner.disclosed.to_string(),
        partner.fields_withheld.to_string(),
        denied(partner).to_string(),
        partner.receipted.to_string(),
        partner.lag_entries.to_string(),
        reasons.join(", "),
    ]
}

fn pair_json(from: &str, partner: &pb::PartnerView) -> Value {
    let reasons: serde_json::Map<String, Value> =
        partner.denied.iter().map(|count| (count.name.clone(), json!(count.count))).collect();
    json!({
        "from": from,
        "to": partner.agency,
        "disclosed": partner.disclosed,
        "fields_withheld": partner.fields_withheld,
        "denied": denied(partner),
        "denied_by": reasons,
        "feed_size": partner.feed_size,
        "receipted": partner.receipted,
        "exceptions": partner.exceptions,
        "lag_entries": partner.lag_entries,
        "receipt_ms_p50": partner.receipt_ms_p50,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    /// The commands that a text names, as the program reads them.
    fn commands(text: &str) -> Vec<Cli> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
        lines.map(|line| Cli::try_parse_from(line.split(' ')).unwrap()).collect()
    }

    #[test]
    fn every_next_step_is_a_command_and_those_after_the_end_need_no_running_node() {
        let dir = Path::new("chakra");
        let running = commands(&while_running(dir));
        assert_eq!(running.len(), 5);
        let left = commands(&after_the_end(dir));
        assert_eq!(left.len(), 2);
        for cli in left {
            assert!(matches!(cli.command, Command::Audit(_) | Command::Serve(_)), "{cli:?}");
        }
    }
}
