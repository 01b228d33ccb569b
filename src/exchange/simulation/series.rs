//! The series of a record in the simulation, and what may go to a partner of it: the rule of
//! `exchange::series` on the verdicts that a caller brings.

use super::injected::Injected;
use super::node::State;
use crate::exchange::{Allowed, Place, SeriesVerdict};
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::signed::Verified;
use crate::record::slots::SlotMask;

/// The records of a record's series.
pub(super) fn series_of<'a>(
    state: &'a State,
    record: &Verified,
) -> impl Iterator<Item = &'a Verified> {
    let (series, originator) = (record.header().series, record.header().originator.clone());
    state.records.values().filter(move |other| {
        other.header().series == series && other.header().originator == originator
    })
}

/// Returns the part of a record that may go to a partner if policy allows these classes of the records
/// of its series. It is empty without `Core`. `injected`: the fault of the node that decides; none for
/// the checks.
pub(super) fn allowed(
    state: &State,
    partner: usize,
    record: &Verified,
    injected: Option<Injected>,
    mut classes_of: impl FnMut(&Verified) -> ClassSet,
) -> Allowed {
    let alone = allowed_alone(state, partner, record, injected, classes_of(record));
    if record.kind() == Kind::Withdrawal {
        return alone;
    }
    let last = series_of(state, record).map(|other| other.header().revision).max();
    let newest = series_of(state, record).filter(|other| Some(other.header().revision) == last);
    let passes_on = injected != Some(Injected::RetractionNotPassedOn);
    let verdicts = newest.map(|newest| {
        let given = state.given.get(&newest.id());
        let classes = classes_of(newest);
        match given {
            _ if newest.kind() == Kind::Withdrawal => SeriesVerdict::Withdrawn,
            Some(given) if given.is_retracted && passes_on => SeriesVerdict::Denied,
            Some(given) if given.from == partner => {
                SeriesVerdict::Shown(SlotClass::ALL.into_iter().collect())
            }
            _ if !classes.contains(SlotClass::Core) => SeriesVerdict::Denied,
            _ if state.restricted.contains_key(&newest.id()) => SeriesVerdict::Unchanged,
            _ => SeriesVerdict::Shown(classes),
        }
    });
    let is_newest = Some(record.header().revision) == last;
    let place = match injected {
        Some(Injected::OlderShownAnew) => Place::Newest,
        _ if is_newest => Place::Newest,
        _ => Place::Older,
    };
    if let (Some(Injected::NewestDoesNotDecide), Allowed::Slots { open, erased }) =
        (injected, alone)
    {
        return if is_newest { alone } else { Allowed::Kept { open, erased } };
    }
    match SeriesVerdict::of(verdicts) {
        Some(series) => series.limit(alone, record.kind(), place),
        None => alone,
    }
}

/// Returns the same without its series. A withdrawal follows whatever was disclosed of its series,
/// whatever policy now decides on it.
fn allowed_alone(
    state: &State,
    partner: usize,
    record: &Verified,
    injected: Option<Injected>,
    classes: ClassSet,
) -> Allowed {
    let given = state.given.get(&record.id());
    if given.is_some_and(|given| given.is_retracted)
        && injected != Some(Injected::RetractionNotPassedOn)
    {
        return Allowed::Nothing;
    }
    let is_restricted = state.restricted.contains_key(&record.id());
    if is_restricted && record.kind() == Kind::Withdrawal {
        return Allowed::AsItIs;
    }
    let relation = &state.relations[&partner];
    let may_go = match record.kind() {
        Kind::Withdrawal if injected == Some(Injected::WithdrawalToStrangers) => true,
        Kind::Withdrawal => series_of(state, record)
            .any(|other| other.id() != record.id() && relation.told(&other.id()).is_some()),
        _ => classes.contains(SlotClass::Core),
    };
    if !may_go {
        return Allowed::Nothing;
    }
    if is_restricted {
        return Allowed::AsItIs;
    }
    let retracted = given.map_or(SlotMask::NONE, |given| given.retracted);
    let slots = record.slots_in(classes.with(SlotClass::Core));
    let open = slots.and(record.open_slots()).without(retracted);
    Allowed::Slots { open, erased: record.erased_slots() }
}
