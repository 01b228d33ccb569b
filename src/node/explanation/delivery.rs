//! The position of a record on its way to a partner, from its acceptance to the partner's receipt.
//!
//! The way is a list of steps, each of which looks at one thing. The first that something stands at
//! ends the walk; what lies behind it is not looked at.

use super::Explanations;
use super::decision_context::DecisionContext;
use super::evaluation::{Evaluation, hold_in_words, lag_of, sees_content};
use super::missing_consent::missing_consent;
use crate::exchange::Reason;
use crate::ident::{AgencyName, RecordId};
use crate::journal::gate::Standing;
use crate::journal::held::HeldState;
use crate::journal::index::Disclosure;
use crate::journal::progress::Progress;
use crate::journal::state::PartnerRecord;
use crate::journal::view::Kept;
use crate::node::error::NodeError;
use crate::node::partners::partner_facts::unknown;
use crate::pb;
use crate::policy::Visibility;
use crate::record::kind::Kind;
use crate::record::slots::SlotNumber;

/// The result of a step.
enum Found {
    /// Nothing hinders the record here.
    Passed(String),
    /// It stands here.
    Stands { found: String, next: String },
}

type Look = fn(&Walk<'_>) -> Result<Found, NodeError>;

/// The way, in order.
const STEPS: [(&str, Look); 14] = [
    ("accepted", accepted),
    ("usable", usable),
    ("partner", partner),
    ("signing", signing),
    ("policy", policy),
    ("receipts", receipts),
    ("considered", considered),
    ("decision", decision),
    ("references", references),
    ("release", release),
    ("feed", feed),
    ("connection", connection),
    ("receipt", receipt),
    ("taken", taken),
];

/// A record on its way, with what every step needs to know.
struct Walk<'a> {
    explanations: &'a Explanations,
    agency: &'a AgencyName,
    /// The records that the asking client may see.
    visibility: &'a Visibility,
    id: RecordId,
    partner: PartnerRecord,
    context: DecisionContext,
    /// The record, once it is known to be here.
    here: Option<(Kept, Evaluation)>,
    /// The disclosure of it in the feed to the partner.
    disclosure: Option<Disclosure>,
}

impl Walk<'_> {
    fn kept(&self) -> Option<&Kept> {
        self.here.as_ref().map(|(kept, _)| kept)
    }

    /// The partner has it and its receipt covers that: what happened here since does not matter any
    /// more.
    fn is_receipted(&self) -> bool {
        let receipted = self.partner.receipted;
        self.is_in_feed() && self.disclosure.is_some_and(|shown| shown.feed_index < receipted)
    }

    /// Returns the progress of the feed.
    fn progress(&self) -> Progress {
        let snapshot = self.explanations.core.view().snapshot();
        let written = self.partner.published.progress;
        let progress = self.explanations.health.of(self.agency).progress.unwrap_or(written);
        progress.under(snapshot.state.rules_since(self.agency))
    }

    fn is_in_feed(&self) -> bool {
        self.disclosure.is_some_and(|disclosure| disclosure.disclosed.is_live())
    }
}

impl Explanations {
    /// Returns the position of a record on its way to a partner.
    pub fn delivery(
        &self,
        id: RecordId,
        agency: &AgencyName,
        visibility: &Visibility,
    ) -> Result<pb::ExplainDeliveryResponse, NodeError> {
        let snapshot = self.core.view().snapshot();
        let partner = snapshot.state.partners.get(agency).ok_or_else(|| unknown(agency))?;
        let context = self.context(agency)?;
        let here = match self.core.view().kept(&id)? {
            Some(kept) => {
                let judged = self.judge(&context, &kept)?;
                Some((kept, judged))
            }
            None => None,
        };
        let disclosure = self.core.view().disclosure(context.feed, &id)?;
        let disclosure = disclosure.filter(|known| !known.disclosed.is_earlier);
        let partner = partner.clone();
        let walk =
            Walk { explanations: self, agency, visibility, id, partner, context, here, disclosure };
        walked(&walk)
    }
}

