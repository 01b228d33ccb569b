//! A record and a partner for which something does not hold, in the words of those who write policy.

use std::fmt;

use cedar_policy::{Entity, EvalResult, PolicySet};
use cedar_policy_symcc::Env;

use crate::ident::Timestamp;
use crate::policy::bundle::Statement;
use crate::policy::cedar::{AUTHORIZER, Action};

/// Values of one list that are shown; a solver makes no long ones.
const LISTED_MAX: usize = 8;

/// The solver's counterexample: a possible record and a possible partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterexample {
    pub action: &'static str,
    /// The values of the record, for example `indicator`, `TLP:GREEN`, `confidence 69`.
    pub record: Vec<String>,
    pub partner: Vec<String>,
    /// The hour of the decision.
    pub now: String,
    /// The policies that decide it, each with its title and place.
    pub deciding: Vec<String>,
    /// The policies that cannot be evaluated, with the reason.
    pub faults: Vec<String>,
}

impl Counterexample {
    pub(super) fn new(env: &Env, action: Action, statements: &[Statement]) -> Self {
        let entity =
            |uid: Option<&cedar_policy::EntityUid>| uid.and_then(|uid| env.entities.get(uid));
        let record = entity(env.request.resource());
        let partner = entity(env.request.principal());
        let circles: Vec<String> = env
            .request
            .principal()
            .and_then(|uid| env.entities.ancestors(uid))
            .map(|circles| circles.map(|circle| name(circle.id().unescaped())).collect())
            .unwrap_or_default();
        let now = env.request.context().and_then(|context| context.get("now"));
        let (deciding, faults) = decided(env, statements);
        Self {
            action: action.name(),
            record: record.map(record_in_words).unwrap_or_default(),
            partner: partner.map(|entity| partner_in_words(entity, circles)).unwrap_or_default(),
            now: now.map(|now| shown(&now)).unwrap_or_default(),
            deciding,
            faults,
        }
    }
}

fn decided(env: &Env, statements: &[Statement]) -> (Vec<String>, Vec<String>) {
    let policies = statements.iter().map(|statement| statement.policy.clone());
    let Ok(set) = PolicySet::from_policies(policies) else { return (Vec::new(), Vec::new()) };
    let response = AUTHORIZER.is_authorized(&env.request, &set, &env.entities);
    let said = response.diagnostics();
    let is_named =
        |statement: &&Statement| said.reason().any(|id| *id.to_string() == *statement.id);
    let deciding = statements.iter().filter(is_named).map(|statement| {
        let Statement { id, title, file, line, .. } = statement;
        format!("{id} \"{title}\" {file}:{line}")
    });
    let faults = said.errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
            format!("{}: {}", error.policy_id(), error.inner())
        }
    });
    (deciding.collect(), faults.collect())
}

fn record_in_words(record: &Entity) -> Vec<String> {
    let get = |name: &str| record.attr(name).and_then(Result::ok);
    let plain = |name| get(name).map(|value| shown(&value)).unwrap_or_default();
    let mut words = vec![
        plain("kind"),
        format!("TLP:{}", plain("tlp")),
        format!("PAP:{}", plain("pap")),
        format!("confidence {}", plain("confidence")),
        format!("of originator {}", plain("originator")),
        format!("created {}", plain("created")),
    ];
    for (name, word) in [
        ("labels", "labels"),
        ("operation", "operation"),
        ("releasable_to", "releasable to"),
        ("circles", "circles"),
        ("members", "members of them"),
        ("expires", "expires"),
    ] {
        match get(name) {
            Some(EvalResult::Set(set))
                if set.is_empty() && ["labels", "members"].contains(&name) => {}
            Some(value) => words.push(format!("{word} {}", shown(&value))),
            None => {}
        }
    }
    for (name, word) in [
        ("orcon", "originator control"),
        ("caveat", "a restriction in words"),
        ("foreign", "markings of another scheme"),
        ("no_evidence", "not in proceedings"),
        ("no_notify", "no notification"),
        ("no_attribution", "no attribution"),
    ] {
        if matches!(get(name), Some(EvalResult::Bool(true))) {
            words.push(word.to_owned());
        }
    }
    if matches!(get("personal_data"), Some(EvalResult::Bool(true))) {
        words.push(format!("personal data for {}", plain("jurisdictions")));
    }
    words
}

