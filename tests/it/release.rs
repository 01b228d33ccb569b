//! The release of unusual disclosures: they wait for two persons while all others go on. A
//! disclosure that these two refuse never goes.

use std::path::Path;

use bytes::Bytes;
use liaison::node::config::{Config, Release};
use liaison::pb::act_service_client::ActServiceClient;
use liaison::pb::release_service_client::ReleaseServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::policy::{ClientRole, LearningRule, Reasons};
use tonic::Code;

use crate::fixture::{self, CORE_ONLY, RunningNode, audited, canary, draft, indicator, settled};
use crate::forwarding::{ACCEPT, ONWARD, everything_to};

const CERT: &str = "cert.example";
/// Shares nothing any more.
const NOTHING: &str = r#"
@id("test/accept-only")
@title("We only take records")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"accept", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };
"#;

/// A police node with this brake and a cert that it knows.
async fn pair(parent: &Path, release: Release) -> (RunningNode, RunningNode) {
    let dir = parent.join("police.example");
    fixture::make(&dir, "police.example", "police", CORE_ONLY);
    let mut config = Config::load(&dir).unwrap();
    config.release = release;
    config.store(&dir).unwrap();
    let police = RunningNode::start(&dir, "police.example").await;
    let cert = RunningNode::fresh(parent, CERT, "cert", CORE_ONLY).await;
    fixture::introduce(&[&police, &cert]).await;
    (police, cert)
}

/// The normal of a partner is known as soon as it got anything.
fn at_once() -> Release {
    Release { learning_days: 0, ..Release::default() }
}

fn victim() -> pb::Draft {
    let subject = pb::Subject {
        r#type: pb::SubjectType::Person.into(),
        role: pb::SubjectRole::Victim.into(),
        country: "JP".to_owned(),
        name: canary("name"),
        ..pb::Subject::default()
    };
    let mut draft = draft(&canary("key"), Content::Subject(subject));
    let marking = draft.marking.as_mut().unwrap();
    (marking.personal_data, marking.jurisdictions) = (true, vec!["JP".to_owned()]);
    draft
}

async fn submit(node: &RunningNode, draft: pb::Draft) -> Bytes {
    node.submit(vec![draft]).await.remove(0).record_id
}

async fn held(node: &RunningNode) -> Vec<(String, u64)> {
    let mut client = ReleaseServiceClient::new(node.channel(ClientRole::Auditor).await);
    let request = pb::ListHeldRequest { agency: CERT.to_owned() };
    let bundles = client.list_held(request).await.unwrap().into_inner().bundles;
    let text = |rules| Reasons::from_bits(rules).unwrap().to_string();
    bundles.iter().map(|bundle| (text(bundle.rules), bundle.records)).collect()
}

async fn propose(
    node: &RunningNode,
    rules: &str,
    released: bool,
) -> Result<pb::ActView, tonic::Status> {
    let mut client = ReleaseServiceClient::new(node.channel(ClientRole::Analyst).await);
    let request = pb::ProposeReleaseRequest {
        agency: CERT.to_owned(),
        rules: rules.parse::<Reasons>().unwrap().bits(),
        released,
        reason: "it was looked at".to_owned(),
    };
    Ok(client.propose_release(request).await?.into_inner().act.unwrap())
}

async fn approve(
    node: &RunningNode,
    role: ClientRole,
    proposal: u64,
) -> Result<pb::DecideActResponse, tonic::Status> {
    let mut client = ActServiceClient::new(node.channel(role).await);
    let decision = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
    Ok(client.decide_act(decision).await?.into_inner())
}

/// An analyst asks and a policy officer approves.
async fn decide(node: &RunningNode, rules: &str, released: bool) {
    let act = propose(node, rules, released).await.unwrap();
    let author = approve(node, ClientRole::Analyst, act.proposal).await.unwrap_err();
    assert_eq!(author.code(), Code::PermissionDenied);
    let done = approve(node, ClientRole::PolicyOfficer, act.proposal).await.unwrap();
    assert!(done.carried_out);
}

