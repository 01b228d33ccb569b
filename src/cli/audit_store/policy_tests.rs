//! A policy in force without what it needs is found: comparison, approvals, roles, order.

use super::fixtures::{Node, POLICY};
use super::tests::verified;
use super::*;
use crate::audit::Check;
use crate::pb::{self, act::Act, journal_entry::Event};

/// The entries: comparison, proposal, approval, the policy in force.
const COMPARED: usize = 0;
const PROPOSED: usize = 1;
const DECIDED: usize = 2;
const APPLIED: usize = 3;

fn found(change: impl FnOnce(&mut Vec<Event>)) -> Option<Check> {
    verified(&Node::with_policy(change)).failure.map(|failure| failure.fault.check)
}

fn compared(events: &mut [Event]) -> &mut pb::PolicyCompared {
    match &mut events[COMPARED] {
        Event::PolicyCompared(compared) => compared,
        other => panic!("{other:?}"),
    }
}

fn proposed(events: &mut [Event]) -> &mut pb::ActProposed {
    match &mut events[PROPOSED] {
        Event::ActProposed(proposed) => proposed,
        other => panic!("{other:?}"),
    }
}

fn act(events: &mut [Event]) -> &mut pb::ApplyPolicyAct {
    match proposed(events).act.as_mut().unwrap().act.as_mut().unwrap() {
        Act::ApplyPolicy(act) => act,
        other => panic!("{other:?}"),
    }
}

fn decided(events: &mut [Event]) -> &mut pb::ActDecided {
    match &mut events[DECIDED] {
        Event::ActDecided(decided) => decided,
        other => panic!("{other:?}"),
    }
}

fn applied(events: &mut [Event]) -> &mut pb::PolicyApplied {
    match &mut events[APPLIED] {
        Event::PolicyApplied(applied) => applied,
        other => panic!("{other:?}"),
    }
}

fn set_change(events: &mut [Event], change: pb::PolicyChange) {
    compared(events).change = change.into();
    act(events).change = change.into();
    applied(events).change = change.into();
}

#[test]
fn a_policy_that_another_officer_approved_is_sound() {
    assert!(POLICY.contains("permit"), "it widens");
    assert_eq!(found(|_| {}), None);
}

#[test]
fn a_policy_must_follow_from_a_comparison_of_exactly_that_bundle_beside_what_was_in_force() {
    let check = Some(Check::PolicyApproval);
    assert_eq!(found(|events| applied(events).comparison = 2), check);
    assert_eq!(found(|events| compared(events).bundle_hash = vec![7; 32].into()), check);
    assert_eq!(found(|events| compared(events).facts_hash = vec![7; 32].into()), check);
    let form = Some(Check::EntryForm);
    assert_eq!(found(|events| compared(events).base_hash = vec![7; 32].into()), form);
    assert_eq!(found(|events| compared(events).difference_hash.clear()), form);
    assert_eq!(found(|events| compared(events).change = 0), form);
    assert_eq!(found(|events| compared(events).client.clear()), form);
    assert_eq!(found(|events| compared(events).journal_size = 6), form);
}

#[test]
fn what_widens_must_not_be_called_narrowing_nor_what_reveals_widening() {
    let alone = |events: &mut Vec<Event>| {
        set_change(events, pb::PolicyChange::Narrowing);
        let applied = applied(events);
        (applied.proposal, applied.decisions) = (0, Vec::new());
        events.drain(PROPOSED..=DECIDED);
    };
    assert_eq!(found(alone), Some(Check::PolicyApproval));
    let other =
        |events: &mut Vec<Event>| applied(events).change = pb::PolicyChange::Revealing.into();
    assert_eq!(found(other), Some(Check::PolicyApproval));
}

