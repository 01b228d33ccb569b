//! The state of takedowns: totals over the newest revision of every result.

use super::candidates::{Candidates, Merge};
use crate::ident::Timestamp;
use crate::journal::search;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};
use crate::pb;
use crate::policy::Visibility;
use crate::record::content::Content;
use crate::record::kind::Kind;
use std::collections::HashMap;

/// Providers in an answer.
const PROVIDERS_ANSWERED_MAX: usize = 1_000;
/// Providers that are counted separately; results of any further ones are counted together.
const PROVIDERS_COUNTED_MAX: usize = 65_536;

const DAY_MS: u64 = 86_400_000;
const NOT_TOLD: &str = "(not told)";
const FURTHER: &str = "(further providers)";

#[derive(Default)]
struct Totals {
    total: u64,
    days: HashMap<u64, u64>,
    providers: HashMap<String, u64>,
    countries: HashMap<String, u64>,
    statuses: HashMap<i32, u64>,
    /// Results that may be missing because they cannot be read.
    damaged: u64,
}

impl View {
    /// Totals of the takedown results that name a case, or of all, as far as they count for this sight.
    /// Results that were withdrawn are not counted, and damaged ones are counted apart. The day is that of the
    /// action; of the record if it tells none. Every result is looked at, until `is_wanted` is false: then nobody gets the totals.
    pub fn takedown_status(
        &self,
        reference: Option<&str>,
        visibility: &Visibility,
        is_wanted: impl Fn() -> bool,
    ) -> Result<pb::GetTakedownStatusResponse, JournalError> {
        let term = match reference {
            Some(reference) => search::case_term(reference),
            None => search::kind_term(Kind::TakedownResult),
        };
        let wanted = reference.map(search::folded_reference);
        let mut totals = Totals::default();
        let candidates = Merge::new(self.index(), vec![term], self.snapshot().size)?;
        for journal_index in Candidates::Merge(candidates) {
            if !is_wanted() {
                break;
            }
            let Some(found) = unless_damaged(self.takedown_at(journal_index?, visibility))? else {
                totals.damaged += 1;
                continue;
            };
            if let Some((result, created_at_ms)) = found
                && wanted.as_ref().is_none_or(|wanted| {
                    search::folded_reference(&result.case_reference) == *wanted
                })
            {
                totals.count(result, created_at_ms);
            }
        }
        Ok(totals.answer())
    }

    /// Returns the takedown result that an entry accepted, with the time of the record; `None` if it is none that
    /// counts.
    fn takedown_at(
        &self,
        journal_index: u64,
        visibility: &Visibility,
    ) -> Result<Option<(pb::TakedownResult, u64)>, JournalError> {
        let Some(summary) = self.summary(journal_index)? else { return Ok(None) };
        if summary.kind != Kind::TakedownResult
            || summary.head(self)?.is_none_or(|head| head.id != summary.id)
        {
            return Ok(None);
        }
        Ok(match summary.content(self, visibility)? {
            Some(Content::TakedownResult(result)) => Some((result, summary.created_at_ms)),
            _ => None,
        })
    }
}

impl Totals {
    fn count(&mut self, result: pb::TakedownResult, created_at_ms: u64) {
        let at_ms = if result.acted_at_ms == 0 { created_at_ms } else { result.acted_at_ms };
        self.total += 1;
        *self.days.entry(at_ms / DAY_MS).or_default() += 1;
        *self.statuses.entry(result.status).or_default() += 1;
        *self.countries.entry(told(result.country)).or_default() += 1;
        let mut provider = told(result.provider);
        let full = self.providers.len() >= PROVIDERS_COUNTED_MAX;
        if full && !self.providers.contains_key(&provider) {
            FURTHER.clone_into(&mut provider);
        }
        *self.providers.entry(provider).or_default() += 1;
    }

    fn answer(self) -> pb::GetTakedownStatusResponse {
        let mut by_day: Vec<(u64, u64)> = self.days.into_iter().collect();
        by_day.sort_unstable();
        let mut by_provider = most_first(self.providers);
        by_provider.truncate(PROVIDERS_ANSWERED_MAX);
        let statuses = self.statuses.into_iter().map(|(status, n)| (status_name(status), n));
        pb::GetTakedownStatusResponse {
            total: self.total,
            by_day: by_day
                .into_iter()
                .map(|(day, count)| pb::Count { name: day_name(day), count })
                .collect(),
            by_provider,
            by_country: most_first(self.countries),
            by_status: most_first(statuses),
            damaged: self.damaged,
        }
    }
}

fn told(text: String) -> String {
    if text.is_empty() { NOT_TOLD.to_owned() } else { text }
}

fn most_first(totals: impl IntoIterator<Item = (String, u64)>) -> Vec<pb::Count> {
    let mut counts: Vec<pb::Count> =
        totals.into_iter().map(|(name, count)| pb::Count { name, count }).collect();
    counts.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts
}

fn day_name(day: u64) -> String {
    let start = i64::try_from(day.saturating_mul(DAY_MS)).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(start)
        .map_or_else(|_| NOT_TOLD.to_owned(), |at| at.to_string().chars().take(10).collect())
}

/// `TAKEDOWN_STATUS_UP_AGAIN` becomes `up-again`.
fn status_name(number: i32) -> String {
    let status = pb::TakedownStatus::try_from(number).unwrap_or_default();
    match status.as_str_name().strip_prefix("TAKEDOWN_STATUS_") {
        Some(name) if status != pb::TakedownStatus::Unspecified => {
            name.to_ascii_lowercase().replace('_', "-")
        }
        _ => NOT_TOLD.to_owned(),
    }
}
