//! `NodeService`: state and clock of the node.

use super::{Context, client_of, refusal, visibility_of};
use crate::ident::Timestamp;
use crate::pb;
use crate::pb::node_service_server::NodeService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct NodeStatus(pub(super) Context);

#[tonic::async_trait]
impl NodeService for NodeStatus {
    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let node = Arc::clone(&self.0.node);
        let status = self.0.read(move |_| Ok(node.status())).await?;
        Ok(Response::new(if visibility.names_partners() { status } else { of_node_alone(status) }))
    }

    async fn confirm_clock(
        &self,
        request: Request<pb::ConfirmClockRequest>,
    ) -> Result<Response<pb::ConfirmClockResponse>, Status> {
        let client = client_of(&request)?;
        let time = i64::try_from(request.into_inner().time_ms).unwrap_or(i64::MAX);
        let time =
            Timestamp::from_unix_ms(time).map_err(|error| refusal::invalid("time_ms", error))?;
        let confirmed = self.0.node.confirm_clock(&client, time).await;
        confirmed.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::ConfirmClockResponse {}))
    }
}

/// A doubt about the clock without its ground.
const IN_DOUBT: &str = "the wall clock is not believed";

/// The status without anything that names or counts a partner.
fn of_node_alone(status: pb::GetStatusResponse) -> pb::GetStatusResponse {
    // Destructured without `..`: whether a new field names a partner is decided here.
    let pb::GetStatusResponse {
        agency,
        version,
        journal_size,
        journal_root,
        records,
        index_engine,
        index_lag,
        segment_bytes,
        policy_version,
        partners: _,
        peak_memory_bytes,
        refused: _,
        started_at_ms,
        partner_address,
        client_address,
        guard,
        contradictions: _,
        witnesses: _,
        http_address,
        quorum: _,
        cosigned_by: _,
        index_failure,
        damages,
        clock,
    } = status;
    pb::GetStatusResponse {
        agency,
        version,
        journal_size,
        journal_root,
        records,
        index_engine,
        index_lag,
        segment_bytes,
        policy_version,
        peak_memory_bytes,
        started_at_ms,
        partner_address,
        client_address,
        guard: guard.map(|guard| pb::GuardView { state: guard.state, ..Default::default() }),
        http_address,
        index_failure,
        damages,
        // The words of a doubt may name the partner whose time differs.
        clock: clock.map(|clock| pb::ClockView {
            doubt: if clock.doubt.is_empty() { String::new() } else { IN_DOUBT.to_owned() },
            wall_ms: clock.wall_ms,
            decision_ms: clock.decision_ms,
            retention_waits: clock.retention_waits,
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_node_alone_names_no_partner() {
        let name = || "cert.example".to_owned();
        let status = pb::GetStatusResponse {
            agency: "npa.go.jp".to_owned(),
            journal_size: 7,
            partners: vec![pb::PartnerView { agency: name(), ..Default::default() }],
            guard: Some(pb::GuardView {
                state: pb::GuardState::Asking.into(),
                awaited: vec![name()],
                findings: vec![name()],
            }),
            contradictions: vec![pb::ContradictionView { partner: name(), ..Default::default() }],
            witnesses: vec![pb::WitnessView { partner: name(), ..Default::default() }],
            quorum: 1,
            cosigned_by: 1,
            ..Default::default()
        };
        let alone = of_node_alone(status);
        assert!(!format!("{alone:?}").contains("cert.example"));
        assert_eq!((alone.journal_size, alone.agency.as_str()), (7, "npa.go.jp"));
        assert_eq!(alone.guard.map(|guard| guard.state()), Some(pb::GuardState::Asking));
    }
}
