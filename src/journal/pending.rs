//! The changes that the entries of a batch make to the index, before the index has them.
//!
//! Whatever a later entry of the same batch looks up again stands in a map; the rest is a list of changes.
//! A commit and a rebuild both fill it, by [`super::projection`] alone.

use super::JournalError;
use super::erasure_index;
use super::index::{self, Disclosure, RecordPlace, SeriesHead};
use super::refusals::NotTaken;
use super::series::Member;
use super::staged_map::StagedMap;
use super::state::{FeedNumber, PartnerNumber};
use super::view::View;
use crate::exchange::Denial;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;
use crate::store::{Change, Position, Table};
use std::sync::Arc;

/// The place of a content frame.
#[derive(Debug, Clone, Copy)]
pub(super) enum ContentFrame {
    At(Position),
    /// A frame of this batch, by its number; its position is not known yet.
    Staged(usize),
}

impl ContentFrame {
    fn position(self, positions: &[Position]) -> Position {
        match self {
            Self::At(position) => position,
            Self::Staged(frame) => positions[frame],
        }
    }
}

/// The content of a record whose place changes in a batch.
#[derive(Debug, Clone)]
pub(super) enum PendingContent {
    /// As it is in use.
    Record(Arc<Verified>),
    /// An erasure overwrote it.
    Overwritten,
    /// The batch does not bring it; it lies where the place says.
    Unchanged,
}

/// A record as far as the index and the batch have it. The position in `place` counts only where the
/// frame is at one.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) place: RecordPlace,
    pub(super) frame: ContentFrame,
    pub(super) content: PendingContent,
}

impl Located {
    /// Its place once the frames of the batch have positions.
    fn resolved(&self, positions: &[Position]) -> RecordPlace {
        RecordPlace { content: self.frame.position(positions), ..self.place }
    }
}

type SeriesKey = (SeriesId, AgencyName);

/// Everything that a batch changes in the index.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) places: StagedMap<RecordId, Located>,
    pub(super) series: StagedMap<SeriesKey, SeriesHead>,
    /// The members that the batch added to series of more than one record.
    pub(super) members: StagedMap<SeriesKey, Vec<Member>>,
    /// The slots of series that may not come back, where the batch erased some.
    pub(super) barred: StagedMap<SeriesKey, SlotMask>,
    pub(super) disclosures: StagedMap<(FeedNumber, RecordId), Disclosure>,
    /// Entries of feeds that receipts of the batch list as not taken.
    pub(super) not_taken: StagedMap<(FeedNumber, u64), ()>,
    /// Sizes of feeds that the batch publishes first.
    pub(super) heads: StagedMap<(FeedNumber, u64), ()>,
    /// The slots that partners gave of records that are here by another's leave.
    pub(super) provenance: StagedMap<(RecordId, PartnerNumber), SlotMask>,
    /// Older content of records, which an erasure has to overwrite too.
    superseded: StagedMap<RecordId, Vec<ContentFrame>>,
    /// Content to be overwritten once the batch is durable.
    pub(super) overwrites: Vec<ContentFrame>,
    pub(super) changes: Vec<Change>,
}

/// The lengths of the lists of a batch when a job began.
pub(super) struct PendingMark {
    overwrites: usize,
    changes: usize,
}

