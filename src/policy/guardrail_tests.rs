//! Each guardrail by given and expected, under a policy that permits everything.

use super::consents::with_members;
use super::decide::Compiled;
use super::facts::{PartnerFacts, RecordFacts, circles_of};
use crate::record::kind::{ClassSet, SlotClass};
use crate::record::marking::Tlp;
use crate::testkit::policy::{agency, compiled, foreign_record, hour, partner, record, time};
use std::sync::LazyLock;

/// As much as any bundle can permit: only guardrails can say no.
static EVERYTHING: LazyLock<Compiled> = LazyLock::new(|| {
    compiled(
        r#"@id("x/everything") @title("t") @agreement("a") @owner("o")
        permit (principal is Liaison::Partner, action, resource)
        when { principal.suspended || !principal.suspended };"#,
    )
});

/// Checks the decision: allowed, or forbidden by exactly these guardrails.
fn check(record: RecordFacts, partner: PartnerFacts, expect: Result<(), &[&str]>) {
    let decision = EVERYTHING.decide(&partner, &record, &hour(0));
    let all: ClassSet = SlotClass::ALL.into_iter().collect();
    let revealed = match record.personal_data {
        true => all,
        false => all.without(ClassSet::EMPTY.with(SlotClass::Victim)),
    };
    assert!(!decision.erred(), "{decision:?}");
    match expect {
        Ok(()) => {
            assert!(decision.release.allowed, "{decision:?}");
            assert_eq!(decision.revealed, revealed);
        }
        Err(guards) => {
            let guards: Vec<_> = guards.iter().map(|guard| format!("guard/{guard}")).collect();
            assert_eq!(decision.release.deciding, guards);
            assert_eq!((decision.release.allowed, decision.revealed), (false, ClassSet::EMPTY));
        }
    }
}

fn client() -> PartnerFacts {
    PartnerFacts { client: true, ..partner() }
}

fn tlp(tlp: Tlp, record: RecordFacts) -> RecordFacts {
    RecordFacts { tlp, ..record }
}

fn releasable_to(names: &[&str], record: RecordFacts) -> RecordFacts {
    let names = names.iter().map(|name| agency(name)).collect();
    RecordFacts { releasable_to: Some(names), ..record }
}

fn circles(names: &[&str], record: RecordFacts) -> RecordFacts {
    let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
    RecordFacts { circles: Some(circles_of(&record.originator, &names)), ..record }
}

/// As policy sees a record of a circle while the roster of its originator with these members is in force.
fn roster(members: &[&str], record: RecordFacts) -> RecordFacts {
    with_members(record, members.iter().map(|name| agency(name)))
}

#[test]
fn tlp_clear_is_shared_and_forwarded() {
    check(record(), partner(), Ok(()));
    check(foreign_record(), partner(), Ok(()));
}

#[test]
fn tlp_red_never_leaves() {
    check(tlp(Tlp::Red, record()), client(), Err(&["tlp-red"]));
    check(tlp(Tlp::Red, foreign_record()), client(), Err(&["tlp-red"]));
    check(releasable_to(&["cert.example"], tlp(Tlp::Red, record())), client(), Err(&["tlp-red"]));
}

#[test]
fn tlp_amber_strict_is_shared_but_never_forwarded() {
    check(tlp(Tlp::AmberStrict, record()), partner(), Ok(()));
    check(tlp(Tlp::AmberStrict, foreign_record()), client(), Err(&["tlp-strict-onward"]));
}

#[test]
fn tlp_amber_is_forwarded_to_clients_only() {
    check(tlp(Tlp::Amber, record()), partner(), Ok(()));
    check(tlp(Tlp::Amber, foreign_record()), client(), Ok(()));
    check(tlp(Tlp::Amber, foreign_record()), partner(), Err(&["tlp-amber-onward"]));
}

