//! Examples: given facts and the decision that is expected of them, kept beside the policy.
//!
//! They are run by the code that decides in earnest, and change nothing. An example must be able
//! to fail: what is not understood is a finding, what is expected is compared whole, and a policy
//! that could not be evaluated is never what was expected.

mod case;
mod given;
mod reader;
mod report;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::bundle::{Bundle, Statement};
use super::decide::{Compiled, PartnerPolicy, Verdict};
use super::explain::{Outcome, explain, explain_acceptance};
use super::facts::PartnerFacts;
use super::finding::Finding;
use super::policy_hour::PolicyHour;
use super::source::{FINDINGS_MAX, is_examples};
use crate::ident::AgencyName;
use crate::record::kind::{ClassSet, SlotClass};
use case::{Case, Question};

pub use case::NAME_BYTES_MAX;
pub use given::{DEFAULT_HOUR, DEFAULT_ORIGINATOR, DEFAULT_OWN, DEFAULT_PARTNER};

/// Examples of one bundle: five for each policy of the largest that is expected, and run within a
/// second.
pub const CASES_MAX: usize = 1_000;
/// Failed examples that are explained; whoever has more starts with these.
pub const EXPLAINED_MAX: usize = 20;

/// The result of running the examples of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The faults in the text of the examples. Where there is any, no example was run. Where there
    /// is any, no example was run.
    pub findings: Vec<Finding>,
    /// The number of examples with the expected decision.
    pub passed: usize,
    pub failures: Vec<Failure>,
    /// The bundle's permits on which no example that came out as expected depends.
    pub unexercised: Vec<Unexercised>,
}

impl Report {
    /// Returns true if every example could be read and had the expected decision.
    pub const fn holds(&self) -> bool {
        self.findings.is_empty() && self.failures.is_empty()
    }
}

/// An example that did not come out as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub name: String,
    pub file: String,
    /// From 1.
    pub line: u32,
    /// Never empty.
    pub differences: Vec<Difference>,
    /// The explanation of the decision; of the first [`EXPLAINED_MAX`] failures.
    pub explanation: Option<String>,
}

/// One thing that differs from what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `decision`, `because`, `revealed`, `hidden` or `evaluation`.
    pub what: &'static str,
    pub expected: String,
    pub came: String,
}

/// A permit without an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexercised {
    pub policy: String,
    pub title: String,
    pub file: String,
    /// From 1.
    pub line: u32,
}

/// Runs the examples among these files, each a name and its text, against the bundle. Files of
/// policies are passed over, so that the files of a bundle can be given as they are.
pub fn run<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    bundle: &Arc<Bundle>,
) -> Report {
    let (cases, mut findings) = read(files);
    findings.extend(cases.iter().flat_map(|case| case.impossible(bundle.statements())));
    if !findings.is_empty() {
        findings.sort();
        findings.truncate(FINDINGS_MAX);
        return Report { findings, ..Report::default() };
    }
    let mut trial = Trial::new(bundle);
    for case in &cases {
        trial.run(case);
    }
    trial.report()
}

fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Vec<Case>, Vec<Finding>) {
    let (mut cases, mut findings) = (Vec::new(), Vec::new());
    for (name, text) in files.into_iter().filter(|(name, _)| is_examples(name)) {
        let (more, found) = case::read(name, text);
        cases.extend(more);
        findings.extend(found);
        if cases.len() > CASES_MAX {
            let message = format!("a bundle has at most {CASES_MAX} examples; this one has more");
            findings.push(Finding::of_file(name, message));
            break;
        }
    }
    (cases, findings)
}

/// The policy's answer to an example.
struct Answer {
    outcome: Outcome,
    verdict: Verdict,
    revealed: ClassSet,
    classes: Vec<(SlotClass, Verdict)>,
}

struct Trial<'a> {
    bundle: &'a Arc<Bundle>,
    nodes: HashMap<AgencyName, Compiled>,
    partners: HashMap<(AgencyName, PartnerFacts), Arc<PartnerPolicy>>,
    exercised: BTreeSet<String>,
    passed: usize,
    failures: Vec<Failure>,
}

impl<'a> Trial<'a> {
    fn new(bundle: &'a Arc<Bundle>) -> Self {
        Self {
            bundle,
            nodes: HashMap::new(),
            partners: HashMap::new(),
            exercised: BTreeSet::new(),
            passed: 0,
            failures: Vec::new(),
        }
    }

