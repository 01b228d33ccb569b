//! What a partner refused of our feed: which records and duties, why, and when they are offered again.
//!
//! A record that was refused stays so until the feed shows it again; what is shown again and refused
//! again comes back here. A duty is named by its place in the feed, and is offered again in a new one.

use super::JournalError;
use super::entry;
use super::erasure_index;
use super::index::{self, Disclosure};
use super::state::{FeedNumber, PartnerRecord, State};
use super::tag::Tag;
use super::transaction::Transaction;
use super::view::View;
use crate::exchange::{Offering, Reason};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, FeedAction, journal_entry::Event};
use crate::store::{Change, KeyRange, Order, Table};
use std::collections::BTreeMap;

const RECORD: u8 = Tag::RefusedRecord as u8;
const DUTY: u8 = Tag::RefusedDuty as u8;

/// Refusals of one partner that are counted for people; a scan of so many takes some milliseconds.
pub const COUNTED_MAX: usize = 10_000;

/// Refused duties that are offered again at once; more than one batch of a feed is never under way for
/// duties alone.
pub const DUTIES_MAX: usize = 1_024;

/// An entry of our feed that a partner did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken {
    pub feed_index: u64,
    pub record: RecordId,
    pub action: FeedAction,
    pub reason: Reason,
}

/// What a partner refuses now, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Records by reason.
    pub records: BTreeMap<i32, u64>,
    /// Duties by reason.
    pub duties: BTreeMap<i32, u64>,
}

fn record_key(feed: FeedNumber, id: &RecordId) -> Vec<u8> {
    [&[RECORD][..], &feed.get().to_be_bytes(), id.as_bytes()].concat()
}

fn duty_key(feed: FeedNumber, feed_index: u64) -> Vec<u8> {
    [&[DUTY][..], &feed.get().to_be_bytes(), &feed_index.to_be_bytes()].concat()
}

fn put(key: Vec<u8>, reason: Reason) -> Change {
    let reason = i32::from(pb::ExceptionReason::from(reason));
    Change::put(Table::Disclosures, key, reason.to_be_bytes().to_vec())
}

fn reason_in(value: &[u8]) -> Result<i32, JournalError> {
    value
        .try_into()
        .map(i32::from_be_bytes)
        .map_err(|_| JournalError::Index("a refusal has another form".to_owned()))
}

/// The index changes of an entry that a partner did not take, where `known` is what was disclosed of
/// its record. Gives what is disclosed from then on, if that changes.
pub(super) fn put_not_taken(
    feed: FeedNumber,
    entry: &NotTaken,
    known: Option<Disclosure>,
    changes: &mut Vec<Change>,
) -> Option<Disclosure> {
    let NotTaken { feed_index, record, action, reason } = *entry;
    if matches!(action, FeedAction::Retract | FeedAction::Erase) {
        changes.push(erasure_index::put_excepted(feed, feed_index, reason));
    }
    match action {
        FeedAction::Disclose | FeedAction::Revise | FeedAction::Withdraw => {
            let after = known.and_then(|known| known.not_taken_at(feed_index, reason))?;
            changes.push(index::put_disclosure(feed, &record, after));
            if after.disclosed.is_refused {
                changes.push(put(record_key(feed, &record), reason));
            }
            Some(after)
        }
        FeedAction::Erase | FeedAction::Consent if reason.is_refusal() => {
            // Where the record itself never arrived, there is nothing that could be erased.
            let nothing_there = action == FeedAction::Erase
                && reason == Reason::NotOrdered
                && known.is_some_and(|known| known.disclosed.is_missing());
            if !nothing_there {
                changes.push(put(duty_key(feed, feed_index), reason));
            }
            None
        }
        _ => None,
    }
}

/// The index change of an entry that shows a record which was refused before.
pub(super) fn forget(
    feed: FeedNumber,
    id: &RecordId,
    before: Option<Disclosure>,
    after: Disclosure,
) -> Option<Change> {
    let was_refused = before.is_some_and(|before| before.disclosed.is_refused);
    let ends = was_refused && !after.disclosed.is_refused;
    ends.then(|| Change::delete(Table::Disclosures, record_key(feed, id)))
}

/// Returns whether a receipt lists anything that the partner refused.
pub(super) fn has_refusals(receipt: &pb::ReceiptReceived) -> bool {
    let mut reasons = receipt.exceptions.iter().map(|e| Reason::try_from(e.reason));
    reasons.any(|reason| reason.is_ok_and(Reason::is_refusal))
}

impl PartnerRecord {
    /// Takes a receipt or an offer into account, in whatever order the index gives the last of each.
    pub(super) fn note_refusals(&mut self, index: u64, at: Timestamp, event: &Event) {
        match event {
            Event::ReceiptReceived(receipt) if has_refusals(receipt) => {
                self.refused_by = self.refused_by.max(index);
                self.offering.refuse(receipt.acceptance, at);
            }
            Event::RefusedOffered(offered) => {
                let since = self.offering.refused_at.filter(|_| self.refused_by > index);
                self.offering = Offering {
                    refused_under: self.offering.refused_under,
                    refused_at: since,
                    offered_under: offered.acceptance,
                    offered_at: Some(at),
                    attempts: offered.attempts,
                    below: offered.feed_size,
                };
            }
            _ => {}
        }
    }
}

