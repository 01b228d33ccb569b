//! The acts of people at the nodes: clients submit, officers hold, erase, consent and decide, administrators change
//! policies and partners and accept cards.

use super::machine::{Machine, number, policy_applied};
use super::notes::Submitted;
use super::policies::{CIRCLE, EDITIONS, FACTS, any_marking};
use super::reached::Situation;
use super::streams::way_of;
use super::world::{PAIRS, World};
use super::{NODES, RECORDS};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::journal::transaction::Transaction;
use crate::node::approvals::acts::{Outcome, write_decision};
use crate::node::approvals::proposal::stage_proposal;
use crate::node::client::Client;
use crate::node::consents;
use crate::node::consents::rosters;
use crate::node::disclosure::releases;
use crate::node::erasure::erase::{self, HoldChange, Part, PartLimit};
use crate::node::erasure::error::ErasureError;
use crate::node::error::NodeError;
use crate::node::submission::plan::Randomness;
use crate::node::submission::submit::{Submission, Withdrawing};
use crate::partner::{CardUpdate, compare_cards};
use crate::pb::{self, act::Act, draft::Content, journal_entry::Event};
use crate::policy::{ClientRole, Visibility};
use crate::record::consent::{ConsentTerms, ConsentVerdict};
use crate::record::erasure::ErasureBasis;
use crate::record::header::Header;
use crate::record::kind::Kind;
use crate::record::slots::SlotMask;
use crate::testkit::{Random, id_bytes};
use std::sync::Arc;

/// Longer than any run.
const CONSENT_DAYS: i64 = 300;
const DAY_MS: i64 = 24 * 3_600_000;

fn client(role: ClientRole) -> Client {
    Client { name: role.name().to_owned(), role }
}

fn randomness(random: &mut Random) -> Randomness {
    Randomness::of((0..512).flat_map(|_| random.next().to_be_bytes()).collect())
}

fn indicator(value: String) -> Content {
    Content::Indicator(pb::Indicator {
        value,
        source: "feed a".to_owned(),
        reporter: "desk 7".to_owned(),
        notes: "line".to_owned(),
        ..pb::Indicator::default()
    })
}

fn opinion(on: SeriesId, author: &AgencyName) -> Content {
    Content::Opinion(pb::Opinion {
        record: on.as_bytes().to_vec().into(),
        verdict: pb::OpinionVerdict::Agree.into(),
        author: author.to_string(),
        notes: "line".to_owned(),
        ..pb::Opinion::default()
    })
}

/// The same content with another text.
fn retold(content: Content, text: String) -> Content {
    match content {
        Content::Indicator(indicator) => {
            Content::Indicator(pb::Indicator { title: text, ..indicator })
        }
        Content::Opinion(opinion) => Content::Opinion(pb::Opinion { explanation: text, ..opinion }),
        other => other,
    }
}

impl Machine {
    /// Submits something, revises or withdraws it; of what is known, an opinion. Returns false where the node refused
    /// it.
    fn submit(&mut self, random: &mut Random, known: &[SeriesId]) -> bool {
        let before = &self.notes.submitted;
        let revised = (!before.is_empty() && !random.chance(3))
            .then(|| before[random.index(before.len())].clone());
        let is_withdrawn = revised.is_some() && random.chance(3);
        match revised {
            Some(before) if is_withdrawn => self.withdraw(random, &before),
            Some(before) => {
                let marking = if random.chance(3) { before.marking } else { any_marking(random) };
                self.say(random, (before.content, before.confidence), marking)
            }
            None => {
                let content = match known {
                    [_, ..] if random.chance(2) => {
                        opinion(known[random.index(known.len())], self.name())
                    }
                    _ => indicator(format!("host{}.example", random.next())),
                };
                let confidence = [20, 55, 80][random.index(3)];
                let marking = any_marking(random);
                self.say(random, (content, confidence), marking)
            }
        }
    }

