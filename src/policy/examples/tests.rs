//! Examples: what is understood, what is refused with its place, and that each can fail.

use super::given::{GIVEN_KEYS, PARTNER_KEYS, RECORD_KEYS};
use super::*;
use crate::policy::Vocabulary;
use crate::testkit::policy::SAMPLE;
use proptest::prelude::*;

const FILE: &str = "10.test.toml";

fn bundle(policies: &str) -> Arc<Bundle> {
    let files = [("10.cedar".to_owned(), policies.to_owned())];
    Arc::new(Bundle::load(files, &Vocabulary::default()).unwrap_or_else(|f| panic!("{f:?}")))
}

fn tried(examples: &str) -> Report {
    run([("10.cedar", SAMPLE), (FILE, examples)], &bundle(SAMPLE))
}

/// A file of one case with these lines.
fn case(lines: &str) -> String {
    format!("[[case]]\nname = \"x\"\n{lines}\n")
}

/// The finding that a file makes.
#[track_caller]
fn found(examples: &str, expected: &str) {
    let report = tried(examples);
    let said: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|finding| finding.contains(expected)), "{said:#?}");
    assert!(!report.holds() && report.passed == 0 && report.failures.is_empty());
}

#[track_caller]
fn holds(examples: &str) {
    let report = tried(examples);
    assert!(report.holds() && report.passed > 0, "{report}");
}

/// The differences of the one case of a file.
#[track_caller]
fn differs(examples: &str) -> Vec<(&'static str, String, String)> {
    let mut report = tried(examples);
    assert!(!report.holds() && report.passed == 0, "{report}");
    let failure = report.failures.pop().unwrap_or_else(|| panic!("{report}"));
    failure.differences.into_iter().map(|d| (d.what, d.expected, d.came)).collect()
}

const VENDOR: &str = r#"given = { partner = { sector = "vendor" }, record = { tlp = "GREEN", labels = ["takedown"], confidence = 85 } }"#;

#[test]
fn three_lines_are_an_example() {
    let text = format!(
        "[[case]]\nname = \"a vendor never sees a victim\"\n{VENDOR}\nexpect = {{ decision = \
         \"allow\", because = [\"agency/vendor-takedown\"], hidden = [\"victim\", \"reporter\"] }}"
    );
    holds(&text);
}

#[test]
fn what_a_case_leaves_out_restricts_nothing() {
    let open = r#"@id("x") @title("t") @agreement("a") @owner("o") permit (principal, action, resource)
        when { principal.suspended || !principal.suspended };"#;
    let examples = "[[case]]\nname = \"a\"\nexpect = \"allow\"\n[[case]]\nname = \"b\"\nwhen = \
                    \"forward\"\nexpect = \"allow\"\n[[case]]\nname = \"c\"\nwhen = \"accept\"\n\
                    expect = \"allow\"";
    let report = run([(FILE, examples)], &bundle(open));
    assert!(report.holds() && report.passed == 3, "{report}");
}

#[test]
fn a_decision_that_differs_is_told_with_its_reasons() {
    let text = format!("\n{}", case(&format!("{VENDOR}\nexpect = \"deny\"")));
    let report = tried(&text);
    let failure = &report.failures[0];
    assert_eq!((failure.name.as_str(), failure.file.as_str(), failure.line), ("x", FILE, 2));
    let text = report.to_string();
    assert!(
        text.starts_with(
            "FAIL 10.test.toml:2: x\n  decision   expected deny\n             came     ALLOW\n  | \
             partner.example (vendor) share indicator: ALLOW\n  |   + agency/vendor-takedown"
        ),
        "{text}"
    );
    assert!(
        text.contains("\nwarning: 10.cedar:3: no example says what agency/vendor-takedown does")
    );
    assert!(text.ends_with("1 example: 1 not as expected\n"), "{text}");
}

