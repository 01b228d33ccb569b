//! Erasing on the order of this agency's own people, holds, and the index that forgets.
//!
//! An erasure concerns every revision of a series that was here when it was approved. For own records it is
//! also an order to all who received them; the feeds carry it on from the journal. Nothing under a hold is
//! erased.

use super::error::ErasureError;
use crate::ident::RecordId;
use crate::journal::JournalError;
use crate::journal::erase::Ground;
use crate::journal::erasure_index::scrub_marker;
use crate::journal::transaction::Transaction;
use crate::journal::writer::{Committed, JournalWriter};
use crate::node::approvals::proposal::propose;
use crate::node::client::Client;
use crate::node::commit::commit_unless_refused;
use crate::node::core::Core;
use crate::node::error::NodeError;
use crate::node::submission::record_signer::RecordSigner;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::{Hold, hold};
use crate::record::erasure::{ErasureBasis, ErasureOrder, ErasureScope, slots_to_erase};
use crate::record::slots::SlotMask;
use crate::record::stored;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Revisions that one job of the writer erases.
const PART_REVISIONS_MAX: usize = 1_024;

/// Bytes that one job may leave of all its revisions: they are written again within it. One revision more may come on
/// top, and others wait for the writer meanwhile.
const PART_BYTES_MAX: usize = 8 << 20;

/// The interval until an approved erasure that could not go on is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// The index is written anew at most this share of the time: one part in so many.
const SCRUB_SHARE: u32 = 10;

/// The most that one job of the writer erases of what was approved.
#[derive(Debug, Clone, Copy)]
pub(in crate::node) struct PartLimit {
    pub(in crate::node) revisions: usize,
    pub(in crate::node) bytes: usize,
}

impl PartLimit {
    pub(in crate::node) const OF_A_JOB: Self =
        Self { revisions: PART_REVISIONS_MAX, bytes: PART_BYTES_MAX };
}

/// The state of an approved erasure after one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Part {
    Completed,
    /// Revisions with a higher id are left.
    Behind(RecordId),
    /// Slots of revisions with a lower id may have come meanwhile.
    LookAgain,
    /// A revision is under a hold.
    Waits,
}

/// The plan of an approved act.
pub(in crate::node) struct Plan {
    /// A record of the series.
    id: RecordId,
    slots: SlotMask,
    basis: ErasureBasis,
    authority: String,
    /// The records are this agency's own, so that it orders everybody to erase them.
    orders: bool,
}

/// Fills in what the proposal was made on, if it can be carried out now.
pub(in crate::node) fn prepare(
    tx: &Transaction<'_>,
    mut act: pb::EraseAct,
) -> Result<pb::EraseAct, NodeError> {
    let id = RecordId::try_from(&act.record_id[..])?;
    let record = tx.record(&id)?.ok_or(NodeError::UnknownRecord { id })?;
    let header = record.header();
    let head = tx.series_head(header.series, &header.originator)?.map_or(id, |head| head.id);
    act.series_head = Bytes::copy_from_slice(head.as_bytes());
    plan(tx, &act)?;
    Ok(act)
}

/// The change to the hold on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    Begin,
    /// `erases`: the caller knows that slots go which were ordered erased meanwhile.
    End {
        erases: bool,
    },
}

/// Returns what an act comes to as things are now. Refused if they are no longer as they were.
pub(in crate::node) fn plan(tx: &Transaction<'_>, act: &pb::EraseAct) -> Result<Plan, NodeError> {
    let plan = read(tx, act)?;
    let id = plan.id;
    let record = tx.record(&id)?.ok_or(NodeError::UnknownRecord { id })?;
    let header = record.header();
    let head = tx.series_head(header.series, &header.originator)?;
    if head.is_some_and(|head| head.id.as_bytes()[..] != act.series_head[..]) {
        return Err(ErasureError::Revised { id }.into());
    }
    let mut is_here = false;
    // What is here now, and this approval would cover it.
    let scope = ErasureScope::approved_at(tx.size().get());
    for id in revisions(tx, &plan.id, scope)? {
        let Some(due) = plan.due(tx, &id)? else { continue };
        if let Some(hold) = due.hold {
            return Err(ErasureError::Held { id, hold }.into());
        }
        is_here |= !due.slots.is_empty();
    }
    if !is_here {
        return Err(ErasureError::NothingLeft { id }.into());
    }
    Ok(plan)
}

/// Reads an act, whatever happened since it was proposed.
fn read(tx: &Transaction<'_>, act: &pb::EraseAct) -> Result<Plan, NodeError> {
    let (Ok(id), Some(basis)) =
        (RecordId::try_from(&act.record_id[..]), ErasureBasis::from_number(act.basis))
    else {
        return Err(ErasureError::Incomplete.into());
    };
    let record = tx.record(&id)?.ok_or(NodeError::UnknownRecord { id })?;
    let header = record.header();
    let slots = SlotMask::from_bits(act.slots);
    if slots.is_empty() || !slots.without(SlotMask::all(header.kind)).is_empty() {
        let (kind, slots) = (header.kind, act.slots);
        return Err(ErasureError::Slots { kind, slots }.into());
    }
    let orders = header.originator == tx.signing().agency;
    Ok(Plan { id, slots, basis, authority: act.authority.clone(), orders })
}

