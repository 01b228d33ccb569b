//! Records by the keys that signed them and the time of their acceptance.
//!
//! Whoever stole a key dates a record as she likes. The time of the journal is the agency's own and bounded by
//! receipts and cosignatures, so that is what the moment of a compromise is held against, also where the
//! card that names it came later than the records.

use super::card::Card;
use crate::ident::{KeyId, Timestamp};
use std::collections::BTreeMap;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// The uses of all record keys, by the hour.
#[derive(Debug, Default)]
pub(super) struct KeyUse {
    accepted: BTreeMap<KeyId, BTreeMap<i64, u64>>,
    /// The time from which a key is in other hands, by any card so far.
    compromised: BTreeMap<KeyId, Timestamp>,
}

const fn hour(at: Timestamp) -> i64 {
    at.unix_ms() / HOUR_MS
}

impl KeyUse {
    /// A record under this key was accepted.
    pub(super) fn accept(&mut self, key: KeyId, at: Timestamp) {
        *self.accepted.entry(key).or_default().entry(hour(at)).or_default() += 1;
    }

    /// Takes the keys of a card. A later card may leave a compromised key out.
    pub(super) fn take(&mut self, card: &Card) {
        for (key, since) in card.compromised() {
            let known = self.compromised.entry(key).or_insert(since);
            *known = since.min(*known);
        }
    }

    /// Records that were accepted in or after the hour in which their key was compromised.
    pub(super) fn compromised(&self) -> u64 {
        let later = |(key, since): (&KeyId, &Timestamp)| {
            let uses = self.accepted.get(key)?.range(hour(*since)..);
            Some(uses.map(|(_, count)| count).sum::<u64>())
        };
        self.compromised.iter().filter_map(later).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner::RecordKeyStatus;
    use crate::testkit::{Agency, now};

    #[test]
    fn a_card_that_comes_later_counts_the_records_accepted_since_the_compromise() {
        let at = |hours: i64| now().plus_ms(hours * HOUR_MS);
        let sealed = Agency::own().card_with(|card| {
            card.record_keys[0].status = RecordKeyStatus::Compromised(at(5));
        });
        let card = Card::from_text(&sealed.to_armour().unwrap()).unwrap();
        let [(key, _)] = card.compromised().collect::<Vec<_>>()[..] else { panic!("one key") };
        let mut uses = KeyUse::default();
        (0..9).for_each(|hours| uses.accept(key, at(hours)));
        uses.accept(KeyId::from_bytes([9; 16]), at(7));
        assert_eq!(uses.compromised(), 0);
        uses.take(&card);
        assert_eq!(uses.compromised(), 4, "in the hours 5 to 8");
    }
}
