//! Tests of the audit of consents. It finds a disclosure on a consent that is missing, not in force
//! or not its originator's. It also finds a consent that nobody gave or that is not in the holder's
//! feed.

use super::fixtures::{self, Node, addition, agreed, record};
use super::tests::verified;
use super::*;
use crate::audit::Check;
use crate::audit::PartReport;
use crate::exchange::ConsentMessage;
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::progress::{Progress, Rescan};
use crate::journal::transaction::{Origin, Transaction};
use crate::pb::{self, FeedAction, act::Act, journal_entry::Event};
use crate::record::consent::{
    Consent, ConsentTerms, ConsentVerdict, Purpose, Roster, Scope, Subject,
};
use crate::record::signed::Verified;
use crate::testkit::{Agency, approved, feed_entry, now, own, partner, partner_changed, proposed};
use std::sync::Arc;

const CIRCLE: &str = "desk";

/// A record of the partner under originator control, for members of a circle.
fn controlled() -> Arc<Verified> {
    record(&Agency::partner(), |marking| {
        marking.orcon = true;
        marking.circles = Some(pb::CircleList { circles: vec![CIRCLE.into()] });
    })
}

fn forward(scope: Scope) -> Subject {
    Subject { purpose: Purpose::Forward(Agency::stranger().name), scope }
}

fn terms(number: u64, minutes: i64) -> ConsentTerms {
    let verdict = ConsentVerdict::Granted { until: now().plus_ms(minutes * 60_000) };
    let subject = forward(Scope::Record(controlled().id()));
    ConsentTerms { number, request: 0, verdict, subject, at: now(), reason: "takedowns".into() }
}

fn statement(terms: ConsentTerms) -> Consent {
    Agency::partner().consent(&own(), terms)
}

fn received(consent: &Consent) -> Event {
    Event::ConsentReceived(pb::ConsentReceived {
        partner: partner().to_string(),
        consent: Some(consent.into()),
        feed_index: 0,
    })
}

/// Appends an entry; one that a partner's feed brings comes in a batch of its own.
fn append(t: &mut Transaction<'_>, event: Event) -> Result<(), JournalError> {
    let Event::ConsentReceived(mut received) = event else { return t.append(event).map(drop) };
    let consent = received.consent.clone().unwrap();
    let said = ConsentMessage::Consent(consent.clone().try_into().unwrap());
    let entry = pb::FeedEntry {
        record_id: said.record().as_bytes().to_vec().into(),
        consent: Some(Box::new(consent)),
        ..feed_entry(FeedAction::Consent, &controlled().id(), 0)
    };
    fixtures::received(t, &[entry], &[], |t, start| {
        received.feed_index = start;
        t.append(Event::ConsentReceived(received)).map(drop)
    })
}

/// Accepts a record that the partner's feed brings.
fn accept(t: &mut Transaction<'_>, record: Arc<Verified>) -> Result<(), JournalError> {
    let partner = partner();
    let entry = feed_entry(FeedAction::Disclose, &record.id(), record.open_slots().bits());
    fixtures::received(t, &[entry], &[], |t, feed_index| {
        t.accept(record, Origin::Partner { agency: &partner, feed_index }).map(drop)
    })
}

fn two_persons(t: &mut Transaction<'_>, act: Act) -> u64 {
    let proposed = proposed("sato", "policy-officer", act);
    let proposal = t.append(Event::ActProposed(proposed)).unwrap();
    t.append(approved(proposal)).unwrap();
    proposal
}

/// A node with a record of the partner, and a second partner in the circle.
fn node() -> Node {
    let node = Node::new();
    let far = Agency::stranger();
    node.commit(move |t| {
        let [proposed, decided, Event::PartnerChanged(changed)] = addition(&far, 2, t.size().get())
        else {
            unreachable!("the third entry is the partner")
        };
        t.append(proposed)?;
        t.append(decided)?;
        t.append(Event::PartnerChanged(changed.clone()))?;
        let after = pb::PartnerFacts { circles: vec![CIRCLE.into()], ..agreed() };
        let act = Act::ChangeFacts(pb::ChangeFactsAct {
            agency: far.name.to_string(),
            before: Some(agreed()),
            after: Some(after.clone()),
            reveals: false,
        });
        let proposal = two_persons(t, act);
        t.append(Event::PartnerChanged(pb::PartnerChanged {
            facts: Some(after),
            proposal,
            ..changed
        }))?;
        accept(t, controlled())
    });
    node
}

