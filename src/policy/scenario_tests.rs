//! Every guardrail by given and expected, in the form in which agencies write their own examples.

use super::bundle::Bundle;
use super::examples::run;
use super::finding::Report;
use super::vocabulary::Vocabulary;
use std::collections::BTreeSet;
use std::sync::Arc;

macro_rules! scenarios {
    ($($name:literal),*) => {
        [$((concat!($name, ".test.toml"), include_str!(concat!("scenarios/", $name, ".test.toml")))),*]
    };
}

const SCENARIOS: [(&str, &str); 5] =
    scenarios!("tlp", "release-lists", "onward", "personal-data", "standing");
const EVERYTHING: &str = include_str!("scenarios/everything.cedar");

#[test]
#[allow(clippy::print_stdout)]
fn every_scenario_of_the_guardrails_comes_out_as_expected() {
    let files = [("everything.cedar".to_owned(), EVERYTHING.to_owned())];
    let bundle = Bundle::load(files, &Vocabulary::default())
        .unwrap_or_else(|found| panic!("{}", Report(&found)));
    let report = run(SCENARIOS, &Arc::new(bundle));
    assert!(report.holds(), "\n{report}");
    assert!(report.unexercised.is_empty(), "\n{report}");
    assert!(report.passed >= 40, "{}", report.passed);
    println!("{} scenarios of the guardrails", report.passed);
}

/// Checks that each guardrail is the only reason of some denial, and that every file shows its
/// limit.
#[test]
fn every_guardrail_denies_alone_in_some_scenario_and_leaves_its_neighbour_alone() {
    let whole: String = SCENARIOS.iter().map(|(_, text)| *text).collect();
    let guards: BTreeSet<_> = super::texts::GUARDRAILS
        .split("@id(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(guards.len(), 14);
    // It denies no record but the fields of one class.
    let of_class = "guard/victim";
    assert!(guards.contains(of_class) && whole.contains("hidden = [\"victim\"]"));
    for guard in guards.into_iter().filter(|guard| *guard != of_class) {
        let alone = whole.contains(&format!("because = [\"{guard}\"]"));
        assert!(alone, "{guard} is never the only reason");
    }
    for (name, text) in SCENARIOS {
        assert!(text.contains("because = [\"open/everything\"]"), "{name} allows nothing");
    }
}
