//! The life of a sharing policy: diff, proposal, approvals, activation, rollback, log; and everything
//! that is refused on the way. Nothing here looks into a node but by its rpcs and an offline audit.

use crate::fixture::{
    self, OPERATION, PROGRAM, RunningNode, SECOND_OFFICER, audited, indicator, policy_file,
};
use liaison::pb::policy_service_client::PolicyServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, PolicyChange};
use std::path::Path;
use std::process::Output;
use tonic::{Code, Status};

const DPO: &str = "data-protection-officer";
const OFFICER: &str = "policy-officer";

/// The core of everything in the operation but personal data, so that no data protection officer is asked.
const CORE_ONLY: &str = r#"
@id("test/accept") @title("We take records of the operation") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"accept", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };

@id("test/share") @title("The operation is shared") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) }
unless { resource.personal_data };
"#;

/// Beside [`CORE_ONLY`]: notes for everybody.
const NOTES: &str = r#"
@id("test/notes") @title("Notes go along") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"reveal:notes", resource)
when { resource.kind == Liaison::Kind::"indicator" };
"#;

/// Beside [`CORE_ONLY`]: what is marked as a draft stays here.
const NO_DRAFTS: &str = r#"
@id("test/no-drafts") @title("Drafts stay here")
forbid (principal is Liaison::Partner, action in Liaison::Action::"release", resource)
when { resource.labels.contains("draft") } unless { resource.personal_data };
"#;

/// Shows records with a label to the partner of that name, without personal data, and nothing else.
fn by_label() -> String {
    every_by_label().replace(" };\n", " } unless { resource.personal_data };\n")
}

/// The same with personal data.
fn every_by_label() -> String {
    let one = |id: &str| {
        format!(
            r#"@id("test/{id}") @title("What is labelled {id} goes to it") @agreement("none")
@owner("test@test.example")
permit (principal == Liaison::Partner::"{id}.example", action == Liaison::Action::"share", resource)
when {{ resource.labels.contains("{id}") }};
"#
        )
    };
    ["cert", "vendor"].map(one).concat()
}

async fn policies(
    node: &RunningNode,
    client: &str,
) -> PolicyServiceClient<tonic::transport::Channel> {
    PolicyServiceClient::new(node.channel_of(client).await)
}

async fn diff(node: &RunningNode, text: &str) -> pb::PolicyDifference {
    node.compare_policy(vec![policy_file(text)]).await.unwrap().1
}

async fn apply(node: &RunningNode, text: &str) -> Result<pb::ApplyPolicyResponse, Status> {
    let request = pb::ApplyPolicyRequest {
        files: vec![policy_file(text)],
        note: "as agreed".to_owned(),
        ..pb::ApplyPolicyRequest::default()
    };
    policies(node, OFFICER).await.apply_policy(request).await.map(tonic::Response::into_inner)
}

async fn roll_back(node: &RunningNode, version: u64) -> Result<pb::ApplyPolicyResponse, Status> {
    let mut client = policies(node, OFFICER).await;
    let request = pb::ComparePolicyRequest { files: Vec::new(), version };
    let mut answers = client.compare_policy(request).await?.into_inner();
    while answers.message().await?.is_some() {}
    let request = pb::ApplyPolicyRequest { version, ..pb::ApplyPolicyRequest::default() };
    client.apply_policy(request).await.map(tonic::Response::into_inner)
}

/// The act that a bundle waits for; it must wait.
async fn proposed(node: &RunningNode, text: &str) -> pb::ActView {
    diff(node, text).await;
    let answer = apply(node, text).await.unwrap();
    assert_eq!(answer.version, 0);
    answer.act.unwrap()
}

async fn version(node: &RunningNode) -> u64 {
    node.status().await.policy_version
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(words), "{status}");
}

fn labelled(value: &str, label: &str) -> pb::Draft {
    pb::Draft { labels: vec![label.to_owned()], ..indicator(value, "seen twice") }
}

async fn set_circles(node: &RunningNode, agency: &str, circles: &[&str]) {
    let facts = pb::PartnerFacts {
        operations: vec![OPERATION.to_owned()],
        circles: circles.iter().map(|circle| (*circle).to_owned()).collect(),
        ..pb::PartnerFacts::default()
    };
    let agency = agency.to_owned();
    let request = pb::UpdatePartnerFactsRequest { agency, facts: Some(facts), before: None };
    let changed = node.admin().await.update_partner_facts(request).await.unwrap().into_inner();
    node.decide(OFFICER, changed.act.unwrap().proposal, true).await.unwrap();
}

