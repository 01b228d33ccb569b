//! The one function that decides whether a record goes to a partner, and which classes of fields.
//!
//! A decision is a function of bundle, partner, record and hour. Any error of evaluation denies:
//! Cedar itself skips a policy that errs, and would so allow what an erring forbid should stop.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::pst::{ActionConstraint, EntityOrSlot, EntityUID, PrincipalConstraint};
use cedar_policy::{Entities, EntityUid, PolicySet, Request};

use super::bundle::{Bundle, Statement};
use super::cedar::{self, AUTHORIZER, Action};
use super::facts::{FactsError, PartnerFacts, RecordFacts};
use super::parts::{Asking, Drafting, Questions, Rule};
use super::policy_hour::PolicyHour;
use crate::ident::AgencyName;
use crate::record::kind::{ClassSet, SlotClass};

/// Our own record is shared, one of another originator is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseAction {
    Share,
    Forward,
}

impl ReleaseAction {
    pub const fn name(self) -> &'static str {
        self.action().name()
    }

    pub(super) const fn action(self) -> Action {
        match self {
            Self::Share => Action::Share,
            Self::Forward => Action::Forward,
        }
    }
}

/// A policy that could not be evaluated, or facts that could not be put to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The id of the policy; empty when no policy was reached.
    pub policy: String,
    pub reason: String,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    pub allowed: bool,
    /// The ids of the permits when allowed, of the forbids when forbidden, sorted; none when
    /// nothing permits.
    pub deciding: Vec<String>,
    /// Not empty: denied whatever the policies say, and somebody must look.
    pub faults: Vec<Fault>,
}

impl Verdict {
    fn fault(error: &FactsError) -> Self {
        let fault = Fault { policy: String::new(), reason: error.to_string() };
        Self { allowed: false, deciding: vec![], faults: vec![fault] }
    }
}

/// The decision on a record for a partner: its release, and the revealed classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub action: ReleaseAction,
    pub release: Verdict,
    /// `Core` if and only if the release is allowed; nothing without it.
    pub revealed: ClassSet,
    /// The verdict on each sensitive class, in the order of [`SlotClass::SENSITIVE`]; none when
    /// the release is denied. A class that no policy of the partner permits has no reasons.
    pub classes: Vec<(SlotClass, Verdict)>,
}

impl Decision {
    /// Something could not be evaluated. It was denied, and that is an alarm, not a result.
    pub fn erred(&self) -> bool {
        let classes = self.classes.iter().map(|(_, verdict)| verdict);
        std::iter::once(&self.release).chain(classes).any(|verdict| !verdict.faults.is_empty())
    }
}

/// A bundle made ready to decide for one node.
#[derive(Debug, Clone)]
pub struct Compiled {
    bundle: Arc<Bundle>,
    own: AgencyName,
    partners: HashMap<PartnerFacts, Arc<PartnerPolicy>>,
}

impl Compiled {
    /// For the node of the agency `own`, with these partners made ready. Others are made ready
    /// each time that they are asked about, at the price of some ten decisions.
    pub fn new(
        bundle: Arc<Bundle>,
        own: AgencyName,
        partners: impl IntoIterator<Item = PartnerFacts>,
    ) -> Self {
        Self { bundle, own, partners: HashMap::new() }.with_partners(partners)
    }

    /// The same bundle with these partners made ready. Those that are ready here are shared: whoever
    /// keeps what was compiled before keeps little more than what changed.
    #[must_use]
    pub fn with_partners(&self, partners: impl IntoIterator<Item = PartnerFacts>) -> Self {
        let ready = |partner: PartnerFacts| {
            let policy = self.for_partner(&partner);
            (partner, policy)
        };
        let partners = partners.into_iter().map(ready).collect();
        Self { bundle: Arc::clone(&self.bundle), own: self.own.clone(), partners }
    }

    pub const fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    pub const fn own(&self) -> &AgencyName {
        &self.own
    }

    /// The part of the bundle that concerns this partner.
    pub fn for_partner(&self, partner: &PartnerFacts) -> Arc<PartnerPolicy> {
        self.partners
            .get(partner)
            .cloned()
            .unwrap_or_else(|| Arc::new(PartnerPolicy::new(&self.bundle, &self.own, partner)))
    }

    /// May the record go to the partner now, and which of its classes?
    pub fn decide(
        &self,
        partner: &PartnerFacts,
        record: &RecordFacts,
        policy_hour: &PolicyHour,
    ) -> Decision {
        self.for_partner(partner).decide(record, policy_hour)
    }

    /// May the partner send us this record now?
    pub fn accepts(
        &self,
        partner: &PartnerFacts,
        record: &RecordFacts,
        policy_hour: &PolicyHour,
    ) -> Verdict {
        self.for_partner(partner).accepts(record, policy_hour)
    }
}

