//! Tests of partners: adding, resuming and changing sector or country takes two persons; suspending and
//! revoking takes one. The content of a card decides nothing.

use liaison::node::config::Config;
use liaison::node::init;
use liaison::partner::{Card, NodeKeys, VerifiedCard};
use liaison::pb;
use liaison::policy::ClientRole;
use liaison::tls::Authority;
use tonic::Code;

use crate::fixture::{self, CORE_ONLY, RunningNode, SECOND_OFFICER, audited};

const CERT: &str = "cert.example";

/// A node without partners, and the card of an agency that nobody approved.
async fn node_and_card(parent: &std::path::Path) -> (RunningNode, VerifiedCard) {
    let police = RunningNode::fresh(parent, "police.example", "police", CORE_ONLY).await;
    let other = parent.join(CERT);
    fixture::make(&other, CERT, "cert", CORE_ONLY);
    let card = std::fs::read_to_string(other.join("card.txt")).unwrap();
    (police, Card::verify(&card).unwrap())
}

async fn add(
    node: &RunningNode,
    card: &VerifiedCard,
    facts: Option<pb::PartnerFacts>,
) -> Result<pb::AddPartnerResponse, tonic::Status> {
    let number = card.number().to_string();
    let request = pb::AddPartnerRequest { card: card.to_armour().unwrap(), number, facts };
    node.admin().await.add_partner(request).await.map(tonic::Response::into_inner)
}

async fn set(node: &RunningNode, state: pb::PartnerState) -> pb::SetPartnerStateResponse {
    let request = pb::SetPartnerStateRequest { agency: CERT.to_owned(), state: state.into() };
    node.admin().await.set_partner_state(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_agency_that_one_admin_adds_is_no_partner_until_an_officer_approves() {
    let dir = tempfile::tempdir().unwrap();
    let (police, card) = node_and_card(dir.path()).await;
    let added = add(&police, &card, None).await.unwrap();
    let act = added.act.unwrap();
    assert_eq!((added.partner, &act.wanted_roles[..]), (None, &["policy-officer".to_owned()][..]));
    assert_eq!(police.status().await.partners, []);
    for (nobody, code) in [
        ("admin", Code::PermissionDenied),
        ("auditor", Code::PermissionDenied),
        ("vendor-tool", Code::PermissionDenied),
        // It may see acts, and this one does not concern it.
        ("analyst", Code::NotFound),
    ] {
        let refused = police.decide(nobody, act.proposal, true).await.unwrap_err();
        assert_eq!(refused.code(), code, "{nobody}");
    }
    assert!(police.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    let partner = police.partner(CERT).await;
    assert_eq!(partner.state(), pb::PartnerState::Active);
    assert_eq!((partner.sector.as_str(), partner.country.as_str()), ("cert", "JP"));
    // Once; and nobody adds it twice.
    assert!(police.decide(SECOND_OFFICER, act.proposal, true).await.is_err());
    assert_eq!(add(&police, &card, None).await.unwrap().act, None);
    audited(&police);
}

#[tokio::test]
async fn sector_and_country_are_what_was_agreed_whatever_the_card_says() {
    let dir = tempfile::tempdir().unwrap();
    let (police, card) = node_and_card(dir.path()).await;
    let agreed = pb::PartnerFacts {
        sector: pb::Sector::Vendor.into(),
        country: "US".to_owned(),
        ..pb::PartnerFacts::default()
    };
    let act = add(&police, &card, Some(agreed.clone())).await.unwrap().act.unwrap();
    police.approve(act.proposal).await;
    let partner = police.partner(CERT).await;
    assert_eq!((partner.sector.as_str(), partner.country.as_str()), ("vendor", "US"));

    // A newer card from another country is taken and proposes that country.
    let other = dir.path().join(CERT);
    let mut config = Config::load(&other).unwrap();
    config.country = "FR".to_owned();
    let keys = NodeKeys::load(&other).unwrap();
    let now = fixture::now();
    let authority = Authority::load(&other, now).unwrap();
    let newer = init::issue_card(&config, &keys, &authority, now, Some(&card)).unwrap();
    let taken = add(&police, &newer, None).await.unwrap();
    assert_eq!(police.partner(CERT).await.facts, Some(agreed.clone()), "not yet");
    let act = taken.act.unwrap();
    police.approve(act.proposal).await;
    let moved = pb::PartnerFacts { country: "FR".to_owned(), ..agreed };
    assert_eq!(police.partner(CERT).await.facts, Some(moved));
    audited(&police);
}

#[tokio::test]
async fn one_person_suspends_and_revokes_and_two_resume_or_begin_again() {
    let dir = tempfile::tempdir().unwrap();
    let (police, card) = node_and_card(dir.path()).await;
    let act = add(&police, &card, None).await.unwrap().act.unwrap();
    police.approve(act.proposal).await;
    assert_eq!(set(&police, pb::PartnerState::Suspended).await.act, None);
    assert_eq!(police.partner(CERT).await.state(), pb::PartnerState::Suspended);
    let early = set(&police, pb::PartnerState::Active).await.act.unwrap();
    assert_eq!(police.partner(CERT).await.state(), pb::PartnerState::Suspended, "it waits");
    police.approve(early.proposal).await;
    assert_eq!(police.partner(CERT).await.state(), pb::PartnerState::Active);

    // An approval is void when the partner changed since.
    set(&police, pb::PartnerState::Suspended).await;
    let [first, second] = [
        set(&police, pb::PartnerState::Active).await.act.unwrap(),
        set(&police, pb::PartnerState::Active).await.act.unwrap(),
    ];
    police.approve(first.proposal).await;
    set(&police, pb::PartnerState::Suspended).await;
    let refused = police.decide(SECOND_OFFICER, second.proposal, true).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{}", refused.message());

    assert_eq!(set(&police, pb::PartnerState::Revoked).await.act, None);
    let again = add(&police, &card, None).await.unwrap();
    assert_eq!(police.partner(CERT).await.state(), pb::PartnerState::Revoked, "it waits");
    police.approve(again.act.unwrap().proposal).await;
    assert_eq!(police.partner(CERT).await.state(), pb::PartnerState::Active);
    audited(&police);
}

#[tokio::test]
async fn a_partner_that_may_be_shown_personal_data_takes_the_data_protection_officer_too() {
    let dir = tempfile::tempdir().unwrap();
    let (police, card) = node_and_card(dir.path()).await;
    let except = "unless { resource.personal_data };\n";
    let excepting = CORE_ONLY.trim_end().trim_end_matches(';').to_owned() + "\n" + except;
    police.apply_policy(&excepting).await;
    let act = add(&police, &card, None).await.unwrap().act.unwrap();
    assert_eq!(act.wanted_roles, ["policy-officer"]);
    police.apply_policy(CORE_ONLY).await;
    // What the policy may show by now, this act did not ask for.
    let refused = police.decide(SECOND_OFFICER, act.proposal, true).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let act = add(&police, &card, None).await.unwrap().act.unwrap();
    assert_eq!(act.wanted_roles, ["data-protection-officer", "policy-officer"]);
    assert!(!police.decide(SECOND_OFFICER, act.proposal, true).await.unwrap().carried_out);
    assert_eq!(police.status().await.partners, []);
    let dpo = ClientRole::DataProtectionOfficer.name();
    assert!(police.decide(dpo, act.proposal, true).await.unwrap().carried_out);
    assert_eq!(police.partner(CERT).await.state(), pb::PartnerState::Active);
    audited(&police);
}