#[test]
fn without_an_act_that_was_just_approved_over_it_no_policy_may_show_more() {
    let check = Some(Check::PolicyApproval);
    let unapproved = |events: &mut Vec<Event>| drop(events.remove(DECIDED));
    assert_eq!(found(unapproved), check);
    assert_eq!(found(|events| applied(events).proposal = 0), check);
    assert_eq!(found(|events| applied(events).decisions.clear()), check);
    assert_eq!(found(|events| applied(events).client = "another".into()), check);
    assert_eq!(found(|events| act(events).bundle_hash = vec![7; 32].into()), check);
    assert_eq!(found(|events| act(events).comparison = 2), check);
    let twice = |events: &mut Vec<Event>| {
        let mut again = applied(events).clone();
        again.version = 2;
        again.previous_hash = again.bundle_hash.clone();
        events.push(Event::PolicyApplied(again));
    };
    assert_eq!(found(twice), check);
}

#[test]
fn approvals_are_of_other_people_in_the_right_roles() {
    let check = Some(Check::Act);
    assert_eq!(found(|events| decided(events).client = "officer".into()), check);
    assert_eq!(found(|events| decided(events).client.clear()), check);
    for role in ["analyst", "admin", "data-protection-officer", "nobody", ""] {
        assert_eq!(found(|events| decided(events).role = role.into()), check, "{role}");
    }
    assert_eq!(found(|events| proposed(events).role = "analyst".into()), check);
    assert_eq!(found(|events| decided(events).proposal = 3), check);
    // It takes nothing more, so that it can't still wait.
    assert_eq!(found(|events| decided(events).closes = false), check);
}

#[test]
fn what_reveals_takes_the_data_protection_officer_too() {
    let officer_alone = |events: &mut Vec<Event>| set_change(events, pb::PolicyChange::Revealing);
    assert_eq!(found(officer_alone), Some(Check::Act));
    let both = |events: &mut Vec<Event>| {
        set_change(events, pb::PolicyChange::Revealing);
        decided(events).closes = false;
        let dpo = pb::ActDecided {
            client: "mori".into(),
            role: "data-protection-officer".into(),
            closes: true,
            ..decided(events).clone()
        };
        applied(events).decisions.push(8);
        events.insert(APPLIED, Event::ActDecided(dpo));
    };
    assert_eq!(found(both), None);
    let two_officers = |events: &mut Vec<Event>| {
        set_change(events, pb::PolicyChange::Revealing);
        decided(events).closes = false;
        let other =
            pb::ActDecided { client: "third".into(), closes: true, ..decided(events).clone() };
        events.insert(APPLIED, Event::ActDecided(other));
    };
    assert_eq!(found(two_officers), Some(Check::Act));
}

#[test]
fn one_officer_narrows_and_nobody_else() {
    let narrowed = |role: &str, facts: fn(&mut pb::PolicyCompared)| {
        let node = Node::with_policy(|_| {});
        let view = node.journal.view().snapshot();
        let base = view.state.policy.clone().unwrap();
        let nothing = crate::audit::bundle_hash(&BundleFiles::new());
        let bundle = node.path().join("policies").join(nothing.to_string());
        std::fs::create_dir_all(&bundle).unwrap();
        let hash = Bytes::copy_from_slice(nothing.as_bytes());
        let change = pb::PolicyChange::Narrowing.into();
        let first = view.size;
        let (_, event) = node.journal.view().event(5).unwrap();
        let Event::PolicyCompared(before) = event else { panic!("{event:?}") };
        let mut compared = pb::PolicyCompared {
            bundle_hash: hash.clone(),
            base_hash: base.bundle_hash.clone(),
            change,
            ..before
        };
        facts(&mut compared);
        let applied = pb::PolicyApplied {
            version: 2,
            bundle_hash: hash,
            previous_hash: base.bundle_hash,
            client: "officer".into(),
            role: role.to_owned(),
            comparison: first,
            change,
            ..pb::PolicyApplied::default()
        };
        node.commit(move |t| {
            t.append(Event::PolicyCompared(compared))?;
            t.append(Event::PolicyApplied(applied))
        });
        verified(&node).failure.map(|failure| failure.fault.check)
    };
    assert_eq!(narrowed("policy-officer", |_| {}), None);
    assert_eq!(narrowed("analyst", |_| {}), Some(Check::PolicyApproval));
    let other_partners = |compared: &mut pb::PolicyCompared| {
        compared.facts_hash = vec![9; 32].into();
    };
    assert_eq!(narrowed("policy-officer", other_partners), Some(Check::PolicyApproval));
}
