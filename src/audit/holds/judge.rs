//! Entries about holds and about what they keep waiting, judged one after another.

use super::{add, check_order, of, within};
use crate::audit::acts::{Erasing, ErasureSubject};
use crate::audit::failure::{Check, Fault};
use crate::audit::holdings::RowNumber;
use crate::audit::ledger::Audit;
use crate::audit::received::Claim;
use crate::audit::words::slots;
use crate::ident::{AgencyName, RecordId, Timestamp};
use crate::pb::{self, FeedAction};
use crate::record::erasure::ErasureOrder;
use crate::record::slots::SlotMask;
use std::collections::BTreeMap;

impl Audit {
    /// Checks who gave an order about a record that is here.
    pub(in crate::audit) fn order(
        &mut self,
        wire: &pb::ErasureOrder,
        number: RowNumber,
    ) -> Result<ErasureOrder, Fault> {
        let row = self.holdings.at(number);
        let originator = &self.policy.facts.of(row.facts).originator;
        let own = self.own.last().filter(|card| card.agency == *originator);
        let card = own.or_else(|| self.partners.card(originator));
        let (order, is_verified) = check_order(wire, &row.id, originator, card)?;
        match is_verified {
            true => self.counts.orders += 1,
            false => self.counts.unknown_orders += 1,
        }
        Ok(order)
    }

    fn row_of(&self, id: &[u8]) -> Result<RowNumber, Fault> {
        let id = RecordId::try_from(id)
            .map_err(|error| Fault::new(Check::EntryForm, "a record id", error))?;
        match self.holdings.find(&id) {
            Some((row, _)) => Ok(row),
            None => Err(Fault::new(Check::EntryForm, "a record accepted before", id)),
        }
    }

    /// A hold began or ended, or a duty waits for its end.
    pub(in crate::audit) fn restrict(&mut self, held: &pb::RecordRestricted) -> Result<(), Fault> {
        let row = self.row_of(&held.record_id)?;
        match (&held.order, held.partner.is_empty()) {
            (None, true) => {}
            (Some(order), false) if held.restricted => {
                self.gave(row, &held.partner)?;
                let claim = Claim {
                    partner: &held.partner,
                    index: held.feed_index,
                    record: &held.record_id,
                    actions: &[FeedAction::Erase],
                };
                self.claim_order(&claim, Some(order))?;
                let order = self.order(order, row)?;
                let named = within("slots that are ordered erased", order.slots, held.slots)?;
                if let Ok(agency) = held.partner.parse::<AgencyName>() {
                    add(&mut self.holds.named, row, agency.clone(), named);
                    add(&mut self.holds.waiting, row, agency, order.slots);
                }
            }
            _ => {
                let expected = "a partner's order that a hold keeps waiting, or neither";
                return Err(Fault::new(Check::EntryForm, expected, "one without the other"));
            }
        }
        if held.restricted {
            self.holds.held.insert(row);
            return Ok(());
        }
        self.holds.held.remove(&row);
        let waiting = self.holds.waiting.get(&row).into_iter().flat_map(BTreeMap::values);
        let waiting = waiting.fold(SlotMask::NONE, |mask, slots| mask.or(*slots));
        let due = waiting.and(self.holdings.at(row).open);
        self.holds.due = (!due.is_empty()).then_some((row, due));
        Ok(())
    }

    /// Checks the ground of an erasure from the signed header, the journal's time and the acts before it.
    pub(in crate::audit) fn check_ground(
        &self,
        erased: &pb::SlotsErased,
        row: RowNumber,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let of = self.holdings.at(row);
        let originator = |facts| &self.policy.facts.of(facts).originator;
        let is_of_series = |id: &RecordId| {
            let other = self.holdings.find(id).map(|(_, other)| (other.series, other.facts));
            other.is_some_and(|(series, facts)| {
                series == of.series && originator(facts) == originator(of.facts)
            })
        };
        let own = self.own.last().map(|card| &card.agency).ok_or_else(|| {
            Fault::new(Check::OwnCard, "the agency's card before any erasure", "none")
        })?;
        self.acts.cover(
            erased,
            &ErasureSubject {
                accepted: row.index() as u64,
                kind: of.kind,
                originator: originator(of.facts),
                own,
                retain_until: self.holdings.retain_until(row),
                is_held: self.holds.held.contains(&row),
                is_due: !self.holds.waiting_for(row, &erased.partner).is_empty(),
                at,
                is_of_series: &is_of_series,
            },
        )
    }

    /// Somebody decided on an act. What it covers, if it is an erasure, was accepted by now.
    pub(in crate::audit) fn decide(
        &mut self,
        entry: (u64, Timestamp),
        decided: &pb::ActDecided,
    ) -> Result<(), Fault> {
        self.acts.decide(entry, self.holdings.count(), decided)
    }

