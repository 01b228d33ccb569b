//! `ConsentService`: what originators are asked, and what this agency answers as one.

use super::{Context, person_of, refusal};
use crate::pb;
use crate::pb::consent_service_server::ConsentService;
use tonic::{Request, Response, Status};

pub(super) struct Consents(pub(super) Context);

#[tonic::async_trait]
impl ConsentService for Consents {
    async fn ask_consent(
        &self,
        request: Request<pb::AskConsentRequest>,
    ) -> Result<Response<pb::AskConsentResponse>, Status> {
        let client = person_of(&request)?;
        let asked = self.0.node.consents.ask(client, request.into_inner()).await;
        let (consent, _) = asked.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::AskConsentResponse { consent: Some(consent) }))
    }

    async fn list_consents(
        &self,
        request: Request<pb::ListConsentsRequest>,
    ) -> Result<Response<pb::ListConsentsResponse>, Status> {
        let open = request.into_inner().open;
        let (consents, more) = {
            let node = std::sync::Arc::clone(&self.0.node);
            let listed = self.0.read(move |_| Ok(node.consents.list(open))).await?;
            listed.map_err(|error| refusal::of_node(&error))?
        };
        Ok(Response::new(pb::ListConsentsResponse { consents, more }))
    }

    async fn propose_consent(
        &self,
        request: Request<pb::ProposeConsentRequest>,
    ) -> Result<Response<pb::ProposeConsentResponse>, Status> {
        let client = person_of(&request)?;
        let proposed = self.0.node.consents.propose(client, request.into_inner()).await;
        let (act, _) = proposed.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::ProposeConsentResponse { act: Some(act) }))
    }

    async fn refuse_consent(
        &self,
        request: Request<pb::RefuseConsentRequest>,
    ) -> Result<Response<pb::RefuseConsentResponse>, Status> {
        let client = person_of(&request)?;
        let pb::RefuseConsentRequest { entry, reason } = request.into_inner();
        let refused = self.0.node.consents.refuse(client, entry, reason).await;
        let (entry, _) = refused.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::RefuseConsentResponse { entry }))
    }

    async fn revoke_consent(
        &self,
        request: Request<pb::RevokeConsentRequest>,
    ) -> Result<Response<pb::RevokeConsentResponse>, Status> {
        let client = person_of(&request)?;
        let pb::RevokeConsentRequest { entry, reason } = request.into_inner();
        let revoked = self.0.node.consents.revoke(client, entry, reason).await;
        let (entry, _) = revoked.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::RevokeConsentResponse { entry }))
    }
}