/// A node with two partners, without any policy yet.
async fn police(parent: &Path) -> RunningNode {
    let police = RunningNode::fresh(parent, "police.example", "police", CORE_ONLY).await;
    for (agency, sector) in [("cert.example", "cert"), ("vendor.example", "vendor")] {
        let other = parent.join(agency);
        fixture::make(&other, agency, sector, CORE_ONLY);
        let card = std::fs::read_to_string(other.join("card.txt")).unwrap();
        let number = liaison::partner::Card::verify(&card).unwrap().number().to_string();
        police.add_partner(&card, &number).await;
    }
    police
}

fn liaison(node: &RunningNode, client: &str, args: &[&str]) -> Output {
    std::process::Command::new(PROGRAM)
        .args(args)
        .arg("--client")
        .arg(node.profile_named(client))
        .output()
        .unwrap()
}

fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_policy_that_shows_more_takes_its_own_diff_and_another_officer() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    node.submit(vec![indicator("a.example", "x"), labelled("b.example", "draft")]).await;
    refused(apply(&node, CORE_ONLY).await, Code::FailedPrecondition, "was never compared with");
    let shown = diff(&node, CORE_ONLY).await;
    assert_eq!(
        (shown.change(), shown.records, shown.partners.len()),
        (PolicyChange::Widening, 2, 2)
    );
    let cert = &shown.partners[0];
    assert_eq!(cert.agency, "cert.example");
    let newly = cert.shown.as_ref().unwrap();
    assert_eq!((newly.records, newly.personal_data, newly.samples.len()), (2, 0, 2));
    assert_eq!(newly.samples[0].policies, ["test/share"]);
    assert!(cert.revealed.is_empty() && cert.hidden.is_none());
    // One space more is another bundle.
    refused(
        apply(&node, &format!("{CORE_ONLY} ")).await,
        Code::FailedPrecondition,
        "a file that was changed after its diff makes another bundle",
    );
    let answer = apply(&node, CORE_ONLY).await.unwrap();
    let act = answer.act.unwrap();
    assert_eq!((answer.version, act.wanted_roles.as_slice()), (0, &[OFFICER.to_owned()][..]));
    assert_eq!(version(&node).await, 0);
    refused(
        node.decide(OFFICER, act.proposal, true).await,
        Code::PermissionDenied,
        "ask a second person",
    );
    for client in ["analyst", DPO] {
        refused(node.decide(client, act.proposal, true).await, Code::NotFound, "no act");
    }
    refused(
        apply(&node, CORE_ONLY).await,
        Code::FailedPrecondition,
        "proposes this bundle already",
    );
    assert!(node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    assert_eq!(version(&node).await, 1);
    refused(node.decide(SECOND_OFFICER, act.proposal, true).await, Code::NotFound, "no act");
    refused(apply(&node, CORE_ONLY).await, Code::FailedPrecondition, "in force already");
    audited(&node);
}

