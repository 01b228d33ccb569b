//! `NodeService`: how the node is.

use super::Context;
use crate::pb;
use crate::pb::node_service_server::NodeService;
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct NodeStatus(pub(super) Context);

#[tonic::async_trait]
impl NodeService for NodeStatus {
    async fn get_status(
        &self,
        _: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let node = Arc::clone(&self.0.node);
        self.0.read(move |_| Ok(node.status())).await.map(Response::new)
    }
}
