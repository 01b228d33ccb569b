//! Use cases of a witness: judging a checkpoint of another log, and who witnesses this one.
//!
//! Judging and writing down are one job of the journal's one writer, so that of two checkpoints of a
//! log that come at once the second is held against the first. The cosignature leaves after it is
//! durable.

use crate::node::config;
use crate::node::core::Core;
use crate::node::error::NodeError;
use crate::node::peers::pair::pair_with;
use crate::node::policies::rules_in_force::RulesInForce;
use crate::partner::{NodeKeys, PublicKey};

use crate::exchange::{Evidence, Witnessed};
use crate::ident::TreeSize;
use crate::ident::{AgencyName, Generation};
use crate::journal::JournalError;
use crate::journal::entry::witness_name;
use crate::journal::state::State;
use crate::journal::transaction::Transaction;
use crate::merkle::Checkpoint;
use crate::merkle::Note;
use crate::merkle::{
    Cosigner, NoteVerifier, Origin, ShownCheckpoint, SignatureType, WitnessRefusal, judge,
    origin_of,
};
use crate::pb::{self, journal_entry::Event};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A cosignature younger than this is given again as it is: whoever repeats a question makes no
/// entries.
const FRESH_MS: i64 = 10_000;

/// The party that shows a checkpoint. A proof that does not hold accuses the log only if the log
/// brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownBy {
    /// The agency of the log, on its own authenticated stream.
    Log,
    Anybody,
}

/// A log that is witnessed here.
struct Watched {
    key: NoteVerifier,
    partner: Option<AgencyName>,
}

/// The inputs of the writer's job for its judgement.
pub(in crate::node) struct Judge {
    pub(in crate::node) cosigner: Cosigner,
    pub(in crate::node) logs: Arc<[NoteVerifier]>,
    pub(in crate::node) by: ShownBy,
}

impl Judge {
    fn watched(&self, state: &State, origin: &Origin) -> Option<Watched> {
        if let Some(key) = self.logs.iter().find(|log| Origin::from(log.name()) == *origin) {
            return Some(Watched { key: key.clone(), partner: None });
        }
        let (agency, generation) = Generation::of_journal(origin.as_str())?;
        let partner = state.partners.get(&agency)?;
        let is_current = partner.card.card().generation == generation;
        if partner.state != pb::PartnerState::Active || !is_current {
            return None;
        }
        let key = NoteVerifier::new(
            origin.as_str().parse().ok()?,
            SignatureType::Ed25519,
            partner.card.card().journal_key.as_bytes(),
        );
        Some(Watched { key: key.ok()?, partner: Some(agency) })
    }

    /// Judges a checkpoint and writes down what comes of it.
    pub(in crate::node) fn judge(
        &self,
        tx: &mut Transaction<'_>,
        shown: &ShownCheckpoint,
    ) -> Result<Witnessed, JournalError> {
        let origin = match origin_of(&shown.note) {
            Ok(origin) => origin,
            Err(error) => return Ok(Witnessed::Refused(WitnessRefusal::Malformed(error))),
        };
        let Some(watched) = self.watched(tx.state(), &origin) else {
            return Ok(Witnessed::Refused(WitnessRefusal::UnknownLog));
        };
        let witnessing = &tx.state().witnessing;
        let is_frozen = witnessing.contradictions.contains_key(origin.as_str())
            || watched.partner.as_ref().is_some_and(|agency| witnessing.is_frozen(agency));
        if is_frozen {
            return Ok(Witnessed::Refused(WitnessRefusal::Frozen));
        }
        let last = witnessing.given.get(origin.as_str()).cloned();
        match judge(&watched.key, witnessing.known(origin.as_str()), shown) {
            Ok(signed) => {
                let now = tx.now();
                let is_fresh = last.filter(|last| {
                    last.head == signed.checkpoint().head()
                        && now.unix_ms() - last.at.unix_ms() < FRESH_MS
                });
                if let Some(last) = is_fresh {
                    return Ok(Witnessed::Cosigned(last.note.to_vec()));
                }
                let line = self.cosigner.cosign(signed.checkpoint(), now.into());
                let note = signed
                    .with_cosignature(line, &NoteVerifier::from(&self.cosigner))
                    .map_err(|error| JournalError::Index(error.to_string()))?
                    .to_bytes();
                tx.append(Event::CosignatureGiven(pb::CosignatureGiven {
                    origin: origin.to_string(),
                    partner: watched.partner.map_or_else(String::new, |name| name.to_string()),
                    note: note.clone().into(),
                }))?;
                Ok(Witnessed::Cosigned(note))
            }
            Err(refusal) => {
                let held = last.map_or_else(Bytes::new, |last| last.note);
                if let Some(found) = self.contradiction(&refusal, held, shown) {
                    let partner = watched.partner.map_or_else(String::new, |name| name.to_string());
                    let origin = origin.to_string();
                    let found = pb::ContradictionFound { origin, partner, ..found };
                    tx.append(Event::ContradictionFound(found))?;
                }
                Ok(Witnessed::Refused(refusal))
            }
        }
    }

