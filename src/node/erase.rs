//! Erasing on the order of this agency's own people, holds, and the index that forgets.
//!
//! An erasure concerns every revision of a series that is here. For own records it is also an order
//! to all who received them; the feeds carry it on from the journal. Nothing under a hold is erased.

use super::submit::RecordSigner;
use super::{Node, NodeError};
use crate::ident::RecordId;
use crate::journal::JournalError;
use crate::journal::erase::Ground;
use crate::journal::erasure_index::scrub_marker;
use crate::journal::ledger::Committed;
use crate::journal::transaction::Transaction;
use crate::pb;
use crate::policy::hold;
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::slots::SlotMask;
use crate::record::stored;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Revisions of one series that one act erases: one job of the writer.
const REVISIONS_MAX: usize = 1_024;

/// Bytes that one act may leave of all revisions: they are written again within its job.
const LEFT_BYTES_MAX: usize = 48 << 20;

/// The index is written anew at most this share of the time: one part in so many.
const SCRUB_SHARE: u32 = 10;

/// What an approved act will do.
pub(super) struct Plan {
    records: Vec<(RecordId, SlotMask)>,
    basis: ErasureBasis,
    authority: String,
    /// The records are this agency's own, so that it orders everybody to erase them.
    orders: bool,
}

/// Fills in what the proposal was made on, if it can be carried out now.
pub(super) fn prepare(
    tx: &Transaction<'_>,
    mut act: pb::EraseAct,
) -> Result<Result<pb::EraseAct, NodeError>, JournalError> {
    let id = match RecordId::try_from(&act.record_id[..]) {
        Ok(id) => id,
        Err(error) => return Ok(Err(NodeError::Invalid(error.to_string()))),
    };
    let Some(record) = tx.record(&id)? else { return Ok(Err(unknown(&id))) };
    let header = record.header();
    let head = tx.series_head(header.series, &header.originator)?.map_or(id, |head| head.id);
    act.series_head = Bytes::copy_from_slice(head.as_bytes());
    Ok(plan(tx, &act)?.map(|_| act))
}

/// What is done to the hold on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    Begin,
    /// `erases`: the caller knows that slots go which were ordered erased meanwhile.
    End {
        erases: bool,
    },
}

fn waits_for_the_end(id: &RecordId, due: SlotMask) -> NodeError {
    let numbers = (1..32).filter(|number| due.bits() & 1 << number != 0);
    let numbers: Vec<_> = numbers.map(|number: u32| number.to_string()).collect();
    NodeError::Precondition(format!(
        "its originator ordered slots {} of record {id} erased: with the end of the hold they go for \
         good; say that this is meant with --erase-ordered",
        numbers.join(", ")
    ))
}

fn unknown(id: &RecordId) -> NodeError {
    NodeError::NotFound(format!("this node holds no record {id}"))
}

/// What an act comes to as things are now. Refused if they are no longer as they were.
pub(super) fn plan(
    tx: &Transaction<'_>,
    act: &pb::EraseAct,
) -> Result<Result<Plan, NodeError>, JournalError> {
    let (Ok(id), Some(basis)) =
        (RecordId::try_from(&act.record_id[..]), ErasureBasis::from_number(act.basis))
    else {
        return Ok(Err(NodeError::Invalid("no record or no legal ground is named".to_owned())));
    };
    let Some(record) = tx.record(&id)? else { return Ok(Err(unknown(&id))) };
    let header = record.header();
    let slots = SlotMask::from_bits(act.slots);
    if slots.is_empty() || !slots.without(SlotMask::all(header.kind)).is_empty() {
        let text = format!("slots {:#x} are not slots of a {}", act.slots, header.kind.name());
        return Ok(Err(NodeError::Invalid(text)));
    }
    let head = tx.series_head(header.series, &header.originator)?;
    if head.is_some_and(|head| head.id.as_bytes()[..] != act.series_head[..]) {
        let text = "the record was revised since this was proposed; propose it again";
        return Ok(Err(NodeError::Precondition(text.to_owned())));
    }
    let orders = header.originator == tx.signing().agency;
    let (mut records, mut left) = (Vec::new(), 0);
    for id in revisions(tx, &id)? {
        let (Some(record), Some(marks)) = (tx.record(&id)?, tx.marks(&id)?) else { continue };
        if let Some(hold) = hold(record.kind(), marks.is_restricted(), basis) {
            return Ok(Err(NodeError::Precondition(format!("record {id} stays: {hold}"))));
        }
        let here = if orders { slots.without(record.erased_slots()) } else { record.open_slots() };
        let mask = slots.and(here);
        if !mask.is_empty() {
            left += stored::encoded_len(&record.erased(mask));
            records.push((id, mask));
        }
    }
    if records.is_empty() {
        let text = "none of these slots is here to be erased".to_owned();
        return Ok(Err(NodeError::Precondition(text)));
    }
    if records.len() > REVISIONS_MAX {
        let text = format!("the series has more than {REVISIONS_MAX} revisions");
        return Ok(Err(NodeError::Precondition(text)));
    }
    if left > LEFT_BYTES_MAX {
        let text = format!(
            "{} revisions would keep {} MiB of other slots, and one erasure writes at most {} MiB \
             again; erase their large slots with it",
            records.len(),
            left >> 20,
            LEFT_BYTES_MAX >> 20
        );
        return Ok(Err(NodeError::Precondition(text)));
    }
    Ok(Ok(Plan { records, basis, authority: act.authority.clone(), orders }))
}

