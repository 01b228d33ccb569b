//! Acts that took two persons: that everybody whose approval was needed gave it, and what each act
//! covers.

use super::failure::{Check, Fault};
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, act::Act};
use crate::policy::{ActKind, ClientRole, Person, hold};
use crate::record::erasure::{ErasureBasis, ErasureScope};
use crate::record::kind::Kind;
use std::collections::BTreeMap;

/// Acts that wait at the most; a node keeps no more.
const OPEN_MAX: usize = 4_096;

/// An act that waits.
#[derive(Debug)]
struct Open {
    kind: ActKind,
    act: Act,
    client: String,
    role: String,
    expires: u64,
    /// The approvals so far: the entry, the client and its role.
    approvals: Vec<(u64, String, ClientRole)>,
}

/// An act that everybody approved, until it is carried out.
#[derive(Debug)]
struct Approved {
    proposal: u64,
    act: Act,
    client: String,
    role: String,
    decisions: Vec<u64>,
}

/// An erasure that was approved and is not complete.
#[derive(Debug)]
pub(super) struct Erasing {
    pub(super) act: pb::EraseAct,
    pub(super) scope: ErasureScope,
}

/// The record of an erasure, as far as the ground depends on it.
pub(super) struct ErasureSubject<'a> {
    /// Its place in the order of acceptance, counted as for [`Acts::decide`].
    pub(super) accepted: u64,
    pub(super) kind: Kind,
    pub(super) originator: &'a AgencyName,
    pub(super) own: &'a AgencyName,
    /// From the signed header.
    pub(super) retain_until: Option<Timestamp>,
    pub(super) is_held: bool,
    /// A hold has ended that had kept this erasure waiting.
    pub(super) is_due: bool,
    /// The time of the entry.
    pub(super) at: Timestamp,
    /// True if another record is of the same series.
    pub(super) is_of_series: &'a dyn Fn(&RecordId) -> bool,
}

fn uncovered(found: String) -> Fault {
    let expected = "an approved act, a partner's duty, or the end of the record's time";
    Fault::new(Check::Erasure, expected, found)
}

impl ErasureSubject<'_> {
    /// Without an act or a duty there is one ground: the time in the signed header has ended. Every
    /// holder finds the same, so no order travels.
    fn check_retention(&self, erased: &pb::SlotsErased) -> Result<(), Fault> {
        if erased.basis() != pb::ErasureBasis::Retention {
            return Err(uncovered("none of them".to_owned()));
        }
        if erased.order.is_some() {
            return Err(uncovered("an order to erase by retention".to_owned()));
        }
        self.check_hold(erased)?;
        match self.retain_until {
            Some(until) if until <= self.at => Ok(()),
            Some(until) => {
                let found = format!("an erasure at {}", self.at);
                let expected = format!("a record that is kept until {until}, as its header says");
                Err(Fault::new(Check::Erasure, expected, found))
            }
            None => Err(uncovered("a header without an end of the record's time".to_owned())),
        }
    }

    fn check_hold(&self, erased: &pb::SlotsErased) -> Result<(), Fault> {
        let basis = ErasureBasis::from_number(erased.basis)
            .ok_or_else(|| uncovered(format!("legal ground {}", erased.basis)))?;
        match hold(self.kind, self.is_held, basis) {
            Some(hold) if !self.is_due || self.is_held => {
                let found = format!("an erasure although {hold}");
                Err(Fault::new(Check::Erasure, "nothing under a hold erased", found))
            }
            _ => Ok(()),
        }
    }
}

/// The acts that wait, and the one that was just approved.
#[derive(Debug, Default)]
pub(super) struct Acts {
    open: BTreeMap<u64, Open>,
    approved: Option<Approved>,
    erasing: BTreeMap<u64, Erasing>,
}

fn fault(expected: &str, found: impl ToString) -> Fault {
    Fault::new(Check::Act, expected, found)
}

fn role_of(text: &str) -> Result<ClientRole, Fault> {
    text.parse().map_err(|error| fault("the role of a client", error))
}

