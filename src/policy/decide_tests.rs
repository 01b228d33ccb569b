//! Decisions: default deny, fail closed, each class for itself.

use super::*;
use crate::policy::Sector;
use crate::record::marking::Tlp;
use crate::testkit::policy::{
    OWN, agency, any_partner, any_record, compiled, foreign_record, hour, partner, record, sample,
};
use proptest::prelude::*;

impl PartnerPolicy {
    /// The decision, and whether the record is accepted, by one plain request to Cedar for each
    /// question.
    pub(in crate::policy) fn plainly(
        &self,
        record: &RecordFacts,
        policy_hour: &PolicyHour,
    ) -> (Decision, Verdict) {
        let store = self.store_with(record).unwrap();
        let ask = |action: Action| {
            let request = cedar::request(self.uid(), action, policy_hour).unwrap();
            plain(self.slice(action), &request, &store)
        };
        let action = self.release_action(record);
        let release = ask(action.action());
        let (mut revealed, mut classes) = (ClassSet::EMPTY, vec![]);
        if release.allowed {
            let verdict = |class| match self.slice(Action::Reveal(class)).can_permit() {
                true => ask(Action::Reveal(class)),
                false => Verdict::default(),
            };
            classes.extend(SlotClass::SENSITIVE.map(|class| (class, verdict(class))));
            revealed = classes.iter().filter(|(_, v)| v.allowed).map(|(class, _)| *class).collect();
            revealed = revealed.with(SlotClass::Core);
        }
        (Decision { action, release, revealed, classes }, ask(Action::Accept))
    }

    /// Returns true if every question can be asked in parts as long as no part errs.
    pub(in crate::policy) fn is_in_parts(&self) -> bool {
        let asked = |action: &Action| {
            !matches!(action, Action::Reveal(_)) || self.slice(*action).can_permit()
        };
        Action::ALL.iter().filter(|a| asked(a)).all(|a| self.slice(*a).rules.is_some())
    }
}

/// Decides, and compares the decision with Cedar's answer to the whole.
#[track_caller]
pub(in crate::policy) fn decide_both_ways(
    compiled: &Compiled,
    partner: &PartnerFacts,
    record: &RecordFacts,
) -> Decision {
    let policy = compiled.for_partner(partner);
    let decision = policy.decide(record, &hour(0));
    let (plain, accepts) = policy.plainly(record, &hour(0));
    assert_eq!(decision, plain, "{record:?}");
    assert_eq!(policy.accepts(record, &hour(0)), accepts, "{record:?}");
    decision
}

const HEAD: &str = r#"@title("t") @agreement("a") @owner("o")"#;

#[test]
fn an_empty_bundle_denies_everything() {
    let nothing = compiled("");
    let decision = nothing.decide(&partner(), &record(), &hour(0));
    assert_eq!(decision.release, Verdict::default());
    assert_eq!(decision.revealed, ClassSet::EMPTY);
    assert_eq!(nothing.accepts(&partner(), &record(), &hour(0)), Verdict::default());
}

#[test]
fn a_release_names_its_permits_and_reveals_the_core_alone() {
    let record = RecordFacts { operation: Some("chakra".to_owned()), ..record() };
    let mut cert = partner();
    let decision = sample([]).decide(&cert, &record, &hour(0));
    assert_eq!(decision.release.deciding, ["agency/cert-operations", "agency/pilot-2026"]);
    assert_eq!(decision.action, ReleaseAction::Share);
    assert_eq!(decision.revealed, ClassSet::CORE.with(SlotClass::Links));
    cert.sector = Sector::Regulator;
    let decision = sample([]).decide(&cert, &record, &hour(0));
    assert_eq!(decision.revealed, ClassSet::CORE);
}