/// The policies whose heads match one partner and one action.
#[derive(Debug, Clone, Default)]
pub(super) struct Slice {
    pub(super) policies: PolicySet,
    pub(super) statements: Vec<Statement>,
    /// The same in parts; `None`: can only be asked plainly.
    rules: Option<Vec<Rule>>,
}

impl Slice {
    fn new<'a>(statements: impl Iterator<Item = &'a Statement>) -> Self {
        let statements: Vec<_> = statements.cloned().collect();
        let policies = PolicySet::from_policies(statements.iter().map(|s| s.policy.clone()))
            .expect("the ids of a bundle are unique, see Bundle::load");
        Self { policies, statements, rules: None }
    }

    /// Without a permit the answer is "no" before any question.
    pub(super) fn can_permit(&self) -> bool {
        self.statements.iter().any(|statement| statement.permits)
    }
}

/// The policy of a bundle for one partner: its slices, and a store with the partner in it.
#[derive(Debug, Clone)]
pub struct PartnerPolicy {
    own: AgencyName,
    uid: EntityUid,
    store: Result<Entities, FactsError>,
    share: Slice,
    forward: Slice,
    accept: Slice,
    reveal: [Slice; SlotClass::SENSITIVE.len()],
    questions: Questions,
}

impl PartnerPolicy {
    pub(super) fn new(bundle: &Bundle, own: &AgencyName, partner: &PartnerFacts) -> Self {
        let scope = PartnerScope::of(partner);
        let slice = |action: Action| {
            Slice::new(bundle.statements().iter().filter(|s| scope.matches(s, action)))
        };
        let reveal = SlotClass::SENSITIVE.map(|class| slice(Action::Reveal(class)));
        let asked = SlotClass::SENSITIVE
            .into_iter()
            .zip(&reveal)
            .filter(|(_, slice)| slice.can_permit())
            .map(|(class, _)| Action::Reveal(class))
            .chain([Action::Share, Action::Forward, Action::Accept]);
        let mut policy = Self {
            own: own.clone(),
            uid: cedar::partner_uid(&partner.agency),
            store: cedar::partner_store(own, partner, asked),
            share: slice(Action::Share),
            forward: slice(Action::Forward),
            accept: slice(Action::Accept),
            reveal,
            questions: Questions::default(),
        };
        policy.draft();
        policy
    }

    fn draft(&mut self) {
        let Ok(store) = &self.store else { return };
        let mut drafting = Drafting::new(&self.uid, store);
        let classes = SlotClass::SENSITIVE.map(Action::Reveal).into_iter().zip(&mut self.reveal);
        [
            (Action::Share, &mut self.share),
            (Action::Forward, &mut self.forward),
            (Action::Accept, &mut self.accept),
        ]
        .into_iter()
        .chain(classes.filter(|(_, slice)| slice.can_permit()))
        .for_each(|(action, slice)| slice.rules = drafting.rules(&slice.statements, action));
        self.questions = drafting.finish();
    }

    /// See [`Compiled::decide`].
    pub fn decide(&self, record: &RecordFacts, policy_hour: &PolicyHour) -> Decision {
        let action = self.release_action(record);
        let store = match self.store_with(record) {
            Ok(store) => store,
            Err(error) => {
                let release = Verdict::fault(&error);
                return Decision { action, release, revealed: ClassSet::EMPTY, classes: vec![] };
            }
        };
        let mut asking = Asking::new(&self.questions, &store);
        let release = self.ask(action.action(), &mut asking, policy_hour);
        if !release.allowed {
            return Decision { action, release, revealed: ClassSet::EMPTY, classes: vec![] };
        }
        let classes: Vec<_> = SlotClass::SENSITIVE
            .into_iter()
            .map(|class| (class, self.ask(Action::Reveal(class), &mut asking, policy_hour)))
            .collect();
        let allowed = classes.iter().filter(|(_, verdict)| verdict.allowed);
        let revealed = allowed.fold(ClassSet::CORE, |set, (class, _)| set.with(*class));
        Decision { action, release, revealed, classes }
    }

    /// See [`Compiled::accepts`].
    pub fn accepts(&self, record: &RecordFacts, policy_hour: &PolicyHour) -> Verdict {
        match self.store_with(record) {
            Ok(store) => {
                self.ask(Action::Accept, &mut Asking::new(&self.questions, &store), policy_hour)
            }
            Err(error) => Verdict::fault(&error),
        }
    }

    pub(super) fn release_action(&self, record: &RecordFacts) -> ReleaseAction {
        if record.originator == self.own { ReleaseAction::Share } else { ReleaseAction::Forward }
    }

    pub(super) const fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// The store without a record.
    pub(super) const fn store(&self) -> &Result<Entities, FactsError> {
        &self.store
    }

