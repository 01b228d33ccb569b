//! A forbid that can't be evaluated never lets a record through: what loading refuses, and that
//! decision and selection deny where such a forbid is forced past it.

use super::bundle::Bundle;
use super::decide::Compiled;
use super::decide::tests::decide_both_ways;
use super::facts::{PartnerFacts, RecordFacts};
use super::select::{Selected, Selector};
use super::source::POLICY_DEPTH_MAX;
use crate::record::kind::{ClassSet, SlotClass};
use crate::testkit::policy::{OWN, agency, foreign_record, hour, load, partner, record};
use std::sync::Arc;

/// Permits whatever no forbid stops.
const OPEN: &str = r#"@id("open") @title("t") @agreement("a") @owner("o")
    permit (principal is Liaison::Partner, action, resource)
    when { principal.suspended || !principal.suspended };"#;

fn forbid(action: &str, body: &str) -> String {
    format!(
        "{OPEN}\n@id(\"bad\") @title(\"t\") forbid (principal is Liaison::Partner, {action}, \
         resource is Liaison::Record) {body};"
    )
}

fn forced(text: &str) -> Compiled {
    Compiled::new(Arc::new(Bundle::unchecked(text)), agency(OWN), [])
}

#[test]
fn without_a_forbid_that_errs_the_open_bundle_releases_everything() {
    let open = forced(OPEN);
    assert!(open.decide(&partner(), &record(), &hour(0)).release.allowed);
    assert!(open.decide(&partner(), &foreign_record(), &hour(0)).release.allowed);
    assert!(open.accepts(&partner(), &foreign_record(), &hour(0)).allowed);
    assert!(load(OPEN).is_ok());
}

/// Checks that nothing goes, nothing comes, and a failure is reported.
fn denies_when_forced(condition: &str) {
    denies(&format!("when {{ {condition} }}"));
}

/// The same whatever stands around the part that errs.
fn denies_wherever_it_stands(condition: &str) {
    for body in [
        format!("when {{ {condition} }}"),
        format!("unless {{ {condition} }}"),
        format!("when {{ !({condition}) }}"),
        format!("when {{ principal.suspended || ({condition}) }}"),
        format!("when {{ !principal.suspended && ({condition}) }}"),
        format!("when {{ ({condition}) && principal.suspended }}"),
        format!("when {{ ({condition}) || true }}"),
        format!("when {{ if {condition} then true else true }}"),
        format!("when {{ if principal.suspended then true else {condition} }}"),
        format!("when {{ true }} unless {{ {condition} }}"),
    ] {
        denies(&body);
    }
}

fn denies(body: &str) {
    let compiled = forced(&forbid("action", body));
    for record in [record(), foreign_record()] {
        denied(&compiled, &partner(), &record, body);
    }
    hides_a_class(body);
}

fn denied(compiled: &Compiled, partner: &PartnerFacts, record: &RecordFacts, body: &str) {
    let decision = decide_both_ways(compiled, partner, record);
    assert!(!decision.release.allowed && decision.erred(), "{body}: {decision:?}");
    assert_eq!(decision.revealed, ClassSet::EMPTY, "{body}");
    assert_eq!(decision.release.deciding, [] as [&str; 0], "{body}");
    assert_eq!(decision.release.faults[0].policy, "bad", "{body}");
    let accepted = compiled.accepts(partner, record, &hour(0));
    assert!(!accepted.allowed && !accepted.faults.is_empty(), "{body}: {accepted:?}");
    let mut selector = Selector::new(compiled, partner, &hour(0));
    let nothing = Selected { released: false, revealed: ClassSet::EMPTY, erred: true };
    // Twice: once asked of Cedar, once remembered.
    assert_eq!([selector.select(record), selector.select(record)], [nothing; 2], "{body}");
}

/// The same forbid of one class hides that class and no other.
fn hides_a_class(body: &str) {
    let compiled = forced(&forbid("action == Liaison::Action::\"reveal:victim\"", body));
    let decision = decide_both_ways(&compiled, &partner(), &record());
    assert!(decision.release.allowed && decision.erred(), "{body}: {decision:?}");
    let others = SlotClass::ALL.into_iter().filter(|class| *class != SlotClass::Victim);
    let revealed = others.collect::<ClassSet>();
    assert_eq!(decision.revealed, revealed, "{body}");
    let mut selector = Selector::new(&compiled, &partner(), &hour(0));
    let selected = Selected { released: true, revealed, erred: true };
    assert_eq!(selector.select(&record()), selected, "{body}");
}