#[test]
fn a_class_needs_a_permit_of_its_own() {
    let police = PartnerFacts { sector: Sector::Police, ..partner() };
    let named = RecordFacts {
        releasable_to: Some(vec![agency("cert.example")]),
        personal_data: true,
        jurisdictions: vec!["FR".to_owned()],
        ..record()
    };
    let decision = sample([]).decide(&police, &named, &hour(0));
    let expected = [SlotClass::Core, SlotClass::Victim, SlotClass::Reporter, SlotClass::Links];
    assert_eq!(decision.revealed, expected.into_iter().collect());
    let source = &decision.classes[2];
    assert_eq!(*source, (SlotClass::Source, Verdict::default()));
}

#[test]
fn a_class_is_not_revealed_where_the_release_is_denied() {
    let reveal = compiled(&format!(
        "@id(\"r\") {HEAD} permit (principal in Liaison::Circle::\"fraud\", \
         action in Liaison::Action::\"reveal\", resource);"
    ));
    let decision = reveal.decide(&partner(), &record(), &hour(0));
    assert_eq!((decision.revealed, decision.classes.len()), (ClassSet::EMPTY, 0));
}

#[test]
fn our_own_record_is_shared_and_that_of_another_forwarded() {
    let everything = sample([]);
    let action = |record| everything.decide(&partner(), &record, &hour(0)).action;
    assert_eq!(action(record()), ReleaseAction::Share);
    assert_eq!(action(foreign_record()), ReleaseAction::Forward);
}

#[test]
fn what_is_accepted_is_a_decision_of_its_own() {
    let policy = sample([]);
    let accepted = policy.accepts(&partner(), &foreign_record(), &hour(0));
    assert_eq!(
        (accepted.allowed, &accepted.deciding[..]),
        (true, &["agency/accept".to_owned()][..])
    );
    let red = RecordFacts { tlp: Tlp::Red, ..foreign_record() };
    assert!(!policy.accepts(&partner(), &red, &hour(0)).allowed);
    let stranger = PartnerFacts { circles: vec![], ..partner() };
    assert!(!policy.accepts(&stranger, &foreign_record(), &hour(0)).allowed);
}

#[test]
fn a_permit_that_errs_denies_what_another_permits() {
    let policy = compiled(&format!(
        "@id(\"good\") {HEAD} permit (principal in Liaison::Circle::\"fraud\", action, resource);\n\
         @id(\"bad\") {HEAD} permit (principal, action, resource) \
         when {{ resource.confidence * 1000000000000000000 > 5 }};"
    ));
    let decision = policy.decide(&partner(), &record(), &hour(0));
    assert!(decision.erred() && !decision.release.allowed);
    assert_eq!(decision.revealed, ClassSet::EMPTY);
    assert!(decision.release.deciding.is_empty());
    assert_eq!(decision.release.faults[0].policy, "bad");
    assert!(decision.release.faults[0].reason.contains("overflow"), "{decision:?}");
    let small = RecordFacts { confidence: 3, ..record() };
    assert!(policy.decide(&partner(), &small, &hour(0)).release.allowed);
}

#[test]
fn a_class_that_errs_is_withheld_and_told() {
    let policy = compiled(&format!(
        "@id(\"good\") {HEAD} permit (principal in Liaison::Circle::\"fraud\", action, resource);\n\
         @id(\"bad\") {HEAD} permit (principal, action == Liaison::Action::\"reveal:notes\", resource) \
         when {{ resource.confidence * 1000000000000000000 > 5 }};"
    ));
    let decision = policy.decide(&partner(), &record(), &hour(0));
    assert!(decision.erred() && decision.release.allowed);
    assert!(!decision.revealed.contains(SlotClass::Notes));
    assert!(decision.revealed.contains(SlotClass::Reporter));
}

#[test]
fn a_class_that_no_permit_reveals_has_no_reasons() {
    let policy = compiled(&format!(
        "@id(\"share\") {HEAD} permit (principal in Liaison::Circle::\"fraud\", \
         action == Liaison::Action::\"share\", resource);\n\
         @id(\"no-victims\") @title(\"t\") forbid (principal, \
         action == Liaison::Action::\"reveal:victim\", resource);"
    ));
    let decision = policy.decide(&partner(), &record(), &hour(0));
    assert_eq!(decision.revealed, ClassSet::CORE);
    assert!(decision.classes.iter().all(|(_, verdict)| *verdict == Verdict::default()));
}

