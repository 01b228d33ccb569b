//! A value that was withdrawn is recorded again only on purpose, in a series of its own, and what was
//! erased not even then.

use std::path::Path;

use bytes::Bytes;
use liaison::ident::RecordId;
use liaison::pb;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::policy::ClientRole;
use serde_json::Value;

use crate::erasure::{NAME, carried_out, erase, victim};
use crate::fixture::{
    CORE_ONLY, RunningNode, audited, eventually, indicator, introduce, liaison, settled,
};
use crate::push::push;

/// Shares whatever the guardrails let through.
const ALL: &str = r#"
@id("test/all")
@title("Everything goes to everybody and is taken from everybody")
@agreement("none")
@owner("test@test.example")
permit (
  principal is Liaison::Partner,
  action in [Liaison::Action::"accept", Liaison::Action::"share"],
  resource is Liaison::Record
)
when { resource.confidence >= 0 };
"#;

/// The records that a query without further conditions finds for a value.
async fn found(node: &RunningNode, value: &str, more: &[&str]) -> Vec<Value> {
    let profile = node.profile(ClientRole::Analyst);
    let arguments = [&["query", value, "-o", "ndjson"], more, &["--client"]].concat();
    let output = liaison(&arguments, &[&profile]).await;
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The id of the one record that a query finds.
async fn only(node: &RunningNode, value: &str) -> String {
    let records = found(node, value, &[]).await;
    let [record] = &records[..] else { panic!("one record wanted, found {records:?}") };
    record["id"].as_str().unwrap().to_owned()
}

async fn withdraw(node: &RunningNode, id: &str) {
    let profile = node.profile(ClientRole::Analyst);
    let arguments = ["record", "withdraw", id, "--reason", "error", "--client"];
    let output = liaison(&arguments, &[&profile]).await;
    assert!(output.status.success(), "{output:?}");
}

fn reasons(file: &Path) -> Vec<String> {
    let report = file.with_extension("csv.rejected.csv");
    let rows = csv::Reader::from_path(report).unwrap().into_records();
    rows.map(|row| row.unwrap()[2].to_owned()).collect()
}

async fn knows(node: &RunningNode, id: &str) -> Option<pb::RecordView> {
    let id: RecordId = id.parse().unwrap();
    node.view(ClientRole::Analyst, &Bytes::copy_from_slice(id.as_bytes())).await
}

#[tokio::test]
async fn a_withdrawn_value_is_recorded_again_with_the_flag_and_refused_without() {
    const VALUE: &str = "evil.example";
    const FLAGS: [&str; 2] = ["--kind", "indicator"];
    const AGAIN: [&str; 3] = ["--kind", "indicator", "--reinstate"];
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", ALL).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", ALL).await;
    introduce(&[&police, &vendor]).await;
    let file = dir.path().join("values.csv");
    let write = |title: &str| std::fs::write(&file, format!("value,title\n{VALUE},{title}\n"));
    let pushed = async |flags: &[&str], counts: [u64; 4]| {
        let done = push(&police, &file, flags).await;
        let wanted = if counts[3] > 0 { Some(7) } else { Some(0) };
        assert_eq!((done.code, done.counts()), (wanted, counts), "{flags:?}: {}", done.told);
    };

    write("fake alert").unwrap();
    // Nothing was withdrawn: the flag changes nothing.
    pushed(&AGAIN, [1, 0, 0, 0]).await;
    pushed(&AGAIN, [0, 0, 1, 0]).await;
    let first = only(&police, VALUE).await;
    eventually("the first arrives", async || knows(&vendor, &first).await.is_some()).await;
    withdraw(&police, &first).await;

    let records = police.status().await.records;
    pushed(&FLAGS, [0, 0, 0, 1]).await;
    let [reason] = &reasons(&file)[..] else { panic!("one row") };
    assert!(reason.contains("withdrawn") && reason.contains("--reinstate"), "{reason}");
    assert_eq!(police.status().await.records, records, "a refusal makes no record");

    pushed(&AGAIN, [1, 0, 0, 0]).await;
    let second = only(&police, VALUE).await;
    let records = police.status().await.records;
    pushed(&AGAIN, [0, 0, 1, 0]).await;
    pushed(&FLAGS, [0, 0, 1, 0]).await;
    assert_eq!(police.status().await.records, records, "a repeat makes no record");
    write("second wave").unwrap();
    pushed(&FLAGS, [0, 1, 0, 0]).await;
    let revised = only(&police, VALUE).await;

    // The new series has two revisions, the first its one and the withdrawal.
    let all = found(&police, VALUE, &["--include-superseded"]).await;
    let series = |id: &str| {
        let record = all.iter().find(|record| record["id"] == id);
        record.map(|record| (record["series"].clone(), record["revision"].clone()))
    };
    let place = |id: &str| series(id).unwrap_or_else(|| panic!("{id} is not among {all:?}"));
    assert_ne!(place(&first).0, place(&second).0);
    assert_eq!(place(&second).0, place(&revised).0);
    assert_eq!((place(&second).1, place(&revised).1), (1.into(), 2.into()));

    eventually("the partner has it", async || knows(&vendor, &revised).await.is_some()).await;
    settled(&[&police, &vendor]).await;
    for node in [&police, &vendor] {
        assert!(knows(node, &first).await.unwrap().withdrawn, "{}", node.agency);
        let again = knows(node, &revised).await.unwrap();
        assert!(!again.withdrawn && !again.conflicting && !again.retracted, "{}", node.agency);
        assert_eq!(only(node, VALUE).await, revised, "{}", node.agency);
    }

    withdraw(&police, &revised).await;
    pushed(&FLAGS, [0, 0, 0, 1]).await;
    pushed(&AGAIN, [1, 0, 0, 0]).await;
    let third = only(&police, VALUE).await;
    assert!(third != second && third != revised);
    settled(&[&police, &vendor]).await;
    assert!(knows(&vendor, &revised).await.unwrap().withdrawn);
    assert_eq!(only(&vendor, VALUE).await, third);
    audited(&police);
    audited(&vendor);

    // An index that is made again finds the same series.
    let police = police.started_anew().await;
    let again = push(&police, &file, &FLAGS).await;
    assert_eq!((again.code, again.counts()), (Some(0), [0, 0, 1, 0]), "{}", again.told);
    audited(&police);
}

