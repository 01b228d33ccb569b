//! Partners that begin, and partners that begin again: both take two persons.
//!
//! Nothing of an agency is in the journal but the act until others approved it: it has no number, no
//! feed, and its certificates open no stream.

use super::error::PartnerError;
use super::facts_change::{check_revealed, sound};
use super::partner_facts::named;
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::ids::PARTNERS_MAX;
use crate::journal::state::{PartnerRecord, State};
use crate::journal::transaction::Transaction;
use crate::node::error::NodeError;
use crate::node::policies::rules::Rules;
use crate::partner::{CardUpdate, PartnerEvent, VerifiedCard, compare_cards, transition};
use crate::pb::{self, journal_entry::Event};
use crate::policy::{PartnerFacts, may_reveal_to_new};

/// A partner that others approved.
pub(in crate::node) struct Addition {
    agency: AgencyName,
    card: pb::SignedCard,
    facts: pb::PartnerFacts,
}

/// A suspended partner whose resumption others approved.
pub(in crate::node) struct Resumption {
    agency: AgencyName,
}

/// Returns what is agreed, with sector and country as the card proposes them where none were given.
pub(super) fn as_proposed(
    card: &VerifiedCard,
    facts: Option<pb::PartnerFacts>,
) -> pb::PartnerFacts {
    let mut facts = facts.unwrap_or_default();
    if facts.sector() == pb::Sector::Unspecified {
        facts.set_sector(card.card().sector.into());
    }
    if facts.country.is_empty() {
        facts.country = card.card().country.to_string();
    }
    facts
}

/// A partner that is one: an agency whose relation was not revoked.
pub(super) fn standing<'a>(state: &'a State, agency: &AgencyName) -> Option<&'a PartnerRecord> {
    state.partners.get(agency).filter(|known| known.state != pb::PartnerState::Revoked)
}

/// Returns the act as it may be proposed now: facts in order, and what it may reveal.
pub(in crate::node) fn prepare(
    tx: &Transaction<'_>,
    rules: &Rules,
    act: pb::AddPartnerAct,
) -> Result<pb::AddPartnerAct, NodeError> {
    let card =
        VerifiedCard::try_from(act.card.clone().unwrap_or_default()).map_err(PartnerError::from)?;
    card.check_age(tx.now()).map_err(PartnerError::from)?;
    let agency = &card.card().agency;
    if standing(tx.state(), agency).is_some() {
        return Err(PartnerError::AlreadyPartner { agency: agency.clone() }.into());
    }
    match tx.state().partners.get(agency) {
        Some(known) => {
            if let CardUpdate::Refused(reason) = compare_cards(&known.card, &card) {
                return Err(PartnerError::from(reason).into());
            }
        }
        None if tx.state().partners.len() >= PARTNERS_MAX => {
            return Err(PartnerError::TooMany.into());
        }
        None => {}
    }
    rules.check_current(tx)?;
    let facts = sound(as_proposed(&card, act.facts))?;
    let seen = PartnerFacts::agreed(agency.clone(), &facts, true).map_err(PartnerError::from)?;
    let reveals = may_reveal_to_new(rules.compiled.bundle(), &seen);
    Ok(pb::AddPartnerAct { card: act.card, facts: Some(facts), reveals })
}

impl Addition {
    /// Refused if the agency became a partner meanwhile, or if the policy is another by now and may
    /// reveal what nobody approved.
    pub(in crate::node) fn plan(
        tx: &Transaction<'_>,
        rules: &Rules,
        act: pb::AddPartnerAct,
    ) -> Result<Self, NodeError> {
        let approved = act.reveals;
        let act = prepare(tx, rules, act)?;
        let card = act.card.unwrap_or_default();
        let verified = VerifiedCard::try_from(card.clone()).map_err(PartnerError::from)?;
        let agency = verified.card().agency.clone();
        check_revealed(agency.as_str(), act.reveals && !approved)?;
        Ok(Self { agency, card, facts: act.facts.unwrap_or_default() })
    }

    pub(in crate::node) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        proposal: u64,
        client: &str,
    ) -> Result<(), JournalError> {
        let next = tx.state().partners.len() as u32 + 1;
        let known = tx.state().partners.get(&self.agency);
        let number = known.map_or(next, |known| u32::from(known.number.get()));
        tx.append(Event::PartnerChanged(pb::PartnerChanged {
            agency: self.agency.to_string(),
            number,
            state: pb::PartnerState::Active.into(),
            card: Some(self.card),
            facts: Some(self.facts),
            client: client.to_owned(),
            proposal,
        }))
        .map(drop)
    }
}

/// Returns the act as it may be proposed now: it names the entry that it was proposed on.
pub(in crate::node) fn prepare_resumption(
    tx: &Transaction<'_>,
    act: pb::ResumePartnerAct,
) -> Result<pb::ResumePartnerAct, NodeError> {
    let (_, partner) = named(tx.state(), &act.agency)?;
    crate::partner::PartnerState::try_from(partner.state)
        .and_then(|state| transition(state, PartnerEvent::Resumed))
        .map_err(PartnerError::from)?;
    Ok(pb::ResumePartnerAct { changed_at: partner.changed_at(), ..act })
}

impl Resumption {
    /// Refused if the partner changed since the act was proposed.
    pub(in crate::node) fn plan(
        tx: &Transaction<'_>,
        act: &pb::ResumePartnerAct,
    ) -> Result<Self, NodeError> {
        let now = prepare_resumption(tx, act.clone())?;
        let (agency, _) = named(tx.state(), &act.agency)?;
        if now.changed_at != act.changed_at {
            return Err(PartnerError::Changed { agency, entry: now.changed_at }.into());
        }
        Ok(Self { agency })
    }

    pub(in crate::node) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        proposal: u64,
        client: &str,
    ) -> Result<(), JournalError> {
        let Some(partner) = tx.state().partners.get(&self.agency) else { return Ok(()) };
        let resumed = pb::PartnerChanged {
            state: pb::PartnerState::Active.into(),
            proposal,
            ..partner.as_it_is(&self.agency, client)
        };
        tx.append(Event::PartnerChanged(resumed)).map(drop)
    }
}
