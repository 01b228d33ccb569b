//! The report as `policy test` prints it.

use std::fmt;

use super::{Difference, Failure, Report, Unexercised};
use crate::policy::Finding;

impl fmt::Display for Report {
    /// Writes findings, or failures with their reasons, then the permits without an example, then
    /// the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        for failure in &self.failures {
            write!(f, "{failure}")?;
        }
        for unexercised in &self.unexercised {
            writeln!(f, "{unexercised}")?;
        }
        let Self { findings, passed, failures, .. } = self;
        match (findings.len(), failures.len()) {
            (0, 0) => writeln!(f, "{}: all as expected", counted(*passed, "example")),
            (0, failed) => {
                writeln!(f, "{}: {failed} not as expected", counted(passed + failed, "example"))
            }
            (n, _) => writeln!(f, "{}: no example was run", counted(n, "finding")),
        }
    }
}

impl Report {
    /// Returns the reasons against putting the bundle in force: findings, and examples that fail.
    pub fn into_findings(self) -> Vec<Finding> {
        let failed = self.failures.into_iter().map(|failure| {
            let Failure { name, file, line, differences, .. } = failure;
            let came: Vec<_> = differences
                .iter()
                .map(|Difference { what, expected, came }| {
                    format!("{what}: expected {expected}, came {came}")
                })
                .collect();
            let message = format!("the example {name:?} fails: {}", came.join("; "));
            let help = "correct the policy, or the example; `liaison policy test` tells why";
            Finding { file, line, column: 1, message, help: Some(help.to_owned()) }
        });
        self.findings.into_iter().chain(failed).collect()
    }
}

fn counted(number: usize, noun: &str) -> String {
    crate::numerals::counted(number as u64, noun)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, file, line, differences, explanation } = self;
        writeln!(f, "FAIL {file}:{line}: {name}")?;
        for Difference { what, expected, came } in differences {
            writeln!(f, "  {what:<10} expected {expected}")?;
            writeln!(f, "  {:<10} came     {came}", "")?;
        }
        for line in explanation.iter().flat_map(|text| text.lines()) {
            writeln!(f, "  | {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Unexercised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, title, file, line } = self;
        write!(f, "warning: {file}:{line}: no example says what {policy} does: {title}")
    }
}
