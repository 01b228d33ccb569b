//! The guardrails are proved, and that a proof could fail is shown by leaving each of them out.

use super::*;
use crate::policy::TEMPLATES;
use crate::testkit::policy::{SAMPLE, load};
use cedar_policy_symcc::solver::LocalSolver;
use std::collections::BTreeSet;
use std::path::Path;
use tokio::process::Command;

/// Allows whatever the guardrails do not forbid.
const EVERYTHING: &str = r#"
@id("agency/everything") @title("Everything to everybody") @agreement("none") @owner("nobody")
permit (principal is Liaison::Partner, action, resource is Liaison::Record)
when { resource.confidence >= 0 };"#;

/// The claims that need each guardrail.
const NEEDED: [(&str, &[&str]); 14] = [
    ("guard/tlp-red", &["claim/red"]),
    ("guard/tlp-strict-onward", &["claim/strict"]),
    ("guard/tlp-amber-onward", &["claim/amber"]),
    ("guard/tlp-green-onward", &["claim/green"]),
    ("guard/originator-control", &["claim/originator-control"]),
    ("guard/caveat-onward", &["claim/caveat"]),
    ("guard/foreign-onward", &["claim/foreign"]),
    ("guard/no-attribution-onward", &["claim/no-attribution"]),
    ("guard/no-notify-onward", &["claim/no-notify"]),
    ("guard/releasable-to", &["claim/circles", "claim/nobody", "claim/release-list"]),
    ("guard/jurisdiction", &["claim/jurisdiction"]),
    ("guard/victim", &["claim/victim"]),
    ("guard/expired", &["claim/expired"]),
    ("guard/partner-standing", &["claim/agreement", "claim/suspended"]),
];

fn prover() -> Prover<LocalSolver> {
    let mut command = Command::new("cvc5");
    command.args(["--lang", "smt", "--tlimit-per=60000"]).kill_on_drop(true);
    let solver = LocalSolver::from_command(&mut command);
    Prover::new(solver.expect("these tests need the solver cvc5: apt install cvc5")).unwrap()
}

fn not_proved(proved: &[Proved]) -> Vec<&str> {
    proved.iter().filter(|proved| !proved.holds()).map(|proved| proved.id.as_str()).collect()
}

#[tokio::test]
async fn the_guardrails_hold_whatever_a_policy_permits() {
    let bundle = load(EVERYTHING).unwrap();
    let proved = prover().prove(&bundle).await.unwrap();
    assert_eq!(not_proved(&proved), [] as [&str; 0], "{proved:#?}");
    let claims = proved.iter().filter(|proved| proved.id.starts_with("claim/"));
    assert_eq!(claims.count(), 17);
    assert_eq!(proved.len() - 17, bundle.statements().len());
}

#[tokio::test]
async fn without_a_guardrail_its_claims_fail_and_no_other() {
    let bundle = load(EVERYTHING).unwrap();
    let ids: Vec<_> = bundle.statements().iter().map(|s| s.id.to_string()).collect();
    let guards: Vec<_> = ids.iter().filter(|id| id.starts_with("guard/")).collect();
    assert_eq!(guards, NEEDED.map(|(id, _)| id), "a new guardrail needs a claim");
    let mut prover = prover();
    let claims = prover.claims.clone();
    for (guard, needed) in NEEDED {
        let rest: Vec<_> =
            bundle.statements().iter().filter(|s| &*s.id != guard).cloned().collect();
        let mut failed = BTreeSet::new();
        let allowed = prover.allowed_each(&rest).unwrap();
        for claim in &claims {
            let id = claim.policy.annotation("id").unwrap().to_owned();
            match prover.claim(&rest, &allowed, claim).await.unwrap() {
                Proof::Holds => {}
                Proof::Fails(example) => {
                    assert_eq!(example.deciding.len(), 1, "{example}");
                    failed.insert(id);
                }
                Proof::Undecided(reason) => panic!("{id}: {reason}"),
            }
        }
        assert_eq!(failed.iter().map(String::as_str).collect::<Vec<_>>(), needed, "{guard}");
    }
}

#[tokio::test]
async fn the_sample_the_demonstration_and_every_template_are_proved() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/policies");
    let mut bundles = vec![("the sample".to_owned(), load(SAMPLE).unwrap())];
    let below = |dir: &Path| -> Vec<_> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    for dir in below(&demo).into_iter().filter(|path| path.is_dir()) {
        let files = below(&dir).into_iter().filter(|path| path.extension().unwrap() == "cedar");
        let files = files.map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        });
        let bundle = Bundle::load(files, &Default::default()).unwrap();
        bundles.push((dir.display().to_string(), bundle));
    }
    for template in TEMPLATES {
        let draft = template.draft(&"jc3.or.jp".parse().unwrap(), "2027-06-30".parse().unwrap());
        let bundle = Bundle::load(draft, &Default::default()).unwrap();
        bundles.push((format!("the template {}", template.name), bundle));
    }
    assert!(bundles.len() > 10);
    let mut prover = prover();
    for (name, bundle) in bundles {
        let proved = prover.prove(&bundle).await.unwrap();
        assert_eq!(not_proved(&proved), [] as [&str; 0], "{name}: {proved:#?}");
    }
}

#[tokio::test]
async fn a_lower_bound_widens_sharing_alone_and_the_example_lies_between() {
    let old = load(SAMPLE).unwrap();
    let new =
        load(&SAMPLE.replace("resource.confidence >= 70", "resource.confidence >= 50")).unwrap();
    let mut prover = prover();
    let changes = prover.compare(&new, &old).await.unwrap();
    for change in &changes {
        assert_eq!(change.narrowed, Proof::Holds, "{change:?}");
        if change.action != "share" {
            assert_eq!(change.widened, Proof::Holds, "{change:?}");
            continue;
        }
        let Proof::Fails(example) = &change.widened else { panic!("{change:?}") };
        assert!(example.now.starts_with("20"), "{example}");
        let confidence = example.record.iter().find_map(|word| word.strip_prefix("confidence "));
        let confidence: u8 = confidence.unwrap().parse().unwrap();
        assert!((50..70).contains(&confidence), "{example}");
        assert!(example.deciding[0].starts_with("agency/vendor-takedown \""), "{example}");
        assert!(example.record.iter().any(|word| word == "labels takedown"), "{example}");
        assert!(example.partner.iter().any(|word| word == "vendor"), "{example}");
    }
    assert_eq!(changes.len(), 9);
    let back = prover.compare(&old, &new).await.unwrap();
    let narrowed = |change: &&Change| change.narrowed != Proof::Holds;
    assert_eq!(back.iter().filter(narrowed).map(|c| c.action).collect::<Vec<_>>(), ["share"]);
}

#[tokio::test]
async fn a_policy_that_may_err_is_found_with_the_error() {
    let bundle = load(
        r#"@id("agency/far") @title("Overflows") @agreement("none") @owner("nobody")
        permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource)
        when { resource.confidence * 1000000000000000000 > 5 };"#,
    )
    .unwrap();
    let proved = prover().prove(&bundle).await.unwrap();
    assert_eq!(not_proved(&proved), ["agency/far"]);
    let found = proved.iter().find(|proved| proved.id == "agency/far").unwrap();
    let Proof::Fails(example) = &found.proof else { panic!("{found:?}") };
    assert!(example.faults[0].starts_with("agency/far: "), "{example}");
}
