//! Use cases of the agency's own clients: submit drafts, withdraw records.
//!
//! Drafts are checked and normalised outside the writer; place in the series, salts and signature
//! are fixed inside it, because only there the order is known.

use super::{Node, NodeError};
use crate::ident::{RecordId, SeriesId};
use crate::journal::JournalError;
use crate::journal::ledger::Committed;
use crate::journal::transaction::{Origin, Transaction};
use crate::pb;
use crate::record::commit::Salt;
use crate::record::draft::{self, Draft, DraftError, Place, Sealed};
use ed25519_dalek::SigningKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Drafts that one job of the writer takes.
const DRAFTS_MAX: usize = 1_024;

/// What came of drafts, and the journal that holds them.
#[derive(Debug)]
pub struct Submitted {
    pub results: Vec<pb::DraftResult>,
    pub committed: Committed,
}

/// Series that one bulk submission remembers; beyond that it begins to forget. 48 bytes each.
const SAID_MAX: usize = 1_000_000;

/// What one bulk submission has said so far. Two rows that speak of one thing and contradict each
/// other would otherwise revise it in turn, again at every push of the same table.
#[derive(Debug, Clone, Default)]
pub struct Said(Arc<Mutex<HashMap<SeriesId, [u8; 32]>>>);

impl Said {
    /// Whether this is the first word on the series, or the same again.
    fn agrees(&self, series: SeriesId, fingerprint: [u8; 32]) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX {
            said.clear();
        }
        *said.entry(series).or_insert(fingerprint) == fingerprint
    }
}

/// Signs in the agency's name.
#[derive(Clone)]
pub(super) struct RecordSigner {
    key: SigningKey,
    key_id: crate::ident::KeyId,
}

impl Node {
    fn record_signer(&self) -> RecordSigner {
        RecordSigner { key: self.keys.record.signing_key().clone(), key_id: self.record_key.id() }
    }

    /// Signs and keeps drafts; answers when they are durable. A refused draft changes nothing and
    /// holds up no other. With `said`, a draft that contradicts one before it is refused.
    pub async fn submit(
        &self,
        client: &str,
        drafts: Vec<pb::Draft>,
        said: Option<Said>,
    ) -> Result<Submitted, NodeError> {
        if drafts.is_empty() || drafts.len() > DRAFTS_MAX {
            return Err(NodeError::Invalid(format!(
                "a request has 1 to {DRAFTS_MAX} drafts, found {}",
                drafts.len()
            )));
        }
        let checked = tokio::task::spawn_blocking(move || -> Vec<Result<Draft, DraftError>> {
            drafts.into_iter().map(Draft::try_from).collect()
        })
        .await
        .map_err(|_| JournalError::Stopped)?;
        let refused = checked.iter().filter(|draft| draft.is_err()).count();
        for _ in 0..refused {
            self.refused("draft");
        }
        let (client, signer) = (client.to_owned(), self.record_signer());
        let (results, committed) = self
            .ledger
            .commit(move |tx| accept_all(tx, checked, said.as_ref(), &client, &signer))
            .await?;
        Ok(Submitted { results, committed })
    }

    /// Signs the withdrawal of one of this agency's own records.
    pub async fn withdraw(
        &self,
        client: &str,
        id: RecordId,
        reason: pb::WithdrawalReason,
        explanation: String,
    ) -> Result<(RecordId, Committed), NodeError> {
        let own = self.agency().clone();
        let (client, signer) = (client.to_owned(), self.record_signer());
        let (outcome, committed) = self
            .ledger
            .commit(move |tx| {
                let Some(record) = tx.record(&id)? else {
                    let text = format!("this node holds no record {id}");
                    return Ok(Err(NodeError::NotFound(text)));
                };
                let header = record.header();
                if header.originator != own {
                    let text =
                        format!("only {}, its originator, can withdraw it", header.originator);
                    return Ok(Err(NodeError::Refused(text)));
                }
                let head = tx.series_head(header.series, &own)?;
                if let Some(head) = head.filter(|head| head.id != id) {
                    let text = format!("it has a newer revision, {}; withdraw that one", head.id);
                    return Ok(Err(NodeError::Precondition(text)));
                }
                if record.kind() == crate::record::kind::Kind::Withdrawal {
                    let text = "it is withdrawn already".to_owned();
                    return Ok(Err(NodeError::Precondition(text)));
                }
                let content = pb::Withdrawal { reason: reason.into(), explanation };
                let draft = match Draft::withdrawal(header, content) {
                    Ok(draft) => draft,
                    Err(error) => return Ok(Err(NodeError::Invalid(error.to_string()))),
                };
                let place = Place::after(header.series, header.revision, id);
                let mut salts = Salts::default();
                let sealed = draft.seal(own, place, tx.now(), || salts.next());
                let id = sealed.id();
                keep(tx, vec![sealed], &client, &signer)?;
                Ok(Ok(id))
            })
            .await?;
        Ok((outcome?, committed))
    }
}