fn partner_in_words(partner: &Entity, circles: Vec<String>) -> Vec<String> {
    let get = |name: &str| partner.attr(name).and_then(Result::ok);
    let plain = |name| get(name).map(|value| shown(&value)).unwrap_or_default();
    let mut words = vec![
        name(partner.uid().id().unescaped()),
        plain("sector"),
        format!("country {}", plain("country")),
        format!("agreement until {}", plain("agreement_until")),
    ];
    for (attribute, word) in [("client", "our client"), ("suspended", "suspended")] {
        if matches!(get(attribute), Some(EvalResult::Bool(true))) {
            words.push(word.to_owned());
        }
    }
    if !circles.is_empty() {
        words.push(format!("in circles {}", circles.join(" ")));
    }
    if !matches!(get("operations"), Some(EvalResult::Set(set)) if set.is_empty()) {
        words.push(format!("in operations {}", plain("operations")));
    }
    for (tag, value) in partner.tags() {
        if let Ok(value) = value {
            words.push(format!("{tag} {}", shown(&value)));
        }
    }
    words
}

/// A name that a solver made up may be empty or not be one word.
fn name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && c != '"';
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

fn shown(value: &EvalResult) -> String {
    match value {
        EvalResult::Bool(value) => value.to_string(),
        EvalResult::Long(value) => value.to_string(),
        EvalResult::String(text) => name(text),
        EvalResult::EntityUid(uid) => name(uid.id().unescaped()),
        EvalResult::Set(set) if set.is_empty() => "nobody".to_owned(),
        EvalResult::Set(set) => {
            set.iter().take(LISTED_MAX).map(shown).collect::<Vec<_>>().join(" ")
        }
        EvalResult::Record(_) => "…".to_owned(),
        EvalResult::ExtensionValue(text) => time(text),
    }
}

/// A time as Cedar writes it: `datetime("2026-11-22")`, or with `.offset(duration("5ms"))` behind it.
fn time(text: &str) -> String {
    let mut quoted = text.split('"').skip(1).step_by(2);
    let base = quoted.next().unwrap_or(text);
    let offset = quoted.next().and_then(|ms| ms.strip_suffix("ms")?.parse::<i64>().ok());
    // 1970 is before the times that records have, so it is not a base for one of ours.
    let base_ms = if base == "1970-01-01" { Some(0) } else { None };
    let at = match (base_ms, offset) {
        (Some(base), Some(offset)) => Timestamp::from_unix_ms(base + offset).ok(),
        (None, None) => base.parse().ok(),
        _ => None,
    };
    at.map_or_else(|| text.to_owned(), |at| at.to_string())
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, record, partner, now, deciding, faults } = self;
        writeln!(f, "for instance {action} at {now}:")?;
        writeln!(f, "  record   {}", record.join(", "))?;
        writeln!(f, "  partner  {}", partner.join(", "))?;
        for policy in deciding {
            writeln!(f, "  by       {policy}")?;
        }
        faults.iter().try_for_each(|fault| writeln!(f, "  error    {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_a_solver_made_up_is_shown_as_a_time() {
        let offset = "(datetime(\"1970-01-01\")).offset(duration(\"946684800000ms\"))";
        assert_eq!(time(offset), "2000-01-01T00:00:00.000Z");
        assert_eq!(time("datetime(\"2026-11-22\")"), "2026-11-22T00:00:00.000Z");
        assert_eq!(time("decimal(\"1.5\")"), "decimal(\"1.5\")");
    }

    #[test]
    fn a_name_that_is_no_word_is_quoted() {
        assert_eq!((name("jc3.or.jp").as_str(), name("").as_str()), ("jc3.or.jp", "\"\""));
        assert_eq!(name("a b"), "\"a b\"");
    }
}
