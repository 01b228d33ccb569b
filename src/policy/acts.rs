//! Acts that take two persons: who may ask for which, and whose yes it needs.
//!
//! Whoever asked never counts, whatever his role. The table is small and total, so that it can be
//! read as the rule that it is.

use super::ClientRole;

/// What can only be done by two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActKind {
    Erase,
    /// What is agreed with a partner changes so that it may see more.
    ChangeFacts,
}

/// Who may ask, and whose approvals are needed: one from each set, all of different persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActRule {
    pub proposers: &'static [ClientRole],
    pub approvers: &'static [&'static [ClientRole]],
}

/// Why somebody may not propose or decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActRefusal {
    #[error("this role may not ask for this act")]
    Proposer,
    #[error("whoever asked for an act does not decide on it; ask a second person")]
    Author,
    #[error("this client has decided on it already")]
    Again,
    #[error("an approval by this role is not wanted for this act")]
    Role,
}

/// A client and its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'a> {
    pub name: &'a str,
    pub role: ClientRole,
}

impl ActKind {
    pub const fn rule(self) -> ActRule {
        match self {
            Self::Erase => ActRule {
                proposers: &[ClientRole::Analyst, ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer]],
            },
            Self::ChangeFacts => ActRule {
                proposers: &[ClientRole::Admin, ClientRole::PolicyOfficer],
                approvers: &[&[ClientRole::PolicyOfficer]],
            },
        }
    }

    pub fn may_propose(self, role: ClientRole) -> Result<(), ActRefusal> {
        if self.rule().proposers.contains(&role) { Ok(()) } else { Err(ActRefusal::Proposer) }
    }

    /// Whether a person may approve after these others did.
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
            Err(ActRefusal::Role)
        }
    }

    /// Whether a person may say no: whoever may approve or might have asked.
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
            Err(ActRefusal::Role)
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

    const fn person(name: &'static str, role: ClientRole) -> Person<'static> {
        Person { name, role }
    }

    #[test]
    fn whoever_asked_never_counts_whatever_the_role() {
        for role in ClientRole::ALL {
            let author = person("sato", role);
            assert_eq!(ActKind::Erase.may_approve("sato", &[], author), Err(ActRefusal::Author));
            assert_eq!(ActKind::Erase.may_refuse("sato", &[], author), Err(ActRefusal::Author));
        }
    }

    #[test]
    fn an_erasure_is_asked_for_by_analysts_and_officers_and_approved_by_an_officer() {
        for role in ClientRole::ALL {
            let may_propose = matches!(role, ClientRole::Analyst | ClientRole::PolicyOfficer);
            assert_eq!(ActKind::Erase.may_propose(role).is_ok(), may_propose, "{role:?}");
            let other = person("tanaka", role);
            let approved = ActKind::Erase.may_approve("sato", &[], other);
            assert_eq!(approved.is_ok(), role == ClientRole::PolicyOfficer, "{role:?}");
            let refused = ActKind::Erase.may_refuse("sato", &[], other);
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
    fn one_approval_is_enough_for_an_erasure_and_nobody_approves_twice() {
        let officer = person("tanaka", ClientRole::PolicyOfficer);
        assert_eq!(ActKind::Erase.wanted(&[]).len(), 1);
        assert!(ActKind::Erase.wanted(&[officer]).is_empty());
        let again = ActKind::Erase.may_approve("sato", &[officer], officer);
        assert_eq!(again, Err(ActRefusal::Again));
    }
}
