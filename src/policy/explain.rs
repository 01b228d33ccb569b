//! The explanation of a decision, in words that the people who signed the policy know.
//!
//! An explanation evaluates for display and never decides: what it says of the outcome is the
//! decision's own.

mod acceptance;

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use cedar_policy::pst::{Expr, PrincipalConstraint};
use cedar_policy::{Entities, Request};

use super::atoms::Probe;
use super::bundle::Statement;
use super::cedar::{self, Action};
use super::decide::{
    Compiled, Fault, PartnerPolicy, PartnerScope, ReleaseAction, Verdict, action_matches,
};
use super::facts::{PartnerFacts, RecordFacts};
use super::policy_hour::PolicyHour;
use super::syntax::conjuncts;
use crate::ident::AgencyName;
use crate::record::kind::{Kind, SlotClass};
use crate::record::slots::SlotNumber;

pub use acceptance::{Acceptance, explain_acceptance};

/// Permits shown where nothing permits: more would be read as a list of things to loosen.
const NEAREST_MAX: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    /// A forbid matches.
    Forbidden,
    /// No permit matches and no forbid either.
    NothingPermits,
    /// Something could not be evaluated, so it is denied.
    Erred,
}

impl Outcome {
    pub(super) fn of(verdict: &Verdict) -> Self {
        if !verdict.faults.is_empty() {
            Self::Erred
        } else if verdict.allowed {
            Self::Allowed
        } else if verdict.deciding.is_empty() {
            Self::NothingPermits
        } else {
            Self::Forbidden
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "ALLOW",
            Self::Forbidden => "DENY, forbidden",
            Self::NothingPermits => "DENY, nothing permits it",
            Self::Erred => "DENY, a policy could not be evaluated",
        })
    }
}

/// The result of one part of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Holds,
    Fails,
    /// A part before it fails, and it has no meaning without that one.
    NotReached,
    Errs(String),
}

/// One of the parts that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// As Cedar writes it, without the name space.
    pub text: String,
    pub state: State,
}

/// One policy and what its conditions came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    pub title: String,
    pub agreement: Option<String>,
    pub owner: Option<String>,
    pub file: String,
    pub line: u32,
    pub permits: bool,
    pub conditions: Vec<Condition>,
}

impl Account {
    /// Counts the conditions that do not hold.
    pub fn unmet(&self) -> usize {
        self.conditions.iter().filter(|condition| condition.state != State::Holds).count()
    }
}

/// The decision on one class of fields of a released record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassAccount {
    pub class: SlotClass,
    /// The fields of this class that the record's kind has; at least one.
    pub fields: Vec<&'static str>,
    pub outcome: Outcome,
    pub deciding: Vec<Account>,
    /// The permits that come nearest, where nothing permits it.
    pub nearest: Vec<Account>,
    pub faults: Vec<Fault>,
}

/// A decision and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub partner: AgencyName,
    pub sector: &'static str,
    pub kind: Kind,
    pub action: ReleaseAction,
    pub outcome: Outcome,
    pub deciding: Vec<Account>,
    /// The permits that come nearest, fewest unmet conditions first, where nothing permits it or
    /// would without the forbids.
    pub nearest: Vec<Account>,
    pub faults: Vec<Fault>,
    /// Each sensitive class that the record's kind has; none when the record is not released.
    pub classes: Vec<ClassAccount>,
}

/// Explains the answer of [`Compiled::decide`] to the same question.
pub fn explain(
    compiled: &Compiled,
    partner: &PartnerFacts,
    record: &RecordFacts,
    policy_hour: &PolicyHour,
) -> Explanation {
    let policy = compiled.for_partner(partner);
    let decision = policy.decide(record, policy_hour);
    let teller = Teller::new(compiled, &policy, partner, record, policy_hour);
    let action = decision.action.action();
    let classes = decision.classes.iter().filter_map(|(class, verdict)| {
        let fields = fields_of(record.kind, *class);
        if fields.is_empty() {
            return None;
        }
        let (deciding, nearest) = teller.accounts(Action::Reveal(*class), verdict);
        Some(ClassAccount {
            class: *class,
            fields,
            outcome: Outcome::of(verdict),
            deciding,
            nearest,
            faults: verdict.faults.clone(),
        })
    });
    let (deciding, nearest) = teller.accounts(action, &decision.release);
    Explanation {
        partner: partner.agency.clone(),
        sector: partner.sector.name(),
        kind: record.kind,
        action: decision.action,
        outcome: Outcome::of(&decision.release),
        deciding,
        nearest,
        faults: decision.release.faults.clone(),
        classes: classes.collect(),
    }
}

/// The names of a kind's fields of one class.
fn fields_of(kind: Kind, class: SlotClass) -> Vec<&'static str> {
    let specs = SlotNumber::of(kind).map(|number| number.spec(kind));
    specs.filter(|spec| spec.class == class).map(|spec| spec.name).collect()
}

struct Teller<'a> {
    statements: &'a [Statement],
    scope: PartnerScope,
    store: Option<Entities>,
    policy: &'a PartnerPolicy,
    policy_hour: &'a PolicyHour,
}

impl<'a> Teller<'a> {
    fn new(
        compiled: &'a Compiled,
        policy: &'a PartnerPolicy,
        partner: &PartnerFacts,
        record: &RecordFacts,
        policy_hour: &'a PolicyHour,
    ) -> Self {
        Self {
            statements: compiled.bundle().statements(),
            scope: PartnerScope::of(partner),
            store: policy.store_with(record).ok(),
            policy,
            policy_hour,
        }
    }

