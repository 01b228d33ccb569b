//! Disclosures that wait for a person: which records, why, and what was decided on them.
//!
//! Held records stand in entries of the journal and in no feed. They are decided on by the entry that
//! held them, so that a decision on 66,000 records is a few entries. A record that was refused stays
//! so; one that was released passes the brake from then on, and policy decides on it anew.

mod read;
mod write;

use super::JournalError;
use super::ids::PartnerNumber;
use super::state::State;
use super::tag::Tag;
pub use crate::disclosure::HeldState;
use crate::pb::journal_entry::Event;
use crate::store::{Change, Table};
use bytes::Bytes;

const WAITING: u8 = Tag::HeldWaiting as u8;
const HELD: u8 = Tag::Held as u8;
const DECIDED: u8 = Tag::HeldDecided as u8;

/// Records that one entry holds: 34 KiB of its 64.
pub const HELD_RECORDS_MAX: usize = 1_024;

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
    JournalError::Index("a row of the index about a held disclosure has another form".to_owned())
}

fn put(key: Vec<u8>, value: Vec<u8>) -> Change {
    Change::put(Table::Tagged, key, value)
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
                changes.push(Change::delete(Table::Tagged, waiting));
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
