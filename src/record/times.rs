//! Times of a draft that contradict each other, or that no event can have yet.
//!
//! Only drafts are checked, when a person or a tool submits them: what another agency signed stands as it is.

use super::content::Content;
use super::draft_error::DraftError;
use crate::ident::Timestamp;

/// The most that an event may lie ahead of the node's time: clocks and time zones differ by less than a day.
const EVENT_AHEAD_MS_MAX: i64 = 24 * 3_600 * 1_000;

/// The most that an end of validity or a due date may lie ahead: ten years. What is meant to hold for good has
/// none; the year 2099 in a table stands for that, or is a mistake.
const END_AHEAD_MS_MAX: i64 = 10 * 366 * 24 * 3_600 * 1_000;

/// The most that the end of a marking may lie behind the node's time: a date alone is its first moment.
const MARKING_BEHIND_MS_MAX: i64 = 24 * 3_600 * 1_000;

/// A time of a draft by the name of its field, in milliseconds since 1970; 0 is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    field: &'static str,
    ms: u64,
    /// It happened, and so lies in the past.
    is_event: bool,
}

const fn event(field: &'static str, ms: u64) -> Named {
    Named { field, ms, is_event: true }
}

const fn end(field: &'static str, ms: u64) -> Named {
    Named { field, ms, is_event: false }
}

/// The times of a content, and the pairs of them of which the first must not lie after the second.
fn times(content: &Content) -> (Vec<Named>, Vec<(Named, Named)>) {
    match content {
        Content::Indicator(m) => {
            let (first, last) =
                (event("first_seen_ms", m.first_seen_ms), event("last_seen_ms", m.last_seen_ms));
            let valid = end("valid_until_ms", m.valid_until_ms);
            (vec![first, last, valid], vec![(first, last), (first, valid)])
        }
        Content::Sighting(m) => {
            let (first, last) =
                (event("first_seen_ms", m.first_seen_ms), event("last_seen_ms", m.last_seen_ms));
            (vec![first, last], vec![(first, last)])
        }
        Content::Relationship(m) => {
            let (since, until) = (event("since_ms", m.since_ms), end("until_ms", m.until_ms));
            (vec![since, until], vec![(since, until)])
        }
        Content::Case(m) => (vec![event("opened_at_ms", m.opened_at_ms)], vec![]),
        Content::Evidence(m) => (vec![event("seized_at_ms", m.seized_at_ms)], vec![]),
        Content::TakedownResult(m) => (vec![event("acted_at_ms", m.acted_at_ms)], vec![]),
        Content::TakedownRequest(m) => (vec![end("due_at_ms", m.due_at_ms)], vec![]),
        Content::InformationRequest(m) => (vec![end("due_at_ms", m.due_at_ms)], vec![]),
        // An action may be planned.
        Content::CaseAction(m) => (vec![end("at_ms", m.at_ms)], vec![]),
        Content::Subject(_)
        | Content::Opinion(_)
        | Content::Note(_)
        | Content::InformationResponse(_)
        | Content::Withdrawal(_) => (vec![], vec![]),
    }
}

fn in_words(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_unix_ms(ms).ok());
    time.map_or_else(|| format!("{ms} ms"), |time| time.to_string())
}

/// Returns the times that are there, or refuses two that contradict each other.
pub(super) fn in_order(content: &Content) -> Result<Vec<Named>, DraftError> {
    let (all, pairs) = times(content);
    for (before, after) in pairs {
        if before.ms != 0 && after.ms != 0 && before.ms > after.ms {
            let (field, other) = (after.field, before.field);
            let reason = format!(
                "{} lies before {other}, which is {}; correct one of them",
                in_words(after.ms),
                in_words(before.ms)
            );
            return Err(DraftError::new(field, reason));
        }
    }
    Ok(all.into_iter().filter(|time| time.ms != 0).collect())
}

/// Refuses a time too far ahead of the node's.
pub(super) fn check_ahead(times: &[Named], now: Timestamp) -> Result<(), DraftError> {
    for Named { field, ms, is_event } in times {
        let most = now.plus_ms(if *is_event { EVENT_AHEAD_MS_MAX } else { END_AHEAD_MS_MAX });
        if i64::try_from(*ms).is_ok_and(|ms| ms <= most.unix_ms()) {
            continue;
        }
        let (found, now) = (in_words(*ms), now.to_string());
        let reason = match is_event {
            true => format!(
                "{found} lies ahead of the node's time, which is {now}: it has not happened"
            ),
            false => format!(
                "{found} lies more than ten years ahead of the node's time, which is {now}; leave it out \
                 where there is no end"
            ),
        };
        return Err(DraftError::new(*field, reason));
    }
    Ok(())
}

