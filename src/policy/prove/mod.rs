//! Proofs: what holds of every record and every partner at once, where tests try some.
//!
//! A question is put to a solver as Cedar's own symbolic compiler writes it. Whatever is not proved
//! counts as not holding: that a solver gave up, or answered something else, is not a proof. Nothing
//! here decides what leaves, and no node runs it.

mod counterexample;
#[cfg(test)]
mod tests;

pub use counterexample::Counterexample;

use std::sync::Arc;

use cedar_policy::pst::{Clause, Policy as Tree, StaticPolicy, Template};
use cedar_policy::{Policy, PolicySet, RequestEnv};
use cedar_policy_symcc::solver::Solver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};

use super::bundle::{Bundle, Statement};
use super::cedar::{self, Action};
use super::decide::action_matches;
use super::source::{Parsed, parse};

const CLAIMS: &str = include_str!("../claims.cedar");

/// The bounds of all facts: a proof is about possible records and partners only. Without it every
/// calculation with a time overflows somewhere in the year 292,277,026,596.
const BOUNDS: &str = r#"
forbid (principal is Liaison::Partner, action, resource is Liaison::Record)
unless {
  resource.confidence >= 0 && resource.confidence <= 100 &&
  resource.created >= datetime("2000-01-01") && resource.created <= datetime("2100-01-01") &&
  context.now >= datetime("2000-01-01") && context.now <= datetime("2100-01-01") &&
  principal.agreement_until >= datetime("2000-01-01") &&
  principal.agreement_until <= datetime("2100-01-01") &&
  (if resource has expires
    then resource.expires >= datetime("2000-01-01") && resource.expires <= datetime("2100-01-01")
    else true)
};"#;

/// An example without these is easier to read; it is asked for first.
const PLAIN: &str = r#"
forbid (principal is Liaison::Partner, action, resource is Liaison::Record)
when {
  resource.orcon || resource.caveat || resource.foreign || resource.no_evidence ||
  resource.no_notify || resource.no_attribution || resource.personal_data ||
  resource has expires || resource has releasable_to || resource has circles ||
  principal.client || principal.suspended
};"#;

/// The result of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    Holds,
    /// For instance this record and this partner.
    Fails(Box<Counterexample>),
    /// Neither was shown, and so it counts as not proved.
    Undecided(String),
}

/// A sentence about a bundle and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The id of the claim, or of the policy that cannot err.
    pub id: String,
    pub sentence: String,
    pub proof: Proof,
}

impl Proved {
    pub const fn holds(&self) -> bool {
        matches!(self.proof, Proof::Holds)
    }
}

/// The difference between two bundles for one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub action: &'static str,
    /// `Holds`: nothing is allowed that was not. Otherwise something is.
    pub widened: Proof,
    /// `Holds`: nothing is denied that was not. Otherwise something is.
    pub narrowed: Proof,
}

/// The reason why no question could be put.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    #[error("the solver cannot be used: {0}")]
    Solver(String),
    #[error("{what} cannot be put to the solver: {reason}")]
    Text { what: &'static str, reason: String },
}

/// A symbolic environment for each action.
struct Asked {
    action: Action,
    env: RequestEnv,
}

/// Puts questions to one solver.
pub struct Prover<S: Solver> {
    symcc: CedarSymCompiler<S>,
    claims: Vec<Parsed>,
    bounds: Policy,
    plain: Policy,
    within: Clause,
    asked: Vec<Asked>,
}