impl Acts {
    pub(super) fn propose(&mut self, index: u64, proposed: pb::ActProposed) -> Result<(), Fault> {
        let pb::ActProposed { client, role, act, expires_at_ms: expires } = proposed;
        let kind = act.as_ref().and_then(ActKind::of);
        let (Some(kind), Some(act), false) = (kind, act.and_then(|act| act.act), client.is_empty())
        else {
            return Err(fault("an act and who asks for it", "neither or one of them"));
        };
        kind.may_propose(role_of(&role)?).map_err(|refusal| {
            fault("somebody who may ask for it", format!("{role}: {refusal}"))
        })?;
        self.open.insert(index, Open { kind, act, client, role, expires, approvals: Vec::new() });
        // What ran out is never decided on; the oldest run out first.
        while self.open.len() > OPEN_MAX {
            self.open.pop_first();
        }
        Ok(())
    }

    /// Takes a decision; `accepted` is its place in the order in which records are accepted.
    pub(super) fn decide(
        &mut self,
        (index, at): (u64, Timestamp),
        accepted: u64,
        decided: &pb::ActDecided,
    ) -> Result<(), Fault> {
        let pb::ActDecided { proposal, client, role, approved, closes, .. } = decided;
        let unknown = || fault("an act that waits", format!("entry {proposal}"));
        let open = self.open.get_mut(proposal).ok_or_else(unknown)?;
        if open.expires <= at.unix_ms().unsigned_abs() {
            let expected = format!("a decision before {} ms, when the act expired", open.expires);
            return Err(Fault::new(Check::Act, expected, at));
        }
        if client.is_empty() {
            return Err(fault("a second person", "nobody"));
        }
        let role = role_of(role)?;
        let before: Vec<_> =
            open.approvals.iter().map(|(_, name, role)| Person { name, role: *role }).collect();
        let person = Person { name: client, role };
        let judged = match approved {
            true => open.kind.may_approve(&open.client, &before, person),
            false => open.kind.may_refuse(&open.client, &before, person),
        };
        judged.map_err(|refusal| {
            fault("a second person who may decide", format!("{client:?} ({role}): {refusal}"))
        })?;
        if *approved {
            open.approvals.push((index, client.clone(), role));
        }
        let is_last = open.is_approved();
        if *closes != (!approved || is_last) {
            let found = if *closes { "it was carried out" } else { "it waits" };
            return Err(fault("an act that is done with its last approval or a refusal", found));
        }
        if *closes {
            let closed = self.open.remove(proposal);
            let closed = closed.filter(|_| *approved);
            if let Some(Act::Erase(act)) = closed.as_ref().map(|open| &open.act) {
                let scope = ErasureScope::approved_at(accepted);
                self.erasing.insert(*proposal, Erasing { act: act.clone(), scope });
            }
            self.approved = closed.map(|open| Approved {
                proposal: *proposal,
                act: open.act,
                client: open.client,
                role: open.role,
                decisions: open.approvals.into_iter().map(|(index, ..)| index).collect(),
            });
        }
        Ok(())
    }

    /// The act of this proposal, if it was just approved.
    pub(super) fn approved(&self, proposal: u64) -> Option<&Act> {
        self.approved.as_ref().filter(|found| found.proposal == proposal).map(|found| &found.act)
    }

    /// Takes the end of an erasure that was approved; its slots must be gone from all that it covers.
    pub(super) fn complete_erasure(&mut self, proposal: u64) -> Result<Erasing, Fault> {
        let found =
            || uncovered(format!("the end of entry {proposal}, which was not being erased"));
        self.erasing.remove(&proposal).ok_or_else(found)
    }

    /// Counts the erasures that were approved and are not complete.
    pub(super) fn erasing(&self) -> u64 {
        self.erasing.len() as u64
    }

    /// Checks the ground of an erasure: an act that was approved and is not complete, a partner's duty, or the end of
    /// the time for which the record may be kept.
    pub(super) fn cover(
        &self,
        erased: &pb::SlotsErased,
        subject: &ErasureSubject<'_>,
    ) -> Result<(), Fault> {
        let is_own = subject.originator == subject.own;
        let wants_order = match (erased.proposal, erased.partner.is_empty()) {
            (0, true) => return subject.check_retention(erased),
            (0, false) => true,
            // An erasure of own records is an order to everybody who received them.
            (_, true) => {
                self.cover_erasure(erased, subject)?;
                is_own
            }
            (_, false) => return Err(uncovered("an act and a partner's duty at once".to_owned())),
        };
        match (wants_order, erased.order.is_some()) {
            (true, false) => Err(uncovered("no order of the record's originator".to_owned())),
            (false, true) => Err(uncovered(format!("an order of {}", subject.originator))),
            _ => subject.check_hold(erased),
        }
    }

