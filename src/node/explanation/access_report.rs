//! The survey of all records that a partner may see: every header decided anew, in steps.
//!
//! The fast selection counts; it equals the decision, which has the last word on what leaves. What
//! is remembered is bounded whatever the journal holds: a bit for each entry and some names.

use super::Explanations;
use super::decision_context::DecisionContext;
use crate::exchange::SeriesVerdict;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::headers::AcceptedHeader;
use crate::journal::index::Marks;
use crate::journal::search;
use crate::journal::view::View;
use crate::journal::{JournalError, unless_damaged};
use crate::node::disclosure::Discloser;
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::unknown;
use crate::pb;
use crate::policy::Selector;
use crate::record::header::Header;
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::marking::Marking;
use crate::store::{KeyRange, Order, Table};
use bytes::Bytes;
use prost::Message as _;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Journal entries looked at in one step, between which a client that has gone is noticed.
const STEP_ENTRIES: u64 = 16_384;
/// Names of one sort that are counted apart; what comes later is counted together.
const NAMES_MAX: usize = 1_024;
/// The name under which further names are counted.
const OTHERS: &str = "(others)";
/// Examples of each count.
const SAMPLES_MAX: usize = 3;
/// Records with a hold, a retraction or the like that are remembered, 32 bytes each; if there are
/// more, each record is looked up.
const BEFALLEN_MAX: usize = 262_144;
/// Cases whose records are counted, the newest.
const CASES_MAX: usize = 256;

/// Counts by name, each with the newest examples.
#[derive(Default)]
struct Tally(HashMap<String, (u64, VecDeque<RecordId>)>);

impl Tally {
    fn add(&mut self, name: &str, id: RecordId) {
        if !self.0.contains_key(name) {
            let name = if self.0.len() < NAMES_MAX { name } else { OTHERS };
            self.0.entry(name.to_owned()).or_default();
        }
        let name = if self.0.contains_key(name) { name } else { OTHERS };
        if let Some((count, samples)) = self.0.get_mut(name) {
            *count += 1;
            if samples.len() == SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back(id);
        }
    }

    fn into_counts(self) -> Vec<pb::SightCount> {
        let mut counts: Vec<_> = self
            .0
            .into_iter()
            .map(|(name, (count, samples))| pb::SightCount {
                name,
                count,
                samples: samples.iter().rev().map(wire).collect(),
            })
            .collect();
        counts.sort_by(|a, b| (Reverse(a.count), &a.name).cmp(&(Reverse(b.count), &b.name)));
        counts
    }
}