#[tokio::test]
async fn neither_a_marking_nor_a_hold_ends_with_a_withdrawal() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", ALL).await;
    let submit = async |tlp: pb::Tlp, reinstate| {
        let mut draft = pb::Draft { reinstate, ..indicator("braked.example", "") };
        draft.marking.as_mut().unwrap().tlp = tlp.into();
        let request = pb::SubmitRecordsRequest { drafts: vec![draft] };
        let answer = police.analyst().await.submit_records(request).await.unwrap();
        answer.into_inner().results.remove(0)
    };
    let text = |id: &Bytes| RecordId::try_from(&id[..]).unwrap().to_string();
    let first = submit(pb::Tlp::Amber, false).await.record_id;
    let looser = submit(pb::Tlp::Green, false).await;
    assert_eq!(looser.outcome(), pb::DraftOutcome::Revised, "it waits at the brake");
    withdraw(&police, &text(&looser.record_id)).await;
    let refused = submit(pb::Tlp::Green, true).await;
    assert_eq!(refused.outcome(), pb::DraftOutcome::Refused);
    assert!(refused.reason.contains(&text(&first)), "{}", refused.reason);

    // Under the marking of before it comes back, and its looser revision is a revision again.
    let again = submit(pb::Tlp::Amber, true).await;
    assert_eq!(again.outcome(), pb::DraftOutcome::Created, "{}", again.reason);
    let again = submit(pb::Tlp::Green, true).await;
    assert_eq!((again.outcome(), again.revision), (pb::DraftOutcome::Revised, 2));

    let hold = pb::RestrictRecordRequest {
        record_id: again.record_id.clone(),
        reason: "exhibit 7".to_owned(),
    };
    police.analyst().await.restrict_record(hold).await.unwrap();
    let end = pb::WithdrawRecordRequest {
        record_id: again.record_id.clone(),
        reason: pb::WithdrawalReason::Error.into(),
        explanation: String::new(),
    };
    let refused = police.analyst().await.withdraw_record(end.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    let next = format!("liaison record unrestrict {}", text(&again.record_id));
    assert!(refused.message().contains(&next), "{refused}");
    let unrestrict = pb::UnrestrictRecordRequest {
        record_id: again.record_id.clone(),
        reason: "closed".to_owned(),
        ..pb::UnrestrictRecordRequest::default()
    };
    let channel = police.channel(ClientRole::PolicyOfficer).await;
    RecordServiceClient::new(channel).unrestrict_record(unrestrict).await.unwrap();
    police.analyst().await.withdraw_record(end).await.unwrap();
    audited(&police);
}

