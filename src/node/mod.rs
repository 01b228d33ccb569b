//! The node: its use cases, and the tasks that carry them out.
//!
//! Everything that changes goes through the journal's one writer; everything that leaves goes
//! through one policy decision. Nothing here knows gRPC messages beyond the wire types.

mod approvals;
mod client;
pub mod config;
mod consents;
mod disclosure;
mod erasure;
mod error;
mod explanation;
mod rollback_guard;
mod health;
pub mod init;
mod keyring;
pub mod limits;
mod log_keys;
mod partners;
mod peers;
mod policies;
mod quota;
mod submission;
pub mod key_succession;
mod tasks;
mod timekeeping;
mod turns;
mod witnessing;

pub use client::Client;
pub use disclosure::releases;
pub use erasure::erase::HoldChange;
pub use error::NodeError;
pub use explanation::access_report::AccessReport;
pub use health::{peak_memory_bytes, peak_memory_in};
pub use peers::link::ExchangeStream;
pub use policies::apply::{AppliedPolicy, Proposed};
pub use policies::compare::Progress;
pub use submission::receipt;
pub use submission::submit::{BatchDedup, Submitted};
pub use timekeeping::TimeSource;
pub use witnessing::witness::ShownBy;

use crate::ident::{AgencyName, Timestamp};
use crate::journal::open::{self, StartReport};
use crate::journal::view::View;
use crate::journal::writer::{JournalWriter, WriterThread};
use crate::merkle::{Cosigner, NoteVerifier};
use crate::partner::{NodeKeys, PublicKey, VerifiedCard};
use crate::pb;
use crate::tls::{Authority, NodeCertificate, RefusalCounts, SharedTrust, TrustMap};
use arc_swap::ArcSwap;
use config::{Config, signing};
use peers::links::Links;
use policies::past_bundles::PastBundles;
use policies::rules::Rules;
use quota::Quota;
use rollback_guard::RollbackGuard;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use timekeeping::Timekeeping;
use tokio::sync::{Notify, watch};
use turns::Turns;

/// Bytes of one gRPC message at the most: a batch of the exchange with room for its frame.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The addresses on which a node listens, for `status`.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    pub partners: String,
    pub clients: String,
    /// Empty when it is off.
    pub http: String,
}

/// One running node.
pub struct Node {
    dir: PathBuf,
    config: Config,
    keys: NodeKeys,
    record_key: PublicKey,
    journal: JournalWriter,
    time: Arc<Timekeeping>,
    started_at: Timestamp,
    rules: ArcSwap<Rules>,
    rules_changed: watch::Sender<u64>,
    /// Held by who counts what another policy would change: it takes all that can be spared.
    comparing: tokio::sync::Mutex<()>,
    past_bundles: PastBundles,
    /// Held while rules are loaded.
    reloading: Mutex<()>,
    trust: SharedTrust,
    certificate: Arc<NodeCertificate>,
    authority: Authority,
    links: Links,
    guard: RollbackGuard,
    /// Logs beside partners' journals that are witnessed here.
    logs: Arc<[NoteVerifier]>,
    denials: Mutex<BTreeMap<AgencyName, BTreeMap<String, u64>>>,
    refusals: Mutex<BTreeMap<String, u64>>,
    handshakes: Mutex<Vec<Arc<RefusalCounts>>>,
    partner_quota: Quota,
    client_quota: Quota,
    turns: Turns,
    addresses: Mutex<Addresses>,
    /// Told when the index is to be written anew.
    scrub: Notify,
    /// An approved erasure could not be carried out in full.
    erasures: Notify,
    /// The reason why a witness that is not a partner could not be asked lately, by the name of its
    /// key.
    unasked: Mutex<BTreeMap<String, String>>,
    /// The signal that a witness was added.
    witness_added: Notify,
    stopping: watch::Sender<bool>,
}

