//! An auditor's work: the history of a node with so many records, disclosed to a partner, exported and
//! verified by a process of its own, beside hashing all bytes of the export once.

use super::figures::{Figure, Target};
use super::memory::megabytes;
use super::pair::Pair;
use super::timing::{blocking, failed};
use crate::cli::commands::audit::export::export;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::store::EngineKind;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Seconds for a journal of 1,000,000 entries on two processors.
const MILLION_SECONDS_MAX: f64 = 8.0;
/// Seconds for one of 66,000 entries.
const BULK_SECONDS_MAX: f64 = 1.0;
const BULK_ENTRIES: usize = 66_000;
const PEAK_MEGABYTES_MAX: f64 = 200.0;
/// Often enough that a peak is not missed by much.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) async fn measure(
    dir: &Path,
    engine: EngineKind,
    records: usize,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let pair = Pair::start(dir, engine).await?;
    let disclosed = pair.disclose(dir, records, context).await;
    let node = pair.vendor_dir();
    pair.stop().await;
    disclosed?;
    let out = dir.join("export");
    let folder = out.clone();
    let started = Instant::now();
    let summary = blocking(move || {
        export(&node, &folder, &AtomicBool::new(false)).map_err(failed("cannot export"))
    })
    .await?;
    let exporting = started.elapsed();
    let folder = out.clone();
    // Once before, so that both read from memory what the system keeps there.
    let (bytes, hashing) = blocking(move || {
        hash_all(&folder)?;
        hash_all(&folder)
    })
    .await?;
    let verified = verify(&out).await?;
    let seconds = verified.time.as_secs_f64();
    let target = if records <= BULK_ENTRIES { BULK_SECONDS_MAX } else { MILLION_SECONDS_MAX };
    Ok(vec![
        Figure::new(format!("export of {} entries", summary.size), exporting.as_secs_f64(), "s")
            .remark(format!("{} files, {:.0} MB", summary.files, megabytes(bytes))),
        Figure::new("export verified", seconds, "s")
            .remark(format!("{:.0} entries/s", summary.size as f64 / seconds.max(f64::EPSILON)))
            .limit("all bytes hashed once, one thread", hashing.as_secs_f64())
            .target(Target::AtMost(target)),
        Figure::new("peak memory of it", megabytes(verified.peak), "MB")
            .target(Target::AtMost(PEAK_MEGABYTES_MAX)),
    ])
}

struct Verified {
    time: Duration,
    peak: u64,
}

/// Runs `liaison audit verify` as a process of its own.
async fn verify(export: &Path) -> Result<Verified, CliError> {
    let program = std::env::current_exe().map_err(failed("cannot find this program"))?;
    let started = Instant::now();
    let mut child = tokio::process::Command::new(program)
        .args(["audit", "verify", "-o", "json"])
        .arg(export)
        .stdout(Stdio::null())
        .spawn()
        .map_err(failed("cannot start the verification"))?;
    let status_file = child.id().map(|pid| PathBuf::from(format!("/proc/{pid}/status")));
    let mut peak = 0;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended.map_err(failed("the verification did not end"))?,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let status = status_file.as_deref().map(std::fs::read_to_string);
                if let Some(Ok(status)) = status {
                    peak = peak.max(crate::node::peak_memory_in(&status));
                }
            }
        }
    };
    let time = started.elapsed();
    if !ended.success() {
        return Err(CliError::Verification { found: "the export does not verify".to_owned() });
    }
    Ok(Verified { time, peak })
}

/// Hashes every file below a directory once; gives the bytes and the time.
fn hash_all(dir: &Path) -> Result<(u64, Duration), CliError> {
    let started = Instant::now();
    let (mut bytes, mut waiting) = (0, vec![dir.to_owned()]);
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).map_err(CliError::file("read", &dir))? {
            let path = entry.map_err(CliError::file("read", &dir))?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let text = std::fs::read(&path).map_err(CliError::file("read", &path))?;
            bytes += text.len() as u64;
            std::hint::black_box(Sha256::digest(&text));
        }
    }
    Ok((bytes, started.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_hashed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        std::fs::write(dir.path().join("below/a"), [1; 70]).unwrap();
        std::fs::write(dir.path().join("b"), [2; 30]).unwrap();
        assert_eq!(hash_all(dir.path()).unwrap().0, 100);
    }
}
