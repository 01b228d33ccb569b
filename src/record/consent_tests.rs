//! Statements about consent: written, read back, signed, and refused where anything is wrong.

use super::*;
use crate::testkit::policy::agency as name;
use crate::testkit::{Ring, now};
use proptest::prelude::*;
use prost::Message as _;

const KEY_ID: KeyId = KeyId::from_bytes([7; 16]);

fn at(ms: i64) -> Timestamp {
    now().plus_ms(ms)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn terms(verdict: ConsentVerdict, subject: Subject) -> ConsentTerms {
    ConsentTerms {
        number: 3,
        request: 7,
        verdict,
        subject,
        at: at(0),
        reason: "operation 7".to_owned(),
    }
}

fn forward(scope: Scope) -> Subject {
    Subject { purpose: Purpose::Forward(name("dcu.example")), scope }
}

fn circle(name: &str, members: &[&str]) -> Subject {
    let members = members.iter().map(|text| text.parse().unwrap()).collect();
    let purpose = Purpose::Circle(Roster::new(name.to_owned(), members).unwrap());
    Subject { purpose, scope: Scope::All }
}

fn granted() -> ConsentVerdict {
    ConsentVerdict::Granted { until: at(3_600_000) }
}

fn sign(terms: ConsentTerms) -> Result<Consent, ConsentError> {
    let (originator, holder) = (name("npa.go.jp"), name("jc3.or.jp"));
    let parties = Parties { originator: &originator, holder: &holder };
    Consent::sign(terms, parties, (&key(), KEY_ID))
}

fn verified(consent: &Consent, originator: &str, holder: &str) -> bool {
    let (originator, holder) = (name(originator), name(holder));
    let parties = Parties { originator: &originator, holder: &holder };
    consent.verify(parties, &Ring::one("npa.go.jp", KEY_ID, &key())).is_ok()
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let purpose = prop_oneof![
        "[a-z]{1,40}[.][a-z]{2,50}".prop_map(|name| Purpose::Forward(name.parse().unwrap())),
        Just(Purpose::Evidence),
        ("[a-z0-9-]{1,64}", prop::collection::btree_set("[a-z]{1,40}[.][a-z]{2,50}", 0..8))
            .prop_map(|(circle, names)| {
                let mut members: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
                members.sort();
                Purpose::Circle(Roster::new(circle, members).unwrap())
            }),
    ];
    let scope = prop_oneof![
        any::<[u8; 32]>().prop_map(|id| Scope::Record(RecordId::from_bytes(id))),
        "[a-zA-Z0-9-]{1,64}".prop_map(Scope::Operation),
        Just(Scope::All),
    ];
    (purpose, scope).prop_map(|(purpose, scope)| Subject { purpose, scope })
}

fn any_verdict() -> impl Strategy<Value = ConsentVerdict> {
    prop_oneof![
        (1..=VALID_MS_MAX).prop_map(|ms| ConsentVerdict::Granted { until: at(ms) }),
        Just(ConsentVerdict::Refused),
        Just(ConsentVerdict::Revoked),
    ]
}

proptest! {
    #[test]
    fn a_statement_is_written_and_read_back_and_verifies(
        subject in any_subject(), verdict in any_verdict(), number in 1_u64.., request: u64,
        reason in "\\PC{1,60}x",
    ) {
        let terms = ConsentTerms { number, request, verdict, subject, at: at(0), reason };
        let consent = sign(terms).unwrap();
        let bytes = pb::Consent::from(&consent).encode_to_vec();
        prop_assert!(bytes.len() <= CONSENT_BYTES_MAX, "{}", bytes.len());
        let wire = pb::Consent::decode(&bytes[..]).unwrap();
        let back = Consent::try_from(wire.clone()).unwrap();
        prop_assert_eq!(&back, &consent);
        prop_assert_eq!(pb::Consent::from(&back), wire);
        prop_assert!(verified(&back, "npa.go.jp", "jc3.or.jp"));
    }

    #[test]
    fn a_request_is_written_and_read_back(
        subject in any_subject(), number in 1_u64.., reason in "\\PC{1,60}x",
    ) {
        let purpose = match subject.purpose {
            Purpose::Circle(roster) => {
                Purpose::Circle(Roster::new(roster.circle().to_owned(), vec![]).unwrap())
            }
            other => other,
        };
        let subject = Subject { purpose, ..subject };
        let request = ConsentRequest::new(number, subject, reason).unwrap();
        let wire = pb::ConsentRequest::from(&request);
        prop_assert!(wire.encoded_len() <= CONSENT_BYTES_MAX);
        prop_assert_eq!(ConsentRequest::try_from(wire), Ok(request));
    }
}

#[test]
fn a_statement_holds_for_its_parties_and_for_nothing_else_than_it_says() {
    let given = sign(terms(granted(), forward(Scope::All))).unwrap();
    assert!(verified(&given, "npa.go.jp", "jc3.or.jp"));
    assert!(!verified(&given, "npa.go.jp", "dcu.example"), "another holder");
    assert!(!verified(&given, "jc3.or.jp", "jc3.or.jp"), "another originator");
    let others = [
        Consent { number: 4, ..given.clone() },
        Consent { request: 8, ..given.clone() },
        Consent { verdict: ConsentVerdict::Revoked, ..given.clone() },
        Consent { verdict: ConsentVerdict::Granted { until: at(3_600_001) }, ..given.clone() },
        Consent { subject: forward(Scope::Operation("chakra-v".to_owned())), ..given.clone() },
        Consent {
            subject: Subject { purpose: Purpose::Evidence, scope: Scope::All },
            ..given.clone()
        },
        Consent { subject: circle("fraud", &[]), ..given.clone() },
        Consent { at: at(1), ..given.clone() },
        Consent { reason: "operation 8".to_owned(), ..given.clone() },
    ];
    for other in others {
        assert!(!verified(&other, "npa.go.jp", "jc3.or.jp"), "{other:?}");
    }
}

/// The bytes under the signature never change.
#[test]
fn the_signed_bytes_are_those_that_the_formats_name() {
    let subject = forward(Scope::Record(RecordId::from_bytes([0xab; 32])));
    let consent = sign(terms(granted(), subject)).unwrap();
    let (originator, holder) = (name("npa.go.jp"), name("jc3.or.jp"));
    let message = consent.message(Parties { originator: &originator, holder: &holder });
    let mut wanted = b"liaison/consent/v1\0\0\0\0\x09npa.go.jp\0\0\0\x09jc3.or.jp".to_vec();
    for number in [3_u64, 7, 1, 1] {
        wanted.extend_from_slice(&number.to_be_bytes());
    }
    wanted.extend_from_slice(b"\0\0\0\x0bdcu.example");
    wanted.extend_from_slice(&1_u64.to_be_bytes());
    wanted.extend_from_slice(b"\0\0\0\x20");
    wanted.extend_from_slice(&[0xab; 32]);
    wanted.extend_from_slice(b"\0\0\0\0");
    // No circle, and no members of it.
    wanted.extend_from_slice(b"\0\0\0\0");
    wanted.extend_from_slice(&0_u64.to_be_bytes());
    wanted.extend_from_slice(&1_772_323_200_000_u64.to_be_bytes());
    wanted.extend_from_slice(&1_772_326_800_000_u64.to_be_bytes());
    wanted.extend_from_slice(b"\0\0\0\x0boperation 7");
    assert_eq!(message, wanted);
}

#[test]
fn a_consent_ends_and_within_five_years() {
    let until =
        |ms: i64| sign(terms(ConsentVerdict::Granted { until: at(ms) }, forward(Scope::All)));
    assert!(until(1).is_ok() && until(VALID_MS_MAX).is_ok());
    for ms in [-1, 0, VALID_MS_MAX + 1] {
        assert!(matches!(until(ms), Err(ConsentError::Validity { .. })), "{ms}");
    }
}

#[test]
fn a_refusal_and_a_revocation_say_why_and_a_consent_may() {
    let silent = |verdict| {
        let said = terms(verdict, forward(Scope::All));
        sign(ConsentTerms { reason: " ".to_owned(), ..said }).map(drop)
    };
    assert_eq!(silent(ConsentVerdict::Refused), Err(ConsentError::NoReason));
    assert_eq!(silent(ConsentVerdict::Revoked), Err(ConsentError::NoReason));
    assert_eq!(silent(granted()), Ok(()));
}

#[test]
fn a_statement_with_anything_missing_or_too_much_is_refused() {
    let sound = pb::Consent::from(&sign(terms(granted(), forward(Scope::All))).unwrap());
    let broken = |change: fn(&mut pb::Consent)| {
        let mut wire = sound.clone();
        change(&mut wire);
        Consent::try_from(wire).unwrap_err()
    };
    fn subject(wire: &mut pb::Consent) -> &mut pb::ConsentSubject {
        wire.subject.as_mut().unwrap()
    }
    assert!(Consent::try_from(sound.clone()).is_ok());
    assert_eq!(broken(|c| c.number = 0), ConsentError::Number);
    assert_eq!(broken(|c| c.verdict = 0), ConsentError::Verdict(0));
    assert_eq!(broken(|c| c.verdict = 2), ConsentError::Surplus);
    assert_eq!(broken(|c| c.subject = None), ConsentError::Purpose(0));
    assert_eq!(broken(|c| subject(c).scope = 9), ConsentError::Scope(9));
    assert_eq!(broken(|c| subject(c).operation = "x".into()), ConsentError::Surplus);
    assert_eq!(broken(|c| subject(c).scope = 2), ConsentError::NoOperation);
    assert_eq!(broken(|c| subject(c).scope = 1), ConsentError::RecordId(0));
    assert!(matches!(broken(|c| subject(c).partner = "X".into()), ConsentError::Partner(_)));
    assert_eq!(broken(|c| c.at_ms = 1), ConsentError::Time(1));
    assert_eq!(broken(|c| c.reason = "\u{1b}[2J".into()), ConsentError::ReasonForm);
    assert_eq!(broken(|c| c.reason = "x".repeat(257)), ConsentError::ReasonLength(257));
    assert_eq!(broken(|c| c.key_id = Bytes::new()), ConsentError::Length);
    assert_eq!(broken(|c| c.signature = Bytes::new()), ConsentError::Length);
}

#[test]
fn a_roster_has_a_name_of_a_circle_and_members_in_order_and_a_request_for_one_has_none() {
    let roster = |circle: &str, members: &[&str]| {
        Roster::new(circle.to_owned(), members.iter().map(|text| name(text)).collect())
    };
    let named = roster("fraud", &["a.example", "b.example"]).unwrap();
    assert!(named.contains(&name("b.example")) && !named.contains(&name("c.example")));
    for bad in ["", "two words", "npa.go.jp/fraud", &"x".repeat(65)] {
        assert_eq!(roster(bad, &[]), Err(ConsentError::Circle(bad.to_owned())));
    }
    for bad in [["b.example", "a.example"], ["a.example", "a.example"]] {
        let order = ConsentError::MemberOrder(name("a.example"));
        assert_eq!(roster("fraud", &bad), Err(order));
    }
    let many: Vec<_> =
        (0..=ROSTER_MEMBERS_MAX).map(|n| name(&format!("m{n:04}.example"))).collect();
    let most = Roster::new("fraud".to_owned(), many[1..].to_vec());
    assert!(most.is_ok());
    assert_eq!(Roster::new("fraud".to_owned(), many), Err(ConsentError::Members(129)));
    let asked = ConsentRequest::new(1, circle("fraud", &["a.example"]), "trial".to_owned());
    assert_eq!(asked, Err(ConsentError::MembersAsked));
    assert!(ConsentRequest::new(1, circle("fraud", &[]), "trial".to_owned()).is_ok());
}

#[test]
fn the_largest_roster_is_within_the_bounds_of_a_statement() {
    let long = |n: usize| name(&format!("{n:0>60}.{n:0>31}.example"));
    let members = (0..ROSTER_MEMBERS_MAX).map(long).collect();
    let roster = Roster::new("c".repeat(64), members).unwrap();
    let scope = Scope::Operation("o".repeat(64));
    let subject = Subject { purpose: Purpose::Circle(roster), scope };
    let consent =
        sign(ConsentTerms { reason: "x".repeat(256), ..terms(granted(), subject) }).unwrap();
    assert!(pb::Consent::from(&consent).encoded_len() <= CONSENT_BYTES_MAX);
    let members = (0..ROSTER_MEMBERS_MAX).map(long).collect::<Vec<_>>();
    assert_eq!(members[0].as_str().len(), AGENCY_NAME_BYTES_MAX);
}

#[test]
fn of_two_rosters_one_replaces_the_other_of_its_circle_and_records_alone() {
    let one = circle("fraud", &["a.example"]);
    assert!(one.supersedes(&circle("fraud", &[])));
    assert!(!one.supersedes(&circle("banks", &["a.example"])));
    let of_operation = Subject { scope: Scope::Operation("x".to_owned()), ..one.clone() };
    assert!(!one.supersedes(&of_operation));
    assert!(!forward(Scope::All).supersedes(&forward(Scope::All)));
}
