//! A series is decided as a whole, by its newest revision: what it denies is taken back from everybody
//! who has an older one, over every hop, and a withdrawal shows nothing of what was hidden.

use bytes::Bytes;
use liaison::pb;
use liaison::policy::ClientRole;

use crate::fixture::{RunningNode, audited, canary, eventually, indicator, introduce, settled};
use crate::withheld::files_with;

const POLICE: &str = "police.example";
const VENDOR: &str = "vendor.example";
const CERT: &str = "cert.example";

/// Shares, forwards and accepts whatever the guardrails let through, notes included.
const ALL: &str = r#"
@id("test/all")
@title("Everything goes to everybody and is taken from everybody")
@agreement("none")
@owner("test@test.example")
permit (
  principal is Liaison::Partner,
  action in [
    Liaison::Action::"accept", Liaison::Action::"share", Liaison::Action::"forward",
    Liaison::Action::"reveal:notes"
  ],
  resource is Liaison::Record
)
when { resource.confidence >= 0 };
"#;

/// An indicator with another marking than before.
fn marked(value: &str, change: impl FnOnce(&mut pb::Marking)) -> pb::Draft {
    let mut draft = indicator(value, "words");
    let marking = draft.marking.as_mut().unwrap();
    marking.tlp = pb::Tlp::Clear.into();
    change(marking);
    draft
}

fn red(marking: &mut pb::Marking) {
    marking.tlp = pb::Tlp::Red.into();
}

async fn push(node: &RunningNode, draft: pb::Draft) -> Bytes {
    node.submit(vec![draft]).await.remove(0).record_id
}

async fn withdraw(node: &RunningNode, id: &Bytes) {
    let request = pb::WithdrawRecordRequest {
        record_id: id.clone(),
        reason: pb::WithdrawalReason::Error.into(),
        explanation: "wrong host".to_owned(),
    };
    node.analyst().await.withdraw_record(request).await.unwrap();
}

async fn knows_withdrawn(node: &RunningNode, id: &Bytes) -> bool {
    node.view(ClientRole::Auditor, id).await.is_some_and(|view| view.withdrawn)
}

async fn pair(parent: &std::path::Path) -> (RunningNode, RunningNode) {
    let police = RunningNode::fresh(parent, POLICE, "police", ALL).await;
    let vendor = RunningNode::fresh(parent, VENDOR, "vendor", ALL).await;
    introduce(&[&police, &vendor]).await;
    (police, vendor)
}

#[tokio::test]
async fn a_stricter_revision_takes_the_series_back_over_every_hop_and_its_withdrawal_follows() {
    let dir = tempfile::tempdir().unwrap();
    let to_cert = ALL.replace(
        "principal is Liaison::Partner",
        r#"principal == Liaison::Partner::"cert.example""#,
    );
    let police = RunningNode::fresh(dir.path(), POLICE, "police", &to_cert).await;
    let cert = RunningNode::fresh(dir.path(), CERT, "cert", ALL).await;
    let vendor = RunningNode::fresh(dir.path(), VENDOR, "vendor", ALL).await;
    introduce(&[&police, &cert, &vendor]).await;
    let nodes = [&police, &cert, &vendor];

    let others = vec!["jc3.or.jp".to_owned()];
    let listed = move |marking: &mut pb::Marking| {
        marking.releasable_to = Some(pb::AgencyList { agencies: others });
    };
    let values = ["red.example", "listed.example", "controlled.example"];
    let mut old = Vec::new();
    for value in values {
        old.push(push(&police, marked(value, |_| {})).await);
    }
    for id in &old {
        eventually("it went on", async || vendor.uses(id).await).await;
    }
    let redder = push(&police, marked(values[0], red)).await;
    let shorter = push(&police, marked(values[1], listed)).await;
    let controlled = push(&police, marked(values[2], |marking| marking.orcon = true)).await;
    for id in &old {
        eventually("it was taken back", async || !vendor.uses(id).await).await;
    }
    settled(&nodes).await;
    assert!(!cert.uses(&old[0]).await && !cert.uses(&old[1]).await);
    assert!(
        cert.view(ClientRole::Auditor, &redder).await.is_none()
            && cert.view(ClientRole::Auditor, &shorter).await.is_none()
    );
    // Originator control leaves the record to whom the originator gave it.
    assert!(cert.uses(&old[2]).await && cert.uses(&controlled).await);
    assert!(vendor.view(ClientRole::Auditor, &controlled).await.is_none());

    for id in [&redder, &shorter, &controlled] {
        withdraw(&police, id).await;
    }
    for id in &old {
        for node in [&cert, &vendor] {
            eventually("it is withdrawn", async || knows_withdrawn(node, id).await).await;
        }
    }
    settled(&nodes).await;
    for node in nodes {
        audited(node);
    }
}