impl<S: Solver> Prover<S> {
    pub fn new(solver: S) -> Result<Self, ProveError> {
        let text = |what, reason: String| ProveError::Text { what, reason };
        let claims = parse(&"claims.cedar (built in)".into(), CLAIMS).map_err(|found| {
            text("a claim", found.first().map(ToString::to_string).unwrap_or_default())
        })?;
        let own = |what, source: &str, id: &str| -> Result<Policy, ProveError> {
            Policy::parse(Some(cedar_policy::PolicyId::new(id)), source)
                .map_err(|error| text(what, error.to_string()))
        };
        let bounds = own("the bounds of facts", BOUNDS, "bounds")?;
        let tree =
            bounds.to_pst().map_err(|error| text("the bounds of facts", error.to_string()))?;
        let within = match tree.body().clauses().as_slice() {
            [Clause::Unless(expr)] => Clause::When(Arc::clone(expr)),
            _ => return Err(text("the bounds of facts", "another form".to_owned())),
        };
        let envs: Vec<_> = cedar::SCHEMA.request_envs().collect();
        let asked = Action::ALL.into_iter().filter_map(|action| {
            let env = envs.iter().find(|env| *env.action() == action.uid())?;
            Some(Asked { action, env: env.clone() })
        });
        let asked = asked.collect();
        Ok(Self {
            symcc: CedarSymCompiler::new(solver)
                .map_err(|error| ProveError::Solver(error.to_string()))?,
            claims,
            plain: own("a plain example", PLAIN, "plain")?,
            bounds,
            within,
            asked,
        })
    }

    /// Every claim about a bundle, and of each of its policies that it cannot err.
    pub async fn prove(&mut self, bundle: &Bundle) -> Result<Vec<Proved>, ProveError> {
        self.prove_of(bundle.statements()).await
    }

    async fn prove_of(&mut self, statements: &[Statement]) -> Result<Vec<Proved>, ProveError> {
        let mut proved = Vec::new();
        let claims = self.claims.clone();
        let allowed = self.allowed_each(statements)?;
        for claim in &claims {
            let said = |name| claim.policy.annotation(name).unwrap_or_default().to_owned();
            let proof = self.claim(statements, &allowed, claim).await?;
            proved.push(Proved { id: said("id"), sentence: said("title"), proof });
        }
        for statement in statements {
            let sentence = format!("{} can always be evaluated", statement.id);
            let proof = self.never_errs(statements, statement).await?;
            proved.push(Proved { id: statement.id.to_string(), sentence, proof });
        }
        Ok(proved)
    }

    /// Compares two bundles for each action: what one allows and the other does not, both ways.
    pub async fn compare(&mut self, new: &Bundle, old: &Bundle) -> Result<Vec<Change>, ProveError> {
        let (new, old) = (new.statements(), old.statements());
        let mut changes = Vec::new();
        for at in 0..self.asked.len() {
            let widened = self.allows_more(at, new, old).await?;
            let narrowed = self.allows_more(at, old, new).await?;
            changes.push(Change { action: self.asked[at].action.name(), widened, narrowed });
        }
        Ok(changes)
    }

    /// Holds if no case of a claim is allowed.
    async fn claim(
        &mut self,
        statements: &[Statement],
        allowed: &[CompiledPolicySet],
        claim: &Parsed,
    ) -> Result<Proof, ProveError> {
        for (at, allowed) in allowed.iter().enumerate() {
            let action = self.asked[at].action;
            if !action_matches(&claim.body.action, action) {
                continue;
            }
            let cases = self.compiled(at, [claim.policy.clone()])?;
            match self.symcc.check_disjoint_with_counterexample_opt(allowed, &cases).await {
                Ok(None) => {}
                Err(error) => return Ok(Proof::Undecided(error.to_string())),
                Ok(Some(env)) => {
                    let plain = self.allowed(at, statements, &[&self.plain])?;
                    let wished = self.symcc.check_disjoint_with_counterexample_opt(&plain, &cases);
                    let env = wished.await.ok().flatten().unwrap_or(env);
                    return Ok(failed(&env, action, statements));
                }
            }
        }
        Ok(Proof::Holds)
    }

    /// Holds if nothing is allowed by `more` that is not allowed by `less`.
    async fn allows_more(
        &mut self,
        at: usize,
        more: &[Statement],
        less: &[Statement],
    ) -> Result<Proof, ProveError> {
        let action = self.asked[at].action;
        let less = self.compiled(at, less.iter().map(|statement| statement.policy.clone()))?;
        let allowed = self.allowed(at, more, &[])?;
        match self.symcc.check_implies_with_counterexample_opt(&allowed, &less).await {
            Ok(None) => Ok(Proof::Holds),
            Err(error) => Ok(Proof::Undecided(error.to_string())),
            Ok(Some(env)) => {
                let plain = self.allowed(at, more, &[&self.plain])?;
                let wished = self.symcc.check_implies_with_counterexample_opt(&plain, &less);
                let env = wished.await.ok().flatten().unwrap_or(env);
                Ok(failed(&env, action, more))
            }
        }
    }

