//! The connection to the policies of a node.

use super::super::connection::Role;
use super::super::error::CliError;
use crate::cli::context::Context;
use crate::pb::policy_service_client::PolicyServiceClient;

pub(in crate::cli) type Client = PolicyServiceClient<tonic::transport::Channel>;

pub(in crate::cli) async fn client(
    context: &Context,
    natural: &[Role],
) -> Result<Client, CliError> {
    context.channel(natural).await.map(PolicyServiceClient::new)
}
