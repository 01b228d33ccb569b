//! Decisions remembered: bulk pushes bring the same facts again and again.
//!
//! An exact cache of [`PartnerPolicy::decide`]: its key is every fact that policy sees. It must
//! never answer for facts that are merely alike.

use std::collections::HashMap;
use std::sync::Arc;

use super::decide::{Compiled, Decision, PartnerPolicy};
use super::facts::{PartnerFacts, RecordFacts};
use super::policy_hour::PolicyHour;

/// Decisions kept, about 1 KiB each with their key; when full, all are forgotten.
pub const MEMO_ENTRIES_MAX: usize = 65_536;

struct Known {
    policy: Arc<PartnerPolicy>,
    /// Decisions of the hour that `moment` stands for.
    policy_hour: PolicyHour,
    decisions: HashMap<RecordFacts, Arc<Decision>>,
}

/// Decides like the [`Compiled`] that it was made of, faster when facts come back.
pub struct MemoDecider {
    compiled: Arc<Compiled>,
    partners: HashMap<PartnerFacts, Known>,
    entries: usize,
    entries_max: usize,
}

impl MemoDecider {
    pub fn new(compiled: Arc<Compiled>) -> Self {
        Self::with_entries_max(compiled, MEMO_ENTRIES_MAX)
    }

    fn with_entries_max(compiled: Arc<Compiled>, entries_max: usize) -> Self {
        Self { compiled, partners: HashMap::new(), entries: 0, entries_max }
    }

    /// See [`Compiled::decide`].
    pub fn decide(
        &mut self,
        partner: &PartnerFacts,
        record: &RecordFacts,
        policy_hour: &PolicyHour,
    ) -> Arc<Decision> {
        if let Some(known) = self.partners.get(partner)
            && known.policy_hour == *policy_hour
            && let Some(decision) = known.decisions.get(record)
        {
            return decision.clone();
        }
        if self.entries >= self.entries_max {
            self.partners.clear();
            self.entries = 0;
        }
        let known = self.partners.entry(partner.clone()).or_insert_with(|| Known {
            policy: self.compiled.for_partner(partner),
            policy_hour: policy_hour.clone(),
            decisions: HashMap::new(),
        });
        if known.policy_hour != *policy_hour {
            self.entries -= known.decisions.len();
            known.decisions.clear();
            known.policy_hour = policy_hour.clone();
        }
        let decision = Arc::new(known.policy.decide(record, policy_hour));
        known.decisions.insert(record.clone(), decision.clone());
        self.entries += 1;
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::policy::{any_partner, any_record, hour, partner, record, sample};
    use proptest::prelude::*;

    #[test]
    fn facts_that_come_back_in_the_same_hour_are_not_decided_again() {
        let mut memo = MemoDecider::with_entries_max(Arc::new(sample([])), 2);
        let other = RecordFacts { confidence: 7, ..record() };
        let first = memo.decide(&partner(), &record(), &hour(0));
        let second = memo.decide(&partner(), &other, &hour(0));
        assert!(Arc::ptr_eq(&first, &memo.decide(&partner(), &record(), &hour(0))));
        assert!(Arc::ptr_eq(&second, &memo.decide(&partner(), &other, &hour(0))));
        let third = RecordFacts { confidence: 8, ..record() };
        memo.decide(&partner(), &third, &hour(0));
        assert!(!Arc::ptr_eq(&first, &memo.decide(&partner(), &record(), &hour(0))));
        assert!(!Arc::ptr_eq(&first, &memo.decide(&partner(), &record(), &hour(1))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_remembered_decision_is_the_decision(
            partners in prop::collection::vec(any_partner(), 2),
            records in prop::collection::vec(any_record(), 3),
            order in prop::collection::vec((0_usize..2, 0_usize..3, 0_u8..2), 12),
        ) {
            let compiled = Arc::new(sample(partners.clone()));
            let mut memo = MemoDecider::with_entries_max(compiled.clone(), 4);
            for (partner, record, h) in order {
                let (partner, record, policy_hour) = (&partners[partner], &records[record], hour(h));
                let expected = compiled.decide(partner, record, &policy_hour);
                for _ in 0..2 {
                    prop_assert_eq!(&*memo.decide(partner, record, &policy_hour), &expected);
                }
                prop_assert!(memo.entries <= 4);
                let kept: usize = memo.partners.values().map(|known| known.decisions.len()).sum();
                prop_assert_eq!(kept, memo.entries);
            }
        }
    }
}
