//! The dialling of partners: keeps a stream up to each that this side dials.

use super::Peers;
use super::error::PeerError;
use super::flow::OUTBOUND_MAX;
use crate::ident::AgencyName;
use crate::node::error::NodeError;
use crate::pb::{self, exchange_service_client::ExchangeServiceClient};
use crate::tls::{NodeCertificate, connect_partner};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of one gRPC message at the most: a batch of the exchange with room for its frame.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Dials partners, and hands the streams to their drivers.
pub(in crate::node) struct Dialer {
    pub(in crate::node) peers: Arc<Peers>,
    pub(in crate::node) certificate: Arc<NodeCertificate>,
    /// Partners can dial this node too.
    pub(in crate::node) is_reachable: bool,
}

impl Dialer {
    /// Returns true if this side dials: the one whose partner can be reached; if both can, the
    /// lesser name.
    fn dials(&self, agency: &AgencyName) -> bool {
        let snapshot = self.peers.core.view().snapshot();
        let Some(partner) = snapshot.state.partners.get(agency) else { return false };
        let reachable = !partner.card.card().addresses.is_empty();
        partner.state == pb::PartnerState::Active
            && reachable
            && (!self.is_reachable || self.peers.core.agency() < agency)
    }

    /// Keeps a stream to a partner up until the node stops.
    pub(in crate::node) async fn dial(self: Arc<Self>, agency: AgencyName) {
        let mut stopping = self.peers.core.stopping();
        let mut rules_changed = self.peers.rules.changes();
        let mut failures = 0;
        loop {
            rules_changed.mark_unchanged();
            let wait = if !self.dials(&agency) {
                Duration::from_secs(3_600)
            } else if self.peers.health.is_connected(&agency) {
                retry_after(0)
            } else {
                match self.dial_once(&agency).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        tracing::debug!(partner = %agency, %error, "the partner was not reached");
                        self.peers.health.failed(&agency, error.to_string());
                        failures += 1;
                    }
                }
                retry_after(failures)
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = rules_changed.changed() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn dial_once(&self, agency: &AgencyName) -> Result<(), NodeError> {
        let snapshot = self.peers.core.view().snapshot();
        let Some(partner) = snapshot.state.partners.get(agency) else { return Ok(()) };
        let channel = connect_partner(&self.certificate, &partner.card)
            .await
            .map_err(|error| NodeError::start("dialling", error))?;
        let (outbound, frames) = mpsc::channel(OUTBOUND_MAX);
        let requests =
            ReceiverStream::new(frames).map(|frame| pb::ExchangeRequest { frame: Some(frame) });
        let mut client = ExchangeServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let mut stopping = self.peers.core.stopping();
        let responses = tokio::select! {
            responses = client.exchange(requests) => responses
                .map_err(|status| PeerError::Refused(status.message().to_owned()))?
                .into_inner(),
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        let inbound = responses.map(|item| item.map(|response| response.frame.unwrap_or_default()));
        Arc::clone(&self.peers).drive(agency.clone(), inbound, outbound).await;
        Ok(())
    }
}

/// The time between two tries to reach a partner.
fn retry_after(failures: u32) -> Duration {
    Duration::from_millis(200 * 2u64.pow(failures.min(5)))
}
