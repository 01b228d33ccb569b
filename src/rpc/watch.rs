//! Following the journal: what is there from a cursor on, and then what comes.

use super::{Context, refusal};
use crate::journal::query::record_view;
use crate::journal::view::{Kept, View};
use crate::journal::{JournalError, unless_damaged};
use crate::pb;
use crate::policy::{Visibility, VisiblePart};
use crate::record::kind::Kind;
use prost::Message as _;
use tokio_stream::Stream;
use tonic::Status;

/// Journal entries read in one step.
const STEP_ENTRIES_MAX: u64 = 256;
/// Bytes of answers made in one step; one more may come on top.
const STEP_BYTES_MAX: usize = 1 << 20;

struct Step {
    answers: Vec<pb::WatchRecordsResponse>,
    cursor: u64,
}

/// Returns the journal index at which a watch begins.
pub(super) fn begin(context: &Context, request: &pb::WatchRecordsRequest) -> Result<u64, Status> {
    let size = context.node.view().snapshot().size;
    match request.cursor {
        _ if request.from_now => Ok(size),
        cursor if cursor <= size => Ok(cursor),
        cursor => Err(Status::out_of_range(format!(
            "cursor: {cursor} is beyond the journal's size {size}; use the cursor of the last \
             response"
        ))),
    }
}

/// Ends with an error when the port closes or the journal stops; the client ends it by going away.
pub(super) fn answers(
    context: Context,
    mut cursor: u64,
    kind: Option<Kind>,
    visibility: Visibility,
) -> impl Stream<Item = Result<pb::WatchRecordsResponse, Status>> + Send {
    let mut grown = context.node.grown();
    let mut stopping = context.stopping.clone();
    async_stream::try_stream! {
        while !*stopping.borrow() {
            // Marked as seen before the journal is read, so that growth meanwhile is not missed.
            let _ = *grown.borrow_and_update();
            let seen = visibility.clone();
            let step = context.read(move |view| read_step(view, cursor, kind, &seen)).await?;
            let moved = step.cursor > cursor;
            cursor = step.cursor;
            for answer in step.answers {
                yield answer;
            }
            if moved {
                continue;
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { break },
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        Err(Status::unavailable(format!("the node is stopping; go on from cursor {cursor}")))?;
    }
}

fn read_step(
    view: &View,
    from: u64,
    kind: Option<Kind>,
    visibility: &Visibility,
) -> Result<Step, JournalError> {
    let size = view.snapshot().size;
    let (mut answers, mut bytes, mut cursor) = (Vec::new(), 0, from);
    while cursor < size && cursor < from + STEP_ENTRIES_MAX && bytes < STEP_BYTES_MAX {
        let found = unless_damaged(view.accepted_at(cursor))?;
        cursor += 1;
        let answer = match found {
            Some(kept) => {
                let is_wanted = |kept: &Kept| {
                    visibility.of_record(&kept.status()) != VisiblePart::Nothing
                        && kind.is_none_or(|kind| kind == kept.record.kind())
                };
                let Some(kept) = kept.filter(is_wanted) else { continue };
                let record = Some(record_view(view, &kept, visibility)?);
                pb::WatchRecordsResponse { record, cursor, damaged: 0 }
            }
            None => pb::WatchRecordsResponse { record: None, cursor, damaged: 1 },
        };
        match answers.last_mut() {
            // A run of damaged entries is one response.
            Some(pb::WatchRecordsResponse { cursor: last, damaged, .. })
                if answer.damaged > 0 && *damaged > 0 && *last + 1 == cursor =>
            {
                (*last, *damaged) = (cursor, *damaged + 1);
            }
            _ => {
                bytes += answer.encoded_len();
                answers.push(answer);
            }
        }
    }
    Ok(Step { answers, cursor })
}

pub(super) fn kind(number: i32) -> Result<Option<Kind>, Status> {
    crate::journal::query::kind_in(number).map_err(|error| refusal::invalid("kind", error))
}
