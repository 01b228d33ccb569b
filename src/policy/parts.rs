//! The conditions of policies in parts, each put to Cedar once for a record.
//!
//! Many policies of a partner ask the same, and the questions about a record's classes ask again
//! what the question about its release asked. A policy holds if its parts hold one after the other;
//! no operator of Cedar is evaluated here. What errs, or can't be asked by itself, has no answer
//! here: it must be asked plainly, and nothing may be allowed for want of an answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, EntityOrSlot, EntityUID, Expr, Literal,
    PrincipalConstraint, ResourceConstraint, Template, Var,
};
use cedar_policy::{Context, Entities, EntityUid, EvalResult, Expression, Policy, Request};

use super::bundle::Statement;
use super::cedar::{self, Action};
use super::decide::Verdict;
use super::syntax::{conjuncts, visit};

/// A part of a policy that Cedar can be asked by itself.
#[derive(Debug)]
pub(super) struct Part {
    text: String,
    question: Expression,
    /// True if it reads the action: then the answer for one action does not hold for another.
    by_action: bool,
    /// True if it reads neither record nor hour.
    constant: bool,
}

impl Part {
    /// Makes the part of an expression and its text. `None` if it has a form that is not known
    /// here.
    fn new(expr: &Arc<Expr>, text: &str) -> Option<Self> {
        let (mut by_action, mut constant) = (false, true);
        let known = visit(expr, &mut |part| match part {
            Expr::Var(Var::Action) => by_action = true,
            Expr::Var(Var::Resource | Var::Context) => constant = false,
            Expr::Literal(Literal::EntityUID(uid)) if uid.ty.0.id.as_str() == "Record" => {
                constant = false;
            }
            _ => {}
        });
        let question = text.parse().ok()?;
        known.then(|| Self { text: text.to_owned(), question, by_action, constant })
    }

    fn ask(&self, request: &Request, store: &Entities) -> Option<bool> {
        match cedar_policy::eval_expression(request, store, &self.question) {
            Ok(EvalResult::Bool(holds)) => Some(holds),
            _ => None,
        }
    }
}

/// Parts by their text, so that the same is made ready once.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts(HashMap<String, Option<Arc<Part>>>);

impl Parts {
    /// Gives each policy its parts in the order in which Cedar asks them: its head, then its
    /// conditions. None if one of them can't be asked by itself.
    pub(super) fn take_apart(&mut self, statements: &mut [Statement]) {
        let taken: Vec<_> = statements.iter().map(|statement| apart(&statement.body)).collect();
        self.make_ready(taken.iter().flatten().flatten());
        for (statement, parts) in statements.iter_mut().zip(taken) {
            let known = |(text, _): &(String, Arc<Expr>)| self.0.get(text)?.clone();
            statement.parts = parts.and_then(|parts| parts.iter().map(known).collect());
        }
    }

    /// A part is asked only if its text is read back as exactly what it stands for. All are read
    /// at once, because starting to read costs more than reading.
    fn make_ready<'a>(&mut self, parts: impl Iterator<Item = &'a (String, Arc<Expr>)>) {
        let fresh: BTreeMap<_, _> = parts
            .map(|(text, expr)| (text.as_str(), expr))
            .filter(|(text, _)| !self.0.contains_key(*text))
            .collect();
        let all = read_back(fresh.keys().copied());
        for (number, (text, expr)) in fresh.into_iter().enumerate() {
            let alone = || read_back([text])?.pop();
            let read = all.as_ref().map_or_else(alone, |all| all.get(number).cloned());
            let part = read.filter(|read| read == expr).and_then(|_| Part::new(expr, text));
            self.0.insert(text.to_owned(), part.map(Arc::new));
        }
    }
}

/// The parts of a policy and their texts.
fn apart(body: &Template) -> Option<Vec<(String, Arc<Expr>)>> {
    let parts = head(body)?.into_iter().chain(conjuncts(body.clauses()));
    Some(parts.map(|part| (part.to_string(), part)).collect())
}

/// The expressions that Cedar reads in these texts, one for each.
fn read_back<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Vec<Arc<Expr>>> {
    let texts: Vec<_> = texts.into_iter().collect();
    let list = texts.join(", ");
    let policy = format!("permit (principal, action, resource) when {{ [{list}] == [] }};");
    let tree = policy.parse::<Policy>().ok()?.to_pst().ok()?;
    let [Clause::When(clause)] = tree.body().clauses().as_slice() else { return None };
    let Expr::BinaryOp { op: BinaryOp::Eq, left, .. } = clause.as_ref() else { return None };
    let Expr::Set(read) = left.as_ref() else { return None };
    (read.len() == texts.len()).then(|| read.clone())
}