    fn say(
        &mut self,
        random: &mut Random,
        (content, confidence): (Content, u32),
        marking: pb::Marking,
    ) -> bool {
        let content = retold(content, format!("text {}", random.next()));
        // Two agencies may have an opinion on one record.
        let draft = pb::Draft {
            key: self.name().to_string(),
            marking: Some(marking.clone()),
            confidence,
            content: Some(content.clone()),
            ..pb::Draft::default()
        };
        let by = client(ClientRole::Analyst);
        let by = (by.name.clone(), Visibility::new(by.role, &by.name));
        let task = Submission::new(vec![draft], self.now(), by, self.signer.clone(), None);
        let mut drawn = randomness(random);
        let results = self.commit(|tx| Ok(task.decide_within(tx, &mut drawn)?)).unwrap();
        let result = &results[0];
        let Ok(id) = RecordId::try_from(&result.record_id[..]) else { return false };
        if result.outcome() == pb::DraftOutcome::Revised {
            let series = self.view().record(&id).unwrap().unwrap().header().series;
            let is_other = |other: &Submitted| {
                let before = self.view().record(&other.id).unwrap();
                before.is_none_or(|before| before.header().series != series)
            };
            let kept: Vec<_> =
                self.notes.submitted.iter().filter(|of| is_other(of)).cloned().collect();
            self.notes.submitted = kept;
        }
        self.notes.submitted.push(Submitted { content, marking, confidence, id });
        true
    }

    fn withdraw(&mut self, random: &mut Random, submitted: &Submitted) -> bool {
        let by = client(ClientRole::Analyst);
        let withdrawing = Withdrawing {
            id: submitted.id,
            reason: pb::WithdrawalReason::Error,
            explanation: String::new(),
            client: by.name.clone(),
            visibility: Visibility::new(by.role, &by.name),
            signer: self.signer.clone(),
        };
        let mut random = randomness(random);
        self.commit(|tx| withdrawing.write(tx, &mut random)).is_ok()
    }

    /// Proposes an act; a second person decides on it another time.
    fn propose(
        &mut self,
        act: impl FnOnce(&mut Transaction<'_>) -> Result<Act, NodeError>,
    ) -> Result<(), NodeError> {
        let by = client(ClientRole::Analyst);
        self.commit(|tx| {
            let act = act(tx)?;
            stage_proposal(tx, &by, act).map(drop)
        })
    }

    fn propose_erasure(&mut self, act: pb::EraseAct) {
        let proposed = self.propose(|tx| erase::prepare(tx, act.clone()).map(Act::Erase));
        if let Err(NodeError::Erasure(ErasureError::Held { .. })) = proposed {
            self.notes.deferred.push(act);
        }
    }

    /// A second person decides on an act; what is void by now is refused.
    fn decide(&mut self, proposal: u64) -> Option<Outcome> {
        let by = client(ClientRole::PolicyOfficer);
        let (rules, signer) = (Arc::clone(&self.rules), self.signer.clone());
        let mut decide = |approved: bool| {
            let decision = pb::ActDecided {
                proposal,
                client: by.name.clone(),
                role: by.role.name().to_owned(),
                approved,
                ..pb::ActDecided::default()
            };
            self.commit(|tx| write_decision(tx, (&by, &rules), decision, None, &signer))
        };
        match decide(true) {
            Ok(outcome) => Some(outcome),
            Err(NodeError::Journal(error)) => panic!("{error}"),
            Err(_) => {
                decide(false).unwrap();
                None
            }
        }
    }

    /// Carries on every erasure that was approved, as far as no hold is in the way.
    fn finish_erasures(&mut self) {
        let signer = self.signer.clone();
        let open: Vec<u64> = self.snapshot().state.erasing.keys().copied().collect();
        for proposal in open {
            let mut after = None;
            loop {
                let limit = PartLimit { revisions: 1, ..PartLimit::OF_A_JOB };
                let part =
                    self.commit(|tx| erase::next_part(tx, (proposal, &signer), after, limit));
                match part.unwrap() {
                    Part::Completed | Part::Waits => break,
                    Part::Behind(id) => after = Some(id),
                    Part::LookAgain => after = None,
                }
            }
        }
    }
}

impl World<'_> {
    pub(super) fn submit(&mut self, own: usize) {
        if self.submitted < RECORDS {
            let known = self.read(own).records.values();
            let known: Vec<_> = known
                .filter(|held| held.record.kind() != Kind::Withdrawal)
                .map(|held| held.header().series)
                .collect();
            self.submitted += usize::from(self.nodes[own].submit(&mut self.random, &known));
        }
    }