impl State {
    /// Returns whether an event about refusals is of the feeds of now.
    pub(super) fn is_of_now(&self, offered: &pb::RefusedOffered) -> bool {
        offered.generation == self.generation().to_wire()
    }
}

impl View {
    /// The entries of our feed that exceptions of a receipt are about, as far as they are there.
    pub fn not_taken_entries(
        &self,
        feed: FeedNumber,
        exceptions: &[pb::FeedException],
    ) -> Result<Vec<NotTaken>, JournalError> {
        let size = self.feed(feed)?.size();
        let mut found = Vec::new();
        for exception in exceptions.iter().filter(|exception| exception.index < size) {
            let feed_index = exception.index;
            let Ok(reason) = Reason::try_from(exception.reason) else { continue };
            for bytes in self.feed_entries(feed, feed_index..feed_index + 1)? {
                let entry = entry::decode_feed(feed_index, &bytes)?;
                let (record, action) = (entry::record_id(&entry.record_id)?, entry.action());
                found.push(NotTaken { feed_index, record, action, reason });
            }
        }
        Ok(found)
    }

    /// Returns whether a partner refuses anything of our feed.
    pub fn refuses_any(&self, feed: FeedNumber, below: u64) -> Result<bool, JournalError> {
        let records = KeyRange::prefix([&[RECORD][..], &feed.get().to_be_bytes()].concat());
        if let Some(pair) = self.index().scan(Table::Disclosures, &records, Order::Ascending).next()
        {
            return Ok(pair.map(|_| true)?);
        }
        Ok(!self.refused_duties(feed, below, u64::MAX, 1)?.is_empty())
    }

    /// The places in our feed of duties that a partner refused, from `from` up to `to`.
    pub fn refused_duties(
        &self,
        feed: FeedNumber,
        from: u64,
        to: u64,
        most: usize,
    ) -> Result<Vec<(u64, i32)>, JournalError> {
        let range = KeyRange::between(duty_key(feed, from), duty_key(feed, to));
        self.index()
            .scan(Table::Disclosures, &range, Order::Ascending)
            .take(most)
            .map(|pair| {
                let (key, value) = pair?;
                let index = key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
                Ok((index.unwrap_or_default(), reason_in(&value)?))
            })
            .collect()
    }

    /// What a partner refuses now; `below`: the first feed entry that was not offered again since.
    pub fn refusals(&self, feed: FeedNumber, below: u64) -> Result<Refusals, JournalError> {
        let mut refusals = Refusals::default();
        let range = KeyRange::prefix([&[RECORD][..], &feed.get().to_be_bytes()].concat());
        let scan = self.index().scan(Table::Disclosures, &range, Order::Ascending);
        for pair in scan.take(COUNTED_MAX) {
            *refusals.records.entry(reason_in(&pair?.1)?).or_default() += 1;
        }
        for (_, reason) in self.refused_duties(feed, below, u64::MAX, COUNTED_MAX)? {
            *refusals.duties.entry(reason).or_default() += 1;
        }
        Ok(refusals)
    }
}

impl Transaction<'_> {
    /// Notes that a partner whose logs were succeeded holds our feed up to here only.
    pub fn lose_receipt(
        &mut self,
        agency: &AgencyName,
        held: u64,
        note: Vec<u8>,
    ) -> Result<(), JournalError> {
        let receipted = self.state.partners.get(agency).map_or(0, |partner| partner.receipted);
        if held >= receipted {
            return Ok(());
        }
        self.append(Event::ReceiptLost(pb::ReceiptLost {
            partner: agency.to_string(),
            generation: self.state.generation().to_wire(),
            held,
            note: note.into(),
        }))
        .map(drop)
    }

    /// Offers again what a partner refused, if that is due by now.
    pub fn offer_refused(
        &mut self,
        agency: &AgencyName,
        acceptance: u64,
    ) -> Result<(), JournalError> {
        let Some(partner) = self.state.partners.get(agency) else { return Ok(()) };
        let (now, before) = (self.now(), partner.offering);
        if before.due_at(acceptance).is_none_or(|due| due > now) {
            return Ok(());
        }
        let after = before.offered(acceptance, partner.published.size, now);
        self.append(Event::RefusedOffered(pb::RefusedOffered {
            partner: agency.to_string(),
            generation: self.state.generation().to_wire(),
            feed_from: before.below,
            feed_size: after.below,
            acceptance: after.offered_under,
            attempts: after.attempts,
        }))
        .map(drop)
    }

    /// Takes a partner's receipt, and remembers what it did not take and what it did not get.
    pub fn receipt(&mut self, mut receipt: pb::ReceiptReceived) -> Result<(), JournalError> {
        let agency = receipt.partner.parse::<AgencyName>().ok();
        if let Some(partner) = agency.and_then(|agency| self.state.partners.get(&agency)) {
            let feed = partner.feed;
            // Only rises, so that the last receipt with a refusal has the greatest.
            receipt.acceptance = receipt.acceptance.max(partner.offering.refused_under);
            for entry in self.view.not_taken_entries(feed, &receipt.exceptions)? {
                let known = self.disclosure(feed, &entry.record)?;
                let after = put_not_taken(feed, &entry, known, &mut self.group.changes);
                if let Some(after) = after {
                    self.group.disclosures.insert((feed, entry.record), after);
                }
            }
        }
        self.append(Event::ReceiptReceived(receipt)).map(drop)
    }
}
