//! Acts that took two persons: that a second one approved, and what each act covers.

use super::failure::{Check, Fault};
use crate::pb::{self, act::Act};
use std::collections::BTreeMap;

/// Acts that wait at the most; a node keeps no more.
const OPEN_MAX: usize = 4_096;

/// The acts that wait, and the one that was just approved.
#[derive(Debug, Default)]
pub(super) struct Acts {
    open: BTreeMap<u64, pb::ActProposed>,
    approved: Option<(u64, Act)>,
}

fn fault(expected: &str, found: impl ToString) -> Fault {
    Fault::new(Check::Act, expected, found)
}

impl Acts {
    pub(super) fn propose(&mut self, index: u64, proposed: pb::ActProposed) -> Result<(), Fault> {
        if proposed.client.is_empty() || proposed.act.as_ref().is_none_or(|act| act.act.is_none()) {
            return Err(fault("an act and who asks for it", "neither or one of them"));
        }
        self.open.insert(index, proposed);
        // What ran out is never decided on; the oldest run out first.
        while self.open.len() > OPEN_MAX {
            self.open.pop_first();
        }
        Ok(())
    }

    pub(super) fn decide(&mut self, decided: &pb::ActDecided) -> Result<(), Fault> {
        let unknown = || fault("an act that waits", format!("entry {}", decided.proposal));
        let proposed = self.open.get(&decided.proposal).ok_or_else(unknown)?;
        if decided.client.is_empty() || decided.client == proposed.client {
            return Err(fault("a second person", format!("{:?}", decided.client)));
        }
        if !decided.closes {
            return Ok(());
        }
        let closed = self.open.remove(&decided.proposal).and_then(|proposed| proposed.act?.act);
        self.approved = closed.filter(|_| decided.approved).map(|act| (decided.proposal, act));
        Ok(())
    }

    /// An erasure follows from an act that was just approved, a partner's duty, or the end of a
    /// record's time.
    pub(super) fn cover(&self, erased: &pb::SlotsErased) -> Result<(), Fault> {
        let uncovered = |found: String| {
            let expected = "an approved act, a partner's duty, or the end of the record's time";
            Fault::new(Check::Erasure, expected, found)
        };
        match (&self.approved, erased.proposal) {
            (_, 0) if !erased.partner.is_empty() && erased.order.is_some() => Ok(()),
            (_, 0) if erased.basis() == pb::ErasureBasis::Retention => Ok(()),
            (_, 0) => Err(uncovered("none of them".to_owned())),
            (Some((proposal, Act::Erase(act))), named) if *proposal == named => {
                let same = act.basis == erased.basis && act.authority == erased.authority;
                if same && erased.slots & !act.slots == 0 {
                    return Ok(());
                }
                Err(uncovered(format!("more than the act of entry {named}")))
            }
            (_, named) => Err(uncovered(format!("entry {named}, which was not just approved"))),
        }
    }

    /// A partner's facts that may show it more follow from an act that was just approved.
    pub(super) fn cover_facts(
        &self,
        changed: &pb::PartnerChanged,
        before: &pb::PartnerFacts,
    ) -> Result<(), Fault> {
        let Some((proposal, Act::ChangeFacts(act))) = &self.approved else {
            return Err(fault("a second person's approval of a partner's facts", "none"));
        };
        let same = *proposal == changed.proposal
            && act.agency == changed.agency
            && act.before.as_ref().unwrap_or(&pb::PartnerFacts::default()) == before
            && act.after == changed.facts;
        if same { Ok(()) } else { Err(fault("what was approved", "other facts of a partner")) }
    }
}
