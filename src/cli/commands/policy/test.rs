//! `liaison policy test`: the examples of a bundle, run without a node.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::bundle_files::{read_bundle, refused};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::harmless_lines;
use crate::cli::schema::{self, Absent};
use crate::pb;
use crate::policy::examples::{self, Difference, Failure, Report, Unexercised};
use crate::policy::{Bundle, Vocabulary, is_examples};

#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Directory with *.cedar files and the *.test.toml files of their examples.
    pub(super) directory: PathBuf,
    /// Fail on a permit without an example, too.
    #[arg(long)]
    pub(super) strict: bool,
}

pub(super) fn run(args: &TestArgs, context: &Context) -> Result<(), CliError> {
    let files = read_bundle(&args.directory)?;
    if !files.iter().any(|file| is_examples(&file.name)) {
        let found = format!("{} has no *.test.toml file", args.directory.display());
        let fix = "write one beside the policy; docs/POLICY.md shows how, and `liaison policy new` \
                   begins with some";
        return Err(CliError::usage(found, fix));
    }
    let named = files.iter().map(|file| (file.name.clone(), file.text.clone()));
    let bundle = match Bundle::load(named, &Vocabulary::default()) {
        Ok(bundle) => Arc::new(bundle),
        Err(found) => {
            let found: Vec<_> = found.into_iter().map(pb::PolicyFinding::from).collect();
            return Err(refused(&found, context)?);
        }
    };
    let files = files.iter().map(|file| (file.name.as_str(), file.text.as_str()));
    let report = examples::run(files, &bundle);
    context
        .output
        .either(document(&report), || harmless_lines(report.to_string().trim_end()).to_owned())?;
    verdict(&report, args.strict)
}

/// Returns the result of the command.
fn verdict(report: &Report, strict: bool) -> Result<(), CliError> {
    let (found, fix) = match (report.findings.len(), report.failures.len()) {
        (0, 0) if !strict || report.unexercised.is_empty() => return Ok(()),
        (0, 0) => (
            format!("{} permits have no example", report.unexercised.len()),
            "write an example of what each is for",
        ),
        (0, failed) => (
            format!("{failed} of {} examples are not as expected", report.passed + failed),
            "correct the policy, or the example if it asks for the wrong thing",
        ),
        (found, _) => (
            format!("the examples have {found} findings; none was run"),
            "correct the files and run it again",
        ),
    };
    Err(CliError::Refused { found, fix: fix.to_owned() })
}

fn document(report: &Report) -> Value {
    let Report { findings, passed, failures, unexercised } = report;
    let findings: Vec<_> = findings
        .iter()
        .map(|found| {
            let finding = pb::PolicyFinding::from(found.clone());
            schema::to_json("PolicyFinding", &finding, Absent::Shown)
        })
        .collect();
    let failures: Vec<_> = failures.iter().map(failure).collect();
    let unexercised: Vec<_> = unexercised
        .iter()
        .map(|Unexercised { policy, title, file, line }| {
            json!({"policy": policy, "title": title, "file": file, "line": line})
        })
        .collect();
    json!({
        "findings": findings,
        "passed": passed,
        "failures": failures,
        "unexercised": unexercised,
    })
}

fn failure(failure: &Failure) -> Value {
    let Failure { name, file, line, differences, explanation } = failure;
    let differences: Vec<_> = differences
        .iter()
        .map(|Difference { what, expected, came }| {
            json!({"what": what, "expected": expected, "came": came})
        })
        .collect();
    json!({
        "name": name,
        "file": file,
        "line": line,
        "differences": differences,
        "explanation": explanation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::GlobalOptions;
    use crate::cli::output::{Format, Output};
    use std::io::Write;
    use std::sync::Mutex;

    const POLICY: &str = r#"@id("x") @title("t") @agreement("a") @owner("o")
        permit (principal, action == Liaison::Action::"share", resource)
        when { resource.tlp == Liaison::Tlp::"GREEN" };"#;
    const HOLDS: &str =
        "[[case]]\nname = \"green\"\ngiven = { record = { tlp = \"GREEN\" } }\nexpect = \"allow\"";
    const FAILS: &str = "[[case]]\nname = \"clear\"\nexpect = \"allow\"";
    const IDLE: &str = "[[case]]\nname = \"clear\"\nexpect = \"deny\"";

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);
    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The exit code and what was printed for a bundle of these files.
    fn tested(files: &[(&str, &str)], strict: bool, format: Format) -> (u8, String) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let page = Page::default();
        let output = Output::captured(format, Box::new(page.clone()), Box::new(std::io::sink()));
        let context = Context { options: GlobalOptions::for_tests(), output };
        let args = TestArgs { directory: dir.path().to_owned(), strict };
        let code = run(&args, &context).map_or_else(|error| error.exit().code(), |()| 0);
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        (code, text)
    }

    fn told(examples: &str, strict: bool) -> (u8, String) {
        tested(&[("10.cedar", POLICY), ("10.test.toml", examples)], strict, Format::Table)
    }

    #[test]
    fn examples_that_hold_end_well_and_one_that_fails_with_5_and_its_explanation() {
        assert_eq!(told(HOLDS, true), (0, "1 example: all as expected\n".to_owned()));
        let (code, text) = told(FAILS, false);
        assert_eq!(code, 5);
        assert!(text.starts_with("FAIL 10.test.toml:1: clear\n"), "{text}");
        assert!(text.contains("nearest permits:\n  |   ? x \"t\" [a] 10.cedar:1"), "{text}");
        assert!(text.contains("FAIL  resource.tlp == Tlp::\"GREEN\""), "{text}");
    }

    #[test]
    fn a_permit_without_an_example_is_a_warning_and_with_strict_a_failure() {
        let (code, text) = told(IDLE, false);
        assert_eq!(code, 0);
        assert!(
            text.starts_with("warning: 10.cedar:1: no example says what x does: t\n"),
            "{text}"
        );
        assert_eq!(told(IDLE, true).0, 5);
    }

    #[test]
    fn findings_of_policy_and_of_examples_end_with_5() {
        let (code, text) = told("[[case]]\nname = \"x\"\nexpects = \"deny\"", false);
        assert_eq!(code, 5);
        assert!(text.contains("10.test.toml:3:1: a case has no \"expects\""), "{text}");
        let files = [("10.cedar", "permit"), ("10.test.toml", HOLDS)];
        let (code, text) = tested(&files, false, Format::Table);
        assert_eq!(code, 5);
        assert!(text.starts_with("10.cedar:1:"), "{text}");
    }

    #[test]
    fn a_directory_without_examples_is_wrong_usage() {
        assert_eq!(tested(&[("10.cedar", POLICY)], false, Format::Table).0, 2);
        assert_eq!(tested(&[("notes.txt", "")], false, Format::Table).0, 2);
    }

    #[test]
    fn a_machine_reads_the_same() {
        let files = [("10.cedar", POLICY), ("10.test.toml", FAILS)];
        let (_, text) = tested(&files, false, Format::Json);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["passed"], &value["failures"][0]["line"]), (&json!(0), &json!(1)));
        assert_eq!(value["failures"][0]["differences"][0]["expected"], "allow");
        assert_eq!(value["unexercised"][0]["policy"], "x");
    }
}
