//! Bundles: what loads, what is refused, and where the finding points.

use super::*;
use crate::policy::Report;
use crate::testkit::policy::{SAMPLE, files, load, time};
use proptest::prelude::*;
use std::collections::BTreeSet;

const HEAD: &str = r#"@id("x") @title("t") @agreement("a") @owner("o")"#;

/// Returns the findings of loading a policy with this text after its annotations.
fn findings(policy: &str) -> String {
    findings_of(&format!("{HEAD}\n{policy}"))
}

fn findings_of(text: &str) -> String {
    match load(text) {
        Ok(_) => "nothing".to_owned(),
        Err(found) => Report(&found).to_string(),
    }
}

fn permit_when(condition: &str) -> String {
    findings(&format!("permit (principal, action, resource) when {{ {condition} }};"))
}

fn forbid_when(condition: &str) -> String {
    findings(&format!("forbid (principal, action, resource) when {{ {condition} }};"))
}

#[track_caller]
fn check(said: String, expected: &str) {
    assert!(said.contains(expected), "{said}");
}

#[test]
fn the_sample_loads_without_a_finding() {
    let bundle = load(SAMPLE).unwrap_or_else(|found| panic!("{}", Report(&found)));
    assert_eq!(bundle.statements().len(), 14 + 8);
    let first = &bundle.statements()[14];
    assert_eq!((&*first.id, &*first.file, first.line), ("agency/vendor-takedown", "0.cedar", 3));
    assert_eq!(first.agreement.as_deref(), Some("MoU vendors 2026, art. 4"));
}

#[test]
fn a_bundle_without_files_loads() {
    let bundle = Bundle::load([], &Vocabulary::default()).unwrap();
    assert!(bundle.statements().iter().all(Statement::is_guardrail));
}

#[test]
fn reviews_are_due_from_their_day() {
    let bundle = load(SAMPLE).unwrap();
    assert_eq!(bundle.reviews_due(time("2027-06-29")).count(), 0);
    assert_eq!(bundle.reviews_due(time("2027-06-30")).count(), 1);
}

#[test]
fn a_misspelt_colour_is_found_where_it_stands() {
    let text = permit_when("resource.tlp == Liaison::Tlp::\"AMBR\"");
    check(text.clone(), "0.cedar:2:");
    check(text, "AMBR");
}

#[test]
fn an_attribute_that_may_be_absent_must_be_asked_for_first() {
    check(forbid_when("resource.expires < context.now"), "0.cedar:2:45: ");
    check(forbid_when("resource.expires < context.now"), "expires");
    check(forbid_when("resource has expires && resource.expires < context.now"), "nothing");
}

#[test]
fn an_attribute_that_is_not_there_is_found() {
    check(permit_when("resource.colour == 1"), "colour");
}

#[test]
fn the_facts_of_the_originator_are_out_of_reach() {
    check(permit_when("resource.originator.country == \"FR\""), "0.cedar:2:");
    check(permit_when("resource.originator == Liaison::Partner::\"a.b\""), "nothing");
}

#[test]
fn a_forbid_does_not_calculate() {
    for (condition, sign) in [
        ("resource.confidence + 1 > 5", "+"),
        ("resource.confidence - 1 > 5", "-"),
        ("resource.confidence * 2 > 5", "*"),
        ("-(resource.confidence) > 5", "-"),
        ("context.now.offset(duration(\"1h\")) > resource.created", "offset"),
        ("context.now.durationSince(resource.created) > duration(\"1h\")", "durationSince"),
        ("!(principal.client || resource.confidence + 1 > 5)", "+"),
    ] {
        check(forbid_when(condition), &format!("is a forbid and calculates with `{sign}`"));
        check(permit_when(condition), "nothing");
    }
    check(forbid_when("resource.confidence + 1 > 5"), "0.cedar:2:65: ");
}

#[test]
fn a_policy_that_can_never_apply_is_a_finding() {
    check(permit_when("resource has confidence && false"), "0.cedar:");
    check(permit_when("resource is Liaison::Partner"), "0.cedar:");
}

#[test]
fn a_permit_for_everything_is_a_finding() {
    for policy in [
        "permit (principal, action, resource);",
        "permit (principal is Liaison::Partner, action == Liaison::Action::\"share\", resource);",
        "permit (principal, action, resource) when { true };",
    ] {
        check(findings(policy), "permits every record to every partner");
    }
    check(findings("permit (principal in Liaison::Circle::\"c\", action, resource);"), "nothing");
    check(findings("forbid (principal, action, resource);"), "nothing");
}

