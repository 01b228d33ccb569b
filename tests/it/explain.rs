//! Every yes and no has its reason: of one record and partner now and in the past, of one record and
//! everybody, of one partner and everything, and of the way from acceptance to receipt.

use bytes::Bytes;
use liaison::ident::{RecordId, Timestamp};
use liaison::pb::policy_service_client::PolicyServiceClient;
use liaison::pb::record_service_client::RecordServiceClient;
use liaison::pb::{self, draft::Content};
use liaison::policy::ClientRole;
use tonic::Code;
use tonic::transport::Channel;

use crate::fixture::{self, CORE_ONLY, OPERATION, RunningNode, draft, eventually, hex, now};

const CERT: &str = "cert.example";

/// Of the operation, but not up to TLP:AMBER; links are shown.
const GREEN_WITH_LINKS: &str = r#"
@id("test/links")
@title("Those who take part in the operation see what a record links to")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"reveal:links", resource is Liaison::Record)
when { resource has operation && principal.operations.contains(resource.operation) };

@id("test/no-amber")
@title("Nothing above TLP:GREEN leaves")
forbid (principal is Liaison::Partner, action in Liaison::Action::"release", resource is Liaison::Record)
when { [Liaison::Tlp::"AMBER", Liaison::Tlp::"AMBER+STRICT"].contains(resource.tlp) };
"#;

struct Pair {
    police: RunningNode,
    cert: RunningNode,
    _dir: tempfile::TempDir,
}

async fn pair() -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let policy = format!("{CORE_ONLY}{GREEN_WITH_LINKS}");
    let police = RunningNode::fresh(dir.path(), "police.example", "police", &policy).await;
    let cert = RunningNode::fresh(dir.path(), CERT, "cert", CORE_ONLY).await;
    fixture::introduce(&[&police, &cert]).await;
    Pair { police, cert, _dir: dir }
}

fn with_tlp(tlp: pb::Tlp, mut draft: pb::Draft) -> pb::Draft {
    draft.marking.as_mut().unwrap().tlp = tlp.into();
    draft
}

fn case(reference: &str) -> pb::Draft {
    let case = pb::Case {
        reference: reference.to_owned(),
        title: "a case".to_owned(),
        opened_at_ms: now().unix_ms().unsigned_abs(),
        ..pb::Case::default()
    };
    draft("", Content::Case(case))
}

fn indicator(value: &str, cases: &[&Bytes]) -> pb::Draft {
    let indicator = pb::Indicator {
        r#type: pb::ValueType::Domain.into(),
        value: value.to_owned(),
        notes: "seen on a pop-up".to_owned(),
        cases: cases.iter().map(|series| (*series).clone()).collect(),
        ..pb::Indicator::default()
    };
    draft("", Content::Indicator(indicator))
}

async fn submit(node: &RunningNode, draft: pb::Draft) -> (Bytes, Bytes) {
    let result = node.submit(vec![draft]).await.remove(0);
    (result.record_id, result.series)
}

async fn policies(node: &RunningNode) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(node.channel(ClientRole::PolicyOfficer).await)
}

async fn records(node: &RunningNode) -> RecordServiceClient<Channel> {
    RecordServiceClient::new(node.channel(ClientRole::PolicyOfficer).await)
}

async fn explain(
    node: &RunningNode,
    record: &Bytes,
    at: Option<Timestamp>,
) -> Result<pb::ExplainDecisionResponse, tonic::Status> {
    let request = pb::ExplainDecisionRequest {
        record_id: record.clone(),
        partner: CERT.to_owned(),
        at_ms: at.map_or(0, |at| at.unix_ms().unsigned_abs()),
    };
    policies(node).await.explain_decision(request).await.map(tonic::Response::into_inner)
}

async fn why_not(node: &RunningNode, record: &Bytes) -> pb::ExplainDeliveryResponse {
    let request =
        pb::ExplainDeliveryRequest { record_id: record.clone(), partner: CERT.to_owned() };
    records(node).await.explain_delivery(request).await.unwrap().into_inner()
}

/// The step where a record stands, what was found there, and what to do.
async fn stands(node: &RunningNode, record: &Bytes) -> (String, String, String) {
    let answer = why_not(node, record).await;
    let at = answer.steps.iter().position(|step| step.name == answer.stands_at).unwrap();
    for (index, step) in answer.steps.iter().enumerate() {
        let expected = match index.cmp(&at) {
            std::cmp::Ordering::Less => pb::DeliveryState::Passed,
            std::cmp::Ordering::Equal => pb::DeliveryState::Stands,
            std::cmp::Ordering::Greater => pb::DeliveryState::NotReached,
        };
        assert_eq!(step.state(), expected, "{answer:?}");
    }
    (answer.stands_at, answer.steps[at].detail.clone(), answer.next)
}

