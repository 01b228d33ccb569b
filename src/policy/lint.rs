//! The rules for a sharing policy beyond Cedar's validation.
//!
//! Each rule here closes a way in which a policy that validates would not mean what its author
//! thinks: a forbid that errs is skipped by Cedar, a misspelt partner never matches, a permit
//! without a condition shows everything.

use std::collections::BTreeSet;

use cedar_policy::pst::{
    BinaryOp, Effect, Expr, Literal, PrincipalConstraint, ResourceConstraint, UnaryOp, Var,
};

use super::finding::{Finding, Place};
use super::source::Parsed;
use super::syntax::{clause_parts, visit};
use super::vocabulary::Vocabulary;
use crate::ident::AgencyName;
use crate::record::header::is_circle_name;

/// Longest `@id`, in bytes: it is printed in every explanation.
const ID_BYTES_MAX: usize = 128;

/// Returns the id of a policy, when it has a printable and unique one.
pub(super) fn identity(parsed: &Parsed, found: &mut Vec<Finding>) -> Option<String> {
    let mut refuse = |message: &str, help: &str| {
        found.push(Finding::at(&parsed.place, message).with_help(help));
        None
    };
    let Some(id) = parsed.policy.annotation("id") else {
        return refuse("this policy has no @id", "write @id(\"agency/short-name\") above it");
    };
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse(
            &format!("@id {id:?} can't be shown in one word"),
            "use 1 to 128 ASCII letters, digits and signs without a space",
        );
    }
    Some(id.to_owned())
}

/// Every rule about one policy of a sharing bundle.
pub(super) fn check(parsed: &Parsed, id: &str, known: &Vocabulary, found: &mut Vec<Finding>) {
    if id.starts_with("guard/") {
        found.push(
            Finding::at(&parsed.place, format!("{id:?} takes the name of a guardrail"))
                .with_help("ids that start with guard/ belong to the node itself"),
        );
    }
    annotations(parsed, id, found);
    open_permit(parsed, id, found);
    single_records(parsed, id, found);
    for (clause, _) in parsed.body.clauses().iter().map(clause_parts) {
        let whole = visit(clause, &mut |expr| {
            arithmetic(parsed, id, expr, found);
            labels(parsed, id, expr, known, found);
        });
        if !whole {
            found.push(Finding::at(
                &parsed.place,
                format!("{id} uses a form of expression that this version does not know"),
            ));
        }
    }
    names(parsed, id, known, found);
}

pub(super) fn annotations(parsed: &Parsed, id: &str, found: &mut Vec<Finding>) {
    let mut need = |name: &str, help: &str| {
        if parsed.policy.annotation(name).is_none_or(|value| value.trim().is_empty()) {
            found.push(Finding::at(&parsed.place, format!("{id} has no @{name}")).with_help(help));
        }
    };
    need("title", "say in one sentence what it does; people see this sentence");
    if parsed.body.effect == Effect::Permit {
        need("agreement", "name the agreement or law that it rests on");
        need("owner", "name who answers for it");
    }
    let review = parsed.policy.annotation("review");
    if review.is_some_and(|date| date.parse::<crate::ident::Timestamp>().is_err()) {
        found.push(
            Finding::at(&parsed.place, format!("{id} has an @review that is not a date"))
                .with_help("write it as in @review(\"2027-06-30\")"),
        );
    }
}

fn open_permit(parsed: &Parsed, id: &str, found: &mut Vec<Finding>) {
    let body = &parsed.body;
    let is_trivial = |expr: &Expr| matches!(expr, Expr::Literal(Literal::Bool(_)));
    let unconditional = body.clauses().iter().all(|clause| is_trivial(clause_parts(clause).0));
    let for_everyone =
        matches!(body.principal, PrincipalConstraint::Any | PrincipalConstraint::Is(_));
    if body.effect == Effect::Permit && for_everyone && unconditional {
        found.push(
            Finding::at(&parsed.place, format!("{id} permits every record to every partner"))
                .with_help("name a partner or a circle, or add a condition"),
        );
    }
}

fn single_records(parsed: &Parsed, id: &str, found: &mut Vec<Finding>) {
    if matches!(
        parsed.body.resource,
        ResourceConstraint::Eq(_) | ResourceConstraint::In(_) | ResourceConstraint::IsIn(..)
    ) {
        found.push(
            Finding::at(&parsed.place, format!("{id} names a single record in its head"))
                .with_help("policy speaks of what a record says of itself: use a condition"),
        );
    }
}

