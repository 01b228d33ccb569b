//! Use cases around partners: who they are, whether they may exchange, what policy may ask.

pub(super) mod error;
pub(super) mod facts_change;
pub(super) mod onboarding;
pub(super) mod partner_facts;

use super::approvals::proposal::{check_room, propose};
use super::client::Client;
use super::commit::commit_unless_refused;
use super::consents::rosters;
use super::core::Core;
use super::error::NodeError;
use super::peers::peer_health::PeerHealth;
use super::policies::rules_in_force::RulesInForce;
use super::submission::record_signer::RecordSigner;
use crate::ident::AgencyName;
use crate::journal::held::HeldBundle;
use crate::journal::ids::PartnerNumber;
use crate::journal::refusals::Refusals;
use crate::journal::state::PartnerRecord;
use crate::journal::transaction::Transaction;
use crate::journal::view::Snapshot;
use crate::journal::writer::Committed;
use crate::partner::{
    Card, CardUpdate, HeardNumber, PartnerEvent, PartnerState, VerifiedCard, compare_cards,
    transition,
};
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::{BrakeLimits, Sector};
use crate::tls::{SharedTrust, TrustMap};
use error::PartnerError;
use facts_change::{complete, divide, stage};
use onboarding::{prepare_resumption, standing};
use partner_facts::unknown;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The partners: who they are, whether they may exchange, what policy may ask about them.
pub struct Partners {
    core: Arc<Core>,
    rules: Arc<RulesInForce>,
    signer: RecordSigner,
    trust: SharedTrust,
    health: Arc<PeerHealth>,
    /// The limits of the release brake.
    limits: BrakeLimits,
}

impl Partners {
    pub(super) fn new(
        core: Arc<Core>,
        rules: Arc<RulesInForce>,
        signer: RecordSigner,
        trust: SharedTrust,
        health: Arc<PeerHealth>,
        limits: BrakeLimits,
    ) -> Arc<Self> {
        Arc::new(Self { core, rules, signer, trust, health, limits })
    }

    /// Proposes to add a partner after its number was compared and typed, or takes a newer card of
    /// one. A new partner has no view until others approved it. What a newer card changes of sector
    /// and country waits for a second person, like other facts that would show the partner more.
    pub async fn add(
        &self,
        client: Client,
        card: &str,
        number: &str,
        facts: Option<pb::PartnerFacts>,
    ) -> Result<(Option<pb::PartnerView>, Option<pb::ActView>), NodeError> {
        let card = Card::verify(card).map_err(PartnerError::from)?;
        card.check_age(self.core.now()).map_err(PartnerError::from)?;
        let agency = card.card().agency.clone();
        if agency == *self.core.agency() {
            return Err(PartnerError::OwnCard { agency }.into());
        }
        let heard: HeardNumber = number.parse().map_err(PartnerError::Number)?;
        card.number()
            .matches(&heard)
            .map_err(|found| PartnerError::OtherNumber { agency: agency.clone(), found })?;
        if standing(&self.core.view().snapshot().state, &agency).is_some() {
            let act = self.replace_card(client, card, facts).await?;
            return Ok((Some(self.view(&agency)?), act));
        }
        let rules = self.rules.current();
        let act = pb::AddPartnerAct { card: Some(card.signed().clone()), facts, reveals: false };
        let (act, _) =
            propose(&self.core.journal, client, (act, Act::AddPartner), move |tx, act| {
                onboarding::prepare(tx, &rules, act)
            })
            .await?;
        Ok((None, Some(act)))
    }

    /// Takes a newer card of a partner at once. It changes nothing that policy asks about.
    async fn replace_card(
        &self,
        client: Client,
        card: VerifiedCard,
        facts: Option<pb::PartnerFacts>,
    ) -> Result<Option<pb::ActView>, NodeError> {
        let (rules, name) = (self.rules.current(), card.card().agency.clone());
        self.change(move |tx| {
            let known = standing(tx.state(), &name).ok_or_else(|| unknown(&name))?;
            if let CardUpdate::Refused(reason) = compare_cards(&known.card, &card) {
                return Err(PartnerError::from(reason).into());
            }
            let before = known.facts.clone();
            let wanted = wanted(known, &card, facts);
            let unchanged = known.as_it_is(&name, &client.name);
            let (facts, act) = divide(tx, &rules, &name, &before, wanted)?;
            if act.is_some() {
                check_room(tx)?;
            }
            tx.append(Event::PartnerChanged(pb::PartnerChanged {
                card: Some(card.signed().clone()),
                facts: Some(facts),
                ..unchanged
            }))?;
            stage(tx, &client, act)
        })
        .await
    }

