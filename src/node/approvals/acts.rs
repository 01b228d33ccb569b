//! Acts that take two persons: proposed by one, decided by another, carried out once.
//!
//! The last approval that is needed and what it carries out are one job of the writer and so one
//! batch: both are there or neither. Whoever asked never counts.

use super::error::ApprovalError;
use super::proposal::{act_view, approvals, is_expired};
use crate::ident::Timestamp;
use crate::journal::JournalError;
use crate::journal::state::State;
use crate::journal::transaction::Transaction;
use crate::journal::writer::Committed;
use crate::node::client::Client;
use crate::node::commit::commit_unless_refused;
use crate::node::consents;
use crate::node::consents::rosters;
use crate::node::core::Core;
use crate::node::disclosure::releases;
use crate::node::erasure::erase;
use crate::node::erasure::erase::{Erasures, Part, PartLimit};
use crate::node::error::NodeError;
use crate::node::partners::Partners;
use crate::node::partners::facts_change::FactsChange;
use crate::node::partners::onboarding::{Addition, Resumption};
use crate::node::policies::Policies;
use crate::node::policies::apply::{Authority, Ready};
use crate::node::policies::rules::Rules;
use crate::node::policies::rules_in_force::RulesInForce;
use crate::node::submission::record_signer::RecordSigner;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::ActKind;
use crate::record::erasure::ErasureScope;
use std::sync::Arc;

/// Acts that wait for a second person, and the decisions on them.
pub struct Approvals {
    core: Arc<Core>,
    signer: RecordSigner,
    rules: Arc<RulesInForce>,
    partners: Arc<Partners>,
    policies: Arc<Policies>,
    erasures: Arc<Erasures>,
}

impl Approvals {
    pub(in crate::node) fn new(
        core: Arc<Core>,
        signer: RecordSigner,
        rules: Arc<RulesInForce>,
        partners: Arc<Partners>,
        policies: Arc<Policies>,
        erasures: Arc<Erasures>,
    ) -> Arc<Self> {
        Arc::new(Self { core, signer, rules, partners, policies, erasures })
    }

    /// All acts that wait for a decision, oldest first.
    pub fn acts(&self) -> Vec<pb::ActView> {
        let now = self.core.now().unix_ms().unsigned_abs();
        let snapshot = self.core.view().snapshot();
        let waiting = snapshot.state.acts.iter().filter(|(_, act)| !is_expired(act, now));
        waiting.map(|(proposal, act)| act_view(*proposal, act)).collect()
    }

    /// Approves or refuses an act; returns true if that carried it out. It is done even if the
    /// caller does not wait for it.
    pub async fn decide(
        self: &Arc<Self>,
        client: Client,
        proposal: u64,
        approved: bool,
        reason: String,
    ) -> Result<(bool, Committed), NodeError> {
        let ready = self.ready(&client, proposal, approved).await?;
        let approvals = Arc::clone(self);
        let decided = tokio::spawn(async move {
            let decision = pb::ActDecided {
                proposal,
                client: client.name.clone(),
                role: client.role.name().to_owned(),
                approved,
                reason,
                closes: false,
            };
            let (signer, rules) = (approvals.signer.clone(), approvals.rules.current());
            let (outcome, committed) = commit_unless_refused(&approvals.core.journal, move |tx| {
                write_decision(tx, (&client, &rules), decision, ready, &signer)
            })
            .await?;
            match outcome {
                Outcome::Erased => approvals.erasures.scrub_soon(),
                // What cannot be carried out now is tried again; the approval stands.
                Outcome::ErasureBegun => {
                    approvals.erasures.finish_or_try_again(proposal).await;
                }
                Outcome::PartnersChanged => approvals.partners.changed()?,
                Outcome::PolicyApplied => {
                    approvals.rules.reload()?;
                    approvals.policies.forget_differences();
                }
                // The walk over the journal meets the decision by itself.
                Outcome::Noted | Outcome::HeldDecided | Outcome::ConsentGiven => {}
            }
            Ok((outcome != Outcome::Noted, committed))
        });
        decided.await.map_err(|_| JournalError::Stopped)?
    }

