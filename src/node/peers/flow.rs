//! The part of an exchange stream's driver that keeps it within bounds: frames that wait for a
//! partner that does not read, and what a partner may send in a day.

use super::driver::Driver;
use crate::exchange::WINDOW;
use crate::node::quota::{Charge, DayLimits, RECORD_BYTES};
use crate::pb::{self, exchange_frame::Body};
use prost::Message as _;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Frames on their way to the transport, which takes one when the partner's window has room for it.
pub(in crate::node) const OUTBOUND_MAX: usize = 1;
/// Frames that wait for that; with so many, nothing more is read. Two nodes that keep to the protocol
/// never come to it, so they cannot wait for each other: at most a window of batches, a window of
/// receipts, one checkpoint, one answer to one and the end wait.
pub(super) const UNSENT_MAX: usize = 2 * WINDOW + 4;
/// The longest time for frames to leave once a stream ends in good order.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the load that a frame may put on the journal. Entries count before they are examined: the journal keeps the
/// refusal of one as well as the record of another.
fn charge_of(frame: &pb::ExchangeFrame) -> Charge {
    let records = match &frame.body {
        Some(Body::Hello(_)) => return Charge::default(),
        Some(Body::FeedBatch(batch)) => batch.entries.len() as u64,
        _ => 0,
    };
    Charge { records, bytes: (frame.encoded_len() + RECORD_BYTES) as u64 }
}

impl Driver<'_> {
    /// Puts a frame behind those that wait. A receipt that waits answers a repeated batch too.
    pub(in crate::node) fn send(&mut self, frame: pb::ExchangeFrame) {
        if !is_receipt(&frame) || !self.unsent.contains(&frame) {
            self.unsent.push_back(frame);
        }
    }

    pub(in crate::node) fn may_read(&self) -> bool {
        self.unsent.len() < UNSENT_MAX && self.paused.is_none()
    }

    /// Counts a frame for the partner; when it has used up its day, this frame is the last that is
    /// read until its bucket holds something again.
    pub(in crate::node) fn charge(&mut self, frame: &pb::ExchangeFrame) {
        let (quota, now) = (&self.peers.quota, Instant::now());
        let spent = quota.spend(self.agency.as_str(), charge_of(frame), now.into_std());
        let Err(wait) = spent else { return };
        self.paused = Some(now + wait);
        self.peers.core.refused("journal quota of a partner");
        let DayLimits { records, bytes } = quota.limits();
        let text = format!(
            "it sent as much as a partner may in a day: {records} entries, or {} MiB; its feed is read \
             on in {} s, or when partner_records_per_day or partner_mib_per_day is raised in \
             liaison.toml",
            bytes >> 20,
            wait.as_secs()
        );
        tracing::warn!(partner = %self.agency, "{text}");
        self.peers.health.failed(self.agency, text);
    }

    /// Sends what is left of a stream that ends in good order.
    pub(in crate::node) async fn flush(&mut self, outbound: &mpsc::Sender<pb::ExchangeFrame>) {
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
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

const fn is_receipt(frame: &pb::ExchangeFrame) -> bool {
    matches!(frame.body, Some(Body::Receipt(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::quota::Quota;
    use bytes::Bytes;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn batch(entries: Vec<Bytes>) -> pb::ExchangeFrame {
        let batch = pb::FeedBatch { entries, ..pb::FeedBatch::default() };
        pb::ExchangeFrame { body: Some(Body::FeedBatch(batch)) }
    }

    #[test]
    fn an_entry_that_is_refused_counts_like_one_that_is_kept() {
        let entry = pb::FeedEntry {
            action: pb::FeedAction::Disclose.into(),
            record_id: vec![7; 32].into(),
            ..pb::FeedEntry::default()
        };
        let kept = Bytes::from(entry.encode_to_vec());
        let refused = Bytes::from(vec![0xff; kept.len()]);
        let [kept, refused] = [kept, refused].map(|entry| charge_of(&batch(vec![entry; 9])));
        assert_eq!((kept.records, kept.bytes), (refused.records, refused.bytes));
        assert!(kept.records == 9 && kept.bytes > RECORD_BYTES as u64);
    }

    #[test]
    fn every_frame_but_the_first_counts_for_what_the_journal_keeps_of_it() {
        let of = |body| charge_of(&pb::ExchangeFrame { body: Some(body) });
        assert_eq!(of(Body::Hello(pb::Hello::default())).bytes, 0);
        let receipt = of(Body::Receipt(pb::Receipt::default()));
        assert!(receipt.bytes >= RECORD_BYTES as u64 && receipt.records == 0);
    }

    #[test]
    fn a_partner_that_sends_nothing_but_refused_entries_is_stopped_by_its_bytes() {
        let limits = DayLimits { records: u64::MAX >> 12, bytes: 64 << 10 };
        let (quota, now) = (Quota::new(limits), std::time::Instant::now());
        let charge = charge_of(&batch(vec![Bytes::from(vec![0xff; 1_024]); 4]));
        let frames = (0..).take_while(|_| quota.spend("a.example", charge, now).is_ok()).count();
        assert_eq!(frames as u64, limits.bytes / charge.bytes);
        assert_eq!(
            quota.spend("b.example", charge, now),
            Ok(()),
            "another partner has its own day"
        );
        assert_eq!(quota.spend("a.example", charge, now + 2 * DAY), Ok(()));
    }
}
