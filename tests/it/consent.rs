//! Originator control that acts: what is under it goes on only with its originator's signed consent,
//! and comes back when that ends.

use std::path::Path;

use bytes::Bytes;
use liaison::ident::Timestamp;
use liaison::pb;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::policy::ClientRole;
use tonic::Code;

use crate::fixture::{self, RunningNode, canary, eventually, indicator, settled};
use crate::forwarding::{chain, consents, submit};
use crate::verify_export::holds_for_the_script;

const POLICE: &str = "police.example";
const VENDOR: &str = "vendor.example";
const CERT: &str = "cert.example";

/// The police shares with a vendor, which passes on what it may to a cert.
struct Chain {
    police: RunningNode,
    vendor: RunningNode,
    cert: RunningNode,
}

impl Chain {
    async fn new(parent: &Path) -> Self {
        let agencies = [(POLICE, "police"), (VENDOR, "vendor"), (CERT, "cert")];
        let [police, vendor, cert] = chain(parent, agencies).await;
        Self { police, vendor, cert }
    }

    async fn settled(&self) {
        settled(&[&self.police, &self.vendor, &self.cert]).await;
    }

    fn audited(&self) {
        for node in [&self.police, &self.vendor, &self.cert] {
            fixture::audited(node);
            holds_for_the_script(&node.dir);
        }
    }
}

/// Returns a record that may go anywhere with its originator's consent.
fn controlled(operation: &str) -> pb::Draft {
    let mut draft = indicator(&canary(".example"), "");
    operation.clone_into(&mut draft.operation);
    let marking = draft.marking.as_mut().unwrap();
    marking.tlp = pb::Tlp::Clear.into();
    marking.orcon = true;
    draft
}

fn to_cert(scope: pb::ConsentScope) -> pb::ConsentSubject {
    pb::ConsentSubject {
        purpose: pb::ConsentPurpose::Forward.into(),
        partner: CERT.to_owned(),
        scope: scope.into(),
        ..Default::default()
    }
}

fn of_record(id: &Bytes) -> pb::ConsentSubject {
    pb::ConsentSubject { record_id: id.clone(), ..to_cert(pb::ConsentScope::Record) }
}

async fn ask(
    node: &RunningNode,
    subject: pb::ConsentSubject,
) -> Result<pb::ConsentView, tonic::Status> {
    let request = pb::AskConsentRequest {
        originator: POLICE.to_owned(),
        subject: Some(subject),
        reason: "it hosts the pop-ups".to_owned(),
    };
    let mut client = consents(node, ClientRole::Analyst).await;
    Ok(client.ask_consent(request).await?.into_inner().consent.unwrap())
}

async fn listed(node: &RunningNode, open: bool) -> Vec<pb::ConsentView> {
    let mut client = consents(node, ClientRole::Auditor).await;
    client.list_consents(pb::ListConsentsRequest { open }).await.unwrap().into_inner().consents
}

fn in_an_hour(hours: i64) -> Timestamp {
    fixture::now().plus_ms(hours * 3_600_000)
}

async fn propose(
    node: &RunningNode,
    request: pb::ProposeConsentRequest,
) -> Result<u64, tonic::Status> {
    let mut client = consents(node, ClientRole::Analyst).await;
    Ok(client.propose_consent(request).await?.into_inner().act.unwrap().proposal)
}

async fn grant(node: &RunningNode, request_entry: u64, subject: Option<pb::ConsentSubject>) {
    let valid_until_ms = in_an_hour(30).unix_ms().unsigned_abs();
    let request =
        pb::ProposeConsentRequest { request_entry, subject, valid_until_ms, ..Default::default() };
    let proposal = propose(node, request).await.unwrap();
    let alone = node.decide(ClientRole::Analyst.name(), proposal, true).await.unwrap_err();
    assert_eq!(alone.code(), Code::PermissionDenied, "{alone}");
    node.approve(proposal).await;
}

async fn asked_of(node: &RunningNode) -> u64 {
    let mut entry = 0;
    eventually("the request arrives", async || {
        let waiting = listed(node, true).await;
        let found = waiting.iter().find(|v| v.standing() == pb::ConsentStanding::Waiting);
        entry = found.map_or(0, |view| view.entry);
        entry != 0
    })
    .await;
    entry
}

