//! The journal's state at a past time: policy, partners, and one record after its acceptance.
//!
//! The index keeps where those entries are and nothing of what they say; they are read from the
//! journal, so that a past decision is explained from what an auditor reads too.

pub(super) mod rows;

use super::JournalError;
use super::ids::{FeedNumber, PartnerNumber};
use super::view::View;
use crate::ident::{RecordId, Timestamp};
use crate::pb::{self, journal_entry::Event};
use crate::record::slots::SlotMask;
use crate::store::{KeyRange, Order, Table};
use rows::{POLICY, RECORD, key, not_taken_key, partner_key, receipt_lost_key};
use std::collections::HashSet;
use std::ops::Range;

/// Entries about one record that are looked at, the newest: holds are set by people, and slots come
/// at most as often as there are slots.
const RECORD_ENTRIES_MAX: usize = 4_096;
/// Damaged entries in a row that are passed over to find a time: some milliseconds of reading.
const DAMAGED_MAX: usize = 4_096;

/// The events after a record's acceptance, up to some entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordHistory {
    /// The hold that it was under, with the time at which it was set.
    pub hold: Option<(Timestamp, pb::RecordRestricted)>,
    /// The time since when the partner that it came from has taken it back.
    pub retracted: Option<Timestamp>,
    /// Slots that were erased by then.
    pub erased: SlotMask,
    /// Slots that came after it was accepted, and after that entry.
    pub came_later: SlotMask,
    /// Slots that were erased after that entry.
    pub erased_later: SlotMask,
}

fn damaged() -> JournalError {
    JournalError::Index("a row of the index about the past has another form".to_owned())
}

fn last_index(bytes: &[u8]) -> Result<u64, JournalError> {
    bytes.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(damaged)
}