#[tokio::test]
async fn one_officer_narrows_at_once_and_the_way_back_takes_two() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    node.apply_policy(CORE_ONLY).await;
    node.submit(vec![indicator("a.example", "x"), labelled("b.example", "draft")]).await;
    // Words about a policy do not change what it shows.
    let commented = format!("// another comment\n{CORE_ONLY}");
    let nothing = diff(&node, &commented).await;
    assert_eq!(nothing.change(), PolicyChange::Narrowing);
    assert!(nothing.partners.is_empty() && nothing.statements.is_empty());
    assert_eq!(apply(&node, &commented).await.unwrap().version, 2);
    let narrower = format!("{commented}{NO_DRAFTS}");
    let shown = diff(&node, &narrower).await;
    assert_eq!(shown.change(), PolicyChange::Narrowing);
    let hidden = shown.partners[0].hidden.as_ref().unwrap();
    assert_eq!(
        (hidden.records, &hidden.samples[0].policies[..]),
        (1, &["test/no-drafts".into()][..])
    );
    assert_eq!(hidden.samples[0].policies_before, ["test/share"]);
    let answer = apply(&node, &narrower).await.unwrap();
    assert_eq!((answer.version, answer.act), (3, None));
    // A rollback is a policy like any other.
    let answer = roll_back(&node, 2).await.unwrap();
    let act = answer.act.unwrap();
    assert_eq!(
        (answer.change, act.wanted_roles),
        (PolicyChange::Widening.into(), vec![OFFICER.into()])
    );
    assert!(node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    let log =
        policies(&node, "auditor").await.list_policies(pb::ListPoliciesRequest::default()).await;
    let versions = log.unwrap().into_inner().versions;
    let told: Vec<_> = versions
        .iter()
        .map(|view| {
            let applied = view.applied.as_ref().unwrap();
            let approvals: Vec<_> = view.approvals.iter().map(|d| d.client.as_str()).collect();
            (applied.version, applied.change(), applied.restores, approvals)
        })
        .collect();
    assert_eq!(
        told,
        [
            (4, PolicyChange::Widening, 2, vec![SECOND_OFFICER]),
            (3, PolicyChange::Narrowing, 0, vec![]),
            (2, PolicyChange::Narrowing, 0, vec![]),
            (1, PolicyChange::Widening, 0, vec![SECOND_OFFICER]),
        ]
    );
    assert_eq!(versions[0].applied.as_ref().unwrap().newly_shown, 2);
    assert_eq!(versions[1].applied.as_ref().unwrap().note, "as agreed");
    let request = pb::GetPolicyRequest { version: 3, bundle_hash: Default::default() };
    let third = policies(&node, DPO).await.get_policy(request).await.unwrap().into_inner();
    assert_eq!(third.files, [policy_file(&narrower)]);
    refused(roll_back(&node, 9).await, Code::NotFound, "never had a version 9");
    audited(&node);
}

#[tokio::test]
async fn a_class_that_a_partner_was_shown_none_of_takes_the_data_protection_officer_too() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    node.apply_policy(CORE_ONLY).await;
    node.submit(vec![indicator("a.example", "found by an undercover agent")]).await;
    let revealing = format!("{CORE_ONLY}{NOTES}");
    let shown = diff(&node, &revealing).await;
    assert_eq!(shown.change(), PolicyChange::Revealing);
    let class = &shown.partners[0].revealed[0];
    assert_eq!((class.class.as_str(), class.records, class.first), ("notes", 1, true));
    assert_eq!(class.samples[0].policies, ["test/notes"]);
    assert!(shown.partners[0].shown.is_none());
    let act = proposed(&node, &revealing).await;
    assert_eq!(act.wanted_roles, [DPO, OFFICER]);
    // She sees what she decides on, and no content of any record.
    let Some(pb::act::Act::ApplyPolicy(policy)) = act.proposed.unwrap().act.unwrap().act else {
        panic!("another act");
    };
    assert_eq!((policy.partners, policy.revealed.as_slice()), (2, &["notes".to_owned()][..]));
    let request = pb::GetPolicyDifferenceRequest { comparison: policy.comparison };
    let seen = policies(&node, DPO).await.get_policy_difference(request).await.unwrap();
    assert_eq!(seen.into_inner().difference.unwrap().partners, shown.partners);
    let request = pb::GetPolicyRequest { version: 0, bundle_hash: policy.bundle_hash };
    let text = policies(&node, DPO).await.get_policy(request).await.unwrap().into_inner();
    assert_eq!(text.files, [policy_file(&revealing)]);
    let mut records = RecordServiceClient::new(node.channel_of(DPO).await);
    let denied = records.get_record(pb::GetRecordRequest::default()).await;
    refused(denied, Code::PermissionDenied, "may not call");
    assert!(!node.decide(DPO, act.proposal, true).await.unwrap().carried_out);
    assert_eq!(version(&node).await, 1);
    refused(node.decide(DPO, act.proposal, true).await, Code::PermissionDenied, "already");
    assert!(node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    assert_eq!(version(&node).await, 2);
    // From here on the partners have notes, so that more records with notes take two officers.
    let wider = revealing.replace("&& principal.operations.contains(resource.operation)", "");
    assert_eq!(proposed(&node, &wider).await.wanted_roles, [OFFICER]);
    audited(&node);
}

