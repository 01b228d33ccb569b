//! Tests of erasure: a value that its originator erases is in no file of any node afterwards. Every
//! journal has the person who ordered it and the person who carried it out. A value that one
//! partner holds as evidence shows as held.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use liaison::cli::audit_store::{AuditOptions, verify_directory};
use liaison::ident::{RecordId, Timestamp};
use liaison::journal::writer::Clock;
use liaison::node::{Client, Node};
use liaison::pb::act_service_client::ActServiceClient;
use liaison::pb::journal_entry::Event;
use liaison::pb::node_service_client::NodeServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::policy::ClientRole;
use tonic::Code;

use crate::fixture::{self, CORE_ONLY, RunningNode, canary, draft, eventually, now};
use crate::verify_export::holds_for_the_script;

/// Slots of a subject: the name and the notes.
pub(crate) const NAME: u32 = 1 << 4;
const NOTES: u32 = 1 << 10;

/// Reveals everything, victims and notes included.
pub(crate) const EVERYTHING: &str = r#"
@id("test/reveal")
@title("Those who take part in the operation see whom it is about")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action in [Liaison::Action::"reveal:victim", Liaison::Action::"reveal:notes", Liaison::Action::"reveal:evidence"], resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };

@id("test/forward")
@title("Those who take part in the operation may have it from us too")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"forward", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };
"#;

pub(crate) fn holds(mut bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = needle.split_first().unwrap();
    loop {
        if bytes.skip_until(*first).unwrap() == 0 {
            return false;
        }
        if bytes.starts_with(rest) {
            return true;
        }
    }
}

fn files_with(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if std::fs::read(&path).is_ok_and(|bytes| holds(&bytes, needle)) {
            found.push(path);
        }
    }
    found
}

pub(crate) fn victim(name: &str, notes: &str) -> pb::Draft {
    let subject = pb::Subject {
        r#type: pb::SubjectType::Person.into(),
        role: pb::SubjectRole::Victim.into(),
        country: "JP".to_owned(),
        name: name.to_owned(),
        notes: notes.to_owned(),
        ..pb::Subject::default()
    };
    let mut draft = draft("victim-1", Content::Subject(subject));
    if let Some(marking) = &mut draft.marking {
        marking.personal_data = true;
        marking.jurisdictions = vec!["JP".to_owned()];
    }
    draft
}

fn slot(view: &pb::RecordView, number: usize) -> pb::Slot {
    view.envelope.as_ref().unwrap().slots[number - 1].clone()
}

/// An analyst asks and a policy officer approves.
pub(crate) async fn erase(node: &RunningNode, id: &Bytes, slots: u32, basis: pb::ErasureBasis) {
    let request = pb::EraseRecordRequest {
        record_id: id.clone(),
        slots,
        basis: basis.into(),
        authority: "data protection officer, 7/26".to_owned(),
    };
    let proposed = node.records(ClientRole::Analyst).await.erase_record(request).await.unwrap();
    let proposal = proposed.into_inner().act.unwrap().proposal;
    let decision = pb::DecideActRequest { proposal, approved: true, reason: String::new() };
    let mut author = ActServiceClient::new(node.channel(ClientRole::Analyst).await);
    let refused = author.decide_act(decision.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let mut officer = ActServiceClient::new(node.channel(ClientRole::PolicyOfficer).await);
    let done = officer.decide_act(decision.clone()).await.unwrap().into_inner();
    assert!(done.carried_out);
    let again = officer.decide_act(decision).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound, "an act is carried out once: {again}");
}

async fn erasures(node: &RunningNode) -> pb::ListErasuresResponse {
    let request = pb::ListErasuresRequest::default();
    node.records(ClientRole::Auditor).await.list_erasures(request).await.unwrap().into_inner()
}

fn progress(report: &pb::ListErasuresResponse, entry: usize, agency: &str) -> pb::ErasureProgress {
    let partners = &report.erasures[entry].partners;
    partners.iter().find(|partner| partner.agency == agency).unwrap().progress()
}

