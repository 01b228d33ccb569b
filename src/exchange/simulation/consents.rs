//! Consent among the nodes of the simulation: what originators say to those who hold their records,
//! and in plain words beside it whom they let them pass it on to.

use super::NODES;
use super::injected::Injected;
use super::node::{Node, Noted, State};
use super::policies::{CIRCLE, Lets};
use super::world::World;
use crate::exchange::ConsentMessage as Told;
use crate::exchange::fixture::start_of_day;
use crate::ident::{AgencyName, Generation};
use crate::policy::RecordFacts;
use crate::record::consent::{
    ConsentTerms, ConsentVerdict, Parties, Purpose, Roster, Scope, Subject,
};
use crate::record::header::Header;
use crate::record::signed::Verified;

/// Returns the facts that policy sees of a record that a node has.
pub(super) fn facts_of(state: &State, record: &Verified) -> RecordFacts {
    let (mut facts, hour) = (RecordFacts::from(record.header()), start_of_day().hour());
    if state.injected == Some(Injected::OwnRosterDecides) {
        facts.originator = state.own.clone();
    }
    state.dealings.in_force().extend(facts, &record.id(), hour)
}

/// The word of the originator of a record about this agency, to a node that holds it.
pub(super) fn lets_on(state: &State, header: &Header, to: &AgencyName) -> Lets {
    let of_originator = state.let_on.iter().filter(|((of, _), _)| *of == header.originator);
    let is_marked = |circle: &str| header.marking.circles.iter().flatten().any(|c| c == circle);
    let mut lets = Lets { by_name: false, in_circle: false };
    for (_, purpose) in of_originator {
        match purpose {
            Purpose::Forward(third) => lets.by_name |= third == to,
            Purpose::Circle(roster) => {
                lets.in_circle |= is_marked(roster.circle()) && roster.members().contains(to);
            }
            Purpose::Evidence => {}
        }
    }
    lets
}

impl Node {
    /// Takes an originator's consent to pass its records on to an agency, or its revocation.
    pub(super) fn hear(&mut self, partner: usize, originator: &AgencyName, told: &Told) {
        let Told::Consent(consent) = told else { unreachable!("nobody asks here") };
        let purpose = &consent.subject.purpose;
        // A feed that succeeds another tells everything again.
        let is_first = self.state.relations[&partner].partner.generation() == Generation::FIRST;
        if let Err(fault) = self.state.dealings.take(originator, told) {
            assert!(!is_first, "{fault}");
            return;
        }
        let key = (originator.clone(), consent.number);
        match consent.verdict {
            ConsentVerdict::Granted { .. } => {
                if let Purpose::Circle(_) = purpose {
                    // There is one circle, and of two rosters the newer one counts.
                    self.state.let_on.retain(|(of, _), before| {
                        of != originator || !matches!(before, Purpose::Circle(_))
                    });
                }
                assert_eq!(self.state.let_on.insert(key, purpose.clone()), None, "said once");
            }
            _ => {
                let was_let = self.state.let_on.remove(&key).is_some();
                assert!(was_let || !is_first, "said in order");
            }
        }
        self.say(Noted::LetOn(match purpose {
            Purpose::Forward(third) => Some(third.clone()),
            _ => None,
        }));
    }
}

impl World<'_> {
    /// Grants or revokes a consent: the partner may pass on what it holds of this agency to another
    /// one.
    pub(super) fn consent(&mut self, own: usize, partner: usize) {
        let others: Vec<_> = (0..NODES).filter(|node| ![own, partner].contains(node)).collect();
        let third = self.book.agency(others[self.random.below(others.len())]).clone();
        let holder = self.book.agency(partner).clone();
        let members = self.members(own);
        let Self { random, nodes, .. } = self;
        let node = &mut nodes[own];
        let given = node.state.dealings.given().filter(|(to, _)| **to == holder);
        let given: Vec<_> = given.map(|(_, given)| given.consent.clone()).collect();
        let (number, verdict, subject) = if given.is_empty() || random.chance(2) {
            let until = start_of_day().plus_ms(24 * 3_600_000);
            let purpose = if members.contains(&holder) && !random.chance(4) {
                Purpose::Circle(Roster::new(CIRCLE.to_owned(), members).unwrap())
            } else {
                Purpose::Forward(third)
            };
            let subject = Subject { purpose, scope: Scope::All };
            let number = node.state.dealings.next_consent(&holder, node.agency.generation);
            (number, ConsentVerdict::Granted { until }, subject)
        } else {
            let revoked = given[random.below(given.len())].clone();
            (revoked.number, ConsentVerdict::Revoked, revoked.subject)
        };
        let (at, reason) = (start_of_day(), "of the test".to_owned());
        let saying = ConsentTerms { number, request: 0, verdict, subject, at, reason };
        self.tell(own, partner, saying);
    }

    /// Members of the circle of a node, as its journal has them.
    pub(super) fn members(&self, own: usize) -> Vec<AgencyName> {
        let relations = self.nodes[own].state.relations.iter();
        let members = relations.filter(|(n, relation)| self.book.is_member(**n, relation.facts));
        let mut members: Vec<_> = members.map(|(n, _)| self.book.agency(*n).clone()).collect();
        members.sort();
        members
    }

    /// Sends a changed roster to everybody who was given the roster of that circle.
    pub(super) fn follow_rosters(&mut self, own: usize) {
        loop {
            let members = self.members(own);
            let node = &self.nodes[own];
            let now = (start_of_day(), node.agency.generation);
            let change = node.state.dealings.roster_change(now, |_| members.clone());
            let Some((holder, saying)) = change else { return };
            let partner = (0..NODES).find(|n| *self.book.agency(*n) == holder).unwrap();
            self.tell(own, partner, saying);
            self.reached.rosters_followed += 1;
        }
    }

    fn tell(&mut self, own: usize, partner: usize, saying: ConsentTerms) {
        let holder = self.book.agency(partner).clone();
        let node = &mut self.nodes[own];
        let consent = node.agency.consent(&holder, saying);
        let originator = node.agency.name.clone();
        let parties = Parties { originator: &originator, holder: &holder };
        node.state.dealings.check_say(parties, &consent).unwrap();
        node.state.dealings.say(0, parties, consent.clone());
        node.say(Noted::Told(partner, Box::new(Told::Consent(consent))));
    }
}
