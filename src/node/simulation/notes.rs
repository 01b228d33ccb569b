//! The knowledge of the checks about a node beside its journal: what policy let others send it, in plain words. It is
//! copied and put back with the node's directory.

use crate::exchange::Exception;
use crate::ident::{AgencyName, RecordId, SeriesId};
use crate::pb::{self, draft::Content};
use crate::record::consent::{Consent, ConsentVerdict, Purpose};
use crate::record::slots::SlotMask;
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Masks = BTreeMap<RecordId, SlotMask>;

/// Adds slots to those of a record.
pub(super) fn add(masks: &mut Masks, id: RecordId, slots: SlotMask) {
    let all = masks.entry(id).or_default();
    *all = all.or(slots);
}

/// The notes about one partner.
#[derive(Clone, Default)]
pub(super) struct OfPartner {
    /// Slots that policy let the partner send, of all that was stored here.
    pub(super) allowed: Masks,
    /// Slots that the partner sent and that were not to be taken.
    pub(super) refused: Masks,
    /// The series of which anything was taken.
    pub(super) taken_series: BTreeSet<SeriesId>,
    /// Everything of the partner's present feed that was not taken here.
    pub(super) exceptions: Vec<Exception>,
    /// Everything of our present feed that the partner reported as not taken.
    pub(super) reported: Vec<Exception>,
    /// The entries of our present feed that are forged.
    pub(super) forged: BTreeSet<u64>,
}

/// Something that a client of the node submitted.
#[derive(Clone)]
pub(super) struct Submitted {
    pub(super) content: Content,
    pub(super) marking: pb::Marking,
    pub(super) confidence: u32,
    pub(super) id: RecordId,
}

#[derive(Clone, Default)]
pub(super) struct Notes {
    pub(super) partners: BTreeMap<usize, OfPartner>,
    /// The slots that its originator marked as erased when it gave a record first.
    pub(super) marked: Masks,
    /// Records under a hold, with the slots that were erased when it began.
    pub(super) held: Masks,
    /// The newest revision of each thing that was submitted here.
    pub(super) submitted: Vec<Submitted>,
    /// Erasures that a hold was in the way of.
    pub(super) deferred: Vec<pb::EraseAct>,
    /// The consents of originators, by the number of the statement: the purpose that each allows this node.
    pub(super) let_on: BTreeMap<(AgencyName, u64), Purpose>,
}

impl Notes {
    pub(super) fn of(&mut self, partner: usize) -> &mut OfPartner {
        self.partners.entry(partner).or_default()
    }

    /// Notes a consent of an originator, or its end. A feed that succeeds another tells everything again.
    pub(super) fn hear(&mut self, originator: &AgencyName, consent: &Consent) {
        let key = (originator.clone(), consent.number);
        match consent.verdict {
            ConsentVerdict::Granted { .. } => {
                let purpose = consent.subject.purpose.clone();
                if let Purpose::Circle(_) = purpose {
                    // There is one circle, and of two rosters the newer one counts.
                    self.let_on.retain(|(of, _), before| {
                        of != originator || !matches!(before, Purpose::Circle(_))
                    });
                }
                self.let_on.insert(key, purpose);
            }
            _ => drop(self.let_on.remove(&key)),
        }
    }
}