/// Waits until every node has carried out its orders and its index is written anew.
pub(crate) async fn carried_out(nodes: &[&RunningNode]) {
    fixture::settled(nodes).await;
    for node in nodes {
        eventually("the index is written anew", async || !erasures(node).await.index_pending).await;
    }
}

fn audited(node: &RunningNode) {
    fixture::audited(node);
    holds_for_the_script(&node.dir);
}

#[tokio::test]
async fn an_erased_value_is_in_no_file_of_any_node_and_all_of_them_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let policy = format!("{CORE_ONLY}{EVERYTHING}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", &policy).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", &policy).await;
    let nodes = [&police, &vendor, &cert];
    fixture::introduce(&nodes).await;
    let (name, notes) = (canary("name"), canary("notes"));
    let first = police.submit(vec![victim(&name, "first words")]).await.remove(0);
    // A partner that the first revision did not reach before the second gets the second alone.
    fixture::settled(&nodes).await;
    let second = police.submit(vec![victim(&name, &notes)]).await.remove(0);
    assert_eq!(second.revision, 2);
    fixture::settled(&nodes).await;
    let mut salts = Vec::new();
    for node in nodes {
        for id in [&first.record_id, &second.record_id] {
            let shown = node.view(ClientRole::Analyst, id).await.unwrap();
            salts.push(slot(&shown, 4).salt);
        }
        assert!(!files_with(&node.dir, name.as_bytes()).is_empty(), "{}", node.agency);
    }
    assert!(salts.iter().all(|salt| salt.len() == 16));

    erase(&police, &second.record_id, NAME, pb::ErasureBasis::Led16).await;
    carried_out(&nodes).await;
    let report = erasures(&police).await;
    assert_eq!(report.erasures.len(), 2, "both revisions");
    for entry in 0..2 {
        for partner in ["vendor.example", "cert.example"] {
            assert_eq!(progress(&report, entry, partner), pb::ErasureProgress::Done);
        }
    }
    let check = async |nodes: &[&RunningNode]| {
        for node in nodes {
            for needle in salts.iter().map(|salt| &salt[..]).chain([name.as_bytes()]) {
                assert_eq!(files_with(&node.dir, needle), [] as [PathBuf; 0], "{}", node.agency);
            }
            assert!(!files_with(&node.dir, notes.as_bytes()).is_empty(), "{}", node.agency);
            let shown = node.view(ClientRole::Analyst, &second.record_id).await.unwrap();
            assert_eq!(slot(&shown, 4).state(), pb::SlotState::Erased);
            assert_eq!(slot(&shown, 10).state(), pb::SlotState::Open);
            assert_eq!(shown.erasures[0].basis(), pb::ErasureBasis::Led16);
            audited(node);
        }
    };
    check(&nodes).await;

    // The same value pushed again is not taken back.
    let request = pb::SubmitRecordsRequest { drafts: vec![victim(&name, &notes)] };
    let again = police.analyst().await.submit_records(request).await.unwrap().into_inner();
    assert_eq!(again.results[0].outcome(), pb::DraftOutcome::Refused);
    assert!(again.results[0].reason.contains("erased"), "{}", again.results[0].reason);

    let (police_dir, vendor_dir, cert_dir) =
        (police.dir.clone(), vendor.dir.clone(), cert.dir.clone());
    police.kill().await;
    vendor.kill().await;
    cert.kill().await;
    let police = RunningNode::start(&police_dir, "police.example").await;
    let vendor = RunningNode::start(&vendor_dir, "vendor.example").await;
    let cert = RunningNode::start(&cert_dir, "cert.example").await;
    check(&[&police, &vendor, &cert]).await;

    // Bytes zeroed without an entry are loss or tampering.
    let report = verify_directory(&police_dir, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none());
    police.kill().await;
    let segment = police_dir.join("store/segments/00000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(notes.len()).position(|window| window == notes.as_bytes()).unwrap();
    bytes[at..at + notes.len()].fill(0);
    std::fs::write(&segment, bytes).unwrap();
    let audit = std::process::Command::new(fixture::PROGRAM)
        .args(["audit", "verify"])
        .arg(&police_dir)
        .output()
        .unwrap();
    assert_eq!(audit.status.code(), Some(6), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[tokio::test]
async fn what_a_partner_holds_as_evidence_is_restricted_and_shows_as_held() {
    let dir = tempfile::tempdir().unwrap();
    let policy = format!("{CORE_ONLY}{EVERYTHING}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", &policy).await;
    let nodes = [&police, &vendor];
    fixture::introduce(&nodes).await;
    let name = canary("held");
    let id = police.submit(vec![victim(&name, "")]).await.remove(0).record_id;
    fixture::settled(&nodes).await;
    let hold = pb::RestrictRecordRequest { record_id: id.clone(), reason: "exhibit 4".to_owned() };
    let mut analyst = vendor.records(ClientRole::Analyst).await;
    analyst.restrict_record(hold.clone()).await.unwrap();
    let twice = analyst.restrict_record(hold).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition);

    let seen = vendor.view(ClientRole::Analyst, &id).await.unwrap();
    assert!(seen.restricted);
    assert_eq!(slot(&seen, 4).state(), pb::SlotState::Withheld);
    let seen = vendor.view(ClientRole::Auditor, &id).await.unwrap();
    assert_eq!(slot(&seen, 4).state(), pb::SlotState::Open);

    erase(&police, &id, NAME | NOTES, pb::ErasureBasis::Gdpr17).await;
    carried_out(&nodes).await;
    let report = erasures(&police).await;
    assert_eq!(progress(&report, 0, "vendor.example"), pb::ErasureProgress::Held);
    assert_eq!(files_with(&police.dir, name.as_bytes()), [] as [PathBuf; 0]);
    assert!(!files_with(&vendor.dir, name.as_bytes()).is_empty());
    assert!(erasures(&vendor).await.erasures.is_empty());
    for node in nodes {
        audited(node);
    }
}

#[tokio::test]
async fn what_was_ordered_erased_under_a_hold_goes_when_it_ends_and_everybody_who_ordered_it_learns()
 {
    let dir = tempfile::tempdir().unwrap();
    let policy = format!("{CORE_ONLY}{EVERYTHING}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", &policy).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", &policy).await;
    fixture::introduce(&[&police, &vendor, &cert]).await;
    let name = canary("waits");
    let id = police.submit(vec![victim(&name, "")]).await.remove(0).record_id;
    fixture::settled(&[&police, &vendor, &cert]).await;
    let hold = pb::RestrictRecordRequest { record_id: id.clone(), reason: "exhibit 4".to_owned() };
    vendor.records(ClientRole::Analyst).await.restrict_record(hold).await.unwrap();
    erase(&police, &id, NAME | NOTES, pb::ErasureBasis::Gdpr17).await;
    carried_out(&[&police, &vendor, &cert]).await;
    let report = erasures(&police).await;
    assert_eq!(progress(&report, 0, "vendor.example"), pb::ErasureProgress::Held);
    assert_eq!(progress(&report, 0, "cert.example"), pb::ErasureProgress::Done);

    let vendor = vendor.started_anew().await;
    let mut officer = vendor.records(ClientRole::PolicyOfficer).await;
    let end = pb::UnrestrictRecordRequest {
        record_id: id.clone(),
        reason: "case 2026/4 is closed".to_owned(),
        erases: false,
    };
    let refused = officer.unrestrict_record(end.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--erase-ordered"), "{}", refused.message());
    assert!(!files_with(&vendor.dir, name.as_bytes()).is_empty());
    let end = pb::UnrestrictRecordRequest { erases: true, ..end };
    let ended = officer.unrestrict_record(end).await.unwrap().into_inner();
    assert_eq!(ended.erased_slots, NAME | NOTES);

    eventually("the police learn that it is done", async || {
        progress(&erasures(&police).await, 0, "vendor.example") == pb::ErasureProgress::Done
    })
    .await;
    let nodes = [&police, &vendor, &cert];
    carried_out(&nodes).await;
    for node in nodes {
        assert_eq!(files_with(&node.dir, name.as_bytes()), [] as [PathBuf; 0], "{}", node.agency);
        audited(node);
    }
    let own = erasures(&vendor).await.erasures;
    let erased = own[0].erased.clone().unwrap();
    assert_eq!((own.len(), erased.basis()), (1, pb::ErasureBasis::Gdpr17));
    assert!(erased.order.is_some() && !erased.partner.is_empty() && erased.proposal == 0);

    // Of all three the index is made again: the report stays, and nothing is told twice.
    let (police, vendor) = (police.started_anew().await, vendor.started_anew().await);
    let nodes = [&police, &vendor, &cert];
    carried_out(&nodes).await;
    let report = erasures(&police).await;
    assert_eq!(progress(&report, 0, "vendor.example"), pb::ErasureProgress::Done);
    let hold = pb::RestrictRecordRequest { record_id: id.clone(), reason: "again".to_owned() };
    vendor.records(ClientRole::Analyst).await.restrict_record(hold).await.unwrap();
    let sent = vendor.partner("police.example").await.feed_size;
    let end = pb::UnrestrictRecordRequest {
        record_id: id,
        reason: "nothing waits".to_owned(),
        erases: false,
    };
    let ended = vendor.records(ClientRole::PolicyOfficer).await.unrestrict_record(end).await;
    assert_eq!(ended.unwrap().into_inner().erased_slots, 0);
    carried_out(&nodes).await;
    assert_eq!(vendor.partner("police.example").await.feed_size, sent);
    nodes.into_iter().for_each(audited);
}

#[tokio::test]
async fn a_report_of_an_erasure_after_a_hold_names_what_the_partner_gave_and_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    // The name of a victim goes to partners, and notes do not.
    let policy =
        format!("{CORE_ONLY}{}", EVERYTHING.replace(", Liaison::Action::\"reveal:notes\"", ""));
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", &policy).await;
    let nodes = [&police, &vendor];
    fixture::introduce(&nodes).await;
    let name = canary("waits");
    let id = police.submit(vec![victim(&name, "withheld words")]).await.remove(0).record_id;
    fixture::settled(&nodes).await;
    let seen = vendor.view(ClientRole::Auditor, &id).await.unwrap();
    assert_eq!(slot(&seen, 10).state(), pb::SlotState::Withheld);
    let hold = pb::RestrictRecordRequest { record_id: id.clone(), reason: "exhibit 4".to_owned() };
    vendor.records(ClientRole::Analyst).await.restrict_record(hold).await.unwrap();
    erase(&police, &id, NAME | NOTES, pb::ErasureBasis::Gdpr17).await;
    carried_out(&nodes).await;
    let report = erasures(&police).await;
    assert_eq!(progress(&report, 0, "vendor.example"), pb::ErasureProgress::Held);
    let end = pb::UnrestrictRecordRequest {
        record_id: id,
        reason: "case 2026/4 is closed".to_owned(),
        erases: true,
    };
    let mut officer = vendor.records(ClientRole::PolicyOfficer).await;
    officer.unrestrict_record(end).await.unwrap();
    eventually("the police learn that it is done", async || {
        progress(&erasures(&police).await, 0, "vendor.example") == pb::ErasureProgress::Done
    })
    .await;
    carried_out(&nodes).await;
    assert_eq!(vendor.partner("police.example").await.exceptions, 0);
    for node in nodes {
        assert_eq!(files_with(&node.dir, name.as_bytes()), [] as [PathBuf; 0], "{}", node.agency);
        audited(node);
    }
}

#[tokio::test]
async fn an_order_goes_over_a_second_hop_and_each_sees_those_whom_it_sent_to() {
    let dir = tempfile::tempdir().unwrap();
    let policy = format!("{CORE_ONLY}{EVERYTHING}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let cert = RunningNode::fresh(dir.path(), "cert.example", "cert", &policy).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", &policy).await;
    // The vendor and the police do not know each other as partners; the cert stands between.
    fixture::introduce(&[&police, &cert]).await;
    let mut cards = Vec::new();
    for node in [&police, &cert, &vendor] {
        let own = node.admin().await.get_own_card(pb::GetOwnCardRequest {}).await.unwrap();
        cards.push(own.into_inner());
    }
    cert.add_partner(&cards[2].card, &cards[2].number).await;
    vendor.add_partner(&cards[1].card, &cards[1].number).await;
    vendor.apply_policy(&policy).await;
    // Whoever knows the originator's card believes its order, over whatever hop it came.
    vendor.add_partner(&cards[0].card, &cards[0].number).await;
    vendor.set_state("police.example", pb::PartnerState::Suspended).await;
    let nodes = [&police, &cert, &vendor];
    let name = canary("hop");
    let mut clear = victim(&name, "");
    // Nothing stricter is forwarded to somebody whom its originator did not name.
    clear.marking.as_mut().unwrap().tlp = pb::Tlp::Clear.into();
    let id = police.submit(vec![clear]).await.remove(0).record_id;
    eventually("it is at the vendor", async || {
        vendor.view(ClientRole::Analyst, &id).await.is_some()
    })
    .await;
    assert!(!files_with(&vendor.dir, name.as_bytes()).is_empty());

    erase(&police, &id, NAME | NOTES, pb::ErasureBasis::Led16).await;
    eventually("the cert has its receipt", async || {
        let report = erasures(&cert).await;
        !report.erasures.is_empty()
            && progress(&report, 0, "vendor.example") == pb::ErasureProgress::Done
    })
    .await;
    // The stream that brought the order ends with it, so the receipt may come over the next one.
    eventually("the police have the cert's receipt", async || {
        progress(&erasures(&police).await, 0, "cert.example") == pb::ErasureProgress::Done
    })
    .await;
    let report = erasures(&police).await;
    assert!(report.erasures[0].partners.iter().all(|p| p.agency != "vendor.example"));
    for node in nodes {
        eventually("the index is written anew", async || !erasures(node).await.index_pending).await;
        assert_eq!(files_with(&node.dir, name.as_bytes()), [] as [PathBuf; 0], "{}", node.agency);
        audited(node);
    }
    let erased = erasures(&vendor).await.erasures[0].erased.clone().unwrap();
    assert_eq!((erased.partner.as_str(), erased.order.is_some()), ("cert.example", true));
}

#[tokio::test]
async fn an_act_that_ran_out_is_approved_by_nobody_and_erases_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("police.example");
    fixture::make(&home, "police.example", "police", CORE_ONLY);
    let late = Arc::new(AtomicI64::new(0));
    let clock = {
        let late = Arc::clone(&late);
        move || Timestamp::from_unix_ms(now().unix_ms() + late.load(Ordering::SeqCst)).unwrap()
    };
    let clock: Clock = Arc::new(clock);
    let (node, writer, _) = Node::open(&home, clock).unwrap();
    let name = canary("late");
    let desk = Client { name: "desk".to_owned(), role: ClientRole::Analyst };
    let submitted = node.submissions.submit(&desk, vec![victim(&name, "")], None).await.unwrap();
    let record_id = submitted.results[0].record_id.clone();
    let client = |name: &str, role| Client { name: name.to_owned(), role };
    let act = pb::EraseAct {
        record_id: record_id.clone(),
        slots: NAME,
        basis: pb::ErasureBasis::Led16.into(),
        authority: "file 7".to_owned(),
        series_head: Bytes::new(),
    };
    let asks = || client("sato", ClientRole::Analyst);
    let (proposed, _) = node.erasures.propose(asks(), act.clone()).await.unwrap();
    assert_eq!(node.approvals.acts().len(), 1);
    let expires = proposed.proposed.as_ref().unwrap().expires_at_ms;
    late.store(i64::try_from(expires).unwrap() - now().unix_ms() + 1, Ordering::SeqCst);
    assert!(node.approvals.acts().is_empty(), "it is gone from the list");
    let size = node.view().snapshot().size;
    let approves = client("tanaka", ClientRole::PolicyOfficer);
    let decided =
        node.approvals.decide(approves.clone(), proposed.proposal, true, String::new()).await;
    assert_eq!(decided.unwrap_err().code(), Code::NotFound);
    let refused =
        node.approvals.decide(approves.clone(), proposed.proposal, false, "late".to_owned()).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    assert_eq!(node.view().snapshot().size, size, "a late decision leaves no trace");
    let kept = node.view().event(proposed.proposal).unwrap().1;
    assert!(matches!(kept, Event::ActProposed(kept) if kept.expires_at_ms == expires));
    assert!(!files_with(&home, name.as_bytes()).is_empty());

    // Another proposal of the same takes its place, in the state that start-up finds too.
    let (again, _) = node.erasures.propose(asks(), act).await.unwrap();
    assert_eq!(node.approvals.acts().len(), 1);
    let (done, _) =
        node.approvals.decide(approves, again.proposal, true, String::new()).await.unwrap();
    assert!(done && node.approvals.acts().is_empty());
    assert_eq!(files_with(&home.join("store/segments"), name.as_bytes()), [] as [PathBuf; 0]);
    drop(node);
    writer.join().unwrap();
    let report = verify_directory(&home, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{report}");
}

#[tokio::test]
async fn a_records_time_ends_without_a_second_person_unless_it_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let node = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    fixture::introduce(&[&node]).await;
    let (gone, kept) = (canary("gone"), canary("kept"));
    let past = u64::try_from(now().unix_ms()).unwrap() + 1;
    let drafts = [(&gone, "1"), (&kept, "2")].map(|(name, key)| {
        let mut draft = pb::Draft { key: key.to_owned(), ..victim(name, "") };
        draft.marking.as_mut().unwrap().retain_until_ms = past;
        draft
    });
    let results = node.submit(drafts.to_vec()).await;
    let reason = "exhibit 5".to_owned();
    let hold = pb::RestrictRecordRequest { record_id: results[1].record_id.clone(), reason };
    node.records(ClientRole::Analyst).await.restrict_record(hold).await.unwrap();
    let path = node.dir.clone();
    node.kill().await;
    let node = RunningNode::start(&path, "police.example").await;
    let mut admin = NodeServiceClient::new(node.channel(ClientRole::Admin).await);
    eventually("retention waits for somebody who vouches for the clock", async || {
        node.status().await.clock.unwrap().retention_waits
    })
    .await;
    let request = pb::ConfirmClockRequest { time_ms: now().unix_ms().unsigned_abs() };
    admin.confirm_clock(request).await.unwrap();
    eventually("the record is erased", async || erasures(&node).await.erasures.len() == 1).await;
    carried_out(&[&node]).await;
    let report = erasures(&node).await;
    let erased = report.erasures[0].erased.clone().unwrap();
    assert_eq!(erased.basis(), pb::ErasureBasis::Retention);
    assert_eq!(
        RecordId::try_from(&erased.record_id[..]),
        RecordId::try_from(&results[0].record_id[..])
    );
    assert_eq!(files_with(&node.dir, gone.as_bytes()), [] as [PathBuf; 0]);
    assert!(!files_with(&node.dir, kept.as_bytes()).is_empty());
    audited(&node);
}