fn walked(walk: &Walk<'_>) -> Result<pb::ExplainDeliveryResponse, NodeError> {
    let mut answer = pb::ExplainDeliveryResponse::default();
    for (name, look) in STEPS {
        let (state, detail) = if answer.stands_at.is_empty() {
            match look(walk)? {
                Found::Passed(detail) => (pb::DeliveryState::Passed, detail),
                Found::Stands { found, next } => {
                    name.clone_into(&mut answer.stands_at);
                    answer.next = next;
                    (pb::DeliveryState::Stands, found)
                }
            }
        } else {
            (pb::DeliveryState::NotReached, String::new())
        };
        answer.steps.push(pb::DeliveryStep { name: name.to_owned(), state: state.into(), detail });
    }
    Ok(answer)
}

fn passed(detail: impl Into<String>) -> Result<Found, NodeError> {
    Ok(Found::Passed(detail.into()))
}

fn stands(found: impl Into<String>, next: impl Into<String>) -> Result<Found, NodeError> {
    Ok(Found::Stands { found: found.into(), next: next.into() })
}

fn accepted(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let Some((kept, judged)) = &walk.here else {
        return stands(
            format!("this node holds no record {}", walk.id),
            "find it with `liaison query`, or ask its originator whether it was disclosed to you",
        );
    };
    if judged.is_own {
        return stands(
            format!("it is a record of {0}, or {0} sent it here", walk.agency),
            "nothing: what a partner gave is not sent back to it",
        );
    }
    let from = kept.partner.as_ref().map_or("a client of this node", AgencyName::as_str);
    passed(format!("journal entry {} at {}, from {from}", kept.journal_index, kept.accepted_at))
}

fn usable(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let Some((kept, judged)) = &walk.here else { return passed("") };
    if !walk.is_receipted() {
        if let Some(found) = hold_in_words(&judged.history) {
            let next = format!("a policy officer ends it: liaison record unrestrict {}", walk.id);
            return stands(found, next);
        }
        if let Some(at) = judged.history.retracted {
            let from = kept.partner.as_ref().map_or("its sender", AgencyName::as_str);
            return stands(
                format!("{from} retracted it at {at}: it is not passed on"),
                format!("ask {from} whether it will be disclosed again"),
            );
        }
    }
    match kept.record.erased_slots() {
        none if none.is_empty() => passed("no hold, no retraction, no erasure"),
        erased => {
            let names = names_of(kept, |slot| erased.contains(slot));
            passed(format!("no hold, no retraction; erased here: {names}"))
        }
    }
}

fn partner(walk: &Walk<'_>) -> Result<Found, NodeError> {
    match walk.explanations.pause_of(walk.agency, &walk.partner).filter(|_| !walk.is_receipted()) {
        Some((found, next)) => stands(found, next),
        None => passed(format!("{} is active", walk.agency)),
    }
}

fn signing(walk: &Walk<'_>) -> Result<Found, NodeError> {
    match walk.explanations.core.journal.gate().standing() {
        Standing::Open => passed("this node signs"),
        Standing::Held => stands(
            "this node asks its partners whether it runs on an old copy, and signs nothing yet",
            "wait, or see who is awaited: liaison status",
        ),
        Standing::Doubted(reason) => stands(
            format!("the clock is in doubt, and nothing is signed: {reason}"),
            "set the clock right, or if it is right: liaison clock confirm",
        ),
        Standing::Shut(reason) => stands(
            format!("this node runs on an old copy of its directory and signs nothing: {reason}"),
            "bring back the newest copy; see Backup in docs/OPERATIONS.md",
        ),
    }
}

fn policy(walk: &Walk<'_>) -> Result<Found, NodeError> {
    match &walk.context.applied {
        Some((since, client)) => passed(format!(
            "version {}, in force since {since}, applied by {client}",
            walk.context.rules.version.get()
        )),
        None => {
            stands("no policy is in force: nothing is shared", "liaison policy apply DIRECTORY")
        }
    }
}

fn receipts(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let unreceipted = walk.partner.published.size.saturating_sub(walk.partner.receipted);
    match lag_of(walk.agency, &walk.partner).filter(|_| !walk.is_in_feed()) {
        Some((found, next)) => stands(found, next),
        None => passed(format!("{unreceipted} entries of the feed have no receipt yet")),
    }
}