#[test]
fn annotations_are_required() {
    let rest = "permit (principal in Liaison::Circle::\"c\", action, resource);";
    check(findings_of(rest), "0.cedar:1:1: this policy has no @id");
    let bare = findings_of(&format!("@id(\"y\") {rest}"));
    for name in ["title", "agreement", "owner"] {
        check(bare.clone(), &format!("y has no @{name}"));
    }
    check(findings_of("@id(\"y\") @title(\"t\") forbid (principal, action, resource);"), "nothing");
    check(
        findings_of("@id(\"y z\") @title(\"t\") forbid (principal, action, resource);"),
        "one word",
    );
    check(
        findings_of("@id(\"y\") @title(\" \") forbid (principal, action, resource);"),
        "y has no @title",
    );
    check(
        findings_of(
            "@id(\"y\") @title(\"t\") @review(\"soon\") forbid (principal, action, resource);",
        ),
        "not a date",
    );
}

#[test]
fn an_id_is_used_once_over_all_files() {
    let policy = format!("{HEAD} forbid (principal, action, resource);");
    let found = Bundle::load(files(&[&policy, &format!("\n{policy}")]), &Vocabulary::default());
    let found = found.unwrap_err();
    assert_eq!((found[0].file.as_str(), found[0].line), ("1.cedar", 2));
    assert_eq!(found[0].help.as_deref(), Some("the other stands at 0.cedar:1"));
}

#[test]
fn a_guardrail_is_neither_replaced_nor_imitated() {
    for id in ["guard/tlp-red", "guard/mine"] {
        let text = format!("@id(\"{id}\") @title(\"t\") forbid (principal, action, resource);");
        check(findings_of(&text), "takes the name of a guardrail");
    }
}

#[test]
fn a_single_record_can_not_be_named() {
    check(permit_when("resource == Liaison::Record::\"record\""), "names a single record");
    let head = "forbid (principal, action, resource == Liaison::Record::\"r\");";
    check(findings(head), "names a single record in its head");
}

#[test]
fn the_api_of_the_node_is_no_part_of_sharing() {
    let rpc = "permit (principal, action == \
               Liaison::Action::\"liaison.v1.RecordService/GetRecord\", resource) when { true };";
    check(findings(rpc), "liaison.v1.RecordService/GetRecord");
    check(findings("permit (principal is Liaison::Client, action, resource);"), "Client");
}

#[test]
fn names_must_be_known_where_the_vocabulary_says_so() {
    let known = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
    let vocabulary = Vocabulary {
        partners: known(&["cert.example"]),
        circles: known(&["fraud"]),
        operations: known(&["chakra"]),
        labels: known(&["takedown", "phishing"]),
    };
    let findings = |condition: &str| {
        let text = format!("{HEAD}\nforbid (principal, action, resource) when {{ {condition} }};");
        match Bundle::load(files(&[&text]), &vocabulary) {
            Ok(_) => "nothing".to_owned(),
            Err(found) => Report(&found).to_string(),
        }
    };
    check(findings("principal == Liaison::Partner::\"cert.example\""), "nothing");
    check(
        findings("principal == Liaison::Partner::\"cert.exampel\""),
        "the partner \"cert.exampel\"",
    );
    check(
        findings("principal == Liaison::Partner::\"cert.exampel\""),
        "did you mean \"cert.example\"?",
    );
    check(
        findings("principal in Liaison::Circle::\"fruad\""),
        "0.cedar:2:75: x names the circle \"fruad\"",
    );
    check(
        findings("principal.operations.contains(Liaison::Operation::\"x\")"),
        "the operation \"x\"",
    );
    check(findings("resource.labels.contains(\"takedown\")"), "nothing");
    check(findings("resource.labels.contains(\"takedow\")"), "did you mean \"takedown\"?");
    check(
        findings("resource.labels.containsAny([\"phishing\", \"fishing\"])"),
        "the label \"fishing\"",
    );
    check(findings("principal.country == \"XX\""), "nothing");
}

#[test]
fn a_name_is_found_where_it_stands_in_its_file() {
    let vocabulary =
        Vocabulary { circles: Some([].into()), labels: Some([].into()), ..Vocabulary::default() };
    let places = |text: &str| -> Vec<(u32, u32)> {
        let found = Bundle::load(files(&[text]), &vocabulary).unwrap_err();
        found.iter().map(|finding| (finding.line, finding.column)).collect()
    };
    let policy =
        "@id(\"x\") @title(\"t\") forbid (principal in Liaison::Circle::\"abc\", action, resource)";
    let at = |text: &str| u32::try_from(policy.find(text).unwrap()).unwrap();
    // On the first line of a policy that does not begin its line, and below.
    assert_eq!(places(&format!("\n\n  {policy};")), [(3, 2 + at("\"abc\"") + 1)]);
    let when = format!(
        "\n{policy}\nwhen {{ resource.labels.contains(\"éa\") &&\n  resource.labels.contains(\"b\") }};"
    );
    assert_eq!(places(&when), [(2, at("\"abc\"") + 1), (3, 33), (4, 28)]);
}

