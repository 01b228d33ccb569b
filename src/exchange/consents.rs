//! The requests and statements on consent between this agency and its partners, and the consents in
//! force.
//!
//! A fold over what was said, in order, that node and auditor make alike. Numbers only rise, so that
//! nothing that was taken back or has ended comes into force again. Whether a statement is signed by
//! whom it says is known before it comes here.

use crate::ident::{AgencyName, Generation, Timestamp};
use crate::policy::{CONSENTS_MAX, Consents};
use crate::record::consent::{
    Consent, ConsentRequest, ConsentTerms, ConsentVerdict, Parties, Purpose, Roster, Subject,
};
use std::collections::BTreeMap;

/// Requests of one partner that wait for an answer; people answer them.
pub const REQUESTS_OPEN_MAX: usize = 64;

/// The reason for refusing a request or statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentFault {
    #[error("it has number {found}, and number {last} came before it")]
    Number { last: u64, found: u64 },
    #[error("{REQUESTS_OPEN_MAX} requests wait for an answer already")]
    Requests,
    #[error("{CONSENTS_MAX} consents are in force already")]
    Consents,
    #[error("no request {0} waits for an answer")]
    NoRequest(u64),
    #[error("no consent {0} is in force")]
    NoConsent(u64),
    #[error("the consent of this number was given for something else")]
    Subject,
    #[error("an agency consents to itself about evidence alone")]
    Itself,
}

/// A request that waits, and the journal entry that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    pub entry: u64,
    pub request: ConsentRequest,
}

/// A consent that we gave, and the journal entry that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenConsent {
    pub entry: u64,
    pub consent: Consent,
}

impl GivenConsent {
    fn lasts(&self, at: Timestamp) -> bool {
        matches!(self.consent.verdict, ConsentVerdict::Granted { until } if at < until)
    }
}

/// The requests and statements between this agency and one partner. A consent that has ended by
/// time goes with the next statement: the holder knows the end too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PartnerConsents {
    /// The last number of ours, and what waits for its answer.
    asked: u64,
    asking: BTreeMap<u64, OpenRequest>,
    /// The last number of its, and what waits for ours.
    asked_us: u64,
    asking_us: BTreeMap<u64, OpenRequest>,
    /// The number of our last statement, and the consents that we granted.
    said: u64,
    given: BTreeMap<u64, GivenConsent>,
    /// The last number that it gave.
    heard: u64,
}

impl PartnerConsents {
    /// Returns true if a roster is granted that this one replaces.
    fn replaces(&self, consent: &Consent) -> bool {
        self.given.values().any(|given| consent.subject.supersedes(&given.consent.subject))
    }
}

/// The words that go with a roster that is taken back.
const ROSTER_ENDS: &str =
    "the holder is in this circle no longer, or it has more members than a roster";

/// With everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentRegister {
    with: BTreeMap<AgencyName, PartnerConsents>,
    in_force: Consents,
}

/// The highest number of the generations before. Each has numbers of its own: the logs that it succeeds
/// may have lost some that partners know.
fn numbers_before(generation: Generation) -> u64 {
    u64::from(generation.get().saturating_sub(Generation::FIRST.get())) << 32
}

fn above(last: u64, found: u64) -> Result<(), ConsentFault> {
    if found > last { Ok(()) } else { Err(ConsentFault::Number { last, found }) }
}

impl ConsentRegister {
    /// Returns the consents in force: those of partners, and this agency's about its own records.
    pub const fn in_force(&self) -> &Consents {
        &self.in_force
    }

    fn with(&self, partner: &AgencyName) -> Option<&PartnerConsents> {
        self.with.get(partner)
    }

    /// The number of the next request to a partner, made in this generation of our logs.
    pub fn next_request(&self, partner: &AgencyName, generation: Generation) -> u64 {
        self.with(partner).map_or(0, |with| with.asked).max(numbers_before(generation)) + 1
    }

    /// Returns the number of the next statement to a holder.
    pub fn next_consent(&self, holder: &AgencyName, generation: Generation) -> u64 {
        self.with(holder).map_or(0, |with| with.said).max(numbers_before(generation)) + 1
    }