#[tokio::test]
async fn either_of_those_who_must_approve_can_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    let text = format!("{CORE_ONLY}{NOTES}");
    let act = proposed(&node, &text).await;
    assert!(!node.decide(DPO, act.proposal, false).await.unwrap().carried_out);
    refused(node.decide(SECOND_OFFICER, act.proposal, true).await, Code::NotFound, "no act");
    assert_eq!(version(&node).await, 0);
    // The diff still stands, so that it can be proposed again.
    assert!(apply(&node, &text).await.unwrap().act.is_some());
    audited(&node);
}

#[tokio::test]
async fn what_changed_since_the_diff_makes_it_void() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    let act = proposed(&node, CORE_ONLY).await;
    set_circles(&node, "cert.example", &["fraud"]).await;
    let changed = "a partner was added or changed after the diff";
    refused(
        node.decide(SECOND_OFFICER, act.proposal, true).await,
        Code::FailedPrecondition,
        changed,
    );
    refused(apply(&node, CORE_ONLY).await, Code::FailedPrecondition, changed);
    // A suspension takes one person and changes nothing of what was looked at.
    let act = proposed(&node, &by_label()).await;
    node.set_state("cert.example", pb::PartnerState::Suspended).await;
    assert!(node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    assert_eq!(version(&node).await, 1);
    let act = proposed(&node, CORE_ONLY).await;
    node.apply_policy(&format!("{}{NO_DRAFTS}", by_label())).await;
    refused(
        node.decide(SECOND_OFFICER, act.proposal, true).await,
        Code::FailedPrecondition,
        "version 2 is in force now",
    );
    audited(&node);
}

#[tokio::test]
async fn a_suspended_partner_is_shown_in_the_diff_as_it_will_be_once_it_is_active() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    node.submit(vec![labelled("a.example", "cert")]).await;
    node.set_state("cert.example", pb::PartnerState::Suspended).await;
    node.set_state("vendor.example", pb::PartnerState::Revoked).await;
    let shown = diff(&node, &by_label()).await;
    assert_eq!((shown.partners_compared, shown.partners.len()), (1, 1));
    assert!(shown.partners[0].suspended);
    assert_eq!(shown.partners[0].shown.as_ref().unwrap().records, 1);
}

#[tokio::test]
async fn more_of_what_was_approved_is_put_in_force_and_another_partner_or_person_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    node.submit(vec![labelled("a.example", "cert")]).await;
    let act = proposed(&node, &every_by_label()).await;
    node.decide(DPO, act.proposal, true).await.unwrap();
    node.submit(vec![labelled("b.example", "vendor")]).await;
    refused(
        node.decide(SECOND_OFFICER, act.proposal, true).await,
        Code::FailedPrecondition,
        "newly shows records for vendor.example",
    );
    assert_eq!(version(&node).await, 0);
    // With a diff that shows both it is another thing to approve.
    let act_again = {
        node.decide(SECOND_OFFICER, act.proposal, false).await.unwrap();
        proposed(&node, &every_by_label()).await
    };
    let mut personal = labelled("c.example", "cert");
    if let Some(marking) = &mut personal.marking {
        marking.personal_data = true;
        marking.jurisdictions = vec!["JP".to_owned()];
    }
    node.decide(DPO, act_again.proposal, true).await.unwrap();
    node.submit(vec![personal]).await;
    refused(
        node.decide(SECOND_OFFICER, act_again.proposal, true).await,
        Code::FailedPrecondition,
        "records with personal data for cert.example",
    );
    node.decide(SECOND_OFFICER, act_again.proposal, false).await.unwrap();
    let act = proposed(&node, &every_by_label()).await;
    let more = (0..5).map(|n| labelled(&format!("more-{n}.example"), "cert"));
    node.submit(more.collect()).await;
    node.decide(DPO, act.proposal, true).await.unwrap();
    assert!(node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    let log =
        policies(&node, "admin").await.list_policies(pb::ListPoliciesRequest::default()).await;
    let first = log.unwrap().into_inner().versions.remove(0);
    assert_eq!(first.applied.unwrap().newly_shown, 8);
    assert_eq!(first.compared.unwrap().newly_shown, 3);
    audited(&node);
}