fn publish(node: &Node, to: &Agency, entries: Vec<pb::FeedEntry>) {
    let to = to.name.clone();
    node.commit(move |t| {
        let rescan = Rescan { rules: t.state().rules_since(&to), ..Rescan::default() };
        let progress = Progress { considered: t.size().get(), rescan };
        t.publish(&to, &entries, progress, 0)
    });
}

fn check(node: &Node) -> Option<Check> {
    verified(node).failure.map(|failure| failure.fault.check)
}

/// Returns the failed check when the record goes to the second partner after these entries.
fn disclosing(events: Vec<Event>) -> Option<Check> {
    let node = node();
    node.commit(move |t| events.into_iter().try_for_each(|event| append(t, event)));
    let entry = feed_entry(FeedAction::Disclose, &controlled().id(), 0b110);
    publish(&node, &Agency::stranger(), vec![entry]);
    check(&node)
}

#[test]
fn a_record_under_originator_control_goes_on_with_a_consent_that_is_in_force_alone() {
    let granted = || received(&statement(terms(1, 90)));
    assert_eq!(disclosing(vec![granted()]), None);
    let denied = Some(Check::PolicyDecision);
    assert_eq!(disclosing(vec![]), denied, "there is none");
    assert_eq!(disclosing(vec![received(&statement(terms(1, 50)))]), denied, "it ended this hour");
    let refused = ConsentTerms { verdict: ConsentVerdict::Refused, ..terms(1, 90) };
    assert_eq!(disclosing(vec![received(&statement(refused))]), denied);
    let revoked = ConsentTerms { verdict: ConsentVerdict::Revoked, ..terms(1, 90) };
    assert_eq!(disclosing(vec![granted(), received(&statement(revoked))]), denied);
    let other = forward(Scope::Record(crate::ident::RecordId::from_bytes([7; 32])));
    let of_another = ConsentTerms { subject: other, ..terms(1, 90) };
    assert_eq!(disclosing(vec![received(&statement(of_another))]), denied);
    let evidence = Subject { purpose: Purpose::Evidence, scope: Scope::All };
    let for_evidence = ConsentTerms { subject: evidence, ..terms(1, 90) };
    assert_eq!(disclosing(vec![received(&statement(for_evidence))]), denied);
    let case = forward(Scope::Operation("chakra-v".into()));
    assert_eq!(
        disclosing(vec![received(&statement(ConsentTerms { subject: case, ..terms(1, 90) }))]),
        None
    );
}

#[test]
fn a_consent_under_another_key_for_another_holder_or_out_of_order_is_found() {
    let found = Some(Check::Consent);
    let forged = Agency::stranger().consent(&own(), terms(1, 90));
    assert_eq!(disclosing(vec![received(&forged)]), found);
    let for_another = Agency::partner().consent(&Agency::stranger().name, terms(1, 90));
    assert_eq!(disclosing(vec![received(&for_another)]), found);
    let again = vec![received(&statement(terms(2, 90))), received(&statement(terms(2, 90)))];
    assert_eq!(disclosing(again), found);
    let ended = |subject: Option<Subject>| {
        Event::ConsentEnded(pb::ConsentEnded {
            originator: partner().to_string(),
            number: 1,
            subject: subject.as_ref().map(Into::into),
        })
    };
    let subject = || Some(forward(Scope::Record(controlled().id())));
    let early = vec![received(&statement(terms(1, 90))), ended(subject())];
    assert_eq!(disclosing(early), found, "its time has not ended");
    let ends = |subject| vec![received(&statement(terms(1, 50))), ended(subject)];
    assert_eq!(disclosing(ends(subject())), Some(Check::PolicyDecision));
    assert_eq!(disclosing(ends(None)), found, "it was for something else");
}

fn own_record() -> Subject {
    forward(Scope::All)
}

/// The agency consents to what its partner may do; `proposed` is what two persons approved.
fn giving(
    consent: &Consent,
    proposed: Option<pb::GrantConsentAct>,
    told: Option<&Consent>,
) -> Option<Check> {
    let node = node();
    let given = pb::ConsentGiven {
        holder: partner().to_string(),
        consent: Some(consent.into()),
        client: "sato".into(),
        role: "policy-officer".into(),
        proposal: 0,
    };
    node.commit(move |t| {
        let proposal = proposed.map_or(0, |act| two_persons(t, Act::GrantConsent(act)));
        t.append(Event::ConsentGiven(pb::ConsentGiven { proposal, ..given }))
    });
    if let Some(told) = told {
        let entry = pb::FeedEntry {
            record_id: vec![0; 32].into(),
            consent: Some(Box::new(told.into())),
            ..feed_entry(FeedAction::Consent, &controlled().id(), 0)
        };
        publish(&node, &Agency::partner(), vec![entry]);
    }
    check(&node)
}

