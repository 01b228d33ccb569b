//! `ActService`: acts that wait for a second person, and the decisions on them.

use super::{Context, person_of, refusal};
use crate::pb;
use crate::pb::act_service_server::ActService;
use crate::policy::ActKind;
use tonic::{Request, Response, Status};

/// Bytes of a reason: it stands in the journal and in a table.
const REASON_BYTES_MAX: usize = 1_024;

pub(super) struct Acts(pub(super) Context);

/// A reason within its bounds; `wanted` if it may not be empty.
pub(super) fn reason(text: String, wanted: bool) -> Result<String, Status> {
    match text.len() {
        0 if wanted => Err(refusal::invalid("reason", "it is empty; say why")),
        0..=REASON_BYTES_MAX => Ok(text),
        found => {
            let text = format!("{found} bytes are more than {REASON_BYTES_MAX}");
            Err(refusal::invalid("reason", text))
        }
    }
}

#[tonic::async_trait]
impl ActService for Acts {
    async fn list_acts(
        &self,
        request: Request<pb::ListActsRequest>,
    ) -> Result<Response<pb::ListActsResponse>, Status> {
        let role = person_of(&request)?.role;
        let mut acts = self.0.node.approvals.acts();
        acts.retain(|act| {
            let kind = act.proposed.as_ref().and_then(|act| ActKind::of(act.act.as_ref()?));
            kind.is_some_and(|kind| kind.is_shown_to(role))
        });
        Ok(Response::new(pb::ListActsResponse { acts }))
    }

    async fn decide_act(
        &self,
        request: Request<pb::DecideActRequest>,
    ) -> Result<Response<pb::DecideActResponse>, Status> {
        let client = person_of(&request)?;
        let pb::DecideActRequest { proposal, approved, reason: why } = request.into_inner();
        let why = reason(why, !approved)?;
        let decided = self.0.node.approvals.decide(client, proposal, approved, why).await;
        let (carried_out, committed) = decided.map_err(|error| refusal::of_node(&error))?;
        let checkpoint_note = committed.note;
        Ok(Response::new(pb::DecideActResponse { carried_out, checkpoint_note }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_and_nobody_writes_a_book() {
        assert!(reason(String::new(), true).is_err());
        assert!(reason(String::new(), false).is_ok());
        assert!(reason("x".repeat(REASON_BYTES_MAX), true).is_ok());
        assert!(reason("x".repeat(REASON_BYTES_MAX + 1), false).is_err());
    }
}
