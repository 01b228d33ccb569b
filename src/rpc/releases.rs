//! `ReleaseService`: disclosures that wait for a person, and proposals to let them go or not.

use super::{Context, acts, agency, person_of, refusal};
use crate::node::releases::held;
use crate::pb;
use crate::pb::release_service_server::ReleaseService;
use tonic::{Request, Response, Status};

pub(super) struct Releases(pub(super) Context);

#[tonic::async_trait]
impl ReleaseService for Releases {
    async fn list_held(
        &self,
        request: Request<pb::ListHeldRequest>,
    ) -> Result<Response<pb::ListHeldResponse>, Status> {
        let name = request.into_inner().agency;
        let only = if name.is_empty() { None } else { Some(agency("agency", &name)?) };
        let bundles = self.0.read(move |view| held(view, only.as_ref())).await?;
        Ok(Response::new(pb::ListHeldResponse { bundles }))
    }

    async fn propose_release(
        &self,
        request: Request<pb::ProposeReleaseRequest>,
    ) -> Result<Response<pb::ProposeReleaseResponse>, Status> {
        let client = person_of(&request)?;
        let request = request.into_inner();
        agency("agency", &request.agency)?;
        acts::reason(request.reason.clone(), true)?;
        if request.reason.chars().any(char::is_control) {
            return Err(refusal::invalid("reason", "it holds control characters"));
        }
        let proposed = self.0.node.disclosures.propose_release(client, request).await;
        let (act, _) = proposed.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::ProposeReleaseResponse { act: Some(act) }))
    }
}