impl Pending {
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.series.clear();
        self.members.clear();
        self.barred.clear();
        self.disclosures.clear();
        self.not_taken.clear();
        self.heads.clear();
        self.provenance.clear();
        self.superseded.clear();
        self.overwrites.clear();
        self.changes.clear();
    }

    pub(super) fn mark(&mut self) -> PendingMark {
        self.places.mark();
        self.series.mark();
        self.members.mark();
        self.barred.mark();
        self.disclosures.mark();
        self.not_taken.mark();
        self.heads.mark();
        self.provenance.mark();
        self.superseded.mark();
        PendingMark { overwrites: self.overwrites.len(), changes: self.changes.len() }
    }

    /// Takes back everything since the mark.
    pub(super) fn take_back(&mut self, mark: &PendingMark) {
        self.places.take_back();
        self.series.take_back();
        self.members.take_back();
        self.barred.take_back();
        self.disclosures.take_back();
        self.not_taken.take_back();
        self.heads.take_back();
        self.provenance.take_back();
        self.superseded.take_back();
        self.overwrites.truncate(mark.overwrites);
        self.changes.truncate(mark.changes);
    }

    pub(super) fn located(
        &self,
        view: &View,
        id: &RecordId,
    ) -> Result<Option<Located>, JournalError> {
        if let Some(located) = self.places.get(id) {
            return Ok(Some(located.clone()));
        }
        let durable = |place: RecordPlace| Located {
            place,
            frame: ContentFrame::At(place.content),
            content: PendingContent::Unchanged,
        };
        Ok(view.place(id)?.map(durable))
    }

    /// Returns a record as it is in use; `None` if it is not here, or overwritten.
    pub(super) fn record(
        &self,
        view: &View,
        id: &RecordId,
    ) -> Result<Option<Arc<Verified>>, JournalError> {
        match self.places.get(id) {
            None => match view.recent(id) {
                Some(record) => Ok(Some(record)),
                None => match view.place(id)? {
                    Some(place) => Ok(view.record_at(place)?.map(Arc::new)),
                    None => Ok(None),
                },
            },
            Some(Located { content: PendingContent::Record(record), .. }) => {
                Ok(Some(Arc::clone(record)))
            }
            Some(Located { content: PendingContent::Overwritten, .. }) => Ok(None),
            // The index does not know yet what a retraction of this batch took back.
            Some(Located { place, .. }) => Ok(view.record_at(*place)?.map(Arc::new)),
        }
    }

    pub(super) fn series_head(
        &self,
        view: &View,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Option<SeriesHead>, JournalError> {
        match self.series.get(&(series, originator.clone())) {
            Some(head) => Ok(Some(*head)),
            None => view.series_head(series, originator),
        }
    }

    pub(super) fn members(
        &self,
        view: &View,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Vec<Member>, JournalError> {
        let mut members = view.members(series, originator)?;
        for member in self.members.get(&(series, originator.clone())).into_iter().flatten() {
            if !members.contains(member) {
                members.push(*member);
            }
        }
        Ok(members)
    }

    pub(super) fn barred(
        &self,
        view: &View,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<SlotMask, JournalError> {
        match self.barred.get(&(series, originator.clone())) {
            Some(slots) => Ok(*slots),
            None => view.barred_slots(series, originator),
        }
    }

    pub(super) fn disclosure(
        &self,
        view: &View,
        feed: FeedNumber,
        id: &RecordId,
    ) -> Result<Option<Disclosure>, JournalError> {
        match self.disclosures.get(&(feed, *id)) {
            Some(disclosure) => Ok(Some(*disclosure)),
            None => view.disclosure(feed, id),
        }
    }

    /// The values that the batch puts under keys with a prefix in the table of disclosures.
    pub(super) fn put_under(&self, prefix: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.changes.iter().filter_map(move |change| {
            let is_under = change.table == Table::Tagged && change.key.starts_with(prefix);
            change.value.as_deref().filter(|_| is_under).map(|value| (&change.key[..], value))
        })
    }

    /// Notes slots of a record that a partner gave and that are here by another's leave.
    pub(super) fn add_provenance(&mut self, id: &RecordId, by: PartnerNumber, slots: SlotMask) {
        let key = (*id, by);
        let known = self.provenance.get(&key).copied().unwrap_or_default();
        self.provenance.insert(key, known.or(slots));
    }

    /// Judges the answer to an order to erase that there is no record, by all receipts of the partner.
    pub(super) fn denial(
        &self,
        view: &View,
        feed: FeedNumber,
        order: &NotTaken,
    ) -> Result<Denial, JournalError> {
        view.denial(feed, order, |index| self.not_taken.contains_key(&(feed, index)))
    }

    pub(super) fn supersede(&mut self, id: RecordId, frame: ContentFrame) {
        let mut frames = self.superseded.get(&id).cloned().unwrap_or_default();
        frames.push(frame);
        self.superseded.insert(id, frames);
    }

    /// Notes that all content of a record so far is to be overwritten.
    pub(super) fn overwrite(&mut self, id: RecordId, durable: &[Position], newest: ContentFrame) {
        self.overwrites.extend(durable.iter().copied().map(ContentFrame::At));
        if let Some(frames) = self.superseded.get(&id).cloned() {
            self.overwrites.extend(frames);
            self.superseded.insert(id, Vec::new());
        }
        self.overwrites.push(newest);
    }

    /// Returns where the content lies that must be overwritten now.
    pub(super) fn to_overwrite(&self, positions: &[Position]) -> Vec<Position> {
        self.overwrites.iter().map(|frame| frame.position(positions)).collect()
    }

    /// Takes the changes to the index, with the positions of all frames of the batch.
    pub(super) fn finish(&mut self, positions: &[Position]) -> Vec<Change> {
        // The next batch is mostly of the same size.
        let next = Vec::with_capacity(self.changes.len());
        let mut changes = std::mem::replace(&mut self.changes, next);
        changes.reserve(self.places.len() + self.superseded.len());
        for (id, located) in self.places.iter() {
            changes.push(index::put_place(id, located.resolved(positions)));
        }
        for (id, frames) in self.superseded.iter() {
            let old = frames.iter().map(|frame| frame.position(positions));
            changes.extend(old.map(|position| erasure_index::put_superseded(id, position)));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superseded_content_that_a_job_overwrote_comes_back_with_the_job() {
        let id = |n| RecordId::from_bytes([n; 32]);
        let mut pending = Pending::default();
        pending.supersede(id(1), ContentFrame::Staged(0));
        let mark = pending.mark();
        pending.supersede(id(2), ContentFrame::Staged(0));
        pending.overwrite(id(1), &[], ContentFrame::Staged(0));
        assert_eq!(pending.overwrites.len(), 2);
        pending.take_back(&mark);
        assert!(pending.overwrites.is_empty());
        let position = Position { segment: 1, offset: 8 };
        assert_eq!(pending.finish(&[position]), [erasure_index::put_superseded(&id(1), position)]);
    }
}
