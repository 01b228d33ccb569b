//! Questions about held disclosures to the view of the journal.

use super::{DECIDED, HELD, HeldBundle, HeldState, WAITING, damaged, key};
use crate::ident::{AgencyName, RecordId};
use crate::journal::entry;
use crate::journal::ids::PartnerNumber;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};
use crate::pb::{self, journal_entry::Event};
use crate::store::{KeyRange, Order, Table};
use std::collections::BTreeMap;

/// Records of a bundle that are shown to whoever decides.
const SAMPLES_MAX: usize = 16;

impl View {
    /// Returns true if anything was ever held for a partner; until then nothing needs to be looked
    /// up.
    pub fn ever_held(&self, number: PartnerNumber) -> Result<bool, JournalError> {
        let range = KeyRange::prefix(key(HELD, number, &[]));
        let first = self.index.scan(Table::Tagged, &range, Order::Ascending).next();
        Ok(first.transpose()?.is_some())
    }

    /// Returns the state of a record if its disclosure to a partner was held once.
    pub fn held_state(
        &self,
        number: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<HeldState>, JournalError> {
        let held = key(HELD, number, &[id.as_bytes()]);
        let Some(entry) = self.index.read(Table::Tagged, &held)? else { return Ok(None) };
        let decision = key(DECIDED, number, &[&entry]);
        match self.index.read(Table::Tagged, &decision)?.as_deref() {
            None => Ok(Some(HeldState::Waiting)),
            Some([0]) => Ok(Some(HeldState::Refused)),
            Some([1]) => Ok(Some(HeldState::Released)),
            Some(_) => Err(damaged()),
        }
    }

    /// Returns the held disclosures that wait for a partner, grouped by the rules that were met.
    pub fn held_bundles(
        &self,
        number: PartnerNumber,
    ) -> Result<BTreeMap<u32, HeldBundle>, JournalError> {
        let mut bundles: BTreeMap<u32, HeldBundle> = BTreeMap::new();
        let range = KeyRange::prefix(key(WAITING, number, &[]));
        for pair in self.index.scan(Table::Tagged, &range, Order::Ascending) {
            let (key, value) = pair?;
            let (rules, entry) = key
                .get(3..)
                .and_then(|rest| rest.split_first_chunk::<4>())
                .and_then(|(rules, entry)| Some((*rules, <[u8; 8]>::try_from(entry).ok()?)))
                .ok_or_else(damaged)?;
            let count = value.try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
            let bundle = bundles.entry(u32::from_be_bytes(rules)).or_default();
            bundle.entries.push((u64::from_be_bytes(entry), count));
        }
        Ok(bundles)
    }

    /// A bundle with its first records, for people.
    pub fn held_view(
        &self,
        agency: &AgencyName,
        rules: u32,
        bundle: &HeldBundle,
    ) -> Result<pb::HeldBundle, JournalError> {
        let mut view = pb::HeldBundle {
            agency: agency.to_string(),
            rules,
            records: bundle.records(),
            ..pb::HeldBundle::default()
        };
        for (entry, _) in &bundle.entries {
            // How many are held is in the index; records are named as far as they can be read.
            let Some((at, held)) = unless_damaged(self.held_entry(*entry))? else { continue };
            if view.since_ms == 0 {
                view.since_ms = at;
            }
            view.record_ids.extend(held.record_ids);
            if view.record_ids.len() >= SAMPLES_MAX {
                break;
            }
        }
        view.record_ids.truncate(SAMPLES_MAX);
        Ok(view)
    }

    fn held_entry(&self, entry: u64) -> Result<(u64, pb::DisclosuresHeld), JournalError> {
        let (at, event) = self.event(entry)?;
        match event {
            Event::DisclosuresHeld(held) => Ok((at.unix_ms().unsigned_abs(), held)),
            _ => Err(JournalError::Index(format!("entry {entry} holds no disclosure"))),
        }
    }

    /// The records that an entry holds.
    pub fn held_records(&self, entry: u64) -> Result<Vec<RecordId>, JournalError> {
        let (_, held) = self.held_entry(entry)?;
        held.record_ids.iter().map(|id| entry::record_id(id)).collect()
    }
}
