//! The effect of consents: the partners that may have a record, and the use of a record as evidence.
//!
//! The one place where a signed consent has an effect: it adds the partner that it names to the release
//! list that policy sees, and a roster the members of a circle to those that policy sees of records marked
//! for it. Nothing else changes, so guardrails and policies decide as if the originator
//! had named that partner in the header. Whoever keeps a set checked each statement before.

use super::facts::{Circle, RecordFacts};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::record::consent::{Consent, ConsentVerdict, Purpose, Roster, Scope, Subject};
use std::collections::{BTreeMap, HashMap};

/// Consents of one originator to this agency that are kept. People give them; more is a machine.
pub const CONSENTS_MAX: usize = 1_024;

/// Consents in force to one agency, the holder of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consents {
    of: BTreeMap<AgencyName, OfOriginator>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OfOriginator {
    granted: BTreeMap<u64, Granted>,
    numbers: HashMap<Scope, Vec<u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    subject: Subject,
    /// The start of the hour in which it ends: cut down, so that it ends up to an hour early and
    /// never a minute late.
    until_hour: Timestamp,
}

impl OfOriginator {
    fn end(&mut self, number: u64) {
        let Some(Granted { subject, .. }) = self.granted.remove(&number) else { return };
        if let Some(numbers) = self.numbers.get_mut(&subject.scope) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.numbers.remove(&subject.scope);
            }
        }
    }

    /// Ends the roster that another takes the place of.
    fn supersede(&mut self, subject: &Subject) {
        let replaced =
            self.granted.iter().filter(|(_, granted)| subject.supersedes(&granted.subject));
        let replaced: Vec<u64> = replaced.map(|(number, _)| *number).collect();
        replaced.into_iter().for_each(|number| self.end(number));
    }
}

impl Consents {
    /// Takes a statement of an originator. A granted consent is in force until it ends or is
    /// revoked.
    pub fn say(&mut self, originator: &AgencyName, consent: &Consent) {
        match consent.verdict {
            ConsentVerdict::Granted { until } => {
                // One number is one consent, whoever looked at it before.
                self.end(originator, consent.number);
                let of = self.of.entry(originator.clone()).or_default();
                let subject = consent.subject.clone();
                of.supersede(&subject);
                of.numbers.entry(subject.scope.clone()).or_default().push(consent.number);
                let until_hour = until.hour();
                of.granted.insert(consent.number, Granted { subject, until_hour });
            }
            ConsentVerdict::Refused => {}
            ConsentVerdict::Revoked => self.end(originator, consent.number),
        }
    }

    /// A consent is in force no more; nothing happens if it is not.
    pub fn end(&mut self, originator: &AgencyName, number: u64) {
        let Some(of) = self.of.get_mut(originator) else { return };
        of.end(number);
        if of.granted.is_empty() {
            self.of.remove(originator);
        }
    }

    /// Returns true if a roster is kept that this subject replaces.
    pub fn supersedes(&self, originator: &AgencyName, subject: &Subject) -> bool {
        let mut kept = self.of.get(originator).into_iter().flat_map(|of| of.granted.values());
        kept.any(|granted| subject.supersedes(&granted.subject))
    }

    /// Returns true if a roster of this circle, for any records, is in force in this hour.
    pub fn has_roster(&self, circle: &Circle, hour: Timestamp) -> bool {
        let mut kept = self.of.get(&circle.agency).into_iter().flat_map(|of| of.granted.values());
        kept.any(|Granted { subject, until_hour }| {
            hour < *until_hour
                && subject.roster().is_some_and(|roster| roster.circle() == circle.name)
        })
    }

    /// Consents of an originator that are kept.
    pub fn count(&self, originator: &AgencyName) -> usize {
        self.of.get(originator).map_or(0, |of| of.granted.len())
    }

    /// Returns the subject of the consent of this number, while it is kept.
    pub fn subject(&self, originator: &AgencyName, number: u64) -> Option<&Subject> {
        self.of.get(originator)?.granted.get(&number).map(|granted| &granted.subject)
    }

    /// Returns true if the time of a consent has ended by then.
    pub fn has_ended(&self, originator: &AgencyName, number: u64, now: Timestamp) -> bool {
        let granted = self.of.get(originator).and_then(|of| of.granted.get(&number));
        granted.is_some_and(|granted| granted.until_hour <= now.hour())
    }

