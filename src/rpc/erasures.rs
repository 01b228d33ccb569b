//! Erasures, retractions and holds, as `RecordService` serves them.

use super::{Context, acts, agency, person_of, record_id, refusal};
use crate::node::HoldChange;
use crate::pb;
use crate::record::erasure::ErasureBasis;
use bytes::Bytes;
use tonic::{Request, Response, Status};

/// Bytes of the name of an authority or a file: it stands in the journal.
const AUTHORITY_BYTES_MAX: usize = 256;
/// Erasures of one answer.
const PAGE_MAX: usize = 1_000;

pub(super) async fn propose(
    context: &Context,
    request: Request<pb::EraseRecordRequest>,
) -> Result<Response<pb::EraseRecordResponse>, Status> {
    let client = person_of(&request)?;
    let pb::EraseRecordRequest { record_id: id, slots, basis, authority } = request.into_inner();
    record_id(&id)?;
    if ErasureBasis::from_number(basis).is_none() {
        return Err(refusal::invalid("basis", "name the legal ground"));
    }
    if authority.is_empty() || authority.len() > AUTHORITY_BYTES_MAX {
        let text = format!(
            "say who ordered it or under which file, in 1 to {AUTHORITY_BYTES_MAX} bytes; found {}",
            authority.len()
        );
        return Err(refusal::invalid("authority", text));
    }
    if authority.chars().any(char::is_control) {
        return Err(refusal::invalid("authority", "it holds control characters"));
    }
    let series_head = Bytes::new();
    let act = pb::EraseAct { record_id: id, slots, basis, authority, series_head };
    let proposed = context.node.erasures.propose(client, act).await;
    let (act, _) = proposed.map_err(|error| refusal::of_node(&error))?;
    Ok(Response::new(pb::EraseRecordResponse { act: Some(act) }))
}

pub(super) async fn list(
    context: &Context,
    request: Request<pb::ListErasuresRequest>,
) -> Result<Response<pb::ListErasuresResponse>, Status> {
    let pb::ListErasuresRequest { record_id: id, outstanding, before } = request.into_inner();
    let id = if id.is_empty() { None } else { Some(record_id(&id)?) };
    let before = if before == 0 { u64::MAX } else { before };
    let (page, index_pending) = context
        .read(move |view| {
            let page = view.erasure_report(id.as_ref(), outstanding, before, PAGE_MAX)?;
            Ok((page, view.scrub_pending()?))
        })
        .await?;
    Ok(Response::new(pb::ListErasuresResponse {
        erasures: page.erasures,
        next_before: page.next_before.unwrap_or_default(),
        index_pending,
        damaged: page.damaged,
    }))
}

pub(super) async fn retractions(
    context: &Context,
    request: Request<pb::ListRetractionsRequest>,
) -> Result<Response<pb::ListRetractionsResponse>, Status> {
    let pb::ListRetractionsRequest { agency: name, outstanding, after_agency, before } =
        request.into_inner();
    let named = |field, name: &str| match name {
        "" => Ok(None),
        name => agency(field, name).map(Some),
    };
    let (only, from) = (named("agency", &name)?, named("after_agency", &after_agency)?);
    let before = if before == 0 { u64::MAX } else { before };
    let page = context
        .read(move |view| {
            view.retractions(only.as_ref(), from.as_ref(), before, outstanding, PAGE_MAX)
        })
        .await?;
    let (next_agency, next_before) =
        page.next.map_or_else(Default::default, |(agency, before)| (agency.to_string(), before));
    let retractions = page.retractions;
    Ok(Response::new(pb::ListRetractionsResponse { retractions, next_agency, next_before }))
}

/// The journal's checkpoint over a hold, or over its end, and the slots that went with it.
pub(super) async fn restrict(
    context: &Context,
    client: &str,
    id: &[u8],
    hold: HoldChange,
    reason: String,
) -> Result<(Bytes, u32), Status> {
    let id = record_id(id)?;
    let reason = acts::reason(reason, true)?;
    let changed = context.node.erasures.restrict(client, id, hold, reason).await;
    let (erased, committed) = changed.map_err(|error| refusal::of_node(&error))?;
    Ok((committed.note, erased.bits()))
}
