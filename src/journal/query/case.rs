//! The records of a case, ordered by the time of their events.

use super::candidates::{Candidates, Merge};
use super::filter::CaseSelector;
use crate::ident::SeriesId;
use crate::journal::search;
use crate::journal::series::newest;
use crate::journal::view::{Kept, View};
use crate::journal::{JournalError, unless_damaged};
use crate::pb;
use crate::policy::Visibility;
use crate::record::content::Content;
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::store::Table;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Agencies that use the same reference for a case of theirs; the newest count.
pub const CASE_SERIES_MAX: usize = 64;

/// A case as the index knows it: agencies may have a record of it each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaseScope {
    pub(super) series: BTreeSet<SeriesId>,
    /// As references are compared.
    pub(super) references: BTreeSet<String>,
    /// Journal index of the newest revision among them.
    newest: Option<u64>,
    /// Entries of records that may be the case and cannot be read.
    pub(super) damaged: BTreeSet<u64>,
}

impl CaseScope {
    /// The terms of everything that can belong to the case.
    pub(super) fn terms(&self) -> Vec<Vec<u8>> {
        let of_series = |id: &SeriesId| [search::linked_term(*id), search::revision_term(*id)];
        let named = self.references.iter().map(|reference| search::case_term(reference));
        self.series.iter().flat_map(of_series).chain(named).collect()
    }

    /// A record of this series with this content is the case, links to it, or is a takedown result
    /// that names its reference.
    pub(super) fn contains(&self, series: SeriesId, content: &Content) -> bool {
        let is_linked = |id: &Bytes| {
            SeriesId::try_from(&id[..]).is_ok_and(|linked| self.series.contains(&linked))
        };
        let is_named = match content {
            Content::TakedownResult(result) => {
                let reference = search::folded_reference(&result.case_reference);
                self.references.contains(&reference)
            }
            _ => false,
        };
        is_named || self.series.contains(&series) || links(content).any(is_linked)
    }

    fn add(&mut self, series: SeriesId, reference: String, journal_index: u64) {
        self.newest = self.newest.max(Some(journal_index));
        self.series.insert(series);
        if !reference.is_empty() {
            self.references.insert(search::folded_reference(&reference));
        }
    }
}

/// The series that a record refers to.
fn links(content: &Content) -> impl Iterator<Item = &Bytes> {
    const NONE: &[Bytes] = &[];
    let (ends, list): ([Option<&Bytes>; 2], &[Bytes]) = match content {
        Content::Indicator(m) => ([None; 2], &m.cases),
        Content::CaseAction(m) => ([None; 2], &m.cases),
        Content::Subject(m) => ([None; 2], &m.cases),
        Content::Evidence(m) => ([None; 2], &m.cases),
        Content::TakedownRequest(m) => ([None; 2], &m.cases),
        Content::TakedownResult(m) => ([None; 2], &m.cases),
        Content::Sighting(m) => ([None; 2], &m.records),
        Content::Opinion(m) => ([Some(&m.record), None], NONE),
        Content::Relationship(m) => ([Some(&m.from), Some(&m.to)], NONE),
        Content::Note(m) => ([None; 2], &m.records),
        Content::InformationRequest(m) => ([None; 2], &m.records),
        Content::InformationResponse(m) => ([Some(&m.request), None], &m.records),
        Content::Case(_) | Content::Withdrawal(_) => ([None; 2], NONE),
    };
    ends.into_iter().flatten().chain(list)
}

/// One event of a case.
#[derive(Debug, Clone)]
pub struct TimelineEvent {
    /// The time of the event in milliseconds since 1970; the time of recording if the content has
    /// none.
    pub at_ms: u64,
    pub kept: Kept,
}

impl TimelineEvent {
    /// It is of a kind that comes in ones, not in masses.
    pub fn is_singular(&self) -> bool {
        is_singular(self.kept.record.kind())
    }
}

/// Indicators and takedown results come by the ten thousand.
const fn is_singular(kind: Kind) -> bool {
    !matches!(kind, Kind::Indicator | Kind::TakedownResult)
}

/// A case and what belongs to it, as far as it is the newest revision.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The newest revision of the case that was accepted; a withdrawn one keeps its last content.
    pub case: Option<Kept>,
    /// By time, oldest first.
    pub events: Vec<TimelineEvent>,
    /// All records by kind, those that are not among the events too.
    pub totals: Vec<(Kind, u64)>,
    /// Records that may belong to the case and cannot be read.
    pub damaged: u64,
}

/// The rank of a record when there are more than asked for: frequent kinds are dropped first, then
/// the oldest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    singular: bool,
    at_ms: u64,
    journal_index: u64,
}

impl View {
    /// The series and references of a case. Empty if it is not known.
    pub(super) fn case_scope(
        &self,
        selector: &CaseSelector,
        visibility: &Visibility,
    ) -> Result<CaseScope, JournalError> {
        let mut scope = CaseScope::default();
        match selector {
            CaseSelector::Series(series) => {
                for head in self.series_heads(*series)? {
                    if unless_damaged(self.case_of(head.id, &mut scope))?.is_none() {
                        scope
                            .damaged
                            .extend(self.place(&head.id)?.map(|place| place.journal_index));
                        // What links to it is found nevertheless.
                        scope.series.extend((head.kind == Kind::Case).then_some(*series));
                    }
                }
            }
            CaseSelector::Reference(reference) => {
                scope.references.insert(search::folded_reference(reference));
                self.cases_named(reference, visibility, &mut scope)?;
            }
        }
        Ok(scope)
    }

