//! The difference between a proposed bundle and the one in force, counted over records.
//!
//! Records are given one by one; two who counted different records add up what they found. The fast
//! selection counts, Cedar names the policies of the samples. What is counted is what the policies
//! say of a record's header: that a slot is empty, or refers to what the partner may not see, is
//! not known here, so that fields are rather counted as shown than not.

use super::alteration::{Alteration, PolicyChange, alterations};
use super::bundle::Bundle;
use super::decide::Compiled;
use super::facts::{PartnerFacts, RecordFacts};
use super::policy_hour::PolicyHour;
use super::select::Selector;
use crate::ident::{AgencyName, RecordId};
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::marking::Tlp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Samples of each thing that differs: enough to look at, few enough that they are looked at.
pub const SAMPLES_MAX: usize = 3;
/// Values that all selectors of one comparer remember together, at some 100 bytes each.
const VALUES_MAX: usize = 262_144;
/// A selector that remembers fewer values asks Cedar most of the time.
const VALUES_MIN: usize = 1_024;
/// Answers remembered, one for each partner and set of facts.
const ANSWERS_MAX: usize = 1 << 20;
/// Sets of facts remembered, at some 400 bytes each.
const FACTS_MAX: usize = 16_384;

/// The classes that the two bundles reveal of one record to one partner: `Core` if it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    pub was: ClassSet,
    pub is: ClassSet,
    /// The new bundle could not be evaluated on it.
    pub erred: bool,
}

/// Asks two bundles the same about every partner.
pub struct Comparer {
    selectors: Vec<[Selector; 2]>,
    known: HashMap<RecordFacts, Arc<[Answer]>>,
    known_max: usize,
}

impl Comparer {
    pub fn new(
        before: &Compiled,
        after: &Compiled,
        partners: &[PartnerFacts],
        policy_hour: &PolicyHour,
    ) -> Self {
        let each = partners.len().max(1);
        let values = (VALUES_MAX / (2 * each)).max(VALUES_MIN);
        let selectors = partners.iter().map(|partner| {
            [before, after]
                .map(|compiled| Selector::bounded(compiled, partner, policy_hour, values))
        });
        Self {
            selectors: selectors.collect(),
            known: HashMap::new(),
            known_max: (ANSWERS_MAX / each).clamp(1, FACTS_MAX),
        }
    }

    /// Returns the answers of both bundles for a record, one for each partner in their order.
    /// Classes that records of its kind have no fields of are left out.
    pub fn ask(&mut self, record: &RecordFacts) -> Arc<[Answer]> {
        if let Some(answers) = self.known.get(record) {
            return Arc::clone(answers);
        }
        if self.known.len() >= self.known_max {
            self.known.clear();
        }
        let sensible = classes_of(record.kind);
        let answers: Arc<[Answer]> = self
            .selectors
            .iter_mut()
            .map(|[before, after]| {
                let (was, is) = (before.select(record), after.select(record));
                Answer {
                    was: was.revealed.intersection(sensible),
                    is: is.revealed.intersection(sensible),
                    erred: is.erred,
                }
            })
            .collect();
        self.known.insert(record.clone(), Arc::clone(&answers));
        answers
    }

    /// The classes that each partner may be revealed of some record under the new bundle.
    pub fn may_reveal(&self) -> Vec<ClassSet> {
        self.selectors.iter().map(|[_, after]| after.may_reveal()).collect()
    }
}

/// Returns the classes that fields of a kind have. A withdrawal follows what it withdraws, whatever
/// policy decides, so that none is newly shown or hidden by itself.
fn classes_of(kind: Kind) -> ClassSet {
    let has = |class: &SlotClass| !kind.slots_of(ClassSet::EMPTY.with(*class)).is_empty();
    let sensitive: ClassSet = SlotClass::SENSITIVE.into_iter().filter(has).collect();
    if kind == Kind::Withdrawal { sensitive } else { sensitive.union(ClassSet::CORE) }
}

/// A record as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Index of the journal entry that accepted it.
    pub journal_index: u64,
    pub id: RecordId,
    pub facts: RecordFacts,
}

/// Some records of one sort.
#[derive(Debug, Clone, Default)]
pub struct Count {
    pub records: u64,
    pub personal_data: u64,
    pub kinds: [u64; Kind::ALL.len()],
    pub tlp: [u64; Tlp::ALL.len()],
    /// The first of them.
    pub samples: Vec<Seen>,
}

