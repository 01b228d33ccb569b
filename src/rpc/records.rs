//! `RecordService`: submit, read, find, follow and withdraw records.

use super::submission::{self, check_drafts};
use super::{
    Answers, Context, UNARY_DRAFTS_MAX, client_of, erasures, explain, person_of, record_id,
    refusal, visibility_of, watch,
};
use crate::ident::{AgencyName, IdPrefix, SeriesId};
use crate::journal::JournalError;
use crate::journal::query::{Filter, FoundIds, Page, record_view};
use crate::journal::view::{Kept, View};
use crate::node::HoldChange;
use crate::pb;
use crate::pb::get_record_request::Selector;
use crate::pb::record_service_server::RecordService;
use crate::policy::{Visibility, VisiblePart};
use bytes::Bytes;
use std::sync::Arc;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Bytes of the explanation of a withdrawal: the slot has no more.
const EXPLANATION_BYTES_MAX: usize = 1_024;

pub(super) struct Records(pub(super) Context);

#[tonic::async_trait]
impl RecordService for Records {
    type StreamRecordsStream = Answers<pb::StreamRecordsResponse>;
    type QueryRecordsStream = Answers<pb::QueryRecordsResponse>;
    type WatchRecordsStream = Answers<pb::WatchRecordsResponse>;

    async fn submit_records(
        &self,
        request: Request<pb::SubmitRecordsRequest>,
    ) -> Result<Response<pb::SubmitRecordsResponse>, Status> {
        let client = person_of(&request)?;
        let pb::SubmitRecordsRequest { drafts } = request.into_inner();
        check_drafts(drafts.len(), UNARY_DRAFTS_MAX)?;
        let submitted = self.0.node.submissions.submit(&client, drafts, None).await;
        let submitted = submitted.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::SubmitRecordsResponse {
            results: submitted.results,
            checkpoint_note: submitted.committed.note,
        }))
    }

    async fn stream_records(
        &self,
        request: Request<Streaming<pb::StreamRecordsRequest>>,
    ) -> Result<Response<Self::StreamRecordsStream>, Status> {
        let client = Arc::new(person_of(&request)?);
        let answers = submission::answers(self.0.clone(), client, request.into_inner());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_record(
        &self,
        request: Request<pb::GetRecordRequest>,
    ) -> Result<Response<pb::GetRecordResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let selector = request.into_inner().selector.ok_or_else(|| {
            refusal::invalid("selector", "it is empty; give a record_id or a series")
        })?;
        let found = match selector {
            Selector::RecordId(id) => {
                let id = record_id(&id)?;
                self.0.read(move |view| load(view, view.kept(&id)?, &visibility)).await?
            }
            Selector::Series(series) => {
                let series = SeriesId::try_from(&series[..])
                    .map_err(|error| refusal::invalid("series", error))?;
                let own = self.0.node.agency().clone();
                self.0
                    .read(move |view| load(view, newest(view, series, &own)?, &visibility))
                    .await?
            }
        };
        let Some((record, originator)) = found else {
            let text = "this node holds no such record; `liaison query` finds records";
            return Err(Status::not_found(text));
        };
        let originator_card = self.card_of(&originator)?;
        Ok(Response::new(pb::GetRecordResponse { record: Some(record), originator_card }))
    }

    async fn find_record_ids(
        &self,
        request: Request<pb::FindRecordIdsRequest>,
    ) -> Result<Response<pb::FindRecordIdsResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let prefix: IdPrefix = request
            .into_inner()
            .prefix
            .parse()
            .map_err(|error| refusal::invalid("prefix", error))?;
        let found = self.0.read(move |view| view.ids_with_prefix(&prefix, &visibility)).await?;
        let FoundIds { records, series, more } = found;
        let record_ids = records.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect();
        let series = series.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect();
        Ok(Response::new(pb::FindRecordIdsResponse { record_ids, more, series }))
    }

    async fn query_records(
        &self,
        request: Request<pb::QueryRecordsRequest>,
    ) -> Result<Response<Self::QueryRecordsStream>, Status> {
        let visibility = visibility_of(&request)?;
        let request = request.into_inner();
        let invalid = |error: &dyn std::error::Error| Status::invalid_argument(error.to_string());
        let filter = Filter::try_from(&request).map_err(|error| invalid(&error))?;
        let page = Page::parse(&request).map_err(|error| invalid(&error))?;
        Ok(Response::new(Box::pin(matches(
            self.0.clone(),
            filter.seeing(visibility.clone()),
            page,
            visibility,
        ))))
    }

    async fn watch_records(
        &self,
        request: Request<pb::WatchRecordsRequest>,
    ) -> Result<Response<Self::WatchRecordsStream>, Status> {
        let visibility = visibility_of(&request)?;
        let request = request.into_inner();
        let kind = watch::kind(request.kind)?;
        let cursor = watch::begin(&self.0, &request)?;
        Ok(Response::new(Box::pin(watch::answers(self.0.clone(), cursor, kind, visibility))))
    }

    async fn withdraw_record(
        &self,
        request: Request<pb::WithdrawRecordRequest>,
    ) -> Result<Response<pb::WithdrawRecordResponse>, Status> {
        let client = person_of(&request)?;
        let request = request.into_inner();
        let id = record_id(&request.record_id)?;
        let reason = match pb::WithdrawalReason::try_from(request.reason) {
            Ok(pb::WithdrawalReason::Unspecified) | Err(_) => {
                let wanted = "say why: ERROR, OUTDATED, UNAUTHORISED or ORDER";
                return Err(refusal::invalid("reason", wanted));
            }
            Ok(reason) => reason,
        };
        let found = request.explanation.len();
        if found > EXPLANATION_BYTES_MAX {
            let text = format!("{found} bytes are more than {EXPLANATION_BYTES_MAX}");
            return Err(refusal::invalid("explanation", text));
        }
        let withdrawn =
            self.0.node.submissions.withdraw(&client, id, reason, request.explanation).await;
        let (id, committed) = withdrawn.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::WithdrawRecordResponse {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            checkpoint_note: committed.note,
        }))
    }

    async fn erase_record(
        &self,
        request: Request<pb::EraseRecordRequest>,
    ) -> Result<Response<pb::EraseRecordResponse>, Status> {
        erasures::propose(&self.0, request).await
    }

    async fn list_erasures(
        &self,
        request: Request<pb::ListErasuresRequest>,
    ) -> Result<Response<pb::ListErasuresResponse>, Status> {
        erasures::list(&self.0, request).await
    }

    async fn list_retractions(
        &self,
        request: Request<pb::ListRetractionsRequest>,
    ) -> Result<Response<pb::ListRetractionsResponse>, Status> {
        erasures::retractions(&self.0, request).await
    }

    async fn restrict_record(
        &self,
        request: Request<pb::RestrictRecordRequest>,
    ) -> Result<Response<pb::RestrictRecordResponse>, Status> {
        let client = client_of(&request)?;
        let pb::RestrictRecordRequest { record_id, reason } = request.into_inner();
        let (checkpoint_note, _) =
            erasures::restrict(&self.0, &client, &record_id, HoldChange::Begin, reason).await?;
        Ok(Response::new(pb::RestrictRecordResponse { checkpoint_note }))
    }

    async fn unrestrict_record(
        &self,
        request: Request<pb::UnrestrictRecordRequest>,
    ) -> Result<Response<pb::UnrestrictRecordResponse>, Status> {
        let client = client_of(&request)?;
        let pb::UnrestrictRecordRequest { record_id, reason, erases } = request.into_inner();
        let (checkpoint_note, erased_slots) =
            erasures::restrict(&self.0, &client, &record_id, HoldChange::End { erases }, reason)
                .await?;
        Ok(Response::new(pb::UnrestrictRecordResponse { checkpoint_note, erased_slots }))
    }

    async fn explain_delivery(
        &self,
        request: Request<pb::ExplainDeliveryRequest>,
    ) -> Result<Response<pb::ExplainDeliveryResponse>, Status> {
        let visibility = visibility_of(&request)?;
        explain::delivery(&self.0, request.into_inner(), visibility).await.map(Response::new)
    }
}