#[tokio::test]
async fn a_partner_receives_nothing_that_its_newest_revision_denies_when_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    police.set_state(VENDOR, pb::PartnerState::Suspended).await;
    let green = push(&police, marked("a.example", |_| {})).await;
    push(&police, marked("a.example", red)).await;
    police.set_state(VENDOR, pb::PartnerState::Active).await;
    let live = push(&police, marked("live.example", |_| {})).await;
    eventually("what is new arrives", async || vendor.uses(&live).await).await;
    settled(&[&police, &vendor]).await;
    assert!(vendor.view(ClientRole::Auditor, &green).await.is_none());
    assert_eq!(vendor.status().await.records, 1);
    audited(&police);
    audited(&vendor);
}

#[tokio::test]
async fn a_new_partner_receives_nothing_of_a_series_that_is_denied_or_withdrawn_by_now() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), POLICE, "police", ALL).await;
    let vendor = RunningNode::fresh(dir.path(), VENDOR, "vendor", ALL).await;
    push(&police, marked("red.example", |_| {})).await;
    push(&police, marked("red.example", red)).await;
    let gone = push(&police, marked("gone.example", |_| {})).await;
    withdraw(&police, &gone).await;
    let request = pb::SubmitRecordsRequest { drafts: vec![marked("gone.example", |_| {})] };
    let again = police.analyst().await.submit_records(request).await.unwrap().into_inner();
    let outcome = again.results[0].outcome();
    assert_eq!(outcome, pb::DraftOutcome::Refused, "a withdrawal ends its series");
    push(&police, marked("b.example", |_| {})).await;
    let other = marked("b.example", |marking| marking.pap = pb::Pap::Amber.into());
    let newest = push(&police, other).await;
    introduce(&[&police, &vendor]).await;
    eventually("the newest arrives", async || vendor.uses(&newest).await).await;
    settled(&[&police, &vendor]).await;
    assert_eq!(vendor.status().await.records, 1, "the newest revision, and nothing older");
    audited(&police);
    audited(&vendor);
}

#[tokio::test]
async fn a_withdrawal_shows_nothing_of_a_revision_that_was_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let (police, vendor) = pair(dir.path()).await;
    let shown = push(&police, marked("a.example", |_| {})).await;
    eventually("the first revision arrives", async || vendor.uses(&shown).await).await;
    let caveat = canary("caveat");
    let stricter = marked("a.example", |marking| {
        red(marking);
        marking.caveat = caveat.clone();
    });
    let hidden = push(&police, stricter).await;
    withdraw(&police, &hidden).await;
    eventually("it is withdrawn", async || knows_withdrawn(&vendor, &shown).await).await;
    settled(&[&police, &vendor]).await;
    assert!(vendor.view(ClientRole::Auditor, &hidden).await.is_none());
    assert!(!files_with(&police.dir, &caveat).is_empty());
    assert!(files_with(&vendor.dir, &caveat).is_empty());
    audited(&police);
    audited(&vendor);
}
