//! The only clock that policy knows: the hour in which a decision is made.

use cedar_policy::{Context, RestrictedExpression};

use crate::ident::Timestamp;

/// An hour, ready to be asked about. Make one at each turn of the hour, not one a decision: it
/// costs about 4 µs.
#[derive(Debug, Clone)]
pub struct PolicyHour {
    hour: Timestamp,
    context: Context,
}

/// The context follows from the hour, and to compare contexts takes long.
impl PartialEq for PolicyHour {
    fn eq(&self, other: &Self) -> bool {
        self.hour == other.hour
    }
}

impl Eq for PolicyHour {}

impl PolicyHour {
    /// The hour that `time` lies in.
    pub fn at(time: Timestamp) -> Self {
        let hour = time.hour();
        let now = RestrictedExpression::new_datetime(hour.to_string());
        // A context without `now` makes guard/partner-standing err, and an error denies.
        let context =
            Context::from_pairs([("now".to_owned(), now)]).unwrap_or_else(|_| Context::empty());
        Self { hour, context }
    }

    pub const fn hour(&self) -> Timestamp {
        self.hour
    }

    pub(super) const fn context(&self) -> &Context {
        &self.context
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_times_in_one_hour_are_one_moment() {
        let at = |text: &str| PolicyHour::at(text.parse().unwrap());
        assert_eq!(at("2026-11-22T09:00:00Z"), at("2026-11-22T09:59:59.999Z"));
        assert_ne!(at("2026-11-22T09:59:59.999Z"), at("2026-11-22T10:00:00Z"));
    }

    #[test]
    fn the_first_and_the_last_hour_can_be_asked_about() {
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert!(PolicyHour::at(time).context().get("now").is_some());
        }
    }
}