impl Count {
    fn add(&mut self, seen: &Seen) {
        self.records += 1;
        self.personal_data += u64::from(seen.facts.personal_data);
        let kind = Kind::ALL.iter().position(|kind| *kind == seen.facts.kind);
        let tlp = Tlp::ALL.iter().position(|tlp| *tlp == seen.facts.tlp);
        kind.into_iter().for_each(|at| self.kinds[at] += 1);
        tlp.into_iter().for_each(|at| self.tlp[at] += 1);
        let is_early = |last: &Seen| seen.journal_index < last.journal_index;
        if self.samples.len() < SAMPLES_MAX || self.samples.last().is_some_and(is_early) {
            self.samples.push(seen.clone());
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.samples.sort_by_key(|seen| seen.journal_index);
        self.samples.truncate(SAMPLES_MAX);
    }

    fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.personal_data += other.personal_data;
        self.kinds.iter_mut().zip(other.kinds).for_each(|(own, more)| *own += more);
        self.tlp.iter_mut().zip(other.tlp).for_each(|(own, more)| *own += more);
        self.samples.extend(other.samples);
        self.settle();
    }
}

/// The counts for one partner.
#[derive(Debug, Clone, Default)]
pub struct PartnerTally {
    pub shown: Count,
    pub hidden: Count,
    /// In the order of [`SlotClass::SENSITIVE`].
    pub revealed: [Count; SlotClass::SENSITIVE.len()],
    pub withheld: [Count; SlotClass::SENSITIVE.len()],
    /// Sensitive classes that it is shown of some record now.
    pub had: ClassSet,
    pub erred: u64,
}

impl PartnerTally {
    fn concerns(&self, answer: &Answer) -> bool {
        answer.was != answer.is
            || answer.erred
            || !answer.was.without(ClassSet::CORE).without(self.had).is_empty()
    }

    fn take(&mut self, seen: &Seen, answer: &Answer) {
        let Answer { was, is, erred } = *answer;
        self.erred += u64::from(erred);
        self.had = self.had.union(was.without(ClassSet::CORE));
        let (more, less) = (is.without(was), was.without(is));
        if more.contains(SlotClass::Core) {
            self.shown.add(seen);
        }
        if less.contains(SlotClass::Core) {
            self.hidden.add(seen);
        }
        for (at, class) in SlotClass::SENSITIVE.into_iter().enumerate() {
            if more.contains(class) {
                self.revealed[at].add(seen);
            }
            if less.contains(class) {
                self.withheld[at].add(seen);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        let Self { shown, hidden, revealed, withheld, had, erred } = other;
        self.shown.merge(shown);
        self.hidden.merge(hidden);
        self.revealed.iter_mut().zip(revealed).for_each(|(own, more)| own.merge(more));
        self.withheld.iter_mut().zip(withheld).for_each(|(own, more)| own.merge(more));
        self.had = self.had.union(had);
        self.erred += erred;
    }

    /// Sensitive classes of which something is newly revealed.
    pub fn revealed_classes(&self) -> ClassSet {
        let counted = SlotClass::SENSITIVE.into_iter().zip(&self.revealed);
        counted.filter(|(_, count)| count.records > 0).map(|(class, _)| class).collect()
    }

    fn differs(&self) -> bool {
        let counts = [&self.shown, &self.hidden].into_iter().chain(&self.revealed);
        counts.chain(&self.withheld).any(|count| count.records > 0) || self.erred > 0
    }
}

/// The counts for all partners.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Records that were looked at.
    pub records: u64,
    /// Entries that could not be looked at, because stored bytes are damaged.
    pub damaged: u64,
    pub partners: Vec<PartnerTally>,
}

impl Tally {
    pub fn new(partners: usize) -> Self {
        Self { records: 0, damaged: 0, partners: vec![PartnerTally::default(); partners] }
    }

    /// Returns true if these answers would change the tally, `excepted` partners apart. Only then
    /// must the marking of the record be looked up.
    pub fn concerns(&self, answers: &[Answer], excepted: &[usize]) -> bool {
        let all = self.partners.iter().zip(answers).enumerate();
        all.into_iter().any(|(at, (own, answer))| !excepted.contains(&at) && own.concerns(answer))
    }

    /// Counts a record for all partners but those to whom it never goes: its originator, and the
    /// partner that it came from.
    pub fn take(&mut self, seen: &Seen, answers: &[Answer], excepted: &[usize]) {
        let all = self.partners.iter_mut().zip(answers).enumerate();
        for (_, (own, answer)) in all.filter(|(at, _)| !excepted.contains(at)) {
            own.take(seen, answer);
        }
    }

    /// Adds what was counted of other records for the same partners.
    pub fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.damaged += other.damaged;
        self.partners.iter_mut().zip(other.partners).for_each(|(own, more)| own.merge(more));
    }
}

