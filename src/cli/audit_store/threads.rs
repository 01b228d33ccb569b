//! The threads of an audit: one reads the segments, several look at pieces side by side, and one judges them in order.
//!
//! The report never depends on the threads.

use super::files::segment_name;
use crate::audit::{Audit, Chunk, Ending, Examined, Expectations, Report, examine, walk};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Pieces that may wait for each thread: enough to keep it busy, a few MiB.
const QUEUE_MAX: usize = 8;
/// More threads would wait for the one that judges.
const EXAMINERS_MAX: usize = 8;

pub(super) fn examiners() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(EXAMINERS_MAX)
}

/// One thread reads, several examine in turn, this one judges.
pub(super) fn verify(
    expectations: Expectations,
    dir: &Path,
    numbers: &[u32],
) -> io::Result<Report> {
    let examiners = examiners();
    std::thread::scope(|scope| {
        let mut inputs = Vec::new();
        let mut outputs = Vec::new();
        for _ in 0..examiners {
            let (input, chunks) = sync_channel::<Chunk>(QUEUE_MAX);
            let (results, output) = sync_channel::<Examined>(QUEUE_MAX);
            scope.spawn(move || examine_all(&chunks, &results));
            inputs.push(input);
            outputs.push(output);
        }
        let reader = scope.spawn(move || read_all(dir, numbers, inputs));
        let mut audit = Audit::new(expectations);
        judge(&mut audit, outputs);
        let ending = reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))?;
        Ok(audit.finish(ending))
    })
}

fn read_all(dir: &Path, numbers: &[u32], inputs: Vec<SyncSender<Chunk>>) -> io::Result<Ending> {
    let segments =
        numbers.iter().map(|number| Ok((*number, File::open(dir.join(segment_name(*number)))?)));
    let mut turn = inputs.iter().cycle();
    walk(segments, |chunk| match turn.next().map(|input| input.send(chunk)) {
        Some(Ok(())) => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    })
}

fn examine_all(chunks: &Receiver<Chunk>, results: &SyncSender<Examined>) {
    for chunk in chunks {
        if results.send(examine(chunk)).is_err() {
            return;
        }
    }
}

/// Takes the pieces in the turn in which they were handed out. Leaving early drops the receivers,
/// which stops everybody.
fn judge(audit: &mut Audit, outputs: Vec<Receiver<Examined>>) {
    for output in outputs.iter().cycle() {
        let Ok(examined) = output.recv() else { return };
        if !audit.take(examined) {
            return;
        }
    }
}
