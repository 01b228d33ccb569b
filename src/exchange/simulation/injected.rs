//! Faults that nodes make on purpose, each in the simulation's own part of what a node does, and the
//! test that the checks find every one. Nothing here is in the program.

use super::checks::Reached;
use super::policies::Book;
use super::simulate;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs within which the checks must find a fault.
const SEEDS_MAX: u64 = 300;

/// A fault of all nodes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Injected {
    /// An older revision is disclosed like the newest.
    OlderShownAnew,
    /// A denied newest revision leaves older ones in use.
    NewestDoesNotDecide,
    /// A withdrawal goes to partners that were given nothing of its series.
    WithdrawalToStrangers,
    /// A withdrawal contains the number and the id of a revision.
    WithdrawalNamesRevision,
    /// Records that a partner refused count as given.
    RefusalForgotten,
    /// An order is carried out whoever signed it.
    ForgedOrderCarriedOut,
    /// A report is taken for an erasure that was not ordered.
    ForgedReportTaken,
    /// Records that were taken back here stay with the partners that they went on to.
    RetractionNotPassedOn,
    /// The own roster decides on records of other originators.
    OwnRosterDecides,
    /// A node whose segments lost their tail starts and signs.
    TailSignedOver,
    /// An order to erase is not passed on.
    OrderNotPassedOn,
    /// An order to erase is receipted and not carried out.
    OrderDropped,
    /// An order is carried out under a hold.
    HoldIgnored,
    /// An erasure after a hold is not reported.
    ReportNotSent,
    /// Slots that anybody marks as erased are kept out for ever.
    MarkKeepsOut,
    /// The word of a partner that it never got a record settles every order to erase it.
    DenialSettles,
}

/// Each fault, with words of the check that finds it.
const FAULTS: [(Injected, &str); 16] = [
    (Injected::OlderShownAnew, "an older revision is never disclosed anew"),
    (Injected::NewestDoesNotDecide, "what policy allowed"),
    (Injected::WithdrawalToStrangers, "what policy allowed"),
    (Injected::WithdrawalNamesRevision, "a withdrawal reveals nothing"),
    (Injected::RefusalForgotten, "did not go from"),
    (Injected::ForgedOrderCarriedOut, "a forged order"),
    (Injected::ForgedReportTaken, "a forged order"),
    (Injected::RetractionNotPassedOn, "more in use"),
    (Injected::OwnRosterDecides, "what policy allowed"),
    (Injected::TailSignedOver, "signed a second root"),
    (Injected::OrderNotPassedOn, "erased"),
    (Injected::OrderDropped, "is not carried out"),
    (Injected::HoldIgnored, "was erased under a hold"),
    (Injected::ReportNotSent, "its erasure was not reported"),
    (Injected::MarkKeepsOut, "holds what policy allowed"),
    (Injected::DenialSettles, "was denied and is never carried out"),
];

/// The objection to a run with a fault, if there is one.
fn objection(seed: u64, fault: Injected, book: &mut Book) -> Option<String> {
    let run = || simulate(seed, Some(fault), book, &mut Reached::default());
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
}

#[test]
fn each_fault_is_found() {
    let mut book = Book::new();
    for (fault, wanted) in FAULTS {
        let mut found = (0..SEEDS_MAX).filter_map(|seed| objection(seed, fault, &mut book));
        let is_found = found.any(|objection| objection.contains(wanted));
        assert!(is_found, "no check of {SEEDS_MAX} runs finds {fault:?}: {wanted:?}");
    }
}