    fn contradiction(
        &self,
        refusal: &WitnessRefusal,
        held_note: Bytes,
        shown: &ShownCheckpoint,
    ) -> Option<pb::ContradictionFound> {
        let (kind, note) = match refusal {
            WitnessRefusal::SameSize { shown } => (pb::Contradiction::SameSize, shown),
            WitnessRefusal::EmptyRoot { shown } => (pb::Contradiction::EmptyRoot, shown),
            WitnessRefusal::Proof { shown, .. } if self.by == ShownBy::Log => {
                (pb::Contradiction::Proof, shown)
            }
            _ => return None,
        };
        Some(pb::ContradictionFound {
            kind: kind.into(),
            held_note,
            // As it was verified, never as it came.
            shown_note: note.to_bytes().into(),
            proof: shown.proof.iter().map(|h| Bytes::copy_from_slice(h.as_bytes())).collect(),
            ..pb::ContradictionFound::default()
        })
    }
}

/// This node as a witness of other logs, and the witnesses of its own journal.
pub struct Witnessing {
    pub(super) core: Arc<Core>,
    rules: Arc<RulesInForce>,
    cosigner: Cosigner,
    pub(super) journal_key: PublicKey,
    /// Logs beside partners' journals that are witnessed here.
    logs: Arc<[NoteVerifier]>,
    /// Seconds after which a witness is asked again.
    pub(super) every_seconds: u32,
    /// The reason why a witness that is not a partner could not be asked lately, by the name of its
    /// key.
    pub(super) unasked: Mutex<BTreeMap<String, String>>,
    /// The signal that a witness was added.
    pub(super) witness_added: Notify,
}

impl Witnessing {
    pub(in crate::node) fn new(
        core: Arc<Core>,
        rules: Arc<RulesInForce>,
        keys: &NodeKeys,
        config: &config::Witness,
    ) -> Result<Arc<Self>, NodeError> {
        let name = witness_name(core.agency());
        let name = name.parse().map_err(|error| NodeError::start("witness key name", error))?;
        Ok(Arc::new(Self {
            core,
            rules,
            cosigner: Cosigner::new(name, keys.witness.signing_key().clone()),
            journal_key: *keys.journal.public(),
            logs: config.logs()?.into(),
            every_seconds: config.every_seconds,
            unasked: Mutex::default(),
            witness_added: Notify::new(),
        }))
    }

    /// Milliseconds after which a partner is asked for a cosignature again.
    pub(in crate::node) fn every_ms(&self) -> i64 {
        i64::from(self.every_seconds) * 1_000
    }

    /// Judges a checkpoint of another log; cosigns it if it continues what was cosigned last.
    pub async fn add_checkpoint(
        &self,
        shown: ShownCheckpoint,
        by: ShownBy,
    ) -> Result<Witnessed, NodeError> {
        let judge = Judge { cosigner: self.cosigner.clone(), logs: Arc::clone(&self.logs), by };
        let frozen = || self.core.view().snapshot().state.witnessing.contradictions.len();
        let before = frozen();
        let (witnessed, _) = self.core.journal.commit(move |tx| judge.judge(tx, &shown)).await?;
        if frozen() != before {
            self.froze();
        }
        Ok(witnessed)
    }

    /// The newest checkpoint of another log that was cosigned here, with both lines.
    pub fn cosigned_checkpoint(&self, origin: &str) -> Option<Bytes> {
        let snapshot = self.core.view().snapshot();
        snapshot.state.witnessing.given.get(origin).map(|cosigned| cosigned.note.clone())
    }

    /// The origins of all logs of which a checkpoint was cosigned here.
    pub fn cosigned_origins(&self) -> Vec<String> {
        self.core.view().snapshot().state.witnessing.given.keys().cloned().collect()
    }

    /// The key by which others verify this node as a witness.
    pub(super) fn witness_verifier(&self) -> NoteVerifier {
        NoteVerifier::from(&self.cosigner)
    }

    /// Every stream looks again whether its partner may go on.
    fn froze(&self) {
        self.core.refused("contradiction");
        tracing::error!("a log showed two histories and is frozen; `liaison status` names it");
        self.rules.announce_change();
    }

