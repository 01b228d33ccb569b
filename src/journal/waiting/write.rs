//! Keeping, carrying out and reporting duties to erase, as jobs of the writer.

use crate::ident::{AgencyName, RecordId};
use crate::journal::JournalError;
use crate::journal::erase::Ground;
use crate::journal::erasure_index::{self, Waiting};
use crate::journal::ids::PartnerNumber;
use crate::journal::transaction::Transaction;
use crate::pb::{self, journal_entry::Event};
use crate::record::erasure::ErasureOrder;
use crate::record::slots::SlotMask;
use bytes::Bytes;

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
    pub(in crate::journal) fn carry_out_waiting(
        &mut self,
        id: &RecordId,
    ) -> Result<SlotMask, JournalError> {
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
