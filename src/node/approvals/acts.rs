//! Acts that take two persons: proposed by one, decided by another, carried out once.
//!
//! The last approval that is needed and what it carries out are one job of the writer and so one
//! batch: both are there or neither. Whoever asked never counts.

use super::proposal::{act_view, approvals, is_expired, stage_proposal};
use crate::ident::Timestamp;
use crate::journal::JournalError;
use crate::journal::state::State;
use crate::journal::transaction::Transaction;
use crate::journal::writer::Committed;
use crate::node::client::Client;
use crate::node::consents::rosters;
use crate::node::disclosure::releases;
use crate::node::erasure::erase;
use crate::node::erasure::erase::{Part, PartLimit};
use crate::node::error::NodeError;
use crate::node::partners::facts_change::{self, FactsChange};
use crate::node::partners::onboarding::{self, Addition, Resumption};
use crate::node::policies::apply::{self, Authority, Ready};
use crate::node::policies::rules::Rules;
use crate::node::submission::record_signer::RecordSigner;
use crate::node::{Node, consents};
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::ActKind;
use crate::record::erasure::ErasureScope;
use std::sync::Arc;

impl Node {
    /// Asks for an act. It changes nothing until a second person approves.
    pub async fn propose(
        &self,
        client: Client,
        act: Act,
    ) -> Result<(pb::ActView, Committed), NodeError> {
        kind_of(&act)?
            .may_propose(client.role)
            .map_err(|refusal| NodeError::Refused(refusal.to_string()))?;
        let (rules, signer) = (self.rules(), self.record_signer());
        let (outcome, committed) = self
            .journal
            .commit(move |tx| match check(tx, act, (&rules, &signer))? {
                Ok(act) => stage_proposal(tx, &client, act),
                Err(refused) => Ok(Err(refused)),
            })
            .await?;
        Ok((outcome?, committed))
    }