#[tokio::test]
async fn what_was_erased_is_not_reinstated() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let submit = async |draft: pb::Draft, reinstate| {
        let request = pb::SubmitRecordsRequest { drafts: vec![pb::Draft { reinstate, ..draft }] };
        let answer = police.analyst().await.submit_records(request).await.unwrap();
        answer.into_inner().results.remove(0)
    };
    let id = submit(victim("Hanako Yamada", "words"), false).await.record_id;
    erase(&police, &id, NAME, pb::ErasureBasis::Led16).await;
    carried_out(&[&police]).await;
    withdraw(&police, &RecordId::try_from(&id[..]).unwrap().to_string()).await;
    for reinstate in [false, true] {
        let refused = submit(victim("Hanako Yamada", "words"), reinstate).await;
        assert_eq!(refused.outcome(), pb::DraftOutcome::Refused);
        let reason = &refused.reason;
        assert!(reason.contains("erased") && !reason.contains("--reinstate"), "{reason}");
    }
    // Without what was erased it is a withdrawn record like others.
    let other = submit(victim("", "words"), false).await;
    assert!(other.reason.contains("--reinstate"), "{}", other.reason);
    assert_eq!(submit(victim("", "words"), true).await.outcome(), pb::DraftOutcome::Created);
    // The name does not come back as a revision of the new series either.
    let refused = submit(victim("Hanako Yamada", "words"), true).await;
    assert!(refused.reason.contains("erased"), "{}", refused.reason);
    audited(&police);
}

