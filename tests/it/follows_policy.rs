//! Every feed follows the policy in force: what was accepted long ago is brought when the policy
//! widens and taken back when it narrows, with receipts, through restarts, and down a chain.

use bytes::Bytes;
use liaison::pb::partner_service_client::PartnerServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::policy::ClientRole;

use crate::fixture::{self, RunningNode, draft, eventually, indicator, introduce, settled};
use crate::verify_export::holds_for_the_script;

const POLICE: &str = "police.example";
const VENDOR: &str = "vendor.example";
const CERT: &str = "cert.example";

/// Slots of an indicator: its notes and the cases that it belongs to.
const NOTES: usize = 11;
const CASES: usize = 12;

/// A policy of one sentence; `when` is a condition on the record.
fn permit(id: &str, action: &str, when: &str) -> String {
    format!(
        r#"
@id("test/{id}")
@title("{id}")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action in [{action}], resource is Liaison::Record)
when {{ {when} }};
"#
    )
}

/// A condition that every record meets.
const ALL: &str = "resource.confidence >= 0";
const ACCEPT: &str = r#"Liaison::Action::"accept""#;
const RELEASE: &str = r#"Liaison::Action::"share", Liaison::Action::"forward""#;
const REVEAL_NOTES: &str = r#"Liaison::Action::"reveal:notes""#;
const REVEAL_LINKS: &str = r#"Liaison::Action::"reveal:links""#;

/// Takes everything and shares nothing.
fn nothing() -> String {
    permit("accept", ACCEPT, ALL)
}

/// Shares what meets a condition.
fn sharing(when: &str) -> String {
    nothing() + &permit("release", RELEASE, when)
}

/// Shares what meets a condition, with the cases and records that it refers to.
fn linking(when: &str) -> String {
    sharing(when) + &permit("links", REVEAL_LINKS, ALL)
}

/// Marks a record so that partners may pass it on.
fn clear(mut draft: pb::Draft, label: &str) -> pb::Draft {
    if let Some(marking) = &mut draft.marking {
        marking.tlp = pb::Tlp::Clear.into();
    }
    draft.labels = vec![label.to_owned()];
    draft
}

async fn records(node: &RunningNode) -> RecordServiceClient<tonic::transport::Channel> {
    RecordServiceClient::new(node.channel(ClientRole::Auditor).await)
}

async fn slot(node: &RunningNode, id: &Bytes, number: usize) -> pb::SlotState {
    let view = node.view(ClientRole::Auditor, id).await.unwrap();
    view.envelope.as_ref().unwrap().slots[number - 1].state()
}

async fn retractions(node: &RunningNode, outstanding: bool) -> Vec<pb::RetractionView> {
    let request = pb::ListRetractionsRequest { outstanding, ..Default::default() };
    records(node).await.list_retractions(request).await.unwrap().into_inner().retractions
}

async fn set_facts(node: &RunningNode, agency: &str, change: impl FnOnce(&mut pb::PartnerFacts)) {
    let mut facts = node.partner(agency).await.facts.unwrap();
    change(&mut facts);
    let request = pb::UpdatePartnerFactsRequest {
        agency: agency.to_owned(),
        facts: Some(facts),
        before: None,
    };
    let mut client = PartnerServiceClient::new(node.channel(ClientRole::Admin).await);
    // What only narrows is in force at once.
    let answer = client.update_partner_facts(request).await.unwrap().into_inner();
    if let Some(act) = answer.act {
        node.approve(act.proposal).await;
    }
}

fn audited(node: &RunningNode) {
    fixture::audited(node);
    holds_for_the_script(&node.dir);
}

async fn pair(parent: &std::path::Path) -> (RunningNode, RunningNode) {
    let police = RunningNode::fresh(parent, POLICE, "police", &nothing()).await;
    let vendor = RunningNode::fresh(parent, VENDOR, "vendor", &nothing()).await;
    introduce(&[&police, &vendor]).await;
    (police, vendor)
}

