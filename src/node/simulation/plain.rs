//! The records that may go to a partner, restated in plain words from what a node holds: the checks compare with it what real
//! nodes sent and hold.

use super::policies::{Asked, Book, Lets};
use super::reading::{Held, Reading};
use crate::exchange::{Allowed, Place, SeriesVerdict};
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::record::consent::Purpose;
use crate::record::header::Header;
use crate::record::kind::{ClassSet, Kind, SlotClass};
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, BTreeSet};

/// The view of one node on one partner.
pub(super) struct Plain<'a> {
    pub(super) book: &'a Book,
    pub(super) asked: Asked,
    pub(super) reading: &'a Reading,
    /// The consents of originators to this node.
    pub(super) let_on: &'a BTreeMap<(AgencyName, u64), Purpose>,
    /// The records that stand in feeds to the partner.
    pub(super) told: BTreeSet<RecordId>,
    /// Those of them that it may use.
    pub(super) live: BTreeSet<RecordId>,
    /// The records whose disclosure waits for persons, or was refused by them.
    pub(super) held_back: BTreeSet<RecordId>,
}

/// The part of a record that a partner must have in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Shown(SlotMask),
    /// An older revision: these slots, as far as it has them already.
    AtMost(SlotMask),
    Nothing,
    /// The slots that it has: a hold keeps them as they are.
    Unchanged,
    /// The slots that it has already, with the withdrawal.
    Withdrawn,
}

impl Wanted {
    /// The slots that it may have.
    pub(super) fn slots(self) -> SlotMask {
        match self {
            Self::Shown(slots) | Self::AtMost(slots) => slots,
            Self::Nothing => SlotMask::NONE,
            Self::Unchanged | Self::Withdrawn => SlotMask::from_bits(u32::MAX),
        }
    }
}

/// The word of the originator of a record about an agency, to a node that was given these consents.
pub(super) fn lets_on(
    let_on: &BTreeMap<(AgencyName, u64), Purpose>,
    header: &Header,
    to: &AgencyName,
) -> Lets {
    let of_originator = let_on.iter().filter(|((of, _), _)| *of == header.originator);
    let is_marked = |circle: &str| header.marking.circles.iter().flatten().any(|c| c == circle);
    let mut lets = Lets { by_name: false, in_circle: false };
    for (_, purpose) in of_originator {
        match purpose {
            Purpose::Forward(third) => lets.by_name |= third == to,
            Purpose::Circle(roster) => {
                lets.in_circle |= is_marked(roster.circle()) && roster.members().contains(to);
            }
            Purpose::Evidence => {}
        }
    }
    lets
}