    fn run(&mut self, case: &Case) {
        let policy_hour = PolicyHour::at(case.hour);
        let answer = self.ask(case, &policy_hour);
        let differences = differences(case, &answer);
        if differences.is_empty() {
            self.passed += 1;
            self.exercised.extend(depended_on(case, answer));
            return;
        }
        let explained = self.failures.len() < EXPLAINED_MAX;
        self.failures.push(Failure {
            name: case.name.clone(),
            file: case.place.file.to_string(),
            line: case.place.line,
            differences,
            explanation: explained.then(|| self.explanation(case, &policy_hour)),
        });
    }

    fn ask(&mut self, case: &Case, policy_hour: &PolicyHour) -> Answer {
        let node = self
            .nodes
            .entry(case.own.clone())
            .or_insert_with(|| Compiled::new(self.bundle.clone(), case.own.clone(), []));
        let policy = self
            .partners
            .entry((case.own.clone(), case.partner.clone()))
            .or_insert_with(|| node.for_partner(&case.partner));
        let (verdict, revealed, classes) = match case.question {
            Question::Accept => {
                (policy.accepts(&case.record, policy_hour), ClassSet::EMPTY, vec![])
            }
            Question::Share | Question::Forward => {
                let decision = policy.decide(&case.record, policy_hour);
                (decision.release, decision.revealed, decision.classes)
            }
        };
        Answer { outcome: Outcome::of(&verdict), verdict, revealed, classes }
    }

    fn explanation(&self, case: &Case, policy_hour: &PolicyHour) -> String {
        let Some(node) = self.nodes.get(&case.own) else { return String::new() };
        match case.question {
            Question::Accept => {
                explain_acceptance(node, &case.partner, &case.record, policy_hour).to_string()
            }
            Question::Share | Question::Forward => {
                explain(node, &case.partner, &case.record, policy_hour).to_string()
            }
        }
    }

    fn report(self) -> Report {
        let permits = self.bundle.statements().iter().filter(|statement| statement.permits);
        let unexercised = permits
            .filter(|statement| !self.exercised.contains(&*statement.id))
            .map(|Statement { id, title, file, line, .. }| Unexercised {
                policy: id.to_string(),
                title: title.clone(),
                file: file.to_string(),
                line: *line,
            })
            .collect();
        Report { findings: vec![], passed: self.passed, failures: self.failures, unexercised }
    }
}

/// The policies without which an example would have come out otherwise, or may have.
fn depended_on(case: &Case, answer: Answer) -> impl Iterator<Item = String> {
    let compared = move |class: &SlotClass| case.expected.compares(*class);
    let classes = answer.classes.into_iter().filter(move |(class, _)| compared(class));
    let verdicts = std::iter::once(answer.verdict).chain(classes.map(|(_, verdict)| verdict));
    verdicts.flat_map(|verdict| verdict.deciding).collect::<Vec<_>>().into_iter()
}

fn differences(case: &Case, answer: &Answer) -> Vec<Difference> {
    let expected = &case.expected;
    let mut found = Vec::new();
    let mut differ = |what, expected, came| found.push(Difference { what, expected, came });
    let erred = answer.outcome == Outcome::Erred;
    if erred || expected.allowed != answer.verdict.allowed {
        differ("decision", expected.decision().to_owned(), answer.outcome.to_string());
    }
    if let Some(because) = &expected.because
        && !because.iter().eq(&answer.verdict.deciding)
    {
        differ("because", listed(because), listed(&answer.verdict.deciding));
    }
    let shown = |class: SlotClass| answer.revealed.contains(class);
    let names = |wanted: &dyn Fn(SlotClass) -> bool| {
        let classes = SlotClass::SENSITIVE.into_iter().filter(|class| wanted(*class));
        listed(&classes.map(SlotClass::name).collect::<Vec<_>>())
    };
    if let Some(revealed) = expected.revealed {
        let (expected, came) = (names(&|class| revealed.contains(class)), names(&shown));
        if answer.verdict.allowed && expected != came {
            differ("revealed", expected, came);
        }
    }
    let leaked = |class: SlotClass| expected.hidden.contains(class) && shown(class);
    if SlotClass::SENSITIVE.into_iter().any(leaked) {
        let hidden = names(&|class| expected.hidden.contains(class));
        differ("hidden", hidden, format!("{} revealed", names(&leaked)));
    }
    for (class, verdict) in &answer.classes {
        for fault in &verdict.faults {
            let came = format!("{}: {}: {}", class.name(), fault.policy, fault.reason);
            differ("evaluation", "no error".to_owned(), came);
        }
    }
    found
}

fn listed<T: AsRef<str>>(items: &(impl IntoIterator<Item = T> + Clone)) -> String {
    let items: Vec<_> = items.clone().into_iter().map(|item| item.as_ref().to_owned()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests;