#[test]
fn too_much_is_refused() {
    let one =
        |n: usize| format!("@id(\"{n}\") @title(\"t\") forbid (principal, action, resource);");
    let many: String = (0..=POLICIES_MAX).map(one).collect();
    check(findings_of(&many), "at most 1000 policies");
    check(findings_of(&" ".repeat(BUNDLE_BYTES_MAX)), "at most 1048576 bytes");
    let names = (0..=FILES_MAX).map(|n| (format!("{n}.cedar"), String::new()));
    assert!(Bundle::load(names, &Vocabulary::default()).is_err());
    let twice = [("a".to_owned(), String::new()), ("a".to_owned(), String::new())];
    assert!(Bundle::load(twice, &Vocabulary::default()).is_err());
}

#[test]
fn a_file_of_examples_is_part_of_the_hash_and_no_policy() {
    let with = |name: &str, text: &str| {
        let policy = ("10.cedar".to_owned(), SAMPLE.to_owned());
        Bundle::load([policy, (name.to_owned(), text.to_owned())], &Vocabulary::default())
    };
    let one = with("10.test.toml", "[[case]]").unwrap();
    let other = with("10.test.toml", "[[case]]\n").unwrap();
    assert_eq!(one.statements().len(), load(SAMPLE).unwrap().statements().len());
    assert_ne!(one.hash(), other.hash());
    assert!(with("10.test.toml", &" ".repeat(BUNDLE_BYTES_MAX)).is_err());
    assert!(with("10.toml", "[[case]]").is_err());
}

#[test]
fn as_much_as_the_bounds_say_is_taken() {
    let name = "a.cedar";
    let full = [(name.to_owned(), " ".repeat(BUNDLE_BYTES_MAX - name.len()))];
    assert!(Bundle::load(full, &Vocabulary::default()).is_ok());
    let names = (0..FILES_MAX).map(|n| (format!("{n}.cedar"), String::new()));
    assert!(Bundle::load(names, &Vocabulary::default()).is_ok());
    let one =
        |n: usize| format!("@id(\"{n}\") @title(\"t\") forbid (principal, action, resource);");
    let many: String = (0..POLICIES_MAX).map(one).collect();
    check(findings_of(&many), "nothing");
    let id = |bytes: usize| {
        let id = "x".repeat(bytes);
        findings_of(&format!("@id(\"{id}\") @title(\"t\") forbid (principal, action, resource);"))
    };
    check(id(128), "nothing");
    check(id(129), "can't be shown in one word");
    check(id(0), "can't be shown in one word");
}

#[test]
fn every_file_is_checked_before_the_answer() {
    let found = Bundle::load(files(&["permit (", "forbid ("]), &Vocabulary::default()).unwrap_err();
    let named: BTreeSet<_> = found.iter().map(|finding| finding.file.as_str()).collect();
    assert_eq!(named, BTreeSet::from(["0.cedar", "1.cedar"]));
}

fn hash_of(files: &[(&str, &str)]) -> BundleHash {
    hash(&files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn the_hash_is_over_length_prefixed_files_in_the_order_of_their_names() {
    let mut bytes = b"liaison/bundle/v1\0".to_vec();
    for part in ["a", "one", "b", "two"] {
        bytes.extend((part.len() as u32).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    let expected = BundleHash::from_bytes(Sha256::digest(&bytes).into());
    assert_eq!(hash_of(&[("b", "two"), ("a", "one")]), expected);
    assert_ne!(hash_of(&[("a", "oneb"), ("", "two")]), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_hash_changes_with_any_byte(text in "[ -~]{1,40}", at: prop::sample::Index, to in "[ -~]") {
        let at = at.index(text.len());
        let mut other = text.clone();
        other.replace_range(at..=at, &to);
        prop_assert_eq!(hash_of(&[("f", &text)]) == hash_of(&[("f", &other)]), text == other);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_text_makes_loading_panic(text in "(permit|forbid|when|\\(|\\)|\\{|\\}|;|principal|action|resource|,|==|\"|@id|[a-z]| ){0,30}") {
        let _ = load(&text);
    }
}
