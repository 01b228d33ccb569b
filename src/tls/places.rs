//! The places of a port: how many connections, requests and unfinished messages it takes on, and how
//! many of them one caller may have.
//!
//! A caller is an agency or a client by its name, however many connections it opens. A caller that
//! takes all that it may have hinders itself; some places are kept for those who must always get in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::caller::Caller;
use super::trust::Refusal;
use crate::policy::ClientRole;

/// The load that a port accepts from callers that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceLimits {
    /// Connections: far more than partners and clients of one node. Each may buffer up to its HTTP/2
    /// connection window.
    pub connections_max: usize,
    /// Connections among these that are kept for officers, auditors and administrators.
    pub connections_reserved: usize,
    /// Connections of one caller: a partner needs one, and another while that is replaced.
    pub connections_per_caller_max: usize,
    /// Requests of one caller under way, on all of its connections.
    pub requests_per_caller_max: usize,
    /// Bytes of messages that one caller has begun to send and not finished. It holds the largest
    /// message a few times.
    pub message_bytes_per_caller_max: usize,
}

impl Default for PlaceLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            connections_reserved: 32,
            connections_per_caller_max: 32,
            requests_per_caller_max: 64,
            message_bytes_per_caller_max: 16 << 20,
        }
    }
}

/// Questions to the disk that are answered at once for one caller: its tools call a handful, and half of what a port
/// answers stays for others.
pub const READS_PER_CALLER_MAX: usize = 8;

/// The name that counts for limits: all certificates of a client are one caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Agency(String),
    Client(String),
}

impl Name {
    fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Partner(agency) => Self::Agency(agency.to_string()),
            Caller::Client { name, .. } => Self::Client(name.as_str().to_owned()),
        }
    }
}

/// Returns whether a caller may have a place that is kept free.
const fn is_privileged(caller: &Caller) -> bool {
    match caller {
        Caller::Partner(_) => false,
        Caller::Client { role, .. } => match role {
            ClientRole::PolicyOfficer
            | ClientRole::DataProtectionOfficer
            | ClientRole::Auditor
            | ClientRole::Admin => true,
            ClientRole::Analyst | ClientRole::VendorTool => false,
        },
    }
}

/// The connections, requests and reads under way for one caller.
#[derive(Debug)]
struct Share {
    connections: AtomicUsize,
    requests: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    message_bytes: Arc<Semaphore>,
}

/// The places of one port.
#[derive(Debug, Clone)]
pub struct Places {
    limits: PlaceLimits,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    /// Callers with a connection.
    shares: HashMap<Name, Arc<Share>>,
}

impl Places {
    pub fn new(limits: PlaceLimits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// Takes a place for a caller; refuses if it has as many as it may have, or if all are taken.
    pub fn take(&self, caller: &Caller) -> Result<Place, Refusal> {
        let PlaceLimits { connections_max, connections_reserved, .. } = self.limits;
        let kept = if is_privileged(caller) { 0 } else { connections_reserved };
        let name = Name::of(caller);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let share = taken.shares.get(&name);
        let own = share.map_or(0, |share| share.connections.load(Ordering::Relaxed));
        if own >= self.limits.connections_per_caller_max {
            return Err(Refusal::CallerCrowded(own));
        }
        if taken.connections + kept >= connections_max {
            return Err(Refusal::Crowded);
        }
        taken.connections += 1;
        let share = taken.shares.entry(name.clone()).or_insert_with(|| {
            Arc::new(Share {
                connections: AtomicUsize::new(0),
                requests: Arc::new(Semaphore::new(self.limits.requests_per_caller_max)),
                reads: Arc::new(Semaphore::new(READS_PER_CALLER_MAX)),
                message_bytes: Arc::new(Semaphore::new(self.limits.message_bytes_per_caller_max)),
            })
        });
        share.connections.fetch_add(1, Ordering::Relaxed);
        let share = Arc::clone(share);
        let activity = Activity {
            requests: AtomicUsize::new(0),
            begun: Instant::now(),
            last_ms: AtomicU64::new(0),
        };
        let (taken, limits) = (Arc::clone(&self.taken), self.limits);
        Ok(Place(Arc::new(Held { name, share, activity, limits, taken })))
    }
}

/// A place of a connection, until the last of its copies is dropped.
#[derive(Clone)]
pub struct Place(Arc<Held>);

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.0.name).finish()
    }
}

struct Held {
    name: Name,
    share: Arc<Share>,
    activity: Activity,
    limits: PlaceLimits,
    taken: Arc<Mutex<Taken>>,
}

