//! The answers of this node to a session, and the jobs that a session asks the writer for: plain functions of
//! what the journal holds. They send nothing and wait for nobody.

use super::ingest::{Incoming, TakenIn, ingest};
use crate::disclosure::{Accepting, PartnerRules};
use crate::exchange::{
    Batch, BatchFault, CheckContext, CheckedBatch, Exception, Input, JournalSize, Pair,
    ReceivedBatch, SignedExceptions, Standing, WitnessStanding, check_batch,
};
use crate::ident::{AgencyName, Generation, LeafIndex, Timestamp, TreeSize};
use crate::journal::JournalError;
use crate::journal::entry::witness_name;
use crate::journal::ids::{FeedNumber, PartnerNumber};
use crate::journal::state::PartnerRecord;
use crate::journal::state::witnessing::Cosigned;
use crate::journal::transaction::Transaction;
use crate::journal::view::{Snapshot, View};
use crate::merkle::{Cosigner, Frontier};
use crate::node::error::NodeError;
use crate::node::keyring::Keys;
use crate::node::witnessing::witness::adopt;
use crate::pb::{self, journal_entry::Event};
use crate::policy::PolicyHour;
use crate::record::signed::VerifiedRoots;
use bytes::Bytes;
use std::sync::Arc;

/// The inputs of a check; it goes to a blocking thread and comes back.
pub(in crate::node) struct Checker {
    pair: Pair,
    keys: Arc<Keys>,
    roots: VerifiedRoots,
    accepting: Accepting,
}

impl Checker {
    /// The checker of before, if these rules are still in force, otherwise a new one; ready for a check at this time.
    pub(in crate::node) fn of(
        held: Option<Self>,
        view: &View,
        rules: PartnerRules,
        pair: &Pair,
        now: Timestamp,
    ) -> Self {
        let held = held.filter(|held| held.accepting.is_under(&rules));
        let mut checker = held.unwrap_or_else(|| Self {
            pair: pair.clone(),
            keys: Arc::new(Keys::of(&view.snapshot().state)),
            roots: VerifiedRoots::default(),
            accepting: Accepting::new(rules, PolicyHour::at(now)),
        });
        checker.accepting.set_time(now);
        checker
    }

    pub(in crate::node) fn check(
        &mut self,
        frontier: Frontier,
        batch: Batch,
    ) -> Result<CheckedBatch, BatchFault> {
        let mut context = CheckContext {
            pair: &self.pair,
            keys: &*self.keys,
            roots: &mut self.roots,
            acceptance: &mut self.accepting,
        };
        check_batch(&mut context, frontier, batch)
    }
}

/// Returns the durable state with which a stream to a partner begins.
pub(in crate::node) fn standing(
    snapshot: &Snapshot,
    (agency, partner): (&AgencyName, &PartnerRecord),
    (pair, receipt_key): (&Pair, &Cosigner),
    (now, witness_every_ms): (Timestamp, i64),
) -> Standing {
    // A partner that took our new card knows no key of before.
    let receipt_note = match &partner.received.note[..] {
        [] => Vec::new(),
        note => pair.receipt_in_force(note, receipt_key, now).unwrap_or_else(|_| note.to_vec()),
    };
    Standing {
        published: TreeSize::new(partner.published.size),
        receipted: TreeSize::new(partner.receipted),
        partner_feed: partner.received.frontier.clone(),
        receipt_note,
        witness: witness_standing(snapshot, (agency, partner), witness_every_ms),
    }
}

fn witness_standing(
    snapshot: &Snapshot,
    (agency, partner): (&AgencyName, &PartnerRecord),
    every_ms: i64,
) -> WitnessStanding {
    let witnessing = &snapshot.state.witnessing;
    let note = |cosigned: Option<&Cosigned>| {
        cosigned.map_or_else(Vec::new, |cosigned| cosigned.note.to_vec())
    };
    let origin = partner.card.card().generation.journal_origin(agency);
    WitnessStanding {
        journal: journal_size(snapshot),
        witnessed_note: note(witnessing.given.get(&origin)),
        cosigned_note: note(witnessing.received.get(&witness_name(agency))),
        receipted_note: partner.receipt_note.to_vec(),
        every_ms,
    }
}

pub(in crate::node) fn journal_size(snapshot: &Snapshot) -> JournalSize {
    let [size, substance] = [snapshot.size, snapshot.state.substance].map(TreeSize::new);
    JournalSize { size, substance }
}

/// Answers which root our feed had at a size.
pub(in crate::node) fn root(
    view: &View,
    feed: FeedNumber,
    size: TreeSize,
) -> Result<Input, JournalError> {
    let log = view.feed(feed)?;
    let root = if size.get() <= log.size() { Some(log.root_at(size.get())?) } else { None };
    let published_at = view.feed_head_published_at(feed, size.get())?;
    Ok(Input::Root { size, root, published_at })
}