/// The actions on a record that an auditor finds in the journal and the feeds, in their order.
fn ledger(node: &RunningNode, id: &Bytes) -> Vec<String> {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let output = std::process::Command::new(fixture::PROGRAM)
        .args(["audit", "ledger", "-o", "json", "--record", &id])
        .arg(&node.dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = document["disclosures"].as_array().unwrap();
    rows.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_unusual_waits_for_two_persons_and_everything_else_arrives() {
    let parent = tempfile::tempdir().unwrap();
    let (police, cert) = pair(parent.path(), at_once()).await;
    let first = submit(&police, indicator(&canary(".example"), "")).await;
    settled(&[&police, &cert]).await;
    let waits = submit(&police, victim()).await;
    let usual = submit(&police, indicator(&canary(".example"), "")).await;
    settled(&[&police, &cert]).await;
    for (id, is_there) in [(&first, true), (&waits, false), (&usual, true)] {
        assert_eq!(cert.view(ClientRole::Auditor, id).await.is_some(), is_there);
    }
    let bundle = [("new-kind+personal-data".to_owned(), 1)];
    assert_eq!(held(&police).await, bundle);
    assert_eq!(police.partner(CERT).await.held, 1);

    // A restart and a new index forget nothing and hold nothing twice.
    let police = police.started_anew().await;
    settled(&[&police, &cert]).await;
    assert_eq!(held(&police).await, bundle);
    let none = propose(&police, "volume", true).await.unwrap_err();
    assert_eq!(none.code(), Code::FailedPrecondition, "{none}");
    let act = propose(&police, "new-kind+personal-data", true).await.unwrap();
    let again = propose(&police, "personal-data+new-kind", false).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "one act on a bundle at a time: {again}");
    // What came after the act was proposed is not part of it.
    let later = submit(&police, victim()).await;
    settled(&[&police, &cert]).await;
    assert!(approve(&police, ClientRole::PolicyOfficer, act.proposal).await.unwrap().carried_out);
    fixture::eventually("what was released arrives", async || {
        cert.view(ClientRole::Auditor, &waits).await.is_some()
    })
    .await;
    settled(&[&police, &cert]).await;
    assert!(cert.view(ClientRole::Auditor, &later).await.is_none());
    assert_eq!(held(&police).await, [("new-kind+personal-data".to_owned(), 1)]);
    // The kind is known now, so that the next one is nothing unusual.
    let next = submit(&police, victim()).await;
    fixture::eventually("the next of the kind arrives", async || {
        cert.view(ClientRole::Auditor, &next).await.is_some()
    })
    .await;
    assert_eq!(ledger(&police, &waits), ["held", "released", "disclose"]);
    assert_eq!(ledger(&police, &later), ["held"]);
    audited(&police);
    audited(&cert);
}

#[tokio::test]
async fn what_two_persons_refuse_never_goes_and_no_later_revision_under_its_tlp_slips_through() {
    let parent = tempfile::tempdir().unwrap();
    let (police, cert) = pair(parent.path(), at_once()).await;
    let (value, under) = (canary(".example"), |tlp: pb::Tlp, value: &str, notes: &str| {
        let mut draft = indicator(value, notes);
        draft.marking.as_mut().unwrap().tlp = tlp.into();
        draft
    });
    let green = submit(&police, under(pb::Tlp::Green, &value, "one")).await;
    settled(&[&police, &cert]).await;
    let wider = submit(&police, under(pb::Tlp::Clear, &value, "two")).await;
    settled(&[&police, &cert]).await;
    assert!(
        cert.view(ClientRole::Auditor, &green).await.is_some()
            && cert.view(ClientRole::Auditor, &wider).await.is_none()
    );
    decide(&police, "loosened-marking", false).await;
    let third = submit(&police, under(pb::Tlp::Clear, &value, "three")).await;
    settled(&[&police, &cert]).await;
    let strict = submit(&police, under(pb::Tlp::Green, &value, "four")).await;
    settled(&[&police, &cert]).await;
    let police = police.started_anew().await;
    settled(&[&police, &cert]).await;
    for (id, is_there) in [(&wider, false), (&third, false), (&strict, true)] {
        assert_eq!(cert.view(ClientRole::Auditor, id).await.is_some(), is_there);
    }
    assert_eq!(held(&police).await, [("loosened-marking".to_owned(), 1)]);
    assert_eq!(ledger(&police, &wider), ["held", "refused"]);
    audited(&police);
    audited(&cert);
}

#[tokio::test]
async fn a_new_partner_gets_green_core_fields_and_waits_for_what_is_sensitive() {
    let parent = tempfile::tempdir().unwrap();
    let (police, cert) = pair(parent.path(), Release::default()).await;
    assert!(police.partner(CERT).await.learning);
    let green = submit(&police, indicator(&canary(".example"), "words")).await;
    let amber = {
        let mut draft = indicator(&canary(".example"), "words");
        draft.marking.as_mut().unwrap().tlp = pb::Tlp::Amber.into();
        submit(&police, draft).await
    };
    let victim = submit(&police, victim()).await;
    settled(&[&police, &cert]).await;
    for (id, is_there) in [(&green, true), (&amber, false), (&victim, false)] {
        assert_eq!(cert.view(ClientRole::Auditor, id).await.is_some(), is_there);
    }
    assert_eq!(held(&police).await, [("new-partner".to_owned(), 2)]);
    let view = police.partner(CERT).await;
    assert!(view.learning && view.learning_until_ms > 0, "the first disclosure began them");
    decide(&police, "new-partner", true).await;
    fixture::eventually("what was released arrives", async || {
        cert.view(ClientRole::Auditor, &victim).await.is_some()
    })
    .await;
    assert!(cert.view(ClientRole::Auditor, &amber).await.is_some());
    audited(&police);
}

#[tokio::test]
async fn a_revision_that_drops_originator_control_waits_for_two_persons() {
    let parent = tempfile::tempdir().unwrap();
    let limits = Release { learning: LearningRule::Off, ..Release::default() };
    let (police, cert) = pair(parent.path(), limits).await;
    let value = canary(".example");
    let under = |orcon: bool, notes: &str| {
        let mut draft = indicator(&value, notes);
        draft.marking.as_mut().unwrap().orcon = orcon;
        draft
    };
    let strict = submit(&police, under(true, "one")).await;
    settled(&[&police, &cert]).await;
    let loose = submit(&police, under(false, "two")).await;
    settled(&[&police, &cert]).await;
    assert!(
        cert.view(ClientRole::Auditor, &strict).await.is_some()
            && cert.view(ClientRole::Auditor, &loose).await.is_none()
    );
    assert_eq!(held(&police).await, [("loosened-marking".to_owned(), 1)]);
    audited(&police);
}

#[tokio::test]
async fn a_flood_is_one_bundle_and_policy_decides_anew_when_it_is_released() {
    let parent = tempfile::tempdir().unwrap();
    let limits = Release { volume_floor: 30, volume_factor: 1, ..at_once() };
    let (police, cert) = pair(parent.path(), limits).await;
    submit(&police, indicator(&canary(".example"), "")).await;
    settled(&[&police, &cert]).await;
    for _ in 0..3 {
        let flood = (0..60).map(|_| indicator(&canary(".example"), ""));
        police.submit(flood.collect()).await;
    }
    settled(&[&police, &cert]).await;
    assert_eq!(cert.status().await.records, 30);
    assert_eq!(held(&police).await, [("volume".to_owned(), 151)]);

    police.apply_policy(NOTHING).await;
    decide(&police, "volume", true).await;
    settled(&[&police, &cert]).await;
    assert_eq!(held(&police).await, []);
    assert_eq!(cert.status().await.records, 30, "policy had the last word");
    audited(&police);
}

#[tokio::test]
async fn what_another_agency_floods_this_node_with_holds_back_no_record_of_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("police.example");
    fixture::make(&dir, "police.example", "police", CORE_ONLY);
    let mut config = Config::load(&dir).unwrap();
    let learnt = Release { learning: LearningRule::Off, ..at_once() };
    config.release = Release { volume_floor: 5, volume_factor: 1, new_kind: false, ..learnt };
    config.store(&dir).unwrap();
    let police = RunningNode::start(&dir, "police.example").await;
    let shares = format!("{ACCEPT}{}", everything_to("police"));
    let vendor = RunningNode::fresh(parent.path(), "vendor.example", "vendor", &shares).await;
    let cert = RunningNode::fresh(parent.path(), CERT, "cert", ACCEPT).await;
    fixture::introduce(&[&police, &vendor, &cert]).await;
    police.apply_policy(&format!("{ACCEPT}{ONWARD}{}", everything_to("cert"))).await;
    let nodes = [&vendor, &police, &cert];
    let clear = || {
        let mut draft = indicator(&canary(".example"), "");
        draft.marking.as_mut().unwrap().tlp = pb::Tlp::Clear.into();
        draft
    };
    submit(&police, clear()).await;
    settled(&nodes).await;
    let flood = vendor.submit((0..20).map(|_| clear()).collect()).await;
    assert_eq!(flood.len(), 20);
    settled(&nodes).await;
    settled(&nodes).await;
    let flood = [("volume+passed-on".to_owned(), 15)];
    assert_eq!(held(&police).await, flood);
    let own = submit(&police, clear()).await;
    settled(&nodes).await;
    assert!(cert.view(ClientRole::Auditor, &own).await.is_some());
    assert_eq!(cert.status().await.records, 7, "two of the police and five of the vendor");

    // A restart and a new index count both apart, and what is its own is still counted.
    let police = police.started_anew().await;
    let nodes = [&vendor, &police, &cert];
    police.submit((0..4).map(|_| clear()).collect()).await;
    settled(&nodes).await;
    let mut waiting = held(&police).await;
    waiting.sort();
    assert_eq!(waiting, [&[("volume".to_owned(), 1)][..], &flood].concat());
    assert_eq!(cert.status().await.records, 10);
    // What is its own is released without what was passed on.
    decide(&police, "volume", true).await;
    settled(&nodes).await;
    assert_eq!(held(&police).await, flood);
    assert_eq!(cert.status().await.records, 11);
    audited(&police);
    audited(&cert);
}
