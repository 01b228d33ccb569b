//! Erasing in the writer: the entry first, and what must be overwritten once it is durable.
//!
//! What is left of the record goes to a new content frame before the entry; every older frame of
//! it is overwritten after the commit and before the index hears of it. So the index is never ahead
//! of an erasure that was not carried out, and start-up finishes what a crash cut short.

use super::JournalError;
use super::erasure_index;
use super::index::Marks;
use super::projection::Derived;
use super::series::Member;
use super::state::PartnerNumber;
use super::transaction::Transaction;
use crate::exchange::TakenBack;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::slots::SlotMask;
use crate::record::stored;
use crate::store::{KeyRange, Order, Position, Table};
use bytes::Bytes;
use std::sync::Arc;

/// The grounds of an erasure.
#[derive(Debug, Clone)]
pub struct Ground {
    pub basis: ErasureBasis,
    /// For people; at most 256 bytes.
    pub authority: String,
    /// The entry that proposed it; 0 if no act led to it.
    pub proposal: u64,
    /// The partner whose feed brought the duty, and where in it.
    pub partner: Option<(AgencyName, u64)>,
    pub order: Option<ErasureOrder>,
}

impl Transaction<'_> {
    /// Erases those of the slots that are not erased yet; none if the record is not here.
    pub fn erase(
        &mut self,
        id: &RecordId,
        slots: SlotMask,
        ground: &Ground,
    ) -> Result<SlotMask, JournalError> {
        let Some(record) = self.record(id)? else { return Ok(SlotMask::NONE) };
        // What a partner marked as erased is not erased before an entry says so.
        let before = self.erased(id)?;
        let fresh = slots.and(SlotMask::all(record.kind())).without(before);
        if fresh.is_empty() {
            return Ok(fresh);
        }
        self.group.erased.insert(*id, before.or(fresh));
        let erased = Arc::new(record.erased(fresh));
        let series = erased.header().series;
        let mut payload = Vec::with_capacity(stored::encoded_len(&erased));
        stored::write(&erased, &mut payload);
        let derived = Derived { before: Some(record), ..Derived::default() };
        let content = self.append_content(&payload, erased, derived)?;
        let (partner, feed_index) = match &ground.partner {
            Some((partner, index)) => (partner.to_string(), *index),
            None => (String::new(), 0),
        };
        let slots_erased = Event::SlotsErased(pb::SlotsErased {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            slots: fresh.bits(),
            basis: pb::ErasureBasis::from(ground.basis).into(),
            authority: ground.authority.clone(),
            proposal: ground.proposal,
            partner,
            feed_index,
            order: ground.order.as_ref().map(Into::into),
        });
        let entry = self.append_with(slots_erased, Some(content))?;
        self.touched.records.touch(*id, entry);
        self.touched.series.touch(series, entry);
        Ok(fresh)
    }

    /// The slots of a record that entries erased: nobody opens them again.
    pub fn erased(&self, id: &RecordId) -> Result<SlotMask, JournalError> {
        if let Some(slots) = self.group.erased.get(id) {
            return Ok(*slots);
        }
        if !self.marks(id)?.is_some_and(Marks::is_erased) {
            return Ok(SlotMask::NONE);
        }
        let erasures = self.view.erasures_of(id)?.into_iter();
        Ok(erasures.fold(SlotMask::NONE, |slots, (_, note)| slots.or(note.slots)))
    }

    /// Returns the records of a series; none if it has one only.
    pub fn members(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Vec<Member>, JournalError> {
        self.group.pending.members(self.view, series, originator)
    }

    /// The slots of a series that may not come back.
    pub fn barred(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<SlotMask, JournalError> {
        self.group.pending.barred(self.view, series, originator)
    }

    /// Puts a record under a hold, or ends one and carries out what waited for that. Gives the slots
    /// erased; `None` if the record is not here or it is so already.
    pub fn restrict(
        &mut self,
        id: &RecordId,
        restricted: bool,
        reason: String,
        client: &str,
    ) -> Result<Option<SlotMask>, JournalError> {
        let Some(located) = self.located(id)? else { return Ok(None) };
        let marks = located.place.marks();
        if marks.is_restricted() == restricted {
            return Ok(None);
        }
        let entry = self.append(Event::RecordRestricted(pb::RecordRestricted {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            restricted,
            reason,
            client: client.to_owned(),
            ..pb::RecordRestricted::default()
        }))?;
        self.touch_hold(id, entry)?;
        if restricted { Ok(Some(SlotMask::NONE)) } else { self.carry_out_waiting(id).map(Some) }
    }

    /// Notes a change of a hold, on which plans about the record's series rest.
    pub(super) fn touch_hold(&mut self, id: &RecordId, entry: u64) -> Result<(), JournalError> {
        self.touched.records.touch(*id, entry);
        if let Some(record) = self.record(id)? {
            self.touched.series.touch(record.header().series, entry);
        }
        Ok(())
    }

    /// Notes that a partner takes back slots of a record, or the whole. What others gave stays.
    pub fn retract(
        &mut self,
        id: &RecordId,
        slots: SlotMask,
        (agency, number, feed_index): (&AgencyName, PartnerNumber, u64),
    ) -> Result<(), JournalError> {
        let (Some(record), Some(located)) = (self.record(id)?, self.located(id)?) else {
            return Ok(());
        };
        let Some(given) = located.place.given else { return Ok(()) };
        // Who gave nothing of it takes nothing back.
        let Some(gave) = self.given_by(id, number)? else { return Ok(()) };
        let Some(taken) = given.taken_back(number, slots, record.open_slots(), gave) else {
            return Ok(());
        };
        let slots = match taken {
            TakenBack::Whole => SlotMask::NONE,
            TakenBack::Slots(slots) => slots,
        };
        let entry = self.append(Event::RecordRetracted(pb::RecordRetracted {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            retracted: true,
            partner: agency.to_string(),
            feed_index,
            slots: slots.bits(),
        }))?;
        self.touched.records.touch(*id, entry);
        Ok(())
    }

    /// Notes that a partner disclosed slots of a record that are here, where its leave counts.
    pub fn receive_again(
        &mut self,
        id: &RecordId,
        slots: SlotMask,
        is_originator: bool,
        (agency, number, feed_index): (&AgencyName, PartnerNumber, u64),
    ) -> Result<(), JournalError> {
        let Some(located) = self.located(id)? else { return Ok(()) };
        let given = located.place.given.and_then(|given| given.again(number, slots, is_originator));
        if given.is_none() {
            return Ok(());
        }
        let entry = self.append(Event::RecordReceivedAgain(pb::RecordReceivedAgain {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            open_slots: slots.bits(),
            partner: agency.to_string(),
            feed_index,
        }))?;
        self.touched.records.touch(*id, entry);
        Ok(())
    }
}

impl super::view::View {
    /// Older content of a record, which an erasure must overwrite too.
    pub(super) fn superseded(&self, id: &RecordId) -> Result<Vec<Position>, JournalError> {
        let range = KeyRange::prefix(erasure_index::superseded_prefix(id));
        self.index
            .scan(Table::Tagged, &range, Order::Ascending)
            .map(|pair| erasure_index::superseded_position(&pair?.0))
            .collect()
    }
}