#[tokio::test]
async fn a_feed_widens_and_narrows_with_the_policy_and_every_retraction_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    let nodes = [&police, &vendor];
    let drafts = ["a.example", "b.example", "c.example"].map(|name| indicator(name, "words"));
    let results = police.submit(drafts.to_vec()).await;
    let ids: Vec<_> = results.into_iter().map(|result| result.record_id).collect();
    settled(&nodes).await;
    assert_eq!(vendor.status().await.records, 0, "nothing is shared yet");

    police.apply_policy(&sharing(ALL)).await;
    settled(&nodes).await;
    for id in &ids {
        assert!(vendor.uses(id).await, "what was accepted before is brought");
        assert_eq!(slot(&vendor, id, NOTES).await, pb::SlotState::Withheld);
    }
    let with_notes = sharing(ALL) + &permit("notes", REVEAL_NOTES, ALL);
    police.apply_policy(&with_notes).await;
    settled(&nodes).await;
    assert_eq!(slot(&vendor, &ids[0], NOTES).await, pb::SlotState::Open, "a slot more");

    police.apply_policy(&sharing(ALL)).await;
    settled(&nodes).await;
    assert_eq!(slot(&vendor, &ids[0], NOTES).await, pb::SlotState::Withheld, "a slot less");
    assert!(vendor.uses(&ids[0]).await, "and the rest stays in use");
    let taken_back = retractions(&police, false).await;
    assert_eq!(taken_back.len(), 3);
    for view in &taken_back {
        assert_eq!((view.slots, view.lifted), (1 << NOTES, false));
        assert_eq!(view.progress(), pb::ErasureProgress::Done);
    }

    police.apply_policy(&nothing()).await;
    settled(&nodes).await;
    for id in &ids {
        assert!(!vendor.uses(id).await, "nothing may be used any more");
    }
    assert_eq!(retractions(&police, false).await.len(), 6);
    let found = vendor.analyst().await.query_records(pb::QueryRecordsRequest::default()).await;
    let first = found.unwrap().into_inner().message().await.unwrap();
    assert!(first.is_none_or(|answer| answer.record.is_none()), "nor is it found");

    police.apply_policy(&with_notes).await;
    settled(&nodes).await;
    for id in &ids {
        assert!(vendor.uses(id).await, "it comes again");
        assert_eq!(slot(&vendor, id, NOTES).await, pb::SlotState::Open);
    }
    assert!(retractions(&police, false).await.iter().all(|view| view.lifted));
    assert!(retractions(&police, true).await.is_empty());
    let before = police.partner(VENDOR).await.feed_size;
    police.apply_policy(&(with_notes + "// the same")).await;
    settled(&nodes).await;
    assert_eq!(police.partner(VENDOR).await.feed_size, before, "the same policy says nothing new");
    nodes.into_iter().for_each(audited);
}

#[tokio::test]
async fn a_rescan_goes_on_after_a_kill_and_duties_wait_for_a_partner_that_is_away() {
    const RECORDS: usize = 3_000;
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    let drafts: Vec<_> = (0..RECORDS).map(|n| indicator(&format!("d{n}.example"), "")).collect();
    let mut ids = Vec::new();
    for part in drafts.chunks(64) {
        let results = police.submit(part.to_vec()).await;
        ids.extend(results.into_iter().map(|result| result.record_id));
    }
    settled(&[&police, &vendor]).await;
    police.apply_policy(&sharing(ALL)).await;
    eventually("the rescan has begun", async || police.partner(VENDOR).await.feed_size > 0).await;
    let path = police.dir.clone();
    police.kill().await;
    let police = RunningNode::start(&path, POLICE).await;
    // What is new does not wait for what is old.
    let live = police.submit(vec![indicator("live.example", "")]).await.remove(0).record_id;
    settled(&[&police, &vendor]).await;
    assert_eq!(vendor.status().await.records, RECORDS as u64 + 1);
    assert!(vendor.uses(&live).await);
    let partner = police.partner(VENDOR).await;
    assert_eq!(partner.disclosed, RECORDS as u64 + 1, "nothing was disclosed twice");

    let vendor_dir = vendor.dir.clone();
    vendor.kill().await;
    eventually("the stream is down", async || !police.partner(VENDOR).await.connected).await;
    police.apply_policy(&nothing()).await;
    eventually("all is taken back", async || police.partner(VENDOR).await.to_rescan == 0).await;
    assert_eq!(retractions(&police, true).await.len(), 1_000, "a page of outstanding ones");
    police.kill().await;
    let police = RunningNode::start(&path, POLICE).await;
    let vendor = RunningNode::start(&vendor_dir, VENDOR).await;
    settled(&[&police, &vendor]).await;
    assert!(retractions(&police, true).await.is_empty());
    for id in ids.iter().step_by(500).chain([&live]) {
        assert!(!vendor.uses(id).await);
    }
    audited(&police);
    audited(&vendor);
}

