//! The fast way to find what may concern a partner among very many records.
//!
//! Cedar evaluates each atom of a condition once for each value of the facts that the atom reads;
//! for every further record only and, or, not and if are replayed. The replay selects candidates:
//! [`super::PartnerPolicy::decide`] has the last word on everything that leaves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp};

use super::atoms::{Probe, Reads};
use super::attributes::{Attribute, Value};
use super::cedar::{self, Action};
use super::decide::{Compiled, PartnerPolicy, Slice};
use super::facts::{Circle, PartnerFacts, RecordFacts};
use super::policy_hour::PolicyHour;
use super::syntax::clause_parts;
use crate::ident::AgencyName;
use crate::record::kind::{ClassSet, SlotClass};

/// Values remembered over all groups and fields, at some 100 bytes each.
const VALUES_MAX: usize = 262_144;

/// The result of the replay for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    pub released: bool,
    /// `Core` if and only if released.
    pub revealed: ClassSet,
    /// Something could not be evaluated; nothing is released.
    pub erred: bool,
}

impl Selected {
    const ERRED: Self = Self { released: false, revealed: ClassSet::EMPTY, erred: true };
}

/// Selects for one partner in one hour.
pub struct Selector {
    policy: Arc<PartnerPolicy>,
    policy_hour: PolicyHour,
    /// `None`: a condition has a form that can't be replayed, so Cedar decides each time.
    plans: Option<Plans>,
    groups: Groups,
    /// The first by id of the forbids that match what was selected last.
    denied_by: Option<Arc<str>>,
}

struct Plans {
    share: Plan,
    forward: Plan,
    /// The plans for the classes that some policy of the partner permits.
    reveal: Vec<(SlotClass, Plan)>,
}

type Plan = Vec<Rule>;

struct Rule {
    id: Arc<str>,
    permits: bool,
    condition: Tree,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    False,
    True,
    Error,
}

/// A condition over atoms. Its depth is bounded by that of a policy's text.
#[derive(Debug)]
enum Tree {
    Known(Truth),
    Atom { group: usize, index: usize },
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
}

impl Selector {
    pub fn new(compiled: &Compiled, partner: &PartnerFacts, policy_hour: &PolicyHour) -> Self {
        Self::bounded(compiled, partner, policy_hour, VALUES_MAX)
    }

    /// One that remembers at most so many values, for somebody who needs many selectors at once.
    pub fn bounded(
        compiled: &Compiled,
        partner: &PartnerFacts,
        policy_hour: &PolicyHour,
        values_max: usize,
    ) -> Self {
        let policy = compiled.for_partner(partner);
        let mut drafts = Vec::new();
        let mut plan = |action: Action| draft_plan(policy.slice(action), action, &mut drafts);
        let share = plan(Action::Share);
        let forward = plan(Action::Forward);
        let reveal: Vec<_> = SlotClass::SENSITIVE
            .into_iter()
            .filter(|class| policy.slice(Action::Reveal(*class)).can_permit())
            .map(|class| (class, plan(Action::Reveal(class))))
            .collect();
        let groups = drafts.into_iter().map(Group::new).collect::<Option<Vec<_>>>();
        let mut selector = Self {
            policy,
            policy_hour: policy_hour.clone(),
            plans: groups.is_some().then_some(Plans { share, forward, reveal }),
            groups: Groups::new(groups.unwrap_or_default(), values_max.min(VALUES_MAX)),
            denied_by: None,
        };
        selector.fold_constants();
        selector
    }

    /// Returns the decision of [`PartnerPolicy::decide`] on this record, for a fraction of its
    /// cost.
    pub fn select(&mut self, record: &RecordFacts) -> Selected {
        let Some(plans) = &self.plans else { return self.decide(record) };
        self.denied_by = None;
        self.groups.start();
        let mut replay = Replay {
            groups: &mut self.groups,
            policy: &self.policy,
            policy_hour: &self.policy_hour,
            record,
            store: None,
        };
        let release = match self.policy.release_action(record) {
            super::ReleaseAction::Share => &plans.share,
            super::ReleaseAction::Forward => &plans.forward,
        };
        let Answer { allowed: released, mut erred, forbid } = replay.ask(release);
        self.denied_by = forbid.map(Arc::clone);
        let mut revealed = ClassSet::EMPTY;
        if released {
            revealed = ClassSet::CORE;
            for (class, plan) in &plans.reveal {
                let answer = replay.ask(plan);
                erred |= answer.erred;
                if answer.allowed {
                    revealed = revealed.with(*class);
                }
            }
        }
        if matches!(replay.store, Some(Err(_))) {
            return Selected::ERRED;
        }
        Selected { released, revealed, erred }
    }

