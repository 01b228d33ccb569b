//! The fast selection equals Cedar.

use super::*;
use crate::policy::attributes::OF_RECORD;
use crate::policy::decide::tests::decide_both_ways;
use crate::policy::facts::circles_of;
use crate::testkit::policy::{
    OWN, agency, any_partner, any_record, compiled, hour, load, partner, record, sample,
};
use proptest::prelude::*;

#[track_caller]
fn check(compiled: &Compiled, partner: &PartnerFacts, records: &[RecordFacts]) {
    let mut selector = Selector::new(compiled, partner, &hour(0));
    assert!(selector.is_replayed());
    assert!(compiled.for_partner(partner).is_in_parts());
    for record in records {
        let decision = decide_both_ways(compiled, partner, record);
        let expected = Selected {
            released: decision.release.allowed,
            revealed: decision.revealed,
            erred: decision.erred(),
        };
        // Twice: once asked of Cedar, once remembered.
        for _ in 0..2 {
            assert_eq!(selector.select(record), expected, "{record:?}\n{decision:?}");
            let release = &decision.release;
            let forbid = release.deciding.first().filter(|_| !release.allowed);
            if release.faults.is_empty() {
                assert_eq!(selector.denied_by(), forbid.map(String::as_str), "{decision:?}");
            }
        }
    }
}

/// Conditions that are sound by themselves.
const ATOMS: &[&str] = &[
    "resource.tlp == Liaison::Tlp::\"GREEN\"",
    "[Liaison::Tlp::\"CLEAR\", Liaison::Tlp::\"AMBER\"].contains(resource.tlp)",
    "resource.confidence >= 50",
    "resource.labels.contains(\"takedown\")",
    "resource.labels.containsAny([\"phishing\", \"日\", \"\\\"\", \"\"])",
    "resource.labels.isEmpty()",
    "resource has expires",
    "(resource has expires && resource.expires > context.now)",
    "(if resource has operation then principal.operations.contains(resource.operation) else false)",
    "(resource has releasable_to && resource.releasable_to.contains(principal))",
    "(resource has circles && principal in resource.circles)",
    "(resource has circles && resource.members.contains(principal))",
    "resource.jurisdictions.contains(principal.country)",
    "resource.originator == principal",
    "resource.originator == Liaison::Partner::\"fbi.example\"",
    "resource.personal_data",
    "resource.orcon",
    "resource.created > datetime(\"2026-11-01\")",
    "principal.client",
    "principal in Liaison::Circle::\"ransomware\"",
    "context.now < datetime(\"2026-12-01\")",
    "[Liaison::Action::\"share\", Liaison::Action::\"reveal:notes\"].contains(action)",
    "(if principal.client then resource.no_notify else resource.no_evidence)",
    "(principal.hasTag(\"labels\") && principal.getTag(\"labels\").contains(\"a\"))",
    "resource.kind != Liaison::Kind::\"subject\"",
    "resource.pap == Liaison::Pap::\"CLEAR\"",
];

/// Conditions that only a permit may have, because they may err.
const CALCULATIONS: &[&str] = &[
    "resource.confidence * 100000000000000000 > 5",
    "context.now.durationSince(resource.created) <= duration(\"30d\")",
    "(principal.client || resource.confidence * 1000000000000000000 > 5)",
];

fn condition(atoms: Vec<&'static str>) -> BoxedStrategy<String> {
    let atom = prop::sample::select(atoms).prop_map(str::to_owned);
    atom.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
    .boxed()
}

