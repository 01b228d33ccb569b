//! Erasing in the writer: the entry first, and what must be overwritten once it is durable.
//!
//! What is left of the record goes to a new content frame before the entry; every older frame of
//! it is overwritten after the commit and before the index hears of it. So the index is never ahead
//! of an erasure that was not carried out, and start-up finishes what a crash cut short.

use super::JournalError;
use super::erasure_index::{self, Erasure, ErasureNote};
use super::index::{self, Marks, RecordPlace};
use super::provenance;
use super::series::{self, Member};
use super::state::PartnerNumber;
use super::transaction::{Located, OldFrame, StagedRecord, Transaction};
use crate::exchange::{Given, TakenBack};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb::{self, journal_entry::Event};
use crate::record::erasure::{ErasureBasis, ErasureOrder};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::record::stored;
use crate::store::{KeyRange, Order, Position, Table};
use bytes::Bytes;
use std::sync::Arc;

/// Why slots are erased.
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
        let (Some(record), Some(located)) = (self.record(id)?, self.located(id)?) else {
            return Ok(SlotMask::NONE);
        };
        // What a partner marked as erased is not erased before an entry says so.
        let before = self.erased(id)?;
        let fresh = slots.and(SlotMask::all(record.kind())).without(before);
        if fresh.is_empty() {
            return Ok(fresh);
        }
        self.group.erased.insert(*id, before.or(fresh));
        let erased = Arc::new(record.erased(fresh));
        let superseded = self.superseded(id)?;
        let older = self.group.forget_superseded(id);
        self.group.overwrites.extend(superseded.iter().map(|at| OldFrame::At(*at)));
        self.group.overwrites.extend(older);
        self.group.overwrites.push(located.content);
        let mut payload = Vec::with_capacity(stored::encoded_len(&erased));
        stored::write(&erased, &mut payload);
        let content_frame = self.append_content(&payload)?;
        let (partner, feed_index) = match &ground.partner {
            Some((partner, index)) => (partner.to_string(), *index),
            None => (String::new(), 0),
        };
        let entry = self.append(Event::SlotsErased(pb::SlotsErased {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            slots: fresh.bits(),
            basis: pb::ErasureBasis::from(ground.basis).into(),
            authority: ground.authority.clone(),
            proposal: ground.proposal,
            partner,
            feed_index,
            order: ground.order.as_ref().map(Into::into),
        }))?;
        let header = erased.header();
        self.touched.records.touch(*id, entry);
        self.touched.series.touch(header.series, entry);
        let head = self.series_head(header.series, &header.originator)?;
        let erasure = Erasure {
            id,
            header,
            accepted: located.place.journal_index,
            entry,
            note: ErasureNote { slots: fresh, basis: ground.basis, at: self.now },
            barred: self.barred(header.series, &header.originator)?,
            before: Some(&record),
            after: Some(&erased),
            superseded: &superseded,
        };
        if let Some(head) = erasure.put(head, &mut self.group.changes) {
            let series = (header.series, header.originator.clone());
            self.group.barred.insert(series.clone(), erasure.barred_after());
            self.group.series.insert(series, head);
        }
        let staged = StagedRecord {
            record: erased,
            journal_index: located.place.journal_index,
            given: located.place.given,
            content_frame,
            marks: located.place.marks().with_erased(),
        };
        self.group.records.insert(*id, staged);
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
        let key = series::members_key(series, originator);
        let staged =
            self.group.changes.iter().filter(|change| {
                change.table == Table::Disclosures && change.key.starts_with(&key)
            });
        let staged = staged.filter_map(|change| change.value.as_deref()).map(Member::decode);
        let mut members = self.view.members(series, originator)?;
        for member in staged {
            let member = member?;
            if !members.contains(&member) {
                members.push(member);
            }
        }
        Ok(members)
    }

    /// Older content of a record that is durable.
    fn superseded(&self, id: &RecordId) -> Result<Vec<Position>, JournalError> {
        self.view.superseded(id)
    }

    /// The slots of a series that may not come back.
    pub fn barred(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<SlotMask, JournalError> {
        match self.group.barred.get(&(series, originator.clone())) {
            Some(slots) => Ok(*slots),
            None => self.view.barred_slots(series, originator),
        }
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
        self.mark(id, &located, located.place.marked(marks.with_restricted(restricted)));
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
        self.give(id, &record, &located, given.after(taken));
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
        let (Some(given), Some(record)) = (given, self.record(id)?) else { return Ok(()) };
        let entry = self.append(Event::RecordReceivedAgain(pb::RecordReceivedAgain {
            record_id: Bytes::copy_from_slice(id.as_bytes()),
            open_slots: slots.bits(),
            partner: agency.to_string(),
            feed_index,
        }))?;
        self.touched.records.touch(*id, entry);
        if let Some(before) = located.place.given
            && before.from != given.from
        {
            self.stage_provenance(id, before.from, before.slots);
        }
        let displaced = provenance::put_displaced(id, located.place.given, Some(given));
        self.group.changes.extend(displaced);
        self.give(id, &record, &located, given);
        Ok(())
    }

    /// Takes down by whose leave a record is used now. It is found by what is in use alone.
    fn give(
        &mut self,
        id: &RecordId,
        record: &Verified,
        located: &Located,
        given: Given<PartnerNumber>,
    ) {
        let in_use = record.withholding(given.retracted);
        let accepted = located.place.journal_index;
        index::put_terms_after(record, &in_use, accepted, &mut self.group.changes);
        if let Some(staged) = self.group.records.get_mut(id) {
            staged.record = Arc::new(in_use);
        }
        self.mark(id, located, RecordPlace { given: Some(given), ..located.place });
    }

    pub(super) fn mark(&mut self, id: &RecordId, located: &Located, place: RecordPlace) {
        if let Some(staged) = self.group.records.get_mut(id) {
            staged.marks = place.marks();
            staged.given = place.given;
        } else if let OldFrame::At(content) = located.content {
            let place = RecordPlace { content, ..place };
            self.group.marked.insert(*id, place);
        }
    }
}

impl super::view::View {
    /// Older content of a record, which an erasure must overwrite too.
    pub(super) fn superseded(&self, id: &RecordId) -> Result<Vec<Position>, JournalError> {
        let range = KeyRange::prefix(erasure_index::superseded_prefix(id));
        self.index
            .scan(Table::Disclosures, &range, Order::Ascending)
            .map(|pair| erasure_index::superseded_position(&pair?.0))
            .collect()
    }
}
