//! The rosters: the members of a circle, sent to those who pass on records that are marked for it.
//!
//! A roster that was given once follows the circle by itself: the newer one, or that it is taken back, is
//! written down together with the change of membership. Two persons decide that a partner is given one.

use super::error::ConsentCaseError;
use super::{Consents, Plan};
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::state::{PartnerRecord, State};
use crate::journal::transaction::Transaction;
use crate::node::error::NodeError;
use crate::node::submission::record_signer::RecordSigner;
use crate::pb;
use crate::record::consent::{ConsentTerms, Purpose, Roster, Subject};

/// Returns the members of a circle of this agency, ascending. A partner that is suspended or revoked is
/// not a member: what others pass on to it would go past the suspension.
pub(super) fn members(state: &State, circle: &str) -> Vec<AgencyName> {
    let is_member = |(agency, partner): (&AgencyName, &PartnerRecord)| {
        let is_in = partner.facts.circles.iter().any(|name| name == circle);
        (partner.state == pb::PartnerState::Active && is_in).then(|| agency.clone())
    };
    state.partners.iter().filter_map(is_member).collect()
}

/// Returns the subject with the present members of its circle, for whoever proposes to give a roster.
pub(super) fn with_members(
    tx: &Transaction<'_>,
    wire: Option<pb::ConsentSubject>,
) -> Option<pb::ConsentSubject> {
    let is_roster = |wire: &pb::ConsentSubject| wire.purpose() == pb::ConsentPurpose::Circle;
    wire.map(|wire| match is_roster(&wire) && wire.members.is_empty() {
        true => {
            let members = members(tx.state(), &wire.circle);
            let members = members.iter().map(ToString::to_string).collect();
            pb::ConsentSubject { members, ..wire }
        }
        false => wire,
    })
}

/// Refuses a roster that is not of the present members, and a holder that is not one of them.
pub(super) fn check(
    tx: &Transaction<'_>,
    subject: &Subject,
    holder: &AgencyName,
) -> Result<(), NodeError> {
    let Purpose::Circle(roster) = &subject.purpose else { return Ok(()) };
    let (circle, present) = (roster.circle(), members(tx.state(), roster.circle()));
    let name = circle.to_owned();
    if let Err(found) = Roster::new(name.clone(), present.clone()) {
        return Err(ConsentCaseError::Roster { circle: name, found }.into());
    }
    if !present.contains(holder) {
        let holder = holder.clone();
        return Err(ConsentCaseError::NotInCircle { holder, circle: name }.into());
    }
    if present != roster.members() {
        return Err(ConsentCaseError::CircleChanged { circle: name }.into());
    }
    Ok(())
}

/// Writes down the statements that are due to partners because circles have other members now.
pub(in crate::node) fn follow(
    tx: &mut Transaction<'_>,
    signer: &RecordSigner,
) -> Result<(), JournalError> {
    loop {
        let (state, now) = (tx.state(), (tx.now(), tx.state().generation()));
        let change = state.consents.dealings.roster_change(now, |circle| members(state, circle));
        let Some((holder, saying)) = change else { return Ok(()) };
        let number = saying.number;
        match write(tx, holder.clone(), saying, signer) {
            Ok(()) => {}
            Err(NodeError::Journal(error)) => return Err(error),
            Err(error) => {
                tracing::error!(%holder, number, %error, "a roster could not be brought up to date");
                return Ok(());
            }
        }
    }
}

fn write(
    tx: &mut Transaction<'_>,
    holder: AgencyName,
    saying: ConsentTerms,
    signer: &RecordSigner,
) -> Result<(), NodeError> {
    let plan = Plan::new(holder, saying).signed(tx, signer)?;
    plan.carry_out(tx, ("", ""), 0)?;
    Ok(())
}

impl Consents {
    /// Brings rosters up to date that could not be when their circle changed: no record key signed then.
    pub(in crate::node) async fn follow_rosters(&self) -> Result<(), NodeError> {
        let snapshot = self.core.view().snapshot();
        let (state, now) = (&snapshot.state, (self.core.now(), snapshot.state.generation()));
        let members_now = |circle: &str| members(state, circle);
        if state.consents.dealings.roster_change(now, members_now).is_none() {
            return Ok(());
        }
        let signer = self.signer.clone();
        self.core.journal.commit(move |tx| follow(tx, &signer)).await?;
        Ok(())
    }
}