/// The requests under way on a connection, and the time of its last one.
#[derive(Debug)]
struct Activity {
    requests: AtomicUsize,
    begun: Instant,
    last_ms: AtomicU64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.connections -= 1;
        if self.share.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            taken.shares.remove(&self.name);
        }
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub struct RequestPlace {
    place: Place,
    _permit: OwnedSemaphorePermit,
}

impl RequestPlace {
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        let activity = &self.place.0.activity;
        activity.last_ms.store(elapsed_ms(activity.begun), Ordering::Relaxed);
        activity.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Place {
    /// Begins a request; none when the caller has as many as it may have.
    pub fn begin_request(&self) -> Option<RequestPlace> {
        let permit = Arc::clone(&self.0.share.requests).try_acquire_owned().ok()?;
        self.0.activity.requests.fetch_add(1, Ordering::Relaxed);
        Some(RequestPlace { place: self.clone(), _permit: permit })
    }

    /// Requests that one caller may have under way.
    pub fn requests_max(&self) -> usize {
        self.0.limits.requests_per_caller_max
    }

    /// Waits until fewer questions of the caller are being answered than it may have.
    pub(crate) async fn begin_read(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.share.reads).acquire_owned().await.ok()
    }

    /// Waits until the caller may send a message of so many bytes; what is longer than all that it
    /// may have counts as that.
    pub(crate) async fn message(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let most = self.0.limits.message_bytes_per_caller_max;
        let bytes = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        Arc::clone(&self.0.share.message_bytes).acquire_many_owned(bytes).await.ok()
    }

    /// Returns the time for which the connection has had no request; zero while it has one.
    pub(super) fn idle(&self) -> Duration {
        let Activity { requests, begun, last_ms } = &self.0.activity;
        if requests.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        begun.elapsed().saturating_sub(Duration::from_millis(last_ms.load(Ordering::Relaxed)))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Place {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::CertificateSerial;

    fn client(name: &str, role: ClientRole) -> Caller {
        let serial = CertificateSerial::from_bytes(&[1]).unwrap();
        Caller::Client { name: name.parse().unwrap(), role, serial }
    }

    fn limits() -> PlaceLimits {
        PlaceLimits {
            connections_max: 6,
            connections_reserved: 2,
            connections_per_caller_max: 3,
            requests_per_caller_max: 2,
            message_bytes_per_caller_max: 10,
        }
    }

    #[test]
    fn one_caller_has_no_more_connections_than_its_share() {
        let places = Places::new(limits());
        let tool = client("tool", ClientRole::VendorTool);
        let held: Vec<Place> = (0..3).map(|_| places.take(&tool).unwrap()).collect();
        assert!(matches!(places.take(&tool), Err(Refusal::CallerCrowded(3))));
        assert!(places.take(&client("other", ClientRole::VendorTool)).is_ok());
        drop(held);
        assert!(places.take(&tool).is_ok());
    }

    #[test]
    fn an_officer_gets_in_when_all_others_fill_the_port() {
        let places = Places::new(limits());
        let held: Vec<Place> = ["a", "b", "c", "d"]
            .into_iter()
            .map(|name| places.take(&client(name, ClientRole::Analyst)).unwrap())
            .collect();
        assert!(matches!(
            places.take(&Caller::Partner("e.example".parse().unwrap())),
            Err(Refusal::Crowded)
        ));
        for role in [ClientRole::PolicyOfficer, ClientRole::Admin] {
            drop(places.take(&client("officer", role)).unwrap());
        }
        drop(held);
    }

    #[test]
    fn all_connections_of_a_caller_share_its_requests() {
        let places = Places::new(limits());
        let tool = client("tool", ClientRole::VendorTool);
        let (first, second) = (places.take(&tool).unwrap(), places.take(&tool).unwrap());
        let held = (first.begin_request().unwrap(), second.begin_request().unwrap());
        assert!(first.begin_request().is_none());
        let other = places.take(&client("other", ClientRole::VendorTool)).unwrap();
        assert!(other.begin_request().is_some());
        drop(held);
        assert!(second.begin_request().is_some());
    }

    #[tokio::test]
    async fn unfinished_messages_of_a_caller_wait_for_each_other() {
        let places = Places::new(limits());
        let place = places.take(&client("tool", ClientRole::VendorTool)).unwrap();
        let held = place.message(7).await.unwrap();
        let mut waiting = Box::pin(place.message(1_000));
        assert!(futures_are_pending(&mut waiting).await);
        drop(held);
        assert!(waiting.await.is_some());
    }

    async fn futures_are_pending(future: &mut (impl Future + Unpin)) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
