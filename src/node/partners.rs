//! Use cases around partners: who they are, whether they may exchange, what policy may ask.

use super::{Node, NodeError};
use crate::ident::AgencyName;
use crate::journal::state::{PARTNERS_MAX, PartnerRecord};
use crate::journal::transaction::Transaction;
use crate::partner::{
    Card, CardUpdate, HeardNumber, PartnerEvent, PartnerState, compare_cards, transition,
};
use crate::pb::{self, journal_entry::Event};
use crate::policy;
use crate::tls::TrustMap;
use std::sync::Arc;
use std::sync::PoisonError;

/// A partner without an end of agreement has one in the last year that times can have.
const NO_END: crate::ident::Timestamp = crate::ident::Timestamp::MAX;

impl Node {
    /// Adds a partner, or takes a newer card of one, after its number was heard and typed.
    pub async fn add_partner(
        &self,
        client: &str,
        card: &str,
        number: &str,
        facts: pb::PartnerFacts,
    ) -> Result<pb::PartnerView, NodeError> {
        let invalid = |error: &dyn std::fmt::Display| NodeError::Invalid(error.to_string());
        let card = Card::verify(card).map_err(|error| invalid(&error))?;
        card.check_age(self.now()).map_err(|error| invalid(&error))?;
        let agency = card.card().agency.clone();
        if agency == *self.agency() {
            return Err(NodeError::Invalid("this is this node's own card".to_owned()));
        }
        let heard: HeardNumber = number.parse().map_err(|error| invalid(&error))?;
        card.number().matches(&heard).map_err(|error| {
            NodeError::Refused(format!("{error}; nothing was added. Ask {agency} to read it again"))
        })?;
        check_facts(&facts)?;
        let (client, name) = (client.to_owned(), agency.clone());
        let signed = card.signed().clone();
        self.change(move |tx| {
            let known = tx.state().partners.get(&name);
            if let Some(known) = known
                && let CardUpdate::Refused(reason) = compare_cards(&known.card, &card)
            {
                return Ok(Err(NodeError::Refused(reason.to_string())));
            }
            if known.is_none() && tx.state().partners.len() >= PARTNERS_MAX {
                let text = format!("a node has at most {PARTNERS_MAX} partners");
                return Ok(Err(NodeError::Precondition(text)));
            }
            let next = tx.state().partners.len() as u32 + 1;
            let number = known.map_or(next, |known| u32::from(known.number.get()));
            let state = match known.map(|known| known.state) {
                Some(state @ (pb::PartnerState::Suspended | pb::PartnerState::Revoked)) => state,
                _ => pb::PartnerState::Active,
            };
            let changed = pb::PartnerChanged {
                agency: name.to_string(),
                number,
                state: state.into(),
                card: Some(signed),
                facts: Some(facts),
                client,
            };
            tx.append(Event::PartnerChanged(changed))?;
            Ok(Ok(()))
        })
        .await?;
        self.partner_view(&agency)
    }

    /// Suspends, resumes or revokes a partner. It acts at once: open streams end.
    pub async fn set_partner_state(
        &self,
        client: &str,
        agency: &AgencyName,
        state: pb::PartnerState,
    ) -> Result<pb::PartnerView, NodeError> {
        let event = match state {
            pb::PartnerState::Active => PartnerEvent::Resumed,
            pb::PartnerState::Suspended => PartnerEvent::Suspended,
            pb::PartnerState::Revoked => PartnerEvent::Revoked,
            _ => {
                return Err(NodeError::Invalid(
                    "a partner can be made active, suspended or revoked".to_owned(),
                ));
            }
        };
        self.update(client, agency, move |partner| {
            let before = PartnerState::try_from(partner.state)
                .map_err(|error| NodeError::Precondition(error.to_string()))?;
            let after = transition(before, event)
                .map_err(|error| NodeError::Precondition(error.to_string()))?;
            Ok((pb::PartnerState::from(after), partner.facts.clone()))
        })
        .await
    }

    /// Changes what policy may ask about a partner.
    pub async fn update_partner_facts(
        &self,
        client: &str,
        agency: &AgencyName,
        facts: pb::PartnerFacts,
    ) -> Result<pb::PartnerView, NodeError> {
        check_facts(&facts)?;
        self.update(client, agency, move |partner| Ok((partner.state, facts))).await
    }

    async fn update(
        &self,
        client: &str,
        agency: &AgencyName,
        change: impl FnOnce(&PartnerRecord) -> Result<(pb::PartnerState, pb::PartnerFacts), NodeError>
        + Send
        + 'static,
    ) -> Result<pb::PartnerView, NodeError> {
        let (client, name) = (client.to_owned(), agency.clone());
        self.change(move |tx| {
            let Some(partner) = tx.state().partners.get(&name) else {
                return Ok(Err(unknown(&name)));
            };
            let (state, facts) = match change(partner) {
                Ok(changed) => changed,
                Err(refused) => return Ok(Err(refused)),
            };
            let changed = pb::PartnerChanged {
                agency: name.to_string(),
                number: u32::from(partner.number.get()),
                state: state.into(),
                card: Some(partner.card.signed().clone()),
                facts: Some(facts),
                client,
            };
            tx.append(Event::PartnerChanged(changed))?;
            Ok(Ok(()))
        })
        .await?;
        self.partner_view(agency)
    }

