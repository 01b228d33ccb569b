//! Duties to erase that came while a record was under a hold: kept, and carried out when it ends.
//!
//! A duty that waits is an entry with the originator's order, so that a restart and a new index find
//! it again. The end of a hold and the erasures that waited for it are one job of the writer, the
//! erasures right behind it. No hold ends here without them.

use super::JournalError;
use super::entry;
use super::erase::Ground;
use super::erasure_index::{self, Waiting};
use super::ids::{FeedNumber, PartnerNumber};
use super::state::State;
use super::transaction::Transaction;
use super::view::View;
use crate::ident::{AgencyName, RecordId};
use crate::pb::{self, journal_entry::Event};
use crate::record::erasure::ErasureOrder;
use crate::record::slots::SlotMask;
use crate::store::{Change, KeyRange, Order, Table};
use bytes::Bytes;

/// Writes the index changes of an entry, if it is about a duty that waits or waited at a partner.
/// `state` has it taken in.
pub(super) fn put_entry(
    state: &State,
    index: u64,
    event: &Event,
    changes: &mut Vec<Change>,
) -> Result<(), JournalError> {
    match event {
        Event::RecordRestricted(held) => {
            let Some(order) = held.order.clone() else { return Ok(()) };
            let source = state.source_of(index, &held.partner)?;
            let named = SlotMask::from_bits(held.slots);
            let waiting = Waiting { source, feed_index: held.feed_index, named, order };
            changes.push(waiting.put(&entry::record_id(&held.record_id)?));
        }
        Event::ErasureReported(reported) => {
            let source = state.source_of(index, &reported.partner)?;
            let id = entry::record_id(&reported.record_id)?;
            let slots = SlotMask::from_bits(reported.slots);
            changes.push(erasure_index::put_report(&id, source, reported.feed_index, slots));
        }
        _ => {}
    }
    Ok(())
}

impl View {
    /// Duties to erase slots of a record that a hold keeps or kept waiting.
    pub fn waiting(&self, id: &RecordId) -> Result<Vec<Waiting>, JournalError> {
        let range = KeyRange::prefix(erasure_index::waiting_prefix(id));
        self.index
            .scan(Table::Disclosures, &range, Order::Ascending)
            .map(|pair| {
                let (key, value) = pair?;
                Waiting::decode(&key, &value)
            })
            .collect()
    }

    /// Returns the slots of a record that a feed of ours reported as erased after all.
    pub fn answered(&self, id: &RecordId, feed: FeedNumber) -> Result<SlotMask, JournalError> {
        let range = KeyRange::prefix(erasure_index::answers_prefix(id, feed));
        self.index
            .scan(Table::Disclosures, &range, Order::Ascending)
            .try_fold(SlotMask::NONE, |mask, pair| Ok(mask.or(erasure_index::slots_of(&pair?.1)?)))
    }

    /// Returns the slots of a record that a partner's feeds reported as such, in whatever
    /// generation.
    pub fn reported(&self, id: &RecordId, by: PartnerNumber) -> Result<SlotMask, JournalError> {
        let range = KeyRange::prefix(erasure_index::reports_prefix(id));
        let mut reported = SlotMask::NONE;
        for pair in self.index.scan(Table::Disclosures, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (source, slots) = erasure_index::report(&key, &value)?;
            if source.partner() == by {
                reported = reported.or(slots);
            }
        }
        Ok(reported)
    }

    /// The orders to erase slots of a record in a feed, by their index there.
    pub(super) fn orders_in(
        &self,
        id: &RecordId,
        feed: FeedNumber,
    ) -> Result<Vec<u64>, JournalError> {
        let range = KeyRange::prefix(erasure_index::duties_prefix(id));
        let mut orders = Vec::new();
        for pair in self.index.scan(Table::Disclosures, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (of, index, _) = erasure_index::duty(&key, &value)?;
            orders.extend((of == feed).then_some(index));
        }
        Ok(orders)
    }

    /// The slots of a record that our feeds order a partner to erase, in whatever generation.
    pub fn ordered(&self, id: &RecordId, of: PartnerNumber) -> Result<SlotMask, JournalError> {
        self.ordered_in(id, |feed| feed.partner() == of)
    }

    /// The same of some feeds.
    pub(super) fn ordered_in(
        &self,
        id: &RecordId,
        wanted: impl Fn(FeedNumber) -> bool,
    ) -> Result<SlotMask, JournalError> {
        let range = KeyRange::prefix(erasure_index::duties_prefix(id));
        let mut ordered = SlotMask::NONE;
        for pair in self.index.scan(Table::Disclosures, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (feed, _, slots) = erasure_index::duty(&key, &value)?;
            if wanted(feed) {
                ordered = ordered.or(slots);
            }
        }
        Ok(ordered)
    }
}

