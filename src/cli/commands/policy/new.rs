//! `liaison policy new`: a policy for one partner from a template, with its examples.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::ident::AgencyName;
use crate::journal::open::system_clock;
use crate::policy::{TEMPLATES, TO_BE_NAMED, Template};

/// The time until the review of a new policy, unless its owner sets another one.
const REVIEW_AFTER_MS: i64 = 365 * 24 * 3_600_000;

#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Directory of the bundle; made when it is not there.
    directory: PathBuf,
    /// Template to start from.
    #[arg(long, value_parser = templates())]
    template: String,
    /// Name of the partner that the policy is for.
    #[arg(long)]
    partner: AgencyName,
}

fn templates() -> clap::builder::PossibleValuesParser {
    TEMPLATES
        .iter()
        .map(|template| clap::builder::PossibleValue::new(template.name).help(template.summary))
        .into()
}

pub(super) fn run(args: &NewArgs, context: &Context) -> Result<(), CliError> {
    let template = Template::named(&args.template).ok_or_else(|| {
        CliError::usage(format!("there is no template {:?}", args.template), "see --help")
    })?;
    let review = system_clock()().plus_ms(REVIEW_AFTER_MS);
    let draft = template.draft(&args.partner, review);
    let paths = write(&args.directory, &draft)?;
    let (policy, text) = &draft[0];
    let named = to_be_named(text);
    let next = format!("liaison policy test {}", args.directory.display());
    let document = json!({
        "files": paths,
        "to_be_named": named.iter().map(|line| json!({"file": policy, "line": line}))
            .collect::<Vec<_>>(),
        "next": next,
    });
    context.output.either(document, || {
        let mut text: String =
            paths.iter().map(|path| format!("written  {}\n", path.display())).collect();
        for line in &named {
            text.push_str(&format!("to name  {}:{line}\n", paths[0].display()));
        }
        format!("{text}next     {next}")
    })
}

/// The lines, from 1, on which the agency has something to name.
fn to_be_named(text: &str) -> Vec<usize> {
    let lines = (1..).zip(text.lines());
    lines.filter(|(_, line)| line.contains(TO_BE_NAMED)).map(|(number, _)| number).collect()
}

/// Writes both files or none, and never over a file that is there.
fn write(directory: &Path, draft: &[(String, String)]) -> Result<Vec<PathBuf>, CliError> {
    fs::create_dir_all(directory).map_err(CliError::file("make", directory))?;
    let mut written: Vec<PathBuf> = Vec::new();
    for (name, text) in draft {
        let path = directory.join(name);
        if let Err(error) = create(&path, text) {
            for path in &written {
                // What this run wrote itself and nobody has seen yet.
                let _ = fs::remove_file(path);
            }
            return Err(match error.kind() {
                ErrorKind::AlreadyExists => CliError::Precondition {
                    found: format!("{} exists already; nothing was written", path.display()),
                    fix: "change that file, or name another directory".to_owned(),
                },
                _ => CliError::file("write", &path)(error),
            });
        }
        written.push(path);
    }
    Ok(written)
}

fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::policy::test::TestArgs;
    use crate::cli::context::GlobalOptions;
    use crate::cli::output::{Format, Output};

    fn draft(template: &str) -> [(String, String); 2] {
        let template = Template::named(template).unwrap();
        template.draft(&"jc3.or.jp".parse().unwrap(), "2027-06-30".parse().unwrap())
    }

    fn listed(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_policy_and_its_examples_are_written_into_a_directory_that_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("new").join("bundle");
        write(&bundle, &draft("indicators-only")).unwrap();
        assert_eq!(listed(&bundle), ["jc3.or.jp.cedar", "jc3.or.jp.test.toml"]);
    }

    #[test]
    fn a_file_that_is_there_stays_and_nothing_is_left_beside_it() {
        for there in ["jc3.or.jp.cedar", "jc3.or.jp.test.toml"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(there), "mine").unwrap();
            let error = write(dir.path(), &draft("case-by-case")).unwrap_err();
            assert_eq!(error.exit().code(), 9);
            assert_eq!(listed(dir.path()), [there]);
            assert_eq!(fs::read_to_string(dir.path().join(there)).unwrap(), "mine");
        }
    }

    #[test]
    fn what_new_writes_is_what_test_passes() {
        for template in TEMPLATES {
            let dir = tempfile::tempdir().unwrap();
            let nowhere = || Box::new(std::io::sink());
            let output = Output::captured(Format::Json, nowhere(), nowhere());
            let context = Context { options: GlobalOptions::for_tests(), output };
            let args = NewArgs {
                directory: dir.path().to_owned(),
                template: template.name.to_owned(),
                partner: "jc3.or.jp".parse().unwrap(),
            };
            run(&args, &context).unwrap();
            let args = TestArgs { directory: dir.path().to_owned(), strict: true };
            crate::cli::commands::policy::test::run(&args, &context).unwrap();
        }
    }

    #[test]
    fn every_line_with_something_to_name_is_counted() {
        let [(_, policy), _] = draft("takedown-vendor");
        let lines = to_be_named(&policy);
        assert_eq!(lines.len(), policy.matches(TO_BE_NAMED).count());
        let first = policy.lines().nth(lines[0] - 1).unwrap();
        assert!(first.starts_with("@agreement(\"TO BE NAMED: "), "{first}");
    }
}
