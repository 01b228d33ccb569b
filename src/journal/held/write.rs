//! Holding disclosures back and deciding on them, as jobs of the writer.

use super::{HeldBundle, waiting_key};
use crate::ident::{AgencyName, RecordId};
use crate::journal::JournalError;
use crate::journal::ids::PartnerNumber;
use crate::journal::transaction::Transaction;
use crate::pb::{self, journal_entry::Event};
use crate::policy::Reasons;
use crate::store::Table;
use bytes::Bytes;
use std::collections::HashSet;

/// Entries that one decision names: 40 KiB of its 64.
const DECIDED_ENTRIES_MAX: usize = 4_096;
/// Records that one decision is about at the most, a single entry aside; they are considered in one
/// step.
const DECIDED_RECORDS_MAX: u64 = 2_048;
/// Entries that one act decides on: a million records in bulk. What is left waits for another act.
const ACT_ENTRIES_MAX: usize = 16_384;

impl Transaction<'_> {
    /// Holds disclosures to a partner. They are at most [`super::HELD_RECORDS_MAX`].
    pub fn hold_back(
        &mut self,
        agency: &AgencyName,
        reasons: Reasons,
        records: &[RecordId],
    ) -> Result<(), JournalError> {
        let id = |id: &RecordId| Bytes::copy_from_slice(id.as_bytes());
        let held = pb::DisclosuresHeld {
            partner: agency.to_string(),
            rules: reasons.bits(),
            record_ids: records.iter().map(id).collect(),
            policy_version: self.state.policy_version().get(),
        };
        self.append(Event::DisclosuresHeld(held)).map(drop)
    }

    /// Returns the disclosures that wait below an entry for a partner on these grounds. It leaves
    /// out those that this group decides.
    pub fn held_below(
        &self,
        number: PartnerNumber,
        reasons: Reasons,
        below: u64,
    ) -> Result<HeldBundle, JournalError> {
        let rules = reasons.bits();
        let mut bundle = self.view.held_bundles(number)?.remove(&rules).unwrap_or_default();
        let of_group = self.group.pending.changes.iter();
        let decided: HashSet<&[u8]> = of_group
            .filter(|change| change.table == Table::Tagged && change.value.is_none())
            .map(|change| &change.key[..])
            .collect();
        bundle.entries.retain(|(entry, _)| {
            *entry < below && !decided.contains(&waiting_key(number, rules, *entry)[..])
        });
        bundle.entries.truncate(ACT_ENTRIES_MAX);
        Ok(bundle)
    }

    /// Writes down what was decided on a bundle; each entry is about as much as one step considers.
    pub fn decide_held(
        &mut self,
        agency: &AgencyName,
        reasons: Reasons,
        bundle: &HeldBundle,
        proposal: u64,
        released: bool,
    ) -> Result<(), JournalError> {
        let mut rest = &bundle.entries[..];
        while !rest.is_empty() {
            let mut records = 0;
            let fits = rest.iter().take(DECIDED_ENTRIES_MAX).take_while(|(_, count)| {
                let is_first = records == 0;
                records += count;
                is_first || records <= DECIDED_RECORDS_MAX
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            rest = later;
            let decided = pb::HeldDecided {
                partner: agency.to_string(),
                rules: reasons.bits(),
                proposal,
                released,
                held: now.iter().map(|(entry, _)| *entry).collect(),
            };
            self.append(Event::HeldDecided(decided))?;
        }
        Ok(())
    }
}