fn accept_all(
    tx: &mut Transaction<'_>,
    drafts: Vec<Result<Draft, DraftError>>,
    said: Option<&Said>,
    client: &str,
    signer: &RecordSigner,
) -> Result<Vec<pb::DraftResult>, JournalError> {
    let mut salts = Salts::default();
    let mut sealed = Vec::with_capacity(drafts.len());
    // What earlier drafts of this very job made of their series.
    let mut heads: HashMap<SeriesId, (u32, RecordId, [u8; 32])> = HashMap::new();
    let mut results = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let draft = match draft {
            Ok(draft) => draft,
            Err(error) => {
                results.push(refusal(error));
                continue;
            }
        };
        let (series, fingerprint) = {
            let secret = &tx.signing().series_secret;
            (draft.series(secret), draft.fingerprint(secret))
        };
        if said.is_some_and(|said| !said.agrees(series, fingerprint)) {
            results.push(contradiction());
            continue;
        }
        let own = tx.signing().agency.clone();
        let head = match heads.get(&series) {
            Some((revision, id, said)) => Some((*revision, *id, Some(*said))),
            None => {
                tx.series_head(series, &own)?.map(|head| (head.revision, head.id, head.fingerprint))
            }
        };
        let (outcome, place) = match head {
            Some((revision, id, Some(said))) if said == fingerprint => {
                let unchanged = pb::DraftOutcome::Unchanged;
                results.push(answer(unchanged, id, series, revision));
                continue;
            }
            Some((revision, id, _)) => {
                (pb::DraftOutcome::Revised, Place::after(series, revision, id))
            }
            None => (pb::DraftOutcome::Created, Place::first(series)),
        };
        let record = draft.seal(own, place, tx.now(), || salts.next());
        heads.insert(series, (place.revision, record.id(), fingerprint));
        results.push(answer(outcome, record.id(), series, place.revision));
        sealed.push(record);
    }
    keep(tx, sealed, client, signer)?;
    Ok(results)
}

fn keep(
    tx: &mut Transaction<'_>,
    sealed: Vec<Sealed>,
    client: &str,
    signer: &RecordSigner,
) -> Result<(), JournalError> {
    let index = tx.size().get();
    let records = draft::sign(sealed, &signer.key, signer.key_id)
        .map_err(|error| JournalError::Entry { index, reason: error.to_string() })?;
    for record in records {
        tx.accept(Arc::new(record), Origin::Client(client))?;
    }
    Ok(())
}

fn answer(
    outcome: pb::DraftOutcome,
    id: RecordId,
    series: SeriesId,
    revision: u32,
) -> pb::DraftResult {
    pb::DraftResult {
        outcome: outcome.into(),
        record_id: bytes::Bytes::copy_from_slice(id.as_bytes()),
        series: bytes::Bytes::copy_from_slice(series.as_bytes()),
        revision,
        field: String::new(),
        reason: String::new(),
    }
}

fn refusal(error: DraftError) -> pb::DraftResult {
    pb::DraftResult {
        outcome: pb::DraftOutcome::Refused.into(),
        field: error.field,
        reason: error.reason,
        ..pb::DraftResult::default()
    }
}

fn contradiction() -> pb::DraftResult {
    pb::DraftResult {
        outcome: pb::DraftOutcome::Refused.into(),
        field: "value".to_owned(),
        reason: "an earlier row of this submission speaks of the same and says something else; \
                 keep one of them"
            .to_owned(),
        ..pb::DraftResult::default()
    }
}

/// Salts from the machine's generator, drawn many at a time.
#[derive(Default)]
struct Salts {
    drawn: Vec<u8>,
}

impl Salts {
    const DRAWN_BYTES: usize = 4_096;

    fn next(&mut self) -> Salt {
        if self.drawn.len() < 16 {
            self.drawn.resize(Self::DRAWN_BYTES, 0);
            // Without randomness nothing can be signed; the process must not go on.
            getrandom::fill(&mut self.drawn).expect("the machine gives random numbers");
        }
        let (rest, salt) = self.drawn.split_at(self.drawn.len() - 16);
        let salt = salt.try_into().expect("16 bytes were split off");
        self.drawn.truncate(rest.len());
        salt
    }
}