fn considered(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let health = walk.explanations.health.of(walk.agency);
    let progress = walk.progress();
    let Progress { considered, rescan } = progress;
    let index = walk.kept().map_or(0, |kept| kept.journal_index);
    if walk.is_in_feed() || considered > index && !(rescan.next..rescan.end).contains(&index) {
        return passed(format!("journal entries below {considered} were considered"));
    }
    if considered > index {
        return stands(
            format!(
                "the policy or the agreement with {} changed, so earlier entries are considered again: {} of \
                 {} are done, and this one is not yet",
                walk.agency, rescan.next, rescan.end
            ),
            "wait; `liaison status` shows how far it is",
        );
    }
    let found = format!(
        "{} journal entries come before it, of those that are not considered yet",
        index.saturating_sub(considered)
    );
    let next = match health.last_error.as_str() {
        "" => "wait; `liaison partner list` shows the lag".to_owned(),
        error => format!("see why considering does not go on: {error}"),
    };
    stands(found, next)
}

fn decision(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let Some((kept, judged)) = &walk.here else { return passed("") };
    if walk.is_receipted() {
        return passed("it was allowed when it was disclosed");
    }
    let explain = format!("liaison policy explain --record {} --partner {}", walk.id, walk.agency);
    let release = &judged.decision.release;
    if judged.permitted.is_some() {
        return passed(format!("allowed by {}", release.deciding.join(", ")));
    }
    if kept.record.kind() == Kind::Withdrawal {
        return stands(
            format!(
                "it is a withdrawal, and {} was never given the records that it withdraws",
                walk.agency
            ),
            "nothing",
        );
    }
    if judged.decision.erred() {
        return stands("a policy could not be evaluated, which denies", explain);
    }
    if let Some(series) = judged.series.as_ref().filter(|_| release.allowed) {
        return stands(series.clone(), explain);
    }
    let found = match release.deciding.as_slice() {
        [] => "denied: nothing permits it".to_owned(),
        forbids => format!("denied by {}", forbids.join(", ")),
    };
    match missing_consent(&walk.explanations.core, &walk.context, kept, judged) {
        Some((missing, next)) => stands(format!("{found}: {missing}"), next),
        None => stands(found, explain),
    }
}

fn references(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let Some((kept, judged)) = &walk.here else { return passed("") };
    if let Some(series) = &judged.series {
        return passed(series.clone());
    }
    if !sees_content(walk.visibility, kept) {
        return passed("you may see its header alone, so what it refers to is not shown");
    }
    let permitted = judged.permitted.unwrap_or_default();
    let hidden = kept.record.slots_in(judged.decision.revealed).and(judged.here).without(permitted);
    let mut reasons = Vec::new();
    for slot in SlotNumber::of(kept.record.kind()).filter(|slot| hidden.contains(*slot)) {
        let reason =
            walk.explanations.hidden_references(&walk.context, kept, slot, walk.visibility)?;
        reasons.push(format!("{} is withheld: {reason}", slot.spec(kept.record.kind()).name));
    }
    // The record goes without these fields, and they follow when that changes.
    passed(if reasons.is_empty() { "none is withheld".to_owned() } else { reasons.join("; ") })
}

/// Checks that the brake does not hold it for two persons.
fn release(walk: &Walk<'_>) -> Result<Found, NodeError> {
    match walk.explanations.core.view().held_state(walk.context.number, &walk.id)? {
        Some(HeldState::Waiting) => stands(
            "it is allowed and unusual, so it waits for two persons",
            "see why with `liaison release list`, and decide with `liaison release allow` or `refuse`",
        ),
        Some(HeldState::Refused) => stands(
            "two persons refused to release it",
            format!("nothing: it never goes to {}", walk.agency),
        ),
        Some(HeldState::Released) => passed("two persons released it"),
        None => passed("nothing about it is unusual"),
    }
}

fn feed(walk: &Walk<'_>) -> Result<Found, NodeError> {
    match walk.disclosure {
        Some(disclosure) if walk.is_in_feed() => {
            let size = walk.partner.published.size;
            let shown =
                walk.kept().map(|kept| names_of(kept, |s| disclosure.disclosed.slots.contains(s)));
            let (index, shown) = (disclosure.feed_index, shown.unwrap_or_default());
            passed(format!("entry {index} of {size} under a signed head; fields {shown}"))
        }
        Some(disclosure) => stands(
            format!(
                "it was taken back from {}, which had it by entry {}",
                walk.agency, disclosure.feed_index
            ),
            "nothing, unless policy is to allow it again",
        ),
        None => stands(
            "policy allows it since this hour, and it is not in the feed",
            "push a revision, or apply the policy again: time alone makes nothing be looked at again",
        ),
    }
}

