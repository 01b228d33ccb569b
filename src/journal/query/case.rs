//! What belongs to a case: its records, in the order of what they tell.

use super::candidates::{Candidates, Merge};
use super::filter::CaseSelector;
use super::glance::Glance;
use crate::ident::SeriesId;
use crate::journal::JournalError;
use crate::journal::search;
use crate::journal::series::newest;
use crate::journal::view::{Kept, View};
use crate::policy::Sight;
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
    /// When it happened, milliseconds since 1970; when it was recorded, if it does not say.
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
}

/// What decides whether a record stays when there are more than asked for: what comes in masses
/// goes first, then the oldest.
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
        sight: &Sight,
    ) -> Result<CaseScope, JournalError> {
        let mut scope = CaseScope::default();
        match selector {
            CaseSelector::Series(series) => {
                for head in self.series_heads(*series)? {
                    self.case_of(head.id, &mut scope)?;
                }
            }
            CaseSelector::Reference(reference) => {
                scope.references.insert(search::folded_reference(reference));
                self.cases_named(reference, sight, &mut scope)?;
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
        sight: &Sight,
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
            if let Some(glance) = self.glance(journal_index)?
                && let Some(Content::Case(case)) = glance.content(self, sight)?
                && search::folded_reference(&case.reference) == wanted
            {
                scope.add(glance.series, case.reference, journal_index);
            }
            if scope.series.len() >= CASE_SERIES_MAX {
                break;
            }
        }
        Ok(())
    }

    /// What is known of a case; `None` if nothing is. Of more than `limit` records, indicators and
    /// takedown results are left out first, and the oldest of them first.
    pub fn timeline(
        &self,
        selector: &CaseSelector,
        limit: usize,
        sight: &Sight,
    ) -> Result<Option<Timeline>, JournalError> {
        let scope = self.case_scope(selector, sight)?;
        let mut chosen = BTreeSet::new();
        let mut totals = BTreeMap::new();
        let candidates = Merge::new(self.index(), scope.terms(), self.snapshot().size)?;
        for journal_index in Candidates::Merge(candidates) {
            let Some(glance) = self.glance(journal_index?)? else { continue };
            if let Some(rank) = self.rank(&glance, &scope, sight)? {
                *totals.entry(glance.kind).or_default() += 1;
                chosen.insert(rank);
            }
            if chosen.len() > limit {
                chosen.pop_first();
            }
        }
        let case = match scope.newest {
            Some(journal_index) => {
                self.accepted_at(journal_index)?.filter(|kept| sight.counts(&kept.status()))
            }
            None => None,
        };
        if case.is_none() && chosen.is_empty() {
            return Ok(None);
        }
        let events = self.load(chosen)?;
        Ok(Some(Timeline { case, events, totals: totals.into_iter().collect() }))
    }

    /// Where a record stands among those of the case; `None` if it does not belong there.
    fn rank(
        &self,
        glance: &Glance,
        scope: &CaseScope,
        sight: &Sight,
    ) -> Result<Option<Rank>, JournalError> {
        if scope.series.contains(&glance.series) || glance.is_superseded(self)? {
            return Ok(None);
        }
        let Some(content) = glance.content(self, sight)? else { return Ok(None) };
        Ok(scope.contains(glance.series, &content).then(|| Rank {
            singular: is_singular(glance.kind),
            at_ms: content.event_time_ms().unwrap_or(glance.created_at_ms),
            journal_index: glance.journal_index,
        }))
    }

    fn load(&self, chosen: BTreeSet<Rank>) -> Result<Vec<TimelineEvent>, JournalError> {
        let mut events = Vec::with_capacity(chosen.len());
        for Rank { at_ms, journal_index, .. } in chosen {
            let kept = self.accepted_at(journal_index)?;
            events.extend(kept.map(|kept| TimelineEvent { at_ms, kept }));
        }
        events.sort_by_key(|event| (event.at_ms, event.kept.journal_index));
        Ok(events)
    }
}
