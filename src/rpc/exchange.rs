//! `ExchangeService`: the stream between two nodes, for partners only.

use super::{Answers, Context, refusal};
use crate::node::NodeError;
use crate::pb;
use crate::pb::exchange_service_server::ExchangeService;
use crate::tls::{Caller, CallerInfo};
use tonic::{Code, Request, Response, Status, Streaming};

pub(super) struct Exchange(pub(super) Context);

#[tonic::async_trait]
impl ExchangeService for Exchange {
    type ExchangeStream = Answers<pb::ExchangeResponse>;

    async fn exchange(
        &self,
        request: Request<Streaming<pb::ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let partner = match request.extensions().get::<CallerInfo>().map(|info| &info.caller) {
            Some(Caller::Partner(partner)) => partner.clone(),
            Some(Caller::Client { .. }) | None => return Err(refusal::forbidden()),
        };
        match self.0.node.peers.exchange(partner.clone(), request.into_inner()).await {
            Ok(answers) => Ok(Response::new(answers)),
            Err(error) => {
                self.0.node.refused("exchange");
                tracing::info!(%partner, %error, "refused an exchange");
                Err(answer(&error))
            }
        }
    }
}

/// A partner that is unknown, suspended or revoked learns no more than that it may not.
fn answer(error: &NodeError) -> Status {
    match error.code() {
        Code::NotFound | Code::PermissionDenied | Code::FailedPrecondition => refusal::forbidden(),
        _ => refusal::of_node(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::AgencyName;
    use crate::node::{PartnerError, PeerError};

    fn agency() -> AgencyName {
        "b.example".parse().unwrap()
    }

    #[test]
    fn unknown_and_suspended_partners_get_the_same_answer() {
        let refused = answer(&PeerError::Inactive { agency: agency() }.into());
        let unknown = answer(&PartnerError::Unknown { agency: agency() }.into());
        assert_eq!(refused.code(), unknown.code());
        assert_eq!(refused.message(), unknown.message());
    }
}
