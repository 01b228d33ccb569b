//! `liaison status`: the node's state, its sizes, and how each partner stands.

use serde_json::Value;

use super::partner;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Format;
use crate::cli::schema::{self, Absent, hex, time_text};
use crate::cli::table::facts;
use crate::numerals::{counted, grouped};
use crate::pb;
use crate::pb::node_service_client::NodeServiceClient;

/// Show the node's state, sizes and partners.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  liaison status --dir /var/lib/liaison\n  liaison status -o json | jq .records"
)]
pub struct StatusArgs {}

pub(super) async fn run(_: &StatusArgs, context: &Context) -> Result<(), CliError> {
    let natural =
        [Role::Admin, Role::Analyst, Role::Auditor, Role::PolicyOfficer, Role::VendorTool];
    let mut client = NodeServiceClient::new(context.channel(&natural).await?);
    let status = client
        .get_status(context.request(pb::GetStatusRequest {}))
        .await
        .map_err(CliError::node("read the node's status"))?
        .into_inner();
    show(&status, context)?;
    clock_alarm(&status)?;
    health(&status)
}

fn show(status: &pb::GetStatusResponse, context: &Context) -> Result<(), CliError> {
    if context.output.format() != Format::Table {
        return context.output.document(to_json(status));
    }
    context.output.text(&to_text(status))?;
    if status.partners.is_empty() {
        return Ok(());
    }
    context.output.text("")?;
    context.output.table(&partner::table_of(&status.partners))
}

/// A node whose store is not whole answers, and the command does not end with 0.
fn health(status: &pb::GetStatusResponse) -> Result<(), CliError> {
    if let Some(damage) = status.damages.first() {
        let found = format!("stored bytes are damaged: {}", damage_text(damage));
        let fix =
            "stop the node and bring back the newest copy of its directory; the rest can be read";
        return Err(CliError::Precondition { found, fix: fix.to_owned() });
    }
    if status.index_failure.is_empty() {
        return Ok(());
    }
    Err(CliError::Precondition {
        found: format!("the index stopped: {}", status.index_failure),
        fix: "start the node again; run `liaison store reindex` if it stops again".to_owned(),
    })
}

fn damage_text(damage: &pb::DamageView) -> String {
    let pb::DamageView { segment, offset, first_entry, entries, found } = damage;
    format!(
        "segment {segment} offset {offset}, {} from {}: {found}",
        counted(*entries, "entry"),
        grouped(*first_entry),
    )
}

/// Ends the command as unavailable while the node signs nothing because of its clock.
fn clock_alarm(status: &pb::GetStatusResponse) -> Result<(), CliError> {
    let doubt = status.clock.as_ref().map_or("", |clock| &clock.doubt);
    if doubt.is_empty() {
        return Ok(());
    }
    Err(CliError::Other {
        doing: "the node's clock is in doubt, and nothing is signed".to_owned(),
        exit: Exit::Unavailable,
        fix: "correct the clock; if it is right: liaison clock confirm".to_owned(),
        source: doubt.into(),
    })
}

fn to_json(status: &pb::GetStatusResponse) -> Value {
    schema::to_json("GetStatusResponse", status, Absent::Shown)
}

fn to_text(status: &pb::GetStatusResponse) -> String {
    let mut lines = vec![
        ("agency", status.agency.clone()),
        ("version", status.version.clone()),
        ("running since", time_text(status.started_at_ms)),
        ("records", grouped(status.records)),
        ("journal size", grouped(status.journal_size)),
        ("journal root", hex(&status.journal_root)),
        ("policy", policy_text(status.policy_version)),
        ("index", index_text(status)),
        ("segments", bytes_text(status.segment_bytes)),
        ("peak memory", bytes_text(status.peak_memory_bytes)),
        ("partner port", status.partner_address.clone()),
        ("client port", status.client_address.clone()),
    ];
    let refused =
        status.refused.iter().map(|count| format!("{} {}", grouped(count.count), count.name));
    lines.push(("refused", refused.collect::<Vec<_>>().join(", ")));
    let held = status.partners.iter().filter(|partner| partner.held > 0);
    let held = held.map(|partner| format!("{} for {}", grouped(partner.held), partner.agency));
    lines.push(("waits for release", held.collect::<Vec<_>>().join(", ")));
    let refused = status.partners.iter().filter_map(|partner| {
        let text = partner::refused_by_reason(partner);
        (!text.is_empty()).then(|| format!("{}: {text}", partner.agency))
    });
    lines.push(("refused by partners", refused.collect::<Vec<_>>().join("; ")));
    let learning = status.partners.iter().filter(|partner| partner.learning);
    let learning = learning.map(|p| format!("{}: {}", p.agency, partner::learning_text(p)));
    lines.push(("new partners", learning.collect::<Vec<_>>().join("; ")));
    lines.push(("http port", status.http_address.clone()));
    lines.push(("witnesses", witnesses_text(status)));
    lines.push(("guard", guard_text(status.guard.as_ref())));
    lines.push(("clock", clock_text(status.clock.as_ref())));
    let frozen = status.contradictions.iter().map(|found| {
        let evidence = grouped(found.journal_index);
        format!("{} showed two histories; evidence in entry {evidence}", found.origin)
    });
    let stopped = status.partners.iter().filter(|partner| !partner.stopped.is_empty());
    let stopped = stopped.map(|partner| format!("feed to {}: {}", partner.agency, partner.stopped));
    lines.push(("STOPPED", stopped.collect::<Vec<_>>().join("; ")));
    let damaged: Vec<String> = status.damages.iter().map(damage_text).collect();
    lines.push(("DAMAGED", damaged.join("; ")));
    lines.push(("FROZEN", frozen.collect::<Vec<_>>().join("; ")));
    facts(lines)
}

