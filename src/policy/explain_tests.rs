//! Explanations: what an officer reads.

use super::*;
use crate::policy::Sector;
use crate::record::marking::Tlp;
use crate::testkit::policy::{agency, compiled, foreign_record, hour, partner, record, sample};

fn told(partner: &PartnerFacts, record: &RecordFacts) -> String {
    explain(&sample([]), partner, record, &hour(0)).to_string()
}

fn vendor() -> PartnerFacts {
    PartnerFacts { sector: Sector::Vendor, circles: vec![], ..partner() }
}

#[test]
fn a_forbidden_record_is_explained_by_the_forbids() {
    let operation = Some("chakra".to_owned());
    let record = RecordFacts { tlp: Tlp::Amber, orcon: true, operation, ..foreign_record() };
    assert_eq!(
        told(&partner(), &record),
        r#"cert.example (cert) forward indicator: DENY, forbidden
  - guard/tlp-amber-onward "TLP:AMBER may be forwarded only to our own clients" guardrails.cedar (built in):22
        ok    resource.tlp == Tlp::"AMBER"
        ok    !principal.client
  - guard/originator-control "Third-party rule: the originator named no release to this partner" guardrails.cedar (built in):45
        ok    resource.orcon
        ok    !((resource has releasable_to) && resource.releasable_to.contains(principal))
"#
    );
}

#[test]
fn where_nothing_permits_the_nearest_permit_comes_first() {
    let record = RecordFacts { labels: vec!["takedown".to_owned()], confidence: 69, ..record() };
    let text = told(&vendor(), &record);
    assert!(
        text.starts_with(
            r#"cert.example (vendor) share indicator: DENY, nothing permits it
  nearest permits:
  ? agency/vendor-takedown "Vendors get what they can take down, and nothing about victims" [MoU vendors 2026, art. 4] 0.cedar:3 (1 of 6 conditions not met)
        ok    principal.sector == Sector::"vendor"
"#
        ),
        "{text}"
    );
    assert!(text.contains("        FAIL  resource.confidence >= 70\n"), "{text}");
}

#[test]
fn the_head_of_a_permit_counts_as_a_condition() {
    let explanation = explain(&sample([]), &vendor(), &record(), &hour(0));
    let pilot = explanation.nearest.iter().find(|near| near.id == "agency/pilot-2026").unwrap();
    assert_eq!(pilot.conditions[0].text, "principal in Circle::\"fraud\"");
    assert_eq!((pilot.conditions[0].state.clone(), pilot.unmet()), (State::Fails, 1));
}

#[test]
fn a_part_without_meaning_is_not_called_an_error() {
    let explanation = explain(&sample([]), &vendor(), &record(), &hour(0));
    let named = explanation.nearest.iter().find(|near| near.id == "agency/named-release").unwrap();
    let states: Vec<_> = named.conditions.iter().map(|c| c.state.clone()).collect();
    assert_eq!(states, [State::Fails, State::NotReached]);
}

#[test]
fn every_withheld_class_says_why() {
    let police = PartnerFacts { sector: Sector::Police, ..partner() };
    let named = RecordFacts {
        releasable_to: Some(vec![agency("cert.example")]),
        no_attribution: true,
        ..record()
    };
    let explanation = explain(&sample([]), &police, &named, &hour(0));
    let outcomes: Vec<_> =
        explanation.classes.iter().map(|c| (c.class.name(), c.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            ("reporter", Outcome::Allowed),
            ("source", Outcome::NothingPermits),
            ("notes", Outcome::NothingPermits),
            ("links", Outcome::NothingPermits),
        ]
    );
    let links = explanation.classes.last().unwrap();
    assert_eq!((links.nearest[0].id.as_str(), links.nearest[0].unmet()), ("agency/links", 1));
    let text = explanation.to_string();
    let shown = "  reporter shown (reporter): ALLOW\n    + agency/police-reveal";
    assert!(text.contains(shown), "{text}");
    let withheld = "  source withheld (source, references): DENY, nothing permits it\n";
    assert!(text.contains(withheld), "{text}");
}

#[test]
fn a_forbidden_record_that_nothing_permits_either_says_both() {
    let record = RecordFacts { tlp: Tlp::Amber, ..foreign_record() };
    let explanation = explain(&sample([]), &partner(), &record, &hour(0));
    assert_eq!(explanation.outcome, Outcome::Forbidden);
    assert_eq!(explanation.nearest[0].id, "agency/cert-operations");
    let text = explanation.to_string();
    assert!(text.contains("  nothing permits it either; nearest permits:\n  ? agency/"), "{text}");
}

#[test]
fn an_error_names_the_policy_that_failed() {
    let policy = compiled(
        r#"@id("bad") @title("t") @agreement("a") @owner("o") permit (principal, action, resource)
        when { resource.confidence * 1000000000000000000 > 5 };"#,
    );
    let text = explain(&policy, &partner(), &record(), &hour(0)).to_string();
    assert!(text.contains("DENY, a policy could not be evaluated\n  ! bad: "), "{text}");
}