    /// Suspends or revokes a partner. It acts at once: open streams end.
    pub async fn set_state(
        &self,
        client: &str,
        agency: &AgencyName,
        state: pb::PartnerState,
    ) -> Result<pb::PartnerView, NodeError> {
        let event = match state {
            pb::PartnerState::Suspended => PartnerEvent::Suspended,
            pb::PartnerState::Revoked => PartnerEvent::Revoked,
            _ => return Err(PartnerError::TakesTwo.into()),
        };
        let (client, name) = (client.to_owned(), agency.clone());
        self.change(move |tx| {
            let partner = tx.state().partners.get(&name).ok_or_else(|| unknown(&name))?;
            let after = PartnerState::try_from(partner.state)
                .and_then(|before| transition(before, event))
                .map_err(PartnerError::from)?;
            let unchanged = partner.as_it_is(&name, &client);
            let state = pb::PartnerState::from(after).into();
            tx.append(Event::PartnerChanged(pb::PartnerChanged { state, ..unchanged }))?;
            Ok(())
        })
        .await?;
        self.view(agency)
    }

    /// Proposes to exchange with a suspended partner again.
    pub async fn propose_resumption(
        &self,
        client: Client,
        agency: &AgencyName,
    ) -> Result<(pb::ActView, Committed), NodeError> {
        let act = pb::ResumePartnerAct { agency: agency.to_string(), changed_at: 0 };
        propose(&self.core.journal, client, (act, Act::ResumePartner), prepare_resumption).await
    }

    /// Changes what policy may ask about a partner, or proposes it; with the act that then waits.
    /// `seen` is what the client believes to be in force.
    pub async fn update_facts(
        &self,
        client: Client,
        agency: &AgencyName,
        facts: pb::PartnerFacts,
        seen: Option<pb::PartnerFacts>,
    ) -> Result<(pb::PartnerView, Option<pb::ActView>), NodeError> {
        let (rules, name) = (self.rules.current(), agency.clone());
        let act = self
            .change(move |tx| {
                let partner = tx.state().partners.get(&name).ok_or_else(|| unknown(&name))?;
                let unchanged = partner.as_it_is(&name, &client.name);
                let before = partner.facts.clone();
                if seen.is_some_and(|seen| seen != before) {
                    return Err(PartnerError::SeenOther { agency: name }.into());
                }
                let facts = complete(facts, &before);
                let (facts, act) = divide(tx, &rules, &name, &before, facts)?;
                if facts != before {
                    let facts = Some(facts);
                    tx.append(Event::PartnerChanged(pb::PartnerChanged { facts, ..unchanged }))?;
                }
                stage(tx, &client, act)
            })
            .await?;
        Ok((self.view(agency)?, act))
    }

    /// Runs a change of partners and brings trust and rules to the new state.
    async fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Transaction<'_>) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let signer = self.signer.clone();
        let job = move |tx: &mut Transaction<'_>| {
            let done = job(tx)?;
            rosters::follow(tx, &signer)?;
            Ok(done)
        };
        let (done, _) = commit_unless_refused(&self.core.journal, job).await?;
        self.changed()?;
        Ok(done)
    }

    /// Brings trust and rules to the state of the journal.
    pub(super) fn changed(&self) -> Result<(), NodeError> {
        self.reload_trust()?;
        self.rules.reload()
    }

    /// Takes the anchors of all partners that may connect.
    pub(super) fn reload_trust(&self) -> Result<(), NodeError> {
        let snapshot = self.core.view().snapshot();
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

    pub fn view(&self, agency: &AgencyName) -> Result<pb::PartnerView, NodeError> {
        let snapshot = self.core.view().snapshot();
        let partner = snapshot.state.partners.get(agency).ok_or_else(|| unknown(agency))?;
        Ok(self.view_of(agency, partner, &snapshot))
    }

    pub fn views(&self) -> Vec<pb::PartnerView> {
        let snapshot = self.core.view().snapshot();
        let partners = snapshot.state.partners.iter();
        partners.map(|(agency, partner)| self.view_of(agency, partner, &snapshot)).collect()
    }

    /// Records whose disclosure waits for a person.
    fn held_for(&self, number: PartnerNumber) -> u64 {
        let bundles = self.core.view().held_bundles(number).unwrap_or_else(|error| {
            tracing::error!(%error, "the held disclosures cannot be counted");
            BTreeMap::new()
        });
        bundles.values().map(HeldBundle::records).sum()
    }

    /// Returns the refused records that the partner does not hold.
    fn refusals_of(&self, partner: &PartnerRecord) -> Refusals {
        let below = partner.offering.below;
        self.core.view().refusals(partner.feed, below).unwrap_or_else(|error| {
            tracing::error!(%error, "the refused records cannot be counted");
            Refusals::default()
        })
    }

    fn view_of(
        &self,
        agency: &AgencyName,
        partner: &PartnerRecord,
        snapshot: &Snapshot,
    ) -> pb::PartnerView {
        let card = partner.card.card();
        let health = self.health.of(agency);
        let progress = health.progress.unwrap_or(partner.published.progress);
        let rescan = progress.under(snapshot.state.rules_since(agency)).rescan;
        let (rescanned, to_rescan) =
            if rescan.is_done() { (0, 0) } else { (rescan.next, rescan.end) };
        let refusals = self.refusals_of(partner);
        let (acceptance, denied) =
            self.health.with(agency, |peer| (peer.acceptance, peer.denied.clone()));
        let offered_again = partner.offering.due_at(acceptance);
        let has_policy = snapshot.state.policy.is_some();
        let learning = partner.baseline.learning(&self.limits, self.core.now());
        pb::PartnerView {
            agency: agency.to_string(),
            display_name: card.display_name.clone(),
            country: partner.facts.country.clone(),
            sector: Sector::from_wire(partner.facts.sector())
                .map_or_else(String::new, |sector| sector.name().to_owned()),
            state: partner.state.into(),
            facts: Some(partner.facts.clone()),
            connected: health.connected,
            feed_size: partner.published.size,
            receipted: partner.receipted,
            exceptions: partner.exceptions,
            received: partner.received.frontier.size().get(),
            lag_entries: snapshot.size.saturating_sub(progress.considered),
            disclosed: partner.published.records_disclosed,
            fields_withheld: partner.published.fields_withheld,
            denied: denied.into_iter().map(|(name, count)| pb::Count { name, count }).collect(),
            last_error: problem(health.last_error, partner.received.exceptions, has_policy),
            receipt_ms_p50: health.receipt_ms_p50,
            stopped: health.stopped,
            rescanned,
            to_rescan,
            held: self.held_for(partner.number),
            refused: counts(&refusals.records),
            refused_duties: duty_counts(&refusals.duties),
            contradicted_duties: refusals.contradicted,
            offered_again_ms: offered_again.map_or(0, |at| at.unix_ms().unsigned_abs()),
            learning: learning.is_some(),
            learning_until_ms: learning.flatten().map_or(0, |end| end.unix_ms().unsigned_abs()),
        }
    }
}