#[tokio::test]
async fn a_row_that_would_replace_a_record_under_a_hold_is_refused_until_the_hold_ends() {
    const VALUE: &str = "held.example";
    const FLAGS: [&str; 2] = ["--kind", "indicator"];
    const AGAIN: [&str; 3] = ["--kind", "indicator", "--reinstate"];
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", ALL).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", ALL).await;
    introduce(&[&police, &vendor]).await;
    let file = dir.path().join("values.csv");
    let write = |title: &str| std::fs::write(&file, format!("value,title\n{VALUE},{title}\n"));
    let pushed = async |flags: &[&str], counts: [u64; 4]| {
        let done = push(&police, &file, flags).await;
        let wanted = if counts[3] > 0 { Some(7) } else { Some(0) };
        assert_eq!((done.code, done.counts()), (wanted, counts), "{flags:?}: {}", done.told);
    };
    let hold = async |role: ClientRole, verb: &str, id: &str| {
        let profile = police.profile(role);
        let arguments = ["record", verb, id, "--reason", "exhibit 7", "--client"];
        let output = liaison(&arguments, &[&profile]).await;
        assert!(output.status.success(), "{output:?}");
    };

    write("one").unwrap();
    pushed(&FLAGS, [1, 0, 0, 0]).await;
    let id = only(&police, VALUE).await;
    settled(&[&police, &vendor]).await;
    hold(ClientRole::Analyst, "restrict", &id).await;

    let records = police.status().await.records;
    pushed(&FLAGS, [0, 0, 1, 0]).await;
    write("two").unwrap();
    pushed(&FLAGS, [0, 0, 0, 1]).await;
    let [reason] = &reasons(&file)[..] else { panic!("one row") };
    assert!(reason.contains(&format!("liaison record unrestrict {id}")), "{reason}");
    pushed(&AGAIN, [0, 0, 0, 1]).await;
    assert_eq!(police.status().await.records, records, "a refusal makes no record");
    assert!(found(&police, VALUE, &[]).await.is_empty());

    // Its series is not withdrawn meanwhile, and a hold that comes after the withdrawal counts too.
    hold(ClientRole::PolicyOfficer, "unrestrict", &id).await;
    withdraw(&police, &id).await;
    hold(ClientRole::Analyst, "restrict", &id).await;
    pushed(&AGAIN, [0, 0, 0, 1]).await;
    let [reason] = &reasons(&file)[..] else { panic!("one row") };
    assert!(reason.contains("under a hold"), "{reason}");
    settled(&[&police, &vendor]).await;
    assert!(knows(&vendor, &id).await.unwrap().withdrawn);

    hold(ClientRole::PolicyOfficer, "unrestrict", &id).await;
    pushed(&AGAIN, [1, 0, 0, 0]).await;
    let again = only(&police, VALUE).await;
    hold(ClientRole::Analyst, "restrict", &again).await;
    write("three").unwrap();
    pushed(&FLAGS, [0, 0, 0, 1]).await;
    // The index that is made again knows the hold.
    settled(&[&police, &vendor]).await;
    let police = police.started_anew().await;
    let still = push(&police, &file, &FLAGS).await;
    assert_eq!((still.code, still.counts()), (Some(7), [0, 0, 0, 1]), "{}", still.told);
    let profile = police.profile(ClientRole::PolicyOfficer);
    let arguments = ["record", "unrestrict", &again, "--reason", "done", "--client"];
    assert!(liaison(&arguments, &[&profile]).await.status.success());
    let revised = push(&police, &file, &FLAGS).await;
    assert_eq!((revised.code, revised.counts()), (Some(0), [0, 1, 0, 0]), "{}", revised.told);
    audited(&police);
    audited(&vendor);
}

#[tokio::test]
async fn a_repeat_and_a_change_in_one_request_are_decided_by_what_the_journal_has() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", ALL).await;
    introduce(&[&node]).await;
    let first = node.submit(vec![victim("A. Victim", "")]).await.remove(0);
    let outcomes = async |notes: &str| {
        let drafts = vec![victim("A. Victim", ""), victim("A. Victim", notes)];
        let request = pb::SubmitRecordsRequest { drafts };
        let results = node.analyst().await.submit_records(request).await.unwrap().into_inner();
        results.results.into_iter().map(|result| result.outcome()).collect::<Vec<_>>()
    };
    let reason = "exhibit 8".to_owned();
    let record_id = first.record_id.clone();
    let hold = pb::RestrictRecordRequest { record_id, reason: reason.clone() };
    node.analyst().await.restrict_record(hold).await.unwrap();
    let refused = [pb::DraftOutcome::Unchanged, pb::DraftOutcome::Refused];
    assert_eq!(outcomes("more").await, refused);

    let record_id = first.record_id.clone();
    let end = pb::UnrestrictRecordRequest { record_id, reason, erases: false };
    let channel = node.channel(ClientRole::PolicyOfficer).await;
    let mut officer = RecordServiceClient::new(channel);
    officer.unrestrict_record(end).await.unwrap();
    let revised = [pb::DraftOutcome::Unchanged, pb::DraftOutcome::Revised];
    assert_eq!(outcomes("more").await, revised);
    let id: RecordId = RecordId::try_from(&first.record_id[..]).unwrap();
    assert!(knows(&node, &id.to_string()).await.unwrap().superseded);
    settled(&[&node]).await;
    audited(&node);
}
