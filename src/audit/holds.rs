//! Orders to erase: that the originator gave each, and that the ones which a hold kept waiting were
//! carried out right when it ended.

mod judge;

use super::card::Card;
use super::failure::{Check, Fault};
use super::holdings::RowNumber;
use super::words::slots;
use crate::ident::{AgencyName, RecordId};
use crate::pb;
use crate::record::erasure::ErasureOrder;
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, BTreeSet};

/// Slots of one record by the partner that they are about.
type OfPartners = BTreeMap<AgencyName, SlotMask>;

/// Holds, and duties of partners that wait for their end. As many rows as there are duties to erase.
#[derive(Debug, Default)]
pub(super) struct Holds {
    held: BTreeSet<RowNumber>,
    /// Slots that a partner's feed orders erased and a hold kept.
    waiting: BTreeMap<RowNumber, OfPartners>,
    /// Those of them that the partner's feed names.
    named: BTreeMap<RowNumber, OfPartners>,
    /// Slots that our feed to a partner orders erased.
    ordered: BTreeMap<RowNumber, OfPartners>,
    /// Those of them that the partner's feed reported erased.
    reported: BTreeMap<RowNumber, OfPartners>,
    /// A hold has ended, and these slots must be erased next.
    due: Option<(RowNumber, SlotMask)>,
}

impl Holds {
    /// The slots of a record that a partner ordered erased and a hold keeps.
    pub(super) fn waiting_for(&self, row: RowNumber, partner: &str) -> SlotMask {
        let agency = partner.parse::<AgencyName>().ok();
        agency.map(|agency| of(&self.waiting, row, &agency)).unwrap_or_default()
    }

    /// The slots of a record that a partner's feed reported erased.
    pub(super) fn reported_by(&self, row: RowNumber, partner: &str) -> SlotMask {
        let agency = partner.parse::<AgencyName>().ok();
        agency.map(|agency| of(&self.reported, row, &agency)).unwrap_or_default()
    }

    /// Every entry while something is due must erase it; `None` is an entry of another sort.
    pub(super) fn check_due(&self, erases: Option<RowNumber>) -> Result<(), Fault> {
        match self.due {
            Some((row, due)) if erases != Some(row) => {
                let expected = format!("the erasure of {} right after the hold", slots(due.bits()));
                Err(Fault::new(Check::Erasure, expected, "another entry"))
            }
            _ => Ok(()),
        }
    }
}

fn add(map: &mut BTreeMap<RowNumber, OfPartners>, row: RowNumber, to: AgencyName, slots: SlotMask) {
    let known = map.entry(row).or_default().entry(to).or_default();
    *known = known.or(slots);
}

fn of(map: &BTreeMap<RowNumber, OfPartners>, row: RowNumber, to: &AgencyName) -> SlotMask {
    map.get(&row).and_then(|partners| partners.get(to)).copied().unwrap_or_default()
}

/// Checks an order to erase slots of a record. `false`: the originator's card is not known.
pub(super) fn check_order(
    wire: &pb::ErasureOrder,
    id: &RecordId,
    originator: &AgencyName,
    card: Option<&Card>,
) -> Result<(ErasureOrder, bool), Fault> {
    let order = ErasureOrder::try_from(wire.clone())
        .map_err(|error| Fault::new(Check::ErasureOrder, "an order to erase", error))?;
    let Some(card) = card else { return Ok((order, false)) };
    order.verify(id, originator, card).map_err(|error| {
        Fault::new(Check::ErasureOrder, format!("an order of {originator}"), error)
    })?;
    Ok((order, true))
}

/// A mask of at least one slot, and of none but these.
fn within(expected: &str, mask: SlotMask, said: u32) -> Result<SlotMask, Fault> {
    let found = SlotMask::from_bits(said);
    if found.bits() == said && !found.is_empty() && found.without(mask).is_empty() {
        return Ok(found);
    }
    let expected = format!("{expected}: {}", slots(mask.bits()));
    Err(Fault::new(Check::Erasure, expected, slots(said)))
}
