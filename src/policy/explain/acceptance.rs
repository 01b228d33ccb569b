//! The explanation of accepting or refusing a partner's record.

use std::fmt;

use super::{Account, Outcome, Teller, write_reasons};
use crate::ident::AgencyName;
use crate::policy::cedar::Action;
use crate::policy::decide::{Compiled, Fault};
use crate::policy::facts::{PartnerFacts, RecordFacts};
use crate::policy::policy_hour::PolicyHour;
use crate::record::kind::Kind;

/// The answer to whether a partner may send us a record, and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    pub partner: AgencyName,
    pub sector: &'static str,
    pub kind: Kind,
    pub outcome: Outcome,
    pub deciding: Vec<Account>,
    /// The permits that come nearest, fewest unmet conditions first, where nothing permits it.
    pub nearest: Vec<Account>,
    pub faults: Vec<Fault>,
}

/// Explains the answer of [`Compiled::accepts`] to the same question.
pub fn explain_acceptance(
    compiled: &Compiled,
    partner: &PartnerFacts,
    record: &RecordFacts,
    policy_hour: &PolicyHour,
) -> Acceptance {
    let policy = compiled.for_partner(partner);
    let verdict = policy.accepts(record, policy_hour);
    let teller = Teller::new(compiled, &policy, partner, record, policy_hour);
    let (deciding, nearest) = teller.accounts(Action::Accept, &verdict);
    Acceptance {
        partner: partner.agency.clone(),
        sector: partner.sector.name(),
        kind: record.kind,
        outcome: Outcome::of(&verdict),
        deciding,
        nearest,
        faults: verdict.faults,
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partner, sector, kind, outcome, .. } = self;
        writeln!(f, "accept {} of {partner} ({sector}): {outcome}", kind.name())?;
        write_reasons(f, "  ", self.outcome, &self.faults, &self.deciding, &self.nearest)
    }
}
