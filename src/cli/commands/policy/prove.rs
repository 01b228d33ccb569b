//! `liaison policy prove`: what holds of every record and every partner, shown by a solver.
//!
//! Offline, and a feature of its own: no node carries a solver's compiler.

use std::path::PathBuf;

#[cfg(not(feature = "prove"))]
use crate::cli::{context::Context, error::CliError};

#[derive(Debug, clap::Args)]
pub struct ProveArgs {
    /// Directory with *.cedar files.
    directory: PathBuf,
    /// Compare with the bundle in this directory: newly allowed and newly denied disclosures.
    #[arg(long, value_name = "DIRECTORY")]
    against: Option<PathBuf>,
    /// The program cvc5; by default the one on PATH.
    #[arg(long, value_name = "FILE", env = "CVC5", default_value = "cvc5")]
    solver: PathBuf,
}

#[cfg(not(feature = "prove"))]
pub(super) async fn run(args: &ProveArgs, _: &Context) -> Result<(), CliError> {
    let ProveArgs { directory: _, against: _, solver: _ } = args;
    Err(CliError::Precondition {
        found: "this program was built without proofs".to_owned(),
        fix: "build one with them: cargo build --release --features prove; it needs the solver \
              cvc5 (Debian: apt install cvc5)"
            .to_owned(),
    })
}

#[cfg(feature = "prove")]
pub(super) use with_solver::run;

#[cfg(feature = "prove")]
mod with_solver {
    use std::path::Path;
    use std::process::Stdio;

    use cedar_policy_symcc::solver::LocalSolver;
    use serde_json::{Value, json};
    use tokio::process::Command;

    use super::ProveArgs;
    use crate::cli::commands::policy::bundle_files::{read_bundle, refused};
    use crate::cli::context::Context;
    use crate::cli::error::{CliError, Exit, Source};
    use crate::cli::output::harmless_lines;
    use crate::policy::{
        Bundle, Change, Counterexample, Proof, ProveError, Proved, Prover, Vocabulary,
    };

    /// The longest time for one question; the longest seen took a second.
    const QUESTION_MS_MAX: u32 = 60_000;

    pub(in crate::cli::commands::policy) async fn run(
        args: &ProveArgs,
        context: &Context,
    ) -> Result<(), CliError> {
        let new = bundle(&args.directory, context)?;
        let old = args.against.as_deref().map(|old| bundle(old, context)).transpose()?;
        let solver = describe(&args.solver).await?;
        let mut prover = Prover::new(spawn(&args.solver)?).map_err(cannot_ask)?;
        context.output.note(&format!("solver {solver}"));
        match old {
            Some(old) => {
                let changes = prover.compare(&new, &old).await.map_err(cannot_ask)?;
                let document = json!({
                    "solver": solver,
                    "changes": changes.iter().map(change_json).collect::<Vec<_>>(),
                });
                context.output.either(document, || changes_text(&changes))?;
                undecided(changes.iter().flat_map(|change| [&change.widened, &change.narrowed]))
            }
            None => {
                let proved = prover.prove(&new).await.map_err(cannot_ask)?;
                let document = json!({
                    "solver": solver,
                    "claims": proved.iter().map(proved_json).collect::<Vec<_>>(),
                });
                context.output.either(document, || proved_text(&proved))?;
                let failed = proved.iter().filter(|proved| !proved.holds()).count();
                if failed == 0 {
                    return Ok(());
                }
                Err(CliError::Refused {
                    found: format!("{failed} of {} sentences are not proved", proved.len()),
                    fix: "correct the policies that decide the examples above".to_owned(),
                })
            }
        }
    }

    fn bundle(directory: &Path, context: &Context) -> Result<Bundle, CliError> {
        let files = read_bundle(directory)?.into_iter().map(|file| (file.name, file.text));
        match Bundle::load(files, &Vocabulary::default()) {
            Ok(bundle) => Ok(bundle),
            Err(found) => {
                let findings: Vec<_> = found.into_iter().map(Into::into).collect();
                Err(refused(&findings, context)?)
            }
        }
    }

    fn no_solver(path: &Path, source: Source) -> CliError {
        CliError::Other {
            doing: format!("cannot run the solver {}", path.display()),
            exit: Exit::Precondition,
            fix: "install cvc5 (Debian: apt install cvc5), or name it with --solver FILE"
                .to_owned(),
            source,
        }
    }