#[tokio::test]
async fn records_under_a_hold_and_those_that_never_go_back_are_in_no_count() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    let held = node.submit(vec![indicator("a.example", "x"), indicator("b.example", "y")]).await;
    let mut analyst = node.analyst().await;
    let request = pb::RestrictRecordRequest {
        record_id: held[0].record_id.clone(),
        reason: "a court wants it".to_owned(),
    };
    analyst.restrict_record(request).await.unwrap();
    let shown = diff(&node, CORE_ONLY).await;
    assert_eq!(shown.records, 2);
    assert_eq!(shown.partners[0].shown.as_ref().unwrap().records, 1);
}

#[tokio::test]
async fn a_proposal_outlives_the_process_and_its_bytes_are_those_that_are_approved() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    let act = proposed(&node, CORE_ONLY).await;
    let (place, agency) = (node.dir.clone(), node.agency.clone());
    node.kill().await;
    let node = RunningNode::start(&place, &agency).await;
    let kept = std::fs::read_dir(place.join("policies")).unwrap().next().unwrap().unwrap().path();
    let file = kept.join("10-sharing.cedar");
    std::fs::write(&file, format!("{CORE_ONLY}{NOTES}")).unwrap();
    refused(
        node.decide(SECOND_OFFICER, act.proposal, true).await,
        Code::FailedPrecondition,
        "apply the bundle again with the files that were proposed",
    );
    std::fs::write(&file, CORE_ONLY).unwrap();
    let result = std::fs::read_dir(place.join("comparisons")).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(result.path()).unwrap();
    std::fs::write(result.path(), [&bytes[..], b"\x58\x01"].concat()).unwrap();
    refused(
        node.decide(SECOND_OFFICER, act.proposal, true).await,
        Code::FailedPrecondition,
        "altered",
    );
    std::fs::write(result.path(), bytes).unwrap();
    assert!(node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    node.kill().await;
    let node = RunningNode::start(&place, &agency).await;
    assert_eq!(version(&node).await, 1);
    audited(&node);
}

#[tokio::test]
async fn examples_travel_with_the_bundle_and_are_part_of_what_is_approved() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    let examples = |text: &str| pb::PolicyFile { name: "10.test.toml".into(), text: text.into() };
    let files = |text: &str| vec![policy_file(CORE_ONLY), examples(text)];
    let holds = "[[case]]\nname = \"nothing of no operation\"\nexpect = \"deny\"\n";
    let fails = holds.replace("deny", "allow");
    refused(
        node.compare_policy(files(&fails)).await,
        Code::InvalidArgument,
        "the example \"nothing of no operation\" fails",
    );
    node.compare_policy(files(holds)).await.unwrap();
    let mut officer = policies(&node, OFFICER).await;
    let request = |files| {
        let request = pb::ApplyPolicyRequest { files, ..pb::ApplyPolicyRequest::default() };
        let mut officer = officer.clone();
        async move { officer.apply_policy(request).await.map(tonic::Response::into_inner) }
    };
    let more = format!("{holds}# more\n");
    refused(request(files(&more)).await, Code::FailedPrecondition, "was never compared");
    refused(request(files(&fails)).await, Code::InvalidArgument, "fails");
    let act = request(files(holds)).await.unwrap().act.unwrap();
    node.decide(SECOND_OFFICER, act.proposal, true).await.unwrap();
    let in_force = officer.get_policy(pb::GetPolicyRequest::default()).await.unwrap().into_inner();
    assert_eq!(in_force.files, files(holds));
    let strange = vec![pb::PolicyFile { name: "10.toml".into(), text: String::new() }];
    refused(
        node.compare_policy(strange).await,
        Code::InvalidArgument,
        "is not a file name of a bundle",
    );
    audited(&node);
}

