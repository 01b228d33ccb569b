//! `PartnerService`: this agency's card, and the partners of this node.

use super::{Context, agency, person_of, refusal};
use crate::ident::AgencyName;
use crate::partner::VerifiedCard;
use crate::pb;
use crate::pb::partner_service_server::PartnerService;
use tonic::{Request, Response, Status};

pub(super) struct Partners(pub(super) Context);

fn armour(card: &VerifiedCard) -> Result<String, Status> {
    card.to_armour().map_err(|error| refusal::internal(&error))
}

fn unknown(name: &AgencyName) -> Status {
    Status::not_found(format!("there is no partner {name}; `liaison partner list` shows all"))
}

#[tonic::async_trait]
impl PartnerService for Partners {
    async fn get_own_card(
        &self,
        _: Request<pb::GetOwnCardRequest>,
    ) -> Result<Response<pb::GetOwnCardResponse>, Status> {
        let card = self.0.node.own_card().map_err(|error| refusal::of_node(&error))?;
        let number = card.number().to_string();
        Ok(Response::new(pb::GetOwnCardResponse { card: armour(&card)?, number }))
    }

    async fn list_partners(
        &self,
        _: Request<pb::ListPartnersRequest>,
    ) -> Result<Response<pb::ListPartnersResponse>, Status> {
        let partners = self.0.node.partners.views();
        Ok(Response::new(pb::ListPartnersResponse { partners }))
    }

    async fn get_partner(
        &self,
        request: Request<pb::GetPartnerRequest>,
    ) -> Result<Response<pb::GetPartnerResponse>, Status> {
        let name = agency("agency", &request.into_inner().agency)?;
        let snapshot = self.0.node.view().snapshot();
        let partner = snapshot.state.partners.get(&name).ok_or_else(|| unknown(&name))?;
        let view = self.0.node.partners.views().into_iter().find(|v| v.agency == name.as_str());
        Ok(Response::new(pb::GetPartnerResponse {
            partner: Some(view.ok_or_else(|| unknown(&name))?),
            card: armour(&partner.card)?,
            number: partner.card.number().to_string(),
        }))
    }

    async fn add_partner(
        &self,
        request: Request<pb::AddPartnerRequest>,
    ) -> Result<Response<pb::AddPartnerResponse>, Status> {
        let client = person_of(&request)?;
        let pb::AddPartnerRequest { card, number, facts } = request.into_inner();
        let added = self.0.node.partners.add(client, &card, &number, facts).await;
        let (partner, act) = added.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::AddPartnerResponse { partner, act }))
    }

    async fn set_partner_state(
        &self,
        request: Request<pb::SetPartnerStateRequest>,
    ) -> Result<Response<pb::SetPartnerStateResponse>, Status> {
        use pb::PartnerState::{Active, Revoked, Suspended};
        let client = person_of(&request)?;
        let request = request.into_inner();
        let name = agency("agency", &request.agency)?;
        let state = match pb::PartnerState::try_from(request.state) {
            Ok(state @ (Active | Suspended | Revoked)) => state,
            _ => return Err(refusal::invalid("state", "give ACTIVE, SUSPENDED or REVOKED")),
        };
        let act = match state {
            Active => {
                let proposed = self.0.node.partners.propose_resumption(client, &name).await;
                Some(proposed.map_err(|error| refusal::of_node(&error))?.0)
            }
            _ => {
                let changed = self.0.node.partners.set_state(&client.name, &name, state).await;
                changed.map_err(|error| refusal::of_node(&error))?;
                None
            }
        };
        let partner = self.0.node.partners.view(&name).map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::SetPartnerStateResponse { partner: Some(partner), act }))
    }

    async fn update_partner_facts(
        &self,
        request: Request<pb::UpdatePartnerFactsRequest>,
    ) -> Result<Response<pb::UpdatePartnerFactsResponse>, Status> {
        let client = person_of(&request)?;
        let pb::UpdatePartnerFactsRequest { agency: name, facts, before } = request.into_inner();
        let name = agency("agency", &name)?;
        let facts = facts.ok_or_else(|| {
            refusal::invalid("facts", "they are missing; give all of them, they replace the old")
        })?;
        let changed = self.0.node.partners.update_facts(client, &name, facts, before).await;
        let (partner, act) = changed.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::UpdatePartnerFactsResponse { partner: Some(partner), act }))
    }
}