    /// Requests that partners made and that wait for an answer, with the partner.
    pub fn waiting(&self) -> impl Iterator<Item = (&AgencyName, &OpenRequest)> {
        self.with.iter().flat_map(|(agency, with)| {
            with.asking_us.values().map(move |request| (agency, request))
        })
    }

    /// Requests of ours that wait for a partner's answer.
    pub fn asking(&self, partner: &AgencyName) -> impl Iterator<Item = &OpenRequest> {
        self.with(partner).into_iter().flat_map(|with| with.asking.values())
    }

    /// Returns the consents that this agency granted and did not revoke, with their holders.
    pub fn given(&self) -> impl Iterator<Item = (&AgencyName, &GivenConsent)> {
        self.with
            .iter()
            .flat_map(|(agency, with)| with.given.values().map(move |given| (agency, given)))
    }

    /// Checks that a request of this agency may go to a partner.
    pub fn check_ask(
        &self,
        partner: &AgencyName,
        request: &ConsentRequest,
    ) -> Result<(), ConsentFault> {
        let with = self.with(partner);
        above(with.map_or(0, |with| with.asked), request.number)?;
        room(with.map_or(0, |with| with.asking.len()))
    }

    /// Checks that a partner's request is taken.
    pub fn check_asked(
        &self,
        partner: &AgencyName,
        request: &ConsentRequest,
    ) -> Result<(), ConsentFault> {
        let with = self.with(partner);
        above(with.map_or(0, |with| with.asked_us), request.number)?;
        room(with.map_or(0, |with| with.asking_us.len()))
    }

    /// Checks that this agency may make this statement to a holder.
    pub fn check_say(
        &self,
        Parties { originator, holder }: Parties<'_>,
        consent: &Consent,
    ) -> Result<(), ConsentFault> {
        let with = self.with(holder);
        if originator == holder && consent.subject.purpose != Purpose::Evidence {
            return Err(ConsentFault::Itself);
        }
        if consent.verdict == ConsentVerdict::Revoked {
            return match with.and_then(|with| with.given.get(&consent.number)) {
                None => Err(ConsentFault::NoConsent(consent.number)),
                Some(given) if given.consent.subject != consent.subject => {
                    Err(ConsentFault::Subject)
                }
                Some(_) => Ok(()),
            };
        }
        above(with.map_or(0, |with| with.said), consent.number)?;
        let asked = |number: u64| with.is_some_and(|with| with.asking_us.contains_key(&number));
        if consent.request != 0 && !asked(consent.request) {
            return Err(ConsentFault::NoRequest(consent.request));
        }
        let grants = matches!(consent.verdict, ConsentVerdict::Granted { .. });
        let lasting = with
            .map_or(0, |with| with.given.values().filter(|given| given.lasts(consent.at)).count());
        if grants && lasting >= CONSENTS_MAX && !with.is_some_and(|with| with.replaces(consent)) {
            return Err(ConsentFault::Consents);
        }
        Ok(())
    }

    /// Checks that a partner's statement is taken. That it takes back what is not in force is no
    /// fault: it may have ended here. What it takes back is what it gave under that number.
    pub fn check_heard(
        &self,
        originator: &AgencyName,
        consent: &Consent,
    ) -> Result<(), ConsentFault> {
        if consent.verdict == ConsentVerdict::Revoked {
            let known = self.in_force.subject(originator, consent.number);
            return match known {
                Some(subject) if *subject != consent.subject => Err(ConsentFault::Subject),
                _ => Ok(()),
            };
        }
        above(self.with(originator).map_or(0, |with| with.heard), consent.number)?;
        let grants = matches!(consent.verdict, ConsentVerdict::Granted { .. });
        // A roster with fewer members is taken in whatever is in force: it replaces the one before.
        if grants
            && self.in_force.count(originator) >= CONSENTS_MAX
            && !self.in_force.supersedes(originator, &consent.subject)
        {
            return Err(ConsentFault::Consents);
        }
        Ok(())
    }

