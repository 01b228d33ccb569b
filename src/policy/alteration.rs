//! The effect of another bundle compared with the one in force, derived from the policies alone.
//!
//! Counting records tells what a bundle does today; this tells what it might do to records that are
//! still to come. It never looks at a record, and it never calls something narrowing that is not so
//! by construction: on doubt it says that more people must look.

use cedar_policy::pst::{BinaryOp, Expr, UnaryOp, Var};

use super::bundle::{Bundle, Statement};
use super::cedar::Action;
use super::decide::{PartnerScope, action_matches};
use super::facts::PartnerFacts;
use super::syntax::clause_parts;
use crate::pb;
use crate::record::kind::SlotClass;
use std::collections::HashMap;

/// The class of a change of policy; the later, the more people must approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyChange {
    /// It can show nothing that was not shown before.
    Narrowing,
    /// It shows more, or might show more of records to come.
    Widening,
    /// It shows personal data, or reveals a sensitive class, to a partner that was shown none of it, or
    /// might.
    Revealing,
}

impl PolicyChange {
    pub const fn from_wire(change: pb::PolicyChange) -> Option<Self> {
        match change {
            pb::PolicyChange::Unspecified => None,
            pb::PolicyChange::Narrowing => Some(Self::Narrowing),
            pb::PolicyChange::Widening => Some(Self::Widening),
            pb::PolicyChange::Revealing => Some(Self::Revealing),
        }
    }

    pub const fn to_wire(self) -> pb::PolicyChange {
        match self {
            Self::Narrowing => pb::PolicyChange::Narrowing,
            Self::Widening => pb::PolicyChange::Widening,
            Self::Revealing => pb::PolicyChange::Revealing,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Narrowing => "narrowing",
            Self::Widening => "widening",
            Self::Revealing => "revealing",
        }
    }
}

impl std::fmt::Display for PolicyChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A policy that only one of two bundles has, or that both have under one id and in two forms.
#[derive(Debug, Clone)]
pub struct Alteration<'a> {
    /// `None`: it is new.
    pub before: Option<&'a Statement>,
    /// `None`: it is no longer there.
    pub after: Option<&'a Statement>,
}

impl Alteration<'_> {
    /// Returns the statements that can widen: a new or altered permit, and a forbid that is gone or
    /// altered.
    fn widening(&self) -> impl Iterator<Item = &Statement> {
        let permit = self.after.filter(|after| after.permits);
        let forbid = self.before.filter(|before| !before.permits);
        permit.into_iter().chain(forbid)
    }

    pub fn change(&self) -> PolicyChange {
        if self.widening().any(reveals) {
            PolicyChange::Revealing
        } else if self.widening().next().is_some() {
            PolicyChange::Widening
        } else {
            PolicyChange::Narrowing
        }
    }

    /// Returns true if it may release a record to this partner that was not released before.
    /// Conditions are not considered.
    pub(super) fn may_release(&self, partner: &PartnerFacts) -> bool {
        let scope = PartnerScope::of(partner);
        let releases =
            |s: &Statement| [Action::Share, Action::Forward].iter().any(|a| scope.matches(s, *a));
        self.widening().any(releases)
    }
}

/// Returns whether a policy is about a sensitive class, or releases or keeps back records with personal data.
fn reveals(statement: &Statement) -> bool {
    let is_about = |action| action_matches(&statement.body.action, action);
    let of_class = SlotClass::SENSITIVE.into_iter().any(|class| is_about(Action::Reveal(class)));
    let releases = is_about(Action::Share) || is_about(Action::Forward);
    of_class || (releases && !excepts_personal_data(statement))
}

/// Returns whether a policy never applies to a record with personal data: it has a clause
/// `unless { resource.personal_data }` or `when { !resource.personal_data }`, alone or as one of the
/// terms that `||` or `&&` join. Other forms are not understood and do not count.
pub(super) fn excepts_personal_data(statement: &Statement) -> bool {
    statement.body.clauses().iter().any(|clause| {
        let (expr, is_unless) = clause_parts(clause);
        is_false_for_personal_data(expr, is_unless)
    })
}

/// Returns whether an expression, negated or not, is false for every record with personal data.
fn is_false_for_personal_data(expr: &Expr, negated: bool) -> bool {
    let either = |left: &Expr, right: &Expr| {
        is_false_for_personal_data(left, negated) || is_false_for_personal_data(right, negated)
    };
    match (expr, negated) {
        (Expr::UnaryOp { op: UnaryOp::Not, expr }, _) => is_false_for_personal_data(expr, !negated),
        (Expr::BinaryOp { op: BinaryOp::And, left, right }, false)
        | (Expr::BinaryOp { op: BinaryOp::Or, left, right }, true) => either(left, right),
        (Expr::GetAttr { expr, attr }, true) => {
            matches!(expr.as_ref(), Expr::Var(Var::Resource)) && attr == "personal_data"
        }
        _ => false,
    }
}

/// Compares two policies; names, titles and places are not compared.
fn is_same(one: &Statement, other: &Statement) -> bool {
    one.permits == other.permits
        && one.body.principal == other.body.principal
        && one.body.action == other.body.action
        && one.body.resource == other.body.resource
        && one.body.clauses() == other.body.clauses()
}

/// The policies in which two bundles differ: those of the second in their order, then those that
/// only the first has. A policy that got another name is not a difference.
pub fn alterations<'a>(before: &'a Bundle, after: &'a Bundle) -> Vec<Alteration<'a>> {
    let own = |bundle: &'a Bundle| bundle.statements().iter().filter(|s| !s.is_guardrail());
    let mut gone: HashMap<&str, &Statement> = own(before).map(|s| (&*s.id, s)).collect();
    let mut fresh: Vec<&Statement> = Vec::new();
    for statement in own(after) {
        match gone.get(&*statement.id) {
            Some(there) if is_same(there, statement) => drop(gone.remove(&*statement.id)),
            _ => fresh.push(statement),
        }
    }
    // What is left is few; here names no longer count.
    let mut left: Vec<&Statement> = own(before).filter(|s| gone.contains_key(&*s.id)).collect();
    fresh.retain(|statement| match left.iter().position(|there| is_same(there, statement)) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    });
    let mut found = Vec::with_capacity(fresh.len() + left.len());
    for statement in fresh {
        let at = left.iter().position(|there| there.id == statement.id);
        found.push(Alteration { before: at.map(|at| left.remove(at)), after: Some(statement) });
    }
    found.extend(left.into_iter().map(|gone| Alteration { before: Some(gone), after: None }));
    found
}

/// Returns the class of the change from one bundle to another by their policies alone.
pub fn change_of(before: &Bundle, after: &Bundle) -> PolicyChange {
    let changes = alterations(before, after).into_iter().map(|altered| altered.change());
    changes.max().unwrap_or(PolicyChange::Narrowing)
}

#[cfg(test)]
#[path = "alteration_tests.rs"]
mod tests;