    /// Runs a change of partners and brings trust and rules to the new state.
    async fn change(
        &self,
        job: impl FnOnce(
            &mut Transaction<'_>,
        ) -> Result<Result<(), NodeError>, crate::journal::JournalError>
        + Send
        + 'static,
    ) -> Result<(), NodeError> {
        self.ledger.commit(job).await?.0?;
        self.reload_trust()?;
        self.reload_rules()
    }

    /// Takes the anchors of all partners that may connect.
    pub(super) fn reload_trust(&self) -> Result<(), NodeError> {
        let snapshot = self.view().snapshot();
        let anchors = snapshot
            .state
            .partners
            .iter()
            .filter(|(_, partner)| partner.state == pb::PartnerState::Active)
            .map(|(agency, partner)| (agency, partner.card.card().tls_authorities.as_slice()));
        let (map, left_out) = TrustMap::new(anchors);
        for error in left_out {
            tracing::error!(%error, "a partner's certificates cannot be used; it cannot connect");
        }
        self.trust.store(Arc::new(map));
        Ok(())
    }

    pub fn partner_view(&self, agency: &AgencyName) -> Result<pb::PartnerView, NodeError> {
        let snapshot = self.view().snapshot();
        let partner = snapshot.state.partners.get(agency).ok_or_else(|| unknown(agency))?;
        Ok(self.view_of(agency, partner, snapshot.size))
    }

    pub fn partner_views(&self) -> Vec<pb::PartnerView> {
        let snapshot = self.view().snapshot();
        let partners = snapshot.state.partners.iter();
        partners.map(|(agency, partner)| self.view_of(agency, partner, snapshot.size)).collect()
    }

    fn view_of(&self, agency: &AgencyName, partner: &PartnerRecord, size: u64) -> pb::PartnerView {
        let card = partner.card.card();
        let link = self.links.health(agency);
        let denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let denied = denials.get(agency).into_iter().flatten();
        pb::PartnerView {
            agency: agency.to_string(),
            display_name: card.display_name.clone(),
            country: card.country.to_string(),
            sector: card.sector.name().to_owned(),
            state: partner.state.into(),
            facts: Some(partner.facts.clone()),
            connected: link.connected,
            feed_size: partner.published.size,
            receipted: partner.receipted,
            exceptions: partner.exceptions,
            received: partner.received.frontier.size().get(),
            lag_entries: size.saturating_sub(link.considered.max(partner.published.considered)),
            disclosed: partner.published.records_disclosed,
            fields_withheld: partner.published.fields_withheld,
            denied: denied
                .map(|(name, count)| pb::Count { name: name.clone(), count: *count })
                .collect(),
            last_error: link.last_error,
            receipt_ms_p50: link.receipt_ms_p50,
        }
    }
}

fn unknown(agency: &AgencyName) -> NodeError {
    NodeError::NotFound(format!(
        "{agency} is no partner of this node; `liaison partner list` shows those it has"
    ))
}

fn check_facts(facts: &pb::PartnerFacts) -> Result<(), NodeError> {
    let sound = |name: &String| {
        (1..=64).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    for name in facts.circles.iter().chain(&facts.operations) {
        if !sound(name) {
            return Err(NodeError::Invalid(format!(
                "{name:?} is no name of a circle or operation: 1 to 64 bytes without white space"
            )));
        }
    }
    agreement_until(facts).map(drop)
}

fn agreement_until(facts: &pb::PartnerFacts) -> Result<crate::ident::Timestamp, NodeError> {
    if facts.agreement_until_ms == 0 {
        return Ok(NO_END);
    }
    let ms = i64::try_from(facts.agreement_until_ms).unwrap_or(i64::MAX);
    crate::ident::Timestamp::from_unix_ms(ms)
        .map_err(|error| NodeError::Invalid(format!("agreement_until_ms: {error}")))
}

/// What policy sees of a partner.
pub(super) fn policy_facts(
    agency: &AgencyName,
    partner: &PartnerRecord,
) -> Result<policy::PartnerFacts, NodeError> {
    let card = partner.card.card();
    Ok(policy::PartnerFacts {
        agency: agency.clone(),
        sector: card.sector,
        country: card.country,
        client: partner.facts.client,
        suspended: partner.state != pb::PartnerState::Active,
        agreement_until: agreement_until(&partner.facts)?,
        circles: partner.facts.circles.clone(),
        operations: partner.facts.operations.clone(),
        tags: std::collections::BTreeMap::new(),
    })
}
