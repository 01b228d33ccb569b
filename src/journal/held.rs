//! Disclosures that wait for a person: which records, why, and what was decided on them.
//!
//! Held records stand in entries of the journal and in no feed. They are decided on by the entry that
//! held them, so that a decision on 66,000 records is a few entries. A record that was refused stays
//! so; one that was released passes the brake from then on, and policy decides on it anew.

use super::entry;
use super::ids::PartnerNumber;
use super::state::State;
use super::tag::Tag;
use super::transaction::Transaction;
use super::view::View;
use super::{JournalError, unless_damaged};
use crate::ident::{AgencyName, RecordId};
use crate::pb::{self, journal_entry::Event};
use crate::policy::Reasons;
use crate::store::{Change, KeyRange, Order, Table};
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};

const WAITING: u8 = Tag::HeldWaiting as u8;
const HELD: u8 = Tag::Held as u8;
const DECIDED: u8 = Tag::HeldDecided as u8;

/// Records that one entry holds: 34 KiB of its 64.
pub const HELD_RECORDS_MAX: usize = 1_024;
/// Entries that one decision names: 40 KiB of its 64.
const DECIDED_ENTRIES_MAX: usize = 4_096;
/// Records that one decision is about at the most, a single entry aside; they are considered in one
/// step.
const DECIDED_RECORDS_MAX: u64 = 2_048;
/// Entries that one act decides on: a million records in bulk. What is left waits for another act.
const ACT_ENTRIES_MAX: usize = 16_384;
/// Records of a bundle that are shown to whoever decides.
const SAMPLES_MAX: usize = 16;

/// The state of a record that was held once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldState {
    Waiting,
    Released,
    Refused,
}

fn key(tag: u8, number: PartnerNumber, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(&number.get().to_be_bytes());
    rest.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn waiting_key(number: PartnerNumber, rules: u32, entry: u64) -> Vec<u8> {
    key(WAITING, number, &[&rules.to_be_bytes(), &entry.to_be_bytes()])
}

fn damaged() -> JournalError {
    JournalError::Index("what is kept of a held disclosure has another form".to_owned())
}

fn put(key: Vec<u8>, value: Vec<u8>) -> Change {
    Change::put(Table::Disclosures, key, value)
}

/// Writes the index changes of an entry, if it is about held disclosures; `state` has it taken in.
pub(super) fn put_entry(
    state: &State,
    index: u64,
    event: &Event,
    changes: &mut Vec<Change>,
) -> Result<(), JournalError> {
    match event {
        Event::DisclosuresHeld(held) => {
            let number = state.number_of(index, &held.partner)?;
            let count = (held.record_ids.len() as u64).to_be_bytes().to_vec();
            changes.push(put(waiting_key(number, held.rules, index), count));
            let record = |id: &Bytes| put(key(HELD, number, &[id]), index.to_be_bytes().to_vec());
            changes.extend(held.record_ids.iter().map(record));
        }
        Event::HeldDecided(decided) => {
            let number = state.number_of(index, &decided.partner)?;
            for entry in &decided.held {
                let waiting = waiting_key(number, decided.rules, *entry);
                changes.push(Change::delete(Table::Disclosures, waiting));
                let decision = key(DECIDED, number, &[&entry.to_be_bytes()]);
                changes.push(put(decision, vec![decided.released.into()]));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Entries that hold disclosures to one partner for the same reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldBundle {
    /// Each with the number of its records, ascending.
    pub entries: Vec<(u64, u64)>,
}

impl HeldBundle {
    pub fn records(&self) -> u64 {
        self.entries.iter().map(|(_, count)| count).sum()
    }
}

impl View {
    /// Returns true if anything was ever held for a partner; until then nothing needs to be looked
    /// up.
    pub fn ever_held(&self, number: PartnerNumber) -> Result<bool, JournalError> {
        let range = KeyRange::prefix(key(HELD, number, &[]));
        let first = self.index.scan(Table::Disclosures, &range, Order::Ascending).next();
        Ok(first.transpose()?.is_some())
    }

    /// Returns the state of a record if its disclosure to a partner was held once.
    pub fn held_state(
        &self,
        number: PartnerNumber,
        id: &RecordId,
    ) -> Result<Option<HeldState>, JournalError> {
        let held = key(HELD, number, &[id.as_bytes()]);
        let Some(entry) = self.index.read(Table::Disclosures, &held)? else { return Ok(None) };
        let decision = key(DECIDED, number, &[&entry]);
        match self.index.read(Table::Disclosures, &decision)?.as_deref() {
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
        for pair in self.index.scan(Table::Disclosures, &range, Order::Ascending) {
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

impl Transaction<'_> {
    /// Holds disclosures to a partner. They are at most [`HELD_RECORDS_MAX`].
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
            .filter(|change| change.table == Table::Disclosures && change.value.is_none())
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
