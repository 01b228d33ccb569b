//! The times at which what a partner refused is offered again.
//!
//! At once when the partner's rules of acceptance changed since, and from time to time besides, because
//! a missing card or a program of another version shows in no rule. All times are of the journal, so
//! node and auditor come to the same.

use crate::ident::Timestamp;

/// The least time between two offers: a partner that reports a change with every receipt must not
/// have everything sent again each time.
const OFFER_EVERY_MS_MIN: i64 = 60_000;

/// The time from a refusal, or from the first offer after a change, to the next offer; it doubles.
const OFFER_AGAIN_MS: i64 = 3_600_000;

/// The longest time between two offers: a week.
const OFFER_AGAIN_MS_MAX: i64 = 7 * 24 * 3_600_000;

/// The known refusals of a partner, and the offers made since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offering {
    /// The number of changes of its rules of acceptance at its last refusal, as far as known then.
    pub refused_under: u64,
    /// The time of its first refusal since the last offer; `None` if it refused nothing since.
    pub refused_at: Option<Timestamp>,
    /// The number of times that its rules had changed at the last offer.
    pub offered_under: u64,
    /// The time of the last offer.
    pub offered_at: Option<Timestamp>,
    /// Offers since its rules changed last.
    pub attempts: u32,
    /// The feed index below which every refused record is offered again.
    pub below: u64,
}

impl Offering {
    /// After the partner refused something; `under`: how often its rules had changed, as far as known.
    pub fn refuse(&mut self, under: u64, at: Timestamp) {
        self.refused_under = self.refused_under.max(under);
        self.refused_at.get_or_insert(at);
    }

    /// The time from which everything refused is offered again, when the partner's rules have changed
    /// so often; `None` while nothing was refused.
    pub fn due_at(&self, acceptance: u64) -> Option<Timestamp> {
        let refused_at = self.refused_at?;
        if acceptance > self.refused_under.max(self.offered_under) {
            let spaced = self.offered_at.map(|at| at.plus_ms(OFFER_EVERY_MS_MIN));
            return Some(spaced.unwrap_or(refused_at));
        }
        let doublings = self.attempts.min(u32::BITS - 1);
        let wait = OFFER_AGAIN_MS.saturating_mul(1 << doublings).min(OFFER_AGAIN_MS_MAX);
        Some(self.offered_at.unwrap_or(refused_at).plus_ms(wait))
    }

    /// After an offer of what the feed showed below this index.
    #[must_use]
    pub fn offered(&self, acceptance: u64, below: u64, at: Timestamp) -> Self {
        let is_changed = acceptance > self.refused_under.max(self.offered_under);
        Self {
            refused_under: self.refused_under,
            refused_at: None,
            offered_under: self.offered_under.max(acceptance),
            offered_at: Some(at),
            attempts: if is_changed { 0 } else { self.attempts.saturating_add(1) },
            below,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = OFFER_AGAIN_MS;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_772_323_200_000 + ms).unwrap()
    }

    #[test]
    fn a_change_of_the_partner_s_rules_is_answered_at_once_and_no_more_than_once_a_minute() {
        let mut offering = Offering::default();
        assert_eq!(offering.due_at(9), None, "nothing was refused");
        offering.refuse(1, at(0));
        assert_eq!(offering.due_at(1), Some(at(HOUR)));
        assert_eq!(offering.due_at(2), Some(at(0)));
        let mut offered = offering.offered(2, 7, at(5));
        assert_eq!((offered.due_at(3), offered.below), (None, 7));
        offered.refuse(2, at(6));
        assert_eq!(offered.due_at(2), Some(at(5 + HOUR)));
        assert_eq!(offered.due_at(3), Some(at(5 + OFFER_EVERY_MS_MIN)));
    }

    #[test]
    fn the_time_between_two_offers_doubles_to_a_week_and_begins_anew_with_other_rules() {
        let mut offering = Offering::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..10 {
            offering.refuse(1, now);
            let due = offering.due_at(1).unwrap();
            waits.push((due.unix_ms() - now.unix_ms()) / HOUR);
            now = due;
            offering = offering.offered(1, 1, now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 168, 168]);
        offering.refuse(1, now);
        let changed = offering.offered(2, 1, now);
        assert_eq!(changed.attempts, 0);
    }
}
