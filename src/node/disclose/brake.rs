//! The release brake where disclosures are decided: what policy allows and is unusual waits for a
//! person, and everything else goes on.
//!
//! Only the first disclosure of a record is held. A record that was held once is not judged again: it
//! waits, goes because it was released, or never goes.

use super::discloser::Discloser;
use super::gathering::Found;
use crate::ident::RecordId;
use crate::journal::JournalError;
use crate::journal::held::{HELD_RECORDS_MAX, HeldState};
use crate::journal::transaction::Transaction;
use crate::policy::{BrakeLimits, FirstDisclosure, Reasons, Usual, unusual};
use crate::record::kind::ClassSet;
use crate::record::marking::Marking;
use crate::record::signed::Verified;
use crate::record::slots::{SlotMask, SlotNumber};
use std::collections::{BTreeMap, HashMap};

/// Revisions before one that are looked at to find the TLP label of the newest that was not held.
const CHAIN_MAX: usize = 64;

/// What is held in one step, and what the brake knows.
#[derive(Debug, Default)]
pub(super) struct Brake {
    limits: BrakeLimits,
    usual: Usual,
    /// Something was held for this partner before this step.
    ever_held: bool,
    /// First disclosures that this step lets go.
    going: u64,
    /// Held in this step.
    now: HashMap<RecordId, Reasons>,
}

impl Brake {
    pub(super) fn new(limits: BrakeLimits) -> Self {
        Self { limits, ..Self::default() }
    }
}

/// Whether a first disclosure may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Braked {
    Goes,
    /// Since this step, or since before, or for good.
    Held,
}

impl Discloser {
    /// Looks up what the brake decides on; once for each step.
    pub(super) fn set_brake(&mut self) -> Result<(), JournalError> {
        let snapshot = self.view.snapshot();
        let partner = snapshot.state.partners.get(&self.agency);
        self.brake.usual = partner.map(|partner| partner.usual.clone()).unwrap_or_default();
        self.brake.ever_held = self.view.ever_held(self.number)?;
        self.brake.going = 0;
        self.brake.now.clear();
        Ok(())
    }

    /// Decides on the first disclosure of a record of which policy allows these slots.
    pub(super) fn brake(
        &mut self,
        record: &Verified,
        open: SlotMask,
        found: &mut Found,
    ) -> Result<Braked, JournalError> {
        let id = record.id();
        match self.held(&id)? {
            Some(HeldState::Waiting | HeldState::Refused) => return Ok(Braked::Held),
            Some(HeldState::Released) => return Ok(self.goes()),
            None => {}
        }
        let predecessor = self.marking_before(record)?;
        let Brake { limits, usual, going, .. } = &self.brake;
        let (at, facts) = (self.moment.hour(), self.facts_of(&id, record.header()));
        let disclosure = FirstDisclosure {
            record: &facts,
            marking: &record.header().marking,
            shown: shown(record, open),
            predecessor: predecessor.as_ref(),
        };
        let reasons = unusual(limits, usual, *going, at, &disclosure);
        if reasons.is_empty() {
            return Ok(self.goes());
        }
        self.brake.now.insert(id, reasons);
        found.held.entry(reasons).or_default().push(id);
        Ok(Braked::Held)
    }

    fn goes(&mut self) -> Braked {
        self.brake.going += 1;
        Braked::Goes
    }

    fn held(&self, id: &RecordId) -> Result<Option<HeldState>, JournalError> {
        if self.brake.now.contains_key(id) {
            return Ok(Some(HeldState::Waiting));
        }
        if self.brake.ever_held { self.view.held_state(self.number, id) } else { Ok(None) }
    }

    /// Whether a record waits for a person, or was refused: then nothing may refer to it either.
    pub(in crate::node) fn is_held(&self, id: &RecordId) -> Result<bool, JournalError> {
        let held = match self.brake.now.contains_key(id) {
            true => Some(HeldState::Waiting),
            false => self.view.held_state(self.number, id)?,
        };
        Ok(matches!(held, Some(HeldState::Waiting | HeldState::Refused)))
    }

    /// The marking of the record that this one revises, if that is here. Revisions that wait or were
    /// refused don't count: otherwise one more would go where they may not.
    fn marking_before(&self, record: &Verified) -> Result<Option<Marking>, JournalError> {
        let mut previous = record.header().previous;
        for _ in 0..CHAIN_MAX {
            let Some(id) = previous else { return Ok(None) };
            let Some(before) = self.view.record(&id)? else { return Ok(None) };
            if !self.is_held(&id)? {
                return Ok(Some(before.header().marking.clone()));
            }
            previous = before.header().previous;
        }
        Ok(None)
    }
}

/// Returns the classes of these slots that are not empty.
fn shown(record: &Verified, open: SlotMask) -> ClassSet {
    let filled =
        |number: &SlotNumber| open.contains(*number) && record.slot_bytes(*number).is_some();
    let kind = record.kind();
    SlotNumber::of(kind).filter(filled).map(|number| number.spec(kind).class).collect()
}

/// Writes down what a step holds.
pub(super) fn hold_back(
    tx: &mut Transaction<'_>,
    agency: &crate::ident::AgencyName,
    held: &BTreeMap<Reasons, Vec<RecordId>>,
) -> Result<(), JournalError> {
    for (reasons, records) in held {
        for records in records.chunks(HELD_RECORDS_MAX) {
            tx.hold_back(agency, *reasons, records)?;
        }
    }
    Ok(())
}
