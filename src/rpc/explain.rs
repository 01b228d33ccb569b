//! The answers of the two services that explain: one file, because they share their questions.
//!
//! Long work goes in steps on a thread that may block; between two steps nothing runs, so it ends
//! with the client that asked.

use super::{Context, refusal};
use crate::journal::JournalError;
use crate::node::AccessReport;
use crate::pb;
use crate::policy::Visibility;
use tokio_stream::Stream;
use tonic::Status;

/// Streams the records that a partner may see, with progress on the way.
pub(super) fn survey(
    context: Context,
    mut survey: AccessReport,
) -> impl Stream<Item = Result<pb::ExplainPartnerResponse, Status>> + Send {
    async_stream::try_stream! {
        while !survey.is_done() && !*context.stopping.borrow() {
            survey = context.read(move |_| stepped(survey)).await?;
            let (considered, size) = survey.progress();
            yield pb::ExplainPartnerResponse { considered, size, sight: None };
        }
        if !survey.is_done() {
            Err(Status::unavailable("the node is stopping; try again later"))?;
        }
        let (considered, size) = survey.progress();
        let report = context.read(move |_| survey.finish()).await?;
        yield pb::ExplainPartnerResponse { considered, size, sight: Some(report) };
    }
}

fn stepped(mut survey: AccessReport) -> Result<AccessReport, JournalError> {
    survey.step()?;
    Ok(survey)
}

/// Returns the state of a record's delivery to a partner.
pub(super) async fn delivery(
    context: &Context,
    request: pb::ExplainDeliveryRequest,
    visibility: Visibility,
) -> Result<pb::ExplainDeliveryResponse, Status> {
    let id = super::record_id(&request.record_id)?;
    let partner = super::agency("partner", &request.partner)?;
    let node = std::sync::Arc::clone(&context.node);
    let walked =
        context.read(move |_| Ok(node.explanations.delivery(id, &partner, &visibility))).await?;
    walked.map_err(|error| refusal::of_node(&error))
}