async fn what(node: &RunningNode) -> pb::PartnerSight {
    let request = pb::ExplainPartnerRequest { partner: CERT.to_owned() };
    let mut answers = policies(node).await.explain_partner(request).await.unwrap().into_inner();
    let mut last = None;
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(answer.considered <= answer.size);
        last = Some(answer);
    }
    last.unwrap().sight.unwrap()
}

fn counts(of: &[pb::SightCount]) -> Vec<(&str, u64)> {
    of.iter().map(|count| (count.name.as_str(), count.count)).collect()
}

fn fate(answer: &pb::ExplainDecisionResponse, field: &str) -> (pb::FieldFate, String) {
    let found = answer.fields.iter().find(|account| account.field == field).unwrap();
    (found.fate(), found.reason.clone())
}

#[tokio::test]
async fn a_reference_to_what_the_partner_may_not_see_is_explained_and_named() {
    let Pair { police, cert, _dir } = pair().await;
    let (open_case, open_series) = submit(&police, case("open")).await;
    let (amber_case, amber_series) = submit(&police, with_tlp(pb::Tlp::Amber, case("amber"))).await;
    let (linked, _) = submit(&police, indicator("linked.example", &[&open_series])).await;
    let (hidden, _) = submit(&police, indicator("hidden.example", &[&amber_series])).await;
    fixture::settled(&[&police, &cert]).await;

    let answer = explain(&police, &linked, None).await.unwrap();
    assert!(answer.allowed && answer.receipted, "{}", answer.text);
    assert_eq!(answer.policies, ["test/share"]);
    assert_eq!(
        answer.deciding[0].title,
        "Everything of the operation goes to those who take part in it"
    );
    assert!(answer.deciding[0].file == "10-sharing.cedar" && answer.deciding[0].line > 1);
    let states = answer.deciding[0].conditions.iter();
    let states: Vec<_> = states.map(pb::ConditionView::state).collect();
    assert_eq!(states, [pb::ConditionState::Holds, pb::ConditionState::Holds]);
    assert_eq!(fate(&answer, "cases").0, pb::FieldFate::Shown);
    let (notes, reason) = fate(&answer, "notes");
    assert_eq!(notes, pb::FieldFate::ClassWithheld);
    assert_eq!(reason, "nothing permits it");

    let answer = explain(&police, &hidden, None).await.unwrap();
    assert!(answer.allowed, "{}", answer.text);
    let (cases, reason) = fate(&answer, "cases");
    assert_eq!(cases, pb::FieldFate::ReferenceWithheld);
    let named = hex(&amber_case);
    assert_eq!(reason, format!("it refers to what {CERT} may not see: {named}"));
    assert!(
        answer.text.contains(&format!("field cases (links) withheld: {reason}")),
        "{}",
        answer.text
    );

    let denied = explain(&police, &amber_case, None).await.unwrap();
    assert_eq!(
        (denied.allowed, denied.policies.as_slice()),
        (false, &["test/no-amber".to_owned()][..])
    );
    assert!(denied.fields.iter().all(|field| field.fate() == pb::FieldFate::NotReleased));
    assert!(denied.text.contains("DENY, forbidden"), "{}", denied.text);

    let visibility = what(&police).await;
    assert_eq!((visibility.records, visibility.allowed, visibility.denied), (4, 3, 1));
    assert_eq!(counts(&visibility.kinds), [("indicator", 2), ("case", 1)]);
    assert_eq!(counts(&visibility.operations), [(OPERATION, 3)]);
    assert_eq!(counts(&visibility.markings), [("TLP:GREEN", 3)]);
    assert_eq!(counts(&visibility.cases), [("open", 1)]);
    assert_eq!(counts(&visibility.denied_by), [("test/no-amber", 1)]);
    assert_eq!(visibility.denied_by[0].samples, [amber_case]);
    assert_eq!(visibility.cases[0].samples, [open_case]);
}

