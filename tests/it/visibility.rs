//! Every way out of a node, by role, over records that are held, retracted, erased and TLP:RED.
//!
//! The rpcs come from the compiled descriptors: one that is not listed here fails the test. Answers are
//! looked at as raw bytes, so that no field is overlooked.

use bytes::Bytes;
use liaison::pb::act_service_client::ActServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content, get_record_request::Selector};
use liaison::policy::ClientRole;
use prost::Message as _;
use tonic::Code;
use tonic::transport::Channel;

use crate::fixture::{RunningNode, canary, draft, eventually, hex, indicator, introduce, settled};
use crate::rpcs::{asked, commented};

/// Slot of an indicator: its notes.
const NOTES: u32 = 1 << 11;
const RED_CASE: &str = "RED-1";
const HELD_CASE: &str = "HELD-1";
/// Records that the node under test accepts.
const RECORDS: usize = 5;

const TAKES_AND_SHARES: &str = r#"
@id("test/accept") @title("t") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"accept", resource is Liaison::Record)
when { resource.confidence >= 0 };
@id("test/share") @title("t") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource is Liaison::Record)
when { resource.confidence >= 0 };
"#;
const TAKES: &str = r#"
@id("test/accept") @title("t") @agreement("none") @owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"accept", resource is Liaison::Record)
when { resource.confidence >= 0 };
"#;

/// All that a call answers, with the words of its refusal.
async fn answer(channel: &Channel, rpc: &str, request: Bytes) -> Vec<u8> {
    let mut all = Vec::new();
    let refused = match asked(channel, rpc, request).await {
        Err(refused) => Some(refused),
        Ok(mut answers) => {
            let mut left = if rpc.ends_with("/WatchRecords") { RECORDS } else { usize::MAX };
            loop {
                if left == 0 {
                    break None;
                }
                left -= 1;
                match answers.message().await {
                    Ok(Some(message)) => all.extend_from_slice(&message),
                    Ok(None) => break None,
                    Err(refused) => break Some(refused),
                }
            }
        }
    };
    if let Some(refused) = refused {
        all.extend_from_slice(format!("{:?}: {}", refused.code(), refused.message()).as_bytes());
    }
    all
}

/// The records and names that must not go everywhere.
struct Secrets {
    /// With the contents of what is sealed: held, retracted, TLP:RED.
    sealed: Vec<(&'static str, Bytes, String)>,
    erased: (Bytes, String),
    partner: String,
}

impl Secrets {
    fn ids(&self) -> Vec<Bytes> {
        let sealed = self.sealed.iter().map(|(_, id, _)| id.clone());
        sealed.chain([self.erased.0.clone()]).collect()
    }