    /// The sensitive classes that this partner may be revealed of some record: a permit is left
    /// whose condition this partner does not fail in this hour. Forbids are not looked at.
    pub fn may_reveal(&self) -> ClassSet {
        let Some(plans) = &self.plans else {
            let permits =
                |class: &SlotClass| self.policy.slice(Action::Reveal(*class)).can_permit();
            return SlotClass::SENSITIVE.into_iter().filter(permits).collect();
        };
        let open = plans.reveal.iter().filter(|(_, plan)| plan.iter().any(|rule| rule.permits));
        open.map(|(class, _)| *class).collect()
    }

    /// Returns the reason why the record that was selected last is not released: the first by id of
    /// the forbids that match it. `None` if nothing permits it, or if it is released.
    pub fn denied_by(&self) -> Option<&str> {
        self.denied_by.as_deref()
    }

    fn decide(&mut self, record: &RecordFacts) -> Selected {
        let decision = self.policy.decide(record, &self.policy_hour);
        let forbid = decision.release.deciding.first().filter(|_| !decision.release.allowed);
        self.denied_by = forbid.map(|id| id.as_str().into());
        Selected {
            released: decision.release.allowed,
            revealed: decision.revealed,
            erred: decision.erred(),
        }
    }

    /// Atoms that read nothing of a record are evaluated once, and most permits fall away.
    fn fold_constants(&mut self) {
        let Some(plans) = &mut self.plans else { return };
        let Ok(store) = self.policy.store() else {
            self.plans = None;
            return;
        };
        for group in self.groups.groups.iter_mut().filter(|group| group.reads.nothing()) {
            group.row = Some(group.rows.len());
            group.rows.push(
                match cedar::request(self.policy.uid(), group.action, &self.policy_hour) {
                    Ok(request) => truths(&group.probe, &request, store),
                    Err(_) => vec![Truth::Error; group.len].into(),
                },
            );
        }
        let constants = &self.groups.groups;
        let all = [&mut plans.share, &mut plans.forward];
        for plan in all.into_iter().chain(plans.reveal.iter_mut().map(|(_, plan)| plan)) {
            for rule in plan.iter_mut() {
                let condition = std::mem::replace(&mut rule.condition, Tree::Known(Truth::Error));
                rule.condition = condition.folded(constants);
            }
            plan.retain(|rule| !matches!(rule.condition, Tree::Known(Truth::False)));
        }
    }

    #[cfg(test)]
    fn is_replayed(&self) -> bool {
        self.plans.is_some()
    }

    /// Answers of Cedar that are remembered.
    #[cfg(test)]
    fn evaluations(&self) -> usize {
        self.groups.groups.iter().map(|group| group.rows.len()).sum()
    }

    /// The rules that are left to ask about: share, forward, and each class.
    #[cfg(test)]
    fn rules(&self) -> Vec<usize> {
        let Some(Plans { share, forward, reveal }) = &self.plans else { return vec![] };
        let plans = [share, forward].into_iter().chain(reveal.iter().map(|(_, plan)| plan));
        plans.map(Vec::len).collect()
    }
}

/// Atoms that read the same facts, while the plans are drawn up.
struct Draft {
    reads: Reads,
    action: Action,
    atoms: Vec<Arc<Expr>>,
}

fn draft_plan(slice: &Slice, action: Action, drafts: &mut Vec<Draft>) -> Plan {
    slice
        .statements
        .iter()
        .map(|statement| Rule {
            id: Arc::clone(&statement.id),
            permits: statement.permits,
            condition: draft_clauses(statement.body.clauses(), action, drafts),
        })
        .collect()
}

fn draft_clauses(clauses: &[Clause], action: Action, drafts: &mut Vec<Draft>) -> Tree {
    clauses
        .iter()
        .map(|clause| match clause_parts(clause) {
            (expr, false) => draft(expr, action, drafts),
            (expr, true) => Tree::Not(draft(expr, action, drafts).into()),
        })
        .reduce(|left, right| Tree::And(left.into(), right.into()))
        .unwrap_or(Tree::Known(Truth::True))
}

fn draft(expr: &Arc<Expr>, action: Action, drafts: &mut Vec<Draft>) -> Tree {
    let mut part = |expr: &Arc<Expr>| Box::new(draft(expr, action, drafts));
    match expr.as_ref() {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => Tree::Not(part(expr)),
        Expr::BinaryOp { op: BinaryOp::And, left, right } => Tree::And(part(left), part(right)),
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => Tree::Or(part(left), part(right)),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            Tree::If(part(cond), part(then_expr), part(else_expr))
        }
        _ => draft_atom(expr, action, drafts),
    }
}

