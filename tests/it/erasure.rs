//! A value that its originator erases is in no file of any node afterwards, and every journal says
//! who ordered it and who carried it out. What one partner holds as evidence shows as held.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use liaison::cli::audit::{AuditOptions, verify_directory};
use liaison::ident::RecordId;
use liaison::pb::act_service_client::ActServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content, get_record_request::Selector};
use liaison::policy::ClientRole;
use tonic::Code;

use crate::fixture::{self, CORE_ONLY, RunningNode, canary, draft, eventually, now};

/// Slots of a subject: the name and the notes.
const NAME: u32 = 1 << 4;
const NOTES: u32 = 1 << 10;

/// Reveals everything, victims and notes included.
const EVERYTHING: &str = r#"
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

fn holds(mut bytes: &[u8], needle: &[u8]) -> bool {
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

fn victim(name: &str, notes: &str) -> pb::Draft {
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

async fn records(
    node: &RunningNode,
    role: ClientRole,
) -> RecordServiceClient<tonic::transport::Channel> {
    RecordServiceClient::new(node.channel(role).await)
}

async fn view(node: &RunningNode, role: ClientRole, id: &Bytes) -> Option<pb::RecordView> {
    let request = pb::GetRecordRequest { selector: Some(Selector::RecordId(id.clone())) };
    let answer = records(node, role).await.get_record(request).await.ok()?;
    answer.into_inner().record
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
    let proposed = records(node, ClientRole::Analyst).await.erase_record(request).await.unwrap();
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
    records(node, ClientRole::Auditor).await.list_erasures(request).await.unwrap().into_inner()
}

fn progress(report: &pb::ListErasuresResponse, entry: usize, agency: &str) -> pb::ErasureProgress {
    let partners = &report.erasures[entry].partners;
    partners.iter().find(|partner| partner.agency == agency).unwrap().progress()
}

/// Waits until every node has carried out what it owes and its index is written anew.
async fn carried_out(nodes: &[&RunningNode]) {
    fixture::settled(nodes).await;
    for node in nodes {
        eventually("the index is written anew", async || !erasures(node).await.index_pending).await;
    }
}

fn audited(node: &RunningNode) {
    let report = verify_directory(&node.dir, &AuditOptions::default()).unwrap();
    assert!(report.failure.is_none(), "{}: {report}", node.agency);
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
    let second = police.submit(vec![victim(&name, &notes)]).await.remove(0);
    assert_eq!(second.revision, 2);
    fixture::settled(&nodes).await;
    let mut salts = Vec::new();
    for node in nodes {
        for id in [&first.record_id, &second.record_id] {
            let shown = view(node, ClientRole::Analyst, id).await.unwrap();
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
            let shown = view(node, ClientRole::Analyst, &second.record_id).await.unwrap();
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
    let mut analyst = records(&vendor, ClientRole::Analyst).await;
    analyst.restrict_record(hold.clone()).await.unwrap();
    let twice = analyst.restrict_record(hold).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition);

    let seen = view(&vendor, ClientRole::Analyst, &id).await.unwrap();
    assert!(seen.restricted);
    assert_eq!(slot(&seen, 4).state(), pb::SlotState::Withheld);
    let seen = view(&vendor, ClientRole::Auditor, &id).await.unwrap();
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
    records(&node, ClientRole::Analyst).await.restrict_record(hold).await.unwrap();
    let path = node.dir.clone();
    node.kill().await;
    let node = RunningNode::start(&path, "police.example").await;
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