    /// The requests that an rpc is tried with.
    fn requests(&self, rpc: &str) -> Vec<Bytes> {
        let (_, method) = rpc.rsplit_once('/').unwrap();
        let (partner, ids) = (self.partner.clone(), self.ids());
        let each = |make: &dyn Fn(&Bytes) -> Bytes| ids.iter().map(make).collect::<Vec<_>>();
        let one = |message: Vec<u8>| vec![Bytes::from(message)];
        match method {
            "GetRecord" => each(&|id| {
                let selector = Some(Selector::RecordId(id.clone()));
                pb::GetRecordRequest { selector }.encode_to_vec().into()
            }),
            "FindRecordIds" => each(&|id| {
                let prefix = id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                pb::FindRecordIdsRequest { prefix }.encode_to_vec().into()
            }),
            "QueryRecords" => {
                let all =
                    pb::QueryRecordsRequest { include_superseded: true, ..Default::default() };
                let of_case =
                    |case: &str| pb::QueryRecordsRequest { case: case.to_owned(), ..all.clone() };
                let words = self.sealed.iter().map(|(_, _, word)| pb::QueryRecordsRequest {
                    text: word.clone(),
                    ..all.clone()
                });
                let asked = words.chain([all.clone(), of_case(RED_CASE), of_case(HELD_CASE)]);
                asked.map(|asked| asked.encode_to_vec().into()).collect()
            }
            "WatchRecords" => one(pb::WatchRecordsRequest::default().encode_to_vec()),
            "GetRecordProof" => each(&|id| {
                pb::GetRecordProofRequest { record_id: id.clone() }.encode_to_vec().into()
            }),
            "ExplainDelivery" => each(&|id| {
                let partner = partner.clone();
                pb::ExplainDeliveryRequest { record_id: id.clone(), partner }.encode_to_vec().into()
            }),
            "ExplainDecision" => each(&|id| {
                let partner = partner.clone();
                let request =
                    pb::ExplainDecisionRequest { record_id: id.clone(), partner, at_ms: 0 };
                request.encode_to_vec().into()
            }),
            "ExplainRecipients" => each(&|id| {
                pb::ExplainRecipientsRequest { record_id: id.clone() }.encode_to_vec().into()
            }),
            "ExplainPartner" => one(pb::ExplainPartnerRequest { partner }.encode_to_vec()),
            "GetTimeline" | "GetTakedownStatus" => [RED_CASE, HELD_CASE]
                .map(|case| {
                    let case = case.to_owned();
                    let bytes = match method {
                        "GetTimeline" => pb::GetTimelineRequest { case, limit: 0 }.encode_to_vec(),
                        _ => pb::GetTakedownStatusRequest { case_reference: case }.encode_to_vec(),
                    };
                    Bytes::from(bytes)
                })
                .to_vec(),
            "GetCheckpoint" => one(pb::GetCheckpointRequest { feed: partner }.encode_to_vec()),
            "GetConsistencyProof" => {
                let (feed, old_size, new_size) = (partner, 1, 1);
                one(pb::GetConsistencyProofRequest { feed, old_size, new_size }.encode_to_vec())
            }
            "GetInclusionProof" => {
                use pb::get_inclusion_proof_request::Leaf;
                let of = |feed: &str, leaf| {
                    let (feed, leaf) = (feed.to_owned(), Some(leaf));
                    pb::GetInclusionProofRequest { feed, leaf, tree_size: 0 }.encode_to_vec().into()
                };
                let records = ids.iter().map(|id| of("", Leaf::RecordId(id.clone())));
                let entries = (0..40).map(|index| of("", Leaf::Index(index)));
                records.chain(entries).chain([of(&partner, Leaf::Index(0))]).collect()
            }
            "ListEntries" => {
                let entries = [String::new(), partner].map(|feed| {
                    pb::ListEntriesRequest { feed, start: 0, limit: 0 }.encode_to_vec().into()
                });
                entries.to_vec()
            }
            "GetPartner" => one(pb::GetPartnerRequest { agency: partner }.encode_to_vec()),
            "GetCosignedCheckpoint" => {
                let origin = format!("{partner}/journal");
                one(pb::GetCosignedCheckpointRequest { origin }.encode_to_vec())
            }
            // Asks for all there is, or with nothing in it is refused before it changes anything.
            "SubmitRecords"
            | "StreamRecords"
            | "WithdrawRecord"
            | "EraseRecord"
            | "ListErasures"
            | "ListRetractions"
            | "RestrictRecord"
            | "UnrestrictRecord"
            | "ListActs"
            | "DecideAct"
            | "ListHeld"
            | "ProposeRelease"
            | "AskConsent"
            | "ListConsents"
            | "ProposeConsent"
            | "RefuseConsent"
            | "RevokeConsent"
            | "ExportHistory"
            | "GetOwnCard"
            | "ListPartners"
            | "AddPartner"
            | "SetPartnerState"
            | "UpdatePartnerFacts"
            | "GetPolicy"
            | "CheckPolicy"
            | "ComparePolicy"
            | "GetPolicyDifference"
            | "ApplyPolicy"
            | "ListPolicies"
            | "AddCheckpoint"
            | "ListWitnesses"
            | "AddWitness"
            | "ConfirmClock"
            | "GetStatus" => one(Vec::new()),
            _ => panic!("{rpc} is not listed: add what it is to be asked for what nobody may see"),
        }
    }
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

fn takedown(value: &str, case: &str, provider: &str) -> pb::Draft {
    draft(
        "",
        Content::TakedownResult(pb::TakedownResult {
            r#type: pb::ValueType::Domain.into(),
            value: value.to_owned(),
            action: pb::TakedownAction::Block.into(),
            status: pb::TakedownStatus::Down.into(),
            case_reference: case.to_owned(),
            provider: provider.to_owned(),
            notes: provider.to_owned(),
            ..pb::TakedownResult::default()
        }),
    )
}

/// A node with a held, a retracted, an erased and a TLP:RED record and one that anybody may read.
async fn prepared(police: &RunningNode, partner: &RunningNode) -> Secrets {
    let nodes = [police, partner];
    let [retracted, held, red, erased] = ["taken", "held", "red", "gone"].map(canary);
    let from_partner = indicator(&format!("{retracted}.example"), "");
    let retracted_id = partner.submit(vec![from_partner]).await.remove(0).record_id;
    settled(&nodes).await;
    partner.apply_policy(TAKES).await;
    settled(&nodes).await;
    eventually("the record is taken back", async || {
        let view = police.view(ClientRole::Auditor, &retracted_id).await;
        view.is_some_and(|view| view.retracted)
    })
    .await;
    let held_id = police.submit(vec![takedown("held.example", HELD_CASE, &held)]).await.remove(0);
    let held_id = held_id.record_id;
    let hold =
        pb::RestrictRecordRequest { record_id: held_id.clone(), reason: "evidence".to_owned() };
    police.analyst().await.restrict_record(hold).await.unwrap();
    let mut draft = takedown("red.example", RED_CASE, &red);
    draft.marking.as_mut().unwrap().tlp = pb::Tlp::Red.into();
    let mut tool = RecordServiceClient::new(police.channel(ClientRole::VendorTool).await);
    let answer = tool.submit_records(pb::SubmitRecordsRequest { drafts: vec![draft] }).await;
    let red_id = answer.unwrap().into_inner().results.remove(0).record_id;
    let gone = police.submit(vec![indicator("gone.example", &erased)]).await.remove(0).record_id;
    crate::erasure::erase(police, &gone, NOTES, pb::ErasureBasis::Gdpr17).await;
    police.submit(vec![indicator("plain.example", "words for everybody")]).await;
    settled(&nodes).await;
    Secrets {
        sealed: vec![
            ("retracted", retracted_id, retracted),
            ("held", held_id, held),
            ("TLP:RED", red_id, red),
        ],
        erased: (gone, erased),
        partner: partner.agency.clone(),
    }
}

#[tokio::test]
async fn no_rpc_shows_a_role_what_it_may_not_see() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", TAKES_AND_SHARES).await;
    let name = format!("{}.example", canary("partner"));
    let partner = RunningNode::fresh(dir.path(), &name, "cert", TAKES_AND_SHARES).await;
    introduce(&[&police, &partner]).await;
    let secrets = prepared(&police, &partner).await;
    let rpcs: Vec<String> = commented().into_iter().map(|found| found.rpc).collect();
    let of_clients = |rpc: &&String| !rpc.contains("ExchangeService/");
    let mut seen_by_auditor = 0;
    for role in ClientRole::ALL {
        let channel = police.channel(role).await;
        let reads_all = matches!(role, ClientRole::Auditor | ClientRole::PolicyOfficer);
        for rpc in rpcs.iter().filter(of_clients) {
            for request in secrets.requests(rpc) {
                let found = answer(&channel, rpc, request).await;
                for (what, _, word) in &secrets.sealed {
                    let is_shown = contains(&found, word);
                    assert!(!is_shown || reads_all, "{rpc} shows a {what} record to {role}");
                    seen_by_auditor += u64::from(is_shown && role == ClientRole::Auditor);
                }
                assert!(
                    !contains(&found, &secrets.erased.1),
                    "{rpc} shows erased content to {role}"
                );
                let names = contains(&found, &secrets.partner);
                let echoed = String::from_utf8_lossy(&found).contains("there is no partner");
                let may = role != ClientRole::VendorTool || echoed;
                assert!(!names || may, "{rpc} names a partner to {role}");
            }
        }
    }
    assert!(seen_by_auditor >= 3, "the words that are looked for are there to be found");
}

#[tokio::test]
async fn what_a_client_may_not_see_looks_like_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", TAKES_AND_SHARES).await;
    let partner = RunningNode::fresh(dir.path(), "cert.example", "cert", TAKES_AND_SHARES).await;
    introduce(&[&police, &partner]).await;
    let id = police.submit(vec![indicator("plain.example", "")]).await.remove(0).record_id;
    let tool = police.channel(ClientRole::VendorTool).await;
    let text = async |rpc: &str, request: Vec<u8>, known: &str| {
        let found = answer(&tool, &format!("liaison.v1.LogService/{rpc}"), request.into()).await;
        String::from_utf8_lossy(&found).replace(known, "it")
    };
    let checkpoint = |feed: &str| pb::GetCheckpointRequest { feed: feed.to_owned() };
    let known = text("GetCheckpoint", checkpoint("cert.example").encode_to_vec(), "cert.example");
    let unknown = text("GetCheckpoint", checkpoint("none.example").encode_to_vec(), "none.example");
    assert_eq!(known.await, unknown.await);
    let proof = |id: &Bytes| pb::GetInclusionProofRequest {
        leaf: Some(pb::get_inclusion_proof_request::Leaf::RecordId(id.clone())),
        ..Default::default()
    };
    let nothing = Bytes::from(vec![7; 32]);
    let known = text("GetInclusionProof", proof(&id).encode_to_vec(), &hex(&id)).await;
    let unknown = text("GetInclusionProof", proof(&nothing).encode_to_vec(), &hex(&nothing)).await;
    assert_eq!(known, unknown);
}

