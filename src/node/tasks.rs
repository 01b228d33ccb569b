//! The tasks of a running node: one that discloses and one that dials for each partner, and the
//! renewal of the certificate. They end when the node stops.

use super::Node;
use super::error::NodeError;
use super::peers::flow::OUTBOUND_MAX;
use super::peers::link::retry_after;
use crate::ident::AgencyName;
use crate::pb::{self, exchange_service_client::ExchangeServiceClient};
use crate::tls::connect_partner;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// The interval between two looks at the certificate; it lives for weeks.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(3_600);

impl Node {
    /// Runs the tasks of all partners, present and future, until the node stops.
    pub async fn run(self: Arc<Self>) {
        let mut running: HashSet<AgencyName> = HashSet::new();
        let mut rules_changed = self.rules_changed.subscribe();
        let mut stopping = self.stopping();
        let mut tasks = tokio::task::JoinSet::new();
        let node = Arc::clone(&self);
        tasks.spawn(async move { node.renew_certificate().await });
        let node = Arc::clone(&self);
        tasks.spawn(async move { node.ask_added_witnesses().await });
        let node = Arc::clone(&self);
        tasks.spawn(async move { node.watch_clock().await });
        let node = Arc::clone(&self);
        tasks.spawn(async move {
            let mut stopping = node.stopping();
            tokio::select! {
                () = node.guard.give_up_waiting() => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        tasks.spawn(Arc::clone(&self).scrub_index());
        tasks.spawn(Arc::clone(&self).finish_erasures());
        tasks.spawn(Arc::clone(&self).check_segments());
        tasks.spawn(Arc::clone(&self).keep_to_retention());
        tasks.spawn(Arc::clone(&self).end_consents());
        loop {
            rules_changed.mark_unchanged();
            let snapshot = self.view().snapshot();
            self.forget_times(&snapshot.state);
            for agency in snapshot.state.partners.keys() {
                if running.insert(agency.clone()) {
                    tasks.spawn(Arc::clone(&self).disclose_to(agency.clone()));
                    tasks.spawn(Arc::clone(&self).dial(agency.clone()));
                }
            }
            tokio::select! {
                _ = rules_changed.changed() => {}
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        tasks.join_all().await;
    }

    async fn renew_certificate(&self) {
        let mut stopping = self.stopping();
        let mut ticks = tokio::time::interval(CERTIFICATE_CHECK);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            match self.certificate.refresh(&self.authority, self.time.certificate_time()) {
                Ok(true) => tracing::info!("the certificate was renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
            }
        }
    }

    /// Returns true if this side dials: the one whose partner can be reached; if both can, the
    /// lesser name.
    fn dials(&self, agency: &AgencyName) -> bool {
        let snapshot = self.view().snapshot();
        let Some(partner) = snapshot.state.partners.get(agency) else { return false };
        let reachable = !partner.card.card().addresses.is_empty();
        let own_reachable = !self.config.addresses.is_empty();
        partner.state == pb::PartnerState::Active
            && reachable
            && (!own_reachable || self.agency() < agency)
    }

    /// Keeps a stream to a partner up.
    async fn dial(self: Arc<Self>, agency: AgencyName) {
        let mut stopping = self.stopping();
        let mut rules_changed = self.rules_changed.subscribe();
        let mut failures = 0;
        loop {
            rules_changed.mark_unchanged();
            let wait = if !self.dials(&agency) {
                Duration::from_secs(3_600)
            } else if self.links.is_connected(&agency) {
                retry_after(0)
            } else {
                match self.dial_once(&agency).await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        tracing::debug!(partner = %agency, %error, "the partner was not reached");
                        self.links.failed(&agency, error.to_string());
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

    async fn dial_once(self: &Arc<Self>, agency: &AgencyName) -> Result<(), NodeError> {
        let snapshot = self.view().snapshot();
        let Some(partner) = snapshot.state.partners.get(agency) else { return Ok(()) };
        let channel = connect_partner(&self.certificate, &partner.card)
            .await
            .map_err(|error| NodeError::start("dialling", error))?;
        let (outbound, frames) = mpsc::channel(OUTBOUND_MAX);
        let requests =
            ReceiverStream::new(frames).map(|frame| pb::ExchangeRequest { frame: Some(frame) });
        let mut client = ExchangeServiceClient::new(channel)
            .max_decoding_message_size(super::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(super::MESSAGE_BYTES_MAX);
        let mut stopping = self.stopping();
        let responses = tokio::select! {
            responses = client.exchange(requests) => responses
                .map_err(|status| NodeError::Refused(status.message().to_owned()))?
                .into_inner(),
            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
        };
        let inbound = responses.map(|item| item.map(|response| response.frame.unwrap_or_default()));
        Arc::clone(self).drive(agency.clone(), inbound, outbound).await;
        Ok(())
    }
}
