//! Walking the syntax tree of a condition. Reads trees only; evaluates nothing.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp};

/// The direct parts of an expression, or `None` for a form that this version doesn't know; who
/// gets `None` assumes the worst.
pub(super) fn parts(expr: &Expr) -> Option<Vec<&Arc<Expr>>> {
    Some(match expr {
        Expr::Literal(_) | Expr::Var(_) | Expr::Slot(_) => vec![],
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => vec![expr],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Is { expr, in_expr, .. } => std::iter::once(expr).chain(in_expr).collect(),
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(items) => items.iter().collect(),
        Expr::Record(pairs) => pairs.values().collect(),
        _ => return None,
    })
}

/// Visits an expression and everything in it. False when a form was met that is not known.
pub(super) fn visit<'a>(expr: &'a Expr, see: &mut impl FnMut(&'a Expr)) -> bool {
    see(expr);
    let Some(parts) = parts(expr) else { return false };
    let mut known = true;
    for part in parts {
        known &= visit(part, see);
    }
    known
}

/// The expression of a clause, and whether it is an `unless`.
pub(super) fn clause_parts(clause: &Clause) -> (&Arc<Expr>, bool) {
    match clause {
        Clause::When(expr) => (expr, false),
        Clause::Unless(expr) => (expr, true),
    }
}

pub(super) fn not(expr: &Arc<Expr>) -> Arc<Expr> {
    Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: expr.clone() })
}

/// Returns the conditions that must all hold for the clauses to hold, in the order of evaluation.
/// An `unless` of alternatives becomes one `not` for each.
pub(super) fn conjuncts(clauses: &[Clause]) -> Vec<Arc<Expr>> {
    let mut found = Vec::new();
    for clause in clauses {
        match clause_parts(clause) {
            (expr, false) => split(expr, BinaryOp::And, &mut |part| found.push(part.clone())),
            (expr, true) => split(expr, BinaryOp::Or, &mut |part| found.push(not(part))),
        }
    }
    found
}

fn split(expr: &Arc<Expr>, at: BinaryOp, found: &mut impl FnMut(&Arc<Expr>)) {
    match expr.as_ref() {
        Expr::BinaryOp { op, left, right } if *op == at => {
            split(left, at, found);
            split(right, at, found);
        }
        _ => found(expr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Arc<Expr> {
        let policy = format!("permit (principal, action, resource) when {{ {text} }};");
        let tree = policy.parse::<cedar_policy::Policy>().unwrap().to_pst().unwrap();
        conjuncts(tree.body().clauses()).remove(0)
    }

    /// Each form with as many parts as it has: an unknown form is refused, and a part that is not
    /// visited is not checked.
    #[test]
    fn every_form_of_expression_is_known_with_its_parts() {
        for (text, expected) in [
            ("true", 0),
            ("principal", 0),
            ("!true", 1),
            ("-(1) == 2", 2),
            ("resource.tlp", 1),
            ("resource has tlp", 1),
            ("\"a\" like \"*\"", 1),
            ("1 == 2", 2),
            ("principal is Liaison::Partner", 1),
            ("principal is Liaison::Partner in Liaison::Circle::\"fraud\"", 2),
            ("if true then true else false", 3),
            ("[1, 2, 3, 4]", 4),
            ("{\"a\": 1, \"b\": 2}", 2),
            ("principal.hasTag(\"a\")", 2),
        ] {
            let expr = condition(text);
            assert_eq!(parts(&expr).map(|parts| parts.len()), Some(expected), "{text}");
            let mut seen = 0;
            assert!(visit(&expr, &mut |_| seen += 1), "{text}");
            assert!(seen > expected, "{text}");
        }
    }
}
