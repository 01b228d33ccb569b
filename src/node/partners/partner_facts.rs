//! A partner in the journal as use cases find it, and what policy sees of it.

use super::error::PartnerError;
use crate::ident::AgencyName;
use crate::journal::state::{PartnerRecord, State};
use crate::node::error::NodeError;
use crate::pb;
use crate::policy;

/// Returns the partner that an act names.
pub(super) fn named<'a>(
    state: &'a State,
    agency: &str,
) -> Result<(AgencyName, &'a PartnerRecord), NodeError> {
    let agency: AgencyName = agency.parse()?;
    let partner = state.partners.get(&agency).ok_or_else(|| unknown(&agency))?;
    Ok((agency, partner))
}

pub(in crate::node) fn unknown(agency: &AgencyName) -> NodeError {
    PartnerError::Unknown { agency: agency.clone() }.into()
}

/// Returns the facts of a partner that policy sees.
pub(in crate::node) fn policy_facts(
    agency: &AgencyName,
    partner: &PartnerRecord,
) -> Result<policy::PartnerFacts, NodeError> {
    let is_active = partner.state == pb::PartnerState::Active;
    facts_for_policy(agency, is_active, &partner.facts)
}

/// Returns the facts that policy would see of a partner with this agreement.
pub(in crate::node) fn facts_for_policy(
    agency: &AgencyName,
    is_active: bool,
    facts: &pb::PartnerFacts,
) -> Result<policy::PartnerFacts, NodeError> {
    Ok(policy::PartnerFacts::agreed(agency.clone(), facts, is_active)
        .map_err(PartnerError::from)?)
}