#[test]
fn a_consent_that_two_persons_did_not_give_or_that_is_told_otherwise_is_found() {
    let ours = |number| {
        let terms = ConsentTerms { subject: own_record(), ..terms(number, 90) };
        Agency::own().consent(&partner(), terms)
    };
    let act = || pb::GrantConsentAct {
        holder: partner().to_string(),
        request: 0,
        subject: Some((&own_record()).into()),
        valid_until_ms: now().plus_ms(90 * 60_000).unix_ms().unsigned_abs(),
        reason: "takedowns".into(),
    };
    let found = Some(Check::Consent);
    assert_eq!(giving(&ours(1), Some(act()), Some(&ours(1))), None);
    assert_eq!(giving(&ours(1), Some(act()), None), None, "it is not told yet");
    assert_eq!(giving(&ours(1), None, None), found);
    let longer = pb::GrantConsentAct { valid_until_ms: act().valid_until_ms + 1, ..act() };
    assert_eq!(giving(&ours(1), Some(longer), None), found);
    let other = pb::GrantConsentAct { subject: None, ..act() };
    assert_eq!(giving(&ours(1), Some(other), None), found);
    assert_eq!(giving(&ours(1), Some(act()), Some(&ours(2))), found, "another is told");
    let theirs = Agency::partner().consent(&own(), terms(1, 90));
    assert_eq!(giving(&theirs, Some(act()), None), found, "it is not ours to say");
    let untold = node();
    let entry = pb::FeedEntry {
        record_id: vec![0; 32].into(),
        consent: Some(Box::new((&ours(1)).into())),
        ..feed_entry(FeedAction::Consent, &controlled().id(), 0)
    };
    publish(&untold, &Agency::partner(), vec![entry]);
    assert_eq!(check(&untold), found, "no entry says so");
}

/// A statement about the roster of the circle, to the second partner.
fn roster(number: u64, verdict: ConsentVerdict, members: Vec<AgencyName>) -> Consent {
    let roster = Roster::new(CIRCLE.to_owned(), members).unwrap();
    let subject = Subject { purpose: Purpose::Circle(roster), scope: Scope::All };
    Agency::own()
        .consent(&Agency::stranger().name, ConsentTerms { verdict, subject, ..terms(number, 90) })
}

/// The entry that has it; without a client it follows a change of the circle.
fn roster_given(consent: &Consent, client: &str, proposal: u64) -> Event {
    let role = if client.is_empty() { "" } else { "policy-officer" };
    Event::ConsentGiven(pb::ConsentGiven {
        holder: Agency::stranger().name.to_string(),
        consent: Some(consent.into()),
        client: client.into(),
        role: role.into(),
        proposal,
    })
}

/// A node whose second partner, the only member of the circle, was given this roster by two persons.
fn with_roster(members: Vec<AgencyName>) -> Node {
    let node = node();
    let given = roster(1, terms(1, 90).verdict, members);
    node.commit(move |t| {
        let act = pb::GrantConsentAct {
            holder: Agency::stranger().name.to_string(),
            request: 0,
            subject: Some((&given.subject).into()),
            valid_until_ms: now().plus_ms(90 * 60_000).unix_ms().unsigned_abs(),
            reason: "takedowns".into(),
        };
        let proposal = two_persons(t, Act::GrantConsent(act));
        t.append(roster_given(&given, "sato", proposal)).map(drop)
    });
    node
}

/// Audits a node where the member leaves the circle. Then comes this entry, and its feed contains
/// these statements.
fn after_leaving(follows: Option<&Consent>, told: &[&Consent]) -> Option<Check> {
    let node = with_roster(vec![Agency::stranger().name]);
    let follows = follows.map(|consent| roster_given(consent, "", 0));
    node.commit(move |t| {
        t.append(Event::PartnerChanged(pb::PartnerChanged {
            facts: Some(agreed()),
            client: "admin".into(),
            ..partner_changed(&Agency::stranger(), 2, pb::PartnerState::Active)
        }))?;
        follows.into_iter().try_for_each(|event| t.append(event).map(drop))
    });
    let entry = |consent: &&Consent| pb::FeedEntry {
        record_id: vec![0; 32].into(),
        consent: Some(Box::new((*consent).into())),
        ..feed_entry(FeedAction::Consent, &controlled().id(), 0)
    };
    publish(&node, &Agency::stranger(), told.iter().map(entry).collect());
    check(&node)
}