/// A policy left out of a slice cannot decide; one that is in it without need costs time at each
/// decision.
#[test]
fn a_slice_holds_what_concerns_partner_and_action_and_no_more() {
    let heads = [
        ("any", "principal", "action"),
        ("is", "principal is Liaison::Partner", "action == Liaison::Action::\"share\""),
        ("me", "principal == Liaison::Partner::\"cert.example\"", "action"),
        ("other", "principal == Liaison::Partner::\"police.example\"", "action"),
        ("in-me", "principal in Liaison::Partner::\"cert.example\"", "action"),
        (
            "mine",
            "principal in Liaison::Circle::\"fraud\"",
            "action in Liaison::Action::\"release\"",
        ),
        ("theirs", "principal in Liaison::Circle::\"ransomware\"", "action"),
        (
            "is-mine",
            "principal is Liaison::Partner in Liaison::Circle::\"fraud\"",
            "action in [Liaison::Action::\"share\", Liaison::Action::\"reveal:notes\"]",
        ),
        ("is-theirs", "principal is Liaison::Partner in Liaison::Circle::\"ransomware\"", "action"),
        ("reveal", "principal", "action in Liaison::Action::\"reveal\""),
        // Names of one kind are not names of another.
        ("circle-me", "principal in Liaison::Circle::\"cert.example\"", "action"),
        ("agency-mine", "principal in Liaison::Partner::\"fraud.example\"", "action"),
    ];
    let text: String = heads
        .iter()
        .map(|(id, principal, action)| {
            format!("@id(\"{id}\") {HEAD} permit ({principal}, {action}, resource) when {{ resource.orcon }};\n")
        })
        .collect();
    let circles = vec!["fraud".to_owned(), "fraud.example".to_owned()];
    let bundle = Bundle::unchecked(&text);
    let policy = Compiled::new(Arc::new(bundle), agency("npa.example"), [])
        .for_partner(&PartnerFacts { circles, ..partner() });
    let held = |action: Action| -> Vec<&str> {
        let statements = policy.slice(action).statements.iter();
        statements.filter(|s| !s.is_guardrail()).map(|s| &*s.id).collect()
    };
    assert_eq!(held(Action::Share), ["any", "is", "me", "in-me", "mine", "is-mine"]);
    assert_eq!(held(Action::Forward), ["any", "me", "in-me", "mine"]);
    assert_eq!(held(Action::Accept), ["any", "me", "in-me"]);
    let notes = held(Action::Reveal(SlotClass::Notes));
    assert_eq!(notes, ["any", "me", "in-me", "is-mine", "reveal"]);
    let victim = held(Action::Reveal(SlotClass::Victim));
    assert_eq!(victim, ["any", "me", "in-me", "reveal"]);
    let guards = |action: Action| {
        policy.slice(action).statements.iter().filter(|s| s.is_guardrail()).count()
    };
    assert_eq!(guards(Action::Share), 5);
    assert_eq!(guards(Action::Forward), 13);
    assert_eq!(guards(Action::Accept), 1);
    assert_eq!(guards(Action::Reveal(SlotClass::Links)), 5);
}

#[test]
fn a_policy_hour_without_its_hour_denies() {
    let policy = sample([]).for_partner(&partner());
    let record = RecordFacts { operation: Some("chakra".to_owned()), ..record() };
    assert!(policy.decide(&record, &hour(0)).release.allowed);
    let store = policy.store_with(&record).unwrap();
    let request = Request::new(
        policy.uid().clone(),
        Action::Share.uid(),
        cedar::record_uid().clone(),
        cedar_policy::Context::empty(),
        None,
    );
    let (slice, request) = (policy.slice(Action::Share), request.unwrap());
    let verdict = plain(slice, &request, &store);
    assert!(!verdict.allowed && !verdict.faults.is_empty(), "{verdict:?}");
    let rules = slice.rules.as_ref().unwrap();
    assert_eq!(Asking::new(&policy.questions, &store).ask(rules, &request), None);
}

