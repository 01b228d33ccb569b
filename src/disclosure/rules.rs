//! The rules under which records go to one partner, and what policy sees of a record.

use crate::ident::{PolicyVersion, RecordId};
use crate::policy::{Compiled, Consents, Decision, PartnerFacts, PolicyHour, RecordFacts};
use crate::record::header::Header;
use std::sync::Arc;

/// The policy in force, and the facts of one partner.
#[derive(Clone)]
pub struct PartnerRules {
    pub version: PolicyVersion,
    pub compiled: Arc<Compiled>,
    pub facts: PartnerFacts,
    /// The journal entry from which they hold for the partner.
    pub since: u64,
}

impl PartnerRules {
    /// Returns true if they were compiled as one with these, and hold from the same entry on.
    pub(super) fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.compiled, &other.compiled) && self.since == other.since
    }
}

/// Returns the facts of a record for a decision on its release: whom its originator consented to is on its
/// release list.
pub fn release_facts(
    id: &RecordId,
    header: &Header,
    consents: &Consents,
    policy_hour: &PolicyHour,
) -> RecordFacts {
    consents.extend(RecordFacts::from(header), id, policy_hour.hour())
}

/// Returns the policy that denied a release, for counting: a forbid, or that nothing permits.
pub fn denied_by(decision: &Decision) -> String {
    if decision.erred() {
        return "an error of evaluation".to_owned();
    }
    decision.release.deciding.first().cloned().unwrap_or_else(|| "nothing permits".to_owned())
}