    /// An approved erasure is complete: every revision that it covers lost the slots that the act names.
    pub(in crate::audit) fn complete_erasure(
        &mut self,
        completed: &pb::ErasureCompleted,
    ) -> Result<(), Fault> {
        let Erasing { act, scope } = self.acts.complete_erasure(completed.proposal)?;
        let named = self.holdings.at(self.row_of(&act.record_id)?);
        let own = self.own.last().map(|card| &card.agency);
        let originator = |facts| &self.policy.facts.of(facts).originator;
        let is_own = own == Some(originator(named.facts));
        let asked = SlotMask::from_bits(act.slots);
        let covered = |number: &RowNumber| scope.covers(number.index() as u64);
        for number in self.holdings.series_of(named).filter(covered) {
            let row = self.holdings.at(number);
            // An erasure of own records orders the slots erased that partners may have.
            let left = match is_own {
                true => asked.and(SlotMask::all(row.kind)).without(self.holdings.erased(number)),
                false => asked.and(row.open),
            };
            if !left.is_empty() && originator(row.facts) == originator(named.facts) {
                let found = format!("{} of record {} are left", slots(left.bits()), row.id);
                let expected = format!("all that the act of entry {} erases", completed.proposal);
                return Err(Fault::new(Check::Erasure, expected, found));
            }
        }
        Ok(())
    }

    /// The order that an erasure refers to.
    pub(in crate::audit) fn check_erased(
        &mut self,
        erased: &pb::SlotsErased,
        row: RowNumber,
    ) -> Result<(), Fault> {
        self.holds.check_due(Some(row))?;
        if let Some(order) = &erased.order {
            let order = self.order(order, row)?;
            within("slots that are ordered erased", order.slots, erased.slots)?;
            if i32::from(order.basis.number()) != erased.basis {
                let found = format!("legal ground {}", erased.basis);
                let expected = format!("legal ground {} of the order", order.basis.number());
                return Err(Fault::new(Check::Erasure, expected, found));
            }
        }
        if let Some((_, due)) = self.holds.due.take() {
            let left = due.without(SlotMask::from_bits(erased.slots));
            self.holds.due = (!left.is_empty()).then_some((row, left));
        }
        Ok(())
    }

    /// An entry of the feed to a partner that is about an erasure, or must not be.
    pub(in crate::audit) fn check_duty(
        &mut self,
        number: u16,
        entry: &pb::FeedEntry,
    ) -> Result<(), Fault> {
        let order = match (&entry.order, entry.action()) {
            (Some(order), FeedAction::Erase) => Some(order),
            (None, FeedAction::Erased) => None,
            (None, action) if action != FeedAction::Erase => return Ok(()),
            (Some(_), _) => {
                return Err(Fault::new(Check::FeedEntry, "an order with an erasure alone", "one"));
            }
            (None, _) => return Err(Fault::new(Check::FeedEntry, "the order to erase", "none")),
        };
        let row = self.row_of(&entry.record_id)?;
        let Some(agency) = self.partners.numbered(number).map(|(agency, _)| agency.clone()) else {
            return Ok(());
        };
        match order {
            Some(order) => {
                let gone = self.holdings.erased(row);
                let slots = within("slots that are erased here", gone, entry.open_slots)?;
                let order = self.order(order, row)?;
                within("slots that are ordered erased", order.slots, entry.open_slots)?;
                self.partners.ordered(&agency, row, slots);
                add(&mut self.holds.ordered, row, agency, slots);
            }
            None => {
                let here = self.holdings.at(row).open;
                let waited = of(&self.holds.named, row, &agency).without(here);
                let expected = "slots that waited to be erased for this partner, and are";
                within(expected, waited, entry.open_slots)?;
            }
        }
        Ok(())
    }

    /// Takes a partner's report of an erasure that our feed had ordered.
    pub(in crate::audit) fn reported(
        &mut self,
        reported: &pb::ErasureReported,
    ) -> Result<(), Fault> {
        let claim = Claim {
            partner: &reported.partner,
            index: reported.feed_index,
            record: &reported.record_id,
            actions: &[FeedAction::Erased],
        };
        self.claim_slots(&claim, reported.slots)?;
        let row = self.row_of(&reported.record_id)?;
        let agency = reported.partner.parse::<AgencyName>().ok();
        let ordered = agency.as_ref().map(|agency| of(&self.holds.ordered, row, agency));
        let ordered = ordered.unwrap_or_default();
        let slots = within("slots that its feed orders erased", ordered, reported.slots)?;
        if let Some(agency) = agency {
            add(&mut self.holds.reported, row, agency, slots);
        }
        Ok(())
    }
}
