//! Faults that nodes make on purpose at the edges of the real code, and the test that the checks find every one.
//! Nothing here is in the program. What is wrong within the decisions is for `cargo mutants`.

use super::BOOK;
use super::machine::Machine;
use super::reached::Reached;
use super::simulate;
use crate::exchange::{CheckedBatch, FeedAction, FeedEntry, Reason};
use crate::ident::RecordId;
use crate::journal::erase::Ground;
use crate::node::disclosure::walk::Looked;
use crate::node::erasure::erase::{HoldChange, change_hold};
use crate::pb;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs within which the checks must find a fault.
const SEEDS_MAX: u64 = 100;

/// A fault of all nodes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Injected {
    /// Every record leaves whole, whatever policy decides at the moment of sending.
    SentWhateverIsAllowed,
    /// Retractions are not written down.
    RetractionNotPassedOn,
    /// An order to erase is not passed on.
    OrderNotPassedOn,
    /// An erasure after a hold is not reported.
    ReportNotSent,
    /// A consent is not sent.
    ConsentNotSent,
    /// An order to erase is receipted and not carried out.
    OrderDropped,
    /// An order is carried out whoever signed it.
    ForgedOrderCarriedOut,
    /// A report is taken for an erasure that was not ordered.
    ForgedReportTaken,
    /// An order is carried out under a hold.
    HoldIgnored,
    /// Records that a partner refused count as given.
    RefusalForgotten,
    /// The word of a partner that it never got something is not kept.
    DenialForgotten,
    /// A node whose segments lost their tail starts and signs.
    TailSignedOver,
}

/// Each fault, with words of the check that finds it.
const FAULTS: [(Injected, &str); 12] = [
    (Injected::SentWhateverIsAllowed, "what policy allowed"),
    (Injected::RetractionNotPassedOn, "more in use"),
    (Injected::OrderNotPassedOn, "holds what"),
    (Injected::ReportNotSent, "its erasure was not reported"),
    (Injected::ConsentNotSent, "every consent arrived"),
    (Injected::OrderDropped, "is not carried out"),
    (Injected::ForgedOrderCarriedOut, "slots 0x6 erased"),
    (Injected::ForgedReportTaken, "a forged order"),
    (Injected::HoldIgnored, "was erased under a hold"),
    (Injected::RefusalForgotten, "did not go from"),
    (Injected::DenialForgotten, "was denied and is never carried out"),
    (Injected::TailSignedOver, "signed a second root"),
];

/// Leaves out entries that a step found.
pub(super) fn after_look(injected: Option<Injected>, mut looked: Looked) -> Looked {
    let left_out = match injected {
        Some(Injected::RetractionNotPassedOn) => pb::FeedAction::Retract,
        Some(Injected::OrderNotPassedOn) => pb::FeedAction::Erase,
        Some(Injected::ReportNotSent) => pb::FeedAction::Erased,
        Some(Injected::ConsentNotSent) => pb::FeedAction::Consent,
        _ => return looked,
    };
    for run in &mut looked.found_mut().runs {
        let keeps: Vec<bool> = run.entries.iter().map(|of| of.action() != left_out).collect();
        let kept = |n: usize| keeps[n];
        let mut at = 0..;
        run.entries.retain(|_| at.next().is_some_and(kept));
        let mut at = 0..;
        run.before.retain(|_| at.next().is_some_and(kept));
    }
    looked
}

/// Changes a batch before it is stored; returns the records of which a hold is to begin again after that.
pub(super) fn before_store(
    injected: Option<Injected>,
    node: &mut Machine,
    partner: usize,
    checked: &mut CheckedBatch,
) -> Vec<RecordId> {
    let mut leave_out = |action: FeedAction| {
        checked.taken.retain(|taken| taken.entry.action != action);
        Vec::new()
    };
    match injected {
        Some(Injected::OrderDropped) => leave_out(FeedAction::Erase),
        Some(Injected::ForgedReportTaken) => leave_out(FeedAction::Erased),
        Some(Injected::ForgedOrderCarriedOut) => {
            for order in orders(checked) {
                carry_out(node, partner, &order);
            }
            Vec::new()
        }
        Some(Injected::HoldIgnored) => {
            let held = orders(checked).into_iter().map(|order| order.record);
            let held: Vec<_> = held.filter(|id| node.notes.held.contains_key(id)).collect();
            let end = HoldChange::End { erases: true };
            held.iter().for_each(|id| change_hold_at(node, id, end));
            held
        }
        _ => Vec::new(),
    }
}

fn orders(checked: &CheckedBatch) -> Vec<FeedEntry> {
    let orders = checked.taken.iter().filter(|taken| taken.entry.action == FeedAction::Erase);
    orders.map(|taken| taken.entry.clone()).collect()
}

fn carry_out(node: &mut Machine, partner: usize, entry: &FeedEntry) {
    let agency = node.agency_of(partner).clone();
    let order = entry.order.unwrap();
    let ground = Ground {
        basis: order.basis,
        authority: String::new(),
        proposal: 0,
        partner: Some((agency, 0)),
        order: Some(order),
    };
    node.commit(|tx| Ok(tx.erase(&entry.record, order.slots, &ground)?)).unwrap();
}

/// Begins or ends a hold, if it is not so already.
pub(super) fn change_hold_at(node: &mut Machine, id: &RecordId, to: HoldChange) {
    drop(node.commit(|tx| change_hold(tx, "nobody", *id, to, "a fault".to_owned())));
}

/// Changes receipts before they are recorded.
pub(super) fn before_receipt(injected: Option<Injected>, receipts: &mut [pb::ReceiptReceived]) {
    let forgotten = match injected {
        Some(Injected::RefusalForgotten) => Reason::Policy,
        Some(Injected::DenialForgotten) => Reason::NotSupplied,
        _ => return,
    };
    let forgotten = pb::ExceptionReason::from(forgotten);
    for receipt in receipts {
        receipt.exceptions.retain(|exception| exception.reason() != forgotten);
    }
}

/// The objection to a run with a fault, if there is one.
fn objection(seed: u64, fault: Injected) -> Option<String> {
    let run = || simulate(seed, Some(fault), &BOOK, &mut Reached::default());
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
}

#[test]
fn each_fault_is_found() {
    for (fault, wanted) in FAULTS {
        let objections = (0..SEEDS_MAX).filter_map(|seed| objection(seed, fault));
        let mut others = Vec::new();
        let is_found = objections.into_iter().any(|objection| {
            let is_wanted = objection.contains(wanted);
            others.push(objection);
            is_wanted
        });
        assert!(is_found, "no check of {SEEDS_MAX} runs finds {fault:?}: {wanted:?}; {others:#?}");
    }
}