#[tokio::test]
async fn an_unsound_bundle_an_unknown_marking_and_a_circle_without_a_partner_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    set_circles(&node, "cert.example", &["fraud"]).await;
    let with = |condition: &str| {
        CORE_ONLY
            .replace("resource has operation", &format!("resource has operation && {condition}"))
    };
    for (condition, found) in [
        ("resource.tlp == Liaison::Tlp::\"AMBR\"", "AMBR"),
        ("resource.pap == Liaison::Pap::\"WHITE\"", "WHITE"),
        ("resource.title == \"x\"", "title"),
        ("principal in Liaison::Circle::\"fraude\"", "did you mean \"fraud\"?"),
        ("principal in Liaison::Circle::\"anti-phishing\"", "names the circle \"anti-phishing\""),
    ] {
        let answer = node.compare_policy(vec![policy_file(&with(condition))]).await;
        refused(answer, Code::InvalidArgument, found);
        refused(apply(&node, &with(condition)).await, Code::InvalidArgument, found);
    }
    node.compare_policy(vec![policy_file(&with("principal in Liaison::Circle::\"fraud\""))])
        .await
        .unwrap();
    let mut client = node.analyst().await;
    let mut unmarked = indicator("a.example", "");
    unmarked.marking = None;
    let mut unknown = indicator("b.example", "");
    unknown.marking.as_mut().unwrap().tlp = 77;
    let mut none = indicator("c.example", "");
    none.marking.as_mut().unwrap().pap = 0;
    let request = pb::SubmitRecordsRequest { drafts: vec![unmarked, unknown, none] };
    let results = client.submit_records(request).await.unwrap().into_inner().results;
    for (result, field) in results.iter().zip(["marking", "marking.tlp", "marking.pap"]) {
        assert_eq!(result.outcome(), pb::DraftOutcome::Refused, "{result:?}");
        assert!(result.field.contains("marking"), "{field}: {result:?}");
        assert!(!result.reason.is_empty(), "{field}");
    }
    assert_eq!(version(&node).await, 0);
    audited(&node);
}

#[tokio::test]
async fn an_officer_goes_the_whole_way_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let node = police(dir.path()).await;
    node.submit(vec![labelled("a.example", "cert")]).await;
    let bundle = dir.path().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    let place = bundle.to_str().unwrap();
    let write = |text: &str| std::fs::write(bundle.join("10-sharing.cedar"), text).unwrap();
    write("permit (");
    let unsound = liaison(&node, OFFICER, &["policy", "diff", place]);
    assert_eq!(unsound.status.code(), Some(5), "{}", words(&unsound));
    write(&format!("{}{NOTES}", by_label()));
    let early = liaison(&node, OFFICER, &["policy", "apply", place]);
    assert_eq!(early.status.code(), Some(9), "{}", words(&early));
    let shown = liaison(&node, OFFICER, &["policy", "diff", place]);
    assert_eq!(shown.status.code(), Some(0), "{}", words(&shown));
    let text = words(&shown);
    for part in [
        "change      REVEALING",
        "new permit: test/notes \"Notes go along\" (10-sharing.cedar:10); may reveal sensitive fields",
        "newly shown: 1 record, none with personal data",
        "indicator, TLP:GREEN, permitted by test/cert",
        "newly revealed: fields of class notes of 1 record",
        "vendor.example\n  may reveal: fields of class notes of records to come",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let waits = liaison(&node, OFFICER, &["policy", "apply", place, "--note", "agreed on 3 May"]);
    let text = words(&waits);
    assert!(text.contains("waits for  data-protection-officer and policy-officer"), "{text}");
    let act = text.split("act ").nth(1).and_then(|rest| rest.split(';').next()).unwrap().to_owned();
    let own = liaison(&node, OFFICER, &["acts", "approve", &act]);
    assert_eq!(own.status.code(), Some(5), "{}", words(&own));
    let looked = words(&liaison(&node, DPO, &["acts", "show", &act]));
    assert!(looked.contains("note       agreed on 3 May"), "{looked}");
    assert!(looked.contains("newly revealed: fields of class notes"), "{looked}");
    let first = words(&liaison(&node, DPO, &["acts", "approve", &act]));
    assert!(first.contains("another approval is needed"), "{first}");
    let last = words(&liaison(&node, SECOND_OFFICER, &["acts", "approve", &act]));
    assert!(last.contains("approved and carried out"), "{last}");
    let log = words(&liaison(&node, "auditor", &["policy", "log"]));
    for part in [DPO, SECOND_OFFICER, "revealing", "+1 −0, reveals notes", "agreed on 3 May"] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    let nothing_before = liaison(&node, OFFICER, &["policy", "rollback"]);
    assert_eq!(nothing_before.status.code(), Some(9), "{}", words(&nothing_before));
}