    /// Returns the preparation that is needed before the writer is asked, because the writer waits
    /// for nobody.
    async fn ready(
        &self,
        client: &Client,
        proposal: u64,
        approved: bool,
    ) -> Result<Option<Ready>, NodeError> {
        let snapshot = self.core.view().snapshot();
        let (act, closes) = judge(&snapshot.state, self.core.now(), client, proposal, approved)?;
        match act {
            Act::ApplyPolicy(act) if approved && closes => {
                self.policies.ready_for(&act).await.map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The result of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) enum Outcome {
    Noted,
    Erased,
    /// The first part of it is erased.
    ErasureBegun,
    PartnersChanged,
    PolicyApplied,
    HeldDecided,
    ConsentGiven,
}

/// The plan that the last approval carries out.
enum Plan {
    Erase(erase::Plan),
    ChangeFacts(FactsChange),
    AddPartner(Addition),
    ResumePartner(Resumption),
    ApplyPolicy(Box<(Ready, Authority)>),
    Release(releases::Plan),
    GrantConsent(consents::SignedPlan),
}

/// Writes a decision down, and carries out what it approves.
pub(in crate::node) fn write_decision(
    tx: &mut Transaction<'_>,
    (client, rules): (&Client, &Rules),
    decision: pb::ActDecided,
    ready: Option<Ready>,
    signer: &RecordSigner,
) -> Result<Outcome, NodeError> {
    let pb::ActDecided { proposal, approved, .. } = decision;
    let (act, closes) = judge(tx.state(), tx.now(), client, proposal, approved)?;
    // What changed since it was proposed makes the approval void.
    let plan = match act {
        _ if !approved || !closes => None,
        Act::Erase(act) => {
            let plan = erase::plan(tx, &act)?;
            plan.check_key(tx, signer)?;
            Some(Plan::Erase(plan))
        }
        Act::ChangeFacts(act) => Some(Plan::ChangeFacts(FactsChange::plan(tx, rules, act)?)),
        Act::AddPartner(act) => Some(Plan::AddPartner(Addition::plan(tx, rules, act)?)),
        Act::ResumePartner(act) => Some(Plan::ResumePartner(Resumption::plan(tx, &act)?)),
        Act::Release(act) => Some(Plan::Release(releases::plan(tx, &act)?)),
        Act::GrantConsent(act) => {
            Some(Plan::GrantConsent(consents::plan(tx, &act)?.signed(tx, signer)?))
        }
        Act::ApplyPolicy(act) => match ready {
            Some(ready) => {
                ready.stands(tx)?;
                let authority = authority(tx.state(), proposal, act);
                Some(Plan::ApplyPolicy(Box::new((ready, authority))))
            }
            None => return Err(ApprovalError::Crossed { proposal }.into()),
        },
    };
    let author = tx.state().acts.get(&proposal).map(|open| &open.proposed);
    let author = author.map(|by| (by.client.clone(), by.role.clone())).unwrap_or_default();
    let index = tx.append(Event::ActDecided(pb::ActDecided { closes, ..decision }))?;
    let outcome = match plan {
        None => Outcome::Noted,
        Some(Plan::Erase(plan)) => {
            let approved = (proposal, ErasureScope::approved_at(index), signer);
            match plan.carry_out(tx, approved, None, PartLimit::OF_A_JOB)? {
                Part::Completed => Outcome::Erased,
                Part::Behind(_) | Part::LookAgain | Part::Waits => Outcome::ErasureBegun,
            }
        }
        Some(Plan::ChangeFacts(change)) => {
            change.carry_out(tx, proposal, &client.name)?;
            Outcome::PartnersChanged
        }
        Some(Plan::AddPartner(addition)) => {
            addition.carry_out(tx, proposal, &client.name)?;
            Outcome::PartnersChanged
        }
        Some(Plan::ResumePartner(resumption)) => {
            resumption.carry_out(tx, proposal, &client.name)?;
            Outcome::PartnersChanged
        }
        Some(Plan::Release(plan)) => {
            plan.carry_out(tx, proposal)?;
            Outcome::HeldDecided
        }
        Some(Plan::GrantConsent(plan)) => {
            plan.carry_out(tx, (&author.0, &author.1), proposal)?;
            Outcome::ConsentGiven
        }
        Some(Plan::ApplyPolicy(ready)) => {
            let (ready, mut authority) = *ready;
            authority.approved.iter_mut().for_each(|(_, decisions)| decisions.push(index));
            ready.put_in_force(tx, authority)?;
            Outcome::PolicyApplied
        }
    };
    rosters::follow(tx, signer)?;
    Ok(outcome)
}

/// Returns the proposer of a policy, and the approvals so far.
fn authority(state: &State, proposal: u64, act: pb::ApplyPolicyAct) -> Authority {
    let open = state.acts.get(&proposal);
    let decisions = open.into_iter().flat_map(|open| &open.decisions);
    let approvals = decisions.filter(|(_, decision)| decision.approved);
    let proposed = open.map(|open| open.proposed.clone()).unwrap_or_default();
    Authority {
        client: proposed.client,
        role: proposed.role,
        note: act.note,
        restores: act.restores,
        approved: Some((proposal, approvals.map(|(index, _)| *index).collect())),
    }
}

/// Returns the act and whether this decision is the last, if this client may decide so. An act that is not shown to
/// its role is answered like one that is not there.
fn judge(
    state: &State,
    now: Timestamp,
    client: &Client,
    proposal: u64,
    approved: bool,
) -> Result<(Act, bool), NodeError> {
    let now = now.unix_ms().unsigned_abs();
    let waiting = state.acts.get(&proposal).filter(|act| !is_expired(act, now));
    let shown = waiting.and_then(|open| {
        let act = open.proposed.act.as_ref()?;
        let kind = ActKind::of(act).filter(|kind| kind.is_shown_to(client.role))?;
        Some((open, kind, act.act.clone()?))
    });
    let Some((open, kind, act)) = shown else {
        return Err(ApprovalError::Unknown { proposal }.into());
    };
    let mut before = approvals(open);
    let (author, person) = (open.proposed.client.as_str(), client.person());
    let judged = if approved {
        kind.may_approve(author, &before, person)
    } else {
        kind.may_refuse(author, &before, person)
    };
    judged.map_err(ApprovalError::from)?;
    before.push(person);
    let closes = !approved || kind.wanted(&before).is_empty();
    Ok((act, closes))
}
