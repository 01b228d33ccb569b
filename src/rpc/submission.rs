//! One bulk submission: answers in order, and at the end a signed receipt over all of them.

use super::in_order::InOrder;
use super::{Context, STREAM_DRAFTS_MAX, refusal};
use crate::ident::RecordId;
use crate::merkle::{Frontier, leaf_hash};
use crate::node::{BatchDedup, Client, NodeError, Submitted};
use crate::pb::{self, DraftOutcome};
use bytes::Bytes;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

/// Requests of one stream that are worked on at once: while one becomes durable, the next are
/// checked. Each may have [`super::MESSAGE_BYTES_MAX`].
const REQUESTS_UNDER_WAY_MAX: usize = 4;

/// The tally of a stream so far.
#[derive(Default)]
struct Tally {
    figures: pb::SubmissionReceipt,
    ids: Frontier,
}

impl Tally {
    fn count(&mut self, submitted: &Submitted) -> Result<(), NodeError> {
        for result in &submitted.results {
            match result.outcome() {
                DraftOutcome::Created => self.figures.created += 1,
                DraftOutcome::Revised => self.figures.revised += 1,
                DraftOutcome::Unchanged => self.figures.unchanged += 1,
                DraftOutcome::Refused | DraftOutcome::Unspecified => {
                    self.figures.refused += 1;
                    continue;
                }
            }
            let id = RecordId::try_from(&result.record_id[..])?;
            self.ids.push(leaf_hash(id.as_bytes()));
        }
        self.figures.checkpoint_note = submitted.committed.note.clone();
        Ok(())
    }

    fn figures(mut self) -> pb::SubmissionReceipt {
        self.figures.ids_root = Bytes::copy_from_slice(self.ids.root().as_bytes());
        self.figures
    }
}

/// The next event of a stream.
enum Next {
    Submitted(Result<Submitted, Status>),
    Request(Result<Option<pb::StreamRecordsRequest>, Status>),
}

/// Takes requests until the client closes its side. An error ends the stream without a receipt;
/// what was answered before it is durable.
pub(super) fn answers(
    context: Context,
    client: Arc<Client>,
    mut requests: Streaming<pb::StreamRecordsRequest>,
) -> impl Stream<Item = Result<pb::StreamRecordsResponse, Status>> + Send {
    async_stream::try_stream! {
        let mut under_way = InOrder::new(REQUESTS_UNDER_WAY_MAX);
        let mut tally = Tally::default();
        let dedup = BatchDedup::default();
        tally.figures.checkpoint_note = context.node.view().snapshot().note.clone();
        let mut open = true;
        while open || !under_way.is_empty() {
            let next = tokio::select! {
                biased;
                submitted = under_way.next(), if !under_way.is_empty() => Next::Submitted(submitted),
                request = requests.message(), if open && !under_way.is_full() => {
                    Next::Request(request)
                }
            };
            match next {
                Next::Submitted(submitted) => {
                    let submitted = submitted?;
                    tally.count(&submitted).map_err(|error| refusal::of_node(&error))?;
                    let results = submitted.results;
                    yield pb::StreamRecordsResponse { results, receipt: None };
                }
                Next::Request(request) => match request? {
                    Some(request) => {
                        under_way.begin(submit(context.clone(), Arc::clone(&client), request, dedup.clone())).await;
                    }
                    None => open = false,
                },
            }
        }
        let mut receipt = tally.figures();
        receipt.note = context
            .node
            .submissions
            .sign_receipt(&receipt)
            .map_err(|error| refusal::of_node(&error))?
            .into();
        yield pb::StreamRecordsResponse { results: Vec::new(), receipt: Some(receipt) };
    }
}

async fn submit(
    context: Context,
    client: Arc<Client>,
    request: pb::StreamRecordsRequest,
    dedup: BatchDedup,
) -> Result<Submitted, Status> {
    check_drafts(request.drafts.len(), STREAM_DRAFTS_MAX)?;
    let submitted = context.node.submissions.submit(&client, request.drafts, Some(dedup)).await;
    submitted.map_err(|error| refusal::of_node(&error))
}

pub(super) fn check_drafts(found: usize, most: usize) -> Result<(), Status> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    let reason = format!("{found} are not 1 to {most}; send more in further requests");
    Err(refusal::invalid("drafts", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::writer::Committed;
    use crate::merkle::root_of;

    fn result(outcome: DraftOutcome, id: u8) -> pb::DraftResult {
        let record_id = Bytes::from(vec![id; 32]);
        pb::DraftResult { outcome: outcome.into(), record_id, ..pb::DraftResult::default() }
    }

    #[test]
    fn the_receipt_covers_every_answered_id_in_order_and_no_refused_one() {
        use DraftOutcome::{Created, Refused, Revised, Unchanged};
        let results = vec![
            result(Created, 1),
            result(Refused, 0),
            result(Unchanged, 2),
            result(Revised, 3),
            result(Created, 1),
        ];
        let committed = Committed { size: 9, note: Bytes::from_static(b"note") };
        let mut tally = Tally::default();
        tally.count(&Submitted { results, committed }).unwrap();
        let figures = tally.figures();
        let leaves: Vec<_> = [1, 2, 3, 1].map(|id| leaf_hash(&[id; 32])).into();
        assert_eq!(figures.ids_root[..], root_of(&leaves).as_bytes()[..]);
        assert_eq!(
            (figures.created, figures.revised, figures.unchanged, figures.refused),
            (2, 1, 1, 1)
        );
        assert_eq!(&figures.checkpoint_note[..], b"note");
    }

    #[test]
    fn a_request_without_drafts_or_with_too_many_is_refused() {
        assert!(check_drafts(0, 64).is_err());
        assert!(check_drafts(64, 64).is_ok());
        assert!(check_drafts(65, 64).unwrap_err().message().contains("65 are not 1 to 64"));
    }
}