/// Arithmetic is the only way left to err at run time, and Cedar skips a forbid that errs.
fn arithmetic(parsed: &Parsed, id: &str, expr: &Expr, found: &mut Vec<Finding>) {
    if parsed.body.effect != Effect::Forbid {
        return;
    }
    let sign = match expr {
        Expr::UnaryOp { op: UnaryOp::Neg, .. } => "-",
        Expr::BinaryOp { op, .. } => match op {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Offset => "offset",
            BinaryOp::DurationSince => "durationSince",
            _ => return,
        },
        _ => return,
    };
    found.push(
        Finding::at(
            &within(parsed, sign),
            format!("{id} is a forbid and calculates with `{sign}`"),
        )
        .with_help(
            "a calculation can overflow, and a forbid that fails does not forbid: compare with \
                 a fixed value, or turn the rule into a permit",
        ),
    );
}

fn labels(parsed: &Parsed, id: &str, expr: &Expr, known: &Vocabulary, found: &mut Vec<Finding>) {
    let (Some(known), Expr::BinaryOp { op, left, right }) = (&known.labels, expr) else { return };
    if !matches!(
        op,
        BinaryOp::Contains
            | BinaryOp::ContainsAll
            | BinaryOp::ContainsAny
            | BinaryOp::Eq
            | BinaryOp::NotEq
    ) || ![left, right].into_iter().any(|side| is_labels(side))
    {
        return;
    }
    for side in [left, right] {
        visit(side, &mut |part| {
            if let Expr::Literal(Literal::String(label)) = part
                && !known.contains(label.as_str())
            {
                found.push(unknown(parsed, id, "label", label, known));
            }
        });
    }
}

fn is_labels(expr: &Expr) -> bool {
    matches!(expr, Expr::GetAttr { expr, attr }
        if attr == "labels" && matches!(expr.as_ref(), Expr::Var(Var::Resource)))
}

fn names(parsed: &Parsed, id: &str, known: &Vocabulary, found: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for literal in parsed.policy.entity_literals() {
        let (what, known) = match literal.type_name().basename() {
            "Partner" => ("partner", &known.partners),
            "Circle" => ("circle", &known.circles),
            "Operation" => ("operation", &known.operations),
            "Record" => {
                found.push(
                    Finding::at(&parsed.place, format!("{id} names a single record"))
                        .with_help("policy speaks of what a record says of itself"),
                );
                continue;
            }
            _ => continue,
        };
        let name = literal.id().unescaped();
        let Some(known) = known else { continue };
        if what == "circle" && is_of_another(name) {
            continue;
        }
        if !known.contains(name) && seen.insert((what, name.to_owned())) {
            found.push(unknown(parsed, id, what, name, known));
        }
    }
}

/// Returns true for the name of a circle of another agency, whose circles are not known here.
fn is_of_another(circle: &str) -> bool {
    circle
        .split_once('/')
        .is_some_and(|(agency, name)| agency.parse::<AgencyName>().is_ok() && is_circle_name(name))
}

fn unknown(parsed: &Parsed, id: &str, what: &str, name: &str, known: &BTreeSet<String>) -> Finding {
    let finding = Finding::at(
        &within(parsed, &format!("\"{name}\"")),
        format!("{id} names the {what} {name:?}, which is not known here"),
    );
    match nearest(name, known) {
        Some(near) => finding.with_help(format!("did you mean {near:?}?")),
        None => finding.with_help(format!("add the {what} first, or correct the name")),
    }
}

/// The place of `needle` in a policy; that of the policy where it is not found as written.
fn within(parsed: &Parsed, needle: &str) -> Place {
    let Some(offset) = parsed.text.find(needle) else { return parsed.place.clone() };
    let inner = Place::of(&parsed.place.file, &parsed.text, offset);
    let column =
        if inner.line == 1 { parsed.place.column + inner.column - 1 } else { inner.column };
    Place { line: parsed.place.line + inner.line - 1, column, ..inner }
}

/// The known name that differs in at most two letters.
pub(super) fn nearest<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a String> {
    known
        .iter()
        .filter(|other| other.len().abs_diff(name.len()) <= 2)
        .map(|other| (distance(name, other), other))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, other)| other)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let change = corner + usize::from(from != to);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