#[test]
fn deciding_policies_are_compared_whole() {
    let given = r#"given = { partner = { sector = "cert", circles = ["fraud"], operations = ["c"] }, record = { operation = "c" } }"#;
    let because = |ids: &str| {
        case(&format!("{given}\nexpect = {{ decision = \"allow\", because = [{ids}] }}"))
    };
    holds(&because("\"agency/pilot-2026\", \"agency/cert-operations\""));
    assert_eq!(
        differs(&because("\"agency/pilot-2026\"")),
        [(
            "because",
            "agency/pilot-2026".to_owned(),
            "agency/cert-operations, agency/pilot-2026".to_owned()
        )]
    );
    let nothing = case("expect = { decision = \"deny\", because = [\"guard/tlp-red\"] }");
    assert_eq!(differs(&nothing), [("because", "guard/tlp-red".to_owned(), "none".to_owned())]);
}

const POLICE: &str = r#"given = { partner = { sector = "police", country = "FR" }, record = { releasable_to = ["partner.example"], personal_data = true, jurisdictions = ["FR"] } }"#;

#[test]
fn revealed_classes_are_compared_whole_and_hidden_ones_each() {
    let expect =
        |more: &str| case(&format!("{POLICE}\nexpect = {{ decision = \"allow\", {more} }}"));
    holds(&expect(r#"revealed = ["victim", "reporter", "links"]"#));
    holds(&expect(r#"hidden = ["notes", "evidence"]"#));
    let told = |classes: &str| classes.to_owned();
    assert_eq!(
        differs(&expect(r#"revealed = ["victim", "links"]"#)),
        [("revealed", told("victim, links"), told("victim, reporter, links"))]
    );
    assert_eq!(
        differs(&expect("revealed = []")),
        [("revealed", told("none"), told("victim, reporter, links"))]
    );
    assert_eq!(
        differs(&expect(r#"hidden = ["notes", "victim"]"#)),
        [("hidden", told("victim, notes"), told("victim revealed"))]
    );
}

#[test]
fn what_could_not_be_evaluated_is_never_what_was_expected() {
    let bad = format!(
        "{SAMPLE}\n@id(\"bad\") @title(\"t\") @agreement(\"a\") @owner(\"o\") permit (principal, \
         action, resource) when {{ resource.confidence * 1000000000000000000 > 5 }};"
    );
    for expect in ["\"deny\"", "{ decision = \"deny\", because = [] }"] {
        let examples = case(&format!("expect = {expect}"));
        let report = run([(FILE, examples.as_str())], &bundle(&bad));
        assert_eq!(report.failures[0].differences[0].what, "decision", "{report}");
        assert!(report.to_string().contains("! bad: "), "{report}");
    }
    let notes = bad.replace(
        "action, resource) when { resource.confidence * 1",
        "action == Liaison::Action::\"reveal:notes\", resource) when { resource.confidence * 1",
    );
    let examples =
        case(&format!("{POLICE}\nexpect = {{ decision = \"allow\", hidden = [\"notes\"] }}"));
    let report = run([(FILE, examples.as_str())], &bundle(&notes));
    let difference = &report.failures[0].differences[0];
    assert_eq!((difference.what, difference.expected.as_str()), ("evaluation", "no error"));
    assert!(difference.came.starts_with("notes: bad: "), "{report}");
}

#[test]
fn what_is_taken_in_is_asked_and_explained() {
    let given = "when = \"accept\"\ngiven = { partner = { circles = [\"fraud\"] } }";
    holds(&case(&format!(
        "{given}\nexpect = {{ decision = \"allow\", because = [\"agency/accept\"] }}"
    )));
    let report = tried(&case("when = \"accept\"\nexpect = \"allow\""));
    let text = report.to_string();
    assert!(
        text.contains(
            "  | accept indicator of partner.example (other): DENY, nothing permits it\n"
        ),
        "{text}"
    );
    assert!(text.contains("  |   ? agency/accept "), "{text}");
}

#[test]
fn a_permit_of_a_class_is_exercised_by_who_looks_at_the_class() {
    let unexercised = |expect: &str| -> Vec<_> {
        let report = tried(&case(&format!("{POLICE}\nexpect = {expect}")));
        assert!(report.holds(), "{report}");
        report.unexercised.into_iter().map(|missing| missing.policy).collect()
    };
    let all = unexercised("{ decision = \"allow\", hidden = [\"notes\"] }");
    assert!(all.contains(&"agency/police-reveal".to_owned()), "{all:?}");
    assert!(all.contains(&"agency/links".to_owned()), "{all:?}");
    assert!(!all.contains(&"agency/named-release".to_owned()), "{all:?}");
    let all =
        unexercised("{ decision = \"allow\", revealed = [\"victim\", \"reporter\", \"links\"] }");
    assert!(!all.contains(&"agency/police-reveal".to_owned()), "{all:?}");
    assert!(!all.contains(&"agency/links".to_owned()), "{all:?}");
}

#[test]
fn only_permits_that_an_example_which_holds_depends_on_are_exercised() {
    let failing =
        case(&format!("{VENDOR}\nexpect = {{ decision = \"allow\", revealed = [\"notes\"] }}"));
    let report = tried(&failing);
    assert_eq!(report.unexercised.len(), 7, "{report}");
    let forbids =
        |report: &Report| report.unexercised.iter().any(|m| m.policy == "agency/no-drafts");
    assert!(!forbids(&report), "{report}");
}

#[test]
fn a_file_gives_facts_to_all_its_cases_and_a_case_puts_its_own_over_them() {
    holds(
        r#"
        own = "npa.example"
        [given]
        hour    = "2027-03-31T23:00:00Z"
        partner = { agency = "cert.example", sector = "cert", circles = ["fraud"] }
        record  = { tlp = "GREEN" }
        [[case]]
        name   = "the pilot runs to the last hour of March"
        expect = { decision = "allow", because = ["agency/pilot-2026"], revealed = ["links"] }
        [[case]]
        name   = "and ends with it"
        given  = { hour = 2027-04-01 }
        expect = "deny"
        [[case]]
        name   = "a record that is 91 days old is too old"
        given  = { record = { created = 2026-12-30 } }
        expect = "deny"
        [[case]]
        name   = "a partner outside the circle is not part of it"
        given  = { partner = { circles = [] } }
        expect = "deny"
        "#,
    );
}

#[test]
fn named_partners_and_records_are_starting_points() {
    let head = r#"
        [partners.them]
        agency = "cert.example"
        circles = ["fraud"]
        [records.tip]
        tlp = "GREEN"
        "#;
    holds(&format!(
        "{head}\n{}",
        case("given = { partner = \"them\", record = \"tip\" }\nexpect = \"allow\"")
    ));
    holds(&format!(
        "{head}\n{}",
        case(
            "given = { partner = { like = \"them\", suspended = true }, record = { like = \"tip\" } }\n\
              expect = { decision = \"deny\", because = [\"guard/partner-standing\"] }"
        )
    ));
    found(
        &format!("{head}\n{}", case("given = { partner = \"they\" }\nexpect = \"deny\"")),
        "[partners.they] does not exist\n  help: did you mean \"them\"?",
    );
    found(
        &case("given = { record = { like = \"tip\" } }\nexpect = \"deny\""),
        "10.test.toml:3:29: [records.tip] does not exist\n  help: write [records.tip]",
    );
    found(
        &format!("[partners.a]\n[partners.b]\nlike = \"a\"\n{}", case("expect = \"deny\"")),
        "10.test.toml:3:1: a named partner or record is like no other",
    );
    // What is wrong with a named one is said once, whether it is used or not.
    let wrong = "[partners.a]\nsector = \"polise\"\n";
    let given = "given = { partner = \"a\" }\nexpect = \"deny\"\n";
    let twice = format!("{wrong}{}{}", case(given), case(given).replace("\"x\"", "\"y\""));
    let said = tried(&twice).findings;
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((said[0].line, said[0].column), (2, 10));
    assert_eq!(said[0].help.as_deref(), Some("did you mean \"police\"?"));
}

#[test]
fn every_key_and_word_that_is_not_known_is_found_where_it_stands() {
    let expecting = |more: &str| case(&format!("{more}\nexpect = \"deny\""));
    for (text, expected) in [
        (expecting("giving = {}"), "10.test.toml:3:1: a case has no \"giving\""),
        (expecting("given = { recrd = {} }"), "10.test.toml:3:11: given has no \"recrd\""),
        (expecting("given = { record = { tpl = \"RED\" } }"), "did you mean \"tlp\"?"),
        (expecting("given = { partner = { sektor = \"cert\" } }"), "a partner has no \"sektor\""),
        (
            expecting("given = { record = { tlp = \"AMBR\" } }"),
            "10.test.toml:3:28: \"AMBR\" is not a known tlp",
        ),
        (expecting("given = { record = { tlp = \"green\" } }"), "\"green\" is not a known tlp"),
        (expecting("given = { record = { tlp = \"TLP:GREEN\" } }"), "known here: CLEAR, GREEN"),
        (expecting("given = { record = { pap = \"WHITE\" } }"), "\"WHITE\" is not a known pap"),
        (
            expecting("given = { record = { kind = \"indicators\" } }"),
            "did you mean \"indicator\"?",
        ),
        (
            expecting("when = \"send\""),
            "\"send\" is not a known when\n  help: known here: share, forward",
        ),
        (case("expect = \"yes\""), "\"yes\" is not a known decision"),
        (case("expect = { decision = \"permit\" }"), "\"permit\" is not a known decision"),
        (case("expect = { decision = \"deny\", why = [] }"), "expect has no \"why\""),
        (case("expect = { because = [] }"), "expect has no decision"),
        (
            case("expect = { decision = \"allow\", revealed = [\"victims\"] }"),
            "did you mean \"victim\"?",
        ),
        (
            case("expect = { decision = \"allow\", hidden = [\"core\"] }"),
            "\"core\" is not a known class",
        ),
        (
            format!("onw = \"a.b\"\n{}", case("expect = \"deny\"")),
            "a file of examples has no \"onw\"",
        ),
        (case(""), "10.test.toml:1:1: this case has no expect"),
        ("[[case]]\nexpect = \"deny\"".to_owned(), "this case has no name"),
        (String::new(), "there is no example in this file"),
        ("[case]\nname = \"x\"".to_owned(), "an example starts with [[case]]"),
        ("case = [1]".to_owned(), "case is a table; this is of type integer"),
        ("[[case]".to_owned(), "10.test.toml:1:"),
        ("a = 1\na = 2".to_owned(), "10.test.toml:2:1: "),
    ] {
        found(&text, expected);
    }
}

#[test]
fn every_value_has_its_form_and_bounds() {
    let record =
        |fact: &str| case(&format!("given = {{ record = {{ {fact} }} }}\nexpect = \"deny\""));
    let partner =
        |fact: &str| case(&format!("given = {{ partner = {{ {fact} }} }}\nexpect = \"deny\""));
    for (text, expected) in [
        (record("confidence = 101"), "confidence is a whole number from 0 to 100"),
        (record("confidence = -1"), "confidence is a whole number from 0 to 100"),
        (record("confidence = \"80\""), "confidence is a whole number from 0 to 100"),
        (record("orcon = \"yes\""), "orcon is true or false; this is of type string"),
        (record("labels = \"takedown\""), "labels is a list; this is of type string"),
        (record("labels = [\"\"]"), "labels has 1 to 256 bytes in one line"),
        (record("labels = [1]"), "labels is a text; this is of type integer"),
        (record("operation = \"a\\nb\""), "operation has 1 to 256 bytes in one line"),
        (record("jurisdictions = [\"jp\"]"), "\"jp\" is not the code of a country"),
        (record("releasable_to = [\"CERT\"]"), "agency name \"CERT\" is not"),
        (record("expires = \"soon\""), "\"soon\" is not an RFC 3339 time"),
        (record("created = 1999-12-31"), "outside the years 2000 to 2100"),
        (record("expires = 2026-11-22T10:00:00"), "is not an RFC 3339 time"),
        (partner("country = \"Japan\""), "\"Japan\" is not the code of a country"),
        (partner("agency = \"cert\""), "agency name \"cert\" is not"),
        (partner("tags = []"), "tags is a table"),
        (partner("tags = { a = \"b\" }"), "a is a list"),
        (case("given = 1\nexpect = \"deny\""), "given is a table"),
        (case("given = { partner = 1 }\nexpect = \"deny\""), "partner is a table"),
        (
            case(&format!(
                "given = {{ record = {{ operation = \"{}\" }} }}\nexpect = \"deny\"",
                "é".repeat(129)
            )),
            "operation has 1 to 256 bytes",
        ),
        (record(&format!("labels = [{}]", "\"a\",".repeat(257))), "labels has at most 256 items"),
        (
            format!("[[case]]\nname = \"{}\"\nexpect = \"deny\"", "a".repeat(NAME_BYTES_MAX + 1)),
            "name has at most 160 bytes",
        ),
    ] {
        found(&text, expected);
    }
    for text in [
        record(
            "confidence = 0x0A, labels = [\"日本\"], jurisdictions = [\"JP\"], created = 2026-01-01",
        ),
        partner("tags = { a = [\"b\"] }, agreement_until = \"2030-01-01\", client = true"),
    ] {
        holds(&text);
    }
}

#[test]
fn an_example_that_could_never_come_out_or_never_fail_is_refused() {
    for (expect, expected) in [
        ("{ decision = \"allow\", because = [] }", "nothing is allowed without a permit"),
        (
            "{ decision = \"allow\", because = [\"agency/linkz\"] }",
            "did you mean \"agency/links\"?",
        ),
        ("{ decision = \"allow\", because = [\"guard/tlp-red\"] }", "is a forbid: it is never why"),
        ("{ decision = \"deny\", because = [\"agency/links\"] }", "is a permit: it is never why"),
        (
            "{ decision = \"deny\", hidden = [\"victim\"] }",
            "where the record does not go, no field",
        ),
        ("{ decision = \"deny\", revealed = [] }", "where the record does not go, no field does"),
        (
            "{ decision = \"allow\", revealed = [\"notes\"], hidden = [\"notes\"] }",
            "both revealed and",
        ),
    ] {
        found(&case(&format!("expect = {expect}")), expected);
    }
    let accept = "when = \"accept\"\nexpect = { decision = \"allow\", revealed = [] }";
    found(&case(accept), "fields are revealed to a partner, not by one");
    let share = "given = { record = { originator = \"fbi.example\" } }\nexpect = \"deny\"";
    found(&case(share), "fbi.example signed this record and own.example does not share it");
    let forward = "when = \"forward\"\ngiven = { record = { originator = \"own.example\" } }";
    found(&case(&format!("{forward}\nexpect = \"deny\"")), "does not forward it");
    let twice = format!("{}{}", case("expect = \"deny\""), case("expect = \"deny\""));
    found(&twice, "10.test.toml:4:1: there are two examples named \"x\"");
}

#[test]
fn more_examples_than_the_bound_are_refused() {
    let many = |n: usize| -> String {
        (0..n).map(|n| format!("[[case]]\nname = \"{n}\"\nexpect = \"deny\"\n")).collect()
    };
    found(&many(CASES_MAX + 1), "at most 1000 examples");
    let (cases, findings) = read([(FILE, many(CASES_MAX).as_str())]);
    assert_eq!((cases.len(), findings.len()), (CASES_MAX, 0));
}

#[test]
fn as_many_failures_as_are_read_are_explained() {
    let many: String = (0..=EXPLAINED_MAX)
        .map(|n| format!("[[case]]\nname = \"{n}\"\nexpect = \"allow\"\n"))
        .collect();
    let report = tried(&many);
    assert_eq!(report.failures.len(), EXPLAINED_MAX + 1);
    let explained = report.failures.iter().filter(|failure| failure.explanation.is_some());
    assert_eq!(explained.count(), EXPLAINED_MAX);
}

#[test]
fn a_bundle_without_examples_passes_nothing_and_says_what_is_unsaid() {
    let report = run([("10.cedar", SAMPLE)], &bundle(SAMPLE));
    assert_eq!((report.holds(), report.passed, report.unexercised.len()), (true, 0, 7));
}

/// A key that is known and not read would be a fact that changes nothing.
#[test]
fn every_key_is_read() {
    for (whose, keys) in [("partner", &PARTNER_KEYS), ("record", &RECORD_KEYS)] {
        for key in keys.iter() {
            // Nothing takes the float, so that whatever is read is refused for its form.
            let report = tried(&case(&format!(
                "given = {{ {whose} = {{ {key} = 0.5 }} }}\nexpect = \"deny\""
            )));
            let said = &report.findings[0].message;
            assert!(said.starts_with(key), "{said}");
        }
    }
    assert_eq!(GIVEN_KEYS.len(), 5);
}

/// Each fact that can be given reaches the decision.
#[test]
fn every_fact_reaches_the_policy() {
    for (condition, given) in [
        ("resource.kind == Liaison::Kind::\"note\"", "record = { kind = \"note\" }"),
        ("resource.tlp == Liaison::Tlp::\"GREEN\"", "record = { tlp = \"GREEN\" }"),
        ("resource.pap == Liaison::Pap::\"RED\"", "record = { pap = \"RED\" }"),
        ("resource.labels.contains(\"l\")", "record = { labels = [\"l\"] }"),
        ("resource has releasable_to", "record = { releasable_to = [\"partner.example\"] }"),
        (
            "resource has releasable_to",
            "record = { orcon = true }, consents = [\"partner.example\"]",
        ),
        ("resource has circles", "record = { circles = [\"c\"] }, partner = { circles = [\"c\"] }"),
        (
            "resource.members.contains(principal)",
            "record = { circles = [\"c\"] }, roster = [\"partner.example\"]",
        ),
        ("resource.orcon", "record = { orcon = true }"),
        ("resource.confidence == 7", "record = { confidence = 7 }"),
        (
            "resource.created == datetime(\"2025-01-01\")",
            "record = { created = 2025-01-01T00:30:00Z }",
        ),
        ("resource.created == context.now", "hour = 2026-03-01T07:59:00Z"),
        ("context.now == datetime(\"2026-03-01T07:00:00Z\")", "hour = 2026-03-01T07:59:00Z"),
        ("resource has expires", "record = { expires = 2030-01-01 }"),
        (
            "resource.personal_data",
            "record = { personal_data = true, jurisdictions = [\"JP\"] }, partner = { country = \"JP\" }",
        ),
        ("resource.jurisdictions.contains(\"JP\")", "record = { jurisdictions = [\"JP\"] }"),
        ("resource has operation", "record = { operation = \"o\" }"),
        ("resource.caveat", "record = { caveat = true }"),
        ("resource.foreign", "record = { foreign = true }"),
        ("resource.no_evidence", "record = { no_evidence = true }"),
        ("resource.no_notify", "record = { no_notify = true }"),
        ("resource.no_attribution", "record = { no_attribution = true }"),
        ("principal == Liaison::Partner::\"a.example\"", "partner = { agency = \"a.example\" }"),
        ("principal.sector == Liaison::Sector::\"cert\"", "partner = { sector = \"cert\" }"),
        ("principal.country == \"JP\"", "partner = { country = \"JP\" }"),
        ("principal.client", "partner = { client = true }"),
        (
            "principal.agreement_until == datetime(\"2030-01-01\")",
            "partner = { agreement_until = 2030-01-01 }",
        ),
        ("principal in Liaison::Circle::\"c\"", "partner = { circles = [\"c\"] }"),
        (
            "principal.operations.contains(Liaison::Operation::\"o\")",
            "partner = { operations = [\"o\"] }",
        ),
        ("principal.hasTag(\"t\")", "partner = { tags = { t = [] } }"),
    ] {
        let policy = format!(
            "@id(\"x\") @title(\"t\") @agreement(\"a\") @owner(\"o\") permit (principal, action, \
             resource) when {{ {condition} }};"
        );
        let bundle = bundle(&policy);
        let allowed = |lines: &str| run([(FILE, case(lines).as_str())], &bundle).holds();
        assert!(allowed(&format!("given = {{ {given} }}\nexpect = \"allow\"")), "{condition}");
        let default = condition != "resource.created == context.now";
        assert!(!default || allowed("expect = \"deny\""), "{condition} by default");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_reading_panic(
        text in "(\\[\\[case\\]\\]|\n|name|given|expect|=|\"a\"|\"allow\"|\\{|\\}|\\[|\\]|,|\\.|partner|record|tlp|1| ){0,40}"
    ) {
        let _ = read([(FILE, text.as_str())]);
    }
}
