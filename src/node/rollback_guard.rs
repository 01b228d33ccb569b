//! The rollback guard: at its start, this node asks its partners whether it runs on an old copy of
//! its directory.
//!
//! A node that was restored from an old copy would sign a second root for sizes that it signed
//! before. Partners hold what its own keys signed: cosigned checkpoints, feed heads with receipts,
//! and this node's own receipts and cosignatures. Their hello shows all of it before anything is
//! stored. What a partner says without our own signature moves nothing here.

use super::config::{self, GuardStart};
use super::key_succession::keep_shown;
use crate::ident::AgencyName;
use crate::journal::entry::{receipt_name, witness_name};
use crate::journal::gate::{Gate, Standing};
use crate::journal::state::State;
use crate::merkle::{Note, NoteVerifier, SignatureType};
use crate::pb;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Findings kept for people.
const FINDINGS_MAX: usize = 16;

#[derive(Debug, Default)]
struct Asked {
    /// Partners that could know, and have not answered.
    awaited: BTreeSet<AgencyName>,
    /// Answers still wanted.
    wanted: usize,
    findings: Vec<String>,
    unanswered: bool,
}

/// The partners that were asked, and their answers.
#[derive(Debug)]
pub(super) struct RollbackGuard {
    gate: Gate,
    asked: Mutex<Asked>,
    warn_after: Option<Duration>,
    /// The node's directory.
    dir: PathBuf,
}

impl RollbackGuard {
    /// Holds the gate if there is anybody who could know more than the journal.
    pub(super) fn new(
        gate: Gate,
        state: &State,
        config: &config::RollbackGuard,
        dir: PathBuf,
    ) -> Arc<Self> {
        let awaited = could_know(state);
        let wanted = awaited.len().min(config.answers as usize);
        if wanted > 0 {
            gate.hold();
        }
        let asked = Asked { awaited, wanted, ..Asked::default() };
        let warn_after = match config.start {
            GuardStart::Wait => None,
            GuardStart::Warn => Some(Duration::from_secs(config.warn_after_seconds.into())),
        };
        Arc::new(Self { gate, asked: Mutex::new(asked), warn_after, dir })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Asked) -> T) -> T {
        change(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A partner holds nothing of ours that is missing here.
    pub(super) fn assured(&self, agency: &AgencyName) {
        let enough = self.with(|asked| {
            if asked.awaited.remove(agency) {
                asked.wanted = asked.wanted.saturating_sub(1);
            }
            asked.wanted == 0
        });
        if enough {
            self.gate.open();
        }
    }

    /// Something is missing here, by our own signature. The hello that shows it is kept first: whoever stops the node
    /// on the finding has what a succession takes.
    pub(super) fn is_behind(&self, agency: &AgencyName, finding: &str, hello: Option<&pb::Hello>) {
        if let Some(hello) = hello
            && let Err(error) = keep_shown(&self.dir, agency, hello)
        {
            tracing::error!(partner = %agency, %error, "what it showed could not be kept");
        }
        let finding = format!("{agency} shows it: {finding}");
        self.gate.shut(&finding);
        self.with(|asked| {
            asked.awaited.remove(agency);
            if asked.findings.len() < FINDINGS_MAX && !asked.findings.contains(&finding) {
                asked.findings.push(finding);
            }
        });
    }

    /// Goes on without answers once the time for them is over, if it is configured so. Ends when the node stops.
    pub(super) async fn give_up_waiting(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        tokio::select! {
            () = self.wait_for_answers() => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    }

    async fn wait_for_answers(&self) {
        let Some(patience) = self.warn_after else { return };
        if tokio::time::timeout(patience, self.gate.opened()).await.is_err() {
            let open = self.gate.standing() == Standing::Held;
            if open {
                tracing::warn!("no partner said whether this node runs on an old copy; it goes on");
                self.with(|asked| asked.unanswered = true);
                self.gate.open();
            }
        }
    }

    pub(super) fn view(&self) -> pb::GuardView {
        let standing = self.gate.standing();
        self.with(|asked| pb::GuardView {
            state: match standing {
                Standing::Shut(_) => pb::GuardState::Behind,
                Standing::Held => pb::GuardState::Asking,
                Standing::Open | Standing::Doubted(_) if asked.unanswered && asked.wanted > 0 => {
                    pb::GuardState::Unanswered
                }
                Standing::Open | Standing::Doubted(_) => pb::GuardState::Open,
            }
            .into(),
            awaited: asked.awaited.iter().map(ToString::to_string).collect(),
            findings: asked.findings.clone(),
        })
    }
}

/// Partners that ever held something that this node's keys signed. One that was added and never
/// spoken with knows nothing, so that a new node has nobody to ask.
fn could_know(state: &State) -> BTreeSet<AgencyName> {
    let spoken_with = |agency: &AgencyName| {
        let witnessing = &state.witnessing;
        let Some(partner) = state.partners.get(agency) else { return false };
        let journal = partner.card.card().generation.journal_origin(agency);
        let cosigned = witnessing.given.get(&journal).map(|given| &given.note[..]);
        partner.receipted > 0
            || witnessing.received.contains_key(&witness_name(agency))
            || is_in_force(state, &partner.received.note)
            || cosigned.is_some_and(|note| is_in_force(state, note))
    };
    state
        .partners
        .iter()
        .filter(|(agency, partner)| {
            partner.state == pb::PartnerState::Active && !state.witnessing.is_frozen(agency)
        })
        .map(|(agency, _)| agency.clone())
        .filter(spoken_with)
        .collect()
}

/// Returns true if a note has a line by a key of this node's newest card. Signatures of older keys
/// were known, or known to be lost, when the logs were succeeded.
fn is_in_force(state: &State, note: &[u8]) -> bool {
    let Some(card) = state.card.as_ref().map(|card| card.card()) else { return false };
    let keys = [
        (receipt_name(&card.agency), card.receipt_key),
        (witness_name(&card.agency), card.witness_key),
    ];
    let keys = keys.into_iter().filter_map(|(name, key)| {
        NoteVerifier::new(name.parse().ok()?, SignatureType::Cosignature, key.as_bytes()).ok()
    });
    let keys: Vec<NoteVerifier> = keys.collect();
    Note::parse(note).is_ok_and(|note| {
        note.signatures().iter().any(|line| keys.iter().any(|key| key.is_named_by(line)))
    })
}