/// Answers which root our journal had at a size.
pub(in crate::node) fn journal_root(view: &View, size: TreeSize) -> Result<Input, JournalError> {
    // What is signed ends at the snapshot; leaves behind it may be on their way.
    let has = size.get() <= view.snapshot().size;
    let root = if has { Some(view.journal().root_at(size.get())?) } else { None };
    Ok(Input::JournalRoot { size, root })
}

/// Answers with the newest checkpoint of our journal and the proof from a size.
pub(in crate::node) fn checkpoint(view: &View, old: TreeSize) -> Result<Input, JournalError> {
    let snapshot = view.snapshot();
    let needs_proof = old.get() > 0 && old.get() < snapshot.size;
    let proof = match needs_proof {
        true => view.journal().consistency(old.get(), snapshot.size)?,
        false => Vec::new(),
    };
    let (note, made_at) = (snapshot.note.to_vec(), snapshot.state.last_at);
    Ok(Input::Checkpoint { proof, note, made_at })
}

/// Answers with the exceptions of a partner's feed from an index on.
pub(in crate::node) fn exceptions(
    view: &View,
    source: FeedNumber,
    from: LeafIndex,
) -> Result<Input, NodeError> {
    let mut exceptions = Vec::new();
    for received in view.received_since(source, from.get())? {
        for wire in received.exceptions {
            let exception = Exception::try_from(wire)
                .map_err(|error| NodeError::start("a stored exception", error))?;
            if exception.index >= from {
                exceptions.push(exception);
            }
        }
    }
    Ok(Input::Exceptions(exceptions))
}

/// The partner of a stream, with the generation of its logs when the stream began. Signatures of older keys mean
/// nothing once people accepted a card with others.
#[derive(Debug, Clone)]
pub(in crate::node) struct StreamPartner {
    pub(in crate::node) agency: AgencyName,
    pub(in crate::node) number: PartnerNumber,
    pub(in crate::node) generation: Generation,
}

impl StreamPartner {
    /// Runs a job if the partner's logs are still of that generation.
    pub(in crate::node) fn if_still(
        &self,
        tx: &mut Transaction<'_>,
        job: impl FnOnce(&Self, &mut Transaction<'_>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        if self.is_still(tx) { job(self, tx) } else { Ok(()) }
    }

    /// Returns true if the partner's logs are still of that generation.
    fn is_still(&self, tx: &Transaction<'_>) -> bool {
        let partner = tx.state().partners.get(&self.agency);
        partner.is_some_and(|partner| partner.card.card().generation == self.generation)
    }

    /// Takes in a batch that was checked.
    pub(in crate::node) fn store(
        &self,
        tx: &mut Transaction<'_>,
        batch: ReceivedBatch,
        incoming: Vec<Incoming>,
    ) -> Result<TakenIn, JournalError> {
        if !self.is_still(tx) {
            return Ok(TakenIn::Overtaken);
        }
        ingest(tx, &self.agency, self.number, batch, incoming)
    }

    /// Writes down a cosignature of the partner on our journal.
    pub(in crate::node) fn record_cosignature(
        &self,
        tx: &mut Transaction<'_>,
        note: Vec<u8>,
    ) -> Result<(), JournalError> {
        let witness = witness_name(&self.agency);
        let received = pb::CosignatureReceived { witness, note: note.into() };
        tx.append(Event::CosignatureReceived(received)).map(drop)
    }

    /// Takes in a cosignature from before the own logs were succeeded.
    pub(in crate::node) fn adopt_cosignature(
        &self,
        tx: &mut Transaction<'_>,
        note: Vec<u8>,
    ) -> Result<(), JournalError> {
        let origin = self.generation.journal_origin(&self.agency);
        let partner = self.agency.to_string();
        adopt(tx, pb::CosignatureGiven { origin, partner, note: note.into() })
    }
}

/// Returns the entries of a receipt: one for each statement. `total`: exceptions of the partner so far, with
/// these. `acceptance`: the number of changes to its rules of acceptance when the last batch under it was sent.
pub(in crate::node) fn receipts(
    agency: &AgencyName,
    note: &[u8],
    signed: &[SignedExceptions],
    (total, acceptance): (u64, u64),
) -> Vec<pb::ReceiptReceived> {
    let receipt = |signed: &SignedExceptions| pb::ReceiptReceived {
        partner: agency.to_string(),
        note: Bytes::copy_from_slice(note),
        exceptions: signed.exceptions.iter().map(pb::FeedException::from).collect(),
        exceptions_total: total,
        statement: Some((&signed.statement).into()),
        acceptance,
        // The writer judges the exceptions.
        ..pb::ReceiptReceived::default()
    };
    signed.iter().map(receipt).collect()
}