/// Refuses an end that lies behind the node's time.
pub(super) fn check_not_past(
    field: &'static str,
    end: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), DraftError> {
    match end {
        Some(end) if end < now.plus_ms(-MARKING_BEHIND_MS_MAX) => {
            let reason = format!(
                "{end} lies more than a day behind the node's time, which is {now}; correct the year, or \
                 leave the row out"
            );
            Err(DraftError::new(field, reason))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    const NOW_MS: u64 = 1_795_000_000_000;
    const DAY_MS: u64 = 86_400_000;

    fn indicator(first_seen_ms: u64, last_seen_ms: u64, valid_until_ms: u64) -> Content {
        let indicator =
            pb::Indicator { first_seen_ms, last_seen_ms, valid_until_ms, ..Default::default() };
        Content::Indicator(indicator)
    }

    /// The field at fault, if any.
    fn found(content: &Content) -> Option<String> {
        let now = Timestamp::from_unix_ms(NOW_MS as i64).unwrap();
        let checked = in_order(content).and_then(|times| check_ahead(&times, now));
        checked.err().map(|error| error.field)
    }

    #[test]
    fn times_that_contradict_each_other_are_refused_by_the_later_field() {
        let (early, late) = (NOW_MS - 2 * DAY_MS, NOW_MS - DAY_MS);
        assert_eq!(found(&indicator(early, late, NOW_MS)), None);
        assert_eq!(found(&indicator(early, early, early)), None);
        assert_eq!(found(&indicator(late, early, 0)).as_deref(), Some("last_seen_ms"));
        assert_eq!(found(&indicator(late, 0, early)).as_deref(), Some("valid_until_ms"));
        // What is absent contradicts nothing.
        assert_eq!(found(&indicator(0, early, early)), None);
        let sighting =
            pb::Sighting { first_seen_ms: late, last_seen_ms: early, ..Default::default() };
        assert_eq!(found(&Content::Sighting(sighting)).as_deref(), Some("last_seen_ms"));
        let relation = pb::Relationship { since_ms: late, until_ms: early, ..Default::default() };
        assert_eq!(found(&Content::Relationship(relation)).as_deref(), Some("until_ms"));
        let error = in_order(&indicator(late, early, 0)).unwrap_err();
        assert!(error.reason.contains("before first_seen_ms"), "{error}");
    }

    #[test]
    fn an_event_that_has_not_happened_and_an_end_beyond_ten_years_are_refused() {
        let in_2099 = 4_070_908_800_000;
        assert_eq!(found(&indicator(NOW_MS + DAY_MS, 0, 0)), None, "clocks and zones differ");
        assert_eq!(found(&indicator(NOW_MS + DAY_MS + 1, 0, 0)).as_deref(), Some("first_seen_ms"));
        assert_eq!(found(&indicator(0, in_2099, 0)).as_deref(), Some("last_seen_ms"));
        assert_eq!(found(&indicator(0, 0, in_2099)).as_deref(), Some("valid_until_ms"));
        assert_eq!(found(&indicator(0, 0, NOW_MS + 3_650 * DAY_MS)), None);
        let result = pb::TakedownResult { acted_at_ms: in_2099, ..Default::default() };
        assert_eq!(found(&Content::TakedownResult(result)).as_deref(), Some("acted_at_ms"));
    }

    #[test]
    fn a_marking_that_has_ended_is_refused_by_its_field() {
        use crate::record::draft::Draft;
        let now = Timestamp::from_unix_ms(NOW_MS as i64).unwrap();
        let found = |expires_at_ms, retain_until_ms| {
            let marking = pb::Marking {
                tlp: pb::Tlp::Clear.into(),
                pap: pb::Pap::Clear.into(),
                expires_at_ms,
                retain_until_ms,
                ..Default::default()
            };
            let value = "d.example".to_owned();
            let r#type = pb::ValueType::Domain.into();
            let indicator = pb::Indicator { r#type, value, ..Default::default() };
            let draft = pb::Draft {
                marking: Some(marking),
                content: Some(pb::draft::Content::Indicator(indicator)),
                ..Default::default()
            };
            let checked = Draft::try_from(draft).unwrap().check_marking_times(now);
            checked.err().map(|error| error.field)
        };
        let in_2006 = 1_136_073_600_000;
        assert_eq!(found(in_2006, 0).as_deref(), Some("marking.expires_at_ms"));
        assert_eq!(found(0, in_2006).as_deref(), Some("marking.retain_until_ms"));
        assert_eq!(found(NOW_MS - DAY_MS, NOW_MS - DAY_MS), None, "today's date without a time");
        assert_eq!(found(NOW_MS, NOW_MS + DAY_MS), None);
        assert_eq!(found(0, 0), None);
    }

    #[test]
    fn a_draft_is_refused_by_the_field_at_fault_and_the_others_go_on() {
        use crate::record::draft::Draft;
        let draft = |first_seen_ms, last_seen_ms| pb::Draft {
            marking: Some(pb::Marking {
                tlp: pb::Tlp::Clear.into(),
                pap: pb::Pap::Clear.into(),
                ..Default::default()
            }),
            content: Some(pb::draft::Content::Indicator(pb::Indicator {
                r#type: pb::ValueType::Domain.into(),
                value: "d.example".to_owned(),
                first_seen_ms,
                last_seen_ms,
                ..Default::default()
            })),
            ..Default::default()
        };
        let now = Timestamp::from_unix_ms(NOW_MS as i64).unwrap();
        let refused = Draft::try_from(draft(NOW_MS, NOW_MS - 1)).unwrap_err();
        assert_eq!(refused.field, "last_seen_ms");
        let early = Draft::try_from(draft(NOW_MS, NOW_MS + 2 * DAY_MS)).unwrap();
        assert_eq!(early.check_times(now).unwrap_err().field, "last_seen_ms");
        let sound = Draft::try_from(draft(NOW_MS - 1, NOW_MS)).unwrap();
        assert_eq!(sound.check_times(now), Ok(()));
    }
}