    /// The solver's own first line about itself.
    async fn describe(path: &Path) -> Result<String, CliError> {
        let output = Command::new(path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| no_solver(path, error.into()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(harmless_lines(text.lines().next().unwrap_or("of an unknown version")))
    }

    fn spawn(path: &Path) -> Result<LocalSolver, CliError> {
        let mut command = Command::new(path);
        command.args(["--lang", "smt"]).arg(format!("--tlimit-per={QUESTION_MS_MAX}"));
        command.kill_on_drop(true);
        LocalSolver::from_command(&mut command).map_err(|error| no_solver(path, error.into()))
    }

    fn cannot_ask(error: ProveError) -> CliError {
        CliError::Other {
            doing: "cannot prove anything".to_owned(),
            exit: Exit::Failed,
            fix: String::new(),
            source: Box::new(error),
        }
    }

    fn undecided<'a>(proofs: impl Iterator<Item = &'a Proof>) -> Result<(), CliError> {
        match proofs.filter(|proof| matches!(proof, Proof::Undecided(_))).count() {
            0 => Ok(()),
            count => Err(CliError::Refused {
                found: format!("{count} questions could not be decided"),
                fix: "simplify the policies, or use a newer cvc5 with --solver FILE".to_owned(),
            }),
        }
    }

    fn proof_json(proof: &Proof) -> Value {
        match proof {
            Proof::Holds => json!({"holds": true}),
            Proof::Undecided(reason) => json!({"holds": Value::Null, "reason": reason}),
            Proof::Fails(example) => json!({"holds": false, "example": example_json(example)}),
        }
    }

    fn example_json(example: &Counterexample) -> Value {
        // Destructured without `..`: what is new must be thought about here.
        let Counterexample { action, record, partner, now, deciding, faults } = example;
        json!({
            "action": action,
            "at": now,
            "record": record,
            "partner": partner,
            "deciding": deciding,
            "errors": faults,
        })
    }

    fn proved_json(proved: &Proved) -> Value {
        let Proved { id, sentence, proof } = proved;
        json!({"id": id, "sentence": sentence, "proof": proof_json(proof)})
    }

    fn change_json(change: &Change) -> Value {
        let Change { action, widened, narrowed } = change;
        json!({
            "action": action,
            "widened": difference_json(widened),
            "narrowed": difference_json(narrowed),
        })
    }

    /// Returns one direction of a change; its proof holds where there is no difference.
    fn difference_json(same: &Proof) -> Value {
        match same {
            Proof::Holds => json!({"differs": false}),
            Proof::Undecided(reason) => json!({"differs": Value::Null, "reason": reason}),
            Proof::Fails(example) => json!({"differs": true, "example": example_json(example)}),
        }
    }

    fn proved_text(proved: &[Proved]) -> String {
        let mut text = String::new();
        let (claims, policies): (Vec<_>, Vec<_>) =
            proved.iter().partition(|proved| proved.id.starts_with("claim/"));
        for Proved { sentence, proof, .. } in claims {
            line(&mut text, sentence, proof);
        }
        let erring: Vec<_> = policies.iter().filter(|proved| !proved.holds()).collect();
        if erring.is_empty() {
            let sentence =
                format!("Each of the {} policies can always be evaluated", policies.len());
            line(&mut text, &sentence, &Proof::Holds);
        }
        for Proved { sentence, proof, .. } in erring {
            line(&mut text, sentence, proof);
        }
        harmless_lines(text.trim_end())
    }

    fn line(text: &mut String, sentence: &str, proof: &Proof) {
        match proof {
            Proof::Holds => text.push_str(&format!("proved      {sentence}\n")),
            Proof::Undecided(reason) => {
                text.push_str(&format!("NOT DECIDED {sentence}: {reason}\n"));
            }
            Proof::Fails(example) => {
                text.push_str(&format!("NOT SO      {sentence}\n{example}"));
            }
        }
    }

    fn changes_text(changes: &[Change]) -> String {
        let mut text = String::new();
        for Change { action, widened, narrowed } in changes {
            for (word, proof) in [("widened", widened), ("narrowed", narrowed)] {
                match proof {
                    Proof::Holds => {}
                    Proof::Undecided(reason) => {
                        text.push_str(&format!(
                            "NOT DECIDED whether {action} is {word}: {reason}\n"
                        ));
                    }
                    Proof::Fails(example) => text.push_str(&format!("{word}, {example}")),
                }
            }
        }
        if text.is_empty() {
            return "both bundles allow the same, for every record and partner".to_owned();
        }
        let same = changes
            .iter()
            .filter(|change| change.widened == Proof::Holds && change.narrowed == Proof::Holds)
            .map(|change| change.action)
            .collect::<Vec<_>>();
        if !same.is_empty() {
            text.push_str(&format!("the same for {}\n", same.join(", ")));
        }
        harmless_lines(text.trim_end())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn example() -> Proof {
            Proof::Fails(Box::new(Counterexample {
                action: "share",
                record: vec!["indicator".into(), "TLP:GREEN".into(), "confidence 69".into()],
                partner: vec!["\"A\"".into(), "vendor".into()],
                now: "2026-11-22T10:00:00Z".into(),
                deciding: vec!["agency/vendor \"Vendors\" 10.cedar:3".into()],
                faults: vec![],
            }))
        }

        #[test]
        fn a_change_is_told_by_an_example_and_what_stays_is_named() {
            let same = |action| Change { action, widened: Proof::Holds, narrowed: Proof::Holds };
            let widened = Change { widened: example(), ..same("share") };
            assert_eq!(
                changes_text(&[widened, same("forward")]),
                "widened, for instance share at 2026-11-22T10:00:00Z:\n  \
                 record   indicator, TLP:GREEN, confidence 69\n  \
                 partner  \"A\", vendor\n  \
                 by       agency/vendor \"Vendors\" 10.cedar:3\n\
                 the same for forward"
            );
            assert!(changes_text(&[same("share")]).starts_with("both bundles allow the same"));
        }

        #[test]
        fn what_is_not_proved_stands_out() {
            let of = |id: &str, proof| Proved { id: id.into(), sentence: format!("{id}."), proof };
            let text = proved_text(&[
                of("claim/red", Proof::Holds),
                of("claim/amber", Proof::Undecided("the solver gave up".into())),
                of("agency/a", Proof::Holds),
            ]);
            assert_eq!(
                text,
                "proved      claim/red.\n\
                 NOT DECIDED claim/amber.: the solver gave up\n\
                 proved      Each of the 1 policies can always be evaluated"
            );
        }
    }
}