fn any_policy() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        "principal",
        "principal is Liaison::Partner",
        "principal in Liaison::Circle::\"fraud\"",
        "principal == Liaison::Partner::\"cert.example\"",
    ]);
    let action = prop::sample::select(vec![
        "action",
        "action in Liaison::Action::\"release\"",
        "action in Liaison::Action::\"reveal\"",
        "action == Liaison::Action::\"share\"",
        "action in [Liaison::Action::\"forward\", Liaison::Action::\"reveal:victim\"]",
    ]);
    let body = prop_oneof![
        3 => condition(ATOMS.to_vec()).prop_map(|c| ("permit", c)),
        1 => condition([ATOMS, CALCULATIONS].concat()).prop_map(|c| ("permit", c)),
        1 => condition(ATOMS.to_vec()).prop_map(|c| ("forbid", c)),
    ];
    let unless = prop::option::weighted(0.3, condition(ATOMS.to_vec()));
    (principal, action, body, unless).prop_map(|(principal, action, (effect, when), unless)| {
        let unless = unless.map_or_else(String::new, |unless| format!("unless {{ {unless} }}"));
        format!("{effect} ({principal}, {action}, resource) when {{ {when} }} {unless};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_replay_of_random_policies_is_the_decision(
        policies in prop::collection::vec(any_policy(), 1..5),
        partner in any_partner(),
        records in prop::collection::vec(any_record(), 24),
    ) {
        let head = "@title(\"t\") @agreement(\"a\") @owner(\"o\")";
        let text: String = policies
            .iter()
            .enumerate()
            .map(|(n, policy)| format!("@id(\"p{n}\") {head} {policy}\n"))
            .collect();
        // What Cedar proves can never apply does not load, and is not of interest here.
        let Ok(bundle) = load(&text) else { return Err(TestCaseError::reject("impossible")) };
        let compiled = Compiled::new(Arc::new(bundle), agency(OWN), [partner.clone()]);
        check(&compiled, &partner, &records);
    }

    #[test]
    fn the_replay_of_the_sample_is_the_decision(
        partner in any_partner(),
        records in prop::collection::vec(any_record(), 40),
    ) {
        check(&sample([partner.clone()]), &partner, &records);
    }
}

#[test]
fn a_value_that_was_met_is_not_evaluated_again() {
    let mut selector = Selector::new(&sample([]), &partner(), &hour(0));
    selector.select(&record());
    let asked = selector.evaluations();
    for confidence in [80, 80, 80] {
        selector.select(&RecordFacts { confidence, ..record() });
    }
    assert_eq!(selector.evaluations(), asked);
    selector.select(&RecordFacts { confidence: 81, ..record() });
    assert!((asked + 1..=asked + 2).contains(&selector.evaluations()));
}

#[test]
fn what_is_remembered_is_forgotten_past_its_bound_and_not_before() {
    let mut selector = Selector::new(&sample([]), &partner(), &hour(0));
    let records: Vec<_> = (0..40).map(|n| RecordFacts { confidence: n, ..record() }).collect();
    selector.select(&records[0]);
    let (answers, remembered) = (selector.evaluations(), selector.groups.len());
    // Up to the bound everything stays; one more value, and at the next record all go.
    selector.groups.values_max = remembered;
    selector.select(&records[1]);
    assert!(selector.evaluations() > answers && selector.groups.len() > remembered);
    selector.select(&records[2]);
    assert_eq!((selector.evaluations(), selector.groups.len()), (answers, remembered));
    for record in &records {
        let decision = sample([]).decide(&partner(), record, &hour(0));
        assert_eq!(selector.select(record).released, decision.release.allowed);
        assert!(selector.groups.len() <= 2 * remembered);
    }
}

#[test]
fn answers_and_numbers_both_count_as_remembered() {
    let mut selector = Selector::new(&sample([]), &partner(), &hour(0));
    for confidence in 0..5 {
        selector.select(&RecordFacts { confidence, ..record() });
    }
    let groups = &selector.groups;
    let answers: usize = groups.groups.iter().map(|group| group.known.len()).sum();
    assert!(answers > 5 && groups.codes.len() > 0, "{answers}, {}", groups.codes.len());
    assert_eq!(groups.len(), answers + groups.codes.len());
}

#[test]
fn every_value_that_is_numbered_counts_as_remembered() {
    let mut codes = Codes::default();
    let record = RecordFacts {
        labels: vec!["a".to_owned()],
        circles: Some(circles_of(&agency(OWN), &["b".to_owned()])),
        members: vec![agency("cert.example")],
        jurisdictions: vec!["FR".to_owned()],
        releasable_to: Some(vec![]),
        operation: Some("c".to_owned()),
        ..record()
    };
    for _ in 0..2 {
        for attribute in &OF_RECORD {
            codes.code((attribute.value)(&record));
        }
        // The originator, two lists of texts, two of agencies, one of circles, and the operation.
        assert_eq!(codes.len(), 7);
    }
}

/// A rule that can never apply to the partner costs nothing for each of a million records.
#[test]
fn rules_that_can_not_apply_to_the_partner_fall_away_at_once() {
    let rules = |partner: &PartnerFacts| Selector::new(&sample([]), partner, &hour(0)).rules();
    let police =
        PartnerFacts { sector: crate::policy::Sector::Police, circles: vec![], ..partner() };
    // Share: named-release and no-drafts, with four guardrails that can speak. Forward: the same
    // and eight more. Victim and reporter: police-reveal; links; each with no-drafts and guardrails,
    // victim with one more.
    assert_eq!(rules(&police), [6, 14, 7, 6, 6]);
    // A CERT has cert-operations, and the circle's pilot for what we share.
    assert_eq!(rules(&partner()), [8, 15, 6, 5, 6]);
    let suspended = PartnerFacts { suspended: true, ..partner() };
    assert_eq!(rules(&suspended)[0], 9);
}

/// Atoms are as small as can be, so that few values of each are met.
#[test]
fn a_condition_is_taken_apart_at_every_connective() {
    let text = "permit (principal, action, resource) when { !(resource.orcon && (resource.caveat || \
                (if resource.foreign then resource.no_notify else resource.no_evidence))) } unless \
                { resource.personal_data };";
    let body = text.parse::<cedar_policy::Policy>().unwrap().to_pst().unwrap().body().clone();
    let mut drafts = Vec::new();
    draft_clauses(body.clauses(), Action::Share, &mut drafts);
    let sizes: Vec<_> =
        drafts.iter().map(|draft| (draft.atoms.len(), draft.reads.fields().len())).collect();
    assert_eq!(sizes, [(1, 1); 6]);
    // The same atom again is not another one, and what reads the same facts stands together.
    draft_clauses(body.clauses(), Action::Forward, &mut drafts);
    assert_eq!(drafts.iter().map(|draft| draft.atoms.len()).sum::<usize>(), 6);
}

#[test]
fn without_a_permit_nothing_is_selected() {
    check(&compiled(""), &partner(), &[record()]);
}

#[test]
fn a_partner_without_an_entity_selects_nothing_and_says_so() {
    let values = (0..=crate::policy::TAG_VALUES_MAX).map(|n| n.to_string()).collect();
    let partner = PartnerFacts { tags: [("t".to_owned(), values)].into(), ..partner() };
    let mut selector = Selector::new(&sample([]), &partner, &hour(0));
    assert_eq!(selector.select(&record()), Selected::ERRED);
}

#[test]
fn lists_that_mean_different_things_have_different_numbers() {
    let mut codes = Codes::default();
    let mut code = |list: Option<&[&str]>| {
        let names = |list: &[&str]| list.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let circles = list.map(|list| circles_of(&agency(OWN), &names(list)));
        codes.code(circles.as_deref().map(Value::Circles))
    };
    let lists: [Option<&[&str]>; 5] =
        [None, Some(&[]), Some(&["a"]), Some(&["a", "b"]), Some(&["ab"])];
    let numbers: std::collections::BTreeSet<_> = lists.into_iter().map(&mut code).collect();
    assert_eq!(numbers.len(), lists.len());
}
