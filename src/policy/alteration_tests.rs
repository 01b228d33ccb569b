//! The classification of changes of policies, for each form of change.

use super::*;
use crate::testkit::policy::{agency, load, partner};

const SHARE: &str = r#"@id("a/share") @title("t") @agreement("a") @owner("o")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource)
when { resource.confidence >= 70 } unless { resource.personal_data };
"#;
const NOTES: &str = r#"@id("a/notes") @title("t") @agreement("a") @owner("o")
permit (principal is Liaison::Partner, action == Liaison::Action::"reveal:notes", resource)
when { principal.client };
"#;
const NO_DRAFTS: &str = r#"@id("a/no-drafts") @title("t")
forbid (principal is Liaison::Partner, action in Liaison::Action::"release", resource)
when { resource.labels.contains("draft") } unless { resource.personal_data };
"#;
const NO_NOTES: &str = r#"@id("a/no-notes") @title("t")
forbid (principal is Liaison::Partner, action in Liaison::Action::"reveal", resource)
when { resource.labels.contains("draft") };
"#;
const NOTHING_AT_ALL: &str = r#"@id("a/stop") @title("t")
forbid (principal is Liaison::Partner, action, resource) when { resource.labels.contains("stop") };
"#;

use PolicyChange::{Narrowing, Revealing, Widening};

#[track_caller]
fn check(before: &[&str], after: &[&str], expected: PolicyChange) {
    let [before, after] = [before, after].map(|texts| load(&texts.concat()).unwrap());
    assert_eq!(change_of(&before, &after), expected);
}

#[test]
fn nothing_or_only_words_about_a_policy_narrow() {
    check(&[], &[], Narrowing);
    check(&[SHARE, NOTES], &[NOTES, SHARE], Narrowing);
    let titled = SHARE.replace(r#"@title("t")"#, r#"@title("another")"#);
    check(&[SHARE], &["// a comment\n", &titled], Narrowing);
    let spaced = SHARE.replace("resource.confidence >= 70", "resource.confidence\n  >= 70 // x\n");
    check(&[SHARE], &[&spaced], Narrowing);
}

#[test]
fn a_policy_under_another_name_is_the_same_policy() {
    let renamed = NOTES.replace("a/notes", "b/notes");
    check(&[SHARE, NOTES], &[SHARE, &renamed], Narrowing);
    // Two that exchange their names have changed nothing either.
    let [one, two] = [SHARE.replace("a/share", "a/notes"), NOTES.replace("a/notes", "a/share")];
    check(&[SHARE, NOTES], &[&one, &two], Narrowing);
}

#[test]
fn a_permit_less_or_a_forbid_more_narrows() {
    check(&[SHARE, NOTES], &[SHARE], Narrowing);
    check(&[SHARE, NOTES], &[], Narrowing);
    check(&[SHARE], &[SHARE, NO_DRAFTS, NO_NOTES, NOTHING_AT_ALL], Narrowing);
}

#[test]
fn a_permit_that_is_new_or_another_widens_whatever_its_condition() {
    check(&[], &[SHARE], Widening);
    check(&[NOTES], &[NOTES, SHARE], Widening);
    check(&[SHARE], &[&SHARE.replace("70", "80")], Widening);
    check(
        &[SHARE],
        &[&SHARE.replace("is Liaison::Partner", "in Liaison::Circle::\"x\"")],
        Widening,
    );
    check(&[SHARE], &[&SHARE.replace("when", "unless")], Widening);
    let accept = SHARE.replace("\"share\"", "\"accept\"");
    check(&[], &[&accept], Widening);
}

#[test]
fn a_forbid_that_is_gone_or_another_widens() {
    check(&[SHARE, NO_DRAFTS], &[SHARE], Widening);
    check(&[NO_DRAFTS], &[&NO_DRAFTS.replace("draft", "raw")], Widening);
    // One of two that say the same is one less.
    let twin = NO_DRAFTS.replace("a/no-drafts", "b/no-drafts");
    check(&[NO_DRAFTS, &twin], &[NO_DRAFTS], Widening);
}

#[test]
fn what_concerns_a_sensitive_class_reveals() {
    check(&[SHARE], &[SHARE, NOTES], Revealing);
    check(&[NOTES], &[&NOTES.replace("reveal:notes", "reveal:links")], Revealing);
    check(&[NOTES], &[&NOTES.replace("principal.client", "!principal.client")], Revealing);
    check(&[], &[&NOTES.replace("== Liaison::Action::\"reveal:notes\"", "")], Revealing);
    check(&[NO_NOTES], &[], Revealing);
    check(&[NOTHING_AT_ALL], &[], Revealing);
    check(&[NO_NOTES], &[&NO_NOTES.replace("draft", "raw")], Revealing);
}

#[test]
fn a_permit_that_becomes_a_forbid_narrows_and_the_other_way_round_widens() {
    let forbid = SHARE.replace("permit (", "forbid (");
    check(&[SHARE], &[&forbid], Narrowing);
    check(&[&forbid], &[SHARE], Widening);
}

#[test]
fn the_largest_change_counts_and_each_is_told_with_its_id() {
    let before = load(&[SHARE, NO_DRAFTS].concat()).unwrap();
    let after = load(&[&SHARE.replace("70", "80"), NOTES].concat()).unwrap();
    let found = alterations(&before, &after);
    let told: Vec<_> = found
        .iter()
        .map(|a| (a.before.map(|s| &*s.id), a.after.map(|s| &*s.id), a.change()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("a/share"), Some("a/share"), Widening),
            (None, Some("a/notes"), Revealing),
            (Some("a/no-drafts"), None, Widening),
        ]
    );
    assert_eq!(change_of(&before, &after), Revealing);
}

