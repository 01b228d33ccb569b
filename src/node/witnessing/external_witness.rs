//! Witnesses that are not partners: added by an operator, asked over HTTP (C2SP tlog-witness).
//!
//! What comes back is believed for its signature alone, so the connection needs no certificate.

use super::error::WitnessingError;
use super::witness::Witnessing;
use crate::exchange::{SignedTime, check_not_ahead};
use crate::ident::{Timestamp, TreeSize};
use crate::journal::state::witnessing::{AddedWitness, WITNESSES_MAX};
use crate::merkle::{AddCheckpoint, Note, NoteVerifier, Origin, SignatureType, SignedCheckpoint};
use crate::node::commit::commit_unless_refused;
use crate::node::error::NodeError;
use crate::pb::{self, journal_entry::Event};
use crate::tls::{WebClient, WebError};
use http::StatusCode;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The longest time for a witness to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer: a few signature lines.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The interval at which the node checks whether to ask a witness.
const TICK: Duration = Duration::from_secs(1);

impl Witnessing {
    /// Adds a witness that is not a partner, or changes where it is asked.
    pub async fn add_witness(&self, client: &str, vkey: &str, url: &str) -> Result<(), NodeError> {
        let key: NoteVerifier = vkey.parse().map_err(WitnessingError::Key)?;
        if key.signature_type() != SignatureType::Cosignature {
            let found = key.signature_type().byte();
            return Err(WitnessingError::KeyType { found }.into());
        }
        let own = self.witness_verifier();
        if key.verifying_key() == own.verifying_key() {
            return Err(WitnessingError::OwnKey { name: key.name().to_string() }.into());
        }
        witness_url(url)?;
        let added = pb::WitnessAdded {
            vkey: key.to_string(),
            url: url.to_owned(),
            client: client.to_owned(),
        };
        commit_unless_refused(&self.core.journal, move |tx| {
            let known = &tx.state().witnessing.added;
            if !known.contains_key(key.name().as_str()) && known.len() >= WITNESSES_MAX {
                return Err(WitnessingError::TooMany.into());
            }
            let is_same = |other: &&AddedWitness| {
                let (other, same) = (&other.verifier, key.verifying_key());
                other.verifying_key() == same && other.name() != key.name()
            };
            if let Some(other) = known.values().find(is_same) {
                let name = other.verifier.name().to_string();
                return Err(WitnessingError::KnownKey { name }.into());
            }
            Ok(tx.append(Event::WitnessAdded(added))?)
        })
        .await?;
        self.witness_added.notify_one();
        Ok(())
    }

    /// The keys that others verify this node by, as a log and as a witness.
    pub fn verifiers(&self) -> Result<(NoteVerifier, NoteVerifier), NodeError> {
        Ok((self.journal_verifier()?, self.witness_verifier()))
    }

    fn journal_verifier(&self) -> Result<NoteVerifier, NodeError> {
        let generation = self.core.view().snapshot().state.generation();
        let origin = generation.journal_origin(self.core.agency());
        let name = origin.parse().map_err(|error| NodeError::start("journal key name", error))?;
        NoteVerifier::new(name, SignatureType::Ed25519, self.journal_key.as_bytes())
            .map_err(|error| NodeError::start("journal key", error))
    }