async fn why_not(node: &RunningNode, id: &Bytes) -> pb::ExplainDeliveryResponse {
    let request = pb::ExplainDeliveryRequest { record_id: id.clone(), partner: CERT.to_owned() };
    let mut client = RecordServiceClient::new(node.channel(ClientRole::Analyst).await);
    client.explain_delivery(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_record_under_originator_control_goes_on_with_a_consent_and_comes_back_without() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path()).await;
    let Chain { police, vendor, cert } = &chain;
    let (id, other) = (submit(police, controlled("")).await, submit(police, controlled("")).await);
    chain.settled().await;
    assert!(vendor.uses(&id).await && !cert.uses(&id).await);

    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = why_not(vendor, &id).await;
    assert_eq!(answer.stands_at, "decision");
    assert_eq!(answer.next, format!("liaison consent ask {hex} --for {CERT} --reason TEXT"));
    let view = ask(vendor, of_record(&id)).await.unwrap();
    assert_eq!((view.originator.as_str(), view.holder.as_str()), (POLICE, VENDOR));
    let twice = ask(vendor, of_record(&id)).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition, "{twice}");
    let entry = asked_of(police).await;
    assert!(why_not(vendor, &id).await.next.contains("has not answered"));

    grant(police, entry, None).await;
    eventually("what its originator consents to arrives", async || cert.uses(&id).await).await;
    chain.settled().await;
    assert!(!cert.uses(&other).await, "a consent to one record is to no other");
    let given = listed(police, true).await.remove(0);
    assert_eq!(given.standing(), pb::ConsentStanding::Granted);
    assert_eq!(listed(vendor, false).await[0].standing(), pb::ConsentStanding::Granted);

    let mut officer = consents(police, ClientRole::PolicyOfficer).await;
    let reason = "the case is closed".to_owned();
    let revoke = pb::RevokeConsentRequest { entry: given.entry, reason: reason.clone() };
    let by_analyst =
        consents(police, ClientRole::Analyst).await.revoke_consent(revoke.clone()).await;
    assert_eq!(by_analyst.unwrap_err().code(), Code::PermissionDenied);
    officer.revoke_consent(revoke.clone()).await.unwrap();
    eventually("it is taken back", async || !cert.uses(&id).await).await;
    chain.settled().await;
    let seen = listed(vendor, false).await.remove(0);
    assert_eq!((seen.standing(), seen.said), (pb::ConsentStanding::Revoked, reason));
    let again = officer.revoke_consent(revoke).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound, "{again}");
    chain.audited();
}

#[tokio::test]
async fn a_refusal_says_why_and_a_consent_to_a_case_survives_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path()).await;
    let Chain { police, vendor, cert } = &chain;
    let (id, same) = (
        submit(police, controlled("operation-7")).await,
        submit(police, controlled("operation-7")).await,
    );
    let other = submit(police, controlled("operation-8")).await;
    chain.settled().await;
    ask(vendor, of_record(&id)).await.unwrap();
    let entry = asked_of(police).await;
    let refuse = pb::RefuseConsentRequest { entry, reason: "the source is at risk".to_owned() };
    let mut officer = consents(police, ClientRole::PolicyOfficer).await;
    officer.refuse_consent(refuse).await.unwrap();
    chain.settled().await;
    let seen = listed(vendor, false).await.remove(0);
    assert_eq!(seen.standing(), pb::ConsentStanding::Refused);
    assert_eq!(seen.said, "the source is at risk");
    assert!(!cert.uses(&id).await);

    // Asked for one record, granted for its case.
    ask(vendor, of_record(&id)).await.unwrap();
    let entry = asked_of(police).await;
    let operation = "operation-7".to_owned();
    let case = pb::ConsentSubject { operation, ..to_cert(pb::ConsentScope::Operation) };
    grant(police, entry, Some(case)).await;
    eventually("all of the case arrives", async || cert.uses(&id).await && cert.uses(&same).await)
        .await;
    chain.settled().await;
    assert!(!cert.uses(&other).await);
    let Chain { police, vendor, cert } = chain;
    let chain = Chain {
        police: police.started_anew().await,
        vendor: vendor.started_anew().await,
        cert: cert.started_anew().await,
    };
    let later = submit(&chain.police, controlled("operation-7")).await;
    eventually("what comes later of the case too", async || chain.cert.uses(&later).await).await;
    chain.settled().await;
    let given = listed(&chain.police, true).await;
    assert_eq!(given.len(), 1);
    let mut officer = consents(&chain.police, ClientRole::PolicyOfficer).await;
    let reason = "it was too much".to_owned();
    officer
        .revoke_consent(pb::RevokeConsentRequest { entry: given[0].entry, reason })
        .await
        .unwrap();
    eventually("all of it is taken back", async || {
        !chain.cert.uses(&id).await && !chain.cert.uses(&later).await
    })
    .await;
    chain.settled().await;
    chain.audited();
}

