//! Changes of what was agreed with a partner: sector, country, circles, operations, the end of the agreement.
//!
//! Policy decides by these facts, so more of them can show a partner more. What can only show it less
//! is in force at once; anything else waits for a second person.

use super::error::PartnerError;
use super::partner_facts::{facts_for_policy, named};
use crate::ident::AgencyName;
use crate::journal::JournalError;
use crate::journal::transaction::Transaction;
use crate::node::approvals::proposal::stage_proposal;
use crate::node::client::Client;
use crate::node::error::NodeError;
use crate::node::policies::rules::Rules;
use crate::pb::{self, act::Act, journal_entry::Event};
use crate::policy::{check_agreement, may_reveal, only_narrows};
use crate::record::header::is_circle_name;

/// Circles or operations of one partner.
const MEMBERSHIPS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;

/// A change that a second person has approved.
pub(in crate::node) struct FactsChange {
    agency: AgencyName,
    after: pb::PartnerFacts,
}

impl FactsChange {
    /// Refused if the facts are no longer those that the act was proposed on, or if the policy is
    /// another by now and the act may reveal what nobody approved.
    pub(in crate::node) fn plan(
        tx: &Transaction<'_>,
        rules: &Rules,
        act: pb::ChangeFactsAct,
    ) -> Result<Self, NodeError> {
        let approved = act.reveals;
        let act = prepare(tx, rules, act)?;
        check_revealed(&act.agency, act.reveals && !approved)?;
        let (agency, _) = named(tx.state(), &act.agency)?;
        Ok(Self { agency, after: act.after.unwrap_or_default() })
    }

    pub(in crate::node) fn carry_out(
        self,
        tx: &mut Transaction<'_>,
        proposal: u64,
        client: &str,
    ) -> Result<(), JournalError> {
        let Some(partner) = tx.state().partners.get(&self.agency) else { return Ok(()) };
        let changed = pb::PartnerChanged {
            facts: Some(self.after),
            proposal,
            ..partner.as_it_is(&self.agency, client)
        };
        tx.append(Event::PartnerChanged(changed)).map(drop)
    }
}

/// Refuses an act that may show a partner more by now than was approved.
pub(super) fn check_revealed(agency: &str, is_more: bool) -> Result<(), NodeError> {
    if !is_more {
        return Ok(());
    }
    Err(PartnerError::Reveals { agency: agency.to_owned() }.into())
}

/// The act as it may be proposed: its facts in order, and whether it may reveal anything.
pub(in crate::node) fn prepare(
    tx: &Transaction<'_>,
    rules: &Rules,
    act: pb::ChangeFactsAct,
) -> Result<pb::ChangeFactsAct, NodeError> {
    let (agency, partner) = named(tx.state(), &act.agency)?;
    if partner.facts != act.before.clone().unwrap_or_default() {
        return Err(PartnerError::ProposedOnOther { agency }.into());
    }
    rules.check_current(tx)?;
    let after = sound(act.after.unwrap_or_default())?;
    let reveals = reveals(rules, &agency, &partner.facts, &after)?;
    Ok(pb::ChangeFactsAct { after: Some(after), reveals, ..act })
}

fn reveals(
    rules: &Rules,
    agency: &AgencyName,
    before: &pb::PartnerFacts,
    after: &pb::PartnerFacts,
) -> Result<bool, NodeError> {
    let of = |facts| facts_for_policy(agency, true, facts);
    Ok(may_reveal(rules.compiled.bundle(), &of(before)?, &of(after)?))
}

/// The facts that are in force from now on, and those that wait for a second person.
pub(super) fn divide(
    tx: &Transaction<'_>,
    rules: &Rules,
    agency: &AgencyName,
    before: &pb::PartnerFacts,
    wanted: pb::PartnerFacts,
) -> Result<(pb::PartnerFacts, Option<pb::ChangeFactsAct>), NodeError> {
    let wanted = sound(wanted)?;
    if wanted == *before {
        return Ok((wanted, None));
    }
    let of = |facts| facts_for_policy(agency, true, facts);
    // Under rules that are no longer in force nobody can say what a loss comes to.
    let is_current = tx.state().policy_version() == rules.version;
    if is_current && only_narrows(rules.compiled.bundle(), &of(before)?, &of(&wanted)?) {
        return Ok((wanted, None));
    }
    let reveals = !is_current || reveals(rules, agency, before, &wanted)?;
    let act = pb::ChangeFactsAct {
        agency: agency.to_string(),
        before: Some(before.clone()),
        after: Some(wanted),
        reveals,
    };
    Ok((before.clone(), Some(act)))
}