/// The slots of one revision that are to be erased.
struct DueSlots {
    slots: SlotMask,
    hold: Option<Hold>,
    /// Bytes that are written again.
    left: usize,
}

/// The revisions of a record's series that an approval covers. An act names a record that is here, so the
/// record itself is always among them.
fn revisions(
    tx: &Transaction<'_>,
    id: &RecordId,
    scope: ErasureScope,
) -> Result<BTreeSet<RecordId>, JournalError> {
    let mut found = BTreeSet::from([*id]);
    let Some(record) = tx.record(id)? else { return Ok(found) };
    let header = record.header();
    let members = tx.members(header.series, &header.originator)?;
    let covered = members.iter().filter(|member| scope.covers(member.journal_index));
    found.extend(covered.map(|member| member.id));
    Ok(found)
}

impl Plan {
    /// Refuses a plan whose orders the record key may not sign now.
    pub(in crate::node) fn check_key(
        &self,
        tx: &Transaction<'_>,
        signer: &RecordSigner,
    ) -> Result<(), NodeError> {
        if self.orders { signer.check(tx.state(), tx.now()) } else { Ok(()) }
    }

    /// Returns what is to be erased of a revision; `None` if it is not here.
    fn due(&self, tx: &Transaction<'_>, id: &RecordId) -> Result<Option<DueSlots>, JournalError> {
        let (Some(record), Some(marks)) = (tx.record(id)?, tx.marks(id)?) else { return Ok(None) };
        let slots = slots_to_erase(self.slots, &record, self.orders);
        let left = stored::encoded_len(&record.erased(slots));
        let hold = hold(record.kind(), marks.is_restricted(), self.basis);
        Ok(Some(DueSlots { slots, hold, left }))
    }

    /// Erases revisions with an id behind `after` until the job is full. The journal records when all that the
    /// approval covers are erased.
    pub(in crate::node) fn carry_out(
        &self,
        tx: &mut Transaction<'_>,
        (proposal, scope, signer): (u64, ErasureScope, &RecordSigner),
        after: Option<RecordId>,
        limit: PartLimit,
    ) -> Result<Part, JournalError> {
        let (mut revised, mut bytes, mut waits) = (0, 0, false);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for id in revisions(tx, &self.id, scope)?.range((from, Bound::Unbounded)) {
            let Some(DueSlots { slots, hold, left }) = self.due(tx, id)? else { continue };
            if slots.is_empty() {
                continue;
            }
            if hold.is_some() {
                waits = true;
                continue;
            }
            let sign = || ErasureOrder::sign(id, slots, self.basis, tx.now(), signer.parts());
            let order = self.orders.then(sign);
            let authority = self.authority.clone();
            let ground = Ground { basis: self.basis, authority, proposal, partner: None, order };
            tx.erase(id, slots, &ground)?;
            (revised, bytes) = (revised + 1, bytes + left);
            if revised >= limit.revisions || bytes >= limit.bytes {
                return Ok(Part::Behind(*id));
            }
        }
        match (waits, after) {
            (true, _) => Ok(Part::Waits),
            (false, Some(_)) => Ok(Part::LookAgain),
            (false, None) => {
                tx.append(Event::ErasureCompleted(pb::ErasureCompleted { proposal }))?;
                Ok(Part::Completed)
            }
        }
    }
}

/// Carries on an erasure that was approved; nothing if it is complete.
pub(in crate::node) fn next_part(
    tx: &mut Transaction<'_>,
    (proposal, signer): (u64, &RecordSigner),
    after: Option<RecordId>,
    limit: PartLimit,
) -> Result<Part, NodeError> {
    let open = tx.state().erasing.get(&proposal);
    let Some((act, scope)) = open.and_then(|open| open.erasure().cloned().zip(open.scope())) else {
        return Ok(Part::Completed);
    };
    let plan = read(tx, &act)?;
    plan.check_key(tx, signer)?;
    Ok(plan.carry_out(tx, (proposal, scope, signer), after, limit)?)
}

/// Carries out what is left of an approved erasure, one job of the writer after the other. False if a hold keeps some of
/// it.
pub(super) async fn finish(
    journal: &JournalWriter,
    signer: &RecordSigner,
    proposal: u64,
    limit: PartLimit,
) -> Result<bool, NodeError> {
    let mut after = None;
    loop {
        let signer = signer.clone();
        let job = move |tx: &mut Transaction<'_>| next_part(tx, (proposal, &signer), after, limit);
        let (part, _) = commit_unless_refused(journal, job).await?;
        match part {
            Part::Completed => return Ok(true),
            Part::Waits => return Ok(false),
            Part::Behind(id) => after = Some(id),
            Part::LookAgain => after = None,
        }
    }
}

