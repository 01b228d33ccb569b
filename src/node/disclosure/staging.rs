//! The writing of what a step found: whether its basis still holds, and what the brake holds.

use crate::disclosure::Basis;
use crate::ident::{AgencyName, RecordId};
use crate::journal::JournalError;
use crate::journal::held::HELD_RECORDS_MAX;
use crate::journal::transaction::Transaction;
use crate::node::partners::partner_facts::policy_facts;
use crate::policy::Reasons;
use std::collections::BTreeMap;

/// Returns true if decisions on this basis are those that would be made now.
pub(super) fn holds(basis: &Basis, tx: &Transaction<'_>, agency: &AgencyName) -> bool {
    let state = tx.state();
    let facts = state.partners.get(agency).map(|partner| policy_facts(agency, partner));
    state.policy_version() == basis.version
        && state.rules_since(agency) == basis.rules
        && matches!(facts, Some(Ok(facts)) if facts == basis.facts)
        && tx.now().hour() == basis.policy_hour.hour()
        && state.narrowings == basis.narrowings
        && state.consents.changes == basis.consents
}

/// Writes down what a step holds.
pub(super) fn hold_back(
    tx: &mut Transaction<'_>,
    agency: &AgencyName,
    held: &BTreeMap<Reasons, Vec<RecordId>>,
) -> Result<(), JournalError> {
    for (reasons, records) in held {
        for records in records.chunks(HELD_RECORDS_MAX) {
            tx.hold_back(agency, *reasons, records)?;
        }
    }
    Ok(())
}
