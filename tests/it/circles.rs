//! Circles and operations: to join takes two persons, to leave one; rosters stay at home unless two
//! persons give one to a member, and follow the circle from then on.

use std::path::PathBuf;

use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::Timestamp;
use liaison::pb::{self, draft::Content, partner_service_client::PartnerServiceClient};
use liaison::policy::ClientRole;
use tonic::Code;

use crate::fixture::{self, RunningNode, draft, eventually, introduce, settled};
use crate::forwarding::{ACCEPT, chain, consents, submit};
use crate::withheld::files_with;

const CIRCLE: &str = "quiet-circle-4471";

/// To the circle, and to nobody else.
const TO_THE_CIRCLE: &str = r#"
@id("agency/circle")
@title("Indicators go to the circle")
@agreement("Terms of the circle, article 2")
@owner("policy@police.example")
permit (
  principal in Liaison::Circle::"quiet-circle-4471",
  action == Liaison::Action::"share",
  resource is Liaison::Record
)
when { resource.kind == Liaison::Kind::"indicator" }
unless { resource.personal_data };
"#;

/// Those outside are given more, which no agency should write and every agency may.
const TO_OTHERS: &str = r#"
@id("agency/others")
@title("Indicators go to those outside the circle")
@agreement("None")
@owner("policy@police.example")
permit (
  principal is Liaison::Partner,
  action == Liaison::Action::"share",
  resource is Liaison::Record
)
when { resource.kind == Liaison::Kind::"indicator" }
unless { principal in Liaison::Circle::"quiet-circle-4471" }
unless { resource.personal_data };
"#;

fn in_circle(member: bool) -> pb::PartnerFacts {
    let circles = member.then(|| CIRCLE.to_owned()).into_iter().collect();
    let operations = vec![fixture::OPERATION.to_owned()];
    pb::PartnerFacts { circles, operations, ..pb::PartnerFacts::default() }
}

async fn change(
    node: &RunningNode,
    role: ClientRole,
    agency: &str,
    facts: pb::PartnerFacts,
) -> Result<Option<u64>, tonic::Status> {
    let mut client = PartnerServiceClient::new(node.channel(role).await);
    let request = pb::UpdatePartnerFactsRequest {
        agency: agency.to_owned(),
        facts: Some(facts),
        before: None,
    };
    let answer = client.update_partner_facts(request).await?.into_inner();
    Ok(answer.act.map(|act| act.proposal))
}

async fn decide(
    node: &RunningNode,
    role: ClientRole,
    proposal: u64,
) -> Result<bool, tonic::Status> {
    let channel = node.channel(role).await;
    let mut client = pb::act_service_client::ActServiceClient::new(channel);
    let decision = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
    Ok(client.decide_act(decision).await?.into_inner().carried_out)
}

async fn is_member(node: &RunningNode, agency: &str) -> bool {
    let facts = node.partner(agency).await.facts.unwrap_or_default();
    facts.circles.iter().any(|circle| circle == CIRCLE)
}