#[tokio::test]
async fn the_way_to_a_partner_names_the_step_where_a_record_stands() {
    let Pair { police, cert, _dir } = pair().await;
    let (id, _) = submit(&police, indicator("arrives.example", &[])).await;
    fixture::settled(&[&police, &cert]).await;
    let arrived = why_not(&police, &id).await;
    assert_eq!((arrived.stands_at.as_str(), arrived.next.as_str()), ("", ""), "{arrived:?}");
    assert!(arrived.steps.iter().all(|step| step.state() == pb::DeliveryState::Passed));

    let (at, found, _) = stands(&police, &Bytes::from_static(&[7; 32])).await;
    assert_eq!((at.as_str(), found.contains("holds no record")), ("accepted", true));

    let (red, _) = submit(&police, with_tlp(pb::Tlp::Red, indicator("red.example", &[]))).await;
    fixture::settled(&[&police, &cert]).await;
    let (at, found, next) = stands(&police, &red).await;
    assert_eq!((at.as_str(), found.as_str()), ("decision", "denied by guard/tlp-red"));
    assert!(next.starts_with("liaison policy explain --record "), "{next}");

    let hold = pb::RestrictRecordRequest { record_id: red.clone(), reason: "exhibit 4".to_owned() };
    records(&police).await.restrict_record(hold).await.unwrap();
    let (at, found, _) = stands(&police, &red).await;
    assert_eq!((at.as_str(), found.contains("(exhibit 4)")), ("usable", true), "{found}");
    let answer = explain(&police, &red, None).await.unwrap();
    assert!(answer.remarks.iter().any(|remark| remark.contains("exhibit 4")), "{}", answer.text);

    // Our policy shares it; the partner's own does not take what is of no operation of its own.
    let other = r#"
@id("test/other")
@title("Notes go to everybody who is a CERT")
@agreement("none")
@owner("test@test.example")
permit (principal is Liaison::Partner, action == Liaison::Action::"share", resource is Liaison::Record)
when { principal.sector == Liaison::Sector::"cert" && resource.kind == Liaison::Kind::"note" };
"#;
    police.apply_policy(&format!("{CORE_ONLY}{GREEN_WITH_LINKS}{other}")).await;
    let content = Content::Note(pb::Note { title: "n".to_owned(), ..pb::Note::default() });
    let note = pb::Draft { operation: String::new(), ..draft("note-1", content) };
    let (note, _) = submit(&police, note).await;
    fixture::settled(&[&police, &cert]).await;
    let (at, found, next) = stands(&police, &note).await;
    assert_eq!(at, "taken");
    assert!(found.starts_with("cert.example did not take it: its own policy"), "{found}");
    assert!(next.contains("policy"), "{next}");

    police.set_state(CERT, pb::PartnerState::Suspended).await;
    let (paused, _) = submit(&police, indicator("paused.example", &[])).await;
    let (at, found, next) = stands(&police, &paused).await;
    assert_eq!((at.as_str(), found.as_str()), ("partner", "cert.example is suspended"));
    assert!(next.contains("liaison partner resume cert.example"), "{next}");
    let request = pb::ExplainRecipientsRequest { record_id: paused.clone() };
    let who = policies(&police).await.explain_recipients(request).await.unwrap().into_inner();
    assert_eq!(who.recipients.len(), 1);
    let cert_view = &who.recipients[0];
    assert_eq!(cert_view.verdict(), pb::RecipientVerdict::Paused);
    assert_eq!(
        (cert_view.reason.as_str(), &cert_view.policies[..]),
        ("cert.example is suspended", &["test/share".to_owned()][..])
    );

    police.set_state(CERT, pb::PartnerState::Active).await;
    fixture::settled(&[&police, &cert]).await;
    let (pid, agency) = (cert.pid(), cert.agency.clone());
    cert.kill().await;
    eventually("the stream has ended", async || !police.partner(&agency).await.connected).await;
    let (late, _) = submit(&police, indicator("late.example", &[])).await;
    eventually("it is in the feed", async || {
        why_not(&police, &late).await.stands_at == "connection"
    })
    .await;
    let (_, found, next) = stands(&police, &late).await;
    assert!(found.starts_with("there is no stream since 20"), "{pid}: {found}");
    assert!(next.contains("can be reached"), "{next}");
    let who = pb::ExplainRecipientsRequest { record_id: late };
    let who = policies(&police).await.explain_recipients(who).await.unwrap().into_inner();
    assert_eq!(who.recipients[0].verdict(), pb::RecipientVerdict::Allowed);
    assert!(who.recipients[0].feed_index.is_some() && !who.recipients[0].receipted);
}