    fn accounts(&self, action: Action, verdict: &Verdict) -> (Vec<Account>, Vec<Account>) {
        let request = cedar::request(self.policy.uid(), action, self.policy_hour).ok();
        let account = |statement: &Statement| self.account(statement, request.as_ref());
        let named =
            |statement: &&Statement| verdict.deciding.iter().any(|id| **id == *statement.id);
        let deciding = self.statements.iter().filter(named).map(account).collect();
        if !matches!(Outcome::of(verdict), Outcome::NothingPermits | Outcome::Forbidden) {
            return (deciding, vec![]);
        }
        let mut nearest: Vec<_> = self
            .statements
            .iter()
            .filter(|s| s.permits && action_matches(&s.body.action, action))
            .map(account)
            .collect();
        // A permit matches: only the forbids stand in the way.
        if nearest.iter().any(|account| account.unmet() == 0) {
            return (deciding, vec![]);
        }
        nearest.sort_by_cached_key(|account| {
            let met = account.conditions.len() - account.unmet();
            (account.unmet(), Reverse(met), account.id.clone())
        });
        nearest.truncate(NEAREST_MAX);
        (deciding, nearest)
    }

    fn account(&self, statement: &Statement, request: Option<&Request>) -> Account {
        let mut conditions: Vec<_> = self.head(statement).into_iter().collect();
        let mut failed = conditions.iter().any(|head| head.state == State::Fails);
        let parts = conjuncts(statement.body.clauses());
        for (part, state) in parts.iter().zip(self.states(&parts, request)) {
            let state = match state {
                State::Errs(_) if failed => State::NotReached,
                state => state,
            };
            failed |= state == State::Fails;
            conditions.push(Condition { text: readable(&part.to_string()), state });
        }
        Account {
            id: statement.id.to_string(),
            title: statement.title.clone(),
            agreement: statement.agreement.clone(),
            owner: statement.owner.clone(),
            file: statement.file.to_string(),
            line: statement.line,
            permits: statement.permits,
            conditions,
        }
    }

    /// The head of a policy counts as a condition where it names somebody.
    fn head(&self, statement: &Statement) -> Option<Condition> {
        let principal = &statement.body.principal;
        if matches!(principal, PrincipalConstraint::Any | PrincipalConstraint::Is(_)) {
            return None;
        }
        let holds = self.scope.principal_matches(principal);
        let state = if holds { State::Holds } else { State::Fails };
        Some(Condition { text: readable(&format!("principal {principal}")), state })
    }

    /// All at once, because putting a question costs more than answering it.
    fn states(&self, parts: &[Arc<Expr>], request: Option<&Request>) -> Vec<State> {
        let (Some(request), Some(store), Some(probe)) = (request, &self.store, Probe::new(parts))
        else {
            let unasked = || State::Errs("the facts could not be put to the policy".to_owned());
            return parts.iter().map(|_| unasked()).collect();
        };
        let answers = probe.ask(request, store).into_iter();
        answers
            .map(|answer| match answer {
                Ok(true) => State::Holds,
                Ok(false) => State::Fails,
                Err(reason) => State::Errs(reason),
            })
            .collect()
    }
}

fn readable(text: &str) -> String {
    text.replace("Liaison::", "")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partner, sector, action, kind, outcome, .. } = self;
        writeln!(f, "{partner} ({sector}) {} {}: {outcome}", action.name(), kind.name())?;
        write_reasons(f, "  ", *outcome, &self.faults, &self.deciding, &self.nearest)?;
        if self.outcome != Outcome::Allowed {
            return Ok(());
        }
        for class in &self.classes {
            let word = if class.outcome == Outcome::Allowed { "shown" } else { "withheld" };
            let (name, fields) = (class.class.name(), class.fields.join(", "));
            writeln!(f, "  {name} {word} ({fields}): {}", class.outcome)?;
            let ClassAccount { outcome, faults, deciding, nearest, .. } = class;
            write_reasons(f, "    ", *outcome, faults, deciding, nearest)?;
        }
        Ok(())
    }
}

fn write_reasons(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    outcome: Outcome,
    faults: &[Fault],
    deciding: &[Account],
    nearest: &[Account],
) -> fmt::Result {
    for Fault { policy, reason } in faults {
        writeln!(f, "{indent}! {policy}: {reason}")?;
    }
    for account in deciding {
        write_account(f, indent, if account.permits { "+" } else { "-" }, account)?;
    }
    if !nearest.is_empty() {
        let either = if outcome == Outcome::Forbidden { "nothing permits it either; " } else { "" };
        writeln!(f, "{indent}{either}nearest permits:")?;
    }
    nearest.iter().try_for_each(|account| write_account(f, indent, "?", account))
}

fn write_account(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    sign: &str,
    account: &Account,
) -> fmt::Result {
    let Account { id, title, agreement, file, line, conditions, .. } = account;
    write!(f, "{indent}{sign} {id} \"{title}\"")?;
    if let Some(agreement) = agreement {
        write!(f, " [{agreement}]")?;
    }
    write!(f, " {file}:{line}")?;
    if sign == "?" {
        write!(f, " ({} of {} conditions not met)", account.unmet(), conditions.len())?;
    }
    writeln!(f)?;
    for Condition { text, state } in conditions {
        let (word, why) = match state {
            State::Holds => ("ok   ", None),
            State::Fails => ("FAIL ", None),
            State::NotReached => ("-    ", None),
            State::Errs(reason) => ("ERROR", Some(reason)),
        };
        write!(f, "{indent}      {word} {text}")?;
        if let Some(reason) = why {
            write!(f, " ({reason})")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