fn indicator(n: u32) -> pb::Draft {
    let value = format!("d{n}.example");
    let indicator =
        pb::Indicator { r#type: pb::ValueType::Domain.into(), value, ..pb::Indicator::default() };
    draft("", Content::Indicator(indicator))
}

#[tokio::test]
async fn joining_takes_a_second_person_leaving_one_and_rosters_stay_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", "").await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", fixture::CORE_ONLY).await;
    let vendor =
        RunningNode::fresh(dir.path(), "vendor.example", "vendor", fixture::CORE_ONLY).await;
    let nodes = [&police, &cert, &vendor];
    introduce(&nodes).await;

    let proposal =
        change(&police, ClientRole::Admin, "cert.example", in_circle(true)).await.unwrap().unwrap();
    assert!(!is_member(&police, "cert.example").await);
    police.approve(proposal).await;
    assert!(is_member(&police, "cert.example").await);
    police.apply_policy(TO_THE_CIRCLE).await;
    police.submit(vec![indicator(1)]).await;
    settled(&nodes).await;
    assert_eq!((cert.status().await.records, vendor.status().await.records), (1, 0));

    // Whoever asked does not decide, whatever the role.
    let proposal = change(&police, ClientRole::PolicyOfficer, "vendor.example", in_circle(true))
        .await
        .unwrap()
        .unwrap();
    let refused = decide(&police, ClientRole::PolicyOfficer, proposal).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("second person"), "{}", refused.message());

    // What was agreed otherwise meanwhile makes the approval void.
    let late = change(&police, ClientRole::Admin, "vendor.example", in_circle(true)).await.unwrap();
    let less = pb::PartnerFacts::default();
    assert_eq!(change(&police, ClientRole::Admin, "vendor.example", less).await.unwrap(), None);
    let refused = decide(&police, ClientRole::PolicyOfficer, late.unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(!is_member(&police, "vendor.example").await);

    // To leave is one person's act, at once.
    let left = change(&police, ClientRole::Admin, "cert.example", in_circle(false)).await.unwrap();
    assert_eq!(left, None);
    police.submit(vec![indicator(2)]).await;
    settled(&nodes).await;
    assert_eq!(
        cert.partner("police.example").await.received,
        police.partner("cert.example").await.feed_size
    );

    for partner in [&cert, &vendor] {
        assert_eq!(files_with(&partner.dir, CIRCLE), [] as [PathBuf; 0], "{}", partner.agency);
    }
    let directory = police.dir.clone();
    police.kill().await;
    let report = verify_directory(&directory, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
}

/// Members of the circle are shown whose data it is.
const VICTIMS_TO_THE_CIRCLE: &str = r#"
@id("agency/victims")
@title("The circle is shown victims")
@agreement("Terms of the circle, article 3")
@owner("policy@police.example")
permit (
  principal in Liaison::Circle::"quiet-circle-4471",
  action == Liaison::Action::"reveal:victim",
  resource is Liaison::Record
);
"#;

#[tokio::test]
async fn joining_what_is_shown_a_sensitive_class_takes_the_data_protection_officer_too() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", "").await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", fixture::CORE_ONLY).await;
    let vendor =
        RunningNode::fresh(dir.path(), "vendor.example", "vendor", fixture::CORE_ONLY).await;
    introduce(&[&police, &cert, &vendor]).await;
    let first = change(&police, ClientRole::Admin, "vendor.example", in_circle(true)).await;
    police.approve(first.unwrap().unwrap()).await;
    // Proposed under a policy that reveals nothing, approved under one that does: void.
    let early = change(&police, ClientRole::Admin, "cert.example", in_circle(true)).await.unwrap();
    police.apply_policy(&format!("{TO_THE_CIRCLE}{VICTIMS_TO_THE_CIRCLE}")).await;
    let refused = decide(&police, ClientRole::PolicyOfficer, early.unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("data protection officer"), "{}", refused.message());

    let late = change(&police, ClientRole::Admin, "cert.example", in_circle(true)).await.unwrap();
    let late = late.unwrap();
    assert!(!decide(&police, ClientRole::PolicyOfficer, late).await.unwrap());
    assert!(!is_member(&police, "cert.example").await);
    assert!(decide(&police, ClientRole::DataProtectionOfficer, late).await.unwrap());
    assert!(is_member(&police, "cert.example").await);
    let directory = police.dir.clone();
    police.kill().await;
    let report = verify_directory(&directory, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
}

#[tokio::test]
async fn leaving_waits_too_where_a_policy_gives_more_to_those_outside() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", "").await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", fixture::CORE_ONLY).await;
    introduce(&[&police, &cert]).await;
    let proposal =
        change(&police, ClientRole::Admin, "cert.example", in_circle(true)).await.unwrap();
    police.approve(proposal.unwrap()).await;
    police.apply_policy(TO_OTHERS).await;
    let waits = change(&police, ClientRole::Admin, "cert.example", in_circle(false)).await.unwrap();
    assert!(waits.is_some() && is_member(&police, "cert.example").await);
    police.approve(waits.unwrap()).await;
    eventually("the partner has left", async || !is_member(&police, "cert.example").await).await;
}