    /// Holds if a policy can be evaluated whatever the facts are.
    async fn never_errs(
        &mut self,
        statements: &[Statement],
        statement: &Statement,
    ) -> Result<Proof, ProveError> {
        let policy = self.bounded(statement)?;
        for at in 0..self.asked.len() {
            let Asked { action, env } = &self.asked[at];
            if !action_matches(&statement.body.action, *action) {
                continue;
            }
            let compiled = match CompiledPolicy::compile(&policy, env, &cedar::SCHEMA) {
                Ok(compiled) => compiled,
                Err(error) => return Ok(Proof::Undecided(in_words(&error))),
            };
            let found = self.symcc.check_never_errors_with_counterexample_opt(&compiled).await;
            match found {
                Ok(None) => {}
                Ok(Some(env)) => return Ok(failed(&env, *action, statements)),
                Err(error) => return Ok(Proof::Undecided(error.to_string())),
            }
        }
        Ok(Proof::Holds)
    }

    /// The policy asked only about facts that there can be: what comes before a part that does not
    /// hold is not evaluated.
    fn bounded(&self, statement: &Statement) -> Result<Policy, ProveError> {
        let text = |reason: String| ProveError::Text { what: "a policy", reason };
        let body = &statement.body;
        let clauses = std::iter::once(self.within.clone()).chain(body.clauses().iter().cloned());
        let template = Template::new(
            statement.id.to_string().as_str(),
            body.effect,
            body.principal.clone(),
            body.action.clone(),
            body.resource.clone(),
        )
        .try_with_clauses(clauses.collect::<Vec<_>>())
        .map_err(|error| text(error.to_string()))?;
        let tree = StaticPolicy::try_from(template).map_err(|error| text(error.to_string()))?;
        Policy::from_pst(Tree::Static(tree)).map_err(|error| text(error.to_string()))
    }

    /// Compiles, for each action, the condition under which a bundle allows possible facts.
    fn allowed_each(&self, statements: &[Statement]) -> Result<Vec<CompiledPolicySet>, ProveError> {
        (0..self.asked.len()).map(|at| self.allowed(at, statements, &[])).collect()
    }

    /// The same for one action, beside further forbids.
    fn allowed(
        &self,
        at: usize,
        statements: &[Statement],
        forbids: &[&Policy],
    ) -> Result<CompiledPolicySet, ProveError> {
        let own = statements.iter().map(|statement| &statement.policy);
        let all = own.chain([&self.bounds]).chain(forbids.iter().copied()).cloned();
        self.compiled(at, all.collect::<Vec<_>>())
    }

    fn compiled(
        &self,
        at: usize,
        policies: impl IntoIterator<Item = Policy>,
    ) -> Result<CompiledPolicySet, ProveError> {
        let text = |reason: String| ProveError::Text { what: "a bundle", reason };
        let set = PolicySet::from_policies(policies).map_err(|error| text(error.to_string()))?;
        CompiledPolicySet::compile(&set, &self.asked[at].env, &cedar::SCHEMA)
            .map_err(|error| text(in_words(&error)))
    }
}

/// Returns the text of Cedar's validator, where it is the reason.
fn in_words(error: &cedar_policy_symcc::err::Error) -> String {
    match error {
        cedar_policy_symcc::err::Error::PolicyNotWellTyped { errs } => {
            errs.first().map_or_else(|| error.to_string(), ToString::to_string)
        }
        _ => error.to_string(),
    }
}

fn failed(env: &Env, action: Action, statements: &[Statement]) -> Proof {
    Proof::Fails(Box::new(Counterexample::new(env, action, statements)))
}