    /// Checks as much of that as can be seen without the record itself, of a part of a history.
    pub(super) fn cover_unseen(&self, erased: &pb::SlotsErased) -> Result<(), Fault> {
        let is_duty = !erased.partner.is_empty() && erased.order.is_some();
        let is_retention = erased.basis() == pb::ErasureBasis::Retention && erased.order.is_none();
        match erased.proposal {
            0 if is_duty || is_retention => Ok(()),
            0 => Err(uncovered("none of them".to_owned())),
            _ => self.cover_slots(erased).map(drop),
        }
    }

    fn cover_erasure(
        &self,
        erased: &pb::SlotsErased,
        subject: &ErasureSubject<'_>,
    ) -> Result<(), Fault> {
        let Erasing { act, scope } = self.cover_slots(erased)?;
        let (named, proposal) = (RecordId::try_from(&act.record_id[..]), erased.proposal);
        if !named.is_ok_and(|id| (subject.is_of_series)(&id)) {
            return Err(uncovered(format!("an act on another record, entry {proposal}")));
        }
        if !scope.covers(subject.accepted) {
            let found = format!("a record accepted after the act of entry {proposal} was approved");
            return Err(uncovered(found));
        }
        Ok(())
    }

    fn cover_slots(&self, erased: &pb::SlotsErased) -> Result<&Erasing, Fault> {
        let named = erased.proposal;
        let Some(erasing) = self.erasing.get(&named) else {
            let found = format!("entry {named}, which is not approved or is complete");
            return Err(uncovered(found));
        };
        let act = &erasing.act;
        let same = act.basis == erased.basis && act.authority == erased.authority;
        if !same || erased.slots & !act.slots != 0 {
            return Err(uncovered(format!("more than the act of entry {named}")));
        }
        Ok(erasing)
    }

    /// A partner begins, or begins again, by an act over this card and these facts that was just
    /// approved; once.
    pub(super) fn cover_addition(
        &mut self,
        changed: &pb::PartnerChanged,
        reveals: bool,
    ) -> Result<(), Fault> {
        let Some(Act::AddPartner(act)) = self.take(changed.proposal) else {
            let found = format!("{} by {:?} alone", changed.agency, changed.client);
            return Err(fault("a partner that a second person approved", found));
        };
        let same = act.card == changed.card
            && act.facts == changed.facts
            && changed.state() == pb::PartnerState::Active;
        if !same {
            return Err(fault("the card and the facts that were approved", "others"));
        }
        if reveals && !act.reveals {
            let expected = "the data protection officer's approval of a partner that may be shown \
                            personal data or a sensitive class";
            return Err(fault(expected, "an act that did not ask for it"));
        }
        Ok(())
    }

    /// A suspended partner is active again by an act that was just approved, made when the partner was
    /// as it is; once.
    pub(super) fn cover_resumption(
        &mut self,
        changed: &pb::PartnerChanged,
        changed_at: u64,
    ) -> Result<(), Fault> {
        let Some(Act::ResumePartner(act)) = self.take(changed.proposal) else {
            let found = format!("{} resumed by {:?} alone", changed.agency, changed.client);
            return Err(fault("a second person's approval of a resumption", found));
        };
        if act.agency != changed.agency || act.changed_at != changed_at {
            let expected = format!("{} as entry {changed_at} left it", changed.agency);
            let found = format!("{} as entry {} left it", act.agency, act.changed_at);
            return Err(Fault::new(Check::Act, expected, found));
        }
        Ok(())
    }

    /// Takes the act of this proposal, if it was just approved: nothing else follows from it.
    fn take(&mut self, proposal: u64) -> Option<Act> {
        self.approved.take_if(|found| found.proposal == proposal).map(|found| found.act)
    }

    /// A partner's facts that may show it more follow from an act that was just approved; once.
    pub(super) fn cover_facts(
        &mut self,
        changed: &pb::PartnerChanged,
        before: &pb::PartnerFacts,
        reveals: bool,
    ) -> Result<(), Fault> {
        let Some(Act::ChangeFacts(act)) = self.take(changed.proposal) else {
            return Err(fault("a second person's approval of a partner's facts", "none"));
        };
        let same = act.agency == changed.agency
            && act.before.as_ref().unwrap_or(&pb::PartnerFacts::default()) == before
            && act.after == changed.facts;
        if !same {
            return Err(fault("what was approved", "other facts of a partner"));
        }
        if reveals && !act.reveals {
            let expected = "the data protection officer's approval of what may reveal a class";
            return Err(fault(expected, "an act that did not ask for it"));
        }
        Ok(())
    }