impl Transaction<'_> {
    /// Duties that wait, those of this group included.
    fn waiting(&self, id: &RecordId) -> Result<Vec<Waiting>, JournalError> {
        let prefix = erasure_index::waiting_prefix(id);
        let mut waiting = self.view.waiting(id)?;
        for (key, value) in self.group.pending.put_under(&prefix) {
            waiting.push(Waiting::decode(key, value)?);
        }
        Ok(waiting)
    }

    /// The slots of a record that are to be erased when its hold ends.
    pub fn waiting_slots(&self, id: &RecordId) -> Result<SlotMask, JournalError> {
        let Some(record) = self.record(id)? else { return Ok(SlotMask::NONE) };
        let waiting = self.waiting(id)?;
        let ordered = waiting.iter().fold(SlotMask::NONE, |mask, duty| mask.or(duty.slots()));
        Ok(ordered.and(SlotMask::all(record.kind())).without(self.erased(id)?))
    }

    /// Puts a record under a hold because a partner's duty to erase it may not be carried out, and
    /// keeps the duty until the hold ends.
    pub fn hold_against(
        &mut self,
        id: &RecordId,
        (named, order): (SlotMask, &ErasureOrder),
        reason: String,
        (agency, number, feed_index): (&AgencyName, PartnerNumber, u64),
    ) -> Result<(), JournalError> {
        let Some(located) = self.located(id)? else { return Ok(()) };
        let marks = located.place.marks();
        let of_partner =
            self.waiting(id)?.into_iter().filter(|duty| duty.source.partner() == number);
        let (known, known_named) = of_partner
            .fold((SlotMask::NONE, SlotMask::NONE), |(ordered, of), duty| {
                (ordered.or(duty.slots()), of.or(duty.named))
            });
        let is_known =
            order.slots.without(known).is_empty() && named.without(known_named).is_empty();
        if is_known && marks.is_restricted() {
            return Ok(());
        }
        let order = pb::ErasureOrder::from(order);
        let entry = self.append(Event::RecordRestricted(pb::RecordRestricted {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            restricted: true,
            reason,
            client: String::new(),
            partner: agency.to_string(),
            feed_index,
            order: Some(order),
            slots: named.bits(),
        }))?;
        self.touch_hold(id, entry)
    }

    /// Carries out the duties that waited for the end of the hold; gives the slots erased.
    pub(super) fn carry_out_waiting(&mut self, id: &RecordId) -> Result<SlotMask, JournalError> {
        let mut erased = SlotMask::NONE;
        for Waiting { source, feed_index, order, .. } in self.waiting(id)? {
            let Some((agency, _)) = self.state.partner_by_number(source.partner()) else {
                continue;
            };
            let agency = agency.clone();
            let order = ErasureOrder::try_from(order)
                .map_err(|error| JournalError::Index(format!("an order that waits: {error}")))?;
            let ground = Ground {
                basis: order.basis,
                authority: String::new(),
                proposal: 0,
                partner: Some((agency, feed_index)),
                order: Some(order),
            };
            erased = erased.or(self.erase(id, order.slots, &ground)?);
        }
        Ok(erased)
    }

    /// The slots of a record that our feeds order a partner to erase. It can know of none that is not
    /// durable.
    pub fn ordered(&self, id: &RecordId, of: PartnerNumber) -> Result<SlotMask, JournalError> {
        self.view.ordered(id, of)
    }

    /// The slots of which a partner reported the erasure, staged reports included.
    fn reported(&self, id: &RecordId, by: PartnerNumber) -> Result<SlotMask, JournalError> {
        let prefix = erasure_index::reports_prefix(id);
        let mut reported = self.view.reported(id, by)?;
        for (key, value) in self.group.pending.put_under(&prefix) {
            let (source, slots) = erasure_index::report(key, value)?;
            if source.partner() == by {
                reported = reported.or(slots);
            }
        }
        Ok(reported)
    }

    /// Notes that a partner erased what a hold had kept from it; once for each slot.
    pub fn report_erased(
        &mut self,
        id: &RecordId,
        slots: SlotMask,
        (agency, number, feed_index): (&AgencyName, PartnerNumber, u64),
    ) -> Result<(), JournalError> {
        if slots.without(self.reported(id, number)?).is_empty() {
            return Ok(());
        }
        self.append(Event::ErasureReported(pb::ErasureReported {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            slots: slots.bits(),
            partner: agency.to_string(),
            feed_index,
        }))
        .map(drop)
    }
}