#[tokio::test]
async fn a_pause_takes_nothing_back_and_what_came_meanwhile_is_brought_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    let nodes = [&police, &vendor];
    police.apply_policy(&sharing(ALL)).await;
    let first = police.submit(vec![indicator("first.example", "")]).await.remove(0).record_id;
    settled(&nodes).await;

    police.set_state(VENDOR, pb::PartnerState::Suspended).await;
    police.apply_policy(&(sharing(ALL) + "// anew")).await;
    let second = police.submit(vec![indicator("second.example", "")]).await.remove(0).record_id;
    police.set_state(VENDOR, pb::PartnerState::Active).await;
    settled(&nodes).await;
    assert!(vendor.uses(&first).await && vendor.uses(&second).await);

    set_facts(&police, VENDOR, |facts| facts.agreement_until_ms = 1_000_000_000_000).await;
    let third = police.submit(vec![indicator("third.example", "")]).await.remove(0).record_id;
    eventually("it was denied", async || {
        let denied = police.partner(VENDOR).await.denied;
        denied.iter().any(|count| count.name == "guard/partner-standing")
    })
    .await;
    assert!(vendor.uses(&first).await && !vendor.uses(&third).await);
    assert!(police.partner(VENDOR).await.to_rescan > 0, "the feed is not at its new state");
    set_facts(&police, VENDOR, |facts| facts.agreement_until_ms = 0).await;
    settled(&nodes).await;
    assert!(vendor.uses(&third).await, "a renewed agreement brings what it was due");
    assert!(retractions(&police, false).await.is_empty(), "a pause takes nothing back");
    nodes.into_iter().for_each(audited);
}

