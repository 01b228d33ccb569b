//! The second look, under other rules, at records that were accepted before.
//!
//! Headers alone are read where they tell that nothing changes; a record is read only where
//! something may.

use super::accepted::AcceptedHeader;
use super::discloser::{Discloser, has, is_plain};
use super::gathering::{Found, Gathering};
use super::read_error::unless_damaged;
use super::reader::JournalReader;
use crate::exchange::Disclosed;
use crate::record::kind::Kind;
use std::sync::Arc;

/// Headers that are read at once.
const CHUNK: u64 = 512;
/// Entries of the feed that one step adds, but for what a chunk adds at the end.
const STEP_OWED_MAX: usize = 512;

impl<R: JournalReader> Discloser<R> {
    /// Looks again at what the journal accepted from `start` on, before `end` at the most.
    pub fn rescan(&mut self, start: u64, end: u64) -> Result<Found, R::Error> {
        let mut gathering = Gathering::begin(self, start)?;
        let mut at = start;
        while at < end && gathering.entries() < STEP_OWED_MAX {
            let chunk = at..end.min(at + CHUNK);
            at = chunk.end;
            let reader = Arc::clone(&self.reader);
            let superseded = reader.superseded_in(chunk.clone())?;
            let start = chunk.start;
            for header in reader.headers(chunk) {
                let Some(header) = unless_damaged(header)? else {
                    gathering.pass_over(start);
                    continue;
                };
                let looked = match superseded.contains(&header.journal_index) {
                    true => self.look_at_superseded(&header, &mut gathering),
                    false => self.look_at_header(&header, &mut gathering),
                };
                if unless_damaged(looked)?.is_none() {
                    gathering.pass_over(header.journal_index);
                }
            }
            gathering.reach(at);
        }
        Ok(gathering.finish())
    }

    /// Looks at a record whose series has another one as new or newer. A record that the partner has
    /// nothing of is due only if none is newer.
    fn look_at_superseded(
        &mut self,
        accepted: &AcceptedHeader,
        gathering: &mut Gathering,
    ) -> Result<(), R::Error> {
        let AcceptedHeader { id, header, .. } = accepted;
        let is_used = self.told(id)?.is_some_and(|told| told.is_live());
        if !is_used && !self.reader.is_newest(header)? {
            return Ok(());
        }
        self.look_again(id, gathering).map(drop)
    }

    fn look_at_header(
        &mut self,
        accepted: &AcceptedHeader,
        gathering: &mut Gathering,
    ) -> Result<(), R::Error> {
        let AcceptedHeader { id, header, partner, open_slots, .. } = accepted;
        if header.originator == self.agency {
            return Ok(());
        }
        // Its originator may have given it since.
        let was_theirs = partner.as_ref() == Some(&self.agency);
        if was_theirs && self.reader.standing(id)?.is_none_or(|of| of.partner == Some(self.number))
        {
            return Ok(());
        }
        if header.kind == Kind::Withdrawal {
            return self.look_again(id, gathering).map(drop);
        }
        let facts = self.facts_of(id, header);
        let selected = self.selector.select(&facts);
        let before = self.disclosure(id)?;
        let told = self.told_beside(before, id)?;
        if !selected.released && !selected.erred {
            let Some(told) = told.filter(Disclosed::is_live) else {
                return Ok(());
            };
            // Cedar has the last word on what is taken back too.
            if !self.is_expired(&facts) && !self.decide(&facts).release.allowed {
                gathering.take_back(self, header.kind, *id, before, told);
                return Ok(());
            }
        }
        if let Some(told) = &told {
            let revealed = header.kind.slots_of(selected.revealed);
            let slots = revealed.and(*open_slots);
            // More of a record that came in part may be here by now.
            let is_whole = partner.is_none() || slots == revealed;
            if is_whole && is_plain(header.kind, slots) && has(told, slots) {
                return Ok(());
            }
        }
        self.look_again(id, gathering).map(drop)
    }
}
