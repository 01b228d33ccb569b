//! The search itself: the most selective index proposes, the record decides.

use super::candidates::{Candidates, Gather, Merge, is_narrow};
use super::case::CaseScope;
use super::filter::{Created, Filter};
use crate::journal::index::SeriesHead;
use crate::journal::search;
use crate::journal::view::{Kept, View};
use crate::journal::{JournalError, unless_damaged};
use crate::pb::journal_entry::Event;
use crate::record::commit;
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::signed::Slot;
use crate::store::KeyRange;
use crate::value::Network;

/// Candidates that one step looks at: a fraction of a second, then the caller can see whether
/// anybody still waits for the answer.
pub const STEP_EXAMINED_MAX: usize = 20_000;
/// Bytes of records that one step collects; one record more may come on top.
pub const STEP_BYTES_MAX: usize = 1 << 20;

/// A span of times with more records than this is no better than a kind or an originator.
const NARROW_MAX: usize = 10_000;

/// A record that meets a filter, with the newest revision of its series.
#[derive(Debug, Clone)]
pub struct Hit {
    pub kept: Kept,
    pub head: Option<SeriesHead>,
}

/// A record that an index proposed.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub journal_index: u64,
    /// It meets the filter.
    pub hit: Option<Hit>,
    /// It cannot be read, so nobody knows, and that was not counted when the case was looked up.
    pub is_damaged: bool,
}

/// A bounded part of a search.
#[derive(Debug, Clone)]
pub struct Step {
    /// Newest first.
    pub hits: Vec<Hit>,
    /// Go on below this journal index; `None` at the end.
    pub resume: Option<u64>,
    /// Records that an index proposed and that cannot be read.
    pub damaged: u64,
}

/// All candidates of a filter, newest first. Ends after an error.
pub struct Search<'a> {
    view: &'a View,
    filter: &'a Filter,
    scope: Option<CaseScope>,
    candidates: Candidates<'a>,
}

impl View {
    /// Looks for records whose journal index is below `before`.
    pub fn search<'a>(
        &'a self,
        filter: &'a Filter,
        before: u64,
    ) -> Result<Search<'a>, JournalError> {
        let before = before.min(self.snapshot().size);
        let visibility = filter.visibility();
        let scope = filter.case.as_ref().map(|selector| self.case_scope(selector, &visibility));
        let scope = scope.transpose()?;
        let candidates = self.plan(filter, scope.as_ref(), before)?;
        Ok(Search { view: self, filter, scope, candidates })
    }

    /// Looks for at most `most` records below `before`, and at most as long as the bounds of a step
    /// allow; fewer hits are not a sign of the end.
    pub fn search_step(
        &self,
        filter: &Filter,
        before: u64,
        most: usize,
    ) -> Result<Step, JournalError> {
        let mut hits = Vec::new();
        let search = self.search(filter, before)?;
        let (mut examined, mut bytes, mut damaged) = (0, 0, 0);
        // Every step looks the case up; the first one alone counts what it cannot read of it.
        if before == u64::MAX {
            damaged += search.scope.as_ref().map_or(0, |scope| scope.damaged.len() as u64);
        }
        for candidate in search {
            let Candidate { journal_index, hit, is_damaged } = candidate?;
            examined += 1;
            damaged += u64::from(is_damaged);
            if let Some(hit) = hit {
                bytes += weight(&hit.kept);
                hits.push(hit);
            }
            if hits.len() >= most || examined >= STEP_EXAMINED_MAX || bytes >= STEP_BYTES_MAX {
                return Ok(Step { hits, resume: Some(journal_index), damaged });
            }
        }
        Ok(Step { hits, resume: None, damaged })
    }

    /// The most selective of the indices that can answer.
    fn plan(
        &self,
        filter: &Filter,
        scope: Option<&CaseScope>,
        before: u64,
    ) -> Result<Candidates<'_>, JournalError> {
        let merge = |terms| Merge::new(self.index(), terms, before).map(Candidates::Merge);
        let gather = |ranges| Ok(Candidates::Gather(Gather::new(self.index(), ranges, before)));
        if !filter.values.is_empty() {
            return merge(filter.values.iter().map(search::value_term).collect());
        }
        if let Some(scope) = scope {
            return merge(scope.terms());
        }
        if let Some(network) = &filter.network {
            return gather(network_ranges(network));
        }
        if let Some(prefix) = &filter.domain {
            return gather(vec![KeyRange::prefix(search::domain_prefix(prefix))]);
        }
        // The longest word is the rarest, as a rule.
        if let Some(word) = filter.words.iter().max_by_key(|word| word.len()) {
            return merge(vec![search::word_term(word)]);
        }
        let created = created_range(filter.created);
        if filter.created.is_bounded() && is_narrow(self.index(), &created, NARROW_MAX)? {
            return gather(vec![created]);
        }
        if let Some(kind) = filter.kind {
            return merge(vec![search::kind_term(kind)]);
        }
        if let Some(originator) = &filter.originator {
            return merge(vec![search::originator_term(originator)]);
        }
        if filter.created.is_bounded() {
            return gather(vec![created]);
        }
        merge(Kind::ALL.into_iter().map(search::kind_term).collect())
    }
}

