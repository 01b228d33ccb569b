//! A feed brought to another policy: how long it takes to look at everything again, and how long a
//! live record takes meanwhile.
//!
//! Two nodes as in the exchange. The partner may have the live records under every policy here, and
//! the others under some. A rescan ends when the node says so, and with it the last receipt.

use super::figures::{Figure, Target};
use super::pair::{Pair, feed_of, overdue, percentile};
use super::timing::per_second;
use crate::cli::commands::demo::nodes::RunningNode;
use crate::cli::commands::demo::{apply_policy_text, asked, data};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::pb::get_record_request::Selector;
use crate::pb::{
    self, node_service_client::NodeServiceClient, record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use crate::store::EngineKind;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Seconds to look at 1,000,000 records again.
const MILLION_SECONDS_MAX: f64 = 15.0;
/// Milliseconds of a live record during a rescan.
const LIVE_MS_MAX: f64 = 250.0;
/// Often enough that the wait adds nothing to a time of milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Between two live records.
const LIVE_EVERY: Duration = Duration::from_millis(50);
/// The longest time for one rescan with its receipts.
const DEADLINE: Duration = Duration::from_secs(1_800);
/// Live records have this confidence and all others less.
const LIVE_CONFIDENCE: u32 = 95;

/// Shares records of a confidence; `remark` makes it another bundle.
fn policy(confidence_min: u32, remark: &str) -> String {
    format!(
        r#"// {remark}
@id("bench/share")
@title("Results of some confidence")
@agreement("of the benchmark")
@owner("bench@dcu.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource is Liaison::Record)
when {{ resource.confidence >= {confidence_min} }};
"#
    )
}

pub(super) async fn measure(
    dir: &Path,
    engine: EngineKind,
    records: usize,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let pair = Pair::start(dir, engine).await?;
    let measured = Rescans::through(&pair, dir, records, context).await;
    pair.stop().await;
    measured
}

struct Rescans<'a> {
    vendor: &'a RunningNode,
    police: &'a RunningNode,
    records: usize,
    /// Live records that were submitted, all rescans together.
    live: usize,
}

/// The result of one change of policy.
struct Changed {
    rescanned: Duration,
    receipted: Duration,
    entries: u64,
    live: Vec<Duration>,
}

impl<'a> Rescans<'a> {
    async fn through(
        pair: &'a Pair,
        dir: &Path,
        records: usize,
        context: &Context,
    ) -> Result<Vec<Figure>, CliError> {
        let mut rescans = Self { vendor: pair.vendor(), police: pair.police(), records, live: 0 };
        let (some, all) = (LIVE_CONFIDENCE, 0);
        apply_policy_text(rescans.vendor, &policy(some, "before")).await?;
        pair.fill_vendor(dir, records, context).await?;
        let mut figures = Vec::new();
        for (what, confidence_min, is_walk) in [
            ("looked at again, all denied before and after", some, true),
            ("widened, all of it disclosed", all, false),
            ("looked at again, all disclosed before and after", all, true),
            ("narrowed, all of it taken back", some, false),
        ] {
            context.output.note(what);
            let changed = rescans.change(&policy(confidence_min, what)).await?;
            figures.extend(rescans.figures(what, is_walk, changed));
        }
        figures.extend(pair.memory(Some(Target::Below(300.0))));
        Ok(figures)
    }

    /// Puts a policy in force and submits live records until the feed is at its new state.
    async fn change(&mut self, text: &str) -> Result<Changed, CliError> {
        let mut status = NodeServiceClient::new(self.vendor.client(ClientRole::Admin).await?);
        let mut own = RecordServiceClient::new(self.vendor.client(ClientRole::VendorTool).await?);
        let mut partner = RecordServiceClient::new(self.police.client(ClientRole::Analyst).await?);
        let before = feed_of(&mut status).await?.feed_size;
        // The dry run and the approvals before it are another measurement.
        apply_policy_text(self.vendor, text).await?;
        let started = Instant::now();
        let (mut rescanned, mut live) = (None, Vec::new());
        loop {
            let feed = feed_of(&mut status).await?;
            if feed.to_rescan == 0 && rescanned.is_none() {
                rescanned = Some(started.elapsed());
            }
            if let Some(rescanned) = rescanned
                && feed.receipted == feed.feed_size
            {
                let receipted = started.elapsed();
                let entries = feed.feed_size - before - live.len() as u64;
                return Ok(Changed { rescanned, receipted, entries, live });
            }
            if started.elapsed() > DEADLINE {
                return Err(overdue("a rescan does not end"));
            }
            if rescanned.is_none() {
                live.push(self.live_record(&mut own, &mut partner).await?);
            }
            tokio::time::sleep(if rescanned.is_none() { LIVE_EVERY } else { LOOK_EVERY }).await;
        }
    }

    /// From sending a record until the partner's node holds it.
    async fn live_record(
        &mut self,
        own: &mut RecordServiceClient<Channel>,
        partner: &mut RecordServiceClient<Channel>,
    ) -> Result<Duration, CliError> {
        let draft = data::result(self.records + self.live);
        self.live += 1;
        let drafts = vec![pb::Draft { confidence: LIVE_CONFIDENCE, ..draft }];
        let sent = Instant::now();
        let answer = asked(
            "submit a record",
            own.submit_records(pb::SubmitRecordsRequest { drafts }).await,
        )?;
        let id = answer.results.first().map(|result| result.record_id.clone());
        let id = id.ok_or_else(|| CliError::Answer("no record was made".to_owned()))?;
        loop {
            let selector = Some(Selector::RecordId(id.clone()));
            if partner.get_record(pb::GetRecordRequest { selector }).await.is_ok() {
                return Ok(sent.elapsed());
            }
            if sent.elapsed() > DEADLINE {
                return Err(overdue("a live record did not arrive"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn figures(&self, what: &str, is_walk: bool, changed: Changed) -> Vec<Figure> {
        let Changed { rescanned, receipted, entries, mut live } = changed;
        let seconds = rescanned.as_secs_f64();
        let target = MILLION_SECONDS_MAX * self.records as f64 / 1e6;
        let rescan = Figure::new(what, seconds, "s")
            .remark(format!("{:.0} records/s", per_second(self.records, rescanned)));
        let mut figures = vec![match is_walk {
            true => rescan.target(Target::AtMost(target.max(1.0))),
            false => rescan,
        }];
        if !is_walk {
            figures.push(
                Figure::new("of it, until the last receipt", receipted.as_secs_f64(), "s")
                    .remark(format!("{entries} entries of the feed")),
            );
        }
        live.sort_unstable();
        let milliseconds = |percent| percentile(&live, percent).as_secs_f64() * 1e3;
        figures.push(
            Figure::new("a live record meanwhile, longest", milliseconds(100), "ms")
                .remark(format!("of {}, median {:.0} ms", live.len(), milliseconds(50)))
                .target(Target::AtMost(LIVE_MS_MAX)),
        );
        figures
    }
}
