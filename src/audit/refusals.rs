//! The check of partners' refusals. A refused record counts as refused until it is taken. It is offered
//! again when that is due, and not before. A partner's claim that it never got an order is compared with
//! its own receipt.

mod judge;

use super::failure::{Check, Fault};
use super::given_slots::GivenSlots;
use super::holdings::RowNumber;
use super::row_set::Rows;
use crate::exchange::{Denial, Offering, Reason, Receipted, judge_denial};
use crate::ident::Timestamp;
use crate::pb::{self, FeedAction};
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// An entry of a feed that shows a record, or an order to erase.
#[derive(Debug, Clone, Copy)]
struct Sent {
    index: u64,
    row: RowNumber,
    slots: SlotMask,
    is_order: bool,
}

/// Entries of a feed on their way to a receipt, records that were refused, and those that were taken.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Entries without a receipt.
    waiting: VecDeque<Sent>,
    /// Those that the last head receipted covers.
    answered: Vec<Sent>,
    records: Rows,
    /// The slots that receipts show as taken, since the partner gave up receipts with its logs last.
    taken: GivenSlots,
    /// Orders to erase that the partner denies against its own receipt, and the entry with the first denial.
    pub(super) contradicted: Option<(u64, u64)>,
    offering: Offering,
}

impl Refused {
    /// An entry of the feed about a record, with its slots.
    pub(super) fn push(
        &mut self,
        index: u64,
        (row, slots): (RowNumber, SlotMask),
        action: FeedAction,
        whole: bool,
    ) {
        let is_order = action == FeedAction::Erase;
        if is_order || crate::exchange::FeedAction::shows_record(action) {
            self.waiting.push_back(Sent { index, row, slots, is_order });
        } else if action == FeedAction::Retract && whole {
            self.records.remove(row);
        }
    }

    /// A receipt for entries below `size`, with the exceptions of some of them, at an entry of the journal.
    pub(super) fn receipt(
        &mut self,
        size: u64,
        receipt: &pb::ReceiptReceived,
        stated: Range<u64>,
        (entry, at): (u64, Timestamp),
    ) -> Result<(), Fault> {
        let covered = self.waiting.partition_point(|sent| sent.index < size);
        if covered > 0 {
            self.answered = self.waiting.drain(..covered).collect();
            for sent in self.answered.iter().filter(|sent| !sent.is_order) {
                self.records.remove(sent.row);
            }
        }
        let excepted = receipt.exceptions.iter();
        let excepted: BTreeMap<u64, _> =
            excepted.map(|of| (of.index, Reason::try_from(of.reason))).collect();
        let is_refusal =
            |reason: &Result<Reason, _>| reason.as_ref().is_ok_and(|reason| reason.is_refusal());
        let denied = |index: &u64| matches!(excepted.get(index), Some(Ok(Reason::NotSupplied)));
        let listed = || receipt.contradicted.iter().chain(&receipt.undecided);
        if let Some(index) = listed().find(|index| !denied(index)) {
            let expected = "orders that the partner says it never got the record of";
            return Err(Fault::new(Check::Receipt, expected, format!("entry {index}")));
        }
        if listed().next().is_some() || excepted.values().any(is_refusal) {
            self.offering.refuse(receipt.acceptance, at);
        }
        for Sent { index, row, slots, is_order } in &self.answered {
            match (excepted.get(index), is_order) {
                _ if !stated.contains(index) => {}
                (None, false) => self.taken.add(*row, *slots),
                (Some(reason), false) if is_refusal(reason) => self.records.insert(*row),
                (Some(Ok(Reason::NotSupplied)), true) => {
                    let taken = self.taken.of(*row).map(|taken| (taken, Receipted::Taken));
                    if judge_denial(*slots, taken) == Denial::Contradicted {
                        let (count, first) = self.contradicted.unwrap_or((0, entry));
                        self.contradicted = Some((count + 1, first));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The partner gave up receipts with its logs.
    pub(super) fn lose_receipt(&mut self) {
        self.taken = GivenSlots::default();
    }

    /// Records that the partner refused and was not shown again since, or refused again.
    pub(super) fn count(&self) -> u64 {
        self.records.count()
    }

    fn offer(
        &mut self,
        offered: &pb::RefusedOffered,
        published: u64,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let before = self.offering;
        let expected = before.offered(offered.acceptance, published, at);
        let due = before.due_at(offered.acceptance).filter(|due| *due <= at);
        let said = (offered.feed_from, offered.feed_size, offered.acceptance, offered.attempts);
        let wanted = (before.below, published, expected.offered_under, expected.attempts);
        if due.is_none() || said != wanted {
            let expected = match due {
                None => format!("an offer of what was refused, due by {at}"),
                Some(_) => format!("an offer with feed, acceptance and attempts {wanted:?}"),
            };
            return Err(Fault::new(Check::Receipt, expected, format!("{said:?}")));
        }
        self.offering = expected;
        Ok(())
    }
}
