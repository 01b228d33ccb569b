//! Disclosures that the brake holds: what waits, and what two persons decide on it.
//!
//! A bundle is everything that waits for one partner on the same grounds; it is decided on as a whole,
//! as far as it was there when the decision was asked for.

use super::Disclosures;
use super::error::ReleaseError;
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::held::HeldBundle;
use crate::journal::state::open_act::OpenAct;
use crate::journal::transaction::Transaction;
use crate::journal::view::View;
use crate::journal::writer::Committed;
use crate::node::approvals::proposal::propose;
use crate::node::client::Client;
use crate::node::error::NodeError;
use crate::pb::{self, act::Act};
use crate::policy::Reasons;

/// The plan of an approved act.
pub(in crate::node) struct Plan {
    agency: AgencyName,
    reasons: Reasons,
    bundle: HeldBundle,
    released: bool,
}

/// Fills in what the proposal was made on, if something waits.
pub(in crate::node) fn prepare(
    tx: &Transaction<'_>,
    mut act: pb::ReleaseAct,
) -> Result<pb::ReleaseAct, NodeError> {
    act.below = tx.size().get();
    let now = tx.now().unix_ms().unsigned_abs();
    let is_same = |open: &OpenAct| match open.proposed.act.as_ref().and_then(|act| act.act.as_ref())
    {
        Some(Act::Release(open)) => (&open.partner, open.rules) == (&act.partner, act.rules),
        _ => false,
    };
    let mut waiting = tx.state().acts.iter();
    let same = waiting.find(|(_, open)| open.proposed.expires_at_ms > now && is_same(open));
    if let Some((proposal, _)) = same {
        return Err(ReleaseError::Proposed { proposal: *proposal }.into());
    }
    let records = plan(tx, &act)?.bundle.records();
    Ok(pb::ReleaseAct { records, ..act })
}

/// Returns the plan of an act in the present state.
pub(in crate::node) fn plan(tx: &Transaction<'_>, act: &pb::ReleaseAct) -> Result<Plan, NodeError> {
    let partner = act.partner.parse::<AgencyName>().ok();
    let partner = partner.and_then(|agency| {
        let number = tx.state().partners.get(&agency)?.number;
        Some((agency, number))
    });
    let Some((agency, number)) = partner else {
        return Err(ReleaseError::UnknownPartner { name: act.partner.clone() }.into());
    };
    let Some(reasons) = Reasons::from_bits(act.rules) else {
        return Err(ReleaseError::Rules { bits: act.rules }.into());
    };
    let bundle = tx.held_below(number, reasons, act.below)?;
    if bundle.entries.is_empty() {
        return Err(ReleaseError::NothingHeld { agency, reasons }.into());
    }
    Ok(Plan { agency, reasons, bundle, released: act.released })
}

impl Plan {
    pub(in crate::node) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        proposal: u64,
    ) -> Result<(), JournalError> {
        let Self { agency, reasons, bundle, released } = self;
        tx.decide_held(&agency, reasons, &bundle, proposal, released)
    }
}

impl Disclosures {
    /// Asks to release or to refuse what waits for a partner on these grounds.
    pub async fn propose_release(
        &self,
        client: Client,
        request: pb::ProposeReleaseRequest,
    ) -> Result<(pb::ActView, Committed), NodeError> {
        let pb::ProposeReleaseRequest { agency, rules, released, reason } = request;
        let act = pb::ReleaseAct { partner: agency, rules, released, reason, below: 0, records: 0 };
        propose(&self.core.journal, client, (act, Act::Release), prepare).await
    }
}

/// Lists the held disclosures, for one partner or for all.
pub fn held(view: &View, only: Option<&AgencyName>) -> Result<Vec<pb::HeldBundle>, JournalError> {
    let mut found = Vec::new();
    for (agency, partner) in &view.snapshot().state.partners {
        if only.is_none_or(|only| only == agency) {
            for (rules, bundle) in view.held_bundles(partner.number)? {
                found.push(view.held_view(agency, rules, &bundle)?);
            }
        }
    }
    Ok(found)
}
