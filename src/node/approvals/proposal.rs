//! Acts that are proposed: written down, and shown with who must still approve them.

use super::error::ApprovalError;
use crate::journal::state::ACTS_OPEN_MAX;
use crate::journal::state::open_act::OpenAct;
use crate::journal::transaction::Transaction;
use crate::journal::writer::{Committed, JournalWriter};
use crate::node::client::Client;
use crate::node::commit::commit_unless_refused;
use crate::node::error::NodeError;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::{ActKind, ClientRole, Person};

/// The longest time that an act waits for a second person.
const ACT_MS_MAX: u64 = 7 * 24 * 3_600 * 1_000;

/// Asks for an act, which comes with the variant that it becomes. It changes nothing until a second person approves.
/// `prepare` completes the act, or refuses what cannot be done now.
pub(in crate::node) async fn propose<T: Clone + Send + 'static>(
    journal: &JournalWriter,
    client: Client,
    (act, variant): (T, fn(T) -> Act),
    prepare: impl FnOnce(&Transaction<'_>, T) -> Result<T, NodeError> + Send + 'static,
) -> Result<(pb::ActView, Committed), NodeError> {
    kind_of(variant(act.clone()))?.may_propose(client.role).map_err(ApprovalError::from)?;
    commit_unless_refused(journal, move |tx| {
        let act = prepare(tx, act)?;
        stage_proposal(tx, &client, variant(act))
    })
    .await
}

fn kind_of(act: Act) -> Result<ActKind, NodeError> {
    ActKind::of(&pb::Act { act: Some(act) }).ok_or_else(|| ApprovalError::Kind.into())
}

/// Refuses a proposal when as many acts wait as may.
pub(in crate::node) fn check_room(tx: &Transaction<'_>) -> Result<(), NodeError> {
    let now = tx.now().unix_ms().unsigned_abs();
    let waiting = tx.state().acts.values();
    if waiting.filter(|act| !is_expired(act, now)).count() >= ACTS_OPEN_MAX {
        return Err(ApprovalError::TooMany.into());
    }
    Ok(())
}

/// Writes a proposal down. What it asks for was checked.
pub(in crate::node) fn stage_proposal(
    tx: &mut Transaction<'_>,
    client: &Client,
    act: Act,
) -> Result<pb::ActView, NodeError> {
    check_room(tx)?;
    let now = tx.now().unix_ms().unsigned_abs();
    let proposed = pb::ActProposed {
        client: client.name.clone(),
        role: client.role.name().to_owned(),
        act: Some(pb::Act { act: Some(act) }),
        expires_at_ms: now + ACT_MS_MAX,
    };
    let proposal = tx.append(Event::ActProposed(proposed))?;
    let view = tx.state().acts.get(&proposal).map(|act| act_view(proposal, act));
    Ok(view.unwrap_or_default())
}

pub(super) const fn is_expired(act: &OpenAct, now_ms: u64) -> bool {
    act.proposed.expires_at_ms <= now_ms
}

pub(super) fn approvals(act: &OpenAct) -> Vec<Person<'_>> {
    let approved = act.decisions.iter().filter(|(_, decision)| decision.approved);
    approved
        .filter_map(|(_, decision)| {
            let role = decision.role.parse::<ClientRole>().ok()?;
            Some(Person { name: &decision.client, role })
        })
        .collect()
}

pub(super) fn act_view(proposal: u64, act: &OpenAct) -> pb::ActView {
    let kind = act.proposed.act.as_ref().and_then(ActKind::of);
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