#[tokio::test]
async fn a_reference_goes_with_what_it_refers_to() {
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    let nodes = [&police, &vendor];
    let open = r#"resource.labels.contains("open")"#;
    police.apply_policy(&linking(open)).await;
    let case = |label: &str| {
        let content = pb::Case {
            reference: "NPA-7".to_owned(),
            title: "the case".to_owned(),
            status: pb::CaseStatus::Open.into(),
            ..pb::Case::default()
        };
        clear(draft("", Content::Case(content)), label)
    };
    let case_series = police.submit(vec![case("secret")]).await.remove(0).series;
    let content = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: "linked.example".to_owned(),
        cases: vec![case_series.clone()],
        ..pb::Indicator::default()
    };
    let linked = clear(draft("", Content::Indicator(content)), "open");
    let linked = police.submit(vec![linked]).await.remove(0).record_id;
    let content = pb::Opinion {
        record: case_series.clone(),
        verdict: pb::OpinionVerdict::Agree.into(),
        ..pb::Opinion::default()
    };
    let opinion = police.submit(vec![clear(draft("", Content::Opinion(content)), "open")]).await;
    let (opinion, opinion_series) = (opinion[0].record_id.clone(), opinion[0].series.clone());
    let content = pb::Note {
        title: "on the opinion".to_owned(),
        records: vec![opinion_series],
        ..pb::Note::default()
    };
    let note = police.submit(vec![clear(draft("note-1", Content::Note(content)), "open")]).await;
    let note = note[0].record_id.clone();
    settled(&nodes).await;
    const RECORDS: usize = 4;
    let hidden = async |why: &str| {
        assert_eq!(slot(&vendor, &linked, CASES).await, pb::SlotState::Withheld, "{why}");
        assert!(!vendor.uses(&opinion).await, "{why}: an opinion on what is hidden");
        assert_eq!(slot(&vendor, &note, RECORDS).await, pb::SlotState::Withheld, "{why}");
    };
    let shown = async |why: &str| {
        assert_eq!(slot(&vendor, &linked, CASES).await, pb::SlotState::Open, "{why}");
        assert!(vendor.uses(&opinion).await, "{why}");
        assert_eq!(slot(&vendor, &note, RECORDS).await, pb::SlotState::Open, "{why}");
    };
    hidden("the case is secret").await;

    police.apply_policy(&linking(ALL)).await;
    settled(&nodes).await;
    shown("the policy shows the case").await;
    police.apply_policy(&linking(open)).await;
    settled(&nodes).await;
    hidden("the policy hides it again").await;

    let second = police.submit(vec![case("open")]).await.remove(0);
    assert_eq!(second.series, case_series);
    settled(&nodes).await;
    shown("a revision of the case is open").await;
    police.submit(vec![case("secret")]).await;
    settled(&nodes).await;
    hidden("the newest is not, so the whole case is taken back").await;
    police.apply_policy(&linking(r#"resource.labels.contains("secret")"#)).await;
    settled(&nodes).await;
    assert!(!vendor.uses(&linked).await && !vendor.uses(&opinion).await);
    nodes.into_iter().for_each(audited);
}

#[tokio::test]
async fn what_is_taken_back_from_us_is_taken_back_from_those_we_passed_it_on_to() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), POLICE, "police", &nothing()).await;
    let vendor = RunningNode::fresh(dir.path(), VENDOR, "vendor", &sharing(ALL)).await;
    let cert = RunningNode::fresh(dir.path(), CERT, "cert", &nothing()).await;
    let nodes = [&police, &vendor, &cert];
    introduce(&nodes).await;
    let to_vendor = r#"principal == Liaison::Partner::"vendor.example""#;
    let notes = |policy: String| policy + &permit("notes", REVEAL_NOTES, ALL);
    vendor.apply_policy(&notes(sharing(ALL))).await;
    police.apply_policy(&notes(sharing(to_vendor))).await;
    let id = police.submit(vec![clear(indicator("x.example", "words"), "x")]).await;
    let id = id[0].record_id.clone();
    settled(&nodes).await;
    assert!(cert.uses(&id).await, "the vendor passed it on");
    assert_eq!(slot(&cert, &id, NOTES).await, pb::SlotState::Open);

    police.apply_policy(&sharing(to_vendor)).await;
    settled(&nodes).await;
    assert_eq!(slot(&cert, &id, NOTES).await, pb::SlotState::Withheld, "a slot, down the chain");
    police.apply_policy(&nothing()).await;
    settled(&nodes).await;
    assert!(!vendor.uses(&id).await && !cert.uses(&id).await);
    let report = retractions(&vendor, false).await;
    assert!(report.iter().all(|view| view.agency == CERT), "{report:?}");
    assert!(report.iter().all(|view| view.progress() == pb::ErasureProgress::Done));

    police.apply_policy(&notes(sharing(to_vendor))).await;
    settled(&nodes).await;
    assert!(vendor.uses(&id).await && cert.uses(&id).await);
    assert_eq!(slot(&cert, &id, NOTES).await, pb::SlotState::Open);
    // From the originator itself it is in use by its leave, whatever the vendor does.
    police.apply_policy(&sharing(ALL)).await;
    settled(&nodes).await;
    vendor.apply_policy(&nothing()).await;
    settled(&nodes).await;
    assert!(cert.uses(&id).await);
    assert_eq!(slot(&cert, &id, NOTES).await, pb::SlotState::Withheld);
    nodes.into_iter().for_each(audited);
}