/// Proposes what waits, if anything does.
pub(super) fn stage(
    tx: &mut Transaction<'_>,
    client: &Client,
    act: Option<pb::ChangeFactsAct>,
) -> Result<Option<pb::ActView>, NodeError> {
    act.map(|act| stage_proposal(tx, client, Act::ChangeFacts(act))).transpose()
}

/// The facts with sorted lists, if they are within their bounds.
pub(super) fn sound(mut facts: pb::PartnerFacts) -> Result<pb::PartnerFacts, NodeError> {
    let is_sound = |name: &String| {
        (1..=NAME_BYTES_MAX).contains(&name.len())
            && !name.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    for names in [&mut facts.circles, &mut facts.operations] {
        names.sort_unstable();
        names.dedup();
        if let Some(name) = names.iter().find(|name| !is_sound(name)) {
            let (name, max) = (name.clone(), NAME_BYTES_MAX);
            return Err(PartnerError::MembershipName { name, max }.into());
        }
        if names.len() > MEMBERSHIPS_MAX {
            let (found, max) = (names.len(), MEMBERSHIPS_MAX);
            return Err(PartnerError::TooManyMemberships { found, max }.into());
        }
    }
    if let Some(name) = facts.circles.iter().find(|name| !is_circle_name(name)) {
        return Err(PartnerError::CircleOfAnother { name: name.clone() }.into());
    }
    check_agreement(&facts).map_err(PartnerError::from)?;
    Ok(facts)
}

/// Returns the facts with sector and country as they are in force where none were given.
pub(super) fn complete(mut facts: pb::PartnerFacts, before: &pb::PartnerFacts) -> pb::PartnerFacts {
    if facts.sector() == pb::Sector::Unspecified {
        facts.sector = before.sector;
    }
    if facts.country.is_empty() {
        facts.country.clone_from(&before.country);
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(circles: &[&str]) -> pb::PartnerFacts {
        let circles = circles.iter().map(|name| (*name).to_owned()).collect();
        let country = "JP".to_owned();
        pb::PartnerFacts { circles, country, sector: pb::Sector::Cert.into(), ..Default::default() }
    }

    #[test]
    fn facts_are_taken_in_order_and_without_repeats() {
        assert_eq!(sound(facts(&["b", "a", "b"])).unwrap(), facts(&["a", "b"]));
    }

    #[test]
    fn names_out_of_bounds_are_refused_with_what_is_wanted() {
        let long = "x".repeat(65);
        for bad in ["", "two words", "tab\t", &long] {
            let refused = sound(facts(&[bad])).unwrap_err().to_string();
            assert!(refused.contains("1 to 64 bytes without white space"), "{refused}");
        }
        let many: Vec<_> = (0..65).map(|n| format!("c{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(sound(facts(&many)).is_err());
        let late = pb::PartnerFacts { agreement_until_ms: u64::MAX, ..facts(&[]) };
        assert!(sound(late).is_err());
        let nowhere = pb::PartnerFacts { country: "Japan".to_owned(), ..facts(&[]) };
        assert!(sound(nowhere).unwrap_err().to_string().contains("country"));
        let of_no_sector = pb::PartnerFacts { sector: 0, ..facts(&[]) };
        assert!(sound(of_no_sector).unwrap_err().to_string().contains("sector"));
    }

    #[test]
    fn what_is_not_given_of_sector_and_country_stays() {
        let before = facts(&["a"]);
        let given = pb::PartnerFacts { circles: vec!["b".to_owned()], ..Default::default() };
        assert_eq!(complete(given, &before), facts(&["b"]));
        let moved = pb::PartnerFacts { country: "FR".to_owned(), ..before.clone() };
        assert_eq!(complete(moved.clone(), &before), moved);
    }
}