    /// Asks the witnesses that were added until the node stops; a new one at once.
    pub(in crate::node) async fn ask_added_witnesses(self: Arc<Self>) {
        let every = Duration::from_secs(self.every_seconds.into()).max(TICK);
        let mut ticks = tokio::time::interval(every);
        let mut stopping = self.core.stopping();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.witness_added.notified() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            let snapshot = self.core.view().snapshot();
            for (name, added) in &snapshot.state.witnessing.added {
                let known = snapshot.state.witnessing.received.get(name);
                let old = known.map_or(0, |known| known.head.size.get());
                if snapshot.state.substance <= old {
                    continue;
                }
                let asked = self.ask_added(added, TreeSize::new(old)).await;
                self.was_asked(name, asked.err());
            }
        }
    }

    fn was_asked(&self, name: &str, failed: Option<NodeError>) {
        let mut unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = failed else {
            unasked.remove(name);
            return;
        };
        tracing::warn!(witness = name, %error, "a witness did not cosign");
        unasked.insert(name.to_owned(), error.to_string());
    }

    async fn ask_added(&self, witness: &AddedWitness, old: TreeSize) -> Result<(), NodeError> {
        let named = match self.post_checkpoint(witness, old).await? {
            Answer::Cosigned(note, made) => {
                return self.keep_cosignature(witness, note, made).await;
            }
            Answer::Knows(named) => named,
        };
        match self.post_checkpoint(witness, named).await? {
            Answer::Cosigned(note, made) => self.keep_cosignature(witness, note, made).await,
            Answer::Knows(second) => Err(WitnessingError::TwoSizes { first: named, second }.into()),
        }
    }

    async fn post_checkpoint(
        &self,
        witness: &AddedWitness,
        old: TreeSize,
    ) -> Result<Answer, NodeError> {
        let view = self.core.view();
        let (snapshot, old_size) = (view.snapshot(), old.get());
        let needs_proof = old_size > 0 && old_size < snapshot.size;
        let proof = match needs_proof {
            true => view.journal().consistency(old_size, snapshot.size)?,
            false => Vec::new(),
        };
        let note = Note::parse(&snapshot.note).map_err(|error| NodeError::start("note", error))?;
        let body = AddCheckpoint::new(old, proof, note)
            .map_err(|error| NodeError::start("checkpoint", error))?
            .to_bytes();
        let failed = |error| NodeError::start("asking the witness", error);
        let mut client =
            WebClient::new(witness_url(&witness.url)?, None, ANSWER_TIMEOUT).map_err(failed)?;
        let answer = client.post("add-checkpoint", body, ANSWER_BYTES_MAX).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&answer.body);
        match answer.status {
            StatusCode::OK => {
                let note = [&snapshot.note[..], text.as_bytes()].concat();
                Ok(Answer::Cosigned(note, snapshot.state.last_at))
            }
            StatusCode::CONFLICT => text
                .trim_end()
                .parse()
                .map(|size| Answer::Knows(TreeSize::new(size)))
                .map_err(|_| WitnessingError::NoSize.into()),
            other => Err(WitnessingError::Status(other).into()),
        }
    }

    /// Journals a checkpoint of ours with the lines that came, once they are verified. `made`: the time of
    /// the last entry under it.
    async fn keep_cosignature(
        &self,
        witness: &AddedWitness,
        note: Vec<u8>,
        made: Option<Timestamp>,
    ) -> Result<(), NodeError> {
        let log = self.journal_verifier()?;
        let witnesses = std::slice::from_ref(&witness.verifier);
        let opened = SignedCheckpoint::open(&note, &log, witnesses, &Origin::from(log.name()))
            .map_err(|error| NodeError::start("the cosignature of the witness", error))?;
        let Some(line) = opened.cosignatures().first() else {
            return Err(WitnessingError::NoLine.into());
        };
        // Where this node's clock is the wrong one, this time is what shows it.
        self.core.time.answered(witness.verifier.name().as_str(), &note);
        let time = SignedTime { signed: line.at, made, last: None };
        time.check()
            .and_then(|()| check_not_ahead(line.at, self.core.now()))
            .map_err(WitnessingError::Time)?;
        let received = pb::CosignatureReceived {
            witness: witness.verifier.name().to_string(),
            note: opened.to_bytes().into(),
        };
        self.core
            .journal
            .commit(move |tx| tx.append(Event::CosignatureReceived(received)).map(drop))
            .await?;
        Ok(())
    }
}

enum Answer {
    /// The checkpoint with the lines that came, and the time of the last entry under it.
    Cosigned(Vec<u8>, Option<Timestamp>),
    Knows(TreeSize),
}

/// A witness's URL, below which `add-checkpoint` is.
fn witness_url(url: &str) -> Result<&str, WitnessingError> {
    match WebClient::new(url, None, ANSWER_TIMEOUT) {
        Ok(_) => Ok(url),
        Err(WebError::NoAuthority(_)) => Err(WitnessingError::Https),
        Err(error) => Err(WitnessingError::Url(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_has_a_plain_url() {
        for good in ["http://w.example", "http://127.0.0.1:8080/a/b/"] {
            assert_eq!(witness_url(good).ok(), Some(good));
        }
        for bad in ["https://w.example", "w.example", "http://", "http://w.example/?a=b"] {
            assert!(witness_url(bad).is_err(), "{bad}");
        }
    }
}
