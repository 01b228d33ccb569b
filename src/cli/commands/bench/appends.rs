//! Durable appends through the real journal, beside the bare writes and syncs that they came to.
//!
//! The journal's own disk calls are recorded and repeated on a bare file: the same sizes in the
//! same order with the same fdatasync after each. What is between the two is the journal's work.

use super::figures::{Figure, Target};
use super::signatures::{self, random};
use super::timing::{blocking, failed, per_second};
use crate::cli::error::CliError;
use crate::ident::AgencyName;
use crate::journal::open::{self, JournalOptions};
use crate::journal::transaction::{Origin, Signing, Transaction};
use crate::journal::writer::{Answered, JournalWriter};
use crate::record::draft::SeriesSecret;
use crate::record::signed::Verified;
use crate::store::{Disk, EngineKind, SystemDisk};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Records at the most, which are all in memory at once.
const RECORDS_MAX: usize = 100_000;
/// Records of a job: what one request of a client has at the least, and a part of a bulk push.
const JOBS: [usize; 2] = [64, 512];
/// Jobs that wait for the disk at once: a few streams with their windows.
const IN_FLIGHT: usize = 32;
/// Rounds, of which the one with the ratio in the middle counts.
const ROUNDS: usize = 3;

/// A call of the journal to the disk.
#[derive(Debug, Clone, Copy)]
enum Call {
    Write { bytes: usize },
    Sync,
}

/// The system's disk, with a list of what was asked of it.
#[derive(Debug, Default)]
struct RecordedDisk {
    calls: Mutex<Vec<Call>>,
}

impl RecordedDisk {
    fn note(&self, call: Call) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for RecordedDisk {
    fn write_all_at(&self, file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        self.note(Call::Write { bytes: bytes.len() });
        SystemDisk.write_all_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> std::io::Result<()> {
        self.note(Call::Sync);
        SystemDisk.sync_data(file)
    }
}

/// One run of the journal and its bare repetition.
struct Round {
    journal: Duration,
    bare: Duration,
    syncs: usize,
    bytes: usize,
}

/// All figures over appends, in directories below `dir`.
pub(super) async fn measure(
    dir: &Path,
    engine: EngineKind,
    records: usize,
) -> Result<Vec<Figure>, CliError> {
    let count = records.min(RECORDS_MAX);
    let (agency, records) = blocking(move || signatures::records(count)).await?;
    let mut figures = Vec::with_capacity(JOBS.len());
    for job in JOBS {
        let mut rounds = Vec::with_capacity(ROUNDS);
        for number in 0..ROUNDS {
            let own = dir.join(format!("{job}-{number}"));
            std::fs::create_dir_all(&own).map_err(CliError::file("create", &own))?;
            rounds.push(round(&own, engine, &agency, &records, job).await?);
            // An engine may still be tidying up in there; what is left goes with the whole.
            drop(std::fs::remove_dir_all(&own));
        }
        figures.extend(figure(rounds, job, records.len()));
    }
    Ok(figures)
}

fn figure(mut rounds: Vec<Round>, job: usize, count: usize) -> Option<Figure> {
    let ratio = |round: &Round| round.bare.as_secs_f64() / round.journal.as_secs_f64();
    rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let round = rounds.get(rounds.len() / 2)?;
    let what = format!("appended durably, jobs of {job}");
    let remark = format!("{} syncs, {} bytes a record", round.syncs, round.bytes / count.max(1));
    let figure = Figure::new(what, per_second(count, round.journal), "records/s")
        .remark(remark)
        .limit("the same writes and syncs alone", per_second(count, round.bare))
        .target(Target::RatioAtLeast(0.5));
    Some(figure)
}

async fn round(
    dir: &Path,
    engine: EngineKind,
    agency: &AgencyName,
    records: &[Arc<Verified>],
    job: usize,
) -> Result<Round, CliError> {
    let disk = Arc::new(RecordedDisk::default());
    let mut options = JournalOptions::new(&dir.join("store"), engine);
    options.segments.disk = Arc::clone(&disk) as Arc<dyn Disk>;
    let (key, secret) = (random()?, random()?);
    let signing = || Signing {
        agency: agency.clone(),
        journal_key: ed25519_dalek::SigningKey::from_bytes(&key),
        series_secret: SeriesSecret::from_bytes(secret),
    };
    let genesis = open::genesis(agency);
    open::begin(&options, signing(), open::system_clock(), |tx| tx.append(genesis).map(drop))
        .map_err(failed("cannot begin a journal"))?;
    let (ledger, writer, _) = open::open(&options, signing(), open::system_clock())
        .map_err(failed("cannot open a journal"))?;
    drop(disk.take());
    let started = Instant::now();
    append_all(&ledger, records, job).await?;
    let journal = started.elapsed();
    let calls = disk.take();
    drop(ledger);
    let path = dir.join("bare");
    blocking(move || {
        writer.join().map_err(failed("the journal stopped"))?;
        repeat(&path, &calls, journal)
    })
    .await
}

async fn append_all(
    ledger: &JournalWriter,
    records: &[Arc<Verified>],
    job: usize,
) -> Result<(), CliError> {
    let stopped = "the journal stopped";
    let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
    for job in records.chunks(job).map(<[_]>::to_vec) {
        if waiting.len() == IN_FLIGHT
            && let Some(first) = waiting.pop_front()
        {
            answered(first).await?;
        }
        let accept = move |tx: &mut Transaction<'_>| {
            job.into_iter().try_for_each(|r| tx.accept(r, Origin::Client("bench")).map(drop))
        };
        waiting.push_back(ledger.enqueue(accept).await.map_err(failed(stopped))?);
    }
    for last in waiting {
        answered(last).await?;
    }
    Ok(())
}

async fn answered<T>(answer: oneshot::Receiver<Answered<T>>) -> Result<(), CliError> {
    let answer = answer.await.map_err(failed("the journal stopped"))?;
    answer.map(drop).map_err(failed("the journal refused records"))
}

/// Does to a bare file what the journal did to its segments.
fn repeat(path: &Path, calls: &[Call], journal: Duration) -> Result<Round, CliError> {
    let sizes = || {
        calls.iter().filter_map(|call| match call {
            Call::Write { bytes } => Some(*bytes),
            Call::Sync => None,
        })
    };
    let mut buffer = vec![0; sizes().max().unwrap_or_default()];
    // Not zeros: some file systems and disks make nothing of those.
    getrandom::fill(&mut buffer).map_err(failed("cannot draw random numbers"))?;
    let file = File::create(path).map_err(CliError::file("create", path))?;
    SystemDisk.sync_data(&file).map_err(CliError::file("sync", path))?;
    let started = Instant::now();
    let mut offset = 0;
    for call in calls {
        match *call {
            Call::Write { bytes } => {
                SystemDisk
                    .write_all_at(&file, &buffer[..bytes], offset)
                    .map_err(CliError::file("write", path))?;
                offset += bytes as u64;
            }
            Call::Sync => SystemDisk.sync_data(&file).map_err(CliError::file("sync", path))?,
        }
    }
    let bare = started.elapsed();
    let syncs = calls.iter().filter(|call| matches!(call, Call::Sync)).count();
    Ok(Round { journal, bare, syncs, bytes: sizes().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_repeats_what_the_journal_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let (agency, records) = signatures::records(200).unwrap();
        let round = round(dir.path(), EngineKind::Fjall, &agency, &records, 64).await.unwrap();
        let bare = std::fs::metadata(dir.path().join("bare")).unwrap().len();
        assert_eq!(bare, round.bytes as u64);
        assert!(round.syncs > 0 && round.bytes > 200 * 300);
    }
}
