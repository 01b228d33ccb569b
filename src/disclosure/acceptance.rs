//! The decision on the records that a partner sends.

use super::rules::PartnerRules;
use crate::exchange::Acceptance;
use crate::ident::Timestamp;
use crate::policy::{PolicyHour, RecordFacts};
use crate::record::header::Header;
use std::collections::HashMap;

/// Verdicts that are kept; then all are forgotten.
const VERDICTS_MAX: usize = 16_384;

/// Decides on the records that one partner sends, under one set of rules, in one hour.
pub struct Accepting {
    rules: PartnerRules,
    policy_hour: PolicyHour,
    verdicts: HashMap<RecordFacts, bool>,
}

impl Accepting {
    pub fn new(rules: PartnerRules, policy_hour: PolicyHour) -> Self {
        Self { rules, policy_hour, verdicts: HashMap::new() }
    }

    /// Returns true if it decides under these rules.
    pub fn is_under(&self, rules: &PartnerRules) -> bool {
        self.rules.are(rules)
    }

    /// Sets the time of the next decisions; verdicts of another hour are forgotten.
    pub fn set_time(&mut self, now: Timestamp) {
        if self.policy_hour.hour() != now.hour() {
            self.policy_hour = PolicyHour::at(now);
            self.verdicts.clear();
        }
    }
}

impl Acceptance for Accepting {
    fn accepts(&mut self, header: &Header) -> bool {
        let Self { rules, policy_hour, verdicts } = self;
        let record = RecordFacts::from(header);
        if let Some(verdict) = verdicts.get(&record) {
            return *verdict;
        }
        let verdict = rules.compiled.accepts(&rules.facts, &record, policy_hour).allowed;
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert(record, verdict);
        verdict
    }
}