    /// The consents whose time has ended by then.
    pub fn ended(&self, now: Timestamp) -> Vec<(AgencyName, u64)> {
        let of =
            self.of.iter().flat_map(|(agency, of)| of.granted.iter().map(move |g| (agency, g)));
        let ended = of.filter(|(_, (_, granted))| granted.until_hour <= now.hour());
        ended.map(|(agency, (number, _))| (agency.clone(), *number)).collect()
    }

    /// Returns true if any of the consents may change what policy sees of a record with these
    /// facts.
    pub fn concern(&self, facts: &RecordFacts) -> bool {
        restricts(facts) && self.of.contains_key(&facts.originator)
    }

    /// Facts of a record with this id as policy is to see them in this hour: on its release list is
    /// also whom its originator consented to.
    pub fn extend(&self, facts: RecordFacts, id: &RecordId, hour: Timestamp) -> RecordFacts {
        if !self.concern(&facts) {
            return facts;
        }
        let (mut partners, mut members) = (Vec::new(), Vec::new());
        for (_, purpose) in self.in_force(&facts.originator, id, facts.operation.as_deref(), hour) {
            match purpose {
                Purpose::Forward(partner) => partners.push(partner.clone()),
                Purpose::Circle(roster) if is_marked_for(&facts, roster) => {
                    members.extend_from_slice(roster.members());
                }
                Purpose::Circle(_) | Purpose::Evidence => {}
            }
        }
        with_members(consented(facts, partners), members)
    }

    /// Returns true if the originator of a record consents to its use in proceedings in this hour.
    /// The consent covers the record's id or its operation code.
    pub fn permit_evidence(
        &self,
        originator: &AgencyName,
        id: &RecordId,
        operation: Option<&str>,
        hour: Timestamp,
    ) -> bool {
        self.evidence_number(originator, id, operation, hour).is_some()
    }

    /// The number of the consent that permits it.
    pub fn evidence_number(
        &self,
        originator: &AgencyName,
        id: &RecordId,
        operation: Option<&str>,
        hour: Timestamp,
    ) -> Option<u64> {
        let mut found = self.in_force(originator, id, operation, hour);
        found.find(|(_, purpose)| **purpose == Purpose::Evidence).map(|(number, _)| number)
    }

    fn in_force<'a>(
        &'a self,
        originator: &AgencyName,
        id: &RecordId,
        operation: Option<&str>,
        hour: Timestamp,
    ) -> impl Iterator<Item = (u64, &'a Purpose)> {
        let scopes = [
            Some(Scope::Record(*id)),
            operation.map(|code| Scope::Operation(code.to_owned())),
            Some(Scope::All),
        ];
        let of = self.of.get(originator);
        scopes
            .into_iter()
            .flatten()
            .filter_map(move |scope| Some((of?, of?.numbers.get(&scope)?)))
            .flat_map(|(of, numbers)| {
                numbers.iter().filter_map(|number| Some((*number, of.granted.get(number)?)))
            })
            .filter(move |(_, granted)| hour < granted.until_hour)
            .map(|(number, granted)| (number, &granted.subject.purpose))
    }
}

/// Facts of a record as policy is to see them when its originator consents to these partners. Facts of
/// one that restricts its release in no way stay as they are, because a list would.
pub(super) fn consented(
    mut facts: RecordFacts,
    partners: impl IntoIterator<Item = AgencyName>,
) -> RecordFacts {
    let mut partners = partners.into_iter().peekable();
    if restricts(&facts) && partners.peek().is_some() {
        let mut list = facts.releasable_to.take().unwrap_or_default();
        list.extend(partners);
        list.sort_unstable();
        list.dedup();
        facts.releasable_to = Some(list);
    }
    facts
}

/// Returns true if the record is marked for the circle of a roster of its originator.
fn is_marked_for(facts: &RecordFacts, roster: &Roster) -> bool {
    facts.circles.iter().flatten().any(|circle| circle.name == roster.circle())
}

/// Facts of a record as policy is to see them when these are the members of its circles by the roster of
/// its originator. A record that names no circle has none.
pub(super) fn with_members(
    mut facts: RecordFacts,
    members: impl IntoIterator<Item = AgencyName>,
) -> RecordFacts {
    if facts.circles.is_some() {
        facts.members.extend(members);
        facts.members.sort_unstable();
        facts.members.dedup();
    }
    facts
}