/// Nothing while there are no witnesses and none are asked for.
fn witnesses_text(status: &pb::GetStatusResponse) -> String {
    let (found, all, wanted) = (status.cosigned_by, status.witnesses.len(), status.quorum);
    let found_of_all = format!("{found} of {all} cosigned the newest checkpoint");
    match wanted {
        0 if all == 0 => String::new(),
        0 => found_of_all,
        wanted if found < wanted => format!("{found_of_all}; TOO FEW, the quorum is {wanted}"),
        wanted => format!("{found_of_all}; the quorum is {wanted}"),
    }
}

/// Returns the text on the start guard; empty while the node may sign and a partner confirmed that.
fn guard_text(guard: Option<&pb::GuardView>) -> String {
    let Some(guard) = guard else { return String::new() };
    match guard.state() {
        pb::GuardState::Unspecified | pb::GuardState::Open => String::new(),
        pb::GuardState::Asking => format!(
            "signs nothing yet: asks {} whether this is an old copy",
            guard.awaited.join(", ")
        ),
        pb::GuardState::Behind => format!(
            "THIS IS AN OLD COPY; signs nothing. {}. Bring back the newest copy; if there is none, see `liaison store succeed --help`",
            guard.findings.join("; ")
        ),
        pb::GuardState::Unanswered => {
            format!("went on without an answer from {}", guard.awaited.join(", "))
        }
    }
}

/// Nothing while the clock is believed and nobody contradicts it.
fn clock_text(clock: Option<&pb::ClockView>) -> String {
    let Some(clock) = clock else { return String::new() };
    let mut parts = Vec::new();
    if !clock.doubt.is_empty() {
        parts.push(format!("IN DOUBT; signs nothing: {}", clock.doubt));
    }
    if clock.decision_ms > clock.wall_ms.saturating_add(LEAD_SHOWN_MS) {
        let (decision, wall) = (time_text(clock.decision_ms), time_text(clock.wall_ms));
        parts.push(format!(
            "decides by {decision}, the journal's time; the wall clock reads {wall}"
        ));
    }
    if !clock.contradicting.is_empty() {
        parts.push(format!("other times: {}", clock.contradicting.join(", ")));
    }
    if clock.retention_waits {
        parts.push(
            "records whose time has ended wait for a partner or a witness that agrees with this \
             clock, or for `liaison clock confirm`"
                .to_owned(),
        );
    }
    parts.join("; ")
}

/// The measure by which the journal's time is shown to be ahead of the wall clock.
const LEAD_SHOWN_MS: u64 = 60_000;

fn policy_text(version: u64) -> String {
    match version {
        0 => "none applied yet; nothing is shared and nothing is accepted (liaison policy new)"
            .to_owned(),
        version => format!("version {version}"),
    }
}

fn index_text(status: &pb::GetStatusResponse) -> String {
    if !status.index_failure.is_empty() {
        let (engine, reason) = (&status.index_engine, &status.index_failure);
        return format!("{engine}, STOPPED: {reason}; start the node again");
    }
    match status.index_lag {
        0 => format!("{}, up to date", status.index_engine),
        lag => format!("{}, {} changes behind", status.index_engine, grouped(lag)),
    }
}

