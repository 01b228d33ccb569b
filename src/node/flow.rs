//! The part of an exchange stream's driver that keeps it within bounds: frames that wait for a
//! partner that does not read, and what a partner may send in a day.

use super::link::Driver;
use super::quota::{Charge, DayLimits, RECORD_BYTES};
use crate::exchange::WINDOW;
use crate::pb::{self, exchange_frame::Body};
use prost::Message as _;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Frames on their way to the transport, which takes one when the partner's window has room for it.
pub(super) const OUTBOUND_MAX: usize = 1;
/// Frames that wait for that; with so many, nothing more is read. Two nodes that keep to the protocol
/// never come to it, so they cannot wait for each other: at most a window of batches, a window of
/// receipts, one checkpoint, one answer to one and the end wait.
pub(super) const UNSENT_MAX: usize = 2 * WINDOW + 4;
/// How long frames may take to leave once a stream ends in good order.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

impl Driver<'_> {
    /// Puts a frame behind those that wait. A receipt that waits answers a repeated batch too.
    pub(super) fn send(&mut self, frame: pb::ExchangeFrame) {
        if !is_receipt(&frame) || !self.unsent.contains(&frame) {
            self.unsent.push_back(frame);
        }
    }

    pub(super) fn may_read(&self) -> bool {
        self.unsent.len() < UNSENT_MAX && self.paused.is_none()
    }

    /// Counts a frame for the partner; when it has used up its day, this frame is the last that is
    /// read until its bucket holds something again.
    pub(super) fn charge(&mut self, frame: &pb::ExchangeFrame) {
        let charge = match &frame.body {
            Some(Body::Hello(_)) => Charge::default(),
            Some(Body::FeedBatch(batch)) => Charge {
                records: batch.entries.len() as u64,
                bytes: (frame.encoded_len() + RECORD_BYTES) as u64,
            },
            _ => Charge { records: 0, bytes: (frame.encoded_len() + RECORD_BYTES) as u64 },
        };
        let quota = &self.node.partner_quota;
        let Err(wait) = quota.spend(self.agency.as_str(), charge, Instant::now()) else {
            return;
        };
        self.paused = Some(tokio::time::Instant::now() + wait);
        self.node.refused("journal quota of a partner");
        let DayLimits { records, bytes } = quota.limits();
        let text = format!(
            "it sent as much as a partner may in a day: {records} entries, or {} MiB; its feed is read \
             on in {} s, or when partner_records_per_day or partner_mib_per_day is raised in \
             liaison.toml",
            bytes >> 20,
            wait.as_secs()
        );
        tracing::warn!(partner = %self.agency, "{text}");
        self.node.links.failed(self.agency, text);
    }

    /// Sends what is left of a stream that ends in good order.
    pub(super) async fn flush(&mut self, outbound: &mpsc::Sender<pb::ExchangeFrame>) {
        let sending = async {
            while let Some(frame) = self.unsent.pop_front() {
                if outbound.send(frame).await.is_err() {
                    break;
                }
            }
        };
        // The partner sees what is missing at the next hello.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, sending).await;
    }
}

/// Waits for a time; for ever if there is none.
pub(super) async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

const fn is_receipt(frame: &pb::ExchangeFrame) -> bool {
    matches!(frame.body, Some(Body::Receipt(_)))
}
