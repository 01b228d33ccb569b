//! Two nodes as processes, a vendor's and a police's, with mutual TLS between them: bulk, single
//! records, memory.
//!
//! The agencies, their policies and the way they were introduced are those of the demonstration.
//! A time ends when the partner holds the record durably, never when it was sent.

use super::figures::{Figure, Target};
use super::memory::{Memory, disk_bytes, megabytes};
use super::timing::{failed, per_second};
use crate::cli::commands::demo::agencies::{AGENCIES, DCU, NPA};
use crate::cli::commands::demo::nodes::{self, RunningNode};
use crate::cli::commands::demo::{apply_policy, asked, data, introduce, push};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::pb::{
    self, node_service_client::NodeServiceClient, record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use crate::store::EngineKind;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Records submitted one after another.
pub(super) const SINGLES: usize = 200;
/// Records that both nodes are filled up to.
const MILLION: usize = 1_000_000;
/// Rows of one push while filling: a large night's work of a vendor.
const ROUND: usize = 100_000;
/// Often enough that the wait adds nothing to a rate over seconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The longest time for two nodes to find each other; a failed dialling is tried again after a
/// while.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// The longest time for all receipts of one push.
const RECEIPTS_DEADLINE: Duration = Duration::from_secs(900);
/// The longest time for one record to arrive.
pub(super) const SINGLE_DEADLINE: Duration = Duration::from_secs(10);

/// A vendor and a police that gets its takedown results.
pub(super) struct Pair {
    /// The vendor first.
    nodes: [RunningNode; 2],
}

impl Pair {
    pub(super) async fn start(dir: &Path, engine: EngineKind) -> Result<Self, CliError> {
        let vendor = start_one(dir, DCU, engine).await?;
        let police = start_one(dir, NPA, engine).await?;
        let pair = Self { nodes: [vendor, police] };
        introduce(&pair.nodes).await?;
        for node in &pair.nodes {
            let agency = AGENCIES.iter().find(|agency| agency.name == node.name);
            apply_policy(node, agency.ok_or_else(|| CliError::Answer(node.name.clone()))?).await?;
        }
        pair.wait_until_connected().await?;
        Ok(pair)
    }

    /// Waits for a stream, so that the measurement does not include the first dialling.
    async fn wait_until_connected(&self) -> Result<(), CliError> {
        let started = Instant::now();
        for node in &self.nodes {
            let mut client = NodeServiceClient::new(node.client(ClientRole::Admin).await?);
            while !feed_of(&mut client).await?.connected {
                if started.elapsed() > CONNECT_DEADLINE {
                    return Err(overdue("the nodes do not connect"));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }

    pub(super) const fn vendor(&self) -> &RunningNode {
        &self.nodes[0]
    }

    pub(super) const fn police(&self) -> &RunningNode {
        &self.nodes[1]
    }

    /// From the start of a push to the police's last receipt for it.
    pub(super) async fn bulk(
        &self,
        dir: &Path,
        records: usize,
        context: &Context,
    ) -> Result<Vec<Figure>, CliError> {
        let pushed = self.push(dir, 0..records, context).await?;
        let rate = |time| per_second(records, time);
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let mut figures = vec![
            Figure::new(
                "pushed, held by the partner, receipt here",
                rate(pushed.to_receipts),
                "records/s",
            )
            .remark(seconds(pushed.to_receipts))
            .target(Target::AtLeast(10_000.0)),
            Figure::new(
                "of it, pushed and held by the vendor's node",
                rate(pushed.to_end),
                "records/s",
            )
            .remark(seconds(pushed.to_end)),
            Figure::new("peak memory of liaison push", megabytes(pushed.peak_memory), "MB"),
        ];
        figures.extend(self.memory(None));
        for node in &self.nodes {
            let bytes = disk_bytes(&node.dir.join("store"));
            figures.push(
                Figure::new(format!("store of {}", node.name), megabytes(bytes), "MB")
                    .remark(format!("{} bytes a record", bytes / (records as u64).max(1))),
            );
        }
        Ok(figures)
    }

    /// The vendor's directory.
    pub(super) fn vendor_dir(&self) -> std::path::PathBuf {
        self.vendor().dir.clone()
    }

    /// Pushes so many results and waits until the police has receipted all of them.
    pub(super) async fn disclose(
        &self,
        dir: &Path,
        records: usize,
        context: &Context,
    ) -> Result<(), CliError> {
        for start in (0..records).step_by(ROUND) {
            self.push(dir, start..records.min(start + ROUND), context).await?;
        }
        Ok(())
    }

    /// Pushes so many results to the vendor's node, which considers all of them for the police and
    /// is to disclose none.
    pub(super) async fn fill_vendor(
        &self,
        dir: &Path,
        records: usize,
        context: &Context,
    ) -> Result<(), CliError> {
        let mut client = NodeServiceClient::new(self.vendor().client(ClientRole::Admin).await?);
        for start in (0..records).step_by(ROUND) {
            let file = dir.join(format!("results-{start}.csv"));
            std::fs::write(&file, data::results_csv(start..records.min(start + ROUND)))
                .map_err(CliError::file("write", &file))?;
            push(self.vendor(), &file, context).await?;
        }
        let started = Instant::now();
        while feed_of(&mut client).await?.lag_entries > 0 {
            if started.elapsed() > RECEIPTS_DEADLINE {
                return Err(overdue("not everything was considered"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Peak and resident memory of both nodes.
    pub(super) fn memory(&self, target: Option<Target>) -> Vec<Figure> {
        let of = |node: &RunningNode| {
            let memory = Memory::of(node);
            let figure =
                Figure::new(format!("peak memory of {}", node.name), megabytes(memory.peak), "MB")
                    .remark(format!("{:.0} MB resident now", megabytes(memory.resident)));
            match target {
                Some(target) => figure.target(target),
                None => figure,
            }
        };
        self.nodes.iter().map(of).collect()
    }

    /// Pushes results and waits for the receipts for all of them.
    async fn push(
        &self,
        dir: &Path,
        numbers: Range<usize>,
        context: &Context,
    ) -> Result<Pushed, CliError> {
        let file = dir.join(format!("results-{}.csv", numbers.start));
        let wanted = numbers.len() as u64;
        std::fs::write(&file, data::results_csv(numbers))
            .map_err(CliError::file("write", &file))?;
        let mut client = NodeServiceClient::new(self.vendor().client(ClientRole::Admin).await?);
        let before = feed_of(&mut client).await?.feed_size;
        let started = Instant::now();
        let peak_memory = push(self.vendor(), &file, context).await?;
        let to_end = started.elapsed();
        loop {
            let feed = feed_of(&mut client).await?;
            if feed.exceptions > 0 {
                let found = format!("the partner did not take {} records", feed.exceptions);
                return Err(CliError::Answer(found));
            }
            if feed.lag_entries == 0
                && feed.receipted == feed.feed_size
                && feed.feed_size >= before + wanted
            {
                return Ok(Pushed { to_end, to_receipts: started.elapsed(), peak_memory });
            }
            if started.elapsed() > RECEIPTS_DEADLINE {
                return Err(overdue(&format!(
                    "{} of {wanted} receipts came",
                    feed.receipted.saturating_sub(before)
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Single records one after another: from sending each until the police's node holds it.
    /// `first` is the number of a result that was not pushed yet.
    pub(super) async fn singles(&self, first: usize) -> Result<Vec<Figure>, CliError> {
        let mut arrivals = Arrivals::watch(self.police()).await?;
        let mut client =
            RecordServiceClient::new(self.vendor().client(ClientRole::VendorTool).await?);
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for n in first..first + SINGLES {
            let request = pb::SubmitRecordsRequest { drafts: vec![data::result(n)] };
            let sent = Instant::now();
            let answer = asked("submit a record", client.submit_records(request).await)?;
            here.push(sent.elapsed());
            let result = answer
                .results
                .first()
                .filter(|result| result.outcome() == pb::DraftOutcome::Created);
            let result = result.ok_or_else(|| {
                CliError::Answer(format!("a new record was not made: {answer:?}"))
            })?;
            there.push(arrivals.of(&result.record_id).await?.duration_since(sent));
        }
        here.sort_unstable();
        there.sort_unstable();
        Ok(vec![
            milliseconds("one record, sent to held by the partner, median", &there, 50)
                .target(Target::AtMost(50.0)),
            milliseconds("one record, sent to held by the partner, p99", &there, 99),
            milliseconds("of it, sent to acknowledged here, median", &here, 50),
        ])
    }

    /// Fills both nodes up to a million records; `from` results are there already.
    pub(super) async fn fill(
        &self,
        dir: &Path,
        from: usize,
        context: &Context,
    ) -> Result<Vec<Figure>, CliError> {
        let started = Instant::now();
        let mut at = from;
        while at < MILLION {
            let end = MILLION.min(at + ROUND);
            self.push(dir, at..end, context).await?;
            at = end;
        }
        let count = at - from;
        let mut figures = Vec::new();
        if count > 0 {
            figures.push(
                Figure::new(
                    "filled up to 1,000,000, receipts included",
                    per_second(count, started.elapsed()),
                    "records/s",
                )
                .remark(format!("{:.0} s", started.elapsed().as_secs_f64())),
            );
        }
        figures.extend(self.memory(Some(Target::Below(300.0))));
        Ok(figures)
    }
}

async fn start_one(dir: &Path, name: &str, engine: EngineKind) -> Result<RunningNode, CliError> {
    let agency = AGENCIES.iter().find(|agency| agency.name == name);
    let agency = agency.ok_or_else(|| CliError::Answer(name.to_owned()))?;
    let own = dir.join(name);
    nodes::make(&own, agency, engine)?;
    RunningNode::start(name, &own).await
}

/// The result of one push.
struct Pushed {
    to_end: Duration,
    to_receipts: Duration,
    /// In bytes, of the pushing process.
    peak_memory: u64,
}

/// Returns the state of a node's only partner.
pub(super) async fn feed_of(
    client: &mut NodeServiceClient<tonic::transport::Channel>,
) -> Result<pb::PartnerView, CliError> {
    let status = asked("read the status", client.get_status(pb::GetStatusRequest {}).await)?;
    let partner = status.partners.into_iter().next();
    partner.ok_or_else(|| CliError::Answer("a node has no partner".to_owned()))
}

pub(super) fn overdue(found: &str) -> CliError {
    CliError::Other {
        doing: "the partner's node does not follow".to_owned(),
        exit: Exit::Unavailable,
        fix: "run it again with --dir DIR and read node.log in the nodes' directories".to_owned(),
        source: found.into(),
    }
}

/// Records as a node shows them once they are durable, each with the time of its coming.
struct Arrivals {
    coming: mpsc::Receiver<(bytes::Bytes, Instant)>,
    seen: HashMap<bytes::Bytes, Instant>,
}

impl Arrivals {
    async fn watch(node: &RunningNode) -> Result<Self, CliError> {
        let mut client = RecordServiceClient::new(node.client(ClientRole::Analyst).await?);
        let request = pb::WatchRecordsRequest { from_now: true, ..Default::default() };
        let mut stream = asked("watch records", client.watch_records(request).await)?;
        let (arrived, coming) = mpsc::channel(SINGLES);
        // It ends with the stream, or when nobody takes what came.
        tokio::spawn(async move {
            while let Ok(Some(response)) = stream.message().await {
                let now = Instant::now();
                let Some(view) = response.record else { continue };
                if arrived.send((view.record_id, now)).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { coming, seen: HashMap::new() })
    }

    /// Waits for this record, and returns the time at which it came.
    async fn of(&mut self, id: &bytes::Bytes) -> Result<Instant, CliError> {
        let find = async {
            loop {
                if let Some(at) = self.seen.remove(id) {
                    return Some(at);
                }
                let (id, at) = self.coming.recv().await?;
                self.seen.insert(id, at);
            }
        };
        tokio::time::timeout(SINGLE_DEADLINE, find)
            .await
            .map_err(failed("a single record did not arrive"))?
            .ok_or_else(|| overdue("the watch ended"))
    }
}

/// A percentile of sorted times by nearest rank.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

pub(super) fn milliseconds(what: &str, sorted: &[Duration], percent: usize) -> Figure {
    Figure::new(what, percentile(sorted, percent).as_secs_f64() * 1e3, "ms")
        .remark(format!("of {} records", sorted.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(198));
        assert_eq!(percentile(&sorted[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
