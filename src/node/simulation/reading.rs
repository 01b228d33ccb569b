//! The records of a node by its journal, in the plain form that the checks compare: nothing here decides anything.

use super::machine::{Machine, number};
use crate::disclosure::HeldState;
use crate::exchange::{Disclosed, FeedEntry, Provenance};
use crate::ident::{RecordId, TreeSize};
use crate::journal::index::RecordPlace;
use crate::merkle::{Checkpoint, Note};
use crate::record::header::Header;
use crate::record::signed::{Slot, Verified};
use crate::record::slots::SlotMask;
use crate::store::{KeyRange, Order, Table};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record that a node holds.
pub(super) struct Held {
    /// The record as it is in use.
    pub(super) record: Arc<Verified>,
    /// The permission for its use; none for an own record.
    pub(super) given: Option<Provenance<usize>>,
    /// The slots that orders erased here.
    pub(super) erased: SlotMask,
    pub(super) is_restricted: bool,
    place: RecordPlace,
}

impl Held {
    pub(super) fn header(&self) -> &Header {
        self.record.header()
    }

    /// The entry that accepted it.
    pub(super) const fn accepted_at(&self) -> u64 {
        self.place.journal_index
    }

    pub(super) fn is_retracted(&self) -> bool {
        self.given.is_some_and(|given| given.is_retracted)
    }

    /// The slots that were taken back and are here.
    pub(super) fn retracted(&self) -> SlotMask {
        self.given.map_or(SlotMask::NONE, |given| given.retracted)
    }

    /// The slots that this copy has as erased by somebody's word.
    pub(super) fn claimed(&self) -> SlotMask {
        let slots = self.record.numbered();
        let claimed = slots.filter(|(_, slot)| matches!(slot, Slot::ClaimedErased(_)));
        claimed.fold(SlotMask::NONE, |mask, (number, _)| mask.with(number))
    }

    /// The slots that are here, in use or not.
    pub(super) fn open(&self) -> SlotMask {
        self.record.open_slots().or(self.retracted()).without(self.record.erased_slots())
    }
}

/// The records of a node when its journal had this size.
pub(super) struct Reading {
    pub(super) size: u64,
    pub(super) records: BTreeMap<RecordId, Held>,
}

impl Reading {
    /// The records of the series of this header.
    pub(super) fn series<'a>(
        &'a self,
        header: &'a Header,
    ) -> impl Iterator<Item = (&'a RecordId, &'a Held)> {
        let is_of = |of: &Header| of.series == header.series && of.originator == header.originator;
        self.records.iter().filter(move |(_, held)| is_of(held.header()))
    }
}

impl Machine {
    /// Reads the records that are others than they were.
    pub(super) fn reading(&mut self, before: Option<Reading>) -> Reading {
        let view = Arc::clone(self.view());
        let mut before = before.map_or_else(BTreeMap::new, |before| before.records);
        let scan = view.index().scan(Table::Records, &KeyRange::all(), Order::Ascending);
        let mut records = BTreeMap::new();
        for pair in scan {
            let (key, value) = pair.unwrap();
            let id = RecordId::try_from(&key[..]).unwrap();
            let place = RecordPlace::decode(&value).unwrap();
            let known = before.remove(&id).filter(|known| known.place == place);
            records.insert(id, known.unwrap_or_else(|| self.held(id, place)));
        }
        Reading { size: view.snapshot().size, records }
    }

    fn held(&mut self, id: RecordId, place: RecordPlace) -> Held {
        let (record, erased) = self.look_up(|tx| Ok((tx.record(&id)?.unwrap(), tx.erased(&id)?)));
        let given = place.given.map(|given| Provenance {
            from: usize::from(given.from.get()) - 1,
            slots: given.slots,
            retracted: given.retracted,
            is_retracted: given.is_retracted,
        });
        Held { record, given, erased, is_restricted: place.marks().is_restricted(), place }
    }

    /// The slots of a record that a partner ever disclosed.
    pub(super) fn given_by(&mut self, partner: usize, id: &RecordId) -> Option<SlotMask> {
        self.look_up(|tx| tx.given_by(id, number(partner)))
    }

    /// The entries of the present feed to a partner.
    pub(super) fn feed(&self, partner: usize) -> Vec<FeedEntry> {
        let snapshot = self.snapshot();
        let known = &snapshot.state.partners[self.agency_of(partner)];
        let entries = self.view().feed_entries(known.feed, 0..known.published.size).unwrap();
        entries.iter().map(|bytes| FeedEntry::decode(bytes).unwrap()).collect()
    }

    /// Returns true if a partner may use a record, by our feeds.
    pub(super) fn may_use(&self, partner: usize, id: &RecordId) -> bool {
        let snapshot = self.snapshot();
        let known = &snapshot.state.partners[self.agency_of(partner)];
        let here = self.view().disclosure(known.feed, id).unwrap();
        match here.map(|here| here.disclosed).filter(|here| !here.is_earlier) {
            Some(here) => here.is_live(),
            None => {
                self.gave_to(partner, id).is_some_and(|given| Disclosed::earlier(given).is_live())
            }
        }
    }

    /// Returns true if the disclosure of a record to a partner waits for persons, or was refused by them.
    pub(super) fn holds_back(&self, partner: usize, id: &RecordId) -> bool {
        let state = self.view().held_state(number(partner), id).unwrap();
        state.is_some_and(|state| state != HeldState::Released)
    }

    /// The slots of a record that feeds of ours gave a partner, in any generation; `None` if it never stood in one.
    pub(super) fn gave_to(&self, partner: usize, id: &RecordId) -> Option<SlotMask> {
        let snapshot = self.snapshot();
        let known = &snapshot.state.partners[self.agency_of(partner)];
        let here = self.view().disclosure(known.feed, id).unwrap();
        let before = self.view().disclosed_before(number(partner), id).unwrap();
        // A duty alone is about feeds before.
        let here = here.map(|here| here.disclosed).filter(|here| !here.is_earlier);
        let here = here.map(|disclosed| disclosed.given);
        here.into_iter().chain(before).reduce(SlotMask::or)
    }
}

/// Returns the size in a checkpoint note; 0 where there is none.
pub(super) fn size_in(note: &[u8]) -> TreeSize {
    let checkpoint = Note::parse(note).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    checkpoint.map_or(TreeSize::default(), |checkpoint| checkpoint.size())
}