/// The changes for one partner.
#[derive(Debug, Clone)]
pub struct PartnerChange<'a> {
    pub facts: &'a PartnerFacts,
    pub tally: PartnerTally,
    /// Sensitive classes that it is shown nothing of now and may be of records to come.
    pub may_reveal: ClassSet,
}

impl PartnerChange<'_> {
    /// Sensitive classes that are newly revealed and of which it was shown nothing before.
    pub fn first_revealed(&self) -> ClassSet {
        self.tally.revealed_classes().without(self.tally.had)
    }

    fn change(&self) -> PolicyChange {
        if !self.first_revealed().union(self.may_reveal).is_empty() {
            PolicyChange::Revealing
        } else if self.tally.shown.records > 0 || !self.tally.revealed_classes().is_empty() {
            PolicyChange::Widening
        } else {
            PolicyChange::Narrowing
        }
    }
}

/// All that differs between two bundles.
#[derive(Debug, Clone)]
pub struct Difference<'a> {
    pub records: u64,
    pub damaged: u64,
    pub alterations: Vec<Alteration<'a>>,
    /// Those for whom something changes.
    pub partners: Vec<PartnerChange<'a>>,
}

impl<'a> Difference<'a> {
    /// Makes the difference; `may_reveal` is the result of [`Comparer::may_reveal`] for the
    /// partners.
    pub fn new(
        before: &'a Bundle,
        after: &'a Bundle,
        partners: &'a [PartnerFacts],
        tally: Tally,
        may_reveal: &[ClassSet],
    ) -> Self {
        let alterations = alterations(before, after);
        let changes = partners.iter().zip(tally.partners).zip(may_reveal);
        let changes = changes.map(|((facts, tally), may_reveal)| {
            // Records to come may be the first to show a class that a policy reveals already.
            let more = alterations.iter().any(|altered| altered.may_release(facts));
            let may_reveal = if more { *may_reveal } else { ClassSet::EMPTY };
            let may_reveal = may_reveal.without(tally.had).without(tally.revealed_classes());
            PartnerChange { facts, tally, may_reveal }
        });
        let partners = changes.filter(|c| c.tally.differs() || !c.may_reveal.is_empty()).collect();
        Self { records: tally.records, damaged: tally.damaged, alterations, partners }
    }

    /// Returns the class of putting the bundle in force: the highest by the policies or any count.
    pub fn change(&self) -> PolicyChange {
        let by_policies = self.alterations.iter().map(Alteration::change);
        let by_records = self.partners.iter().map(PartnerChange::change);
        by_policies.chain(by_records).max().unwrap_or(PolicyChange::Narrowing)
    }

    /// Records newly shown and newly hidden, each counted once for every partner.
    pub fn totals(&self) -> (u64, u64) {
        let tallies = || self.partners.iter().map(|change| &change.tally);
        (
            tallies().map(|tally| tally.shown.records).sum(),
            tallies().map(|tally| tally.hidden.records).sum(),
        )
    }

    /// Returns the extent that an approval covers.
    pub fn extent(&self) -> Extent {
        let partners = self.partners.iter().map(|change| {
            let Count { records, personal_data, .. } = change.tally.shown;
            let revealed = change.tally.revealed.iter().any(|count| count.personal_data > 0);
            let shown = Shown {
                records: records > 0,
                personal_data: personal_data > 0 || revealed,
                classes: change.tally.revealed_classes(),
            };
            (change.facts.agency.clone(), shown)
        });
        Extent(partners.filter(|(_, shown)| *shown != Shown::default()).collect())
    }
}

/// The data newly shown to one partner, without numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shown {
    pub(super) records: bool,
    pub(super) personal_data: bool,
    pub(super) classes: ClassSet,
}

/// The partners to whom something is newly shown, and the classes of it. More records of the same
/// are within it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extent(pub(super) BTreeMap<AgencyName, Shown>);

impl Extent {
    /// The first thing that is in this one and not in what was approved.
    pub fn beyond(&self, approved: &Self) -> Option<String> {
        self.0.iter().find_map(|(agency, shown)| {
            let before = approved.0.get(agency).copied().unwrap_or_default();
            if shown.records && !before.records {
                return Some(format!("records for {agency}"));
            }
            if shown.personal_data && !before.personal_data {
                return Some(format!("records with personal data for {agency}"));
            }
            let class = shown.classes.without(before.classes).iter().next()?;
            Some(format!("fields of class {} for {agency}", class.name()))
        })
    }

    /// Returns the number of partners, and the sensitive classes newly shown to any of them.
    pub fn summary(&self) -> (usize, ClassSet) {
        let classes = self.0.values().fold(ClassSet::EMPTY, |all, one| all.union(one.classes));
        (self.0.len(), classes)
    }
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;