/// The head of a policy as conditions.
fn head(body: &Template) -> Option<Vec<Arc<Expr>>> {
    let is = |var, kind, within| {
        let expr = Arc::new(Expr::Var(var));
        Expr::Is { expr, entity_type: kind, in_expr: within }
    };
    let binary = |op, var, right| Expr::BinaryOp { op, left: Expr::Var(var).into(), right };
    let literal = |uid: &EntityUID| Arc::new(Expr::Literal(Literal::EntityUID(uid.clone())));
    let entity = |named: &EntityOrSlot| match named {
        EntityOrSlot::Entity(uid) => Some(literal(uid)),
        EntityOrSlot::Slot(_) => None,
    };
    let principal = match &body.principal {
        PrincipalConstraint::Any => None,
        PrincipalConstraint::Is(kind) => Some(is(Var::Principal, kind.clone(), None)),
        PrincipalConstraint::Eq(uid) => Some(binary(BinaryOp::Eq, Var::Principal, entity(uid)?)),
        PrincipalConstraint::In(uid) => Some(binary(BinaryOp::In, Var::Principal, entity(uid)?)),
        PrincipalConstraint::IsIn(kind, uid) => {
            Some(is(Var::Principal, kind.clone(), Some(entity(uid)?)))
        }
    };
    let action = match &body.action {
        ActionConstraint::Any => None,
        ActionConstraint::Eq(uid) => Some(binary(BinaryOp::Eq, Var::Action, literal(uid))),
        ActionConstraint::In(uids) => {
            let uids = Expr::Set(uids.iter().map(literal).collect());
            Some(binary(BinaryOp::In, Var::Action, uids.into()))
        }
    };
    let resource = match &body.resource {
        ResourceConstraint::Any => None,
        ResourceConstraint::Is(kind) => Some(is(Var::Resource, kind.clone(), None)),
        ResourceConstraint::Eq(uid) => Some(binary(BinaryOp::Eq, Var::Resource, entity(uid)?)),
        ResourceConstraint::In(uid) => Some(binary(BinaryOp::In, Var::Resource, entity(uid)?)),
        ResourceConstraint::IsIn(kind, uid) => {
            Some(is(Var::Resource, kind.clone(), Some(entity(uid)?)))
        }
    };
    Some([principal, action, resource].into_iter().flatten().map(Arc::new).collect())
}

/// A policy as the numbers of its parts.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    id: Arc<str>,
    permits: bool,
    parts: Vec<usize>,
    /// After these parts comes one that never holds for the partner.
    never: bool,
}

/// The parts of the policies that concern one partner, each with a number.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    numbered: Vec<Arc<Part>>,
}

/// Draws up [`Questions`].
pub(super) struct Drafting<'a> {
    partner: &'a EntityUid,
    store: &'a Entities,
    questions: Questions,
    numbers: HashMap<(String, Option<Action>), usize>,
    constants: HashMap<(String, Option<Action>), Option<bool>>,
}

impl<'a> Drafting<'a> {
    /// `store` has the partner and the actions that will be asked about.
    pub(super) fn new(partner: &'a EntityUid, store: &'a Entities) -> Self {
        Self {
            partner,
            store,
            questions: Questions::default(),
            numbers: HashMap::new(),
            constants: HashMap::new(),
        }
    }

    /// The policies as they are to be asked about one action, in the order of their ids. `None` if
    /// one of them can only be asked plainly.
    pub(super) fn rules(&mut self, statements: &[Statement], action: Action) -> Option<Vec<Rule>> {
        let request = cedar::request_in(self.partner, action, &Context::empty()).ok()?;
        let mut rules = Vec::new();
        for statement in statements {
            rules.extend(self.rule(statement, action, &request)?);
        }
        rules.sort_by(|one, other| one.id.cmp(&other.id));
        Some(rules)
    }

    /// Nothing in it if the policy neither holds nor errs, whatever the record.
    fn rule(
        &mut self,
        statement: &Statement,
        action: Action,
        request: &Request,
    ) -> Option<Option<Rule>> {
        let mut rule = Rule {
            id: Arc::clone(&statement.id),
            permits: statement.permits,
            parts: Vec::new(),
            never: false,
        };
        for part in statement.parts.as_ref()?.iter() {
            let key = (part.text.clone(), part.by_action.then_some(action));
            let known = part.constant.then(|| {
                *self.constants.entry(key.clone()).or_insert_with(|| part.ask(request, self.store))
            });
            match known.flatten() {
                Some(true) => continue,
                Some(false) => {
                    rule.never = true;
                    break;
                }
                None => {}
            }
            let numbered = &mut self.questions.numbered;
            let number = *self.numbers.entry(key).or_insert_with(|| {
                numbered.push(Arc::clone(part));
                numbered.len() - 1
            });
            rule.parts.push(number);
        }
        Some((!rule.never || !rule.parts.is_empty()).then_some(rule))
    }

    pub(super) fn finish(self) -> Questions {
        self.questions
    }
}

/// The questions about one record, each asked when its answer is first needed.
pub(super) struct Asking<'a> {
    questions: &'a Questions,
    store: &'a Entities,
    answers: Vec<Option<bool>>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(questions: &'a Questions, store: &'a Entities) -> Self {
        Self { questions, store, answers: vec![None; questions.numbered.len()] }
    }

    pub(super) const fn store(&self) -> &'a Entities {
        self.store
    }

    /// Returns Cedar's verdict on the request with these policies; `None` if any of them errs.
    pub(super) fn ask(&mut self, rules: &[Rule], request: &Request) -> Option<Verdict> {
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        for rule in rules {
            if self.holds(rule, request)? {
                let deciding = if rule.permits { &mut permits } else { &mut forbids };
                deciding.push(&rule.id);
            }
        }
        let allowed = forbids.is_empty() && !permits.is_empty();
        let deciding = if forbids.is_empty() { permits } else { forbids };
        let deciding = deciding.into_iter().map(ToString::to_string).collect();
        Some(Verdict { allowed, deciding, faults: vec![] })
    }

    fn holds(&mut self, rule: &Rule, request: &Request) -> Option<bool> {
        for number in &rule.parts {
            if !self.part_holds(*number, request)? {
                return Some(false);
            }
        }
        Some(!rule.never)
    }

    fn part_holds(&mut self, number: usize, request: &Request) -> Option<bool> {
        if self.answers[number].is_none() {
            self.answers[number] = self.questions.numbered[number].ask(request, self.store);
        }
        self.answers[number]
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
