//! The verdict from parts is Cedar's verdict on the whole, and a shared part is asked once.

use super::*;
use crate::policy::bundle::Bundle;
use crate::policy::decide::Compiled;
use crate::policy::decide::tests::decide_both_ways;
use crate::policy::facts::{PartnerFacts, RecordFacts};
use crate::record::kind::SlotClass;
use crate::testkit::policy::{
    OWN, agency, any_partner, any_record, foreign_record, hour, partner, record, sample,
};
use proptest::prelude::*;

const HEAD: &str = r#"@title("t") @agreement("a") @owner("o")"#;

/// Policies that no check was made of, p0, p1, ...
fn forced(policies: &[&str]) -> Compiled {
    let numbered = policies.iter().enumerate();
    let text: String = numbered.map(|(n, text)| format!("@id(\"p{n}\") {HEAD} {text}\n")).collect();
    Compiled::new(Arc::new(Bundle::unchecked(&text)), agency(OWN), [])
}

fn permit(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};")
}

/// Rules and parts about share for the partner of these tests; guardrails are left out.
fn drafted(policies: &[&str]) -> (Vec<Rule>, Questions) {
    let compiled = forced(policies);
    let uid = cedar::partner_uid(&partner().agency);
    let store = cedar::partner_store(&agency(OWN), &partner(), Action::ALL).unwrap();
    let mut drafting = Drafting::new(&uid, &store);
    let own: Vec<_> =
        compiled.bundle().statements().iter().filter(|s| !s.is_guardrail()).cloned().collect();
    let rules = drafting.rules(&own, Action::Share).unwrap();
    (rules, drafting.finish())
}

#[test]
fn a_part_that_many_policies_share_is_asked_once() {
    let both = permit("resource.orcon && resource.caveat");
    let either = permit("resource.caveat && resource.orcon && resource.confidence > 7");
    let (rules, questions) = drafted(&[&both, &either]);
    assert_eq!(questions.numbered.len(), 3);
    assert_eq!([&rules[0].parts[..], &rules[1].parts[..]], [&[0, 1][..], &[1, 0, 2][..]]);
    let store = cedar::partner_store(&agency(OWN), &partner(), Action::ALL).unwrap();
    let store = cedar::with_record(&store, &record()).unwrap();
    let mut asking = Asking::new(&questions, &store);
    let request =
        cedar::request(&cedar::partner_uid(&partner().agency), Action::Share, &hour(0)).unwrap();
    assert_eq!(asking.ask(&rules, &request), Some(Verdict::default()));
    // Each policy fails at its first part, and the rest was never asked.
    assert_eq!(asking.answers, [Some(false), Some(false), None]);
}

#[test]
fn what_the_partner_alone_decides_is_asked_when_it_is_made_ready() {
    let (rules, questions) = drafted(&[
        &permit("principal.sector == Liaison::Sector::\"police\" && resource.orcon"),
        &permit("principal.sector == Liaison::Sector::\"cert\" && resource.orcon"),
        &permit("resource.orcon && principal.client"),
        "permit (principal in Liaison::Circle::\"ransomware\", action, resource);",
        "permit (principal in Liaison::Circle::\"fraud\", action, resource);",
    ]);
    let told: Vec<_> = rules.iter().map(|rule| (&*rule.id, rule.parts.len(), rule.never)).collect();
    // What stands before a part that never holds may still err.
    assert_eq!(told, [("p1", 1, false), ("p2", 1, true), ("p4", 0, false)]);
    assert_eq!(questions.numbered.len(), 1);
}

#[test]
fn an_answer_about_one_action_is_none_about_another() {
    let share = "action == Liaison::Action::\"share\"";
    let compiled = forced(&[
        &permit(&format!("{share} || resource.orcon")),
        &permit(&format!("!({share}) && resource.confidence > 70")),
    ]);
    let decision = decide_both_ways(&compiled, &partner(), &record());
    assert_eq!(decision.release.deciding, ["p0"]);
    let notes = decision.classes.iter().find(|(class, _)| *class == SlotClass::Notes);
    assert_eq!(notes.unwrap().1.deciding, ["p1"]);
    let forwarded = decide_both_ways(&compiled, &partner(), &foreign_record());
    assert_eq!(forwarded.release.deciding, ["p1"]);
}

