//! Acts that take two persons: who may ask for which, and whose yes it needs.
//!
//! Whoever asked never counts, whatever his role. The table is small and total, so that it can be
//! read as the rule that it is.

use super::{ClientRole, PolicyChange};
use crate::pb::{self, act::Act};

/// The acts that require two persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActKind {
    Erase,
    /// Exchange records with an agency that is not a partner yet, or with one that was revoked.
    AddPartner,
    /// The same where policy may reveal a sensitive class or personal data to it.
    AddRevealing,
    /// Exchange with a suspended partner again.
    ResumePartner,
    /// Change what is agreed with a partner so that it may see more.
    ChangeFacts,
    /// The same where it may reveal a sensitive class of fields to the partner.
    RevealFacts,
    /// Put a policy in force that shows more.
    WidenPolicy,
    /// Put a policy in force that reveals a sensitive class of fields to somebody new.
    RevealPolicy,
    /// Release or refuse disclosures that the brake holds.
    Release,
    /// Let another agency pass on records of this one, or use them as evidence.
    GrantConsent,
}

/// The roles that may ask, and the required approvals: one from each set, all of different persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActRule {
    pub proposers: &'static [ClientRole],
    pub approvers: &'static [&'static [ClientRole]],
}

/// The reason why a person may not propose or decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActRefusal {
    #[error("a client of role {} may not propose this act; ask a client of role {}", role.name(), names(.allowed))]
    Proposer { role: ClientRole, allowed: &'static [ClientRole] },
    #[error("the client that proposed an act does not decide on it; ask a second person")]
    Author,
    #[error("this client has decided on the act already; ask another person")]
    Again,
    #[error(
        "a client of role {} does not decide on this act; `liaison acts show` names the roles that are still \
         missing",
        .0.name()
    )]
    Role(ClientRole),
}

/// A client and its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'a> {
    pub name: &'a str,
    pub role: ClientRole,
}

fn names(roles: &[ClientRole]) -> String {
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or ")
}

impl ActKind {
    /// Returns the kind of an act; `None` if it does not require two persons.
    pub fn of(act: &pb::Act) -> Option<Self> {
        match act.act.as_ref()? {
            Act::Erase(_) => Some(Self::Erase),
            Act::ChangeFacts(act) if act.reveals => Some(Self::RevealFacts),
            Act::ChangeFacts(_) => Some(Self::ChangeFacts),
            Act::Release(_) => Some(Self::Release),
            Act::GrantConsent(_) => Some(Self::GrantConsent),
            Act::AddPartner(act) if act.reveals => Some(Self::AddRevealing),
            Act::AddPartner(_) => Some(Self::AddPartner),
            Act::ResumePartner(_) => Some(Self::ResumePartner),
            Act::ApplyPolicy(apply) => Self::of_policy(PolicyChange::from_wire(apply.change())?),
        }
    }

    /// The sort of act that a policy takes; `None` where one officer is enough.
    pub const fn of_policy(change: PolicyChange) -> Option<Self> {
        match change {
            PolicyChange::Narrowing => None,
            PolicyChange::Widening => Some(Self::WidenPolicy),
            PolicyChange::Revealing => Some(Self::RevealPolicy),
        }
    }

