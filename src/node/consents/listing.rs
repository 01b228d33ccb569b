//! The list of requests and statements about consent, from the entries of the journal.

use crate::ident::{AgencyName, Timestamp};
use crate::journal::consents::ConsentEntry;
use crate::pb::{self, journal_entry::Event};
use crate::record::consent::Subject;
use std::collections::BTreeMap;

/// Returns the rows of a list: one for each request, and one for each consent that nobody asked
/// for.
pub(super) fn listed(
    entries: Vec<ConsentEntry>,
    own: &AgencyName,
    now: Timestamp,
) -> Vec<pb::ConsentView> {
    let own = own.to_string();
    let mut rows: Vec<pb::ConsentView> = Vec::new();
    // Where what was asked and what was granted stands, by originator, holder and number.
    let mut asked: BTreeMap<(String, String, u64), usize> = BTreeMap::new();
    let mut granted: BTreeMap<(String, String, u64), usize> = BTreeMap::new();
    // Where the roster of a circle stands that the next one replaces.
    let mut rosters: Vec<(String, String, Subject, usize)> = Vec::new();
    for ConsentEntry { index, at, event } in entries {
        let at_ms = at.unix_ms().unsigned_abs();
        let (originator, holder, consent) = match event {
            Event::ConsentRequested(event) => {
                let (originator, holder) = match event.client.is_empty() {
                    true => (own.clone(), event.partner),
                    false => (event.partner, own.clone()),
                };
                let request = event.request.unwrap_or_default();
                asked.insert((originator.clone(), holder.clone(), request.number), rows.len());
                rows.push(pb::ConsentView {
                    entry: index,
                    originator,
                    holder,
                    subject: request.subject,
                    standing: pb::ConsentStanding::Waiting.into(),
                    at_ms,
                    asked: request.reason,
                    ..Default::default()
                });
                continue;
            }
            Event::ConsentGiven(event) => (own.clone(), event.holder, event.consent),
            Event::ConsentReceived(event) => (event.partner, own.clone(), event.consent),
            _ => continue,
        };
        let consent = consent.unwrap_or_default();
        let by = |number| (originator.clone(), holder.clone(), number);
        let verdict = consent.verdict();
        let known = match verdict {
            pb::ConsentVerdict::Revoked => granted.get(&by(consent.number)).copied(),
            _ => asked.get(&by(consent.request)).copied(),
        };
        let at = known.unwrap_or(rows.len());
        if at == rows.len() {
            rows.push(pb::ConsentView {
                originator: originator.clone(),
                holder: holder.clone(),
                ..Default::default()
            });
        }
        if verdict == pb::ConsentVerdict::Granted {
            granted.insert(by(consent.number), at);
        }
        let standing = match verdict {
            pb::ConsentVerdict::Granted => {
                let until = i64::try_from(consent.valid_until_ms).ok();
                let until = until.and_then(|ms| Timestamp::from_unix_ms(ms).ok());
                if until.is_some_and(|until| now.hour() < until.hour()) {
                    pb::ConsentStanding::Granted
                } else {
                    pb::ConsentStanding::Ended
                }
            }
            pb::ConsentVerdict::Refused => pb::ConsentStanding::Refused,
            _ => pb::ConsentStanding::Revoked,
        };
        let subject = consent.subject.clone().unwrap_or_default();
        if standing == pb::ConsentStanding::Granted
            && let Ok(subject) = Subject::try_from(subject)
            && subject.roster().is_some()
        {
            rosters.retain(|(by, of, replaced, place)| {
                let is_replaced =
                    (by, of) == (&originator, &holder) && subject.supersedes(replaced);
                if is_replaced && *place != at {
                    rows[*place].standing = pb::ConsentStanding::Ended.into();
                }
                !is_replaced
            });
            rosters.push((originator.clone(), holder.clone(), subject, at));
        }
        let row = &mut rows[at];
        row.entry = index;
        row.subject = consent.subject;
        row.standing = standing.into();
        row.at_ms = at_ms;
        row.valid_until_ms = consent.valid_until_ms;
        row.said = consent.reason;
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.entry));
    rows
}
