//! The node: starts its use cases, gives each what it needs, and stops them.
//!
//! This file alone knows all of them; a use case holds the core and those that it needs, never the node. Everything
//! that changes goes through the journal's one writer; everything that leaves goes through one policy decision.
//! Nothing here knows gRPC messages beyond the wire types.

mod approvals;
mod client;
mod commit;
pub mod config;
mod consents;
mod core;
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
mod refusals;
mod renew_certificate;
#[cfg(test)]
mod simulation;
mod submission;
pub mod key_succession;
mod timekeeping;
mod turns;
mod witnessing;

pub use client::Client;
pub use config::error::ConfigError;
pub use disclosure::releases;
pub use erasure::erase::HoldChange;
pub use error::NodeError;
pub use explanation::access_report::AccessReport;
pub use health::{peak_memory_bytes, peak_memory_in};
pub use partners::error::PartnerError;
pub use peers::driver::ExchangeStream;
pub use peers::error::PeerError;
pub use policies::Proposed;
pub use policies::apply::AppliedPolicy;
pub use policies::compare::Progress;
pub use submission::receipt;
pub use submission::submit::{BatchDedup, Submitted};
pub use timekeeping::TimeSource;
pub use witnessing::witness::ShownBy;

use self::core::Core;
use crate::ident::{AgencyName, Timestamp};
use crate::journal::entry::receipt_name;
use crate::journal::open::{self, StartReport};
use crate::journal::view::View;
use crate::journal::writer::WriterThread;
use crate::merkle::Cosigner;
use crate::partner::{NodeKeys, VerifiedCard};
use crate::pb;
use crate::tls::{Authority, NodeCertificate, RefusalCounts, SharedTrust, TrustMap};
use approvals::acts::Approvals;
use config::{Config, signing};
use consents::Consents;
use disclosure::Disclosures;
use erasure::erase::Erasures;
use explanation::Explanations;
use health::{check_segments, damage_views, segment_bytes};
use partners::Partners;
use partners::partner_facts::unknown;
use peers::Peers;
use peers::dialer::Dialer;
use peers::peer_health::PeerHealth;
use peers::session_drivers::SessionDrivers;
use policies::Policies;
use policies::rules_in_force::RulesInForce;
use quota::Quota;
use renew_certificate::renew_certificate;
use rollback_guard::RollbackGuard;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use submission::record_signer::RecordSigner;
use submission::submit::Submissions;
use timekeeping::Timekeeping;
use tokio::sync::watch;
use tokio::task::JoinSet;
use turns::admission::Admission;
use witnessing::witness::Witnessing;

/// The addresses on which a node listens, for `status`.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    pub partners: String,
    pub clients: String,
    /// Empty when it is off.
    pub http: String,
}