    pub const fn rule(self) -> ActRule {
        match self {
            Self::Erase | Self::Release | Self::GrantConsent => ActRule {
                proposers: &[ClientRole::Analyst, ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer]],
            },
            Self::AddPartner | Self::ResumePartner | Self::ChangeFacts => ActRule {
                proposers: &[ClientRole::Admin, ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer]],
            },
            Self::AddRevealing | Self::RevealFacts => ActRule {
                proposers: &[ClientRole::Admin, ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer], &[ClientRole::DataProtectionOfficer]],
            },
            Self::WidenPolicy => ActRule {
                proposers: &[ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer]],
            },
            Self::RevealPolicy => ActRule {
                proposers: &[ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer], &[ClientRole::DataProtectionOfficer]],
            },
        }
    }

    /// Returns whether a client of this role is shown acts of this kind: who may ask for it, who may approve it,
    /// and auditors.
    pub fn is_shown_to(self, role: ClientRole) -> bool {
        let ActRule { proposers, approvers } = self.rule();
        let approves = approvers.iter().any(|roles| roles.contains(&role));
        role == ClientRole::Auditor || proposers.contains(&role) || approves
    }

    pub fn may_propose(self, role: ClientRole) -> Result<(), ActRefusal> {
        let allowed = self.rule().proposers;
        if allowed.contains(&role) { Ok(()) } else { Err(ActRefusal::Proposer { role, allowed }) }
    }

    /// Checks that a person may approve after these others did.
    pub fn may_approve(
        self,
        author: &str,
        before: &[Person<'_>],
        person: Person<'_>,
    ) -> Result<(), ActRefusal> {
        self.may_refuse(author, before, person)?;
        let wanted = self.wanted(before);
        if wanted.iter().any(|roles| roles.contains(&person.role)) {
            Ok(())
        } else {
            Err(ActRefusal::Role(person.role))
        }
    }

    /// Checks that a person may refuse: every role that may approve or might have asked.
    pub fn may_refuse(
        self,
        author: &str,
        before: &[Person<'_>],
        person: Person<'_>,
    ) -> Result<(), ActRefusal> {
        let ActRule { proposers, approvers } = self.rule();
        if person.name == author {
            return Err(ActRefusal::Author);
        }
        if before.iter().any(|other| other.name == person.name) {
            return Err(ActRefusal::Again);
        }
        let concerned = proposers.iter().chain(approvers.iter().copied().flatten());
        if concerned.into_iter().any(|role| *role == person.role) {
            Ok(())
        } else {
            Err(ActRefusal::Role(person.role))
        }
    }

    /// The sets of roles from which an approval is still wanted; none: it is carried out.
    pub fn wanted(self, approvals: &[Person<'_>]) -> Vec<&'static [ClientRole]> {
        let mut wanted = self.rule().approvers.to_vec();
        for person in approvals {
            if let Some(at) = wanted.iter().position(|roles| roles.contains(&person.role)) {
                wanted.remove(at);
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIKE: [ActKind; 3] = [ActKind::Erase, ActKind::Release, ActKind::GrantConsent];

    const fn person(name: &'static str, role: ClientRole) -> Person<'static> {
        Person { name, role }
    }

    #[test]
    fn whoever_asked_never_counts_whatever_the_role() {
        for (act, role) in ALIKE.into_iter().flat_map(|act| ClientRole::ALL.map(|role| (act, role)))
        {
            let author = person("sato", role);
            assert_eq!(act.may_approve("sato", &[], author), Err(ActRefusal::Author));
            assert_eq!(act.may_refuse("sato", &[], author), Err(ActRefusal::Author));
        }
    }

    #[test]
    fn erasures_releases_and_consents_are_asked_for_by_analysts_and_officers_and_approved_by_an_officer()
     {
        for (act, role) in ALIKE.into_iter().flat_map(|act| ClientRole::ALL.map(|role| (act, role)))
        {
            let may_propose = matches!(role, ClientRole::Analyst | ClientRole::PolicyOfficer);
            assert_eq!(act.may_propose(role).is_ok(), may_propose, "{role:?}");
            let other = person("tanaka", role);
            let approved = act.may_approve("sato", &[], other);
            assert_eq!(approved.is_ok(), role == ClientRole::PolicyOfficer, "{role:?}");
            let refused = act.may_refuse("sato", &[], other);
            assert_eq!(refused.is_ok(), may_propose, "{role:?}");
        }
    }

    #[test]
    fn facts_are_changed_by_those_who_onboard_and_an_officer_who_did_not_ask() {
        for role in ClientRole::ALL {
            let may_propose = matches!(role, ClientRole::Admin | ClientRole::PolicyOfficer);
            assert_eq!(ActKind::ChangeFacts.may_propose(role).is_ok(), may_propose, "{role:?}");
            let approved = ActKind::ChangeFacts.may_approve("sato", &[], person("tanaka", role));
            assert_eq!(approved.is_ok(), role == ClientRole::PolicyOfficer, "{role:?}");
        }
        let author = person("sato", ClientRole::PolicyOfficer);
        let approved = ActKind::ChangeFacts.may_approve("sato", &[], author);
        assert_eq!(approved, Err(ActRefusal::Author));
    }

    #[test]
    fn partners_are_added_and_resumed_by_those_who_onboard_and_an_officer_who_did_not_ask() {
        for kind in [ActKind::AddPartner, ActKind::ResumePartner] {
            for role in ClientRole::ALL {
                let may_propose = matches!(role, ClientRole::Admin | ClientRole::PolicyOfficer);
                assert_eq!(kind.may_propose(role).is_ok(), may_propose, "{role:?}");
                let approved = kind.may_approve("sato", &[], person("tanaka", role));
                assert_eq!(approved.is_ok(), role == ClientRole::PolicyOfficer, "{role:?}");
            }
            let author = person("sato", ClientRole::PolicyOfficer);
            assert_eq!(kind.may_approve("sato", &[], author), Err(ActRefusal::Author));
        }
        let act = |reveals| pb::Act {
            act: Some(Act::AddPartner(pb::AddPartnerAct { reveals, ..Default::default() })),
        };
        assert_eq!(ActKind::of(&act(false)), Some(ActKind::AddPartner));
        assert_eq!(ActKind::of(&act(true)), Some(ActKind::AddRevealing));
        assert_eq!(ActKind::AddRevealing.rule(), ActKind::RevealFacts.rule());
    }

    #[test]
    fn an_act_is_shown_to_those_who_ask_for_it_approve_it_or_audit_it() {
        let shown = |kind: ActKind| {
            ClientRole::ALL.into_iter().filter(|role| kind.is_shown_to(*role)).collect::<Vec<_>>()
        };
        use ClientRole::{Admin, Analyst, Auditor, DataProtectionOfficer, PolicyOfficer};
        assert_eq!(shown(ActKind::Erase), [Analyst, Auditor, PolicyOfficer]);
        assert_eq!(shown(ActKind::AddPartner), [Auditor, PolicyOfficer, Admin]);
        let revealing = [Auditor, PolicyOfficer, DataProtectionOfficer];
        assert_eq!(shown(ActKind::RevealPolicy), revealing);
    }

    #[test]
    fn facts_that_may_reveal_a_class_take_the_data_protection_officer_too() {
        let act = |reveals| pb::Act {
            act: Some(Act::ChangeFacts(pb::ChangeFactsAct { reveals, ..Default::default() })),
        };
        assert_eq!(ActKind::of(&act(false)), Some(ActKind::ChangeFacts));
        assert_eq!(ActKind::of(&act(true)), Some(ActKind::RevealFacts));
        let [officer, dpo] = [ClientRole::PolicyOfficer, ClientRole::DataProtectionOfficer];
        let kind = ActKind::RevealFacts;
        assert_eq!(kind.wanted(&[person("tanaka", officer)]), [&[dpo]]);
        assert_eq!(kind.wanted(&[person("mori", dpo)]), [&[officer]]);
        assert!(kind.wanted(&[person("tanaka", officer), person("mori", dpo)]).is_empty());
        for role in ClientRole::ALL {
            let may_propose = matches!(role, ClientRole::Admin | ClientRole::PolicyOfficer);
            assert_eq!(kind.may_propose(role).is_ok(), may_propose, "{role:?}");
        }
    }

    #[test]
    fn a_policy_that_shows_more_takes_another_officer_and_one_that_reveals_also_the_dpo() {
        let of = |change| ActKind::of_policy(change);
        assert_eq!(of(PolicyChange::Narrowing), None);
        assert_eq!(of(PolicyChange::Widening), Some(ActKind::WidenPolicy));
        assert_eq!(of(PolicyChange::Revealing), Some(ActKind::RevealPolicy));
        let officer = person("tanaka", ClientRole::PolicyOfficer);
        let other = person("suzuki", ClientRole::PolicyOfficer);
        let dpo = person("mori", ClientRole::DataProtectionOfficer);
        for kind in [ActKind::WidenPolicy, ActKind::RevealPolicy] {
            for role in ClientRole::ALL {
                let is_officer = role == ClientRole::PolicyOfficer;
                assert_eq!(kind.may_propose(role).is_ok(), is_officer, "{role:?}");
            }
            assert_eq!(kind.may_approve("tanaka", &[], officer), Err(ActRefusal::Author));
            assert_eq!(kind.may_approve("sato", &[], officer), Ok(()));
            let refused = Err(ActRefusal::Role(other.role));
            assert_eq!(kind.may_approve("sato", &[officer], other), refused);
        }
        assert_eq!(
            ActKind::WidenPolicy.may_approve("sato", &[], dpo),
            Err(ActRefusal::Role(dpo.role))
        );
        assert!(ActKind::WidenPolicy.wanted(&[officer]).is_empty());
        // In either order, and neither stands in for the other.
        let reveal = ActKind::RevealPolicy;
        assert_eq!(reveal.may_approve("sato", &[dpo], officer), Ok(()));
        assert_eq!(reveal.may_approve("sato", &[officer], dpo), Ok(()));
        assert_eq!(reveal.wanted(&[officer]), [&[ClientRole::DataProtectionOfficer]]);
        assert_eq!(reveal.wanted(&[dpo]), [&[ClientRole::PolicyOfficer]]);
        assert!(reveal.wanted(&[dpo, officer]).is_empty());
    }

    #[test]
    fn an_act_of_no_known_sort_or_one_that_takes_one_person_is_none() {
        let act = |change: pb::PolicyChange| pb::Act {
            act: Some(Act::ApplyPolicy(pb::ApplyPolicyAct {
                change: change.into(),
                ..Default::default()
            })),
        };
        assert_eq!(ActKind::of(&pb::Act::default()), None);
        assert_eq!(ActKind::of(&act(pb::PolicyChange::Unspecified)), None);
        assert_eq!(ActKind::of(&act(pb::PolicyChange::Narrowing)), None);
        assert_eq!(ActKind::of(&act(pb::PolicyChange::Revealing)), Some(ActKind::RevealPolicy));
    }

    #[test]
    fn one_approval_is_enough_for_an_erasure_and_nobody_approves_twice() {
        let officer = person("tanaka", ClientRole::PolicyOfficer);
        assert_eq!(ActKind::Erase.wanted(&[]).len(), 1);
        assert!(ActKind::Erase.wanted(&[officer]).is_empty());
        let again = ActKind::Erase.may_approve("sato", &[officer], officer);
        assert_eq!(again, Err(ActRefusal::Again));
    }
}