#[test]
fn tlp_green_is_forwarded_to_members_of_the_named_circle_by_the_originators_roster_only() {
    let green = || tlp(Tlp::Green, foreign_record());
    let denied: &[&str] = &["releasable-to", "tlp-green-onward"];
    check(tlp(Tlp::Green, record()), partner(), Ok(()));
    check(green(), client(), Err(&["tlp-green-onward"]));
    let in_circle = || circles(&["fraud"], green());
    // The partner is in a circle of ours that has the same name.
    check(in_circle(), partner(), Err(denied));
    check(roster(&["other.example"], in_circle()), partner(), Err(denied));
    check(roster(&["cert.example", "other.example"], in_circle()), partner(), Ok(()));
    check(roster(&["cert.example"], green()), partner(), Err(&["tlp-green-onward"]));
    // Whom the originator names itself needs no community.
    check(releasable_to(&["cert.example"], green()), partner(), Ok(()));
    check(releasable_to(&["other.example"], green()), partner(), Err(denied));
}

#[test]
fn a_circle_in_a_marking_is_the_originators_whatever_circles_of_ours_are_called() {
    check(circles(&["fraud"], record()), partner(), Ok(()));
    check(circles(&["fraud"], foreign_record()), partner(), Err(&["releasable-to"]));
    let named = roster(&["cert.example"], circles(&["fraud"], foreign_record()));
    check(named, partner(), Ok(()));
}

#[test]
fn an_orcon_record_is_forwarded_only_to_whom_its_originator_named() {
    let orcon = |record| RecordFacts { orcon: true, ..record };
    check(orcon(record()), partner(), Ok(()));
    check(orcon(foreign_record()), partner(), Err(&["originator-control"]));
    let in_circle = roster(&["cert.example"], circles(&["fraud"], foreign_record()));
    check(orcon(in_circle), partner(), Err(&["originator-control"]));
    check(orcon(releasable_to(&["cert.example"], foreign_record())), partner(), Ok(()));
}

#[test]
fn a_caveat_in_words_stops_forwarding() {
    check(RecordFacts { caveat: true, ..record() }, partner(), Ok(()));
    check(RecordFacts { caveat: true, ..foreign_record() }, client(), Err(&["caveat-onward"]));
}

#[test]
fn an_unknown_marking_stops_forwarding() {
    check(RecordFacts { foreign: true, ..record() }, partner(), Ok(()));
    check(RecordFacts { foreign: true, ..foreign_record() }, client(), Err(&["foreign-onward"]));
}

#[test]
fn a_record_whose_originator_must_not_be_named_is_given_by_its_originator_alone() {
    let unnamed = |record| RecordFacts { no_attribution: true, ..record };
    check(unnamed(record()), partner(), Ok(()));
    check(unnamed(foreign_record()), client(), Err(&["no-attribution-onward"]));
    let listed = releasable_to(&["cert.example"], unnamed(foreign_record()));
    check(listed, partner(), Err(&["no-attribution-onward"]));
}

#[test]
fn a_record_of_which_those_affected_must_not_be_notified_is_forwarded_to_authorities_alone() {
    use crate::policy::Sector;
    let quiet = |record| RecordFacts { no_notify: true, ..record };
    let of = |sector| PartnerFacts { sector, ..partner() };
    for sector in [Sector::Vendor, Sector::Other] {
        check(quiet(record()), of(sector), Ok(()));
        check(quiet(foreign_record()), of(sector), Err(&["no-notify-onward"]));
    }
    for sector in [Sector::Police, Sector::Cert, Sector::Prosecutor, Sector::Regulator] {
        check(quiet(foreign_record()), of(sector), Ok(()));
    }
}

#[test]
fn an_absent_release_list_is_no_caveat_and_an_empty_one_is_nobody() {
    check(record(), partner(), Ok(()));
    check(releasable_to(&[], record()), partner(), Err(&["releasable-to"]));
    check(circles(&[], record()), partner(), Err(&["releasable-to"]));
    check(circles(&[], releasable_to(&[], record())), partner(), Err(&["releasable-to"]));
}

