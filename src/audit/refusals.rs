//! What partners refused: that it is counted as refused until it is taken, and that it is offered again
//! when that is due and not before.

use super::failure::{Check, Fault};
use super::feed::Rows;
use super::holdings::RowNumber;
use super::ledger::Audit;
use crate::exchange::{Offering, Reason};
use crate::ident::Timestamp;
use crate::pb::{self, FeedAction};
use std::collections::VecDeque;

/// Entries of a feed that show a record, on their way to a receipt, and records that were refused.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Index and row of entries without a receipt.
    waiting: VecDeque<(u64, RowNumber)>,
    /// Those that the last head receipted covers.
    answered: Vec<(u64, RowNumber)>,
    records: Rows,
    offering: Offering,
}

impl Refused {
    /// An entry of the feed about a record.
    pub(super) fn push(&mut self, index: u64, row: RowNumber, action: FeedAction, whole: bool) {
        match action {
            FeedAction::Disclose | FeedAction::Revise | FeedAction::Withdraw => {
                self.waiting.push_back((index, row));
            }
            FeedAction::Retract if whole => self.records.remove(row),
            _ => {}
        }
    }

    /// A receipt for entries below `size`.
    pub(super) fn receipt(&mut self, size: u64, receipt: &pb::ReceiptReceived, at: Timestamp) {
        let covered = self.waiting.partition_point(|(index, _)| *index < size);
        if covered > 0 {
            self.answered = self.waiting.drain(..covered).collect();
            for (_, row) in &self.answered {
                self.records.remove(*row);
            }
        }
        let mut refuses = false;
        for exception in &receipt.exceptions {
            let is_refusal = Reason::try_from(exception.reason).is_ok_and(Reason::is_refusal);
            refuses |= is_refusal;
            let found = self.answered.binary_search_by_key(&exception.index, |(index, _)| *index);
            if let (Ok(found), true) = (found, is_refusal) {
                self.records.insert(self.answered[found].1);
            }
        }
        if refuses {
            self.offering.refuse(receipt.acceptance, at);
        }
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

impl Audit {
    /// What a partner refused is offered to it again.
    pub(super) fn offer_refused(
        &mut self,
        offered: &pb::RefusedOffered,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let feed = self.partners.feed_to(&offered.partner)?;
        let published = feed.size();
        feed.refused.offer(offered, published, at)
    }
}