    /// Decides on the oldest act that waits at a node; returns false if there is none.
    pub(super) fn decide(&mut self, own: usize) -> bool {
        let state = Arc::clone(&self.nodes[own].snapshot().state);
        let now = self.clock.now().unix_ms().unsigned_abs();
        let mut waiting = state.acts.iter().filter(|(_, open)| open.proposed.expires_at_ms > now);
        let Some((proposal, open)) = waiting.next() else { return false };
        let act = open.proposed.act.as_ref().and_then(|act| act.act.clone());
        let outcome = self.nodes[own].decide(*proposal);
        self.nodes[own].finish_erasures();
        match (outcome, act) {
            (Some(Outcome::HeldDecided), Some(Act::Release(act))) => {
                self.reached.once(match act.released {
                    true => Situation::ReleasedByPersons,
                    false => Situation::RefusedByPersons,
                });
            }
            (Some(Outcome::Erased | Outcome::ErasureBegun), _) => self.note_ordered(own),
            _ => {}
        }
        true
    }

    /// Notes what this originator ordered erased by now.
    fn note_ordered(&mut self, own: usize) {
        self.read(own);
        let reading = self.readings[own].as_ref().unwrap();
        let is_own = |header: &Header| header.originator == *self.book.agency(own);
        for (id, held) in reading.records.iter().filter(|(_, held)| is_own(held.header())) {
            let before = self.ordered.get(id).copied().unwrap_or_default();
            let fresh = held.erased.without(before);
            self.reached.add(Situation::ErasureOrdered, usize::from(!fresh.is_empty()));
            self.ordered.insert(*id, before.or(fresh));
        }
    }

    /// An originator proposes that slots of one of its series are erased, or all of them.
    pub(super) fn propose_erasure(&mut self, own: usize) {
        let Some(id) = self.own_record(own) else { return };
        self.propose_erasure_of(own, id);
    }

    /// Some record of an originator; mostly one that others hold, or were passed on by others.
    fn own_record(&mut self, own: usize) -> Option<RecordId> {
        let (mut far, mut near) = (Vec::new(), Vec::new());
        for other in (0..NODES)
            .filter(|other| *other != own && self.nodes[*other].is_open())
            .collect::<Vec<_>>()
        {
            for (id, held) in &self.read(other).records {
                match held.given.map(|given| given.from) {
                    Some(from) if from == own => near.push(*id),
                    _ => far.push(*id),
                }
            }
        }
        let records = self.read(own).records.iter();
        let own_ids: Vec<_> =
            records.filter(|(_, held)| held.given.is_none()).map(|(id, _)| *id).collect();
        far.retain(|id| own_ids.contains(id));
        near.retain(|id| own_ids.contains(id));
        let ids = match self.random.below(4) {
            0 | 1 if !far.is_empty() => far,
            2 if !near.is_empty() => near,
            _ => own_ids,
        };
        (!ids.is_empty()).then(|| ids[self.random.index(ids.len())])
    }

    fn propose_erasure_of(&mut self, own: usize, id: RecordId) {
        let kind = self.read(own).records[&id].record.kind();
        let all = SlotMask::all(kind);
        let some = SlotMask::from_bits(self.random.next() as u32).and(all);
        let slots = if self.random.chance(2) || some.is_empty() { all } else { some };
        let basis = ErasureBasis::ALL[self.random.index(ErasureBasis::ALL.len())];
        let act = pb::EraseAct {
            record_id: id_bytes(&id),
            slots: slots.bits(),
            basis: pb::ErasureBasis::from(basis).into(),
            authority: "file 7".to_owned(),
            ..pb::EraseAct::default()
        };
        let deferred = self.nodes[own].notes.deferred.len();
        self.nodes[own].propose_erasure(act);
        let deferred = self.nodes[own].notes.deferred.len() - deferred;
        self.reached.add(Situation::ErasureDeferred, deferred);
    }

    /// Puts a record under a hold, or ends a hold.
    pub(super) fn change_hold(&mut self, own: usize) {
        let held: Vec<_> = self.nodes[own].notes.held.keys().copied().collect();
        if !held.is_empty() && self.random.chance(4) {
            let id = held[self.random.index(held.len())];
            return self.end_hold(own, id);
        }
        // Orders come to those whose records are another's.
        let of_all = self.random.chance(4);
        let records = self.read(own).records.iter();
        let records = records.filter(|(_, of)| of_all || of.given.is_some());
        let records: Vec<_> = records.map(|(id, _)| *id).collect();
        if !records.is_empty() {
            let id = records[self.random.index(records.len())];
            self.hold(own, id);
        }
    }

