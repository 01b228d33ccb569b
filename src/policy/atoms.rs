//! The parts of conditions: the attributes of a record that a part reads, and Cedar's answer to it.
//!
//! An atom is a largest part of a condition below `&&`, `||`, `!` and `if`. No operator of Cedar is
//! evaluated here: an atom is put to Cedar as the condition of a policy of its own.

use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, Clause, Effect, Expr, Policy as Tree, PrincipalConstraint,
    ResourceConstraint, StaticPolicy, Template, Var,
};
use cedar_policy::{AuthorizationError, Entities, Policy, PolicySet, Request};

use super::attributes::{Attribute, OF_RECORD};
use super::cedar::AUTHORIZER;
use super::facts::RecordFacts;
use super::syntax::visit;

/// The dependencies of an atom besides partner and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Reads {
    fields: u32,
    pub(super) action: bool,
}

impl Reads {
    const EVERYTHING: Self = Self { fields: (1 << OF_RECORD.len()) - 1, action: true };

    /// Returns the reads of this expression. A use of `resource` that is not plainly
    /// `resource.name` counts as everything.
    pub(super) fn of(expr: &Expr) -> Self {
        let mut reads = Self::default();
        let (mut bare, mut named) = (0_usize, 0_usize);
        let known = visit(expr, &mut |part| match part {
            Expr::Var(Var::Resource) => bare += 1,
            Expr::Var(Var::Action) => reads.action = true,
            Expr::GetAttr { expr, attr } if is_resource(expr) => {
                named += usize::from(reads.add(attr));
            }
            Expr::HasAttr { expr, attrs } if is_resource(expr) => {
                named += usize::from(reads.add(attrs.first()));
            }
            _ => {}
        });
        if known && bare == named { reads } else { Self::EVERYTHING }
    }

    fn add(&mut self, name: &str) -> bool {
        let position = OF_RECORD.iter().position(|attribute| attribute.name == name);
        if let Some(position) = position {
            self.fields |= 1 << position;
        }
        position.is_some()
    }

    pub(super) const fn nothing(self) -> bool {
        self.fields == 0 && !self.action
    }

    pub(super) fn fields(self) -> Vec<&'static Attribute<RecordFacts>> {
        let all = OF_RECORD.iter().enumerate();
        all.filter(|(position, _)| self.fields & 1 << position != 0)
            .map(|(_, attribute)| attribute)
            .collect()
    }
}

fn is_resource(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Resource))
}

/// Expressions of which Cedar is asked all at once, whether each is true.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    policies: PolicySet,
    len: usize,
}

impl Probe {
    /// `None` when Cedar does not take one of the expressions as a condition.
    pub(super) fn new<'a>(exprs: impl IntoIterator<Item = &'a Arc<Expr>>) -> Option<Self> {
        let mut policies = PolicySet::new();
        let mut len = 0;
        for expr in exprs {
            let body = Template::new(
                len.to_string().as_str(),
                Effect::Permit,
                PrincipalConstraint::Any,
                ActionConstraint::Any,
                ResourceConstraint::Any,
            )
            .try_with_clauses([Clause::When(expr.clone())])
            .ok()?;
            let tree = Tree::Static(StaticPolicy::try_from(body).ok()?);
            policies.add(Policy::from_pst(tree).ok()?).ok()?;
            len += 1;
        }
        Some(Self { policies, len })
    }

    /// Evaluates each expression, in their order; an error for an expression that cannot be
    /// evaluated.
    pub(super) fn ask(&self, request: &Request, store: &Entities) -> Vec<Result<bool, String>> {
        let mut answers = vec![Ok(false); self.len];
        let response = AUTHORIZER.is_authorized(request, &self.policies, store);
        let mut set = |id: &str, answer| {
            if let Some(slot) = id.parse::<usize>().ok().and_then(|n| answers.get_mut(n)) {
                *slot = answer;
            }
        };
        for id in response.diagnostics().reason() {
            set(id.as_ref(), Ok(true));
        }
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            set(error.policy_id().as_ref(), Err(error.inner().to_string()));
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::syntax::conjuncts;

    fn reads(condition: &str) -> Reads {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let body = text.parse::<Policy>().unwrap().to_pst().unwrap().body().clone();
        Reads::of(&conjuncts(body.clauses())[0])
    }

    fn names(reads: Reads) -> Vec<&'static str> {
        reads.fields().iter().map(|attribute| attribute.name).collect()
    }

    #[test]
    fn an_atom_reads_what_it_names() {
        assert_eq!(names(reads("resource.tlp == resource.pap")), ["tlp", "pap"]);
        assert_eq!(names(reads("resource has expires")), ["expires"]);
        assert!(reads("principal.suspended").nothing());
        assert!(reads("context.now < principal.agreement_until").nothing());
        assert!(reads("action == Liaison::Action::\"share\"").action);
    }

    #[test]
    fn an_attribute_of_something_else_is_no_fact_of_the_record() {
        assert!(reads("principal.tlp == 1").nothing());
        assert!(reads("principal has tlp").nothing());
        assert!(reads("{\"tlp\": principal.client}.tlp").nothing());
    }

    #[test]
    fn a_use_of_the_record_that_is_not_plain_reads_everything() {
        assert_eq!(Reads::EVERYTHING.fields().len(), OF_RECORD.len());
        let Reads { action, .. } = Reads::EVERYTHING;
        assert!(action);
        for condition in [
            "resource == principal",
            "(if principal.client then resource else resource).tlp == resource.tlp",
            "[resource].contains(resource)",
            "resource.nothing == 1",
        ] {
            assert_eq!(reads(condition), Reads::EVERYTHING, "{condition}");
        }
    }
}
