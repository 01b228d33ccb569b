//! Entries about held disclosures, judged one after another.

use super::{DECIDED_ENTRIES_MAX, Entry, HELD_RECORDS_MAX, fault};
use crate::audit::disclosures::LedgerAction;
use crate::audit::failure::Fault;
use crate::audit::holdings::RowNumber;
use crate::audit::ledger::Audit;
use crate::ident::{AgencyName, Generation, RecordId, Timestamp};
use crate::pb::{self, act::Act};
use crate::policy::{Reasons, Unusual};

impl Audit {
    /// Disclosures wait from here on.
    pub(in crate::audit) fn hold(
        &mut self,
        index: u64,
        at: Timestamp,
        held: &pb::DisclosuresHeld,
    ) -> Result<(), Fault> {
        self.partners.known(&held.partner)?;
        let agency: AgencyName =
            held.partner.parse().map_err(|error| fault("the name of a partner", error))?;
        let Some(reasons) = Reasons::from_bits(held.rules) else {
            return Err(fault("rules of the release brake", format!("{:#x}", held.rules)));
        };
        if !(1..=HELD_RECORDS_MAX).contains(&held.record_ids.len()) {
            let expected = format!("1 to {HELD_RECORDS_MAX} records");
            return Err(fault(expected, held.record_ids.len()));
        }
        if held.policy_version != self.policy.version || self.policy.version == 0 {
            let expected = format!("policy version {}", self.policy.version);
            return Err(fault(expected, held.policy_version));
        }
        let mut records = Vec::with_capacity(held.record_ids.len());
        for id in &held.record_ids {
            let id = RecordId::try_from(&id[..]).map_err(|error| fault("a record id", error))?;
            let Some((row, of)) = self.holdings.find(&id) else {
                return Err(fault("a record accepted before", format!("record {id}")));
            };
            let originator = &self.policy.facts.of(of.facts).originator;
            let is_passed_on = self.agency.as_ref() != Some(originator);
            if is_passed_on != reasons.contains(Unusual::PassedOn) {
                let expected = "own records, or those of others under the rule passed-on";
                return Err(fault(expected, format!("record {id} of {originator} for {reasons}")));
            }
            let barred = self.releases.barred.entry(agency.clone()).or_default();
            if barred.insert(row, false).is_some() {
                return Err(fault("a record that is not held yet", format!("record {id}")));
            }
            if self.partners.was_given(&agency, row) {
                return Err(fault("a record that was not disclosed", format!("record {id}")));
            }
            records.push(row);
            self.enter_held(&agency, row, LedgerAction::Held, at);
        }
        let rules = held.rules;
        self.releases.waiting.insert(index, Entry { agency, rules, records });
        Ok(())
    }

    /// Two persons decided on what was held.
    pub(in crate::audit) fn decide_held(
        &mut self,
        at: Timestamp,
        decided: &pb::HeldDecided,
    ) -> Result<(), Fault> {
        let below = match self.acts.approved(decided.proposal) {
            Some(Act::Release(act))
                if (&act.partner, act.rules, act.released)
                    == (&decided.partner, decided.rules, decided.released) =>
            {
                act.below
            }
            _ => {
                let found = format!("entry {}, which is none", decided.proposal);
                return Err(fault("an act on this bundle that was just approved", found));
            }
        };
        let is_sorted = decided.held.is_sorted_by(|a, b| a < b);
        if !is_sorted || !(1..=DECIDED_ENTRIES_MAX).contains(&decided.held.len()) {
            let expected = format!("1 to {DECIDED_ENTRIES_MAX} entries in their order");
            return Err(fault(expected, "other ones"));
        }
        for index in &decided.held {
            let entry = self.releases.waiting.remove(index).filter(|entry| {
                let same = (entry.agency.as_str(), entry.rules);
                *index < below && same == (&decided.partner, decided.rules)
            });
            let Some(Entry { agency, records, .. }) = entry else {
                let expected = "an entry that held this bundle when the act was proposed";
                return Err(fault(expected, format!("entry {index}")));
            };
            let action =
                if decided.released { LedgerAction::Released } else { LedgerAction::Refused };
            for row in records {
                if let Some(barred) = self.releases.barred.get_mut(&agency) {
                    match decided.released {
                        true => barred.remove(&row),
                        false => barred.insert(row, true),
                    };
                }
                self.enter_held(&agency, row, action, at);
            }
        }
        Ok(())
    }

    /// Nothing that waits or was refused may be in a feed.
    pub(in crate::audit) fn check_released(
        &self,
        number: u16,
        entry: &pb::FeedEntry,
    ) -> Result<(), Fault> {
        if entry.action() != pb::FeedAction::Disclose {
            return Ok(());
        }
        let row = RecordId::try_from(&entry.record_id[..]).ok();
        let row = row.and_then(|id| self.holdings.find(&id)).map(|(row, _)| row);
        let (Some(row), Some((agency, _))) = (row, self.partners.numbered(number)) else {
            return Ok(());
        };
        let found = match self.releases.bars(agency, row) {
            None => return Ok(()),
            Some(false) => "one that waits for a person",
            Some(true) => "one that was refused",
        };
        let expected = format!("a disclosure to {agency} that may go");
        Err(fault(expected, format!("{found}: record {}", self.holdings.at(row).id)))
    }

    fn enter_held(
        &mut self,
        agency: &AgencyName,
        row: RowNumber,
        action: LedgerAction,
        at: Timestamp,
    ) {
        let Some(disclosures) = &mut self.disclosures else { return };
        let generation = self.own.last().map_or(Generation::FIRST, |card| card.generation);
        let to = (agency, generation);
        disclosures.hold(to, self.holdings.at(row), self.policy.version, action, at);
    }
}