    /// Puts a record under a hold, if it is here and is not.
    fn hold(&mut self, own: usize, id: RecordId) {
        let Some(held) = self.read(own).records.get(&id) else { return };
        let erased = held.erased;
        let begun = self.nodes[own].commit(|tx| {
            erase::change_hold(tx, "officer", id, HoldChange::Begin, "a trial".to_owned())
        });
        if begun.is_ok() {
            self.nodes[own].notes.held.insert(id, erased);
        }
    }

    /// Ends a hold, and what waited for that is carried out.
    fn end_hold(&mut self, own: usize, id: RecordId) {
        let node = &mut self.nodes[own];
        let end = HoldChange::End { erases: true };
        let erased = node
            .commit(|tx| erase::change_hold(tx, "officer", id, end, "it is over".to_owned()))
            .unwrap();
        node.notes.held.remove(&id);
        self.reached.add(Situation::ErasedAfterAHold, usize::from(!erased.is_empty()));
        node.finish_erasures();
        for act in std::mem::take(&mut node.notes.deferred) {
            node.propose_erasure(act);
        }
        self.note_ordered(own);
    }

    /// Everybody has records erased that are put under holds elsewhere, before all comes to rest.
    pub(super) fn hold_and_erase(&mut self) {
        for own in 0..NODES {
            if !self.erases || !self.nodes[own].may_sign() {
                continue;
            }
            self.change_hold(own);
            let Some(id) = self.own_record(own) else { continue };
            for other in (0..NODES).filter(|other| *other != own).collect::<Vec<_>>() {
                if self.nodes[other].may_sign() && self.random.chance(2) {
                    self.hold(other, id);
                }
            }
            self.propose_erasure_of(own, id);
        }
    }

    /// Every hold ends.
    pub(super) fn end_holds(&mut self) {
        for own in (0..NODES).filter(|own| !self.nodes[*own].is_behind).collect::<Vec<_>>() {
            for id in self.nodes[own].notes.held.clone().into_keys() {
                self.end_hold(own, id);
            }
        }
    }

    /// Decides on everything that waits for a person, also on disclosures that the brake holds. Returns whether there
    /// was anything.
    pub(super) fn decide_all(&mut self, own: usize) -> bool {
        let mut is_any = false;
        while self.decide(own) {
            is_any = true;
        }
        for partner in (0..NODES).filter(|partner| *partner != own) {
            is_any |= self.propose_release(own, partner);
        }
        while self.decide(own) {}
        is_any
    }

    /// Proposes to release or to refuse what the brake holds for a partner.
    pub(super) fn propose_release(&mut self, own: usize, partner: usize) -> bool {
        let bundles = self.nodes[own].view().held_bundles(number(partner)).unwrap();
        let Some((reasons, bundle)) = bundles.into_iter().next() else { return false };
        self.reached.add(Situation::HeldByTheBrake, bundle.records() as usize);
        let act = pb::ReleaseAct {
            partner: self.book.agency(partner).to_string(),
            rules: reasons,
            released: !self.random.chance(4),
            reason: "looked at".to_owned(),
            ..pb::ReleaseAct::default()
        };
        self.nodes[own].propose(|tx| releases::prepare(tx, act).map(Act::Release)).is_ok()
    }

