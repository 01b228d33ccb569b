//! The time of a question about a decision, on a node that holds the pushed records.
//!
//! Asked as an officer asks: over mutual TLS, on one connection. The records are spread over the
//! whole journal, so that most of them were not read lately.

use super::figures::{Figure, Target};
use super::pair::{Pair, milliseconds};
use super::timing::per_second;
use crate::cli::commands::demo::agencies::NPA;
use crate::cli::commands::demo::asked;
use crate::cli::commands::demo::nodes::RunningNode;
use crate::cli::error::CliError;
use crate::ident::Timestamp;
use crate::pb::{
    self, policy_service_client::PolicyServiceClient, record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Questions of each sort.
const QUESTIONS: u64 = 200;
/// The longest answer that a user does not notice.
const ANSWER_MS_MAX: f64 = 50.0;

impl Pair {
    /// Questions to the vendor's node about the police.
    pub(super) async fn explain(&self) -> Result<Vec<Figure>, CliError> {
        let node = self.vendor();
        let officer = node.client(ClientRole::PolicyOfficer).await?;
        let records = spread(node).await?;
        let mut policies = PolicyServiceClient::new(officer.clone());
        let mut figures = decisions(&mut policies, &records).await?;
        figures.extend(ways(&mut RecordServiceClient::new(officer), &records).await?);
        figures.push(report(&mut policies).await?);
        Ok(figures)
    }
}

/// Ids of records at equal distances in a node's journal.
async fn spread(node: &RunningNode) -> Result<Vec<Bytes>, CliError> {
    let mut client = RecordServiceClient::new(node.client(ClientRole::Analyst).await?);
    let size = node_size(node).await?;
    let mut found = Vec::new();
    for n in 0..QUESTIONS {
        let cursor = size * n / QUESTIONS;
        let request = pb::WatchRecordsRequest { cursor, ..Default::default() };
        let mut stream = asked("watch records", client.watch_records(request).await)?;
        let answer = asked("watch records", stream.message().await.map(tonic::Response::new))?;
        found.extend(answer.and_then(|answer| answer.record).map(|view| view.record_id));
    }
    Ok(found)
}

async fn node_size(node: &RunningNode) -> Result<u64, CliError> {
    use pb::node_service_client::NodeServiceClient;
    let mut client = NodeServiceClient::new(node.client(ClientRole::Admin).await?);
    let status = asked("read the status", client.get_status(pb::GetStatusRequest {}).await)?;
    // The last entries accept nothing.
    Ok(status.journal_size * 9 / 10)
}

async fn decisions(
    client: &mut PolicyServiceClient<Channel>,
    records: &[Bytes],
) -> Result<Vec<Figure>, CliError> {
    let before_ms = now().plus_ms(-1_000).unix_ms().unsigned_abs();
    let mut figures = Vec::new();
    for (what, at_ms) in [("a decision explained", 0), ("one of the past", before_ms)] {
        let mut times = Vec::new();
        for record_id in records {
            let request = pb::ExplainDecisionRequest {
                record_id: record_id.clone(),
                partner: NPA.to_owned(),
                at_ms,
            };
            let started = Instant::now();
            asked("explain a decision", client.explain_decision(request).await)?;
            times.push(started.elapsed());
        }
        figures.extend(told(what, times));
    }
    Ok(figures)
}

async fn ways(
    client: &mut RecordServiceClient<Channel>,
    records: &[Bytes],
) -> Result<Vec<Figure>, CliError> {
    let mut times = Vec::new();
    for record_id in records {
        let (record_id, partner) = (record_id.clone(), NPA.to_owned());
        let request = pb::ExplainDeliveryRequest { record_id, partner };
        let started = Instant::now();
        asked("ask where a record stands", client.explain_delivery(request).await)?;
        times.push(started.elapsed());
    }
    Ok(told("the way to a partner", times))
}

/// The slowest counts: every question has to be answered in time.
fn told(what: &str, mut times: Vec<Duration>) -> Vec<Figure> {
    times.sort_unstable();
    vec![
        milliseconds(&format!("{what}, median"), &times, 50),
        milliseconds(&format!("{what}, slowest"), &times, 100)
            .target(Target::AtMost(ANSWER_MS_MAX)),
    ]
}

/// Everything that the police may see.
async fn report(client: &mut PolicyServiceClient<Channel>) -> Result<Figure, CliError> {
    let started = Instant::now();
    let request = pb::ExplainPartnerRequest { partner: NPA.to_owned() };
    let mut answers = asked("ask what a partner may see", client.explain_partner(request).await)?;
    let mut report = None;
    loop {
        let answer = answers.message().await.map(tonic::Response::new);
        let Some(answer) = asked("ask what a partner may see", answer)? else { break };
        report = answer.sight.or(report);
    }
    let records = report.map_or(0, |report| report.records);
    let time = started.elapsed();
    let rate = per_second(usize::try_from(records).unwrap_or(usize::MAX), time);
    Ok(Figure::new("what a partner may see, of everything", rate, "records/s")
        .remark(format!("{records} records in {:.2} s", time.as_secs_f64())))
}

fn now() -> Timestamp {
    (crate::journal::open::system_clock())()
}
