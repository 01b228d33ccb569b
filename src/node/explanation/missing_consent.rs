//! The remark on a record that its originator alone can release to a partner, with the next step.

use super::decision_context::DecisionContext;
use super::evaluation::Evaluation;
use crate::exchange::OpenRequest;
use crate::ident::RecordId;
use crate::journal::view::Kept;
use crate::node::core::Core;
use crate::policy::if_consented;
use crate::record::consent::{Purpose, Scope, Subject};
use crate::record::header::Header;

/// Returns the remark on a record that its originator alone can release to a partner, and the next
/// step. `None`: its consent would change nothing, or is not wanted.
pub(super) fn missing_consent(
    core: &Core,
    context: &DecisionContext,
    kept: &Kept,
    judged: &Evaluation,
) -> Option<(String, String)> {
    let (id, header) = (kept.record.id(), kept.record.header());
    let (originator, partner) = (&header.originator, &context.agency);
    if originator == core.agency() || judged.is_own || judged.decision.release.allowed {
        return None;
    }
    let facts = context.facts_of(&id, header);
    let consented = if_consented(&facts, partner)?;
    let compiled = &context.rules.compiled;
    let then = compiled.decide(&context.facts, &consented, &context.policy_hour).release;
    if !then.allowed && then.deciding == judged.decision.release.deciding {
        return None;
    }
    let rest = match (then.allowed, &then.deciding[..]) {
        (true, _) => String::new(),
        (false, []) => ", and a policy that permits it".to_owned(),
        (false, forbids) => format!(", and {} stands in the way besides", forbids.join(", ")),
    };
    let circles = facts.circles.as_deref().unwrap_or_default();
    let hour = context.policy_hour.hour();
    let in_force = context.consents.in_force();
    let unknown = circles.iter().find(|circle| !in_force.has_roster(circle, hour));
    let roster = match (circles, unknown) {
        ([], _) => String::new(),
        (_, Some(circle)) => format!(
            ", or its roster of circle {circle} with {partner} in it, and none is in force here"
        ),
        ([circle, ..], None) => {
            format!(", and its roster of circle {circle} does not name {partner}")
        }
    };
    let found = format!("it takes the consent of its originator {originator}{roster}{rest}");
    let snapshot = core.view().snapshot();
    let dealings = &snapshot.state.consents.dealings;
    let asks = |open: &&OpenRequest| {
        let Subject { purpose, scope } = &open.request.subject;
        *purpose == Purpose::Forward(partner.clone()) && covers(scope, &id, header)
    };
    let next = if let Some(open) = dealings.asking(originator).find(asks) {
        format!("{originator} was asked in entry {} and has not answered", open.entry)
    } else if snapshot.state.partners.contains_key(originator) {
        let roster = unknown.map(|circle| {
            let name = &circle.name;
            format!(
                ", or liaison consent ask --all --circle {name} --of {originator} --reason TEXT"
            )
        });
        let roster = roster.unwrap_or_default();
        format!("liaison consent ask {id} --for {partner} --reason TEXT{roster}")
    } else {
        format!(
            "{originator} is not a partner of this node, so it cannot be asked over the exchange; ask \
             it by another way to name {partner} in the record"
        )
    };
    Some((found, next))
}

fn covers(scope: &Scope, id: &RecordId, header: &Header) -> bool {
    match scope {
        Scope::Record(of) => of == id,
        Scope::Operation(code) => header.operation.as_ref() == Some(code),
        Scope::All => true,
    }
}