/// Facts of a record as they would be if its originator consented to this partner, if that changes anything.
pub fn if_consented(facts: &RecordFacts, partner: &AgencyName) -> Option<RecordFacts> {
    let then = consented(facts.clone(), [partner.clone()]);
    (then != *facts).then_some(then)
}

/// Returns true if a record restricts its release in a way that a consent lifts.
const fn restricts(facts: &RecordFacts) -> bool {
    facts.orcon || facts.releasable_to.is_some() || facts.circles.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::consent::ConsentTerms;
    use crate::testkit::Agency;
    use crate::testkit::policy::{agency as name, record, time as at};

    const ID: RecordId = RecordId::from_bytes([1; 32]);
    const OTHER: RecordId = RecordId::from_bytes([2; 32]);

    fn forward(partner: &str) -> Purpose {
        Purpose::Forward(name(partner))
    }

    fn message(number: u64, purpose: Purpose, scope: Scope, verdict: ConsentVerdict) -> Consent {
        let saying = ConsentTerms {
            number,
            request: 0,
            verdict,
            subject: Subject { purpose, scope },
            at: at("2026-11-22T09:00:00Z"),
            reason: "why".to_owned(),
        };
        Agency::named("npa.example", 0).consent(&name("jc3.example"), saying)
    }

    fn granted(number: u64, purpose: Purpose, scope: Scope) -> Consent {
        let until = at("2026-11-22T12:30:00Z");
        message(number, purpose, scope, ConsentVerdict::Granted { until })
    }

    fn consents(all: &[Consent]) -> Consents {
        let mut consents = Consents::default();
        all.iter().for_each(|consent| consents.say(&name("npa.example"), consent));
        consents
    }

    fn facts() -> RecordFacts {
        RecordFacts {
            originator: name("npa.example"),
            orcon: true,
            releasable_to: None,
            circles: None,
            operation: Some("chakra-v".to_owned()),
            ..record()
        }
    }

    fn listed(consents: &Consents, facts: RecordFacts, id: &RecordId, hour: &str) -> Vec<String> {
        let list = consents.extend(facts, id, at(hour).hour()).releasable_to;
        list.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    const NOW: &str = "2026-11-22T10:10:00Z";

    #[test]
    fn each_scope_covers_what_headers_say_and_no_more() {
        let all = consents(&[
            granted(1, forward("one.example"), Scope::Record(ID)),
            granted(2, forward("case.example"), Scope::Operation("chakra-v".to_owned())),
            granted(3, forward("all.example"), Scope::All),
            granted(4, Purpose::Evidence, Scope::All),
        ]);
        let of = |facts, id| listed(&all, facts, id, NOW);
        assert_eq!(of(facts(), &ID), ["all.example", "case.example", "one.example"]);
        assert_eq!(of(facts(), &OTHER), ["all.example", "case.example"]);
        assert_eq!(of(RecordFacts { operation: None, ..facts() }, &OTHER), ["all.example"]);
        let of_another = RecordFacts { originator: name("dcu.example"), ..facts() };
        assert!(of(of_another, &ID).is_empty());
    }

    #[test]
    fn a_consent_adds_to_the_list_of_the_header_and_never_makes_one_that_restricts() {
        let all = consents(&[granted(1, forward("one.example"), Scope::All)]);
        let listing = |names: &[&str]| RecordFacts {
            releasable_to: Some(names.iter().map(|text| name(text)).collect()),
            ..facts()
        };
        assert_eq!(listed(&all, listing(&["b.example"]), &ID, NOW), ["b.example", "one.example"]);
        assert_eq!(listed(&all, listing(&["one.example"]), &ID, NOW), ["one.example"]);
        assert_eq!(listed(&all, listing(&[]), &ID, NOW), ["one.example"]);
        let free = RecordFacts { orcon: false, ..facts() };
        assert_eq!(all.extend(free.clone(), &ID, at(NOW).hour()), free);
        let marked = RecordFacts { circles: in_circle("npa.example", &["fraud"]).circles, ..free };
        assert_eq!(listed(&all, marked, &ID, NOW), ["one.example"]);
    }

    #[test]
    fn a_consent_ends_with_the_hour_before_its_time_is_up() {
        let all = consents(&[granted(1, forward("one.example"), Scope::All)]);
        assert_eq!(listed(&all, facts(), &ID, "2026-11-22T11:59:59Z"), ["one.example"]);
        assert!(listed(&all, facts(), &ID, "2026-11-22T12:00:00Z").is_empty());
        assert!(all.ended(at("2026-11-22T11:59:59Z")).is_empty());
        assert_eq!(all.ended(at("2026-11-22T12:00:00Z")), [(name("npa.example"), 1)]);
        let npa = name("npa.example");
        assert!(!all.has_ended(&npa, 1, at("2026-11-22T11:59:59Z")));
        assert!(all.has_ended(&npa, 1, at("2026-11-22T12:00:00Z")));
        assert!(all.has_ended(&npa, 1, at("2026-11-22T13:00:00Z")));
        // What is not kept does not end.
        assert!(!all.has_ended(&npa, 2, at("2026-11-22T13:00:00Z")));
        assert!(!all.has_ended(&name("dcu.example"), 1, at("2026-11-22T13:00:00Z")));
    }

    #[test]
    fn of_two_consents_with_one_number_the_later_is_in_force_alone() {
        let all = consents(&[
            granted(1, forward("one.example"), Scope::Record(ID)),
            granted(1, forward("two.example"), Scope::All),
        ]);
        assert_eq!(listed(&all, facts(), &ID, NOW), ["two.example"]);
        assert_eq!(all.count(&name("npa.example")), 1);
    }

    #[test]
    fn what_is_revoked_or_was_refused_is_no_consent() {
        let scope = || Scope::Record(ID);
        let purpose = || forward("one.example");
        let mut all = consents(&[
            granted(1, purpose(), scope()),
            message(2, purpose(), Scope::All, ConsentVerdict::Refused),
        ]);
        assert_eq!(listed(&all, facts(), &ID, NOW), ["one.example"]);
        all.say(&name("npa.example"), &message(1, purpose(), scope(), ConsentVerdict::Refused));
        assert_eq!(all.count(&name("npa.example")), 1, "a refusal takes nothing back");
        let revoked = message(1, purpose(), scope(), ConsentVerdict::Revoked);
        all.say(&name("jc3.example"), &revoked);
        assert_eq!(all.count(&name("npa.example")), 1, "another's word is nothing");
        all.say(&name("npa.example"), &revoked);
        assert_eq!(all, Consents::default());
    }

    #[test]
    fn what_ends_is_one_consent_and_no_other_of_its_scope_or_originator() {
        let npa = name("npa.example");
        let one = || granted(1, forward("one.example"), Scope::All);
        let two = || granted(2, forward("two.example"), Scope::All);
        let case = || granted(3, Purpose::Evidence, Scope::Operation("chakra-v".to_owned()));
        let mut all = consents(&[one(), two(), case()]);
        assert_eq!((all.count(&npa), all.count(&name("dcu.example"))), (3, 0));
        all.end(&npa, 1);
        assert_eq!(listed(&all, facts(), &ID, NOW), ["two.example"]);
        assert_eq!((all.subject(&npa, 1), all.subject(&npa, 2)), (None, Some(&two().subject)));
        assert_eq!(all, consents(&[two(), case()]));
        all.end(&npa, 1);
        all.end(&name("dcu.example"), 2);
        assert_eq!(all, consents(&[two(), case()]));
        all.end(&npa, 2);
        assert_eq!(all, consents(&[case()]), "nothing is left of its scope");
    }

    #[test]
    fn a_consent_concerns_records_of_its_originator_that_restrict_their_release() {
        let all = consents(&[granted(1, forward("one.example"), Scope::All)]);
        let free = RecordFacts { orcon: false, ..facts() };
        let of_another = RecordFacts { originator: name("dcu.example"), ..facts() };
        let listing = RecordFacts { releasable_to: Some(vec![]), ..free.clone() };
        assert!(all.concern(&facts()) && all.concern(&listing));
        assert!(!all.concern(&free) && !all.concern(&of_another));
        assert!(!Consents::default().concern(&facts()));
    }

    #[test]
    fn consents_that_name_nobody_make_no_list() {
        let all = consents(&[granted(1, Purpose::Evidence, Scope::All)]);
        assert_eq!(all.extend(facts(), &ID, at(NOW).hour()), facts());
    }

    #[test]
    fn what_would_be_if_an_originator_consented_is_told_where_it_changes_anything() {
        let one = name("one.example");
        let listing = |names: &[&str]| RecordFacts {
            releasable_to: Some(names.iter().map(|text| name(text)).collect()),
            ..facts()
        };
        assert_eq!(if_consented(&facts(), &one), Some(listing(&["one.example"])));
        let other = listing(&["two.example"]);
        assert_eq!(if_consented(&other, &one), Some(listing(&["one.example", "two.example"])));
        assert_eq!(if_consented(&listing(&["one.example"]), &one), None);
        assert_eq!(if_consented(&RecordFacts { orcon: false, ..facts() }, &one), None);
    }

    #[test]
    fn evidence_needs_a_consent_of_its_own() {
        let all = consents(&[
            granted(1, forward("one.example"), Scope::All),
            granted(2, Purpose::Evidence, Scope::Operation("chakra-v".to_owned())),
        ]);
        let npa = name("npa.example");
        let permits = |operation| all.permit_evidence(&npa, &ID, operation, at(NOW).hour());
        assert!(permits(Some("chakra-v")));
        assert!(!permits(Some("other")) && !permits(None));
    }

    fn roster(number: u64, circle: &str, members: &[&str]) -> Consent {
        let members = members.iter().map(|text| name(text)).collect();
        let roster = Roster::new(circle.to_owned(), members).unwrap();
        granted(number, Purpose::Circle(roster), Scope::All)
    }

    fn in_circle(originator: &str, circles: &[&str]) -> RecordFacts {
        let names: Vec<_> = circles.iter().map(|text| (*text).to_owned()).collect();
        let originator = name(originator);
        let circles = Some(crate::policy::facts::circles_of(&originator, &names));
        RecordFacts { originator, circles, orcon: false, ..facts() }
    }

    fn members(consents: &Consents, facts: RecordFacts) -> Vec<String> {
        let members = consents.extend(facts, &ID, at(NOW).hour()).members;
        members.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_roster_names_members_of_its_originators_circle_and_of_no_other_with_that_name() {
        let all = consents(&[roster(1, "fraud", &["one.example", "two.example"])]);
        let named = ["one.example", "two.example"];
        assert_eq!(members(&all, in_circle("npa.example", &["fraud"])), named);
        assert_eq!(members(&all, in_circle("npa.example", &["banks", "fraud"])), named);
        assert!(members(&all, in_circle("npa.example", &["banks"])).is_empty());
        assert!(members(&all, in_circle("dcu.example", &["fraud"])).is_empty());
        assert!(members(&all, facts()).is_empty(), "it is marked for no circle");
        let extended = all.extend(in_circle("npa.example", &["fraud"]), &ID, at(NOW).hour());
        assert_eq!(extended.releasable_to, None, "a roster is not a release list");
    }

    #[test]
    fn the_newer_of_two_rosters_of_a_circle_is_in_force_alone_and_ends_with_its_time() {
        let npa = name("npa.example");
        let mut all = consents(&[
            roster(1, "fraud", &["one.example", "two.example"]),
            roster(2, "banks", &["three.example"]),
        ]);
        let newer = roster(3, "fraud", &["one.example"]);
        assert!(all.supersedes(&npa, &newer.subject));
        all.say(&npa, &newer);
        assert_eq!(all.count(&npa), 2);
        assert_eq!(members(&all, in_circle("npa.example", &["fraud"])), ["one.example"]);
        let fraud = &in_circle("npa.example", &["fraud"]).circles.unwrap()[0];
        assert!(all.has_roster(fraud, at(NOW).hour()));
        assert!(!all.has_roster(fraud, at("2026-11-22T12:00:00Z")));
        let elsewhere = Circle { agency: name("dcu.example"), ..fraud.clone() };
        assert!(!all.has_roster(&elsewhere, at(NOW).hour()));
        let none = consents(&[roster(1, "fraud", &[])]);
        assert!(none.has_roster(fraud, at(NOW).hour()), "an empty roster is one");
    }
}