    /// Keeps what a session found against the partner as evidence, and freezes the partner.
    pub(in crate::node) async fn keep_evidence(
        &self,
        agency: &AgencyName,
        evidence: &Evidence,
    ) -> Result<(), NodeError> {
        let Some(found) = self.evidence_of(agency, evidence)? else { return Ok(()) };
        self.core
            .journal
            .commit(move |tx| {
                if tx.state().witnessing.contradictions.contains_key(&found.origin) {
                    return Ok(());
                }
                tx.append(Event::ContradictionFound(found)).map(drop)
            })
            .await?;
        self.froze();
        Ok(())
    }

    fn evidence_of(
        &self,
        agency: &AgencyName,
        evidence: &Evidence,
    ) -> Result<Option<pb::ContradictionFound>, NodeError> {
        let pair = pair_with(self.core.view(), self.core.agency(), agency)?;
        let found = match evidence {
            Evidence::PartnerForked { note, computed, held, .. } => pb::ContradictionFound {
                origin: pair.partner_feed().to_string(),
                kind: pb::Contradiction::Entries.into(),
                held_note: held.clone().into(),
                shown_note: pair
                    .open_partner_head(note)
                    .map_err(|error| NodeError::start("evidence", error))?
                    .to_bytes()
                    .into(),
                computed_root: Bytes::copy_from_slice(computed.as_bytes()),
                ..pb::ContradictionFound::default()
            },
            Evidence::PartnerJournal(
                refusal
                @ (WitnessRefusal::SameSize { shown } | WitnessRefusal::EmptyRoot { shown }),
            ) => pb::ContradictionFound {
                origin: pair.partner.journal_origin().to_string(),
                kind: match refusal {
                    WitnessRefusal::EmptyRoot { .. } => pb::Contradiction::EmptyRoot.into(),
                    _ => pb::Contradiction::SameSize.into(),
                },
                held_note: self
                    .cosigned_checkpoint(pair.partner.journal_origin().as_str())
                    .unwrap_or_default(),
                shown_note: shown.to_bytes().into(),
                ..pb::ContradictionFound::default()
            },
            _ => return Ok(None),
        };
        Ok(Some(pb::ContradictionFound { partner: agency.to_string(), ..found }))
    }

    /// Logs that are frozen, for people.
    pub(in crate::node) fn contradiction_views(&self) -> Vec<pb::ContradictionView> {
        let snapshot = self.core.view().snapshot();
        let found = snapshot.state.witnessing.contradictions.iter();
        found
            .map(|(origin, found)| pb::ContradictionView {
                origin: origin.clone(),
                partner: found.partner.as_ref().map_or_else(String::new, ToString::to_string),
                kind: found.kind.into(),
                journal_index: found.journal_index,
                at_ms: found.at.unix_ms() as u64,
            })
            .collect()
    }

    /// The witnesses of this node's journal: partners that are active, and those that were added.
    pub fn views(&self) -> Vec<pb::WitnessView> {
        let snapshot = self.core.view().snapshot();
        let witnessing = &snapshot.state.witnessing;
        let unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |verifier: &NoteVerifier, partner: String, url: &str| {
            let cosigned = witnessing.received.get(verifier.name().as_str());
            pb::WitnessView {
                vkey: verifier.to_string(),
                partner,
                url: url.to_owned(),
                cosigned_size: cosigned.map_or(0, |cosigned| cosigned.head.size.get()),
                cosigned_at_ms: cosigned.map_or(0, |cosigned| cosigned.at.unix_ms() as u64),
                last_error: unasked
                    .get(verifier.name().as_str())
                    .filter(|_| !url.is_empty())
                    .cloned()
                    .unwrap_or_default(),
            }
        };
        let partners = snapshot.state.partners.iter().filter_map(|(agency, partner)| {
            let name = witness_name(agency).parse().ok()?;
            let key = partner.card.card().witness_key;
            let key = NoteVerifier::new(name, SignatureType::Cosignature, key.as_bytes()).ok()?;
            let active = partner.state == pb::PartnerState::Active;
            active.then(|| view(&key, agency.to_string(), ""))
        });
        let added = witnessing.added.values();
        partners
            .chain(added.map(|added| view(&added.verifier, String::new(), &added.url)))
            .collect()
    }
}

/// Takes in a cosignature of this agency's own, unless a later one is known.
pub(in crate::node) fn adopt(
    tx: &mut Transaction<'_>,
    given: pb::CosignatureGiven,
) -> Result<(), JournalError> {
    let cosigned = cosigned_size(&given.note);
    if cosigned <= tx.state().witnessing.known(&given.origin).size {
        return Ok(());
    }
    tx.append(Event::CosignatureGiven(given)).map(drop)
}

/// The size in a checkpoint note that was verified.
fn cosigned_size(note: &[u8]) -> TreeSize {
    Note::parse(note)
        .ok()
        .and_then(|note| Checkpoint::parse(note.text()).ok())
        .map_or(TreeSize::default(), |checkpoint| checkpoint.size())
}