#[track_caller]
fn refused(condition: &str, expected: &str) {
    let found = match load(&forbid("action", &format!("when {{ {condition} }}"))) {
        Ok(_) => panic!("{condition} loads"),
        Err(found) => found,
    };
    assert!(found.iter().any(|finding| finding.message.contains(expected)), "{found:#?}");
}

#[test]
fn a_forbid_on_an_attribute_that_is_missing_denies() {
    for condition in [
        "resource.expires < context.now",
        "resource.operation == Liaison::Operation::\"chakra\"",
        "resource.releasable_to.contains(principal)",
        "principal in resource.circles",
    ] {
        refused(condition, "optional attribute");
        denies_when_forced(condition);
    }
    denies_wherever_it_stands("resource.expires < context.now");
    refused("resource.colour == 1", "colour");
    denies_when_forced("resource.colour == 1");
    refused("context.later > context.now", "later");
    denies_when_forced("context.later > context.now");
}

#[test]
fn a_forbid_on_a_tag_that_is_missing_denies() {
    refused("principal.getTag(\"t\").contains(\"x\")", "tag");
    denies_when_forced("principal.getTag(\"t\").contains(\"x\")");
}

#[test]
fn a_forbid_that_overflows_denies() {
    for (condition, sign) in [
        ("resource.confidence * 9223372036854775807 > 5", "*"),
        ("resource.confidence + 9223372036854775807 > 5", "+"),
        ("-9223372036854775807 - resource.confidence < 5", "-"),
        ("context.now.offset(duration(\"9223372036854775807ms\")) > context.now", "offset"),
        (
            "context.now.offset(duration(\"9223372036854775807ms\")).durationSince(context.now) > duration(\"1h\")",
            "durationSince",
        ),
    ] {
        refused(condition, &format!("is a forbid and calculates with `{sign}`"));
        denies_when_forced(condition);
    }
    denies_wherever_it_stands("resource.confidence * 9223372036854775807 > 5");
}

#[test]
fn a_forbid_on_an_entity_that_is_not_there_denies() {
    refused("resource.originator.client", "level");
    refused("Liaison::Partner::\"nobody.example\".client", "level");
    denies_wherever_it_stands("resource.originator.client");
    denies_when_forced("resource.originator.country == \"FR\"");
    denies_when_forced("Liaison::Partner::\"nobody.example\".client");
}

#[test]
fn a_forbid_of_an_extension_function_that_fails_denies() {
    refused("datetime(principal.country) < context.now", "extension");
    denies_when_forced("datetime(principal.country) < context.now");
    denies_when_forced("ip(principal.country).isLoopback()");
    denies_when_forced("decimal(principal.country).lessThan(decimal(\"1.0\"))");
}

#[test]
fn a_forbid_that_compares_what_can_not_be_compared_denies() {
    refused("resource.confidence < \"80\"", "type");
    denies_when_forced("resource.confidence < \"80\"");
    denies_when_forced("resource.labels < 5");
    denies_when_forced("resource.confidence.contains(5)");
}

/// Cedar walks trees by recursion: what is too deep for its stack errs there, and where the stack
/// is long enough the forbid holds. Nothing in between lets the record through.
#[test]
fn a_forbid_that_is_nested_too_deeply_denies() {
    let nested = |depth: usize| {
        let (open, shut) = ("(resource.caveat || ".repeat(depth), ")".repeat(depth));
        format!("{open}resource.orcon{shut}")
    };
    refused(&nested(POLICY_DEPTH_MAX), "at most 32 connectives");
    let ours = RecordFacts { orcon: true, ..record() };
    for depth in [POLICY_DEPTH_MAX, 100, 400] {
        let text = forbid("action", &format!("when {{ {} }}", nested(depth)));
        // Parsing is not what is shown here, so it gets the stack that it needs.
        let loading = std::thread::Builder::new().stack_size(512 << 20);
        let bundle = loading.spawn(move || Bundle::unchecked(&text)).unwrap().join().unwrap();
        let compiled = Compiled::new(Arc::new(bundle), agency(OWN), []);
        let decision = compiled.decide(&partner(), &ours, &hour(0));
        assert!(!decision.release.allowed, "{depth}: {decision:?}");
        assert_eq!(decision.revealed, ClassSet::EMPTY, "{depth}");
        let selected = Selector::new(&compiled, &partner(), &hour(0)).select(&ours);
        assert!(
            !selected.released && selected.revealed == ClassSet::EMPTY,
            "{depth}: {selected:?}"
        );
    }
}