    /// Grants or revokes a consent: the partner may pass on what it holds of this agency to another one.
    pub(super) fn consent(&mut self, own: usize, partner: usize) {
        let others: Vec<_> = (0..NODES).filter(|node| ![own, partner].contains(node)).collect();
        let third = others[self.random.index(others.len())];
        let (book, holder) = (self.book, self.book.agency(partner).clone());
        let node = &mut self.nodes[own];
        let given = Arc::clone(&node.snapshot().state.consents.dealings);
        let given = given.given().filter(|(to, _)| **to == holder);
        let given: Vec<_> = given.map(|(_, given)| given.consent.clone()).collect();
        let signer = node.signer.clone();
        if !given.is_empty() && self.random.chance(2) {
            let revoked = &given[self.random.index(given.len())];
            let saying = ConsentTerms {
                number: revoked.number,
                request: 0,
                verdict: ConsentVerdict::Revoked,
                subject: revoked.subject.clone(),
                at: node.now(),
                reason: "no longer".to_owned(),
            };
            let officer = client(ClientRole::PolicyOfficer);
            node.commit(|tx| consents::say(tx, &officer, (holder, saying), &signer)).unwrap();
            return;
        }
        let is_circle = book.is_member(partner, node.agreed(partner)) && !self.random.chance(4);
        let subject = if is_circle {
            pb::ConsentSubject {
                purpose: pb::ConsentPurpose::Circle.into(),
                circle: CIRCLE.to_owned(),
                ..pb::ConsentSubject::default()
            }
        } else {
            pb::ConsentSubject {
                purpose: pb::ConsentPurpose::Forward.into(),
                partner: book.agency(third).to_string(),
                ..pb::ConsentSubject::default()
            }
        };
        let subject = pb::ConsentSubject { scope: pb::ConsentScope::All.into(), ..subject };
        let until = node.now().plus_ms(CONSENT_DAYS * DAY_MS);
        let act = pb::GrantConsentAct {
            holder: holder.to_string(),
            request: 0,
            subject: Some(subject),
            valid_until_ms: until.unix_ms().unsigned_abs(),
            reason: "of the treaty".to_owned(),
        };
        // The same may have been given before.
        let _ = node.propose(|tx| consents::prepare(tx, act, &signer).map(Act::GrantConsent));
    }

    /// Agrees something else with a partner.
    pub(super) fn change_partner(&mut self, own: usize, partner: usize) {
        let (book, agency) = (self.book, self.book.agency(partner));
        let node = &mut self.nodes[own];
        let facts = book.facts(partner, (node.agreed(partner) + 1) % FACTS).clone();
        let size = node.snapshot().size;
        node.change_partner(agency, |changed| changed.facts = Some(facts));
        let followed = node.snapshot().size - size - 1;
        self.reached.add(Situation::RosterFollowed, followed as usize);
        self.tell_acceptance(way_of(own, partner));
    }

    /// Puts another policy in force, wider or narrower.
    pub(super) fn change_policy(&mut self, own: usize) {
        let book = self.book;
        let node = &mut self.nodes[own];
        let before = book.edition(own, &node.snapshot().state);
        let edition = (before + 1 + self.random.index(EDITIONS - 1)) % EDITIONS;
        node.commit(|tx| Ok(tx.append(policy_applied(tx, book, (own, edition))).map(drop)?))
            .unwrap();
        for pair in PAIRS.into_iter().filter(|pair| pair.0 == own || pair.1 == own) {
            self.tell_acceptance((pair, usize::from(pair.1 == own)));
        }
    }

    /// Some nodes put another policy in force.
    pub(super) fn change_policies(&mut self) {
        for own in 0..NODES {
            if !self.nodes[own].is_behind && self.random.chance(2) {
                self.change_policy(own);
            }
        }
    }

    /// People accept a partner's card, if it has a new one.
    pub(super) fn accept(&mut self, own: usize, partner: usize) {
        if !self.nodes[own].may_sign() || !self.nodes[partner].is_open() {
            return;
        }
        let card = self.nodes[partner].snapshot().state.card.clone().unwrap();
        let agency = self.book.agency(partner);
        let known = Arc::clone(&self.nodes[own].snapshot().state.partners[agency].card);
        if known.card().generation == card.card().generation {
            return;
        }
        let update = compare_cards(&known, &card);
        assert!(!matches!(update, CardUpdate::Refused(_)), "{own} takes a card of {partner}");
        self.nodes[own]
            .change_partner(agency, |changed| changed.card = Some(card.signed().clone()));
        self.nodes[own].notes.of(partner).exceptions.clear();
        self.cut((own.min(partner), own.max(partner)));
    }
}

impl Machine {
    /// The agreement in force with a partner, by its place in the book.
    fn agreed(&self, partner: usize) -> usize {
        self.book().asked(self.own, partner, &self.snapshot().state).facts
    }

    /// Changes a partner, and rosters follow.
    fn change_partner(
        &mut self,
        agency: &AgencyName,
        change: impl FnOnce(&mut pb::PartnerChanged),
    ) {
        let signer = self.signer.clone();
        self.commit(|tx| {
            let mut changed = tx.state().partners[agency].as_it_is(agency, "admin");
            change(&mut changed);
            tx.append(Event::PartnerChanged(changed))?;
            Ok(rosters::follow(tx, &signer)?)
        })
        .unwrap();
    }
}