#[tokio::test]
async fn a_question_that_leads_nowhere_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path()).await;
    let Chain { police, vendor, .. } = &chain;
    let mut free = controlled("");
    free.marking.as_mut().unwrap().orcon = false;
    let (free, own) = (submit(police, free).await, submit(vendor, controlled("")).await);
    let id = submit(police, controlled("")).await;
    chain.settled().await;
    let before = vendor.journal().await;
    let refused = async |subject: pb::ConsentSubject, code: Code, word: &str| {
        let status = ask(vendor, subject).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(word), "{status}");
    };
    refused(of_record(&free), Code::FailedPrecondition, "changes nothing").await;
    refused(of_record(&own), Code::InvalidArgument, "not police.example").await;
    refused(of_record(&vec![7; 32].into()), Code::NotFound, "holds no record").await;
    refused(of_record(&Bytes::new()), Code::InvalidArgument, "32 bytes").await;
    let to = |partner: &str| pb::ConsentSubject { partner: partner.to_owned(), ..of_record(&id) };
    refused(to("far.example"), Code::FailedPrecondition, "is not a partner").await;
    refused(to(POLICE), Code::FailedPrecondition, "is the originator").await;
    let evidence = pb::ConsentSubject {
        purpose: pb::ConsentPurpose::Evidence.into(),
        partner: String::new(),
        ..of_record(&id)
    };
    refused(evidence, Code::FailedPrecondition, "may be used as evidence already").await;
    assert_eq!(vendor.journal().await, before);

    let give = |until: Timestamp, holder: &str| pb::ProposeConsentRequest {
        holder: holder.to_owned(),
        subject: Some(to_cert(pb::ConsentScope::All)),
        valid_until_ms: until.unix_ms().unsigned_abs(),
        ..Default::default()
    };
    let refused = async |request, code: Code, word: &str| {
        let status = propose(police, request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(word), "{status}");
    };
    refused(give(fixture::now(), VENDOR), Code::InvalidArgument, "not after").await;
    refused(give(Timestamp::MAX, VENDOR), Code::InvalidArgument, "within five years").await;
    refused(give(in_an_hour(1), "far.example"), Code::FailedPrecondition, "not a partner").await;
    refused(give(in_an_hour(1), POLICE), Code::FailedPrecondition, "evidence alone").await;
    let request_entry = 1;
    let none = pb::ProposeConsentRequest { request_entry, ..give(in_an_hour(1), "") };
    refused(none, Code::NotFound, "no request of journal entry 1").await;
}

/// Runs `audit prove` and verifies what it wrote.
async fn proof(node: &RunningNode, id: &Bytes, file: &Path) -> serde_json::Value {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let client = node.profile(ClientRole::Auditor);
    let arguments = ["audit", "prove", &id, "-o", "json", "--file"];
    let output = fixture::liaison(&arguments, &[file, Path::new("--client"), &client]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verified = fixture::liaison(&["audit", "verify", "-o", "json"], &[file]).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    serde_json::from_slice(&verified.stdout).unwrap()
}

#[tokio::test]
async fn a_record_whose_originator_must_not_be_named_is_given_and_proved_by_its_originator_alone() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path()).await;
    let Chain { police, vendor, cert } = &chain;
    let open = |no_attribution| {
        let mut draft = indicator(&canary(".example"), "");
        let marking = draft.marking.as_mut().unwrap();
        (marking.tlp, marking.no_attribution) = (pb::Tlp::Clear.into(), no_attribution);
        draft
    };
    let named = submit(police, open(false)).await;
    let unnamed = submit(police, open(true)).await;
    chain.settled().await;
    assert!(vendor.uses(&named).await && cert.uses(&named).await);
    assert!(vendor.uses(&unnamed).await && !cert.uses(&unnamed).await);
    proof(police, &unnamed, &dir.path().join("own")).await;
    proof(vendor, &named, &dir.path().join("named")).await;
    let mut log =
        pb::log_service_client::LogServiceClient::new(vendor.channel(ClientRole::Auditor).await);
    let request = pb::GetRecordProofRequest { record_id: unnamed };
    let refused = log.get_record_proof(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("ask police.example"), "{}", refused.message());
    chain.audited();
}

#[tokio::test]
async fn what_is_not_for_evidence_is_proved_without_content_until_its_originator_consents() {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::new(dir.path()).await;
    let Chain { police, vendor, .. } = &chain;
    let mut draft = indicator(&canary(".example"), "");
    draft.marking.as_mut().unwrap().no_evidence = true;
    let id = submit(police, draft).await;
    chain.settled().await;
    for node in [police, vendor] {
        let report = proof(node, &id, &dir.path().join(format!("{}.one", node.agency))).await;
        assert_eq!((&report["kept_out"], &report["verified"]), (&true.into(), &true.into()));
        assert_eq!(report["fields"]["open"], serde_json::json!([]), "{}", node.agency);
        assert_eq!(report["handling"][0]["code"], "H1");
    }
    let evidence = pb::ConsentSubject {
        purpose: pb::ConsentPurpose::Evidence.into(),
        scope: pb::ConsentScope::Record.into(),
        record_id: id.clone(),
        ..Default::default()
    };
    ask(vendor, evidence.clone()).await.unwrap();
    grant(police, asked_of(police).await, None).await;
    // Of its own record it takes the same two persons.
    let own = pb::ProposeConsentRequest {
        holder: POLICE.to_owned(),
        subject: Some(evidence),
        valid_until_ms: in_an_hour(30).unix_ms().unsigned_abs(),
        ..Default::default()
    };
    police.approve(propose(police, own).await.unwrap()).await;
    chain.settled().await;
    for node in [police, vendor] {
        let report = proof(node, &id, &dir.path().join(format!("{}.two", node.agency))).await;
        assert_eq!(report["kept_out"], false);
        let checked = report["checked"].as_array().unwrap();
        assert!(checked.iter().any(|line| line["what"] == "consented"), "{report}");
        assert_ne!(report["fields"]["open"], serde_json::json!([]), "{}", node.agency);
    }
    chain.audited();
}