    /// A consent follows from an act over exactly that which was just approved; once.
    pub(super) fn cover_consent(
        &mut self,
        given: &pb::ConsentGiven,
        until: Timestamp,
    ) -> Result<(), Fault> {
        let uncovered =
            |found: String| Fault::new(Check::Consent, "a consent that two persons gave", found);
        let approved = self.approved.take().filter(|act| act.proposal == given.proposal);
        let Some(Approved { act: Act::GrantConsent(act), client, role, .. }) = approved else {
            let found = format!("entry {}, which was not just approved", given.proposal);
            return Err(uncovered(found));
        };
        let consent = given.consent.clone().unwrap_or_default();
        let same = act.holder == given.holder
            && act.request == consent.request
            && act.subject == consent.subject
            && act.reason == consent.reason
            && act.valid_until_ms == until.unix_ms().unsigned_abs()
            && (client, role) == (given.client.clone(), given.role.clone());
        if same {
            return Ok(());
        }
        Err(uncovered(format!("another than the act of entry {}", given.proposal)))
    }

    /// A policy that shows more follows from an act over that very bundle that was just approved;
    /// once.
    pub(super) fn cover_policy(&mut self, applied: &pb::PolicyApplied) -> Result<(), Fault> {
        let uncovered = |found: String| {
            let expected = format!("an act over this bundle, approved for a {}", named(applied));
            Fault::new(Check::PolicyApproval, expected, found)
        };
        let Some(approved) = self.approved.take().filter(|act| act.proposal == applied.proposal)
        else {
            return Err(uncovered(format!(
                "entry {}, which was not just approved",
                applied.proposal
            )));
        };
        let Act::ApplyPolicy(act) = &approved.act else {
            return Err(uncovered(format!("an act of another sort, entry {}", applied.proposal)));
        };
        let same = act.bundle_hash == applied.bundle_hash
            && act.base_hash == applied.previous_hash
            && act.comparison == applied.comparison
            && act.change == applied.change
            && approved.client == applied.client
            && approved.role == applied.role
            && approved.decisions == applied.decisions;
        if same {
            return Ok(());
        }
        Err(uncovered(format!("another than the act of entry {}", applied.proposal)))
    }
}

fn named(applied: &pb::PolicyApplied) -> &'static str {
    match applied.change() {
        pb::PolicyChange::Revealing => "policy that reveals",
        _ => "policy that widens",
    }
}

impl Open {
    fn is_approved(&self) -> bool {
        let all: Vec<_> =
            self.approvals.iter().map(|(_, name, role)| Person { name, role: *role }).collect();
        self.kind.wanted(&all).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{decided, proposed};

    /// Checks an act over a partner's facts against a change that may reveal a class. The act was
    /// asked for as one that reveals or not, and approved by these.
    fn covers(reveals: bool, approvers: &[&str]) -> Result<(), Fault> {
        let after = pb::PartnerFacts { circles: vec!["desk".into()], ..Default::default() };
        let act = Act::ChangeFacts(pb::ChangeFactsAct {
            agency: "jc3.or.jp".into(),
            before: None,
            after: Some(after.clone()),
            reveals,
        });
        let mut acts = Acts::default();
        acts.propose(7, proposed("sato", "admin", act))?;
        for (at, role) in approvers.iter().enumerate() {
            let decided = decided(&format!("person {at}"), role, 7);
            let decided = pb::ActDecided { closes: at + 1 == approvers.len(), ..decided };
            acts.decide((8 + at as u64, Timestamp::MIN), 0, &decided)?;
        }
        let agency = "jc3.or.jp".to_owned();
        let facts = Some(after);
        let changed = pb::PartnerChanged { agency, facts, proposal: 7, ..Default::default() };
        acts.cover_facts(&changed, &pb::PartnerFacts::default(), true)
    }

    #[test]
    fn facts_that_may_reveal_a_class_are_covered_by_the_data_protection_officer_alone() {
        let (officer, dpo) = ("policy-officer", "data-protection-officer");
        assert!(covers(true, &[officer, dpo]).is_ok());
        assert!(covers(true, &[dpo, officer]).is_ok());
        for (reveals, approvers) in [(false, &[officer][..]), (true, &[officer]), (true, &[dpo])] {
            let found = covers(reveals, approvers).unwrap_err();
            assert_eq!(found.check, Check::Act, "{approvers:?}");
        }
    }
}