impl Records {
    /// An originator's card, as text; empty for an agency that is not a partner.
    fn card_of(&self, originator: &AgencyName) -> Result<String, Status> {
        let snapshot = self.0.node.view().snapshot();
        let card = if originator == self.0.node.agency() {
            snapshot.state.card.as_ref()
        } else {
            snapshot.state.partners.get(originator).map(|partner| &partner.card)
        };
        let armour = card.map(|card| card.to_armour()).transpose();
        Ok(armour.map_err(|error| refusal::internal(&error))?.unwrap_or_default())
    }
}

type Found = (pb::RecordView, AgencyName);

fn load(
    view: &View,
    kept: Option<Kept>,
    visibility: &Visibility,
) -> Result<Option<Found>, JournalError> {
    let kept = kept.filter(|kept| visibility.of_record(&kept.status()) > VisiblePart::Nothing);
    let found = |kept: Kept| {
        let originator = kept.record.header().originator.clone();
        record_view(view, &kept, visibility).map(|record| (record, originator))
    };
    kept.map(found).transpose()
}

/// The newest revision of a series. An agency that copied the id of another's series has one of its
/// own: this node's comes first, then the one that was here first.
fn newest(view: &View, series: SeriesId, own: &AgencyName) -> Result<Option<Kept>, JournalError> {
    let mut best: Option<Kept> = None;
    for head in view.series_heads(series)? {
        let Some(kept) = view.kept(&head.id)? else { continue };
        let rank = |kept: &Kept| (kept.record.header().originator != *own, kept.journal_index);
        if best.as_ref().is_none_or(|best| rank(&kept) < rank(best)) {
            best = Some(kept);
        }
    }
    Ok(best)
}

/// One page, in steps: between two of them nothing is held but the step's records, however slowly
/// the client reads.
fn matches(
    context: Context,
    filter: Filter,
    page: Page,
    visibility: Visibility,
) -> impl Stream<Item = Result<pb::QueryRecordsResponse, Status>> + Send {
    async_stream::try_stream! {
        let filter = Arc::new(filter);
        let (mut left, mut below, mut last) = (page.size, page.before, page.before);
        let (mut next_page_token, mut damaged) = (String::new(), 0);
        loop {
            let asked = Arc::clone(&filter);
            // Behind a full page one more match tells whether there is another page.
            let most = left.max(1);
            let step = context.read(move |view| view.search_step(&asked, below, most)).await?;
            damaged += step.damaged;
            if left == 0 && !step.hits.is_empty() {
                next_page_token = page.token(last);
                break;
            }
            left -= step.hits.len();
            for hit in &step.hits {
                last = hit.kept.journal_index;
                let record = Some(hit.view(&visibility));
                yield pb::QueryRecordsResponse { record, ..pb::QueryRecordsResponse::default() };
            }
            match step.resume {
                Some(resume) => below = resume,
                None => break,
            }
        }
        yield pb::QueryRecordsResponse { record: None, next_page_token, damaged };
    }
}
