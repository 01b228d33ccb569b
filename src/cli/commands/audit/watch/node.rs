//! The log of a running node, asked over gRPC.

use super::files::bad;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::ident::{TreeHash, TreeSize};
use crate::merkle::{TreeHead, leaf_hash, verify_consistency};
use crate::pb::{self, log_service_client::LogServiceClient};
use bytes::Bytes;
use tonic::transport::Channel;

/// Entries asked for at once; a node gives no more.
const ENTRIES_MAX: u32 = 1_000;

/// The node of the client profile, connected to when it is first asked.
#[derive(Default)]
pub(super) struct Node(Option<LogServiceClient<Channel>>);

impl Node {
    async fn client(
        &mut self,
        context: &Context,
    ) -> Result<&mut LogServiceClient<Channel>, CliError> {
        let client = match self.0.take() {
            Some(client) => client,
            None => LogServiceClient::new(context.channel(&[Role::Auditor]).await?),
        };
        Ok(self.0.insert(client))
    }

    pub(super) async fn checkpoint(&mut self, context: &Context) -> Result<Bytes, CliError> {
        let request = context.request(pb::GetCheckpointRequest::default());
        let answer = self.client(context).await?.get_checkpoint(request).await;
        Ok(answer.map_err(CliError::node("read the checkpoint"))?.into_inner().note)
    }

    /// Has the node prove that the log continues what was seen.
    pub(super) async fn check_consistency(
        &mut self,
        before: &TreeHead,
        head: &TreeHead,
        context: &Context,
    ) -> Result<(), CliError> {
        let request = context.request(pb::GetConsistencyProofRequest {
            feed: String::new(),
            old_size: before.size.get(),
            new_size: head.size.get(),
        });
        let answer = self.client(context).await?.get_consistency_proof(request).await;
        let answer = answer.map_err(CliError::node("prove consistency"))?.into_inner();
        let proof: Result<Vec<TreeHash>, _> =
            answer.path.iter().map(|hash| TreeHash::try_from(&hash[..])).collect();
        let proof = proof.map_err(|error| bad(format!("the consistency proof: {error}")))?;
        verify_consistency(before, head, &proof)
            .map_err(|error| bad(format!("the log does not continue what was seen: {error}")))
    }

    /// The hashes of some entries from `start` on, computed here.
    pub(super) async fn leaves(
        &mut self,
        start: TreeSize,
        context: &Context,
    ) -> Result<Vec<TreeHash>, CliError> {
        let request = context.request(pb::ListEntriesRequest {
            feed: String::new(),
            start: start.get(),
            limit: ENTRIES_MAX,
        });
        let answer = self.client(context).await?.list_entries(request).await;
        let entries = answer.map_err(CliError::node("read entries"))?.into_inner().entries;
        if entries.is_empty() {
            return Err(bad(format!("entry {start} is not given")));
        }
        Ok(entries.iter().map(|entry| leaf_hash(entry)).collect())
    }
}