#[tokio::test]
async fn an_act_that_does_not_concern_a_role_is_answered_like_one_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", TAKES_AND_SHARES).await;
    let id = police.submit(vec![indicator("plain.example", "")]).await.remove(0).record_id;
    let erase = pb::EraseRecordRequest {
        record_id: id,
        slots: NOTES,
        basis: pb::ErasureBasis::Gdpr17.into(),
        authority: "file 7".to_owned(),
    };
    let proposed = police.analyst().await.erase_record(erase).await.unwrap().into_inner();
    let proposal = proposed.act.unwrap().proposal;
    let decided = async |role: ClientRole, proposal: u64, approved: bool| {
        let mut client = ActServiceClient::new(police.channel(role).await);
        let reason = if approved { "" } else { "no" }.to_owned();
        let request = pb::DecideActRequest { proposal, approved, reason };
        let refused = client.decide_act(request).await.unwrap_err();
        (refused.code(), refused.message().replace(&proposal.to_string(), "N"))
    };
    let officer = ClientRole::DataProtectionOfficer;
    for approved in [true, false] {
        let known = decided(officer, proposal, approved).await;
        assert_eq!(known, decided(officer, proposal + 1_000, approved).await);
        assert_eq!(known.0, Code::NotFound);
    }
    // A role that the act concerns is told why it may not decide.
    assert_eq!(decided(ClientRole::Analyst, proposal, true).await.0, Code::PermissionDenied);
}