fn wire(id: &RecordId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// A survey under way.
pub struct AccessReport {
    view: Arc<View>,
    context: DecisionContext,
    selector: Selector,
    /// For series with revisions that are as new as each other.
    discloser: Option<Discloser>,
    next: u64,
    /// Records that may be under a hold or retracted; `None`: any.
    befallen: Option<HashSet<RecordId>>,
    visibility: pb::PartnerSight,
    kinds: Tally,
    operations: Tally,
    markings: Tally,
    classes: Tally,
    denied_by: Tally,
    /// A bit for each entry whose record the partner may see.
    seen: Vec<u64>,
    /// Cases that it may see, the newest.
    cases: VecDeque<(SeriesId, RecordId)>,
}

impl Explanations {
    /// Begins to look at everything that is here for one partner.
    pub fn survey(&self, agency: &AgencyName) -> Result<AccessReport, NodeError> {
        let context = self.context(agency)?;
        if !context.rules.partners.contains_key(agency) {
            return Err(unknown(agency));
        }
        let discloser = self.discloser(&context);
        Ok(AccessReport::new(Arc::clone(self.core.view()), context, discloser)?)
    }
}

impl AccessReport {
    fn new(
        view: Arc<View>,
        context: DecisionContext,
        discloser: Option<Discloser>,
    ) -> Result<Self, JournalError> {
        let selector = Selector::new(&context.rules.compiled, &context.facts, &context.policy_hour);
        let visibility = pb::PartnerSight {
            policy_version: context.rules.version.get(),
            at_ms: context.policy_hour.hour().unix_ms().unsigned_abs(),
            ..Default::default()
        };
        Ok(Self {
            selector,
            discloser,
            next: 0,
            befallen: view.befallen(BEFALLEN_MAX)?,
            view,
            visibility,
            kinds: Tally::default(),
            operations: Tally::default(),
            markings: Tally::default(),
            classes: Tally::default(),
            denied_by: Tally::default(),
            seen: vec![0; usize::try_from(context.size.div_ceil(64)).unwrap_or_default()],
            cases: VecDeque::new(),
            context,
        })
    }

    /// Entries that were looked at, and how many there are.
    pub const fn progress(&self) -> (u64, u64) {
        (self.next, self.context.size)
    }

    pub const fn is_done(&self) -> bool {
        self.next >= self.context.size
    }

    /// Looks at the next entries.
    pub fn step(&mut self) -> Result<(), JournalError> {
        let end = self.context.size.min(self.next + STEP_ENTRIES);
        let view = Arc::clone(&self.view);
        let superseded = view.superseded_in(self.next..end)?;
        for header in view.headers(self.next..end) {
            let looked = header.and_then(|header| {
                let is_superseded = superseded.contains(&header.journal_index);
                self.look(&header, is_superseded)
            });
            if unless_damaged(looked)?.is_none() {
                self.visibility.damaged += 1;
            }
        }
        self.next = end;
        Ok(())
    }

    fn look(&mut self, accepted: &AcceptedHeader, is_superseded: bool) -> Result<(), JournalError> {
        let AcceptedHeader { journal_index, id, header, partner, .. } = accepted;
        self.visibility.records += 1;
        let agency = &self.context.agency;
        if header.originator == *agency || partner.as_ref() == Some(agency) {
            self.visibility.own += 1;
            return Ok(());
        }
        if header.kind == Kind::Withdrawal {
            self.visibility.withdrawals += 1;
            return Ok(());
        }
        if is_superseded && !self.view.is_newest(header)? {
            self.visibility.superseded += 1;
            return Ok(());
        }
        let selected = self.selector.select(&self.context.facts_of(id, header));
        if !selected.released {
            self.visibility.denied += 1;
            self.visibility.erred += u64::from(selected.erred);
            let reason = match self.selector.denied_by() {
                _ if selected.erred => "an error of evaluation",
                Some(forbid) => forbid,
                None => "nothing permits",
            };
            self.denied_by.add(reason, *id);
            return Ok(());
        }
        if !self.is_usable(id)? {
            self.visibility.held += 1;
            return Ok(());
        }
        // Where another revision is as new, both must allow what is shown.
        let in_series = match is_superseded {
            true => self.shown_by_series(header)?,
            false => SlotClass::ALL.into_iter().collect(),
        };
        let revealed = selected.revealed.intersection(in_series);
        if !revealed.contains(SlotClass::Core) {
            self.visibility.superseded += 1;
            return Ok(());
        }
        self.visibility.allowed += 1;
        self.kinds.add(header.kind.name(), *id);
        self.operations.add(header.operation.as_deref().unwrap_or_default(), *id);
        self.markings.add(&marking_in_words(&header.marking), *id);
        let shown = header.kind.slots_of(revealed);
        for class in revealed.iter().filter(|class| *class != SlotClass::Core) {
            // A class of which the kind has no field shows nothing.
            if !header.kind.slots_of(ClassSet::EMPTY.with(class)).and(shown).is_empty() {
                self.classes.add(class.name(), *id);
            }
        }
        if let Some(word) =
            usize::try_from(journal_index / 64).ok().and_then(|at| self.seen.get_mut(at))
        {
            *word |= 1 << (journal_index % 64);
        }
        if header.kind == Kind::Case {
            self.cases.retain(|(series, _)| *series != header.series);
            self.cases.push_back((header.series, *id));
            if self.cases.len() > CASES_MAX {
                self.cases.pop_front();
            }
        }
        Ok(())
    }

    /// The classes that all revisions of a series show that are as new.
    fn shown_by_series(&mut self, header: &Header) -> Result<ClassSet, JournalError> {
        let marks = Marks::default().with_superseded();
        let Some(discloser) = &mut self.discloser else { return Ok(ClassSet::EMPTY) };
        Ok(match discloser.series_of(header, marks)? {
            Some((SeriesVerdict::Shown(classes), _)) => classes,
            _ => ClassSet::EMPTY,
        })
    }

    fn is_usable(&self, id: &RecordId) -> Result<bool, JournalError> {
        if self.befallen.as_ref().is_some_and(|befallen| !befallen.contains(id)) {
            return Ok(true);
        }
        Ok(self.view.place(id)?.is_some_and(|place| place.marks().is_usable()))
    }

    /// Returns the counts of the records that the partner may see.
    pub fn finish(mut self) -> Result<pb::PartnerSight, JournalError> {
        let mut cases = Vec::new();
        for (series, id) in std::mem::take(&mut self.cases) {
            cases.push(self.case(series, id)?);
        }
        cases.sort_by(|a, b| (Reverse(a.count), &a.name).cmp(&(Reverse(b.count), &b.name)));
        Ok(pb::PartnerSight {
            kinds: self.kinds.into_counts(),
            operations: self.operations.into_counts(),
            markings: self.markings.into_counts(),
            classes: self.classes.into_counts(),
            denied_by: self.denied_by.into_counts(),
            cases,
            ..self.visibility
        })
    }

    /// A case and how many records that the partner may see refer to it.
    fn case(&self, series: SeriesId, id: RecordId) -> Result<pb::SightCount, JournalError> {
        let range = KeyRange::prefix(search::linked_term(series));
        let mut count = 0;
        for pair in self.view.index().scan(Table::Search, &range, Order::Ascending) {
            let index = search::journal_index(&pair?.0);
            count += u64::from(index.is_some_and(|index| self.sees(index)));
        }
        Ok(pb::SightCount { name: self.reference(series, &id)?, count, samples: vec![wire(&id)] })
    }

    fn sees(&self, index: u64) -> bool {
        let word = usize::try_from(index / 64).ok().and_then(|at| self.seen.get(at));
        word.is_some_and(|word| word & 1 << (index % 64) != 0)
    }

    fn reference(&self, series: SeriesId, id: &RecordId) -> Result<String, JournalError> {
        let record = self.view.record_with_marks(id)?.filter(|(_, marks)| marks.is_usable());
        let bytes = record.as_ref().and_then(|(record, _)| {
            let first = crate::record::slots::SlotNumber::of(Kind::Case).next()?;
            record.slot_bytes(first)
        });
        let case = bytes.and_then(|bytes| pb::Case::decode(bytes.clone()).ok());
        let reference = case.map(|case| case.reference).filter(|text| !text.is_empty());
        Ok(reference.unwrap_or_else(|| series.to_string()))
    }
}

/// The TLP label and the markings that limit what is done with a record.
fn marking_in_words(marking: &Marking) -> String {
    let mut text = format!("TLP:{}", marking.tlp.name());
    let limits = [
        (marking.orcon, "originator control"),
        (marking.use_limits.no_evidence, "not in proceedings"),
        (marking.personal_data, "personal data"),
        (marking.not_personal, "not a person's"),
        (marking.caveat.is_some(), "restriction in words"),
    ];
    for (_, word) in limits.into_iter().filter(|(set, _)| *set) {
        text.push_str(", ");
        text.push_str(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::ids::{FeedNumber, PartnerNumber};
    use crate::node::disclosure::interference_tests::{Store, with_damage};
    use crate::policy::PolicyHour;
    use crate::testkit::{now, partner};

    /// The survey for the partner under the policy that shares everything of some records.
    fn visibility(store: &Store) -> pb::PartnerSight {
        let (view, rules) = (Arc::clone(store.journal.view()), store.rules(0));
        let snapshot = view.snapshot();
        let context = DecisionContext {
            agency: partner(),
            number: PartnerNumber::new(1),
            feed: FeedNumber::new(1),
            facts: rules.partners[&partner()].clone(),
            rules,
            policy_hour: PolicyHour::at(now()),
            consents: snapshot.state.consents.clone(),
            size: snapshot.size,
            applied: None,
            is_past: false,
        };
        let mut survey = AccessReport::new(view, context, None).unwrap();
        while !survey.is_done() {
            survey.step().unwrap();
        }
        survey.finish().unwrap()
    }

    #[test]
    fn a_survey_goes_on_behind_damaged_entries_and_counts_them() {
        let (store, mend) = with_damage(4, &[1, 2]);
        let found = visibility(&store);
        assert_eq!((found.records, found.allowed, found.damaged), (2, 2, 2));
        let found = visibility(&store.started_anew(mend));
        assert_eq!((found.records, found.allowed, found.damaged), (4, 4, 0));
    }
}