#[test]
fn of_two_that_say_the_same_the_one_that_is_gone_is_told() {
    let twin = NO_DRAFTS.replace("a/no-drafts", "b/no-drafts");
    let [before, after] =
        [&[NO_DRAFTS, &twin][..], &[&twin]].map(|texts| load(&texts.concat()).unwrap());
    let found = alterations(&before, &after);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].before.map(|s| &*s.id), Some("a/no-drafts"));
    assert!(found[0].after.is_none());
}

#[test]
fn a_change_may_release_to_whom_its_heads_speak_of() {
    let member = partner();
    let stranger = PartnerFacts { agency: agency("b.example"), circles: vec![], ..partner() };
    let to_member =
        |text: &str| text.replace("is Liaison::Partner", "in Liaison::Circle::\"fraud\"");
    for (before, after, expected) in [
        ("", SHARE, [true, true]),
        ("", &to_member(SHARE), [true, false]),
        (&to_member(NO_DRAFTS), "", [true, false]),
        // Less is released, or nothing but a class is shown.
        (SHARE, "", [false, false]),
        ("", NO_DRAFTS, [false, false]),
        ("", NOTES, [false, false]),
        ("", &SHARE.replace("\"share\"", "\"forward\""), [true, true]),
        ("", &SHARE.replace("\"share\"", "\"accept\""), [false, false]),
    ] {
        let [before, after] = [before, after].map(|text| load(text).unwrap());
        let found = alterations(&before, &after);
        assert_eq!([&member, &stranger].map(|facts| found[0].may_release(facts)), expected);
    }
}

#[test]
fn a_change_is_written_and_read_back_and_has_a_name() {
    for (change, name) in
        [(Narrowing, "narrowing"), (Widening, "widening"), (Revealing, "revealing")]
    {
        assert_eq!(PolicyChange::from_wire(change.to_wire()), Some(change));
        assert_eq!((change.name(), change.to_string()), (name, name.to_owned()));
    }
    assert_eq!(PolicyChange::from_wire(pb::PolicyChange::Unspecified), None);
}

#[test]
fn a_permit_that_may_show_personal_data_reveals_and_one_that_excepts_it_widens() {
    let share = |clauses: &str| SHARE.replace("unless { resource.personal_data }", clauses);
    for excepted in [
        "unless { resource.personal_data }",
        "when { !resource.personal_data }",
        "when { !resource.personal_data && !resource.orcon }",
        "unless { resource.orcon || resource.personal_data }",
    ] {
        check(&[], &[&share(excepted)], Widening);
    }
    for shown in [
        "",
        "when { resource.personal_data }",
        "unless { !resource.personal_data }",
        "unless { resource.orcon && resource.personal_data }",
        "when { !resource.personal_data || resource.orcon }",
    ] {
        check(&[], &[&share(shown)], Revealing);
    }
    let forbid = NO_DRAFTS.replace("unless { resource.personal_data }", "");
    check(&[SHARE, &forbid], &[SHARE], Revealing);
}
