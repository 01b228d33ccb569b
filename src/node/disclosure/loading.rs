//! A batch of the feed to a partner at the moment of sending: what policy still allows of each entry.

use super::Discloser;
use crate::exchange::{HeadSpacing, RECORD_ENTRY_BYTES_MAX};
use crate::ident::{Timestamp, TreeHash};
use crate::journal::entry;
use crate::journal::ids::FeedNumber;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};
use crate::pb;
use bytes::Bytes;
use prost::Message as _;
use std::ops::Range;

/// The largest run of entries from the start of a range to a published head in it that fits one message, with what
/// policy still allows of each record now; with the root of that head and when it was first published. What the
/// partner writes again counts as if it were sent; where the first head is beyond that, the run ends there: it was
/// within that when it was published.
///
/// A damaged entry ends the run at the last head before it. The partner proves the feed from the bytes of all its
/// entries, so where no head is before the damage, nothing can be sent.
pub(in crate::node) fn load_batch(
    view: &View,
    feed: FeedNumber,
    discloser: &mut Discloser,
    within: Range<u64>,
) -> Result<(pb::FeedBatch, TreeHash, Option<Timestamp>), JournalError> {
    let start = within.start;
    let missing = || JournalError::Index(format!("no feed head above {start}"));
    let head = view.feed_head(feed, start, within.end).map_err(|error| damaged_at(start, error))?;
    let (mut end, mut note) = head.ok_or_else(missing)?;
    let (read, damage) = read_entries(view, feed, start..end)?;
    if let Some(error) = damage {
        let behind = start + read.len() as u64;
        let head = unless_damaged(view.feed_head(feed, start, behind))?.flatten();
        (end, note) = head.ok_or_else(|| damaged_at(behind, error))?;
    }
    discloser.begin();
    let mut spacing = HeadSpacing::default();
    let mut is_full = false;
    let (mut entries, mut envelopes) = (Vec::new(), Vec::new());
    for (index, bytes) in (start..end).zip(read) {
        let entry = entry::decode_feed(index, &bytes)?;
        let envelope = discloser.envelope_to_send(index, &entry)?;
        let content = envelope.encoded_len().max(discloser.bytes_written_again(index, &entry)?);
        let beyond = bytes.len().saturating_sub(RECORD_ENTRY_BYTES_MAX);
        is_full |= !spacing.admits_bytes(content + beyond);
        if is_full && let Some(head) = view.feed_head(feed, start, index)? {
            (end, note) = head;
            break;
        }
        entries.push(bytes);
        envelopes.push(envelope);
    }
    let count = usize::try_from(end - start).unwrap_or(usize::MAX);
    entries.truncate(count);
    envelopes.truncate(count);
    let batch = pb::FeedBatch { start, entries, envelopes, note };
    Ok((batch, view.feed(feed)?.root_at(end)?, view.feed_head_published_at(feed, end)?))
}

/// The entries of a feed up to the first damaged one, with the error of that.
fn read_entries(
    view: &View,
    feed: FeedNumber,
    range: Range<u64>,
) -> Result<(Vec<Bytes>, Option<JournalError>), JournalError> {
    if let Some(read) = unless_damaged(view.feed_entries(feed, range.clone()))? {
        return Ok((read, None));
    }
    let mut read = Vec::new();
    for index in range {
        match view.feed_entries(feed, index..index + 1) {
            Err(error) if error.is_damage() => return Ok((read, Some(error))),
            found => read.extend(found?),
        }
    }
    Ok((read, None))
}

fn damaged_at(entry: u64, error: JournalError) -> JournalError {
    if !error.is_damage() {
        return error;
    }
    JournalError::FeedDamaged { entry, found: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::BATCH_BYTES_MAX;
    use crate::node::disclosure::interference_tests::Store;
    use crate::record::draft::Draft;
    use crate::testkit::{self, feed_entry, partner};

    const TEXT_BYTES: usize = 45_000;
    const RECORDS: u8 = 60;

    /// Accepts a large record; gives an entry that orders the title of it erased.
    fn order(store: &Store, n: u8) -> pb::FeedEntry {
        let note = testkit::note(&format!("note {n}"), &"x".repeat(TEXT_BYTES), &[]);
        let id = store.accept_draft(Draft::try_from(note).unwrap());
        feed_entry(pb::FeedAction::Erase, &id, 0b10)
    }

    fn publish(store: &Store, entries: Vec<pb::FeedEntry>) {
        let progress = store.written();
        store.commit(move |tx| tx.publish(&partner(), &entries, progress, 0));
    }

    /// Entries of each batch from an index on.
    fn batches(store: &mut Store, mut from: u64, end: u64) -> Vec<usize> {
        let (_, mut discloser) = store.take_discloser();
        let (view, mut counts) = (store.journal.view(), Vec::new());
        while from < end {
            let (batch, ..) =
                load_batch(view, FeedNumber::new(1), &mut discloser, from..u64::MAX).unwrap();
            counts.push(batch.entries.len());
            from += batch.entries.len() as u64;
        }
        counts
    }

    #[test]
    fn a_batch_ends_before_it_makes_the_partner_write_more_again_than_a_batch_may_hold() {
        let mut store = Store::new();
        store.change_partner(true);
        let orders: Vec<_> = (1..=RECORDS).map(|n| order(&store, n)).collect();
        for order in &orders {
            publish(&store, vec![order.clone()]);
        }
        let end = u64::from(RECORDS);
        let counts = batches(&mut store, 0, end);
        assert_eq!(counts.iter().sum::<usize>(), orders.len());
        assert!(counts.iter().all(|count| count * TEXT_BYTES <= BATCH_BYTES_MAX), "{counts:?}");
        assert_eq!(counts.len(), 2, "{counts:?}");

        // Where there is no earlier head, the feed still goes on.
        publish(&store, orders.clone());
        publish(&store, orders[..1].to_vec());
        assert_eq!(batches(&mut store, end, 2 * end + 1), [orders.len(), 1]);
    }
}
