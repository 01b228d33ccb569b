//! The durable state of one node of the simulation about one partner. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Masks;
use crate::exchange::exception::Exception;
use crate::exchange::fixture::Feed;
use crate::exchange::{Disclosed, Offering, Side};
use crate::ident::{RecordId, SeriesId, TreeSize};
use crate::journal::progress::Progress;
use crate::merkle::Frontier;
use crate::record::slots::SlotMask;

/// The durable state of a node about one partner.
#[derive(Clone)]
pub(super) struct Relation {
    /// The partner by the card that people here accepted last.
    pub(super) partner: Side,
    pub(super) feed: Feed,
    /// With the index of the last entry of the feed that shows it.
    pub(super) disclosed: BTreeMap<RecordId, (u64, Disclosed)>,
    /// The slots that were given in feeds that the present one succeeds.
    pub(super) earlier: Masks,
    /// The progress of the feed that was written down.
    pub(super) progress: Progress,
    /// The agreement with the partner, and the time since when it holds.
    pub(super) facts: usize,
    pub(super) changed_at: usize,
    /// The refusals of the partner, and the new offers.
    pub(super) offering: Offering,
    /// The number of times that our rules of acceptance for it changed.
    pub(super) rules_changed: u64,
    /// The number of changes of its rules of acceptance, as far as known; and when the last batch was
    /// loaded.
    pub(super) acceptance: u64,
    pub(super) sent_under: u64,
    /// The slots that were taken back, in the order of the feed.
    pub(super) taken_back: Vec<(RecordId, SlotMask)>,
    pub(super) receipted: TreeSize,
    pub(super) receipted_note: Vec<u8>,
    /// The partner gave up receipts with its logs.
    pub(super) receipts_given_up: bool,
    pub(super) reported: Vec<Exception>,
    pub(super) partner_feed: Frontier,
    pub(super) receipt_note: Vec<u8>,
    pub(super) exceptions: Vec<Exception>,
    /// The slots that the partner took back.
    pub(super) duties: Vec<(RecordId, SlotMask)>,
    /// The slots that our feeds order the partner to erase, in whatever generation.
    pub(super) ordered: Masks,
    /// The slots that the present feed reports as erased after a hold.
    pub(super) answered: Masks,
    /// The slots that the partner reported as erased.
    pub(super) reports: Masks,
    /// Orders in our feed that the partner refused, by their index.
    pub(super) refused_duties: BTreeSet<u64>,
    /// For the checks: the duties about erasures in our feed that are forged, by their index.
    pub(super) forged: BTreeSet<u64>,
    /// The newest checkpoint of the partner's journal that we cosigned.
    pub(super) witnessed_note: Vec<u8>,
    /// The newest of ours that the partner cosigned.
    pub(super) cosigned_note: Vec<u8>,
    /// For the checks: what policy let the partner send, of all that was stored here.
    pub(super) allowed: Masks,
    /// For the checks: the series of which anything was taken.
    pub(super) taken_series: BTreeSet<SeriesId>,
    /// For the checks: what the partner sent and was not to be taken.
    pub(super) refused: Masks,
}

impl Relation {
    pub(super) fn new(partner: Side, feed: Feed) -> Self {
        Self {
            partner,
            feed,
            disclosed: BTreeMap::new(),
            earlier: Masks::new(),
            progress: Progress::default(),
            facts: 0,
            changed_at: 0,
            offering: Offering::default(),
            rules_changed: 0,
            acceptance: 0,
            sent_under: 0,
            taken_back: Vec::new(),
            receipted: TreeSize::new(0),
            receipted_note: Vec::new(),
            receipts_given_up: false,
            reported: Vec::new(),
            partner_feed: Frontier::new(),
            receipt_note: Vec::new(),
            exceptions: Vec::new(),
            duties: Vec::new(),
            ordered: Masks::new(),
            answered: Masks::new(),
            reports: Masks::new(),
            refused_duties: BTreeSet::new(),
            forged: BTreeSet::new(),
            witnessed_note: Vec::new(),
            cosigned_note: Vec::new(),
            allowed: Masks::new(),
            taken_series: BTreeSet::new(),
            refused: Masks::new(),
        }
    }

    /// Our own logs are succeeded: nobody holds anything of the new feed.
    pub(super) fn begin_anew(&mut self, feed: Feed) {
        self.feed = feed;
        for (id, (_, disclosed)) in std::mem::take(&mut self.disclosed) {
            // What was ordered erased there may have been shown again by entries that are lost.
            let ordered = self.ordered.get(&id).copied().unwrap_or_default();
            let given = self.earlier.entry(id).or_default();
            *given = given.or(disclosed.given).or(ordered);
        }
        self.progress = Progress::default();
        self.offering = Offering::default();
        self.taken_back.clear();
        self.receipted = TreeSize::new(0);
        self.receipted_note.clear();
        self.receipts_given_up = false;
        self.reported.clear();
        self.answered.clear();
        self.refused_duties.clear();
        self.forged.clear();
        self.cosigned_note.clear();
    }

    /// Returns the sum of the disclosures of a record to the partner.
    pub(super) fn told(&self, id: &RecordId) -> Option<Disclosed> {
        match self.disclosed.get(id) {
            Some((at, disclosed)) if !disclosed.is_earlier => {
                let is_offered = *at < self.offering.below;
                Some(if is_offered { disclosed.offered_again() } else { *disclosed })
            }
            _ => self.earlier.get(id).copied().map(Disclosed::earlier),
        }
    }

    /// The slots of a record that the partner is known to have been given.
    pub(super) fn known_given(&self, id: &RecordId) -> Option<SlotMask> {
        let here = self.disclosed.get(id).map(|(_, disclosed)| disclosed.given);
        let given = here.into_iter().chain(self.earlier.get(id).copied());
        given.reduce(SlotMask::or)
    }

    /// People accepted the partner's card of another generation: nothing of its new logs is here.
    pub(super) fn accept(&mut self, partner: Side) {
        self.partner = partner;
        self.partner_feed = Frontier::new();
        self.receipt_note.clear();
        self.exceptions.clear();
        self.duties.clear();
        self.witnessed_note.clear();
    }
}