#[tokio::test]
async fn a_past_decision_is_explained_with_the_policy_and_the_partner_of_then() {
    let Pair { police, cert, _dir } = pair().await;
    let before = now();
    let (id, _) = submit(&police, with_tlp(pb::Tlp::Amber, indicator("amber.example", &[]))).await;
    fixture::settled(&[&police, &cert]).await;
    let forbidden = now();
    police.apply_policy(CORE_ONLY).await;
    let allowed = now();
    let facts = pb::PartnerFacts::default();
    let request =
        pb::UpdatePartnerFactsRequest { agency: CERT.to_owned(), facts: Some(facts), before: None };
    police.admin().await.update_partner_facts(request).await.unwrap();

    // Now the partner takes part in no operation any more.
    let answer = explain(&police, &id, None).await.unwrap();
    assert_eq!((answer.allowed, answer.policy_version), (false, 2), "{}", answer.text);
    assert_eq!(answer.nearest[0].id, "test/share");
    assert_eq!(
        answer.nearest[0].conditions.last().unwrap().state(),
        pb::ConditionState::Fails,
        "{}",
        answer.text
    );
    let answer = explain(&police, &id, Some(allowed)).await.unwrap();
    assert_eq!((answer.allowed, answer.policy_version), (true, 2), "{}", answer.text);
    let answer = explain(&police, &id, Some(forbidden)).await.unwrap();
    assert_eq!((answer.allowed, answer.policy_version), (false, 1), "{}", answer.text);
    assert_eq!(answer.policies, ["test/no-amber"]);
    assert!(answer.text.contains("as it was: policy version 1 (bundle "), "{}", answer.text);
    let answer = explain(&police, &id, Some(before)).await.unwrap();
    assert!(answer.remarks[0].starts_with("this node accepted the record at "), "{answer:?}");

    let long_ago = "2020-01-01".parse().unwrap();
    let refused = explain(&police, &id, Some(long_ago)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("was not a partner of this node yet"), "{refused}");

    // Without the files of then nothing is told of then, and the rest goes on.
    let files = police
        .dir
        .join("policies")
        .join(hex(&explain(&police, &id, Some(forbidden)).await.unwrap().bundle_hash));
    std::fs::rename(&files, police.dir.join("aside")).unwrap();
    let (dir, agency) = (police.dir.clone(), police.agency.clone());
    police.kill().await;
    let police = RunningNode::start(&dir, &agency).await;
    let refused = explain(&police, &id, Some(forbidden)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("bring its files back"), "{refused}");
    assert!(explain(&police, &id, Some(allowed)).await.unwrap().allowed);
}

#[tokio::test]
async fn what_a_sealed_record_refers_to_is_named_to_those_alone_who_may_see_its_content() {
    let Pair { police, cert, _dir } = pair().await;
    let (hidden, series) = submit(&police, with_tlp(pb::Tlp::Amber, case("NPA-7"))).await;
    let (id, _) = submit(&police, indicator("refers.example", &[&series])).await;
    fixture::settled(&[&police, &cert]).await;
    let named = RecordId::try_from(&hidden[..]).unwrap().to_string();
    let asked = async |role: ClientRole| {
        let request =
            pb::ExplainDeliveryRequest { record_id: id.clone(), partner: CERT.to_owned() };
        let mut client = RecordServiceClient::new(police.channel(role).await);
        let way = client.explain_delivery(request).await.unwrap().into_inner();
        let step = way.steps.into_iter().find(|step| step.name == "references").unwrap();
        assert_eq!(step.state(), pb::DeliveryState::Passed, "{step:?}");
        let request = pb::ExplainDecisionRequest {
            record_id: id.clone(),
            partner: CERT.to_owned(),
            at_ms: 0,
        };
        let mut client = PolicyServiceClient::new(police.channel(role).await);
        let decision = client.explain_decision(request).await.unwrap().into_inner();
        (step.detail, decision.text)
    };
    for role in [ClientRole::Analyst, ClientRole::PolicyOfficer] {
        let (way, decision) = asked(role).await;
        assert!(way.contains(&named), "{role}: {way}");
        assert!(decision.contains(&named), "{role}: {decision}");
    }
    let hold = pb::RestrictRecordRequest { record_id: id.clone(), reason: "exhibit 4".to_owned() };
    records(&police).await.restrict_record(hold).await.unwrap();
    let (way, decision) = asked(ClientRole::Analyst).await;
    assert!(!way.contains(&named) && !way.contains("cases"), "{way}");
    assert!(!decision.contains(&named), "{decision}");
    let (way, _) = asked(ClientRole::PolicyOfficer).await;
    assert!(way.contains(&named), "{way}");
}
