//! The renewal of the node's certificate, which lives for weeks.

use super::core::Core;
use crate::tls::{Authority, NodeCertificate};
use std::sync::Arc;
use std::time::Duration;

/// The interval between two looks at the certificate.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(3_600);

/// Renews the certificate whenever it is due, until the node stops.
pub(super) async fn renew_certificate(
    core: Arc<Core>,
    certificate: Arc<NodeCertificate>,
    authority: Arc<Authority>,
) {
    let mut stopping = core.stopping();
    let mut ticks = tokio::time::interval(CERTIFICATE_CHECK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        match certificate.refresh(&authority, core.time.certificate_time()) {
            Ok(true) => tracing::info!("the certificate was renewed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the certificate could not be renewed"),
        }
    }
}
