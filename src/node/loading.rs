//! A batch of the feed to a partner at the moment of sending: what policy still allows of each entry.

use super::disclose::Discloser;
use crate::exchange::{Allowed, BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use crate::journal::entry;
use crate::journal::state::FeedNumber;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};
use crate::pb;
use crate::record::slots::SlotMask;
use bytes::Bytes;
use prost::Message as _;

/// The largest run of entries from `start` to a published head that fits one message, with what
/// policy still allows of each record now.
pub(super) fn load_batch(
    view: &View,
    feed: FeedNumber,
    discloser: &mut Discloser,
    start: u64,
) -> Result<(pb::FeedBatch, crate::ident::TreeHash), JournalError> {
    let most = start + BATCH_ENTRIES_MAX as u64;
    let missing = || JournalError::Index(format!("no feed head above {start}"));
    let (mut end, mut note) = view.feed_head(feed, start, most)?.ok_or_else(missing)?;
    discloser.begin();
    let mut batch = fill_batch(view, feed, discloser, start..end, note)?;
    while batch.encoded_len() > BATCH_BYTES_MAX {
        let smaller = view.feed_head(feed, start, end - 1)?.ok_or_else(missing)?;
        (end, note) = smaller;
        batch = fill_batch(view, feed, discloser, start..end, note)?;
    }
    Ok((batch, view.feed(feed)?.root_at(end)?))
}

fn fill_batch(
    view: &View,
    feed: FeedNumber,
    discloser: &mut Discloser,
    range: std::ops::Range<u64>,
    note: Bytes,
) -> Result<pb::FeedBatch, JournalError> {
    let start = range.start;
    let entries = view.feed_entries(feed, range)?;
    let mut envelopes = Vec::with_capacity(entries.len());
    for (index, bytes) in (start..).zip(&entries) {
        let entry = entry::decode_feed(index, bytes)?;
        // A damaged record is not sent either; the partner says so, and gets it once it can be read.
        let envelope = unless_damaged(envelope_for(view, discloser, &entry))?;
        envelopes.push(envelope.unwrap_or_default());
    }
    Ok(pb::FeedBatch { start, entries, envelopes, note })
}

/// The moment of sending: what was disclosed goes only if policy allows all of it now. Otherwise the
/// partner says that it did not get it, and what is allowed then is disclosed anew.
fn envelope_for(
    view: &View,
    discloser: &mut Discloser,
    entry: &pb::FeedEntry,
) -> Result<pb::Envelope, JournalError> {
    if !matches!(
        entry.action(),
        pb::FeedAction::Disclose | pb::FeedAction::Revise | pb::FeedAction::Withdraw
    ) {
        return Ok(pb::Envelope::default());
    }
    let id = entry::record_id(&entry.record_id)?;
    let Some((record, marks)) = view.record_with_marks(&id)? else {
        return Ok(pb::Envelope::default());
    };
    let slots = SlotMask::from_bits(entry.open_slots);
    let (open, erased) = match discloser.verdict(&record, marks)?.allowed {
        Allowed::Slots { open, erased } => (open, erased),
        // It may keep what it has. What the feed takes back further on is not given again for that.
        Allowed::Kept { open, erased }
            if discloser.disclosure(&id)?.is_some_and(|told| told.disclosed.is_live()) =>
        {
            (open, erased)
        }
        _ => return Ok(pb::Envelope::default()),
    };
    Ok(match slots.without(open).without(erased).is_empty() {
        true => record.redacted(slots.and(open)),
        false => pb::Envelope::default(),
    })
}