#[test]
fn a_release_list_once_set_is_exhaustive() {
    check(releasable_to(&["other.example"], record()), partner(), Err(&["releasable-to"]));
    check(releasable_to(&["other.example", "cert.example"], record()), partner(), Ok(()));
    check(circles(&["fraud"], releasable_to(&["other.example"], record())), partner(), Ok(()));
    check(circles(&["other"], releasable_to(&["cert.example"], record())), partner(), Ok(()));
}

#[test]
fn personal_data_stays_in_its_jurisdictions() {
    let personal = |countries: &[&str]| RecordFacts {
        personal_data: true,
        jurisdictions: countries.iter().map(|c| (*c).to_owned()).collect(),
        ..record()
    };
    check(personal(&["JP", "FR"]), partner(), Ok(()));
    check(personal(&["JP"]), partner(), Err(&["jurisdiction"]));
    check(personal(&["fr", "FR "]), partner(), Err(&["jurisdiction"]));
    check(personal(&[]), client(), Err(&["jurisdiction"]));
    check(RecordFacts { personal_data: false, ..personal(&["JP"]) }, partner(), Ok(()));
}

#[test]
fn a_record_is_expired_from_the_hour_of_its_expiry() {
    let expires = |text| RecordFacts { expires_hour: Some(time(text)), ..record() };
    check(expires("2026-11-22T11:00:00Z"), partner(), Ok(()));
    check(expires("2026-11-22T10:00:00Z"), partner(), Err(&["expired"]));
    check(expires("2026-11-22T09:00:00Z"), partner(), Err(&["expired"]));
    check(expires("2000-01-01"), partner(), Err(&["expired"]));
}

#[test]
fn a_suspended_partner_gets_nothing() {
    let suspended = PartnerFacts { suspended: true, ..partner() };
    check(record(), suspended.clone(), Err(&["partner-standing"]));
    assert!(!EVERYTHING.accepts(&suspended, &foreign_record(), &hour(0)).allowed);
    assert!(EVERYTHING.accepts(&partner(), &foreign_record(), &hour(0)).allowed);
}

#[test]
fn an_agreement_runs_out_with_its_hour() {
    let until = |text| PartnerFacts { agreement_until: time(text), ..partner() };
    check(record(), until("2026-11-22T11:00:00Z"), Ok(()));
    check(record(), until("2026-11-22T10:59:59Z"), Err(&["partner-standing"]));
    check(record(), until("2026-11-22T10:00:00Z"), Err(&["partner-standing"]));
}

#[test]
fn victims_are_shown_of_declared_personal_data_in_a_listed_country_alone() {
    let verdict = |personal_data, countries: &[&str]| {
        let jurisdictions = countries.iter().map(|code| (*code).to_owned()).collect();
        let record = RecordFacts { personal_data, jurisdictions, ..record() };
        let decision = EVERYTHING.decide(&partner(), &record, &hour(0));
        let is_victim = |(class, _): &&(SlotClass, _)| *class == SlotClass::Victim;
        let deciding = decision.classes.iter().find(is_victim).map(|(_, v)| v.deciding.clone());
        (decision.revealed.contains(SlotClass::Victim), deciding.unwrap_or_default())
    };
    let barred = vec![format!("guard/{}", "victim")];
    assert!(verdict(true, &["FR"]).0);
    assert_eq!(verdict(false, &["FR"]), (false, barred.clone()));
    assert_eq!(verdict(false, &[]), (false, barred));
    // Nothing of such a record goes there at all.
    assert_eq!(verdict(true, &["JP"]), (false, vec![]));
}

#[test]
fn every_guardrail_is_tested_here() {
    let tests = include_str!("guardrail_tests.rs");
    let bundle = compiled("");
    let guards: Vec<_> = bundle.bundle().statements().iter().collect();
    assert_eq!(guards.len(), 14);
    for guard in guards {
        assert!(guard.is_guardrail() && !guard.permits, "{}", guard.id);
        let name = guard.id.trim_start_matches("guard/");
        assert!(tests.contains(&format!("\"{name}\"")), "{name}");
    }
}