#[test]
fn a_roster_names_the_members_of_its_circle_and_follows_it_before_any_feed_is_published() {
    let (member, other) = (Agency::stranger().name, partner());
    let found = Some(Check::Consent);
    assert_eq!(check(&with_roster(vec![member.clone()])), None);
    assert_eq!(check(&with_roster(vec![])), found, "a member is left out");
    let mut more = vec![member.clone(), other];
    more.sort();
    assert_eq!(check(&with_roster(more)), found, "one is named that is not a member");

    let given = roster(1, terms(1, 90).verdict, vec![member.clone()]);
    let revoked = roster(1, ConsentVerdict::Revoked, vec![member.clone()]);
    assert_eq!(after_leaving(Some(&revoked), &[&given, &revoked]), None);
    assert_eq!(after_leaving(None, &[&given]), found, "the roster does not follow");
    let emptied = roster(2, terms(2, 90).verdict, vec![]);
    assert_eq!(after_leaving(Some(&emptied), &[&given, &emptied]), found, "it is told on");

    let unchanged = with_roster(vec![member]);
    unchanged.commit(move |t| t.append(roster_given(&revoked, "", 0)).map(drop));
    assert_eq!(check(&unchanged), found, "no person took it back");
}

/// A part about a record that its originator keeps from proceedings.
fn part(consent: Option<Consent>) -> PartReport {
    let (node, id) = with_evidence(consent);
    part_tests::exported(&node, crate::audit::Selection::Record(id))
}

/// A node with a record that its originator keeps from proceedings, perhaps with its consent, and the
/// record's id.
fn with_evidence(consent: Option<Consent>) -> (Node, crate::ident::RecordId) {
    let node = Node::new();
    let record = record(&Agency::partner(), |marking| marking.no_evidence = true);
    let id = record.id();
    node.commit(move |t| {
        accept(t, record)?;
        consent.iter().try_for_each(|consent| append(t, received(consent)))
    });
    (node, id)
}

#[test]
fn content_that_a_consent_permits_may_not_be_withheld_from_a_part() {
    let subject = Subject { purpose: Purpose::Evidence, scope: Scope::All };
    let keep = tempfile::tempdir().unwrap();
    let export = |name: &str, consent| {
        let (node, id) = with_evidence(consent);
        let (out, selection) = (keep.path().join(name), crate::audit::Selection::Record(id));
        crate::cli::commands::audit::export::export_part(
            node.path(),
            &out,
            selection,
            &false.into(),
        )
        .unwrap();
        out
    };
    let withheld = export("withheld", None);
    let shown = export("shown", Some(statement(ConsentTerms { subject, ..terms(1, 90) })));
    let content = |dir: &Path| part_tests::files(&dir.join("content")).remove(0);
    assert_eq!(part_tests::checked(&shown, &Anchor::Directory).unwrap().kept_out, 0);
    let (bad, good) =
        (std::fs::read(content(&withheld)).unwrap(), std::fs::read(content(&shown)).unwrap());
    std::fs::write(content(&shown), &bad).unwrap();
    let (was, is) = (part_tests::sha256(&good), part_tests::sha256(&bad));
    part_tests::edit_manifest(&shown, |_| true, |text| text.replace(&was, &is));
    assert_eq!(part_tests::checked(&shown, &Anchor::Directory), Err(Check::Content));
}

#[test]
fn what_may_not_be_evidence_is_kept_out_of_a_part_until_its_originator_consents() {
    let none = part(None);
    assert_eq!((none.records, none.signatures, none.kept_out, none.unpermitted), (1, 1, 1, 0));
    assert!(none.to_string().contains("kept out   the content of 1"), "{none}");
    let subject = Subject { purpose: Purpose::Evidence, scope: Scope::All };
    let with = part(Some(statement(ConsentTerms { subject, ..terms(1, 90) })));
    assert_eq!((with.kept_out, with.unpermitted), (0, 0));
    let other = part(Some(statement(terms(1, 90))));
    assert_eq!((other.kept_out, other.unpermitted), (1, 0), "a consent to pass on is another");
}