    /// We asked a partner, in this entry.
    pub fn ask(&mut self, entry: u64, partner: &AgencyName, request: ConsentRequest) {
        let with = self.with.entry(partner.clone()).or_default();
        with.asked = request.number;
        with.asking.insert(request.number, OpenRequest { entry, request });
    }

    /// A partner asked us, in this entry.
    pub fn asked(&mut self, entry: u64, partner: &AgencyName, request: ConsentRequest) {
        let with = self.with.entry(partner.clone()).or_default();
        with.asked_us = request.number;
        with.asking_us.insert(request.number, OpenRequest { entry, request });
    }

    /// Takes our statement to a holder, in this entry.
    pub fn say(
        &mut self,
        entry: u64,
        Parties { originator, holder }: Parties<'_>,
        consent: Consent,
    ) {
        if originator == holder {
            self.in_force.say(originator, &consent);
        }
        let with = self.with.entry(holder.clone()).or_default();
        with.said = with.said.max(consent.number);
        with.given.retain(|_, given| given.lasts(consent.at));
        with.asking_us.remove(&consent.request);
        match consent.verdict {
            ConsentVerdict::Granted { .. } => {
                with.given.retain(|_, given| !consent.subject.supersedes(&given.consent.subject));
                with.given.insert(consent.number, GivenConsent { entry, consent });
            }
            ConsentVerdict::Refused => {}
            ConsentVerdict::Revoked => drop(with.given.remove(&consent.number)),
        }
    }

    /// Takes a partner's statement to us.
    pub fn heard(&mut self, originator: &AgencyName, consent: &Consent) {
        self.in_force.say(originator, consent);
        let with = self.with.entry(originator.clone()).or_default();
        with.heard = with.heard.max(consent.number);
        with.asking.remove(&consent.request);
    }

    /// Returns the next statement that a change of a circle requires, and its holder. It is due when a roster that we
    /// gave names other members than the circle has; `members` are those of a circle of ours. A holder that is in the
    /// circle no longer has its roster taken back. No statement goes beyond the time until which the roster was given.
    pub fn roster_change(
        &self,
        (at, generation): (Timestamp, Generation),
        members: impl Fn(&str) -> Vec<AgencyName>,
    ) -> Option<(AgencyName, ConsentTerms)> {
        self.given().filter(|(_, given)| given.lasts(at)).find_map(|(holder, given)| {
            let Consent { number, verdict, subject, .. } = &given.consent;
            let roster = subject.roster()?;
            let now = members(roster.circle());
            if now == roster.members() {
                return None;
            }
            let next = now.contains(holder).then(|| Roster::new(roster.circle().to_owned(), now));
            let saying = match next {
                Some(Ok(roster)) => ConsentTerms {
                    number: self.next_consent(holder, generation),
                    request: 0,
                    verdict: *verdict,
                    subject: Subject { purpose: Purpose::Circle(roster), ..subject.clone() },
                    at,
                    reason: String::new(),
                },
                Some(Err(_)) | None => ConsentTerms {
                    number: *number,
                    request: 0,
                    verdict: ConsentVerdict::Revoked,
                    subject: subject.clone(),
                    at,
                    reason: ROSTER_ENDS.to_owned(),
                },
            };
            Some((holder.clone(), saying))
        })
    }

    /// The time of a consent to us has ended.
    pub fn ended(&mut self, originator: &AgencyName, number: u64) {
        self.in_force.end(originator, number);
    }
}

