//! `PolicyService`: the sharing policy in force, checking and applying another, and explaining.

use super::{Answers, Context, agency, client_of, explain, record_id, refusal};
use crate::ident::{BundleHash, Timestamp};
use crate::pb;
use crate::pb::policy_service_server::PolicyService;
use crate::policy::FILES_MAX;
use bytes::Bytes;
use std::sync::Arc;
use tonic::{Request, Response, Status};

pub(super) struct Policies(pub(super) Context);

fn hash(hash: &BundleHash) -> Bytes {
    Bytes::copy_from_slice(hash.as_bytes())
}

fn check_files(files: &[pb::PolicyFile]) -> Result<(), Status> {
    if (1..=FILES_MAX).contains(&files.len()) {
        return Ok(());
    }
    let reason = format!("a bundle has 1 to {FILES_MAX} files, found {}", files.len());
    Err(refusal::invalid("files", reason))
}

#[tonic::async_trait]
impl PolicyService for Policies {
    type ExplainPartnerStream = Answers<pb::ExplainPartnerResponse>;

    async fn get_policy(
        &self,
        _: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let (version, bundle, files) = self.0.node.policy_files();
        let bundle_hash = bundle.as_ref().map(hash).unwrap_or_default();
        Ok(Response::new(pb::GetPolicyResponse { version, bundle_hash, files }))
    }

    async fn check_policy(
        &self,
        request: Request<pb::CheckPolicyRequest>,
    ) -> Result<Response<pb::CheckPolicyResponse>, Status> {
        let pb::CheckPolicyRequest { files } = request.into_inner();
        check_files(&files)?;
        let node = Arc::clone(&self.0.node);
        let checked = self.0.read(move |_| Ok(node.check_policy(&files))).await?;
        Ok(Response::new(match checked {
            Ok(bundle) => {
                pb::CheckPolicyResponse { findings: Vec::new(), bundle_hash: hash(&bundle) }
            }
            Err(findings) => pb::CheckPolicyResponse {
                findings: findings.into_iter().map(pb::PolicyFinding::from).collect(),
                bundle_hash: Bytes::new(),
            },
        }))
    }

    async fn apply_policy(
        &self,
        request: Request<pb::ApplyPolicyRequest>,
    ) -> Result<Response<pb::ApplyPolicyResponse>, Status> {
        let client = client_of(&request)?;
        let pb::ApplyPolicyRequest { files } = request.into_inner();
        check_files(&files)?;
        let applied = self.0.node.apply_policy(&client, files).await;
        let (version, bundle) = applied.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::ApplyPolicyResponse { version, bundle_hash: hash(&bundle) }))
    }

    async fn explain_decision(
        &self,
        request: Request<pb::ExplainDecisionRequest>,
    ) -> Result<Response<pb::ExplainDecisionResponse>, Status> {
        let pb::ExplainDecisionRequest { record_id: id, partner, at_ms } = request.into_inner();
        let id = record_id(&id)?;
        let partner = agency("partner", &partner)?;
        let at = time("at_ms", at_ms)?;
        let node = Arc::clone(&self.0.node);
        let explained = self.0.read(move |_| Ok(node.explain(id, &partner, at))).await?;
        explained.map(Response::new).map_err(|error| refusal::of_node(&error))
    }

    async fn explain_recipients(
        &self,
        request: Request<pb::ExplainRecipientsRequest>,
    ) -> Result<Response<pb::ExplainRecipientsResponse>, Status> {
        let id = record_id(&request.into_inner().record_id)?;
        let node = Arc::clone(&self.0.node);
        let explained = self.0.read(move |_| Ok(node.recipients(id))).await?;
        explained.map(Response::new).map_err(|error| refusal::of_node(&error))
    }

    async fn explain_partner(
        &self,
        request: Request<pb::ExplainPartnerRequest>,
    ) -> Result<Response<Self::ExplainPartnerStream>, Status> {
        let partner = agency("partner", &request.into_inner().partner)?;
        let survey = self.0.node.survey(&partner).map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(Box::pin(explain::survey(self.0.clone(), survey))))
    }
}

/// A time of a request; 0 is none.
fn time(field: &str, ms: u64) -> Result<Option<Timestamp>, Status> {
    if ms == 0 {
        return Ok(None);
    }
    let at = Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    at.map(Some).map_err(|error| refusal::invalid(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_one_file_at_least_and_a_bounded_number() {
        let files = |n| vec![pb::PolicyFile::default(); n];
        assert!(check_files(&files(0)).is_err());
        assert!(check_files(&files(FILES_MAX)).is_ok());
        assert!(check_files(&files(FILES_MAX + 1)).is_err());
    }

    #[test]
    fn no_time_means_now_and_an_impossible_time_is_refused() {
        assert_eq!(time("at_ms", 0).unwrap(), None);
        assert!(time("at_ms", 1).is_err());
        assert!(time("at_ms", u64::MAX).is_err());
    }
}
