//! The normal of each partner: as it follows from the heads of its feed, and as the index keeps it.
//!
//! One row for the partner and one for each originator, so that a head writes only what it changes.

use crate::ident::Timestamp;
use crate::journal::JournalError;
use crate::journal::ids::{FeedNumber, PartnerNumber};
use crate::pb;
use crate::policy::{Baseline, Categories, GivenCategories, OriginatorNumber, Volume};
use crate::store::{Change, Table};
use std::collections::BTreeMap;

const PREFIX: &[u8; 2] = b"u/";

fn partner_key(number: PartnerNumber) -> Vec<u8> {
    [&PREFIX[..], &number.get().to_be_bytes()].concat()
}

fn volume_key(number: PartnerNumber, originator: OriginatorNumber) -> Vec<u8> {
    [&partner_key(number)[..], &originator.get().to_be_bytes()].concat()
}

/// The originators of a head of a feed, each with its records in the feed so far.
fn totals(published: &pb::FeedPublished) -> impl Iterator<Item = (OriginatorNumber, u64)> {
    published.originators.iter().map(|total| {
        let number = u16::try_from(total.originator);
        let originator = number.map_or(OriginatorNumber::UNKNOWN, OriginatorNumber::numbered);
        (originator, total.records)
    })
}

/// Takes the partner's usual amounts from a head of the feed to it.
pub(in crate::journal) fn note(
    baseline: &mut Baseline,
    at: Timestamp,
    published: &pb::FeedPublished,
) {
    let own = Categories {
        kinds: published.kinds_disclosed,
        personal_data: published.personal_data_disclosed,
    };
    let passed_on = Categories {
        kinds: published.kinds_passed_on,
        personal_data: published.personal_data_passed_on,
    };
    baseline.note(at, totals(published), GivenCategories { own, passed_on });
}

/// Writes down what a head of the feed to a partner changed. Every row begins with the index of the entry; that of
/// an originator names the feed too, because another feed counts from 0 again.
pub(in crate::journal) fn put(
    (number, feed, baseline): (PartnerNumber, FeedNumber, &Baseline),
    index: u64,
    published: &pb::FeedPublished,
    changes: &mut Vec<Change>,
) {
    let (index, feed) = (index.to_be_bytes(), feed.get().to_be_bytes());
    let value = [&index[..], &baseline.encode()].concat();
    changes.push(Change::put(Table::Meta, partner_key(number), value));
    for (originator, _) in totals(published) {
        let Some(volume) = baseline.volume(originator) else { continue };
        let value = [&index[..], &feed, &volume.encode()].concat();
        changes.push(Change::put(Table::Meta, volume_key(number, originator), value));
    }
}

/// The rows as they are read.
#[derive(Default)]
pub(in crate::journal) struct BaselineRows {
    partners: BTreeMap<u16, Baseline>,
    volumes: BTreeMap<u16, Vec<(OriginatorNumber, FeedNumber, Volume)>>,
}

impl BaselineRows {
    /// Takes a row without the index of its entry. `false`: the key is of another sort.
    pub(in crate::journal) fn take(
        &mut self,
        key: &[u8],
        row: &[u8],
    ) -> Result<bool, JournalError> {
        let Some(key) = key.strip_prefix(PREFIX) else { return Ok(false) };
        let damaged = || {
            JournalError::Index(
                "a row of the index about a partner's normal has another form".to_owned(),
            )
        };
        let (number, originator) = key.split_first_chunk::<2>().ok_or_else(damaged)?;
        let number = u16::from_be_bytes(*number);
        if originator.is_empty() {
            self.partners.insert(number, Baseline::decode(row).ok_or_else(damaged)?);
            return Ok(true);
        }
        let originator = <[u8; 2]>::try_from(originator).map_err(|_| damaged())?;
        let originator = OriginatorNumber::numbered(u16::from_be_bytes(originator));
        let (feed, volume) = row.split_first_chunk::<2>().ok_or_else(damaged)?;
        let feed = FeedNumber::new(u16::from_be_bytes(*feed));
        let volume = Volume::decode(volume).ok_or_else(damaged)?;
        self.volumes.entry(number).or_default().push((originator, feed, volume));
        Ok(true)
    }

    /// Returns the normal of a partner whose feed is now this one.
    pub(in crate::journal) fn baseline(
        &mut self,
        number: PartnerNumber,
        feed: FeedNumber,
    ) -> Baseline {
        let mut baseline = self.partners.remove(&number.get()).unwrap_or_default();
        for (originator, of, mut volume) in self.volumes.remove(&number.get()).unwrap_or_default() {
            if of != feed {
                volume.begin_anew();
            }
            baseline.insert(originator, volume);
        }
        baseline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: PartnerNumber = PartnerNumber::new(3);

    fn published(totals: &[(u32, u64)]) -> pb::FeedPublished {
        let total = |(originator, records)| pb::OriginatorTotal { originator, records };
        pb::FeedPublished {
            kinds_disclosed: 0b10,
            personal_data_passed_on: true,
            originators: totals.iter().copied().map(total).collect(),
            ..pb::FeedPublished::default()
        }
    }

    #[test]
    fn a_start_finds_the_normal_of_a_partner_and_a_feed_that_was_succeeded_counts_as_before() {
        let at = Timestamp::from_unix_ms(1_772_323_200_000).unwrap();
        let (feed, next) = (FeedNumber::new(3), FeedNumber::new(1_003));
        let (mut baseline, mut rows) = (Baseline::default(), BTreeMap::new());
        for (index, totals) in [(8, &[(0, 5), (7, 9)][..]), (9, &[(7, 12)]), (10, &[])] {
            let (published, mut changes) = (published(totals), Vec::new());
            note(&mut baseline, at, &published);
            put((NUMBER, feed, &baseline), index, &published, &mut changes);
            assert_eq!(changes.len(), 1 + totals.len());
            rows.extend(changes.into_iter().map(|change| (change.key, change.value.unwrap())));
        }
        let read = |feed| {
            let mut kept = BaselineRows::default();
            for (key, value) in &rows {
                assert!(kept.take(key, &value[8..]).unwrap());
            }
            kept.baseline(NUMBER, feed)
        };
        assert_eq!(read(feed), baseline);
        assert_eq!(baseline.in_feed(OriginatorNumber::numbered(7)), 12);
        baseline.begin_anew();
        assert_eq!(read(next), baseline);
        assert_eq!(BaselineRows::default().baseline(NUMBER, feed), Baseline::default());
    }

    #[test]
    fn rows_of_another_form_are_damage_and_those_of_another_sort_are_left() {
        let take = |key: &[u8], row: &[u8]| BaselineRows::default().take(key, row);
        assert!(!take(b"records", b"").unwrap());
        for (key, row) in [(&b"u/"[..], &[0; 14][..]), (b"u/\0\x03", b""), (b"u/\0\x03\0", b"")] {
            assert!(matches!(take(key, row), Err(JournalError::Index(_))), "{key:?}");
        }
        assert!(take(b"u/\0\x03\0\x07", &[0; 17]).is_err());
        assert!(take(b"u/\0\x03\0\x07", &[0; 18]).unwrap());
        assert!(take(b"u/\0\x03", &[0; 14]).unwrap());
    }
}