    /// Takes the case that a record is, or that it withdraws.
    fn case_of(
        &self,
        id: crate::ident::RecordId,
        scope: &mut CaseScope,
    ) -> Result<(), JournalError> {
        let Some(mut kept) = self.kept(&id)? else { return Ok(()) };
        if kept.record.kind() == Kind::Withdrawal
            && let Some(before) = self.last_content(kept.record.header())?
        {
            kept = before;
        }
        if let Ok(Content::Case(case)) = kept.record.content() {
            scope.add(kept.record.header().series, case.reference, kept.journal_index);
        }
        Ok(())
    }

    /// The newest revision of a withdrawn series.
    fn last_content(&self, withdrawal: &Header) -> Result<Option<Kept>, JournalError> {
        let mut members = self.members(withdrawal.series, &withdrawal.originator)?;
        members.retain(|member| member.kind != Kind::Withdrawal);
        let last = newest(&members).next();
        last.map(|last| self.kept(&last.id)).transpose().map(Option::flatten)
    }

    /// Cases are few and takedown results many under one reference, so cases are walked and each is
    /// looked up under the reference.
    fn cases_named(
        &self,
        reference: &str,
        visibility: &Visibility,
        scope: &mut CaseScope,
    ) -> Result<(), JournalError> {
        let before = self.snapshot().size;
        let wanted = search::folded_reference(reference);
        let cases = Merge::new(self.index(), vec![search::kind_term(Kind::Case)], before)?;
        for journal_index in Candidates::Merge(cases) {
            let journal_index = journal_index?;
            let key = search::key(search::case_term(reference), journal_index);
            if self.index().read(Table::Search, &key)?.is_none() {
                continue;
            }
            match unless_damaged(self.case_at(journal_index, visibility))? {
                Some(Some((series, Some(case))))
                    if search::folded_reference(&case.reference) == wanted =>
                {
                    scope.add(series, case.reference, journal_index);
                }
                Some(Some((series, None))) => {
                    scope.series.insert(series);
                    scope.damaged.insert(journal_index);
                }
                Some(_) => {}
                None => {
                    scope.damaged.insert(journal_index);
                }
            }
            if scope.series.len().max(scope.damaged.len()) >= CASE_SERIES_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Returns the case that an entry accepted, with its series; without content if that alone cannot be read.
    fn case_at(
        &self,
        journal_index: u64,
        visibility: &Visibility,
    ) -> Result<Option<(SeriesId, Option<pb::Case>)>, JournalError> {
        let Some(summary) = self.summary(journal_index)? else { return Ok(None) };
        Ok(match unless_damaged(summary.content(self, visibility))? {
            Some(Some(Content::Case(case))) => Some((summary.series, Some(case))),
            Some(_) => None,
            None => Some((summary.series, None)),
        })
    }

    /// Returns what is known of a case; `None` if nothing is. Of more than `limit` records, indicators and
    /// takedown results are left out first, and the oldest of them first. Damaged records are counted apart.
    pub fn timeline(
        &self,
        selector: &CaseSelector,
        limit: usize,
        visibility: &Visibility,
    ) -> Result<Option<Timeline>, JournalError> {
        let scope = self.case_scope(selector, visibility)?;
        let mut chosen = BTreeSet::new();
        let mut totals = BTreeMap::new();
        let mut damaged = scope.damaged.len() as u64;
        let candidates = Merge::new(self.index(), scope.terms(), self.snapshot().size)?;
        for journal_index in Candidates::Merge(candidates) {
            let journal_index = journal_index?;
            match unless_damaged(self.rank(journal_index, &scope, visibility))? {
                Some(Some((kind, rank))) => {
                    *totals.entry(kind).or_default() += 1;
                    chosen.insert(rank);
                }
                Some(None) => {}
                None => damaged += u64::from(!scope.damaged.contains(&journal_index)),
            }
            if chosen.len() > limit {
                chosen.pop_first();
            }
        }
        let case = match scope.newest {
            Some(journal_index) => {
                let found = unless_damaged(self.accepted_at(journal_index))?;
                damaged += u64::from(found.is_none());
                found.flatten().filter(|kept| visibility.counts(&kept.status()))
            }
            None => None,
        };
        if case.is_none() && chosen.is_empty() && damaged == 0 {
            return Ok(None);
        }
        let events = self.load(chosen, &mut damaged)?;
        Ok(Some(Timeline { case, events, totals: totals.into_iter().collect(), damaged }))
    }

    /// Returns where the record that an entry accepted stands among those of the case, with its kind; `None` if it
    /// does not belong there.
    fn rank(
        &self,
        journal_index: u64,
        scope: &CaseScope,
        visibility: &Visibility,
    ) -> Result<Option<(Kind, Rank)>, JournalError> {
        let Some(summary) = self.summary(journal_index)? else { return Ok(None) };
        if scope.series.contains(&summary.series) || summary.is_superseded(self)? {
            return Ok(None);
        }
        let Some(content) = summary.content(self, visibility)? else { return Ok(None) };
        Ok(scope.contains(summary.series, &content).then(|| {
            let rank = Rank {
                singular: is_singular(summary.kind),
                at_ms: content.event_time_ms().unwrap_or(summary.created_at_ms),
                journal_index,
            };
            (summary.kind, rank)
        }))
    }

    fn load(
        &self,
        chosen: BTreeSet<Rank>,
        damaged: &mut u64,
    ) -> Result<Vec<TimelineEvent>, JournalError> {
        let mut events = Vec::with_capacity(chosen.len());
        for Rank { at_ms, journal_index, .. } in chosen {
            let kept = unless_damaged(self.accepted_at(journal_index))?;
            *damaged += u64::from(kept.is_none());
            events.extend(kept.flatten().map(|kept| TimelineEvent { at_ms, kept }));
        }
        events.sort_by_key(|event| (event.at_ms, event.kept.journal_index));
        Ok(events)
    }
}