#[tokio::test]
async fn a_red_record_is_neither_revised_nor_withdrawn_by_another_client() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", TAKES).await;
    let submit = async |role: ClientRole, value: &str, tlp: pb::Tlp, confidence: u32| {
        let mut draft = pb::Draft { confidence, ..indicator(value, "") };
        draft.marking.as_mut().unwrap().tlp = tlp.into();
        let request = pb::SubmitRecordsRequest { drafts: vec![draft] };
        let mut client = RecordServiceClient::new(police.channel(role).await);
        client.submit_records(request).await.unwrap().into_inner().results.remove(0)
    };
    use ClientRole::{Analyst, VendorTool};
    use pb::DraftOutcome::{Created, Refused, Revised};
    let own = submit(Analyst, "own.example", pb::Tlp::Red, 80).await;
    assert_eq!(own.outcome(), Created);
    let refused = submit(VendorTool, "own.example", pb::Tlp::Green, 70).await;
    assert_eq!((refused.outcome(), refused.revision), (Refused, 0));
    assert!(refused.record_id.is_empty() && refused.series.is_empty(), "{refused:?}");
    assert!(refused.reason.contains("not permitted"), "{}", refused.reason);
    assert_eq!(submit(VendorTool, "own.example", pb::Tlp::Red, 80).await.outcome(), Refused);
    assert!(!police.view(Analyst, &own.record_id).await.unwrap().superseded);
    assert_eq!(submit(Analyst, "own.example", pb::Tlp::Red, 70).await.outcome(), Revised);
    // What is not TLP:RED is revised by whoever submits the value.
    assert_eq!(submit(Analyst, "other.example", pb::Tlp::Green, 80).await.outcome(), Created);
    assert_eq!(submit(VendorTool, "other.example", pb::Tlp::Green, 70).await.outcome(), Revised);

    let tools = submit(VendorTool, "tool.example", pb::Tlp::Red, 80).await;
    let request = pb::WithdrawRecordRequest {
        record_id: tools.record_id,
        reason: pb::WithdrawalReason::Error.into(),
        explanation: String::new(),
    };
    let refused = police.analyst().await.withdraw_record(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("liaison record erase"), "{refused}");
}
