//! One client floods a node: how long the records of another take meanwhile, and whether an officer
//! is still answered.
//!
//! The flood is of the largest submissions that a client may send, on many connections and streams at
//! once: first of records under TLP:RED, which go to no partner, then of records that go to the same
//! partner as the other client's. What is measured is the way of that client's record through the same
//! node, to the partner and back.

use super::figures::{Figure, Target};
use super::pair::{Pair, SINGLE_DEADLINE, SINGLES, milliseconds, overdue, percentile};
use super::timing::failed;
use crate::cli::commands::demo::{asked, data};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::pb::get_record_request::Selector;
use crate::pb::{
    self, DraftOutcome, node_service_client::NodeServiceClient,
    record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use crate::rpc::STREAM_DRAFTS_MAX;
use crate::store::EngineKind;
use crate::tls::{ClientProfile, connect_client};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

/// Connections of the flooding client.
const CONNECTIONS: usize = 8;
/// Bulk submissions on each of them.
const STREAMS: usize = 4;
/// Requests that each of those keeps under way, beyond what the node reads.
const REQUESTS_AHEAD: usize = 4;
/// The median delay that a flood may add to another client's record.
const DELAY_MS_MAX: f64 = 250.0;
/// The number of the first result of a flood.
const SHARED_FROM: usize = 1_000_000;
/// Time between two questions to the partner for a record.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The pause between two calls of an officer.
const OFFICER_EVERY: Duration = Duration::from_millis(20);

/// Single records on a quiet node, then the same with a flood.
pub(super) async fn measure(
    dir: &Path,
    engine: EngineKind,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let pair = Pair::start(dir, engine).await?;
    let measured = through(&pair, context).await;
    pair.stop().await;
    measured
}

async fn through(pair: &Pair, context: &Context) -> Result<Vec<Figure>, CliError> {
    context.output.note("single records on a quiet node");
    let quiet = single_times(pair, 0).await?;
    let mut figures = vec![milliseconds(
        "one record on a quiet node, sent to held by the partner, median",
        &quiet,
        50,
    )];
    let floods: [(&str, Numbered); 2] =
        [("records that stay here", unshared), ("records for the same partner", shared)];
    for (number, (of, draft)) in (1..).zip(floods) {
        context.output.note(&format!("the same while another client floods it with {of}"));
        let flood = Flood::begin(pair, draft).await?;
        let officer = Officer::begin(pair).await?;
        let started = Instant::now();
        let flooded = single_times(pair, number * SINGLES).await?;
        let taken = flood.taken.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        let answered = officer.end().await?;
        drop(flood);
        let middle = |times: &[Duration]| percentile(times, 50).as_secs_f64() * 1e3;
        let calls = |what: String, percent| {
            let time = percentile(&answered, percent).as_secs_f64() * 1e3;
            Figure::new(what, time, "ms")
                .remark(format!("of {} calls, none refused", answered.len()))
        };
        let during = format!("in a flood of {of}");
        figures.extend([
            milliseconds(&format!("one record {during}, median"), &flooded, 50),
            milliseconds(&format!("one record {during}, p99"), &flooded, 99),
            Figure::new(format!("delay {during}, median"), middle(&flooded) - middle(&quiet), "ms")
                .target(Target::AtMost(DELAY_MS_MAX)),
            calls(format!("status for an administrator {during}, median"), 50),
            calls(format!("status for an administrator {during}, longest"), 100),
            Figure::new(format!("taken {during}"), taken, "records/s"),
        ]);
    }
    Ok(figures)
}

/// Single records one after another: from sending each until the police's node holds it, sorted.
async fn single_times(pair: &Pair, first: usize) -> Result<Vec<Duration>, CliError> {
    let mut vendor = RecordServiceClient::new(pair.vendor().client(ClientRole::VendorTool).await?);
    let mut police = RecordServiceClient::new(pair.police().client(ClientRole::Analyst).await?);
    let mut times = Vec::with_capacity(SINGLES);
    for number in first..first + SINGLES {
        let request = pb::SubmitRecordsRequest { drafts: vec![data::result(number)] };
        let sent = Instant::now();
        let answer = asked("submit a record", vendor.submit_records(request).await)?;
        let result = answer.results.first();
        let result = result.filter(|result| result.outcome() == DraftOutcome::Created);
        let result = result.ok_or_else(|| overdue("a new record was not made"))?;
        let selector = Some(Selector::RecordId(result.record_id.clone()));
        while let Err(status) =
            police.get_record(pb::GetRecordRequest { selector: selector.clone() }).await
        {
            if status.code() != Code::NotFound {
                return asked("get a record", Err(status));
            }
            if sent.elapsed() > SINGLE_DEADLINE {
                return Err(overdue("a single record did not arrive"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

/// Makes the draft of a number.
type Numbered = fn(usize) -> pb::Draft;

/// Submissions without end by one client. They end when this is dropped.
struct Flood {
    taken: Arc<AtomicU64>,
    _streams: JoinSet<()>,
}

impl Flood {
    /// Begins, and waits until the first records are taken.
    async fn begin(pair: &Pair, draft: Numbered) -> Result<Self, CliError> {
        let (taken, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut streams = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let channel = pair.vendor().client(ClientRole::Analyst).await?;
            for _ in 0..STREAMS {
                let (requests, outgoing) = mpsc::channel(REQUESTS_AHEAD);
                let next = Arc::clone(&next);
                streams.spawn(async move {
                    let request = || {
                        let first = next.fetch_add(STREAM_DRAFTS_MAX, Ordering::Relaxed);
                        let drafts = (first..first + STREAM_DRAFTS_MAX).map(draft).collect();
                        pb::StreamRecordsRequest { drafts }
                    };
                    while requests.send(request()).await.is_ok() {}
                });
                let (mut client, taken) =
                    (RecordServiceClient::new(channel.clone()), Arc::clone(&taken));
                streams.spawn(async move {
                    let outgoing = ReceiverStream::new(outgoing);
                    let Ok(answers) = client.stream_records(outgoing).await else { return };
                    let mut answers = answers.into_inner();
                    while let Ok(Some(answer)) = answers.message().await {
                        taken.fetch_add(answer.results.len() as u64, Ordering::Relaxed);
                    }
                });
            }
        }
        let flood = Self { taken, _streams: streams };
        while flood.taken.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(OFFICER_EVERY).await;
        }
        Ok(flood)
    }
}

/// A record that goes to no partner.
fn unshared(number: usize) -> pb::Draft {
    let mut draft = data::indicator(number);
    if let Some(marking) = &mut draft.marking {
        marking.tlp = pb::Tlp::Red.into();
    }
    draft
}

/// A record that goes to the partner, and that nobody else records.
fn shared(number: usize) -> pb::Draft {
    data::result(SHARED_FROM + number)
}

/// Calls of an administrator, each on a connection of its own: whoever has none yet must get in.
struct Officer {
    times: mpsc::UnboundedReceiver<Result<Duration, CliError>>,
    calls: JoinSet<()>,
}

impl Officer {
    async fn begin(pair: &Pair) -> Result<Self, CliError> {
        let (answered, times) = mpsc::unbounded_channel();
        let profile = pair.vendor().profile(ClientRole::Admin);
        let profile = ClientProfile::load(&profile).map_err(failed("cannot read a profile"))?;
        let mut calls = JoinSet::new();
        calls.spawn(async move {
            loop {
                let called = call(&profile).await;
                let ends = called.is_err();
                if answered.send(called).is_err() || ends {
                    break;
                }
                tokio::time::sleep(OFFICER_EVERY).await;
            }
        });
        Ok(Self { times, calls })
    }

    /// The times of all calls, sorted; an error if one was not answered.
    async fn end(mut self) -> Result<Vec<Duration>, CliError> {
        self.calls.shutdown().await;
        let mut times = Vec::new();
        while let Some(time) = self.times.recv().await {
            times.push(time?);
        }
        times.sort_unstable();
        Ok(times)
    }
}

async fn call(profile: &ClientProfile) -> Result<Duration, CliError> {
    let started = Instant::now();
    let channel =
        connect_client(profile).await.map_err(failed("an administrator was locked out"))?;
    let mut client = NodeServiceClient::new(channel);
    asked("read the status", client.get_status(pb::GetStatusRequest {}).await)?;
    Ok(started.elapsed())
}
