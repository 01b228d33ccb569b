//! Erasures in a part: their ground, their order, and what is left of the record.

use super::{Part, PartFault, Row, broken, mismatch};
use crate::audit::acts::ErasureSubject;
use crate::audit::content::Content;
use crate::audit::export::Folder;
use crate::audit::failure::{Check, Fault};
use crate::audit::holds::check_order;
use crate::audit::part::manifest::MANIFEST;
use crate::ident::{RecordId, Timestamp};
use crate::pb;
use crate::record::slots::SlotMask;

impl<F: Folder> Part<'_, F> {
    /// Slots were erased; an act that the part holds, or what needs none, led to it.
    pub(super) fn erased(
        &mut self,
        erased: &pb::SlotsErased,
        content: &Content,
        at: Timestamp,
    ) -> Result<(), Fault> {
        self.check_ground(erased, &content.id, at)?;
        let slots = SlotMask::from_bits(erased.slots);
        let is_shown = content.is_overwritten || slots.without(content.erased).is_empty();
        if slots.bits() != erased.slots || slots.is_empty() || !is_shown {
            return Err(mismatch(content.erased, erased.slots));
        }
        if let Some(order) = &erased.order {
            self.order(order, &erased.record_id)?;
        }
        self.overwritten.remove(&content.id);
        self.changed(&erased.record_id, content, |open| open.without(slots))
    }

    /// Checks the ground of an erasure, of a record that is not here as far as it can be seen.
    fn check_ground(
        &self,
        erased: &pb::SlotsErased,
        id: &RecordId,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let Some(row) = self.accepted.get(id) else { return self.acts.cover_unseen(erased) };
        // An act may name a revision that is not here.
        let is_of_series = |id: &RecordId| {
            let same =
                |other: &Row| (&other.originator, other.series) == (&row.originator, row.series);
            self.accepted.get(id).is_none_or(same)
        };
        self.acts.cover(
            erased,
            &ErasureSubject {
                accepted: row.entry,
                kind: row.kind,
                originator: &row.originator,
                own: &self.files.manifest.agency,
                retain_until: row.retain_until,
                is_held: self.held.contains(id),
                // The hold that ended may have begun before the part.
                is_due: !erased.partner.is_empty(),
                at,
                is_of_series: &is_of_series,
            },
        )
    }

    /// An order to erase a record that is here was given by its originator, as far as that is known.
    pub(super) fn order(&self, order: &pb::ErasureOrder, id: &[u8]) -> Result<(), Fault> {
        let id = RecordId::try_from(id)
            .map_err(|error| Fault::new(Check::EntryForm, "a record id", error))?;
        let Some(Row { originator, .. }) = self.accepted.get(&id) else { return Ok(()) };
        let own = self.own.last().filter(|card| card.agency == *originator);
        let card = own.or_else(|| self.partners.get(originator));
        check_order(order, &id, originator, card).map(drop)
    }

    /// Checks that content is missing only if an entry here records its erasure.
    pub(super) fn check_erasures(&self) -> Result<(), PartFault> {
        let Some(id) = self.overwritten.first() else { return Ok(()) };
        let found = format!("overwritten content of record {id} without such an entry");
        let expected = "content, or an entry that says it was erased";
        Err(broken(MANIFEST, Fault::new(Check::Content, expected, found)))
    }
}
