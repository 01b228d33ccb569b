//! `PolicyService`: the sharing policy in force, comparing and applying another, and explaining.

use super::acts::reason;
use super::{Answers, Context, agency, explain, person_of, record_id, refusal, visibility_of};
use crate::ident::{BundleHash, Timestamp};
use crate::node::{Client, Progress, Proposed};
use crate::pb;
use crate::pb::policy_service_server::PolicyService;
use crate::policy::FILES_MAX;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

/// The interval between progress messages of a comparison.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

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
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let pb::GetPolicyRequest { version, bundle_hash } = request.into_inner();
        let wanted = match (version, &bundle_hash[..]) {
            (_, []) => None,
            (0, hash) => Some(
                BundleHash::try_from(hash)
                    .map_err(|error| refusal::invalid("bundle_hash", error))?,
            ),
            _ => return Err(refusal::invalid("bundle_hash", "a version is named already")),
        };
        let node = Arc::clone(&self.0.node);
        let found = self.0.read(move |_| Ok(node.policies.files(version, wanted))).await?;
        let (version, bundle, files) = found.map_err(|error| refusal::of_node(&error))?;
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
        let checked = self.0.read(move |_| Ok(node.policies.check(&files))).await?;
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

    type ComparePolicyStream = Answers<pb::ComparePolicyResponse>;

    async fn compare_policy(
        &self,
        request: Request<pb::ComparePolicyRequest>,
    ) -> Result<Response<Self::ComparePolicyStream>, Status> {
        let client = person_of(&request)?;
        let pb::ComparePolicyRequest { files, version } = request.into_inner();
        let proposed = proposed(files, version)?;
        Ok(Response::new(Box::pin(comparison(self.0.clone(), client, proposed))))
    }

    async fn get_policy_difference(
        &self,
        request: Request<pb::GetPolicyDifferenceRequest>,
    ) -> Result<Response<pb::GetPolicyDifferenceResponse>, Status> {
        let pb::GetPolicyDifferenceRequest { comparison } = request.into_inner();
        let node = Arc::clone(&self.0.node);
        let found = self.0.read(move |_| Ok(node.policies.difference(comparison))).await?;
        let difference = Some(found.map_err(|error| refusal::of_node(&error))?);
        Ok(Response::new(pb::GetPolicyDifferenceResponse { difference }))
    }

    async fn apply_policy(
        &self,
        request: Request<pb::ApplyPolicyRequest>,
    ) -> Result<Response<pb::ApplyPolicyResponse>, Status> {
        let client = person_of(&request)?;
        let pb::ApplyPolicyRequest { files, version, note } = request.into_inner();
        let proposed = proposed(files, version)?;
        let note = reason(note, false)?;
        let applied = self.0.node.policies.apply(client, proposed, note).await;
        let applied = applied.map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(pb::ApplyPolicyResponse {
            version: applied.version.unwrap_or_default(),
            bundle_hash: hash(&applied.hash),
            act: applied.act,
            change: applied.change.to_wire().into(),
        }))
    }

    async fn list_policies(
        &self,
        request: Request<pb::ListPoliciesRequest>,
    ) -> Result<Response<pb::ListPoliciesResponse>, Status> {
        let pb::ListPoliciesRequest { before } = request.into_inner();
        let node = Arc::clone(&self.0.node);
        let found = self.0.read(move |_| Ok(node.policies.log(before))).await?;
        found.map(Response::new).map_err(|error| refusal::of_node(&error))
    }

    async fn explain_decision(
        &self,
        request: Request<pb::ExplainDecisionRequest>,
    ) -> Result<Response<pb::ExplainDecisionResponse>, Status> {
        let visibility = visibility_of(&request)?;
        let pb::ExplainDecisionRequest { record_id: id, partner, at_ms } = request.into_inner();
        let id = record_id(&id)?;
        let partner = agency("partner", &partner)?;
        let at = time("at_ms", at_ms)?;
        let node = Arc::clone(&self.0.node);
        let explained = self
            .0
            .read(move |_| Ok(node.explanations.explain(id, &partner, at, &visibility)))
            .await?;
        explained.map(Response::new).map_err(|error| refusal::of_node(&error))
    }

    async fn explain_recipients(
        &self,
        request: Request<pb::ExplainRecipientsRequest>,
    ) -> Result<Response<pb::ExplainRecipientsResponse>, Status> {
        let id = record_id(&request.into_inner().record_id)?;
        let node = Arc::clone(&self.0.node);
        let explained = self.0.read(move |_| Ok(node.explanations.recipients(id))).await?;
        explained.map(Response::new).map_err(|error| refusal::of_node(&error))
    }

    async fn explain_partner(
        &self,
        request: Request<pb::ExplainPartnerRequest>,
    ) -> Result<Response<Self::ExplainPartnerStream>, Status> {
        let partner = agency("partner", &request.into_inner().partner)?;
        let survey =
            self.0.node.explanations.survey(&partner).map_err(|error| refusal::of_node(&error))?;
        Ok(Response::new(Box::pin(explain::survey(self.0.clone(), survey))))
    }
}

/// The bundle that is meant: files, or an earlier version.
fn proposed(files: Vec<pb::PolicyFile>, version: u64) -> Result<Proposed, Status> {
    match version {
        0 => check_files(&files).map(|()| Proposed::Files(files)),
        _ if files.is_empty() => Ok(Proposed::Version(version)),
        _ => Err(refusal::invalid("files", "an earlier version is named already")),
    }
}

/// Progress until the result; it stops when nobody takes it any more.
fn comparison(
    context: Context,
    client: Client,
    proposed: Proposed,
) -> impl Stream<Item = Result<pb::ComparePolicyResponse, Status>> + Send {
    let progress = Arc::new(Progress::default());
    let mut stopping = context.stopping.clone();
    async_stream::try_stream! {
        let compared = context.node.policies.compare(client, proposed, Arc::clone(&progress));
        tokio::pin!(compared);
        let mut every = tokio::time::interval(PROGRESS_EVERY);
        loop {
            let done = tokio::select! {
                biased;
                done = &mut compared => Some(done.map_err(|error| refusal::of_node(&error))),
                _ = stopping.wait_for(|stopping| *stopping) => {
                    Some(Err(Status::unavailable("the node is stopping; try again later")))
                }
                _ = every.tick() => None,
            };
            if let Some(done) = done {
                let (comparison, difference) = done?;
                let entries = difference.journal_size;
                yield pb::ComparePolicyResponse {
                    considered: entries,
                    entries,
                    difference: Some(difference),
                    comparison,
                };
                break;
            }
            let (considered, entries) = progress.reached();
            yield pb::ComparePolicyResponse { considered, entries, ..Default::default() };
        }
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
    fn a_bundle_is_named_by_its_files_or_by_a_version_and_not_by_both() {
        let files = || vec![pb::PolicyFile::default()];
        assert!(matches!(proposed(files(), 0), Ok(Proposed::Files(_))));
        assert!(matches!(proposed(Vec::new(), 3), Ok(Proposed::Version(3))));
        assert!(proposed(files(), 3).is_err());
        assert!(proposed(Vec::new(), 0).is_err());
    }

    #[test]
    fn no_time_means_now_and_an_impossible_time_is_refused() {
        assert_eq!(time("at_ms", 0).unwrap(), None);
        assert!(time("at_ms", 1).is_err());
        assert!(time("at_ms", u64::MAX).is_err());
    }
}