#[test]
fn every_form_of_head_is_asked_as_cedar_asks_it() {
    let principals = [
        "principal",
        "principal is Liaison::Partner",
        "principal is Liaison::Circle",
        "principal == Liaison::Partner::\"cert.example\"",
        "principal == Liaison::Circle::\"cert.example\"",
        "principal in Liaison::Circle::\"fraud\"",
        "principal in Liaison::Partner::\"cert.example\"",
        "principal is Liaison::Partner in Liaison::Circle::\"fraud\"",
        "principal is Liaison::Circle in Liaison::Circle::\"fraud\"",
    ];
    let resources = [
        "resource",
        "resource is Liaison::Record",
        "resource is Liaison::Partner",
        "resource == Liaison::Record::\"record\"",
        "resource == Liaison::Record::\"another\"",
        "resource in Liaison::Record::\"record\"",
        "resource is Liaison::Record in Liaison::Record::\"record\"",
        "resource is Liaison::Record in Liaison::Record::\"another\"",
    ];
    let actions = [
        "action",
        "action == Liaison::Action::\"share\"",
        "action in Liaison::Action::\"release\"",
        "action in [Liaison::Action::\"reveal\", Liaison::Action::\"forward\"]",
        "action in []",
    ];
    for action in actions {
        let heads = principals.iter().flat_map(|p| resources.iter().map(move |r| (p, r)));
        let policies: Vec<_> =
            heads.map(|(p, r)| format!("permit ({p}, {action}, {r});")).collect();
        let compiled = forced(&policies.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(compiled.for_partner(&partner()).is_in_parts());
        for record in [record(), foreign_record()] {
            decide_both_ways(&compiled, &partner(), &record);
        }
    }
}

/// Found false where there is no record yet, it must be asked again where there is one.
#[test]
fn what_names_the_record_by_its_id_depends_on_the_record() {
    let by_name = permit("Liaison::Record::\"record\" has operation");
    let compiled = forced(&[&by_name]);
    assert!(!decide_both_ways(&compiled, &partner(), &record()).release.allowed);
    let of_operation = RecordFacts { operation: Some("chakra".to_owned()), ..record() };
    assert!(decide_both_ways(&compiled, &partner(), &of_operation).release.allowed);
}

#[test]
fn what_is_no_answer_is_asked_plainly_and_denies() {
    for condition in ["resource.confidence", "resource.operation == resource.operation", "\"a\""] {
        let compiled = forced(&[&permit("resource.confidence > 7"), &permit(condition)]);
        let decision = decide_both_ways(&compiled, &partner(), &record());
        assert!(!decision.release.allowed, "{condition}");
        assert_eq!(decision.release.faults[0].policy, "p1", "{condition}");
    }
}

#[test]
fn a_part_before_one_that_never_holds_may_err() {
    let errs = permit("resource.confidence * 1000000000000000000 > 5 && principal.client");
    let compiled = forced(&[&permit("resource.confidence > 7"), &errs]);
    let decision = decide_both_ways(&compiled, &partner(), &record());
    assert!(!decision.release.allowed && decision.erred());
    let small = RecordFacts { confidence: 8, ..record() };
    assert!(decide_both_ways(&compiled, &partner(), &small).release.allowed);
}

/// An expression that Cedar would read differently than it is must not be asked.
#[test]
fn what_is_not_read_back_as_it_was_is_no_part() {
    let ready = |texts: &[&str]| {
        let orcon = Expr::GetAttr { expr: Expr::Var(Var::Resource).into(), attr: "orcon".into() };
        let orcon = Arc::new(orcon);
        let mut parts = Parts::default();
        let taken: Vec<_> = texts.iter().map(|text| ((*text).to_owned(), orcon.clone())).collect();
        parts.make_ready(taken.iter());
        texts.iter().map(|text| parts.0[*text].is_some()).collect::<Vec<_>>()
    };
    let others =
        ["resource.caveat", "!resource.orcon", "resource.", "true] == [] }; permit (principal", ""];
    for other in [&others[..], &["resource.orcon, resource.orcon"]].concat() {
        assert_eq!(ready(&[other]), [false], "{other}");
        assert_eq!(ready(&["resource.orcon", other]), [true, false], "{other}");
    }
    assert_eq!(
        ready(&["resource.caveat", "resource.orcon", "(resource.orcon)"]),
        [false, true, true]
    );
}

#[test]
fn texts_of_any_letters_are_parts() {
    for label in ["日本", "a\\\"b", "\\\\", "\\n", "\\u{301}", "*", "", "\\0", "'"] {
        let condition = format!("resource.labels.contains(\"{label}\")");
        let like = format!("\"{label}\" like \"{label}*\\*\" || resource.orcon");
        let compiled = forced(&[&permit(&condition), &permit(&like)]);
        assert!(compiled.for_partner(&partner()).is_in_parts(), "{label}");
        decide_both_ways(&compiled, &partner(), &record());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_sample_is_decided_as_cedar_decides_it(
        partner in any_partner(),
        records in prop::collection::vec(any_record(), 8),
    ) {
        let compiled = sample([partner.clone()]);
        prop_assert!(compiled.for_partner(&partner).is_in_parts());
        for record in records {
            decide_both_ways(&compiled, &partner, &record);
            let suspended = PartnerFacts { suspended: true, ..partner.clone() };
            decide_both_ways(&compiled, &suspended, &record);
        }
    }
}