impl View {
    /// The number of entries that were made at or before a time; times of entries never go back. A damaged entry counts
    /// with those before it, so that whoever needs it learns that it is damaged.
    pub fn size_at(&self, at: Timestamp) -> Result<u64, JournalError> {
        let (mut low, mut high) = (0, self.journal().size());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.last_readable(low..middle + 1)? {
                Some((index, made)) if made > at => high = index,
                _ => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// The last entry of a range that is not damaged, and when it was made.
    fn last_readable(&self, range: Range<u64>) -> Result<Option<(u64, Timestamp)>, JournalError> {
        let is_long = range.end - range.start > DAMAGED_MAX as u64;
        let mut damaged = None;
        for index in range.rev().take(DAMAGED_MAX) {
            match self.event(index) {
                Err(error) if error.is_damage() => damaged = Some(error),
                found => return found.map(|(made, _)| Some((index, made))),
            }
        }
        damaged.filter(|_| is_long).map_or(Ok(None), Err)
    }

    /// The policy that was in force when the journal had `size` entries, and since when.
    pub fn policy_at(
        &self,
        size: u64,
    ) -> Result<Option<(Timestamp, pb::PolicyApplied)>, JournalError> {
        let range = KeyRange::between(key(POLICY, &[&[0; 8]]), key(POLICY, &[&size.to_be_bytes()]));
        let Some(index) = self.newest_in(&range)? else { return Ok(None) };
        match self.event(index)? {
            (at, Event::PolicyApplied(applied)) => Ok(Some((at, applied))),
            _ => Err(damaged()),
        }
    }

    /// Returns the last entry about a partner when the journal had `size` entries; `None` if it was
    /// not a partner yet.
    pub fn partner_at(
        &self,
        number: PartnerNumber,
        size: u64,
    ) -> Result<Option<pb::PartnerChanged>, JournalError> {
        let range = KeyRange::between(partner_key(number, 0), partner_key(number, size));
        let Some(index) = self.newest_in(&range)? else { return Ok(None) };
        match self.event(index)?.1 {
            Event::PartnerChanged(changed) => Ok(Some(changed)),
            _ => Err(damaged()),
        }
    }

    /// Counts the changes of the rules of acceptance for a partner: the policy, or the agreement with
    /// it.
    pub fn acceptance_changes(&self, number: PartnerNumber) -> Result<u64, JournalError> {
        let range = KeyRange::between(partner_key(number, 0), partner_key(number, u64::MAX));
        let mut changes = self.snapshot().state.policy_version().get();
        for pair in self.index().scan(Table::Tagged, &range, Order::Ascending) {
            pair?;
            changes += 1;
        }
        Ok(changes)
    }

    fn newest_in(&self, range: &KeyRange) -> Result<Option<u64>, JournalError> {
        let pair = self.index().scan(Table::Tagged, range, Order::Descending).next();
        pair.map(|pair| last_index(&pair?.0)).transpose()
    }

    /// Returns the events after a record's acceptance when the journal had `size` entries.
    pub fn history_at(&self, id: &RecordId, size: u64) -> Result<RecordHistory, JournalError> {
        let mut history = RecordHistory::default();
        let (mut hold, mut retraction) = (None, None);
        let range = KeyRange::prefix(key(RECORD, &[id.as_bytes()]));
        let newest_first = self.index().scan(Table::Tagged, &range, Order::Descending);
        for pair in newest_first.take(RECORD_ENTRIES_MAX) {
            let index = last_index(&pair?.0)?;
            let (at, event) = self.event(index)?;
            let is_later = index >= size;
            match event {
                Event::SlotsReceived(received) if is_later => {
                    let slots = SlotMask::from_bits(received.open_slots);
                    history.came_later = history.came_later.or(slots);
                }
                Event::SlotsErased(erased) => {
                    let slots = SlotMask::from_bits(erased.slots);
                    let of = if is_later { &mut history.erased_later } else { &mut history.erased };
                    *of = of.or(slots);
                }
                Event::RecordRestricted(restricted) if !is_later => {
                    hold.get_or_insert((at, restricted));
                }
                // One of some slots leaves the record in use.
                Event::RecordRetracted(retracted) if !is_later && retracted.slots == 0 => {
                    retraction.get_or_insert((at, retracted.retracted));
                }
                Event::RecordReceivedAgain(_) if !is_later => {
                    retraction.get_or_insert((at, false));
                }
                _ => {}
            }
        }
        history.hold = hold.filter(|(_, hold)| hold.restricted);
        history.retracted = retraction.filter(|(_, retracted)| *retracted).map(|(at, _)| at);
        Ok(history)
    }

    /// The records that something befell after they were accepted; `None` if they are more than
    /// `most`. The others are under no hold and not retracted, without being looked up.
    pub fn befallen(&self, most: usize) -> Result<Option<HashSet<RecordId>>, JournalError> {
        let mut found = HashSet::new();
        let range = KeyRange::prefix([RECORD]);
        for pair in self.index().scan(Table::Tagged, &range, Order::Ascending) {
            let (key, _) = pair?;
            let id = key.get(1..33).and_then(|id| RecordId::try_from(id).ok());
            found.insert(id.ok_or_else(damaged)?);
            if found.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// Returns whether receipts say that an entry of a feed was not taken.
    pub(super) fn is_not_taken(
        &self,
        feed: FeedNumber,
        feed_index: u64,
    ) -> Result<bool, JournalError> {
        let key = not_taken_key(feed, feed_index);
        Ok(self.index().read(Table::Tagged, &key)?.is_some())
    }

    /// Returns whether the partner of a feed gave up receipts for it with its logs.
    pub(super) fn is_receipt_lost(&self, feed: FeedNumber) -> Result<bool, JournalError> {
        Ok(self.index().read(Table::Tagged, &receipt_lost_key(feed))?.is_some())
    }

    /// Returns the reason why a partner did not take an entry of its feed; `None` if its receipts
    /// give none.
    pub fn not_taken(
        &self,
        feed: FeedNumber,
        feed_index: u64,
    ) -> Result<Option<pb::FeedException>, JournalError> {
        let key = not_taken_key(feed, feed_index);
        let Some(value) = self.index().read(Table::Tagged, &key)? else { return Ok(None) };
        match self.event(last_index(&value)?)?.1 {
            Event::ReceiptReceived(receipt) => {
                Ok(receipt.exceptions.into_iter().find(|found| found.index == feed_index))
            }
            _ => Err(damaged()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::query::fixtures::{DAY, Journal, OWN, indicator, time};
    use bytes::Bytes;

    fn applied(version: u64) -> Event {
        let bundle_hash = Bytes::copy_from_slice(&[version as u8; 32]);
        Event::PolicyApplied(pb::PolicyApplied { version, bundle_hash, ..Default::default() })
    }

    #[test]
    fn the_policy_of_a_time_is_the_last_one_applied_by_then() {
        let mut journal = Journal::new();
        let size = |journal: &Journal| journal.view().snapshot().size;
        assert_eq!(journal.view().policy_at(u64::MAX).unwrap(), None);
        let mut sizes = vec![size(&journal)];
        for version in [1, 2] {
            journal.append_at(DAY + version, applied(version));
            journal.add(OWN, indicator(&format!("{version}.example"), "", &[]), DAY);
            sizes.push(size(&journal));
        }
        let view = journal.view();
        let found: Vec<_> = sizes
            .iter()
            .map(|size| view.policy_at(*size).unwrap().map_or(0, |(_, policy)| policy.version))
            .collect();
        assert_eq!(found, [0, 1, 2]);
        assert_eq!(view.size_at(time(DAY)).unwrap(), sizes[0]);
        assert_eq!(view.size_at(time(DAY - 1)).unwrap(), 0);
        assert_eq!(view.size_at(time(DAY + 1)).unwrap(), sizes[1]);
        assert_eq!(view.size_at(time(DAY + 2)).unwrap(), sizes[2]);
    }

    #[test]
    fn a_damaged_version_counts_with_those_before_it_and_ends_no_list() {
        let journal = Journal::new();
        (1..4).for_each(|version| journal.append_at(DAY + version, applied(version)));
        let view = journal.view();
        let index = view.policy_version(2).unwrap().unwrap().journal_index;
        journal.damage_at(index);
        assert_eq!(view.size_at(time(DAY)).unwrap(), index - 1);
        assert_eq!(view.size_at(time(DAY + 1)).unwrap(), index + 1);
        assert_eq!(view.size_at(time(DAY + 3)).unwrap(), index + 2);
        assert!(view.policy_at(index + 1).is_err_and(|error| error.is_damage()));
        let versions = view.policy_versions(u64::MAX, 9).unwrap();
        let versions = versions.into_iter().map(|found| found.map(|found| found.applied.version));
        assert_eq!(versions.collect::<Vec<_>>(), [Some(3), None, Some(1)]);
    }

    #[test]
    fn the_fate_of_a_record_is_that_of_the_time() {
        let mut journal = Journal::new();
        let id = journal.add(OWN, indicator("a.example", "", &[]), DAY).id();
        let record_id = Bytes::copy_from_slice(id.as_bytes());
        let hold = |restricted| {
            Event::RecordRestricted(pb::RecordRestricted {
                record_id: record_id.clone(),
                restricted,
                reason: "exhibit".to_owned(),
                client: "officer".to_owned(),
                ..pb::RecordRestricted::default()
            })
        };
        let before = journal.view().snapshot().size;
        journal.append_at(DAY + 1, hold(true));
        let under = journal.view().snapshot().size;
        journal.append_at(DAY + 2, hold(false));
        let view = journal.view();
        let held =
            |size| view.history_at(&id, size).unwrap().hold.map(|(at, hold)| (at, hold.reason));
        assert_eq!(held(before), None);
        assert_eq!(held(under), Some((time(DAY + 1), "exhibit".to_owned())));
        assert_eq!(held(u64::MAX), None);
        assert_eq!(view.befallen(1).unwrap(), Some(HashSet::from([id])));
        assert_eq!(view.befallen(0).unwrap(), None);
    }
}
