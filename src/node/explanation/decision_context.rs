//! The setting of a decision, now and at earlier times: the policy, the partner and the hour.
//!
//! Everything of the past comes from the journal and from the bundles that are kept by their hash;
//! what is missing is an error and never filled in with what is in force now.

use super::Explanations;
use super::error::ExplanationError;
use crate::disclosure::release_facts;
use crate::ident::{AgencyName, BundleHash, RecordId, Timestamp};
use crate::journal::consents::ConsentState;
use crate::journal::ids::{FeedNumber, PartnerNumber};
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::{facts_for_policy, unknown};
use crate::node::policies::rules::{Rules, bundle_of};
use crate::pb;
use crate::policy::{PartnerFacts, PolicyHour, RecordFacts};
use crate::record::header::Header;
use std::sync::Arc;

/// The setting of a decision about one partner.
pub(in crate::node) struct DecisionContext {
    pub(in crate::node) agency: AgencyName,
    pub(in crate::node) number: PartnerNumber,
    /// The present feed to it.
    pub(in crate::node) feed: FeedNumber,
    pub(in crate::node) facts: PartnerFacts,
    pub(in crate::node) rules: Arc<Rules>,
    pub(in crate::node) policy_hour: PolicyHour,
    pub(in crate::node) consents: ConsentState,
    /// Entries that the journal had.
    pub(in crate::node) size: u64,
    /// The time at which the policy was put in force, and the person; `None` before the first one.
    pub(in crate::node) applied: Option<(Timestamp, String)>,
    /// It is not that of now.
    pub(in crate::node) is_past: bool,
}

impl DecisionContext {
    /// Returns the facts of a record that policy sees.
    pub(in crate::node) fn facts_of(&self, id: &RecordId, header: &Header) -> RecordFacts {
        release_facts(id, header, self.consents.in_force(), &self.policy_hour)
    }

    /// The same if the partner were not suspended.
    pub(in crate::node) fn if_active(mut self) -> Self {
        self.facts.suspended = false;
        self.rules = Arc::new(self.rules.with_partner(self.facts.clone()));
        self
    }
}

impl Explanations {
    /// Returns the present setting.
    pub(in crate::node) fn context(
        &self,
        agency: &AgencyName,
    ) -> Result<DecisionContext, NodeError> {
        self.setting_in(agency, PolicyHour::at(self.core.now()))
    }

    fn setting_in(
        &self,
        agency: &AgencyName,
        policy_hour: PolicyHour,
    ) -> Result<DecisionContext, NodeError> {
        let rules = self.rules.current();
        let snapshot = self.core.view().snapshot();
        let partner = snapshot.state.partners.get(agency).ok_or_else(|| unknown(agency))?;
        let facts = rules.partners.get(agency).ok_or_else(|| unknown(agency))?.clone();
        let (agency, number, feed) = (agency.clone(), partner.number, partner.feed);
        let (size, consents) = (snapshot.size, snapshot.state.consents.clone());
        let applied = self.core.view().policy_at(size)?.map(|(at, applied)| (at, applied.client));
        let is_past = false;
        Ok(DecisionContext {
            agency,
            number,
            feed,
            facts,
            rules,
            policy_hour,
            consents,
            size,
            applied,
            is_past,
        })
    }

    /// Returns the setting at a time. For a time in the future it is that of today: nothing
    /// changes.
    pub(in crate::node) fn setting_at(
        &self,
        agency: &AgencyName,
        at: Timestamp,
    ) -> Result<DecisionContext, NodeError> {
        if at >= self.core.now() {
            return self.setting_in(agency, PolicyHour::at(at));
        }
        let snapshot = self.core.view().snapshot();
        let partner = snapshot.state.partners.get(agency).ok_or_else(|| unknown(agency))?;
        let size = self.core.view().size_at(at)?;
        let changed = self.core.view().partner_at(partner.number, size)?;
        let changed = changed
            .ok_or_else(|| ExplanationError::NotYetPartner { agency: agency.clone(), at })?;
        let facts = facts_then(agency, &changed)?;
        let applied = self.core.view().policy_at(size)?;
        let rules = self.rules_then(applied.as_ref().map(|(_, applied)| applied), &facts)?;
        Ok(DecisionContext {
            agency: agency.clone(),
            number: partner.number,
            feed: partner.feed,
            facts,
            rules: Arc::new(rules),
            policy_hour: PolicyHour::at(at),
            consents: self.core.view().consents_at(size)?,
            size,
            applied: applied.map(|(at, applied)| (at, applied.client)),
            is_past: true,
        })
    }

    fn rules_then(
        &self,
        applied: Option<&pb::PolicyApplied>,
        facts: &PartnerFacts,
    ) -> Result<Rules, NodeError> {
        let version = applied.map_or(0, |applied| applied.version);
        let unreadable = |error: &dyn std::fmt::Display| {
            let found = error.to_string();
            NodeError::from(ExplanationError::PastPolicy { version, found })
        };
        let hash = applied
            .map(|applied| BundleHash::try_from(&applied.bundle_hash[..]))
            .transpose()
            .map_err(|error| unreadable(&error))?;
        let known = hash.and_then(|hash| self.past_bundles.find(hash));
        let bundle = match known {
            Some(bundle) => bundle,
            None => {
                let (_, bundle) = bundle_of(&self.dir, hash).map_err(|error| unreadable(&error))?;
                let bundle = Arc::new(bundle);
                self.past_bundles.keep(Arc::clone(&bundle));
                bundle
            }
        };
        Ok(Rules::of_partner(self.core.agency(), version, hash, bundle, facts.clone()))
    }
}

fn facts_then(
    agency: &AgencyName,
    changed: &pb::PartnerChanged,
) -> Result<PartnerFacts, NodeError> {
    let is_active = changed.state() == pb::PartnerState::Active;
    facts_for_policy(agency, is_active, &changed.facts.clone().unwrap_or_default())
}
