//! Keys of the index that lead to entries about the past: policy, partners, one record.
//!
//! The index keeps where those entries are and nothing of what they say.

use crate::ident::Generation;
use crate::journal::ids::{FeedNumber, PartnerNumber};
use crate::journal::state::note::generation_of;
use crate::journal::tag::Tag;
use crate::pb::{self, journal_entry::Event};
use crate::store::{Change, Table};

pub(in crate::journal) const POLICY: u8 = Tag::PolicyAt as u8;
const PARTNER: u8 = Tag::PartnerAt as u8;
pub(in crate::journal) const RECORD: u8 = Tag::RecordAt as u8;
const NOT_TAKEN: u8 = Tag::NotTaken as u8;
const RECEIPT_LOST: u8 = Tag::ReceiptLost as u8;

pub(in crate::journal) fn key(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![tag];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

pub(in crate::journal) fn partner_key(number: PartnerNumber, index: u64) -> Vec<u8> {
    key(PARTNER, &[&number.get().to_be_bytes(), &index.to_be_bytes()])
}

pub(in crate::journal) fn not_taken_key(feed: FeedNumber, feed_index: u64) -> Vec<u8> {
    key(NOT_TAKEN, &[&feed.get().to_be_bytes(), &feed_index.to_be_bytes()])
}

/// There once a partner gave up receipts for a feed with its logs.
pub(in crate::journal) fn receipt_lost_key(feed: FeedNumber) -> Vec<u8> {
    key(RECEIPT_LOST, &[&feed.get().to_be_bytes()])
}

/// Keeps the place of an entry that questions about the past lead to. `number` gives the number of a partner after the
/// entry.
pub(in crate::journal) fn put(
    number: impl Fn(&str) -> Option<PartnerNumber>,
    index: u64,
    event: &Event,
    changes: &mut Vec<Change>,
) {
    let at = index.to_be_bytes();
    let mut add = |key, value: &[u8]| {
        changes.push(Change::put(Table::Tagged, key, value.to_vec()));
    };
    match event {
        Event::PolicyApplied(_) => add(key(POLICY, &[&at]), &[]),
        Event::PartnerChanged(changed) => {
            if let Some(number) = number(&changed.agency) {
                add(partner_key(number, index), &[]);
            }
        }
        Event::SlotsReceived(pb::SlotsReceived { record_id, .. })
        | Event::SlotsErased(pb::SlotsErased { record_id, .. })
        | Event::RecordRestricted(pb::RecordRestricted { record_id, .. })
        | Event::RecordRetracted(pb::RecordRetracted { record_id, .. })
        | Event::RecordReceivedAgain(pb::RecordReceivedAgain { record_id, .. }) => {
            add(key(RECORD, &[record_id, &at]), &[]);
        }
        Event::ReceiptReceived(receipt) => {
            if let Some(number) = number(&receipt.partner) {
                let feed = FeedNumber::of(number, generation_of(&receipt.note));
                for exception in &receipt.exceptions {
                    add(not_taken_key(feed, exception.index), &at);
                }
            }
        }
        Event::ReceiptLost(lost) => {
            if let (Some(number), Ok(generation)) =
                (number(&lost.partner), Generation::from_wire(lost.generation))
            {
                add(receipt_lost_key(FeedNumber::of(number, generation)), &at);
            }
        }
        _ => {}
    }
}
