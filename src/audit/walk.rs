//! Goes through all segments in order and hands on their batches in pieces.

use super::failure::{Check, Failure, Fault, Place};
use super::segment::{BatchReader, Chunk, Next, Opened, Tail};
use std::io::{self, Read};
use std::ops::ControlFlow;

/// The end of the segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the commit of the last batch.
    Whole,
    /// With bytes of a batch whose writing was interrupted.
    Torn { segment: u32, offset: u64, bytes: u64 },
    /// Something that was acknowledged is damaged.
    Broken(Failure),
    /// The sink stopped the walk.
    Stopped,
}

/// Hands every piece of every whole batch to `sink`, in order. `segments` gives each file with its
/// number, ascending. Only the errors of reading are errors; what is wrong with the bytes is in the
/// ending.
pub fn walk<R: Read>(
    segments: impl IntoIterator<Item = io::Result<(u32, R)>>,
    mut sink: impl FnMut(Chunk) -> ControlFlow<()>,
) -> io::Result<Ending> {
    let mut segments = segments.into_iter().peekable();
    let mut wanted = 1;
    while let Some(segment) = segments.next() {
        let (number, source) = segment?;
        let broken = |offset, fault| {
            let place = Place::Segment { number, offset };
            Ok(Ending::Broken(Failure { place, entry: None, fault }))
        };
        if number != wanted {
            let fault = Fault::new(
                Check::SegmentSequence,
                format!("segment {wanted}"),
                format!("{number}"),
            );
            return broken(0, fault);
        }
        wanted += 1;
        let is_last = segments.peek().is_none();
        let mut reader = match BatchReader::open(number, source, is_last)? {
            Opened::Segment(reader) => reader,
            Opened::Unstarted { bytes } => {
                return Ok(Ending::Torn { segment: number, offset: 0, bytes });
            }
            Opened::Broken(fault) => return broken(0, fault),
        };
        loop {
            match reader.next()? {
                Next::Batch(batch) => {
                    if batch.chunks().try_for_each(&mut sink).is_break() {
                        return Ok(Ending::Stopped);
                    }
                }
                Next::End => break,
                Next::Broken(found) if is_last => {
                    return match reader.judge_tail(found.offset)? {
                        Tail::Torn { start, bytes } => {
                            Ok(Ending::Torn { segment: number, offset: start, bytes })
                        }
                        Tail::Damaged => broken(found.offset, found.fault),
                    };
                }
                Next::Broken(found) => return broken(found.offset, found.fault),
            }
        }
    }
    Ok(Ending::Whole)
}