impl Node {
    /// Opens the node's directory: keys, certificates, journal, policy.
    pub fn open(
        dir: &Path,
        clocks: impl Into<TimeSource>,
    ) -> Result<(Arc<Self>, WriterThread, StartReport), NodeError> {
        let config = Config::load(dir)?;
        init::private_dir(dir)?;
        let keys = NodeKeys::load(dir).map_err(|error| NodeError::start("keys", error))?;
        let time = Timekeeping::new(clocks.into());
        let options = config.store.journal(dir)?;
        let (journal, writer, report) =
            open::open(&options, signing(&config, &keys)?, time.as_clock())?;
        let agency = config.agency()?;
        log_keys::check(&keys, &journal.view().snapshot().state)?;
        let (rules_changed, _) = watch::channel(0);
        let (stopping, _) = watch::channel(false);
        let rules = Rules::load(dir, &agency, &journal.view().snapshot().state)?;
        let record_key = *keys.record.public();
        let guard = RollbackGuard::new(
            journal.gate().clone(),
            &journal.view().snapshot().state,
            &config.guard,
        );
        time.begin(journal.gate(), journal.view());
        let (names, now) = (config.names()?, time.certificate_time());
        let authority = Authority::load(dir, now)
            .map_err(|error| NodeError::start("certification authority", error))?;
        let certificate = NodeCertificate::load_or_create(dir, names, &authority, now)
            .map_err(|error| NodeError::start("certificate", error))?;
        let logs = config.witness.logs()?.into();
        let node = Arc::new(Self {
            dir: dir.to_owned(),
            record_key,
            keys,
            journal,
            started_at: time.wall(),
            rules: ArcSwap::from_pointee(rules),
            rules_changed,
            comparing: tokio::sync::Mutex::default(),
            past_bundles: PastBundles::default(),
            reloading: Mutex::default(),
            trust: empty_trust()?,
            certificate,
            authority,
            links: Links::default(),
            guard,
            logs,
            denials: Mutex::default(),
            refusals: Mutex::default(),
            handshakes: Mutex::default(),
            partner_quota: Quota::new(config.limits.of_partner()),
            client_quota: Quota::new(config.limits.of_client()),
            turns: Turns::default(),
            addresses: Mutex::default(),
            scrub: Notify::new(),
            erasures: Notify::new(),
            unasked: Mutex::default(),
            witness_added: Notify::new(),
            stopping,
            time,
            config,
        });
        node.reload_trust()?;
        Ok((node, writer, report))
    }

    pub fn agency(&self) -> &AgencyName {
        &self.certificate.names().agency
    }

    pub const fn config(&self) -> &Config {
        &self.config
    }

    pub fn view(&self) -> &Arc<View> {
        self.journal.view()
    }

    /// The journal's size after each commit.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.journal.grown()
    }

    pub const fn certificate(&self) -> &Arc<NodeCertificate> {
        &self.certificate
    }

    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    pub const fn trust(&self) -> &SharedTrust {
        &self.trust
    }

    /// Stops every task.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Becomes true when the node stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Counts something refused, by reason.
    pub fn refused(&self, reason: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(reason.to_owned()).or_default() += 1;
    }

    /// Takes in the counts of handshakes that a port refuses.
    pub fn counts_refusals(&self, counts: Arc<RefusalCounts>) {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).push(counts);
    }

    /// Remembers where the node listens, for `status`.
    pub fn listens(&self, addresses: Addresses) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub fn own_card(&self) -> Result<Arc<VerifiedCard>, NodeError> {
        self.view().snapshot().state.card.clone().ok_or_else(|| {
            NodeError::Precondition("the journal holds no card of this agency".to_owned())
        })
    }

    fn cosigner(&self) -> Result<Cosigner, NodeError> {
        let name = crate::journal::entry::receipt_name(self.agency());
        let name = name.parse().map_err(|error| NodeError::start("receipt key name", error))?;
        Ok(Cosigner::new(name, self.keys.receipt.signing_key().clone()))
    }

    /// A signed note over the figures of a submission, by the receipt key.
    pub fn sign_submission_receipt(
        &self,
        figures: &pb::SubmissionReceipt,
    ) -> Result<Vec<u8>, NodeError> {
        receipt::sign(self.agency(), figures, self.keys.receipt.signing_key())
            .map_err(|error| NodeError::start("receipt", error))
    }

    /// The newest signed checkpoint of the journal, or of the feed to a partner.
    pub fn checkpoint(&self, feed: Option<&AgencyName>) -> Result<bytes::Bytes, NodeError> {
        let snapshot = self.view().snapshot();
        let Some(feed) = feed else { return Ok(snapshot.note.clone()) };
        let partner = snapshot
            .state
            .partners
            .get(feed)
            .ok_or_else(|| NodeError::NotFound(format!("{feed} is no partner of this node")))?;
        if partner.published.note.is_empty() {
            return Err(NodeError::NotFound(format!("nothing was ever disclosed to {feed}")));
        }
        Ok(partner.published.note.clone())
    }
}

/// Makes everything derived in a node's directory again from its segments.
pub fn reindex(dir: &Path) -> Result<StartReport, NodeError> {
    let config = Config::load(dir)?;
    let keys = NodeKeys::load(dir).map_err(|error| NodeError::start("keys", error))?;
    let options = config.store.journal(dir)?;
    Ok(open::reindex(&options, signing(&config, &keys)?)?)
}

fn empty_trust() -> Result<SharedTrust, NodeError> {
    let (map, _) = TrustMap::new(std::iter::empty());
    Ok(map.shared())
}