    /// All acts that wait for a decision, oldest first.
    pub fn acts(&self) -> Vec<pb::ActView> {
        let now = self.now().unix_ms().unsigned_abs();
        let snapshot = self.view().snapshot();
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
        let node = Arc::clone(self);
        let decided = tokio::spawn(async move {
            let decision = pb::ActDecided {
                proposal,
                client: client.name.clone(),
                role: client.role.name().to_owned(),
                approved,
                reason,
                closes: false,
            };
            let (signer, rules) = (node.record_signer(), node.rules());
            let (outcome, committed) = node
                .journal
                .commit(move |tx| write_decision(tx, (&client, &rules), decision, ready, &signer))
                .await?;
            let outcome = outcome?;
            match outcome {
                Outcome::Erased => node.scrub_soon(),
                // What cannot be carried out now is tried again; the approval stands.
                Outcome::ErasureBegun => {
                    if !node.finish_erasure(proposal).await {
                        node.erasures.notify_one();
                    }
                }
                Outcome::PartnersChanged => node.partners_changed()?,
                Outcome::PolicyApplied => {
                    node.reload_rules()?;
                    node.forget_differences();
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
        let snapshot = self.view().snapshot();
        let (act, closes) = judge(&snapshot.state, self.now(), client, proposal, approved)?;
        match act {
            Act::ApplyPolicy(act) if approved && closes => self.ready_for(&act).await.map(Some),
            _ => Ok(None),
        }
    }
}

/// The result of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
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

fn write_decision(
    tx: &mut Transaction<'_>,
    (client, rules): (&Client, &Rules),
    decision: pb::ActDecided,
    ready: Option<Ready>,
    signer: &RecordSigner,
) -> Result<Result<Outcome, NodeError>, JournalError> {
    let pb::ActDecided { proposal, approved, .. } = decision;
    let (act, closes) = match judge(tx.state(), tx.now(), client, proposal, approved) {
        Ok(judged) => judged,
        Err(refused) => return Ok(Err(refused)),
    };
    // What changed since it was proposed makes the approval void.
    let plan = match act {
        _ if !approved || !closes => None,
        Act::Erase(act) => match erase::plan(tx, &act)? {
            Ok(plan) => match plan.check_key(tx, signer) {
                Ok(()) => Some(Plan::Erase(plan)),
                Err(refused) => return Ok(Err(refused)),
            },
            Err(refused) => return Ok(Err(refused)),
        },
        Act::ChangeFacts(act) => match FactsChange::plan(tx, rules, act) {
            Ok(change) => Some(Plan::ChangeFacts(change)),
            Err(refused) => return Ok(Err(refused)),
        },
        Act::AddPartner(act) => match Addition::plan(tx, rules, act) {
            Ok(addition) => Some(Plan::AddPartner(addition)),
            Err(refused) => return Ok(Err(refused)),
        },
        Act::ResumePartner(act) => match Resumption::plan(tx, &act) {
            Ok(resumption) => Some(Plan::ResumePartner(resumption)),
            Err(refused) => return Ok(Err(refused)),
        },
        Act::Release(act) => match releases::plan(tx, &act)? {
            Ok(plan) => Some(Plan::Release(plan)),
            Err(refused) => return Ok(Err(refused)),
        },
        Act::GrantConsent(act) => {
            match consents::plan(tx, &act).and_then(|plan| plan.signed(tx, signer)) {
                Ok(plan) => Some(Plan::GrantConsent(plan)),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        Act::ApplyPolicy(act) => match ready {
            Some(ready) => match ready.stands(tx) {
                Ok(()) => {
                    let authority = authority(tx.state(), proposal, act);
                    Some(Plan::ApplyPolicy(Box::new((ready, authority))))
                }
                Err(changed) => return Ok(Err(changed)),
            },
            None => {
                let text = "somebody else decided on it just now; try again";
                return Ok(Err(NodeError::Precondition(text.to_owned())));
            }
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
    Ok(Ok(outcome))
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
        let text = format!("no act {proposal} waits; `liaison acts list` shows those that do");
        return Err(NodeError::NotFound(text));
    };
    let mut before = approvals(open);
    let (author, person) = (open.proposed.client.as_str(), client.person());
    let judged = if approved {
        kind.may_approve(author, &before, person)
    } else {
        kind.may_refuse(author, &before, person)
    };
    judged.map_err(|refusal| NodeError::Refused(refusal.to_string()))?;
    before.push(person);
    let closes = !approved || kind.wanted(&before).is_empty();
    Ok((act, closes))
}

/// The act as it is proposed, if it can be done now.
fn check(
    tx: &Transaction<'_>,
    act: Act,
    (rules, signer): (&Rules, &RecordSigner),
) -> Result<Result<Act, NodeError>, JournalError> {
    match act {
        Act::Erase(act) => Ok(erase::prepare(tx, act)?.map(Act::Erase)),
        Act::ChangeFacts(act) => Ok(facts_change::prepare(tx, rules, act).map(Act::ChangeFacts)),
        Act::AddPartner(act) => Ok(onboarding::prepare(tx, rules, act).map(Act::AddPartner)),
        Act::ResumePartner(act) => {
            Ok(onboarding::prepare_resumption(tx, act).map(Act::ResumePartner))
        }
        Act::Release(act) => Ok(releases::prepare(tx, act)?.map(Act::Release)),
        Act::ApplyPolicy(act) => Ok(apply::check(tx, act)),
        Act::GrantConsent(act) => Ok(consents::prepare(tx, act, signer)?.map(Act::GrantConsent)),
    }
}

fn kind_of(act: &Act) -> Result<ActKind, NodeError> {
    let of_no_sort = "this act is of no sort that takes a second person";
    ActKind::of(&pb::Act { act: Some(act.clone()) })
        .ok_or_else(|| NodeError::Precondition(of_no_sort.to_owned()))
}