const fn room(waiting: usize) -> Result<(), ConsentFault> {
    if waiting < REQUESTS_OPEN_MAX { Ok(()) } else { Err(ConsentFault::Requests) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::consent::Scope;
    use crate::testkit::policy::agency as name;
    use crate::testkit::{Agency, now};

    fn subject(purpose: Purpose) -> Subject {
        Subject { purpose, scope: Scope::All }
    }

    fn request(number: u64) -> ConsentRequest {
        ConsentRequest::new(number, subject(Purpose::Evidence), "trial".to_owned()).unwrap()
    }

    fn consent(number: u64, request: u64, verdict: ConsentVerdict, purpose: Purpose) -> Consent {
        let (subject, reason) = (subject(purpose), "trial".to_owned());
        let terms = ConsentTerms { number, request, verdict, subject, at: now(), reason };
        Agency::named("npa.example", 0).consent(&name("jc3.example"), terms)
    }

    fn granted(number: u64, request: u64) -> Consent {
        let until = now().plus_ms(3_600_000);
        consent(number, request, ConsentVerdict::Granted { until }, Purpose::Evidence)
    }

    #[test]
    fn a_consent_that_was_taken_back_or_has_ended_does_not_come_back() {
        let npa = name("npa.example");
        let mut dealings = ConsentRegister::default();
        dealings.heard(&npa, &granted(4, 0));
        assert_eq!(dealings.in_force().count(&npa), 1);
        dealings.heard(&npa, &consent(4, 0, ConsentVerdict::Revoked, Purpose::Evidence));
        assert_eq!(dealings.in_force().count(&npa), 0);
        let again =
            |dealings: &ConsentRegister, number| dealings.check_heard(&npa, &granted(number, 0));
        let stale = |found| Err(ConsentFault::Number { last: 5, found });
        dealings.heard(&npa, &granted(5, 0));
        dealings.ended(&npa, 5);
        assert_eq!((again(&dealings, 4), again(&dealings, 5)), (stale(4), stale(5)));
        assert_eq!(again(&dealings, 6), Ok(()));
        dealings.heard(&npa, &granted(8, 0));
        let other = Purpose::Forward(name("dcu.example"));
        let other = consent(8, 0, ConsentVerdict::Revoked, other);
        assert_eq!(dealings.check_heard(&npa, &other), Err(ConsentFault::Subject));
        let early = consent(9, 0, ConsentVerdict::Revoked, Purpose::Evidence);
        assert_eq!(dealings.check_heard(&npa, &early), Ok(()));
        dealings.heard(&npa, &early);
        assert_eq!(again(&dealings, 9), Err(ConsentFault::Number { last: 9, found: 9 }));
    }

    #[test]
    fn an_answer_closes_its_request_on_both_sides_and_is_given_once() {
        let (npa, jc3) = (name("npa.example"), name("jc3.example"));
        let parties = Parties { originator: &npa, holder: &jc3 };
        let (mut originator, mut holder) = (ConsentRegister::default(), ConsentRegister::default());
        holder.ask(7, &npa, request(1));
        originator.asked(9, &jc3, request(1));
        assert_eq!(originator.waiting().count(), 1);
        assert_eq!(originator.check_say(parties, &granted(1, 1)), Ok(()));
        originator.say(10, parties, granted(1, 1));
        holder.heard(&npa, &granted(1, 1));
        assert_eq!(originator.waiting().count(), 0);
        assert_eq!(originator.given().count(), 1);
        let first = Generation::FIRST;
        assert_eq!(originator.next_consent(&jc3, first), 2);
        assert_eq!(holder.next_request(&npa, first), 2);
        let second = first.next().unwrap();
        assert_eq!(originator.next_consent(&jc3, second), (1 << 32) + 1);
        let twice = originator.check_say(parties, &granted(2, 1));
        assert_eq!(twice, Err(ConsentFault::NoRequest(1)));
        let revoked = |number| consent(number, 0, ConsentVerdict::Revoked, Purpose::Evidence);
        assert_eq!(originator.check_say(parties, &revoked(2)), Err(ConsentFault::NoConsent(2)));
        assert_eq!(originator.check_say(parties, &revoked(1)), Ok(()));
        assert_eq!(holder.in_force().count(&npa), 1);
        assert_eq!(originator.in_force().count(&npa), 0, "what we let others do is not ours");
    }

    #[test]
    fn an_agency_consents_to_itself_about_evidence_alone() {
        let npa = name("npa.example");
        let parties = Parties { originator: &npa, holder: &npa };
        let until = now().plus_ms(3_600_000);
        let forward = Purpose::Forward(name("dcu.example"));
        let forward = consent(1, 0, ConsentVerdict::Granted { until }, forward);
        let mut dealings = ConsentRegister::default();
        assert_eq!(dealings.check_say(parties, &forward), Err(ConsentFault::Itself));
        assert_eq!(dealings.check_say(parties, &granted(1, 0)), Ok(()));
        dealings.say(3, parties, granted(1, 0));
        assert_eq!(dealings.in_force().count(&npa), 1);
    }

    #[test]
    fn nobody_lets_more_wait_or_be_in_force_than_people_look_at() {
        let npa = name("npa.example");
        let mut dealings = ConsentRegister::default();
        for number in 1..=REQUESTS_OPEN_MAX as u64 {
            dealings.asked(number, &npa, request(number));
        }
        assert_eq!(dealings.check_asked(&npa, &request(999)), Err(ConsentFault::Requests));
        for number in 1..=CONSENTS_MAX as u64 {
            dealings.heard(&npa, &granted(number, 0));
        }
        let more = granted(CONSENTS_MAX as u64 + 1, 0);
        assert_eq!(dealings.check_heard(&npa, &more), Err(ConsentFault::Consents));
    }

    fn members(names: &[&str]) -> Vec<AgencyName> {
        names.iter().map(|text| name(text)).collect()
    }

    fn roster(names: &[&str]) -> Purpose {
        Purpose::Circle(Roster::new("fraud".to_owned(), members(names)).unwrap())
    }

    fn roster_given(number: u64, names: &[&str]) -> Consent {
        let until = now().plus_ms(3_600_000);
        consent(number, 0, ConsentVerdict::Granted { until }, roster(names))
    }

    #[test]
    fn a_roster_follows_the_members_of_its_circle_and_ends_when_its_holder_leaves() {
        let (npa, jc3) = (name("npa.example"), name("jc3.example"));
        let parties = Parties { originator: &npa, holder: &jc3 };
        let mut dealings = ConsentRegister::default();
        dealings.say(1, parties, roster_given(1, &["cert.example", "jc3.example"]));
        let at = Timestamp::from_unix_ms(1_772_323_300_000).unwrap();
        let now = (at, Generation::FIRST);
        let change = |dealings: &ConsentRegister, names: &[&str]| {
            dealings.roster_change(now, |circle| match circle {
                "fraud" => members(names),
                _ => panic!("no other circle has a roster: {circle}"),
            })
        };
        assert_eq!(change(&dealings, &["cert.example", "jc3.example"]), None);
        let (holder, less) = change(&dealings, &["jc3.example"]).unwrap();
        assert_eq!((holder, less.number), (jc3.clone(), 2));
        assert_eq!(less.subject.purpose, roster(&["jc3.example"]));
        dealings.say(2, parties, roster_given(2, &["jc3.example"]));
        assert_eq!(dealings.given().count(), 1, "the newer one replaces it");
        assert_eq!(change(&dealings, &["jc3.example"]), None);
        let (_, ends) = change(&dealings, &["cert.example"]).unwrap();
        assert_eq!((ends.number, ends.verdict), (2, ConsentVerdict::Revoked));
        let late = (at.plus_ms(3_600_000), Generation::FIRST);
        assert_eq!(dealings.roster_change(late, |_| vec![]), None, "its time has ended");
    }

    #[test]
    fn a_newer_roster_is_taken_in_when_no_more_consents_are() {
        let npa = name("npa.example");
        let mut dealings = ConsentRegister::default();
        dealings.heard(&npa, &roster_given(1, &["cert.example", "jc3.example"]));
        for number in 2..=CONSENTS_MAX as u64 {
            dealings.heard(&npa, &granted(number, 0));
        }
        let next = CONSENTS_MAX as u64 + 1;
        assert_eq!(dealings.check_heard(&npa, &granted(next, 0)), Err(ConsentFault::Consents));
        let less = roster_given(next, &["jc3.example"]);
        assert_eq!(dealings.check_heard(&npa, &less), Ok(()));
        dealings.heard(&npa, &less);
        assert_eq!(dealings.in_force().count(&npa), CONSENTS_MAX);
    }
}
