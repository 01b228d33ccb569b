//! The entries of our feed that a partner refused: records and duties, the reasons, and the time of the
//! next offer.
//!
//! A record that was refused stays so until the feed shows it again; what is shown again and refused
//! again comes back here. A duty is named by its place in the feed, and is offered again in a new one.
//!
//! An order to erase may be answered with the word that there is no record. What the partner's own receipts
//! make of that is a [`Denial`], which stands in the entry of the receipt.

mod write;

use super::JournalError;
use super::entry;
use super::erasure_index;
use super::index::{self, Disclosure};
use super::state::{FeedNumber, PartnerRecord, State};
use super::tag::Tag;
use super::view::View;
use crate::exchange::{
    Denial, FeedAction as Action, Offering, Reason, Receipted, denies, is_repeated, judge_denial,
};
use crate::ident::{Generation, RecordId, Timestamp};
use crate::pb::{self, FeedAction, journal_entry::Event};
use crate::record::slots::SlotMask;
use crate::store::{Change, KeyRange, Order, Table};
use std::collections::{BTreeMap, BTreeSet};

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
    /// The slots of the entry.
    pub slots: SlotMask,
    pub reason: Reason,
}

impl NotTaken {
    /// Returns whether it is an order to erase with the answer that there is no record.
    fn is_denied(&self) -> bool {
        self.action == FeedAction::Erase && denies(self.reason)
    }
}

/// A duty that a partner refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedDuty {
    pub feed_index: u64,
    /// The number of the reason.
    reason: i32,
    /// The partner answers that it never got the record, and its own receipt contradicts that.
    pub is_contradicted: bool,
}

impl RefusedDuty {
    const CONTRADICTED: u8 = 1;

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, JournalError> {
        let index = key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        let (reason, is_contradicted) = match value.split_first_chunk::<4>() {
            Some((reason, [])) => (reason, false),
            Some((reason, [Self::CONTRADICTED])) => (reason, true),
            _ => return Err(damaged()),
        };
        let (feed_index, reason) = (index.unwrap_or_default(), i32::from_be_bytes(*reason));
        Ok(Self { feed_index, reason, is_contradicted })
    }
}

/// The present refusals of a partner, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Records by reason.
    pub records: BTreeMap<i32, u64>,
    /// Duties by reason.
    pub duties: BTreeMap<i32, u64>,
    /// Duties among them whose refusal the partner's own receipt contradicts.
    pub contradicted: u64,
}

fn record_key(feed: FeedNumber, id: &RecordId) -> Vec<u8> {
    [&[RECORD][..], &feed.get().to_be_bytes(), id.as_bytes()].concat()
}

fn duty_key(feed: FeedNumber, feed_index: u64) -> Vec<u8> {
    [&[DUTY][..], &feed.get().to_be_bytes(), &feed_index.to_be_bytes()].concat()
}

fn put(key: Vec<u8>, reason: Reason) -> Change {
    let reason = i32::from(pb::ExceptionReason::from(reason));
    Change::put(Table::Tagged, key, reason.to_be_bytes().to_vec())
}

fn put_duty(feed: FeedNumber, feed_index: u64, reason: Reason, denial: Denial) -> Change {
    let mut value = i32::from(pb::ExceptionReason::from(reason)).to_be_bytes().to_vec();
    if reason == Reason::NotSupplied && denial == Denial::Contradicted {
        value.push(RefusedDuty::CONTRADICTED);
    }
    Change::put(Table::Tagged, duty_key(feed, feed_index), value)
}

fn damaged() -> JournalError {
    JournalError::Index("a refusal has another form".to_owned())
}

fn reason_in(value: &[u8]) -> Result<i32, JournalError> {
    value.try_into().map(i32::from_be_bytes).map_err(|_| damaged())
}

/// The denial of an order that the entry of a receipt names.
pub(super) fn denial_in(receipt: &pb::ReceiptReceived, feed_index: u64) -> Denial {
    if receipt.contradicted.contains(&feed_index) {
        Denial::Contradicted
    } else if receipt.undecided.contains(&feed_index) {
        Denial::Undecided
    } else {
        Denial::Settled
    }
}

