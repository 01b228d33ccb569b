//! `CaseService`: views over the records of a case.

use super::{ANSWER_BYTES_MAX, Context, refusal, visibility_of};
use crate::journal::JournalError;
use crate::journal::query::{CaseSelector, Timeline, TimelineEvent, record_view};
use crate::journal::view::View;
use crate::pb;
use crate::pb::case_service_server::CaseService;
use crate::policy::{Visibility, VisiblePart};
use prost::Message as _;
use std::cmp::Reverse;
use tonic::{Request, Response, Status};

/// Events of a time line unless asked otherwise.
const EVENTS_DEFAULT: usize = 1_000;
/// Events of a time line: nobody reads more, and each is a record.
const EVENTS_MAX: usize = 10_000;

pub(super) struct Cases(pub(super) Context);

#[tonic::async_trait]
impl CaseService for Cases {
    async fn get_timeline(
        &self,
        request: Request<pb::GetTimelineRequest>,
    ) -> Result<Response<pb::GetTimelineResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let pb::GetTimelineRequest { case, limit } = request.into_inner();
        if case.is_empty() {
            return Err(refusal::invalid("case", "it is empty; give a reference or a series id"));
        }
        let limit = match limit as usize {
            0 => EVENTS_DEFAULT,
            limit @ 1..=EVENTS_MAX => limit,
            found => {
                return Err(refusal::invalid("limit", format!("{found} is above {EVENTS_MAX}")));
            }
        };
        let selector = CaseSelector::parse(&case)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let found = self
            .0
            .read(move |view| {
                let timeline = view.timeline(&selector, limit, &visibility)?;
                timeline.map(|timeline| answer(view, timeline, &visibility)).transpose()
            })
            .await?;
        found.map(Response::new).ok_or_else(|| {
            Status::not_found(format!(
                "this node knows no case {case:?}; `liaison query --kind case` lists cases"
            ))
        })
    }

    async fn get_takedown_status(
        &self,
        request: Request<pb::GetTakedownStatusRequest>,
    ) -> Result<Response<pb::GetTakedownStatusResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let pb::GetTakedownStatusRequest { case_reference } = request.into_inner();
        let status = self.0.read_while_wanted(move |view, wanted| {
            let reference = (!case_reference.is_empty()).then_some(&case_reference[..]);
            view.takedown_status(reference, &visibility, || wanted.is_wanted())
        });
        status.await.map(Response::new)
    }
}

/// As many events as fit one message; what does not is left out as for a smaller limit.
fn answer(
    view: &View,
    mut timeline: Timeline,
    visibility: &Visibility,
) -> Result<pb::GetTimelineResponse, JournalError> {
    let case = timeline.case.map(|kept| record_view(view, &kept, visibility)).transpose()?;
    let mut bytes = case.as_ref().map_or(0, prost::Message::encoded_len);
    timeline.events.sort_by_key(|event| Reverse((event.is_singular(), event.at_ms)));
    let mut events = Vec::with_capacity(timeline.events.len());
    for event in &timeline.events {
        let event = event_view(view, event, visibility)?;
        bytes += event.encoded_len();
        if bytes > ANSWER_BYTES_MAX {
            break;
        }
        events.push(event);
    }
    events.sort_by_key(|event| {
        (event.at_ms, event.record.as_ref().map(|record| record.journal_index))
    });
    let totals = timeline.totals.into_iter();
    let totals = totals.map(|(kind, count)| pb::Count { name: kind.name().to_owned(), count });
    Ok(pb::GetTimelineResponse {
        case,
        events,
        totals: totals.collect(),
        damaged: timeline.damaged,
    })
}

fn event_view(
    view: &View,
    event: &TimelineEvent,
    visibility: &Visibility,
) -> Result<pb::TimelineEvent, JournalError> {
    let is_seen = visibility.of_record(&event.kept.status()) == VisiblePart::Content;
    let content = is_seen.then(|| event.kept.record.content().ok()).flatten();
    Ok(pb::TimelineEvent {
        at_ms: event.at_ms,
        summary: content.map(|content| content.summary()).unwrap_or_default(),
        record: Some(record_view(view, &event.kept, visibility)?),
    })
}