/// Refuses a hold on a record of which slots are being erased: that was decided, and has begun.
pub(super) fn check_no_erasure(tx: &Transaction<'_>, id: &RecordId) -> Result<(), NodeError> {
    for (proposal, act) in &tx.state().erasing {
        let named = act.erasure().and_then(|act| RecordId::try_from(&act.record_id[..]).ok());
        let Some((named, scope)) = named.zip(act.scope()) else { continue };
        if revisions(tx, &named, scope)?.contains(id) {
            let (id, proposal) = (*id, *proposal);
            return Err(ErasureError::Erasing { id, proposal }.into());
        }
    }
    Ok(())
}

/// Puts a record under a hold, or ends it; gives the slots erased with its end.
pub(in crate::node) fn change_hold(
    tx: &mut Transaction<'_>,
    client: &str,
    id: RecordId,
    hold: HoldChange,
    reason: String,
) -> Result<SlotMask, NodeError> {
    let restricted = hold == HoldChange::Begin;
    let marks = tx.marks(&id)?.ok_or(NodeError::UnknownRecord { id })?;
    if marks.is_restricted() == restricted {
        return Err(match restricted {
            true => ErasureError::HoldBegun { id }.into(),
            false => ErasureError::NoHold { id }.into(),
        });
    }
    if restricted {
        check_no_erasure(tx, &id)?;
    }
    let due = tx.waiting_slots(&id)?;
    if hold == (HoldChange::End { erases: false }) && !due.is_empty() {
        return Err(ErasureError::ErasureOrdered { id, slots: due }.into());
    }
    let erased = tx.restrict(&id, restricted, reason, client)?;
    Ok(erased.unwrap_or(SlotMask::NONE))
}

/// Erasures and holds, and the index that is written anew after them.
pub struct Erasures {
    pub(super) core: Arc<Core>,
    signer: RecordSigner,
    /// The signal that the index is to be written anew.
    scrub: Notify,
    /// The signal that an approved erasure could not be carried out in full.
    unfinished: Notify,
}

impl Erasures {
    pub(in crate::node) fn new(core: Arc<Core>, signer: RecordSigner) -> Arc<Self> {
        let (scrub, unfinished) = (Notify::new(), Notify::new());
        Arc::new(Self { core, signer, scrub, unfinished })
    }

    /// Proposes to erase slots of a record. It changes nothing until a second person approves.
    pub async fn propose(
        &self,
        client: Client,
        act: pb::EraseAct,
    ) -> Result<(pb::ActView, Committed), NodeError> {
        propose(&self.core.journal, client, (act, Act::Erase), prepare).await
    }

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
        let job = move |tx: &mut Transaction<'_>| change_hold(tx, &client, id, hold, reason);
        let (erased, committed) = commit_unless_refused(&self.core.journal, job).await?;
        if !erased.is_empty() {
            self.scrub_soon();
        }
        Ok((erased, committed))
    }

    /// Carries out what is left of approved erasures: at the start, and whenever one was cut short.
    pub(in crate::node) async fn finish_erasures(self: Arc<Self>) {
        let mut stopping = self.core.stopping();
        loop {
            let mut is_done = true;
            let waiting: Vec<u64> =
                self.core.view().snapshot().state.erasing.keys().copied().collect();
            for proposal in waiting {
                is_done &= self.finish_erasure(proposal).await;
            }
            let again = async || match is_done {
                true => std::future::pending().await,
                false => tokio::time::sleep(AGAIN).await,
            };
            tokio::select! {
                () = again() => {}
                () = self.unfinished.notified() => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Carries out what is left of one that was approved just now; where that fails, it is tried again later.
    pub(in crate::node) async fn finish_or_try_again(&self, proposal: u64) {
        if !self.finish_erasure(proposal).await {
            self.unfinished.notify_one();
        }
    }

    /// Carries out what is left of one; true if nothing is.
    async fn finish_erasure(&self, proposal: u64) -> bool {
        let finished =
            finish(&self.core.journal, &self.signer, proposal, PartLimit::OF_A_JOB).await;
        self.scrub_soon();
        match finished {
            Ok(true) => true,
            Ok(false) => {
                tracing::warn!(proposal, "a hold keeps a part of an approved erasure");
                false
            }
            Err(error) => {
                tracing::warn!(proposal, %error, "an approved erasure is not carried out in full yet");
                false
            }
        }
    }

    /// Has the index written anew, so that its files hold nothing that was erased.
    pub(in crate::node) fn scrub_soon(&self) {
        self.scrub.notify_one();
    }

    /// Writes the index anew whenever an erasure asks for it, until the node stops.
    pub(in crate::node) async fn scrub_index(self: Arc<Self>) {
        let mut stopping = self.core.stopping();
        loop {
            let view = Arc::clone(self.core.view());
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
