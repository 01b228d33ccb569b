//! The release brake where disclosures are decided: what policy allows and is unusual waits for a
//! person, and everything else goes on.
//!
//! Only the first disclosure of a record is held. A record that was held once is not judged again: it
//! waits, goes because it was released, or never goes.

use super::discloser::Discloser;
use super::gathering::Found;
use super::reader::JournalReader;
use super::standing::HeldState;
use crate::ident::RecordId;
use crate::policy::{
    Baseline, BrakeLimits, FirstDisclosure, OriginatorNumber, Predecessors, Reasons, unusual,
};
use crate::record::kind::ClassSet;
use crate::record::signed::Verified;
use crate::record::slots::{SlotMask, SlotNumber};
use std::collections::HashMap;
use std::sync::Arc;

/// Held revisions before one whose markings are compared with its own; one with more of them waits too.
const HELD_BEFORE_MAX: usize = 64;

/// The release brake of a partner, and the disclosures that it holds in one step.
#[derive(Debug, Default)]
pub(super) struct Brake {
    limits: BrakeLimits,
    baseline: Arc<Baseline>,
    /// Something was held for this partner before this step.
    ever_held: bool,
    /// First disclosures that this step lets go, by originator.
    going: HashMap<OriginatorNumber, u64>,
    /// Held in this step.
    now: HashMap<RecordId, Reasons>,
}

impl Brake {
    pub(super) fn new(limits: BrakeLimits) -> Self {
        Self { limits, ..Self::default() }
    }
}

/// The brake's decision on a first disclosure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Braked {
    Goes,
    /// It is held since this step, or since before, or for good.
    Held,
}

impl<R: JournalReader> Discloser<R> {
    /// Looks up what the brake decides on; once for each step.
    pub(super) fn set_brake(&mut self) -> Result<(), R::Error> {
        let partner = self.reader.partner(&self.agency);
        self.brake.baseline = partner.map(|partner| partner.baseline).unwrap_or_default();
        self.brake.ever_held = self.reader.ever_held(self.number)?;
        self.brake.going.clear();
        self.brake.now.clear();
        Ok(())
    }

    /// Decides on the first disclosure of a record of which policy allows these slots.
    pub(super) fn brake(
        &mut self,
        record: &Verified,
        open: SlotMask,
        found: &mut Found,
    ) -> Result<Braked, R::Error> {
        let id = record.id();
        let originator = self.reader.originator(&record.header().originator);
        match self.held(&id)? {
            Some(HeldState::Waiting | HeldState::Refused) => return Ok(Braked::Held),
            Some(HeldState::Released) => return Ok(self.goes(originator)),
            None => {}
        }
        let before = self.predecessors(record)?;
        let Brake { limits, baseline, going, .. } = &self.brake;
        let (at, facts) = (self.policy_hour.hour(), self.facts_of(&id, record.header()));
        let disclosure = FirstDisclosure {
            record: &facts,
            marking: &record.header().marking,
            originator,
            shown: shown(record, open),
            before: &before,
        };
        let going = going.get(&originator).copied().unwrap_or_default();
        let reasons = unusual(limits, baseline, going, at, &disclosure);
        if reasons.is_empty() {
            return Ok(self.goes(originator));
        }
        self.brake.now.insert(id, reasons);
        found.held.entry(reasons).or_default().push(id);
        Ok(Braked::Held)
    }

    fn goes(&mut self, originator: OriginatorNumber) -> Braked {
        *self.brake.going.entry(originator).or_default() += 1;
        Braked::Goes
    }

    fn held(&self, id: &RecordId) -> Result<Option<HeldState>, R::Error> {
        if self.brake.now.contains_key(id) {
            return Ok(Some(HeldState::Waiting));
        }
        if self.brake.ever_held { self.reader.held_state(self.number, id) } else { Ok(None) }
    }

    /// Returns true if a record waits for a person, or was refused: then nothing may refer to it
    /// either.
    pub fn is_held(&self, id: &RecordId) -> Result<bool, R::Error> {
        let held = match self.brake.now.contains_key(id) {
            true => Some(HeldState::Waiting),
            false => self.reader.held_state(self.number, id)?,
        };
        Ok(matches!(held, Some(HeldState::Waiting | HeldState::Refused)))
    }

    /// The revisions before a record with which its marking is compared, as far as they are here: back to the
    /// newest that is not held. What waits or was refused counts beside it: a revision that two persons have not
    /// let go makes nothing usual, and is not to go under another marking.
    fn predecessors(&self, record: &Verified) -> Result<Predecessors, R::Error> {
        let (mut found, mut previous) = (Predecessors::default(), record.header().previous);
        while let Some(id) = previous {
            if found.markings.len() > HELD_BEFORE_MAX {
                found.are_more = true;
                break;
            }
            let Some(before) = self.reader.record(&id)? else { break };
            found.markings.push(before.header().marking.clone());
            if !self.is_held(&id)? {
                break;
            }
            previous = before.header().previous;
        }
        Ok(found)
    }
}

/// Returns the classes of these slots that are not empty.
fn shown(record: &Verified, open: SlotMask) -> ClassSet {
    let filled =
        |number: &SlotNumber| open.contains(*number) && record.slot_bytes(*number).is_some();
    let kind = record.kind();
    SlotNumber::of(kind).filter(filled).map(|number| number.spec(kind).class).collect()
}