fn connection(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let health = walk.explanations.health.of(walk.agency);
    let since = health.since.map_or_else(String::new, |since| format!(" since {since}"));
    if health.connected {
        return passed(format!("the stream is up{since}"));
    }
    if walk.is_receipted() {
        return passed(format!("no stream{since}; it was received before"));
    }
    let why = match health.last_error.as_str() {
        "" => String::new(),
        error => format!(": {error}"),
    };
    let next = match walk.partner.card.card().addresses.first() {
        Some(address) => format!("see whether {address} can be reached, and {} runs", walk.agency),
        None => format!("{} dials out only; see whether it runs", walk.agency),
    };
    stands(format!("there is no stream{since}{why}"), next)
}

fn receipt(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let (size, receipted) = (walk.partner.published.size, walk.partner.receipted);
    if walk.is_receipted() {
        return passed(format!("the receipt of {} covers {receipted} of {size}", walk.agency));
    }
    let health = walk.explanations.health.of(walk.agency);
    let next = match health.stopped.as_str() {
        "" => format!("wait; receipts usually take {} ms", health.receipt_ms_p50),
        why => format!("see why the feed does not go on: {why}"),
    };
    stands(
        format!("{} gave receipts for {receipted} of {size} entries, not for this", walk.agency),
        next,
    )
}

fn taken(walk: &Walk<'_>) -> Result<Found, NodeError> {
    let Some(disclosure) = walk.disclosure else { return passed("") };
    let (feed, below) = (walk.context.feed, walk.partner.offering.below);
    if let Some(order) = walk.explanations.core.view().contradicted_order(feed, below, &walk.id)? {
        return stands(
            format!(
                "the order to erase it, entry {order}, is answered with the word that {0} never got the record; \
                 a receipt of {0} shows that it took it",
                walk.agency
            ),
            format!(
                "show {} its receipt, which `liaison audit prove {}` writes{}",
                walk.agency,
                walk.id,
                offered_again(walk)
            ),
        );
    }
    match walk.explanations.core.view().not_taken(feed, disclosure.feed_index)? {
        None => passed(format!("{} holds it", walk.agency)),
        Some(exception) => {
            let (reason, next) = exception_in_words(exception.reason(), walk.agency);
            let detail = match exception.detail.as_str() {
                "" => String::new(),
                detail => format!(" ({detail})"),
            };
            let is_refusal = Reason::try_from(exception.reason).is_ok_and(Reason::is_refusal);
            let again = if is_refusal { offered_again(walk) } else { String::new() };
            let next = format!("{next}{again}");
            stands(format!("{} did not take it: {reason}{detail}", walk.agency), next)
        }
    }
}

/// Returns in words the time at which refused records are offered again; empty if that is not
/// known.
fn offered_again(walk: &Walk<'_>) -> String {
    let acceptance = walk.explanations.health.with(walk.agency, |peer| peer.acceptance);
    let again = walk.partner.offering.due_at(acceptance);
    again.map_or_else(String::new, |at| {
        format!("; it is offered again when that agency's rules change, or at {at}")
    })
}

fn exception_in_words(reason: pb::ExceptionReason, agency: &AgencyName) -> (&'static str, String) {
    use pb::ExceptionReason as Reason;
    match reason {
        Reason::Unspecified => ("it gave no reason", format!("ask {agency}")),
        Reason::Malformed => {
            ("the record breaks its form", format!("compare versions with {agency}"))
        }
        Reason::Signature => (
            "the originator's signature or key is not known there",
            format!("{agency} must hold the originator's newest card"),
        ),
        Reason::Policy => (
            "its own policy does not accept it",
            format!("ask {agency} for a policy that accepts such records"),
        ),
        Reason::NotSupplied => (
            "it was sent without the record, because it could no longer be shown",
            "see the decision: liaison policy explain".to_owned(),
        ),
        Reason::HeldAsEvidence => ("it holds the record as evidence", "nothing".to_owned()),
        Reason::NotOrdered => {
            ("the duty was not ordered by its originator", format!("ask {agency}"))
        }
        Reason::OverLimit => (
            "the batch asked it to write more than one batch may",
            "nothing: it is offered again".to_owned(),
        ),
    }
}

fn names_of(kept: &Kept, wanted: impl Fn(SlotNumber) -> bool) -> String {
    let kind = kept.record.kind();
    let names = SlotNumber::of(kind).filter(|slot| wanted(*slot)).map(|slot| slot.spec(kind).name);
    names.collect::<Vec<_>>().join(", ")
}