/// Binary units, one digit after the point.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() as usize / 10).min(UNITS.len());
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::JournalError;

    #[test]
    fn the_status_is_a_list_of_facts() {
        let status = pb::GetStatusResponse {
            agency: "npa.go.jp".into(),
            version: "0.1.0".into(),
            records: 66_000,
            journal_size: 66_010,
            index_engine: "sled".into(),
            segment_bytes: 3 * 1024 * 1024,
            refused: vec![pb::Count { name: "signature".into(), count: 2 }],
            started_at_ms: 1_763_800_000_000,
            ..Default::default()
        };
        assert_eq!(
            to_text(&status),
            "agency         npa.go.jp\n\
             version        0.1.0\n\
             running since  2025-11-22T08:26:40.000Z\n\
             records        66,000\n\
             journal size   66,010\n\
             policy         none applied yet; nothing is shared and nothing is accepted (liaison policy new)\n\
             index          sled, up to date\n\
             segments       3.0 MiB\n\
             peak memory    0 B\n\
             refused        2 signature"
        );
    }

    #[test]
    fn an_old_copy_and_a_frozen_log_stand_out() {
        let guard = pb::GuardView {
            state: pb::GuardState::Behind.into(),
            findings: vec!["jc3.or.jp shows it: 8 entries".into()],
            ..Default::default()
        };
        let found = pb::ContradictionView {
            origin: "cbi.gov.in/journal".into(),
            journal_index: 12,
            ..Default::default()
        };
        let status = pb::GetStatusResponse {
            guard: Some(guard),
            contradictions: vec![found],
            ..Default::default()
        };
        let text = to_text(&status);
        assert!(text.contains("THIS IS AN OLD COPY; signs nothing. jc3.or.jp shows it"), "{text}");
        assert!(text.contains("cbi.gov.in/journal showed two histories; evidence in entry 12"));
    }

    #[test]
    fn damage_and_a_stopped_index_stand_out_and_end_with_their_exit_code() {
        let sound = pb::GetStatusResponse::default();
        assert!(health(&sound).is_ok());
        let damage = pb::DamageView {
            segment: 2,
            offset: 91,
            first_entry: 1_204,
            entries: 3,
            found: "the checksum does not match".into(),
        };
        let damaged = pb::GetStatusResponse { damages: vec![damage], ..sound.clone() };
        let place = "segment 2 offset 91, 3 entries from 1,204";
        assert!(to_text(&damaged).contains(place), "{}", to_text(&damaged));
        assert_eq!(health(&damaged).unwrap_err().exit().code(), 9);
        let stopped = pb::GetStatusResponse { index_failure: "no space".into(), ..sound };
        assert!(to_text(&stopped).contains("STOPPED: no space"), "{}", to_text(&stopped));
        assert_eq!(health(&stopped).unwrap_err().exit().code(), 9);
    }

    #[test]
    fn a_feed_that_does_not_go_on_stands_out_with_the_remedy() {
        let stopped = JournalError::FeedDamaged { entry: 42, found: "segment 2 is corrupt".into() };
        let partner = pb::PartnerView {
            agency: "jc3.or.jp".into(),
            stopped: stopped.to_string(),
            ..Default::default()
        };
        let status = pb::GetStatusResponse { partners: vec![partner], ..Default::default() };
        let text = to_text(&status);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "STOPPED feed to jc3.or.jp: entry 42 of the feed cannot be sent: segment 2 is corrupt",
            "bring back the newest copy of the node's directory",
        ] {
            assert!(words.contains(part), "{text}");
        }
        crate::cli::table::tests::assert_fits(&text);
    }

    #[test]
    fn a_clock_in_doubt_stands_out_and_ends_the_command_as_unavailable() {
        let clock = pb::ClockView {
            doubt: "the wall clock reads 2028".into(),
            wall_ms: 1_763_800_000_000,
            decision_ms: 1_763_900_000_000,
            contradicting: vec!["jc3.or.jp at 2026".into()],
            retention_waits: true,
            ..Default::default()
        };
        let status = pb::GetStatusResponse { clock: Some(clock), ..Default::default() };
        let text = to_text(&status).split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "IN DOUBT; signs nothing: the wall clock reads 2028",
            "decides by 2025-11-23T12:13:20.000Z, the journal's time",
            "other times: jc3.or.jp at 2026",
            "wait for a partner or a witness",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(clock_alarm(&status).unwrap_err().exit(), Exit::Unavailable);
        assert!(clock_alarm(&pb::GetStatusResponse::default()).is_ok());
    }

    #[test]
    fn witnesses_are_counted_against_the_quorum() {
        let text = |all, cosigned_by, quorum| {
            let witnesses = vec![pb::WitnessView::default(); all];
            witnesses_text(&pb::GetStatusResponse {
                witnesses,
                cosigned_by,
                quorum,
                ..Default::default()
            })
        };
        assert_eq!(text(0, 0, 0), "");
        assert_eq!(text(3, 1, 0), "1 of 3 cosigned the newest checkpoint");
        assert_eq!(text(3, 2, 2), "2 of 3 cosigned the newest checkpoint; the quorum is 2");
        let few = "0 of 0 cosigned the newest checkpoint; TOO FEW, the quorum is 1";
        assert_eq!(text(0, 0, 1), few);
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(
            [0, 1023, 1024, 1536, u64::MAX].map(bytes_text),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "16777215.9 TiB"]
        );
    }
}
