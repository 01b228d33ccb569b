//! Receipts, and the offers of what they refused, in the group that waits.

use super::NotTaken;
use crate::exchange::{Denial, Reason};
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::transaction::Transaction;
use crate::pb::{self, FeedAction, journal_entry::Event};

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
            let entries = self.view.not_taken_entries(feed, &receipt.exceptions)?;
            for entry in &entries {
                self.group.pending.not_taken.insert((feed, entry.feed_index), ());
            }
            let is_denied = |entry: &&NotTaken| {
                entry.action == FeedAction::Erase && entry.reason == Reason::NotSupplied
            };
            for entry in entries.iter().filter(is_denied) {
                match self.group.pending.denial(self.view, feed, entry)? {
                    Denial::Contradicted => receipt.contradicted.push(entry.feed_index),
                    Denial::Undecided => receipt.undecided.push(entry.feed_index),
                    Denial::Settled => {}
                }
            }
        }
        self.append(Event::ReceiptReceived(receipt)).map(drop)
    }
}
