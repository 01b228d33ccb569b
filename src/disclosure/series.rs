//! The series of a record: what its newest revisions allow the partner, and what the partner has of it.
//!
//! A record that is alone in its series has no mark, so that nothing of this is looked up for it.

use super::discloser::Discloser;
use super::reader::JournalReader;
use super::series_head::{Member, SeriesHead, newest};
use super::standing::Marks;
use crate::exchange::{Place, SeriesVerdict};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::record::header::Header;
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::signed::Verified;

impl<R: JournalReader> Discloser<R> {
    /// Returns the records of a series that were here at the time that is asked about.
    pub(super) fn members(
        &self,
        series: SeriesId,
        originator: &AgencyName,
    ) -> Result<Vec<Member>, R::Error> {
        let mut members = self.reader.members(series, originator)?;
        if let Some(size) = self.size {
            members.retain(|member| member.journal_index < size);
        }
        Ok(members)
    }

    /// Returns the verdict on the series of a record, and the record's place in it; `None` if it has no
    /// other record.
    pub fn series_of(
        &mut self,
        header: &Header,
        marks: Marks,
    ) -> Result<Option<(SeriesVerdict, Place)>, R::Error> {
        if self.size.is_none() && !marks.is_superseded() {
            return Ok(None);
        }
        let members = self.members(header.series, &header.originator)?;
        let Some(newest_is) = newest(&members).map(|member| member.revision).next() else {
            return Ok(None);
        };
        let place = match header.revision < newest_is {
            true => Place::Older,
            false => Place::Newest,
        };
        let verdict = self.verdict_on(header.series, &header.originator, &members)?;
        Ok(verdict.map(|verdict| (verdict, place)))
    }

    fn verdict_on(
        &mut self,
        series: SeriesId,
        originator: &AgencyName,
        members: &[Member],
    ) -> Result<Option<SeriesVerdict>, R::Error> {
        let key = (series, originator.clone());
        if let Some((_, verdict)) = self.last_series.as_ref().filter(|(last, _)| *last == key) {
            return Ok(Some(*verdict));
        }
        let mut verdicts = Vec::new();
        for member in newest(members) {
            verdicts.push(self.verdict_on_newest(member.id, member.kind)?);
        }
        let verdict = SeriesVerdict::of(verdicts);
        self.last_series = verdict.map(|verdict| (key, verdict));
        Ok(verdict)
    }

    /// Decides a newest revision for all revisions of its series. What the partner sent here itself is
    /// not ours to deny it.
    fn verdict_on_newest(&mut self, id: RecordId, kind: Kind) -> Result<SeriesVerdict, R::Error> {
        if kind == Kind::Withdrawal {
            return Ok(SeriesVerdict::Withdrawn);
        }
        let Some((record, standing)) = self.reader.record_and_standing(&id)? else {
            return Ok(SeriesVerdict::Denied);
        };
        let marks = self.marks_then(&id, standing.marks)?;
        if standing.partner == Some(self.number) && !marks.is_retracted() {
            return Ok(SeriesVerdict::Shown(SlotClass::ALL.into_iter().collect::<ClassSet>()));
        }
        let facts = self.facts_of(&id, record.header());
        use crate::exchange::Allowed::{AsItIs, Kept, Nothing, Slots};
        Ok(match self.released(&record, &facts, marks)?.allowed {
            Nothing => SeriesVerdict::Denied,
            Slots { .. } | Kept { .. } if self.is_held(&id)? => SeriesVerdict::Unchanged,
            Slots { .. } | Kept { .. } => SeriesVerdict::Shown(self.decide(&facts).revealed),
            // The partner knows that a revision expires only if it has it.
            AsItIs if self.is_in_standing() && self.is_expired(&facts) => {
                match self.told(&id)?.is_some_and(|told| told.is_live()) {
                    true => SeriesVerdict::Unchanged,
                    false => SeriesVerdict::Denied,
                }
            }
            AsItIs => SeriesVerdict::Unchanged,
        })
    }

    /// Returns the marks of a record at the time that is asked about.
    fn marks_then(&self, id: &RecordId, now: Marks) -> Result<Marks, R::Error> {
        self.size.map_or(Ok(now), |size| self.reader.marks_at(id, size))
    }

    /// Returns the journal index of the first record of a series that was here at the time that is asked
    /// about; `None` if none was.
    pub(super) fn begin_of(
        &self,
        series: SeriesId,
        originator: &AgencyName,
        head: &SeriesHead,
    ) -> Result<Option<u64>, R::Error> {
        let members = self.members(series, originator)?;
        if let Some(first) = members.iter().map(|member| member.journal_index).min() {
            return Ok(Some(first));
        }
        let accepted = self.reader.standing(&head.id)?.map(|standing| standing.journal_index);
        Ok(accepted.filter(|index| self.size.is_none_or(|size| *index < size)))
    }

    /// Returns whether the partner may know of a series of one agency.
    pub(super) fn sees_series_of(
        &mut self,
        series: SeriesId,
        originator: &AgencyName,
        head: &SeriesHead,
    ) -> Result<bool, R::Error> {
        if *originator == self.agency {
            return Ok(true);
        }
        let mut members = self.members(series, originator)?;
        if members.is_empty() {
            let Some(standing) = self.reader.standing(&head.id)? else { return Ok(false) };
            if self.size.is_some_and(|size| standing.journal_index >= size) {
                return Ok(false);
            }
            let (journal_index, revision) = (standing.journal_index, head.revision);
            members = vec![Member { journal_index, revision, kind: head.kind, id: head.id }];
        }
        for member in &members {
            let standing = self.reader.standing(&member.id)?;
            let is_theirs = standing.is_some_and(|standing| {
                standing.partner == Some(self.number) && !standing.marks.is_retracted()
            });
            if is_theirs {
                return Ok(true);
            }
        }
        Ok(match self.verdict_on(series, originator, &members)? {
            Some(SeriesVerdict::Shown(_)) => true,
            Some(SeriesVerdict::Denied) | None => false,
            Some(SeriesVerdict::Unchanged | SeriesVerdict::Withdrawn) => {
                self.uses_any(members.iter().map(|member| member.id))?
            }
        })
    }

    /// Returns true if the partner may use any of these records, by its feed.
    fn uses_any(&self, ids: impl Iterator<Item = RecordId>) -> Result<bool, R::Error> {
        for id in ids {
            if self.told(&id)?.is_some_and(|told| told.is_live()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns true if the partner may use any revision of a record's series, by its feed.
    pub(super) fn uses_series_of(&self, record: &Verified) -> Result<bool, R::Error> {
        let header = record.header();
        let members = self.members(header.series, &header.originator)?;
        self.uses_any(members.iter().map(|member| member.id).chain([record.id()]))
    }

    /// Returns whether the partner was ever given a revision of this record's series.
    pub(super) fn was_given_series_of(&self, record: &Verified) -> Result<bool, R::Error> {
        let header = record.header();
        for member in self.members(header.series, &header.originator)? {
            if member.id != record.id() && self.told(&member.id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