/// The index changes of an entry that a partner did not take, where `known` is what was disclosed of
/// its record, and `denial` what an answer comes to that there is none. Gives what is disclosed from then
/// on, if that changes.
pub(super) fn put_not_taken(
    feed: FeedNumber,
    entry: &NotTaken,
    known: Option<Disclosure>,
    denial: Denial,
    changes: &mut Vec<Change>,
) -> Option<Disclosure> {
    let NotTaken { feed_index, record, action, reason, .. } = *entry;
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
        FeedAction::Erase if is_repeated(reason, denial) => {
            changes.push(put_duty(feed, feed_index, reason, denial));
            None
        }
        FeedAction::Consent if reason.is_refusal() => {
            changes.push(put(duty_key(feed, feed_index), reason));
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
    ends.then(|| Change::delete(Table::Tagged, record_key(feed, id)))
}

/// The feeds to the same partner that a feed of ours succeeds.
fn earlier_feeds(feed: FeedNumber) -> impl Iterator<Item = FeedNumber> {
    let generations =
        std::iter::successors(Some(Generation::FIRST), |generation| generation.next());
    let feeds = generations.map(move |generation| FeedNumber::of(feed.partner(), generation));
    feeds.take_while(move |earlier| earlier.get() < feed.get())
}

impl PartnerRecord {
    /// Takes a receipt or an offer into account, in whatever order the index gives the last of each.
    pub(super) fn note_refusals(&mut self, index: u64, at: Timestamp, event: &Event) {
        match event {
            Event::ReceiptReceived(receipt) if entry::has_refusals(receipt) => {
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
                let slots = SlotMask::from_bits(entry.open_slots);
                found.push(NotTaken { feed_index, record, action, slots, reason });
            }
        }
        Ok(found)
    }

    /// Judges the answer to an order to erase that there is no record, by the partner's receipts;
    /// `is_staged`: exceptions of its receipts for the feed that the index does not have yet.
    pub(super) fn denial(
        &self,
        feed: FeedNumber,
        order: &NotTaken,
        is_staged: impl Fn(u64) -> bool,
    ) -> Result<Denial, JournalError> {
        if !order.is_denied() {
            return Ok(Denial::Undecided);
        }
        let mut shown = Vec::new();
        // Receipts that the partner gave up with its logs count no more.
        let is_lost = self.is_receipt_lost(feed)?;
        for (index, slots) in self.shown_in(feed, &order.record, order.feed_index)? {
            let is_not_taken = is_staged(index) || self.is_not_taken(feed, index)?;
            let receipted = match (is_lost, is_not_taken) {
                (true, _) => Receipted::Unknown,
                (false, true) => Receipted::NotTaken,
                (false, false) => Receipted::Taken,
            };
            shown.push((slots, receipted));
        }
        for earlier in earlier_feeds(feed) {
            // How far those feeds were receipted is not known any more.
            let entries = self.shown_in(earlier, &order.record, u64::MAX)?;
            shown.extend(entries.into_iter().map(|(_, slots)| (slots, Receipted::Unknown)));
        }
        Ok(judge_denial(order.slots, shown))
    }

    /// The entries of a feed below an index that disclosed a record, with their slots.
    fn shown_in(
        &self,
        feed: FeedNumber,
        id: &RecordId,
        below: u64,
    ) -> Result<Vec<(u64, SlotMask)>, JournalError> {
        let range = KeyRange::prefix(index::shown_before_prefix(feed, id));
        let mut indexes = BTreeSet::new();
        for pair in self.index().scan(Table::Tagged, &range, Order::Ascending) {
            let (key, _) = pair?;
            let index = key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
            indexes.insert(index.ok_or_else(damaged)?);
        }
        indexes.extend(self.disclosure(feed, id)?.map(|known| known.feed_index));
        let mut shown = Vec::new();
        for index in indexes.range(..below) {
            for bytes in self.feed_entries(feed, *index..index + 1)? {
                let entry = entry::decode_feed(*index, &bytes)?;
                if Action::shows_record(entry.action()) {
                    shown.push((*index, SlotMask::from_bits(entry.open_slots)));
                }
            }
        }
        Ok(shown)
    }

    /// The order to erase a record, in the feed from `below` on, whose refusal the partner's own receipt
    /// contradicts.
    pub fn contradicted_order(
        &self,
        feed: FeedNumber,
        below: u64,
        id: &RecordId,
    ) -> Result<Option<u64>, JournalError> {
        for index in self.orders_in(id, feed)?.into_iter().filter(|index| *index >= below) {
            let key = duty_key(feed, index);
            if let Some(value) = self.index().read(Table::Tagged, &key)?
                && RefusedDuty::decode(&key, &value)?.is_contradicted
            {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Returns whether a partner refuses anything of our feed.
    pub fn refuses_any(&self, feed: FeedNumber, below: u64) -> Result<bool, JournalError> {
        let records = KeyRange::prefix([&[RECORD][..], &feed.get().to_be_bytes()].concat());
        if let Some(pair) = self.index().scan(Table::Tagged, &records, Order::Ascending).next() {
            return Ok(pair.map(|_| true)?);
        }
        Ok(!self.refused_duties(feed, below, u64::MAX, 1)?.is_empty())
    }

    /// The duties in our feed that a partner refused, from `from` up to `to`.
    pub fn refused_duties(
        &self,
        feed: FeedNumber,
        from: u64,
        to: u64,
        most: usize,
    ) -> Result<Vec<RefusedDuty>, JournalError> {
        let range = KeyRange::between(duty_key(feed, from), duty_key(feed, to));
        self.index()
            .scan(Table::Tagged, &range, Order::Ascending)
            .take(most)
            .map(|pair| {
                let (key, value) = pair?;
                RefusedDuty::decode(&key, &value)
            })
            .collect()
    }

    /// Counts the present refusals of a partner; `below`: the first feed entry that was not offered
    /// again since.
    pub fn refusals(&self, feed: FeedNumber, below: u64) -> Result<Refusals, JournalError> {
        let mut refusals = Refusals::default();
        let range = KeyRange::prefix([&[RECORD][..], &feed.get().to_be_bytes()].concat());
        let scan = self.index().scan(Table::Tagged, &range, Order::Ascending);
        for pair in scan.take(COUNTED_MAX) {
            *refusals.records.entry(reason_in(&pair?.1)?).or_default() += 1;
        }
        for duty in self.refused_duties(feed, below, u64::MAX, COUNTED_MAX)? {
            *refusals.duties.entry(duty.reason).or_default() += 1;
            refusals.contradicted += u64::from(duty.is_contradicted);
        }
        Ok(refusals)
    }
}