/// Returns the problem with a partner, for people. A node without a policy accepts nothing, which nobody would find
/// at the partner that sends.
fn problem(error: String, not_taken: u64, has_policy: bool) -> String {
    match not_taken {
        _ if has_policy || !error.is_empty() => error,
        0 => error,
        1 => "1 entry of it refused: no policy accepts it".to_owned(),
        entries => format!("{entries} entries of it refused: no policy accepts them"),
    }
}

/// Refused records by reason, for people.
fn counts(by_reason: &BTreeMap<i32, u64>) -> Vec<pb::Count> {
    counts_in_words(by_reason, reason_in_words)
}

/// Refused duties by reason, for people.
fn duty_counts(by_reason: &BTreeMap<i32, u64>) -> Vec<pb::Count> {
    counts_in_words(by_reason, |reason| match reason {
        pb::ExceptionReason::NotSupplied => "answers that it never got the record",
        reason => reason_in_words(reason),
    })
}

fn counts_in_words(
    by_reason: &BTreeMap<i32, u64>,
    in_words: impl Fn(pb::ExceptionReason) -> &'static str,
) -> Vec<pb::Count> {
    let count = |(reason, count): (&i32, &u64)| {
        let reason = pb::ExceptionReason::try_from(*reason).unwrap_or_default();
        pb::Count { name: in_words(reason).to_owned(), count: *count }
    };
    by_reason.iter().map(count).collect()
}

/// A reason for not taking an entry, in a word or two.
const fn reason_in_words(reason: pb::ExceptionReason) -> &'static str {
    use pb::ExceptionReason as Reason;
    match reason {
        Reason::Unspecified => "no reason",
        Reason::Malformed => "malformed",
        Reason::Signature => "signature or key unknown there",
        Reason::Policy => "not accepted by its policy",
        Reason::NotSupplied => "not supplied",
        Reason::HeldAsEvidence => "held as evidence",
        Reason::NotOrdered => "not ordered",
        Reason::OverLimit => "more than one batch may make it write",
    }
}

/// Returns what is to be agreed with a known partner that sent this card: what was asked for, or what
/// is in force with what the card newly proposes.
fn wanted(
    known: &PartnerRecord,
    card: &VerifiedCard,
    facts: Option<pb::PartnerFacts>,
) -> pb::PartnerFacts {
    let (before, after) = (known.card.card(), card.card());
    let proposes = facts.is_none();
    let mut wanted = complete(facts.unwrap_or_else(|| known.facts.clone()), &known.facts);
    if proposes && before.sector != after.sector {
        wanted.set_sector(after.sector.into());
    }
    if proposes && before.country != after.country {
        wanted.country = after.country.to_string();
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_no_policy_accepts_are_a_problem_until_there_is_one() {
        let of = |not_taken, has_policy| problem(String::new(), not_taken, has_policy);
        assert_eq!(of(1, false), "1 entry of it refused: no policy accepts it");
        assert_eq!(of(7, false), "7 entries of it refused: no policy accepts them");
        assert_eq!((of(0, false), of(7, true)), (String::new(), String::new()));
        assert_eq!(problem("unreachable".to_owned(), 1, false), "unreachable");
    }
}
