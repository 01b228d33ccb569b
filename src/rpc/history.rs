//! The whole history for an auditor, part after part: the segments as they lie here, then policies.
//!
//! A part is read only when the one before was taken, so a slow caller costs one part and no more.
//! It ends early only with an error: what ends well is whole.

use super::{Context, refusal};
use crate::pb::{self, export_history_response::Part};
use bytes::Bytes;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::Status;

/// Ends with the history, with the port, or when the client goes away.
pub(super) fn parts(
    context: Context,
) -> impl Stream<Item = Result<pb::ExportHistoryResponse, Status>> + Send {
    async_stream::try_stream! {
        let mut committed = context.node.view().segments().committed();
        let mut segment_bytes = 0;
        loop {
            go_on(&context)?;
            let (back, piece) = context
                .read(move |_| {
                    let piece = committed.next_piece()?;
                    Ok((committed, piece))
                })
                .await?;
            committed = back;
            let Some(piece) = piece else { break };
            segment_bytes += piece.bytes.len() as u64;
            let bytes = pb::SegmentBytes { number: piece.segment, bytes: piece.bytes };
            yield part(Part::Segment(bytes));
        }
        // After the segments, so that whatever an entry there names is kept by now.
        let node = Arc::clone(&context.node);
        let bundles = context.read(move |_| Ok(node.policies.kept_bundles())).await?;
        for hash in bundles.map_err(|error| refusal::of_node(&error))? {
            go_on(&context)?;
            let node = Arc::clone(&context.node);
            let files = context.read(move |_| Ok(node.policies.kept_files(hash))).await?;
            let bundle = pb::PolicyBundle {
                bundle_hash: Bytes::copy_from_slice(hash.as_bytes()),
                files: files.map_err(|error| refusal::of_node(&error))?,
            };
            yield part(Part::Policy(bundle));
        }
        yield part(Part::End(pb::HistoryEnd { segment_bytes }));
    }
}

fn part(part: Part) -> pb::ExportHistoryResponse {
    pb::ExportHistoryResponse { part: Some(part) }
}

fn go_on(context: &Context) -> Result<(), Status> {
    match *context.stopping.borrow() {
        true => Err(Status::unavailable("the node is stopping; try again later")),
        false => Ok(()),
    }
}