impl Plain<'_> {
    pub(super) fn lets(&self, header: &Header) -> Lets {
        lets_on(self.let_on, header, self.book.agency(self.asked.partner))
    }

    fn classes(&self, held: &Held) -> ClassSet {
        self.book.plainly(self.asked, held.header(), self.lets(held.header()))
    }

    fn is_from_partner(&self, held: &Held) -> bool {
        held.given.is_some_and(|given| given.from == self.asked.partner)
    }

    fn newest<'a>(&'a self, held: &'a Held) -> impl Iterator<Item = (&'a RecordId, &'a Held)> {
        let last = self.reading.series(held.header()).map(|(_, of)| of.header().revision).max();
        self.reading.series(held.header()).filter(move |(_, of)| Some(of.header().revision) == last)
    }

    fn is_newest(&self, held: &Held) -> bool {
        self.newest(held).any(|(_, of)| of.header().revision == held.header().revision)
    }

    /// Returns true if another record of the series stands in a feed to the partner.
    fn knows_series(&self, id: &RecordId, held: &Held) -> bool {
        self.reading.series(held.header()).any(|(of, _)| of != id && self.told.contains(of))
    }

    /// Returns the slots of an entry that may leave now, of which all must be let go or none goes.
    pub(super) fn to_send(&self, id: &RecordId, slots: SlotMask) -> Option<SlotMask> {
        match self.allowed(id) {
            // The feed takes it back further on.
            Allowed::Kept { .. } if !self.live.contains(id) => None,
            Allowed::Slots { open, erased } | Allowed::Kept { open, erased } => {
                slots.without(open).without(erased).is_empty().then_some(slots.and(open))
            }
            Allowed::Nothing | Allowed::AsItIs => None,
        }
    }

    /// Returns whether the partner sees everything that a record is about; `None` where that is not known here.
    fn sees_subject(&self, held: &Held) -> Option<bool> {
        let record = &held.record;
        let slots = || record.kind().subject_slots();
        let is_known = slots().all(|number| record.open_slots().contains(number));
        let mut subjects = slots().flat_map(|number| record.references(number));
        match subjects.any(|series| !self.sees(series, &mut BTreeSet::new())) {
            true => Some(false),
            false => is_known.then_some(true),
        }
    }

    /// Returns true if a record is not shown only because of what it is about.
    pub(super) fn hides_subject(&self, held: &Held) -> bool {
        self.classes(held).contains(SlotClass::Core) && self.sees_subject(held) == Some(false)
    }

    /// Returns whether the partner may know of a series: of those of several agencies under one id, of the one that was
    /// here first. `asked`: the series that this is asked for.
    fn sees(&self, series: SeriesId, asked: &mut BTreeSet<SeriesId>) -> bool {
        let records = self.reading.records.values();
        let under_id = records.filter(|held| held.header().series == series);
        let first = under_id.min_by_key(|held| held.accepted_at());
        let Some(any) = first.filter(|_| asked.insert(series)) else { return false };
        let of_series: Vec<_> = self.reading.series(any.header()).collect();
        if any.header().originator == *self.book.agency(self.asked.partner)
            || of_series.iter().any(|(_, held)| self.is_from_partner(held) && !held.is_retracted())
        {
            return true;
        }
        let uses_any = of_series.iter().any(|(id, _)| self.live.contains(id));
        self.newest(any).all(|(of, newest)| {
            let subjects = newest.record.kind().subject_slots();
            let mut subjects = subjects.flat_map(|number| newest.record.references(number));
            let sees_all = subjects.all(|series| self.sees(series, asked));
            let mut slots = newest.record.kind().subject_slots();
            let is_known = slots.all(|number| newest.record.open_slots().contains(number));
            match newest {
                _ if newest.record.kind() == Kind::Withdrawal => uses_any,
                _ if newest.is_retracted() => false,
                _ if !self.classes(newest).contains(SlotClass::Core) || !sees_all => false,
                _ if newest.is_restricted || !is_known => uses_any,
                _ if self.held_back.contains(of) => uses_any,
                _ => true,
            }
        })
    }

    /// Returns the part of a record that may go to the partner now.
    fn allowed(&self, id: &RecordId) -> Allowed {
        let Some(held) = self.reading.records.get(id) else { return Allowed::Nothing };
        let alone = self.allowed_alone(id, held);
        if held.record.kind() == Kind::Withdrawal {
            return alone;
        }
        let verdicts = self.newest(held).map(|(of, newest)| {
            let classes = self.classes(newest);
            match newest {
                _ if newest.record.kind() == Kind::Withdrawal => SeriesVerdict::Withdrawn,
                _ if newest.is_retracted() => SeriesVerdict::Denied,
                _ if self.is_from_partner(newest) => {
                    SeriesVerdict::Shown(SlotClass::ALL.into_iter().collect())
                }
                _ if !classes.contains(SlotClass::Core) => SeriesVerdict::Denied,
                _ if newest.is_restricted => SeriesVerdict::Unchanged,
                _ => match self.sees_subject(newest) {
                    Some(true) if self.held_back.contains(of) => SeriesVerdict::Unchanged,
                    Some(true) => SeriesVerdict::Shown(classes),
                    Some(false) => SeriesVerdict::Denied,
                    None => SeriesVerdict::Unchanged,
                },
            }
        });
        let place = if self.is_newest(held) { Place::Newest } else { Place::Older };
        match SeriesVerdict::of(verdicts) {
            Some(series) => series.limit(alone, held.record.kind(), place),
            None => alone,
        }
    }

    /// Returns the same without its series. A withdrawal follows whatever was disclosed of its series,
    /// whatever policy now decides on it.
    fn allowed_alone(&self, id: &RecordId, held: &Held) -> Allowed {
        if held.is_retracted() {
            return Allowed::Nothing;
        }
        let (kind, classes) = (held.record.kind(), self.classes(held));
        if held.is_restricted && kind == Kind::Withdrawal {
            return Allowed::AsItIs;
        }
        let may_go = match kind {
            Kind::Withdrawal => self.knows_series(id, held),
            _ => classes.contains(SlotClass::Core),
        };
        if !may_go {
            return Allowed::Nothing;
        }
        let sees = if kind == Kind::Withdrawal { Some(true) } else { self.sees_subject(held) };
        match sees {
            _ if held.is_restricted => return Allowed::AsItIs,
            Some(false) => return Allowed::Nothing,
            None => return Allowed::AsItIs,
            Some(true) => {}
        }
        let slots = held.record.slots_in(classes.with(SlotClass::Core));
        let open = slots.and(held.record.open_slots());
        Allowed::Slots { open, erased: held.record.erased_slots() }
    }

    /// Returns the part of a record that the partner must have in the end.
    pub(super) fn wanted(&self, id: &RecordId) -> Wanted {
        let Some(held) = self.reading.records.get(id) else { return Wanted::Nothing };
        let is_end =
            |(_, of): (_, &Held)| of.record.kind() == Kind::Withdrawal && !of.is_restricted;
        let is_withdrawn = held.record.kind() != Kind::Withdrawal && self.newest(held).any(is_end);
        match self.allowed(id) {
            Allowed::Slots { open, .. } => Wanted::Shown(open),
            Allowed::Kept { open, .. } => Wanted::AtMost(open),
            Allowed::AsItIs if is_withdrawn => Wanted::Withdrawn,
            Allowed::AsItIs => Wanted::Unchanged,
            Allowed::Nothing => Wanted::Nothing,
        }
    }
}