/// One running node, by its use cases.
pub struct Node {
    pub submissions: Submissions,
    pub disclosures: Arc<Disclosures>,
    pub peers: Arc<Peers>,
    pub partners: Arc<Partners>,
    pub approvals: Arc<Approvals>,
    pub policies: Arc<Policies>,
    pub consents: Arc<Consents>,
    pub erasures: Arc<Erasures>,
    pub witnessing: Arc<Witnessing>,
    pub explanations: Explanations,
    core: Arc<Core>,
    rules: Arc<RulesInForce>,
    guard: Arc<RollbackGuard>,
    dialer: Arc<Dialer>,
    dir: PathBuf,
    config: Config,
    certificate: Arc<NodeCertificate>,
    authority: Arc<Authority>,
    trust: SharedTrust,
    started_at: Timestamp,
    addresses: Mutex<Addresses>,
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
        log_keys::check(&keys, &journal.view().snapshot().state)?;
        let core = Core::new(config.agency()?, journal, time);
        let node = Arc::new(Self::wire(dir, config, &keys, core)?);
        Ok((node, writer, report))
    }

    /// Gives each use case what it needs.
    fn wire(
        dir: &Path,
        config: Config,
        keys: &NodeKeys,
        core: Arc<Core>,
    ) -> Result<Self, NodeError> {
        let rules = RulesInForce::new(Arc::clone(&core), dir.to_owned())?;
        let guard = RollbackGuard::new(
            core.journal.gate().clone(),
            &core.view().snapshot().state,
            &config.guard,
            dir.to_owned(),
        );
        core.time.begin(core.journal.gate(), core.view());
        let (names, now) = (config.names()?, core.time.certificate_time());
        let authority = Authority::load(dir, now)
            .map_err(|error| NodeError::start("certification authority", error))?;
        let certificate = NodeCertificate::load_or_create(dir, names, &authority, now)
            .map_err(|error| NodeError::start("certificate", error))?;
        let (trust, limits) = (empty_trust()?, config.release.limits());
        let signer = RecordSigner::of(keys.record.signing_key().clone(), keys.record.public().id());
        let health = Arc::new(PeerHealth::default());
        let admission = Admission::new(Arc::clone(&core), Arc::clone(&health));
        let submissions = Submissions::new(
            Arc::clone(&core),
            signer.clone(),
            keys.receipt.signing_key().clone(),
            Quota::new(config.limits.of_client()),
            Arc::clone(&admission),
        );
        let disclosures = Disclosures::new(
            Arc::clone(&core),
            Arc::clone(&rules),
            Arc::clone(&health),
            limits.clone(),
        );
        let erasures = Erasures::new(Arc::clone(&core), signer.clone());
        let consents = Consents::new(Arc::clone(&core), signer.clone());
        let policies = Policies::new(Arc::clone(&core), Arc::clone(&rules), dir.to_owned());
        let partners = Partners::new(
            Arc::clone(&core),
            Arc::clone(&rules),
            signer.clone(),
            trust.clone(),
            Arc::clone(&health),
            limits.clone(),
        );
        partners.reload_trust()?;
        let approvals = Approvals::new(
            Arc::clone(&core),
            signer,
            Arc::clone(&rules),
            Arc::clone(&partners),
            Arc::clone(&policies),
            Arc::clone(&erasures),
        );
        let witnessing =
            Witnessing::new(Arc::clone(&core), Arc::clone(&rules), keys, &config.witness)?;
        let explanations = Explanations::new(
            Arc::clone(&core),
            Arc::clone(&rules),
            Arc::clone(&health),
            dir.to_owned(),
            limits.clone(),
        );
        let peers = Arc::new(Peers {
            core: Arc::clone(&core),
            rules: Arc::clone(&rules),
            health,
            drivers: SessionDrivers::default(),
            guard: Arc::clone(&guard),
            witnessing: Arc::clone(&witnessing),
            erasures: Arc::clone(&erasures),
            admission,
            quota: Quota::new(config.limits.of_partner()),
            receipts: receipt_cosigner(core.agency(), keys)?,
            limits,
        });
        let dialer = Arc::new(Dialer {
            peers: Arc::clone(&peers),
            certificate: Arc::clone(&certificate),
            is_reachable: !config.addresses.is_empty(),
        });
        Ok(Self {
            submissions,
            disclosures,
            peers,
            partners,
            approvals,
            policies,
            consents,
            erasures,
            witnessing,
            explanations,
            started_at: core.time.wall(),
            core,
            rules,
            guard,
            dialer,
            dir: dir.to_owned(),
            config,
            certificate,
            authority: Arc::new(authority),
            trust,
            addresses: Mutex::default(),
        })
    }

    /// Runs the tasks of the use cases, with two of each partner, present and future: one that discloses to it and one
    /// that dials it. They end when the node stops.
    pub async fn run(self: Arc<Self>) {
        let mut running: HashSet<AgencyName> = HashSet::new();
        let mut rules_changed = self.rules.changes();
        let mut stopping = self.stopping();
        let mut tasks = JoinSet::new();
        let (certificate, authority) = (Arc::clone(&self.certificate), Arc::clone(&self.authority));
        tasks.spawn(renew_certificate(Arc::clone(&self.core), certificate, authority));
        tasks.spawn(Arc::clone(&self.witnessing).ask_added_witnesses());
        tasks.spawn(Arc::clone(&self.core.time).watch(self.stopping()));
        tasks.spawn(Arc::clone(&self.guard).give_up_waiting(self.stopping()));
        tasks.spawn(Arc::clone(&self.erasures).scrub_index());
        tasks.spawn(Arc::clone(&self.erasures).finish_erasures());
        tasks.spawn(check_segments(Arc::clone(&self.core)));
        tasks.spawn(Arc::clone(&self.erasures).keep_to_retention());
        tasks.spawn(Arc::clone(&self.consents).end_consents());
        loop {
            rules_changed.mark_unchanged();
            let snapshot = self.view().snapshot();
            self.core.time.forget_others(&snapshot.state);
            for agency in snapshot.state.partners.keys() {
                if running.insert(agency.clone()) {
                    tasks.spawn(Arc::clone(&self.disclosures).disclose_to(agency.clone()));
                    tasks.spawn(Arc::clone(&self.dialer).dial(agency.clone()));
                }
            }
            tokio::select! {
                _ = rules_changed.changed() => {}
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        tasks.join_all().await;
    }

    /// Stops every task.
    pub fn stop(&self) {
        self.core.stop();
    }

    /// Becomes true when the node stops.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.core.stopping()
    }

    pub fn agency(&self) -> &AgencyName {
        self.core.agency()
    }

    pub const fn config(&self) -> &Config {
        &self.config
    }

    pub fn view(&self) -> &Arc<View> {
        self.core.view()
    }

    /// The journal's size after each commit.
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.core.journal.grown()
    }

    /// The time of decisions and signatures: never before the journal's last entry.
    pub fn now(&self) -> Timestamp {
        self.core.now()
    }

    /// Believes the wall clock on the word of an administrator, who read `time` off another clock.
    pub async fn confirm_clock(&self, client: &str, time: Timestamp) -> Result<(), NodeError> {
        self.core.time.confirm(&self.core.journal, client, time).await
    }

    pub const fn certificate(&self) -> &Arc<NodeCertificate> {
        &self.certificate
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    pub const fn trust(&self) -> &SharedTrust {
        &self.trust
    }

    /// Counts something refused, by reason.
    pub fn refused(&self, reason: &str) {
        self.core.refused(reason);
    }

    /// Takes in the counts of handshakes that a port refuses.
    pub fn counts_refusals(&self, counts: Arc<RefusalCounts>) {
        self.core.refusals.add_port(counts);
    }

    /// Remembers where the node listens, for `status`.
    pub fn listens(&self, addresses: Addresses) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub fn own_card(&self) -> Result<Arc<VerifiedCard>, NodeError> {
        self.view().snapshot().state.card.clone().ok_or(NodeError::NoCard)
    }

    /// The newest signed checkpoint of the journal, or of the feed to a partner.
    pub fn checkpoint(&self, feed: Option<&AgencyName>) -> Result<bytes::Bytes, NodeError> {
        let snapshot = self.view().snapshot();
        let Some(feed) = feed else { return Ok(snapshot.note.clone()) };
        let partner = snapshot.state.partners.get(feed).ok_or_else(|| unknown(feed))?;
        if partner.published.note.is_empty() {
            return Err(NodeError::EmptyFeed { agency: feed.clone() });
        }
        Ok(partner.published.note.clone())
    }

    /// The state of the node, for people.
    pub fn status(&self) -> pb::GetStatusResponse {
        let snapshot = self.view().snapshot();
        let head = self.view().journal().head();
        let Addresses { partners, clients, http } =
            self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let witnesses = self.witnessing.views();
        let covers = |view: &&pb::WitnessView| view.cosigned_size >= snapshot.state.substance;
        // One key under several names is one witness.
        let keys: BTreeSet<_> = witnesses.iter().filter(covers).map(key_of).collect();
        let cosigned_by = keys.len() as u32;
        pb::GetStatusResponse {
            agency: self.agency().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal_size: snapshot.size,
            journal_root: bytes::Bytes::copy_from_slice(head.root.as_bytes()),
            records: snapshot.state.records,
            index_engine: self.config.store.engine.clone(),
            index_lag: self.view().index().lag().changes as u64,
            segment_bytes: segment_bytes(&self.dir.join("store/segments")),
            policy_version: snapshot.state.policy_version().get(),
            partners: self.partners.views(),
            peak_memory_bytes: peak_memory_bytes(),
            refused: self.core.refusals.all(),
            started_at_ms: self.started_at.unix_ms() as u64,
            partner_address: partners,
            client_address: clients,
            guard: Some(self.guard.view()),
            contradictions: self.witnessing.contradiction_views(),
            witnesses,
            http_address: http,
            quorum: self.config.witness.quorum,
            cosigned_by,
            index_failure: self.view().index().failure().unwrap_or_default(),
            damages: damage_views(self.view()),
            clock: Some(self.core.time.view()),
        }
    }
}

/// Makes everything derived in a node's directory again from its segments.
pub fn reindex(dir: &Path) -> Result<StartReport, NodeError> {
    let config = Config::load(dir)?;
    let keys = NodeKeys::load(dir).map_err(|error| NodeError::start("keys", error))?;
    let options = config.store.journal(dir)?;
    Ok(open::reindex(&options, signing(&config, &keys)?)?)
}

fn receipt_cosigner(agency: &AgencyName, keys: &NodeKeys) -> Result<Cosigner, NodeError> {
    let name = receipt_name(agency).parse();
    let name = name.map_err(|error| NodeError::start("receipt key name", error))?;
    Ok(Cosigner::new(name, keys.receipt.signing_key().clone()))
}

fn empty_trust() -> Result<SharedTrust, NodeError> {
    let (map, _) = TrustMap::new(std::iter::empty());
    Ok(map.shared())
}

/// Type and key in the verifier key of a witness, without its name and id.
fn key_of(witness: &pb::WitnessView) -> &str {
    // Base64 may itself hold a plus sign.
    witness.vkey.splitn(3, '+').nth(2).unwrap_or_default()
}
