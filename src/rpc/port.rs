//! The two ports: which services stand behind which door, and within which limits.

use super::access::{Door, RollbackGuard};
use super::acts::Acts;
use super::cases::Cases;
use super::consents::Consents;
use super::exchange::Exchange;
use super::logs::Logs;
use super::node::NodeStatus;
use super::partners::Partners;
use super::policies::Policies;
use super::reads::Reads;
use super::records::Records;
use super::releases::Releases;
use super::witnesses::Witnesses;
use super::{Context, DRAIN_TIMEOUT, MESSAGE_BYTES_MAX, STREAMS_PER_CONNECTION_MAX};
use crate::node::Node;
use crate::pb;
use crate::pb::act_service_server::ActServiceServer;
use crate::pb::case_service_server::CaseServiceServer;
use crate::pb::consent_service_server::ConsentServiceServer;
use crate::pb::exchange_service_server::ExchangeServiceServer;
use crate::pb::log_service_server::LogServiceServer;
use crate::pb::node_service_server::NodeServiceServer;
use crate::pb::partner_service_server::PartnerServiceServer;
use crate::pb::policy_service_server::PolicyServiceServer;
use crate::pb::record_service_server::RecordServiceServer;
use crate::pb::release_service_server::ReleaseServiceServer;
use crate::pb::witness_service_server::WitnessServiceServer;
use crate::policy::{Access, Report};
use crate::tls::{
    Acceptor, CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, STREAM_WINDOW_BYTES,
};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;

/// The reason why a port is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the built-in access policy does not compile: {0}")]
    Access(String),
    #[error("the descriptions of the services cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("the port failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves the agency's own clients until `shutdown`, then lets calls end for at most
/// [`DRAIN_TIMEOUT`].
pub async fn serve_client_port(
    node: Arc<Node>,
    acceptor: Acceptor,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let access = access()?;
    let (stop, stopping) = watch::channel(false);
    let routes = client_routes(context(&node, &stopping)).await?;
    let guard = RollbackGuard { door: Door::Clients(access), node };
    serve(acceptor, routes, guard, (stop, stopping), shutdown).await
}

/// Serves partners' nodes until `shutdown`: the exchange and nothing else.
pub async fn serve_partner_port(
    node: Arc<Node>,
    acceptor: Acceptor,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (stop, stopping) = watch::channel(false);
    let exchange = Exchange(context(&node, &stopping));
    let exchange =
        ExchangeServiceServer::new(exchange).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let guard = RollbackGuard { door: Door::Partners, node };
    serve(acceptor, Routes::new(exchange), guard, (stop, stopping), shutdown).await
}

fn access() -> Result<Arc<Access>, ServeError> {
    let compiled = Access::compile();
    compiled.map(Arc::new).map_err(|found| ServeError::Access(Report(&found).to_string()))
}

fn context(node: &Arc<Node>, stopping: &watch::Receiver<bool>) -> Context {
    Context { node: Arc::clone(node), reads: Reads::new(), stopping: stopping.clone() }
}

/// Every service for clients, with health and reflection.
async fn client_routes(context: Context) -> Result<Routes, ServeError> {
    let records = RecordServiceServer::new(Records(context.clone()));
    let cases = CaseServiceServer::new(Cases(context.clone()));
    let acts = ActServiceServer::new(Acts(context.clone()));
    let logs = LogServiceServer::new(Logs(context.clone()));
    let partners = PartnerServiceServer::new(Partners(context.clone()));
    let policies = PolicyServiceServer::new(Policies(context.clone()));
    let witnesses = WitnessServiceServer::new(Witnesses(context.clone()));
    let releases = ReleaseServiceServer::new(Releases(context.clone()));
    let consents = ConsentServiceServer::new(Consents(context.clone()));
    let node = NodeServiceServer::new(NodeStatus(context));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<RecordServiceServer<Records>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(Routes::new(records.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(acts.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(cases.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(logs.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(partners.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(policies.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(witnesses.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(releases.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(consents.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(node.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(health_service)
        .add_service(reflection))
}

async fn serve(
    acceptor: Acceptor,
    routes: Routes,
    guard: RollbackGuard,
    (stop, mut stopping): (watch::Sender<bool>, watch::Receiver<bool>),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let told_to_stop = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let serving = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(guard)
        .add_routes(routes)
        .serve_with_incoming_shutdown(acceptor.incoming(), told_to_stop);
    let drained = async {
        // An error says that the sender is gone, which it is only after it told to stop.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = drained => {
            tracing::warn!("calls that did not end in time were cut off");
            Ok(())
        }
    }
}