    pub(super) fn store_with(&self, record: &RecordFacts) -> Result<Entities, FactsError> {
        cedar::with_record(self.store.as_ref().map_err(Clone::clone)?, record)
    }

    pub(super) fn slice(&self, action: Action) -> &Slice {
        match action {
            Action::Share => &self.share,
            Action::Forward => &self.forward,
            Action::Accept | Action::Reveal(SlotClass::Core) => &self.accept,
            Action::Reveal(SlotClass::Victim) => &self.reveal[0],
            Action::Reveal(SlotClass::Reporter) => &self.reveal[1],
            Action::Reveal(SlotClass::Source) => &self.reveal[2],
            Action::Reveal(SlotClass::Evidence) => &self.reveal[3],
            Action::Reveal(SlotClass::Notes) => &self.reveal[4],
            Action::Reveal(SlotClass::Links) => &self.reveal[5],
        }
    }

    fn ask(&self, action: Action, asking: &mut Asking<'_>, policy_hour: &PolicyHour) -> Verdict {
        let slice = self.slice(action);
        if matches!(action, Action::Reveal(_)) && !slice.can_permit() {
            return Verdict::default();
        }
        let request = match cedar::request(&self.uid, action, policy_hour) {
            Ok(request) => request,
            Err(error) => return Verdict::fault(&error),
        };
        let in_parts = slice.rules.as_ref().and_then(|rules| asking.ask(rules, &request));
        in_parts.unwrap_or_else(|| plain(slice, &request, asking.store()))
    }
}

/// Returns Cedar's verdict on all policies in one request.
fn plain(slice: &Slice, request: &Request, store: &Entities) -> Verdict {
    verdict(&AUTHORIZER.is_authorized(request, &slice.policies, store))
}

/// Cedar's answer with our rule on top: an error denies.
fn verdict(response: &cedar_policy::Response) -> Verdict {
    let said = response.diagnostics();
    let mut faults: Vec<_> = said
        .errors()
        .map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                Fault { policy: error.policy_id().to_string(), reason: error.inner().to_string() }
            }
        })
        .collect();
    faults.sort();
    let permitted = response.decision() == cedar_policy::Decision::Allow;
    let mut deciding: Vec<_> = said.reason().map(ToString::to_string).collect();
    if permitted && !faults.is_empty() {
        deciding.clear();
    }
    deciding.sort();
    Verdict { allowed: permitted && faults.is_empty(), deciding, faults }
}

/// The partner's values that the head of a policy is compared with.
pub(super) struct PartnerScope {
    agency: String,
    circles: Vec<String>,
}

impl PartnerScope {
    pub(super) fn of(partner: &PartnerFacts) -> Self {
        Self { agency: partner.agency.to_string(), circles: partner.circles.clone() }
    }

    pub(super) fn matches(&self, statement: &Statement, action: Action) -> bool {
        self.principal_matches(&statement.body.principal)
            && action_matches(&statement.body.action, action)
    }

    pub(super) fn principal_matches(&self, constraint: &PrincipalConstraint) -> bool {
        match constraint {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(kind) => is_named(&kind.0, "Partner"),
            PrincipalConstraint::Eq(entity) => self.is(entity),
            PrincipalConstraint::In(entity) => self.is_in(entity),
            PrincipalConstraint::IsIn(kind, entity) => {
                is_named(&kind.0, "Partner") && self.is_in(entity)
            }
        }
    }

    fn is(&self, entity: &EntityOrSlot) -> bool {
        matches!(entity, EntityOrSlot::Entity(uid)
            if is_named(&uid.ty.0, "Partner") && uid.eid == self.agency)
    }

    fn is_in(&self, entity: &EntityOrSlot) -> bool {
        let in_circle = matches!(entity, EntityOrSlot::Entity(uid)
            if is_named(&uid.ty.0, "Circle") && self.circles.iter().any(|circle| uid.eid == *circle));
        in_circle || self.is(entity)
    }
}

pub(super) fn action_matches(constraint: &ActionConstraint, action: Action) -> bool {
    let is = |uid: &EntityUID| is_named(&uid.ty.0, "Action") && uid.eid == action.name();
    let is_in = |uid: &EntityUID| {
        let in_group =
            is_named(&uid.ty.0, "Action") && action.group().is_some_and(|group| uid.eid == group);
        in_group || is(uid)
    };
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(uid),
        ActionConstraint::In(uids) => uids.iter().any(is_in),
    }
}

fn is_named(name: &cedar_policy::pst::Name, basename: &str) -> bool {
    let in_liaison = matches!(name.namespace.as_slice(), [only] if only.as_str() == "Liaison");
    in_liaison && name.id.as_str() == basename
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(super) mod tests;
