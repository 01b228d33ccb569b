//! The decision at the moment of sending: what is allowed now of an entry that the feed has.

use super::discloser::Discloser;
use super::read_error::{record_id, unless_damaged};
use super::reader::JournalReader;
use crate::exchange::Allowed;
use crate::ident::RecordId;
use crate::pb;
use crate::record::slots::SlotMask;

impl<R: JournalReader> Discloser<R> {
    /// Returns the envelope of an entry at the moment of sending: a disclosure goes only if policy allows all
    /// of it now. Otherwise the partner reports that it did not get it, and the part that is allowed then is
    /// disclosed anew. A damaged record is not sent either.
    pub fn envelope_to_send(
        &mut self,
        index: u64,
        entry: &pb::FeedEntry,
    ) -> Result<pb::Envelope, R::Error> {
        Ok(unless_damaged(self.envelope(index, entry))?.unwrap_or_default())
    }

    fn envelope(&mut self, index: u64, entry: &pb::FeedEntry) -> Result<pb::Envelope, R::Error> {
        if !matches!(
            entry.action(),
            pb::FeedAction::Disclose | pb::FeedAction::Revise | pb::FeedAction::Withdraw
        ) {
            return Ok(pb::Envelope::default());
        }
        let id = record_id(index, &entry.record_id)?;
        let Some((record, marks)) = self.reader.record_and_marks(&id)? else {
            return Ok(pb::Envelope::default());
        };
        let slots = SlotMask::from_bits(entry.open_slots);
        let (open, erased) = match self.verdict(&record, marks)?.allowed {
            Allowed::Slots { open, erased } => (open, erased),
            // It may keep what it has. What the feed takes back further on is not given again for that.
            Allowed::Kept { open, erased }
                if self.disclosure(&id)?.is_some_and(|told| told.disclosed.is_live()) =>
            {
                (open, erased)
            }
            _ => return Ok(pb::Envelope::default()),
        };
        Ok(match slots.without(open).without(erased).is_empty() {
            true => record.redacted(slots.and(open)),
            false => pb::Envelope::default(),
        })
    }

    /// Returns the most bytes of a record that an entry makes the partner write again, beside what is sent of
    /// it. An order to erase, or more of a record, needs nothing of one that cannot be read here.
    pub fn bytes_written_again(
        &self,
        index: u64,
        entry: &pb::FeedEntry,
    ) -> Result<usize, R::Error> {
        match entry.action() {
            pb::FeedAction::Erase | pb::FeedAction::Revise => {
                self.envelope_bytes_max(&record_id(index, &entry.record_id)?)
            }
            _ => Ok(0),
        }
    }

    /// Returns the bytes of an envelope with everything that is here of a record; 0 if it is not here or cannot
    /// be read.
    pub fn envelope_bytes_max(&self, id: &RecordId) -> Result<usize, R::Error> {
        let here = unless_damaged(self.reader.record(id))?.flatten();
        Ok(here.map_or(0, |record| record.envelope_bytes_max()))
    }
}
