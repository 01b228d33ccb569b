//! The quota of one caller in the journal: records and bytes, by day.
//!
//! The journal keeps for good whatever it accepts, and the refusals of a partner's entries too, so
//! an agency or a client that sends without end would fill the disk. Each has a bucket of tokens that
//! holds what it may send in a day and fills up again over a day. It begins anew with the process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The bytes of a record in journal and segments beside its fields: header, salts, signature, path.
pub(super) const RECORD_BYTES: usize = 1_024;

/// Buckets that are kept: partners and clients of one node. A full bucket is forgotten first.
const BUCKETS_MAX: usize = 4_096;

/// The most that one caller may add to the journal on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayLimits {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// The amount that is to be kept.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Charge {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// A bucket: what is left, as of a time. Below nothing, it is overdrawn.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    records: f64,
    bytes: f64,
    at: Instant,
}

/// The buckets of all agencies, or of all clients.
#[derive(Debug)]
pub(super) struct Quota {
    limits: DayLimits,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Quota {
    pub(super) fn new(limits: DayLimits) -> Self {
        Self { limits, buckets: Mutex::default() }
    }

    pub(super) const fn limits(&self) -> DayLimits {
        self.limits
    }

    /// Takes what is to be kept out of a caller's bucket. An error gives how long it takes until
    /// the bucket holds so much; nothing was taken then. More than a day's worth needs a full bucket.
    pub(super) fn take(&self, caller: &str, charge: Charge, now: Instant) -> Result<(), Duration> {
        self.with(caller, now, |bucket, limits| {
            let records = (charge.records as f64).min(limits.records as f64);
            let bytes = (charge.bytes as f64).min(limits.bytes as f64);
            bucket.wait_for(records, bytes, limits)?;
            bucket.records -= records;
            bucket.bytes -= bytes;
            Ok(())
        })
    }

    /// The same for what is here already: it is taken in any case. An error gives how long it takes
    /// until the bucket is no longer overdrawn.
    pub(super) fn spend(&self, caller: &str, charge: Charge, now: Instant) -> Result<(), Duration> {
        self.with(caller, now, |bucket, limits| {
            bucket.records -= charge.records as f64;
            bucket.bytes -= charge.bytes as f64;
            bucket.wait_for(0.0, 0.0, limits)
        })
    }

    fn with<T>(
        &self,
        caller: &str,
        now: Instant,
        change: impl FnOnce(&mut Bucket, DayLimits) -> T,
    ) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(caller) {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < DAY);
        }
        let (records, bytes) = (self.limits.records as f64, self.limits.bytes as f64);
        let full = Bucket { records, bytes, at: now };
        let bucket = buckets.entry(caller.to_owned()).or_insert(full);
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64() / DAY.as_secs_f64();
        bucket.records = records.min(bucket.records + passed * records);
        bucket.bytes = bytes.min(bucket.bytes + passed * bytes);
        bucket.at = bucket.at.max(now);
        change(bucket, self.limits)
    }
}

impl Bucket {
    /// Returns whether it holds so much; else how long that takes.
    fn wait_for(&self, records: f64, bytes: f64, limits: DayLimits) -> Result<(), Duration> {
        let missing = (records - self.records) / limits.records as f64;
        let missing = missing.max((bytes - self.bytes) / limits.bytes as f64);
        if missing <= 0.0 {
            return Ok(());
        }
        // At least a second, so that nobody asks again at once; at most a year.
        Err(DAY.mul_f64(missing.min(365.0)).max(Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DayLimits = DayLimits { records: 100, bytes: 86_400 };

    const ALL: Charge = Charge { records: 100, bytes: 86_400 };
    const ONE: Charge = Charge { records: 1, bytes: 1 };

    #[test]
    fn a_caller_that_spent_its_day_waits_and_no_other_does() {
        let (quota, now) = (Quota::new(LIMITS), Instant::now());
        assert_eq!(quota.take("a.example", ALL, now), Ok(()));
        assert!(quota.take("a.example", ONE, now).is_err());
        assert!(quota.take("a.example", ONE, now + Duration::from_secs(60)).is_err());
        assert_eq!(quota.take("b.example", ALL, now), Ok(()));
        // A hundredth of a day brings one record.
        let later = now + Duration::from_secs(865);
        assert_eq!(quota.take("a.example", ONE, later), Ok(()));
        let wait = quota.take("a.example", ALL, later).unwrap_err();
        assert!((86_000..=86_401).contains(&wait.as_secs()), "{wait:?}");
    }

    #[test]
    fn records_and_bytes_count_each_for_itself() {
        let (quota, now) = (Quota::new(LIMITS), Instant::now());
        quota.take("a.example", Charge { records: 100, bytes: 1 }, now).unwrap();
        assert!(quota.take("a.example", ONE, now).is_err());
        quota.take("b.example", Charge { records: 1, bytes: 86_400 }, now).unwrap();
        assert!(quota.take("b.example", ONE, now).is_err());
    }

    #[test]
    fn a_bucket_holds_no_more_than_a_day() {
        let (quota, now) = (Quota::new(LIMITS), Instant::now());
        quota.take("a.example", ONE, now).unwrap();
        quota.take("a.example", ALL, now + 9 * DAY).unwrap();
        assert!(quota.take("a.example", ONE, now + 9 * DAY).is_err());
    }

    #[test]
    fn what_is_here_already_is_taken_and_paid_off_later() {
        let (quota, now) = (Quota::new(LIMITS), Instant::now());
        let twice = Charge { records: 200, bytes: 1 };
        let wait = quota.spend("a.example", twice, now).unwrap_err();
        assert!((86_398..=86_402).contains(&wait.as_secs()), "{wait:?}");
        assert!(quota.spend("a.example", Charge::default(), now).is_err());
        assert_eq!(quota.spend("a.example", Charge::default(), now + 2 * DAY), Ok(()));
    }
}