fn draft_atom(expr: &Arc<Expr>, action: Action, drafts: &mut Vec<Draft>) -> Tree {
    let reads = Reads::of(expr);
    // What doesn't read the action is asked about one action for all of them.
    let action = if reads.action { action } else { Action::Share };
    let group = drafts
        .iter()
        .position(|draft| draft.reads == reads && draft.action == action)
        .unwrap_or_else(|| {
            drafts.push(Draft { reads, action, atoms: vec![] });
            drafts.len() - 1
        });
    let atoms = &mut drafts[group].atoms;
    let index = atoms.iter().position(|atom| atom == expr).unwrap_or_else(|| {
        atoms.push(expr.clone());
        atoms.len() - 1
    });
    Tree::Atom { group, index }
}

impl Tree {
    fn folded(self, constants: &[Group]) -> Self {
        match self {
            Self::Known(_) => self,
            Self::Atom { group, index } => match constants[group].constant(index) {
                Some(truth) => Self::Known(truth),
                None => self,
            },
            Self::Not(inner) => match inner.folded(constants) {
                Self::Known(truth) => Self::Known(truth.not()),
                inner => Self::Not(inner.into()),
            },
            Self::And(left, right) => match left.folded(constants) {
                Self::Known(Truth::True) => right.folded(constants),
                Self::Known(truth) => Self::Known(truth),
                left => Self::And(left.into(), right.folded(constants).into()),
            },
            Self::Or(left, right) => match left.folded(constants) {
                Self::Known(Truth::False) => right.folded(constants),
                Self::Known(truth) => Self::Known(truth),
                left => Self::Or(left.into(), right.folded(constants).into()),
            },
            Self::If(cond, then, otherwise) => match cond.folded(constants) {
                Self::Known(Truth::True) => then.folded(constants),
                Self::Known(Truth::False) => otherwise.folded(constants),
                Self::Known(Truth::Error) => Self::Known(Truth::Error),
                cond => Self::If(
                    cond.into(),
                    then.folded(constants).into(),
                    otherwise.folded(constants).into(),
                ),
            },
        }
    }
}

impl Truth {
    const fn not(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::True => Self::False,
            Self::Error => Self::Error,
        }
    }
}

/// Atoms that read the same facts, and Cedar's answers to them for each value met.
struct Group {
    reads: Reads,
    fields: Vec<&'static Attribute<RecordFacts>>,
    action: Action,
    probe: Probe,
    len: usize,
    known: HashMap<Box<[u64]>, usize>,
    rows: Vec<Box<[Truth]>>,
    /// The row of the record at hand, once it was asked for.
    row: Option<usize>,
}

impl Group {
    fn new(draft: Draft) -> Option<Self> {
        Some(Self {
            reads: draft.reads,
            fields: draft.reads.fields(),
            action: draft.action,
            probe: Probe::new(&draft.atoms)?,
            len: draft.atoms.len(),
            known: HashMap::new(),
            rows: Vec::new(),
            row: None,
        })
    }

    fn constant(&self, index: usize) -> Option<Truth> {
        let row = self.rows.first().filter(|_| self.reads.nothing())?;
        row.get(index).copied()
    }
}

struct Groups {
    groups: Vec<Group>,
    codes: Codes,
    key: Vec<u64>,
    /// The number of remembered values beyond which all are forgotten.
    values_max: usize,
}

impl Groups {
    fn new(groups: Vec<Group>, values_max: usize) -> Self {
        Self { groups, codes: Codes::default(), key: Vec::new(), values_max }
    }

    /// Values remembered.
    fn len(&self) -> usize {
        let rows: usize = self.groups.iter().map(|group| group.known.len()).sum();
        rows + self.codes.len()
    }

    /// Makes ready for the next record.
    fn start(&mut self) {
        if self.len() > self.values_max {
            self.codes = Codes::default();
            for group in self.groups.iter_mut().filter(|group| !group.reads.nothing()) {
                group.known.clear();
                group.rows.clear();
            }
        }
        for group in self.groups.iter_mut().filter(|group| !group.reads.nothing()) {
            group.row = None;
        }
    }
}

struct Replay<'a> {
    groups: &'a mut Groups,
    policy: &'a PartnerPolicy,
    policy_hour: &'a PolicyHour,
    record: &'a RecordFacts,
    store: Option<Result<cedar_policy::Entities, super::FactsError>>,
}

/// The result of the replay for one action.
struct Answer<'a> {
    allowed: bool,
    /// Something could not be evaluated: then it is not allowed.
    erred: bool,
    /// The first by id of the forbids that match.
    forbid: Option<&'a Arc<str>>,
}