fn network_ranges(network: &Network) -> Vec<KeyRange> {
    let addresses = network.ip_keys();
    let first = search::address_term(*addresses.start());
    let last = search::key(search::address_term(*addresses.end()), u64::MAX);
    let around = network.containing_keys().map(|key| KeyRange::prefix(search::network_term(key)));
    let [lowest, highest] = network.inner_keys().map(search::network_term);
    let within = KeyRange::between(lowest, search::key(highest, u64::MAX));
    [KeyRange::between(first, last), within].into_iter().chain(around).collect()
}

fn created_range(created: Created) -> KeyRange {
    KeyRange::between(search::created_term(created.from), search::created_term(created.until))
}

fn weight(kept: &Kept) -> usize {
    let content: usize = kept
        .record
        .slots()
        .iter()
        .map(|slot| match slot {
            Slot::Open { bytes, .. } => bytes.len(),
            Slot::Withheld(_) | Slot::Erased(_) | Slot::ClaimedErased(_) => 0,
        })
        .sum();
    kept.record.header_bytes().len() + content
}

impl Search<'_> {
    /// The header decides first: it is read without the content.
    fn examine(&self, journal_index: u64) -> Result<Option<Hit>, JournalError> {
        let (_, event) = self.view.event(journal_index)?;
        let Event::RecordAccepted(accepted) = event else { return Ok(None) };
        let header = Header::decode(&accepted.header).map_err(|error| JournalError::Entry {
            index: journal_index,
            reason: error.to_string(),
        })?;
        if !self.filter.admits_header(&header) {
            return Ok(None);
        }
        let head = self.view.series_head(header.series, &header.originator)?;
        let superseded = head.is_some_and(|head| head.revision > header.revision);
        if superseded && !self.filter.include_superseded {
            return Ok(None);
        }
        let kept = self.view.kept(&commit::record_id(&accepted.header))?;
        Ok(kept
            .filter(|kept| self.filter.admits_visibility(kept))
            .filter(|kept| self.filter.admits_content(&kept.record, self.scope.as_ref()))
            .map(|kept| Hit { kept, head }))
    }
}

impl Iterator for Search<'_> {
    type Item = Result<Candidate, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let examined = self.candidates.next()?.and_then(|journal_index| {
            let candidate = |hit, is_damaged| Ok(Candidate { journal_index, hit, is_damaged });
            match unless_damaged(self.examine(journal_index))? {
                Some(hit) => candidate(hit, false),
                None => {
                    let counted = |scope: &CaseScope| scope.damaged.contains(&journal_index);
                    candidate(None, !self.scope.as_ref().is_some_and(counted))
                }
            }
        });
        Some(examined)
    }
}