#[tokio::test]
async fn names_that_are_none_and_partners_that_are_none_are_refused_with_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", "").await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", fixture::CORE_ONLY).await;
    introduce(&[&police, &cert]).await;
    let before = police.journal().await;
    let bad = pb::PartnerFacts { circles: vec!["two words".into()], ..Default::default() };
    let refused = change(&police, ClientRole::Admin, "cert.example", bad).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("without white space"), "{}", refused.message());
    let refused =
        change(&police, ClientRole::Admin, "no.example", in_circle(true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let mut client = PartnerServiceClient::new(police.channel(ClientRole::Admin).await);
    let request = pb::UpdatePartnerFactsRequest {
        agency: "cert.example".into(),
        facts: Some(in_circle(true)),
        before: Some(pb::PartnerFacts {
            agreement_until_ms: Timestamp::MIN.unix_ms().unsigned_abs(),
            ..Default::default()
        }),
    };
    let refused = client.update_partner_facts(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("changed meanwhile"), "{}", refused.message());
    assert_eq!(police.journal().await, before);
}

async fn joins(node: &RunningNode, agency: &str) {
    let proposal = change(node, ClientRole::Admin, agency, in_circle(true)).await.unwrap();
    node.approve(proposal.unwrap()).await;
}

/// A TLP:GREEN indicator for the circle.
fn for_the_circle(n: u32) -> pb::Draft {
    let mut draft = indicator(n);
    let marking = draft.marking.as_mut().unwrap();
    marking.tlp = pb::Tlp::Green.into();
    marking.circles = Some(pb::CircleList { circles: vec![CIRCLE.to_owned()] });
    draft
}

fn the_roster() -> pb::ConsentSubject {
    pb::ConsentSubject {
        purpose: pb::ConsentPurpose::Circle.into(),
        circle: CIRCLE.to_owned(),
        scope: pb::ConsentScope::All.into(),
        ..Default::default()
    }
}

/// Asks the police for its roster, and gives it there by two persons.
async fn roster_is_given(police: &RunningNode, cert: &RunningNode) {
    let ask = pb::AskConsentRequest {
        originator: police.agency.to_string(),
        subject: Some(the_roster()),
        reason: "a vendor of ours may be a member".to_owned(),
    };
    consents(cert, ClientRole::Analyst).await.ask_consent(ask).await.unwrap();
    let mut request_entry = 0;
    eventually("the request arrives", async || {
        let mut client = consents(police, ClientRole::Auditor).await;
        let listed = client.list_consents(pb::ListConsentsRequest { open: true }).await.unwrap();
        let waiting = listed.into_inner().consents.into_iter();
        let mut waiting = waiting.filter(|v| v.standing() == pb::ConsentStanding::Waiting);
        request_entry = waiting.next().map_or(0, |view| view.entry);
        request_entry != 0
    })
    .await;
    let propose = pb::ProposeConsentRequest {
        request_entry,
        valid_until_ms: fixture::now().plus_ms(48 * 3_600_000).unix_ms().unsigned_abs(),
        ..Default::default()
    };
    let mut client = consents(police, ClientRole::Analyst).await;
    let act = client.propose_consent(propose).await.unwrap().into_inner().act.unwrap();
    police.approve(act.proposal).await;
}

#[tokio::test]
async fn a_circle_is_its_originators_and_whoever_leaves_it_loses_what_came_over_a_third_agency() {
    let dir = tempfile::tempdir().unwrap();
    let agencies =
        [("police.example", "police"), ("cert.example", "cert"), ("vendor.example", "vendor")];
    let [police, cert, vendor] = chain(dir.path(), agencies).await;
    let nodes = [&police, &cert, &vendor];
    // Two circles of one name: the vendor is in that of the cert and not in that of the police.
    joins(&police, "cert.example").await;
    joins(&cert, "vendor.example").await;
    let id = submit(&police, for_the_circle(1)).await;
    settled(&nodes).await;
    assert!(cert.uses(&id).await && !vendor.uses(&id).await);

    let channel = cert.channel(ClientRole::Analyst).await;
    let mut client = pb::record_service_client::RecordServiceClient::new(channel);
    let request =
        pb::ExplainDeliveryRequest { record_id: id.clone(), partner: "vendor.example".to_owned() };
    let answer = client.explain_delivery(request).await.unwrap().into_inner();
    let wanted = format!("liaison consent ask --all --circle {CIRCLE} --of police.example");
    assert!(answer.next.contains(&wanted), "{}", answer.next);

    // A roster without the vendor changes nothing; once the vendor is a member, it gets the record.
    roster_is_given(&police, &cert).await;
    settled(&nodes).await;
    assert!(!vendor.uses(&id).await);
    joins(&police, "vendor.example").await;
    eventually("the record reaches the member", async || vendor.uses(&id).await).await;

    let left = change(&police, ClientRole::Admin, "vendor.example", in_circle(false)).await;
    assert_eq!(left.unwrap(), None);
    eventually("the record is taken back", async || !vendor.uses(&id).await).await;
    let later = submit(&police, for_the_circle(2)).await;
    settled(&nodes).await;
    assert!(cert.uses(&later).await && !vendor.uses(&later).await);
    for node in [police, cert, vendor] {
        let directory = node.dir.clone();
        node.kill().await;
        let report = verify_directory(&directory, &AuditOptions::default()).unwrap();
        assert!(report.failure.is_none(), "{:?}", report.failure);
    }
}

#[tokio::test]
async fn members_of_a_circle_are_named_to_a_member_alone_and_by_two_persons() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", ACCEPT).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", ACCEPT).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", ACCEPT).await;
    introduce(&[&police, &cert, &vendor]).await;
    joins(&police, "cert.example").await;
    let give = |holder: &str| pb::ProposeConsentRequest {
        holder: holder.to_owned(),
        subject: Some(the_roster()),
        valid_until_ms: fixture::now().plus_ms(48 * 3_600_000).unix_ms().unsigned_abs(),
        ..Default::default()
    };
    let mut client = consents(&police, ClientRole::Analyst).await;
    let refused = client.propose_consent(give("vendor.example")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("is not in circle"), "{}", refused.message());
    // Members that changed since it was proposed were approved by nobody.
    let act = client.propose_consent(give("cert.example")).await.unwrap().into_inner().act.unwrap();
    joins(&police, "vendor.example").await;
    let refused = decide(&police, ClientRole::PolicyOfficer, act.proposal).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("propose it again"), "{}", refused.message());
}