impl Replay<'_> {
    fn ask<'p>(&mut self, plan: &'p Plan) -> Answer<'p> {
        let (mut permitted, mut erred) = (false, false);
        let mut forbid: Option<&Arc<str>> = None;
        for rule in plan {
            match self.truth(&rule.condition) {
                Truth::False => {}
                Truth::True if rule.permits => permitted = true,
                Truth::True => {
                    forbid = Some(forbid.map_or(&rule.id, |first| first.min(&rule.id)));
                }
                Truth::Error => erred = true,
            }
        }
        Answer { allowed: permitted && forbid.is_none() && !erred, erred, forbid }
    }

    fn truth(&mut self, tree: &Tree) -> Truth {
        match tree {
            Tree::Known(truth) => *truth,
            Tree::Atom { group, index } => self.atom(*group, *index),
            Tree::Not(inner) => self.truth(inner).not(),
            Tree::And(left, right) => match self.truth(left) {
                Truth::True => self.truth(right),
                other => other,
            },
            Tree::Or(left, right) => match self.truth(left) {
                Truth::False => self.truth(right),
                other => other,
            },
            Tree::If(cond, then, otherwise) => match self.truth(cond) {
                Truth::True => self.truth(then),
                Truth::False => self.truth(otherwise),
                Truth::Error => Truth::Error,
            },
        }
    }

    fn atom(&mut self, group: usize, index: usize) -> Truth {
        let row = match self.groups.groups[group].row {
            Some(row) => row,
            None => self.row(group),
        };
        self.groups.groups[group].rows[row].get(index).copied().unwrap_or(Truth::Error)
    }

    /// The row of the record's values, asked of Cedar when it is new.
    fn row(&mut self, at: usize) -> usize {
        let Groups { groups, codes, key, .. } = &mut *self.groups;
        let group = &mut groups[at];
        key.clear();
        key.extend(group.fields.iter().map(|field| codes.code((field.value)(self.record))));
        let row = match group.known.get(key.as_slice()) {
            Some(row) => *row,
            None => {
                let store = self.store.get_or_insert_with(|| self.policy.store_with(self.record));
                let request = cedar::request(self.policy.uid(), group.action, self.policy_hour);
                let truths = match (request, store) {
                    (Ok(request), Ok(store)) => truths(&group.probe, &request, store),
                    _ => vec![Truth::Error; group.len].into(),
                };
                group.rows.push(truths);
                group.known.insert(key.as_slice().into(), group.rows.len() - 1);
                group.rows.len() - 1
            }
        };
        group.row = Some(row);
        row
    }
}

fn truths(
    probe: &Probe,
    request: &cedar_policy::Request,
    store: &cedar_policy::Entities,
) -> Box<[Truth]> {
    let answers = probe.ask(request, store);
    answers
        .into_iter()
        .map(|answer| match answer {
            Ok(false) => Truth::False,
            Ok(true) => Truth::True,
            Err(_) => Truth::Error,
        })
        .collect()
}

/// Numbers for values, so that keys are short: equal numbers mean equal values of one field.
#[derive(Default)]
struct Codes {
    originators: HashMap<AgencyName, u64>,
    texts: HashMap<Vec<String>, u64>,
    agencies: HashMap<Vec<AgencyName>, u64>,
    circles: HashMap<Vec<Circle>, u64>,
    words: HashMap<String, u64>,
}

impl Codes {
    fn len(&self) -> usize {
        let lists = self.texts.len() + self.agencies.len() + self.circles.len();
        self.originators.len() + lists + self.words.len()
    }

    fn code(&mut self, value: Option<Value<'_>>) -> u64 {
        match value {
            // The others of an attribute that may be absent begin at 1: times start in 2000.
            None => 0,
            Some(Value::Flag(flag)) => flag.into(),
            Some(Value::Number(number)) => number.into(),
            Some(Value::Time(time)) => time.unix_seconds(),
            Some(Value::Word(_, _, number)) => number,
            Some(Value::Text(text) | Value::Operation(text)) => number(&mut self.words, text),
            Some(Value::Texts(list) | Value::Operations(list)) => number(&mut self.texts, list),
            Some(Value::Agency(agency)) => number(&mut self.originators, agency),
            Some(Value::Agencies(list)) => number(&mut self.agencies, list),
            Some(Value::Circles(list)) => number(&mut self.circles, list),
        }
    }
}

/// The number of a value, from 1 in the order in which values are met.
fn number<K, Q>(numbers: &mut HashMap<K, u64>, value: &Q) -> u64
where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
{
    if let Some(number) = numbers.get(value) {
        return *number;
    }
    let next = numbers.len() as u64 + 1;
    numbers.insert(value.to_owned(), next);
    next
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
