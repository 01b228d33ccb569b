//! One erasure on two full nodes: until the bytes are gone from the segments, until the partner's
//! receipt for the duty is here, and until no index holds a word of it any more.
//!
//! The time of an index is that of writing it anew, beside the work; its limit is reading the index's
//! files and writing the same bytes once, with one sync.

use super::figures::{Figure, Target};
use super::memory::{Memory, disk_bytes, megabytes};
use super::pair::Pair;
use super::timing::{blocking, failed};
use crate::cli::commands::demo::nodes::RunningNode;
use crate::cli::commands::demo::{asked, data};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::pb::{
    self, act_service_client::ActServiceClient, record_service_client::RecordServiceClient,
};
use crate::policy::ClientRole;
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use crate::store::EngineKind;
use bytes::Bytes;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Often enough beside times of seconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest time for writing an index anew.
const DEADLINE: Duration = Duration::from_secs(3_600);
/// The limit for a node's memory.
const PEAK_MEGABYTES_MAX: f64 = 300.0;

type Client = RecordServiceClient<tonic::transport::Channel>;

pub(super) async fn measure(
    dir: &Path,
    engine: EngineKind,
    records: usize,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let pair = Pair::start(dir, engine).await?;
    let measured = through(&pair, dir, records, context).await;
    pair.stop().await;
    measured
}

async fn through(
    pair: &Pair,
    dir: &Path,
    records: usize,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    pair.disclose(dir, records - 1, context).await?;
    let (vendor, police) = (pair.vendor(), pair.police());
    let id = last_record(pair, records - 1).await?;
    let indexes = [vendor, police].map(|node| disk_bytes(&node.dir.join("store/index")));
    let proposal = propose(vendor, &id).await?;
    context.output.note("one record is erased, and both indexes are written anew");
    let started = Instant::now();
    approve(vendor, proposal).await?;
    let gone = started.elapsed();
    let mut own = client(vendor).await?;
    wait("the partner's receipt for the duty", async || {
        let report = report(&mut own).await?;
        let partners = report.erasures.iter().flat_map(|erasure| &erasure.partners);
        let mut progress = partners.map(pb::PartnerErasure::progress);
        Ok(progress.next() == Some(pb::ErasureProgress::Done))
    })
    .await?;
    let receipted = started.elapsed();
    let own = scrubbed(own, started);
    let partners = scrubbed(client(police).await?, started);
    let (own, partners) = tokio::try_join!(own, partners)?;
    let mut figures = vec![
        Figure::new("erased from the segments", gone.as_secs_f64() * 1e3, "ms"),
        Figure::new("receipt of the partner for it", receipted.as_secs_f64() * 1e3, "ms"),
    ];
    for (node, time, bytes) in [(vendor, own, indexes[0]), (police, partners, indexes[1])] {
        let copying = copied_once(&node.dir, &dir.join("copy")).await?;
        figures.push(
            Figure::new(format!("index of {} written anew", node.name), time.as_secs_f64(), "s")
                .remark(format!("{:.0} MB of {records} records", megabytes(bytes)))
                .limit("its files read and written once", copying.as_secs_f64()),
        );
        figures.push(
            Figure::new(
                format!("peak memory of {}", node.name),
                megabytes(Memory::of(node).peak),
                "MB",
            )
            .target(Target::Below(PEAK_MEGABYTES_MAX)),
        );
    }
    Ok(figures)
}

/// One more record, which the partner gets too.
async fn last_record(pair: &Pair, number: usize) -> Result<Bytes, CliError> {
    let mut vendor = RecordServiceClient::new(pair.vendor().client(ClientRole::VendorTool).await?);
    let request = pb::SubmitRecordsRequest { drafts: vec![data::result(number)] };
    let answer = asked("submit a record", vendor.submit_records(request).await)?;
    let made = answer.results.into_iter().next().unwrap_or_default();
    let id = made.record_id;
    let mut police = client(pair.police()).await?;
    wait("the record at the partner", async || {
        let selector = Some(pb::get_record_request::Selector::RecordId(id.clone()));
        Ok(police.get_record(pb::GetRecordRequest { selector }).await.is_ok())
    })
    .await?;
    Ok(id)
}

async fn client(node: &RunningNode) -> Result<Client, CliError> {
    Ok(RecordServiceClient::new(node.client(ClientRole::Analyst).await?))
}

async fn propose(node: &RunningNode, id: &Bytes) -> Result<u64, CliError> {
    let request = pb::EraseRecordRequest {
        record_id: id.clone(),
        slots: SlotMask::all(Kind::TakedownResult).bits(),
        basis: pb::ErasureBasis::Agreement.into(),
        authority: "a measurement".to_owned(),
    };
    let answer = client(node).await?.erase_record(request).await;
    Ok(asked("propose an erasure", answer)?.act.unwrap_or_default().proposal)
}

async fn approve(node: &RunningNode, proposal: u64) -> Result<(), CliError> {
    let mut officer = ActServiceClient::new(node.client(ClientRole::PolicyOfficer).await?);
    let request = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
    asked("approve the erasure", officer.decide_act(request).await).map(drop)
}

async fn report(client: &mut Client) -> Result<pb::ListErasuresResponse, CliError> {
    let answer = client.list_erasures(pb::ListErasuresRequest::default()).await;
    asked("read the erasures", answer)
}

/// Waits until a node's index was written anew and the old files are gone.
async fn scrubbed(mut client: Client, started: Instant) -> Result<Duration, CliError> {
    wait("an index that is written anew", async || {
        let report = report(&mut client).await?;
        Ok(!report.index_pending && !report.erasures.is_empty())
    })
    .await?;
    Ok(started.elapsed())
}

async fn wait(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<bool, CliError>,
) -> Result<(), CliError> {
    let started = Instant::now();
    while !condition().await? {
        if started.elapsed() > DEADLINE {
            return Err(CliError::Other {
                doing: format!("waiting for {what}"),
                exit: Exit::Unavailable,
                fix: "run it again with --dir DIR and read node.log there".to_owned(),
                source: "it did not come about".into(),
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Reads every file of a node's index and writes the bytes to one file, synced once.
async fn copied_once(node: &Path, to: &Path) -> Result<Duration, CliError> {
    let (from, to) = (node.join("store/index"), to.to_owned());
    blocking(move || {
        let started = Instant::now();
        let mut out = File::create(&to).map_err(CliError::file("create", &to))?;
        let mut waiting = vec![from];
        while let Some(dir) = waiting.pop() {
            for entry in std::fs::read_dir(&dir).map_err(CliError::file("read", &dir))? {
                let path = entry.map_err(CliError::file("read", &dir))?.path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    // An engine may tidy up; what is gone by now is not copied.
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    out.write_all(&bytes).map_err(CliError::file("write", &to))?;
                }
            }
        }
        out.sync_data().map_err(failed("the copy could not be synced"))?;
        let time = started.elapsed();
        std::fs::remove_file(&to).map_err(CliError::file("remove", &to))?;
        Ok(time)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_limit_reads_every_file_of_an_index_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("store/index/below");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join("file"), vec![1; 100_000]).unwrap();
        let copy = dir.path().join("copy");
        assert!(copied_once(dir.path(), &copy).await.unwrap() > Duration::ZERO);
        assert!(!copy.exists());
    }
}