/// Every revision of a record's series that is here.
fn revisions(tx: &Transaction<'_>, id: &RecordId) -> Result<BTreeSet<RecordId>, JournalError> {
    let mut found = BTreeSet::from([*id]);
    let Some(record) = tx.record(id)? else { return Ok(found) };
    let header = record.header();
    let members = tx.members(header.series, &header.originator)?;
    found.extend(members.iter().map(|member| member.id));
    Ok(found)
}

impl Plan {
    /// Refuses a plan whose orders the record key may not sign now.
    pub(super) fn check_key(
        &self,
        tx: &Transaction<'_>,
        signer: &RecordSigner,
    ) -> Result<(), NodeError> {
        if self.orders { signer.check(tx.state(), tx.now()) } else { Ok(()) }
    }

    pub(super) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        proposal: u64,
        signer: &RecordSigner,
    ) -> Result<(), JournalError> {
        for (id, slots) in self.records {
            let order = self
                .orders
                .then(|| ErasureOrder::sign(&id, slots, self.basis, tx.now(), signer.parts()));
            let authority = self.authority.clone();
            let ground = Ground { basis: self.basis, authority, proposal, partner: None, order };
            tx.erase(&id, slots, &ground)?;
        }
        Ok(())
    }
}

impl Node {
    /// Puts a record under a hold, or ends it and erases what was ordered meanwhile, which the caller
    /// must know. Gives the slots erased.
    pub async fn restrict(
        &self,
        client: &str,
        id: RecordId,
        hold: HoldChange,
        reason: String,
    ) -> Result<(SlotMask, Committed), NodeError> {
        let client = client.to_owned();
        let restricted = hold == HoldChange::Begin;
        let (outcome, committed) = self
            .ledger
            .commit(move |tx| {
                let Some(marks) = tx.marks(&id)? else { return Ok(Err(unknown(&id))) };
                if marks.is_restricted() == restricted {
                    let state = if restricted { "under a hold already" } else { "under no hold" };
                    return Ok(Err(NodeError::Precondition(format!("record {id} is {state}"))));
                }
                let due = tx.waiting_slots(&id)?;
                if hold == (HoldChange::End { erases: false }) && !due.is_empty() {
                    return Ok(Err(waits_for_the_end(&id, due)));
                }
                let erased = tx.restrict(&id, restricted, reason, &client)?;
                Ok(Ok(erased.unwrap_or(SlotMask::NONE)))
            })
            .await?;
        let erased = outcome?;
        if !erased.is_empty() {
            self.scrub_soon();
        }
        Ok((erased, committed))
    }

    /// Has the index written anew, so that its files hold nothing that was erased.
    pub(super) fn scrub_soon(&self) {
        self.scrub.notify_one();
    }

    /// Writes the index anew whenever an erasure asks for it, until the node stops.
    pub(super) async fn scrub_index(self: Arc<Self>) {
        let mut stopping = self.stopping();
        loop {
            let view = Arc::clone(self.view());
            let begun = tokio::time::Instant::now();
            let rewritten =
                tokio::task::spawn_blocking(move || view.index().rewrite_if_marked(scrub_marker()));
            let pause = match rewritten.await {
                Ok(Ok(true)) => begun.elapsed() * SCRUB_SHARE,
                Ok(Ok(false)) => {
                    tokio::select! {
                        () = self.scrub.notified() => Duration::ZERO,
                        _ = stopping.wait_for(|stop| *stop) => return,
                    }
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the index could not be written anew");
                    Duration::from_secs(60)
                }
                Err(_) => return,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }
}