#[test]
fn a_partner_whose_facts_make_no_entity_gets_nothing() {
    let values = (0..=crate::policy::TAG_VALUES_MAX).map(|n| n.to_string()).collect();
    let partner = PartnerFacts { tags: [("t".to_owned(), values)].into(), ..partner() };
    let decision = sample([]).decide(&partner, &record(), &hour(0));
    assert!(!decision.release.allowed && decision.erred());
}

#[test]
fn labels_of_any_letters_are_compared_as_they_are() {
    for label in ["日本", "a\"b", "\\", "\n", "\u{301}", "*", ""] {
        let policy = compiled(&format!(
            "@id(\"p\") {HEAD} permit (principal, action, resource) \
             when {{ resource.labels.contains(\"{}\") }};",
            label.escape_debug()
        ));
        let with = |labels: &[&str]| {
            let labels = labels.iter().map(|l| (*l).to_owned()).collect();
            policy.decide(&partner(), &RecordFacts { labels, ..record() }, &hour(0)).release.allowed
        };
        assert!(with(&[label]) && with(&["x", label]), "{label:?}");
        assert!(!with(&[]) && !with(&["x"]), "{label:?}");
    }
}

#[test]
fn a_partner_is_judged_by_its_facts_of_now() {
    let policy = sample([partner()]);
    let record = RecordFacts { operation: Some("chakra".to_owned()), ..record() };
    assert!(policy.decide(&partner(), &record, &hour(0)).release.allowed);
    let suspended = PartnerFacts { suspended: true, ..partner() };
    assert!(!policy.decide(&suspended, &record, &hour(0)).release.allowed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_slice_decides_like_the_whole_bundle(partner in any_partner(), record in any_record()) {
        let compiled = sample([]);
        let policy = compiled.for_partner(&partner);
        let all = compiled.bundle().statements().iter().map(|s| s.policy.clone());
        let all = PolicySet::from_policies(all).unwrap();
        let store = cedar::partner_store(&agency(OWN), &partner, Action::ALL).unwrap();
        let store = cedar::with_record(&store, &record).unwrap();
        for action in Action::ALL {
            let request = cedar::request(policy.uid(), action, &hour(0)).unwrap();
            let whole = verdict(&AUTHORIZER.is_authorized(&request, &all, &store));
            let sliced = policy.ask(action, &mut Asking::new(&policy.questions, &store), &hour(0));
            let plainly = plain(policy.slice(action), &request, &store);
            if policy.slice(action).can_permit() {
                prop_assert_eq!(&whole, &sliced);
                prop_assert_eq!(whole, plainly);
            } else {
                prop_assert!(!whole.allowed && !sliced.allowed);
            }
        }
    }

    #[test]
    fn red_never_leaves_whatever_the_facts(partner in any_partner(), record in any_record()) {
        let record = RecordFacts { tlp: Tlp::Red, ..record };
        prop_assert!(!sample([]).decide(&partner, &record, &hour(0)).release.allowed);
    }
}

#[test]
fn a_partner_that_did_not_change_is_not_compiled_again() {
    let (kept, changed) = (partner(), PartnerFacts { agency: agency("b.example"), ..partner() });
    let suspended = PartnerFacts { suspended: true, ..changed.clone() };
    let before = sample([kept.clone(), changed.clone()]);
    let after = before.with_partners([kept.clone(), suspended.clone()]);
    assert!(Arc::ptr_eq(&before.for_partner(&kept), &after.for_partner(&kept)));
    assert!(!after.partners.contains_key(&changed));
    assert!(after.partners.contains_key(&suspended));
}
