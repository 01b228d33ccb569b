//! Acts that take two persons: proposed by one, decided by another, carried out once.
//!
//! The last approval that is needed and what it carries out are one job of the writer and so one
//! batch: both are there or neither. Whoever asked never counts.

use super::facts_change::FactsChange;
use super::{Node, NodeError, erase};
use crate::journal::ledger::Committed;
use crate::journal::state::{ACTS_OPEN_MAX, OpenAct};
use crate::journal::transaction::Transaction;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::{ActKind, ClientRole, Person};

/// How long an act waits for a second person.
const ACT_MS_MAX: u64 = 7 * 24 * 3_600 * 1_000;

/// A client with its role, for longer than a request.
#[derive(Debug, Clone)]
pub struct Client {
    pub name: String,
    pub role: ClientRole,
}

impl Client {
    fn person(&self) -> Person<'_> {
        Person { name: &self.name, role: self.role }
    }
}

impl Node {
    /// Asks for an act. It changes nothing until a second person approves.
    pub async fn propose(
        &self,
        client: Client,
        act: Act,
    ) -> Result<(pb::ActView, Committed), NodeError> {
        kind_of(&act)
            .may_propose(client.role)
            .map_err(|refusal| NodeError::Refused(refusal.to_string()))?;
        let (outcome, committed) = self
            .ledger
            .commit(move |tx| match check(tx, act)? {
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

    /// Approves or refuses an act; tells whether that carried it out.
    pub async fn decide(
        &self,
        client: Client,
        proposal: u64,
        approved: bool,
        reason: String,
    ) -> Result<(bool, Committed), NodeError> {
        let signer = self.record_signer();
        let (outcome, committed) = self
            .ledger
            .commit(move |tx| {
                let (act, closes) = match judge(tx, &client, proposal, approved) {
                    Ok(judged) => judged,
                    Err(refused) => return Ok(Err(refused)),
                };
                // What changed since it was proposed makes the approval void.
                let plan = match act.filter(|_| approved && closes) {
                    Some(act) => match plan(tx, act)? {
                        Ok(plan) => Some(plan),
                        Err(refused) => return Ok(Err(refused)),
                    },
                    None => None,
                };
                let client_name = client.name.clone();
                tx.append(Event::ActDecided(pb::ActDecided {
                    proposal,
                    client: client.name,
                    role: client.role.name().to_owned(),
                    approved,
                    reason,
                    closes,
                }))?;
                let done = match plan {
                    Some(Plan::Erase(plan)) => {
                        plan.carry_out(tx, proposal, &signer)?;
                        Done::Erased
                    }
                    Some(Plan::ChangeFacts(change)) => {
                        change.carry_out(tx, proposal, &client_name)?;
                        Done::FactsChanged
                    }
                    None => Done::Nothing,
                };
                Ok(Ok(done))
            })
            .await?;
        let done = outcome?;
        match done {
            Done::Nothing => {}
            Done::Erased => self.scrub_soon(),
            Done::FactsChanged => self.partners_changed()?,
        }
        Ok((done != Done::Nothing, committed))
    }
}

/// What an approved act comes to as things are now.
enum Plan {
    Erase(erase::Plan),
    ChangeFacts(FactsChange),
}

/// What an act has brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    Erased,
    FactsChanged,
}

fn plan(
    tx: &Transaction<'_>,
    act: Act,
) -> Result<Result<Plan, NodeError>, crate::journal::JournalError> {
    match act {
        Act::Erase(act) => Ok(erase::plan(tx, &act)?.map(Plan::Erase)),
        Act::ChangeFacts(act) => Ok(FactsChange::plan(tx, act).map(Plan::ChangeFacts)),
    }
}

/// Writes a proposal down. What it asks for was checked.
pub(super) fn stage_proposal(
    tx: &mut Transaction<'_>,
    client: &Client,
    act: Act,
) -> Result<Result<pb::ActView, NodeError>, crate::journal::JournalError> {
    let now = tx.now().unix_ms().unsigned_abs();
    let waiting = tx.state().acts.values();
    if waiting.filter(|act| !is_expired(act, now)).count() >= ACTS_OPEN_MAX {
        let text = format!("{ACTS_OPEN_MAX} acts wait already; decide on some first");
        return Ok(Err(NodeError::Precondition(text)));
    }
    let proposed = pb::ActProposed {
        client: client.name.clone(),
        role: client.role.name().to_owned(),
        act: Some(pb::Act { act: Some(act) }),
        expires_at_ms: now + ACT_MS_MAX,
    };
    let proposal = tx.append(Event::ActProposed(proposed))?;
    let view = tx.state().acts.get(&proposal).map(|act| act_view(proposal, act));
    Ok(Ok(view.unwrap_or_default()))
}

/// The act and whether this decision is the last, if this client may decide so.
fn judge(
    tx: &Transaction<'_>,
    client: &Client,
    proposal: u64,
    approved: bool,
) -> Result<(Option<Act>, bool), NodeError> {
    let now = tx.now().unix_ms().unsigned_abs();
    let Some(open) = tx.state().acts.get(&proposal).filter(|act| !is_expired(act, now)) else {
        let text = format!("no act {proposal} waits; `liaison acts list` shows those that do");
        return Err(NodeError::NotFound(text));
    };
    let Some(act) = open.proposed.act.clone().and_then(|act| act.act) else {
        return Err(NodeError::Precondition(format!("act {proposal} is of no known sort")));
    };
    let (kind, mut before) = (kind_of(&act), approvals(open));
    let (author, person) = (open.proposed.client.as_str(), client.person());
    let judged = if approved {
        kind.may_approve(author, &before, person)
    } else {
        kind.may_refuse(author, &before, person)
    };
    judged.map_err(|refusal| NodeError::Refused(refusal.to_string()))?;
    before.push(person);
    let closes = !approved || kind.wanted(&before).is_empty();
    Ok((Some(act), closes))
}

/// The act as it is proposed, if it can be done now.
fn check(
    tx: &Transaction<'_>,
    act: Act,
) -> Result<Result<Act, NodeError>, crate::journal::JournalError> {
    match act {
        Act::Erase(act) => Ok(erase::prepare(tx, act)?.map(Act::Erase)),
        Act::ChangeFacts(act) => {
            let sound = FactsChange::plan(tx, act.clone());
            Ok(sound.map(|_| Act::ChangeFacts(act)))
        }
    }
}

const fn kind_of(act: &Act) -> ActKind {
    match act {
        Act::Erase(_) => ActKind::Erase,
        Act::ChangeFacts(_) => ActKind::ChangeFacts,
    }
}

const fn is_expired(act: &OpenAct, now_ms: u64) -> bool {
    act.proposed.expires_at_ms <= now_ms
}

fn approvals(act: &OpenAct) -> Vec<Person<'_>> {
    let approved = act.decisions.iter().filter(|(_, decision)| decision.approved);
    approved
        .filter_map(|(_, decision)| {
            let role = decision.role.parse::<ClientRole>().ok()?;
            Some(Person { name: &decision.client, role })
        })
        .collect()
}

fn act_view(proposal: u64, act: &OpenAct) -> pb::ActView {
    let kind = act.proposed.act.as_ref().and_then(|act| act.act.as_ref()).map(kind_of);
    let wanted = kind.map(|kind| kind.wanted(&approvals(act))).unwrap_or_default();
    let mut roles: Vec<&str> = wanted.into_iter().flatten().map(|role| role.name()).collect();
    roles.sort_unstable();
    roles.dedup();
    pb::ActView {
        proposal,
        proposed: Some(act.proposed.clone()),
        proposed_at_ms: act.at.unix_ms().unsigned_abs(),
        decisions: act.decisions.iter().map(|(_, decision)| decision.clone()).collect(),
        wanted_roles: roles.into_iter().map(str::to_owned).collect(),
    }
}
