//! The connection to the policies of a node.

use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::pb::policy_service_client::PolicyServiceClient;

pub(super) type Client = PolicyServiceClient<tonic::transport::Channel>;

pub(super) async fn client(context: &Context, natural: &[Role]) -> Result<Client, CliError> {
    context.channel(natural).await.map(PolicyServiceClient::new)
}
